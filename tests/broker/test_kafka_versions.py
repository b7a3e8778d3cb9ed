"""The real broker asked in the oldest way we know: every question in its lowest version, and none of the newer ones.

What Kafka 1.0 could be asked is still answered by a 4.x broker. So the whole mapping is proven against a real answer,
and what an old version cannot tell has to be unknown, never wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from console.config import KafkaSettings
from console.kafka.client import KafkaClient
from console.kafka.messages import CONSUMER_GROUP_DESCRIBE, LIST_GROUPS, OFFSET_FETCH, Api
from console.kafka.wire import Connection
from console.kafka.write import create_topics
from console.model import Group, KafkaSnapshot

pytestmark = pytest.mark.broker

Unique = Callable[[str], str]
Asked = set[tuple[str, int]]

_KAFKA_1_0 = 42  # the last API key of that time


@pytest.fixture(params=["oldest", "without KIP-709"])
def aged(
    request: pytest.FixtureRequest, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[KafkaClient, Asked]]:
    """A client that asks in old versions only, and which ones it has asked in."""
    negotiated, exchange = Connection._common, Connection._exchange
    asked: Asked = set()

    def common(self: Connection, api: Api) -> int | None:
        newest = negotiated(self, api)
        if newest is None or (request.param == "oldest" and api.key > _KAFKA_1_0):
            return None
        if request.param == "oldest":
            return max(api.versions[0], self._versions[api.key][0])
        return min(newest, 7) if api is OFFSET_FETCH else newest

    def noted(self: Connection, api: Api, version: int, *rest: object) -> object:
        asked.add((api.name, version))
        return exchange(self, api, version, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Connection, "_common", common)
    monkeypatch.setattr(Connection, "_exchange", noted)
    client = KafkaClient(KafkaSettings(kafka), timeout=20)
    yield client, asked
    client.close()


def group_in(seen: KafkaSnapshot, name: str) -> Group:
    return next(g for g in seen.groups if g.name == name)


def test_old_questions_find_the_same(
    aged: tuple[KafkaClient, Asked], kafka: str, unique: Unique, request: pytest.FixtureRequest
) -> None:
    client, asked = aged
    oldest = "oldest" in request.node.name
    topic, group, live = unique("aged"), unique("aged-group"), unique("aged-live")
    create_topics(KafkaSettings(kafka), {topic: (3, 1, {"retention.ms": "-1"})})
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": unique("aged-tx")})
    producer.init_transactions(30)
    producer.begin_transaction()
    for n in range(10):
        producer.produce(topic, b"x", partition=0, timestamp=1_700_000_000_000 + n * 1_000)
    producer.commit_transaction(30)
    assert client.commit_offsets(group, {(topic, 0): 4, (topic, 1): 0}) == {(topic, 0): None, (topic, 1): None}
    member = Consumer({"bootstrap.servers": kafka, "group.id": live, "enable.auto.commit": False, "client.id": "me"})
    member.subscribe([topic])
    try:
        while not member.assignment():
            member.poll(0.1)
        member.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)
        producer.begin_transaction()
        producer.produce(topic, b"open", partition=0)
        producer.flush(30)

        seen = client.snapshot()
        found = group_in(seen, group)
        rows = [(p.partition, p.start, p.committed, p.end, p.stable_end, p.lag) for p in found.partitions or ()]
        assert rows == [(0, 0, 4, 12, 11, 8), (1, 0, 0, 0, 0, 0), (2, 0, None, 0, 0, None)]
        assert (found.problems, found.no_commit) == ((), 1)
        assert (found.type, found.state) == ("classic", "" if oldest else "Empty")
        reading = group_in(seen, live)
        assert [m.client_id for m in reading.members or ()] == ["me"]
        assert (reading.lag, (reading.partitions or ())[0].client_id) == (9, "me")

        assert client.group(live).state == "Stable"
        assert client.committed(group, [(topic, 0), (topic, 2)]) == {(topic, 0): 4, (topic, 2): None}
        assert client.watermarks([(topic, 0)]) == {(topic, 0): (0, 12)}
        assert client.offsets_for_time([(topic, 0)], 1_700_000_006.5) == {(topic, 0): 7}
        assert client.record_times({(topic, 0): 4}) == {(topic, 0): 1_700_000_004.0}
        shown = client.topic(topic)
        assert [p.end for p in shown.partitions] == [12, 0, 0] and ("cleanup.policy", "delete") in shown.config
        assert all(check.ok for check in client.check())
        assert topic in {t.name for t in client.topics()}
    finally:
        member.close()
        producer.abort_transaction(30)
    versions = dict(sorted(asked))
    assert (shown.id is None) == (versions["metadata"] < 10)
    if oldest:
        assert {name: versions[name] for name in ("list_groups", "offset_fetch", "metadata", "list_offsets")} == {
            "list_groups": LIST_GROUPS.versions[0],
            "offset_fetch": OFFSET_FETCH.versions[0],
            "metadata": 4,
            "list_offsets": 2,
        }
        assert CONSUMER_GROUP_DESCRIBE.name not in versions
    else:
        assert versions["offset_fetch"] == 7
