"""What can be done about a job of the journal, whatever its kind: list, show, resume, undo, cancel, prove."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from msgspec import structs

from console.errors import Refused, UsageError
from console.journal import LogLine
from console.model import Job, Outcome, Progress
from console.ops.guard import require_writable
from console.ops.receipt import outcomes, receipt

if TYPE_CHECKING:
    from console.ops.redrive_bounce import Bounces
    from console.ops.session import Session

__all__ = [
    "Detail",
    "bounces",
    "cancel",
    "left_to_server",
    "list_jobs",
    "outcomes",
    "pause",
    "receipt",
    "resume",
    "show",
    "undo",
    "verify",
]

CANCEL_WAIT_S = 5.0
"""How long a cancel waits to see that the job's own process has stopped at its next batch."""

_NO_UNDO = {
    "redrive": "a redrive cannot be undone: consumers may have the messages already; its receipt names them",
    "replay": "a replay cannot be undone: consumers may have the records already; its receipt names them",
}


@dataclass(frozen=True, slots=True)
class Detail:
    """A job with its plan, how many of its messages had which outcome (see `outcomes`), and its audit trail."""

    job: Job
    plan: dict[str, Any]
    counts: dict[str, int]
    trail: tuple[LogLine, ...]
    operator: str


def list_jobs(session: Session, limit: int = 100) -> tuple[Job, ...]:
    """The newest jobs of the journal, newest first."""
    return session.journal.jobs(limit)


def show(session: Session, job_id: str) -> Detail:
    """Everything about a job; a unique beginning of its id is enough. Raises `NotFound`."""
    journal = session.journal
    job = journal.job(job_id)
    return Detail(job, journal.plan(job.id), outcomes(journal, job), journal.trail(job.id), journal.operator(job.id))


def _ignore(progress: Progress) -> None:
    """Where nobody watches."""


def resume(
    session: Session,
    job_id: str,
    cancel: threading.Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    force: bool = False,
) -> Outcome:
    """Finish a job that was interrupted, cancelled or partly done; blocks as its `run` did.

    Raises `NotFound`; `UsageError` when there is nothing to finish or its kind cannot be resumed; `Refused` when
    read-only, when it is running, or by the peek budget of a redrive unless `force`.
    """
    require_writable(session.settings, f"resume job {job_id}")
    job = session.journal.job(job_id)
    if job.state == "done":
        raise UsageError(f"job {job.id} is done: nothing is left to resume")
    stop, watch = cancel or threading.Event(), on_progress or _ignore
    if job.kind == "redrive":
        from console.ops import redrive

        return redrive.resume(session, job.id, stop, watch, force=force)
    if job.kind == "purge":
        from console.ops import purge

        return purge.resume(session, job.id, stop, watch)
    if job.kind == "undo" and job.source.startswith("sqs:"):
        from console.ops import purge_undo

        return purge_undo.resume(session, job.id, stop, watch)
    if job.kind in ("reset", "undo"):
        from console.ops import reset

        return reset.resume(session, job.id, stop, watch)
    if job.kind == "replay":
        from console.ops import replay

        return replay.resume(session, job.id, stop, watch)
    raise UsageError(f"job {job.id} is a {job.kind}, which cannot be resumed")


def verify(session: Session, job_id: str, force: bool = False) -> Bounces:
    """Which messages of a queue's redrive are in its dead-letter queue again, by a look that costs each a receive.

    What it finds is in the journal from then on. Raises `NotFound`, `UsageError` for what is no redrive of a queue,
    `Refused` when the job runs or belongs to another endpoint, or by the peek budget unless `force`.
    """
    from console.ops import redrive_bounce, redrive_plan

    job = session.journal.job(job_id)
    if job.kind != "redrive" or not job.source.startswith("sqs:"):
        raise UsageError(f"job {job.id} is no redrive of a queue: nothing can come back to one")
    if job.state == "running":
        raise Refused(f"job {job.id} is running: it looks for itself, and a look beside it would lease its messages")
    planned = redrive_plan.from_json(session.journal.plan(job.id))
    if planned.engine == "native":
        raise UsageError(f"job {job.id} was a native move: the server tells no ids, so what came back is not known")
    sqs = session.require_sqs()
    if planned.endpoint != sqs.endpoint:
        raise Refused(f"{job.id} belongs to {planned.endpoint}, but this run is connected to {sqs.endpoint}")
    redrive_bounce.require_budget(session, sqs, planned, force)
    return redrive_bounce.look(session, sqs, job.id, planned, force=force)


