"""One message in full for the detail pane, and as text for the clipboard."""

from __future__ import annotations

from console import text
from console.decode.unwrap import unwrap
from console.kafka.deadletter import binary_number
from console.model import Message
from widgets.detail import Body, Facts, Section


def sections(message: Message) -> tuple[Section, ...]:
    """Where it is, what failed, its body, headers and attributes. Bytes stay raw: the pane makes them safe."""
    rows: list[tuple[str, str | None] | tuple[str, str | None, str]] = [("id", message.id)]
    if message.partition is not None:
        rows.append(("partition", str(message.partition)))
    if message.offset is not None:
        rows.append(("offset", f"{message.offset:,}"))
    rows.append(("time", text.utc(message.timestamp, millis=True) if message.timestamp is not None else None))
    if message.receive_count is not None:
        rows.append(("received", text.plural(message.receive_count, "time")))
    if message.group_id is not None:
        rows.append(("group", message.group_id))
    if message.error:
        rows.append(("error", message.error, "$warn"))
    found: list[Section] = [Facts("", tuple(rows))]
    if message.key is not None:
        found.append(Body("key", message.key))
    none = "no value" if message.offset is None else "a tombstone: no value"
    size = text.size(len(message.value)) if message.value is not None else none
    inside = unwrap(message.value)
    if inside is not None:
        rows = [(layer.name, layer.note or "opened") for layer in inside.layers]
        found.append(Facts("unwrapped", tuple(rows)))
        more = ", the rest is not unpacked" if inside.cut else ""
        found.append(Body("what is inside", inside.value, text.size(len(inside.value)) + more))
    found.append(Body("value" if inside is None else "value as it is moved", message.value, size))
    if message.headers:
        found.append(Facts("headers", tuple((name, _header(name, value)) for name, value in message.headers)))
    if message.attributes:
        found.append(Facts("attributes", tuple((name, _shown(value)) for name, value in message.attributes)))
    return tuple(found)


def _header(name: str, value: bytes | None) -> str | None:
    """A header as text; a binary number of a dead letter as that number, a time as a time too."""
    number = binary_number(name, value)
    if number is None:
        return _shown(value)
    if name.endswith("-timestamp"):
        return f"{number} ({text.utc(number / 1000, millis=True)})"
    return str(number)


def _shown(value: str | bytes | None) -> str | None:
    return None if value is None else text.block(value, 20_000)


def copied(message: Message) -> str:
    """A message's value as text for the clipboard; what is not UTF-8 is spelt out."""
    return "" if message.value is None else message.value.decode("utf-8", "backslashreplace")


def haystack(message: Message) -> str:
    """What `/` looks through in a message: key, value, headers, error (the first part of each)."""
    parts = [message.id, message.error or "", message.group_id or ""]
    parts += [part.decode("utf-8", "replace")[:4_000] for part in (message.key, message.value) if part is not None]
    for name, value in (*message.headers, *message.attributes):
        shown = value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
        parts.append(f"{name} {shown[:400]}")
    return " ".join(parts).casefold()
