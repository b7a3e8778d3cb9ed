"""Kafka's topics, and one of them: its partitions, the groups that read it, the configuration that matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult

from console import text, upkeep
from console.model import Severity, Topic, TopicPartition
from console.model_cluster import TopicView
from console.ops.browse_pages import Wish
from console.text import safe
from console.tui import cells, flows, replay_form
from console.tui.pane import Pane
from console.tui.screens.base import ConsoleScreen
from console.tui.screens.browse import BrowseScreen
from console.tui.subject import Kind, Subject
from console.tui.summary import Summary, facts, folding, headline, problem_lines, transaction_lines
from console.tui.view import GROUP_SORTS, GroupRow, SortColumn
from widgets.grid import Column

TOPIC_COLUMNS = (
    Column("sign", "", 1),
    Column("name", "topic", 16, flex=1, gap=1, sortable=True, most=60),
    Column("kind", "", 12, drop=3),
    Column("partitions", "partitions", 10, align="right", sortable=True),
    Column("records", "records", 13, align="right", sortable=True),
    Column("in", "in/s", 7, align="right", sortable=True),
    Column("size", "size", 9, align="right", drop=4, sortable=True),
    Column("note", "", 12, flex=3, drop=2),
)
TOPIC_SORTS: Mapping[str, SortColumn[Topic]] = {
    "name": SortColumn(lambda topic: (topic.internal, topic.name)),
    "records": SortColumn(lambda topic: topic.records, largest_first=True),
    "partitions": SortColumn(lambda topic: len(topic.partitions), largest_first=True),
    "in": SortColumn(lambda topic: topic.produced_rate, largest_first=True),
}
PARTITION_COLUMNS = (
    Column("sign", "", 1),
    Column("partition", "p", 4, align="right", gap=1, sortable=True),
    Column("leader", "leader", 6, align="right", sortable=True),
    Column("replicas", "replicas", 10, drop=3),
    Column("isr", "in sync", 10, drop=3),
    Column("start", "start", 12, align="right"),
    Column("end", "end", 12, align="right"),
    Column("records", "records", 12, align="right", sortable=True),
    Column("size", "size", 9, align="right", drop=4, sortable=True),
    Column("oldest", "oldest", 7, align="right", drop=5, sortable=True),
    Column("open", "open txn", 8, align="right", drop=2),
    Column("note", "", 10, flex=1, drop=1),
)
PARTITION_SORTS: Mapping[str, SortColumn[TopicPartition]] = {
    "partition": SortColumn(lambda p: p.partition),
    "records": SortColumn(upkeep.held, largest_first=True),
    "leader": SortColumn(lambda p: p.leader),
}
GROUP_COLUMNS = (
    Column("sign", "", 1),
    Column("name", "group", 14, flex=1, gap=1, sortable=True, most=40),
    Column("state", "state", 9),
    Column("lag", "lag", 10, align="right", sortable=True),
    Column("behind", "behind", 8, align="right", sortable=True),
    Column("trend", "trend", 8, drop=2),
    Column("in", "in/s", 7, align="right", drop=3),
    Column("out", "out/s", 7, align="right", drop=3, sortable=True),
)
SHOWN_CONFIG = (
    "cleanup.policy", "retention.ms", "retention.bytes", "min.insync.replicas", "max.message.bytes",
    "message.timestamp.type", "compression.type",
)  # fmt: skip
"""The configuration that matters to somebody who reads or replays: the rest is a command away."""


def topic_subject(topic: Topic) -> Subject:
    """A topic, as dead letters when it holds some."""
    kind: Kind = "dlt" if topic.dead_letter else "topic"
    return Subject(kind, topic.name, topic, f"kafka:{topic.name}")


def partition_cell(p: TopicPartition, column: str) -> Text:
    """A cell of a topic's partitions."""
    severity = upkeep.replication((p,)).severity
    if column == "sign":
        return cells.sign(severity)
    if column == "partition":
        return Text(str(p.partition), style="$foreground")
    if column == "leader":
        return Text("none", style="bold $bad") if p.leader is None else cells.muted(str(p.leader))
    if column == "replicas":
        return cells.muted(",".join(map(str, p.replicas)) or text.DASH)
    if column in ("start", "end"):
        return cells.number(p.start if column == "start" else p.end, rest="$muted")
    if column == "records":
        return cells.number(upkeep.held(p))
    if column == "open":
        held = None if p.stable_end is None or p.end is None else p.end - p.stable_end
        return cells.number(held, Severity.WARN if held else Severity.OK, "$faint")
    if column == "isr":
        return Text(
            ",".join(map(str, p.isr)) or text.DASH, style="bold $warn" if severity >= Severity.WARN else "$muted"
        )
    return Text(safe(p.problem.message if p.problem else upkeep.replication((p,)).reason, 300), style="$warn")


