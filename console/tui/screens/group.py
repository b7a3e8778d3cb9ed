"""One consumer group: how it is doing, its partitions, its members."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult

from console import health, text, upkeep
from console.model import Group, GroupPartition, Member, Severity
from console.model_cluster import Held
from console.text import safe
from console.tui import cells, flows, replay_form, reset_form
from console.tui.pane import Pane
from console.tui.screens.base import ConsoleScreen
from console.tui.subject import Subject
from console.tui.summary import Summary, facts, folding, headline, problem_lines, transaction_lines
from console.tui.view import SortColumn, worst
from widgets.grid import Column

PARTITION_COLUMNS = (
    Column("sign", "", 1),
    Column("topic", "topic", 10, flex=1, gap=1, sortable=True, most=40),
    Column("partition", "p", 4, align="right", gap=1, sortable=True),
    Column("leader", "leader", 6, align="right", drop=8),
    Column("start", "start", 10, align="right", drop=6),
    Column("committed", "committed", 11, align="right", drop=1),
    Column("end", "end", 11, align="right", gap=1, drop=4),
    Column("lag", "lag", 9, align="right", gap=1, sortable=True),
    Column("behind", "behind", 8, align="right", gap=1, sortable=True),
    Column("lost", "lost", 6, align="right", gap=1, drop=5, sortable=True),
    Column("member", "member", 12, flex=1, drop=7, most=24),
    Column("status", "status", 7, drop=2),
    Column("reason", "", 34, flex=3, drop=3),
)
MEMBER_COLUMNS = (
    Column("client", "client", 14, flex=1, gap=1, sortable=True, most=30),
    Column("host", "host", 15, drop=3),
    Column("instance", "instance", 10, drop=4),
    Column("partitions", "assigned", 8, align="right", sortable=True),
    Column("assignment", "partitions", 20, flex=3, drop=2),
)
PARTITION_SORTS: Mapping[str, SortColumn[GroupPartition]] = {
    "worst": SortColumn(lambda p: worst(p.status, p.lag), largest_first=True),
    "topic": SortColumn(lambda p: (p.topic, p.partition)),
    "partition": SortColumn(lambda p: (p.partition, p.topic)),
    "lag": SortColumn(lambda p: p.lag, largest_first=True),
    "behind": SortColumn(lambda p: p.lag_seconds, largest_first=True),
    "lost": SortColumn(lambda p: p.lost, largest_first=True),
}
MEMBER_SORTS: Mapping[str, SortColumn[Member]] = {
    "client": SortColumn(lambda member: member.client_id),
    "partitions": SortColumn(lambda member: assigned(member), largest_first=True),
}


_NOTHING_HELD = Held()


def assigned(member: Member) -> int:
    """How many partitions a member has."""
    return sum(len(partitions) for _, partitions in member.assignment)


def member_cell(member: Member, column: str) -> Text:
    """A cell of the list of members."""
    if column == "client":
        return cells.name(member.client_id or member.id)
    if column == "host":
        return cells.muted(member.host)
    if column == "instance":
        return cells.muted(member.instance_id or text.DASH)
    if column == "partitions":
        return cells.number(assigned(member))
    parts = (f"{topic} {','.join(map(str, partitions))}" for topic, partitions in member.assignment)
    return cells.muted("; ".join(parts))


class GroupScreen(ConsoleScreen):
    """A group by name; it is looked at every two seconds while it is on top."""

    scope: ClassVar[str] = "group"

    def __init__(self, name: str) -> None:
        super().__init__()
        self.group_name = name
        self.group: Group | None = None

    @property
    def crumb(self) -> str:
        """The group's name."""
        return safe(self.group_name, 80)

    def compose_body(self) -> ComposeResult:
        """Summary, partitions, members."""
        yield Summary(id="summary")
        yield Pane(
            "partitions",
            PARTITION_COLUMNS,
            cells.partition_cell,
            lambda p: f"{p.topic}/{p.partition}",
            lambda p: Subject("partition", f"{p.topic}/{p.partition}", p, f"kafka:{p.topic}"),
            lambda p: f"{p.topic} {p.partition} {p.client_id or ''} {p.status} {p.reason}".casefold(),
            PARTITION_SORTS,
            hue="$kafka",
            id="partitions",
        )
        yield Pane(
            "members",
            MEMBER_COLUMNS,
            member_cell,
            lambda member: member.id,
            lambda member: Subject("member", member.id, member),
            lambda member: f"{member.client_id} {member.host} {member.id}".casefold(),
            MEMBER_SORTS,
            hue="$kafka",
            id="members",
        )

    def look(self) -> Callable[[], tuple[Group, Held]]:
        """The group, with members and record times, and who holds its last stable offsets back."""
        name, backend = self.group_name, self.console.backend

        def call() -> tuple[Group, Held]:
            group = backend.group(name)
            return group, backend.held_back(group)

        return call

    def store_changed(self) -> None:
        """Until the group itself was looked at, what the last picture of all groups knew of it."""
        picture = self.console.store.kafka
        if self.group is None and picture is not None:
            for row in picture.rows:
                if row.name == self.group_name:
                    self._show(row.group)

    def seen(self, value: tuple[Group, Held]) -> None:
        """Show the group."""
        self.group, held = value
        self._show(self.group, held)

    def _show(self, group: Group, held: Held = _NOTHING_HELD) -> None:
        severity = group.status.severity
        lost = group.lost
        self.query_one(Summary).show(
            (
                headline(group.name, severity, group.reason, "$kafka"),
                facts(
                    ("state", f"{group.state.lower() or text.DASH}, {group.type}"),
                    ("lag", cells.number(group.lag, severity if group.lag else Severity.OK)),
                    ("behind", text.behind(group.lag_seconds, group.lag_seconds_source)),
                    ("in/s", text.rate(group.produced_rate)),
                    ("out/s", text.rate(group.consumed_rate)),
                    ("over", text.duration(group.rate_seconds) if group.rate_seconds else ""),
                    ("catches up", health.catches_up(group)),
                    ("lost", cells.number(lost, Severity.BAD) if lost else ""),
                    ("no commit", text.plural(group.no_commit, "partition") if group.no_commit else ""),
                ),
                folding(safe(upkeep.type_limits(group.type), 300), "$muted"),
                *transaction_lines(held.transactions, self.console.clock(), self.console.settings),
                *problem_lines((*group.problems, *held.problems)),
            )
        )
        partitions: Pane[GroupPartition] = self.query_one("#partitions", Pane)
        partitions.set_placeholder("no partitions: the group never committed")
        partitions.show(group.partitions or ())
        members: Pane[Member] = self.query_one("#members", Pane)
        members.set_placeholder("no members: nobody reads it now" if group.members is not None else "looking …")
        members.show(group.members or ())
        self._share(members)

    def _share(self, members: Pane[Member]) -> None:
        # The members take the lines they need, at most a third of the screen; the partitions are what one came for.
        wanted = max(1, len(members.items)) + 2
        members.styles.height = min(wanted, max(3, self.size.height // 3))

    def resized(self, width: int, height: int) -> None:
        """Share the height anew."""
        self._share(self.query_one("#members", Pane))

    def subject(self) -> Subject | None:
        """What the cursor stands on, or the group itself while there is nothing in its lists."""
        return super().subject() or Subject("group", self.group_name, self.group)

    def words(self) -> tuple[str, ...]:
        """`logq group show`."""
        return ("group", "show", self.group_name)

    def do_open(self) -> None:
        """Enter on a partition: its topic."""
        found = self.subject()
        if found is not None and isinstance(found.item, GroupPartition):
            self.console.open(Subject("topic", found.item.topic, target=found.target))

    def do_reset(self) -> None:
        """Plan a reset; on a partition it can be limited to it."""
        found = super().subject()
        item = found.item if found is not None else None
        reset_form.reset(self, self.group_name, item if isinstance(item, GroupPartition) else None, self.group)

    def do_browse(self) -> None:
        """The records of the topic under the cursor."""
        if topic := self._topic():
            flows.browse(self, Subject("topic", topic, target=f"kafka:{topic}"))

    def do_replay(self) -> None:
        """Copy a range of the topic under the cursor."""
        if topic := self._topic():
            replay_form.replay(self, topic)

    def _topic(self) -> str:
        """The topic under the cursor, or the only one of the group; "" when that is not clear."""
        found = self.subject()
        if found is not None and isinstance(found.item, GroupPartition):
            return found.item.topic
        topics = self.group.topics if self.group is not None else ()
        if len(topics) == 1:
            return topics[0]
        self.console.say("put the cursor on a partition: that says which topic")
        return ""

    def do_copy(self) -> None:
        """Copy the group's name."""
        self.console.copy(self.group_name, "the group's name")
