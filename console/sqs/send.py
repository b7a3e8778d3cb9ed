"""Sending batches so that it is always known what happened to each message: sent, refused, not tried, or unknown.

To be used with a client whose retries are off: a retry inside the SDK would hide that something may be sent twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import TYPE_CHECKING, Any

from console.model import Problem
from console.sqs import connect
from console.sqs.receive import BATCH, as_bytes, md5_of_attributes, md5_of_body

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

SAFE_BATCH_BYTES = 256 * 1024
"""What one batch may hold on every SQS there is; queues that allow larger messages allow larger batches."""

LARGE_BATCH_BYTES = 1024 * 1024
"""AWS's limit of a message and of a whole batch since 2025, where the queue's MaximumMessageSize says so."""

_CALL_CODES = {"OverLimit", "UnsupportedOperation", "InvalidAction", "InvalidAddress", "QueueDeletedRecently"}


class Fate(Enum):
    """What became of a message that was to be sent."""

    SENT = auto()  # accepted, and the sums match
    REFUSED = auto()  # certainly not sent, because of the message itself
    NOT_SENT = auto()  # certainly not sent, because of the connection, the permission or the load
    UNKNOWN = auto()  # perhaps sent: the answer was lost or makes no sense
    DAMAGED = auto()  # accepted, but what arrived is not what was sent


@dataclass(frozen=True)
class Outgoing:
    """One message to send; `attributes` in SQS's own form, `trace` the AWSTraceHeader (a system one)."""

    id: str
    body: str
    attributes: Mapping[str, Mapping[str, Any]]
    trace: str | None = None
    group_id: str | None = None
    dedup_id: str | None = None

    @cached_property
    def size(self) -> int:
        """Bytes that count against SQS's limits: body, and names, types and values of attributes."""
        total = len(self.body.encode("utf-8", "surrogatepass"))
        for name, value in self.attributes.items():
            total += len(name.encode()) + len(str(value.get("DataType", "")).encode())
            raw = value.get("BinaryValue")
            total += len(as_bytes(raw)) if raw is not None else len(str(value.get("StringValue", "")).encode())
        return total


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one message; `message_id` is its new id at the destination when it was accepted.

    `passing` tells that what stood in the way may pass by itself (`connect.passing`), `cause` is what the call raised.
    """

    fate: Fate
    message_id: str | None = None
    problem: Problem | None = None
    throttled: bool = False
    passing: bool = False
    cause: Exception | None = None


def batch_limit(max_message_size: int | None) -> int:
    """How many bytes a batch to a queue may hold, from the queue's MaximumMessageSize (None: unknown)."""
    if max_message_size is not None and max_message_size > SAFE_BATCH_BYTES:
        return LARGE_BATCH_BYTES
    return SAFE_BATCH_BYTES


def cut(messages: Iterable[Outgoing], limit: int = SAFE_BATCH_BYTES) -> list[list[Outgoing]]:
    """The messages in batches of at most ten and at most `limit` bytes, in order; a larger one goes alone."""
    batches: list[list[Outgoing]] = []
    held = 0
    for message in messages:
        size = message.size
        if not batches or len(batches[-1]) >= BATCH or held + size > limit:
            batches.append([])
            held = 0
        batches[-1].append(message)
        held += size
    return batches


def send(client: SQSClient, url: str, batch: Sequence[Outgoing]) -> dict[str, Result]:
    """Send one batch (as `cut` makes it); every message has a result by its id, whatever the call did.

    When SQS turns the whole batch down because of one message, each is sent on its own: nothing of it was sent before.
    Raises nothing that the service or the network can cause.
    """
    entries = [_entry(index, message) for index, message in enumerate(batch)]
    try:
        answer = client.send_message_batch(QueueUrl=url, Entries=entries)
    except Exception as error:  # whatever it is (an answer that cannot be parsed, say), the messages may have arrived
        fate, throttled = _fate(error)
        if fate is Fate.REFUSED and len(batch) > 1:
            out: dict[str, Result] = {}
            for message in batch:
                out |= send(client, url, [message])
            return out
        problem = Problem("send", connect.code(error), " ".join(str(error).split()))
        result = Result(fate, problem=problem, throttled=throttled, passing=connect.passing(error), cause=error)
        return {message.id: result for message in batch}
    return _results(answer, batch)


