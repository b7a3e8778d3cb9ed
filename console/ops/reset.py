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

from msgspec import structs

from console.errors import LogqError, Refused, UsageError
from console.model import Job, JobState, Outcome, Problem, Progress
from console.ops.command import command_line
from console.ops.guard import require_writable
from console.ops.offsets import ResetEntry, Strategy, TopicPartition, parse_selection, parse_strategy
from console.ops.redrive_marks import place_of
from console.ops.reset_check import commits, read_back, revalidated
from console.ops.reset_plan import InUse, ResetPlan, again, plan
from console.ops.reset_saved import keep, old_offsets, tool_command
from console.ops.reset_watch import REREAD_S, Second, second_look, wait_empty
from console.ops.reset_words import csv, kept_words, to_json, view
from console.text import DASH, plural

if TYPE_CHECKING:
    from console.journal import Entry
    from console.ops.session import Session

OnProgress = Callable[[Progress], None]

SAVED, DONE, LOST = "saved", "done", "overwritten"
"""The states of a partition in the journal: its old offset is kept; committed and read back; overwritten after that."""

MEMBERS_BACK = "UNKNOWN_MEMBER_ID"
"""What a coordinator answers to a commit from outside while the group has members."""

BATCH = 200
"""Partitions in one commit: between commits a cancel is honoured."""


def run(
    session: Session,
    plan: ResetPlan,
    cancel: threading.Event,
    on_progress: OnProgress | None = None,
    reread: float = REREAD_S,
) -> Outcome:
    """Commit the plan's offsets, partition by partition, read them back, and once more `reread` seconds later.

    Commits exactly what the plan said, except that an offset the log start has passed meanwhile becomes the log start
    (and the outcome says so). `reread` 0 trusts the first reading. Raises `Refused` when read-only, when the group has
    members (`InUse`), or when its offsets have moved since the plan; nothing was changed then.
    """
    require_writable(session.settings, f"reset group {plan.group}")
    if not plan.changes:
        left = len(plan.untouched)
        return Outcome("", "failed" if left else "done", 0, 0, left, (replace(plan, armed=False).idle,), plan.untouched)
    place = place_of(session)
    changes, raised = revalidated(session, plan.group, plan.changes, plan.create)
    job = session.journal.create_job(
        "undo" if plan.undoes else "reset",
        f"group:{plan.group}",
        f"group:{plan.group}",
        total=len(changes),
        plan=to_json(plan),
        command=plan.command,
        undoable=any(e.old is not None for e in changes),
        place=place,
        # With the job, in one transaction: whatever ends this process, a reset that began can be undone.
        entries=[_saved(e, SAVED) for e in changes],
    )
    outcome = _apply(session, plan.group, changes, job, cancel, on_progress, raised, reread, plan.untouched)
    return structs.replace(outcome, lines=(*outcome.lines, kept_words(plan))) if plan.kept else outcome


def run_when_empty(
    session: Session,
    earlier: ResetPlan,
    limit: float,
    cancel: threading.Event,
    on_progress: OnProgress | None = None,
    reread: float = REREAD_S,
) -> Outcome:
    """Wait until the group has no members, plan again on what it left behind, and run that at once.

    Members that come back in between are waited for again. Raises as `wait_empty` and `run`; nothing was changed then.
    """
    require_writable(session.settings, f"reset group {earlier.group}")
    ends = time.monotonic() + limit
    while True:
        ready = wait_empty(session, earlier, max(0.0, ends - time.monotonic()), cancel, on_progress)
        try:
            outcome = run(session, ready, cancel, on_progress, reread)
        except InUse:
            continue
        if outcome.done or not outcome.problems or any(p.code != MEMBERS_BACK for p in outcome.problems):
            return outcome


def resume(
    session: Session,
    job_id: str,
    cancel: threading.Event,
    on_progress: OnProgress | None = None,
    reread: float = REREAD_S,
) -> Outcome:
    """Go on with a reset that was interrupted, cancelled or partly done: its partitions that are not yet done.

    Raises `NotFound`, `UsageError` when the job is no reset or is done, `Refused` as `run`.
    """
    journal = session.journal
    job = _reset_job(session, job_id)
    group = str(journal.plan(job.id)["group"])
    require_writable(session.settings, f"reset group {group}")
    todo = [_restored(e) for e in journal.entries(job.id) if e.state != DONE]
    if job.state == "done":
        raise UsageError(f"job {job.id} is done: nothing is left to resume")
    changes, raised = revalidated(session, group, todo, create=True) if todo else ((), ())
    job = journal.take(job.id)
    if not changes:
        return _ended_already(session, group, job)
    journal.put(job.id, [_saved(e, SAVED) for e in changes])
    return _apply(session, group, changes, job, cancel, on_progress, raised, reread)


