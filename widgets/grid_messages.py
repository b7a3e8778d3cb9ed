"""What a grid tells: each is reached as an attribute of `Grid` and handled as `on_grid_...`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.message import Message

if TYPE_CHECKING:
    from widgets.grid import Grid


class _FromGrid(Message):
    """A message from one grid."""

    def __init__(self, grid: Grid[Any], key: str) -> None:
        super().__init__()
        self.grid = grid
        self.key = key

    @property
    def control(self) -> Grid[Any]:
        """The grid that sent it (for selectors in `on`)."""
        return self.grid


class _AboutRow(_FromGrid):
    """A message about one row: the item as it was at that moment, and its key."""

    def __init__(self, grid: Grid[Any], item: Any, key: str) -> None:
        super().__init__(grid, key)
        self.item = item


class Opened(_AboutRow, namespace="grid"):
    """Enter, a double click, or a second click on the same row."""


class Moved(_AboutRow, namespace="grid"):
    """The cursor stands on another key; later ones replace earlier ones that nobody has read yet."""

    def can_replace(self, message: Message) -> bool:
        """Whether this makes an unread one needless."""
        return isinstance(message, Moved) and message.grid is self.grid


class Vanished(_AboutRow, namespace="grid"):
    """The key under the cursor is no longer among the items; the cursor stands on the nearest row.

    A `Moved` follows unless there are no rows. `item` and `key` are those that went.
    """


class Marked(_AboutRow, namespace="grid"):
    """A row was marked or unmarked (`marked` says which)."""

    def __init__(self, grid: Grid[Any], item: Any, key: str, marked: bool) -> None:
        super().__init__(grid, item, key)
        self.marked = marked


class SortAsked(_FromGrid, namespace="grid"):
    """The header of a sortable column was clicked; `key` is the column's."""
