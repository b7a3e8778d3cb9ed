"""`--where` over records: a CEL expression on `key value headers partition offset timestamp`, compiled once.

`value` is the parsed value where it is JSON, else text, else bytes; `headers` has the last value of each name. What an
expression does not name is not even looked at: that is what makes a filter quick.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from console.errors import UsageError

VARIABLES = ("headers", "key", "offset", "partition", "timestamp", "value")
_JSON = frozenset(b'{["-0123456789tfn \t\r\n')


class RecordWhere:
    """A compiled filter over confluent-kafka's records; for one thread at a time.

    `errors` counts the records it could not be applied to (no such field): they are not selected.
    """

    def __init__(self, source: str) -> None:
        """Compile it. Raises `UsageError` for what is not CEL, and for names that a record does not have."""
        # Loaded here: the library brings a command line of its own with it, which only a filter should cost.
        import cel

        try:
            program = cel.compile(source)
            names = list(program.variables())
        except ValueError as error:
            said = " ".join(str(error).split())
            raise UsageError(f"--where {source!r} is not a CEL expression: {said[:300]}") from None
        unknown = [name for name in names if name not in VARIABLES]
        if unknown:
            raise UsageError(f"--where {source!r} uses {', '.join(unknown)}, but a record has: {', '.join(VARIABLES)}")
        self.source = source
        self.errors = 0
        self.first_error = ""
        self._execute: Callable[[dict[str, Any]], Any] = program.execute
        self._readers = [(name, _READERS[name]) for name in names]

    def __call__(self, record: Any) -> bool:
        """Whether a record is selected."""
        try:
            return self._execute({name: read(record) for name, read in self._readers}) is True
        except (ValueError, TypeError, KeyError, RuntimeError, IndexError, OverflowError) as error:
            self.errors += 1
            self.first_error = self.first_error or f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            return False

    @property
    def note(self) -> str:
        """What to tell about records the filter could not be applied to; "" when there were none."""
        return f"the filter could not be applied to {self.errors:,}: {self.first_error}" if self.errors else ""


def value_of(raw: bytes | None) -> Any:
    """The value of JSON, else text, else the bytes; None for a tombstone."""
    if raw and raw[0] in _JSON:
        import msgspec

        try:
            return msgspec.json.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _text(raw)
    return _text(raw)


def _text(raw: bytes | None) -> str | bytes | None:
    if raw is None:
        return None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def _headers(record: Any) -> dict[str, Any]:
    from console.kafka.browse import headers_of

    return {name: header_value(name, value) for name, value in headers_of(record)}


def header_value(name: str, raw: bytes | None) -> str | bytes | int | None:
    """A header as text, else bytes. Spring's binary numbers (partition, offset, timestamp) are numbers."""
    if raw is not None and name.startswith("kafka_dlt-original-") and len(raw) in (4, 8):
        last = name.rpartition("-")[2]
        if (last, len(raw)) in (("partition", 4), ("offset", 8), ("timestamp", 8)):
            number: int = struct.unpack(">i" if len(raw) == 4 else ">q", raw)[0]
            return number
    return _text(raw)


def _timestamp(record: Any) -> datetime | None:
    kind, milliseconds = record.timestamp()
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if kind else None


_READERS: dict[str, Callable[[Any], Any]] = {
    "headers": _headers,
    "key": lambda record: _text(record.key()),
    "offset": lambda record: record.offset(),
    "partition": lambda record: record.partition(),
    "timestamp": _timestamp,
    "value": lambda record: value_of(record.value()),
}
