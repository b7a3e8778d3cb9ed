"""Moving a consumer group's committed offsets: plan, apply per partition, read back, undo.

Planning joins nothing and works on a live group; applying needs the group empty, because a member's next commit would
win. The old offsets are in the journal before the first commit is sent, so an undo works whatever happens after.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from console.errors import Failed, LogqError, NotFound, Refused, Stopped, UsageError
from console.model import Group, Job, JobState, Outcome, Problem, Progress
from console.ops.command import command_line
from console.ops.guard import require_writable
from console.ops.offsets import ResetEntry, Strategy, TopicPartition, parse_selection, parse_strategy
from console.ops.reset_plan import EMPTY_STATES, UNDECIDED, ResetPlan, again, in_use, plan
from console.ops.reset_words import csv, to_json, view
from console.text import DASH, plural

if TYPE_CHECKING:
    from console.journal import Entry
    from console.ops.session import Session

OnProgress = Callable[[Progress], None]

BATCH = 200
"""Partitions in one commit: between commits a cancel is honoured."""


def wait_empty(
    session: Session,
    earlier: ResetPlan,
    limit: float,
    cancel: threading.Event,
    on_wait: Callable[[ResetPlan], None] | None = None,
    pause: float = 1.0,
) -> ResetPlan:
    """Wait until the group has no members, then return the plan made again on it.

    `on_wait` gets the plan of each look meanwhile (its live members and hosts). Raises `Refused` when `limit` seconds
    pass, `Stopped` when `cancel` is set; nothing was changed then.
    """
    ends = time.monotonic() + limit
    while True:
        now = again(session, earlier)
        if not now.live:
            return now
        if on_wait is not None:
            on_wait(now)
        left = ends - time.monotonic()
        if left <= 0:
            raise Refused(f"gave up waiting, nothing was changed: {in_use(now.group, now.state, now.members)}")
        if cancel.wait(min(pause, left)):
            raise Stopped(f"stopped waiting for group {now.group!r} to become empty: nothing was changed")


def run(session: Session, plan: ResetPlan, cancel: threading.Event, on_progress: OnProgress | None = None) -> Outcome:
    """Commit the plan's offsets, partition by partition, and read them back.

    Commits exactly what the plan said, except that an offset the log start has passed meanwhile becomes the log start
    (and the outcome says so). Raises `Refused` when read-only, when the group has members, or when its offsets have
    moved since the plan; nothing was changed then.
    """
    require_writable(session.settings, f"reset group {plan.group}")
    if not plan.changes:
        return Outcome(job="", state="done", done=0, lines=("every partition is where the plan wants it",))
    changes, raised = _revalidated(session, plan.group, plan.changes, plan.create)
    job = session.journal.create_job(
        "undo" if plan.undoes else "reset",
        f"group:{plan.group}",
        f"group:{plan.group}",
        total=len(changes),
        plan=to_json(plan),
        command=plan.command,
        undoable=any(e.old is not None for e in changes),
        place=_place(session),
    )
    session.journal.put(job.id, [_saved(e, "saved") for e in changes])
    return _apply(session, plan.group, changes, job, cancel, on_progress, raised)


def resume(session: Session, job_id: str, cancel: threading.Event, on_progress: OnProgress | None = None) -> Outcome:
    """Go on with a reset that was interrupted, cancelled or partly done: its partitions that are not yet done.

    Raises `NotFound`, `UsageError` when the job is no reset or is done, `Refused` as `run`.
    """
    journal = session.journal
    job = _reset_job(session, job_id)
    group = str(journal.plan(job.id)["group"])
    require_writable(session.settings, f"reset group {group}")
    todo = [_restored(e) for e in journal.entries(job.id) if e.state != "done"]
    if not todo:
        raise UsageError(f"job {job.id} is done: nothing is left to resume")
    changes, raised = _revalidated(session, group, todo, create=True)
    job = journal.take(job.id)
    return _apply(session, group, changes, job, cancel, on_progress, raised)


def _apply(
    session: Session,
    group: str,
    changes: Sequence[ResetEntry],
    job: Job,
    cancel: threading.Event,
    on_progress: OnProgress | None,
    raised: tuple[str, ...],
) -> Outcome:
    journal = session.journal
    try:
        refused = _commit(session, group, changes, job.id, cancel, on_progress)
        read = _read_back(session, group, changes, job.id)
    except BaseException as error:
        journal.finish(job.id, "interrupted", note=str(error) or type(error).__name__)
        raise
    applied = [e for e in changes if read.get((e.topic, e.partition)) == e.new]
    journal.put(job.id, [_saved(e, "done") for e in applied])
    before = (job.total or len(changes)) - len(changes)
    outcome = _judged(session, group, changes, refused, read, job.id, cancel.is_set())
    outcome = replace(outcome, done=outcome.done + before, lines=(*raised, *outcome.lines))
    journal.finish(
        job.id,
        outcome.state,
        done=outcome.done,
        failed=outcome.failed,
        left=outcome.left,
        note="; ".join((*raised, *(f"{p.where}: {p.message}" for p in outcome.problems))),
    )
    return outcome


def _place(session: Session) -> str:
    """What tells clusters apart in the journal: the addresses, in an order of their own."""
    kafka = session.settings.kafka
    return ",".join(sorted(kafka.bootstrap.split(","))) if kafka else ""


def _saved(e: ResetEntry, state: str) -> Entry:
    """An entry as the journal keeps it: enough to undo and to resume."""
    from console.journal import Entry

    data = {"topic": e.topic, "partition": e.partition, "old": e.old, "new": e.new}
    return Entry(key=f"{e.topic}/{e.partition}", state=state, data=json.dumps(data).encode())


def _restored(e: Entry) -> ResetEntry:
    data = json.loads(e.data or b"{}")
    return ResetEntry(data["topic"], data["partition"], data["old"], data["new"], None, None, None, None)


def _revalidated(
    session: Session, group: str, changes: Sequence[ResetEntry], create: bool
) -> tuple[tuple[ResetEntry, ...], tuple[str, ...]]:
    """The changes against the group as it is now; lines about offsets the log start has passed. Raises `Refused`."""
    client = session.require_kafka()
    try:
        seen = client.group(group)
    except NotFound:
        if not create:
            raise
        seen = Group(name=group, state="Empty", members=(), partitions=())
    if seen.members or seen.state.lower() not in EMPTY_STATES:
        raise Refused(in_use(group, seen.state, seen.members or ()))
    keys = [(e.topic, e.partition) for e in changes]
    committed = _commits(session, group, keys)
    marks = client.watermarks(keys)
    kept: list[ResetEntry] = []
    lines: list[str] = []
    for e in changes:
        now = committed.get((e.topic, e.partition))
        where = f"{e.topic} partition {e.partition}"
        if isinstance(now, Problem):
            raise Failed(f"cannot read the commit of {where}: {now.message}; nothing was changed")
        if now not in (e.old, e.new):
            was, reads = (DASH if offset is None else f"{offset:,}" for offset in (e.old, now))
            raise Refused(
                f"the commit of {where} has moved since the plan ({was} -> {reads}): look at the plan again; "
                "nothing was changed"
            )
        mark = marks.get((e.topic, e.partition))
        if isinstance(mark, tuple) and e.new is not None and e.old != e.new and e.new < mark[0]:
            lines.append(f"{where}: the log start has moved on, {e.new:,} became {mark[0]:,}")
            e = replace(e, new=mark[0])
        kept.append(e)
    return tuple(kept), tuple(lines)


def _commit(
    session: Session,
    group: str,
    changes: Sequence[ResetEntry],
    job: str,
    cancel: threading.Event,
    on_progress: OnProgress | None,
) -> dict[TopicPartition, Problem]:
    """Send the commits, `BATCH` partitions at a time; what was refused. A lost answer is no verdict yet."""
    client = session.require_kafka()
    refused: dict[TopicPartition, Problem] = {}
    for first in range(0, len(changes), BATCH):
        if cancel.is_set() or session.journal.cancel_requested(job):
            cancel.set()
            break
        batch = changes[first : first + BATCH]
        offsets = {(e.topic, e.partition): e.new for e in batch if e.new is not None}
        try:
            answers = client.commit_offsets(group, offsets)
        except LogqError as error:
            answers = dict.fromkeys(offsets, Problem(f"group {group}", type(error).__name__.upper(), str(error)))
        refused.update({key: problem for key, problem in answers.items() if problem is not None})
        if on_progress is not None:
            sent = min(first + BATCH, len(changes))
            on_progress(Progress(job, done=sent - len(refused), failed=len(refused), total=len(changes)))
    return refused


def _read_back(
    session: Session, group: str, changes: Sequence[ResetEntry], job: str
) -> Mapping[TopicPartition, int | Problem | None]:
    """What the group's commits read now: the answers to the commits alone prove nothing."""
    try:
        return _commits(session, group, [(e.topic, e.partition) for e in changes])
    except LogqError as error:
        raise Failed(
            f"the commits of group {group!r} were sent but could not be read back: {error}; "
            f"logq group show {group} says where it is, logq job undo {job} goes back"
        ) from None


