"""Replay of a topic into queues: what becomes of key, headers and odd values, order and deduplication, and resuming."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqs_world
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from replay_world import fill, make_topics, read

from console.config import KafkaSettings, Settings, SqsSettings
from console.errors import Refused
from console.journal import Entry
from console.model import Progress
from console.ops import jobs, replay
from console.ops.session import Session

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

Unique = Callable[[str], str]


@pytest.fixture
def session(kafka: str, sqs_endpoint: str, tmp_path: Path) -> Iterator[Session]:
    sqs = SqsSettings(region="eu-west-1", endpoint_url=sqs_endpoint)
    opened = Session(Settings(kafka=KafkaSettings(kafka), sqs=sqs, state_dir=tmp_path, timeout=30))
    yield opened
    opened.close()


def test_records_become_messages(kafka: str, sqs_endpoint: str, session: Session, unique: Unique) -> None:
    """What cannot be a message is left out, counted and named; the rest has its origin, key and headers."""
    make_topics(kafka, {(source := unique("src")): 1})
    producer = Producer({"bootstrap.servers": kafka})
    many = [(f"h{n}", b"%d" % n) for n in range(9)]
    producer.produce(source, '{"ok": "é"}', "k1", partition=0, headers=[("type", b"order"), ("raw", b"\xff"), *many])
    producer.produce(source, b"plain", b"\xff\x01", partition=0, headers=[("bad name", b"x"), ("aws.x", b"x")])
    producer.produce(source, None, b"tombstone", partition=0)
    producer.produce(source, b"", partition=0)
    producer.produce(source, b"\xff\xfe", partition=0)
    producer.produce(source, b"bell \x07", partition=0)
    producer.produce(source, b"last", partition=0)
    assert producer.flush(30) == 0
    with sqs_world.world(sqs_endpoint, unique("replay")) as world:
        planned = replay.plan(session, source, f"sqs:{world.name}")
        facts = dict(replay.view(planned).facts)
        assert "other headers and the timestamp are dropped" in facts["is kept"]
        outcome = replay.run(session, planned)
        assert (outcome.state, outcome.done, outcome.failed, outcome.left) == ("partly", 3, 4, 0)
        got = {m["Body"]: m["MessageAttributes"] for m in world.drain()}
    assert set(got) == {'{"ok": "é"}', "plain", "last"}
    first = {name: v.get("StringValue", v.get("BinaryValue")) for name, v in got['{"ok": "é"}'].items()}
    assert first == {
        "logq-replay": outcome.job, "logq-origin": f"{source}/0/0", "logq-key": "k1", "type": "order", "raw": b"\xff",
        **{f"h{n}": str(n) for n in range(5)},
    }  # fmt: skip
    second = got["plain"]
    assert set(second) == {"logq-replay", "logq-origin", "logq-key"}
    assert second["logq-key"]["BinaryValue"] == b"\xff\x01"
    named = {e.key: e.note for e in session.journal.entries(outcome.job, ["FAILED"])}
    assert set(named) == {"0/2", "0/3", "0/4", "0/5"}
    assert "U+0007" in named["0/5"]
    assert "tombstone" in jobs.receipt(session, outcome.job)
    again = jobs.resume(session, outcome.job)
    assert (again.state, again.done, again.failed) == ("partly", 3, 4)


def test_a_fifo_queue_keeps_the_order_of_keys(kafka: str, sqs_endpoint: str, session: Session, unique: Unique) -> None:
    make_topics(kafka, {(source := unique("src")): 2})
    producer = Producer({"bootstrap.servers": kafka})
    for n in range(240):
        key = None if n % 12 == 11 else b"has space" if n % 12 == 10 else b"k%d" % (n % 12)
        producer.produce(source, b"%d" % n, key, partition=n % 2)
    assert producer.flush(30) == 0
    with sqs_world.world(sqs_endpoint, unique("replayf"), fifo=True) as world:
        outcome = replay.run(session, replay.plan(session, source, f"sqs:{world.name}"))
        assert (outcome.state, outcome.done) == ("done", 240), outcome.lines
        # As after a crash that lost the news of what was sent: sent again, and there once.
        session.journal.put(outcome.job, [Entry(e.key, "INTENT", at=e.at, data=reopened(e.data)) for e in
                                          list(session.journal.entries(outcome.job))])  # fmt: skip
        session.journal.finish(outcome.job, "interrupted")
        again = jobs.resume(session, outcome.job)
        assert again.state == "done", again.lines
        assert not any("twice" in line for line in again.lines)
        groups = defaultdict(list)
        for message in world.drain():
            groups[message["Attributes"]["MessageGroupId"]].append(int(message["Body"]))
    assert sum(map(len, groups.values())) == 240
    assert all(numbers == sorted(numbers) for numbers in groups.values())
    assert {"k0", "k9", "partition-1"} < set(groups)
    assert len(groups) == 12


def reopened(data: bytes | None) -> bytes:
    unit = json.loads(data or b"")
    return json.dumps({**unit, "open": list(range(unit["first"], unit["last"] + 1)), "sent": 0}).encode()


def test_filter_limit_cancel_and_resume(kafka: str, sqs_endpoint: str, session: Session, unique: Unique) -> None:
    make_topics(kafka, {(source := unique("src")): 2})
    fill(kafka, source, 1_000, 2)
    with sqs_world.world(sqs_endpoint, unique("replay")) as world:
        name = unique("job")
        how: dict[str, Any] = {"where": "value % 2 == 1", "limit": 321, "job": name}
        planned = replay.plan(session, source, f"sqs:{world.name}", **how)

        stop = threading.Event()

        def ask(progress: Progress) -> None:
            if progress.done:
                stop.set()

        outcome = replay.run(session, planned, stop, ask)
        assert outcome.state == "cancelled"
        assert 0 < outcome.done < 321
        assert outcome.left
        with pytest.raises(Refused, match="belongs to"):
            other = Settings(
                kafka=KafkaSettings("127.0.0.1:1"), sqs=session.settings.sqs, state_dir=session.settings.state_dir
            )
            elsewhere = Session(other)
            try:
                jobs.resume(elsewhere, outcome.job)
            finally:
                elsewhere.close()
        fill(kafka, source, 20, 2, first=1_000)
        again = replay.plan(session, source, f"sqs:{world.name}", **how)
        assert again.joins
        assert again.ranges == planned.ranges
        outcome = replay.run(session, again)
        assert (outcome.job, outcome.state, outcome.done, outcome.left) == (name, "done", 321, 0)
        bodies = [int(m["Body"]) for m in world.drain()]
    assert len(bodies) == len(set(bodies)) == 321
    wanted = {int(r.value or b"") for records in read(kafka, source, 2).values() for r in records}
    assert set(bodies) <= {n for n in wanted if n % 2}


@pytest.mark.parametrize("fifo", [False, True])
def test_what_is_left_stays_true_over_resumes_that_send_nothing(
    kafka: str, sqs_endpoint: str, session: Session, unique: Unique, fifo: bool
) -> None:
    """Records that were in hand when the queue went away are left, as often as it is tried."""
    make_topics(kafka, {(source := unique("src")): 2})
    fill(kafka, source, 200, 2)
    with sqs_world.world(sqs_endpoint, unique("replay"), fifo=fifo) as world:
        planned = replay.plan(session, source, f"sqs:{world.name}", rate=100)

        def without_queue(progress: Progress) -> None:
            if progress.done >= 50:
                world.client.delete_queue(QueueUrl=planned.url)

        outcome = replay.run(session, planned, on_progress=without_queue)
        for _ in range(3):
            assert (outcome.state, outcome.failed) == ("partly", 0), outcome.lines
            assert outcome.left == 200 - outcome.done > 0
            assert session.journal.job(outcome.job).left == outcome.left
            outcome = jobs.resume(session, outcome.job)
        had = outcome.done
        sqs_world.create(world.client, world.name)
        outcome = jobs.resume(session, outcome.job)
        assert (outcome.state, outcome.done, outcome.left) == ("done", 200, 0), outcome.lines
        assert len({m["Body"] for m in world.drain()}) == 200 - had


# ---------------------------------------------------------------- a source that is another one


def paused(session: Session, source: str, queue: str, **how: Any) -> str:
    """A replay that was stopped on the way; its job."""
    stop = threading.Event()

    def after_some(progress: Progress) -> None:
        if progress.done >= 40:
            stop.set()

    outcome = replay.run(session, replay.plan(session, source, f"sqs:{queue}", rate=200, **how), stop, after_some)
    assert outcome.state == "cancelled"
    assert 40 <= outcome.done < 190
    return outcome.job


def remade(kafka: str, topic: str, records: int) -> None:
    """The topic deleted and made anew, with other records."""
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([topic])[topic].result(30)
    ends = time.monotonic() + 30
    while topic in admin.list_topics(timeout=10).topics:
        assert time.monotonic() < ends, f"{topic} is still there"
        time.sleep(0.1)
    make_topics(kafka, {topic: 1})
    foreign(kafka, topic, records)


def foreign(kafka: str, topic: str, records: int) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    for n in range(records):
        producer.produce(topic, b"foreign %d" % n)
    assert producer.flush(30) == 0


def as_before_ids(session: Session, job: str) -> None:
    """The journal as an earlier version wrote it: its plans know no topic id."""
    plan = session.journal.plan(job)
    del plan["topic_id"]
    with sqlite3.connect(session.journal.path) as journal:
        journal.execute("UPDATE jobs SET plan = ? WHERE id = ?", (json.dumps(plan), job))


@pytest.mark.parametrize(("records", "known"), [(20, True), (20, False), (400, True)])
def test_a_source_made_anew_is_not_taken_for_the_one_planned(
    kafka: str, sqs_endpoint: str, session: Session, unique: Unique, records: int, known: bool
) -> None:
    """Shorter or longer than what was planned: it stops, says what was never sent, and sends nothing foreign."""
    make_topics(kafka, {(source := unique("src")): 1})
    fill(kafka, source, 200, 1)
    with sqs_world.world(sqs_endpoint, unique("replay")) as world:
        job = paused(session, source, world.name)
        sent = session.journal.job(job).done
        remade(kafka, source, records)
        if not known:
            as_before_ids(session, job)
        for _ in range(2):
            outcome = jobs.resume(session, job)
            assert (outcome.state, outcome.done, outcome.left) == ("partly", sent, 200 - sent), outcome.lines
            told = "\n".join(outcome.lines)
            assert ("made anew" if known else "ends at 20 now") in told
            assert f"partition 0 offsets {sent} to 199" in told
            assert "it cannot be resumed" in session.journal.job(job).note
            assert "job resume" not in told
        bodies = [m["Body"] for m in world.drain()]
    assert sorted(map(int, bodies)) == list(range(sent))


def test_a_source_made_anew_under_way_stops_the_replay(
    kafka: str, sqs_endpoint: str, session: Session, unique: Unique
) -> None:
    """Also while it runs nothing foreign is sent, and what was not sent is not called done."""
    make_topics(kafka, {(source := unique("src")): 1})
    fill(kafka, source, 5_000, 1, pad=2_000)
    seen = threading.Event()

    def once(progress: Progress) -> None:
        if progress.done and not seen.is_set():
            seen.set()
            remade(kafka, source, 6_000)

    with sqs_world.world(sqs_endpoint, unique("replay")) as world:
        outcome = replay.run(session, replay.plan(session, source, f"sqs:{world.name}"), on_progress=once)
        assert outcome.state == "partly", outcome.lines
        assert outcome.left == 5_000 - outcome.done > 0
        assert any("made anew" in line for line in outcome.lines), outcome.lines
        assert not [m["Body"] for m in world.drain() if m["Body"].startswith("foreign")]


def test_what_expired_is_named_and_no_resume_is_offered(
    kafka: str, sqs_endpoint: str, session: Session, unique: Unique
) -> None:
    make_topics(kafka, {(source := unique("src")): 1})
    fill(kafka, source, 200, 1)
    with sqs_world.world(sqs_endpoint, unique("replay")) as world:
        job = paused(session, source, world.name)
        sent = session.journal.job(job).done
        admin = AdminClient({"bootstrap.servers": kafka})
        for future in admin.delete_records([TopicPartition(source, 0, 195)]).values():
            future.result(30)
        outcome = jobs.resume(session, job)
        assert (outcome.state, outcome.done, outcome.left) == ("partly", sent, 200 - sent)
        told = "\n".join(outcome.lines)
        assert f"offsets {sent} to 194 have gone" in told
        assert "it cannot be resumed" in told
        admin.delete_topics([source])[source].result(30)
        assert "has been deleted" in "\n".join(jobs.resume(session, job).lines)
