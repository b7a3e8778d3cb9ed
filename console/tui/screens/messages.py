"""Messages as a list with a detail pane: the last records of a topic, or what a look into a queue read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal

from console.model import Message
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

LAST = 200
"""How many of a topic's last records are read."""

MESSAGE_COLUMNS = (
    Column("time", "time", 8, sortable=True),
    Column("where", "where", 11, gap=1),
    Column("key", "key", 8, flex=1, gap=1, drop=3, most=24),
    Column("times", "n", 3, align="right", gap=1, drop=2, sortable=True),
    Column("error", "error", 14, flex=2, drop=1, gap=1),
    Column("value", "value", 12, flex=4, gap=1),
)
MESSAGE_SORTS: Mapping[str, SortColumn[Message]] = {
    "time": SortColumn(lambda message: message.timestamp, largest_first=True),
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


class MessagesScreen(ConsoleScreen):
    """Messages of `kafka:TOPIC` or `sqs:QUEUE`, read once when opened and again by `ctrl+r`."""

    scope: ClassVar[str] = "messages"

    def __init__(self, target: str, force: bool = False) -> None:
        super().__init__()
        self.target = target
        self.force = force
        self.sample: Sample | None = None
        self._loading = False

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

    def on_mount(self) -> None:
        """Begin to read."""
        super().on_mount()
        self.load()

    def load(self, again: bool = False) -> None:
        """Read, on a thread of its own; one at a time. Of a queue, what was read before is shown, unless `again`."""
        if self._loading:
            return
        self._loading = True
        pane = self.list
        pane.set_placeholder("reading …")
        side, _, name = self.target.partition(":")
        backend, force = self.console.backend, self.force
        if side == "kafka":
            self.ask(lambda: backend.records(name, LAST), self._loaded, self._failed)
        else:
            self.ask(lambda: backend.peek(name, PEEK, force, again), self._loaded, self._failed)

    def _loaded(self, sample: Sample) -> None:
        self._loading = False
        self.sample = sample
        pane = self.list
        pane.grid.set_columns(fitting_columns(sample.messages))
        pane.remark = safe(sample.note, 200)
        pane.set_placeholder("nothing there")
        pane.show(sample.messages)

    def _failed(self, error: str) -> None:
        self._loading = False
        self.list.set_placeholder(error)
        self.complain(error)

    @property
    def list(self) -> Pane[Message]:
        """The list."""
        return self.query_one("#messages", Pane)

    @property
    def detail(self) -> Detail:
        """The pane for one message in full."""
        return self.query_one("#detail", Detail)

    def on_grid_moved(self, event: Moved) -> None:
        """The detail follows the cursor."""
        super().on_grid_moved(event)
        found = self.list.subject()
        if found is not None and isinstance(found.item, Message):
            self.detail.show(sections(found.item), found.name)

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

    def do_refresh(self) -> None:
        """Read again."""
        super().do_refresh()
        self.load(again=True)

    def do_copy(self) -> None:
        """Copy the message's value."""
        found = self.list.subject()
        if found is not None and isinstance(found.item, Message):
            self.console.copy(copied(found.item), f"the value of {found.name}")

    def words(self) -> tuple[str, ...]:
        """`logq topic browse` or `logq queue peek`."""
        side, _, name = self.target.partition(":")
        if side == "kafka":
            return ("topic", "browse", name, "--last", str(LAST))
        return ("queue", "peek", name, "--max", str(PEEK))
