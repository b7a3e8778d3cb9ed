"""The client engine of a redrive: lease, spool, INTENT, send, SENT, delete, DELETED.

What is journaled is on the disk before the step it speaks of. So whatever ends the process, `resume` knows of every
message that it was not sent, was sent, or may have been sent; the last are named ambiguous, and nothing is lost.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from console.errors import LogqError
from console.journal import Entry, Journal
from console.model import Problem, Progress
from console.ops import redrive_spool as spool
from console.ops.redrive_filter import Where
from console.ops.redrive_ledger import AMBIGUOUS, DELETED, FAILED, INTENT, SENT, SPOOLED, Bucket, Ledger, Verdict
from console.ops.redrive_plan import Destination, RedrivePlan, counts
from console.sqs import connect, inspect
from console.sqs import receive as lease
from console.sqs import send as sending
from console.sqs.client import SqsClient
from console.sqs.receive import Received
from console.sqs.send import Fate, Outgoing, Result

WORKERS = 8
EMPTY_POLLS = 2
"""Empty long polls in a row before one worker believes it; all must, and then the counts are asked."""

ROUNDS = 5
"""How often the workers go again when the counts say that something is left and a round moved nothing."""

MARGIN_S = 15.0
"""With less than this left of a lease nothing is sent: it is extended first."""

FIFO_WINDOW_S = 270.0
"""SQS remembers deduplication ids for 5 minutes; half a minute is left for clocks and the way there."""

HELD_MOST = 100_000
"""SQS allows about 120,000 messages in flight a queue."""

END_S = 45.0
"""How long the end of a run waits for the batches in hand; longer than a send waits for its answer."""

_THROTTLED_WAITS = (0.2, 0.5, 1.0, 2.0, 4.0)
_DAMAGE_TRIES = 3
_WAIT_S = 0.02


@dataclass(frozen=True, slots=True)
class _Job:
    """One message on its way: what was received, where it goes, and the form it is sent in."""

    message: Received
    to: Destination
    out: Outgoing


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
        self._cancel = cancel
        self._on_progress = on_progress
        self._bucket = Bucket(planned.rate)
        self._by_name = {destination.name: destination for destination in planned.destinations}
        self._intent_at: dict[str, float] = {}
        # No more than have a batch to fetch: an idle one would hold up the end with its long poll.
        most = planned.count if planned.count is not None else WORKERS * lease.BATCH
        self._width = max(1, min(WORKERS, -(-most // lease.BATCH)))
        self._margin = min(MARGIN_S, planned.lease_seconds / 4)
        self._note = ""
        self._resumed = False
        self._ended = threading.Event()
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
                    self._intent_at[entry.key] = entry.at
                else:
                    unsure.append(entry.key)
        if unsure:
            self._journal_ambiguous(unsure, "the run ended between INTENT and SENT")
        if delete:
            # Most of these are gone already; what is not comes to sight again.
            self._delete(delete, told=False)
        if release:
            # The leases of the killed run, where they still hold; a stale receipt handle is refused, which is as good.
            self._quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, release, 0))

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
        now = self._quietly(lambda: counts(self.sqs, self.plan))
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
        """What was SENT and is in the queue no more was deleted: only the line that says so was lost."""
        gone = self.ledger.in_state(SENT)
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
            elif verdict is Verdict.OVER:
                release[message.id] = message.receipt
        if delete:
            self._delete(delete)
        if release:
            self._quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, release, 0))
        if take:
            try:
                self._redrive(take)
            finally:
                self.ledger.let_go([message.id for message in take])
        return len(take), fresh

    # ------------------------------------------------------------ one batch

    def _redrive(self, messages: Sequence[Received]) -> None:
        jobs = self._prepared(messages)
        if not self.plan.fifo:
            for to in dict.fromkeys(job.to for job in jobs):
                mine = {job.message.id: job for job in jobs if job.to == to}
                for batch in sending.cut([job.out for job in mine.values()], sending.batch_limit(to.max_size)):
                    self._carry(to, [mine[out.id] for out in batch])
            return
        # One entry of a group at a time: in a batch that fails in part, a later one would overtake.
        stopped: set[str] = set()
        while jobs:
            heads: dict[str, _Job] = {}
            for job in jobs:
                heads.setdefault(job.message.group_id or "", job)
            jobs = [job for job in jobs if heads[job.message.group_id or ""] is not job]
            for to in dict.fromkeys(job.to for job in heads.values()):
                mine = {job.message.id: job for job in heads.values() if job.to == to}
                for batch in sending.cut([job.out for job in mine.values()], sending.batch_limit(to.max_size)):
                    arrived = self._carry(to, [mine[out.id] for out in batch])
                    stopped |= {mine[out.id].message.group_id or "" for out in batch if out.id not in arrived}
            for group in stopped:
                self.ledger.stop_group(group)
            # Kept leased, so that the group stays blocked and nothing of it is read again.
            self.ledger.hold([job.message for job in jobs if (job.message.group_id or "") in stopped], behind=True)
            jobs = [job for job in jobs if (job.message.group_id or "") not in stopped]

    def _prepared(self, messages: Sequence[Received]) -> list[_Job]:
        """The messages that can be sent. On a FIFO queue nothing of a group that stands behind one that cannot."""
        jobs: list[_Job] = []
        blocked: dict[str, str] = {}
        groups: set[str | None] = set()
        for message in messages:
            if self.plan.fifo and message.group_id in groups:
                blocked[message.id] = message.receipt
            elif (job := self._prepare(message)) is not None:
                jobs.append(job)
            else:
                groups.add(message.group_id)
        if blocked:
            self._quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, blocked, 0))
        return jobs

    def _prepare(self, message: Received) -> _Job | None:
        """Check a message before it is sent; None when it stays (released or quarantined)."""
        wrong = lease.damage(message)
        if wrong is not None:
            if self.ledger.damaged(message.id) < _DAMAGE_TRIES:
                self._quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, {message.id: message.receipt}, 0))
            else:
                self._quarantine(message, "", Problem(f"message {message.id}", "MD5", wrong))
            return None
        to = self._destination(message)
        if to is None:
            why = "it does not tell its source (DeadLetterQueueSourceArn); redrive it with --to"
            self._quarantine(message, "", Problem(f"message {message.id}", "NO_SOURCE", why))
            return None
        own = spool.dedup_id(self.plan.arn, message.id, self.job) if self.plan.fifo else None
        out = spool.outgoing(message, self.plan.fifo, own)
        limit = to.max_size if to.max_size is not None else sending.LARGE_BATCH_BYTES
        if out.size > limit:
            why = f"it has {out.size:,} bytes, {to.name} takes {limit:,}"
            self._quarantine(message, to.name, Problem(f"message {message.id}", "TOO_LARGE", why))
            return None
        return _Job(message, to, out)

    def _destination(self, message: Received) -> Destination | None:
        if len(self.plan.destinations) == 1:
            return self.plan.destinations[0]
        arn = message.system.get("DeadLetterQueueSourceArn")
        return self._by_name.get(inspect.name_of(arn)) if arn else None

    def _quarantine(self, message: Received, to: str, problem: Problem) -> None:
        data = spool.pack(message, to, None)
        self.journal.put(
            self.job, [Entry(message.id, FAILED, data=data, receipt=message.receipt, note=problem.message)]
        )
        self.ledger.set([message.id], FAILED)
        self.ledger.hold([message])
        self.ledger.problem(problem)
        if self.plan.fifo and message.group_id is not None:
            self.ledger.stop_group(message.group_id)

    def _carry(self, to: Destination, jobs: list[_Job]) -> set[str]:
        """Spool, journal INTENT, send, journal SENT, delete: one batch to one queue. The ids that arrived."""
        jobs = self._with_lease(to, jobs)
        if not jobs:
            return set()
        now = time.time()
        late = [job.message.id for job in jobs if now - self._intent_at.get(job.message.id, now) > FIFO_WINDOW_S]
        if late:
            self._journal_ambiguous(late, "sent again after the 5 minutes in which a FIFO queue knows duplicates")
        # One commit says both: the whole message is on the disk, and it is about to be sent.
        self.journal.put(
            self.job,
            [
                Entry(
                    job.message.id, INTENT, at=self._intent_at.get(job.message.id, now),
                    data=spool.pack(job.message, to.name, job.out.dedup_id), receipt=job.message.receipt,
                )
                for job in jobs
            ],
        )  # fmt: skip
        self.ledger.set([job.message.id for job in jobs], INTENT)
        results = self._send(to, jobs)
        return self._settle(to, jobs, results)

    def _with_lease(self, to: Destination, jobs: list[_Job]) -> list[_Job]:
        """The messages whose lease lasts long enough to send them, extended where a third of it is gone."""
        now = time.monotonic()
        due = {j.message.id: j.message.receipt for j in jobs if j.message.until - now < self.plan.lease_seconds * 2 / 3}
        if not due:
            return jobs
        failed = self._quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, due, self.plan.lease_seconds))
        kept: list[_Job] = []
        lost: list[_Job] = []
        for job in jobs:
            if job.message.id in due and failed is not None and job.message.id not in failed:
                job = replace(job, message=replace(job.message, until=now + self.plan.lease_seconds))
            (kept if job.message.until - time.monotonic() >= self._margin else lost).append(job)
        if lost:
            # Spooled, but not sent: it comes back when its lease has ended, and is leased anew.
            self.journal.put(
                self.job,
                [Entry(j.message.id, SPOOLED, data=spool.pack(j.message, to.name, j.out.dedup_id)) for j in lost],
            )
            self.ledger.set([job.message.id for job in lost], SPOOLED)
        return kept

    def _send(self, to: Destination, jobs: Sequence[_Job]) -> dict[str, Result]:
        """Send, again where it is certain that it was not sent (throttled), and once more where it is not known."""
        outs = [job.out for job in jobs]
        results = sending.send(self.sqs.sender(), to.url, outs)
        for wait in _THROTTLED_WAITS:
            again = [out for out in outs if results[out.id].throttled]
            if not again or self._lease_left(jobs) < self._margin + wait:
                break
            time.sleep(wait)
            results |= sending.send(self.sqs.sender(), to.url, again)
        unknown = [out for out in outs if results[out.id].fate is Fate.UNKNOWN]
        if unknown and self._lease_left(jobs) >= self._margin:
            if not self.plan.fifo:
                why = results[unknown[0].id].problem
                self._journal_ambiguous([out.id for out in unknown], why.message if why else "the answer was lost")
            results |= sending.send(self.sqs.sender(), to.url, unknown)
        return results

    def _lease_left(self, jobs: Sequence[_Job]) -> float:
        return min(job.message.until for job in jobs) - time.monotonic()

    def _settle(self, to: Destination, jobs: Sequence[_Job], results: dict[str, Result]) -> set[str]:
        arrived: dict[str, str] = {}
        entries: list[Entry] = []
        copies: list[str] = []
        refused: list[tuple[_Job, Problem]] = []
        unsent: list[str] = []
        unsure: list[str] = []
        for job in jobs:
            key, result = job.message.id, results[job.message.id]
            problem = result.problem or Problem(f"message {key}", "UNKNOWN", "no answer")
            if result.fate is Fate.SENT:
                arrived[key] = job.message.receipt
                entries.append(Entry(key, SENT, result=result.message_id))
                copies += [result.message_id] if result.message_id else []
            elif result.fate in (Fate.REFUSED, Fate.DAMAGED):
                refused.append((job, problem))
                entries.append(Entry(key, FAILED, result=result.message_id, note=problem.message))
            elif result.fate is Fate.NOT_SENT:
                unsent.append(key)
                # Journaled ambiguity of an earlier try stays: only this try is known not to have arrived.
                entries.append(Entry(key, AMBIGUOUS if key in self.ledger.ambiguous else SPOOLED))
                self.ledger.problem(replace(problem, where=f"queue {to.name}"), fatal=True)
            else:
                unsure.append(key)
                self.ledger.problem(replace(problem, where=f"queue {to.name}"), fatal=True)
        if unsure and not self.plan.fifo:
            self._journal_ambiguous(unsure, "no answer, twice")
        self.journal.put(self.job, entries)
        self.ledger.set(arrived, SENT, copies)
        self.ledger.set([job.message.id for job, _ in refused], FAILED)
        self.ledger.set(unsent, SPOOLED)
        self.ledger.hold([job.message for job, _ in refused])
        for _, problem in refused:
            self.ledger.problem(problem)
        if arrived:
            self._delete(arrived)
        return set(arrived)

    def _delete(self, receipts: dict[str, str], told: bool = True) -> None:
        """Delete originals whose copies have arrived. What fails twice stays SENT: the next sight deletes."""
        try:
            failed = lease.delete(self.sqs.raw(), self.plan.url, receipts)
            if failed and told:
                failed = lease.delete(self.sqs.raw(), self.plan.url, {key: receipts[key] for key in failed})
        except Exception as error:
            said = connect.words(error, f"delete from {self.plan.dlq}", self.sqs.settings)
            self.ledger.problem(Problem(f"queue {self.plan.dlq}", connect.code(error), str(said)), fatal=True)
            return
        for problem in failed.values() if told else ():
            self.ledger.problem(replace(problem, message=f"sent, but not deleted: {problem.message}"))
        gone = [key for key in receipts if key not in failed]
        # Not waited for: should this line be lost, the message reads SENT and a resume only deletes it once more.
        self.journal.put(self.job, [Entry(key, DELETED) for key in gone], wait=False)
        self.ledger.set(gone, DELETED)

    def _journal_ambiguous(self, keys: Sequence[str], why: str) -> None:
        self.journal.put(self.job, [Entry(key, AMBIGUOUS, ambiguous=True, note=why) for key in keys])
        self.ledger.set(keys, AMBIGUOUS)
        self.ledger.mark_ambiguous(keys)

    def _release_held(self) -> None:
        held = self.ledger.take_held()
        self._quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, held, 0))

    def _quietly(self, work: Callable[[], Any]) -> Any:
        """Something that is only a kindness to others (a release) or has another way: its failure is kept as data."""
        try:
            return work()
        except Exception as error:
            said = connect.words(error, f"work on {self.plan.dlq}", self.sqs.settings)
            self.ledger.problem(Problem(f"queue {self.plan.dlq}", connect.code(error), str(said)))
            return None
