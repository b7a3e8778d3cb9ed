"""Inspecting and committing on a real broker: what `KafkaClient` tells, against what was done and what Apache tells."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from kafka_client import remake_topic

from console.brokers import Brokers
from console.config import KafkaSettings
from console.errors import NotFound, Unreachable
from console.kafka.client import KafkaClient
from console.kafka.write import create_topics
from console.model import Group, GroupPartition, KafkaSnapshot, Problem, Topic

pytestmark = pytest.mark.broker

Unique = Callable[[str], str]


@pytest.fixture
def client(kafka: str) -> Iterator[KafkaClient]:
    found = KafkaClient(KafkaSettings(kafka), timeout=15)
    yield found
    found.close()


def make(kafka: str, name: str, partitions: int = 1, **config: str) -> str:
    create_topics(KafkaSettings(kafka), {name: (partitions, 1, {k.replace("_", "."): v for k, v in config.items()})})
    return name


def fill(kafka: str, topic: str, count: int, partition: int = 0, **properties: str) -> None:
    producer = Producer({"bootstrap.servers": kafka, **{k.replace("_", "."): v for k, v in properties.items()}})
    for n in range(count):
        producer.produce(topic, b"value %d" % n, key=b"key", partition=partition)
    assert producer.flush(30) == 0


@contextmanager
def member(kafka: str, group: str, topic: str, **properties: str) -> Iterator[Consumer]:
    """A live member of a group that has its assignment."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": group,
            "client.id": "reader",
            "enable.auto.commit": "false",
            "auto.offset.reset": "earliest",
            **{k.replace("_", "."): v for k, v in properties.items()},
        }
    )
    consumer.subscribe([topic])
    try:
        deadline = time.monotonic() + 30
        while not consumer.assignment():
            assert time.monotonic() < deadline, "no assignment within 30 s"
            consumer.poll(0.2)
        yield consumer
    finally:
        consumer.close()


def group_in(snapshot: KafkaSnapshot, name: str) -> Group:
    (found,) = [g for g in snapshot.groups if g.name == name]
    return found


def topic_in(snapshot: KafkaSnapshot, name: str) -> Topic:
    (found,) = [t for t in snapshot.topics if t.name == name]
    return found


def row(group: Group, partition: int, topic: str | None = None) -> GroupPartition:
    assert group.partitions is not None
    (found,) = [p for p in group.partitions if p.partition == partition and topic in (None, p.topic)]
    return found


def eventually(check: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.1)


# ---------------------------------------------------------------- the snapshot


def test_snapshot_tells_offsets_lag_and_no_commit(client: KafkaClient, kafka: str, unique: Unique) -> None:
    topic, group = make(kafka, unique("orders"), 3), unique("billing")
    fill(kafka, topic, 10, partition=0)
    fill(kafka, topic, 4, partition=1)
    assert client.commit_offsets(group, {(topic, 0): 7, (topic, 1): 4}) == {(topic, 0): None, (topic, 1): None}

    seen = client.snapshot()
    found = group_in(seen, group)
    assert (found.type, found.state, found.protocol) == ("classic", "Empty", "")
    assert found.coordinator == seen.brokers[0].id
    assert found.members == ()  # an empty group is known to have none
    assert [(p.partition, p.start, p.committed, p.end, p.stable_end, p.lag) for p in found.partitions or ()] == [
        (0, 0, 7, 10, 10, 3),
        (1, 0, 4, 4, 4, 0),
        (2, 0, None, 0, 0, None),  # never committed: no commit, not 0 and not a problem
    ]
    assert (found.lag, found.no_commit, found.problems) == (3, 1, ())
    assert [b.reachable for b in seen.brokers] == [True]
    assert seen.cluster_id and seen.controller == 1
    described = topic_in(seen, topic)
    assert not described.internal
    first = described.partitions[0]
    assert (first.leader, first.replicas, first.isr, first.offline) == (1, (1,), (1,), ())
    assert (first.start, first.end, first.stable_end) == (0, 10, 10)
    assert topic_in(seen, "__consumer_offsets").internal


