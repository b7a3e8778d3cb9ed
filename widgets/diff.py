"""Cells that show a change: old → new, and how many records it replays or skips."""

from __future__ import annotations

from rich.text import Text

from console.text import DASH, count, safe

REPLAYED = "↺"
SKIPPED = "⇥"
UNCHANGED = "="


def change(old: int | str | None, new: int | str | None) -> Text:
    """ "18,204 → 12,000": old muted, new bold; a value that stays is muted alone, without an arrow."""
    before, after = _word(old), _word(new)
    if before == after:
        return Text(before, "$text-muted", no_wrap=True, end="")
    text = Text(no_wrap=True, end="")
    text.append(before, "$text-muted")
    text.append(" → ", "$text-muted")
    text.append(after, "bold")
    return text


def moved(old: int | None, new: int | None) -> Text:
    """What moving a position from `old` to `new` means for records: "↺ 6,204 replayed", "⇥ 300 skipped", "= unchanged".

    Skipped records are drawn as a warning: they will not be read. A dash when either is unknown.
    """
    if old is None or new is None:
        return Text(DASH, "$text-muted", no_wrap=True, end="")
    if new < old:
        return Text(f"{REPLAYED} {count(old - new)} replayed", "$primary", no_wrap=True, end="")
    if new > old:
        return Text(f"{SKIPPED} {count(new - old)} skipped", "$warning", no_wrap=True, end="")
    return Text(f"{UNCHANGED} unchanged", "$text-muted", no_wrap=True, end="")


def _word(value: int | str | None) -> str:
    if value is None:
        return DASH
    return safe(value) if isinstance(value, str) else count(value)
