"""`topic browse` on a real broker: positions, filters, merging, following, and that nothing is joined or committed."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from cli_program import environment, logq
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from console.config import KafkaSettings, Settings
from console.errors import NotFound, UsageError
from console.kafka import write
from console.kafka.browse import Scan
from console.kafka.write import create_topics
from console.model import Message
from console.ops.browse import Browse, Position, browse
from console.ops.browse_pages import Reading, Wish, page
from console.ops.session import Session

pytestmark = pytest.mark.broker

Unique = Callable[[str], str]
BASE = 1_700_000_000
# Records of years ago, which the broker's look at retention, every five minutes, would delete under a test.
KEEP = {"retention.ms": "-1"}
PER_PARTITION = 400
PARTITIONS = 3


@pytest.fixture(scope="module")
def session(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    opened = Session(Settings(kafka=KafkaSettings(kafka), state_dir=tmp_path_factory.mktemp("browse"), timeout=30))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def topic(kafka: str, unique: Unique) -> str:
    """1,200 records, one a second from BASE on, over the partitions in turn; the value is their number and a kind."""
    name = unique("browse")
    settings = KafkaSettings(kafka)
    create_topics(settings, {name: (PARTITIONS, 1, KEEP)})
    producer = write.producer(settings)
    for n in range(PER_PARTITION * PARTITIONS):
        value = json.dumps({"n": n, "kind": "rare" if n % 100 == 7 else "usual"})
        producer.produce(
            name, value, key=f"k{n}", partition=n % PARTITIONS, timestamp=(BASE + n) * 1000, headers=[("n", str(n))]
        )
    assert producer.flush(60) == 0
    return name


def numbers(found: Browse) -> list[int]:
    return [json.loads(m.value or b"")["n"] for m in found.messages()]


def test_all_of_it_merged_by_time(session: Session, topic: str) -> None:
    asked = browse(session, topic, start=Position("earliest"))
    assert numbers(asked) == list(range(1_200))
    scanned = asked.scanned()
    assert scanned.whole and (scanned.records, scanned.found, scanned.problems) == (1_200, 1_200, ())
    assert [(p.reached, p.stop) for p in scanned.partitions] == [((0, 400), 400)] * 3
    assert "the whole topic" in scanned.words and "no group joined" in scanned.words


def test_positions_and_partitions(session: Session, topic: str) -> None:
    assert numbers(browse(session, topic, start=Position("time", BASE + 1_190))) == list(range(1_190, 1_200))
    ranged = browse(session, topic, start=Position("time", BASE + 10), end=Position("time", BASE + 20))
    assert numbers(ranged) == list(range(10, 20))
    assert ranged.scanned().whole and "the whole of the range asked for" in ranged.scanned().words
    one = browse(session, topic, start=Position("offset", 398), partitions=[1])
    assert numbers(one) == [398 * 3 + 1, 399 * 3 + 1]
    assert numbers(browse(session, topic, start=Position("latest"))) == []
    assert numbers(browse(session, topic, start=Position("time", BASE + 10**6))) == []
    # Beyond the end is the end, and the end before the beginning is nothing.
    assert numbers(browse(session, topic, start=Position("offset", 10**12))) == []
    with pytest.raises(UsageError, match="--to earliest lies before --from latest: swap them"):
        browse(session, topic, start=Position("latest"), end=Position("earliest"))
    assert numbers(browse(session, topic, end=Position("time", BASE + 600), last=3)) == [597, 598, 599]
    assert numbers(browse(session, topic)) == list(range(1_180, 1_200))


def test_a_filter_says_how_much_it_looked_at(session: Session, topic: str) -> None:
    rare = [n for n in range(1_200) if n % 100 == 7]
    found = browse(session, topic, start=Position("earliest"), where="value.kind == 'rare'")
    assert numbers(found) == rare
    assert (found.scanned().records, found.scanned().found, found.scanned().whole) == (1_200, len(rare), True)
    limited = browse(session, topic, start=Position("earliest"), where="value.kind == 'rare'", limit=2)
    assert numbers(limited) == rare[:2]
    scanned = limited.scanned()
    assert not scanned.whole and "limit of 2" in scanned.words
    # What is told as scanned holds the matches shown, and no match that was not.
    assert scanned.partitions[107 % 3].reached[1] > 107 // 3
    assert all(n // 3 >= scanned.partitions[n % 3].reached[1] for n in rare[2:])
    assert numbers(browse(session, topic, where="value.kind == 'rare'", last=3)) == rare[-3:]
    nothing = browse(session, topic, where="value.nosuch == 1", last=3)
    assert numbers(nothing) == []
    assert nothing.scanned().whole and "could not be applied to 1,200" in nothing.scanned().words


def test_the_last_matches_where_partitions_differ_in_time(session: Session, kafka: str, unique: Unique) -> None:
    """One partition is slow (its records reach far back), one quick; the newest matches lie in the quick one's past."""
    name = unique("uneven")
    create_topics(KafkaSettings(kafka), {name: (2, 1, KEEP)})
    producer = write.producer(KafkaSettings(kafka))
    for n in range(9_000):
        kind = "hit" if n in (10, 5_000) else "miss"
        producer.produce(name, kind, partition=0, timestamp=(BASE + n) * 1000)
    for n in range(10):
        producer.produce(name, "hit", partition=1, timestamp=(BASE + n * 1_000 - 500) * 1000)
    assert producer.flush(60) == 0
    asked = browse(session, name, where="value == 'hit'", last=5)
    times = [round((m.timestamp or 0) - BASE) for m in asked.messages()]
    assert times == [5_000, 5_500, 6_500, 7_500, 8_500]
    assert not asked.scanned().whole and "older ones match" in asked.scanned().words
    everything = browse(session, name, where="value == 'hit'", last=100)
    assert len(list(everything.messages())) == 12 and everything.scanned().whole