def test_a_topic_made_anew_has_another_id(client: KafkaClient, kafka: str, unique: Unique) -> None:
    """The id is the one that Kafka's own tools tell, in one look at a topic and in the snapshot."""
    topic = make(kafka, unique("orders"))
    admin = AdminClient({"bootstrap.servers": kafka})

    def told() -> str:
        (described,) = admin.describe_topics(TopicCollection([topic])).values()
        # librdkafka prints plain base64, Kafka's tools the form for URLs.
        return str(described.result(30).topic_id).replace("+", "-").replace("/", "_")

    def there() -> bool:
        return topic in {t.name for t in client.topics()}

    eventually(there)
    first = client.topic(topic).id
    assert first == told() == topic_in(client.snapshot(), topic).id
    admin.delete_topics([topic])[topic].result(30)
    eventually(lambda: not there())
    make(kafka, topic)
    eventually(there)
    assert first != client.topic(topic).id == told() == topic_in(client.snapshot(), topic).id


def test_lost_records_are_counted_apart_from_lag(client: KafkaClient, kafka: str, unique: Unique) -> None:
    topic, group = make(kafka, unique("lost")), unique("slow")
    fill(kafka, topic, 10)
    client.commit_offsets(group, {(topic, 0): 2})
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.delete_records([TopicPartition(topic, 0, 6)]).values():
        future.result(30)
    found = row(group_in(client.snapshot(), group), 0)
    assert (found.start, found.committed, found.end, found.lag, found.lost) == (6, 2, 10, 4, 4)


def test_an_open_transaction_holds_the_stable_end_back(client: KafkaClient, kafka: str, unique: Unique) -> None:
    topic, group = make(kafka, unique("tx")), unique("reader")
    fill(kafka, topic, 5)
    client.commit_offsets(group, {(topic, 0): 5})
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": unique("tx")})
    producer.init_transactions(30)
    producer.begin_transaction()
    for _ in range(5):
        producer.produce(topic, b"x")
    producer.flush(30)
    found = row(group_in(client.snapshot(), group), 0)
    assert (found.end, found.stable_end) == (10, 5)
    producer.commit_transaction(30)

    def settled() -> bool:
        now = row(group_in(client.snapshot(), group), 0)
        return (now.end, now.stable_end) == (11, 11)  # the marker takes an offset too

    eventually(settled)


def test_a_transactions_pending_commit_is_said(client: KafkaClient, kafka: str, unique: Unique) -> None:
    topic, group = make(kafka, unique("eos"), 2), unique("eos")
    fill(kafka, topic, 5)
    client.commit_offsets(group, {(topic, 0): 1})
    with member(kafka, group, topic) as consumer:
        producer = Producer({"bootstrap.servers": kafka, "transactional.id": unique("eos")})
        producer.init_transactions(30)
        producer.begin_transaction()
        positions = [TopicPartition(topic, 0, 3), TopicPartition(topic, 1, 0)]
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), 30)
        by_name = client.committed(group, [(topic, 0), (topic, 1)])
        assert isinstance(by_name[(topic, 0)], Problem)
        assert by_name[(topic, 0)].code == "UNSTABLE_OFFSET_COMMIT"  # type: ignore[union-attr]
        closely = client.group(group)
        assert row(closely, 0).committed == 1  # the last decided one
        pending = row(closely, 1)
        assert pending.committed is None and pending.problem is not None
        assert pending.problem.code == "UNSTABLE_OFFSET_COMMIT"
        producer.commit_transaction(30)
        eventually(lambda: client.committed(group, [(topic, 0), (topic, 1)]) == {(topic, 0): 3, (topic, 1): 0})


def test_commits_of_a_deleted_topic_vanish(client: KafkaClient, kafka: str, unique: Unique) -> None:
    gone, kept, group = make(kafka, unique("gone")), make(kafka, unique("kept")), unique("both")
    client.commit_offsets(group, {(gone, 0): 0, (kept, 0): 0})
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([gone])[gone].result(30)

    def vanished() -> bool:
        snapshot = client.snapshot()
        found = group_in(snapshot, group)
        for p in found.partitions or ():
            if p.topic == gone:
                # Just after the deletion the commit is still there: no offsets, and a reason.
                assert p.problem is not None or p.end is not None
        return found.topics == (kept,) and gone not in {t.name for t in snapshot.topics}

    eventually(vanished)


