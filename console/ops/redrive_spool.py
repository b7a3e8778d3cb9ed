"""A whole message as the journal keeps it, and as it is sent again: nothing that can travel is left behind."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from console.sqs.receive import Received, as_bytes
from console.sqs.send import Outgoing


@dataclass(frozen=True, slots=True)
class Spooled:
    """A message in the journal, with where it goes and under which deduplication id.

    `sha256` is the fingerprint of what is sent: of the edited message where it was edited.
    """

    message: Received
    to: str
    dedup_id: str | None
    sha256: str


def dedup_id(source_arn: str, message_id: str, job: str, edit: str = "") -> str:
    """A deduplication id of our own. With the original or a content-based one a FIFO queue swallows the copy as a
    duplicate, and deleting the original then loses the message."""
    return hashlib.sha256("\0".join((source_arn, message_id, edit, job)).encode()).hexdigest()


def outgoing(message: Received, fifo: bool, own_dedup_id: str | None) -> Outgoing:
    """The message as it is sent: body, all attributes, trace header and group (on standard queues: fair queues)."""
    return Outgoing(
        id=message.id,
        body=message.body,
        attributes=message.attributes,
        trace=message.system.get("AWSTraceHeader"),
        group_id=message.group_id or ("logq" if fifo else None),
        dedup_id=own_dedup_id if fifo else None,
    )


def fingerprint(body: str, attributes: Mapping[str, Mapping[str, Any]]) -> str:
    """The hex SHA-256 of a message's content: body and message attributes, in whatever order they came."""
    return _digest(body, {name: _plain(value) for name, value in attributes.items()})


def _digest(body: str, plain: Mapping[str, Mapping[str, str]]) -> str:
    digest = hashlib.sha256(body.encode("utf-8", "surrogatepass"))
    digest.update(_json(plain))
    return digest.hexdigest()


def _json(value: object) -> bytes:
    """JSON with sorted keys. The library that reads the config makes it in a tenth of the time of Python's own, which
    is left what holds half of a surrogate pair."""
    try:
        return msgspec.json.encode(value, order="sorted")
    except UnicodeEncodeError:
        return json.dumps(value, sort_keys=True, ensure_ascii=True).encode()


def pack(message: Received, to: str, own_dedup_id: str | None, out: Outgoing | None = None) -> bytes:
    """The message for the journal, with everything SQS told about it (SenderId, SentTimestamp: lost by a send).

    `out` is the form it is sent in, when it is.
    """
    plain = {name: _plain(value) for name, value in message.attributes.items()}
    edited = out is not None and (out.body != message.body or out.attributes is not message.attributes)
    return _json(
        {
            "id": message.id,
            "body": message.body,
            "attributes": plain,
            "system": dict(message.system),
            "to": to,
            "dedup": own_dedup_id,
            "sha256": fingerprint(out.body, out.attributes) if out and edited else _digest(message.body, plain),
        }
    )


def unpack(data: bytes) -> Spooled:
    """What `pack` wrote. The receipt handle is kept beside it, for it changes."""
    raw: dict[str, Any] = json.loads(data)
    attributes = {
        name: {
            "DataType": value["type"],
            **(
                {"BinaryValue": base64.b64decode(value["base64"])}
                if "base64" in value
                else {"StringValue": value["value"]}
            ),
        }
        for name, value in raw["attributes"].items()
    }
    message = Received(raw["id"], "", raw["body"], attributes, raw["system"])
    return Spooled(message, raw["to"], raw["dedup"], raw["sha256"])


def _plain(value: Mapping[str, Any]) -> dict[str, str]:
    kind = str(value.get("DataType", "String"))
    if kind.startswith("Binary"):
        return {"type": kind, "base64": base64.b64encode(as_bytes(value.get("BinaryValue", b""))).decode()}
    return {"type": kind, "value": str(value.get("StringValue", ""))}
