"""Redrive of a dead-letter topic: run and resume. The records stay where they are; the journal marks what is done."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from msgspec.structs import replace

from console.errors import LogqError, NotFound, Refused
from console.journal import Entry
from console.model import JobState, Outcome, Problem, Progress
from console.ops.guard import require_writable
from console.ops.redrive_marks import FAILED, INTENT, LEFT, SENT, another, marks, place_of
from console.ops.redrive_topic_plan import TopicRedrivePlan, from_json, plan, to_json, view
from console.ops.redrive_topic_select import Chosen, Selection
from console.ops.redrive_topic_send import Sender, settle
from console.text import count as counted
from console.text import plural

if TYPE_CHECKING:
    from console.ops.session import Session

__all__ = ["TopicRedrivePlan", "from_json", "plan", "resume", "run", "to_json", "view"]

BATCH = 500
"""Records between an INTENT and its SENT: what can be in doubt after a crash. A cancel is seen between batches."""

_IDS_NAMED = 5
_RATE_WINDOW = 20  # batches


def run(
    session: Session,
    planned: TopicRedrivePlan,
    cancel: threading.Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Do what the plan says, journaled from the first step on. Blocks; `cancel` stops it at the next batch, resumable.

    With a canary the job pauses after so many records; resuming it sends the rest. Raises `Refused` when read-only,
    when another job has the topic or when it was made again since; what goes wrong later is in the outcome.
    """
    require_writable(session.settings, f"redrive {planned.dlq}")
    if planned.idle:
        return Outcome(job="", state="done", done=0, left=0, lines=(planned.idle,))
    _check_same(session, planned)
    job = session.journal.create_job(
        "redrive",
        planned.source,
        planned.target,
        total=planned.total,
        plan=to_json(planned),
        command=planned.command,
        place=planned.place,
    )
    return _guarded(_Run(session, job.id, planned, cancel, on_progress, canary=planned.canary), resumed=False)


