"""What a reset survives on a real Kafka: a consumer nobody sees, members that will not leave, kill -9 at any line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_program import environment, logq
from confluent_kafka import Consumer, TopicPartition
from kafka_client import commit, committed, join, make_topic, produce

if TYPE_CHECKING:
    from console.brokers import Brokers

pytestmark = pytest.mark.broker

AT = 1_760_000_000.0


@pytest.fixture
def stopped(kafka: str, unique: Callable[[str], str]) -> tuple[str, str]:
    """A stopped group and its topic: 3 partitions of 300 records; commits at 200, 100 and none."""
    topic, group = unique("orders"), unique("billing")
    make_topic(kafka, topic, **{"retention.ms": "-1"})
    for partition in range(3):
        produce(kafka, topic, partition, 300, at=AT)
    commit(kafka, group, {(topic, 0): 200, (topic, 1): 100})
    return group, topic


class Assigned:
    """A consumer that assigns its partition itself: it is no member, and commits what it has read when told."""

    def __init__(self, bootstrap: str, group: str, topic: str) -> None:
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
        self.consumer.assign([TopicPartition(topic, 0, 201)])
        self.where = (topic, 0)

    def read_on(self, count: int) -> None:
        got = 0
        while got < count:
            got += len(self.consumer.consume(count - got, 1.0))
        at = self.consumer.position([TopicPartition(*self.where)])[0].offset
        self.consumer.commit(offsets=[TopicPartition(*self.where, at)], asynchronous=False)


def test_a_consumer_that_is_no_member_overwrites_and_that_is_shouted(kafka: str, stopped: tuple[str, str]) -> None:
    group, topic = stopped
    hidden = Assigned(kafka, group, topic)
    try:
        overwriting = threading.Timer(4.0, hidden.read_on, [10])
        overwriting.start()
        done = logq("-b", kafka, "group", "reset", group, "--to-offset", "5", "--wait-empty", "--execute", "--yes")
        overwriting.join()
    finally:
        hidden.consumer.close()
    assert done.seconds > 10, "it looks again ten seconds later unless told otherwise"
    assert done.code == 4, done.out + done.err
    after_state = done.out.splitlines()[done.out.splitlines().index("partly: 2 done, 1 failed") + 1]
    first = after_state.partition(": ")[2] if after_state.startswith("OVERWRITTEN: ") else ""
    assert first.startswith("1 partition of 3 did not stay"), done.out
    assert f"{topic} partition 0 was set to 5" in first and "it reads 211" in first
    assert "assign()" in done.out and "OVERWRITTEN" in done.err
    assert committed(kafka, group, topic, 3) == {0: 211, 1: 5, 2: 5}
    job = next(line for line in done.out.splitlines() if line.startswith("job: ")).removeprefix("job: ")
    shown = logq("job", "show", job, "-o", "json").json
    assert (shown["jobs"][0]["state"], shown["entries"]) == ("partly", {"done": 2, "overwritten": 1})
    assert "somebody else's commit came after it" in logq("job", "receipt", job).out


def test_what_stays_is_said_to_stay(kafka: str, stopped: tuple[str, str]) -> None:
    group, _ = stopped
    done = logq("-b", kafka, "group", "reset", group, "--to-offset", "5", "--execute", "--yes", "--reread", "1s")
    assert done.code == 0
    assert "read again 1 s later: nothing has overwritten it" in done.out


def test_members_that_came_back_and_read_on_are_no_alarm(kafka: str, stopped: tuple[str, str]) -> None:
    group, topic = stopped
    consumers: list[Consumer] = []

    def start() -> None:
        consumers.append(join(kafka, group, topic))
        consumers[0].consume(20, 10)
        consumers[0].commit(asynchronous=False)

    starting = threading.Timer(1.5, start)
    starting.start()
    try:
        done = logq("-b", kafka, "group", "reset", group, "--to-offset", "5", "--execute", "--yes", "--reread", "7s")
        starting.join()
    finally:
        for consumer in consumers:
            consumer.close()
    assert done.code == 0, done.out + done.err
    assert "1 member came back and read on from there" in done.out, done.out


def test_the_armed_plan_names_who_it_waits_for_and_an_undo_can_wait_as_well(
    kafka: str, stopped: tuple[str, str]
) -> None:
    group, topic = stopped
    reset = ("-b", kafka, "group", "reset", group, "--to-earliest", "--execute", "--yes", "--reread", "0")
    job = logq(*reset, "-o", "json").json["outcome"]["job"]
    consumer = join(kafka, group, topic)
    leaving = threading.Timer(2.0, consumer.close)
    try:
        plan = logq("-b", kafka, "job", "undo", job, "--wait-empty", "-o", "json").json["plan"]
        assert plan["armed"] and plan["live"]
        assert f"job undo {job} --wait-empty --execute" in plan["command"]
        armed = next(w for w in plan["warnings"] if w.startswith("armed: "))
        assert "worker-7 on 127.0.0.1" in armed and "nothing is changed before" in armed
        leaving.start()
        undone = logq("-b", kafka, "job", "undo", job, "--wait-empty", "--execute", "--yes", "--reread", "0")
    finally:
        leaving.join()
    assert undone.code == 0, undone.err
    assert committed(kafka, group, topic, 3) == {0: 200, 1: 100, 2: 0}


def test_an_unknown_group_is_made_only_when_that_is_asked_for(
    kafka: str, stopped: tuple[str, str], unique: Callable[[str], str]
) -> None:
    _, topic = stopped
    group = unique("new")
    how = ("-b", kafka, "group", "reset", group, "--to-offset", "7", "--topic", topic, "--execute", "--yes")
    refused = logq(*how)
    assert refused.code == 2 and "--create" in refused.line
    assert group not in logq("-b", kafka, "group", "list").out
    made = logq(*how, "--create", "--reread", "0")
    assert made.code == 0, made.err
    assert committed(kafka, group, topic, 3) == {0: 7, 1: 7, 2: 7}


def test_an_undo_works_with_apaches_own_tool(brokers: Brokers, stopped: tuple[str, str]) -> None:
    """The file that the outcome names, and what `job undo --export` prints, are `--from-file` of Apache's tool."""
    group, topic = stopped
    where = ("-b", brokers.bootstrap)
    done = logq(
        *where, "group", "reset", group, "--to-latest", "--execute", "--yes", "--reread", "0", "-o", "json"
    ).json["outcome"]
    line = next(line for line in done["lines"] if line.startswith("without logq: "))
    words = line.split()
    assert words[2:4] == ["kafka-consumer-groups.sh", "--bootstrap-server"]
    file = Path(words[words.index("--from-file") + 1])
    exported = logq("job", "undo", done["job"], "--export")
    assert exported.code == 0 and exported.out == file.read_text() == f"{topic},0,200\n{topic},1,100\n"
    tool = brokers.kafka.run_tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", *words[3:], timeout=120)
    assert tool.returncode == 0, tool.stdout + tool.stderr
    assert "200" in tool.stdout
    # The partition that had no commit stays: neither way of undoing can take a commit away.
    assert committed(brokers.bootstrap, group, topic, 3) == {0: 200, 1: 100, 2: 300}
    idle = logq(*where, "job", "undo", done["job"], "--execute", "--yes")
    assert idle.code == 0 and "nothing to do" in idle.err


