"""Messages as a list with a detail pane: what a look into a queue read; records of a topic are in browse.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal

from console.model import Message
from console.ops.lines import write_line
from console.text import safe
from console.tui import cells
from console.tui.backend import Sample
from console.tui.flows import PEEK
from console.tui.message_view import copied, haystack, sections
from console.tui.pane import Pane
from console.tui.screens.base import ConsoleScreen
from console.tui.subject import Subject
from console.tui.view import SortColumn
from widgets.detail import Detail
from widgets.grid import Column
from widgets.grid_messages import Moved

MESSAGE_COLUMNS = (
    Column("time", "time", 8, sortable=True),
    Column("where", "where", 11, gap=1),
    Column("key", "key", 8, flex=1, gap=1, drop=3, most=24),
    Column("times", "n", 3, align="right", gap=1, drop=2, sortable=True),
    Column("error", "error", 14, flex=2, drop=1, gap=1),
    Column("value", "value", 12, flex=4, gap=1),
)
MESSAGE_SORTS: Mapping[str, SortColumn[Message]] = {
    # Of one millisecond the later offset is the newer one.
    "time": SortColumn(lambda m: None if m.timestamp is None else (m.timestamp, m.offset or 0), largest_first=True),
    "times": SortColumn(lambda message: message.receive_count, largest_first=True),
    "error": SortColumn(lambda message: message.error),
}


def message_pane(
    id: str = "messages",
    title: str = "messages",
    hue: str = "$key",
    cell: Callable[[Message, str], Text] = cells.message_cell,
) -> Pane[Message]:
    """A list of messages; the same for topics, queues and dead letters, but for their own columns."""
    return Pane(
        title,
        MESSAGE_COLUMNS,
        cell,
        lambda message: message.id,
        lambda message: Subject("message", message.id, message, message.target),
        haystack,
        MESSAGE_SORTS,
        hue=hue,
        id=id,
    )


def fitting_columns(messages: tuple[Message, ...]) -> tuple[Column, ...]:
    """The columns worth their room: none for errors, counts or keys that no message has."""
    empty = set()
    if not any(message.error for message in messages):
        empty.add("error")
    if all(message.receive_count is None for message in messages):
        empty.add("times")
    if all(message.key is None and message.group_id is None for message in messages):
        empty.add("key")
    return tuple(column for column in MESSAGE_COLUMNS if column.key not in empty)


class ListScreen(ConsoleScreen):
    """Messages of one `kafka:TOPIC` or `sqs:QUEUE` as a list, with the one under the cursor in full."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target

    @property
    def crumb(self) -> str:
        """What is read."""
        return "messages"

    def compose_body(self) -> ComposeResult:
        """The list and the detail beside it (in a narrow terminal: instead of it)."""
        side = "$kafka" if self.target.startswith("kafka:") else "$sqs"
        with Horizontal(id="split"):
            yield message_pane(title=safe(self.target, 80), hue=side)
            yield Detail(placeholder="enter shows a message in full", id="detail")

    def subject(self) -> Subject | None:
        """The message under the cursor, also while the detail stands in the list's place."""
        return self.list.subject()

    def message(self) -> Message | None:
        """The message under the cursor."""
        found = self.list.subject()
        return found.item if found is not None and isinstance(found.item, Message) else None

    @property
    def list(self) -> Pane[Message]:
        """The list."""
        return self.query_one("#messages", Pane)

    @property
    def detail(self) -> Detail:
        """The pane for one message in full."""
        return self.query_one("#detail", Detail)

    def moved(self, event: Moved) -> None:
        """The detail follows the cursor."""
        if (found := self.message()) is not None:
            self.detail.show(sections(found), found.id)

    def do_open(self) -> None:
        """The message in full: the detail takes the focus (and the screen, in a narrow terminal)."""
        if self.list.subject() is not None:
            self.add_class("-detail")
            self.detail.focus()

    def do_back(self) -> None:
        """From the detail to the list, then back."""
        if self.detail.has_focus or self.has_class("-detail"):
            self.remove_class("-detail")
            self.list.grid.focus()
        else:
            super().do_back()

    def do_pane(self) -> None:
        """Between list and detail."""
        if self.detail.has_focus:
            self.do_back()
        else:
            self.do_open()

    do_pane_back = do_pane

    def do_copy(self) -> None:
        """Copy the message's value."""
        if (found := self.message()) is not None:
            self.console.copy(copied(found), f"the value of {found.id}")

    def do_copy_whole(self) -> None:
        """Copy all of the message, as a line that `replay` reads."""
        if (found := self.message()) is not None:
            self.console.copy(write_line(found).rstrip("\n"), f"all of {found.id} as JSON")


class MessagesScreen(ListScreen):
    """Messages of a queue, received once when opened and again by `ctrl+r`."""

    scope: ClassVar[str] = "messages"

    def __init__(self, target: str, force: bool = False) -> None:
        super().__init__(target)
        self.force = force
        self._loading = False

    def mounted(self) -> None:
        """Begin to read."""
        self.load()

    def load(self, again: bool = False) -> None:
        """Read, on a thread of its own; one at a time. What was read before is shown, unless `again`."""
        if self._loading:
            return
        self._loading = True
        self.list.set_placeholder("reading …")
        name = self.target.partition(":")[2]
        backend, force = self.console.backend, self.force
        self.ask(lambda: backend.peek(name, PEEK, force, again), self._loaded, self._failed)

    def _loaded(self, sample: Sample) -> None:
        self._loading = False
        pane = self.list
        pane.grid.set_columns(fitting_columns(sample.messages))
        pane.remark = safe(sample.note, 200)
        pane.set_placeholder("nothing there")
        pane.show(sample.messages)

    def _failed(self, error: str) -> None:
        self._loading = False
        self.list.set_placeholder(error)
        self.complain(error)

    def do_refresh(self) -> None:
        """Read again."""
        super().do_refresh()
        self.load(again=True)

    def words(self) -> tuple[str, ...]:
        """`logq queue peek`."""
        return ("queue", "peek", self.target.partition(":")[2], "--max", str(PEEK))
