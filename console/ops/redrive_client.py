"""The client engine of a redrive: lease, spool, INTENT, send, SENT, delete, DELETED.

What is journaled is on the disk before the step it speaks of. So whatever ends the process, `resume` knows of every
message that it was not sent, was sent, or may have been sent; the last are looked for or named ambiguous, and nothing
is lost.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from console.errors import LogqError
from console.journal import Entry, Journal
from console.model import Problem, Progress
from console.ops import redrive_bounce as bounce
from console.ops.redrive_bounce import Bounces
from console.ops.redrive_budget import Spent
from console.ops.redrive_carry import Carrier
from console.ops.redrive_filter import Where
from console.ops.redrive_ledger import AMBIGUOUS, DELETED, INTENT, SENT, SPOOLED, Bucket, Ledger, Verdict
from console.ops.redrive_pause import Patience
from console.ops.redrive_plan import RedrivePlan, counts
from console.ops.redrive_resolve import resolve
from console.sqs import connect
from console.sqs import receive as lease
from console.sqs.client import SqsClient
from console.sqs.receive import Received
from console.text import plural

if TYPE_CHECKING:
    from console.ops.session import Session

WORKERS = 24
"""Measured with 10 ms added to every call: 1,135 messages a second, 859 with 20, 958 with 32; else as with 16."""

EMPTY_POLLS = 2
"""Empty long polls in a row before one worker believes it; all must, and then the counts are asked."""

ROUNDS = 5
"""How often the workers go again when the counts say that something is left and a round moved nothing."""

FIFO_ROUNDS = 2
"""The same where messages that stay in their FIFO groups are held."""

HELD_MOST = 100_000
"""SQS allows about 120,000 messages in flight a queue."""

END_S = 45.0
"""How long the end of a run waits for the batches in hand; longer than a send waits for its answer."""

END_RELEASE_S = 10.0
"""How long the end of a run waits for what it could not send to be given back."""

UNKNOWN_MOST = 3
"""How often in a row an outage may leave sends unknown: each time, those may be at the destination once more."""

_WAIT_S = 0.02


class Engine:
    """One run of one job. `run` blocks until it is over; the ledger then tells what happened."""

    def __init__(
        self,
        session: Session,
        job: str,
        planned: RedrivePlan,
        cancel: threading.Event,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.sqs: SqsClient = session.require_sqs(planned.dlq)
        self.journal: Journal = session.journal
        self._kafka = session.require_kafka
        self.job = job
        self.plan = planned
        self.where = Where(planned.where) if planned.where is not None else None
        self.ledger = Ledger(
            scan_limit=planned.count,
            limit=planned.limit,
            ids=planned.ids,
            where=self.where,
            known=lambda ids: self.journal.known(job, ids),
        )
        topics = None
        if planned.to_topic:
            from console.ops.redrive_kafka import TopicSender

            topics = TopicSender(self._kafka(), job, [to.max_size for to in planned.destinations])
        self._carrier = Carrier(self.sqs, self.journal, job, planned, self.ledger, topics)
        self._cancel = cancel
        self._on_progress = on_progress
        self._bucket = Bucket(planned.rate)
        self._patience = Patience(planned.patience, cancel, self._tell)
        # No more than have a batch to fetch: an idle one would hold up the end with its long poll.
        most = planned.count if planned.count is not None else WORKERS * lease.BATCH
        self._session, self.spent = session, Spent(planned)
        self._width = max(1, min(WORKERS, -(-most // lease.BATCH)))
        self._note = ""
        self._last_report = self._last_look = 0.0
        self._leases_until = 0.0
        self._ended = threading.Event()
        self._sent_before: set[str] = set()
        self.drained = False
        self.bounces: Bounces | None = None
        self.paused = ""
        self.hidden = 0
        self.unseen: int | None = None
        self.notes: list[str] = []

    # ------------------------------------------------------------ before

    def take_over(self) -> None:
        """Read what an earlier run of this job left and settle what can be settled without reading the queue.

        What was SENT is deleted, never sent. What was INTENT may have been sent: into a FIFO queue a second send under
        the same deduplication id settles that within 5 minutes; elsewhere it is looked for at the destination, and
        what is not found is named AMBIGUOUS, before anything else.
        """
        unfinished = list(self.journal.entries(self.job, (SPOOLED, INTENT, SENT, AMBIGUOUS)))
        self.ledger.load(unfinished, self.journal.counts(self.job), self.journal.doubtful(self.job))
        unsure = []
        for entry in unfinished:
            if entry.state == INTENT and self.plan.to_fifo:
                self._carrier.intent_at[entry.key] = entry.at
            elif entry.state in (INTENT, AMBIGUOUS):
                unsure.append(entry)
        if unsure:
            unfinished = self._looked_for(unfinished, unsure)
        delete = {e.key: e.receipt for e in unfinished if e.state == SENT and e.receipt}
        release = self.ledger.take_unsent()
        release |= {e.key: e.receipt for e in unfinished if e.state != SENT and e.receipt}
        if delete:
            # Most of these are gone already; what is not comes to sight again.
            self._sent_before.update(delete)
            self._carrier.delete(delete, told=False)
        if release:
            # The leases of the killed run, where they still hold; a stale receipt handle is refused, which is as good.
            self._carrier.quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, release, 0))
        self._leases_until = time.monotonic() + self.plan.lease_seconds + 5

    def _looked_for(self, unfinished: list[Entry], unsure: list[Entry]) -> list[Entry]:
        """The entries with those marked SENT whose copies are at the destination; the others in doubt are named."""
        self._tell(f"looking for {plural(len(unsure), 'message')} that may have been sent")
        found, why = resolve(self.sqs, self._kafka, self.journal, self.job, self.plan, unsure)
        self._tell("")
        self.journal.put(self.job, [Entry(key, SENT, result=copy) for key, copy in found.items()])
        self.ledger.set(tuple(found), SENT)
        doubtful = [entry for entry in unsure if entry.key not in found]
        if doubtful:
            # With the time of the first INTENT, for a later look has to know since when a copy can be there.
            self._carrier.ambiguous(
                [entry.key for entry in doubtful],
                "the run ended between INTENT and SENT; no copy was found",
                {entry.key: entry.at for entry in doubtful},
            )
        settled = f"{len(found):,} of {plural(len(unsure), 'message')} in doubt found at the destination"
        self.notes.append(settled + (f"; {why}" if why else ""))
        return [replace(entry, state=SENT) if entry.key in found else entry for entry in unfinished]

    # ------------------------------------------------------------ running

    def run(self) -> None:
        """Redrive what the plan says. Ends at `cancel`, at a fatal problem, at a bounce, or when nothing is left.

        What is leased then and was not sent is given back; `hidden` is how many could not be. `unseen` is how many the
        counts tell of that no receive brought, None when it ended before that could be asked.
        """
        try:
            self._steps()
        finally:
            unsent = self.ledger.take_unsent()
            lease.release(self.sqs.raw(), self.plan.url, unsent, END_RELEASE_S)
            self.hidden = len(unsent)

    def _steps(self) -> None:
        step = self.plan.canary
        while True:
            began = self.ledger.taken
            self.ledger.limit = self._limit(began, step)
            self._until_limit()
            if self._cancel.is_set() or self.ledger.fatal is not None:
                return
            if step is None:
                if self.plan.watch != 0:
                    self._look_back()
                return
            if self.ledger.taken == began and self.bounces is not None:
                return  # nothing was left to send, and what was sent before has been looked for
            if self.ledger.taken == began or self.drained:
                self._look_back()
                return
            idle = self._look_back()
            more = self.ledger.taken < self._planned(began)
            if self._cancel.is_set() or not more:
                return
            if self.bounces is not None and self.bounces.fresh:
                self.paused = "stopped: what was sent came back; deploy the fix"
            elif not self.plan.ramp:
                self.paused = "canary: paused to look at what the consumers do"
            elif idle:
                self.paused = f"paused: nothing is proven, for {idle}"
            if self.paused:
                return
            step *= 2

    def _limit(self, began: int, step: int | None) -> int | None:
        if step is None:
            return self.plan.limit
        return began + step if self.plan.limit is None else min(self.plan.limit, began + step)

    def _planned(self, began: int) -> int:
        """How many messages the job is to take in all, as far as is known."""
        known = [n for n in (self.plan.limit, self.plan.count, len(self.plan.ids) or None) if n is not None]
        return min(known) if known else began + 10**9

    def _look_back(self) -> str:
        """Wait for the consumers, then see what came back; what could not be waited for."""
        if self.plan.to_topic or self.plan.watch == 0:
            return ""
        ends = time.monotonic() + bounce.longest(self.plan)
        while True:
            idle = bounce.wait(self.sqs, self.plan, self._cancel, self._tell, ends - time.monotonic())
            self._tell(f"looking into {self.plan.dlq} for what came back")
            self.bounces = bounce.look(self._session, self.sqs, self.job, self.plan, force=self.plan.force)
            self._tell("")
            if not idle or self.bounces.fresh or self._cancel.is_set() or time.monotonic() >= ends:
                break
        return idle if self.bounces.looked else self.bounces.note

    def _until_limit(self) -> None:
        """Redrive up to the limit that is set, pausing for what may pass."""
        unknown = 0
        while True:
            self._rounds()
            problem = self.ledger.stalled
            if problem is None or self._cancel.is_set() or self.ledger.fatal is not None:
                return
            unknown = unknown + 1 if self.ledger.in_state(INTENT) else 0
            moved = self.ledger.done + self.ledger.failed
            if unknown >= UNKNOWN_MOST or not self._patience.outlasts(problem, moved, self._asks):
                if not self._cancel.is_set():
                    self.ledger.problem(problem, fatal=True)
                return
            self.ledger.go_on()
            self.take_over()
            self._ended.clear()

    def _asks(self) -> None:
        """Whether the outage is over. Raises `LogqError` while it is not."""
        counts(self.sqs, self.plan)
        if self.plan.to_topic:
            self._kafka().topic(self.plan.destinations[0].name)

    def _rounds(self) -> None:
        """The workers, again and again while there is something for them."""
        idle_rounds = 0
        workers: list[threading.Thread] = []
        try:
            while not self._over():
                before = self.ledger.done + self.ledger.failed + self.ledger.unselected
                workers = [
                    threading.Thread(target=self._work, name=f"logq-redrive-{n}", daemon=True)
                    for n in range(1 if self.spent.first else self._width)
                ]
                for worker in workers:
                    worker.start()
                while any(worker.is_alive() for worker in workers):
                    next((worker for worker in workers if worker.is_alive()), workers[0]).join(0.1)
                    self._report()
                if self._over():
                    break
                moved = self.ledger.done + self.ledger.failed + self.ledger.unselected > before
                idle_rounds = 0 if moved else idle_rounds + 1
                if not self._more(idle_rounds):
                    break
            if self.drained:
                self._settle_sent()
        finally:
            # Also when the one who watches has failed: nobody may go on sending for a job that has ended.
            self._ended.set()
            ends = time.monotonic() + END_S
            for worker in workers:
                worker.join(max(0.0, ends - time.monotonic()))
            self._release_held()
            self.spent.record(self._session, self.sqs)
            self.journal.put(self.job, ())
        self._ended.clear()
        self._report(now=True)

    def _more(self, idle_rounds: int) -> bool:
        """After every worker found nothing: whether the counts say that something is left, or comes back soon."""
        now = self._carrier.quietly(lambda: counts(self.sqs, self.plan))
        if now is None or now.visible is None:
            return idle_rounds < ROUNDS
        hidden = max(0, (now.in_flight or 0) - self.ledger.held)
        waits = time.monotonic() < self._leases_until
        # AWS's counts may lag by a minute: right after a crash they do not prove that the killed run's leases are over.
        if now.visible == 0 and hidden == 0 and not (waits and self.sqs.is_aws):
            self.drained = True
            return False
        self.unseen = now.visible + hidden
        # What stays of a FIFO group is held, and so nothing behind it comes, however often it is asked for.
        rounds = FIFO_ROUNDS if self.plan.fifo and self.ledger.held else ROUNDS
        if now.visible > 0 and idle_rounds < rounds:
            return True
        if waits and (hidden or self.sqs.is_aws):
            # What the killed run had leased and not yet spooled comes back when its lease ends.
            self._tell(f"waiting for {hidden:,} in flight, leased by the run that ended")
            self._cancel.wait(0.5)
            return True
        return False

    def _over(self) -> bool:
        ledger = self.ledger
        if self._cancel.is_set() or self._ended.is_set() or ledger.fatal is not None or ledger.stalled is not None:
            return True
        # The breaker: what came back tells enough, also in the middle of a step.
        return ledger.complete or (self.plan.ramp and bool(ledger.bounced))

    def _settle_sent(self) -> None:
        """What the killed run had SENT and is in the queue no more was deleted: only the line saying so was lost."""
        gone = [key for key in self.ledger.in_state(SENT) if key in self._sent_before]
        self.journal.put(self.job, [Entry(key, DELETED, note="the original was gone at the end") for key in gone])
        self.ledger.set(gone, DELETED)

    def _tell(self, note: str) -> None:
        """Say what is waited for, at once and to other processes as well."""
        said, self._note = self._note, note
        if note != said:
            self._last_look = 0.0
        self._report(now=note != said)

    def _report(self, now: bool = False) -> None:
        """How far it is, at most ten times a second; once a second for the journal, where a cancel may stand."""
        at, ledger = time.monotonic(), self.ledger
        if now or at - self._last_report >= 0.1:
            self._last_report = at
            # While something is waited for nothing moves: a rate of that time would foretell an end hours away.
            rate = None if self._note else ledger.rate()
            self._on_progress(Progress(self.job, ledger.done, ledger.failed, self.plan.total, rate, self._note))
        if at - self._last_look >= 1.0:
            self._last_look = at
            if self.journal.cancel_requested(self.job):
                self._cancel.set()
            self.journal.progress(self.job, ledger.done, ledger.failed, self._note)

    def _work(self) -> None:
        try:
            self._work_until_nothing()
        except LogqError as error:
            self.ledger.problem(Problem("journal", "JOURNAL", str(error)), fatal=True)
        except Exception as error:
            said = connect.words(error, f"redrive {self.plan.dlq}", self.sqs.settings)
            problem = Problem(f"queue {self.plan.dlq}", connect.code(error), str(said))
            self._carrier.stop(problem, connect.passing(error))

    def _work_until_nothing(self) -> None:
        barren = 0
        alone = self.spent.first
        while barren < EMPTY_POLLS and not self._over():
            asked = self.ledger.ask(1 if alone else self._bucket.most)
            if not asked:
                # Everything planned is with another worker: a long poll now would only hold up the end.
                time.sleep(_WAIT_S)
                continue
            sent = tokens = 0
            try:
                tokens = self._bucket.take(asked, self._over)
                if not tokens:
                    return
                got = lease.receive(
                    self.sqs.raw(),
                    self.plan.url,
                    most=tokens,
                    visibility=self.plan.lease_seconds,
                    wait=1,
                    # After a lost answer the SDK asks again with the same id and gets the same messages.
                    attempt_id=uuid.uuid4().hex if self.plan.fifo else None,
                )
                claimed = self.ledger.claim(got)
            finally:
                self.ledger.answered(asked)
            sent, fresh = self._handle(claimed)
            self._bucket.give_back(tokens - sent)
            barren = 0 if fresh else barren + 1
            if alone:
                self.spent.first = False
                return
            if self.ledger.held > HELD_MOST:
                why = f"more than {HELD_MOST:,} messages that stay are held in flight; use --limit or --id"
                self.ledger.problem(Problem(f"queue {self.plan.dlq}", "IN_FLIGHT", why), fatal=True)

    def _handle(self, claimed: Sequence[tuple[Received, Verdict, bool]]) -> tuple[int, bool]:
        """Carry out what is to happen to messages just received: how many were to be sent, and whether any was new."""
        if problem := self.spent.note(claimed):
            self.ledger.problem(problem, fatal=True)
        take: list[Received] = []
        delete: dict[str, str] = {}
        release: dict[str, str] = {}
        for message, verdict, _ in claimed:
            if verdict is Verdict.SEND:
                take.append(message)
            elif verdict is Verdict.DELETE:
                delete[message.id] = message.receipt
                self._sent_before.discard(message.id)
            elif verdict is Verdict.OVER:
                release[message.id] = message.receipt
        try:
            if delete:
                self._carrier.delete(delete)
            if release:
                self._carrier.quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, release, 0))
            if take:
                self._carrier.redrive(take)
        except BaseException:
            self.ledger.keep_unsent(take)
            raise
        finally:
            self.ledger.let_go([message.id for message in take])
        return len(take), any(fresh for _, _, fresh in claimed)

    def _release_held(self) -> None:
        held = self.ledger.take_held()
        self._carrier.quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, held, 0))