def test_a_merge_that_may_hold_little_pauses_and_loses_nothing(kafka: str, unique: Unique) -> None:
    settings = KafkaSettings(kafka)
    name = unique("skewed")
    create_topics(settings, {name: (3, 1, KEEP)})
    producer = write.producer(settings)
    expected = []
    for p in range(3):  # each partition is later than the one before
        for n in range(3_000):
            producer.produce(name, b"x" * 100, partition=2 - p, timestamp=(BASE + p * 10_000 + n) * 1000)
            expected.append((2 - p, n))
    assert producer.flush(60) == 0
    scan = Scan(settings, name, dict.fromkeys(range(3), (0, 3000)), held_bytes=200_000)
    assert [(m.partition, m.offset) for m in scan.merged(patience=30)] == expected
    assert scan.open == set()


def test_nothing_is_joined_and_nothing_committed(session: Session, kafka: str, topic: str) -> None:
    watcher = Consumer({"bootstrap.servers": kafka, "group.id": "unused", "isolation.level": "read_uncommitted"})
    admin = AdminClient({"bootstrap.servers": kafka})

    def seen() -> tuple[set[str], dict[int, int]]:
        groups = {g.group_id for g in admin.list_consumer_groups(request_timeout=20).result().valid}
        partitions = watcher.list_topics("__consumer_offsets", timeout=20).topics["__consumer_offsets"].partitions
        ends = {
            p: watcher.get_watermark_offsets(TopicPartition("__consumer_offsets", p), timeout=20)[1] for p in partitions
        }
        return groups, ends

    try:
        before = seen()
        assert len(numbers(browse(session, topic, start=Position("earliest")))) == 1_200
        assert len(numbers(browse(session, topic, last=50, where="value.n > 0"))) == 50
        stop = threading.Event()
        following = browse(session, topic, start=Position("latest"))
        threading.Timer(1.0, stop.set).start()
        assert list(following.follow(stop)) == []
        after = seen()
        # Members that other tests left behind may still time out: what was written meanwhile must not be of ours.
        watcher.assign([TopicPartition("__consumer_offsets", p, before[1][p]) for p in before[1]])
        written: list[Any] = []
        deadline = time.monotonic() + 30
        while len(written) < sum(after[1].values()) - sum(before[1].values()) and time.monotonic() < deadline:
            written += [r for r in watcher.consume(100, 0.2) if r.error() is None]
    finally:
        watcher.close()
    assert not [name for name in after[0] - before[0] if "logq" in name]
    keys = [r.key() or b"" for r in written]
    assert not [key for key in keys if b"logq" in key or topic.encode() in key]


def test_what_cannot_be_asked(session: Session, topic: str) -> None:
    with pytest.raises(NotFound, match="no topic nowhere"):
        browse(session, "nowhere")
    with pytest.raises(NotFound, match="no partition 9"):
        browse(session, topic, partitions=[9])
    with pytest.raises(UsageError, match="not a CEL"):
        browse(session, topic, where="value ==")
    with pytest.raises(UsageError, match="leave one out"):
        browse(session, topic, start=Position("earliest"), last=5)
    with pytest.raises(UsageError, match="--last is a limit"):
        browse(session, topic, last=5, limit=5)


