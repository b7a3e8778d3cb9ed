"""The journal's rows as values: entries, audit lines, jobs; and command lines without their secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from console.journal.owner import Owner
from console.model import Job, JobState

_SECRET = re.compile(r"(\S*(?:password|secret|token|private)[^\s=]*=)(\"[^\"]*\"|'[^']*'|\S+)", re.IGNORECASE)
JOB = (
    "id, kind, source, target, state, total, done, failed, left_over, started, finished, note, command, undoable, "
    "host, pid, pid_started"
)
LOCK = "job, host, pid, pid_started, operator"
ENTRY = "key, state, at, data, receipt, result, ambiguous, note, seq"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing a job does: a message, a partition's old offset, a task. `key` is unique within the job.

    `state` is the job kind's own word. `data` is what it takes to do or undo it, `receipt` the newest receipt handle,
    `result` what came of it (a new MessageId), `ambiguous` stays once it was not known whether it had happened.
    `at` is when the state was set (epoch seconds); `seq` grows in the order of first writing.
    """

    key: str
    state: str
    at: float = 0.0
    data: bytes | None = None
    receipt: str | None = None
    result: str | None = None
    ambiguous: bool = False
    note: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the audit trail."""

    at: float
    job: str
    operator: str
    line: str


def hide_secrets(text: str) -> str:
    """A command line or note without the values of what is called password, secret, token or private."""
    return _SECRET.sub(r"\1(hidden)", text)


def job_of(row: tuple[Any, ...]) -> Job:
    """A job from the columns `JOB`; one that runs without a living process reads `interrupted`."""
    state: JobState = row[4]
    if state == "running" and not Owner(*row[14:17]).alive:
        state = "interrupted"
    total, done, failed, left = row[5:9]
    if left is None and total is not None and state in ("running", "interrupted"):
        left = max(0, total - done - failed)
    return Job(
        id=row[0], kind=row[1], source=row[2], target=row[3], state=state, total=total, done=done, failed=failed,
        left=left, started=row[9], finished=row[10], note=row[11], command=row[12], undoable=bool(row[13]),
    )  # fmt: skip


def held_by(source: str, row: Sequence[Any]) -> str:
    """Who has the lock of a source (a row of `LOCK`) and how to stop it, in words."""
    job, _, pid, _, operator = row
    return (
        f"{source} is being worked on by {job} of {operator} (process {pid}); "
        f"wait for it or stop it with logq job cancel {job}"
    )