def _ended_already(session: Session, group: str, job: Job) -> Outcome:
    """The end of a job that was interrupted after its last commit had been read back."""
    journal = session.journal
    entries = [_restored(e) for e in journal.entries(job.id)]
    lines = [f"all {plural(len(entries), 'partition')} had been committed and read back before it was interrupted"]
    try:
        now = commits(session, group, [(e.topic, e.partition) for e in entries])
        moved = [e for e in entries if now.get((e.topic, e.partition)) != e.new]
        lines += [f"{plural(len(moved), 'partition')} moved since: logq group show {group}"] if moved else []
    except LogqError as error:
        lines.append(f"where they are now could not be seen: {error}")
    lines.append(_undo_line(session, job.id))
    journal.finish(job.id, "done", done=len(entries), failed=0, left=0, note="; ".join(lines[:-1]))
    return Outcome(job.id, "done", len(entries), 0, 0, tuple(lines))


def _apply(
    session: Session,
    group: str,
    changes: Sequence[ResetEntry],
    job: Job,
    cancel: threading.Event,
    on_progress: OnProgress | None,
    raised: tuple[str, ...],
    reread: float,
    untouched: tuple[Problem, ...] = (),
) -> Outcome:
    journal = session.journal
    report = on_progress or _ignore
    try:
        report(Progress(job.id, done=0, total=len(changes)))
        keep(session, job.id, [_restored(e) for e in journal.entries(job.id)])
        refused = _commit(session, group, changes, job.id, cancel, report)
        read = read_back(session, group, changes, job.id)
        applied = [e for e in changes if read.get((e.topic, e.partition)) == e.new]
        journal.put(job.id, [_saved(e, DONE) for e in applied])
        before = (job.total or len(changes)) - len(changes)
        journal.progress(job.id, before + len(applied))
        second = Second({}, ())
        if applied and reread > 0:
            second = _watched(session, group, applied, job.id, cancel, report, reread)
            lost = [e for e in applied if (e.topic, e.partition) in second.lost]
            journal.put(
                job.id, [replace(_saved(e, LOST), note=second.lost[e.topic, e.partition].message) for e in lost]
            )
    except BaseException as error:
        journal.finish(job.id, "interrupted", note=str(error) or type(error).__name__)
        raise
    outcome = _judged(session, group, changes, refused, read, job.id, cancel.is_set(), second, untouched)
    outcome = structs.replace(outcome, done=outcome.done + before, lines=(*raised, *outcome.lines))
    state = journal.finish(
        job.id,
        outcome.state,
        done=outcome.done,
        failed=outcome.failed,
        left=outcome.left,
        note="; ".join((*raised, *(f"{p.where}: {p.message}" for p in outcome.problems))),
    )
    if state == "done" and (undoes := journal.plan(job.id).get("undoes")):
        journal.undone(undoes, job.id)
    return structs.replace(outcome, state=state)


def _watched(
    session: Session,
    group: str,
    applied: Sequence[ResetEntry],
    job: str,
    cancel: threading.Event,
    report: OnProgress,
    reread: float,
) -> Second:
    """The second look, with its countdown; a cancel takes it at once."""
    done = len(applied)

    def wait(left: float) -> None:
        report(Progress(job, done, total=done, note=f"committed and read back; reads again in {left:.0f} s"))

    return second_look(
        session, group, applied, reread, lambda: cancel.is_set() or session.journal.cancel_requested(job), wait
    )


def _ignore(progress: Progress) -> None:
    """Where nobody watches."""


def _saved(e: ResetEntry, state: str) -> Entry:
    """An entry as the journal keeps it: enough to undo and to resume."""
    from console.journal import Entry

    data = {"topic": e.topic, "partition": e.partition, "old": e.old, "new": e.new}
    return Entry(key=f"{e.topic}/{e.partition}", state=state, data=json.dumps(data).encode())


def _restored(e: Entry) -> ResetEntry:
    data = json.loads(e.data or b"{}")
    return ResetEntry(data["topic"], data["partition"], data["old"], data["new"], None, None, None, None)


