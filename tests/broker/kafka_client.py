"""A Kafka client that is not ours: what it sees is what the command line must have done."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

_NOT_YET = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)


def make_topic(bootstrap: str, name: str, partitions: int = 3, **config: str) -> None:
    """Create a topic and wait until every partition has a leader."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(30)
    for _ in range(100):
        seen = admin.list_topics(name, timeout=5).topics[name]
        if len(seen.partitions) == partitions and all(p.leader >= 0 for p in seen.partitions.values()):
            return
        time.sleep(0.1)
    raise AssertionError(f"{name} has no leaders")


def remake_topic(bootstrap: str, name: str, partitions: int = 3, **config: str) -> None:
    """Delete a topic, wait until it is gone, and create it anew: empty, with another id."""
    drop_topic(bootstrap, name)
    make_topic(bootstrap, name, partitions, **config)


def drop_topic(bootstrap: str, name: str) -> None:
    """Delete a topic and wait until it is gone."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([name])[name].result(30)
    for _ in range(300):
        if name not in admin.list_topics(timeout=10).topics:
            return
        time.sleep(0.1)
    raise AssertionError(f"{name} was not deleted")


def produce(bootstrap: str, topic: str, partition: int, count: int, at: float | None = None) -> None:
    """Write `count` records; with `at` (epoch seconds) one second apart from there."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    for i in range(count):
        when = {} if at is None else {"timestamp": round((at + i) * 1000)}
        producer.produce(topic, key=f"k{i}", value=f"v{i}", partition=partition, **when)
    assert producer.flush(30) == 0


def commit(bootstrap: str, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
    """Commit offsets as a consumer of the group that holds no partitions."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    wanted = [TopicPartition(t, p, o) for (t, p), o in offsets.items()]
    try:
        # A broker just started is not yet the coordinator of anything: librdkafka gives up where we ask again.
        for attempt in range(60):
            try:
                consumer.commit(offsets=wanted, asynchronous=False)
                return
            except KafkaException as error:
                if attempt == 59 or error.args[0].code() not in _NOT_YET:
                    raise
                time.sleep(0.5)
    finally:
        consumer.close()


def committed(bootstrap: str, group: str, topic: str, partitions: int) -> dict[int, int | None]:
    """The group's committed offset of each partition; None for no commit."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    try:
        found = consumer.committed([TopicPartition(topic, p) for p in range(partitions)], timeout=20)
        return {tp.partition: tp.offset if tp.offset >= 0 else None for tp in found}
    finally:
        consumer.close()


def join(bootstrap: str, group: str, topic: str, **settings: str) -> Consumer:
    """A live member of the group, with its partitions assigned."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "client.id": "worker-7",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            **settings,
        }
    )
    consumer.subscribe([topic])
    for _ in range(200):
        consumer.poll(0.1)
        if consumer.assignment():
            return consumer
    raise AssertionError(f"{group} got no partitions")
