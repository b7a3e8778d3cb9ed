"""Redrive of dead-letter topics whose topics were deleted or made again in between, on a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dead_letters import World, plan
from kafka_client import remake_topic

from console.config import KafkaSettings, Settings
from console.errors import Refused
from console.ops import jobs, redrive
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