def _commit(
    session: Session,
    group: str,
    changes: Sequence[ResetEntry],
    job: str,
    cancel: threading.Event,
    report: OnProgress,
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
        sent = min(first + BATCH, len(changes))
        report(Progress(job, done=sent - len(refused), failed=len(refused), total=len(changes)))
    return refused


def _judged(
    session: Session,
    group: str,
    changes: Sequence[ResetEntry],
    refused: Mapping[TopicPartition, Problem],
    read: Mapping[TopicPartition, int | Problem | None],
    job: str,
    stopped: bool,
    second: Second,
    untouched: tuple[Problem, ...],
) -> Outcome:
    """The outcome, from what was read back and from the second look. With some untouched not all of it is done."""
    done = 0
    problems: list[Problem] = list(second.lost.values())
    for e in changes:
        now = read.get((e.topic, e.partition))
        where = f"{e.topic} partition {e.partition}"
        if (e.topic, e.partition) in second.lost:
            continue
        if now == e.new:
            done += 1
        elif (e.topic, e.partition) in refused:
            problems.append(structs.replace(refused[e.topic, e.partition], where=where))
        elif isinstance(now, Problem):
            problems.append(structs.replace(now, where=where))
        elif not (stopped and now == e.old):
            reads = DASH if now is None else f"{now:,}"
            problems.append(Problem(where, "NOT_APPLIED", f"reads {reads} after the commit, not {e.new:,}"))
    failed = len(problems)
    left = len(changes) - done - failed
    lost = len(second.lost)
    lines = list(second.lines) if lost else []
    lines.append(f"{plural(done, 'partition')} of group {group} committed and read back")
    if not lost:
        lines += second.lines
    if failed > lost:
        lines.append(f"{plural(failed - lost, 'partition')} not committed: {problems[lost].message}")
    if left:
        lines.append(f"{plural(left, 'partition')} not reached before it was stopped")
    if failed > lost or left:
        lines.append(f"resume: {command_line(session.settings, 'job', 'resume', job, '--execute')}")
    lines += _untouched_lines(untouched)
    if done and any(e.old is not None for e in changes):
        lines += [_undo_line(session, job), f"without logq: {tool_command(session, group, job)}"]
    whole = done == len(changes) and not untouched
    state: JobState = "done" if whole else "partly" if done else "failed"
    if stopped and left:
        state = "cancelled"
    return Outcome(job, state, done, failed, left + len(untouched), tuple(lines), (*problems, *untouched))


def _untouched_lines(untouched: Sequence[Problem]) -> list[str]:
    """What is said about partitions that were left alone, and why."""
    lines = []
    unseen, gone = ([p for p in untouched if p.code == code] for code in ("UNSEEN", "GONE"))
    if unseen:
        many = f"{plural(len(unseen), 'partition')} left alone that could not be seen"
        lines.append(f"{many}: {unseen[0].message}; reset the group again when they can")
    if gone:
        named = ", ".join([*(p.where for p in gone[:4]), *(["…"] if len(gone) > 4 else [])])
        lines.append(f"{plural(len(gone), 'partition')} {gone[0].message} ({named})")
    return lines


def _undo_line(session: Session, job: str) -> str:
    return f"undo: {command_line(session.settings, 'job', 'undo', job, '--execute')}"


# ---------------------------------------------------------------- undo


def plan_undo(session: Session, job_id: str, armed: bool = False) -> ResetPlan:
    """The plan that brings back the offsets a reset replaced, from the journal.

    Partitions that had no commit before stay where the reset put them: a commit cannot say "none", so the plan says how
    much that skips. Raises `NotFound`,
    `UsageError` when the job is no reset or replaced nothing, `Refused` when it was done on another cluster.
    Partitions that are no more are left alone.
    """
    journal = session.journal
    job = _reset_job(session, job_id)
    entries = [_restored(e) for e in journal.entries(job.id)]
    saved = {(e.topic, e.partition): e.old for e in entries if e.old is not None}
    made = {(e.topic, e.partition): e.new for e in entries if e.old is None and e.new is not None}
    if not saved:
        raise UsageError(f"job {job.id} replaced no commits, so there are none to bring back")
    strategy = Strategy("from-file", text=f"job {job.id}", offsets=saved, kept=made)
    return plan(session, str(journal.plan(job.id)["group"]), strategy, create=True, undoes=job.id, armed=armed)


def undo(session: Session, job_id: str, cancel: threading.Event, on_progress: OnProgress | None = None) -> Outcome:
    """Plan the undo of a reset and run it. Raises as `plan_undo` and `run`."""
    return run(session, plan_undo(session, job_id), cancel, on_progress)


def _reset_job(session: Session, job_id: str) -> Job:
    """A job of the journal that is a reset (or the undo of one) on this cluster."""
    journal = session.journal
    job = journal.job(job_id)
    if not job.source.startswith("group:"):
        raise UsageError(f"job {job.id} is a {job.kind} of {job.source}, not an offset reset")
    place, here = journal.place(job.id), place_of(session)
    if place != here:
        raise Refused(
            f"job {job.id} was done on the cluster {place}, this is {here}: connect there first, as "
            f"it did: {job.command}"
        )
    return job


def saved_csv(session: Session, job_id: str) -> str:
    """The offsets a reset replaced as Kafka's own `topic,partition,offset`, from the journal. Asks no broker.

    Raises `NotFound`, `UsageError` when the job is no reset or replaced nothing.
    """
    job = session.journal.job(job_id)
    if not job.source.startswith("group:"):
        raise UsageError(f"job {job.id} is a {job.kind} of {job.source}, not an offset reset")
    text = old_offsets([_restored(e) for e in session.journal.entries(job.id)])
    if not text:
        raise UsageError(f"job {job.id} replaced no commits, so there are none to bring back")
    return text


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
    "run_when_empty",
    "saved_csv",
    "to_json",
    "undo",
    "view",
    "wait_empty",
]
