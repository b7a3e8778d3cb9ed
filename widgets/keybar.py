"""The footer: which keys act here, as many as there is room for, the most important first to stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.message import Message

from console.text import safe
from widgets.line import Line


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the footer. `rank` says how long it stays when the line is narrow: the highest the longest.

    A key that is not `enabled` is drawn dim and cannot be clicked.
    """

    action: str
    key: str
    label: str
    rank: int = 0
    enabled: bool = True


class KeyBar(Line):
    """The footer line of keys; a click on one posts `Pressed` with its action."""

    DEFAULT_CSS = """
    KeyBar {
        dock: bottom;
        background: $panel;
        color: $foreground;
    }
    """

    class Pressed(Message):
        """A key of the footer was clicked; `action` is the id it was given."""

        def __init__(self, bar: KeyBar, action: str) -> None:
            super().__init__()
            self.bar = bar
            self.action = action

        @property
        def control(self) -> KeyBar:
            """The footer that sent it."""
            return self.bar

    def __init__(self, keys: Sequence[Key] = (), *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._keys = tuple(keys)
        self._spots: list[tuple[int, int, Key]] = []

    def show(self, keys: Sequence[Key]) -> None:
        """Shows these keys, in this order."""
        self._keys = tuple(keys)
        self.refresh()

    def fitting(self, width: int) -> tuple[Key, ...]:
        """The keys that have room on a line of so many cells, in order; of equal rank the last goes first."""
        kept = list(self._keys)
        while kept and _total(kept) > width:
            least = min(key.rank for key in kept)
            kept.remove([key for key in kept if key.rank == least][-1])
        return tuple(kept)

    def line(self, width: int) -> Text:
        """The keys and their labels."""
        text = Text(" ", no_wrap=True, end="")
        self._spots = []
        for index, key in enumerate(self.fitting(width)):
            if index:
                text.append(" " * _GAP)
            start = cell_len(text.plain)
            text.append(safe(key.key, 20), "bold $primary" if key.enabled else "$text-disabled")
            text.append(" ")
            text.append(safe(key.label, 60), "$text-muted" if key.enabled else "$text-disabled")
            self._spots.append((start, cell_len(text.plain), key))
        return text

    def on_click(self, event: events.Click) -> None:
        """Posts the action of the key under the mouse."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        for start, end, key in self._spots:
            if start <= offset.x < end and key.enabled:
                event.stop()
                self.post_message(self.Pressed(self, key.action))


_GAP = 3


def _total(keys: Sequence[Key]) -> int:
    return 2 + sum(cell_len(safe(k.key, 20)) + 1 + cell_len(safe(k.label, 60)) for k in keys) + _GAP * (len(keys) - 1)
