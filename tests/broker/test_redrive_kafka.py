"""A dead-letter queue redriven into a Kafka topic, and messages edited on their way."""

from __future__ import annotations

import json
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqs_world
from confluent_kafka import Consumer, TopicPartition
from replay_world import make_topics
from sqs_world import World

from console.config import KafkaSettings
from console.errors import NotFound, UsageError
from console.ops import jobs, redrive, redrive_kafka
from console.ops.session import Session
from console.sqs.send import Fate, Result

pytestmark = pytest.mark.broker
Names = Callable[[str], str]


@pytest.fixture
def world(sqs_endpoint: str, unique: Names) -> Iterator[World]:
    with sqs_world.world(sqs_endpoint, unique("rk")) as made:
        yield made


@pytest.fixture
def session(sqs_endpoint: str, kafka: str, tmp_path: Path) -> Iterator[Session]:
    with sqs_world.session(sqs_endpoint, tmp_path, kafka=KafkaSettings(kafka)) as opened:
        yield opened


@pytest.fixture
def topic(kafka: str, unique: Names) -> str:
    name = unique("from-dlq")
    make_topics(kafka, {name: 3})
    return name


def read(bootstrap: str, topic: str) -> list[Any]:
    """Every record of a topic, by a consumer that is not logq's."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test-reader", "enable.auto.commit": False})
    out = []
    try:
        for partition in range(3):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)
            consumer.assign([TopicPartition(topic, partition, low)])
            while low < high:
                record = consumer.poll(10)
                assert record is not None and record.error() is None
                out.append(record)
                low = record.offset() + 1
    finally:
        consumer.close()
    return out


def numbered(count: int) -> list[str]:
    return [json.dumps({"n": n, "kind": "png"}) for n in range(count)]


def test_messages_arrive_whole_in_a_topic_and_leave_the_queue(
    session: Session, world: World, kafka: str, topic: str
) -> None:
    attributes = {
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        "n": {"DataType": "Number", "StringValue": "42"},
    }
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5f"}}
    ids = world.fill(["bödy"], MessageAttributes=attributes, MessageSystemAttributes=trace)
    world.fill(numbered(30))
    planned = redrive.plan(session, world.dlq, to=f"kafka:{topic}")
    assert planned.engine == "client" and planned.target == f"kafka:{topic}" and "topic" in planned.why
    outcome = redrive.run(session, planned)
    assert (outcome.state, outcome.done, outcome.failed, outcome.left) == ("done", 31, 0, 0), outcome.lines
    records = read(kafka, topic)
    assert Counter(record.value().decode() for record in records) == Counter([*numbered(30), "bödy"])
    (whole,) = [record for record in records if record.value().decode() == "bödy"]
    found = dict(whole.headers())
    assert (found["raw"], found["n"], found["AWSTraceHeader"]) == (b"\x00\xff", b"42", b"Root=1-5f")
    assert found["logq-origin"].decode() == ids["bödy"] and found["logq-redrive"].decode() == outcome.job
    assert world.counts(world.dlq_url) == (0, 0)
    results = {entry.result for entry in session.journal.entries(outcome.job)}
    assert results == {f"{topic}/{record.partition()}/{record.offset()}" for record in records}


def test_a_fifo_queue_keeps_the_order_of_a_group_in_its_topic(
    session: Session, sqs_endpoint: str, unique: Names, kafka: str, topic: str
) -> None:
    with sqs_world.world(sqs_endpoint, unique("rk"), fifo=True) as fifo:
        fifo.fill(numbered(40), group=lambda body: f"g{json.loads(body)['n'] % 4}")
        outcome = redrive.run(session, redrive.plan(session, fifo.dlq, to=f"kafka:{topic}"))
        assert (outcome.state, outcome.done) == ("done", 40), outcome.lines
    order = defaultdict(list)
    for record in sorted(read(kafka, topic), key=lambda record: (record.partition(), record.offset())):
        order[record.key().decode()].append(json.loads(record.value())["n"])
    assert order == {f"g{n}": list(range(n, 40, 4)) for n in range(4)}


def test_nothing_is_deleted_without_a_delivery_report(
    session: Session, world: World, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No report for some, a refusal for one: those stay in the queue, and a resume settles them by the topic."""
    world.fill(numbered(10))
    real = redrive_kafka.TopicSender.send

    def loses(self: redrive_kafka.TopicSender, to: str, batch: Any) -> dict[str, Result]:
        answers = real(self, to, batch)
        problem = next(iter(answers.values())).problem
        return {key: Result(Fate.UNKNOWN, problem=problem) for key in answers}

    monkeypatch.setattr(redrive_kafka.TopicSender, "send", loses)
    outcome = redrive.run(session, redrive.plan(session, world.dlq, to=f"kafka:{topic}", patience=1.0))
    assert outcome.state == "failed" and outcome.done == 0
    assert sum(world.counts(world.dlq_url)) == 10
    monkeypatch.undo()
    outcome = jobs.resume(session, outcome.job)
    assert (outcome.state, outcome.done) == ("done", 10), outcome.lines
    # All were there: nothing was sent a second time.
    assert session.settings.kafka is not None
    records = read(session.settings.kafka.bootstrap, topic)
    assert Counter(record.value().decode() for record in records) == Counter(numbered(10))
    assert session.journal.doubtful(outcome.job) == ()


