"""Redrive of dead-letter topics whose topics were deleted or made again in between, on a real broker."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from dead_letters import World, plan, spring
from kafka_client import remake_topic

from console.config import KafkaSettings, Settings
from console.errors import Refused
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