class TopicsScreen(ConsoleScreen):
    """All topics of the last picture; what they take on disk is asked every half minute."""

    scope: ClassVar[str] = "topics"
    every: ClassVar[float] = 30.0

    def __init__(self) -> None:
        super().__init__()
        self._sizes: Mapping[str, int] = {}

    def _cell(self, topic: Topic, column: str) -> Text:
        return (
            cells.muted(text.size(self._sizes.get(topic.name))) if column == "size" else cells.topic_cell(topic, column)
        )

    def compose_body(self) -> ComposeResult:
        """One list."""
        yield Pane(
            "kafka topics",
            TOPIC_COLUMNS,
            self._cell,
            lambda topic: topic.name,
            topic_subject,
            lambda topic: f"{topic.name} {'internal' if topic.internal else ''}".casefold(),
            {**TOPIC_SORTS, "size": SortColumn(lambda topic: self._sizes.get(topic.name), largest_first=True)},
            hue="$kafka",
            placeholder="no topics",
            id="topics",
        )

    def look(self) -> Callable[[], Mapping[str, int]] | None:
        """What every topic takes on disk."""
        return self.console.backend.topic_sizes if self.console.store.links["kafka"].configured else None

    def seen(self, value: Mapping[str, int]) -> None:
        """Show the sizes."""
        self._sizes = value
        pane: Pane[Topic] = self.query_one("#topics", Pane)
        pane.rearrange()

    def store_changed(self) -> None:
        """Show the newest picture's topics."""
        picture = self.console.store.kafka
        pane: Pane[Topic] = self.query_one("#topics", Pane)
        if picture is not None:
            pane.show(picture.snapshot.topics)
        elif not self.console.store.links["kafka"].configured:
            pane.set_placeholder("there is no Kafka side: start with -b HOST:PORT or a profile")

    def do_browse(self) -> None:
        """The last records."""
        found = self.subject()
        if found is not None:
            flows.browse(self, Subject("topic", found.name, target=found.target))

    def do_replay(self) -> None:
        """Copy a range of the topic under the cursor."""
        if (found := self.subject()) is not None:
            replay_form.replay(self, found.name)

    def words(self) -> tuple[str, ...]:
        """`logq topic list`."""
        return ("topic", "list")


