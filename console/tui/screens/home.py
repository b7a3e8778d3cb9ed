"""Home: what is wrong now on top, Kafka's groups and SQS's queues side by side under it, the worst first."""

from __future__ import annotations

from operator import attrgetter
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from console import text
from console.model import Attention, Group, Queue, Severity, SqsSnapshot
from console.text import count, safe
from console.tui import cells, flows, reset_form
from console.tui.actions import shown
from console.tui.notice import Notice
from console.tui.pane import Pane
from console.tui.screens.base import ConsoleScreen
from console.tui.subject import Subject, of_attention, of_queue
from console.tui.theme import SIGNS, loudness
from console.tui.view import GROUP_SORTS, QUEUE_SORTS, GroupRow, QueueRow
from widgets.grid import Column
from widgets.grid_messages import Marked

GROUP_COLUMNS = (
    Column("sign", "", 1),
    Column("name", "group", 14, flex=1, gap=1, sortable=True, most=34),
    Column("state", "state", 9, drop=6, sortable=True),
    Column("lag", "lag", 8, align="right", gap=1, sortable=True),
    Column("behind", "behind", 7, align="right", gap=1, sortable=True),
    Column("trend", "trend", 8, drop=4),
    Column("in", "in/s", 5, align="right", drop=3, gap=1, sortable=True),
    Column("out", "out/s", 5, align="right", drop=3, gap=1, sortable=True),
)
QUEUE_COLUMNS = (
    Column("sign", "", 1),
    Column("name", "queue", 21, flex=1, gap=1, sortable=True, most=40),
    Column("visible", "visible", 7, align="right", gap=1, sortable=True),
    Column("flight", "flight", 6, align="right", gap=1, sortable=True),
    Column("delay", "delay", 5, align="right", drop=5, sortable=True),
    Column("dlq", "dlq", 5, align="right", gap=1, sortable=True),
    Column("oldest", "oldest", 6, align="right", drop=3, gap=1, sortable=True),
    Column("trend", "trend", 8, drop=4),
)
ATTENTION_COLUMNS = (
    Column("sign", "", 1),
    Column("name", "", 21, flex=1, gap=1, most=26),
    Column("where", "", 30, drop=5),
    Column("reason", "", 42, flex=8),
    Column("open", "", 10, align="right", drop=4, gap=1),
    Column("act", "", 9, align="right", drop=2, gap=1),
)


def spent_words(snapshot: SqsSnapshot) -> str:
    """What looking at queues has cost so far: requests, and dollars at AWS's price."""
    dollars = snapshot.dollars_so_far
    price = "" if dollars is None else f" ≈ {text.dollars(dollars)}"
    return f"{text.plural(snapshot.requests_so_far, 'request')}{price}" if snapshot.requests_so_far else ""


