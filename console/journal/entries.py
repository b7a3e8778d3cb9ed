"""The entries of jobs as SQL: many rows a statement, inserted or brought up to date."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Any

from console.journal.rows import Entry

Row = tuple[Any, ...]
"""The values of one entry, in the order of the columns of `_PUT`."""

_PUT = "INSERT INTO entries (job, key, state, at, data, receipt, result, ambiguous, note) VALUES "
_OR_UPDATE = (
    " ON CONFLICT (job, key) DO UPDATE SET state = excluded.state,"
    " at = excluded.at, data = coalesce(excluded.data, data), receipt = coalesce(excluded.receipt, receipt),"
    " result = coalesce(excluded.result, result), ambiguous = max(ambiguous, excluded.ambiguous),"
    " note = CASE excluded.note WHEN '' THEN note ELSE excluded.note END"
)
_ROW = "(?,?,?,?,?,?,?,?,?)"
_ROWS_AT_ONCE = 100


def rows_of(job_id: str, entries: Iterable[Entry]) -> list[Row]:
    """The values of a row for each entry of a job."""
    now = time.time()
    return [
        (job_id, e.key, e.state, e.at or now, e.data, e.receipt, e.result, int(e.ambiguous), e.note) for e in entries
    ]


def write_rows(db: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Insert or update; the later of two rows of one entry wins, as if each were a statement of its own.

    Many rows a statement: between two statements the writer waits its turn behind busy workers.
    """
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[first : first + _ROWS_AT_ONCE]
        values = [value for row in some for value in row]
        db.execute(_PUT + ",".join([_ROW] * len(some)) + _OR_UPDATE, values)
