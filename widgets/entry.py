"""The input line of prompts and dialogs."""

from __future__ import annotations

from textual import events
from textual.widgets import Input

from console.text import safe

MOST_TYPED = 2_000
"""The most characters that are typed or pasted."""


class Entry(Input):
    """One line without a frame; of what is pasted the first line is taken, made safe first."""

    DEFAULT_CSS = """
    Entry, Entry:focus {
        border: none;
        height: 1;
        padding: 0;
        background: transparent;
        background-tint: transparent;
    }
    """

    def __init__(self, value: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(value, id=id, classes=classes, compact=True, select_on_focus=False, max_length=MOST_TYPED)

    def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        lines = event.text.splitlines()
        if lines:
            start, end = sorted(self.selection)
            self.replace(safe(lines[0], MOST_TYPED), start, end)
