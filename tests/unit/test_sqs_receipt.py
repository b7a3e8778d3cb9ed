"""Receipts and jobs from a journal alone: no server is needed to prove what was done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from console import text
from console.config import Settings
from console.errors import NotFound, UsageError
from console.journal import Entry
from console.ops import jobs
from console.ops.session import Session


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    opened = Session(Settings(state_dir=tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def job(session: Session) -> str:
    journal = session.journal
    plan = {"where": "body.n < 3", "ids": [], "engine": "client", "why": "asked for"}
    job = journal.create_job("redrive", "sqs:d", "sqs:q", total=3, plan=plan, command="logq dlq redrive d").id
    journal.put(
        job,
        [
            Entry("id-a", "DELETED", data=b"secret body", result="new-a"),
            Entry("id-b", "DELETED", result="new-b", ambiguous=True, note="the answer | was\nlost"),
            Entry("id-c", "FAILED", note="bad \x1b]52;c;aGk=\x07 character"),
        ],
    )
    journal.finish(job, "partly", done=2, failed=1, left=0)
    return job


def test_the_markdown_names_who_what_and_every_doubt(session: Session, job: str) -> None:
    receipt = jobs.receipt(session, job)
    for part in ("body.n < 3", "client: asked for", "`logq dlq redrive d`", "id-a", "new-a", "not possible"):
        assert part in receipt
    assert "May be at the destination twice: 1" in receipt and "Failed: 1" in receipt
    assert "the answer \\| was lost" in receipt, "a bar or a line feed breaks the table"
    assert text.is_safe(receipt) and "␛]52" in receipt
    assert "secret body" not in receipt


def test_a_replay_to_a_queue_counts_records_and_speaks_of_a_replay(session: Session) -> None:
    """An entry is a batch: sent whole, in part, perhaps, or not; a record that failed has one of its own."""
    journal = session.journal
    job = journal.create_job("replay", "kafka:t", "sqs:q", total=20, plan={}, command="").id

    def unit(key: str, state: str, sent: int, *open_: int) -> Entry:
        partition, _, ends = key.partition("/")
        first, last = map(int, ends.split("-"))
        told = {"p": int(partition), "first": first, "last": last, "open": open_, "sent": sent}
        return Entry(key, state, data=json.dumps(told).encode())

    journal.put(
        job,
        [
            unit("0/0-5", "SENT", 5),
            Entry("0/3", "FAILED", note="its value is empty"),
            unit("0/6-9", "UNSENT", 1, 7, 8, 9),
            unit("1/0-2", "INTENT", 0, 0, 1, 2),
            Entry("0/9", "FAILED", note="a tombstone has no value"),
        ],
    )
    counts = {"FAILED": 2, "INTENT": 3, "SENT": 6, "UNSENT": 2}
    assert jobs.outcomes(journal, journal.job(job)) == jobs.show(session, job).counts == counts
    assert json.loads(jobs.receipt(session, job, "jsonl").splitlines()[0])["outcomes"] == counts
    receipt = jobs.receipt(session, job)
    assert "| SENT | 6 | sent to the queue; the record stays where it was read from |" in receipt
    assert "| FAILED | 2 | not sent: it cannot be a message, or the queue refused it |" in receipt
    assert "May be at the destination twice: 1 batch" in receipt
    assert "dead-letter" not in receipt and "deleted" not in receipt


def test_the_lines_are_json_with_raw_values(session: Session, job: str) -> None:
    records = [json.loads(line) for line in jobs.receipt(session, job[:-1], "jsonl").splitlines()]
    assert records[0]["operator"] and records[0]["outcomes"] == {"DELETED": 2, "FAILED": 1}
    entries = {record["id"]: record for record in records if record["record"] == "entry"}
    assert entries["id-b"]["ambiguous"] and not entries["id-a"]["ambiguous"]
    assert entries["id-c"]["note"] == "bad \x1b]52;c;aGk=\x07 character" and entries["id-c"]["new_id"] is None


def test_what_cannot_be_done_is_told(session: Session, job: str) -> None:
    with pytest.raises(UsageError, match="cannot be undone"):
        jobs.undo(session, job)
    with pytest.raises(UsageError, match="not running"):
        jobs.cancel(session, job)
    with pytest.raises(UsageError, match="md or jsonl"):
        jobs.receipt(session, job, "pdf")
    with pytest.raises(NotFound):
        jobs.receipt(session, "nope")
    # Without an SQS side there is nothing to resume it with, and that is said.
    with pytest.raises(UsageError, match="no SQS side"):
        jobs.resume(session, job)
    purge = session.journal.create_job("purge", "sqs:x", "sqs:x", plan={}).id
    session.journal.finish(purge, "failed")
    with pytest.raises(UsageError, match="no SQS side"):
        jobs.resume(session, purge)


def test_a_cancel_tells_whether_it_was_heard(session: Session) -> None:
    running = session.journal.create_job("redrive", "sqs:x", "sqs:y", plan={}).id
    outcome = jobs.cancel(session, running, wait=0.2)
    assert outcome.state == "running" and "was asked to stop" in outcome.lines[0]
    assert session.journal.cancel_requested(running)
    detail = jobs.show(session, running)
    assert detail.job.id == running and detail.trail[-1].line == "asked to stop"
    assert jobs.list_jobs(session)[0].id == running