def test_records_behind_an_open_transaction_are_named(session: Session, kafka: str, unique: Unique) -> None:
    name = unique("open")
    create_topics(KafkaSettings(kafka), {name: (1, 1, KEEP)})
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": unique("tx")})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(name, b"1")
    producer.commit_transaction(30)
    producer.begin_transaction()
    for _ in range(5):
        producer.produce(name, b"2")
    producer.flush(30)
    asked = browse(session, name, start=Position("earliest"))
    assert [m.value for m in asked.messages()] == [b"1"]
    assert "5 offsets behind open transactions" in asked.scanned().words
    producer.abort_transaction(30)


# ---------------------------------------------------------------- the program


def test_the_program_says_what_it_scanned(kafka: str, topic: str) -> None:
    done = logq("-b", kafka, "topic", "browse", topic, "--from", "earliest", "--where", "value.kind == 'rare'")
    assert done.code == 0
    assert "12 of 1,200 records scanned" in done.err and "the whole topic" in done.err
    assert len(done.out.splitlines()) == 13
    said = logq(
        "-b", kafka, "topic", "browse", topic, "--from", "2023-11-14T22:13:30Z", "--limit", "3", "-o", "json"
    ).json
    assert [json.loads(m["value"])["n"] for m in said["messages"]] == [10, 11, 12]
    assert said["whole"] is False
    assert said["scanned"]["stopped"] == "stopped at the limit of 3"
    assert [p["begin"] for p in said["scanned"]["partitions"]] == [4, 3, 3]
    wrong = logq("-b", kafka, "topic", "browse", topic, "--from", "yesterday")
    assert wrong.code == 2 and "is no position" in wrong.line


def test_an_export_holds_every_byte(kafka: str, unique: Unique, tmp_path: Path) -> None:
    name = unique("export")
    create_topics(KafkaSettings(kafka), {name: (1, 1, KEEP)})
    records: list[tuple[bytes | None, bytes | None, list[tuple[str, Any]]]] = [
        (b"k", b"text", [("a", b"1"), ("a", b"2"), ("none", None)]),
        (None, None, []),
        (b"\xff\x00", bytes(range(256)), [("bin", b"\xfe")]),
        (b"", b"", []),
        ("ключ".encode(), "\u202ev\n\x1b[31m".encode(), []),
    ]
    producer = write.producer(KafkaSettings(kafka))
    for n, (key, value, headers) in enumerate(records):
        producer.produce(name, value, key, headers=headers, timestamp=(BASE + n) * 1000)
    assert producer.flush(30) == 0
    lines = logq("-b", kafka, "topic", "browse", name, "--from", "earliest", "-o", "jsonl").out.splitlines()

    def back(value: Any) -> bytes | None:
        if isinstance(value, dict):
            return base64.b64decode(value["base64"])
        return None if value is None else str(value).encode()

    found = [json.loads(line) for line in lines]
    assert [(back(m["key"]), back(m["value"])) for m in found] == [(key, value) for key, value, _ in records]
    assert [[(h["name"], back(h["value"])) for h in m["headers"]] for m in found] == [h for _, _, h in records]
    assert [(m["partition"], m["offset"]) for m in found] == [(0, n) for n in range(5)]
    assert found[0]["timestamp"] == "2023-11-14T22:13:20.000Z"


@pytest.mark.parametrize("form", ["jsonl", "table"])
def test_a_follow_goes_on_until_ctrl_c(kafka: str, unique: Unique, form: str) -> None:
    name = unique("follow")
    create_topics(KafkaSettings(kafka), {name: (2, 1, KEEP)})
    producer = write.producer(KafkaSettings(kafka))

    def say(text: str, partition: int) -> None:
        producer.produce(name, text, partition=partition)
        assert producer.flush(30) == 0

    say("before", 0)
    program = subprocess.Popen(
        [sys.executable, "-m", "console", "-b", kafka, "topic", "browse", name, "--follow", "-o", form],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment({"PYTHONUNBUFFERED": "1"}),
    )
    assert program.stdout is not None and program.stderr is not None
    try:
        guard = threading.Timer(60, program.kill)
        guard.start()
        assert "before" in program.stdout.readline()
        for n in range(4):
            say(f"after {n}", n % 2)
            assert f"after {n}" in program.stdout.readline()
        os.kill(program.pid, signal.SIGINT)
        assert program.wait(30) == 0
        guard.cancel()
        rest = program.stderr.read()
        assert "Traceback" not in rest and "1 of 1 record scanned" in rest
    finally:
        program.kill()
        program.wait(10)
        program.stdout.close()
        program.stderr.close()


