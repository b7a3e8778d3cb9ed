"""Dead-letter topics: known by name, and why a record is there by the headers its framework wrote."""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from msgspec import Struct

# SmallRye's own default is "dead-letter-topic-CHANNEL", without anything before it.
_NAMES = (
    *("*.dlt", "*-dlt", "*_dlt", "*.dlq", "*-dlq", "*_dlq", "dlq.*", "dlq-*"),
    *("*-dead-letter*", "*.dead-letter*", "dead-letter*"),
)
_AFFIX = re.compile(r"[._-](dlt|dlq|dead-letter.*)$|^(dlq|dead-letter(-topic)?)[._-]", re.IGNORECASE)
# Spring wraps every failure of a listener in this; the cause is what people look for.
_WRAPPER = "org.springframework.kafka.listener.ListenerExecutionFailedException"


class Failure(Struct, frozen=True):
    """What a dead letter's headers say; `dialect` is the framework whose names they are. None where they do not say."""

    original_topic: str | None
    original_partition: int | None
    original_offset: int | None
    exception: str | None
    message: str | None
    dialect: str

    @property
    def text(self) -> str:
        """The failure in one line: "NullPointerException: no address"; empty when the headers name none."""
        short = (self.exception or "").rpartition(".")[2]
        return ": ".join(part for part in (short, self.message) if part)


class _Dialect(Struct, frozen=True):
    """The header names of one framework; of several exception headers the first that is there counts."""

    name: str
    topic: str
    partition: str
    offset: str
    exceptions: tuple[str, ...]
    messages: tuple[str, ...]


_DIALECTS = (
    # Spring Kafka, KafkaHeaders.DLT_*: partition and offset are binary.
    _Dialect(
        "spring",
        "kafka_dlt-original-topic",
        "kafka_dlt-original-partition",
        "kafka_dlt-original-offset",
        ("kafka_dlt-exception-fqcn", "kafka_dlt-key-exception-fqcn"),
        ("kafka_dlt-exception-message", "kafka_dlt-key-exception-message"),
    ),
    _Dialect(
        "spring-cloud-stream",
        "x-original-topic",
        "x-original-partition",
        "x-original-offset",
        ("x-exception-fqcn",),
        ("x-exception-message",),
    ),
    _Dialect(  # Kafka Connect, KIP-298
        "connect",
        "__connect.errors.topic",
        "__connect.errors.partition",
        "__connect.errors.offset",
        ("__connect.errors.exception.class.name",),
        ("__connect.errors.exception.message",),
    ),
    _Dialect(  # Kafka Streams, KIP-1034
        "streams",
        "__streams.errors.topic",
        "__streams.errors.partition",
        "__streams.errors.offset",
        ("__streams.errors.exception",),
        ("__streams.errors.message",),
    ),
    _Dialect(
        "smallrye",
        "dead-letter-topic",
        "dead-letter-partition",
        "dead-letter-offset",
        ("dead-letter-cause-class-name", "dead-letter-exception-class-name"),
        ("dead-letter-cause", "dead-letter-reason"),
    ),
)
_SPRING_CAUSE = "kafka_dlt-exception-cause-fqcn"
_BINARY = {
    f"{prefix}-original-{what}": width
    for prefix in ("kafka_dlt", "x")
    for what, width in (("partition", 4), ("offset", 8), ("timestamp", 8))
} | {"retry_topic-attempts": 4, "retry_topic-original-timestamp": 8, "retry_topic-backoff-timestamp": 8}
"""How many bytes wide the numbers are that Spring Kafka and Spring Cloud Stream write into headers."""

# What each framework adds to a record it gives up on; a Spring retry topic's counters would end the new try at once.
_ADDED = {
    "spring": ("kafka_dlt-", "retry_topic-", "springDeserializerException"),
    "spring-cloud-stream": ("x-original-", "x-exception-"),
    "connect": ("__connect.errors.",),
    "streams": ("__streams.errors.",),
    "smallrye": ("dead-letter-", "deserialization-failure-"),
}


def is_dead_letter_topic(name: str, patterns: Iterable[str] = ()) -> bool:
    """Whether a topic's name is one of a dead-letter topic: the usual ones in any case, and `patterns` as written."""
    lower = name.lower()
    return any(fnmatchcase(lower, p) for p in _NAMES) or any(fnmatchcase(name, p) for p in patterns)


def origin_by_name(name: str, names: Collection[str]) -> str | None:
    """The topic of a cluster that a dead-letter topic's name speaks of ("orders.DLT": orders), None when there is none.

    Only a guess for lists, that reads nothing: what a record's headers say counts.
    """
    bare = _AFFIX.sub("", name)
    return bare if bare != name and bare in names else None


def failure(headers: Iterable[tuple[str, bytes | None]]) -> Failure | None:
    """What the headers say about why a record was put aside; None when no known framework wrote any.

    A header written twice counts as it was written last, as consumers read it.
    """
    values = {name: value for name, value in headers if value is not None}
    for d in _DIALECTS:
        exception = _first(values, d.exceptions)
        if d.topic not in values and exception is None and _first(values, d.messages) is None:
            continue
        if exception == _WRAPPER and _SPRING_CAUSE in values:
            exception = _text(values[_SPRING_CAUSE])
        return Failure(
            _first(values, (d.topic,)),
            _number(values.get(d.partition), 4),
            _number(values.get(d.offset), 8),
            exception,
            _first(values, d.messages),
            d.name,
        )
    return None


def binary_number(name: str, raw: bytes | None) -> int | None:
    """The number in a header that Spring writes as big-endian bytes (partition, offset, timestamp, attempts).

    None for every other header, and where the value is decimal text, as other versions write it.
    """
    if raw is None or raw.isdigit() or len(raw) != _BINARY.get(name):
        return None
    number: int = struct.unpack(">i" if len(raw) == 4 else ">q", raw)[0]
    return number


def without_failure(
    headers: Iterable[tuple[str, bytes | None]], dialect: str | None
) -> tuple[tuple[str, bytes | None], ...]:
    """The headers without those that a dialect's framework added when it put the record aside, in their order."""
    added = _ADDED.get(dialect or "", ())
    return tuple((name, value) for name, value in headers if not (added and name.startswith(added)))


def _first(values: dict[str, bytes], names: tuple[str, ...]) -> str | None:
    return next((_text(values[name]) for name in names if name in values), None)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _number(value: bytes | None, width: int) -> int | None:
    """A number written as decimal text or as a big-endian integer; None when it is neither or is negative.

    Decimal digits win: read as an integer they would be an offset of 10^18.
    """
    if value is None:
        return None
    if value.isdigit() and len(value) <= 19:
        return int(value)
    if len(value) != width:
        return None
    number: int = struct.unpack(">i" if width == 4 else ">q", value)[0]
    return number if number >= 0 else None


__all__ = ["Failure", "binary_number", "failure", "is_dead_letter_topic", "origin_by_name", "without_failure"]
