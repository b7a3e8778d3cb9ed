"""A cluster with every kind of group and partition there is, for comparing what different tools say about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from kafka_client import commit, join, make_topic, produce
from kio_schemas import spoken

from console.config import KafkaSettings
from console.kafka.client import KafkaClient
from console.kafka.messages import DESCRIBE_SHARE_GROUP_OFFSETS, Api

AT = 1_760_000_000.0
"""When the first record of each partition is from (2025-10-09T08:53:20Z); they are a second apart."""

SHARE_HEARTBEAT = spoken(Api(76, "share_group_heartbeat"))
STREAMS_HEARTBEAT = spoken(Api(88, "streams_group_heartbeat"))
ALTER_SHARE_OFFSETS = spoken(Api(91, "alter_share_group_offsets"))


@dataclass(frozen=True, slots=True)
class Varied:
    """The names: `stopped` are the groups whose offsets can be reset, `live` those in use, by what is special."""

    stopped: Mapping[str, str]
    live: Mapping[str, str]
    share: tuple[str, str]
    streams: str
    topics: Mapping[str, str]


@contextmanager
def varied(bootstrap: str, unique: Callable[[str], str], plain: int = 30) -> Iterator[Varied]:
    """Make it; members, an open transaction and a pending commit live until the end."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = {name: unique(name) for name in ("orders", "short", "compacted", "moved", "grown", "gone", "anew")}
    keep = {"retention.ms": "-1"}
    make_topic(bootstrap, topics["orders"], 3, **keep)
    make_topic(bootstrap, topics["short"], 2, **keep)
    make_topic(bootstrap, topics["grown"], 2, **keep)
    make_topic(bootstrap, topics["gone"], 1, **keep)
    make_topic(bootstrap, topics["anew"], 1, **keep)
    make_topic(bootstrap, topics["moved"], 2, **keep)
    clean = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "200"}
    make_topic(bootstrap, topics["compacted"], 1, **{"cleanup.policy": "compact", **clean})
    for partition, records in enumerate((100, 70, 0)):
        produce(bootstrap, topics["orders"], partition, records, at=AT)
    for partition in range(2):
        produce(bootstrap, topics["short"], partition, 50, at=AT)
        produce(bootstrap, topics["grown"], partition, 20, at=AT)
    produce(bootstrap, topics["gone"], 0, 10, at=AT)
    produce(bootstrap, topics["anew"], 0, 60, at=AT)
    _compacted(bootstrap, topics["compacted"])

    client = KafkaClient(KafkaSettings(bootstrap), timeout=30)
    names = ("partly", "beyond", "expired", "grown", "gone", "anew", "compacted", "moved", "assigned", "modern")
    stopped = {name: unique(f"g-{name}") for name in names}
    stopped |= {f"plain{n}": unique(f"g-plain{n}") for n in range(plain)}
    commit(bootstrap, stopped["partly"], {(topics["orders"], 0): 40, (topics["short"], 1): 10})
    commit(bootstrap, stopped["beyond"], {(topics["orders"], 0): 250, (topics["orders"], 2): 0})
    commit(bootstrap, stopped["expired"], {(topics["short"], 0): 5, (topics["short"], 1): 50})
    admin.delete_records([TopicPartition(topics["short"], 0, 30), TopicPartition(topics["short"], 1, 20)])[
        TopicPartition(topics["short"], 0)
    ].result(30)
    commit(bootstrap, stopped["grown"], {(topics["grown"], 0): 20, (topics["grown"], 1): 3})
    admin.create_partitions([NewPartitions(topics["grown"], 4)])[topics["grown"]].result(30)
    commit(bootstrap, stopped["gone"], {(topics["gone"], 0): 4, (topics["orders"], 1): 9})
    commit(bootstrap, stopped["anew"], {(topics["anew"], 0): 55, (topics["orders"], 1): 69})
    for name in ("gone", "anew"):
        admin.delete_topics([topics[name]])[topics[name]].result(30)
    commit(bootstrap, stopped["compacted"], {(topics["compacted"], 0): 12})
    for n in range(plain):
        offsets = {(topics["orders"], n % 3): n, (topics["grown"], n % 2): n % 20}
        assert not any(client.commit_offsets(stopped[f"plain{n}"], offsets).values())
    _assigned(bootstrap, stopped["assigned"], topics["orders"])
    modern = join(bootstrap, stopped["modern"], topics["orders"], **{"group.protocol": "consumer"})
    modern.commit(offsets=[TopicPartition(topics["orders"], 0, 33)], asynchronous=False)
    modern.close()

    live = {name: unique(f"g-{name}") for name in ("classic", "new")}
    share, started, streams = unique("g-share"), unique("g-started"), unique("g-streams")
    members = [_subscribed(bootstrap, live["classic"], topics["orders"], f"worker-{n}") for n in range(2)]
    members.append(_subscribed(bootstrap, live["new"], topics["grown"], "modern", **{"group.protocol": "consumer"}))
    open_ = _transactions(bootstrap, topics["moved"], stopped["moved"])
    try:
        _settle(members)
        members[0].commit(offsets=[TopicPartition(topics["orders"], p, 15) for p in range(2)], asynchronous=False)
        members[2].commit(offsets=[TopicPartition(topics["grown"], 1, 7)], asynchronous=False)
        make_topic(bootstrap, topics["anew"], 1, **keep)
        produce(bootstrap, topics["anew"], 0, 5, at=AT)
        _joined(client, share, started, streams, topics["orders"])
        yield Varied(stopped, live, (share, started), streams, topics)
    finally:
        client.close()
        for consumer in members:
            consumer.close()
        open_.abort_transaction(30)


