"""CEL over records: `key value headers partition offset timestamp`, compiled once; the same for every command.

`value` is the parsed value where it is JSON, else text, else bytes; `headers` has the last value of each name. What an
expression does not name is not even looked at: that is what makes a filter quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from console.errors import UsageError
from console.model import Message
from console.ops.expression import FAILURES, compiled, failure_of, yes

VARIABLES = ("headers", "key", "offset", "partition", "timestamp", "value")
_JSON = frozenset(b'{["-0123456789tfn \t\r\n')


class RecordExpression:
    """A compiled CEL expression over a record; for one thread at a time. `option` names it in errors."""

    def __init__(self, source: str, option: str = "--where") -> None:
        """Compile it. Raises `UsageError` for what is not CEL, and for names that a record does not have."""
        try:
            program, names, unknown = compiled(source, VARIABLES)
        except ValueError as error:
            raise UsageError(f"{option} {source!r} is not a CEL expression: {error}") from None
        if unknown:
            known = ", ".join(VARIABLES)
            raise UsageError(f"{option} {source!r} uses {', '.join(unknown)}, but a record has: {known}")
        self.source = source
        self.execute: Callable[[dict[str, Any]], Any] = program.execute
        self.readers = [(name, _READERS[name]) for name in names]
        self._own = [(name, _OWN[name]) for name in names]

    def of_record(self, record: Any) -> Any:
        """Its value for a record of confluent-kafka. Raises one of `FAILURES` where it does not fit."""
        return self.execute({name: read(record) for name, read in self.readers})

    def of_message(self, message: Message) -> Any:
        """Its value for a record in our own form. Raises one of `FAILURES` where it does not fit."""
        return self.execute({name: read(message) for name, read in self._own})


class RecordWhere:
    """A compiled filter over records; for one thread at a time.

    `errors` counts the records it could not be applied to (no such field): they are not selected.
    """

    def __init__(self, source: str, option: str = "--where") -> None:
        """Compile it. Raises `UsageError` for what is not CEL, and for names that a record does not have."""
        self._expression = expression = RecordExpression(source, option)
        # Looked up once: this is called for every record of a scan.
        self._execute, self._readers = expression.execute, expression.readers
        self.source = source
        self.errors = 0
        self.first_error = ""

    def __call__(self, record: Any) -> bool:
        """Whether a record of confluent-kafka is selected."""
        try:
            return yes(self._execute({name: read(record) for name, read in self._readers}))
        except FAILURES as error:
            self._failed(error)
            return False

    def record(self, record: Any) -> bool | None:
        """Whether a record of confluent-kafka is selected, None where the filter could not be applied to it."""
        try:
            return yes(self._execute({name: read(record) for name, read in self._readers}))
        except FAILURES as error:
            self._failed(error)
            return None

    def message(self, message: Message) -> bool | None:
        """The same for a record in our own form."""
        try:
            return yes(self._expression.of_message(message))
        except FAILURES as error:
            self._failed(error)
            return None

    def _failed(self, error: Exception) -> None:
        self.errors += 1
        self.first_error = self.first_error or failure_of(error)

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
            return text_of(raw)
    return text_of(raw)


def text_of(raw: bytes | None) -> str | bytes | None:
    """Text where the bytes are UTF-8, else the bytes."""
    if raw is None:
        return None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def headers_by_name(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, Any]:
    """Headers by name; the last of a name counts, as it does for Kafka's `lastHeader`."""
    return {name: header_value(name, value) for name, value in headers}


def _headers(record: Any) -> dict[str, Any]:
    from console.kafka.browse import headers_of

    return headers_by_name(headers_of(record))


def header_value(name: str, raw: bytes | None) -> str | bytes | int | None:
    """A header as text, else bytes. Spring's binary numbers (partition, offset, timestamp) are numbers."""
    from console.kafka.deadletter import binary_number

    number = binary_number(name, raw)
    return text_of(raw) if number is None else number


def _timestamp(record: Any) -> datetime | None:
    kind, milliseconds = record.timestamp()
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if kind else None


_READERS: dict[str, Callable[[Any], Any]] = {
    "headers": _headers,
    "key": lambda record: text_of(record.key()),
    "offset": lambda record: record.offset(),
    "partition": lambda record: record.partition(),
    "timestamp": _timestamp,
    "value": lambda record: value_of(record.value()),
}
_OWN: dict[str, Callable[[Message], Any]] = {
    "headers": lambda message: headers_by_name(message.headers),
    "key": lambda message: text_of(message.key),
    "offset": lambda message: message.offset,
    "partition": lambda message: message.partition,
    "timestamp": lambda m: None if m.timestamp is None else datetime.fromtimestamp(m.timestamp, UTC),
    "value": lambda message: value_of(message.value),
}
