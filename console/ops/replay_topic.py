"""Topic to topic, exactly once: this process's place in the job, its progress, and how it ended.

Positions and counts are in the job's own group (console.kafka.marks), not in the journal: they move with the copies.
"""

from __future__ import annotations

import hashlib
import json
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from console.errors import LogqError, Refused
from console.journal import Entry, Journal
from console.model import JobState, Outcome, Problem, Progress
from console.ops import replay_file
from console.ops.command import command_line
from console.ops.replay_edit import Editor, Headers
from console.ops.replay_select import Selection
from console.ops.replay_value import ReplayPlan
from console.text import count, duration, plural

if TYPE_CHECKING:
    from console.config import KafkaSettings
    from console.kafka.copy import Copier
    from console.kafka.copy_group import Copy
    from console.kafka.marks import Mark
    from console.ops.session import Session

_PLACES = 1_000
_LOOK_S = 0.5
_WINDOW_S = 5.0
_PROCESS = "process "


def run(
    session: Session,
    job: str,
    planned: ReplayPlan,
    cancel: threading.Event,
    on_progress: Callable[[Progress], None],
) -> Outcome:
    """Copy as one of the job's processes until the job is done or cancelled.

    Raises `Refused` when no other process may help; what goes wrong later is in the outcome.
    """
    from console.kafka.copy import Copier

    settings = session.require_kafka().settings
    selection = Selection(planned)
    editor = Editor(planned.edit) if planned.edit else None
    if planned.file:
        replay_file.verify(planned.source, planned.sha256)
    watch = _Watch(session, job, planned, cancel, on_progress)
    copy = _copy(session, job, planned, watch)
    if copy is None:
        return _outcome(session, job, planned, None, False, None)
    with _place(session.journal, job, copy.group, alone=planned.alone) as (identity, settle):
        how = _of_file(planned, selection, editor) if planned.file else _of_topic(selection, editor)
        copier = Copier(
            settings,
            copy,
            identity,
            stop=watch.stopped,
            settle=settle,
            on_step=watch.show,
            on_wait=watch.waits,
            **how,
        )
        error: LogqError | None = None
        done = False
        try:
            done = copier.run()
        except LogqError as failure:
            error = failure
    outcome = _outcome(session, job, planned, copier, done, error)
    said = []
    if selection.first_error:
        said.append(f"the filter could not be applied to some records: {selection.first_error}")
    if editor is not None:
        said.append(f"headers changed in {plural(editor.edited, 'record')} by this run")
        said += [editor.note] if editor.note else []
    outcome = structs.replace(outcome, lines=(*outcome.lines[:-1], *said, outcome.lines[-1]))
    _note(session.journal, job, planned, {p: m for p, m in copier.marks.items() if p not in copier.unseen})
    return outcome


def _of_topic(selection: Selection, editor: Editor | None) -> dict[str, Any]:
    """How records of a topic are chosen and changed; nothing stands in the way of those that are only copied."""

    def shape(record: Any, headers: Headers, place: int, ours: Headers) -> tuple[int, Headers, Headers]:
        assert editor is not None
        return place, editor.record(record, headers), ours

    how: dict[str, Any] = {} if selection.everything else {"select": selection.record}
    return how if editor is None else {**how, "shape": shape}


def _of_file(planned: ReplayPlan, selection: Selection, editor: Editor | None) -> dict[str, Any]:
    """How the lines of a file are read: each has its own partition, and where it came from stays its origin."""
    from console.kafka.copy_group import member
    from console.kafka.copy_lines import Line, LineReader

    end = planned.ranges[0].end

    def reader(settings: KafkaSettings, copy: Copy, identity: str, complain: Callable[[Any], None]) -> LineReader:
        group = member(settings, copy, identity, complain)
        return LineReader(
            group, planned.progress_topic, planned.source, lambda start: replay_file.read(planned.source, start, end)
        )

    def shape(line: Line, headers: Headers, place: int, ours: Headers) -> tuple[int, Headers, Headers]:
        message = line.message if editor is None else editor.message(line.message)
        own = message.partition if planned.keeps_partitions and message.partition is not None else -1
        origin = (message.id or f"{Path(planned.source).name}/{line.number + 1}").encode("utf-8", "surrogateescape")
        return own, message.headers, (ours[0], ("logq-origin", origin))

    return {"select": lambda line: selection.message(line.message), "shape": shape, "reader": reader}


