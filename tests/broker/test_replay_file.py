"""Replay of an exported file, of picked records, with changed headers, and pausing: on a real broker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqs_world
from cli_program import logq
from confluent_kafka import Producer
from msgspec import structs
from replay_world import BASE, Record, Run, fill, make_topics, read

from console.config import KafkaSettings, Settings, SqsSettings
from console.errors import NotFound, Refused, UsageError
from console.kafka import copy_group
from console.model import Outcome, Progress
from console.ops import jobs, replay
from console.ops.replay_edit import parse_edit
from console.ops.session import Session

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

Unique = Callable[[str], str]


@pytest.fixture
def session(kafka: str, sqs_endpoint: str, tmp_path: Path) -> Iterator[Session]:
    sqs = SqsSettings(region="eu-west-1", endpoint_url=sqs_endpoint)
    opened = Session(Settings(kafka=KafkaSettings(kafka), sqs=sqs, state_dir=tmp_path, timeout=30))
    yield opened
    opened.close()


def pair(kafka: str, unique: Unique, partitions: int = 3, to: int | None = None) -> tuple[str, str]:
    source, target = unique("src"), unique("dst")
    make_topics(kafka, {source: partitions, target: to or partitions})
    return source, target


def copied(session: Session, source: str, target: str, **how: Any) -> Outcome:
    return replay.run(session, replay.plan(session, source, f"kafka:{target}", **how))


def exported(kafka: str, topic: str, path: Path) -> str:
    """The topic as the program exports it."""
    done = logq("-b", kafka, "topic", "browse", topic, "--from", "earliest", "-o", "jsonl")
    assert done.code == 0, done.err
    path.write_text(done.out, encoding="utf-8")
    return str(path)


def held(records: dict[int, list[Record]]) -> dict[int, list[tuple[Any, ...]]]:
    return {p: [r.own for r in found] for p, found in records.items()}


# ---------------------------------------------------------------- a file


def test_an_export_comes_back_byte_for_byte(kafka: str, session: Session, unique: Unique, tmp_path: Path) -> None:
    """Tombstones, bytes that are no text, headers that repeat, hostile text, times: all of it, where it was."""
    source, target = pair(kafka, unique, 2)
    producer = Producer({"bootstrap.servers": kafka})
    odd: list[tuple[bytes | None, bytes | None]] = [
        (b"k", b"text"), (None, None), (b"\xff\x00", bytes(range(256))), (b"", b""), (b"k", None),
        ("ключ".encode(), "\u202ev\u2028\n\x1b[31m".encode()),
    ]  # fmt: skip
    headers = [("a", b"1"), ("a", b"2"), ("none", None), ("é", b"\xff\xfe")]
    for n, (key, value) in enumerate(odd * 5):
        producer.produce(source, value, key, partition=n % 2, headers=headers, timestamp=BASE + n)
    assert producer.flush(30) == 0
    path = exported(kafka, source, tmp_path / "orders.jsonl")
    planned = replay.plan(session, path, f"kafka:{target}")
    facts = dict(replay.view(planned).facts)
    assert "30 messages of the file" in facts["what"]
    assert "own partition" in facts["partitions"]
    outcome = replay.run(session, planned)
    assert (outcome.state, outcome.done, outcome.left) == ("done", 30, 0), outcome
    assert any("10 tombstones" in line for line in outcome.lines)
    before, after = read(kafka, source, 2), read(kafka, target, 2)
    assert held(before) == held(after)
    assert sorted(r.origin for r in after[1]) == sorted(f"{source}/1/{r.offset}" for r in before[1])
    assert "exactly once" in jobs.receipt(session, outcome.job)


def test_a_fifo_queues_messages_come_back_in_their_groups(
    sqs_endpoint: str, kafka: str, session: Session, unique: Unique, tmp_path: Path
) -> None:
    """What was peeked at goes into the groups it was in; lines by hand into their own, or by key or partition."""
    path = tmp_path / "peeked.jsonl"
    by_hand: list[dict[str, Any]] = [
        {"value": "h0", "group_id": "g1", "key": "k"},
        {"value": "h1", "key": "k"},
        {"value": "h2", "partition": 3},
        {"value": "h3"},
    ]
    with sqs_world.world(sqs_endpoint, unique("groups"), fifo=True) as world:
        for n in range(6):
            world.client.send_message(
                QueueUrl=world.url, MessageBody=f"m{n}", MessageGroupId=f"g{n % 3}", MessageDeduplicationId=f"d{n}"
            )
        where = ("-b", kafka, "--endpoint-url", sqs_endpoint, "--region", "eu-west-1")
        peeked = logq(*where, "queue", "peek", world.name, "-o", "jsonl")
        assert peeked.code == 0, peeked.err
        seen = [json.loads(line) for line in peeked.out.splitlines()]
        path.write_text(peeked.out + "".join(json.dumps(line) + "\n" for line in by_hand), encoding="utf-8")
        outcome = replay.run(session, replay.plan(session, str(path), f"sqs:{world.dlq}"))
        assert (outcome.state, outcome.done) == ("done", len(seen) + 4), outcome.lines
        got = {m["Body"]: m["Attributes"]["MessageGroupId"] for m in world.drain(world.dlq_url)}
    assert {g for g in got.values() if g.startswith("g")} == {"g0", "g1", "g2"}
    assert got == {
        **{line["value"]: f"g{int(line['value'][1]) % 3}" for line in seen},
        "h0": "g1", "h1": "k", "h2": "partition-3", "h3": "file",
    }  # fmt: skip


def test_times_in_json_are_rfc_3339_wherever_a_plan_is_printed(kafka: str, unique: Unique, tmp_path: Path) -> None:
    """The plan, the job and the receipt; what the journal keeps is read again by a resume."""
    source, target = pair(kafka, unique, 1)
    fill(kafka, source, 3, 1)
    env = {"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    name = unique("times")
    words = ("-b", kafka, "replay", f"kafka:{source}", "--to", f"kafka:{target}", "--job", name, "-o")
    answers = [json.loads(logq(*words, "json", env=env).out)["plan"]]
    answers.append(json.loads(logq(*words, "jsonl", env=env).out))
    answers.append(json.loads(logq(*words, "json", "--execute", "--yes", env=env).out)["plan"])
    answers.append(json.loads(logq("job", "show", name, "-o", "json", env=env).out)["plan"])
    receipt = logq("job", "receipt", name, "--format", "jsonl", env=env).out
    answers.append(json.loads(receipt.splitlines()[0])["plan"])
    for plan in answers:
        assert plan["ranges"][0]["first_time"] == "2023-11-14T22:13:20.000Z"
        assert plan["ranges"][0]["last_time"] == "2023-11-14T22:13:20.002Z"
        assert plan["at"].startswith("20") and plan["at"].endswith("Z")


def test_a_time_that_no_copy_can_have_is_told_in_the_plan(
    kafka: str, session: Session, unique: Unique, tmp_path: Path
) -> None:
    """The time 0 is "now" for Kafka's client: the copy gets another one, and the plan says so."""
    _, target = pair(kafka, unique, 1)
    path = tmp_path / "times.jsonl"
    times = ["1970-01-01T00:00:00Z", None, "1970-01-01T00:00:00.001Z", "2026-11-23T14:22:07.123Z"]
    path.write_text("".join(json.dumps({"value": "x", "timestamp": at}) + "\n" for at in times), encoding="utf-8")
    planned = replay.plan(session, str(path), f"kafka:{target}")
    assert planned.ranges[0].first_time == 0.0
    (said,) = [w for w in replay.view(planned).warnings if "1970" in w]
    assert "2 messages without a time, or with 1970-01-01T00:00:00Z: their copies get that of the copying" in said
    begun = time.time()
    assert replay.run(session, planned).state == "done"
    got = [r.timestamp for r in read(kafka, target, 1)[0]]
    assert min(got[:2]) > (begun - 60) * 1000
    assert got[2:] == [1, 1_795_443_727_123]


