"""`--where`: a CEL expression over a queue's message, compiled once.

It sees `body` (the parsed value of a JSON body, else the text), `inner` (the same of what lies inside: unpacked, out of
its envelopes), `attributes` (message and system attributes by name), `receive_count`, `group_id`, `id`, `error` (the
failure) and `source` (the queue it was dead-lettered from; both "" where they are not told), `sent`, `first_received`
and `now` (timestamps). What an expression does not name is not worked out.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from console.decode.unwrap import unwrap
from console.errors import UsageError
from console.model import Message
from console.ops.expression import FAILURES, compiled, failure_of, yes
from console.sqs.peek import to_message
from console.sqs.receive import Received

VARIABLES = (
    "attributes", "body", "error", "first_received", "group_id", "id", "inner", "now", "receive_count", "sent",
    "source",
)  # fmt: skip


class Where:
    """A compiled filter. Safe to use from several threads."""

    def __init__(self, source: str) -> None:
        """Compile it. Raises `UsageError` for what is not CEL, and for names that a message does not have."""
        try:
            program, used, unknown = compiled(source, VARIABLES)
        except ValueError as error:
            raise UsageError(f"--where {source!r} is not a CEL expression: {error}") from None
        if unknown:
            known = ", ".join(VARIABLES)
            raise UsageError(f"--where {source!r} uses {', '.join(unknown)}, but a message has: {known}")
        self._used = used
        self.source = source
        self._execute: Callable[[dict[str, Any]], Any] = program.execute
        self._lock = threading.Lock()
        self.errors = 0
        self.first_error = ""

    def __call__(self, message: Received) -> bool:
        """Whether a message is selected. One the filter cannot be applied to (no such field) is not, and is counted."""
        return self._selected(lambda: variables(message, self._used))

    def message(self, message: Message) -> bool:
        """The same for a message in our own form (what a look has read)."""
        return self._selected(lambda: _of_message(message, self._used))

    @property
    def note(self) -> str:
        """What to tell about messages the filter could not be applied to; "" when there were none."""
        first = self.first_error.partition(". ")[0]  # what CEL adds after its first sentence is a lesson on CEL
        return f"the filter could not be applied to {self.errors:,}: {first}" if self.errors else ""

    def _selected(self, seen: Callable[[], dict[str, Any]]) -> bool:
        try:
            return yes(self._execute(seen()))
        except FAILURES as error:
            with self._lock:
                self.errors += 1
                self.first_error = self.first_error or failure_of(error)
            return False


def variables(message: Received, used: Sequence[str] = VARIABLES) -> dict[str, Any]:
    """What a filter sees of a leased message: those of the variables that it uses."""
    return _of_message(to_message("", message), used)


def _of_message(message: Message, used: Sequence[str]) -> dict[str, Any]:
    return {name: _READERS[name](message) for name in used}


def _inner(message: Message) -> Any:
    inside = unwrap(message.value)
    return _body(message.value if inside is None else inside.value)


def _body(raw: bytes | None) -> Any:
    if raw is None:
        return None
    try:
        return body_of(raw.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        return raw


def _first_received(message: Message) -> datetime | None:
    millis = dict(message.attributes).get("ApproximateFirstReceiveTimestamp")
    return _time(int(millis) / 1000) if isinstance(millis, str) and millis.isdigit() else None


def _source(message: Message) -> str:
    arn = dict(message.attributes).get("DeadLetterQueueSourceArn")
    return arn.rsplit(":", 1)[-1] if isinstance(arn, str) else ""


def _time(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


_READERS: dict[str, Callable[[Message], Any]] = {
    # Message attributes stand before the system's, and win where both have a name.
    "attributes": lambda message: dict(reversed(message.attributes)),
    "body": lambda message: _body(message.value),
    "error": lambda message: message.error or "",
    "first_received": _first_received,
    "group_id": lambda message: message.group_id,
    "id": lambda message: message.id,
    "inner": _inner,
    "now": lambda message: datetime.now(UTC),
    "receive_count": lambda message: message.receive_count,
    "sent": lambda message: _time(message.timestamp),
    "source": _source,
}


def body_of(text: str) -> Any:
    """The value of a JSON body, else the text itself."""
    if text[:1] in '{["-0123456789tfn \t\r\n':
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text