def _compacted(bootstrap: str, topic: str) -> None:
    """Records of few keys over several segments, most of them cleaned away: offsets with gaps."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for n in range(40):
        producer.produce(topic, b"v", f"k{n % 4}", timestamp=round((AT + n) * 1000))
        if n % 10 == 9:
            assert producer.flush(30) == 0
            time.sleep(0.15)
    producer.produce(topic, None, "k0")
    assert producer.flush(30) == 0


def _assigned(bootstrap: str, group: str, topic: str) -> None:
    """Commits of a consumer that assigned its partition itself."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 1, 0)])
    got = 0
    while got < 30:
        got += len(consumer.consume(30 - got, 1.0))
    consumer.commit(offsets=[TopicPartition(topic, 1, 30)], asynchronous=False)
    consumer.close()


def _transactions(bootstrap: str, topic: str, group: str) -> Producer:
    """Committed, aborted and open transactions on a topic, and an offset of a group that is not decided."""
    commit(bootstrap, group, {(topic, 0): 2})
    # Open for as long as the tests take: the broker ends a transaction that is older than its timeout.
    open_ = Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": f"open-{group}", "transaction.timeout.ms": 900_000}
    )
    ended = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"ended-{group}"})
    ended.init_transactions(30)
    for end in (ended.commit_transaction, ended.abort_transaction):
        ended.begin_transaction()
        for _ in range(5):
            ended.produce(topic, b"v", partition=0)
        end(30)
    open_.init_transactions(30)
    open_.begin_transaction()
    for partition in range(2):
        for _ in range(4):
            open_.produce(topic, b"v", partition=partition)
    assert open_.flush(30) == 0
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    open_.send_offsets_to_transaction([TopicPartition(topic, 0, 8)], reader.consumer_group_metadata(), 30)
    reader.close()
    return open_


def _subscribed(bootstrap: str, group: str, topic: str, client_id: str, **settings: str) -> Consumer:
    """A member that has asked to join; `_settle` waits for it."""
    more = {"enable.auto.commit": False, "auto.offset.reset": "earliest", **settings}
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "client.id": client_id, **more})
    consumer.subscribe([topic])
    return consumer


def _settle(members: list[Consumer]) -> None:
    """Until every member has its share; two readers of three partitions take a rebalance or two."""
    for _ in range(300):
        for consumer in members:
            consumer.poll(0.05)
        held = [len(consumer.assignment()) for consumer in members]
        if min(held) > 0 and held[0] + held[1] == 3 and held[2] == 4:
            return
    raise AssertionError(f"the members hold {held}")


def _joined(client: KafkaClient, share: str, started: str, streams: str, topic: str) -> None:
    """A member each of a share and of a streams group, by the first heartbeat alone: no Python client has them.

    They are members for 45 s. `started` is a share group whose start offsets somebody has moved.
    """
    from console.brokers.kafka import uuid

    beat: dict[str, Any] = {"member_id": uuid(), "member_epoch": 0}
    topology = {"epoch": 0, "subtopologies": [{"subtopology_id": "0", "source_topics": [topic]}]}
    _ask(client, share, SHARE_HEARTBEAT, {**beat, "group_id": share, "subscribed_topic_names": [topic]})
    _begun(client, share)
    starts = [{"partition_index": p, "start_offset": at} for p, at in ((0, 60), (1, 70))]
    _ask(
        client,
        started,
        ALTER_SHARE_OFFSETS,
        {"group_id": started, "topics": [{"topic_name": topic, "partitions": starts}]},
    )
    joining = {
        **beat, "group_id": streams, "rebalance_timeout": 45_000, "topology": topology, "process_id": uuid(),
        "active_tasks": [], "standby_tasks": [], "warmup_tasks": [], "client_tags": [],
        "task_offsets": None, "task_end_offsets": None,
    }  # fmt: skip
    _ask(client, streams, STREAMS_HEARTBEAT, joining)


def _begun(client: KafkaClient, share: str) -> None:
    """Until the coordinator has set up the partitions that a share group reads: it does so after the first heartbeat.

    Before, a tool is told of none of them; all of them are to be told the same here.
    """
    values = {"groups": [{"group_id": share, "topics": None}]}
    for _ in range(150):
        if _ask(client, share, DESCRIBE_SHARE_GROUP_OFFSETS, values).groups[0].topics:
            return
        time.sleep(0.1)
    raise AssertionError(f"{share} was not set up in 15 s")


def _ask(client: KafkaClient, group: str, api: Api, values: Mapping[str, Any]) -> Any:
    async def ask(cluster: Any, deadline: float) -> Any:
        coordinator = (await cluster.coordinators([group], deadline))[group]
        return await cluster.ask(coordinator, api, values, deadline)

    answer = client._run(ask, None)
    assert getattr(answer, "error_code", 0) == 0, answer
    return answer
