"""Redrive of dead-letter topics on a real broker; what arrived is read by a client that is not logq's."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_program import logq
from confluent_kafka import Consumer, Producer, TopicPartition
from dead_letters import World, arrived, plan, spring
from kafka_client import make_topic, remake_topic
from msgspec import structs
from replay_world import make_topics

from console.config import KafkaSettings, Settings
from console.errors import NotFound, Refused, UsageError
from console.journal import Entry
from console.model import Progress
from console.ops import dead_topics, inspect, jobs, redrive
from console.ops.session import Session

pytestmark = pytest.mark.broker

Unique = Callable[[str], str]


@pytest.fixture
def session(kafka: str, tmp_path: Path) -> Iterator[Session]:
    opened = Session(Settings(kafka=KafkaSettings(kafka), state_dir=tmp_path, timeout=30))
    yield opened
    opened.close()


@pytest.fixture
def world(kafka: str, unique: Unique) -> World:
    return World(kafka, unique("shop"))


def test_back_to_where_they_came_from_and_never_twice(session: Session, world: World) -> None:
    world.fill(60)
    made = plan(session, world.dlq)
    assert (made.total, made.scanned, made.done_before, made.left) == (60, 60, 0, ())
    assert [(d.name, d.records) for d in made.destinations] == [(world.name, 60)]
    outcome = redrive.run(session, made)
    assert (outcome.state, outcome.done, outcome.failed, outcome.left) == ("done", 60, 0, 0), outcome
    copies = world.arrived()
    assert Counter(int(m.value()) for m in copies) == Counter(range(60))
    for m in copies:
        n = int(m.value())
        assert (m.key(), m.partition()) == (b"k%d" % n, n % 3)
        headers = dict(m.headers())
        assert headers == {
            "trace": b"abc",
            "logq-redrive": outcome.job.encode(),
            "logq-origin": f"{world.dlq}/{n % 2}/{n // 2}".encode(),
        }
    # A second run redrives nothing, and the view marks what is done.
    again = plan(session, world.dlq)
    assert (again.total, again.done_before) == (0, 60) and "redriven already" in again.idle
    assert redrive.run(session, again).done == 0
    seen = inspect.dead_letter(session, f"kafka:{world.dlq}")
    assert (seen.letters.done, len(seen.done)) == (60, 60) and "60 of 60 redriven already" in seen.note
    # What fails now is new.
    world.fill(3, first=60)
    assert plan(session, world.dlq).total == 3
    assert redrive.run(session, plan(session, world.dlq)).done == 3
    assert world.values() == Counter(range(63))
    assert "stays in the dead-letter topic" in jobs.receipt(session, outcome.job, "md")
    receipt = jobs.receipt(session, outcome.job, "jsonl")
    sent = [json.loads(line) for line in receipt.splitlines() if '"entry"' in line]
    assert len(sent) == 60 and all(e["new_id"].startswith(f"{world.name}/") for e in sent)


def test_a_topic_that_takes_small_batches_gets_all_that_fits_each(session: Session, kafka: str, unique: Unique) -> None:
    """The limit of a topic holds for a whole batch: records that fit one by one must not fail together."""
    name = unique("small")
    make_topics(kafka, {name: 1}, **{"max.message.bytes": "65536"})
    make_topic(kafka, f"{name}.DLT", 1)
    producer = Producer({"bootstrap.servers": kafka})
    values = [secrets.token_bytes(12_000) for _ in range(40)]
    for value in values:
        producer.produce(f"{name}.DLT", value, headers=spring(name, 0, 0, "bad total"))
    assert producer.flush(60) == 0
    outcome = redrive.run(session, plan(session, f"{name}.DLT", to=f"kafka:{name}"))
    assert (outcome.state, outcome.done, outcome.failed) == ("done", 40, 0), outcome
    seen = Consumer({"bootstrap.servers": kafka, "group.id": "x"})
    seen.assign([TopicPartition(name, 0, 0)])
    assert [m.value() for m in seen.consume(40, 30)] == values
    seen.close()


def test_attention_is_for_what_was_not_redriven(session: Session, world: World, kafka: str) -> None:
    """The records stay: a topic that was redriven whole must not be shouted for ever, nor one made again be quiet."""

    def seen() -> tuple[str, int | None, tuple[str, ...], bool]:
        session.redriven.clear()  # not wait for the count to grow old
        picture = inspect.kafka(session)
        (letters,) = [d for d in inspect.dead_letters(picture, None) if d.target == f"kafka:{world.dlq}"]
        loud = any(a.name == world.dlq for a in inspect.attention(picture, None))
        return letters.reason, letters.done, letters.source, loud

    world.fill(10)
    assert seen() == ("10 dead letters", None, (world.name,), True)
    assert redrive.run(session, plan(session, world.dlq, limit=4)).done == 4
    assert seen() == ("6 dead letters, 4 redriven", 4, (world.name,), True)
    assert redrive.run(session, plan(session, world.dlq)).done == 6
    assert seen() == ("all 10 redriven", 10, (world.name,), False)
    world.fill(1, first=10)
    assert seen() == ("1 dead letter, 10 redriven", 10, (world.name,), True)
    remake_topic(kafka, world.dlq, 2)
    world.fill(12)
    assert seen() == ("12 dead letters", 0, (world.name,), True)


def test_topics_that_only_their_records_give_away(session: Session, kafka: str, unique: Unique) -> None:
    """Whatever a dead-letter topic is called, and by whichever framework: its newest record's headers tell."""
    origin, parked, mirrored, plain = unique("shop"), unique("parked"), unique("back"), unique("shop")
    for name in (origin, parked, mirrored, plain):
        make_topic(kafka, name, 2)
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": unique("tx")})
    producer.init_transactions(30)
    producer.begin_transaction()  # its marker is the last offset: no record stands there
    producer.produce(parked, b"1", partition=1, headers=[("__connect.errors.topic", origin.encode())])
    producer.produce(mirrored, b"2", partition=0, headers=spring(mirrored, 0, 1))  # redriven into its own topic
    producer.produce(plain, b"3", partition=0, headers=[("trace", b"x")])
    producer.commit_transaction(30)

    def listed() -> dict[str, tuple[str, ...]]:
        picture = inspect.kafka(session)
        return {d.target: d.source for d in inspect.dead_letters(picture, None)}

    assert f"kafka:{parked}" not in listed()
    dead_topics.recognised(session, inspect.kafka(session), timeout=20)
    found = session.dead_topics
    assert found[parked] == origin and not {origin, mirrored, plain} & found.keys()
    assert f"kafka:{parked}" in listed(), "a later look knows it without reading"
    shown = logq("-b", kafka, "dlq", "list", "-o", "json").json["dlqs"]
    assert [d["kind"] for d in shown if d["target"] == f"kafka:{parked}"] == ["topic"]
    assert plan(session, parked).total == 1


