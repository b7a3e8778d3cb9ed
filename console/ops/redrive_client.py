"""The client engine of a redrive: lease, spool, INTENT, send, SENT, delete, DELETED.

What is journaled is on the disk before the step it speaks of. So whatever ends the process, `resume` knows of every
message that it was not sent, was sent, or may have been sent; the last are named ambiguous, and nothing is lost.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence

from console.errors import LogqError
from console.journal import Entry, Journal
from console.model import Problem, Progress
from console.ops.redrive_carry import Carrier
from console.ops.redrive_filter import Where
from console.ops.redrive_ledger import AMBIGUOUS, DELETED, INTENT, SENT, SPOOLED, Bucket, Ledger, Verdict
from console.ops.redrive_plan import RedrivePlan, counts
from console.sqs import connect
from console.sqs import receive as lease
from console.sqs.client import SqsClient
from console.sqs.receive import Received

WORKERS = 8
EMPTY_POLLS = 2
"""Empty long polls in a row before one worker believes it; all must, and then the counts are asked."""

ROUNDS = 5
"""How often the workers go again when the counts say that something is left and a round moved nothing."""

HELD_MOST = 100_000
"""SQS allows about 120,000 messages in flight a queue."""

END_S = 45.0
"""How long the end of a run waits for the batches in hand; longer than a send waits for its answer."""

_WAIT_S = 0.02


class Engine:
    """One run of one job. `run` blocks until it is over; the ledger then tells what happened."""

    def __init__(
        self,
        sqs: SqsClient,
        journal: Journal,
        job: str,
        planned: RedrivePlan,
        cancel: threading.Event,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.sqs = sqs
        self.journal = journal
        self.job = job
        self.plan = planned
        self.where = Where(planned.where) if planned.where is not None else None
        self.ledger = Ledger(scan_limit=planned.count, limit=planned.limit, ids=planned.ids, where=self.where)
        self._carrier = Carrier(sqs, journal, job, planned, self.ledger)
        self._cancel = cancel
        self._on_progress = on_progress
        self._bucket = Bucket(planned.rate)
        # No more than have a batch to fetch: an idle one would hold up the end with its long poll.
        most = planned.count if planned.count is not None else WORKERS * lease.BATCH
        self._width = max(1, min(WORKERS, -(-most // lease.BATCH)))
        self._note = ""
        self._resumed = False
        self._ended = threading.Event()
        self._sent_before: set[str] = set()
        self.drained = False

    # ------------------------------------------------------------ before

    def take_over(self) -> None:
        """Read what an earlier run of this job left and settle what can be settled without reading the queue.

        What was SENT is deleted, never sent. What was INTENT may have been sent: on a FIFO queue a second send under
        the same deduplication id settles that within 5 minutes; otherwise it is named AMBIGUOUS, before anything else.
        """
        self._resumed = True
        unsure, delete, release = [], {}, {}
        for entry in self.journal.entries(self.job, data=False):
            self.ledger.load(entry)
            if entry.state == SENT and entry.receipt:
                delete[entry.key] = entry.receipt
            elif entry.state in (SPOOLED, INTENT, AMBIGUOUS) and entry.receipt:
                release[entry.key] = entry.receipt
            if entry.state == INTENT:
                if self.plan.fifo:
                    self._carrier.intent_at[entry.key] = entry.at
                else:
                    unsure.append(entry.key)
        if unsure:
            self._carrier.ambiguous(unsure, "the run ended between INTENT and SENT")
        if delete:
            # Most of these are gone already; what is not comes to sight again.
            self._sent_before.update(delete)
            self._carrier.delete(delete, told=False)
        if release:
            # The leases of the killed run, where they still hold; a stale receipt handle is refused, which is as good.
            self._carrier.quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, release, 0))

    # ------------------------------------------------------------ running

    def run(self) -> None:
        """Redrive what the plan says. Ends at `cancel`, at a fatal problem, or when nothing is left to do."""
        last_report = last_look = 0.0
        idle_rounds = 0
        workers: list[threading.Thread] = []
        patience = time.monotonic() + (self.plan.lease_seconds + 5 if self._resumed else 0)
        try:
            while not self._over():
                before = self.ledger.done + self.ledger.failed + self.ledger.unselected
                workers = [
                    threading.Thread(target=self._work, name=f"logq-redrive-{n}", daemon=True)
                    for n in range(self._width)
                ]
                for worker in workers:
                    worker.start()
                while any(worker.is_alive() for worker in workers):
                    next((worker for worker in workers if worker.is_alive()), workers[0]).join(0.1)
                    now = time.monotonic()
                    if now - last_report >= 0.1:
                        last_report = now
                        self._report()
                    if now - last_look >= 1.0:
                        last_look = now
                        if self.journal.cancel_requested(self.job):
                            self._cancel.set()
                        self.journal.progress(self.job, self.ledger.done, self.ledger.failed)
                if self._over():
                    break
                moved = self.ledger.done + self.ledger.failed + self.ledger.unselected > before
                idle_rounds = 0 if moved else idle_rounds + 1
                if not self._more(idle_rounds, patience):
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
            self.journal.put(self.job, ())
        self._report()

    def _more(self, idle_rounds: int, patience: float) -> bool:
        """After every worker found nothing: whether the counts say that something is left, or comes back soon."""
        now = self._carrier.quietly(lambda: counts(self.sqs, self.plan))
        if now is None or now.visible is None:
            return idle_rounds < ROUNDS
        hidden = max(0, (now.in_flight or 0) - self.ledger.held)
        waits = self._resumed and time.monotonic() < patience
        # AWS's counts may lag by a minute: right after a crash they do not prove that the killed run's leases are over.
        if now.visible == 0 and hidden == 0 and not (waits and self.sqs.is_aws):
            self.drained = True
            return False
        if now.visible > 0 and idle_rounds < ROUNDS:
            return True
        if waits:
            # What the killed run had leased and not yet spooled comes back when its lease ends.
            self._note = f"waiting for {hidden:,} in flight, leased by the run that ended"
            self._cancel.wait(0.5)
            return True
        return False

    def _over(self) -> bool:
        return self._cancel.is_set() or self._ended.is_set() or self.ledger.fatal is not None or self.ledger.complete

    def _settle_sent(self) -> None:
        """What the killed run had SENT and is in the queue no more was deleted: only the line saying so was lost."""
        gone = [key for key in self.ledger.in_state(SENT) if key in self._sent_before]
        self.journal.put(self.job, [Entry(key, DELETED, note="the original was gone at the end") for key in gone])
        self.ledger.set(gone, DELETED)

    def _report(self) -> None:
        ledger = self.ledger
        self._on_progress(Progress(self.job, ledger.done, ledger.failed, self.plan.total, ledger.rate(), self._note))

    def _work(self) -> None:
        try:
            self._work_until_nothing()
        except LogqError as error:
            self.ledger.problem(Problem("journal", "JOURNAL", str(error)), fatal=True)
        except Exception as error:
            said = connect.words(error, f"redrive {self.plan.dlq}", self.sqs.settings)
            self.ledger.problem(Problem(f"queue {self.plan.dlq}", connect.code(error), str(said)), fatal=True)

    def _work_until_nothing(self) -> None:
        barren = 0
        while barren < EMPTY_POLLS and not self._over():
            if self.ledger.waiting:
                # Everything planned is with another worker: a long poll now would only hold up the end.
                time.sleep(_WAIT_S)
                continue
            tokens = self._bucket.take(self._over)
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
            sent, fresh = self._handle(got)
            self._bucket.give_back(tokens - sent)
            barren = 0 if fresh else barren + 1
            if self.ledger.held > HELD_MOST:
                why = f"more than {HELD_MOST:,} messages that stay are held in flight; use --limit or --id"
                self.ledger.problem(Problem(f"queue {self.plan.dlq}", "IN_FLIGHT", why), fatal=True)

    def _handle(self, got: Sequence[Received]) -> tuple[int, bool]:
        """Carry out what is to happen to messages just received: how many were to be sent, and whether any was new."""
        take: list[Received] = []
        delete: dict[str, str] = {}
        release: dict[str, str] = {}
        fresh = False
        for message in got:
            verdict, new = self.ledger.claim(message)
            fresh = fresh or new
            if verdict is Verdict.SEND:
                take.append(message)
            elif verdict is Verdict.DELETE:
                delete[message.id] = message.receipt
                self._sent_before.discard(message.id)
            elif verdict is Verdict.OVER:
                release[message.id] = message.receipt
        if delete:
            self._carrier.delete(delete)
        if release:
            self._carrier.quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, release, 0))
        if take:
            try:
                self._carrier.redrive(take)
            finally:
                self.ledger.let_go([message.id for message in take])
        return len(take), fresh

    def _release_held(self) -> None:
        held = self.ledger.take_held()
        self._carrier.quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, held, 0))
