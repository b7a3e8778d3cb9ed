"""Emptying a queue: what is deleted is saved first, unless SQS's own PurgeQueue was asked for.

A message is on the disk before it is deleted. So whatever ends the process, what was deleted can be sent again, and
`resume` goes on with the rest.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from console.errors import LogqError, Refused
from console.journal import Entry, Journal
from console.model import JobState, Outcome, Problem, Progress
from console.ops import redrive_spool as spool
from console.ops.guard import require_writable
from console.ops.purge_plan import PurgePlan, counts, from_json, idle, plan, to_json, view
from console.sqs import connect
from console.sqs import receive as lease
from console.sqs.client import SqsClient
from console.sqs.receive import Received
from console.text import count as counted
from console.text import plural

if TYPE_CHECKING:
    from console.ops.session import Session

__all__ = ["PurgePlan", "idle", "plan", "resume", "run", "to_json", "view"]

SPOOLED, DELETED, FAILED = "SPOOLED", "DELETED", "FAILED"
"""States of a message: saved and about to be deleted; deleted; left, for it could not be saved or deleted."""

CALL = "PurgeQueue"
"""The key of the one entry of a purge by SQS itself."""

ASKED, TAKEN = "ASKED", "TAKEN"

WORKERS = 4
EMPTY_POLLS = 2
DAMAGE_TRIES = 3
SETTLE_S = 65.0
"""How long SQS's own purge is watched: it takes up to 60 s (PurgeQueue in the API reference)."""

_POLL_S = 1.0


def _ignore(progress: Progress) -> None:
    """Where nobody watches."""


def run(
    session: Session,
    planned: PurgePlan,
    cancel: threading.Event | None = None,
    on_progress: Callable[[Progress], None] = _ignore,
) -> Outcome:
    """Do what the plan says, journaled from the first step on. Blocks; `cancel` stops it at the next batch, resumable.

    Raises `Refused` when read-only or when another job has the queue; what goes wrong later is in the outcome.
    """
    require_writable(session.settings, f"purge {planned.queue}")
    sqs = session.require_sqs(planned.queue)
    job = session.journal.create_job(
        "purge",
        planned.source,
        planned.source,
        total=planned.total,
        plan=to_json(planned),
        command=planned.command,
        place=planned.endpoint,
    )
    work = _saving if planned.saved else _by_sqs
    return _ended(session, job.id, lambda: work(sqs, session.journal, job.id, planned, cancel, on_progress))


def resume(
    session: Session,
    job_id: str,
    cancel: threading.Event | None = None,
    on_progress: Callable[[Progress], None] = _ignore,
) -> Outcome:
    """Finish a purge that was interrupted, cancelled or partly done. PurgeQueue is never asked a second time: it would
    also delete what came since.

    Raises `NotFound`, or `Refused` when read-only, when it runs, or when it belongs to another place.
    """
    require_writable(session.settings, f"resume {job_id}")
    session.require_sqs_settings()
    planned = from_json(session.journal.plan(job_id))
    sqs = session.require_sqs(planned.queue)
    if planned.endpoint != sqs.endpoint:
        raise Refused(
            f"{job_id} belongs to {planned.endpoint}, but this run is connected to {sqs.endpoint}; "
            "resume it with the options or the profile it was started with"
        )
    session.journal.take(job_id)
    work = _saving if planned.saved else _watched
    return _ended(session, job_id, lambda: work(sqs, session.journal, job_id, planned, cancel, on_progress))