def test_selections(session: Session, world: World, kafka: str, unique: Unique) -> None:
    world.fill(20)
    assert plan(session, world.dlq, where="value >= 15").total == 5
    assert plan(session, world.dlq, where="headers['kafka_dlt-original-partition'] == 2").total == 6
    view = inspect.dead_letter(session, f"kafka:{world.dlq}")
    cluster = next(c for c in view.letters.clusters if "bad total" in c.label)
    chosen = plan(session, world.dlq, clusters=[cluster.id])
    assert (chosen.total, chosen.unselected) == (10, 10)
    by_id = plan(session, world.dlq, ids=["0/3", f"{world.dlq}/1/4"])
    assert by_id.total == 2
    assert redrive.run(session, by_id).done == 2
    assert world.values() == Counter([6, 9])
    limited = redrive.run(session, plan(session, world.dlq, limit=4))
    assert (limited.state, limited.done) == ("done", 4)
    make_topic(kafka, other := unique("other"), 4)
    elsewhere = redrive.run(session, plan(session, world.dlq, to=f"kafka:{other}", rate=100))
    assert (elsewhere.state, elsewhere.done) == ("done", 14)
    assert world.values() + world.values(other) == Counter(range(20))


def test_a_canary_pauses_and_a_resume_sends_the_rest(session: Session, world: World) -> None:
    world.fill(30)
    outcome = redrive.run(session, plan(session, world.dlq, canary=5))
    assert (outcome.state, outcome.done, outcome.left) == ("paused", 5, 25)
    assert f"logq job resume {outcome.job}" in " ".join(outcome.lines)
    assert world.values().total() == 5
    resumed = jobs.resume(session, outcome.job)
    assert (resumed.state, resumed.done) == ("done", 30)
    assert world.values() == Counter(range(30))


def test_a_canary_that_was_stopped_is_completed_before_the_rest(session: Session, world: World) -> None:
    world.fill(30)

    def asked(progress: Progress) -> None:
        session.journal.request_cancel(progress.job, pause=True)

    # Paused by its operator, not by its canary; then interrupted in between.
    outcome = redrive.run(session, plan(session, world.dlq, canary=14, rate=8), on_progress=asked)
    assert (outcome.state, outcome.done) == ("paused", 4)
    stop = threading.Event()
    outcome = jobs.resume(session, outcome.job, stop, lambda progress: stop.set())
    assert (outcome.state, outcome.done) == ("cancelled", 8)
    outcome = jobs.resume(session, outcome.job)
    assert (outcome.state, outcome.done, outcome.left) == ("paused", 14, 16), outcome
    # What goes on after its canary does not pause for it again.
    stop.clear()
    outcome = jobs.resume(session, outcome.job, stop, lambda progress: stop.set())
    assert (outcome.state, outcome.done) == ("cancelled", 18)
    assert jobs.resume(session, outcome.job).state == "done"
    assert world.values() == Counter(range(30))


