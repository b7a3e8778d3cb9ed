"""Redrive of a dead-letter queue or topic: plan, run, resume.

A queue's engines are in redrive_native and redrive_client; a topic's is redrive_topic.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec import structs

from console.errors import LogqError, Refused, UsageError
from console.model import JobState, Outcome, Problem, Progress
from console.ops import redrive_budget, redrive_native, redrive_outcome, redrive_plan, redrive_words, targets
from console.ops.guard import require_writable
from console.ops.plan import PlanView
from console.ops.redrive_client import Engine
from console.ops.redrive_plan import LEASE_S, PATIENCE_S, Destination, RedrivePlan, from_json

if TYPE_CHECKING:
    from console.ops.redrive_topic_plan import TopicRedrivePlan
    from console.ops.session import Session
    from console.sqs.client import SqsClient

__all__ = ["LEASE_S", "Destination", "RedrivePlan", "from_json", "idle", "plan", "resume", "run", "to_json", "view"]

IN_CLUSTERS = 5_000
"""How many messages of a queue are read at most to find those of a failure cluster."""


def _ignore(progress: Progress) -> None:
    """Where nobody watches."""


def plan(
    session: Session,
    dlq: str,
    *,
    to: str | None = None,
    where: str | None = None,
    ids: Sequence[str] = (),
    limit: int | None = None,
    rate: float | None = None,
    engine: str = "auto",
    lease_seconds: int | None = None,
    clusters: Sequence[str] = (),
    canary: int | None = None,
    sets: Sequence[str] = (),
    unsets: Sequence[str] = (),
    ramp: bool = False,
    watch: float | None = None,
    patience: float = PATIENCE_S,
    force: bool = False,
) -> RedrivePlan | TopicRedrivePlan:
    """What a redrive of a dead-letter queue or topic would do; changes nothing. Raises as the two sides' own `plan`.

    `clusters` are ids of failure clusters: a queue is read for them (under the peek budget) and they become ids.
    `canary` is how many to send at first. `sets` to `force` are for queues.
    """
    found = _target(session, dlq)
    if found.side == "kafka":
        if engine != "auto":
            raise UsageError(f"--engine {engine} is for queues: {found.name} is a topic")
        asked = {"--set": sets, "--unset": unsets, "--ramp": ramp, "--watch": watch is not None, "--force": force}
        if option := next((name for name, given in asked.items() if given), ""):
            raise UsageError(f"{option} is for queues: {found.name} is a topic")
        from console.ops import redrive_topic

        return redrive_topic.plan(
            session,
            found.name,
            to=to,
            where=where,
            ids=ids,
            limit=limit,
            rate=rate,
            clusters=clusters,
            canary=canary,
        )
    if clusters:
        ids = _in_clusters(session, found.name, clusters, ids, force)
    return redrive_plan.plan(
        session,
        f"sqs:{found.name}",
        to=None if to is None else str(_target(session, to)),
        where=where,
        ids=ids,
        limit=limit,
        rate=rate,
        engine=engine,
        lease_seconds=lease_seconds,
        sets=sets,
        unsets=unsets,
        canary=canary,
        ramp=ramp,
        watch=watch,
        patience=patience,
        force=force,
    )


def _target(session: Session, named: str) -> targets.Target:
    """The place a name means: asked for only where both sides could have it."""
    side, name = targets.parse(named)
    if side is None and session.settings.kafka is not None and session.settings.sqs is not None:
        from console.ops import inspect

        return inspect.resolve(session, named)
    return targets.Target(side or ("kafka" if session.settings.sqs is None else "sqs"), name)


def _in_clusters(
    session: Session, queue: str, clusters: Sequence[str], ids: Sequence[str], force: bool
) -> tuple[str, ...]:
    """The ids of the queue's messages that failed in one of these ways, of `ids` when there are some."""
    from console.ops import inspect
    from console.ops.clusters import ids_of

    seen = inspect.dead_letter(session, f"sqs:{queue}", limit=IN_CLUSTERS, force=force)
    found = tuple(m.id for m in seen.messages if not ids_of(m).isdisjoint(clusters) and (not ids or m.id in ids))
    if not seen.whole:
        raise Refused(f"refused to redrive failures {', '.join(clusters)} of {queue}: only {seen.note}; use --where")
    if not found:
        raise UsageError(f"no message of {queue} failed as {', '.join(clusters)}; logq dlq show {queue} lists the ways")
    return found


def view(planned: RedrivePlan | TopicRedrivePlan) -> PlanView:
    """The plan in words, for the dialog and the command line."""
    if isinstance(planned, RedrivePlan):
        return redrive_words.view(planned)
    from console.ops import redrive_topic

    return redrive_topic.view(planned)


