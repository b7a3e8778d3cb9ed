"""Undoing a purge: the messages it saved are sent to their queue again.

The purge's own entries are the ledger: DELETED is to be sent, RESTORING was about to be sent, RESTORED was sent. So a
second undo, or one that was killed, sends no message again of which it is known that it arrived.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from console.errors import LogqError, Refused, UsageError
from console.journal import Entry, Journal
from console.model import JobState, Outcome, Problem, Progress
from console.ops import purge_plan
from console.ops import redrive_spool as spool
from console.ops.command import command_line
from console.ops.guard import require_writable
from console.ops.plan import PlanView
from console.ops.purge import DELETED
from console.sqs import send as sending
from console.sqs.client import SqsClient
from console.sqs.send import Fate, Outgoing
from console.text import count as counted
from console.text import plural

if TYPE_CHECKING:
    from console.ops.session import Session

RESTORING, RESTORED = "RESTORING", "RESTORED"
PAGE = 500
"""How many saved messages are taken from the journal at a time."""


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """Which purge is undone and how many of its messages are still to be sent; `unsure` may have been sent already."""

    undoes: str
    queue: str
    url: str
    arn: str
    fifo: bool
    endpoint: str
    total: int
    unsure: int
    restored: int
    visible: int | None
    max_size: int | None
    command: str

    @property
    def source(self) -> str:
        """The target name of the queue."""
        return f"sqs:{self.queue}"


def plan(session: Session, job_id: str) -> UndoPlan:
    """What undoing a purge would send; changes nothing.

    Raises `NotFound`, `UsageError` when the job saved nothing, `Refused` when it belongs to another place, the errors
    of `SqsClient.queue` when the queue is not there any more.
    """
    journal = session.journal
    job = journal.job(job_id)
    if job.kind != "purge":
        raise UsageError(f"job {job.id} is a {job.kind}, not a purge")
    purged = purge_plan.from_json(journal.plan(job.id))
    sqs = session.require_sqs(purged.queue)
    if purged.endpoint != sqs.endpoint:
        raise Refused(f"{job.id} belongs to {purged.endpoint}, but this run is connected to {sqs.endpoint}")
    found = journal.counts(job.id)
    if not purged.saved or not any(found.get(state) for state in (DELETED, RESTORING, RESTORED)):
        raise UsageError(f"job {job.id} saved no message, so there is none to send again")
    queue = sqs.queue(purged.queue)
    unsure = found.get(RESTORING, 0)
    return UndoPlan(
        undoes=job.id,
        queue=purged.queue,
        url=queue.url,
        arn=purged.arn,
        fifo=purged.fifo,
        endpoint=sqs.endpoint,
        total=found.get(DELETED, 0) + unsure,
        unsure=unsure,
        restored=found.get(RESTORED, 0),
        visible=queue.visible,
        max_size=next((int(v) for n, v in queue.extra if n == "MaximumMessageSize" and v.isdigit()), None),
        command=command_line(session.settings, "job", "undo", job.id, "--execute"),
    )


def to_json(planned: UndoPlan) -> dict[str, Any]:
    """The plan as plain values: what `-o json` prints and the journal keeps."""
    return {"kind": "undo", "source": planned.source, **asdict(planned)}


def idle(planned: UndoPlan) -> str:
    """Why there is nothing to do, "" when there is."""
    return "" if planned.total else f"nothing to do: all {planned.restored:,} messages were sent again already"


def view(planned: UndoPlan) -> PlanView:
    """The plan in words, for the dialog and the command line."""
    warnings = ["Sent again, messages have new MessageIds, enqueue times and receive counts; delays are not known."]
    if not planned.fifo:
        warnings.append("Exactly once is impossible into a standard queue: consumers must bear a message twice.")
    if planned.unsure:
        warnings.append(f"{plural(planned.unsure, 'message')} may have been sent already: an earlier undo was cut off.")
    return PlanView(
        kind="undo",
        title=f"undo {planned.undoes}",
        facts=(
            ("what", f"{plural(planned.total, 'saved message')} sent again"),
            ("to", planned.queue),
            ("before", f"{counted(planned.restored)} were sent again by an earlier undo"),
            ("who sees it", f"the consumers of {planned.queue} get them, beside what is there"),
        ),
        warnings=tuple(warnings),
        columns=("queue", "visible now"),
        rows=((planned.queue, "–" if planned.visible is None else counted(planned.visible)),),
        command=planned.command,
        target=planned.queue,
    )


def run(
    session: Session, planned: UndoPlan, cancel: threading.Event, on_progress: Callable[[Progress], None]
) -> Outcome:
    """Send the saved messages; blocks, and `cancel` stops it between batches, resumable.

    Raises `Refused` when read-only or when another job has the queue; what goes wrong later is in the outcome.
    """
    require_writable(session.settings, f"undo {planned.undoes}")
    job = session.journal.create_job(
        "undo",
        planned.source,
        planned.source,
        total=planned.total,
        plan=to_json(planned),
        command=planned.command,
        place=planned.endpoint,
    )
    return _run(session, job.id, planned, cancel, on_progress)


def resume(session: Session, job_id: str, cancel: threading.Event, on_progress: Callable[[Progress], None]) -> Outcome:
    """Go on with an undo that was interrupted. Raises as `plan`, and `Refused` when it runs."""
    require_writable(session.settings, f"resume {job_id}")
    planned = plan(session, str(session.journal.plan(job_id)["undoes"]))
    session.journal.take(job_id)
    return _run(session, job_id, planned, cancel, on_progress)


def _run(
    session: Session, job: str, planned: UndoPlan, cancel: threading.Event, on_progress: Callable[[Progress], None]
) -> Outcome:
    journal = session.journal
    try:
        outcome = _sent_again(session.require_sqs(planned.queue), journal, job, planned, cancel, on_progress)
    except LogqError as error:
        journal.finish(job, "failed", note=str(error))
        lines = (f"stopped: {error}", f"logq job resume {job} goes on where it stopped")
        return Outcome(job, "failed", 0, 0, None, lines, (Problem(f"job {job}", type(error).__name__, str(error)),))
    except BaseException as error:
        journal.finish(job, "failed", note=f"{type(error).__name__}: {error}"[:500])
        raise
    journal.finish(
        job, outcome.state, done=outcome.done, failed=outcome.failed, left=outcome.left, note=outcome.lines[0]
    )
    if outcome.state == "done":
        journal.undone(planned.undoes, job)
    return outcome


def _sent_again(
    sqs: SqsClient,
    journal: Journal,
    job: str,
    planned: UndoPlan,
    cancel: threading.Event,
    on_progress: Callable[[Progress], None],
) -> Outcome:
    done = 0
    unsure: set[str] = set()
    failed: dict[str, Problem] = {}
    fatal: Problem | None = None
    stopped: set[str] = set()
    for batch in _batches(journal, planned):
        if cancel.is_set() or journal.cancel_requested(job):
            cancel.set()
            break
        batch = [e for e in batch if not (planned.fifo and e.group in stopped)]
        if not batch:
            continue
        journal.put(planned.undoes, [replace(e.entry, state=RESTORING) for e in batch])
        results = sending.send(sqs.sender(), planned.url, [e.out for e in batch])
        told: list[Entry] = []
        for e in batch:
            result = results[e.entry.key]
            if result.fate is Fate.SENT:
                done += 1
                unsure |= {e.entry.key} if e.entry.state == RESTORING else set()
                told.append(replace(e.entry, state=RESTORED, result=result.message_id))
                continue
            stopped.add(e.group)
            problem = result.problem or Problem(f"message {e.entry.key}", "UNKNOWN", "no answer")
            if result.fate is Fate.UNKNOWN:
                unsure.add(e.entry.key)
                told.append(replace(e.entry, state=RESTORING, ambiguous=True, note=problem.message))
                fatal = problem
            else:
                told.append(replace(e.entry, state=DELETED, note=problem.message))
                if result.fate is Fate.NOT_SENT:
                    fatal = problem
                else:
                    failed[e.entry.key] = problem
        journal.put(planned.undoes, told)
        on_progress(Progress(job, done, len(failed), planned.total))
        journal.progress(job, done, len(failed))
        if fatal is not None:
            break
    return _outcome(job, planned, done, failed, unsure, fatal, cancel.is_set())


@dataclass(frozen=True, slots=True)
class _Saved:
    """A saved message as it is sent again."""

    entry: Entry
    group: str
    out: Outgoing


def _batches(journal: Journal, planned: UndoPlan) -> Iterator[list[_Saved]]:
    """The messages still to be sent, in the order they were saved; of a FIFO group one a batch, so that none overtakes
    another when a batch fails in part."""
    limit = sending.batch_limit(planned.max_size)
    page: list[_Saved] = []

    def cut(messages: Sequence[_Saved]) -> Iterator[list[_Saved]]:
        rest = list(messages)
        while rest:
            heads: dict[object, _Saved] = {}
            for m in rest:
                heads.setdefault(m.group if planned.fifo else m.entry.key, m)
            chosen = {m.entry.key for m in heads.values()}
            rest = [m for m in rest if m.entry.key not in chosen]
            by_key = {m.entry.key: m for m in heads.values()}
            for batch in sending.cut([m.out for m in heads.values()], limit):
                yield [by_key[out.id] for out in batch]

    for entry in journal.entries(planned.undoes, [DELETED, RESTORING]):
        message = spool.unpack(entry.data or b"").message
        own = spool.dedup_id(planned.arn, entry.key, planned.undoes) if planned.fifo else None
        bare = replace(entry, data=None, note="", at=0.0)  # what is None or empty stays as the journal has it
        page.append(_Saved(bare, message.group_id or "", spool.outgoing(message, planned.fifo, own)))
        if len(page) >= PAGE:
            yield from cut(page)
            page = []
    yield from cut(page)


def _outcome(
    job: str,
    planned: UndoPlan,
    done: int,
    failed: dict[str, Problem],
    unsure: set[str],
    fatal: Problem | None,
    cancelled: bool,
) -> Outcome:
    left = max(0, planned.total - done - len(failed))
    lines = [f"{plural(done, 'message')} sent to {planned.queue} again"]
    if fatal is not None:
        lines.append(f"stopped: {fatal.message}")
    if failed:
        lines.append(f"{plural(len(failed), 'message')} refused: {next(iter(failed.values())).message}")
    if unsure and not planned.fifo:
        lines.append(f"{plural(len(unsure), 'message')} may be in the queue twice: {', '.join(sorted(unsure)[:5])}")
    state: JobState = "done"
    if cancelled and left:
        state = "cancelled"
    elif left or failed:
        state = "partly" if done else "failed"
    if state != "done":
        lines.append(f"logq job resume {job} goes on where it stopped")
    lines.append(f"logq job receipt {planned.undoes} names each message")
    problems = (*failed.values(), *((fatal,) if fatal else ()))
    return Outcome(job, state, done, len(failed), left, tuple(lines), problems)
