"""Groups: assignments in bytes from anybody, an old broker that knows one group a request, and a picture kept."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kio.index import load_request_schema, load_response_schema
from kio.serial import entity_reader
from kio_entities import build, kio_bytes

from console.config import KafkaSettings
from console.kafka import codes
from console.kafka.client import KafkaClient
from console.kafka.cluster import Metadata, PartitionMeta, TopicMeta
from console.kafka.groups import _sources, _streams, assigned
from console.kafka.loop import LoopThread
from console.kafka.picture import Reach, partitions
from console.model import Broker, Group, KafkaSnapshot, Problem


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def assignment(version: int, rest: bytes = b"") -> bytes:
    topic = text("orders") + struct.pack(">iii", 2, 3, 1)
    return struct.pack(">hi", version, 1) + topic + struct.pack(">i", -1) + rest


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_classic_members_assignment(version: int) -> None:
    assert assigned(assignment(version)) == (("orders", (1, 3)),)


def test_a_newer_assignment_is_read_as_far_as_known() -> None:
    assert assigned(assignment(9, b"whatever comes later")) == (("orders", (1, 3)),)


@pytest.mark.parametrize("raw", [b"", b"\0", b"\xff\xff", assignment(0)[:9], b"connect's own bytes"])
def test_other_bytes_are_no_assignment(raw: bytes) -> None:
    assert assigned(raw) == ()


@given(st.binary(max_size=100))
def test_any_bytes_are_an_assignment_or_none(raw: bytes) -> None:
    assert isinstance(assigned(raw), tuple)


def test_a_streams_members_tasks_are_partitions_of_its_sources() -> None:
    """No streams client is to be had from Python: kio's own classes stand for the broker's answer."""
    topology = {
        "epoch": 1,
        "subtopologies": [
            {"subtopology_id": "0", "source_topics": ["orders", "customers"]},
            {"subtopology_id": "1", "source_topics": [], "repartition_source_topics": [{"name": "by-city"}]},
        ],
    }
    tasks = [{"subtopology_id": "0", "partitions": [2, 0]}, {"subtopology_id": "1", "partitions": [1]}]
    member = {
        "member_id": "m",
        "client_id": "app",
        "client_host": "/10.0.0.1",
        "assignment": {"active_tasks": tasks, "standby_tasks": [{"subtopology_id": "0", "partitions": [1]}]},
    }
    group = {"group_id": "app", "topology": topology, "members": [member]}
    answer = build(load_response_schema(89, 0), {"groups": [group]}).groups[0]
    found = _streams(answer.members[0], _sources(answer.topology))
    assert found.assignment == (("by-city", (1,)), ("customers", (0, 2)), ("orders", (0, 2)))
    assert _sources(None) == {}


def test_importing_the_client_loads_neither_library() -> None:
    program = "import sys, console.kafka.client; print([m for m in ('kio', 'confluent_kafka') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_codes_in_words() -> None:
    assert codes.name(16) == "NOT_COORDINATOR"
    assert codes.name(31_999) == "ERROR_31999"
    assert codes.words(31_999) == "the broker answered ERROR_31999"
    assert codes.problem("t/0", 25) == Problem(
        "t/0", "UNKNOWN_MEMBER_ID", "the group has live members: stop them first, then commit"
    )


# ---------------------------------------------------------------- rows


def metadata(*numbers: int, leader: int | None = 1) -> Metadata:
    parts = {n: PartitionMeta(leader, (1,), (1,), ()) for n in numbers}
    return Metadata("c", 1, {1: Broker(1, "h", 1)}, {"t": TopicMeta("t", False, parts)})


def test_rows_tell_no_commit_from_not_seen() -> None:
    bad = Problem("t/1", "UNSTABLE_OFFSET_COMMIT", "held")
    reaches = {("t", n): Reach(0, 10, 10) for n in range(3)}
    rows = partitions(metadata(0, 1, 2), {("t", 0): 4, ("t", 1): bad}, reaches)
    assert [(r.partition, r.committed, r.lag, r.problem) for r in rows] == [
        (0, 4, 6, None),
        (1, None, None, bad),
        (2, None, None, None),
    ]
    group = Group("g", partitions=rows)
    assert (group.lag, group.no_commit) == (6, 1)


def test_a_commit_on_what_is_gone_or_without_leader_says_so() -> None:
    (gone,) = partitions(metadata(), {("x", 0): 4}, {})
    assert gone.committed == 4 and gone.lag is None
    assert gone.problem is not None and gone.problem.code == "UNKNOWN_TOPIC_OR_PARTITION"
    unled = Problem("t/0", "LEADER_NOT_AVAILABLE", "no leader")
    (row,) = partitions(metadata(0, leader=None), {("t", 0): 4}, {("t", 0): Reach(problem=unled)})
    assert (row.leader, row.committed, row.end, row.problem) == (None, 4, None, unled)


# ---------------------------------------------------------------- a broker of before KIP-709: scripted, none can be had


class OldBroker:
    """Answers as a broker of Kafka 2.x: one group an OffsetFetch, no states or types in lists."""

    VERSIONS = {2: (1, 5), 3: (0, 8), 8: (2, 7), 9: (2, 5), 10: (0, 2), 15: (0, 4), 16: (0, 2), 18: (0, 2)}

    def __init__(self) -> None:
        self.thread = LoopThread()
        self.asked: list[tuple[int, int]] = []
        self.committed: dict[tuple[str, int], int] = {}
        self.missing_leader = False
        self.server = self.thread.run(self._serve())
        self.port = self.server.sockets[0].getsockname()[1]

    def close(self) -> None:
        self.thread.close(self.server.close)

    async def _serve(self) -> asyncio.Server:
        return await asyncio.start_server(self._client, "127.0.0.1", 0)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                raw = await reader.readexactly(size)
                key, version, correlation = struct.unpack_from(">hhi", raw)
                self.asked.append((key, version))
                writer.write(self._answer(key, version, correlation, raw))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, key: int, version: int, correlation: int, raw: bytes) -> bytes:
        error = 0
        if key == 18 and version > 2:
            version, error = 0, 35
        body = self._body(key, version, raw) if key != 18 else self._versions(error)
        data = struct.pack(">i", correlation) + kio_bytes(build(load_response_schema(key, version), body))
        return struct.pack(">i", len(data)) + data

    def _versions(self, error: int) -> dict[str, Any]:
        keys = [{"api_key": k, "min_version": a, "max_version": b} for k, (a, b) in self.VERSIONS.items()]
        return {"error_code": error, "api_keys": keys}

    def _request(self, key: int, version: int, raw: bytes) -> Any:
        schema = load_request_schema(key, version)
        start = 10 + struct.unpack_from(">h", raw, 8)[0]  # the client's id ends the header
        return entity_reader(schema)(raw, start)[0]

    def _body(self, key: int, version: int, raw: bytes) -> dict[str, Any]:
        asked = self._request(key, version, raw)
        if key == 3:
            part = {"partition_index": 0, "leader_id": 7, "replica_nodes": (7,), "isr_nodes": (7,)}
            topics = [{"name": "orders", "partitions": [part]}]
            broker = {"node_id": 7, "host": "127.0.0.1", "port": self.port}
            return {"brokers": [broker], "controller_id": 7, "cluster_id": "old", "topics": topics}
        if key == 16:
            return {"groups": [{"group_id": g, "protocol_type": "consumer"} for g in ("a", "b", "c")]}
        if key == 9:
            offset = {"a": 1, "b": -1, "c": 3}[asked.group_id]
            part = {"partition_index": 0, "committed_offset": offset}
            return {"topics": [{"name": "orders", "partitions": [part]}] if offset > 0 or asked.topics else []}
        if key == 2:
            stamp = asked.topics[0].partitions[0].timestamp
            part = {"partition_index": 0, "offset": {-2: 0, -1: 9}.get(stamp, -1), "timestamp": -1}
            return {"topics": [{"name": "orders", "partitions": [part]}]}
        if key == 10:
            return {"node_id": 7, "host": "127.0.0.1", "port": self.port}
        if key == 8:
            for topic in asked.topics:
                self.committed |= {(topic.name, p.partition_index): p.committed_offset for p in topic.partitions}
            return {"topics": [{"name": "orders", "partitions": [{"partition_index": 0}]}]}
        if key == 15:
            member = {
                "member_id": "m",
                "client_id": "c",
                "client_host": "/10.0.0.9",
                "member_assignment": assignment(0),
            }
            state = {"group_id": asked.groups[0], "group_state": "Stable", "protocol_type": "consumer"}
            return {"groups": [{**state, "members": [member]}]}
        raise AssertionError(f"not asked of an old broker: {key}")


@pytest.fixture
def old() -> Iterator[OldBroker]:
    broker = OldBroker()
    yield broker
    broker.close()


def test_an_old_broker_is_asked_group_by_group(old: OldBroker) -> None:
    client = KafkaClient(KafkaSettings(f"127.0.0.1:{old.port}"), timeout=5)
    seen = client.snapshot()
    assert seen.complete and seen.cluster_id == "old"
    found = {g.name: g for g in seen.groups}
    assert {g.type for g in found.values()} == {"classic"}  # it knows no other
    assert [g.state for g in found.values()] == [""] * 3
    assert {n: g.lag for n, g in found.items()} == {"a": 8, "b": None, "c": 6}
    assert found["b"].partitions == ()
    assert [v for k, v in old.asked if k == 9] == [5, 5, 5]
    closely = client.group("a")
    assert closely.state == "Stable"
    (member,) = closely.members or ()
    assert (member.host, member.assignment) == ("10.0.0.9", (("orders", (1, 3)),))
    assert client.committed("b", [("orders", 0)]) == {("orders", 0): None}
    assert client.offsets_for_time([("orders", 0)], 5.0) == {("orders", 0): None}
    assert client.commit_offsets("a", {("orders", 0): 5}) == {("orders", 0): None}
    assert old.committed == {("orders", 0): 5}
    client.close()


def test_what_a_gone_coordinator_knew_is_kept_and_marked(old: OldBroker) -> None:
    client = KafkaClient(KafkaSettings(f"127.0.0.1:{old.port}"), timeout=2)
    first: KafkaSnapshot = client.snapshot()
    answer = old._body

    def moody(key: int, version: int, raw: bytes) -> dict[str, Any]:
        if key == 16:
            raise ConnectionError("hangs up at this question")
        return answer(key, version, raw)

    old._body = moody  # type: ignore[method-assign]
    seen = client.snapshot()
    assert not seen.complete
    assert [p.where for p in seen.problems] == ["broker 7"]
    assert {g.name: g.lag for g in seen.groups} == {g.name: g.lag for g in first.groups}
    for group in seen.groups:
        assert [p.code for p in group.problems] == ["OLD"]
        assert group.seen_at is not None and group.seen_at <= first.at
        assert all(p.problem is not None for p in group.partitions or ())
    old._body = answer  # type: ignore[method-assign]
    assert client.snapshot().complete
    client.close()
