"""The brokers of the cluster: what each leads, holds and lacks, and what its disks have left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult

from console import text, upkeep
from console.model import Severity
from console.model_cluster import BrokerLoad, BrokersView
from console.text import safe
from console.tui import cells
from console.tui.pane import Pane
from console.tui.screens.base import ConsoleScreen
from console.tui.subject import Subject
from console.tui.summary import Summary, facts, headline
from console.tui.view import SortColumn
from widgets.grid import Column

COLUMNS = (
    Column("sign", "", 1),
    Column("id", "broker", 7, align="right", gap=1, sortable=True),
    Column("address", "address", 15, flex=1, gap=1, most=30),
    Column("rack", "rack", 10, drop=8, gap=1),
    Column("leads", "leads", 6, align="right", gap=1, sortable=True),
    Column("replicas", "replicas", 8, align="right", drop=7, gap=1),
    Column("behind", "out of sync", 11, align="right", drop=4, gap=1),
    Column("groups", "groups", 6, align="right", drop=6, gap=1, sortable=True),
    Column("size", "size", 9, align="right", drop=3, gap=1, sortable=True),
    Column("free", "free", 9, align="right", drop=5, gap=1, sortable=True),
    Column("note", "", 30, flex=4, drop=1),
)
SORTS: Mapping[str, SortColumn[BrokerLoad]] = {
    "id": SortColumn(lambda b: b.broker.id),
    "leads": SortColumn(lambda b: b.leads, largest_first=True),
    "groups": SortColumn(lambda b: b.groups, largest_first=True),
    "size": SortColumn(lambda b: b.size, largest_first=True),
    "free": SortColumn(lambda b: b.free),
}


def broker_cell(load: BrokerLoad, column: str) -> Text:
    """A cell of the list of brokers."""
    severity = upkeep.broker_severity(load)
    if column == "sign":
        return cells.sign(severity)
    if column == "id":
        return cells.name(str(load.broker.id), severity)
    if column == "address":
        return cells.muted(upkeep.address(load))
    if column == "rack":
        return cells.muted(load.broker.rack or text.DASH)
    if column in ("leads", "replicas", "groups"):
        return cells.number(getattr(load, column), rest="$foreground" if column == "leads" else "$muted")
    if column == "behind":
        return cells.number(load.behind, Severity.WARN if load.behind else Severity.OK, "$faint")
    if column in ("size", "free"):
        return cells.muted(text.size(load.size if column == "size" else load.free))
    note = upkeep.broker_trouble(load)
    if load.controller:
        note = f"controller{', ' if note else ''}{note}"
    return Text(safe(note, 400), style="$muted" if severity < Severity.WARN else "$foreground")


class BrokersScreen(ConsoleScreen):
    """Every broker, looked at every five seconds."""

    scope: ClassVar[str] = "brokers"
    every: ClassVar[float] = 5.0

    def compose_body(self) -> ComposeResult:
        """A summary over one list."""
        yield Summary(id="summary")
        yield Pane(
            "kafka brokers",
            COLUMNS,
            broker_cell,
            lambda load: str(load.broker.id),
            lambda load: Subject("broker", f"broker {load.broker.id}", load),
            lambda load: f"{load.broker.id} {load.broker.host} {load.broker.rack or ''}".casefold(),
            SORTS,
            hue="$kafka",
            placeholder="no brokers",
            id="brokers",
        )

    def look(self) -> Callable[[], BrokersView] | None:
        """The brokers with their disks, and the groups each coordinates in the last picture."""
        if not self.console.store.links["kafka"].configured:
            return None
        console = self.console

        def call() -> BrokersView:
            picture = console.store.kafka
            return console.backend.brokers(picture.snapshot if picture is not None else None)

        return call

    def seen(self, value: BrokersView) -> None:
        """Show the brokers."""
        pane: Pane[BrokerLoad] = self.query_one("#brokers", Pane)
        pane.show(value.brokers)
        away = [load for load in value.brokers if load.broker.reachable is False]
        short = sum(load.under_replicated for load in value.brokers)
        severity = Severity.BAD if away else Severity.WARN if short else Severity.OK
        reasons = [f"{text.plural(len(away), 'broker')} of {len(value.brokers)} away"] if away else []
        reasons += [f"{text.plural(short, 'partition')} under-replicated"] if short else []
        held = [load.size for load in value.brokers if load.size is not None]
        self.query_one(Summary).show(
            (
                headline(value.cluster_id or "cluster", severity, ", ".join(reasons), "$kafka"),
                facts(
                    ("brokers", text.count(len(value.brokers))),
                    ("active controller", text.DASH if value.controller is None else str(value.controller)),
                    ("partitions led", text.count(sum(load.leads for load in value.brokers))),
                    ("on disk", text.size(sum(held)) if held else text.DASH),
                ),
            )
        )

    def store_changed(self) -> None:
        """Say when there is no Kafka side to look at."""
        if not self.console.store.links["kafka"].configured:
            words = "there is no Kafka side: start with -b HOST:PORT or a profile"
            self.query_one("#brokers", Pane).set_placeholder(words)

    def words(self) -> tuple[str, ...]:
        """`logq broker list`."""
        return ("broker", "list")
