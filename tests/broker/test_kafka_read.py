"""Reading, producing and making topics over confluent-kafka: no group joined, nothing committed, nothing on stderr."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from console.config import KafkaSettings
from console.errors import NotFound, Unreachable, UsageError
from console.kafka import write
from console.kafka.client import KafkaClient
from console.kafka.read import read_last, read_range
from console.kafka.write import create_topics

pytestmark = pytest.mark.broker

Unique = Callable[[str], str]
BASE = 1_700_000_000_000
# Records of years ago, which the broker's look at retention, every five minutes, would delete under a test.
KEEP = {"retention.ms": "-1"}


def filled(settings: KafkaSettings, name: str, per_partition: int, partitions: int = 3) -> str:
    """Records whose times run over the partitions in turn."""
    create_topics(settings, {name: (partitions, 1, KEEP)})
    producer = write.producer(settings)
    for n in range(per_partition * partitions):
        producer.produce(
            name, b"%d" % n, key=b"k", partition=n % partitions, timestamp=BASE + n * 1000, headers=[("n", b"%d" % n)]
        )
    assert producer.flush(30) == 0
    return name


def test_the_last_records_by_time(kafka: str, unique: Unique) -> None:
    settings = KafkaSettings(kafka)
    topic = filled(settings, unique("last"), 40)
    found = read_last(settings, topic, 10)
    assert [m.value for m in found] == [b"%d" % n for n in range(110, 120)]
    newest = found[-1]
    assert (newest.target, newest.id) == (f"kafka:{topic}", f"{topic}/2/39")
    assert (newest.partition, newest.offset, newest.timestamp) == (2, 39, (BASE + 119_000) / 1000)
    assert (newest.key, newest.headers, newest.error) == (b"k", (("n", b"119"),), None)
    assert len(read_last(settings, topic, 1000)) == 120
    # No group was made by looking.
    client = KafkaClient(settings)
    assert "logq-no-group" not in {g.name for g in client.snapshot().groups}
    client.close()


def test_an_empty_topic_ends_at_once(kafka: str, unique: Unique) -> None:
    settings = KafkaSettings(kafka)
    create_topics(settings, {(name := unique("empty")): (2, 1, {})})
    started = time.monotonic()
    assert read_last(settings, name, 10) == ()
    assert time.monotonic() - started < 3


def test_a_busy_topic_ends_too(kafka: str, unique: Unique) -> None:
    settings = KafkaSettings(kafka)
    topic = filled(settings, unique("busy"), 10)
    stop = threading.Event()

    def keep_busy() -> None:
        producer = Producer({"bootstrap.servers": kafka})
        while not stop.is_set():
            producer.produce(topic, b"more")
            producer.poll(0.001)
        producer.flush(10)

    thread = threading.Thread(target=keep_busy)
    thread.start()
    try:
        started = time.monotonic()
        assert len(read_last(settings, topic, 20)) == 20
        assert time.monotonic() - started < 8
    finally:
        stop.set()
        thread.join()


def test_markers_do_not_make_the_answer_short(kafka: str, unique: Unique) -> None:
    """Where every other offset is a transaction's marker, reading goes back further; aborted records are not shown."""
    settings = KafkaSettings(kafka)
    create_topics(settings, {(topic := unique("tx")): (1, 1, {})})
    producer = write.producer(settings, transactional_id=unique("tx"))
    producer.init_transactions(30)
    for n in range(30):
        producer.begin_transaction()
        producer.produce(topic, b"%d" % n)
        if n % 3 == 0:
            producer.flush(30)
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    committed = [b"%d" % n for n in range(30) if n % 3]
    assert [m.value for m in read_last(settings, topic, 12)] == committed[-12:]
    assert [m.value for m in read_last(settings, topic, 500)] == committed
    uncommitted = KafkaSettings(kafka, {"isolation.level": "read_uncommitted"})
    assert len(read_last(uncommitted, topic, 500)) == 30
    # The end of a range may be a marker: it ends all the same.
    started = time.monotonic()
    assert [m.value for m in read_range(settings, topic, {0: (0, 60)})] == committed
    assert time.monotonic() - started < 5


