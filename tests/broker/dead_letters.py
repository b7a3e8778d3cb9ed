"""A topic with its dead-letter topic, as redrives of topics meet them; what arrived is read by another client."""

from __future__ import annotations

import struct
import time
from collections import Counter
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from kafka_client import make_topic

from console.ops import redrive
from console.ops.redrive_topic_plan import TopicRedrivePlan
from console.ops.session import Session


def spring(origin: str, partition: int, offset: int, message: str = "no address") -> list[tuple[str, Any]]:
    """As DeadLetterPublishingRecoverer writes it: numbers are big-endian binary."""
    return [
        ("trace", b"abc"),
        ("kafka_dlt-original-topic", origin.encode()),
        ("kafka_dlt-original-partition", struct.pack(">i", partition)),
        ("kafka_dlt-original-offset", struct.pack(">q", offset)),
        ("kafka_dlt-exception-fqcn", b"java.lang.NullPointerException"),
        ("kafka_dlt-exception-message", message.encode()),
        ("kafka_dlt-exception-stacktrace", b"at a.b.C"),
    ]


def arrived(bootstrap: str, topic: str) -> list[Any]:
    """Every record of a topic, to the end it has now."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "x", "isolation.level": "read_uncommitted"})
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20)[1] for p in partitions}
        consumer.assign([TopicPartition(topic, p, 0) for p in ends])
        found: list[Any] = []
        deadline = time.monotonic() + 60
        while len(found) < sum(ends.values()) and time.monotonic() < deadline:
            found += [m for m in consumer.consume(1000, 0.2) if m.error() is None]
        return found
    finally:
        consumer.close()


class World:
    """A topic of three partitions with its dead-letter topic of two."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self.bootstrap = bootstrap
        self.name = name
        self.dlq = f"{name}.DLT"
        make_topic(bootstrap, self.name, 3)
        make_topic(bootstrap, self.dlq, 2)

    def fill(self, count: int, first: int = 0) -> None:
        """Dead letters numbered from `first`, with two ways to have failed."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5})
        for n in range(first, first + count):
            message = "no address" if n % 2 else "bad total"
            producer.produce(
                self.dlq, b"%d" % n, b"k%d" % n, partition=n % 2, headers=spring(self.name, n % 3, n, message)
            )
        assert producer.flush(60) == 0

    def arrived(self, topic: str | None = None) -> list[Any]:
        """Every record of a topic, to the end it has now."""
        return arrived(self.bootstrap, topic or self.name)

    def values(self, topic: str | None = None) -> Counter[int]:
        """How often each number arrived."""
        return Counter(int(m.value()) for m in self.arrived(topic))


def plan(session: Session, dlq: str, **more: Any) -> TopicRedrivePlan:
    """A plan of a dead-letter topic's redrive."""
    made = redrive.plan(session, f"kafka:{dlq}", **more)
    assert isinstance(made, TopicRedrivePlan)
    return made
