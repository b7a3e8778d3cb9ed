"""The journal's tables, and how one is opened: checked, private to its user, of a version this program knows."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from console.errors import Failed

APPLICATION_ID = 0x6C6F6771
"""`logq` in ASCII: tells a journal from another program's SQLite file."""

VERSION = 1
BUSY_S = 10.0
_AGAIN_S = 0.01

_TABLES = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, state TEXT NOT NULL,
    total INTEGER, done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, left_over INTEGER,
    started REAL, finished REAL, note TEXT NOT NULL DEFAULT '', command TEXT NOT NULL DEFAULT '',
    undoable INTEGER NOT NULL DEFAULT 0, plan TEXT NOT NULL, place TEXT NOT NULL DEFAULT '', operator TEXT NOT NULL,
    host TEXT NOT NULL, pid INTEGER NOT NULL, pid_started TEXT NOT NULL, cancel INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX jobs_by_start ON jobs (started DESC);
CREATE TABLE locks (
    source TEXT PRIMARY KEY, job TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, pid_started TEXT NOT NULL,
    operator TEXT NOT NULL, since REAL NOT NULL
) STRICT;
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY, job TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, at REAL NOT NULL,
    data BLOB, receipt TEXT, result TEXT, ambiguous INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '',
    UNIQUE (job, key)
) STRICT;
CREATE INDEX entries_by_state ON entries (job, state);
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, job TEXT NOT NULL, operator TEXT NOT NULL, line TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_job ON audit (job);
"""

_INDEX = "CREATE INDEX IF NOT EXISTS entries_by_result ON entries (job, result) WHERE result IS NOT NULL"
"""By it a job knows its own copies when they come back. Journals of before lack it; any version can live with it."""


def connect(path: Path) -> sqlite3.Connection:
    """Open (or create) the journal at `path`; its folder and file are readable by their user alone.

    Raises `Failed` when it cannot be opened, is damaged, is not a journal, or was written by a newer logq.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            # Message bodies will be in it: created private before SQLite writes the first byte.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise Failed(f"cannot open the journal {path}: {error}; name another folder in LOGQ_STATE_DIR") from None
    try:
        _set_up(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        if _is_busy(error):
            raise Failed(f"the journal {path} was held by another program for {BUSY_S:.0f} s; try again") from None
        raise Failed(
            f"the journal {path} cannot be used: {error}; move it away (it holds the jobs so far) and start again"
        ) from None
    except Failed:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    """The connection's settings and the tables. Raises `sqlite3.DatabaseError`; busy only after `BUSY_S`.

    Where two programs open a new journal at once, each wants the file for itself while it becomes a WAL database, and
    SQLite, whatever its timeout, tells one of them at once that it is locked (sqlite.org/c3ref/busy_handler.html).
    """
    ends = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL: a commit is on the disk before the message it speaks of is sent.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            _prepare(connection, path)
            connection.execute(_INDEX)
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= ends:
                raise
        time.sleep(_AGAIN_S)


def _is_busy(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = _number(connection, "user_version")
    if version == VERSION and _number(connection, "application_id") == APPLICATION_ID:
        return
    # Several programs may open a new journal at once: one makes the tables, the others find them made.
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _number(connection, "user_version")
        own = _number(connection, "application_id") == APPLICATION_ID
        if version > VERSION and own:
            raise Failed(
                f"the journal {path} was written by a newer logq (version {version}, this one knows {VERSION}); "
                "update logq or name another folder in LOGQ_STATE_DIR"
            )
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and not own:
            raise Failed(f"{path} is not a journal of logq; name another folder in LOGQ_STATE_DIR")
        if not tables:
            for statement in _TABLES.split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
