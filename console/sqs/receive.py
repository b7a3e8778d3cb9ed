"""Leasing messages: receive, verify, extend, release, delete. Raises what boto3 raises; a message's failure is data."""

from __future__ import annotations

import base64
import hashlib
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from console.model import Problem

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH = 10
"""The most messages that one receive, send, delete or change of visibility takes."""

RELEASE_S = 30.0
"""How long a release is waited for at most: on two busy cores 4,500 messages took 6 s."""

_RELEASE_THREADS = 8
_RELEASE_TRIES = 2

_STRING, _BINARY = b"\x01", b"\x02"
_LENGTH = struct.Struct(">I").pack


@dataclass(frozen=True, slots=True)
class Received:
    """One leased message as SQS gave it. `until` is when its lease ends, on the monotonic clock.

    `attributes` are the message attributes in SQS's own form (DataType with StringValue or BinaryValue), `system` the
    system attributes by name.
    """

    id: str
    receipt: str
    body: str
    attributes: Mapping[str, Mapping[str, Any]]
    system: Mapping[str, str]
    md5_body: str | None = None
    md5_attributes: str | None = None
    until: float = 0.0

    @property
    def group_id(self) -> str | None:
        """MessageGroupId; on a standard queue it means fair queues."""
        return self.system.get("MessageGroupId")

    @property
    def receive_count(self) -> int | None:
        """ApproximateReceiveCount, this receive included; None when not told."""
        return _whole(self.system.get("ApproximateReceiveCount"))

    @property
    def sent(self) -> float | None:
        """SentTimestamp as epoch seconds; None when not told."""
        millis = _whole(self.system.get("SentTimestamp"))
        return None if millis is None else millis / 1000


def receive(
    client: SQSClient,
    url: str,
    *,
    most: int = BATCH,
    visibility: int,
    wait: int = 1,
    attempt_id: str | None = None,
) -> list[Received]:
    """Lease up to `most` messages for `visibility` seconds, waiting up to `wait` seconds for the first (long poll).

    `attempt_id` (FIFO only) makes a receive whose answer was lost repeatable: the same messages come again.
    """
    asked = time.monotonic()
    request: dict[str, Any] = {
        "QueueUrl": url,
        "MaxNumberOfMessages": most,
        "VisibilityTimeout": visibility,
        "WaitTimeSeconds": wait,
        "MessageSystemAttributeNames": ["All"],
        "MessageAttributeNames": ["All"],
    }
    if attempt_id is not None:
        request["ReceiveRequestAttemptId"] = attempt_id
    answer = client.receive_message(**request)
    out = []
    for found in answer.get("Messages", ()):
        raw: Any = found
        out.append(
            Received(
                id=raw.get("MessageId", ""),
                receipt=raw.get("ReceiptHandle", ""),
                body=raw.get("Body", ""),
                attributes=raw.get("MessageAttributes", {}),
                system={str(name): str(value) for name, value in raw.get("Attributes", {}).items()},
                md5_body=raw.get("MD5OfBody"),
                md5_attributes=raw.get("MD5OfMessageAttributes"),
                # The lease began somewhere between question and answer: counted from the question it is never too long.
                until=asked + visibility,
            )
        )
    return out


def md5_of_body(body: str) -> str:
    """The hex MD5 of a body in UTF-8, as SQS computes it."""
    return hashlib.md5(body.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Mapping[str, Mapping[str, Any]]) -> str:
    """The hex MD5 of message attributes, as the SQS developer guide defines it.

    By name: length and bytes of name and data type, one byte for the transport type (1 string, 2 binary), length and
    bytes of the value; lengths are four bytes, big-endian.
    """
    parts: list[bytes] = []
    for name in sorted(attributes):
        value = attributes[name]
        kind = str(value.get("DataType", "")).encode()
        binary = kind.startswith(b"Binary")
        raw = (
            as_bytes(value.get("BinaryValue", b""))
            if binary
            else str(value.get("StringValue", "")).encode("utf-8", "surrogatepass")
        )
        key = name.encode()
        parts += (_LENGTH(len(key)), key, _LENGTH(len(kind)), kind, _BINARY if binary else _STRING)
        parts += (_LENGTH(len(raw)), raw)
    return hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()


