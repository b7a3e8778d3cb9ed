"""What a replay's destination may do to it: be deleted, be made again smaller, refuse one record of many."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from replay_world import assert_copied, fill, make_topics, read

from console.config import KafkaSettings, Settings
from console.errors import NotFound, Refused
from console.kafka.client import KafkaClient
from console.model import Progress
from console.ops import replay
from console.ops.session import Session

pytestmark = pytest.mark.broker

Unique = Callable[[str], str]


@pytest.fixture
def session(kafka: str, tmp_path: Path) -> Iterator[Session]:
    # Whether a topic has gone is known a second after its metadata says so, not after thirty.
    quick = {"topic.metadata.propagation.max.ms": "1000", "topic.metadata.refresh.interval.ms": "1000"}
    opened = Session(Settings(kafka=KafkaSettings(kafka, properties=quick), state_dir=tmp_path, timeout=30))
    yield opened
    opened.close()


def delete(kafka: str, client: KafkaClient, topic: str) -> None:
    """Delete a topic and wait until the broker says that it is not there."""
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([topic])[topic].result(30)
    ends = time.monotonic() + 30
    while True:
        try:
            client.topic(topic)
        except NotFound:
            return
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_a_destination_that_was_deleted_is_missed_and_not_made_anew(
    kafka: str, session: Session, unique: Unique
) -> None:
    source, target = unique("src"), unique("dst")
    make_topics(kafka, {source: 2, target: 2})
    fill(kafka, source, 400, 2)
    client = session.require_kafka()
    stop = threading.Event()

    def until_some(progress: Progress) -> None:
        if progress.done:
            stop.set()

    planned = replay.plan(session, source, f"kafka:{target}", rate=100)
    stopped = replay.run(session, planned, stop, until_some)
    assert stopped.state == "cancelled"
    assert 0 < stopped.done < 400
    delete(kafka, client, target)
    with pytest.raises(Refused, match="is not there any more: make it again as it was"):
        replay.resume(session, stopped.job)
    with pytest.raises(NotFound):
        client.topic(target)
    make_topics(kafka, {target: 1})
    with pytest.raises(Refused, match="has 1 partition now"):
        replay.resume(session, stopped.job)
    delete(kafka, client, target)
    make_topics(kafka, {target: 2})
    done = replay.resume(session, stopped.job)
    assert (done.state, done.done) == ("done", 400)
    assert sum(map(len, read(kafka, target, 2).values())) == 400 - stopped.done


def test_a_destination_that_is_deleted_meanwhile_stops_it_with_a_reason(
    kafka: str, session: Session, unique: Unique
) -> None:
    source, target = unique("src"), unique("dst")
    make_topics(kafka, {source: 2, target: 2})
    fill(kafka, source, 2_000, 2)
    gone: list[float] = []
    admin = AdminClient({"bootstrap.servers": kafka})

    def delete_it(progress: Progress) -> None:
        if progress.done and not gone:
            gone.append(time.monotonic())
            admin.delete_topics([target])[target].result(30)

    outcome = replay.run(session, replay.plan(session, source, f"kafka:{target}", rate=200), on_progress=delete_it)
    print(outcome.lines, time.monotonic() - gone[0])
    assert outcome.state == "partly"
    assert 0 < outcome.done < 2_000
    assert any("is not what it was when this was planned" in line for line in outcome.lines)
    with pytest.raises(NotFound):
        session.require_kafka().topic(target)


def test_the_record_that_a_compacted_topic_refuses_is_named_not_its_neighbour(
    kafka: str, session: Session, unique: Unique
) -> None:
    source, target = unique("src"), unique("dst")
    make_topics(kafka, {source: 1})
    make_topics(kafka, {target: 1}, **{"cleanup.policy": "compact"})
    producer = Producer({"bootstrap.servers": kafka})
    for n in range(20):
        producer.produce(source, b"v%d" % n, None if n == 7 else b"k%d" % n, partition=0)
    assert producer.flush(30) == 0
    outcome = replay.run(session, replay.plan(session, source, f"kafka:{target}"))
    assert (outcome.state, outcome.done) == ("failed", 0)
    assert any(f"{source} partition 0 offset 7 cannot be copied" in line for line in outcome.lines), outcome.lines
    others = replay.plan(session, source, f"kafka:{target}", where="key != null")
    outcome = replay.run(session, others)
    assert (outcome.state, outcome.done) == ("done", 19)
    before = {p: [r for r in records if r.key is not None] for p, records in read(kafka, source, 1).items()}
    assert_copied(before, read(kafka, target, 1))
