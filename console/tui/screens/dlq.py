"""One place that holds dead letters: its failures left, its messages right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal

from console import text
from console.model import Cluster, DeadLetters, Message, Severity, Status
from console.ops.peek import fitting
from console.text import safe
from console.tui import cells, flows
from console.tui.message_view import copied, sections
from console.tui.pane import Pane
from console.tui.screens.base import ConsoleScreen
from console.tui.screens.messages import fitting_columns, message_pane
from console.tui.subject import Subject
from console.tui.summary import Summary, facts, headline
from console.tui.view import SortColumn
from widgets.detail import Detail
from widgets.grid import Column, Grid
from widgets.grid_messages import Marked, Moved
from widgets.prompt import Prompt

if TYPE_CHECKING:
    from console.ops.clusters import Facet
    from console.ops.inspect import DeadLetterView

GROUPINGS: Final[tuple[tuple[Facet, ...], ...]] = (("error",), ("error", "source"), ("error", "hour"), ("shape",))
"""What failures are grouped by, one after the other."""

ALL = "all"
"""The key of the line that stands for all failures together."""

CLUSTER_COLUMNS = (
    Column("count", "n", 5, align="right", sortable=True),
    Column("label", "failure", 16, flex=1, gap=1),
    Column("last", "last", 8, drop=1, sortable=True),
)
LEFT_COLUMN = Column("left", "left", 5, align="right", sortable=True)
"""How many of a failure were not redriven yet: of a topic, whose records stay where they are."""
DONE_COLUMN = Column("done", "", 1)
CLUSTER_SORTS: Mapping[str, SortColumn[Cluster]] = {
    "count": SortColumn(lambda c: (c.id == ALL, c.count), largest_first=True),
    "last": SortColumn(lambda c: c.last, largest_first=True),
}


def cluster_cell(cluster: Cluster, column: str, left: Mapping[str, int]) -> Text:
    """A cell of the list of failures; `left` are those not redriven yet, by failure."""
    if column == "left":
        found = left.get(cluster.id, cluster.count)
        return cells.number(found) if found else Text("✔", style="$good")
    if column == "count":
        return cells.number(cluster.count)
    if column == "label":
        style = "$muted" if cluster.id == ALL else "$foreground"
        return Text(safe(cluster.label, 400), style=style)
    return cells.muted(text.utc(cluster.last)[11:19] if cluster.last is not None else text.DASH)


def spread_words(counted: tuple[tuple[str, int], ...]) -> str:
    """ "image-jobs ×40, thumbs ×2": the first three, and how many more there are."""
    shown = ", ".join(f"{safe(name, 60)} ×{text.count(number)}" for name, number in counted[:3])
    return shown + (f" and {len(counted) - 3:,} more" if len(counted) > 3 else "")


class DlqScreen(ConsoleScreen):
    """One place. It is read when it is opened and again by `ctrl+r`, never by itself: reading a queue is a receive."""

    scope: ClassVar[str] = "dlq"

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target
        self.letters: DeadLetters | None = None
        self.messages: tuple[Message, ...] = ()
        self.note = ""
        self.where = ""
        self._read: tuple[Message, ...] = ()
        self._read_at = 0.0
        self._whole = False
        self.by: tuple[Facet, ...] = GROUPINGS[0]
        self.done: frozenset[str] = frozenset()
        self._of: dict[str, str] = {}
        self._left: dict[str, int] = {}
        self._loading = False
        self._changed = False
        self._changes = 0

    @property
    def topic(self) -> bool:
        """Whether it is a topic: its records stay when they are redriven, and the journal marks them."""
        return self.target.startswith("kafka:")

    @property
    def crumb(self) -> str:
        """The place's name."""
        return safe(self.target.partition(":")[2], 80)

    def compose_body(self) -> ComposeResult:
        """Summary, failures left, messages right, and the detail when it is asked for."""
        yield Summary(id="summary")
        with Horizontal(id="split"):
            yield Pane(
                "failures",
                CLUSTER_COLUMNS,
                lambda cluster, column: cluster_cell(cluster, column, self._left),
                lambda cluster: cluster.id,
                lambda cluster: Subject("cluster", cluster.id, cluster, self.target),
                lambda cluster: cluster.label.casefold(),
                CLUSTER_SORTS,
                hue="$bad",
                id="clusters",
            )
            yield message_pane(hue="$kafka" if self.topic else "$sqs", cell=self._message_cell)
            yield Detail(id="detail")

    def queues_in_sight(self) -> frozenset[str] | None:
        """The queue itself; of a topic, none."""
        side, _, name = self.target.partition(":")
        return frozenset({name}) if side == "sqs" else None

    @property
    def clusters(self) -> Pane[Cluster]:
        """The failures."""
        return self.query_one("#clusters", Pane)

    @property
    def list(self) -> Pane[Message]:
        """The messages."""
        return self.query_one("#messages", Pane)

    @property
    def detail(self) -> Detail:
        """One message in full."""
        return self.query_one("#detail", Detail)

    def mounted(self) -> None:
        """Begin to read."""
        self.load()

    def changing(self) -> None:
        """What was read is read again when one comes back."""
        self._changed = True

    def resumed(self) -> None:
        """Back from a change: read again, once."""
        self._load_again()

    def _load_again(self) -> None:
        """Read again after a change: when the screen is there to be seen and the change is over."""
        if self.topic and self._changes != len(self.console.running):
            self._changed = not self.console.changing  # also one that was begun elsewhere, as a resume is
        if self._changed and self.is_current:
            self.load()

    def load(self, again: bool = False) -> None:
        """Read the place, on a thread of its own; one at a time, and never beside a change that runs here.

        What was read of a queue before is shown again, which costs nothing, unless `again`.

        A look leases what it reads: a redrive at work would not see those messages and report them as missing.
        """
        if self._loading:
            return
        self._changed = not self.topic and self.console.changing
        # Read beside a change, a topic's marks are old when it is over: then it is read once more.
        self._changes = -1 if self.console.changing else len(self.console.running)
        if self._changed:
            for pane in (self.clusters, self.list):
                pane.set_placeholder("a change is running; this is read when it is over")
            return
        self._loading = True
        self.clusters.set_placeholder("reading …")
        self.list.set_placeholder("reading …")
        backend, target = self.console.backend, self.target
        self.ask(lambda: backend.dead_letter(target, again=again), self._loaded, self._failed)

    def _loaded(self, view: DeadLetterView) -> None:
        self._loading = False
        self.letters, self.messages, self.note = view.letters, view.messages, view.note
        self._read, self._read_at, self._whole = view.messages, self.console.clock(), view.whole
        self.done = view.done
        self.clusters.set_placeholder("nothing has failed")
        self.list.set_placeholder("it is empty")
        self._group()
        self.list.grid.set_columns(((DONE_COLUMN,) if self.done else ()) + fitting_columns(view.messages))
        self.clusters.grid.set_columns(
            (*CLUSTER_COLUMNS[:1], *((LEFT_COLUMN,) if self.done else ()), *CLUSTER_COLUMNS[1:])
        )
        self.list.remark = safe(view.note, 200)
        self._show_messages()
        self.store_changed()
        if self.where:
            self._narrow(self.where)

    def do_where(self) -> None:
        """Type a CEL filter over what was read; none shows all of it."""
        self.query_one(Prompt).open("where", self.where)

    def submitted(self, kind: str, value: str) -> None:
        """Show only what fits the filter that was typed."""
        self._narrow(value.strip())

    def _narrow(self, where: str) -> None:
        read, topic = self._read, self.topic

        def shown(found: tuple[tuple[Message, ...], str]) -> None:
            if read is self._read:  # not read again meanwhile
                self.where, (self.messages, note) = where, found
                self.list.remark = safe(note or self.note, 200)
                self._group()
                self._show_messages()
                self.store_changed()

        self.ask(lambda: fitting(read, where, topic) if where else (read, ""), shown)

    def _group(self) -> None:
        backend = self.console.backend
        self._of = {message.id: backend.cluster_of(message, self.by) for message in self.messages}
        left = Counter(self._of[message.id] for message in self.messages if message.id not in self.done)
        found = backend.clusters(self.messages, self.by)
        self._left = {c.id: left[c.id] for c in found} | {ALL: left.total()}
        both = Cluster(ALL, "all failures", len(self.messages)) if len(found) > 1 else None
        self.clusters.remark = f"by {' and '.join(self.by)}" if self.by != GROUPINGS[0] else ""
        self.clusters.show((both, *found) if both is not None else found)

    def _message_cell(self, message: Message, column: str) -> Text:
        """A cell of the messages: ✔ stands before those that were redriven."""
        if column != "done":
            return cells.message_cell(message, column)
        return Text("✔", style="$good") if message.id in self.done else Text("")

    def do_group(self) -> None:
        """Group the failures by something else."""
        self.by = GROUPINGS[(GROUPINGS.index(self.by) + 1) % len(GROUPINGS)]
        self._group()
        self._show_messages()
        self.store_changed()

    def _failed(self, error: str) -> None:
        self._loading = False
        for pane in (self.clusters, self.list):
            pane.set_placeholder(error)
        self.complain(error)

    def store_changed(self) -> None:
        """The count moves on with the pictures; the messages stay as they were read, but for a change that is over."""
        self._load_again()
        now = next((item for item in self.console.dead_letters() if item.target == self.target), self.letters)
        if now is None:
            return
        letters = self.letters or now
        severity = Severity.BAD if now.count else now.status.severity
        reason = now.reason or ("" if now.status is not Status.OK else "empty")
        oldest = now.oldest_seconds
        if oldest is None and letters.oldest_seconds is not None and now.count != 0:
            oldest = letters.oldest_seconds + max(0.0, self.console.clock() - self._read_at)
        note = self._coverage(now.count)
        if not self.where and self.list.remark != (remark := safe(note, 200)):
            self.list.remark = remark
            self.list.refresh_heading()
        self.query_one(Summary).show(
            (
                headline(self.crumb, severity, reason, "$kafka" if self.topic else "$sqs"),
                facts(
                    ("holds", cells.number(now.count, severity)),
                    ("oldest", text.duration(oldest)),
                    ("redriven", cells.number(letters.done) if letters.done else ""),
                    ("expires in", text.duration(now.expires_seconds) if now.expires_seconds is not None else ""),
                    ("of", ", ".join(letters.source or now.source)),
                    ("read", safe(note, 120)),
                ),
                self._spread(),
            )
        )

    def _coverage(self, held: int | None) -> str:
        """How much of it was read: what was all of it is not any more when the live count has passed it."""
        if not self._whole or held is None or held <= len(self._read):
            return self.note
        rest = self.note.partition("; ")[2]
        return f"{len(self._read):,} of {held:,}" + (f"; {rest}" if rest else "")

    def _spread(self) -> Text:
        """Where and when the messages of the failure under the cursor failed, in one line."""
        some = self._of_cluster()
        if not some:
            return Text("")
        found = self.console.backend.spread(some)
        return facts(
            ("from", spread_words(found.sources)),
            ("sent in", spread_words(found.hours)),
            ("as", spread_words(found.shapes)),
        )

    def moved(self, event: Moved) -> None:
        """On a failure: its messages. On a message: its detail."""
        if event.grid is self.clusters.grid:
            self._show_messages()
            self.store_changed()
        else:
            self._show_detail()

    def _cluster(self) -> Cluster | None:
        found = self.clusters.subject()
        item = found.item if found is not None else None
        return item if isinstance(item, Cluster) and item.id != ALL else None

    def _show_messages(self) -> None:
        self.list.show(self._of_cluster(), of=self._read)
        self._show_detail()

    def _of_cluster(self) -> Sequence[Message]:
        """Of the messages that fit, those of the failure under the cursor."""
        cluster = self._cluster()
        return [m for m in self.messages if cluster is None or self._of.get(m.id) == cluster.id]

    def _show_detail(self) -> None:
        found = self.list.subject()
        if found is not None and isinstance(found.item, Message):
            self.detail.show(sections(found.item), found.name)

    def on_grid_marked(self, event: Marked) -> None:
        """The heading counts the marks; on failures marks mean nothing."""
        if event.grid is self.clusters.grid:
            event.grid.set_marks(set())
        else:
            self.list.refresh_heading()

    def do_open(self) -> None:
        """From a failure to its messages, from a message to its detail."""
        if self.clusters.grid.has_focus:
            self.list.grid.focus()
        elif self.list.subject() is not None:
            self.add_class("-detail")
            self._show_detail()
            self.detail.focus()

    def do_back(self) -> None:
        """From the detail to the messages, from those to the failures, then back."""
        if self.detail.has_focus or self.has_class("-detail"):
            self.remove_class("-detail")
            self.list.grid.focus()
        else:
            super().do_back()

    def cycle(self, step: int) -> None:
        """Failures and messages; while the detail is open, what is to be seen beside it."""
        ring: list[Grid[Cluster] | Grid[Message] | Detail] = [self.clusters.grid, self.list.grid]
        if self.has_class("-detail"):
            ring = [self.detail] if self.has_class("-narrow") else [self.list.grid, self.detail]
        here = next((index for index, widget in enumerate(ring) if widget.has_focus), 0)
        ring[(here + step) % len(ring)].focus()

    def do_purge(self) -> None:
        """Empty the dead-letter queue, after the plan and its name typed out."""
        if self._loading or self._changed:
            self.console.say(
                "still reading it; a moment" if self._loading else "a change is running; purge when it is over"
            )
            return
        flows.purge(self, Subject("dlq", self.target.partition(":")[2], self.letters, self.target))

    def do_redrive(self) -> None:
        """Plan a redrive: of what is marked, of what is shown, of the failure under the cursor, or of all."""
        if self._loading:
            # Our own sweep holds the messages: a plan made now would count them as in flight.
            self.console.say("still reading it; a moment")
            return
        if self._changed:
            # What is listed here may have gone already: a plan made of it would ask for messages that are not there.
            self.console.say("a change is running; redrive again when it is over")
            return
        parts = self._parts()
        if not parts and (self.where or self.list.filter_text):
            self.console.say("nothing fits the filter")
            return
        flows.redrive(self, Subject("dlq", self.target.partition(":")[2], self.letters, self.target), parts)

    def _parts(self) -> Sequence[flows.Part]:
        """What of it can be redriven, the narrowest first: marks were set on purpose, and a filter hides the rest."""
        found: list[flows.Part] = []
        if marked := self.list.marked():
            found.append(flows.Part(self.list.marked_words, tuple(m.id for m in marked)))
        if self.list.filter_text:
            if shown := tuple(m.id for m in self.list.grid.items):
                found.append(flows.Part(f"{len(shown):,} shown, /{safe(self.list.filter_text, 24)}", shown))
            elif not found:
                return []  # whatever else there is, is not to be seen
        cluster = self._cluster()
        if cluster is not None and self.topic and not self.where:
            found.append(flows.Part("all of this failure", cluster=cluster.id))
        elif cluster is not None or self.where:
            ids = tuple(m.id for m in self._of_cluster())
            if ids:
                found.append(
                    flows.Part(f"{len(ids):,} {'of this failure' if cluster is not None else 'that fit'}", ids)
                )
        return found

    def do_refresh(self) -> None:
        """Read again."""
        super().do_refresh()
        self.load(again=True)

    def do_copy(self) -> None:
        """Copy the message's value, or the failure's name."""
        found = self.subject()
        if found is not None and isinstance(found.item, Message):
            self.console.copy(copied(found.item), f"the value of {found.name}")
        elif found is not None and isinstance(found.item, Cluster):
            self.console.copy(found.item.label, "the failure")

    def words(self) -> tuple[str, ...]:
        """`logq dlq show`."""
        return ("dlq", "show", self.target)