def test_a_file_is_copied_exactly_once_over_stops(
    kafka: str, session: Session, unique: Unique, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled twice on the way and resumed: the position moves with the copies. A changed file is refused."""
    monkeypatch.setattr(copy_group, "BATCH", 100)
    source, target = pair(kafka, unique, 2, 3)
    fill(kafka, source, 1_000, 2)
    path = exported(kafka, source, tmp_path / "orders.jsonl")
    planned = replay.plan(session, f"file:{path}", f"kafka:{target}", where="int(value) >= 100", job=unique("file"))
    assert "by key" in dict(replay.view(planned).facts)["partitions"]
    stop = threading.Event()

    def after_some(progress: Progress) -> None:
        if progress.done >= 200:
            stop.set()

    first = replay.run(session, planned, stop, after_some)
    assert (first.state, first.done < 900) == ("cancelled", True)
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole.replace(b'"500"', b'"501"', 1))
    changed = jobs.resume(session, first.job)
    assert changed.state == "partly"
    assert "has changed since" in changed.lines[0]
    Path(path).write_bytes(whole)
    done = jobs.resume(session, first.job)
    assert (done.state, done.done, done.left) == ("done", 900, 0)
    values = sorted(int(r.value or b"") for found in read(kafka, target, 3).values() for r in found)
    assert values == list(range(100, 1_000))
    with pytest.raises(UsageError, match="is done"):
        replay.run(session, replace(planned, joins=True))


def test_a_file_is_copied_exactly_once_over_kill_9(kafka: str, unique: Unique, tmp_path: Path) -> None:
    source, target, job = *pair(kafka, unique, 2), unique("kill")
    fill(kafka, source, 6_000, 2)
    path = exported(kafka, source, tmp_path / "orders.jsonl")
    first = Run(kafka, tmp_path, path, f"kafka:{target}", name=job, batch=200, rate=2_000)
    first.kill_after(600, 0.13)
    second = Run(kafka, tmp_path, resumes=job, batch=200)
    second.kill_after(1_000, 0.05)
    third = Run(kafka, tmp_path, resumes=job, batch=500)
    assert third.finish() == ["done", "6000", "0"]
    assert held(read(kafka, source, 2)) == held(read(kafka, target, 2))


def test_a_file_becomes_messages_of_a_queue(
    sqs_endpoint: str, kafka: str, session: Session, unique: Unique, tmp_path: Path
) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(
        '{"value": "one", "key": "k1", "headers": [{"name": "type", "value": "order"}]}\n\n'
        '{"value": null, "id": "orders/0/4"}\n{"value": {"base64": "/w=="}}\n{"value": "two", "id": "orders/0/6"}\n'
    )
    with sqs_world.world(sqs_endpoint, unique("replay")) as world:
        outcome = replay.run(session, replay.plan(session, str(path), f"sqs:{world.name}"))
        assert (outcome.state, outcome.done, outcome.failed, outcome.left) == ("partly", 2, 2, 0)
        got = {m["Body"]: {n: v["StringValue"] for n, v in m["MessageAttributes"].items()} for m in world.drain()}
    assert got["one"] == {
        "logq-replay": outcome.job, "logq-origin": "mine.jsonl/1", "logq-key": "k1", "type": "order",
    }  # fmt: skip
    assert got["two"]["logq-origin"] == "orders/0/6"
    assert {e.key for e in session.journal.entries(outcome.job, ["FAILED"])} == {"0/2", "0/3"}


def test_a_file_that_is_none(kafka: str, session: Session, unique: Unique, tmp_path: Path) -> None:
    _, target = pair(kafka, unique, 1)
    path = tmp_path / "x.jsonl"
    for content, said in (
        ("", "holds no message"),
        ('{"value": "a"}\nnot json\n', "line 2 is no message"),
        ('{"key": "a"}\n', "has no value"),
        ('{"value": {"base64": "***"}}\n', "damaged"),
        ('{"value": "a", "timestamp": "yesterday"}\n', "is not a time"),
    ):
        path.write_text(content)
        with pytest.raises(UsageError, match=said):
            replay.plan(session, str(path), f"kafka:{target}")
    path.write_text('{"value": "a"}\n')
    with pytest.raises(UsageError, match="replayed whole"):
        replay.plan(session, str(path), f"kafka:{target}", begin="5")
    with pytest.raises(NotFound, match="there is no file"):
        replay.plan(session, str(tmp_path / "none.jsonl"), f"kafka:{target}")
    assert replay.plan(session, str(path), f"kafka:{target}").offsets == 1


# ---------------------------------------------------------------- picked, edited, paused


def test_picked_records_with_changed_headers(kafka: str, session: Session, unique: Unique) -> None:
    source, target = pair(kafka, unique, 2)
    fill(kafka, source, 200, 2)
    edit = parse_edit(["ra*"], ["env=test"], ["twice=string(int(value) * 2)", "n=headers.n"], "offset < 50")
    planned = replay.plan(
        session, source, f"kafka:{target}", records=["0/10", f"{source}/0/70", "1/3", "0/10"], edit=edit
    )
    assert "3 records picked by hand" in dict(replay.view(planned).facts)["what"]
    assert "env = 'test'" in dict(replay.view(planned).facts)["headers"]
    assert "--record 0/10 --record 0/70 --record 1/3 --drop-header 'ra*' --set-header env=test" in planned.command
    outcome = replay.run(session, planned)
    assert (outcome.state, outcome.done, outcome.left) == ("done", 3, 0)
    assert "headers changed in 2 records by this run" in outcome.lines
    after = read(kafka, target, 2)
    own = {
        r.value: [(n, v) for n, v in r.headers if not n.startswith("logq-")] for found in after.values() for r in found
    }
    assert own == {
        b"20": [("env", b"test"), ("twice", b"40"), ("n", b"20")],
        b"140": [("n", b"140"), ("raw", b"\xff\x00")],
        b"7": [("env", b"test"), ("twice", b"14"), ("n", b"7")],
    }
    with pytest.raises(NotFound, match="does not hold offset 100"):
        replay.plan(session, source, f"kafka:{target}", records=["0/100"])
    with pytest.raises(UsageError, match="leave out --from"):
        replay.plan(session, source, f"kafka:{target}", records=["0/1"], begin="earliest")
    with pytest.raises(UsageError, match="is no record"):
        replay.plan(session, source, f"kafka:{target}", records=["other/0/1"])


def test_picked_records_with_changed_headers_become_messages(
    sqs_endpoint: str, kafka: str, session: Session, unique: Unique
) -> None:
    """A header that cannot be computed makes that one record no message; the others go."""
    make_topics(kafka, {(source := unique("src")): 1})
    producer = Producer({"bootstrap.servers": kafka})
    for n in range(20):
        producer.produce(source, b"%d" % n if n != 7 else b"seven", b"k", headers=[("old", b"x")])
    assert producer.flush(30) == 0
    edit = parse_edit(["old"], ["env=test"], ["twice=string(int(value) * 2)"])
    with sqs_world.world(sqs_endpoint, unique("replay")) as world:
        planned = replay.plan(session, source, f"sqs:{world.name}", records=["0/3", "0/7", "0/11"], edit=edit)
        outcome = replay.run(session, planned)
        assert (outcome.state, outcome.done, outcome.failed, outcome.left) == ("partly", 2, 1, 0)
        got = {m["Body"]: {n: v["StringValue"] for n, v in m["MessageAttributes"].items()} for m in world.drain()}
    assert {body: (found["env"], found["twice"], "old" in found) for body, found in got.items()} == {
        "3": ("test", "6", False), "11": ("test", "22", False),
    }  # fmt: skip
    named = {e.key: e.note for e in session.journal.entries(outcome.job, ["FAILED"])}
    assert "its header twice cannot be computed" in named["0/7"]
    again = jobs.resume(session, outcome.job)
    assert (again.done, again.failed) == (2, 1), "nothing is sent again"


def test_a_header_that_cannot_be_computed_stops_it_and_names_the_record(
    kafka: str, session: Session, unique: Unique
) -> None:
    source, target = pair(kafka, unique, 1)
    fill(kafka, source, 20, 1)
    outcome = copied(session, source, target, edit=parse_edit(computed=["tenant=value.tenant"]))
    assert outcome.state == "failed"
    assert any(f"{source} partition 0 offset 0 cannot be copied: its header tenant" in line for line in outcome.lines)
    assert read(kafka, target, 1)[0] == []


def test_paused_resumed_and_the_edit_kept(
    kafka: str, session: Session, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_group, "BATCH", 100)
    source, target = pair(kafka, unique, 2)
    fill(kafka, source, 600, 2)
    planned = replay.plan(session, source, f"kafka:{target}", rate=400, edit=parse_edit(texts=["env=test"]))
    asked: list[str] = []

    def ask(progress: Progress) -> None:
        if not asked and progress.done:
            asked.append(progress.job)
            threading.Thread(target=jobs.pause, args=(session, progress.job), daemon=True).start()

    outcome = replay.run(session, planned, threading.Event(), ask)
    assert (outcome.state, 0 < outcome.done < 600) == ("paused", True)
    assert session.journal.job(outcome.job).state == "paused"
    done = jobs.resume(session, outcome.job)
    assert (done.state, done.done) == ("done", 600)
    after = read(kafka, target, 2)
    assert sum(map(len, after.values())) == 600
    assert all(("env", b"test") in r.headers for found in after.values() for r in found)
    with pytest.raises(UsageError, match="nothing to pause"):
        jobs.pause(session, outcome.job)


def test_the_program_replays_a_file_once(kafka: str, unique: Unique, tmp_path: Path) -> None:
    source, target = pair(kafka, unique, 2)
    fill(kafka, source, 50, 2)
    path = exported(kafka, source, tmp_path / "o.jsonl")
    env = {"LOGQ_STATE_DIR": str(tmp_path)}
    call = ["-b", kafka, "replay", path, "--to", target, "--set-header", "env=x", "--job", unique("j")]
    shown = logq(*call, env=env)
    assert shown.code == 0, shown.err
    assert "file" in shown.out and "headers" in shown.out
    done = logq(*call, "--execute", "--yes", "-o", "json", env=env)
    assert done.code == 0, done.err
    assert done.json["outcome"]["done"] == 50
    again = logq(*call, "--execute", "--yes", env=env)
    assert again.code == 2 and "is done" in again.err
    assert sum(map(len, read(kafka, target, 2).values())) == 50
    wrong = logq("-b", kafka, "replay", path, "--to", target, "--set-header", "logq-origin=x", env=env)
    assert wrong.code == 2 and "set by every replay" in wrong.err


def test_read_only_refuses(kafka: str, session: Session, unique: Unique, tmp_path: Path) -> None:
    _, target = pair(kafka, unique, 1)
    (tmp_path / "x.jsonl").write_text('{"value": "a"}\n')
    planned = replay.plan(session, str(tmp_path / "x.jsonl"), f"kafka:{target}")
    closed = Session(structs.replace(session.settings, read_only=True))
    with pytest.raises(Refused):
        replay.run(closed, planned)
    closed.close()
