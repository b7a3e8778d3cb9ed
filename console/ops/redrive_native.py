"""The native engine of a redrive: a move task of the server, followed, and judged by the counts before and after.

The task goes on when logq dies; `resume` finds it again in the list or in the counts. COMPLETED alone proves nothing:
counters lag on AWS, and a server may report success without having moved anything.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial

from console.errors import Failed, LogqError
from console.journal import Entry, Journal
from console.model import JobState, Progress
from console.ops.redrive_plan import RedrivePlan, counts
from console.sqs import move
from console.sqs.client import SqsClient
from console.sqs.move import Task

TASK = "task"
"""The key of the one journal entry of a native redrive: INTENT before the start, SENT once SQS has answered."""

CANCELLED = "CANCELLED"

UNKNOWN = "UNKNOWN"
"""The status of a task that the server does not list."""

POLL_S = 0.5
SETTLE_S = 20.0
"""How long counts are given to agree with the task's end; on AWS they may lag up to a minute, and the words say so."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a move task began with, as the journal keeps it: the counts, None where they could not be had.

    `before` is what was visible in the dead-letter queue, `held` what the destinations held, `earlier` what tasks of
    this job had moved that were cancelled before.
    """

    before: int | None
    at: float
    earlier: int
    held: int | None = None

    @property
    def total(self) -> int | None:
        """How many the job moves in all, as far as is known."""
        return None if self.before is None else self.earlier + self.before


@dataclass(frozen=True, slots=True)
class Moved:
    """How far a move task is, or how it ended: by what it tells, and by the counts, None where they could not be had.

    `after` is what is visible in the dead-letter queue, `arrived` by how many its destinations have grown. `final` says
    that the server still lists the task, so that `told` is its own last word; a cancelled one vanishes from some lists.
    `stopped` says that somebody asked it to end. `seen` is how many were known to be moved on the way.
    """

    status: str
    begun: Begun
    after: int | None
    told: int | None
    arrived: int | None = None
    failure: str = ""
    final: bool = True
    stopped: bool = False
    seen: int = 0

    @property
    def gone(self) -> int | None:
        """How many left the dead-letter queue, by whatever: the task, a purge, somebody who reads and deletes."""
        if self.begun.before is None or self.after is None:
            return None
        return max(0, self.begun.before - self.after)

    @property
    def moved(self) -> int:
        """How many this task is known to have moved: never more than left the queue, nor than is told of.

        What left the queue need not have been moved, so the counts alone prove nothing, and neither does the task's own
        counter. It is believed as far as the counts bear it out. Where it tells 0, as it may long after messages have
        arrived and on some servers always does, or is not listed any more, what the destinations have grown by
        stands in: that may be too little (their consumers take) and, beside busy producers, too much. What was known
        once stays known: letters that arrive in the queue meanwhile hide what has left it.
        """
        told = self.told or 0
        if not self.final or not told:
            told = max(told, self.arrived or 0)
        return max(self.seen, told if self.gone is None else min(told, max(self.gone, self.arrived or 0)))

    @property
    def done(self) -> int:
        """How many all tasks of the job are known to have moved."""
        return self.begun.earlier + self.moved

    @property
    def unexplained(self) -> int:
        """How many left the queue of which neither the task nor a destination tells."""
        return 0 if self.gone is None else max(0, self.gone - self.moved)

    @property
    def state(self) -> JobState:
        """The job's state: done only when the queue is seen to be empty and what left it is known to have been moved.

        Cancelled also where it was to be and the server lists no task of it: none runs.
        """
        if self.status == CANCELLED or (self.stopped and self.status == UNKNOWN):
            return "cancelled"
        if self.after == 0 and not self.unexplained:
            return "done"
        return "partly" if self.done else "failed"


def run(
    sqs: SqsClient,
    journal: Journal,
    job: str,
    planned: RedrivePlan,
    cancel: threading.Event,
    on_progress: Callable[[Progress], None],
) -> Moved:
    """Start (or, on a resume, find) the move task and follow it to its end. Raises `LogqError`s of the start.

    With `cancel` set from the beginning none is started; one that runs is asked to stop.
    """
    last = next(journal.entries(job), None)
    if last is not None and last.data is not None:
        kept = Begun(**json.loads(last.data))
        if cancel.is_set() or not _needs_start(sqs, planned, kept, last.state):
            return _follow(sqs, journal, job, planned, kept, cancel, on_progress)
    begun = Begun(counts(sqs, planned).visible, time.time(), journal.job(job).done, _held(sqs, planned))
    if cancel.is_set():
        return Moved(CANCELLED, begun, begun.before, None, stopped=True)
    journal.put(job, [Entry(TASK, "INTENT", data=json.dumps(asdict(begun)).encode())])
    handle = _start(sqs, planned)
    journal.put(job, [Entry(TASK, "SENT", result=handle)])
    # SQS lists the last ten tasks, an emulator none that was cancelled: the history is ours.
    rate = "as fast as SQS chooses" if planned.rate is None else f"at most {planned.rate:g} a second"
    journal.audit(f"move task started: {_many(begun.before)} visible, {rate}", job)
    return _follow(sqs, journal, job, planned, begun, cancel, on_progress)


def _needs_start(sqs: SqsClient, planned: RedrivePlan, begun: Begun, state: str) -> bool:
    """Whether a task must be started: the last was cancelled or has failed, or the server never began.

    It never began when no task of that time is listed and nothing has left the queue.
    """
    mine = _mine(sqs, planned, begun.at)
    if mine is not None and mine.status in move.ACTIVE:
        return False
    if state == CANCELLED or (mine is not None and mine.status in ("CANCELLED", "FAILED")):
        return True
    if mine is not None:
        return False
    visible = counts(sqs, planned).visible
    return visible is not None and visible > 0 and (begun.before is None or visible >= begun.before)


def _start(sqs: SqsClient, planned: RedrivePlan) -> str | None:
    destination = planned.destinations[0].arn if planned.to is not None else None
    rate = None if planned.rate is None else int(planned.rate)

    def begin() -> str | None:
        return move.start(sqs.sender(), planned.arn, destination, rate)

    return sqs.bounded(f"start a move task of {planned.dlq}", begin)


def _follow(
    sqs: SqsClient,
    journal: Journal,
    job: str,
    planned: RedrivePlan,
    begun: Begun,
    cancel: threading.Event,
    on_progress: Callable[[Progress], None],
) -> Moved:
    cancelled = False
    silent_since: float | None = None
    seen: Task | None = None
    done = 0
    while True:
        if journal.cancel_requested(job):
            cancel.set()
        try:
            task = _mine(sqs, planned, begun.at)
            visible = counts(sqs, planned).visible
            silent_since = None
        except LogqError as error:
            # The task goes on without us; only after a while without an answer is it left to a resume.
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > 3 * sqs.timeout:
                raise Failed(f"{error}; the move task may still run: logq job resume {job} looks again") from None
            cancel.wait(1.0)
            continue
        seen = task or seen
        # Some servers tell the handle of a task that has ended as well.
        runs = task is not None and task.status in move.ACTIVE
        if task is not None and runs and cancel.is_set() and not cancelled and task.handle:
            cancelled = True
            # Journaled, for a cancelled task vanishes from some servers' lists, and a resume has to know.
            journal.put(job, [Entry(TASK, CANCELLED)])
            journal.audit("move task asked to stop; what it has moved stays moved", job)
            with suppress(LogqError):
                sqs.bounded("cancel the move task", partial(move.cancel, sqs.sender(), task.handle))
        if task is None or not runs:
            break
        now = Moved(task.status, begun, visible, task.moved)
        now = replace(now, arrived=_arrived(sqs, planned, now), seen=max(0, done - begun.earlier))
        done = max(done, now.done)  # each count lags by its own time
        note = f"native move task: {task.status.lower()}"
        if (task.moved or 0) < done - begun.earlier:
            note += f"; by the counts, the task itself tells of {task.moved or 0:,} so far"
        on_progress(Progress(job, done, 0, begun.total, None, note))
        journal.progress(job, done, note=note)
        (threading.Event() if cancelled else cancel).wait(POLL_S)
    known = max(0, done - begun.earlier)
    moved = _settled(
        sqs, planned, begun, seen, known, listed=task is not None, cancelled=cancelled, stopped=cancel.is_set()
    )
    if moved.state == "done":
        journal.put(job, [Entry(TASK, "done")])
    journal.audit(
        f"move task ended: {moved.status.lower()}; it tells of {_many(moved.told)} moved, "
        f"{_many(moved.gone)} left the queue, {moved.moved:,} known to be moved",
        job,
    )
    on_progress(Progress(job, moved.done, 0, begun.total, None, f"native move task: {moved.status.lower()}"))
    return moved


def _many(number: int | None) -> str:
    return "an unknown number" if number is None else f"{number:,}"


def _held(sqs: SqsClient, planned: RedrivePlan) -> int | None:
    """How many messages the destinations hold now, None where a count cannot be had."""
    try:
        queues = [counts(sqs, planned, destination.url) for destination in planned.destinations]
    except LogqError:
        return None
    held = [(queue.visible, queue.in_flight, queue.delayed) for queue in queues]
    if any(visible is None for visible, _, _ in held):
        return None
    return sum(n or 0 for three in held for n in three)


def _arrived(sqs: SqsClient, planned: RedrivePlan, now: Moved) -> int | None:
    """By how many the destinations have grown; not asked where what left the queue bears out what the task tells."""
    borne_out = now.final and now.told and (now.gone is None or now.gone >= now.told)
    if borne_out or now.begun.held is None:
        return None
    held = _held(sqs, planned)
    return None if held is None else max(0, held - now.begun.held)


def _mine(sqs: SqsClient, planned: RedrivePlan, began: float) -> Task | None:
    """The newest task of the queue that started since this job did (clocks may differ by a little)."""

    def look() -> tuple[Task, ...]:
        return move.tasks(sqs.sender(), planned.arn)

    found = sqs.bounded("list move tasks", look)
    mine = [task for task in found if task.started is None or task.started >= began - 30.0]
    return mine[0] if mine else None


def _settled(
    sqs: SqsClient,
    planned: RedrivePlan,
    begun: Begun,
    seen: Task | None,
    known: int,
    *,
    listed: bool,
    cancelled: bool,
    stopped: bool,
) -> Moved:
    """The end of a task, once the counts agree with what it tells or, where they do not, had time to catch up.

    `seen` is the task as last seen, `known` how many it was known to have moved then, `listed` whether the server still
    lists it.
    """
    ends = time.monotonic() + SETTLE_S
    last: Moved | None = None
    while True:
        after: int | None = None
        with suppress(LogqError):
            seen = (_mine(sqs, planned, begun.at) if listed else None) or seen
            after = counts(sqs, planned).visible
        told = seen.moved if seen is not None else None
        now = Moved(
            CANCELLED if cancelled else seen.status if seen is not None and listed else UNKNOWN,
            begun,
            after,
            told,
            None,
            seen.failure if seen is not None else "",
            listed,
            stopped,
            known,
        )
        now = replace(now, arrived=_arrived(sqs, planned, now))
        # A count that stands still may be the last word, but not when a task that completed should have left none.
        stands = last is not None and (now.after, now.told) == (last.after, last.told) and after is not None
        if (after == 0 and not now.unexplained) or (stands and (now.status != "COMPLETED" or after == begun.before)):
            return now
        if time.monotonic() > ends:
            return now
        last = now
        time.sleep(POLL_S)