def test_a_topic_that_is_not_there_is_told_before_anything_happens(session: Session, world: World) -> None:
    world.fill(numbered(1))
    with pytest.raises(NotFound):
        redrive.plan(session, world.dlq, to="kafka:not-there")
    with pytest.raises(UsageError, match="of Kafka"):
        redrive.plan(session, world.dlq, to="kafka:__consumer_offsets", engine="native")
    assert world.counts(world.dlq_url) == (1, 0)


def test_a_topic_that_takes_small_batches_gets_all_that_fits_each(
    session: Session, world: World, kafka: str, unique: Names
) -> None:
    """The limit of a topic holds for a whole batch: messages that fit one by one must not fail together."""
    small = unique("small")
    make_topics(kafka, {small: 3}, **{"max.message.bytes": "65536"})
    # Not to be compressed: what a batch holds is measured as it is sent.
    sent = [json.dumps({"n": n, "pad": secrets.token_hex(6_000)}) for n in range(40)]
    world.fill(sent)
    outcome = redrive.run(session, redrive.plan(session, world.dlq, to=f"kafka:{small}"))
    assert (outcome.state, outcome.done, outcome.failed, outcome.left) == ("done", 40, 0, 0), outcome
    assert Counter(record.value().decode() for record in read(kafka, small)) == Counter(sent)


# ---------------------------------------------------------------- edits


def test_an_edit_is_shown_and_then_sent(session: Session, world: World) -> None:
    attributes = {
        "tries": {"DataType": "Number", "StringValue": "9"},
        "who": {"DataType": "String", "StringValue": "x"},
    }
    world.fill([*numbered(6), "no json"], MessageAttributes=attributes)
    planned = redrive.plan(
        session, world.dlq, sets=['body.kind="gif"', "attributes.tries=0"], unsets=["attributes.who"], ids=()
    )
    assert planned.engine == "client" and "changes nothing" in planned.why
    view = redrive.view(planned)
    assert view.columns == ("message", "field", "before", "after")
    assert ("body.kind", '"png"', '"gif"') in {row[1:] for row in view.rows}
    assert ("attributes.who", '"x"', "") in {row[1:] for row in view.rows}
    note = dict(view.facts)["the edit"]
    assert "6 messages of 7 looked at fit" in note and "1 would stay" in note and "no JSON" in note
    assert world.counts(world.dlq_url) == (7, 0), "the look did not release what it leased"
    outcome = redrive.run(session, planned)
    assert (outcome.state, outcome.done, outcome.failed) == ("partly", 6, 1)
    arrived = world.drain()
    assert Counter(m["Body"] for m in arrived) == Counter(json.dumps({"n": n, "kind": "gif"}) for n in range(6))
    assert all(m["MessageAttributes"]["tries"]["StringValue"] == "0" for m in arrived)
    assert all("who" not in m["MessageAttributes"] for m in arrived)
    assert [m["Body"] for m in world.drain(world.dlq_url)] == ["no json"]
    # The journal keeps the original, and the receipt names the edit.
    (kept,) = [e for e in session.journal.entries(outcome.job) if e.data and b'"n\\": 0' in e.data]
    assert b"png" in (kept.data or b"")
    assert 'body.kind="gif"' in jobs.receipt(session, outcome.job, "md")


def test_an_edit_that_makes_a_message_too_large_is_told_and_keeps_it(session: Session, world: World) -> None:
    world.fill(numbered(2))
    planned = redrive.plan(session, world.dlq, sets=['body.pad="' + "x" * 3000 + '"'])
    small = replace(planned, destinations=tuple(replace(d, max_size=1024) for d in planned.destinations))
    outcome = redrive.run(session, small)
    assert (outcome.state, outcome.failed) == ("failed", 2)
    assert "1,024" in outcome.problems[0].message and world.counts(world.dlq_url) == (2, 0)


def test_an_edit_survives_the_journal(session: Session, world: World) -> None:
    world.fill(numbered(3))
    planned = redrive.plan(session, world.dlq, sets=["body.n=body.n + 100"], to=world.name)
    assert redrive.from_json(json.loads(json.dumps(redrive.to_json(planned)))) == planned
    job = session.journal.create_job(
        "redrive", planned.source, planned.target, plan=redrive.to_json(planned), place=planned.endpoint
    )
    session.journal.finish(job.id, "cancelled")
    outcome = jobs.resume(session, job.id)
    assert outcome.done == 3
    assert sorted(json.loads(m["Body"])["n"] for m in world.drain()) == [100, 101, 102]