def _copy(session: Session, job: str, planned: ReplayPlan, watch: _Watch) -> Copy | None:
    """The copy with the ranges that the job's group holds; they are written there when the job begins.

    None when it was stopped before that was done.
    """
    from console.kafka import copy_group
    from console.kafka.copy_calls import Calls
    from console.kafka.marks import GROUP_PREFIX, Mark

    marks = {r.partition: Mark(r.start, r.end, r.start, planned.digest) for r in planned.ranges if r.offsets}
    copy = copy_group.Copy(
        source=planned.progress_topic,
        target=planned.target,
        group=GROUP_PREFIX + job,
        job=job,
        digest=planned.digest,
        marks=marks,
        same_partitions=planned.same_partitions,
        rate=planned.rate,
        limit=planned.limit,
        batch=copy_group.BATCH,
        **({"max_bytes": planned.max_bytes} if planned.max_bytes else {}),
    )
    begun = next(session.journal.entries(job, ["BEGUN"]), None)
    if begun is not None:
        # Not asked for again: an open transaction of a process that died would hold the answer back.
        held = json.loads(begun.data or b"{}")
        return replace(copy, marks={int(p): Mark(a, b, a, planned.digest) for p, (a, b) in held.items()})
    found: dict[int, Mark] = {}
    if marks:
        settings = session.require_kafka().settings
        calls = Calls(job, copy.patience, watch.stopped, watch.waits)
        if not calls.again(
            lambda: found.update(copy_group.begin(settings, copy)), "write the ranges", most=copy.patience
        ):
            return None
    ranges = {p: (mark.start, mark.end) for p, mark in found.items()}
    session.journal.put(job, [Entry("ranges", "BEGUN", data=json.dumps(ranges).encode())])
    return replace(copy, marks=found)


@contextmanager
def _place(
    journal: Journal, job: str, group: str, *, alone: bool
) -> Iterator[tuple[str, Callable[[Callable[[str], None]], None]]]:
    """This process's place in the job: its identity, and what settles those of dead processes.

    A place whose process has died is taken first: so its transaction ends and its partitions come at once. Raises
    `Refused` when a job for one process has one.
    """
    # Two machines never share a place, unless one of them may take over the other's.
    machine = hashlib.sha256(f"{platform.node()}|{journal.path}".encode()).hexdigest()[:8]

    def identity(number: int) -> str:
        return f"{group}-only" if alone else f"{group}-{machine}-{number}"

    for number in range(1 if alone else _PLACES):
        lock = journal.lock(_lock(job, number))
        try:
            lock.__enter__()
            break
        except Refused:
            continue
    else:
        raise Refused(f"{job} is running, and one process does it; logq job cancel {job} stops it")

    def settle(fence: Callable[[str], None]) -> None:
        for entry in list(journal.entries(job, ["RUNNING"], data=False)):
            other = int(entry.key.removeprefix(_PROCESS))
            if other == number:
                continue
            try:
                with journal.lock(_lock(job, other)):
                    fence(identity(other))
                    journal.put(job, [Entry(entry.key, "SETTLED")])
            except Refused:
                continue  # it lives

    try:
        journal.put(job, [Entry(f"{_PROCESS}{number}", "RUNNING", note=identity(number))])
        yield identity(number), settle
        journal.put(job, [Entry(f"{_PROCESS}{number}", "ENDED")])
    finally:
        lock.__exit__(None, None, None)


def _lock(job: str, number: int) -> str:
    return f"{job} {_PROCESS}{number}"


