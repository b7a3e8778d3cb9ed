"""Redrive of dead-letter topics whose topics were deleted or made again in between, on a real broker."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from dead_letters import World, plan, spring
from kafka_client import drop_topic, make_topic, remake_topic

from console.config import KafkaSettings, Settings
from console.errors import Refused
from console.journal import Entry
from console.ops import inspect, jobs, redrive
from console.ops.session import Session

pytestmark = pytest.mark.broker

Unique = Callable[[str], str]


@pytest.fixture
def session(kafka: str, tmp_path: Path) -> Iterator[Session]:
    opened = Session(Settings(kafka=KafkaSettings(kafka), state_dir=tmp_path, timeout=30))
    yield opened
    opened.close()


@pytest.fixture
def world(kafka: str, unique: Unique) -> World:
    return World(kafka, unique("shop"))


def test_a_topic_made_again_is_not_what_was_planned(session: Session, world: World, kafka: str) -> None:
    """Its records have the places that were planned, but nobody saw them in a plan."""
    world.fill(12)
    made = plan(session, world.dlq, ids=["0/1", "0/3", "0/5"], canary=1)
    paused = redrive.run(session, made)
    assert (paused.state, paused.done) == ("paused", 1)
    remake_topic(kafka, world.dlq, 2)
    world.fill(12, first=100)
    with pytest.raises(Refused, match=f"{world.dlq} was deleted and made again"):
        jobs.resume(session, paused.job)
    assert session.journal.job(paused.job).state == "paused"
    with pytest.raises(Refused, match="made again"):
        redrive.run(session, made)
    assert set(world.values()) == {2}
    # Of what is there now a new plan can be made.
    assert redrive.run(session, plan(session, world.dlq)).done == 12
    assert set(world.values()) == {2, *range(100, 112)}


def test_a_topic_made_again_with_the_same_times_is_not_taken_for_redriven(
    session: Session, world: World, kafka: str
) -> None:
    def fill(what: bytes) -> None:
        producer = Producer({"bootstrap.servers": kafka})
        for n in range(5):
            producer.produce(world.dlq, what, b"k", 0, timestamp=began + n, headers=spring(world.name, 0, n))
        assert producer.flush(30) == 0

    def counted() -> int | None:
        letters = inspect.dead_letters(inspect.kafka(session), None)
        return next(d.done for d in letters if d.target == f"kafka:{world.dlq}")

    began = round(time.time() * 1000) - 5_000
    fill(b"old")
    assert redrive.run(session, plan(session, world.dlq)).done == 5
    assert (counted(), inspect.dead_letter(session, f"kafka:{world.dlq}").letters.done) == (5, 5)
    remake_topic(kafka, world.dlq, 2)
    fill(b"new")
    assert not counted() and not inspect.dead_letter(session, f"kafka:{world.dlq}").letters.done
    made = plan(session, world.dlq)
    assert (made.total, made.done_before) == (5, 0)
    assert redrive.run(session, made).done == 5
    assert Counter(m.value() for m in world.arrived()) == {b"old": 5, b"new": 5}
    assert plan(session, world.dlq).done_before == 5


def in_doubt(session: Session, world: World, job: str, numbers: Iterable[int]) -> list[str]:
    """As a run leaves them that was killed between INTENT and SENT."""
    times = {int(m.value()): m.timestamp()[1] for m in world.arrived(world.dlq)}
    data = {n: {"timestamp": times[n], "to": world.name, "partition": n % 3} for n in numbers}
    entries = [Entry(f"{world.dlq}/{n % 2}/{n // 2}", "INTENT", data=json.dumps(d).encode()) for n, d in data.items()]
    session.journal.put(job, entries)
    return [entry.key for entry in entries]


def test_a_destination_that_is_gone_is_waited_for(session: Session, world: World, kafka: str) -> None:
    """What was planned and cannot be sent now is left, not done with; and what may have been sent is not forgotten."""
    world.fill(60)
    stop = threading.Event()
    job = redrive.run(session, plan(session, world.dlq, rate=40), stop, lambda progress: stop.set()).job
    sent = set(world.values())
    open_ = sorted(set(range(60)) - sent)[-5:]
    unsure = in_doubt(session, world, job, open_)
    drop_topic(kafka, world.name)
    for _ in range(2):
        stopped = jobs.resume(session, job)
        assert (stopped.state, stopped.done, stopped.failed, stopped.left) == ("partly", 20, 0, 40), stopped
        said = "\n".join(stopped.lines)
        assert f"40 left: topic {world.name} does not exist" in said and "5 records may have been sent" in said
        assert not any(word in said for word in ("expired", "twice", "without a place", "in the topic no more"))
        assert {e.key for e in session.journal.entries(job, ["INTENT"])} == set(unsure)
    make_topic(kafka, world.name, 3)
    # Others take what was certainly not sent, and leave the rest to the job.
    made = plan(session, world.dlq)
    assert (made.total, made.doubtful, made.doubtful_jobs) == (35, 5, (job,))
    assert redrive.run(session, made).done == 35
    ended = jobs.resume(session, job)
    assert (ended.state, ended.done, ended.left) == ("done", 25, 0), ended
    said = "\n".join(ended.lines)
    assert "35 were redriven by another job" in said and "5 may be at the destination twice" in said
    assert "expired" not in said
    assert world.values() == Counter(set(range(60)) - sent)
    assert plan(session, world.dlq).idle


def test_a_copy_in_a_destination_made_again_is_found_from_its_beginning(
    session: Session, world: World, kafka: str
) -> None:
    world.fill(40)
    job = redrive.run(session, plan(session, world.dlq, canary=30)).job
    sent = set(world.values())
    number = max(set(range(40)) - sent)
    (key,) = in_doubt(session, world, job, [number])
    remake_topic(kafka, world.name, 3)
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(world.name, b"%d" % number, headers={"logq-redrive": job.encode(), "logq-origin": key.encode()})
    assert producer.flush(30) == 0
    ended = jobs.resume(session, job)
    assert (ended.state, ended.done) == ("done", 40), ended
    assert world.values() == Counter(set(range(40)) - sent)
    assert not session.journal.doubtful(job)


def test_a_destination_gone_before_the_first_record_is_no_success(session: Session, world: World, kafka: str) -> None:
    """What had no place when planned stays for good; what had one and lost it can be sent by a resume."""
    world.fill(4)
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(world.dlq, b"100", partition=0)
    assert producer.flush(30) == 0
    made = plan(session, world.dlq, limit=3)
    drop_topic(kafka, world.name)
    outcome = redrive.run(session, made)
    assert (outcome.state, outcome.done, outcome.left) == ("failed", 0, 3), outcome
    make_topic(kafka, world.name, 3)
    resumed = jobs.resume(session, outcome.job)
    assert (resumed.state, resumed.done, resumed.left) == ("done", 3, 0), resumed
    assert world.values().total() == 3
