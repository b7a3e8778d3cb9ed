"""A Kafka record as an SQS message: the value is the body, what fits of key and headers are attributes."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from console.model import Message
from console.ops.browse_filter import text_of
from console.ops.replay_words import LINES_GROUP, QUEUE_HEADERS
from console.sqs.send import LARGE_BATCH_BYTES, SAFE_BATCH_BYTES, Outgoing

# AWS, SendMessage: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF
_REFUSED = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# AWS, message attributes: letters, digits, underscore, hyphen and period; no period first, last or twice in a row.
_NAME = re.compile(r"(?!\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_RESERVED = ("aws.", "amazon.", "logq-")
_GROUP = re.compile(r"[!-~]{1,128}")


def outgoing(
    record: Message, topic: str, job: str, fifo: bool, max_bytes: int | None, place: tuple[int, int] | None = None
) -> Outgoing | str:
    """The record as a message, or why it cannot be one. `place` is its partition and offset where it is read from."""
    partition, offset = place or (record.partition, record.offset)
    if record.value is None:
        return "a tombstone has no value, and a message must have a body"
    body = text_of(record.value)
    if not body:
        return "its value is empty, and a message must have a body"
    if not isinstance(body, str):
        return "its value is not UTF-8 text"
    if found := _REFUSED.search(body):
        return f"its value holds a character SQS does not take (U+{ord(found[0]):04X})"
    made = Outgoing(
        id=f"{partition}-{offset}",
        body=body,
        attributes=attributes(record, job),
        group_id=group_of(record) if fifo else None,
        dedup_id=dedup_id(topic, partition, offset, job) if fifo else None,
    )
    limit = max_bytes or SAFE_BATCH_BYTES
    if made.size > min(limit, LARGE_BATCH_BYTES):
        return f"with its attributes it has {made.size:,} bytes, the queue takes {limit:,}"
    return made


def attributes(record: Message, job: str) -> dict[str, dict[str, Any]]:
    """Ours (job, origin, key), then the first headers that SQS takes, at most ten in all."""
    ours = {"logq-replay": _string(job), "logq-origin": _value(record.id.encode("utf-8", "surrogateescape"))}
    if record.key:
        ours["logq-key"] = _value(record.key)
    theirs: dict[str, dict[str, Any]] = {}
    for name, value in record.headers:
        if len(theirs) >= QUEUE_HEADERS or not value or name in theirs:
            continue
        if _NAME.fullmatch(name) and not name.lower().startswith(_RESERVED):
            theirs[name] = _value(value)
    return ours | theirs


def group_of(record: Message) -> str:
    """The message group: the record's own, else its key, its hash where SQS does not take it, else its partition.

    Lines of a file that have none of them are one group, which keeps their order.
    """
    if record.group_id is not None:
        own = record.group_id.encode("utf-8", "surrogateescape")
    elif record.key is not None:
        own = record.key
    else:
        return LINES_GROUP if record.partition is None else f"partition-{record.partition}"
    name = text_of(own)
    return name if isinstance(name, str) and _GROUP.fullmatch(name) else hashlib.sha256(own).hexdigest()


def dedup_id(topic: str, partition: int | None, offset: int | None, job: str) -> str:
    """A deduplication id of our own: the same record sent again by the same job is one message for 5 minutes."""
    return hashlib.sha256("\0".join((topic, str(partition), str(offset), job)).encode()).hexdigest()


def _value(raw: bytes) -> dict[str, Any]:
    text = text_of(raw)
    if isinstance(text, str) and not _REFUSED.search(text):
        return _string(text)
    return {"DataType": "Binary", "BinaryValue": raw}


def _string(text: str) -> dict[str, Any]:
    return {"DataType": "String", "StringValue": text}