def test_what_has_no_origin_stays_with_its_reason(session: Session, world: World, kafka: str) -> None:
    world.fill(4)
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(world.dlq, b"100", partition=0)
    producer.produce(world.dlq, b"101", partition=0, headers=spring("no-such-topic", 0, 1))
    assert producer.flush(30) == 0
    made = plan(session, world.dlq)
    assert made.total == 4
    assert dict(made.left) == {"no header says where it comes from": 1, "topic no-such-topic does not exist": 1}
    outcome = redrive.run(session, made)
    assert (outcome.state, outcome.done) == ("done", 4)
    left = list(session.journal.entries(outcome.job, ["LEFT"]))
    assert {e.key for e in left} == {f"{world.dlq}/0/2", f"{world.dlq}/0/3"} and all(e.note for e in left)
    # Nothing was made by asking for a topic that is not there, and --to decides.
    with pytest.raises(NotFound):
        session.require_kafka().topic("no-such-topic")
    rest = redrive.run(session, plan(session, world.dlq, to=world.name))
    assert rest.done == 2 and world.values() == Counter([0, 1, 2, 3, 100, 101])


def test_what_is_refused(session: Session, world: World, tmp_path: Path) -> None:
    world.fill(2)
    made = plan(session, world.dlq)
    closed = Session(structs.replace(session.settings, read_only=True))
    with pytest.raises(Refused, match="read-only"):
        redrive.run(closed, made)
    closed.close()
    assert world.values().total() == 0
    for keywords, kind, says in [
        ({"to": world.dlq}, UsageError, "is the source"),
        ({"to": "sqs:x"}, UsageError, "redriven to a topic"),
        ({"to": "nowhere-at-all"}, NotFound, "does not exist"),
        ({"where": "body.x == 1"}, UsageError, "a record has"),
        ({"ids": ["x"]}, UsageError, "PARTITION/OFFSET"),
        ({"rate": -1}, UsageError, "--rate"),
        ({"limit": 0}, UsageError, "--limit"),
        ({"canary": 0}, UsageError, "--canary"),
        ({"engine": "native"}, UsageError, "for queues"),
    ]:
        with pytest.raises(kind, match=says):
            redrive.plan(session, f"kafka:{world.dlq}", **keywords)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        redrive.plan(session, "kafka:nowhere-at-all.DLT")


def test_a_cancel_stops_between_batches_and_is_resumable(session: Session, world: World) -> None:
    world.fill(40)
    cancel = threading.Event()
    outcome = redrive.run(session, plan(session, world.dlq, rate=20), cancel, lambda progress: cancel.set())
    assert outcome.state == "cancelled" and 0 < outcome.done < 40
    assert outcome.done + (outcome.left or 0) == 40
    assert jobs.resume(session, outcome.job).state == "done"
    assert world.values() == Counter(range(40))


def test_what_is_too_large_for_its_topic_is_kept_and_named(session: Session, kafka: str, unique: Unique) -> None:
    name = unique("small")
    make_topic(kafka, name, 1, **{"max.message.bytes": "2000"})
    make_topic(kafka, f"{name}.DLT", 1)
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(f"{name}.DLT", b"x" * 5_000, headers=spring(name, 0, 1))
    assert producer.flush(30) == 0
    outcome = redrive.run(session, plan(session, f"{name}.DLT"))
    assert (outcome.state, outcome.done, outcome.failed) == ("failed", 0, 1)
    assert outcome.problems[0].where == f"{name}.DLT/0/0"


def test_a_record_that_its_topic_refuses_does_not_take_its_batch_along(
    session: Session, kafka: str, unique: Unique
) -> None:
    """A broker answers for a whole batch: of a compacted topic, when one key is missing; or when it is too large."""
    name = unique("compact")
    make_topic(kafka, name, 2, **{"cleanup.policy": "compact", "max.message.bytes": "3000"})
    make_topic(kafka, f"{name}.DLT", 1)
    producer = Producer({"bootstrap.servers": kafka})
    for n in range(40):
        key, value = None if n in (4, 5) else b"k%d" % n, b"%d" % n + b" " * (5_000 if n == 10 else 500)
        producer.produce(f"{name}.DLT", value, key, headers=spring(name, n % 2, n))
    assert producer.flush(30) == 0
    outcome = redrive.run(session, plan(session, f"{name}.DLT"))
    assert (outcome.state, outcome.done, outcome.failed) == ("partly", 37, 3), outcome
    assert {p.where for p in outcome.problems} == {f"{name}.DLT/0/{n}" for n in (4, 5, 10)}
    assert Counter(int(m.value()) for m in arrived(kafka, name)) == Counter(set(range(40)) - {4, 5, 10})
    assert session.journal.counts(outcome.job) == {"SENT": 37, "FAILED": 3}


