"""Brokers frozen under a snapshot, a question or a read: what the healthy ones know is there, in time, always."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from chaos_scene import Scene, Unique, check_healthy

from console.brokers import KafkaCluster
from console.errors import LogqError, Unreachable
from console.kafka.client import KafkaClient
from console.kafka.read import read_last, read_range
from console.model import KafkaSnapshot

pytestmark = [pytest.mark.broker, pytest.mark.chaos]


@pytest.fixture
def scene(cluster3: KafkaCluster, unique: Unique) -> Iterator[Scene]:
    made = Scene(cluster3, unique)
    yield made
    made.client.close()


def test_a_frozen_broker_delays_nothing_the_others_know(scene: Scene) -> None:
    victim = scene.victim()
    early: list[tuple[float, KafkaSnapshot]] = []
    scene.cluster.freeze(victim)
    try:
        started = time.monotonic()
        first = scene.client.snapshot(timeout=4, on_partial=lambda s: early.append((time.monotonic() - started, s)))
        took = time.monotonic() - started
        assert took < 4.6
        check_healthy(scene, first, victim)
        assert not first.complete
        assert f"broker {victim}" in {p.where for p in first.problems}
        assert {b.id: b.reachable for b in first.brokers} == {n: n != victim for n in (1, 2, 3)}
        # What the frozen one coordinates is kept from the look before, and says that it is old.
        kept = [g for g in first.groups if g.name in scene.coordinated()[victim]]
        assert {g.name for g in kept} == scene.coordinated()[victim]
        assert all("OLD" in {p.code for p in g.problems} for g in kept)
        assert all(g.seen_at is not None and g.seen_at <= scene.whole.at for g in kept)
        # The healthy brokers' picture was there long before the deadline.
        assert early and early[0][0] < 2
        check_healthy(scene, early[-1][1], victim)
        # The second time nobody waits long for it.
        started = time.monotonic()
        check_healthy(scene, scene.client.snapshot(), victim)
        assert time.monotonic() - started < 3
        started = time.monotonic()
        scene.client.close()
        assert time.monotonic() - started < 0.2
    finally:
        scene.cluster.thaw(victim)
        scene.client = KafkaClient(scene.settings, timeout=10)
    scene.settled()


def test_one_frozen_broker_when_asking_for_one_group(scene: Scene) -> None:
    victim = scene.victim()
    mine = next(iter(scene.coordinated()[victim]))
    other = next(name for node, names in scene.coordinated().items() if node != victim for name in names)
    scene.cluster.freeze(victim)
    try:
        # A change whose answer does not come is said to be unknown, never done (asked before the others take over).
        started = time.monotonic()
        result = scene.client.commit_offsets(mine, {(scene.topic, 0): 4}, timeout=1)
        assert time.monotonic() - started < 1.6
        (problem,) = result.values()
        assert problem is not None and problem.code == "TIMEOUT"
        # Before the cluster gives the frozen node up (5 s) a name that nobody else lists may be its own.
        for name in (mine, "nobody"):
            started = time.monotonic()
            with pytest.raises(Unreachable, match=r"is not listed by the brokers that answered, but .*answer"):
                scene.client.group(name, timeout=1)
            assert time.monotonic() - started < 1.6
        found = scene.client.group(other, timeout=3)
        assert [p.committed for p in found.partitions or ()] == [4] * 6
        marks = scene.client.watermarks([(scene.topic, p) for p in range(6)], timeout=3)
        assert any(m == (0, 10) for m in marks.values())
    finally:
        scene.cluster.thaw(victim)
    scene.settled()


def test_reading_while_a_leader_is_frozen(scene: Scene) -> None:
    topic = next(t for t in scene.whole.topics if t.name == scene.topic)
    victim = topic.partitions[0].leader
    assert victim is not None
    healthy = [p.partition for p in topic.partitions if p.leader != victim]
    assert healthy
    scene.cluster.freeze(victim)
    try:
        started = time.monotonic()
        found = list(read_range(scene.settings, scene.topic, dict.fromkeys(healthy, (0, 10)), timeout=4))
        assert len(found) == 10 * len(healthy)
        with pytest.raises(Unreachable, match="nothing came from partition 0"):
            list(read_range(scene.settings, scene.topic, {0: (0, 10)}, timeout=1))
        assert time.monotonic() - started < 8
        # What the living leaders hold is shown; a frozen one costs the timeout, not the answer.
        started = time.monotonic()
        assert len(read_last(scene.settings, scene.topic, 60, timeout=4)) >= 10 * len(healthy)
        assert time.monotonic() - started < 5
    finally:
        scene.cluster.thaw(victim)
    scene.settled()
    assert len(read_last(scene.settings, scene.topic, 60)) == 60


def test_every_broker_frozen(scene: Scene) -> None:
    for node in (1, 2, 3):
        scene.cluster.freeze(node)
    try:
        started = time.monotonic()
        with pytest.raises(LogqError, match="cannot reach Kafka"):
            scene.client.snapshot(timeout=2)
        assert time.monotonic() - started < 2.6
        ends: list[str] = []

        def look() -> None:
            try:
                scene.client.snapshot()
            except LogqError as error:
                ends.append(str(error))

        waiting = threading.Thread(target=look)
        waiting.start()
        time.sleep(0.3)
        started = time.monotonic()
        scene.client.close()
        assert time.monotonic() - started < 0.2
        waiting.join(2)
        assert not waiting.is_alive()
        assert ends
    finally:
        for node in (1, 2, 3):
            scene.cluster.thaw(node)
        scene.client = KafkaClient(scene.settings, timeout=10)
    scene.settled()
