"""Topic to queue, at least once: each batch is in the journal as INTENT before it is sent and as SENT after.

So a resume sends what was not sent, and again only what the journal then names as ambiguous. Into a FIFO queue
deduplication ids of the job keep what is sent again within 5 minutes from being there twice.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from console.errors import LogqError
from console.journal import Entry
from console.model import JobState, Message, Outcome, Problem, Progress
from console.ops.command import command_line
from console.ops.replay_edit import Editor, Unfit
from console.ops.replay_message import outgoing
from console.ops.replay_reading import Gone, Lines, Reading, Records
from console.ops.replay_select import Selection
from console.ops.replay_unit import FAILED, INTENT, SENT, UNSENT, Unit, restored
from console.ops.replay_value import ReplayPlan
from console.sqs import send as sending
from console.sqs.receive import BATCH
from console.sqs.send import Fate, Outgoing, Result
from console.text import count, plural

if TYPE_CHECKING:
    from console.ops.session import Session

WORKERS = 8
WINDOW = WORKERS * BATCH
"""Records in hand at once: what a crash can leave unknown."""

FIFO_WINDOW_S = 270.0
"""SQS remembers deduplication ids for 5 minutes; half a minute is left for clocks and the way there."""

_THROTTLED_WAITS = (0.2, 0.5, 1.0, 2.0, 4.0)
_NOTE_S = 0.5
_RATE_S = 5.0
_PROBLEMS = 20
_NAMED = 5


class _Stop(Exception):
    """Nothing more can be sent; the problem says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def run(
    session: Session, job: str, planned: ReplayPlan, cancel: threading.Event, on_progress: Callable[[Progress], None]
) -> Outcome:
    """Send until every record of the ranges is sent or named, or until cancelled. What goes wrong is in the outcome."""
    return _Sending(session, job, planned, cancel, on_progress).run()


