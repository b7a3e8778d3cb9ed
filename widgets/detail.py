"""A scrollable pane about one thing: labelled facts and bodies, of any size, drawn line by line."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.cells import cell_len
from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from console.text import DASH, safe
from widgets.body import MUTED, Piece, View, best_view, rows, wrapped
from widgets.paint import Palette, pieces

_MARGIN = 1
_FIRST_LINES = 120
_MOST_LINES = 100_000
_SLICE = 0.008
_PAUSE = 0.001
_SIDEWAYS = 8
_WIDEST_LABEL = 28


@dataclass(frozen=True, slots=True)
class Facts:
    """Labelled values under a heading (none when the title is empty). A value is text, or `None` for unknown.

    The third part of a row, where there is one, is the style word its value is drawn in; `label_style` that of labels.
    """

    title: str
    rows: tuple[tuple[str, str | None] | tuple[str, str | None, str], ...]
    label_style: str = MUTED


@dataclass(frozen=True, slots=True)
class Body:
    """Raw content under a heading: a message's value, a key, a header; `note` is a remark beside the title."""

    title: str
    raw: bytes | str | None
    note: str = ""


Section = Facts | Body


class Detail(ScrollView, can_focus=True):
    """Shows sections one under the other. `w` wraps long lines or not, `v` changes between pretty, raw and hex.

    The first lines are laid out at once, the rest in slices of a few milliseconds between other events.
    """

    DEFAULT_CSS = """
    Detail {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        background: $background;
        color: $foreground;
    }
    Detail > .detail--placeholder { color: $text-muted; }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"detail--placeholder"}

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "lines(-1)", "up", show=False),
        Binding("down,j", "lines(1)", "down", show=False),
        Binding("g,home", "top", "top", show=False),
        Binding("G,end", "bottom", "end", show=False),
        Binding("pageup", "pages(-1.0)", "page up", show=False),
        Binding("pagedown", "pages(1.0)", "page down", show=False),
        Binding("ctrl+u", "pages(-0.5)", "half a page up", show=False),
        Binding("ctrl+d", "pages(0.5)", "half a page down", show=False),
        Binding("left", "sideways(-1)", "left", show=False),
        Binding("right", "sideways(1)", "right", show=False),
        Binding("w", "wrap", "wrap", show=False),
        Binding("v", "view", "view", show=False),
    ]

    class Changed(Message):
        """Wrapping or the view has changed."""

        def __init__(self, detail: Detail) -> None:
            super().__init__()
            self.detail = detail

        @property
        def control(self) -> Detail:
            """The pane that sent it."""
            return self.detail

    def __init__(self, *, placeholder: str = "", id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._placeholder = placeholder
        self._sections: tuple[Section, ...] = ()
        self._key: str | None = None
        self._wrap = True
        self._view: Literal["auto", "raw", "hex"] = "auto"
        self._lines: list[list[Piece]] = []
        self._source: Iterator[list[Piece]] | None = None
        self._width = -1
        self._left = 0
        self._generation = 0
        self._palette: Palette | None = None

    # ------------------------------------------------------------ what is shown

    @property
    def sections(self) -> tuple[Section, ...]:
        """What is shown now."""
        return self._sections

    @property
    def wraps(self) -> bool:
        """Whether long lines are wrapped."""
        return self._wrap

    @property
    def view(self) -> Literal["auto", "raw", "hex"]:
        """How bodies are shown; "auto" is what suits each."""
        return self._view

    def show(self, sections: Sequence[Section], key: str | None = None) -> None:
        """Shows these sections. With the key it had before the scroll position stays, else it starts at the top."""
        same = key is not None and key == self._key
        if same and tuple(sections) == self._sections:
            return
        self._sections = tuple(sections)
        self._key = key
        self._lay_out(keep=same)

    def plain(self) -> str:
        """All lines laid out so far, as displayed."""
        return "\n".join(_plain(line) for line in self._lines)

    def _lay_out(self, keep: bool = False) -> None:
        """Starts the lines anew for the present width, wrapping and view."""
        self._generation += 1
        top = round(self.scroll_y) if keep else 0
        self._lines = []
        self._left = 0
        self._width = self.scrollable_content_region.width
        if self._width <= 0:
            self._source = None
            return
        self._source = self._all_lines(self._width - 2 * _MARGIN)
        self._pull(top + _FIRST_LINES, None)
        self.scroll_to(y=top, animate=False, force=True)
        self.refresh()
        if self._source is not None:
            self._pull_later(self._generation)

    def _pull(self, lines: int, seconds: float | None) -> None:
        """Lays out until there are so many lines or the time is over."""
        until = None if seconds is None else time.monotonic() + seconds
        source = self._source
        while source is not None and len(self._lines) < lines:
            line = next(source, None)
            if line is None:
                self._source = source = None
            else:
                self._lines.append(line)
                if until is not None and not len(self._lines) % 64 and time.monotonic() > until:
                    break
        if source is not None and len(self._lines) >= _MOST_LINES:
            self._lines.append([(f"… not all is shown: {_MOST_LINES:,} lines are", MUTED)])
            self._source = None
        self.virtual_size = Size(1, len(self._lines))

    def _pull_later(self, generation: int) -> None:
        # A timer, for the pump runs callbacks one after the other without letting the event loop in between.
        self.set_timer(_PAUSE, lambda: self._pull_more(generation))

    def _pull_more(self, generation: int) -> None:
        if generation != self._generation or self._source is None:
            return
        self._pull(_MOST_LINES, _SLICE)
        if self._source is not None:
            self._pull_later(generation)

    def _all_lines(self, width: int) -> Iterator[list[Piece]]:
        for index, section in enumerate(self._sections):
            if index:
                yield []
            if isinstance(section, Facts):
                yield from self._facts(section, width)
            else:
                yield from self._body(section, width)

    def _facts(self, facts: Facts, width: int) -> Iterator[list[Piece]]:
        if facts.title:
            yield _heading(facts.title, "", width)
        labels = [safe(row[0], _WIDEST_LABEL) for row in facts.rows]
        column = max((cell_len(label) for label in labels), default=0) + 2
        for label, row in zip(labels, facts.rows, strict=True):
            value = row[1]
            style = row[2] if len(row) > 2 else ""
            first = [(label + " " * (column - cell_len(label)), facts.label_style)]
            if value is None:
                yield [*first, (DASH, MUTED)]
                continue
            lines = value.replace("\r\n", "\n").split("\n")
            for number, line in enumerate(lines):
                head = first if not number else [(" " * column, "")]
                yield from wrapped([*head, (line.replace("\t", "    "), style)], width, self._wrap, column, words=True)

    def _body(self, body: Body, width: int) -> Iterator[list[Piece]]:
        view: View = best_view(body.raw) if body.raw and self._view == "auto" else _plain_view(self._view)
        note = body.note
        if body.raw:
            note = f"{note}  {view}" if note else view
        yield _heading(body.title, note, width)
        for row in rows(body.raw, view, width):
            indent = len(row[0][0]) + 2 if view == "pretty" and row and not row[0][0].strip() else 0
            yield from wrapped(row, width, self._wrap, indent)

    # ------------------------------------------------------------ drawing

    def notify_style_update(self) -> None:
        """Forgets colours when the theme or the classes change."""
        self._palette = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        """One line of the pane."""
        width = self.scrollable_content_region.width
        if self._palette is None:
            self._palette = Palette(self.app.theme_variables, self.rich_style)
        palette = self._palette
        base = palette.base
        index = y + round(self.scroll_y)
        if index >= len(self._lines):
            if y == 0 and not self._sections and self._placeholder:
                style = self.get_component_rich_style("detail--placeholder")
                words = Segment(" " * _MARGIN + safe(self._placeholder, width), style)
                return Strip([words]).adjust_cell_length(width, base)
            return Strip.blank(width, base)
        text = Text(no_wrap=True, end="")
        for part, style_word in self._lines[index]:
            text.append(part, style_word)
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(index)) is not None:
            start, end = span
            text.stylize(
                self.screen.get_component_rich_style("screen--selection"), start, len(text) if end == -1 else end
            )
        strip = Strip(pieces(text, palette, base))
        if self._left:
            strip = strip.crop(self._left)
        strip = strip.apply_offsets(self._left, index)
        margin = Segment(" " * _MARGIN, base)
        if strip.cell_length > width - 2 * _MARGIN:
            strip = strip.crop(0, max(0, width - 2 * _MARGIN))
        return Strip([margin, *strip]).adjust_cell_length(width, base)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text under a mouse selection, as displayed."""
        return selection.extract(self.plain()), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Draws the selection."""
        self.refresh()

    def _on_resize(self, event: events.Resize) -> None:
        if self.scrollable_content_region.width != self._width:
            self._lay_out(keep=True)

    # ------------------------------------------------------------ keys

    def action_lines(self, lines: int) -> None:
        """Scrolls by so many lines."""
        self.scroll_to(y=round(self.scroll_y) + lines, animate=False, force=True)

    def action_pages(self, pages: float) -> None:
        """Scrolls by pages, down when positive."""
        self.action_lines(round(pages * max(1, self.scrollable_content_region.height - 1)))

    def action_top(self) -> None:
        """To the first line."""
        self.scroll_to(y=0, animate=False, force=True)

    def action_bottom(self) -> None:
        """To the last line there is so far."""
        self.scroll_to(y=self.max_scroll_y, animate=False, force=True)

    def action_sideways(self, steps: int) -> None:
        """Shows what is further right, when lines are not wrapped."""
        if not self._wrap:
            self._left = max(0, self._left + steps * _SIDEWAYS)
            self.refresh()

    def action_wrap(self) -> None:
        """Wraps long lines, or cuts them."""
        self._wrap = not self._wrap
        self._lay_out()
        self.post_message(self.Changed(self))

    def action_view(self) -> None:
        """Next view: what suits each body, raw, hex."""
        self._view = {"auto": "raw", "raw": "hex", "hex": "auto"}[self._view]  # type: ignore[assignment]
        self._lay_out()
        self.post_message(self.Changed(self))


def _plain_view(view: str) -> View:
    return "hex" if view == "hex" else "raw"


def _heading(title: str, note: str, width: int) -> list[Piece]:
    words = safe(title, max(8, width - 4))
    line: list[Piece] = [(words, "bold $primary")]
    used = cell_len(words)
    if note:
        remark = safe(note, max(8, width - used - 4))
        line.append((f" {remark}", MUTED))
        used += cell_len(remark) + 1
    line.append((" " + "─" * max(0, width - used - 1), "$text-disabled $rule"))
    return line


def _plain(line: Sequence[Piece]) -> str:
    return "".join(part for part, _ in line)