def test_a_range_is_what_was_asked(kafka: str, unique: Unique) -> None:
    settings = KafkaSettings(kafka)
    topic = filled(settings, unique("range"), 20)
    found = list(read_range(settings, topic, {0: (5, 8), 2: (0, 2), 1: (7, 7)}))
    assert sorted(m.id for m in found) == sorted(
        [f"{topic}/0/5", f"{topic}/0/6", f"{topic}/0/7", f"{topic}/2/0", f"{topic}/2/1"]
    )
    # Beyond the end there is nothing to wait for.
    assert len(list(read_range(settings, topic, {0: (18, 100)}))) == 2
    # What expired is left out.
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.delete_records([TopicPartition(topic, 0, 10)]).values():
        future.result(30)
    assert [m.offset for m in read_range(settings, topic, {0: (5, 12)})] == [10, 11]


def test_a_cancel_ends_it(kafka: str, unique: Unique) -> None:
    settings = KafkaSettings(kafka)
    topic = filled(settings, unique("cancel"), 200)
    cancel = threading.Event()
    found = read_range(settings, topic, {0: (0, 200)}, cancel=cancel)
    assert len(list(itertools.islice(found, 3))) == 3
    cancel.set()
    assert len(list(found)) < 500
    assert read_last(settings, topic, 5, cancel=cancel) == ()


def test_dead_letters_say_why(kafka: str, unique: Unique) -> None:
    settings = KafkaSettings(kafka)
    create_topics(settings, {(topic := unique("orders") + ".DLT"): (1, 1, {})})
    producer = write.producer(settings)
    producer.produce(
        topic,
        b"x",
        headers=[
            ("kafka_dlt-original-topic", b"orders"),
            ("kafka_dlt-original-offset", struct.pack(">q", 5)),
            ("kafka_dlt-exception-fqcn", b"a.b.BadAddress"),
            ("kafka_dlt-exception-message", b"no street"),
        ],
    )
    assert producer.flush(30) == 0
    (found,) = read_last(settings, topic, 5)
    assert found.error == "BadAddress: no street"


def test_what_cannot_be_read_is_said(kafka: str, closed_port: int, unique: Unique) -> None:
    with pytest.raises(NotFound, match="no topic nowhere-"):
        read_last(KafkaSettings(kafka), unique("nowhere"), 5)
    with pytest.raises(Unreachable, match="connection refused"):
        read_last(KafkaSettings(f"127.0.0.1:{closed_port}"), "t", 5, timeout=5)
    started = time.monotonic()
    with pytest.raises(Unreachable, match="nothing came from partition 0"):
        list(read_range(KafkaSettings(f"127.0.0.1:{closed_port}"), "t", {0: (0, 5)}, timeout=1.5))
    assert time.monotonic() - started < 4
    with pytest.raises(UsageError, match="refuses its settings"):
        write.producer(KafkaSettings(kafka, {"linger.ms": "soon"}))


def test_topics_are_made_once_with_their_configuration(kafka: str, unique: Unique) -> None:
    settings = KafkaSettings(kafka)
    name = unique("made")
    create_topics(settings, {name: (4, 1, {"retention.ms": "60000"})})
    create_topics(settings, {name: (9, 1, {})})
    client = KafkaClient(settings)
    found = client.topic(name)
    client.close()
    assert len(found.partitions) == 4
    assert dict(found.config)["retention.ms"] == "60000"
    with pytest.raises(Exception, match="cannot make the topic"):
        create_topics(settings, {unique("toobig"): (1, 3, {})})


def test_nothing_reaches_stderr_when_brokers_are_away(closed_port: int) -> None:
    """librdkafka's log would tear a screen; the process also ends at once with clients left open."""
    program = f"""
import time
from console.config import KafkaSettings
from console.kafka import write
settings = KafkaSettings("127.0.0.1:{closed_port}")
p = write.producer(settings); p.produce("t", b"x"); p.poll(0.5)
c = write.consumer(settings, group_id="g"); c.subscribe(["t"]); c.poll(1.0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
