"""What a closer look tells of real brokers: open and hanging transactions, every type of group, sizes, replicas."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cli_program import logq
from confluent_kafka import Consumer, Producer, TopicPartition
from hanging import hang, unverified
from kafka_client import commit, join, make_topic, produce
from kio_schemas import spoken

from console import upkeep
from console.brokers import Brokers, KafkaCluster
from console.config import KafkaSettings, Settings
from console.errors import NotFound
from console.kafka.client import KafkaClient
from console.kafka.cluster import Cluster
from console.kafka.messages import Api
from console.kafka.properties import wire
from console.kafka.write import create_topics
from console.model import Attention, KafkaSnapshot, Severity, Status
from console.ops import closely, inspect
from console.ops.session import Session

pytestmark = pytest.mark.broker

Unique = Callable[[str], str]


@pytest.fixture
def session(kafka: str, tmp_path: Any) -> Iterator[Session]:
    made = Session(Settings(kafka=KafkaSettings(kafka), state_dir=tmp_path))
    yield made
    made.close()


def commit_as(member: Consumer, topic: str, offset: int) -> None:
    member.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)


def eventually(check: Callable[[], bool], seconds: float = 20) -> None:
    """Until it is so; a topic that was just made is not known to every node yet."""
    deadline = time.monotonic() + seconds

    def so() -> bool:
        try:
            return check()
        except NotFound:
            return False

    while not so():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.2)


# ---------------------------------------------------------------- transactions

_HOLDER = """
import sys, time
from confluent_kafka import Consumer, Producer, TopicPartition
bootstrap, name, topic = sys.argv[1:]
p = Producer({"bootstrap.servers": bootstrap, "transactional.id": name, "transaction.timeout.ms": 60000})
p.init_transactions(30)
p.begin_transaction()
for n in range(8):
    p.produce(topic, b"not decided", partition=n % 2)
p.flush(30)
print("open", flush=True)
time.sleep(300)
"""


@contextmanager
def holder(bootstrap: str, name: str, topic: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a transaction open on two partitions."""
    made = subprocess.Popen([sys.executable, "-c", _HOLDER, bootstrap, name, topic], stdout=subprocess.PIPE, text=True)
    try:
        assert made.stdout is not None and made.stdout.readline() == "open\n"
        yield made
    finally:
        made.kill()
        made.wait(10)


def test_an_open_transaction_has_a_name_a_place_and_an_end(kafka: str, session: Session, unique: Unique) -> None:
    topic, name, group = unique("payments"), unique("order-sync"), unique("reader")
    make_topic(kafka, topic, 3)
    for partition in range(2):
        produce(kafka, topic, partition, 5)
    commit(kafka, group, {(topic, 0): 5, (topic, 1): 2})
    before = time.time()
    with holder(kafka, name, topic) as process:
        shown = logq("-b", kafka, "topic", "show", topic, "-o", "json").json
        (found,) = shown["transactions"]
        assert (found["transactional_id"], found["state"], found["hanging"]) == (name, "Ongoing", False)
        assert found["timeout_seconds"] == 60 and found["coordinator"] == 1
        assert found["partitions"] == [{"topic": topic, "partition": p, "first_offset": 5} for p in (0, 1)]
        assert found["reason"].startswith(f"open transaction of {name} (producer ")
        assert f"on {topic}/0 from 5, {topic}/1 from 5" in found["reason"]
        assert found["remedy"].startswith("it ends within ")
        (held,) = closely.held_back(session, inspect.group(session, group)).transactions
        assert held.transactional_id == name
        assert held.started is not None and before - 5 <= held.started <= time.time() + 1
        # Its producer dies: nobody but the coordinator ends it now, and that is what is said.
        process.kill()
        process.wait(10)
        page = logq("-b", kafka, "group", "show", group).out
        assert f"open transaction of {name}" in page and "aborts it at its timeout of 1m00s" in page
        assert "4 held back by an open transaction" in page
        (told,) = logq("-b", kafka, "group", "show", group, "--over", "1.5", "-o", "json").json["groups"]
        assert told["rate_seconds"] >= 1 and (told["produced_rate"], told["consumed_rate"]) == (0, 0)
        assert told["eta_seconds"] is None and told["lag"] > 0
    # Whoever takes the same transactional id ends what was left (fencing): nothing is held any more.
    Producer({"bootstrap.servers": kafka, "transactional.id": name}).init_transactions(30)
    eventually(lambda: not closely.topic(session, topic).transactions)
    assert closely.held_back(session, inspect.group(session, group)).transactions == ()


