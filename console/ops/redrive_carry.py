"""The steps of the client engine for one batch: spool, INTENT, send, SENT, delete, DELETED.

What is journaled is on the disk before the step it speaks of.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import structs

from console.journal import Entry, Journal
from console.model import Problem
from console.ops import redrive_spool as spool
from console.ops.redrive_edit import Edit, Unfit
from console.ops.redrive_ledger import AMBIGUOUS, DELETED, FAILED, INTENT, SENT, SPOOLED, Ledger
from console.ops.redrive_plan import Destination, RedrivePlan
from console.sqs import connect, inspect
from console.sqs import receive as lease
from console.sqs import send as sending
from console.sqs.client import SqsClient
from console.sqs.receive import Received
from console.sqs.send import Fate, Outgoing, Result

if TYPE_CHECKING:
    from console.ops.redrive_kafka import TopicSender

MARGIN_S = 15.0
"""With less than this left of a lease nothing is sent: it is extended first."""

FIFO_WINDOW_S = 270.0
"""SQS remembers deduplication ids for 5 minutes; half a minute is left for clocks and the way there."""

_THROTTLED_WAITS = (0.2, 0.5, 1.0, 2.0, 4.0)
_DAMAGE_TRIES = 3


@dataclass(frozen=True, slots=True)
class _Job:
    """One message on its way: what was received, where it goes, and the form it is sent in."""

    message: Received
    to: Destination
    out: Outgoing


class Carrier:
    """Carries batches of one job; used by all workers at once, what they share is in the ledger."""

    def __init__(
        self,
        sqs: SqsClient,
        journal: Journal,
        job: str,
        planned: RedrivePlan,
        ledger: Ledger,
        topics: TopicSender | None = None,
    ) -> None:
        """`topics` sends to Kafka where the plan's destination is a topic."""
        self.sqs = sqs
        self._topics = topics
        self._edit = Edit(planned.sets, planned.unsets) if planned.sets or planned.unsets else None
        self.journal = journal
        self.job = job
        self.plan = planned
        self.ledger = ledger
        self.intent_at: dict[str, float] = {}
        self._by_name = {destination.name: destination for destination in planned.destinations}
        self._margin = min(MARGIN_S, planned.lease_seconds / 4)

    def redrive(self, messages: Sequence[Received]) -> None:
        """Take claimed messages the whole way; what cannot go stays, with its reason in the ledger."""
        jobs = self._prepared(messages)
        if not self.plan.fifo:
            for to in dict.fromkeys(job.to for job in jobs):
                mine = {job.message.id: job for job in jobs if job.to == to}
                for batch in sending.cut([job.out for job in mine.values()], sending.batch_limit(to.max_size)):
                    self._carry(to, [mine[out.id] for out in batch])
            return
        # One entry of a group at a time: in a batch that fails in part, a later one would overtake.
        stopped: dict[str, bool] = {}
        while jobs:
            heads: dict[str, _Job] = {}
            for job in jobs:
                heads.setdefault(job.message.group_id or "", job)
            jobs = [job for job in jobs if heads[job.message.group_id or ""] is not job]
            for to in dict.fromkeys(job.to for job in heads.values()):
                mine = {job.message.id: job for job in heads.values() if job.to == to}
                for batch in sending.cut([job.out for job in mine.values()], sending.batch_limit(to.max_size)):
                    arrived = self._carry(to, [mine[out.id] for out in batch])
                    unfinished = self.ledger.states
                    for out in batch:
                        if out.id not in arrived:
                            group = mine[out.id].message.group_id or ""
                            stopped[group] = stopped.get(group, False) or out.id not in unfinished
            behind = [job.message for job in jobs if (job.message.group_id or "") in stopped]
            jobs = [job for job in jobs if (job.message.group_id or "") not in stopped]
            # Where only the lease was too short the group comes again, its head first; else it stays as it is, leased,
            # so that it is blocked and nothing of it is read again.
            soon = {g for g, for_good in stopped.items() if not for_good} if self.ledger.stalled is None else set()
            for group in stopped.keys() - soon:
                self.ledger.stop_group(group, stopped[group])
            self.ledger.hold([m for m in behind if (m.group_id or "") not in soon], behind=True)
            if again := {m.id: m.receipt for m in behind if (m.group_id or "") in soon}:
                self.quietly(partial(lease.extend, self.sqs.raw(), self.plan.url, again, 0))

    def _prepared(self, messages: Sequence[Received]) -> list[_Job]:
        """The messages that can be sent. On a FIFO queue nothing of a group that stands behind one that cannot."""
        jobs: list[_Job] = []
        blocked: list[Received] = []
        groups: set[str | None] = set()
        for message in messages:
            if self.plan.fifo and message.group_id in groups:
                blocked.append(message)
            elif (job := self._prepare(message)) is not None:
                jobs.append(job)
            else:
                groups.add(message.group_id)
        # Behind one that failed they stay, leased until the end; behind one that is read again they come with it.
        self.ledger.hold([m for m in blocked if self.ledger.is_stopped(m.group_id)], behind=True)
        if again := {m.id: m.receipt for m in blocked if not self.ledger.is_stopped(m.group_id)}:
            self.quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, again, 0))
        return jobs

    def _prepare(self, message: Received) -> _Job | None:
        """Check a message before it is sent; None when it stays (released or quarantined)."""
        wrong = lease.damage(message)
        if wrong is not None:
            if self.ledger.damaged(message.id) < _DAMAGE_TRIES:
                self.quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, {message.id: message.receipt}, 0))
            else:
                self._quarantine(message, "", Problem(f"message {message.id}", "MD5", wrong))
            return None
        to = self._destination(message)
        if to is None:
            why = "it does not tell its source (DeadLetterQueueSourceArn); redrive it with --to"
            self._quarantine(message, "", Problem(f"message {message.id}", "NO_SOURCE", why))
            return None
        edited = message
        if self._edit is not None:
            try:
                edited = self._edit(message)
            except Unfit as unfit:
                self._quarantine(message, to.name, Problem(f"message {message.id}", "UNFIT", str(unfit)))
                return None
        digest = self._edit.digest if self._edit is not None else ""
        own = spool.dedup_id(self.plan.arn, message.id, self.job, digest) if self.plan.to_fifo else None
        out = spool.outgoing(edited, self.plan.to_fifo, own)
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
            self.ledger.stop_group(message.group_id, for_good=True)

    def _carry(self, to: Destination, jobs: list[_Job]) -> set[str]:
        """Spool, journal INTENT, send, journal SENT, delete: one batch to one queue. The ids that arrived."""
        jobs = self._with_lease(to, jobs)
        if not jobs:
            return set()
        now = time.time()
        # Not only too long ago: a clock that was set back meanwhile does not tell how long it was.
        late = [
            job.message.id for job in jobs if not 0 <= now - self.intent_at.get(job.message.id, now) <= FIFO_WINDOW_S
        ]
        if late:
            self.ambiguous(late, "sent again after the 5 minutes in which a FIFO queue knows duplicates")
        # One commit says both: the whole message is on the disk, and it is about to be sent.
        self.journal.put(
            self.job,
            [
                Entry(
                    job.message.id, INTENT, at=self.intent_at.get(job.message.id, now),
                    data=spool.pack(job.message, to.name, job.out.dedup_id, job.out), receipt=job.message.receipt,
                )
                for job in jobs
            ],
        )  # fmt: skip
        self.ledger.set([job.message.id for job in jobs], INTENT)
        sent = self.ledger.on_the_way.begin(job.out.body for job in jobs)
        try:
            results = self._send(to, jobs)
            arrived = self._settle(to, jobs, results)
        finally:
            self.ledger.on_the_way.end(sent)
        if arrived:
            self.delete(self.ledger.newest(arrived))
        return set(arrived)

    def _with_lease(self, to: Destination, jobs: list[_Job]) -> list[_Job]:
        """The messages whose lease lasts long enough to send them, extended where a third of it is gone."""
        now = time.monotonic()
        due = {j.message.id: j.message.receipt for j in jobs if j.message.until - now < self.plan.lease_seconds * 2 / 3}
        if not due:
            return jobs
        failed = self.quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, due, self.plan.lease_seconds))
        kept: list[_Job] = []
        lost: list[_Job] = []
        for job in jobs:
            if job.message.id in due and failed is not None and job.message.id not in failed:
                job = replace(job, message=replace(job.message, until=now + self.plan.lease_seconds))
            (kept if job.message.until - time.monotonic() >= self._margin else lost).append(job)
        if lost:
            # Spooled, but not sent: released, to be leased anew.
            self.journal.put(
                self.job,
                [Entry(j.message.id, SPOOLED, data=spool.pack(j.message, to.name, j.out.dedup_id)) for j in lost],
            )
            self.ledger.set([job.message.id for job in lost], SPOOLED)
            stale = {job.message.id: job.message.receipt for job in lost}
            self.quietly(lambda: lease.extend(self.sqs.raw(), self.plan.url, stale, 0))
        return kept

    def _send(self, to: Destination, jobs: Sequence[_Job]) -> dict[str, Result]:
        """Send; again where it is certain that it was not sent (throttled), and where a second copy cannot be."""
        outs = [job.out for job in jobs]
        if self._topics is not None:
            # The producer has tried for as long as it may; what it does not know the topic will tell.
            return self._topics.send(to.name, outs)
        results = sending.send(self.sqs.sender(), to.url, outs)
        for wait in _THROTTLED_WAITS:
            again = [out for out in outs if results[out.id].throttled]
            if not again or self._lease_left(jobs) < self._margin + wait:
                break
            time.sleep(wait)
            results |= sending.send(self.sqs.sender(), to.url, again)
        unknown = [out for out in outs if results[out.id].fate is Fate.UNKNOWN]
        if unknown and self.plan.to_fifo and self._lease_left(jobs) >= self._margin:
            # The queue knows them by their deduplication ids. Elsewhere they are looked for before they are sent again.
            results |= sending.send(self.sqs.sender(), to.url, unknown)
        return results

    def _lease_left(self, jobs: Sequence[_Job]) -> float:
        return min(job.message.until for job in jobs) - time.monotonic()

    def _settle(self, to: Destination, jobs: Sequence[_Job], results: dict[str, Result]) -> dict[str, str]:
        """Journal what became of a batch; the receipt handles of those that arrived, by id."""
        arrived: dict[str, str] = {}
        entries: list[Entry] = []
        refused: list[tuple[_Job, Problem]] = []
        unsent: list[_Job] = []
        for job in jobs:
            key, result = job.message.id, results[job.message.id]
            problem = result.problem or Problem(f"message {key}", "UNKNOWN", "no answer")
            if result.fate is Fate.SENT:
                arrived[key] = job.message.receipt
                entries.append(Entry(key, SENT, result=result.message_id))
            elif result.fate in (Fate.REFUSED, Fate.DAMAGED):
                refused.append((job, problem))
                entries.append(Entry(key, FAILED, result=result.message_id, note=problem.message))
            elif result.fate is Fate.NOT_SENT:
                unsent.append(job)
                # Journaled ambiguity of an earlier try stays: only this try is known not to have arrived.
                entries.append(Entry(key, AMBIGUOUS if key in self.ledger.ambiguous else SPOOLED))
                self.stop(self._of_place(to, problem, result), result.passing)
            else:
                # It stays INTENT, until it has been looked for.
                self.stop(self._of_place(to, problem, result), result.passing)
        self.journal.put(self.job, entries)
        self.ledger.set(arrived, SENT)
        self.ledger.set([job.message.id for job, _ in refused], FAILED)
        self.ledger.set([job.message.id for job in unsent], SPOOLED)
        self.ledger.keep_unsent([job.message for job in unsent])
        self.ledger.hold([job.message for job, _ in refused])
        for _, problem in refused:
            self.ledger.problem(problem)
        return arrived

    def _of_place(self, to: Destination, problem: Problem, result: Result) -> Problem:
        """What stood in the way of a whole call, in our words: it is of the destination, not of one message."""
        if result.cause is not None:
            said = connect.words(result.cause, f"send to {to.name}", self.sqs.settings)
            problem = structs.replace(problem, message=str(said))
        return structs.replace(problem, where=f"{to.kind} {to.name}")

    def delete(self, receipts: dict[str, str], told: bool = True) -> None:
        """Delete originals whose copies have arrived. What fails twice stays SENT: the next sight deletes."""
        try:
            failed = lease.delete(self.sqs.raw(), self.plan.url, receipts)
            if failed and told:
                failed = lease.delete(self.sqs.raw(), self.plan.url, {key: receipts[key] for key in failed})
        except Exception as error:
            said = connect.words(error, f"delete from {self.plan.dlq}", self.sqs.settings)
            self.stop(Problem(f"queue {self.plan.dlq}", connect.code(error), str(said)), connect.passing(error))
            return
        for problem in failed.values() if told else ():
            self.ledger.problem(structs.replace(problem, message=f"sent, but not deleted: {problem.message}"))
        gone = [key for key in receipts if key not in failed]
        # Not waited for: should this line be lost, the message reads SENT and a resume only deletes it once more.
        self.journal.put(self.job, [Entry(key, DELETED) for key in gone], wait=False)
        self.ledger.set(gone, DELETED)

    def ambiguous(self, keys: Sequence[str], why: str, since: Mapping[str, float] | None = None) -> None:
        """Name messages of which it is not known whether they were sent; on the disk when this returns.

        `since` is when they may have been sent first (epoch seconds), where that is not now.
        """
        at = since or {}
        self.journal.put(
            self.job, [Entry(key, AMBIGUOUS, at=at.get(key, 0.0), ambiguous=True, note=why) for key in keys]
        )
        self.ledger.set(keys, AMBIGUOUS)
        self.ledger.mark_ambiguous(keys)

    def stop(self, problem: Problem, passing: bool) -> None:
        """Nothing more can be sent for now; where that is not `passing`, in this run."""
        if passing:
            self.ledger.stall(problem)
        else:
            self.ledger.problem(problem, fatal=True)

    def quietly(self, work: Callable[[], Any]) -> Any:
        """Something that is only a kindness to others (a release) or has another way: its failure is kept as data."""
        try:
            return work()
        except Exception as error:
            said = connect.words(error, f"work on {self.plan.dlq}", self.sqs.settings)
            self.ledger.problem(Problem(f"queue {self.plan.dlq}", connect.code(error), str(said)))
            return None