def to_json(planned: RedrivePlan | TopicRedrivePlan) -> dict[str, Any]:
    """The plan as plain values: what `-o json` prints and the journal keeps."""
    if isinstance(planned, RedrivePlan):
        return redrive_plan.to_json(planned)
    from console.ops import redrive_topic

    return redrive_topic.to_json(planned)


def idle(planned: RedrivePlan | TopicRedrivePlan) -> str:
    """Why there is nothing to do, "" when there is."""
    if not isinstance(planned, RedrivePlan):
        return planned.idle
    return f"nothing to do: {planned.dlq} holds no visible message" if planned.count == 0 else ""


def run(
    session: Session,
    planned: RedrivePlan | TopicRedrivePlan,
    cancel: threading.Event | None = None,
    on_progress: Callable[[Progress], None] = _ignore,
) -> Outcome:
    """Do what the plan says, journaled from the first step on. Blocks; `cancel` stops it at the next batch, resumable.

    `on_progress` is called at most about 10 times a second, from this thread. Raises `Refused` when read-only or when
    another job has the queue; what goes wrong later is in the outcome.
    """
    require_writable(session.settings, f"redrive {planned.dlq}")
    if not isinstance(planned, RedrivePlan):
        from console.ops import redrive_topic

        return redrive_topic.run(session, planned, cancel, on_progress)
    sqs = session.require_sqs(planned.dlq)
    redrive_budget.require(session, sqs, planned)
    job = session.journal.create_job(
        "redrive",
        planned.source,
        planned.target,
        total=planned.total,
        plan=redrive_plan.to_json(planned),
        command=planned.command,
        place=planned.endpoint,
    )
    return _run(session, sqs, job.id, planned, cancel or threading.Event(), on_progress, resumed=False)


def resume(
    session: Session,
    job_id: str,
    cancel: threading.Event | None = None,
    on_progress: Callable[[Progress], None] = _ignore,
    *,
    force: bool = False,
) -> Outcome:
    """Finish a redrive that was interrupted, cancelled or partly done; what was sent is never sent again.

    Raises `NotFound`, or `Refused` when read-only, when it runs, when it is done, when it belongs to another place, or
    by the peek budget unless `force`.
    """
    require_writable(session.settings, f"resume {job_id}")
    job = session.journal.job(job_id)
    if job.kind == "redrive" and job.source.startswith("kafka:"):
        from console.ops import redrive_topic

        return redrive_topic.resume(session, job.id, cancel, on_progress)
    session.require_sqs_settings()
    if job.kind != "redrive":
        raise Refused(f"{job.id} is a {job.kind}, not a redrive")
    if job.state == "done":
        raise Refused(f"{job.id} is done: there is nothing to resume")
    planned = from_json(session.journal.plan(job.id))
    planned = replace(planned, force=planned.force or force)
    sqs = session.require_sqs(planned.dlq)
    if planned.endpoint != sqs.endpoint:
        raise Refused(
            f"{job.id} belongs to {planned.endpoint}, but this run is connected to {sqs.endpoint}; "
            "resume it with the options or the profile it was started with"
        )
    if planned.canary is not None and job.state == "paused" and not planned.ramp and job.done >= planned.canary:
        # The canary has been looked at: the rest follows at once.
        planned = replace(planned, canary=None)
    redrive_budget.require(session, sqs, planned)
    session.journal.take(job.id)
    return _run(session, sqs, job.id, planned, cancel or threading.Event(), on_progress, resumed=True)


def _run(
    session: Session,
    sqs: SqsClient,
    job: str,
    planned: RedrivePlan,
    cancel: threading.Event,
    on_progress: Callable[[Progress], None],
    *,
    resumed: bool,
) -> Outcome:
    try:
        if planned.engine == "native":
            moved = redrive_native.run(sqs, session.journal, job, planned, cancel, on_progress)
            outcome = redrive_outcome.of_native(job, planned, moved)
        else:
            engine = Engine(session, job, planned, cancel, on_progress)
            if resumed:
                engine.take_over()
            engine.run()
            outcome = redrive_outcome.of_client(sqs, job, planned, engine, cancel.is_set())
    except LogqError as error:
        before = session.journal.job(job)
        state: JobState = "partly" if before.done else "failed"
        session.journal.finish(job, state, left=before.left, note=str(error))
        lines = (f"stopped: {error}", f"logq job resume {job} goes on where it stopped")
        problem = Problem(f"job {job}", type(error).__name__, str(error))
        return Outcome(job, state, before.done, before.failed, before.left, lines, (problem,))
    except BaseException as error:
        # Whatever it is, the source must not stay locked by a job that nobody runs.
        session.journal.finish(job, "failed", note=f"{type(error).__name__}: {error}"[:500])
        raise
    state = session.journal.finish(
        job,
        outcome.state,
        done=outcome.done,
        failed=outcome.failed,
        left=outcome.left,
        note=redrive_outcome.note(outcome),
    )
    return structs.replace(outcome, state=state)
