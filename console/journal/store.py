"""Jobs, their entries, locks and the audit trail, in one SQLite file that several logq processes may share."""

from __future__ import annotations

import json
import random
import sqlite3
import string
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console.errors import Failed, NotFound, Refused
from console.journal import owner, schema
from console.journal.entries import rows_of, write_rows
from console.journal.owner import Owner
from console.journal.rows import ENTRY, JOB, LOCK, Entry, LogLine, held_by, hide_secrets, job_of
from console.journal.writer import Writer
from console.model import Job, JobKind, JobState

CLOSE_S = 0.4
_CANCEL, _PAUSE = 1, 2  # what a job was asked, in its column `cancel`
LOOKUP = 400
"""Ids in one look-up: SQLite takes 999 parameters wherever it was built."""


class Journal:
    """The journal file. Safe to use from several threads and by several processes.

    Every method that writes returns when the writing is on the disk (synced), `put(…, wait=False)` excepted. Secrets
    have no place in it: plans hold none, and a command line is stripped of them.
    """

    def __init__(self, path: Path) -> None:
        """Open or create it. Raises `Failed` when that cannot be, when it is damaged, or a newer logq wrote it."""
        self.path = path
        self._reader = schema.connect(path)
        self._reading = threading.Lock()
        self._writer = Writer(schema.connect(path))
        self._owner = owner.this_process()
        self._operator = owner.operator()

    def close(self) -> None:
        """Commit what was handed over and let go of the file; takes at most half a second."""
        self._writer.close(CLOSE_S)
        with self._reading:
            self._reader.close()

    # ------------------------------------------------------------ jobs

    def create_job(
        self,
        kind: JobKind,
        source: str,
        target: str,
        *,
        total: int | None = None,
        plan: Mapping[str, Any],
        command: str = "",
        undoable: bool = False,
        note: str = "",
        place: str = "",
        name: str = "",
        entries: Iterable[Entry] = (),
    ) -> Job:
        """Begin a job: it is `running`, owned by this process, and holds the lock on its source until `finish`.

        `plan` is whatever JSON its kind needs to go on after a crash; `place` names the cluster or endpoint, so that
        the same name elsewhere is not locked with it. `name` is its id, when it was given one. `entries` are on the
        disk with the job or not at all. Raises `Refused` when another live job has the source, or when a job has that
        name.
        """
        now = time.time()
        text = json.dumps(dict(plan), ensure_ascii=False, sort_keys=True)
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M%S")
        job_id = name or f"{kind}-{stamp}-{''.join(random.choices(string.digits + string.ascii_lowercase, k=4))}"
        me = self._owner

        def write(db: sqlite3.Connection) -> None:
            if name and db.execute("SELECT 1 FROM jobs WHERE id = ?", (name,)).fetchone():
                raise Refused(f"there is a job named {name} already; logq job show {name} says what it did")
            self._take_lock(db, f"{place}|{source}", job_id)
            db.execute(
                "INSERT INTO jobs (id, kind, source, target, state, total, started, note, command, undoable, plan,"
                " place, operator, host, pid, pid_started) VALUES (?,?,?,?,'running',?,?,?,?,?,?,?,?,?,?,?)",
                (
                    *(
                        job_id,
                        kind,
                        source,
                        target,
                        total,
                        now,
                        note,
                        hide_secrets(command),
                        int(undoable),
                        text,
                        place,
                    ),
                    *(self._operator, me.host, me.pid, me.started),
                ),
            )
            write_rows(db, rows_of(job_id, entries))
            self._log(db, job_id, f"started: {kind} {source} -> {target}")

        self._writer.do(write)
        return self.job(job_id)

    def take(self, job_id: str) -> Job:
        """Make this process the owner of a job that was interrupted, cancelled or partly done, and `running` again.

        Raises `NotFound`, or `Refused` when its process still runs or another live job has its source.
        """
        job = self.job(job_id)
        me = self._owner

        def write(db: sqlite3.Connection) -> None:
            row = db.execute(
                "SELECT source, place, state, host, pid, pid_started FROM jobs WHERE id = ?", (job.id,)
            ).fetchone()
            if row[2] == "running" and Owner(*row[3:6]).alive:
                raise Refused(f"{job.id} is running (process {row[4]} on {row[3]}); logq job cancel {job.id} stops it")
            self._take_lock(db, f"{row[1]}|{row[0]}", job.id)
            db.execute(
                # What was left and said when it stopped is no longer true: from here on done and failed tell it.
                "UPDATE jobs SET state = 'running', finished = NULL, left_over = NULL, note = '', cancel = 0,"
                " host = ?, pid = ?, pid_started = ? WHERE id = ?",
                (me.host, me.pid, me.started, job.id),
            )
            self._log(db, job.id, f"resumed (it was {job.state})")

        self._writer.do(write)
        return self.job(job.id)

    def finish(
        self,
        job_id: str,
        state: JobState,
        *,
        done: int | None = None,
        failed: int | None = None,
        left: int | None = None,
        note: str | None = None,
        undoable: bool | None = None,
    ) -> JobState:
        """Write how a job ended and release its lock; what is None stays as it was (except `left`).

        Returns the state as written: a job that was asked to pause is `paused` where it would be `cancelled`.
        """

        def write(db: sqlite3.Connection) -> JobState:
            asked = db.execute("SELECT cancel FROM jobs WHERE id = ?", (job_id,)).fetchone()
            ended: JobState = "paused" if state == "cancelled" and asked == (_PAUSE,) else state
            db.execute(
                "UPDATE jobs SET state = ?, finished = ?, left_over = ?, done = coalesce(?, done),"
                " failed = coalesce(?, failed), note = coalesce(?, note), undoable = coalesce(?, undoable)"
                " WHERE id = ?",
                (ended, time.time(), left, done, failed, note, None if undoable is None else int(undoable), job_id),
            )
            db.execute("DELETE FROM locks WHERE job = ?", (job_id,))
            self._log(db, job_id, f"ended: {ended}" + (f"; {note}" if note else ""))
            return ended

        return self._writer.do(write)

    def undone(self, job_id: str, by: str) -> None:
        """Write that a job was undone by another one: there is nothing of it left to undo."""

        def write(db: sqlite3.Connection) -> None:
            db.execute("UPDATE jobs SET undoable = 0 WHERE id = ?", (job_id,))
            self._log(db, job_id, f"undone by {by}")

        self._writer.do(write)

    def progress(self, job_id: str, done: int, failed: int = 0, note: str | None = None) -> None:
        """Note how far a job is, without waiting for the disk: for other processes that look."""

        def write(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE jobs SET done = ?, failed = ?, note = coalesce(?, note) WHERE id = ?",
                (done, failed, note, job_id),
            )

        self._writer.submit(write)

    def jobs(self, limit: int = 100, source: str | None = None) -> tuple[Job, ...]:
        """The newest jobs (of one source), newest first. One whose process has gone reads `interrupted`."""
        which = " WHERE source = ?" if source is not None else ""
        rows = self._read(
            f"SELECT {JOB} FROM jobs{which} ORDER BY started DESC, id DESC LIMIT ?",
            (limit,) if source is None else (source, limit),
        )
        return tuple(job_of(row) for row in rows)

    def job(self, job_id: str) -> Job:
        """One job by its id or by a beginning of it that no other job has. Raises `NotFound`."""
        # A prefix range instead of LIKE: ids from the command line may hold % and _.
        rows = self._read(
            f"SELECT {JOB} FROM jobs WHERE id >= ? AND substr(id, 1, ?) = ? ORDER BY id LIMIT 2",
            (job_id, len(job_id), job_id),
        )
        exact = [row for row in rows if row[0] == job_id]
        if not job_id or not rows:
            raise NotFound(f"no job {job_id!r} in the journal; logq job list shows what there is")
        if len(rows) > 1 and not exact:
            raise NotFound(f"{job_id!r} begins the names of several jobs; give more of it (logq job list)")
        return job_of((exact or rows)[0])

    def plan(self, job_id: str) -> dict[str, Any]:
        """The plan a job was created with. Raises `NotFound`."""
        row = self._read("SELECT plan FROM jobs WHERE id = ?", (self.job(job_id).id,))[0]
        found: dict[str, Any] = json.loads(row[0])
        return found

    def operator(self, job_id: str) -> str:
        """Who began a job (`user@host`). Raises `NotFound`."""
        return str(self._read("SELECT operator FROM jobs WHERE id = ?", (self.job(job_id).id,))[0][0])

    def place(self, job_id: str) -> str:
        """The cluster or endpoint a job belongs to, "" when it was not told. Raises `NotFound`."""
        return str(self._read("SELECT place FROM jobs WHERE id = ?", (self.job(job_id).id,))[0][0])

    def request_cancel(self, job_id: str, *, pause: bool = False) -> None:
        """Ask the process that runs a job to stop at its next batch, for good or for a while. Raises `NotFound`."""
        found = self.job(job_id).id

        def write(db: sqlite3.Connection) -> None:
            db.execute("UPDATE jobs SET cancel = ? WHERE id = ?", (_PAUSE if pause else _CANCEL, found))
            self._log(db, found, "asked to pause" if pause else "asked to stop")

        self._writer.do(write)

    def cancel_requested(self, job_id: str) -> bool:
        """Whether somebody asked a job to stop; its owner looks once in a while."""
        rows = self._read("SELECT cancel FROM jobs WHERE id = ?", (job_id,))
        return bool(rows and rows[0][0])

    # ------------------------------------------------------------ locks

    @contextmanager
    def lock(self, source: str, job: str = "", place: str = "") -> Iterator[None]:
        """Hold the lock on a source for something that is no job; a job's own lock is passed through by naming it.

        Raises `Refused` saying who has it. A lock whose process has gone is taken over.
        """
        name = f"{place}|{source}"
        mine = job or f"pid {self._owner.pid}"
        before = self._read("SELECT job FROM locks WHERE source = ?", (name,))
        self._writer.do(lambda db: self._take_lock(db, name, mine))
        try:
            yield
        finally:
            if not (before and before[0][0] == mine):
                self._writer.do(lambda db: db.execute("DELETE FROM locks WHERE source = ? AND job = ?", (name, mine)))

    def holder(self, source: str, place: str = "") -> str:
        """Who works on a source now and how to stop it, in words; "" when nobody does."""
        rows = self._read(f"SELECT {LOCK} FROM locks WHERE source = ?", (f"{place}|{source}",))
        return held_by(source, rows[0]) if rows and Owner(*rows[0][1:4]).alive else ""

    def _take_lock(self, db: sqlite3.Connection, name: str, job: str) -> None:
        row = db.execute(f"SELECT {LOCK} FROM locks WHERE source = ?", (name,)).fetchone()
        if row is not None and row[0] != job and Owner(*row[1:4]).alive:
            raise Refused(held_by(name.partition("|")[2], row))
        me = self._owner
        db.execute(
            "INSERT OR REPLACE INTO locks (source, job, host, pid, pid_started, operator, since)"
            " VALUES (?,?,?,?,?,?,?)",
            (name, job, me.host, me.pid, me.started, self._operator, time.time()),
        )

    # ------------------------------------------------------------ entries

    def put(self, job_id: str, entries: Iterable[Entry], *, wait: bool = True) -> Future[None]:
        """Insert entries, or bring those of the same key up to date: a None keeps what was there, `ambiguous` stays.

        Returns when they are on the disk, unless `wait` is False (then the future tells). Raises `Failed`.
        """
        future = self._writer.put(rows_of(job_id, entries))
        if wait:
            future.result()
        return future

    def entries(self, job_id: str, states: Collection[str] = (), *, data: bool = True) -> Iterator[Entry]:
        """A job's entries in the order they were first written, those in `states` alone when given.

        Without `data` it is left out (None). Reads page by page, so a large job does not fill the memory.
        """
        columns = ENTRY if data else ENTRY.replace("data", "NULL")
        where = f" AND state IN ({','.join('?' * len(states))})" if states else ""
        last = -1
        while True:
            rows = self._read(
                f"SELECT {columns} FROM entries WHERE job = ? AND seq > ?{where} ORDER BY seq LIMIT 1000",
                (job_id, last, *states),
            )
            for key, state, at, raw, receipt, result, ambiguous, note, seq in rows:
                yield Entry(key, state, at, raw, receipt, result, bool(ambiguous), note, seq)
            if len(rows) < 1000:
                return
            last = rows[-1][8]

    def known(self, job_id: str, ids: Sequence[str]) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
        """What a job knows of ids: the states of its entries, and of its results the entry's key and state."""
        states: dict[str, str] = {}
        origins: dict[str, tuple[str, str]] = {}
        for first in range(0, len(ids), LOOKUP):
            some = ids[first : first + LOOKUP]
            marks = ",".join("?" * len(some))
            for key, state, result in self._read(
                f"SELECT key, state, NULL FROM entries WHERE job = ? AND key IN ({marks}) UNION ALL "
                f"SELECT key, state, result FROM entries WHERE job = ? AND result IN ({marks})",
                (job_id, *some, job_id, *some),
            ):
                if result is None:
                    states[key] = state
                else:
                    origins[result] = (key, state)
        return states, origins

    def doubtful(self, job_id: str) -> tuple[str, ...]:
        """The keys of a job's entries of which it was not known, once, whether they had happened."""
        rows = self._read("SELECT key FROM entries WHERE job = ? AND ambiguous = 1 ORDER BY seq", (job_id,))
        return tuple(row[0] for row in rows)

    def counts(self, job_id: str) -> dict[str, int]:
        """How many entries of a job are in which state."""
        return dict(self._read("SELECT state, count(*) FROM entries WHERE job = ? GROUP BY state", (job_id,)))

    # ------------------------------------------------------------ audit

    def audit(self, line: str, job: str = "") -> None:
        """Write a line about a change into the audit trail; who and when are added."""
        self._writer.do(lambda db: self._log(db, job, line))

    def trail(self, job: str | None = None, limit: int = 1_000) -> tuple[LogLine, ...]:
        """The newest audit lines (of one job when named), oldest first."""
        where = " WHERE job = ?" if job is not None else ""
        rows = self._read(
            f"SELECT at, job, operator, line FROM audit{where} ORDER BY seq DESC LIMIT ?",
            (limit,) if job is None else (job, limit),
        )
        return tuple(LogLine(*row) for row in reversed(rows))

    def _log(self, db: sqlite3.Connection, job: str, line: str) -> None:
        db.execute(
            "INSERT INTO audit (at, job, operator, line) VALUES (?,?,?,?)",
            (time.time(), job, self._operator, hide_secrets(line)),
        )

    def _read(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            with self._reading:
                return self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise Failed(f"the journal {self.path} could not be read: {error}") from None