def test_partitions_added_since_the_commit_are_there(client: KafkaClient, kafka: str, unique: Unique) -> None:
    topic, group = make(kafka, unique("grown")), unique("old")
    client.commit_offsets(group, {(topic, 0): 0})
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(30)
    eventually(lambda: len(group_in(client.snapshot(), group).partitions or ()) == 3)
    assert [p.committed for p in client.group(group).partitions or ()] == [0, None, None]


def test_partial_pictures_come_while_it_fills_in(client: KafkaClient) -> None:
    seen: list[KafkaSnapshot] = []
    whole = client.snapshot(on_partial=seen.append)
    assert whole.complete
    assert all(not part.complete and part.cluster_id == whole.cluster_id for part in seen)


def test_many_threads_may_ask_at_once(client: KafkaClient, kafka: str, unique: Unique) -> None:
    topic = make(kafka, unique("threads"))
    results: list[object] = []

    def work() -> None:
        results.append(client.snapshot().cluster_id)
        results.append(client.topic(topic).name)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 24 and len(set(results)) == 2


# ---------------------------------------------------------------- one group, one topic


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_group_with_members(client: KafkaClient, kafka: str, unique: Unique, protocol: str) -> None:
    topic, group = make(kafka, unique("live"), 2), unique(protocol)
    fill(kafka, topic, 3)
    extra = {"group_protocol": "consumer"} if protocol == "consumer" else {}
    with member(kafka, group, topic, **extra) as consumer:
        assert group_in(client.snapshot(), group).type == protocol
        eventually(lambda: client.group(group).state == "Stable")
        found = client.group(group)
        assert found.type == protocol
        (one,) = found.members or ()
        assert (one.client_id, one.host) == ("reader", "127.0.0.1")
        assert one.assignment == ((topic, (0, 1)),)
        # Nothing is committed yet, but its partitions are known from the assignment.
        assert [(p.topic, p.partition, p.committed, p.end) for p in found.partitions or ()] == [
            (topic, 0, None, 3),
            (topic, 1, None, 0),
        ]
        assert {p.member for p in found.partitions or ()} == {one.id}
        assert {(p.client_id, p.host) for p in found.partitions or ()} == {("reader", "127.0.0.1")}
        consumer.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
        assert row(client.group(group), 0).lag == 1
    eventually(lambda: client.group(group).state == "Empty")
    assert client.group(group).members == ()