def damage(message: Received) -> str | None:
    """What is wrong with a message by its MD5 sums, None when they match. botocore does not check them for SQS."""
    if message.md5_body is not None and message.md5_body != md5_of_body(message.body):
        return "the body does not match its MD5"
    if message.md5_attributes and message.md5_attributes != md5_of_attributes(message.attributes):
        return "the message attributes do not match their MD5"
    return None


def as_bytes(value: Any) -> bytes:
    """A BinaryValue as bytes, whatever an emulator's client form of it is (bytes, or base64 text)."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return base64.b64decode(str(value))


def extend(client: SQSClient, url: str, receipts: Mapping[str, str], seconds: int) -> dict[str, Problem]:
    """Set the visibility timeout of leased messages (id -> receipt handle) anew; the failures by id.

    0 releases them at once. Any number: cut into batches of ten.
    """
    failed: dict[str, Problem] = {}
    for batch in chunks(list(receipts.items()), BATCH):
        entries: Any = [
            {"Id": str(index), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
            for index, (_, receipt) in enumerate(batch)
        ]
        answer = client.change_message_visibility_batch(QueueUrl=url, Entries=entries)
        failed |= _failures(answer, [message_id for message_id, _ in batch])
    return failed


def release(client: SQSClient, url: str, receipts: dict[str, str], within: float = RELEASE_S) -> None:
    """Give leased messages (id -> receipt handle) back; what is given back is taken out of `receipts`, on the way.

    What remains after `within` seconds stays hidden until its lease ends: the server failed or did not answer. Raises
    nothing.
    """
    ends = time.monotonic() + within
    batches: SimpleQueue[list[tuple[str, str]]] = SimpleQueue()
    for batch in chunks(list(receipts.items()), BATCH):
        batches.put(batch)

    def work() -> None:
        tries = _RELEASE_TRIES
        while tries and time.monotonic() < ends:
            try:
                batch = batches.get_nowait()
            except Empty:
                return
            entries: Any = [
                {"Id": str(index), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                for index, (_, receipt) in enumerate(batch)
            ]
            try:
                answer = client.change_message_visibility_batch(QueueUrl=url, Entries=entries)
            except Exception:
                batches.put(batch)
                tries -= 1
                continue
            # A handle that SQS refuses is of a lease that is over; only where it failed itself the message is hidden.
            hidden = {entry["Id"] for entry in answer.get("Failed", ()) if not entry.get("SenderFault", True)}
            for index, (message_id, _) in enumerate(batch):
                if str(index) not in hidden:
                    receipts.pop(message_id, None)

    # Daemons, as what calls a server here has to be: one that hangs must not hold up the exit.
    workers = [
        threading.Thread(target=work, name="logq-release", daemon=True)
        for _ in range(min(_RELEASE_THREADS, -(-len(receipts) // BATCH)))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(max(0.0, ends - time.monotonic()))


def delete(client: SQSClient, url: str, receipts: Mapping[str, str]) -> dict[str, Problem]:
    """Delete leased messages (id -> newest receipt handle), each on its own; the failures by id."""
    failed: dict[str, Problem] = {}
    for batch in chunks(list(receipts.items()), BATCH):
        entries: Any = [{"Id": str(index), "ReceiptHandle": receipt} for index, (_, receipt) in enumerate(batch)]
        answer = client.delete_message_batch(QueueUrl=url, Entries=entries)
        failed |= _failures(answer, [message_id for message_id, _ in batch])
    return failed


def chunks(items: Sequence[Any], size: int) -> list[list[Any]]:
    """The items in lists of at most `size`."""
    return [list(items[first : first + size]) for first in range(0, len(items), size)]


def _failures(answer: Any, ids: Sequence[str]) -> dict[str, Problem]:
    """Every entry that is not in `Successful` has failed, also one that an odd answer does not mention at all."""
    done = {entry["Id"] for entry in answer.get("Successful", ())}
    told = {entry["Id"]: entry for entry in answer.get("Failed", ())}
    out = {}
    for index, message_id in enumerate(ids):
        key = str(index)
        if key not in done:
            entry = told.get(key, {})
            name = str(entry.get("Code", "NO_RESULT"))
            out[message_id] = Problem(f"message {message_id}", name, str(entry.get("Message") or name))
    return out


def _whole(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None