def bounces(session: Session, job_id: str) -> tuple[str, ...]:
    """What the journal knows of a job's messages that came back, in words; nothing when none is known."""
    from console.ops import redrive_bounce

    known = redrive_bounce.so_far(session.journal, job_id, whole=True)
    return known.lines if known.back else ()


def undo(
    session: Session,
    job_id: str,
    cancel: threading.Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Bring back what a job replaced or deleted, where that is possible: a reset's offsets, a purge's saved messages.

    Raises `NotFound`, `UsageError` for a kind that cannot be undone (and why), `Refused` when read-only.
    """
    require_writable(session.settings, f"undo job {job_id}")
    job = session.journal.job(job_id)
    if job.kind in _NO_UNDO:
        raise UsageError(f"job {job.id}: {_NO_UNDO[job.kind]}")
    if job.kind == "purge":
        from console.ops import purge_undo

        planned = purge_undo.plan(session, job.id)
        return purge_undo.run(session, planned, cancel or threading.Event(), on_progress or _ignore)
    from console.ops import reset

    return reset.undo(session, job.id, cancel or threading.Event(), on_progress or _ignore)


def cancel(session: Session, job_id: str, wait: float = CANCEL_WAIT_S) -> Outcome:
    """Ask the process that runs a job, this one or another, to stop at its next batch, and see whether it does.

    Waits at most `wait` seconds; the job's state in the outcome tells (`running`: it was told and is still at it). A
    native move whose process is gone goes on at the server: that is asked to stop, and waited for.
    Raises `NotFound`, `UsageError` when the job is not running, `Refused` when read-only.
    """
    require_writable(session.settings, f"cancel job {job_id}")
    if left_to_server(session, job := session.journal.job(job_id)):
        return _stop_server(session, job)
    return _stop(session, job_id, wait, "cancel")


def pause(session: Session, job_id: str, wait: float = CANCEL_WAIT_S) -> Outcome:
    """As `cancel`, but the job is only to rest: it is `paused` then, until it is resumed."""
    return _stop(session, job_id, wait, "pause")


def left_to_server(session: Session, job: Job) -> bool:
    """Whether a job's process is gone or gave up while a move task of the server may go on without it."""
    if job.state not in ("interrupted", "failed", "partly"):
        return False
    if job.kind != "redrive" or not job.source.startswith("sqs:"):
        return False
    return session.journal.plan(job.id).get("engine") == "native"


def _stop_server(session: Session, job: Job) -> Outcome:
    """Take the job over only to ask the server to stop; how it stands then is in its line."""
    from console.ops import redrive

    stop = threading.Event()
    stop.set()
    outcome = redrive.resume(session, job.id, stop)
    if outcome.problems:
        return outcome
    # Nothing of it runs any more, which is what was asked for.
    return structs.replace(outcome, state="done", lines=(f"{job.id} is {outcome.state}", *outcome.lines))


def _stop(session: Session, job_id: str, wait: float, verb: Literal["cancel", "pause"]) -> Outcome:
    require_writable(session.settings, f"{verb} job {job_id}")
    journal = session.journal
    job = journal.job(job_id)
    if job.state != "running":
        raise UsageError(f"job {job.id} is {job.state}, not running: there is nothing to {verb}")
    journal.request_cancel(job.id, pause=verb == "pause")
    ends = time.monotonic() + wait
    while job.state == "running" and time.monotonic() < ends:
        time.sleep(0.1)
        job = journal.job(job.id)
    if job.state == "running":
        first = f"{job.id} was asked to {'pause' if verb == 'pause' else 'stop'}; it does so at its next batch"
    else:
        first = f"{job.id} is {job.state}: {job.done:,} done" + ("" if job.left is None else f", {job.left:,} left")
    lines = (first, f"logq job resume {job.id} goes on where it stopped")
    # Stopping is what was asked for here, and it is done: the job's own state stands in its line.
    return Outcome(job.id, "running" if job.state == "running" else "done", job.done, job.failed, job.left, lines)
