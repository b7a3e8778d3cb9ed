"""How a redrive of a queue ended, in words: what happened, what came back, and how to go on or prove it."""

from __future__ import annotations

from console.errors import LogqError
from console.model import JobState, Outcome, Problem
from console.ops import redrive_native
from console.ops.redrive_client import Engine
from console.ops.redrive_ledger import INTENT
from console.ops.redrive_plan import RedrivePlan, counts
from console.sqs.client import SqsClient
from console.sqs.peek import FIFO_HEAD
from console.text import count as counted
from console.text import duration, plural

_IDS_NAMED = 5
_STOPPED = "stopped: "


def of_client(sqs: SqsClient, job: str, planned: RedrivePlan, engine: Engine, cancelled: bool) -> Outcome:
    """The outcome of a run of the client engine."""
    ledger = engine.ledger
    done, failed = ledger.done, ledger.failed
    unfinished = ledger.unfinished()
    pending = len(unfinished)
    total = planned.total
    # Empty but for what waits behind a failed message of its FIFO group, and hides more of it.
    emptied = engine.drained and not ledger.behind
    left: int | None = pending + ledger.behind
    unseen = not (engine.drained or ledger.looked_through)
    if total is not None and not emptied:
        left = max(pending + ledger.behind, total - done - failed)
    elif total is None and unseen:
        left = None  # what a filter would select of the rest nobody knows
    read = ledger.taken + ledger.unselected + ledger.behind + len(ledger.bounced)
    gone = engine.spent.vanished(read) if engine.drained and not cancelled else 0
    if ledger.fatal is not None:
        state: JobState = "partly" if done else "failed"
    elif cancelled and left != 0:
        state = "cancelled"
    elif engine.paused:
        state = "paused"
    elif failed or left != 0 or gone:
        state = "partly" if done else "failed"
    else:
        state = "done"
    lines = [f"{counted(done)} redriven from {planned.dlq}" + (f", {counted(failed)} failed" if failed else "")]
    if ledger.fatal is not None:
        lines.append(_STOPPED + ledger.fatal.message)
    if engine.bounces is not None:
        lines += engine.bounces.lines
    if engine.paused:
        lines.append(engine.paused)
    lines += engine.notes
    missing = ledger.missing
    # A limit that was reached, or a pause, leaves ids that nobody looked for: they are not missing.
    limited = bool(engine.paused) or (planned.limit is not None and ledger.taken >= planned.limit)
    # What a stop leaves was not looked at for that reason; else why not has to be said.
    stopped = ledger.fatal is not None or cancelled or bool(engine.paused)
    hides = unseen and not stopped and bool(engine.unseen)
    if hides:
        lines += _unseen(planned, engine)
    elif left is None:
        lines.append(f"how many are left is not known: not all of {planned.dlq} was looked at")
    if missing and ledger.fatal is None and not cancelled and not limited:
        met = "not met with, they may be among those not looked at" if hides else "not found"
        lines.append(f"{counted(len(missing))} of the ids asked for {met}: {', '.join(missing[:_IDS_NAMED])}")
    if left:
        lines.append(f"{counted(left)} left")
    if gone:
        lines.append(
            f"{counted(gone)} of the ~{counted(planned.count)} that were counted were not met with: out of receives, "
            f"reading moves them to {planned.dlq}'s own dead-letter queue"
        )
    if unsure := len(ledger.in_state(INTENT)):
        lines.append(f"{plural(unsure, 'message')} may have been sent: a resume looks for them")
    if engine.hidden:
        lease = duration(planned.lease_seconds)
        lines.append(f"{plural(engine.hidden, 'message')} could not be given back: hidden from readers up to {lease}")
    if ledger.ambiguous:
        named = sorted(ledger.ambiguous)
        shown = ", ".join(named[:_IDS_NAMED]) + (", …" if len(named) > _IDS_NAMED else "")
        lines.append(f"{counted(len(named))} may be at the destination twice (named in the receipt): {shown}")
    if ledger.bounced and engine.bounces is None:
        lines.append(
            f"{counted(len(ledger.bounced))} of those redriven came back to {planned.dlq} already and stay there"
        )
    if ledger.unselected:
        lines.append(f"{plural(ledger.unselected, 'message')} not selected, released")
    if engine.where is not None and engine.where.errors:
        lines.append(
            f"the filter could not be applied to {plural(engine.where.errors, 'message')}: {engine.where.first_error}"
        )
    if ledger.behind or (ledger.stopped and left != 0):
        lines.append("a FIFO group stops at its first failure: what stands behind it stays, in order")
        lines.append(
            "mend what failed (--set, --unset) or remove it, then redrive again; this job does not try it again"
        )
    if emptied and total is not None and done + failed < total:
        lines.append(
            f"{counted(total - done - failed)} of the ~{counted(total)} planned were not in the queue any more"
        )
    lines += _count_lines(sqs, planned)
    # Behind a message that failed a resume only stands still again.
    stuck = bool(ledger.stopped) and not stopped and not pending
    if state != "done" and not stuck and (left != 0 or ledger.fatal is not None):
        lines.append(f"logq job resume {job} goes on where it stopped")
    lines.append(f"logq job receipt {job} proves it; it cannot be undone")
    return Outcome(job, state, done, failed, left, tuple(lines), tuple(ledger.problems))


