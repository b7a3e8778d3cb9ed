"""Many consumer groups on one broker: 50 topics of ten partitions, and each group behind on all ten of one of them."""

from __future__ import annotations

import asyncio
import itertools

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from console.config import KafkaSettings
from console.kafka.cluster import Cluster
from console.kafka.messages import FIND_COORDINATOR, OFFSET_COMMIT
from console.kafka.properties import wire

TOPICS, PARTITIONS = 50, 10
RECORDS = 100  # in each partition
_CONNECTIONS = 24  # a broker answers one question at a time on each
_LOADING = (14, 15, 16)


def topic_name(number: int) -> str:
    """The topic that group `number` reads."""
    return f"bench-{number % TOPICS:02d}"


def group_name(number: int) -> str:
    """A group's name."""
    return f"bench-group-{number:05d}"


def committed(number: int, partition: int, shift: int = 0) -> int:
    """Where a group stands in a partition."""
    return (number * 7 + partition * 3 + shift) % (RECORDS + 1)


def lag(groups: int) -> int:
    """What all groups together are behind."""
    return sum(RECORDS - committed(n, p) for n in range(groups) for p in range(PARTITIONS))


def make_topics(bootstrap: str) -> None:
    """The topics with their records."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [NewTopic(topic_name(n), PARTITIONS, 1) for n in range(TOPICS)]
    for made in admin.create_topics(wanted).values():
        made.result(60)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50})
    for n, p, i in itertools.product(range(TOPICS), range(PARTITIONS), range(RECORDS)):
        producer.produce(topic_name(n), key=f"{i}", value=b"x" * 40, partition=p)
        if i == 0:
            producer.poll(0)
    assert producer.flush(60) == 0


def make_groups(bootstrap: str, first: int, last: int, shift: int = 0) -> None:
    """Groups `first` to `last` - 1 with their commits, as many small clients would have made them."""
    asyncio.run(_commit_all(bootstrap, range(first, last), shift))


async def _commit_all(bootstrap: str, numbers: range, shift: int) -> None:
    cluster = Cluster(wire(KafkaSettings(bootstrap)))
    deadline = asyncio.get_running_loop().time() + 120
    (broker,) = (await cluster.metadata(deadline)).brokers
    connections = [await cluster.fresh(broker, deadline) for _ in range(_CONNECTIONS)]
    # On a fresh broker the first question for a coordinator makes the topic that holds the commits.
    await cluster.coordinators([group_name(0)], deadline)

    async def work(index: int) -> None:
        for number in numbers[index::_CONNECTIONS]:
            for attempt in itertools.count():
                answer = await connections[index].ask(OFFSET_COMMIT, _request(number, shift), deadline)
                codes = {p.error_code for t in answer.topics for p in t.partitions}
                if codes == {0}:
                    break
                assert codes & set(_LOADING) and attempt < 100, codes
                await connections[index].ask(FIND_COORDINATOR, {"key": "x", "coordinator_keys": ["x"]}, deadline)
                await asyncio.sleep(0.2)

    await asyncio.gather(*(work(index) for index in range(_CONNECTIONS)))
    for connection in connections:
        connection.close()
    cluster.close()


def _request(number: int, shift: int) -> dict[str, object]:
    rows = [
        {"partition_index": p, "committed_offset": committed(number, p, shift), "committed_metadata": ""}
        for p in range(PARTITIONS)
    ]
    return {
        "group_id": group_name(number),
        "generation_id_or_member_epoch": -1,
        "member_id": "",
        "retention_time": -1,
        "topics": [{"name": topic_name(number), "partitions": rows}],
    }
