"""Every blocking call the screens make, in one place: each runs on a daemon thread, never on the event loop.

Nothing of the operations, the clients or the journal is imported until a method is called, so that the first screen
paints before any of it is loaded. Tests and benchmarks put their own object in its place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from console import health
from console.model import (
    Cluster,
    DeadLetters,
    Group,
    Job,
    KafkaSnapshot,
    Message,
    Outcome,
    Problem,
    Progress,
    Queue,
    SqsSnapshot,
    Topic,
)
from console.model_check import Check
from console.model_cluster import BrokersView, Held, TopicView
from console.ops.command import command_line
from console.ops.plan import PlanView
from console.ops.session import Session
from console.text import count
from console.tui.store import KafkaPicture, SqsPicture
from console.tui.view import Filter, GroupRow, Order, arrange_groups, group_rows, queue_rows
from console.tui.wishes import RedriveWish, ReplayWish, ResetWish

if TYPE_CHECKING:
    from console.ops.browse_pages import OnBatch, Reading, Toward, Window, Wish
    from console.ops.clusters import Facet, Spread
    from console.ops.inspect import DeadLetterView
    from console.ops.redrive_bounce import Bounces
    from console.ops.reset import ResetPlan

ARMED_S = 86_400.0
"""How long an armed reset waits on the screen: a day; it shows that it waits, and x stops it."""

OnProgress = Callable[[Progress], None]
RunChange = Callable[[threading.Event, OnProgress], Outcome]


@dataclass(frozen=True, slots=True)
class Change:
    """A change that was planned and not begun: its plan in words, and what runs it (blocking).

    `idle` says why there is nothing to do, "" when there is.
    """

    view: PlanView
    run: RunChange
    idle: str = ""


@dataclass(frozen=True, slots=True)
class PeekCost:
    """What a look into a queue costs, said before it; `refuse` when it would cost a message its last attempt."""

    queue: Queue
    note: str
    refuse: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """Messages that were read, and what to say about how much of the whole they are."""

    messages: tuple[Message, ...]
    note: str
    whole: bool = False


class Backend:
    """The operations of one session as the screens call them. Every method may block and may raise `LogqError`.

    `inspect` stands in for `console.ops.inspect`: any object with its functions.
    """

    def __init__(self, session: Session, inspect: Any = None) -> None:
        self.session = session
        self._inspect = inspect
        self._group_rows: dict[str, GroupRow] = {}

    @property
    def inspect(self) -> Any:
        """`console.ops.inspect`, or what was given in its place."""
        if self._inspect is None:
            from console.ops import inspect

            self._inspect = inspect
        return self._inspect

    # ------------------------------------------------------------ looking

    def kafka(self, on_partial: Callable[[KafkaPicture], None] | None = None) -> KafkaPicture:
        """The Kafka side with its lines worked out.

        `on_partial` gets it while brokers are still awaited, on a thread of the client's: it must not block.
        """

        def partial(seen: KafkaSnapshot) -> None:
            if on_partial is not None:
                on_partial(self._kafka_picture(seen))

        snapshot = self.inspect.kafka(self.session, on_partial=partial)
        return self._kafka_picture(snapshot)

    def _kafka_picture(self, seen: KafkaSnapshot) -> KafkaPicture:
        # Whatever ten thousand groups cost is paid here, off the event loop.
        rows = group_rows(seen, self._group_rows)
        self._group_rows = {row.name: row for row in rows}
        arranged = arrange_groups(rows, Filter(), Order())
        return KafkaPicture(seen, arranged, tuple(health.kafka_attention(seen)))

    def sqs(self, watched: Collection[str] | None = None) -> SqsPicture:
        """The SQS side with its lines worked out; `watched` are the queues on the screen (None: ask for all)."""
        snapshot = self.inspect.sqs(self.session, watched=watched)
        return SqsPicture(snapshot, queue_rows(snapshot))

    def group(self, name: str) -> Group:
        """One group with its members."""
        return cast(Group, self.inspect.group(self.session, name))

    def topic(self, name: str) -> Topic:
        """One topic with its configuration."""
        return cast(Topic, self.inspect.topic(self.session, name))

    def held_back(self, group: Group) -> Held:
        """The open transactions that hold a group's last stable offsets back."""
        from console.ops import closely

        return closely.held_back(self.session, group)

    def topic_view(self, name: str) -> TopicView:
        """One topic with its configuration, sizes, oldest records and open transactions."""
        from console.ops import closely

        return closely.topic(self.session, name)

    def topic_sizes(self) -> dict[str, int]:
        """Bytes by topic; what is missing is unknown."""
        from console.ops import closely

        return closely.sizes(self.session)

    def brokers(self, snapshot: KafkaSnapshot | None) -> BrokersView:
        """Every broker with what it carries; the groups it coordinates are those of the picture."""
        from console.ops import closely

        return closely.brokers(self.session, snapshot)

    def queue(self, name: str) -> Queue:
        """One queue with all its attributes."""
        return cast(Queue, self.inspect.queue(self.session, name))

    def dead_letters(self, kafka: KafkaSnapshot | None, sqs: SqsSnapshot | None) -> tuple[DeadLetters, ...]:
        """Every dead-letter queue and topic of two pictures. Asks nobody."""
        return cast("tuple[DeadLetters, ...]", self.inspect.dead_letters(kafka, sqs))

    def recognise(self, seen: KafkaSnapshot) -> int:
        """Find the dead-letter topics that only their records give away; how many there are. Joins no group."""
        from console.ops import dead_topics

        dead_topics.recognised(self.session, seen)
        return len(self.session.dead_topics)

    def dead_letter(self, target: str, force: bool = False, again: bool = True) -> DeadLetterView:
        """One dead-letter place opened: messages and failure clusters. A queue is received from: see `peek_cost`.

        Without `again` what was read of a queue before is shown again, which costs nothing.
        """
        return cast("DeadLetterView", self.inspect.dead_letter(self.session, target, force=force, again=again))

    def kept(self, queue: str, most: int) -> bool:
        """Whether a look at a queue can be shown again without receiving anything."""
        from console.ops.inspect import REOPENED_S

        return self.session.spool.get(self.session.require_sqs(queue).url(queue), most, REOPENED_S) is not None

    def forget_looks(self) -> None:
        """A change begins: what was read of queues is read anew when it is shown the next time."""
        self.session.spool.forget()

    def peek_cost(self, name: str) -> PeekCost:
        """What a look into the queue would cost. Receives nothing."""
        queue = self.queue(name)
        budget = self.inspect.budget(self.session, name)
        return PeekCost(queue, budget.note, budget.refuse)

    def peek(self, name: str, most: int, force: bool = False, again: bool = True) -> Sample:
        """Up to `most` messages of a queue, leased, read and released; without `again` as they were read before."""
        seen = self.inspect.peek(self.session, name, most, force=force, again=again)
        return Sample(seen.messages, seen.note, seen.whole)

    def page(
        self,
        wish: Wish,
        toward: Toward = "first",
        before: Window | None = None,
        cancel: threading.Event | None = None,
        on_open: Callable[[Reading], None] = lambda reading: None,
    ) -> Window:
        """One page of a topic's records, put to what was there `before`. Joins no group."""
        from console.ops import browse_pages

        return browse_pages.page(self.session, wish, toward, before, cancel, on_open)

    def follow(self, wish: Wish, before: Window, cancel: threading.Event, on_batch: OnBatch) -> None:
        """What is written to a topic from the window's newer edge on, until `cancel`. Joins no group."""
        from console.ops import browse_pages

        browse_pages.follow(self.session, wish, before, cancel, on_batch)

    def export(
        self, wish: Wish, path: str, cancel: threading.Event, on_open: Callable[[Reading], None]
    ) -> tuple[int, str]:
        """Write all that a wish selects to a file: how many, and what was scanned, in words."""
        from console.ops import browse_pages

        written, scanned = browse_pages.export(self.session, wish, path, cancel, on_open)
        return written, scanned.words

    def export_these(self, messages: tuple[Message, ...], path: str) -> int:
        """Write these messages to a file: how many."""
        from console.ops import browse_pages

        return browse_pages.write_file(path, messages)

    def cluster_of(self, message: Message, by: Sequence[Facet] = ("error",)) -> str:
        """The id of the failure cluster a dead letter belongs to, as they are grouped. Pure."""
        from console.ops import clusters

        return clusters.cluster_id(clusters.label(message, by))

    def clusters(self, messages: Sequence[Message], by: Sequence[Facet]) -> tuple[Cluster, ...]:
        """Messages that were read, grouped another way. Pure."""
        from console.ops import clusters

        return clusters.cluster(messages, by)

    def spread(self, messages: Sequence[Message]) -> Spread:
        """The sources, shapes and hours of messages, counted. Pure."""
        from console.ops import clusters

        return clusters.spread(messages)

    def checks(self) -> tuple[Check, ...]:
        """What can be reached and what is allowed, on both sides and here."""
        from console.ops import doctor

        return doctor.examine(self.session)

    # ------------------------------------------------------------ changing

    def plan_reset(self, group: str, wish: ResetWish) -> Change:
        """What resetting a group's offsets would do."""
        from console.ops import offsets, reset

        value = wish.value
        if wish.kind == "from-file":  # a file by that name: the terminal's input is the screen's
            value = offsets.file_text("./-" if value == "-" else value)
        strategy = offsets.parse_strategy(wish.kind, value, time.time(), group)
        if wish.kind == "from-file":
            strategy = replace(strategy, text=wish.value)
        plan = reset.plan(self.session, group, strategy, wish.selection, armed=wish.armed)
        idle = plan.idle
        return Change(reset.view(plan), self._reset(plan), idle)

    def _reset(self, plan: ResetPlan) -> RunChange:
        from console.ops import reset

        if plan.armed:
            return lambda cancel, on: reset.run_when_empty(self.session, plan, ARMED_S, cancel, on)
        return lambda cancel, on: reset.run(self.session, plan, cancel, on)

    def plan_redrive(self, dlq: str, wish: RedriveWish) -> Change:
        """What redriving dead letters would do."""
        from console.ops import redrive

        plan = redrive.plan(self.session, dlq, **asdict(wish))
        run: RunChange = lambda cancel, on: redrive.run(self.session, plan, cancel, on)  # noqa: E731
        return Change(redrive.view(plan), run, redrive.idle(plan).removeprefix("nothing to do: "))

    def plan_purge(self, queue: str, save: bool) -> Change:
        """What emptying a queue would do."""
        from console.ops import purge

        plan = purge.plan(self.session, queue, save=save)
        return Change(purge.view(plan), lambda cancel, on: purge.run(self.session, plan, cancel, on), purge.idle(plan))

    def plan_replay(self, source: str, wish: ReplayWish) -> Change:
        """What copying records of a topic would do."""
        from console.ops import replay
        from console.tui.replay_form import edit_of

        until = wish.until or None
        offset = until if until is not None and until.isascii() and until.isdigit() else None
        plan = replay.plan(
            self.session,
            source,
            wish.to,
            begin=wish.begin or None,
            to_offset=offset,
            until=until if offset is None else None,
            partitions=wish.partitions,
            records=wish.records,
            where=wish.where or None,
            limit=wish.limit,
            rate=wish.rate,
            edit=edit_of(wish.headers),
        )
        idle = "" if plan.offsets else f"no offset of {plan.named} lies in the range"
        return Change(replay.view(plan), lambda cancel, on: replay.run(self.session, plan, cancel, on), idle)

    def jobs(self) -> tuple[Job, ...]:
        """The newest jobs of the journal."""
        return self.session.journal.jobs(200)

    def job(self, job_id: str) -> Job:
        """One job."""
        return self.session.journal.job(job_id)

    def receipt(self, job_id: str) -> str:
        """A job's receipt, in Markdown."""
        from console.ops import jobs

        return jobs.receipt(self.session, job_id, "md")

    def verify(self, job_id: str) -> Bounces:
        """Which messages of a redrive came back; a receive for each message of the dead-letter queue."""
        from console.ops import jobs

        return jobs.verify(self.session, job_id)

    def cancel(self, job_id: str) -> None:
        """Ask a running job, of whatever process, to stop at its next safe point; the server, where only that runs."""
        from console.ops import jobs

        jobs.cancel(self.session, job_id)

    def pause(self, job_id: str) -> None:
        """Ask a running job, of whatever process, to rest at its next safe point."""
        from console.ops import jobs

        jobs.pause(self.session, job_id)

    def plan_resume(self, job: Job) -> Change:
        """What resuming a job would do."""
        from console.ops import jobs

        # What is on the screen may have been resumed since.
        now = self.job(job.id)
        return Change(
            self._view_of(now, f"resume {job.id}", "resume"),
            lambda cancel, on: jobs.resume(self.session, job.id, cancel, on),
            f"{job.id} is {now.state}" if now.state in ("done", "running") else "",
        )

    def plan_undo(self, job: Job) -> Change:
        """What undoing a job would do: for a reset, the diff back; for a purge, what is sent again."""
        from console.ops import jobs, purge_undo, reset

        if job.kind == "purge":
            again = purge_undo.plan(self.session, job.id)
            return Change(
                purge_undo.view(again),
                lambda cancel, on: purge_undo.run(self.session, again, cancel, on),
                purge_undo.idle(again),
            )
        if job.kind in ("reset", "undo"):
            plan = reset.plan_undo(self.session, job.id)
            if plan.live:
                # Its consumers run again, as they mostly do by then: the undo waits for them instead of failing.
                plan = reset.plan_undo(self.session, job.id, armed=True)
            idle = plan.idle
            return Change(reset.view(plan), self._reset(plan), idle)
        return Change(
            self._view_of(job, f"undo {job.id}", "undo"),
            lambda cancel, on: jobs.undo(self.session, job.id, cancel, on),
        )

    def _view_of(self, job: Job, title: str, verb: str) -> PlanView:
        left = "unknown" if job.left is None else count(job.left)
        return PlanView(
            kind=job.kind,
            title=title,
            facts=(
                ("job", job.id),
                ("what", f"{job.kind} {job.source}" + (f" → {job.target}" if job.target != job.source else "")),
                ("done", f"{count(job.done)} of {count(job.total)}; {left} left, {count(job.failed)} failed"),
                ("state", job.state),
            ),
            command=command_line(self.session.settings, "job", verb, job.id, "--execute"),
            target=job.source.partition(":")[2] or job.source,
        )


def problems_as_checks(problems: tuple[Problem, ...]) -> tuple[Check, ...]:
    """Problems of a picture as lines of the doctor."""
    return tuple(Check(problem.where, False, f"{problem.code}: {problem.message}") for problem in problems)