def test_an_intent_whose_copy_arrived_is_found_and_not_sent_again(session: Session, world: World, kafka: str) -> None:
    """The run ended after the broker had the records and before the journal knew; others had not left."""
    world.fill(10)
    outcome = redrive.run(session, plan(session, world.dlq, canary=4))
    sent = {e.key: e for e in session.journal.entries(outcome.job, ["SENT"])}
    lost = list(sent.values())
    never = f"{world.dlq}/1/4"  # record 9: noted, never produced
    data = json.dumps({"timestamp": 0, "to": world.name, "partition": 0}).encode()
    session.journal.put(outcome.job, [*(Entry(e.key, "INTENT") for e in lost), Entry(never, "INTENT", data=data)])
    # Nobody else takes what is in doubt.
    assert plan(session, world.dlq).doubtful >= 4
    resumed = jobs.resume(session, outcome.job)
    assert (resumed.state, resumed.done) == ("done", 10), resumed
    assert {e.key for e in session.journal.entries(outcome.job) if e.ambiguous} == {never}
    assert any("may be at the destination twice" in line and never in line for line in resumed.lines)
    assert world.values() == Counter(range(10))


CHILD = """
import sys, time
from pathlib import Path
from console.config import KafkaSettings, Settings
from console.ops import jobs, redrive
from console.ops.session import Session

bootstrap, state, dlq, job, far = sys.argv[1:6]
session = Session(Settings(kafka=KafkaSettings(bootstrap), state_dir=Path(state), timeout=30))


def show(p):
    print(p.job, p.done, flush=True)
    if p.done >= int(far):  # whoever is to kill this is late: it must not be over before
        time.sleep(120)


if job:
    jobs.resume(session, job, on_progress=show)
else:
    redrive.run(session, redrive.plan(session, "kafka:" + dlq), on_progress=show)
"""


def test_killed_and_resumed_nothing_is_lost_and_only_what_is_named_is_doubled(
    session: Session, world: World, kafka: str, tmp_path: Path
) -> None:
    count = 20_000
    world.fill(count)
    job = ""
    for kill_after in (1, 4_000, 9_000):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, kafka, str(tmp_path), world.dlq, job, str(kill_after + 3_000)],
            stdout=subprocess.PIPE,
            text=True,
        )
        guard = threading.Timer(120, child.kill)
        guard.start()
        assert child.stdout is not None
        for line in child.stdout:
            job, done = line.split()[0], int(line.split()[1])
            if done >= kill_after:
                break
        child.send_signal(signal.SIGKILL)
        child.wait(30)
        child.stdout.close()
        guard.cancel()
        assert job and session.journal.job(job).state == "interrupted"
    assert plan(session, world.dlq).total < count
    resumed = jobs.resume(session, job)
    assert (resumed.state, resumed.done) == ("done", count), resumed
    times = world.values()
    assert set(times) == set(range(count)), "lost or invented"
    named = {e.key for e in session.journal.entries(job, data=False) if e.ambiguous}
    doubled = {f"{world.dlq}/{n % 2}/{n // 2}" for n, many in times.items() if many > 1}
    assert doubled <= named
    assert plan(session, world.dlq).total == 0


def test_the_program_plans_then_redrives(kafka: str, world: World, tmp_path: Path) -> None:
    world.fill(6)
    env = {"LOGQ_STATE_DIR": str(tmp_path)}
    planned = logq("-b", kafka, "dlq", "redrive", world.dlq, env=env)
    assert planned.code == 0 and "6 records of 6" in planned.out and world.name in planned.out
    assert world.values().total() == 0
    refused = logq("-b", kafka, "--read-only", "dlq", "redrive", world.dlq, "--execute", "--yes", env=env)
    assert refused.code == 3
    canary = logq(
        "-b", kafka, "dlq", "redrive", world.dlq, "--canary", "2", "--execute", "--yes", "-o", "json", env=env
    )
    assert canary.code == 4 and canary.json["outcome"]["state"] == "paused"
    done = logq("-b", kafka, "job", "resume", canary.json["outcome"]["job"], "--execute", "--yes", env=env)
    assert done.code == 0, done.err
    shown = logq("-b", kafka, "dlq", "show", world.dlq, "-o", "json", env=env).json
    assert shown["dlqs"][0]["done"] == 6 and all(m["done"] for m in shown["messages"])
    idle = logq("-b", kafka, "dlq", "redrive", world.dlq, "--execute", "--yes", env=env)
    assert idle.code == 0 and "redriven already" in idle.err
    assert world.values() == Counter(range(6))
