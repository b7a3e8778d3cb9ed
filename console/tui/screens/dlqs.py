"""Dead letters: the list of all queues and topics that hold some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult

from console.model import DeadLetters
from console.tui import cells, flows
from console.tui.pane import Pane
from console.tui.screens.base import ConsoleScreen
from console.tui.subject import of_dead_letters
from console.tui.view import SortColumn, worst
from widgets.grid import Column

DLQ_COLUMNS = (
    Column("sign", "", 1),
    Column("name", "dead letters", 18, flex=1, gap=1, sortable=True, most=50),
    Column("kind", "", 11, drop=3),
    Column("count", "count", 9, align="right", sortable=True),
    Column("oldest", "oldest", 7, align="right", sortable=True),
    Column("expires", "expires", 8, align="right", drop=2, sortable=True),
    Column("source", "of", 14, flex=1, drop=4, most=40),
    Column("note", "", 14, flex=1, drop=5),
)
DLQ_SORTS: Mapping[str, SortColumn[DeadLetters]] = {
    "worst": SortColumn(lambda item: worst(item.status, item.count), largest_first=True),
    "name": SortColumn(lambda item: item.target.partition(":")[2]),
    "count": SortColumn(lambda item: item.count, largest_first=True),
    "oldest": SortColumn(lambda item: item.oldest_seconds, largest_first=True),
    "expires": SortColumn(lambda item: item.expires_seconds),
}


class DlqsScreen(ConsoleScreen):
    """Every dead-letter queue and topic."""

    scope: ClassVar[str] = "dlqs"

    @property
    def crumb(self) -> str:
        """The screen's word."""
        return "dead letters"

    def compose_body(self) -> ComposeResult:
        """One list."""
        yield Pane(
            "dead letters",
            DLQ_COLUMNS,
            cells.dlq_cell,
            lambda item: item.target,
            of_dead_letters,
            lambda item: f"{item.target} {' '.join(item.source)}".casefold(),
            DLQ_SORTS,
            hue="$bad",
            placeholder="no dead-letter queue or topic",
            id="dlqs",
        )

    def queues_in_sight(self) -> frozenset[str]:
        """The dead-letter queues whose lines are on the screen."""
        items = self.query_one("#dlqs", Pane).grid.in_sight
        return frozenset(item.target.removeprefix("sqs:") for item in items if item.kind == "queue")

    def mounted(self) -> None:
        """Look once for topics that hold dead letters though their names do not say so."""
        kafka, backend = self.console.store.kafka, self.console.backend
        if kafka is not None:
            seen = kafka.snapshot
            self.ask(lambda: backend.recognise(seen), lambda found: self.console.look_now() if found else None)

    def store_changed(self) -> None:
        """Show what the newest pictures hold."""
        if self.console.store.kafka is not None or self.console.store.sqs is not None:
            pane: Pane[DeadLetters] = self.query_one("#dlqs", Pane)
            pane.show(self.console.dead_letters())

    def do_redrive(self) -> None:
        """Redrive the place under the cursor."""
        found = self.subject()
        if found is not None:
            flows.redrive(self, found)

    def do_purge(self) -> None:
        """Empty the queue under the cursor."""
        found = self.subject()
        if found is not None:
            flows.purge(self, found)

    def do_browse(self) -> None:
        """Its messages, without clusters."""
        found = self.subject()
        if found is not None:
            flows.browse(self, found)

    def words(self) -> tuple[str, ...]:
        """`logq dlq list`."""
        return ("dlq", "list")
