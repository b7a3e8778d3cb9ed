"""A three-broker cluster with work spread over all of it: what a chaos test needs to see that it hit something."""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter, defaultdict
from collections.abc import Callable

from confluent_kafka import Producer

from console.brokers import KafkaCluster
from console.config import KafkaSettings
from console.errors import LogqError
from console.kafka.client import KafkaClient
from console.kafka.write import create_topics
from console.model import KafkaSnapshot

Unique = Callable[[str], str]
GROUPS = 24


class Scene:
    """A topic led by all three nodes and groups coordinated by all three."""

    def __init__(self, cluster: KafkaCluster, unique: Unique) -> None:
        self.cluster = cluster
        self.settings = KafkaSettings(cluster.bootstrap)
        self.topic = unique("chaos")
        create_topics(self.settings, {self.topic: (6, 3, {})})
        producer = Producer({"bootstrap.servers": cluster.bootstrap})
        for n in range(60):
            producer.produce(self.topic, b"x", partition=n % 6)
        assert producer.flush(30) == 0
        self.client = KafkaClient(self.settings, timeout=10)
        self.groups = [unique("chaos") for _ in range(GROUPS)]
        for group in self.groups:
            result = self.client.commit_offsets(group, {(self.topic, p): 4 for p in range(6)}, timeout=60)
            assert set(result.values()) == {None}
        self.whole = self.settled()

    def settled(self, seconds: float = 60) -> KafkaSnapshot:
        deadline = time.monotonic() + seconds
        while True:
            try:
                seen = self.client.snapshot()
            except LogqError:
                seen = None
            synced = seen is not None and all(len(p.isr) == len(p.replicas) for t in seen.topics for p in t.partitions)
            if seen and synced and seen.complete and self.lags(seen) == dict.fromkeys(self.groups, 36):
                return seen
            assert time.monotonic() < deadline, f"the cluster did not settle: {seen and seen.problems}"
            time.sleep(0.3)

    def lags(self, seen: KafkaSnapshot) -> dict[str, int | None]:
        return {g.name: g.lag for g in seen.groups if g.name in self.groups and not g.problems and g.no_commit == 0}

    def coordinated(self) -> dict[int, set[str]]:
        by_node: dict[int, set[str]] = defaultdict(set)
        for group in self.whole.groups:
            if group.name in self.groups and group.coordinator is not None:
                by_node[group.coordinator].add(group.name)
        return by_node

    def victim(self) -> int:
        """The node with the most of the groups, so that a test of nothing cannot pass."""
        count = Counter({node: len(names) for node, names in self.coordinated().items()})
        return count.most_common(1)[0][0]


def check_healthy(scene: Scene, seen: KafkaSnapshot, victim: int) -> None:
    """What the other two nodes know is there."""
    healthy = set(scene.groups) - scene.coordinated()[victim]
    assert healthy
    groups = {g.name: g for g in seen.groups}
    for name in healthy:
        found = groups[name]
        led = [p for p in found.partitions or () if p.topic == scene.topic and p.leader not in (victim, None)]
        assert [p.committed for p in found.partitions or ()] == [4] * 6, name
        assert led and all(p.end == 10 or p.problem is not None for p in led), (name, led)
    topic = next(t for t in seen.topics if t.name == scene.topic)
    assert any(p.end == 10 for p in topic.partitions)


def spread_leaders(cluster: KafkaCluster) -> None:
    """Have every partition led by its preferred replica again (ElectLeaders v1; any broker hands it on).

    After a broker is back it leads nothing until the cluster's own check, every 5 minutes.
    """
    host, _, port = cluster.address(1).partition(":")
    body = struct.pack(">hhih", 43, 1, 1, 4) + b"test" + struct.pack(">bii", 0, -1, 20_000)
    with socket.create_connection((host, int(port)), 25) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
        answer = connection.recv(size, socket.MSG_WAITALL)
    (error,) = struct.unpack_from(">h", answer, 8)  # behind the correlation id and the throttle time
    assert error == 0, error
