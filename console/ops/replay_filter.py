"""`--where` over Kafka records: a CEL expression, compiled once.

It sees `key` and `value` (text where UTF-8, else bytes; the value parsed where it is JSON), `headers` (by name, the
last of a name), `partition`, `offset` and `timestamp`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from console.errors import UsageError
from console.model import Message
from console.ops.redrive_filter import body_of

VARIABLES = ("headers", "key", "offset", "partition", "timestamp", "value")

_FAILURES = (ValueError, TypeError, KeyError, RuntimeError, IndexError, OverflowError, UnicodeError)


class RecordWhere:
    """A compiled filter: True for a selected record, False for another, None where it could not be applied.

    Only what the expression names is decoded. To be used by one thread.
    """

    def __init__(self, source: str) -> None:
        """Compile it. Raises `UsageError` for what is not CEL, and for names that a record does not have."""
        # Loaded here: the library brings a command line of its own with it, which only a filter should cost.
        import cel

        try:
            program = cel.compile(source)
            used = set(program.variables())
        except ValueError as error:
            said = " ".join(str(error).split())
            raise UsageError(f"--where {source!r} is not a CEL expression: {said[:300]}") from None
        if unknown := sorted(used - set(VARIABLES)):
            known = ", ".join(VARIABLES)
            raise UsageError(f"--where {source!r} uses {', '.join(unknown)}, but a record has: {known}")
        self.source = source
        self.first_error = ""
        self._used = used
        self._execute: Callable[[dict[str, Any]], Any] = program.execute

    def record(self, record: Any) -> bool | None:
        """Whether a record of confluent-kafka is selected."""
        used = self._used
        try:
            seen: dict[str, Any] = {}
            if "key" in used:
                seen["key"] = text_of(record.key())
            if "value" in used:
                seen["value"] = value_of(record.value())
            if "headers" in used:
                seen["headers"] = headers_of(record.headers() or ())
            if "partition" in used:
                seen["partition"] = record.partition()
            if "offset" in used:
                seen["offset"] = record.offset()
            if "timestamp" in used:
                kind, milliseconds = record.timestamp()
                seen["timestamp"] = datetime.fromtimestamp(milliseconds / 1000, UTC) if kind else None
            return self._execute(seen) is True
        except (*_FAILURES, OSError) as error:
            self._failed(error)
            return None

    def message(self, message: Message) -> bool | None:
        """Whether a record in our own form is selected."""
        at = message.timestamp
        try:
            seen = {
                "key": text_of(message.key),
                "value": value_of(message.value) if "value" in self._used else None,
                "headers": headers_of(message.headers),
                "partition": message.partition,
                "offset": message.offset,
                "timestamp": None if at is None else datetime.fromtimestamp(at, UTC),
            }
            return self._execute(seen) is True
        except (*_FAILURES, OSError) as error:
            self._failed(error)
            return None

    def _failed(self, error: Exception) -> None:
        self.first_error = self.first_error or f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def text_of(raw: bytes | None) -> str | bytes | None:
    """Text where the bytes are UTF-8, else the bytes."""
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def value_of(raw: bytes | None) -> Any:
    """The parsed value where it is JSON, text where it is UTF-8, else the bytes; None for a tombstone."""
    text = text_of(raw)
    return body_of(text) if isinstance(text, str) else text


def headers_of(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str | bytes | None]:
    """Headers by name; the last of a name counts, as it does for Kafka's `lastHeader`."""
    return {name: text_of(value) for name, value in headers}