def resume(
    session: Session,
    job_id: str,
    cancel: threading.Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Finish a redrive of a topic that was interrupted, cancelled, paused after its canary, or partly done.

    A canary that was stopped before it was complete is completed first, and the job pauses as it would have.
    Raises `NotFound`, or `Refused` when read-only, when it runs, when it is done, when it belongs to another place, or
    when the topic was made again since it was planned.
    """
    require_writable(session.settings, f"resume {job_id}")
    job = session.journal.job(job_id)
    if job.state == "done":
        raise Refused(f"{job.id} is done: there is nothing to resume")
    planned = from_json(session.journal.plan(job.id))
    here = place_of(session)
    if planned.place != here:
        raise Refused(
            f"{job.id} belongs to the cluster {planned.place}, but this run is connected to {here}; "
            "resume it with the options or the profile it was started with"
        )
    _check_same(session, planned)
    session.journal.take(job.id)
    running = _Run(session, job.id, planned, cancel, on_progress, canary=planned.canary)
    return _guarded(running, resumed=True, looked_at=job.state == "paused")


def _check_same(session: Session, planned: TopicRedrivePlan) -> None:
    """Raise `Refused` when the dead-letter topic is not the one that was planned, `NotFound` when there is none."""
    if another(planned.dlq_id, session.require_kafka().topic(planned.dlq).id):
        raise Refused(
            f"{planned.dlq} was deleted and made again since this redrive was planned: what it holds now was in no "
            f"plan and is not sent; logq dlq redrive {planned.dlq} plans anew"
        )


def _guarded(running: _Run, *, resumed: bool, looked_at: bool = False) -> Outcome:
    journal, job = running.session.journal, running.job
    try:
        if resumed:
            running.take_over(looked_at=looked_at)
        running.send_all()
        outcome = running.outcome()
    except LogqError as error:
        state: JobState = "partly" if running.done else "failed"
        left = max(0, running.planned.total - running.done - running.failed)
        journal.finish(job, state, done=running.done, failed=running.failed, left=left, note=str(error))
        lines = (f"stopped: {error}", f"logq job resume {job} goes on where it stopped")
        problem = Problem(f"job {job}", type(error).__name__, str(error))
        return Outcome(job, state, running.done, running.failed, left, lines, (problem,))
    except BaseException as error:
        # Whatever it is, the topic must not stay locked by a job that nobody runs.
        journal.finish(job, "failed", done=running.done, note=f"{type(error).__name__}: {error}"[:500])
        raise
    state = journal.finish(
        job, outcome.state, done=outcome.done, failed=outcome.failed, left=outcome.left, note=outcome.lines[0]
    )
    return replace(outcome, state=state)


class _Run:
    """One run of one job."""

    def __init__(
        self,
        session: Session,
        job: str,
        planned: TopicRedrivePlan,
        cancel: threading.Event | None,
        on_progress: Callable[[Progress], None] | None,
        *,
        canary: int | None,
    ) -> None:
        self.session = session
        self.job = job
        self.planned = planned
        self.done = self.failed = self.before = 0
        self._cancel = cancel or threading.Event()
        self._on_progress = on_progress
        self._canary = canary
        self._states: dict[str, str] = {}
        self._ambiguous: set[str] = set()
        self._left = self._elsewhere = self._doubtful = 0
        self._waiting: Counter[str] = Counter()
        """Records of the plan that cannot be sent now, by the reason."""
        self._paused = self._ended = False
        self._problems: list[Problem] = []
        self._fatal: Problem | None = None
        self._note = ""

    # ------------------------------------------------------------ before

    def take_over(self, *, looked_at: bool) -> None:
        """Settle what the run before left in doubt, and take over the rest.

        `looked_at` says that the job was paused: if that was after its whole canary, the rest follows.
        """
        client = self.session.require_kafka()
        settle(client, self.session.journal, self.job, self.planned, self.session.settings.timeout)
        for entry in self.session.journal.entries(self.job, data=False):
            self._states[entry.key] = entry.state
            self.done += entry.state == SENT
            self.failed += entry.state == FAILED
            if entry.ambiguous:
                self._ambiguous.add(entry.key)
        # More than the canary is sent only once somebody has let it go on.
        if self._canary is not None and self.done + self.failed >= self._canary + (not looked_at):
            self._canary = None

    # ------------------------------------------------------------ running

    def send_all(self) -> None:
        """Send what is selected and not sent, batch by batch, until the end, a cancel, the canary or what is fatal."""
        planned, journal = self.planned, self.session.journal
        client = self.session.require_kafka()
        limits: list[int | None] = []
        for to in planned.destinations:
            with contextlib.suppress(NotFound):  # what is for it is left, and says why
                limits.append(client.topic(to.name).max_bytes)
        sender = Sender(client, journal, self.job, limits)
        size = BATCH if planned.rate is None else max(1, min(BATCH, int(planned.rate / 2)))
        began, here = time.monotonic(), self.done
        marks_at: deque[tuple[float, int]] = deque([(began, here)], _RATE_WINDOW)
        last_look = 0.0
        todo = self._todo()
        try:
            while not self._cancel.is_set():
                room = size
                if self._canary is not None:
                    room = min(size, self._canary - (self.done + self.failed))
                batch = list(islice(todo, max(0, room)))
                if not batch:
                    # Whether the canary or the range has ended: one record more tells.
                    self._paused = room <= 0 and next(todo, None) is not None
                    self._ended = not self._paused and not self._cancel.is_set()
                    break
                self._sent(sender.send(batch))
                marks_at.append((time.monotonic(), self.done))
                elapsed = marks_at[-1][0] - marks_at[0][0]
                self._report((self.done - marks_at[0][1]) / elapsed if elapsed > 0.2 else None)
                if sender.fatal is not None:
                    self._fatal = sender.fatal
                    self._problems.append(sender.fatal)
                    break
                if time.monotonic() - last_look >= 1.0:
                    last_look = time.monotonic()
                    journal.progress(self.job, self.done, self.failed)
                    if journal.cancel_requested(self.job):
                        self._cancel.set()
                if planned.rate is not None:
                    self._cancel.wait(max(0.0, began + (self.done - here) / planned.rate - time.monotonic()))
        finally:
            todo.close()
            sender.close()
        self._report(None)

    def _sent(self, answers: dict[str, Entry]) -> None:
        for key, entry in answers.items():
            self._states[key] = entry.state
            self.done += entry.state == SENT
            if entry.state == FAILED:
                self.failed += 1
                if len(self._problems) < _IDS_NAMED:
                    self._problems.append(Problem(key, "REFUSED", entry.note))

    def _todo(self) -> Generator[Chosen, None, None]:
        """The records to be sent, by time, with those begun before; what has nowhere to go is noted on the way.

        What the plan had a place for, and what was begun, waits for its place; the rest is left for good.
        """
        planned, session = self.planned, self.session
        known = marks(session.journal, planned.dlq, planned.dlq_id, planned.place, apart_from=self.job)
        selection = Selection(
            session.require_kafka(),
            planned.dlq,
            {p: (begin, end) for p, begin, end in planned.ranges},
            known,
            to=planned.to,
            where=planned.where,
            ids=planned.ids,
            clusters=planned.clusters,
            patience=session.settings.timeout,
        )
        begun = {key for key, state in self._states.items() if state not in (SENT, FAILED, LEFT)}
        # The limit counts what this job has taken, also in a run before.
        taken = sum(state != LEFT for state in self._states.values())
        aims = {d.name for d in planned.destinations}
        for chosen in selection.records(self._cancel):
            key = chosen.message.id
            state = self._states.get(key)
            if state in (SENT, FAILED):
                continue
            ours = state not in (None, LEFT) or chosen.to is not None or chosen.aim in aims
            if state in (None, LEFT):
                if planned.limit is not None and taken >= planned.limit:
                    if not begun:
                        break
                    continue
                taken += ours
            begun.discard(key)
            # An INTENT that could not be settled may have been sent: not again before it was looked for.
            if chosen.to is not None and state != INTENT:
                yield chosen
                continue
            if ours:
                self._waiting[chosen.reason] += 1
            else:
                self._left += 1
            if state is None:
                self._states[key] = LEFT
                session.journal.put(self.job, [Entry(key, LEFT, note=chosen.reason)], wait=False)
        self._elsewhere = max(0, selection.done - planned.done_before)
        self._doubtful = max(0, selection.doubtful - planned.doubtful)

    def _report(self, rate: float | None) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(self.job, self.done, self.failed, self.planned.total, rate, self._note))

    # ------------------------------------------------------------ after

    def outcome(self) -> Outcome:
        """How this run ended."""
        planned, job, done, failed = self.planned, self.job, self.done, self.failed
        waiting = self._waiting.total()
        left = waiting if self._ended else max(0, planned.total - done - failed)
        unsure = sum(state == INTENT for state in self._states.values())
        if self._paused:
            state: JobState = "paused"
        elif self._fatal is not None:
            state = "partly" if done else "failed"
        elif self._cancel.is_set() and left:
            state = "cancelled"
        elif failed or waiting or unsure:
            state = "partly" if done else "failed"
        else:
            state = "done"
        lines = [f"{counted(done)} redriven from {planned.dlq}" + (f", {counted(failed)} failed" if failed else "")]
        if self._fatal is not None:
            lines.append(f"stopped: {self._fatal.message}")
        if self._paused:
            lines.append(f"canary: paused after {counted(done + failed)} of {counted(planned.total)}; look at what")
            lines[-1] += f" consumes {planned.target.replace('kafka:', '')}, then logq job resume {job} sends the rest"
        elif left:
            why = "; ".join(filter(None, self._waiting))
            lines.append(f"{counted(left)} left" + (f": {why}" if why and self._ended else ""))
        if unsure:
            lines.append(f"{plural(unsure, 'record')} may have been sent: a resume looks for them")
        lines += self._doubled()
        if self._elsewhere:
            lines.append(f"{counted(self._elsewhere)} were redriven by another job meanwhile: not sent again")
        if self._doubtful:
            lines.append(f"{counted(self._doubtful)} may have been redriven by another job that was not finished")
        gone = planned.total - done - failed - waiting - self._elsewhere - self._doubtful
        if self._ended and gone > 0:
            lines.append(f"{counted(gone)} of the planned are in the topic no more (expired or compacted)")
        if self._left:
            lines.append(
                f"{plural(self._left, 'record')} without a place to go stay (named in the receipt); --to decides"
            )
        if state not in ("done", "paused") and (left or unsure or self._fatal is not None):
            lines.append(f"logq job resume {job} goes on where it stopped")
        lines.append(f"logq job receipt {job} proves it; it cannot be undone")
        return Outcome(job, state, done, failed, left, tuple(lines), tuple(self._problems))

    def _doubled(self) -> list[str]:
        """In words which records were sent though they may have been before, and which are still to be."""
        twice = [key for key in self._ambiguous if self._states[key] == SENT]
        open_ = [key for key in self._ambiguous if self._states[key] not in (SENT, FAILED)]
        lines = []
        if twice:
            lines.append(
                f"{counted(len(twice))} may be at the destination twice (named in the receipt): {_named(twice)}"
            )
        if open_:
            lines.append(f"{counted(len(open_))} may have been sent before (named in the receipt): {_named(open_)}")
        return lines


def _named(keys: Sequence[str]) -> str:
    return ", ".join(sorted(keys)[:_IDS_NAMED]) + (", …" if len(keys) > _IDS_NAMED else "")
