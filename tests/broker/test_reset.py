"""Offset resets from the command line on a real Kafka, checked by a consumer that is not ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from cli_program import environment, logq
from kafka_client import commit, committed, join, make_topic, produce

if TYPE_CHECKING:
    from console.brokers import Brokers

pytestmark = pytest.mark.broker

AT = 1_760_000_000.0
NOW = ("--execute", "--yes", "--reread", "0")
"""Do it, without the second look ten seconds later: that has tests of its own."""


@pytest.fixture
def stopped(kafka: str, unique: Callable[[str], str]) -> tuple[str, str]:
    """A stopped group and its topic: 3 partitions of 100 records a second apart; commits at 40, 100 and none."""
    topic, group = unique("orders"), unique("billing")
    # The records are old: the broker's retention would take them away in the middle of a test.
    make_topic(kafka, topic, **{"retention.ms": "-1"})
    for partition in range(3):
        produce(kafka, topic, partition, 100, at=AT)
    commit(kafka, group, {(topic, 0): 40, (topic, 1): 100})
    return group, topic


def entries(kafka: str, group: str, *how: str) -> dict[int, dict[str, object]]:
    """A plan's entries by partition, from `-o json`."""
    done = logq("-b", kafka, "group", "reset", group, *how, "-o", "json")
    assert done.code == 0, done.err
    return {entry["partition"]: entry for entry in done.json["plan"]["entries"]}


def test_a_dry_run_changes_nothing_and_shows_the_command(kafka: str, stopped: tuple[str, str]) -> None:
    group, topic = stopped
    done = logq("-b", kafka, "group", "reset", group, "--to-earliest")
    assert done.code == 0
    assert f"logq -b {kafka} group reset {group} --to-earliest --execute" in done.out
    assert "\x1b" not in done.out
    assert committed(kafka, group, topic, 3) == {0: 40, 1: 100, 2: None}


def test_the_plan_has_the_fields_of_the_contract(kafka: str, stopped: tuple[str, str]) -> None:
    group, topic = stopped
    done = logq("-b", kafka, "group", "reset", group, "--to-offset", "30", "-o", "json").json
    assert done["schema"] == 1
    assert done["problems"] == []
    first = done["plan"]["entries"][0]
    assert {
        "topic": topic, "partition": 0, "old": 40, "new": 30, "start": 0, "end": 100, "records": 10, "skipped": 0,
        "note": "",
    }.items() <= first.items()  # fmt: skip
    assert first["old_time"] == "2025-10-09T08:54:00.000Z"
    assert first["new_time"] == "2025-10-09T08:53:50.000Z"


def test_every_strategy_plans_what_it_says(kafka: str, stopped: tuple[str, str]) -> None:
    group, _ = stopped
    new = {
        how: [e["new"] for _, e in sorted(entries(kafka, group, *how).items())]
        for how in (
            ("--to-earliest",),
            ("--to-latest",),
            ("--to-current",),
            ("--to-offset", "7"),
            ("--shift-by", "-10"),
            ("--to-datetime", "2025-10-09T08:53:50Z"),
            ("--to-datetime", "2025-10-09T10:53:50+02:00"),
            ("--to-datetime", "2025-10-09T08:53:50"),
            ("--to-datetime", "2030-01-01"),
            ("--by-duration", "10000d"),
        )
    }
    assert list(new.values()) == [
        [0, 0, 0],
        [100, 100, 100],
        [40, 100, 100],
        [7, 7, 7],
        [30, 90, None],
        [30, 30, 30],
        [30, 30, 30],
        [30, 30, 30],
        [100, 100, 100],
        [0, 0, 0],
    ]


def test_the_plan_says_what_is_special(kafka: str, stopped: tuple[str, str]) -> None:
    group, _ = stopped
    assert entries(kafka, group, "--shift-by", "-70")[0]["note"] == "clamped: -30 is below log start 0"
    assert entries(kafka, group, "--to-offset", "5000")[1]["note"] == "clamped: 5,000 is beyond the end 100"
    assert entries(kafka, group, "--to-datetime", "2030-01-01")[0]["note"] == "no record that late: end of log"
    missing = entries(kafka, group, "--to-current")[2]
    assert (missing["old"], missing["records"], missing["skipped"]) == (None, None, 100)
    assert "no commit" in str(missing["note"])
    said = logq("-b", kafka, "group", "reset", group, "--to-datetime", "2025-10-09T08:53:50").out
    assert "2025-10-09T08:53:50.000Z (UTC)" in said