def _ended(session: Session, job: str, work: Callable[[], Outcome]) -> Outcome:
    """Run a job's work and write down how it ended, whatever ended it."""
    try:
        outcome = work()
    except LogqError as error:
        found = session.journal.counts(job)
        done = found.get(DELETED, 0)
        state: JobState = "partly" if done else "failed"
        session.journal.finish(job, state, done=done, note=str(error), undoable=done > 0)
        lines = (f"stopped: {error}", f"logq job resume {job} goes on where it stopped")
        return Outcome(job, state, done, 0, None, lines, (Problem(f"job {job}", type(error).__name__, str(error)),))
    except BaseException as error:
        # Whatever it is, the queue must not stay locked by a job that nobody runs.
        session.journal.finish(job, "failed", note=f"{type(error).__name__}: {error}"[:500], undoable=True)
        raise
    saved = session.journal.counts(job).get(DELETED, 0) > 0
    session.journal.finish(
        job,
        outcome.state,
        done=outcome.done,
        failed=outcome.failed,
        left=outcome.left,
        note=outcome.lines[0],
        undoable=saved,
    )
    return outcome


# ---------------------------------------------------------------- saved, then deleted


@dataclass(slots=True)
class _Tally:
    """What the workers share; every field is read and changed under `lock`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    deleted: set[str] = field(default_factory=set)
    saved: set[str] = field(default_factory=set)
    """Saved, and not known to be deleted."""

    damaged: dict[str, int] = field(default_factory=dict)
    failed: dict[str, Problem] = field(default_factory=dict)
    fatal: Problem | None = None


def _saving(
    sqs: SqsClient,
    journal: Journal,
    job: str,
    planned: PurgePlan,
    cancel: threading.Event | None,
    on_progress: Callable[[Progress], None],
) -> Outcome:
    stop, tally = cancel or threading.Event(), _Tally()
    before = list(journal.entries(job, data=False))
    tally.deleted = {e.key for e in before if e.state == DELETED}
    tally.saved = {e.key for e in before if e.state == SPOOLED}
    # What an earlier run had saved and perhaps not deleted: a delete more harms nothing.
    _delete(sqs, journal, job, planned, tally, {e.key: e.receipt for e in before if e.state == SPOOLED and e.receipt})

    def over() -> bool:
        enough = planned.total is not None and len(tally.deleted) + len(tally.failed) >= planned.total
        return stop.is_set() or tally.fatal is not None or enough

    def work() -> None:
        try:
            _sweep(sqs, journal, job, planned, tally, over)
        except LogqError as error:
            tally.fatal = Problem("journal", "JOURNAL", str(error))
        except Exception as error:
            said = connect.words(error, f"purge {planned.queue}", sqs.settings)
            tally.fatal = Problem(f"queue {planned.queue}", connect.code(error), str(said))

    # What a killed run had leased and not yet saved comes back when its lease ends.
    patience = time.monotonic() + (planned.lease_seconds + 5 if before else 0)
    began, already = time.monotonic(), len(tally.deleted)
    while True:
        width = 1 if planned.fifo else WORKERS
        workers = [threading.Thread(target=work, name=f"logq-purge-{n}", daemon=True) for n in range(width)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            next((worker for worker in workers if worker.is_alive()), workers[0]).join(0.1)
            if journal.cancel_requested(job):
                stop.set()
            done = len(tally.deleted)
            rate = (done - already) / max(0.1, time.monotonic() - began)
            on_progress(Progress(job, done, len(tally.failed), planned.total, rate))
            journal.progress(job, done, len(tally.failed))
        now = counts(sqs, planned.queue, planned.url)
        waits = time.monotonic() < patience
        # AWS's counts may lag by a minute: right after a crash they do not prove that the killed run's leases are over.
        if not now.visible and not now.in_flight and not over() and not (waits and sqs.is_aws):
            _settle(journal, job, tally, {e.key for e in before if e.state == SPOOLED})
        if over() or not waits or not (now.in_flight or sqs.is_aws):
            break
        on_progress(Progress(job, len(tally.deleted), 0, planned.total, None, "waiting for the ended run's leases"))
        stop.wait(0.5)
    journal.put(job, ())  # what was not waited for is on the disk now
    return _outcome(sqs, job, planned, tally, stop.is_set())


def _settle(journal: Journal, job: str, tally: _Tally, before: set[str]) -> None:
    """What a killed run had saved and is in the queue no more was deleted: only the line saying so was lost."""
    with tally.lock:
        gone = sorted(tally.saved & before)
        tally.deleted.update(gone)
        tally.saved.difference_update(gone)
    journal.put(job, [Entry(key, DELETED, note="it was gone at the end") for key in gone])


def _sweep(
    sqs: SqsClient, journal: Journal, job: str, planned: PurgePlan, tally: _Tally, over: Callable[[], bool]
) -> None:
    """Lease, save and delete until the queue gives nothing more."""
    barren = 0
    while barren < EMPTY_POLLS and not over():
        got = lease.receive(
            sqs.raw(),
            planned.url,
            visibility=planned.lease_seconds,
            wait=1,
            attempt_id=uuid.uuid4().hex if planned.fifo else None,
        )
        barren = 0 if got else barren + 1
        whole = _whole(sqs, journal, job, planned, tally, got)
        if not whole:
            continue
        journal.put(
            job,
            [Entry(m.id, SPOOLED, data=spool.pack(m, planned.queue, None), receipt=m.receipt) for m in whole],
        )
        with tally.lock:
            tally.saved.update(m.id for m in whole)
        _delete(sqs, journal, job, planned, tally, {m.id: m.receipt for m in whole})


def _whole(
    sqs: SqsClient, journal: Journal, job: str, planned: PurgePlan, tally: _Tally, got: Sequence[Received]
) -> list[Received]:
    """The messages that came whole, by their MD5. A damaged one is read again, and after three times left."""
    whole, again = [], {}
    for message in got:
        wrong = lease.damage(message)
        if wrong is None:
            whole.append(message)
            continue
        with tally.lock:
            tally.damaged[message.id] = tally.damaged.get(message.id, 0) + 1
            tried = tally.damaged[message.id]
        if tried < DAMAGE_TRIES:
            again[message.id] = message.receipt
        else:
            journal.put(job, [Entry(message.id, FAILED, note=wrong)])
            with tally.lock:
                tally.failed[message.id] = Problem(f"message {message.id}", "MD5", wrong)
    if again:
        lease.extend(sqs.raw(), planned.url, again, 0)
    return whole


def _delete(
    sqs: SqsClient, journal: Journal, job: str, planned: PurgePlan, tally: _Tally, receipts: dict[str, str]
) -> None:
    """Delete what is saved. What fails twice stays SPOOLED: it comes back to sight when its lease ends."""
    if not receipts:
        return
    failed = lease.delete(sqs.raw(), planned.url, receipts)
    if failed:
        failed = lease.delete(sqs.raw(), planned.url, {key: receipts[key] for key in failed})
    gone = [key for key in receipts if key not in failed]
    # Not waited for: should this line be lost, the message reads SPOOLED and a resume deletes it once more.
    journal.put(job, [Entry(key, DELETED) for key in gone], wait=False)
    with tally.lock:
        tally.deleted.update(gone)
        tally.saved.difference_update(gone)


def _outcome(sqs: SqsClient, job: str, planned: PurgePlan, tally: _Tally, cancelled: bool) -> Outcome:
    done, failed = len(tally.deleted), len(tally.failed)
    now = _visible(sqs, planned)
    problems = [*tally.failed.values(), *([tally.fatal] if tally.fatal else [])]
    lines = [f"{plural(done, 'message')} of {planned.queue} saved and deleted"]
    if tally.fatal is not None:
        lines.append(f"stopped: {tally.fatal.message}")
    if failed:
        lines.append(f"{plural(failed, 'message')} left: {next(iter(tally.failed.values())).message}")
    if tally.saved:
        lines.append(f"{plural(len(tally.saved), 'message')} saved, but perhaps not deleted: named in the receipt")
    before = "–" if planned.visible is None else counted(planned.visible)
    lines.append(
        f"{planned.queue}: {before} visible when planned, {'–' if now is None else counted(now)} now (approximate)"
    )
    left = max(0, planned.total - done - failed) if planned.total is not None else now
    # Asked to stop when the last batch was on its way: nothing planned is left to resume.
    stopped = cancelled and not (planned.total is not None and left == 0)
    reached = not stopped and tally.fatal is None
    if reached and left and not now:
        lines.append(f"{plural(left, 'message')} of those counted were not in the queue any more, or in flight")
        left = 0
    state: JobState
    if reached and not left and not failed and not tally.saved:
        state = "done"
    elif cancelled and left:
        state = "cancelled"
    else:
        state = "partly" if done else "failed"
    if state != "done":
        lines.append(f"logq job resume {job} goes on where it stopped")
    if done:
        lines.append(f"logq job undo {job} sends them to {planned.queue} again; logq job receipt {job} names them")
    return Outcome(job, state, done, failed, left, tuple(lines), tuple(problems))


def _visible(sqs: SqsClient, planned: PurgePlan) -> int | None:
    try:
        return counts(sqs, planned.queue, planned.url).visible
    except LogqError:
        return None


# ---------------------------------------------------------------- by SQS itself


def _by_sqs(
    sqs: SqsClient,
    journal: Journal,
    job: str,
    planned: PurgePlan,
    cancel: threading.Event | None,
    on_progress: Callable[[Progress], None],
) -> Outcome:
    """PurgeQueue, once. It cannot be stopped, so `cancel` only ends the watching."""
    journal.put(job, [Entry(CALL, ASKED)])

    def ask() -> str:
        try:
            sqs.sender().purge_queue(QueueUrl=planned.url)
        except Exception as error:
            if "PurgeQueueInProgress" in connect.code(error):
                return "another purge of it ran within the last 60 s, and SQS takes one a minute; try again then"
            raise
        return ""

    busy = sqs.bounded(f"purge {planned.queue}", ask, max(30.0, sqs.timeout))
    if busy:
        journal.put(job, [Entry(CALL, FAILED, note=busy)])
        problem = Problem(f"queue {planned.queue}", "PurgeQueueInProgress", busy)
        return Outcome(job, "failed", 0, 0, planned.total, (f"nothing was deleted: {busy}",), (problem,))
    journal.put(job, [Entry(CALL, TAKEN)])
    return _watched(sqs, journal, job, planned, cancel, on_progress)


def _watched(
    sqs: SqsClient,
    journal: Journal,
    job: str,
    planned: PurgePlan,
    cancel: threading.Event | None,
    on_progress: Callable[[Progress], None],
) -> Outcome:
    """Follow the counts after a purge was asked for, until they are 0 or the time SQS takes is over."""
    stop = cancel or threading.Event()
    taken = next((e for e in journal.entries(job) if e.key == CALL), None)
    total = planned.total or 0
    ends = time.monotonic() + SETTLE_S
    held: int | None = None
    while True:
        try:
            now = counts(sqs, planned.queue, planned.url)
            held = (now.visible or 0) + (now.in_flight or 0) + (now.delayed or 0)
        except LogqError:
            held = None
        gone = 0 if held is None else max(0, total - held)
        on_progress(Progress(job, gone, 0, planned.total, None, "SQS empties it"))
        if held == 0 or time.monotonic() > ends or stop.wait(_POLL_S) or journal.cancel_requested(job):
            break
    lines = []
    state: JobState
    if held == 0:
        state = "done"
        lines.append(f"{planned.queue} is empty; SQS deleted ~{counted(total)} messages")
    elif taken is not None and taken.state == TAKEN:
        state = "partly"
        many = "an unknown number of" if held is None else counted(held)
        lines.append(f"SQS took the purge; {many} messages are still counted: counts lag, or they came since")
    else:
        state = "failed"
        lines.append(f"it is not known whether SQS took the purge, and {planned.queue} is not empty: plan it anew")
    lines.append("what was deleted is gone: it was not saved")
    return Outcome(job, state, gone, 0, held, tuple(lines))