class TopicScreen(ConsoleScreen):
    """One topic, looked at every two seconds."""

    scope: ClassVar[str] = "topic"

    def __init__(self, name: str) -> None:
        super().__init__()
        self.topic_name = name
        self._sizes: Mapping[int, int] = {}
        self._ages: Mapping[int, float] = {}

    def _cell(self, p: TopicPartition, column: str) -> Text:
        if column == "size":
            return cells.muted(text.size(self._sizes.get(p.partition)))
        if column == "oldest":
            return cells.muted(text.duration(self._ages.get(p.partition)))
        return partition_cell(p, column)

    @property
    def crumb(self) -> str:
        """The topic's name."""
        return safe(self.topic_name, 80)

    def compose_body(self) -> ComposeResult:
        """Summary, partitions, the groups on it."""
        yield Summary(id="summary")
        yield Pane(
            "partitions",
            PARTITION_COLUMNS,
            self._cell,
            lambda p: str(p.partition),
            lambda p: Subject("topic", self.topic_name, p, f"kafka:{self.topic_name}"),
            lambda p: f"{p.partition} {p.leader}".casefold(),
            {
                **PARTITION_SORTS,
                "size": SortColumn(lambda p: self._sizes.get(p.partition), largest_first=True),
                "oldest": SortColumn(lambda p: self._ages.get(p.partition), largest_first=True),
            },
            hue="$kafka",
            id="partitions",
        )
        yield Pane(
            "groups on it",
            GROUP_COLUMNS,
            cells.group_cell,
            lambda row: row.name,
            lambda row: Subject("group", row.name, row.group),
            lambda row: row.haystack,
            GROUP_SORTS,
            hue="$kafka",
            placeholder="no group has committed on it",
            id="groups",
        )

    def look(self) -> Callable[[], TopicView]:
        """The topic with its configuration, sizes, oldest records and open transactions."""
        name, backend = self.topic_name, self.console.backend
        return lambda: backend.topic_view(name)

    def seen(self, value: TopicView) -> None:
        """Show the topic."""
        topic = value.topic
        config = dict(topic.config)
        known = [(key, _config(key, config[key])) for key in SHOWN_CONFIG if key in config]
        replicas = upkeep.replication(topic.partitions)
        self._sizes = dict(value.sizes)
        self._ages = {number: max(0.0, value.at - at) for number, at in value.oldest}
        self.query_one(Summary).show(
            (
                headline(topic.name, replicas.severity, replicas.reason, "$kafka"),
                facts(
                    ("partitions", text.count(len(topic.partitions))),
                    ("records", text.count(topic.records)),
                    ("size", text.size(value.size)),
                    ("in/s", text.rate(topic.produced_rate)),
                    ("kind", "dead letters" if topic.dead_letter else "internal" if topic.internal else ""),
                ),
                folding(safe(upkeep.replayable(value), 300), "$foreground"),
                facts(*known[:4]),
                facts(*known[4:]),
                *transaction_lines(value.transactions, value.at, self.console.settings),
                *problem_lines(value.problems),
            )
        )
        pane: Pane[TopicPartition] = self.query_one("#partitions", Pane)
        pane.show(topic.partitions)

    def store_changed(self) -> None:
        """The groups that have partitions on it."""
        picture = self.console.store.kafka
        if picture is not None:
            rows = tuple(row for row in picture.rows if self.topic_name in row.group.topics)
            groups: Pane[GroupRow] = self.query_one("#groups", Pane)
            groups.show(rows)

    def do_open(self) -> None:
        """Enter: on a group the group, on a partition its records."""
        found = self.subject()
        if found is not None and found.kind == "group":
            self.console.open(found)
        elif found is not None and isinstance(found.item, TopicPartition):
            self.console.push_screen(
                BrowseScreen(self.topic_name, Wish(self.topic_name, partitions=(found.item.partition,)))
            )

    def do_browse(self) -> None:
        """The topic's records."""
        flows.browse(self, Subject("topic", self.topic_name, target=f"kafka:{self.topic_name}"))

    def do_replay(self) -> None:
        """Copy a range of the topic."""
        replay_form.replay(self, self.topic_name)

    def do_copy(self) -> None:
        """Copy the topic's name."""
        self.console.copy(self.topic_name, "the topic's name")

    def words(self) -> tuple[str, ...]:
        """`logq topic show`."""
        return ("topic", "show", self.topic_name)


def _config(key: str, value: str) -> str:
    """A setting as people read it: milliseconds and bytes in words, -1 is "unlimited"."""
    if not value.lstrip("-").isdigit():
        return value
    number = int(value)
    if number == -1:
        return "unlimited"
    if key.endswith(".ms"):
        return text.duration(number / 1000)
    return text.size(number) if key.endswith(".bytes") else value