def _commits(
    session: Session, group: str, keys: Sequence[TopicPartition]
) -> dict[TopicPartition, int | Problem | None]:
    """The group's commits now; where a transaction is open, the last one that is decided."""
    client = session.require_kafka()
    found: dict[TopicPartition, int | Problem | None] = dict(client.committed(group, keys))
    open_ones = {key for key, value in found.items() if isinstance(value, Problem) and value.code == UNDECIDED}
    if open_ones:
        for p in client.group(group).partitions or ():
            if (p.topic, p.partition) in open_ones:
                found[p.topic, p.partition] = p.problem or p.committed
    return found


def _judged(
    session: Session,
    group: str,
    changes: Sequence[ResetEntry],
    refused: Mapping[TopicPartition, Problem],
    read: Mapping[TopicPartition, int | Problem | None],
    job: str,
    stopped: bool,
) -> Outcome:
    """The outcome, from what was read back."""
    done = 0
    problems: list[Problem] = []
    for e in changes:
        now = read.get((e.topic, e.partition))
        where = f"{e.topic} partition {e.partition}"
        if now == e.new:
            done += 1
        elif (e.topic, e.partition) in refused:
            problems.append(replace(refused[e.topic, e.partition], where=where))
        elif isinstance(now, Problem):
            problems.append(replace(now, where=where))
        elif not (stopped and now == e.old):
            reads = DASH if now is None else f"{now:,}"
            problems.append(Problem(where, "NOT_APPLIED", f"reads {reads} after the commit, not {e.new:,}"))
    failed = len(problems)
    left = len(changes) - done - failed
    lines = [f"{plural(done, 'partition')} of group {group} committed and read back"]
    if failed:
        lines.append(f"{plural(failed, 'partition')} not committed: {problems[0].message}")
    if left:
        lines.append(f"{plural(left, 'partition')} not reached before it was stopped")
    if failed or left:
        lines.append(f"resume: {command_line(session.settings, 'job', 'resume', job, '--execute')}")
    if done and any(e.old is not None for e in changes):
        lines.append(f"undo: {command_line(session.settings, 'job', 'undo', job, '--execute')}")
    state: JobState = "done" if done == len(changes) else "partly" if done else "failed"
    if stopped and left:
        state = "cancelled"
    return Outcome(job, state, done, failed, left, tuple(lines), tuple(problems))


