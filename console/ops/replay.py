"""Replay by copying: run and resume. Topic to topic is in replay_topic, topic to queue in replay_queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from console.errors import LogqError, NotFound, Refused, UsageError
from console.model import Job, JobState, Outcome, Problem, Progress
from console.ops import replay_plan
from console.ops.guard import require_writable
from console.ops.replay_plan import plan
from console.ops.replay_ranges import Range
from console.ops.replay_value import ReplayPlan, from_json
from console.ops.replay_words import to_json, view
from console.text import plural

if TYPE_CHECKING:
    from console.ops.session import Session

OnProgress = Callable[[Progress], None]

_HERE: set[str] = set()
_HERE_LOCK = threading.Lock()


def _ignore(progress: Progress) -> None:
    """Where nobody watches."""


def run(
    session: Session, planned: ReplayPlan, cancel: threading.Event | None = None, on_progress: OnProgress = _ignore
) -> Outcome:
    """Copy what the plan says. Blocks; `cancel` stops it between two transactions or batches, resumable.

    A plan with the name of a job that another process is running shares that job's work (topic to topic). Raises
    `Refused` when read-only, when another job has the source or when the job cannot be shared, `UsageError` when the
    job of that name is done or another one; what goes wrong later is in the outcome.
    """
    require_writable(session.settings, f"replay {planned.source} to {planned.target}")
    stop = cancel or threading.Event()
    before = _named(session, planned)
    if before is None:
        job = session.journal.create_job(
            "replay",
            planned.origin,
            f"{'kafka' if planned.to == 'topic' else 'sqs'}:{planned.target}",
            total=planned.total,
            plan=to_json(planned),
            command=planned.command,
            place=planned.place,
            name=planned.job,
        )
        return _work(session, job, planned, stop, on_progress, shares=False)
    if before.state != "running":
        return resume(session, before.id, stop, on_progress)
    return _work(session, before, from_json(session.journal.plan(before.id)), stop, on_progress, shares=True)


def resume(
    session: Session, job_id: str, cancel: threading.Event | None = None, on_progress: OnProgress = _ignore
) -> Outcome:
    """Finish a replay that was interrupted, cancelled or partly done; what was copied is not copied again.

    Raises `NotFound`, `UsageError` when it is done or no replay, `Refused` when read-only, when it runs, or when it
    belongs to another place, `Unreachable` when no broker answers; the job is as it was then.
    """
    require_writable(session.settings, f"resume {job_id}")
    job = session.journal.job(job_id)
    if job.kind != "replay":
        raise UsageError(f"{job.id} is a {job.kind}, not a replay")
    if job.state == "done":
        raise UsageError(f"{job.id} is done: nothing is left to resume")
    planned = from_json(session.journal.plan(job.id))
    _same_place(session, job, planned)
    session.require_kafka().cluster_id()  # a copy waits long for a cluster that fails over: not for one that is away
    if planned.to == "topic":
        _target_there(session, job, planned)
    job = session.journal.take(job.id)
    return _work(session, job, planned, cancel or threading.Event(), on_progress, shares=False)


def _target_there(session: Session, job: Job, planned: ReplayPlan) -> None:
    """Raise `Refused` when the destination was deleted, or made again with fewer partitions than are copied into."""
    why = ""
    try:
        there = len(session.require_kafka().topic(planned.target).partitions)
        needed = max((r.partition for r in planned.ranges), default=-1) + 1 if planned.same_partitions else 1
        if there < needed:
            why = f"{planned.target} has {plural(there, 'partition')} now, and {job.id} copies into {needed:,}"
    except NotFound:
        why = f"{planned.target}, which {job.id} copies into, is not there any more"
    if why:
        raise Refused(f"{why}: make it again as it was, then logq job resume {job.id} --execute")


def _named(session: Session, planned: ReplayPlan) -> Job | None:
    """The job of the plan's name in this journal, None when there is none. Raises as `run`."""
    if not planned.job:
        return None
    try:
        job = session.journal.job(planned.job)
    except NotFound:
        return None
    if job.id != planned.job:  # only the beginning of another's name
        return None
    if job.kind != "replay" or from_json(session.journal.plan(job.id)).digest != planned.digest:
        raise UsageError(f"a job named {job.id} does something else; choose another name (logq job show {job.id})")
    if job.state == "done":
        raise UsageError(f"the job {job.id} is done; for another copy choose another name")
    if job.state == "running" and planned.alone:
        why = "a replay " + ("to a queue" if planned.to == "queue" else "of a file" if planned.file else "with a limit")
        raise Refused(f"{job.id} is running, and {why} is done by one process; logq job cancel {job.id} stops it")
    return job


def _same_place(session: Session, job: Job, planned: ReplayPlan) -> None:
    here = replay_plan.place(session)
    if planned.to == "queue":
        here = f"{here} {session.require_sqs(planned.target).endpoint}"
    if planned.to == "topic" or not planned.file:
        session.require_kafka()
    if planned.place != here:
        raise Refused(
            f"{job.id} belongs to {planned.place}, but this run is connected to {here}; "
            "resume it with the options or the profile it was started with"
        )


def _work(
    session: Session, job: Job, planned: ReplayPlan, cancel: threading.Event, on_progress: OnProgress, *, shares: bool
) -> Outcome:
    """Do a process's part of a job, and write how the job ended unless another live process has it."""
    try:
        with _once(job.id):
            if planned.to == "topic":
                from console.ops import replay_topic

                outcome = replay_topic.run(session, job.id, planned, cancel, on_progress)
            else:
                from console.ops import replay_queue

                outcome = replay_queue.run(session, job.id, planned, cancel, on_progress)
    except LogqError as error:
        if shares:
            raise
        before = session.journal.job(job.id)
        state: JobState = "partly" if before.done else "failed"
        lines = (f"stopped: {error}", f"logq job resume {job.id} --execute goes on where it stopped")
        problem = Problem(f"job {job.id}", type(error).__name__, str(error))
        outcome = Outcome(job.id, state, before.done, before.failed, before.left, lines, (problem,))
    except BaseException as error:
        # Whatever it is, the source must not stay locked by a job that nobody runs.
        if not shares:
            session.journal.finish(job.id, "failed", note=f"{type(error).__name__}: {error}"[:500])
        raise
    if shares:
        if outcome.state != "done" or session.journal.job(job.id).state != "interrupted":
            return outcome
        session.journal.take(job.id)  # the process that began it has gone, and this one has finished it
    ended = session.journal.finish(
        job.id, outcome.state, done=outcome.done, failed=outcome.failed, left=outcome.left, note=outcome.lines[0]
    )
    return replace(outcome, state=ended)


@contextmanager
def _once(job: str) -> Iterator[None]:
    """One part of a job in one process. Raises `Refused`."""
    with _HERE_LOCK:
        if job in _HERE:
            raise Refused(f"{job} is running in this very process")
        _HERE.add(job)
    try:
        yield
    finally:
        with _HERE_LOCK:
            _HERE.discard(job)


__all__ = ["Range", "ReplayPlan", "from_json", "plan", "resume", "run", "to_json", "view"]
