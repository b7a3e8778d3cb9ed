"""A list with its heading: a grid that filters, sorts and says what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from console.text import count, safe
from console.tui.subject import Subject
from console.tui.view import Filter, Order, SortColumn, arrange, filtered, next_column, parse_filter
from widgets.grid import Column, Grid
from widgets.grid_messages import SortAsked
from widgets.rule import Heading

T = TypeVar("T")


class Pane(Vertical, Generic[T]):
    """One list of a screen: a heading rule ("kafka groups 214 worst first") over a grid.

    `subject` says what a line is for actions, `haystack` what `/` looks through (casefolded), `sorts` the columns that
    `s` goes through. The lines that are shown are a pure function of the items, the filter and the order.
    """

    DEFAULT_CSS = """
    Pane { height: 1fr; width: 1fr; }
    """

    class Changed(Message):
        """The filter or the order of a pane has changed."""

    def __init__(
        self,
        title: str,
        columns: Sequence[Column],
        cell: Callable[[T, str], Text],
        key: Callable[[T], str],
        subject: Callable[[T], Subject],
        haystack: Callable[[T], str],
        sorts: Mapping[str, SortColumn[T]] | None = None,
        *,
        hue: str = "$key",
        placeholder: str = "",
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.title = title
        self.hue = hue
        self.key = key
        self.order = self._first = Order(next(iter(sorts)) if sorts else "")
        self._arranged = False
        self.filter_text = ""
        self.remark = ""
        self.cost = ""
        self._subject = subject
        self._haystack = haystack
        self._sorts: Mapping[str, SortColumn[T]] = sorts or {}
        self._all: Sequence[T] = ()
        self._whole: Sequence[T] = ()
        self._empty = placeholder
        self.grid: Grid[T] = Grid(columns, cell, key, placeholder="looking …")
        self.heading = Heading(title, style=hue)

    def compose(self) -> ComposeResult:
        """The heading and the grid."""
        yield self.heading
        yield self.grid

    def on_mount(self) -> None:
        """Write the heading."""
        self.refresh_heading()

    @property
    def items(self) -> Sequence[T]:
        """Everything there is, whatever is filtered out."""
        return self._all

    @property
    def sorts(self) -> tuple[str, ...]:
        """The columns that can be sorted by."""
        return tuple(self._sorts)

    def show(self, items: Sequence[T], arranged: bool = False, of: Sequence[T] | None = None) -> None:
        """Take new items (`arranged`: in the first order already); filter, order and the cursor's key stay.

        `of` is what they are a part of, where marks are not only on this part.
        """
        self._all, self._arranged = items, arranged
        self._whole = items if of is None else of
        self.rearrange()

    def rearrange(self) -> None:
        """Filter and sort anew."""
        wanted = parse_filter(self.filter_text)
        if self._arranged and self.order == self._first:
            shown: Sequence[T] = tuple(filtered(self._all, wanted, self._haystack)) if wanted else self._all
        elif self._sorts:
            shown = arrange(self._all, wanted, self.order, self._sorts, self._haystack, self.key)
        else:
            shown = [item for item in self._all if wanted.accepts(self._haystack(item))] if wanted else self._all
        self.grid.placeholder = self._why_empty(wanted)
        self.grid.show(shown)
        self.refresh_heading()

    def _why_empty(self, wanted: Filter) -> str:
        if wanted and self._all:
            return f"nothing of {count(len(self._all))} fits /{safe(self.filter_text, 60)}; esc shows all"
        return self._empty

    def set_placeholder(self, words: str) -> None:
        """What an empty list says."""
        self._empty = words
        if not self.grid.items:
            self.grid.placeholder = words

    def set_filter(self, words: str) -> None:
        """Show only what fits; "" shows all."""
        if words != self.filter_text:
            self.filter_text = words
            self.rearrange()

    def sort_next(self) -> str:
        """Sort by the next column and return its name; "" where nothing can be sorted."""
        if not self._sorts:
            return ""
        self.order = next_column(self.order, self.sorts)
        self.rearrange()
        return self.order.column

    def sort_by(self, column: str) -> None:
        """Sort by a column; the same one again turns the order round."""
        if column in self._sorts:
            self.order = Order(column, column == self.order.column and not self.order.reverse)
            self.rearrange()

    def reverse(self) -> None:
        """Turn the order round."""
        self.order = Order(self.order.column, not self.order.reverse)
        self.rearrange()

    def subject(self) -> Subject | None:
        """What the cursor stands on, None in an empty list."""
        item = self.grid.cursor_item
        return None if item is None else self._subject(item)

    def marked(self) -> tuple[T, ...]:
        """Everything that is marked: what is shown in its order, then what a filter or another part hides now."""
        marks = self.grid.marks
        if not marks:
            return ()
        shown = self.grid.marked_items()
        seen = {self.key(item) for item in shown}
        return (*shown, *(item for item in self._whole if (key := self.key(item)) in marks and key not in seen))

    @property
    def marked_words(self) -> str:
        """ "3 marked, 2 of them not shown now"; "" without marks."""
        marked = len(self.marked())
        hidden = marked - len(self.grid.marked_items())
        if not marked:
            return ""
        which = (
            "" if not hidden else ", not shown now" if hidden == marked else f", {count(hidden)} of them not shown now"
        )
        return f"{count(marked)} marked{which}"

    def on_grid_sort_asked(self, event: SortAsked) -> None:
        """A click on a heading sorts by it."""
        event.stop()
        self.sort_by(event.key)

    def refresh_heading(self) -> None:
        """Write the heading: title, count, filter, order."""
        total = len(self._all)
        if self.filter_text:
            number = f"{count(len(self.grid.items))} of {count(total)} /{safe(self.filter_text, 40)}"
        else:
            number = count(total)
        if words := self.marked_words:
            number += f", {words}"
        remark = self.remark
        if self._sorts and not remark:
            worst = self.order.column == "worst"
            remark = "worst first" if worst and not self.order.reverse else f"by {self.order.column}"
            if self.order.reverse:
                remark += ", turned round"
        if self.cost:
            remark = f"{remark} · {self.cost}" if remark else self.cost
        self.heading.show(title=self.title, count=number, remark=remark)
        if self.order.column in ("", "worst"):
            self.grid.set_sort(None)
        else:
            self.grid.set_sort(self.order.column, self._sorts[self.order.column].largest_first != self.order.reverse)

    def of(self, grid: Grid[Any]) -> bool:
        """Whether this is the pane's grid."""
        return grid is self.grid