# ---------------------------------------------------------------- undo


def plan_undo(session: Session, job_id: str) -> ResetPlan:
    """The plan that brings back the offsets a reset replaced, from the journal.

    Partitions that had no commit before stay where the reset put them: a commit cannot say "none". Raises `NotFound`,
    `UsageError` when the job is no reset or replaced nothing, `Refused` when it was done on another cluster.
    """
    journal = session.journal
    job = _reset_job(session, job_id)
    saved = {(e.topic, e.partition): e.old for e in map(_restored, journal.entries(job.id)) if e.old is not None}
    if not saved:
        raise UsageError(f"job {job.id} replaced no commits, so there are none to bring back")
    strategy = Strategy("from-file", text=f"job {job.id}", offsets=saved)
    return plan(session, str(journal.plan(job.id)["group"]), strategy, create=True, undoes=job.id)


def undo(session: Session, job_id: str, cancel: threading.Event, on_progress: OnProgress | None = None) -> Outcome:
    """Plan the undo of a reset and run it. Raises as `plan_undo` and `run`."""
    return run(session, plan_undo(session, job_id), cancel, on_progress)


def _reset_job(session: Session, job_id: str) -> Job:
    """A job of the journal that is a reset (or the undo of one) on this cluster."""
    journal = session.journal
    job = journal.job(job_id)
    if not job.source.startswith("group:"):
        raise UsageError(f"job {job.id} is a {job.kind} of {job.source}, not an offset reset")
    place = journal.place(job.id)
    if place != _place(session):
        raise Refused(f"job {job.id} was done on {place}, this is {_place(session)}: connect there first (-b {place})")
    return job


__all__ = [
    "ResetEntry",
    "ResetPlan",
    "Strategy",
    "again",
    "csv",
    "parse_selection",
    "parse_strategy",
    "plan",
    "plan_undo",
    "resume",
    "run",
    "to_json",
    "undo",
    "view",
    "wait_empty",
]