class HomeScreen(ConsoleScreen):
    """Both sides. Below 100 columns they are two tabs, and `tab` goes from one to the other."""

    scope: ClassVar[str] = "home"
    AUTO_FOCUS = "#kafka Grid"

    def __init__(self) -> None:
        super().__init__()
        # Where each list's cursor was left by us, not by a person; nothing once somebody has gone somewhere from here.
        self._untouched: dict[str, str | None] = {"kafka": None, "sqs": None}

    def compose_body(self) -> ComposeResult:
        """The attention block over the two lists."""
        yield Pane(
            "attention",
            ATTENTION_COLUMNS,
            self._attention_cell,
            lambda item: f"{item.side}:{item.kind}:{item.name}",
            self._attention_subject,
            lambda item: f"{item.name} {item.where} {item.reason}".casefold(),
            hue="$bad",
            id="attention",
        )
        with Horizontal(id="sides"):
            yield Pane(
                "kafka groups",
                GROUP_COLUMNS,
                cells.group_cell,
                lambda row: row.name,
                lambda row: Subject("group", row.name, row.group),
                attrgetter("haystack"),
                GROUP_SORTS,
                hue="$kafka",
                id="kafka",
            )
            yield Vertical(id="divider")
            yield Pane(
                "sqs queues",
                QUEUE_COLUMNS,
                cells.queue_cell,
                lambda row: row.name,
                lambda row: of_queue(row.queue),
                attrgetter("haystack"),
                QUEUE_SORTS,
                hue="$sqs",
                id="sqs",
            )
        yield Notice(id="why")

    @property
    def attention(self) -> Pane[Attention]:
        """What is wrong now."""
        return self.query_one("#attention", Pane)

    @property
    def kafka(self) -> Pane[GroupRow]:
        """The groups."""
        return self.query_one("#kafka", Pane)

    @property
    def sqs(self) -> Pane[QueueRow]:
        """The queues."""
        return self.query_one("#sqs", Pane)

    def mounted(self) -> None:
        """Leave out the side that is not configured."""
        self.attention.display = False
        links = self.console.store.links
        self.set_class(not links["kafka"].configured, "-no-kafka")
        self.set_class(not links["sqs"].configured, "-no-sqs")
        if not links["kafka"].configured:
            self.show_side("sqs")
            self.call_after_refresh(self.sqs.grid.focus)
            # In a narrow terminal the tab has only just come to the front: until it is laid out it takes no focus.
            self.set_interval(0.1, lambda: self.focused or self.sqs.grid.focus(), repeat=20)

    def resumed(self) -> None:
        """Home again: look often."""
        self.console.set_pace(at_home=True)

    def suspended(self) -> None:
        """Away from home: look rarely. Whoever comes back finds the cursor where it was."""
        self._untouched.clear()
        self.console.set_pace(at_home=False)

    def groups_in_sight(self) -> frozenset[str]:
        """The groups whose lines are on the screen, and those that attention speaks of."""
        rows = {row.name for row in self.kafka.grid.in_sight} if self.kafka.display else set()
        return frozenset(rows | {item.name for item in self.attention.grid.in_sight if item.kind == "group"})

    def queues_in_sight(self) -> frozenset[str]:
        """The queues whose lines are on the screen, and those that attention speaks of."""
        rows = {row.name for row in self.sqs.grid.in_sight} if self.sqs.display else set()
        return frozenset(rows | {item.name for item in self.attention.grid.in_sight if item.kind == "queue"})

    def store_changed(self) -> None:
        """Show the newest pictures."""
        store = self.console.store
        self._show_attention(store.attention)
        for pane, picture, side in ((self.kafka, store.kafka, "kafka"), (self.sqs, store.sqs, "sqs")):
            link = store.links[side]  # type: ignore[index]
            nothing = "no groups" if side == "kafka" else "no queues"
            if picture is not None:
                pane.set_placeholder(nothing)
                pane.show(picture.rows, arranged=side == "kafka")  # type: ignore[arg-type]
                self._stay_on_the_worst(pane, side)
            else:
                pane.set_placeholder(link.error or "looking …")
        if store.sqs is not None:
            self.sqs.cost = spent_words(store.sqs.snapshot)
        self._tab_remarks()
        self.refresh_keys()

    def _stay_on_the_worst(self, pane: Pane[GroupRow] | Pane[QueueRow], side: str) -> None:
        """A cursor that nobody has moved yet stays on the first line, so that enter opens the worst."""
        grid = pane.grid
        if side in self._untouched:
            if self._untouched[side] in (None, grid.cursor_key):
                grid.action_top()
                self._untouched[side] = grid.cursor_key
            else:
                del self._untouched[side]

    def _show_attention(self, found: tuple[Attention, ...]) -> None:
        pane = self.attention
        had_focus = pane.grid.has_focus
        pane.display = bool(found)
        pane.show(found)
        worst = max((item.severity for item in found), default=Severity.OK)
        pane.heading.show(style="$bad" if worst is Severity.BAD else "$warn")
        self._size_attention()
        if not had_focus:
            # While nobody walks in it, the block shows the worst: a cursor that kept its line would hide what is new.
            pane.grid.action_top()
        if had_focus and not found:
            self.kafka.grid.focus()

    def _size_attention(self) -> None:
        # Room for what is wrong grows with the screen, and the lists keep the larger part of it.
        most = max(2, (self.size.height - 12) // 4)
        lines = min(len(self.attention.items), most)
        self.attention.styles.height = lines + 1
        hidden = len(self.attention.items) - lines
        self.attention.remark = f"{count(hidden)} more below" if hidden > 0 else ""
        self.attention.refresh_heading()

    def resized(self, width: int, height: int) -> None:
        """Another size: the attention block takes its share, the tabs say what they hide."""
        self.call_after_refresh(self._size_attention)
        self.call_after_refresh(self._tab_remarks)

    # ------------------------------------------------------------ tabs when narrow

    def _tab_remarks(self) -> None:
        narrow = self.size.width < 100
        for pane, other in ((self.kafka, self.sqs), (self.sqs, self.kafka)):
            remark = ""
            if narrow and not self.has_class("-no-kafka") and not self.has_class("-no-sqs"):
                loud = sum(1 for row in other.items if row.severity >= Severity.WARN)
                remark = f"│ tab: {other.title} {count(len(other.items))}" + (f", {loud} ▲" if loud else "")
            pane.remark = remark
            pane.refresh_heading()

    def show_side(self, side: str) -> None:
        """In a narrow terminal: which of the two tabs is in front."""
        self.set_class(side == "sqs", "-sqs-tab")
        self._tab_remarks()

    def focus_moved(self, widget: Widget) -> None:
        """The side with the focus is the tab in front, should the terminal become narrow."""
        if widget in (self.kafka.grid, self.sqs.grid):
            self.show_side("sqs" if widget is self.sqs.grid else "kafka")

    def cycle(self, step: int) -> None:
        """Attention, Kafka, SQS, round and round; in a narrow terminal the tab comes to the front first."""
        ring = [self.attention] if self.attention.display else []
        ring += [] if self.has_class("-no-kafka") else [self.kafka]  # type: ignore[list-item]
        ring += [] if self.has_class("-no-sqs") else [self.sqs]  # type: ignore[list-item]
        here = next((index for index, pane in enumerate(ring) if pane.grid.has_focus), 0)
        target = ring[(here + step) % len(ring)]
        if target.id in ("kafka", "sqs"):
            self.show_side(target.id)
        target.grid.focus()

    def go_to(self, side: str) -> None:
        """The list of one side takes the focus."""
        self.show_side(side)
        (self.sqs if side == "sqs" else self.kafka).grid.focus()

    def refresh_keys(self) -> None:
        """The footer, and over it why the line under the cursor is as it is: a dash has its reason as well."""
        super().refresh_keys()
        found = self.subject()
        item = found.item if found is not None else None
        reason = item.reason if isinstance(item, Group | Queue) else ""
        why = Text("")
        if found is not None and isinstance(item, Group | Queue) and reason:
            severity = item.status.severity
            why = Text(f"{SIGNS[severity]} ", style=f"bold {loudness(severity)}")
            why.append(f"{safe(found.name, 80)}  ", style="bold $foreground")
            why.append(safe(reason, 400), style="$muted")
            why.append(self._age(item), style="$muted")
        self.query_one("#why", Notice).show(why)

    def _age(self, item: Group | Queue) -> str:
        """How old a line of one of very many groups is: those out of sight are looked at in turns."""
        picture = self.console.store.kafka
        if not isinstance(item, Group) or item.seen_at is None or picture is None:
            return ""
        age = picture.snapshot.at - item.seen_at
        return f"  (seen {text.duration(age)} before the rest)" if age >= 1 else ""

    # ------------------------------------------------------------ attention

    def _attention_subject(self, item: Attention) -> Subject:
        queue = (
            next((row.queue for row in self.sqs.items if row.name == item.name), None) if item.kind == "queue" else None
        )
        return of_attention(item, queue)

    def _attention_cell(self, item: Attention, column: str) -> Text:
        if column == "open":
            return self._key("open") if "open" in item.actions else Text("")
        if column == "act":
            action = next((a for a in item.actions if a != "open"), None)
            return self._key(action) if action else Text("")
        return cells.attention_cell(item, column)

    def _key(self, action_id: str) -> Text:
        action = self.console.registry.get(action_id)
        if action is None:
            return Text("")
        key = shown(action.keys[0]) if action.keys else f":{action.id}"
        return Text(f"{key} {action.label}" if action.keys else key, style="bold $key")

    def do_open(self) -> None:
        """Open what the cursor is on; a connection in trouble opens the doctor, a broker the list of brokers."""
        found = self.subject()
        if found is not None and found.kind in ("connection", "broker"):
            self.console.run_command("doctor" if found.kind == "connection" else "brokers")
        else:
            super().do_open()

    def offers(self, action: str, subject: Subject | None) -> bool:
        """There is no way back from home, only out of a filter."""
        if action != "back":
            return True
        pane = self.pane()
        return pane is not None and bool(pane.filter_text)

    def do_reset(self) -> None:
        """Plan a reset of the group under the cursor."""
        found = self.subject()
        if found is not None and found.kind == "group":
            reset_form.reset(self, found.name)

    def do_redrive(self) -> None:
        """Plan a redrive of the dead letters under the cursor, or of the queue's."""
        found = self.subject()
        if found is not None and found.kind in ("dlq", "dlt", "queue"):
            flows.redrive_of(self, found)

    def do_browse(self) -> None:
        """The messages of what the cursor is on: of a group, those of its topic."""
        found = self.subject()
        if found is None:
            return
        if found.kind == "group":
            row = next((row for row in self.kafka.items if row.name == found.name), None)
            topics = row.group.topics if row is not None else ()
            if len(topics) == 1:
                flows.browse(self, Subject("topic", topics[0], target=f"kafka:{topics[0]}"))
            else:
                self.console.open(found)
        elif found.target:
            flows.browse(self, found)

    def do_dead(self) -> None:
        """The dead letters of the queue under the cursor."""
        found = self.subject()
        if found is not None and isinstance(found.item, Queue) and found.kind == "queue":
            dlq = found.item.dlq
            if dlq is None:
                self.console.say(f"{safe(found.name, 80)} has no dead-letter queue")
            else:
                self.console.open(Subject("dlq", dlq, target=f"sqs:{dlq}"))

    def words(self) -> tuple[str, ...]:
        """The status page."""
        return ("status",)

    def on_grid_marked(self, event: Marked) -> None:
        """Marks mean nothing here: taken back."""
        event.grid.set_marks(set())
