"""The top line: where one is, how the connections are, how old the picture is, whether changes are possible."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.cells import cell_len
from rich.text import Text
from textual.message import Message

from console.model import Severity
from console.text import clip, duration, safe, utc
from widgets.line import Line
from widgets.paint import SIGNS, STYLES


@dataclass(frozen=True, slots=True)
class Health:
    """One connection in a few words ("kafka 3/3"), with how loud it is."""

    text: str
    severity: Severity = Severity.OK


@dataclass(frozen=True, slots=True)
class Top:
    """What the top line says. `seen_at` is when the picture was taken (epoch seconds), None before the first one."""

    path: tuple[str, ...] = ()
    health: tuple[Health, ...] = ()
    seen_at: float | None = None
    read_only: bool = False


class Crumbs(Line):
    """The top line. It looks at the clock itself once a second; `clock` returns epoch seconds.

    When it is narrow the clock goes first, then the age (unless the picture is stale), the mode, healthy connections,
    and the middle of the path.
    """

    DEFAULT_CSS = """
    Crumbs {
        dock: top;
        background: $panel;
        color: $foreground;
    }
    """

    class Clicked(Message):
        """A crumb was clicked: `depth` is its place in the path, 0 the first."""

        def __init__(self, crumbs: Crumbs, depth: int) -> None:
            super().__init__()
            self.crumbs = crumbs
            self.depth = depth

        @property
        def control(self) -> Crumbs:
            """The line that sent it."""
            return self.crumbs

    def __init__(
        self,
        brand: str = "",
        *,
        stale_after: float = 15.0,
        clock: Callable[[], float] = time.time,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._brand = brand
        self._stale_after = stale_after
        self._clock = clock
        self._top = Top()
        self._spots: list[tuple[int, int, int]] = []

    @property
    def top(self) -> Top:
        """What is shown now."""
        return self._top

    def show(self, top: Top) -> None:
        """Shows this from now on."""
        self._top = top
        self.refresh()

    def set(self, **changes: Any) -> None:
        """Changes some fields of what is shown (see `Top`)."""
        self.show(replace(self._top, **changes))

    def on_mount(self) -> None:
        """Starts looking at the clock."""
        self.set_interval(1.0, self.refresh)

    def line(self, width: int) -> Text:
        """Brand and path at the left, the rest at the right, less of it when narrow."""
        brand = f" {safe(self._brand)} " if self._brand else ""
        path = [safe(part, 200) for part in self._top.path]
        right = self._right()
        room = width - cell_len(brand) - 1
        gap = 3
        while right and _width(right, gap) + 2 + _path_width(path) > room:
            least = min(rank for rank, _ in right)
            if gap > 2:
                gap = 2
            elif least < _KEEP:
                right, gap = [part for part in right if part[0] != least], 3
            else:
                break
        space = room - (_width(right, gap) + 2 if right else 0)
        text = Text(no_wrap=True, end="")
        text.append(brand, "bold $background on $primary")
        text.append(" ")
        self._write_path(text, path, max(8, space))
        text.append(" " * max(1, width - cell_len(text.plain) - _width(right, gap)))
        for index, (_, part) in enumerate(right):
            if index:
                text.append(" " * gap)
            text.append_text(part)
        text.append(" ")
        return text

    def _right(self) -> list[tuple[int, Text]]:
        """The parts at the right with how long each is kept: the lowest rank goes first."""
        now = self._clock()
        top = self._top
        parts: list[tuple[int, Text]] = []
        for health in top.health:
            bad = health.severity >= Severity.WARN
            sign = "●" if health.severity is Severity.OK else SIGNS[health.severity]
            text = Text.assemble((safe(health.text, 60), "$error" if bad else "$text-muted"), " ")
            text.append(sign, STYLES[health.severity])
            parts.append((_KEEP if bad else 4, text))
        if top.seen_at is not None:
            age = max(0.0, now - top.seen_at)
            stale = age > self._stale_after
            words = f"{age:.1f} s ago" if age < 10 else f"{duration(age)} ago"
            parts.append((_KEEP, Text(f"▲ {words}", "bold $warning")) if stale else (2, Text(words, "$text-muted")))
        parts.append((3, Text("read-only" if top.read_only else "read-write", "$text-muted")))
        parts.append((1, Text(utc(now)[11:], "$text-muted")))
        return parts

    def _write_path(self, text: Text, path: Sequence[str], space: int) -> None:
        """Writes the crumbs into `space` cells, leaving out the middle, and notes where each one is."""
        shown = list(enumerate(path))
        while len(shown) > 2 and _path_width([part for _, part in shown]) + 4 > space:
            del shown[1]
        cut = len(shown) < len(path)
        self._spots = []
        base = cell_len(text.plain)
        for place, (depth, part) in enumerate(shown):
            if place:
                text.append(" › ", "$text-muted")
                if cut and place == 1:
                    text.append("… › ", "$text-muted")
            last = place == len(shown) - 1
            start = cell_len(text.plain)
            left = space - (start - base)
            text.append(clip(part, max(4, left)), "bold" if last else "")
            self._spots.append((start, cell_len(text.plain), depth))

    def on_click(self, event: Any) -> None:
        """Posts which crumb was clicked."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        for start, end, depth in self._spots:
            if start <= offset.x < end:
                event.stop()
                self.post_message(self.Clicked(self, depth))


_KEEP = 9


def _width(parts: Sequence[tuple[int, Text]], gap: int) -> int:
    return sum(cell_len(part.plain) for _, part in parts) + gap * max(0, len(parts) - 1) + 1


def _path_width(path: Sequence[str]) -> int:
    return sum(cell_len(part) for part in path) + 3 * max(0, len(path) - 1)
