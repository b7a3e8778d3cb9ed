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
from dataclasses import dataclass
from functools import partial
from typing import Any

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

POLL_S = 0.5
SETTLE_S = 20.0
"""How long counts are given to agree with the task's end; on AWS they may lag up to a minute, and the words say so."""

_ACTIVE = ("RUNNING", "CANCELLING")


@dataclass(frozen=True, slots=True)
class Moved:
    """How a move task ended: by the counts of the dead-letter queue, None where they could not be had."""

    status: str
    before: int | None
    after: int | None
    told: int | None
    failure: str = ""
    earlier: int = 0

    @property
    def done(self) -> int:
        """How many left the queue: by the counts, or by what the task tells when they could not be had.

        `earlier` is what tasks of this job moved that were cancelled before.
        """
        if self.before is None or self.after is None:
            return self.earlier + (self.told or 0)
        return self.earlier + max(0, self.before - self.after)

    @property
    def state(self) -> JobState:
        """The job's state: done only when the queue is seen to be empty."""
        if self.after == 0 and self.status != "CANCELLED":
            return "done"
        if self.status == "CANCELLED":
            return "cancelled"
        return "partly" if self.done else "failed"


def run(
    sqs: SqsClient,
    journal: Journal,
    job: str,
    planned: RedrivePlan,
    cancel: threading.Event,
    on_progress: Callable[[Progress], None],
) -> Moved:
    """Start (or, on a resume, find) the move task and follow it to its end. Raises `LogqError`s of the start."""
    last = next(journal.entries(job), None)
    if last is not None and last.data is not None:
        kept: dict[str, Any] = json.loads(last.data)
        if not _needs_start(sqs, planned, kept["before"], kept["at"], last.state):
            return _follow(sqs, journal, job, planned, kept["before"], kept["at"], kept["earlier"], cancel, on_progress)
    before, began, earlier = counts(sqs, planned).visible, time.time(), journal.job(job).done
    journal.put(
        job, [Entry(TASK, "INTENT", data=json.dumps({"before": before, "at": began, "earlier": earlier}).encode())]
    )
    handle = _start(sqs, planned)
    journal.put(job, [Entry(TASK, "SENT", result=handle)])
    # SQS lists the last ten tasks, an emulator none that was cancelled: the history is ours.
    rate = "as fast as SQS chooses" if planned.rate is None else f"at most {planned.rate:g} a second"
    journal.audit(f"move task started: {before if before is not None else 'unknown'} visible, {rate}", job)
    return _follow(sqs, journal, job, planned, before, began, earlier, cancel, on_progress)


def _needs_start(sqs: SqsClient, planned: RedrivePlan, before: int | None, began: float, state: str) -> bool:
    """Whether a task must be started: the last was cancelled or has failed, or the server never began.

    It never began when no task of that time is listed and nothing has left the queue.
    """
    mine = _mine(sqs, planned, began)
    if mine is not None and mine.status in _ACTIVE:
        return False
    if state == CANCELLED or (mine is not None and mine.status in ("CANCELLED", "FAILED")):
        return True
    if mine is not None:
        return False
    visible = counts(sqs, planned).visible
    return visible is not None and visible > 0 and (before is None or visible >= before)


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
    before: int | None,
    began: float,
    earlier: int,
    cancel: threading.Event,
    on_progress: Callable[[Progress], None],
) -> Moved:
    cancelled = False
    silent_since: float | None = None
    task: Task | None = None
    done = 0
    while True:
        if journal.cancel_requested(job):
            cancel.set()
        try:
            task = _mine(sqs, planned, began)
            visible = counts(sqs, planned).visible
            silent_since = None
        except LogqError as error:
            # The task goes on without us; only after a while without an answer is it left to a resume.
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > 3 * sqs.timeout:
                raise Failed(f"{error}; the move task may still run: logq job resume {job} looks again") from None
            cancel.wait(1.0)
            continue
        if task is None and cancelled:
            break
        if task is not None and cancel.is_set() and not cancelled and task.handle:
            cancelled = True
            # Journaled, for a cancelled task vanishes from some servers' lists, and a resume has to know.
            journal.put(job, [Entry(TASK, CANCELLED)])
            journal.audit("move task asked to stop; what it has moved stays moved", job)
            with suppress(LogqError):
                sqs.bounded("cancel the move task", partial(move.cancel, sqs.sender(), task.handle))
        if task is None or task.status not in _ACTIVE:
            break
        left_queue = max(0, before - visible) if before is not None and visible is not None else 0
        # Both lag: the task may tell 0 after messages have arrived, and what arrives meanwhile hides what has left.
        done = max(done, task.moved or 0, left_queue)
        note = f"native move task: {task.status.lower()}"
        if (task.moved or 0) < done:
            note += f"; by the queue's count, the task itself tells of {task.moved or 0:,} so far"
        on_progress(Progress(job, done, 0, before, None, note))
        journal.progress(job, done, note=note)
        (threading.Event() if cancelled else cancel).wait(POLL_S)
    status = "CANCELLED" if cancelled else (task.status if task else "UNKNOWN")
    after = _settled(sqs, planned, before, status)
    moved = Moved(status, before, after, task.moved if task else None, task.failure if task else "", earlier)
    if moved.state == "done":
        journal.put(job, [Entry(TASK, "done")])
    told = "an unknown number" if moved.told is None else f"{moved.told:,}"
    journal.audit(f"move task ended: {status.lower()}, it tells of {told} moved, the counts of {moved.done:,}", job)
    on_progress(Progress(job, moved.done, 0, before, None, f"native move task: {status.lower()}"))
    return moved


def _mine(sqs: SqsClient, planned: RedrivePlan, began: float) -> Task | None:
    """The newest task of the queue that started since this job did (clocks may differ by a little)."""

    def look() -> tuple[Task, ...]:
        return move.tasks(sqs.sender(), planned.arn)

    found = sqs.bounded("list move tasks", look)
    mine = [task for task in found if task.started is None or task.started >= began - 30.0]
    return mine[0] if mine else None


def _settled(sqs: SqsClient, planned: RedrivePlan, before: int | None, status: str) -> int | None:
    """The visible count once it stands still, or agrees with a completed task."""
    ends = time.monotonic() + SETTLE_S
    last: Any = object()
    while True:
        try:
            now = counts(sqs, planned).visible
        except LogqError:
            now = None
        if now == 0 or (now is not None and now == last and (status != "COMPLETED" or now == before)):
            return now
        if time.monotonic() > ends:
            return now
        last = now
        time.sleep(POLL_S)