def _unseen(planned: RedrivePlan, engine: Engine) -> list[str]:
    """What the counts tell of that was not looked at: how many, why, and what to do."""
    many = f"{plural(engine.unseen or 0, 'message')} not looked at (by the counts)"
    groups = engine.ledger.hiding
    if groups:
        hide = "1 FIFO group hides" if groups == 1 else f"{counted(groups)} FIFO groups hide"
        return [
            f"{many}: {hide} behind heads that stay; only the first {FIFO_HEAD} of a group can be seen",
            f"to reach them redrive or remove those in front: {planned.dlq} without a filter goes in order",
        ]
    if engine.ledger.stopped:
        return [f"{many}: behind what failed in a FIFO group"]
    return [f"{many}: no receive brought them, somebody else may have them leased; redrive again later"]


def note(outcome: Outcome) -> str:
    """What a job's list and its receipt say of how it ended: what was done and, where it was stopped, why."""
    return "; ".join(line for n, line in enumerate(outcome.lines[:2]) if n == 0 or line.startswith(_STOPPED))


def of_native(job: str, planned: RedrivePlan, moved: redrive_native.Moved) -> Outcome:
    """The outcome of a native move."""
    listed = moved.status != redrive_native.UNKNOWN
    status = moved.status.lower() if listed else "which lists no task of it any more"
    lines = [f"{counted(moved.done)} moved out of {planned.dlq} by the server ({status})"]
    problems: list[Problem] = []
    if moved.failure:
        lines.append(f"the server says: {moved.failure}")
        problems.append(Problem(f"queue {planned.dlq}", moved.status, moved.failure))
    before, after = counted(moved.begun.before), counted(moved.after)
    lines.append(f"{planned.dlq}: {before} visible before, {after} after (approximate counts)")
    if moved.unexplained:
        lines.append(
            f"{counted(moved.unexplained)} more left {planned.dlq}, but are not known to be moved: the task tells of "
            f"{counted(moved.told)}. Somebody else read and deleted or purged them, or its counter lags"
        )
    state = moved.state
    if moved.status == "COMPLETED" and moved.after:
        lines.append("the server reports success, but messages are left: they stayed, or came (back) meanwhile")
    if state == "cancelled":
        lines.append("what was moved stays moved")
    elif moved.stopped and moved.final:
        lines.append("its task had ended before it could be cancelled")
    if state != "done":
        finishes = "" if moved.after == 0 else " and finishes it"
        lines.append(f"logq job resume {job} looks again{finishes}")
    lines.append(f"logq job receipt {job} proves it; it cannot be undone")
    return Outcome(job, state, moved.done, 0, moved.after, tuple(lines), tuple(problems))


def _count_lines(sqs: SqsClient, planned: RedrivePlan) -> list[str]:
    try:
        now = counts(sqs, planned)
    except LogqError:
        return []
    return [
        f"{planned.dlq}: {counted(planned.count)} visible when planned, {counted(now.visible)} now (approximate counts)"
    ]