def test_apply_verify_and_undo(kafka: str, stopped: tuple[str, str]) -> None:
    group, topic = stopped
    done = logq("-b", kafka, "group", "reset", group, "--to-offset", "10", *NOW, "-o", "json")
    assert done.code == 0, done.err
    outcome = done.json["outcome"]
    assert (outcome["state"], outcome["done"], outcome["failed"]) == ("done", 3, 0)
    assert committed(kafka, group, topic, 3) == {0: 10, 1: 10, 2: 10}

    job = outcome["job"]
    listed = {j["job"]: j for j in logq("job", "list", "-o", "json").json["jobs"]}[job]
    assert list(listed) == ["job", "kind", "source", "target", "state", "done", "failed", "left", "started", "finished"]
    assert (listed["kind"], listed["state"], listed["done"], listed["source"]) == ("reset", "done", 3, f"group:{group}")

    plan = logq("-b", kafka, "job", "undo", job, "-o", "json").json["plan"]
    assert [(e["partition"], e["old"], e["new"]) for e in plan["entries"]] == [(0, 10, 40), (1, 10, 100)]
    assert committed(kafka, group, topic, 3) == {0: 10, 1: 10, 2: 10}
    undone = logq("-b", kafka, "job", "undo", job, *NOW)
    assert undone.code == 0, undone.err
    # A commit cannot say "none": the partition that had no commit stays.
    assert committed(kafka, group, topic, 3) == {0: 40, 1: 100, 2: 10}
    again = logq("-b", kafka, "job", "undo", job, *NOW)
    assert again.code == 0
    assert "nothing to do" in again.err


def test_only_the_named_topics_and_partitions_move(
    kafka: str, stopped: tuple[str, str], unique: Callable[[str], str]
) -> None:
    group, topic = stopped
    other = unique("payments")
    make_topic(kafka, other, 1)
    produce(kafka, other, 0, 10)
    commit(kafka, group, {(other, 0): 5})
    where = ["--topic", f"{topic}:1,2"]
    assert sorted(entries(kafka, group, "--to-earliest", *where)) == [1, 2]
    done = logq("-b", kafka, "group", "reset", group, "--to-earliest", *where, *NOW)
    assert done.code == 0, done.err
    assert committed(kafka, group, topic, 3) == {0: 40, 1: 0, 2: 0}
    assert committed(kafka, group, other, 1) == {0: 5}


def test_kafkas_csv_goes_out_and_comes_in(kafka: str, stopped: tuple[str, str]) -> None:
    group, topic = stopped
    exported = logq("-b", kafka, "group", "reset", group, "--to-offset", "25", "--export")
    assert exported.out == "".join(f"{topic},{p},25\n" for p in range(3))
    done = logq(
        *("-b", kafka, "group", "reset", group, "--from-file", "-", *NOW),
        stdin=f"{topic},0,1\n{topic},2,999\n",
    )
    assert done.code == 0, done.err
    assert committed(kafka, group, topic, 3) == {0: 1, 1: 100, 2: 100}


def test_a_live_group_is_planned_without_joining_and_not_applied(kafka: str, stopped: tuple[str, str]) -> None:
    group, topic = stopped
    consumer = join(kafka, group, topic)
    try:
        before = sorted(tp.partition for tp in consumer.assignment())
        shown = logq("-b", kafka, "group", "show", group, "-o", "json").json
        assert [m["client_id"] for m in shown["members"]] == ["worker-7"]
        plan = logq("-b", kafka, "group", "reset", group, "--to-earliest", "-o", "json").json["plan"]
        assert plan["live"] is True
        assert "worker-7" in " ".join(plan["warnings"])
        refused = logq("-b", kafka, "group", "reset", group, "--to-earliest", *NOW)
        assert refused.code == 3
        assert "worker-7 on 127.0.0.1" in refused.err
        assert "Traceback" not in refused.err
        consumer.poll(1.0)
        assert sorted(tp.partition for tp in consumer.assignment()) == before
    finally:
        consumer.close()
    assert committed(kafka, group, topic, 3) == {0: 40, 1: 100, 2: None}


def test_wait_empty_applies_once_the_members_have_left(kafka: str, stopped: tuple[str, str]) -> None:
    group, topic = stopped
    consumer = join(kafka, group, topic)
    leaving = threading.Timer(3.0, consumer.close)
    leaving.start()
    try:
        done = logq("-b", kafka, "group", "reset", group, "--to-earliest", "--wait-empty", *NOW)
    finally:
        leaving.join()
    assert done.code == 0, done.err
    assert done.seconds > 2
    assert committed(kafka, group, topic, 3) == {0: 0, 1: 0, 2: 0}