class _Watch:
    """Progress for people and other processes, and whether somebody asked to stop."""

    def __init__(
        self,
        session: Session,
        job: str,
        planned: ReplayPlan,
        cancel: threading.Event,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._journal = session.journal
        self._job = job
        self._total = planned.total
        self._cancel = cancel
        self._on_progress = on_progress
        self._looked = self._noted = 0.0
        self._done = session.journal.job(job).done
        self._seen: deque[tuple[float, int]] = deque()

    def stopped(self) -> bool:
        now = time.monotonic()
        if not self._cancel.is_set() and now - self._looked >= _LOOK_S:
            self._looked = now
            if self._journal.cancel_requested(self._job):
                self._cancel.set()
        return self._cancel.is_set()

    def show(self, marks: Mapping[int, Mark]) -> None:
        now = time.monotonic()
        self._done = done = sum(mark.copied for mark in marks.values())
        self._seen.append((now, done))
        while now - self._seen[0][0] > _WINDOW_S and len(self._seen) > 2:
            self._seen.popleft()
        since, before = self._seen[0]
        left = sum(mark.left for mark in marks.values())
        self._on_progress(
            Progress(
                self._job,
                done=done,
                total=self._total,
                rate=(done - before) / (now - since) if now > since else None,
                note=f"{count(left)} offsets left, job {self._job}",
            )
        )
        if now - self._noted >= _LOOK_S:
            self._noted = now
            self._journal.progress(self._job, done)

    def waits(self, seconds: float, why: str) -> None:
        """Nothing moves: the rate of before is no longer true, and no time left follows from it."""
        self._seen.clear()
        told = f"nothing has moved for {duration(seconds)}" + (f": {why}" if why else "")
        self._on_progress(Progress(self._job, self._done, total=self._total, note=f"{told}; job {self._job}"))


def _note(journal: Journal, job: str, planned: ReplayPlan, marks: Mapping[int, Mark]) -> None:
    """One entry a partition: what the receipt proves."""
    journal.put(
        job,
        [
            Entry(
                f"{planned.source}/{p}",
                "COPIED" if mark.done else "OPEN",
                result=str(mark.copied),
                note=(
                    f"offsets {mark.start:,} to {mark.position - 1:,} of {mark.end - 1:,}: {mark.copied:,} copied, "
                    f"{mark.tombstones:,} of them tombstones, {mark.unselected:,} not selected, "
                    f"{mark.empty:,} without a record"
                ),
            )
            for p, mark in sorted(marks.items())
        ],
    )


def _outcome(
    session: Session, job: str, planned: ReplayPlan, copier: Copier | None, done: bool, error: LogqError | None
) -> Outcome:
    from console.kafka.copy_refused import Gap

    marks = copier.marks if copier is not None else {}
    copied = sum(mark.copied for mark in marks.values())
    left: int | None = 0 if done else sum(mark.left for mark in marks.values())
    if planned.total is not None and left is not None:
        left = min(left, max(0, planned.total - copied))  # a limit, or records picked by hand
    if not done and (copier is None or copier.unseen):
        # Nobody told how far the job is: what the journal noted is the least, and what is left is not known.
        copied, left = max(copied, session.journal.job(job).done), None
    unselected = sum(mark.unselected for mark in marks.values())
    failed_filter = sum(mark.errors for mark in marks.values())
    tombstones = sum(mark.tombstones for mark in marks.values())
    empty = sum(mark.empty for mark in marks.values())
    lines = [f"{plural(copied, 'record')} of {planned.named} copied to {planned.target}, exactly once"]
    if error is not None:
        lines.append(f"stopped: {error}")
    if tombstones:
        lines.append(f"{plural(tombstones, 'tombstone')} among them")
    if planned.picks and done and (gone := (planned.total or 0) - copied) > 0 and planned.where is None:
        lines.append(f"{plural(gone, 'picked record')} held no committed record (aborted, a marker, compacted away)")
    if unselected and planned.where is not None:
        also = f" ({count(failed_filter)} because the filter could not be applied)" if failed_filter else ""
        lines.append(f"{plural(unselected, 'record')} not selected by the filter{also}")
    if empty:
        lines.append(
            f"{plural(empty, 'offset')} held no committed record (transaction markers, aborted, compacted away)"
        )
    if copier is not None and copier.undecided:
        lines.append(
            "nobody told whether the last batch was committed: the next run finds out, and neither loses nor doubles it"
        )
    if not done:
        lines.append("how much is left was not told" if left is None else f"{plural(left, planned.unit)} left")
        if not isinstance(error, Gap):
            lines.append(f"resume: {command_line(session.settings, 'job', 'resume', job, '--execute')}")
    else:
        lines.append(f"logq job receipt {job} proves it; it cannot be undone")
    state: JobState = "done" if done else "cancelled" if error is None else "partly" if copied else "failed"
    problems = () if error is None else (Problem(f"job {job}", type(error).__name__, str(error)),)
    return Outcome(job, state, copied, 0, left, tuple(lines), problems)