KILLER = """
import json, os, random, signal, sys, threading
from pathlib import Path

import msgspec, sqlite3
from console.config import KafkaSettings, Settings
from console.kafka import closely, offsets, times
from console.ops import jobs, reset
from console.ops.session import Session

bootstrap, state, group, topic, points, seed = sys.argv[1:7]
reset.BATCH = 1  # a commit for each partition: more places to die at
OLD = {(topic, 0): 200, (topic, 1): 100, (topic, 2): 50}
NEW = dict.fromkeys(OLD, 7)
TRACED = (os.sep + "reset", os.sep + "journal" + os.sep)


def session():
    return Session(Settings(kafka=KafkaSettings(bootstrap), state_dir=Path(state), timeout=30))


def at(opened):
    return opened.require_kafka().committed(group, list(OLD))


def reset_it(die_at):
    '''Run a reset and die at that line of it; how many lines there were when it did not come to it.'''
    opened = session()
    plan = reset.plan(opened, group, reset.Strategy("offset", number=7))
    lines = 0

    def trace(frame, event, arg):
        nonlocal lines
        name = frame.f_code.co_filename
        if not any(part in name for part in TRACED) or "console" not in name:
            return None
        if event == "line":
            lines += 1
            if lines == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    opened.journal  # opened before: making the tables is the journal's own test
    threading.settrace(trace)
    sys.settrace(trace)
    outcome = reset.run(opened, plan, threading.Event(), reread=0.2)
    sys.settrace(None)
    threading.settrace(None)
    assert outcome.state == "done", outcome
    opened.close()
    return lines


def forked(die_at):
    '''The same in a process of its own: its exit code, or minus the signal that ended it, and its line count.'''
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(write, b"%d" % reset_it(die_at))
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int(said or 0)


def start_again():
    opened = session()
    answers = opened.require_kafka().commit_offsets(group, OLD)
    assert not any(answers.values()), answers
    known = {job.id for job in opened.journal.jobs()}
    opened.close()
    return known


def after(number, known):
    '''What a person finds and does next: resume or undo, in turns.'''
    opened = session()
    found = [job for job in opened.journal.jobs() if job.id not in known]
    seen = at(opened)
    told = {"commits": sorted(seen.values()), "jobs": [job.state for job in found]}
    if found:
        (job,) = found
        assert (Path(state) / "undo" / f"{job.id}.csv").exists() or seen == OLD, "commits and no file of the old ones"
        if job.state != "done" and number % 2:
            told["then"] = jobs.resume(opened, job.id).state
            told["wanted"] = at(opened) == NEW and opened.journal.job(job.id).state == "done"
        else:
            undone = reset.undo(opened, job.id, threading.Event())
            told["then"] = undone.state
            told["wanted"] = at(opened) == OLD
    else:
        told["wanted"] = seen == OLD
    opened.close()
    return told


reset.REREAD_S = 0
reset.run.__defaults__ = (None, 0)  # what comes after the kill need not look twice
reset.resume.__defaults__ = (None, 0)
start_again()
code, total = forked(0)
assert code == 0 and total > 100, (code, total)
random.seed(seed)
# Evenly over the whole of it, at a random line of each stretch, so that every run tries others.
stretch = total / int(points)
for number in range(int(points)):
    line = 1 + int(stretch * (number + random.random()))
    known = start_again()
    code, _ = forked(line)
    told = {"line": line, "of": total, "killed": code == -signal.SIGKILL, **after(number, known)}
    print(json.dumps(told), flush=True)
"""


def test_kill_minus_nine_at_any_line_of_a_reset(kafka: str, stopped: tuple[str, str], tmp_path: Path) -> None:
    """Lines of the reset and of the journal, on all their threads; after each kill a resume or an undo, in turns."""
    group, topic = stopped
    commit(kafka, group, {(topic, 2): 50})
    seed = os.environ.get("LOGQ_SEED", str(int(time.time())))
    ended = subprocess.run(
        [sys.executable, "-c", KILLER, kafka, str(tmp_path), group, topic, "24", seed],
        capture_output=True, text=True, env=environment(), timeout=240, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"seed {seed}: {ended.stderr}"
    rounds = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(rounds) == 24
    assert sum(r["killed"] for r in rounds) >= 20, rounds
    for r in rounds:
        assert r["wanted"], f"seed {seed}: {r}"
        # What was changed is always known to the journal.
        assert r["jobs"] or r["commits"] == [50, 100, 200], f"seed {seed}: {r}"
    assert {"interrupted"} <= {state for r in rounds for state in r["jobs"]}
    assert any(7 in r["commits"] and max(r["commits"]) != 7 for r in rounds), "none died between two commits"