def test_ctrl_c_in_a_long_browse_says_how_far_it_came(session: Session, topic: str) -> None:
    stop = threading.Event()
    asked = browse(session, topic, start=Position("earliest"))
    shown: list[Message] = []
    for message in asked.messages(stop):
        shown.append(message)
        stop.set()
    scanned = asked.scanned()
    assert shown and (scanned.whole or scanned.stopped == "stopped")
    assert scanned.found == len(shown)


def test_a_reading_browse_ends_while_the_topic_is_written(session: Session, kafka: str, unique: Unique) -> None:
    name = unique("busy")
    create_topics(KafkaSettings(kafka), {name: (2, 1, KEEP)})
    stop = threading.Event()

    def keep_busy() -> None:
        producer = Producer({"bootstrap.servers": kafka})
        while not stop.is_set():
            producer.produce(name, b"more")
            producer.poll(0.001)
        producer.flush(20)

    writer = threading.Thread(target=keep_busy)
    writer.start()
    try:
        while not (found := list(browse(session, name, start=Position("earliest")).messages())):
            time.sleep(0.2)
    finally:
        stop.set()
        writer.join()
    assert all(m.value == b"more" for m in found)


@pytest.mark.parametrize("where", [None, "value.n % 7 == 3"])
@pytest.mark.parametrize("toward", ["older", "newer"])
def test_pages_hold_every_record_once_whatever_the_order_of_times(
    session: Session, kafka: str, unique: Unique, where: str | None, toward: Literal["older", "newer"]
) -> None:
    """Times that run backwards within a partition, and far apart between them: no page skips what another one left."""
    name = unique("pages")
    create_topics(KafkaSettings(kafka), {name: (3, 1, KEEP)})
    producer = write.producer(KafkaSettings(kafka))
    chance = random.Random(7)
    for n in range(600):
        at = BASE + (n if n % 3 else 10_000) + chance.randint(-40, 40)
        producer.produce(name, json.dumps({"n": n}), partition=n % 3, timestamp=at * 1000)
    assert producer.flush(60) == 0
    wish = Wish(name, "last" if toward == "older" else "earliest", where=where, size=25)
    window = page(session, wish)
    for _ in range(20):
        if not window.problems:  # the topic is new: a partition's leader may not be there yet, and that is said
            break
        time.sleep(0.2)
        window = page(session, wish)
    assert not window.problems, window.problems
    for _ in range(60):
        if window.at_start and window.at_end:
            break
        before = window
        window = page(session, wish, toward, before)
        assert {m.id for m in before.messages} <= {m.id for m in window.messages}
    found = [json.loads(m.value or b"")["n"] for m in window.messages]
    assert sorted(found) == [n for n in range(600) if where is None or n % 7 == 3]
    assert window.whole
    assert window.records == 600
    assert window.parts[-1] == "the whole"


def test_a_stopped_scan_says_how_far_it_came_and_the_next_page_goes_on(
    session: Session, kafka: str, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while the last matches are looked for: what was settled by then is kept, and nothing is skipped."""
    name = unique("stop")
    create_topics(KafkaSettings(kafka), {name: (2, 1, KEEP)})
    producer = write.producer(KafkaSettings(kafka))
    for n in range(30_000):
        producer.produce(name, json.dumps({"n": n}), partition=n % 2, timestamp=(BASE + n) * 1000)
        producer.poll(0)
    assert producer.flush(60) == 0
    wish = Wish(name, where="value.n % 1000 == 0", size=100)
    cancel = threading.Event()

    def stop_later(reading: Reading) -> None:
        def watch() -> None:
            while len(reading.settled) < 3:
                time.sleep(0.001)
            cancel.set()

        threading.Thread(target=watch, daemon=True).start()

    window = page(session, wish, cancel=cancel, on_open=stop_later)
    assert "stopped" in window.parts
    assert 3 <= len(window.messages) < 30
    assert not window.whole
    while not window.at_start:
        window = page(session, wish, "older", window)
    assert [json.loads(m.value or b"")["n"] for m in window.messages] == list(range(0, 30_000, 1_000))
    assert window.whole