def test_wait_empty_gives_up_and_can_be_stopped(kafka: str, stopped: tuple[str, str]) -> None:
    group, topic = stopped
    consumer = join(kafka, group, topic)
    how = ("-b", kafka, "group", "reset", group, "--to-earliest", "--wait-empty", *NOW)
    try:
        done = logq(*how, "--wait-limit", "2s")
        assert done.code == 3
        assert "gave up waiting, nothing was changed" in done.err
        waiting = subprocess.Popen(
            [sys.executable, "-m", "console", *how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        time.sleep(3)
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=20)
        assert waiting.returncode == 130
        assert b"nothing was changed" in err
        assert b"Traceback" not in err
    finally:
        consumer.close()
    assert committed(kafka, group, topic, 3) == {0: 40, 1: 100, 2: None}


@pytest.mark.parametrize(
    ("options", "env"), [(["--read-only"], {}), ([], {"LOGQ_READ_ONLY": "1"})], ids=["option", "environment"]
)
def test_read_only_refuses_but_still_plans(
    kafka: str, stopped: tuple[str, str], options: list[str], env: dict[str, str]
) -> None:
    group, topic = stopped
    how = (*options, "-b", kafka, "group", "reset", group, "--to-earliest")
    planned = logq(*how, env=env)
    assert planned.code == 0
    assert "read-only" in planned.err
    refused = logq(*how, *NOW, env=env)
    assert refused.code == 3
    assert "read-only" in refused.line
    assert committed(kafka, group, topic, 3) == {0: 40, 1: 100, 2: None}


def test_what_does_not_exist_is_one_line(kafka: str, stopped: tuple[str, str], unique: Callable[[str], str]) -> None:
    group, topic = stopped
    for argv, says in (
        (["group", "reset", unique("nobody"), "--to-earliest", *NOW], "nobody"),
        (["group", "reset", group, "--to-earliest", "--topic", unique("nothing")], "nothing"),
        (["group", "reset", group, "--to-earliest", "--topic", f"{topic}:7"], "partition 7"),
        (["job", "undo", "nosuchjob", *NOW], "nosuchjob"),
    ):
        done = logq("-b", kafka, *argv)
        assert done.code == 2
        assert says in done.line


def test_a_group_of_the_new_protocol_is_reset_once_it_is_stopped(kafka: str, unique: Callable[[str], str]) -> None:
    topic, group = unique("orders"), unique("analytics")
    make_topic(kafka, topic, 2)
    produce(kafka, topic, 0, 20)
    consumer = join(kafka, group, topic, **{"group.protocol": "consumer"})
    try:
        while consumer.consume(10, timeout=2.0):
            pass
        consumer.commit(asynchronous=False)
        refused = logq("-b", kafka, "group", "reset", group, "--to-offset", "5", *NOW)
        assert refused.code == 3
        assert "(consumer, Stable, 1 member)" in refused.out
    finally:
        consumer.close()
    assert committed(kafka, group, topic, 1) == {0: 20}
    done = logq("-b", kafka, "group", "reset", group, "--to-offset", "5", "--topic", f"{topic}:0", *NOW)
    assert done.code == 0, done.err
    assert committed(kafka, group, topic, 1) == {0: 5}


def test_a_share_group_is_refused_with_a_reason(brokers: Brokers, unique: Callable[[str], str]) -> None:
    topic, group = unique("shared"), unique("share")
    make_topic(brokers.bootstrap, topic, 1)
    made = brokers.kafka.run_tool(
        "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
        *("--bootstrap-server", brokers.bootstrap, "--reset-offsets", "--to-earliest", "--execute"),
        *("--group", group, "--topic", topic),
        timeout=120,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    done = logq("-b", brokers.bootstrap, "group", "reset", group, "--to-earliest")
    assert done.code == 3
    assert "share group" in done.line
    assert "kafka-share-groups" in done.line


def test_a_closed_pipe_is_quiet(kafka: str, stopped: tuple[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "console", "-b", kafka, "group", "list", "-o", "json"],
        stdout=write, stderr=subprocess.PIPE, env=environment(), timeout=60, check=False,
    )  # fmt: skip
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 1


@pytest.mark.parametrize("ending", ["commit", "abort"])
def test_a_reset_wins_over_an_open_transaction_and_says_so(kafka: str, stopped: tuple[str, str], ending: str) -> None:
    from confluent_kafka import Consumer, Producer, TopicPartition

    group, topic = stopped
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": f"tx-{group}"})
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": group})
    try:
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.send_offsets_to_transaction([TopicPartition(topic, 0, 60)], consumer.consumer_group_metadata(), 30)
        plan = entries(kafka, group, "--to-offset", "5")
        assert (plan[0]["old"], plan[0]["new"]) == (40, 5)
        assert "a transaction is open" in str(plan[0]["note"])
        assert plan[1]["note"] == ""
        done = logq("-b", kafka, "group", "reset", group, "--to-offset", "5", *NOW, "-o", "json")
        assert done.code == 0, done.err
        assert done.json["outcome"]["done"] == 3
        (producer.commit_transaction if ending == "commit" else producer.abort_transaction)(30)
    finally:
        consumer.close()
    assert committed(kafka, group, topic, 3) == {0: 5, 1: 5, 2: 5}