def _entry(index: int, message: Outgoing) -> Any:
    entry: dict[str, Any] = {"Id": str(index), "MessageBody": message.body}
    if message.attributes:
        entry["MessageAttributes"] = {name: _value(value) for name, value in message.attributes.items()}
    if message.trace is not None:
        entry["MessageSystemAttributes"] = _trace(message.trace)
    if message.group_id is not None:
        entry["MessageGroupId"] = message.group_id
    if message.dedup_id is not None:
        entry["MessageDeduplicationId"] = message.dedup_id
    return entry


def _trace(header: str) -> dict[str, dict[str, str]]:
    return {"AWSTraceHeader": {"DataType": "String", "StringValue": header}}


def _value(value: Mapping[str, Any]) -> dict[str, Any]:
    # What a receive gives also holds StringListValues and BinaryListValues, which a send does not take.
    kind = str(value.get("DataType", "String"))
    if kind.startswith("Binary"):
        return {"DataType": kind, "BinaryValue": as_bytes(value.get("BinaryValue", b""))}
    return {"DataType": kind, "StringValue": str(value.get("StringValue", ""))}


def _fate(error: Exception) -> tuple[Fate, bool]:
    """What an error of the whole call says about its messages, and whether it asks to slow down."""
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        name = connect.code(error)
        if name in connect.THROTTLES:
            return Fate.NOT_SENT, True
        if (connect.status(error) or 0) >= 500:
            return Fate.UNKNOWN, False
        if name in _CALL_CODES or connect.is_call_level(error):
            return Fate.NOT_SENT, False
        return Fate.REFUSED, False
    before_sending = (
        boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError, boto.SSLError,
        boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError, boto.SSOError,
        boto.TokenRetrievalError,
    )  # fmt: skip
    return (Fate.NOT_SENT if isinstance(error, before_sending) else Fate.UNKNOWN), False


def _results(answer: Any, batch: Sequence[Outgoing]) -> dict[str, Result]:
    accepted = {entry.get("Id"): entry for entry in answer.get("Successful", ())}
    failed = {entry.get("Id"): entry for entry in answer.get("Failed", ())}
    out: dict[str, Result] = {}
    for index, message in enumerate(batch):
        key = str(index)
        if key in accepted:
            entry = accepted[key]
            wrong = _damage(entry, message)
            new_id = entry.get("MessageId")
            if wrong is None:
                out[message.id] = Result(Fate.SENT, new_id)
            else:
                out[message.id] = Result(Fate.DAMAGED, new_id, Problem(f"message {message.id}", "MD5", wrong))
        elif key in failed:
            entry = failed[key]
            name = str(entry.get("Code", "Failed"))
            problem = Problem(f"message {message.id}", name, str(entry.get("Message") or name))
            throttled = name in connect.THROTTLES
            if throttled:
                fate = Fate.NOT_SENT
            elif entry.get("SenderFault") is False and name in (
                "InternalError",
                "InternalFailure",
                "ServiceUnavailable",
            ):
                fate = Fate.UNKNOWN
            else:
                fate = Fate.REFUSED
            out[message.id] = Result(fate, problem=problem, throttled=throttled, passing=fate is not Fate.REFUSED)
        else:
            problem = Problem(f"message {message.id}", "NO_RESULT", "the answer does not mention this message")
            out[message.id] = Result(Fate.UNKNOWN, problem=problem, passing=True)
    return out


def _damage(entry: Mapping[str, Any], message: Outgoing) -> str | None:
    if entry.get("MD5OfMessageBody") not in (None, md5_of_body(message.body)):
        return "the body that arrived is another one (MD5)"
    if message.attributes and entry.get("MD5OfMessageAttributes") not in (None, md5_of_attributes(message.attributes)):
        return "the message attributes that arrived are others (MD5)"
    if message.trace is not None:
        told = entry.get("MD5OfMessageSystemAttributes")
        if told not in (None, md5_of_attributes(_trace(message.trace))):
            return "the trace header that arrived is another one (MD5)"
    return None