def test_a_hanging_transaction_is_told_and_its_remedy_ends_it(
    kafka: str, brokers: Brokers, session: Session, unique: Unique
) -> None:
    topic, name = unique("ledger"), unique("lost")
    make_topic(kafka, topic, 2)
    produce(kafka, topic, 1, 3)
    with unverified(kafka):
        producer = hang(kafka, topic, 1, name)
    view = closely.topic(session, topic)
    (found,) = view.transactions
    assert (found.producer_id, found.hanging, found.started) == (producer, True, None)
    assert found.last_write is not None and abs(found.last_write - time.time()) < 60
    assert [(h.topic, h.partition, h.first_offset) for h in found.partitions] == [(topic, 1, 3)]
    assert upkeep.is_trouble(found, view.at, upkeep.LONG_OPEN)
    assert upkeep.open_words(found, view.at).startswith(f"hanging transaction of {name} (producer {producer}")
    page = logq("-b", kafka, "topic", "show", topic).out
    remedy = next(line for line in page.splitlines() if "kafka-transactions.sh" in line)
    assert "nothing will end it" in remedy
    done = brokers.kafka.run_tool(
        "org.apache.kafka.tools.TransactionsCommand", *remedy.split("kafka-transactions.sh ")[1].split()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    eventually(lambda: not closely.topic(session, topic).transactions)
    (ended,) = [p for p in closely.topic(session, topic).topic.partitions if p.partition == 1]
    assert ended.stable_end == ended.end == 5


def test_a_group_with_only_markers_and_aborted_records_left_is_at_rest(
    kafka: str, session: Session, unique: Unique
) -> None:
    topic, group, stuck = unique("orders"), unique("done"), unique("stuck")
    make_topic(kafka, topic, 1)
    produce(kafka, topic, 0, 5)
    two = [Producer({"bootstrap.servers": kafka, "transactional.id": unique("tx")}) for _ in range(2)]
    for producer in two:
        producer.init_transactions(30)
    for commits in (True, False):
        for producer in two:  # their markers follow one another, and so do those of what is aborted
            producer.begin_transaction()
            producer.produce(topic, b"x")
            producer.flush(30)
        for producer in two:
            if commits:
                producer.commit_transaction(30)
            else:
                producer.abort_transaction(30)
    client = session.require_kafka()
    eventually(lambda: client.topic(topic).partitions[0].stable_end == 13)
    # 5 records, 2 committed, their 2 markers, 2 aborted, their 2 markers; a client commits its last message: 7.
    assert client.nothing_to_read([(topic, 0, 7), (topic, 0, 6), (topic, 0, 9)]) == {(topic, 0, 7), (topic, 0, 9)}
    commit(kafka, group, {(topic, 0): 7})
    commit(kafka, stuck, {(topic, 0): 6})
    session.history.stall_seconds = 0.4
    for name, status in ((group, Status.OK), (stuck, Status.STALL)):
        member = join(kafka, name, topic)
        try:
            commit_as(member, topic, 7 if name == group else 6)
            for _ in range(6):
                judged = inspect.group(session, name)
                time.sleep(0.2)
        finally:
            member.close()
        assert judged.lag == (6 if name == group else 7)
        assert judged.status is status, judged.reason


# ---------------------------------------------------------------- every type of group


def test_a_share_group_has_its_own_start_and_lag(
    kafka: str, brokers: Brokers, session: Session, unique: Unique
) -> None:
    """Apache's share consumer takes some: no Python client has share consumers."""
    topic, group = unique("shared"), unique("share")
    make_topic(kafka, topic, 2)
    produce(kafka, topic, 0, 15)
    produce(kafka, topic, 1, 4)
    tools = "org.apache.kafka.tools.consumer"
    where = ("--bootstrap-server", kafka, "--group", group, "--topic", topic)
    done = brokers.kafka.run_tool(
        f"{tools}.group.ShareGroupCommand", *where, "--reset-offsets", "--to-earliest", "--execute"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    read = ("--max-messages", "11", "--timeout-ms", "20000")
    done = brokers.kafka.run_tool(f"{tools}.ConsoleShareConsumer", *where, *read, timeout=120)
    assert "Processed a total of 11 messages" in done.stdout + done.stderr
    described = brokers.kafka.run_tool(f"{tools}.group.ShareGroupCommand", *where[:4], "--describe", "--offsets")
    theirs = {
        int(cells[2]): (int(cells[3]), int(cells[4]))
        for line in described.stdout.splitlines()
        if (cells := line.split()) and cells[0] == group
    }
    found = inspect.group(session, group)
    assert (found.type, found.state) == ("share", "Empty")
    ours = {p.partition: (p.committed, p.lag) for p in found.partitions or ()}
    assert ours == theirs and sum(lag for _, lag in theirs.values()) == 8
    (listed,) = [g for g in inspect.kafka(session).groups if g.name == group]
    assert {p.partition: (p.committed, p.lag) for p in listed.partitions or ()} == theirs
    shown = logq("-b", kafka, "group", "show", group)
    assert "no reset here (kafka-share-groups --reset-offsets)" in shown.out
    refused = logq("-b", kafka, "group", "reset", group, "--to-earliest")
    assert refused.code == 3 and "is a share group" in refused.line


_HEARTBEAT = spoken(Api(88, "streams_group_heartbeat"))


class Streams:
    """A member of a streams group by its heartbeats alone (KIP-1071): no streams client is to be had from Python."""

    def __init__(self, bootstrap: str, group: str, topic: str) -> None:
        self.group, self.topic, self.id = group, topic, str(uuid.uuid4())
        self.epoch = 0
        self.loop = asyncio.new_event_loop()
        self.cluster = Cluster(wire(KafkaSettings(bootstrap)))

    def beat(self, epoch: int | None = None) -> Any:
        return self.loop.run_until_complete(self._beat(self.epoch if epoch is None else epoch))

    async def _beat(self, epoch: int) -> Any:
        deadline = self.loop.time() + 15
        unchanged = dict.fromkeys(
            ("active_tasks", "standby_tasks", "warmup_tasks", "client_tags", "task_offsets", "task_end_offsets")
        )
        values: dict[str, Any] = {
            **unchanged,
            "group_id": self.group,
            "member_id": self.id,
            "member_epoch": epoch,
            "endpoint_information_epoch": -1,
            "rebalance_timeout": 60_000,
            "process_id": "process-1",
        }
        if epoch == 0:
            source = {"subtopology_id": "0", "source_topics": [self.topic]}
            values |= {"topology": {"epoch": 1, "subtopologies": [source]}, "client_tags": ()}
            values |= {"active_tasks": (), "standby_tasks": (), "warmup_tasks": ()}
        coordinator = (await self.cluster.coordinators([self.group], deadline))[self.group]
        assert isinstance(coordinator, int)
        answer = await self.cluster.ask(coordinator, _HEARTBEAT, values, deadline)
        if answer.error_code == 0:
            self.epoch = answer.member_epoch
        return answer

    def leave(self) -> None:
        self.beat(-1)
        self.cluster.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


def test_a_streams_group_is_listed_with_its_members_and_state(kafka: str, session: Session, unique: Unique) -> None:
    topic, group = unique("clicks"), unique("app")
    make_topic(kafka, topic, 2)
    produce(kafka, topic, 0, 9)
    member = Streams(kafka, group, topic)
    eventually(lambda: member.beat().error_code == 0)
    tasks: list[Any] = []

    def assigned() -> bool:
        tasks.extend(member.beat().active_tasks or ())
        return bool(tasks)

    eventually(assigned)
    member.beat()
    found = inspect.group(session, group)
    assert (found.type, found.state) == ("streams", "Stable")
    (one,) = found.members or ()
    assert (one.id, one.assignment) == (member.id, ((topic, (0, 1)),))
    assert [(p.partition, p.committed, p.end, p.member) for p in found.partitions or ()] == [
        (0, None, 9, member.id),
        (1, None, 0, member.id),
    ]
    (listed,) = [g for g in inspect.kafka(session).groups if g.name == group]
    assert (listed.type, listed.state) == ("streams", "Stable")
    refused = logq("-b", kafka, "group", "reset", group, "--to-earliest")
    assert refused.code == 3 and "state to reset" in refused.line
    member.leave()
    eventually(lambda: inspect.group(session, group).state == "Empty")
    # Its offsets are ordinary ones: lag and health are as of any group.
    assert session.require_kafka().commit_offsets(group, {(topic, 0): 3}) == {(topic, 0): None}
    rest = inspect.group(session, group)
    assert (rest.type, rest.state, rest.lag) == ("streams", "Empty", 6)


# ---------------------------------------------------------------- topics and brokers


def test_a_topic_tells_its_size_how_far_back_it_goes_and_who_reads_it(
    kafka: str, session: Session, unique: Unique
) -> None:
    topic, group = unique("old"), unique("reader")
    make_topic(kafka, topic, 2, **{"retention.ms": str(7 * 86_400_000)})
    produce(kafka, topic, 0, 500, at=time.time() - 6 * 86_400 - 3 * 3_600)
    produce(kafka, topic, 1, 5)
    commit(kafka, group, {(topic, 0): 100})
    shown = logq("-b", kafka, "topic", "show", topic, "-o", "json").json
    assert shown["size"] == sum(p["size"] for p in shown["partitions"])
    assert shown["partitions"][0]["size"] > 5_000 > shown["partitions"][1]["size"] > 100
    assert shown["replayable"].startswith("oldest replayable: 6d03h ago (")
    assert "; kept 7d00h: the next go in ~21h0" in shown["replayable"] or "~20h5" in shown["replayable"]
    assert [g["group"] for g in shown["groups"]] == [group]
    assert {p["topic"] for p in shown["groups"][0]["partitions"]} == {topic}
    assert shown["transactions"] == []
    page = logq("-b", kafka, "topic", "show", topic).out
    assert "oldest replayable: 6d03h ago" in page and group in page
    assert closely.sizes(session)[topic] == shown["size"]


def test_the_brokers_of_one_node(kafka: str, session: Session) -> None:
    (row,) = logq("-b", kafka, "broker", "list", "-o", "json").json["brokers"]
    assert (row["broker"], row["controller"], row["reachable"]) == (1, True, True)
    assert row["leads"] == row["replicas"] > 0 and row["out_of_sync"] == 0
    assert row["size"] > 0 and row["total"] > row["free"] > 0
    assert f"{row['host']}:{row['port']}" == kafka
    seen = closely.brokers(session, inspect.kafka(session))
    assert (seen.brokers[0].groups or 0) > 0


def attention_of(snapshot: KafkaSnapshot, name: str) -> Attention | None:
    return next((a for a in inspect.attention(snapshot, None) if a.name == name), None)


def test_a_node_that_goes_leaves_partitions_offline_and_under_replicated(
    cluster3: KafkaCluster, tmp_path: Any, unique: Unique
) -> None:
    settings = KafkaSettings(cluster3.bootstrap)
    alone, safe = unique("alone"), unique("safe")
    create_topics(settings, {alone: (6, 1, {}), safe: (6, 3, {})})
    made = Session(Settings(kafka=settings, state_dir=tmp_path))
    try:
        client = KafkaClient(settings, timeout=10)
        eventually(lambda: all(len(p.isr) == 3 for p in client.topic(safe).partitions), 30)
        # Also what an earlier test has left behind on a node that it ended.
        eventually(lambda: not any(b.behind for b in closely.brokers(made).brokers), 60)
        whole = closely.brokers(made)
        assert [(b.broker.id, b.behind, b.problem) for b in whole.brokers] == [(n, 0, None) for n in (1, 2, 3)]
        assert whole.controller in (1, 2, 3) and sum(bool(b.controller) for b in whole.brokers) == 1
        victim = next(n for n in (1, 2, 3) if n != whole.controller)
        cluster3.kill(victim)
        try:
            eventually(lambda: any(p.leader is None for p in client.topic(alone).partitions), 60)
            eventually(lambda: all(len(p.isr) == 2 for p in client.topic(safe).partitions), 60)
            hurt = upkeep.replication(client.topic(alone).partitions)
            assert hurt.severity is Severity.BAD and hurt.offline == 2
            assert hurt.reason == "2 partitions of 6 without a leader"
            short = upkeep.replication(client.topic(safe).partitions)
            assert (short.offline, short.under_replicated, short.brokers) == (0, 6, (victim,))
            snapshot = inspect.kafka(made)
            down = attention_of(snapshot, f"broker {victim}")
            assert down is not None and down.status is Status.UNREACHABLE
            assert "out of sync on " in down.reason
            offline = attention_of(snapshot, alone)
            assert offline is not None and "2 partitions of 6 without a leader" in offline.reason
            assert attention_of(snapshot, safe) is None, "one line a broker, not one a topic"
            now = {b.broker.id: b for b in closely.brokers(made).brokers}
            assert now[victim].broker.reachable is False and now[victim].leads == 0 and now[victim].behind >= 6
            assert all(now[n].under_replicated for n in now if n != victim)
            view = closely.topic(made, safe)
            assert view.size is not None, "the leaders that are there tell the sizes"
        finally:
            cluster3.restart(victim)
        eventually(lambda: all(len(p.isr) == 3 for p in client.topic(safe).partitions), 60)
        eventually(lambda: upkeep.replication(client.topic(alone).partitions).severity is Severity.OK, 30)
        client.close()
    finally:
        made.close()