def test_a_share_group_is_listed(client: KafkaClient, brokers: Brokers, unique: Unique) -> None:
    topic, group = make(brokers.bootstrap, unique("shared"), 2), unique("share")
    fill(brokers.bootstrap, topic, 3)
    # Apache's own tool makes the group by setting its offsets: no Python client has share consumers.
    done = brokers.kafka.run_tool(
        "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
        *("--bootstrap-server", brokers.bootstrap, "--group", group, "--topic", topic),
        *("--reset-offsets", "--to-earliest", "--execute"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = group_in(client.snapshot(), group)
    assert (found.type, found.state) == ("share", "Empty")
    assert [(p.partition, p.committed, p.end) for p in found.partitions or ()] == [(0, 0, 3), (1, 0, 0)]
    closely = client.group(group)
    assert (closely.type, closely.state, closely.members) == ("share", "Empty", ())


def test_a_share_group_with_a_member(client: KafkaClient, brokers: Brokers, unique: Unique) -> None:
    """Apache's console share consumer is the member: no Python client has share consumers."""
    topic, group = make(brokers.bootstrap, unique("shared"), 2), unique("share")
    ended: list[str] = []

    def consume() -> None:
        done = brokers.kafka.run_tool(
            "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
            *("--bootstrap-server", brokers.bootstrap, "--topic", topic, "--group", group),
            *("--timeout-ms", "15000"),
            timeout=120,
        )
        ended.append(done.stdout + done.stderr)

    consumer = threading.Thread(target=consume)
    consumer.start()
    try:

        def assigned() -> bool:
            assert consumer.is_alive(), ended
            if group not in {g.name for g in client.snapshot().groups}:
                return False
            members = client.group(group).members or ()
            return any(m.assignment for m in members)

        eventually(assigned, 30)
        found = client.group(group)
        assert (found.type, found.state) == ("share", "Stable")
        (one,) = found.members or ()
        assert one.assignment == ((topic, (0, 1)),) and one.host == "127.0.0.1"
        assert [(p.partition, p.end, p.member) for p in found.partitions or ()] == [(0, 0, one.id), (1, 0, one.id)]
    finally:
        consumer.join(60)


def test_unknown_names_are_not_found(client: KafkaClient, unique: Unique) -> None:
    name = unique("nobody")
    with pytest.raises(NotFound, match=f"no group {name} on this cluster; logq group list shows them"):
        client.group(name)
    with pytest.raises(NotFound, match=f"no topic {name} on this cluster"):
        client.topic(name)
    with pytest.raises(NotFound):
        client.topic("not a valid name!")
    assert name not in {g.name for g in client.snapshot().groups}
    assert name not in {t.name for t in client.snapshot().topics}


def test_topic_with_its_configuration(client: KafkaClient, kafka: str, unique: Unique) -> None:
    name = make(kafka, unique("configured"), 2, retention_ms="123456", cleanup_policy="compact")
    found = client.topic(name)
    config = dict(found.config)
    assert (config["retention.ms"], config["cleanup.policy"], config["min.insync.replicas"]) == (
        "123456",
        "compact",
        "1",
    )
    assert [p.end for p in found.partitions] == [0, 0]
    assert name in {t.name for t in client.topics()}


def test_a_topic_has_the_id_that_kafka_prints_and_another_when_it_was_made_again(
    client: KafkaClient, kafka: str, unique: Unique
) -> None:
    name = make(kafka, unique("known"), 2)
    admin = AdminClient({"bootstrap.servers": kafka})

    def printed() -> str:
        described = admin.describe_topics(TopicCollection([name]), request_timeout=20)
        # librdkafka has the alphabet of MIME, Apache's tools that of URLs.
        return str(described[name].result(20).topic_id).translate(str.maketrans("+/", "-_"))

    first = client.topic(name).id
    assert first == printed()
    assert {t.id for t in client.snapshot().topics if t.name == name} == {first}
    remake_topic(kafka, name, 2)
    again = client.topic(name).id
    assert again == printed() and again != first
    assert {t.id for t in client.snapshot().topics if t.name == name} == {again}


# ---------------------------------------------------------------- offsets and times


def test_watermarks_committed_and_offsets_by_time(client: KafkaClient, kafka: str, unique: Unique) -> None:
    topic, group = make(kafka, unique("timed"), 2, retention_ms="-1"), unique("g")
    producer = Producer({"bootstrap.servers": kafka})
    for n in range(5):
        producer.produce(topic, b"x", partition=0, timestamp=1_700_000_000_000 + n * 1000)
    assert producer.flush(30) == 0
    keys = [(topic, 0), (topic, 1), (topic, 9)]
    marks = client.watermarks(keys)
    assert (marks[(topic, 0)], marks[(topic, 1)]) == ((0, 5), (0, 0))
    assert isinstance(marks[(topic, 9)], Problem)
    at = client.offsets_for_time(keys, 1_700_000_002.5)
    assert (at[(topic, 0)], at[(topic, 1)]) == (3, None)
    assert isinstance(at[(topic, 9)], Problem)
    assert client.offsets_for_time([(topic, 0)], 1_700_000_002.0) == {(topic, 0): 2}
    assert client.offsets_for_time([(topic, 0)], 1_800_000_000.0) == {(topic, 0): None}
    client.commit_offsets(group, {(topic, 0): 4})
    assert client.committed(group, keys[:2]) == {(topic, 0): 4, (topic, 1): None}


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_record_times(client: KafkaClient, kafka: str, unique: Unique, codec: str) -> None:
    topic = make(kafka, unique("times"), 4, retention_ms="-1")
    producer = Producer({"bootstrap.servers": kafka, "compression.type": codec, "linger.ms": "500"})
    base = 1_700_000_000_000
    for partition in range(3):
        for n in range(20):
            body = b"x" * (2_000 if partition == 1 else 10)  # partition 1's one batch is larger than the fetch limit
            producer.produce(topic, body, partition=partition, timestamp=base + n * 250)
    assert producer.flush(30) == 0
    positions = {(topic, p): o for p, o in ((0, 0), (1, 7), (2, 19))}
    spans = client.record_spans({**positions, (topic, 3): 0})
    assert spans[(topic, 3)] is None  # at the end: no record
    for key, offset in positions.items():
        span = spans[key]
        assert span is not None, key
        true = (base + offset * 250) / 1000
        assert span[0] <= true <= span[1]
        if codec in ("none", "gzip"):
            assert span == (true, true)
    exact = client.record_times(positions)
    if codec in ("none", "gzip"):
        assert exact == {k: (base + o * 250) / 1000 for k, o in positions.items()}
    else:
        assert set(exact.values()) == {None}  # somewhere within 4.75 s: not said as if it were known
    assert client.record_times({(topic, 0): 20, (topic, 1): 500}) == {(topic, 0): None, (topic, 1): None}


def test_record_times_where_the_broker_stamps_them(client: KafkaClient, kafka: str, unique: Unique) -> None:
    topic = make(kafka, unique("stamped"), 1, message_timestamp_type="LogAppendTime")
    before = time.time()
    fill(kafka, topic, 5, compression_type="lz4")
    found = client.record_times({(topic, 0): 3})[(topic, 0)]
    assert found is not None and before - 5 < found < time.time() + 5


# ---------------------------------------------------------------- committing


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_live_group_refuses_a_commit(client: KafkaClient, kafka: str, unique: Unique, protocol: str) -> None:
    topic, group = make(kafka, unique("live"), 2), unique("busy")
    fill(kafka, topic, 3)
    extra = {"group_protocol": "consumer"} if protocol == "consumer" else {}
    with member(kafka, group, topic, **extra) as consumer:
        consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
        result = client.commit_offsets(group, {(topic, 0): 0, (topic, 1): 0})
        assert {p.code for p in result.values() if p} == {"UNKNOWN_MEMBER_ID"}
        assert len(result) == 2
        assert all("live members" in p.message for p in result.values() if p)
        assert client.committed(group, [(topic, 0), (topic, 1)]) == {(topic, 0): 1, (topic, 1): None}
    eventually(lambda: client.group(group).state == "Empty")
    assert client.commit_offsets(group, {(topic, 0): 0}) == {(topic, 0): None}
    assert client.committed(group, [(topic, 0)]) == {(topic, 0): 0}


def test_a_commit_to_an_unknown_partition_is_a_problem_of_it_alone(
    client: KafkaClient, kafka: str, unique: Unique
) -> None:
    topic, group = make(kafka, unique("t")), unique("g")
    result = client.commit_offsets(group, {(topic, 0): 0, (topic, 7): 0, ("no-such-topic", 0): 0})
    assert result[(topic, 0)] is None
    assert result[(topic, 7)] is not None and result[("no-such-topic", 0)] is not None


# ---------------------------------------------------------------- against Apache's tool


def test_agrees_with_apaches_tool(client: KafkaClient, brokers: Brokers, unique: Unique) -> None:
    kafka = brokers.bootstrap
    topics = [make(kafka, unique("agree"), 3) for _ in range(2)]
    groups = [unique("agree") for _ in range(4)]
    for n, topic in enumerate(topics):
        for partition in range(3):
            fill(kafka, topic, 10 * n + partition + 1, partition=partition)
    for n, group in enumerate(groups):
        offsets = {(t, p): min(n, p) for t in topics for p in range(3) if (n, p) != (1, 2)}
        assert set(client.commit_offsets(group, offsets).values()) == {None}
    with member(kafka, unique("agree"), topics[0]) as consumer:
        consumer.commit(offsets=[TopicPartition(topics[0], 1, 1)], asynchronous=False)
        done = brokers.kafka.run_tool(
            "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            *("--bootstrap-server", kafka, "--describe", "--all-groups"),
            timeout=120,
        )
        seen = client.snapshot()
    assert done.returncode == 0, done.stdout + done.stderr
    theirs: dict[tuple[str, str, int], tuple[str, str, str]] = {}
    for line in done.stdout.splitlines():
        cells = line.split()
        if len(cells) >= 6 and cells[2].isdigit() and cells[0].startswith("agree-"):
            theirs[(cells[0], cells[1], int(cells[2]))] = (cells[3], cells[4], cells[5])
    ours = {
        (g.name, p.topic, p.partition): (str(p.committed), str(p.end), str(p.lag))
        for g in seen.groups
        if g.name.startswith("agree-")
        for p in g.partitions or ()
        if p.committed is not None
    }
    assert len(ours) == 4 * 6 - 2 + 1
    assert ours == {key: value for key, value in theirs.items() if value[0] != "-"}
    # The tool also lists partitions that a member holds without a commit, with dashes.
    held = {(g.name, p.topic, p.partition) for g in seen.groups for p in g.partitions or () if p.member}
    uncommitted = {key for key, value in theirs.items() if value[0] == "-"}
    assert len(uncommitted) == 2 and uncommitted <= held


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_every_look_shows_what_members_hold_without_a_commit(
    client: KafkaClient, kafka: str, unique: Unique, protocol: str
) -> None:
    """A group that has never committed is known by its members' assignments alone; so is a topic added to one."""
    committed, fresh, group = make(kafka, unique("old")), make(kafka, unique("fresh"), 2), unique(protocol)
    fill(kafka, fresh, 3)
    client.commit_offsets(group, {(committed, 0): 0})
    extra = {"group_protocol": "consumer"} if protocol == "consumer" else {}
    with member(kafka, group, fresh, **extra):
        eventually(lambda: any(p.member for p in group_in(client.snapshot(), group).partitions or ()))
        found = group_in(client.snapshot(), group)
        (one,) = found.members or ()
        assert [(p.topic, p.partition, p.committed, p.end, p.member) for p in found.partitions or ()] == sorted(
            [(committed, 0, 0, 0, None), (fresh, 0, None, 3, one.id), (fresh, 1, None, 0, one.id)]
        )
        assert (one.client_id, found.no_commit) == ("reader", 2)
    eventually(lambda: group_in(client.snapshot(), group).state == "Empty")
    gone = group_in(client.snapshot(), group)
    assert (gone.members, [p.topic for p in gone.partitions or ()]) == ((), [committed])


# ---------------------------------------------------------------- reachability, the doctor, closing


def test_an_address_that_refuses(closed_port: int) -> None:
    client = KafkaClient(KafkaSettings(f"127.0.0.1:{closed_port}"), timeout=5)
    started = time.monotonic()
    with pytest.raises(Unreachable) as error:
        client.snapshot()
    assert time.monotonic() - started < 2
    assert str(error.value) == (
        f"cannot reach Kafka at 127.0.0.1:{closed_port}: connection refused; check -b and that the broker is up"
    )
    (check,) = client.check()
    assert check.ok is False and "connection refused" in check.message and check.remedy
    client.close()


def test_a_second_address_is_tried(kafka: str, closed_port: int) -> None:
    client = KafkaClient(KafkaSettings(f"127.0.0.1:{closed_port},{kafka}"), timeout=10)
    assert client.snapshot().complete
    client.close()


def test_the_doctor_is_content(client: KafkaClient) -> None:
    checks = client.check()
    assert [c.name for c in checks][:2] == ["kafka address", "kafka broker 1"]
    assert all(c.ok for c in checks)


def test_close_is_quick_and_final(kafka: str) -> None:
    client = KafkaClient(KafkaSettings(kafka))
    client.snapshot()
    started = time.monotonic()
    client.close()
    assert time.monotonic() - started < 0.2
    client.close()
    with pytest.raises(Exception, match="closed"):
        client.snapshot()
