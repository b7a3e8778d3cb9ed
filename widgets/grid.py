"""A table for live data: as quick with 200,000 rows as with ten, and the cursor stays on its row by key.

Textual's own table needs seconds for 20,000 rows and its cursor keeps an index, so that after a sort it stands on
another row. Here `show` swaps the items, and only lines that are looked at ask for their cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Generic, TypeAlias, TypeVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.text import safe
from widgets import grid_messages
from widgets.layout import MARGIN, Column, Place, place
from widgets.paint import Palette, fit, harmless, pieces

__all__ = ["MARK", "Column", "Grid"]

T = TypeVar("T")

MARK = "◆"
"""The sign in front of a marked row."""

_HEADER = 1
_MOST_STRIPS = 1_000


class Grid(ScrollView, Generic[T], can_focus=True):
    """A table of items of one type, one line each, under a header line.

    `cell(item, column key)` gives the text of one cell and is called for visible lines alone; `key(item)` gives the
    string by which the item is known from one `show` to the next, unique in the table. Cells are Rich `Text` (styles
    may be theme variables, see `widgets.paint`) or plain strings; markup is never parsed. Without `highlight` no
    cursor is drawn: a table that is read, not chosen from.
    """

    DEFAULT_CSS = """
    Grid {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        background: $background;
        color: $foreground;
    }
    Grid > .grid--header { color: $text-muted; }
    Grid > .grid--sorted { color: $foreground; }
    Grid > .grid--cursor { background: $primary 25%; }
    Grid > .grid--cursor-blurred { background: $foreground 8%; }
    Grid > .grid--mark { color: $accent; text-style: bold; }
    Grid > .grid--placeholder { color: $text-muted; }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--header",
        "grid--sorted",
        "grid--cursor",
        "grid--cursor-blurred",
        "grid--mark",
        "grid--placeholder",
    }

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("g,home", "top", "first", show=False),
        Binding("G,end", "bottom", "last", show=False),
        Binding("pageup", "page(-1.0)", "page up", show=False),
        Binding("pagedown", "page(1.0)", "page down", show=False),
        Binding("ctrl+u", "page(-0.5)", "half a page up", show=False),
        Binding("ctrl+d", "page(0.5)", "half a page down", show=False),
        Binding("enter", "open", "open", show=False),
        Binding("space", "mark", "mark", show=False),
    ]

    ALLOW_SELECT = False

    Opened: TypeAlias = grid_messages.Opened
    Moved: TypeAlias = grid_messages.Moved
    Vanished: TypeAlias = grid_messages.Vanished
    Marked: TypeAlias = grid_messages.Marked
    SortAsked: TypeAlias = grid_messages.SortAsked

    def __init__(
        self,
        columns: Sequence[Column],
        cell: Callable[[T, str], Text | str],
        key: Callable[[T], str],
        *,
        placeholder: str | Text = "",
        highlight: bool = True,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._columns = tuple(columns)
        self._cell = cell
        self._key = key
        self._items: Sequence[T] = ()
        self._cursor = 0
        self._cursor_key: str | None = None
        self._cursor_item: T | None = None
        self._marks: set[str] = set()
        self._placeholder = placeholder
        self._highlight = highlight
        self._sort: tuple[str, bool] | None = None
        self._return_to: str | None = None
        self._clicked: str | None = None
        self._places: tuple[Place, ...] = ()
        self._places_width = -1
        self._strips: dict[tuple[int, int], Strip] = {}
        self._palettes: dict[str, Palette] = {}

    # ------------------------------------------------------------ what is shown

    @property
    def items(self) -> Sequence[T]:
        """What was last shown, in order."""
        return self._items

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns as given; which of them are visible depends on the width."""
        return self._columns

    @property
    def visible_columns(self) -> tuple[str, ...]:
        """The keys of the columns that have room now, left to right."""
        return tuple(spot.column.key for spot in self._layout())

    def show(self, items: Sequence[T]) -> None:
        """Swaps the items. The cursor stays on its key; when that is gone, on the nearest row, posting `Vanished`.

        After a moment with no rows at all it returns to the key it had. A list watched from its top stays at its top as
        long as the cursor is in sight; anywhere else the row under the cursor keeps its place on the screen.
        """
        before, was_key, was_item = self._cursor, self._cursor_key, self._cursor_item
        self._items = items
        self._strips.clear()
        wanted = was_key or self._return_to
        index = self._find(wanted) if wanted is not None else None
        gone = was_key is not None and index is None
        self._cursor = max(0, min(before if index is None else index, len(items) - 1))
        self._take_cursor()
        self._return_to = None if items else wanted
        self._resize_virtual()
        self._follow(before)
        self.refresh()
        if gone:
            self.post_message(self.Vanished(self, was_item, was_key or ""))
        self._tell_if_moved(was_key)

    def refresh_cells(self) -> None:
        """Draws the visible lines anew with the same items, after something that the cells depend on has changed."""
        self._strips.clear()
        self.refresh()

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Replaces the columns; cursor, marks and scroll position stay."""
        self._columns = tuple(columns)
        self._places_width = -1
        self.refresh_cells()

    def set_sort(self, key: str | None, reverse: bool = False) -> None:
        """Which column's header carries ▲, or ▼ when `reverse` (the largest first); sorting itself is the caller's."""
        self._sort = None if key is None else (key, reverse)
        self.refresh()

    @property
    def placeholder(self) -> str | Text:
        """What is written when there are no rows: one line that says why."""
        return self._placeholder

    @placeholder.setter
    def placeholder(self, text: str | Text) -> None:
        self._placeholder = text
        if not self._items:
            self.refresh()

    @property
    def in_sight(self) -> Sequence[T]:
        """The items whose lines are on the screen now; none while the grid is hidden."""
        if not self.is_attached or not self.region.height:
            return ()
        top = round(self.scroll_y)
        return self._items[top : top + self._page]

    # ------------------------------------------------------------ cursor and marks

    @property
    def cursor(self) -> int:
        """The index of the row under the cursor; 0 when there is none."""
        return self._cursor

    @property
    def cursor_item(self) -> T | None:
        """The item under the cursor, None when there are no rows."""
        return self._cursor_item

    @property
    def cursor_key(self) -> str | None:
        """The key under the cursor, None when there are no rows."""
        return self._cursor_key

    def move_to(self, key: str) -> bool:
        """Puts the cursor on this key and into sight; False (and no change) when no item has it."""
        index = self._find(key)
        if index is None:
            return False
        self._go(index)
        return True

    @property
    def marks(self) -> frozenset[str]:
        """The keys of marked rows, also of those that are filtered out or gone at the moment."""
        return frozenset(self._marks)

    def marked_items(self) -> tuple[T, ...]:
        """The marked items that are among those shown, in order."""
        if not self._marks:
            return ()
        return tuple(item for item in self._items if self._key(item) in self._marks)

    def set_marks(self, keys: frozenset[str] | set[str]) -> None:
        """Replaces the marks (an empty set clears them); posts nothing."""
        self._marks = set(keys)
        self.refresh_cells()

    def _find(self, key: str | None) -> int | None:
        """The index of the item with this key, looked for first where it was."""
        items = self._items
        if self._cursor < len(items) and self._key(items[self._cursor]) == key:
            return self._cursor
        ask = self._key
        return next((index for index, item in enumerate(items) if ask(item) == key), None)

    def _take_cursor(self) -> None:
        if self._items:
            self._cursor_item = self._items[self._cursor]
            self._cursor_key = self._key(self._cursor_item)
        else:
            self._cursor = 0
            self._cursor_item = self._cursor_key = None

    def _tell_if_moved(self, was: str | None) -> None:
        if self._cursor_key is not None and self._cursor_key != was:
            self._clicked = None
            self.post_message(self.Moved(self, self._cursor_item, self._cursor_key))

    def _go(self, index: int) -> None:
        if not self._items:
            return
        was = self._cursor_key
        self._cursor = max(0, min(index, len(self._items) - 1))
        self._take_cursor()
        self._into_sight()
        self.refresh()
        self._tell_if_moved(was)

    # ------------------------------------------------------------ scrolling

    @property
    def _page(self) -> int:
        """How many rows fit under the header."""
        return max(1, self.scrollable_content_region.height - _HEADER)

    def _resize_virtual(self) -> None:
        size = Size(1, len(self._items) + _HEADER)
        if size != self.virtual_size:
            self.virtual_size = size

    def _scroll_row(self, row: float) -> None:
        if self.is_attached:
            self.scroll_to(y=max(0, row), animate=False, force=True)

    def _into_sight(self) -> None:
        top = round(self.scroll_y)
        if self._cursor < top:
            self._scroll_row(self._cursor)
        elif self._cursor >= top + self._page:
            self._scroll_row(self._cursor - self._page + 1)

    def _follow(self, before: int) -> None:
        """Keeps the cursor's line where it was on the screen after the items have changed."""
        top = round(self.scroll_y)
        seen = top <= before < top + self._page
        if not seen:
            # The reader has scrolled away from the cursor: what is on the screen stays.
            self._scroll_row(min(top, self.max_scroll_y))
        elif top == 0:
            self._into_sight()
        else:
            self._scroll_row(top + self._cursor - before)

    # ------------------------------------------------------------ drawing

    def _layout(self) -> tuple[Place, ...]:
        width = self.scrollable_content_region.width
        if width != self._places_width:
            self._places = place(self._columns, width)
            self._places_width = width
            self._strips.clear()
        return self._places

    def render_line(self, y: int) -> Strip:
        """One line of the widget: the header, a row, or nothing. Only here are cells asked for."""
        places = self._layout()
        width = self._places_width
        if y < _HEADER:
            return self._header(places, width)
        index = y - _HEADER + round(self.scroll_y)
        if index >= len(self._items):
            if not self._items and y == min(_HEADER + 1, self.size.height - 1):
                return self._empty(width)
            return Strip.blank(width, self._palette("").base)
        return self._row(index, places, width)

    def notify_style_update(self) -> None:
        """Forgets colours when theme, focus or classes change."""
        self._palettes.clear()
        self._strips.clear()
        super().notify_style_update()

    def _palette(self, component: str) -> Palette:
        found = self._palettes.get(component)
        if found is None:
            base = self.get_component_rich_style(component) if component else self.rich_style
            found = self._palettes[component] = Palette(self.app.theme_variables, base)
        return found

    def _header(self, places: Sequence[Place], width: int) -> Strip:
        palette = self._palette("grid--header")
        segments = [Segment(" " * MARGIN, palette.base)]
        for spot in places:
            style = palette.base
            label = safe(spot.column.label)
            if self._sort is not None and self._sort[0] == spot.column.key:
                style = self._palette("grid--sorted").base
                sign = "▼" if self._sort[1] else "▲"
                label = f"{sign}{label}" if spot.column.align == "right" else f"{label} {sign}"
            if spot.gap:
                segments.append(Segment(" " * spot.gap, palette.base))
            segments += fit([Segment(label, style)], spot.width, spot.column.align, style)
        return Strip(segments).adjust_cell_length(width, palette.base)

    def _empty(self, width: int) -> Strip:
        palette = self._palette("grid--placeholder")
        text = pieces(harmless(self._placeholder, width), palette, palette.base)
        inner = fit(text, max(0, width - 2 * MARGIN - 2), "left", palette.base)
        return Strip([Segment(" " * (MARGIN + 2), palette.base), *inner]).adjust_cell_length(width, palette.base)

    def _row(self, index: int, places: Sequence[Place], width: int) -> Strip:
        state = 0 if index != self._cursor or not self._highlight else 2 if self.has_focus else 1
        cached = self._strips.get((index, state))
        if cached is None:
            if len(self._strips) >= _MOST_STRIPS:
                self._strips.clear()
            cached = self._draw(self._items[index], state, places, width)
            self._strips[index, state] = cached
        return cached

    def _draw(self, item: T, state: int, places: Sequence[Place], width: int) -> Strip:
        palette = self._palette(("", "grid--cursor-blurred", "grid--cursor")[state])
        base = palette.base
        segments = [self._mark(item, base)]
        for spot in places:
            if spot.gap:
                segments.append(Segment(" " * spot.gap, base))
            # Twice the width and some: enough for wide and combining characters, cheap for a name of a megabyte.
            text = harmless(self._cell(item, spot.column.key), 2 * spot.width + 16)
            segments += fit(pieces(text, palette, base), spot.width, spot.column.align, base)
        return Strip(segments).adjust_cell_length(width, base)

    def _mark(self, item: T, base: Style) -> Segment:
        if self._marks and self._key(item) in self._marks:
            return Segment(MARK, base + self.get_component_rich_style("grid--mark", partial=True))
        return Segment(" " * MARGIN, base)

    # ------------------------------------------------------------ keys, mouse, size

    def action_move(self, rows: int) -> None:
        """Moves the cursor by so many rows."""
        self._go(self._cursor + rows)

    def action_top(self) -> None:
        """To the first row."""
        self._go(0)

    def action_bottom(self) -> None:
        """To the last row."""
        self._go(len(self._items) - 1)

    def action_page(self, pages: float) -> None:
        """Moves the cursor by pages, down when positive."""
        self._go(self._cursor + round(self._page * pages))

    def action_open(self) -> None:
        """Posts `Opened` for the row under the cursor."""
        if self._cursor_key is not None:
            self.post_message(self.Opened(self, self._cursor_item, self._cursor_key))

    def action_mark(self) -> None:
        """Marks or unmarks the row under the cursor."""
        key = self._cursor_key
        if key is None:
            return
        self._marks ^= {key}
        self.refresh_cells()
        self.post_message(self.Marked(self, self._cursor_item, key, key in self._marks))

    async def _on_click(self, event: events.Click) -> None:
        """Selects the row under the mouse; opens it when it was the one clicked before. The header asks for a sort."""
        offset = event.get_content_offset(self)
        if offset is None or event.button != 1:
            return
        event.stop()
        if offset.y < _HEADER:
            for spot in self._layout():
                if spot.column.sortable and spot.start <= offset.x < spot.start + spot.width:
                    self.post_message(self.SortAsked(self, spot.column.key))
            return
        index = offset.y - _HEADER + round(self.scroll_y)
        if index >= len(self._items):
            return
        again = self._clicked is not None and self._clicked == self._key(self._items[index]) == self._cursor_key
        self._go(index)
        if again:
            self.action_open()
        self._clicked = self._cursor_key

    def _on_resize(self, event: events.Resize) -> None:
        self._places_width = -1
        if self._items:
            self._into_sight()

    def watch_has_focus(self, value: bool) -> None:
        """The cursor is brighter in the grid that has the focus."""
        super().watch_has_focus(value)
        self.refresh()
