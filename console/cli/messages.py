"""Messages as lines of a table, the same for topic records, queue messages and dead letters."""

from __future__ import annotations

from console import text
from console.cli.output import Column
from console.decode.unwrap import unwrap
from console.model import Message

VALUE_LIMIT = 2_000


def _place(m: Message) -> str:
    return m.id if m.offset is None else f"{m.partition}/{m.offset}"


def _key(m: Message) -> str:
    if m.key is not None:
        return text.safe(m.key, 200)
    return m.group_id or text.DASH


def _value(m: Message) -> str:
    """What a value holds, whatever it is wrapped in: the wrappings are named before it."""
    inside = unwrap(m.value)
    if inside is None:
        return text.DASH if m.value is None else text.safe(m.value, VALUE_LIMIT)
    notes = ", ".join(layer.note for layer in inside.layers if layer.note)
    head = text.safe(f"[{inside.path}{': ' + notes if notes else ''}] ", 400)
    return head + text.safe(inside.value, VALUE_LIMIT)


MESSAGE_COLUMNS: tuple[Column[Message], ...] = (
    Column("id", _place, least=8),
    Column("time", lambda m: text.utc(m.timestamp, millis=True), drop=2),
    Column("key", _key, least=8, drop=1),
    Column("receives", lambda m: text.count(m.receive_count), "right", drop=4),
    Column("error", lambda m: m.error or text.DASH, least=12, drop=3),
    Column("value", _value, least=16),
)
