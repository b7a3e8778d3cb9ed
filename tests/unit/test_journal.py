"""The journal: durable, shared by processes, honest about jobs whose process has gone."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.errors import Failed, NotFound, Refused
from console.journal import Entry, Journal, schema
from console.journal.store import hide_secrets


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def begin(journal: Journal, source: str = "sqs:dlq", **more: object) -> str:
    return journal.create_job("redrive", source, "sqs:q", total=3, plan={"to": "q"}, **more).id  # type: ignore[arg-type]


def test_a_job_is_running_and_owned_until_it_is_finished(journal: Journal) -> None:
    job = journal.create_job("redrive", "sqs:d", "sqs:q", total=7, plan={"x": [1]}, command="logq dlq redrive d")
    assert job.id.startswith("redrive-2") and job.state == "running" and job.left == 7
    journal.progress(job.id, 2, 1)
    journal.put(job.id, ())  # what was handed over before is on the disk now
    assert (journal.job(job.id).done, journal.job(job.id).failed, journal.job(job.id).left) == (2, 1, 4)
    journal.finish(job.id, "partly", done=5, failed=1, left=1, note="one is left")
    job = journal.job(job.id[:-2])
    assert (job.state, job.done, job.failed, job.left, job.note) == ("partly", 5, 1, 1, "one is left")
    assert journal.plan(job.id) == {"x": [1]} and job.finished is not None
    assert [line.line.split(":")[0] for line in journal.trail(job.id)] == ["started", "ended"]


def test_an_unknown_or_ambiguous_job_name_is_told(journal: Journal) -> None:
    for index in range(2):
        journal.finish(begin(journal, f"sqs:{index}"), "done")
    for name in ("nope", "", "%", "redrive-%"):
        with pytest.raises(NotFound, match="no job"):
            journal.job(name)
    with pytest.raises(NotFound, match="several"):
        journal.job("redrive-")


def test_two_jobs_cannot_have_one_source(journal: Journal, path: Path) -> None:
    first = begin(journal)
    with pytest.raises(Refused, match=first):
        begin(journal)
    begin(journal, "sqs:other")
    begin(journal, place="http://elsewhere")
    other = Journal(path)
    with pytest.raises(Refused, match=first), other.lock("sqs:dlq"):
        pass
    journal.finish(first, "done")
    with other.lock("sqs:dlq"), pytest.raises(Refused):
        begin(journal)
    begin(journal)
    other.close()


def test_a_jobs_own_lock_is_passed_through(journal: Journal) -> None:
    job = begin(journal)
    with journal.lock("sqs:dlq", job):
        pass
    with pytest.raises(Refused):
        begin(journal)


def test_entries_keep_what_an_update_leaves_out(journal: Journal) -> None:
    job = begin(journal)
    journal.put(job, [Entry("a", "INTENT", data=b"\x00whole", receipt="r1"), Entry("b", "SPOOLED", data=b"b")])
    journal.put(job, [Entry("a", "AMBIGUOUS", ambiguous=True, note="lost answer")])
    journal.put(job, [Entry("a", "SENT", result="new-id", receipt="r2")])
    a, b = journal.entries(job)
    assert (a.key, a.state, a.data, a.receipt, a.result) == ("a", "SENT", b"\x00whole", "r2", "new-id")
    assert a.ambiguous and a.note == "lost answer" and a.seq < b.seq
    assert [e.key for e in journal.entries(job, ["SPOOLED"], data=False)] == ["b"]
    assert next(journal.entries(job, data=False)).data is None
    assert journal.counts(job) == {"SENT": 1, "SPOOLED": 1}


def test_entries_are_paged_without_gap(journal: Journal) -> None:
    job = begin(journal)
    journal.put(job, [Entry(f"{n:05}", "SPOOLED") for n in range(2_500)])
    assert [e.key for e in journal.entries(job)] == [f"{n:05}" for n in range(2_500)]


def test_many_threads_write_at_once(journal: Journal) -> None:
    job = begin(journal)

    def write(worker: int) -> None:
        for n in range(40):
            journal.put(job, [Entry(f"{worker}-{n}", "SENT")])

    threads = [threading.Thread(target=write, args=(w,)) for w in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.counts(job) == {"SENT": 320}


def test_a_new_journal_opened_by_several_at_once(tmp_path: Path) -> None:
    """Nearly every seventh time one of two was told that it is locked, whatever the timeout said."""
    failures: list[Exception] = []

    def opens(path: Path, start: threading.Barrier) -> None:
        start.wait()
        try:
            connections.extend(schema.connect(path) for _ in range(2))
        except Exception as error:
            failures.append(error)

    for turn in range(60):
        connections: list[sqlite3.Connection] = []
        start = threading.Barrier(2)
        threads = [threading.Thread(target=opens, args=(tmp_path / f"{turn}.db", start)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for connection in connections:
            connection.close()
    assert not failures


def test_one_that_another_program_holds_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.db"
    holder = sqlite3.connect(path)
    holder.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(schema, "BUSY_S", 0.1)
    with pytest.raises(Failed, match="held by another program"):
        schema.connect(path)
    holder.close()


def test_what_comes_together_is_written_in_the_order_it_came(journal: Journal) -> None:
    """Held up, the writer makes one statement of what stands side by side: also of two states of one message."""
    job = begin(journal)
    held, goes_on = threading.Event(), threading.Event()
    seen: list[tuple[str, str]] = []

    def hold(db: sqlite3.Connection) -> None:
        held.set()
        assert goes_on.wait(10)

    def look(db: sqlite3.Connection) -> None:
        seen.extend(db.execute("SELECT key, state FROM entries ORDER BY seq"))

    journal._writer.submit(hold)
    assert held.wait(10)
    journal.put(job, [Entry("a", "INTENT", data=b"whole", receipt="r", ambiguous=True)], wait=False)
    journal.put(job, [Entry("b", "INTENT", data=b"other"), Entry("a", "SENT", result="copy")], wait=False)
    looked = journal._writer.submit(look)
    last = journal.put(job, [Entry("a", "DELETED")], wait=False)
    goes_on.set()
    looked.result(10)
    last.result(10)
    assert seen == [("a", "SENT"), ("b", "INTENT")]
    a, b = journal.entries(job)
    assert (a.key, a.state, a.data, a.receipt, a.result, a.ambiguous) == ("a", "DELETED", b"whole", "r", "copy", True)
    assert (b.key, b.state, b.data) == ("b", "INTENT", b"other")


def test_a_refusal_does_not_undo_what_others_wrote(journal: Journal) -> None:
    job = begin(journal)
    held = threading.Event()
    # The writer is kept busy, so that a good and a refused piece of work share its next transaction.
    journal._writer.submit(lambda db: held.wait(5))
    good = journal.put(job, [Entry("a", "SENT")], wait=False)
    refused = journal._writer.submit(lambda db: journal._take_lock(db, "|sqs:dlq", "someone"))
    held.set()
    good.result(5)
    with pytest.raises(Refused):
        refused.result(5)
    assert journal.counts(job) == {"SENT": 1}


def child(path: Path, code: str) -> subprocess.Popen[str]:
    program = (
        f"from console.journal import Journal, Entry\nfrom pathlib import Path\nj = Journal(Path({str(path)!r}))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program + textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


def test_a_job_whose_process_was_killed_reads_interrupted_and_can_be_taken(journal: Journal, path: Path) -> None:
    process = child(
        path,
        """
        job = j.create_job("redrive", "sqs:dlq", "sqs:q", total=2, plan={}).id
        j.put(job, [Entry("a", "SENT")])
        print(job, flush=True)
        input()
        """,
    )
    assert process.stdout is not None
    job = process.stdout.readline().strip()
    assert journal.job(job).state == "running"
    with pytest.raises(Refused, match="is running"):
        journal.take(job)
    with pytest.raises(Refused, match=job):
        begin(journal)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert journal.job(job).state == "interrupted"
    assert journal.counts(job) == {"SENT": 1}
    assert journal.take(job).state == "running"
    with pytest.raises(Refused, match=job):
        begin(journal)


def test_what_was_left_and_said_is_not_what_a_job_that_goes_on_has_left(journal: Journal) -> None:
    known = journal.create_job("redrive", "sqs:dlq", "sqs:q", total=2_062, plan={}).id
    unknown = journal.create_job("redrive", "sqs:dlq2", "sqs:q2", total=None, plan={}).id
    for job in (known, unknown):
        journal.finish(job, "cancelled", done=290, failed=0, left=1_772, note="290 redriven")
        assert journal.job(job).left == 1_772
        journal.take(job)
        journal.progress(job, 690, 2)
    found = journal.job(known)
    assert (found.state, found.done, found.left, found.note) == ("running", 690, 1_370, "")
    assert journal.job(unknown).left is None


def test_the_source_of_a_killed_job_is_free_for_another(journal: Journal, path: Path) -> None:
    process = child(
        path, 'print(j.create_job("redrive", "sqs:dlq", "q", plan={}).id, flush=True); import os; os._exit(9)'
    )
    process.wait(10)
    assert begin(journal)


def test_an_owner_needs_more_than_the_same_pid(journal: Journal) -> None:
    job = begin(journal)
    journal._writer.do(lambda db: db.execute("UPDATE jobs SET pid_started = 'another boot/1' WHERE id = ?", (job,)))
    assert journal.job(job).state == "interrupted"


def test_cancel_reaches_the_owner_through_the_file(journal: Journal, path: Path) -> None:
    job = begin(journal)
    assert not journal.cancel_requested(job)
    other = Journal(path)
    other.request_cancel(job)
    other.close()
    assert journal.cancel_requested(job)


def test_it_is_private_and_shared_by_processes(journal: Journal, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0
    processes = [
        child(path, f'job = j.create_job("redrive", "sqs:{n}", "q", plan={{}}).id; j.finish(job, "done")')
        for n in range(3)
    ]
    assert [process.wait(20) for process in processes] == [0, 0, 0]
    assert len(journal.jobs()) == 3


def test_a_damaged_a_foreign_and_a_newer_file_are_told_apart(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(Failed, match="cannot be used"):
        Journal(damaged)
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(Failed, match="not a journal"):
        Journal(foreign)
    newer = tmp_path / "newer.db"
    Journal(newer).close()
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(Failed, match="newer logq"):
        Journal(newer)
    (tmp_path / "file").write_text("")
    with pytest.raises(Failed, match="LOGQ_STATE_DIR"):
        Journal(tmp_path / "file" / "journal.db")


def test_commits_are_synced(journal: Journal) -> None:
    assert journal._writer.do(lambda db: db.execute("SELECT * FROM pragma_synchronous").fetchone()) == (2,)
    assert journal._reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_secrets_are_not_written(journal: Journal) -> None:
    job = begin(journal, command="logq -X sasl.password=hunter2 -X client.id=me dlq redrive d", note="")
    assert journal.job(job).command == "logq -X sasl.password=(hidden) -X client.id=me dlq redrive d"
    assert hide_secrets("a secret_key='x y' b") == "a secret_key=(hidden) b"


def test_it_closes_quickly_and_refuses_afterwards(path: Path) -> None:
    journal = Journal(path)
    job = begin(journal)
    journal.progress(job, 1)
    began = time.monotonic()
    journal.close()
    assert time.monotonic() - began < 0.5
    with pytest.raises(Failed, match="closed"):
        journal.put(job, [Entry("a", "SENT")])
    assert path.exists()