class _Sending:
    """One run of one job."""

    def __init__(
        self,
        session: Session,
        job: str,
        planned: ReplayPlan,
        cancel: threading.Event,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._session = session
        self._journal = session.journal
        self._sender = session.require_sqs(planned.target).sender()
        self._job = job
        self._plan = planned
        self._cancel = cancel
        self._on_progress = on_progress
        self._selection = Selection(planned)
        self._editor = Editor(planned.edit) if planned.edit else None
        self._position = {r.partition: r.start for r in planned.ranges}
        self._end = {r.partition: r.end for r in planned.ranges}
        self._through = dict(self._position)
        self._open: dict[str, int] = {}
        """Records before `_through` that are not known to have arrived, by the unit they are in."""
        self._sent = 0
        self._unselected = self._filter_errors = 0
        self._failed: set[str] = set()
        self._ambiguous: set[str] = set()
        self._problems: list[Problem] = []
        self._noted = self._due = 0.0
        self._marks: deque[tuple[float, int]] = deque()
        self._most = WINDOW if planned.rate is None else max(1, min(WINDOW, math.ceil(planned.rate / 2)))
        # A slow rate keeps the reader waiting: that is no silence of the brokers.
        slow = 2 * self._most / planned.rate if planned.rate else 0
        self._reading: Reading = Lines(planned, cancel) if planned.file else Records(session, planned, cancel, slow)

    def run(self) -> Outcome:
        whole = gone = False
        stopped = ""
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="logq-replay") as pool:
            try:
                self._redo(pool, self._load())
                whole = self._forward(pool)
            except _Stop as stop:
                self._problems.append(stop.problem)
                stopped = str(stop)
            except LogqError as error:
                self._problems.append(Problem(f"job {self._job}", type(error).__name__, str(error)))
                stopped = str(error)
                gone = isinstance(error, Gone)
        return self._outcome(whole, stopped, gone)

    # ------------------------------------------------------------ what was before

    def _load(self) -> list[Unit]:
        """Take over what an earlier run wrote; the units it left open."""
        left: list[Unit] = []
        for entry in self._journal.entries(self._job):
            if entry.ambiguous:
                self._ambiguous.add(entry.key)
            if entry.state == FAILED:
                self._failed.add(entry.key)
                continue
            unit = restored(entry)
            self._sent += unit.sent
            self._position[unit.partition] = max(self._position[unit.partition], unit.last + 1)
            if entry.state in (INTENT, UNSENT):
                left.append(unit)
        self._through = dict(self._position)
        for unit in left:
            self._open[unit.key] = sum(f"{unit.partition}/{at}" not in self._failed for at in unit.open)
        return left

    def _redo(self, pool: ThreadPoolExecutor, units: Sequence[Unit]) -> None:
        """Send again what an earlier run had in hand when it ended, and name it."""
        for unit in units:
            wanted, unit.open = set(unit.open), {}
            for _, offset, record in self._reading.records({unit.partition: (unit.first, unit.last + 1)}):
                if offset in wanted:
                    self._admit(unit, offset, record)
            refused = {offset for offset in wanted if f"{unit.partition}/{offset}" in self._failed}
            if gone := wanted - unit.open.keys() - refused:
                raise Gone(
                    f"{self._plan.source} partition {unit.partition} offset {min(gone)} has gone before it was known "
                    "to be sent; the journal names it"
                )
        for first in range(0, len(units), WORKERS):
            self._window(pool, units[first : first + WORKERS])

    # ------------------------------------------------------------ the ranges

    def _forward(self, pool: ThreadPoolExecutor) -> bool:
        """Everything that was not in hand before; whether the ranges (or the limit) are through."""
        limit = self._plan.limit
        taken = self._sent
        units: dict[int, Unit] = {}
        full: list[Unit] = []
        held = 0
        ranges = {p: (self._position[p], self._end[p]) for p in self._position}
        for partition, offset, record in self._reading.records(ranges):
            if limit is not None and taken + held >= limit:
                break
            if offset > self._position[partition]:
                self._reading.missed(partition, self._position[partition])
            unit = units.get(partition)
            if unit is None:
                unit = units[partition] = Unit(partition, self._position[partition], offset)
            unit.last = offset
            self._position[partition] = offset + 1
            if not self._selection.everything and (chosen := self._selection.message(record)) is not True:
                self._unselected += 1
                self._filter_errors += chosen is None
            elif self._admit(unit, offset, record):
                held += 1
                if len(unit.open) >= BATCH:
                    full.append(units.pop(partition))
            if held >= self._most:
                self._window(pool, [*full, *units.values()])
                taken += held
                units, full, held = {}, [], 0
            if self._stopping():
                break
        if self._cancel.is_set():
            return False  # what is in hand was not announced: the next run reads it again
        self._window(pool, [*full, *units.values()])
        if limit is not None and self._sent >= limit:
            return True
        self._through = dict(self._end)  # behind the last record there are only markers
        return True

    def _admit(self, unit: Unit, offset: int, record: Message) -> bool:
        """Put a record into its unit; False when it cannot be a message, which is written down."""
        plan = self._plan
        try:
            changed = record if self._editor is None else self._editor.message(record)
            place = (unit.partition, offset)
            made = outgoing(changed, plan.source, self._job, plan.fifo, plan.max_bytes, place)
        except Unfit as error:
            made = str(error)
        if isinstance(made, Outgoing):
            unit.open[offset] = made
            return True
        self._fail([(f"{unit.partition}/{offset}", made)])
        return False

    def _fail(self, refused: Iterable[tuple[str, str]]) -> None:
        told = list(refused)
        self._journal.put(self._job, [Entry(key, FAILED, note=why) for key, why in told], wait=False)
        for key, why in told:
            self._failed.add(key)
            if len(self._problems) < _PROBLEMS:
                self._problems.append(Problem(f"{self._plan.source}/{key}", "NOT_A_MESSAGE", why))

    # ------------------------------------------------------------ one window

    def _window(self, pool: ThreadPoolExecutor, units: Sequence[Unit]) -> None:
        """Journal INTENT, send, journal SENT. Raises `_Stop` when something could not be sent or is not known."""
        self._reading.check()
        through = {p: max(u.last + 1 for u in units if u.partition == p) for p in {u.partition for u in units}}
        units = [unit for unit in units if unit.open]
        began = time.monotonic()
        before = sum(unit.sent for unit in units)
        now = time.time()
        entries = []
        for unit in units:
            # Where an earlier run had it in hand, it may be there already.
            late = now - (unit.intent or now) > FIFO_WINDOW_S
            doubt = unit.unknown and (late or not self._plan.fifo)
            unit.intent = unit.intent or now
            if doubt:
                self._ambiguous.add(unit.key)
            entries.append(unit.entry(INTENT, ambiguous=doubt, note=unit.named if doubt else ""))
        if entries:
            self._journal.put(self._job, entries)
        problem = self._send_in_order(pool, units) if self._plan.fifo else self._send_all(pool, units)
        sent = sum(unit.sent for unit in units) - before
        self._sent += sent
        self._through |= {p: max(at, self._through[p]) for p, at in through.items()}
        if problem is not None:
            raise _Stop(problem)
        self._tell()
        self._throttle(sent, began)

    def _send_all(self, pool: ThreadPoolExecutor, units: Sequence[Unit]) -> Problem | None:
        problems = list(pool.map(lambda unit: self._send_unit(unit), units))
        return next((p for p in problems if p is not None), None)

    def _send_unit(self, unit: Unit) -> Problem | None:
        """Send one unit's messages; what it could not send, or does not know."""
        problem = None
        for batch in sending.cut(list(unit.open.values()), sending.batch_limit(self._plan.max_bytes)):
            results = self._try(batch, unit)
            problem = self._settle([unit], results)
            if problem is not None:
                break
        self._close([unit])
        return problem

    def _send_in_order(self, pool: ThreadPoolExecutor, units: Sequence[Unit]) -> Problem | None:
        """One message of a group at a time: in a batch that fails in part, a later one would overtake."""
        waiting = [out for unit in units for out in unit.open.values()]
        problem: Problem | None = None
        while waiting and problem is None:
            heads: dict[str | None, Outgoing] = {}
            for out in waiting:
                heads.setdefault(out.group_id, out)
            chosen = {id(out) for out in heads.values()}
            waiting = [out for out in waiting if id(out) not in chosen]
            batches = sending.cut(list(heads.values()), sending.batch_limit(self._plan.max_bytes))
            for results in pool.map(lambda batch: self._try(batch, None), batches):
                problem = self._settle(units, results) or problem
        self._close(units)
        return problem

    def _try(self, batch: Sequence[Outgoing], unit: Unit | None) -> dict[str, Result]:
        """Send, again where it is certain that it was not sent (throttled), and once more where it is not known."""
        url = self._plan.url
        results = sending.send(self._sender, url, batch)
        for wait in _THROTTLED_WAITS:
            again = [out for out in batch if results[out.id].throttled]
            if not again or self._cancel.is_set():
                break
            time.sleep(wait)
            results |= sending.send(self._sender, url, again)
        unknown = [out for out in batch if results[out.id].fate is Fate.UNKNOWN]
        if unknown:
            if unit is not None:
                self._doubt(unit)
            results |= sending.send(self._sender, url, unknown)
        return results

    def _doubt(self, unit: Unit) -> None:
        """Name a unit whose messages may be there twice; on the disk when this returns."""
        self._ambiguous.add(unit.key)
        self._journal.put(self._job, [unit.entry(INTENT, ambiguous=True, note=unit.named)])

    def _settle(self, units: Sequence[Unit], results: Mapping[str, Result]) -> Problem | None:
        by_id = {f"{unit.partition}-{offset}": (unit, offset) for unit in units for offset in unit.open}
        stop: Problem | None = None
        refused = []
        for key, result in results.items():
            unit, offset = by_id[key]
            problem = result.problem or Problem(f"message {key}", "UNKNOWN", "no answer")
            if result.fate is Fate.SENT:
                del unit.open[offset]
                unit.sent += 1
            elif result.fate in (Fate.REFUSED, Fate.DAMAGED):
                del unit.open[offset]
                refused.append((f"{unit.partition}/{offset}", problem.message))
            else:
                unit.unknown = unit.unknown or result.fate is Fate.UNKNOWN
                stop = Problem(f"queue {self._plan.target}", problem.code, problem.message)
        if refused:
            self._fail(refused)
        return stop

    def _close(self, units: Sequence[Unit]) -> None:
        """Journal how units ended. Not waited for: a line that is lost only makes them ambiguous."""
        entries = []
        for unit in units:
            self._open.pop(unit.key, None)
            if unit.open:
                self._open[unit.key] = len(unit.open)
            if not unit.open:
                entries.append(unit.entry(SENT))
            elif unit.unknown:
                entries.append(unit.entry(INTENT, ambiguous=not self._plan.fifo, note=unit.named))
                if not self._plan.fifo:
                    self._ambiguous.add(unit.key)
            else:
                entries.append(unit.entry(UNSENT))
        self._journal.put(self._job, entries, wait=False)

    # ------------------------------------------------------------ around it

    def _stopping(self) -> bool:
        now = time.monotonic()
        if now - self._noted >= _NOTE_S:
            self._noted = now
            if self._journal.cancel_requested(self._job):
                self._cancel.set()
            self._journal.progress(self._job, self._sent, len(self._failed))
        return self._cancel.is_set()

    def _throttle(self, sent: int, began: float) -> None:
        if self._plan.rate is None:
            return
        self._due = max(self._due, began) + sent / self._plan.rate
        while not self._stopping() and (left := self._due - time.monotonic()) > 0:
            self._cancel.wait(min(left, 0.2))

    def _tell(self) -> None:
        now = time.monotonic()
        self._marks.append((now, self._sent))
        while now - self._marks[0][0] > _RATE_S and len(self._marks) > 2:
            self._marks.popleft()
        since, before = self._marks[0]
        rate = (self._sent - before) / (now - since) if now > since else None
        note = f"{count(self._left())} offsets left"
        self._on_progress(Progress(self._job, self._sent, len(self._failed), self._plan.total, rate, note))

    def _left(self) -> int:
        """Offsets not looked at, and records that were in hand and are not known to have arrived."""
        return sum(max(0, self._end[p] - self._through[p]) for p in self._end) + sum(self._open.values())

    def _unsent(self) -> str:
        """The offsets that no run has come to, for people."""
        left = [
            f"partition {p} offsets {at:,} to {self._end[p] - 1:,}"
            for p, at in sorted(self._through.items())
            if at < self._end[p]
        ]
        more = [f"those of {plural(len(left) - _NAMED, 'more partition')}"] if len(left) > _NAMED else []
        return ", ".join(left[:_NAMED] + more)

    def _outcome(self, whole: bool, stopped: str, gone: bool) -> Outcome:
        plan, failed = self._plan, len(self._failed)
        left = 0 if whole else self._left()
        if plan.total is not None:
            left = min(left, max(0, plan.total - self._sent - failed))  # a limit, or records picked by hand
        lines = [f"{plural(self._sent, 'record')} of {plan.named} sent to {plan.target}, at least once"]
        lines[0] += "; it cannot be resumed" if gone else ""  # the first line is the job's note
        if stopped:
            lines.append(f"stopped: {stopped}")
        if failed:
            lines.append(f"{plural(failed, 'record')} cannot be a message, named in the receipt")
        if self._ambiguous:
            lines.append(
                f"{plural(len(self._ambiguous), 'batch', 'batches')} may be at the destination twice, "
                "named in the receipt"
            )
        if self._editor is not None:
            lines.append(f"headers changed in {plural(self._editor.edited, 'record')} by this run")
            lines += [self._editor.note] if self._editor.note else []
        if self._unselected and plan.where is not None:
            lines.append(f"{plural(self._unselected, 'record')} read by this run not selected by the filter")
        if self._filter_errors:
            lines.append(
                f"the filter could not be applied to {count(self._filter_errors)} of them: "
                f"{self._selection.first_error}"
            )
        if whole:
            lines.append(f"logq job receipt {self._job} proves it; it cannot be undone")
        else:
            lines.append(f"{plural(left, plan.unit)} left")
        if gone:
            lines[-1] += f"; never looked at: {unsent}" if (unsent := self._unsent()) else ""
            again = ("replay", plan.origin, "--to", f"sqs:{plan.target}")
            lines.append(
                "what was sent stays; what the source holds now is a new replay's, planned with "
                f"{command_line(self._session.settings, *again)}"
            )
        elif not whole:
            lines.append(f"resume: {command_line(self._session.settings, 'job', 'resume', self._job, '--execute')}")
        state: JobState = "partly" if self._sent else "failed"
        if whole and not failed:
            state = "done"
        elif not whole and not stopped:
            state = "cancelled"
        return Outcome(self._job, state, self._sent, failed, left, tuple(lines), tuple(self._problems[:_PROBLEMS]))
