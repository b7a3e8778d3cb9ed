"""Looking at a real Kafka from the command line: the contract's fields, and trouble as one line."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from cli_program import environment, logq
from kafka_client import commit, committed, join, make_topic, produce

if TYPE_CHECKING:
    from console.brokers import Brokers

pytestmark = pytest.mark.broker

GROUP = {
    "group",
    "type",
    "state",
    "status",
    "reason",
    "members",
    "lag",
    "lag_seconds",
    "lag_seconds_source",
    "lost",
    "no_commit",
    "topics",
    "produced_rate",
    "consumed_rate",
    "rate_seconds",
    "eta_seconds",
}
PARTITION = {
    "topic",
    "partition",
    "leader",
    "start",
    "committed",
    "end",
    "stable_end",
    "lag",
    "lost",
    "lag_seconds",
    "member",
    "client_id",
    "host",
    "status",
    "reason",
}
MESSAGE = {
    "target",
    "id",
    "partition",
    "offset",
    "timestamp",
    "key",
    "value",
    "headers",
    "attributes",
    "receive_count",
    "group_id",
    "error",
}


@pytest.fixture(scope="module")
def seen(kafka: str, unique: Callable[[str], str]) -> tuple[str, str]:
    """A group and its topic: 2 partitions of 50 records, a commit at 20 in the first alone."""
    topic, group = unique("orders"), unique("billing")
    make_topic(kafka, topic, 2)
    produce(kafka, topic, 0, 50)
    produce(kafka, topic, 1, 50)
    commit(kafka, group, {(topic, 0): 20})
    return group, topic


def test_group_list_has_every_field_and_agrees_with_another_client(kafka: str, seen: tuple[str, str]) -> None:
    group, topic = seen
    found = logq("-b", kafka, "group", "list", "-o", "json").json
    assert set(found) == {"schema", "at", "problems", "groups"}
    assert (found["schema"], found["problems"]) == (1, [])
    row = {g["group"]: g for g in found["groups"]}[group]
    assert set(row) == GROUP | {"partitions"}
    assert (row["type"], row["state"], row["lag"], row["no_commit"]) == ("classic", "Empty", 30, 1)
    assert row["topics"] == [topic]
    assert all(set(p) == PARTITION for p in row["partitions"])
    assert {p["partition"]: p["committed"] for p in row["partitions"]} == committed(kafka, group, topic, 2)


def test_group_show_has_partitions_and_members(kafka: str, seen: tuple[str, str]) -> None:
    group, topic = seen
    consumer = join(kafka, group, topic)
    try:
        found = logq("-b", kafka, "group", "show", group, "-o", "json").json
    finally:
        consumer.close()
    assert set(found) == {"schema", "at", "problems", "groups", "partitions", "members", "transactions"}
    first = found["partitions"][0]
    assert set(first) == PARTITION
    assert {k: first[k] for k in ("topic", "partition", "start", "committed", "end", "lag", "lost")} == {
        "topic": topic, "partition": 0, "start": 0, "committed": 20, "end": 50, "lag": 30, "lost": 0,
    }  # fmt: skip
    assert first["client_id"] == "worker-7"
    assert first["lag_seconds"] is not None
    assert found["partitions"][1]["committed"] is None
    assert found["partitions"][1]["lag"] is None
    assert found["groups"][0]["members"] == 1


def test_every_output_says_the_same(kafka: str, seen: tuple[str, str]) -> None:
    group, topic = seen
    rows = logq("-b", kafka, "group", "show", group, "-o", "json").json["partitions"]
    lines = [json.loads(line) for line in logq("-b", kafka, "group", "show", group, "-o", "jsonl").out.splitlines()]
    table = list(csv.DictReader(io.StringIO(logq("-b", kafka, "group", "show", group, "-o", "csv").out)))
    people = logq("-b", kafka, "group", "show", group).out
    for name in ("topic", "partition", "start", "committed", "end", "lag"):
        assert [r[name] for r in rows] == [r[name] for r in lines]
        assert ["" if r[name] is None else str(r[name]) for r in rows] == [r[name] for r in table]
    assert topic in people
    assert "\x1b" not in people


def test_group_list_agrees_with_apaches_own_tool(brokers: Brokers, seen: tuple[str, str]) -> None:
    group, topic = seen
    theirs = brokers.kafka.run_tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        *("--bootstrap-server", brokers.bootstrap, "--describe", "--all-groups"),
        timeout=120,
    )
    assert theirs.returncode == 0, theirs.stderr
    lines = [line.split() for line in theirs.stdout.splitlines()]
    wanted = {(c[0], c[1], int(c[2]), c[3], c[4], c[5]) for c in lines if len(c) >= 6 and c[2].isdigit()}
    assert (group, topic, 0, "20", "50", "30") in wanted
    ours = logq("-b", brokers.bootstrap, "group", "list", "-o", "json").json["groups"]
    # The tool leaves out partitions without a commit that nobody reads (ours lists them with null) and share groups.
    # One that a member holds without a commit has dashes there. What has expired unread it counts as lag; ours as lost.
    wanted = {row for row in wanted if row[3] != "-"}
    assert wanted == {
        (g["group"], p["topic"], p["partition"], str(p["committed"]), str(p["end"]), str(p["lag"] + p["lost"]))
        for g in ours
        if g["type"] in ("classic", "consumer")
        for p in g["partitions"]
        if p["committed"] is not None
    }


def test_topics(kafka: str, seen: tuple[str, str]) -> None:
    _, topic = seen
    row = {t["topic"]: t for t in logq("-b", kafka, "topic", "list", "-o", "json").json["topics"]}[topic]
    assert (row["partitions"], row["records"], row["internal"], row["dead_letter"]) == (2, 100, False, False)
    shown = logq("-b", kafka, "topic", "show", topic, "-o", "json").json
    assert [(p["start"], p["end"], len(p["replicas"])) for p in shown["partitions"]] == [(0, 50, 1), (0, 50, 1)]
    assert shown["config"]["cleanup.policy"] == "delete"


def test_browse_reads_the_newest_and_commits_nothing(kafka: str, seen: tuple[str, str]) -> None:
    group, topic = seen
    before = committed(kafka, group, topic, 2)
    there = {g["group"] for g in logq("-b", kafka, "group", "list", "-o", "json").json["groups"]}
    done = logq("-b", kafka, "topic", "browse", topic, "--last", "5", "-o", "json")
    assert done.code == 0, done.err
    messages = done.json["messages"]
    assert len(messages) == 5
    assert all(set(m) == MESSAGE for m in messages)
    assert {m["offset"] for m in messages} <= set(range(45, 50))
    assert messages[-1]["value"] == f"v{messages[-1]['offset']}"
    assert messages[0]["target"] == f"kafka:{topic}"
    assert committed(kafka, group, topic, 2) == before
    after = {g["group"] for g in logq("-b", kafka, "group", "list", "-o", "json").json["groups"]}
    assert after <= there


def test_hostile_records_reach_the_table_made_safe_and_json_raw(kafka: str, unique: Callable[[str], str]) -> None:
    from confluent_kafka import Producer

    topic = unique("hostile")
    make_topic(kafka, topic, 1)
    producer = Producer({"bootstrap.servers": kafka})
    evil = "\x1b]52;c;aGk=\x07\x9b31m\u202etxt[/red]"
    producer.produce(topic, key=evil, value=evil, headers=[("h", b"\xff\xfe")])
    producer.produce(topic, value=b"\xff\x00")
    assert producer.flush(20) == 0
    table = logq("-b", kafka, "topic", "browse", topic)
    assert not set("\x1b\x07\x9b\u202e") & set(table.out + table.err)
    assert "[/red]" in table.out
    messages = logq("-b", kafka, "topic", "browse", topic, "-o", "json").json["messages"]
    assert messages[0]["key"] == messages[0]["value"] == evil
    assert messages[0]["headers"] == [{"name": "h", "value": {"base64": "//4="}}]
    assert messages[1]["value"] == {"base64": "/wA="}


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["group", "show", "no-such-group"], "no-such-group"),
        (["group", "reset", "no-such-group", "--to-earliest"], "no-such-group"),
        (["topic", "show", "no-such-topic"], "no-such-topic"),
        (["topic", "browse", "no-such-topic"], "no-such-topic"),
        (["dlq", "show", "no-such-dlq"], "no-such-dlq"),
        (["dlq", "show", "kafka:no-such-dlq"], "no-such-dlq"),
    ],
)
def test_unknown_names_are_one_line_and_exit_2(kafka: str, argv: list[str], says: str) -> None:
    done = logq("-b", kafka, *argv)
    assert done.code == 2
    assert says in done.line


@pytest.mark.parametrize(
    "argv", [["group", "list"], ["group", "show", "g"], ["topic", "list"], ["group", "reset", "g", "--to-latest"]]
)
def test_an_unreachable_bootstrap_ends_within_the_timeout(closed_port: int, argv: list[str]) -> None:
    refused = logq("-b", f"127.0.0.1:{closed_port}", "--timeout", "2", *argv)
    assert refused.code == 1
    assert str(closed_port) in refused.line
    assert refused.seconds < 2 + 3


def test_a_mute_server_ends_within_the_timeout() -> None:
    """A port that takes connections and never answers: a listening socket nobody serves."""
    import socket

    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        done = logq("-b", f"127.0.0.1:{mute.getsockname()[1]}", "--timeout", "2", "group", "list")
    assert done.code == 1
    assert done.line
    assert done.seconds < 2 + 3


def test_ctrl_c_while_nothing_answers_is_130_at_once() -> None:
    import socket

    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        waiting = subprocess.Popen(
            [sys.executable, "-m", "console", "-b", f"127.0.0.1:{mute.getsockname()[1]}", "--timeout", "60", "status"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        time.sleep(3)
        pressed = time.monotonic()
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=20)
    assert time.monotonic() - pressed < 2
    assert (waiting.returncode, out, err) == (130, "", "logq: stopped\n")


def test_sqs_in_place_of_kafka_is_one_line(sqs_endpoint: str) -> None:
    done = logq("-b", sqs_endpoint.removeprefix("http://"), "--timeout", "3", "group", "list")
    assert done.code == 1
    assert done.line


def test_wait_ends_when_a_group_has_caught_up(kafka: str, unique: Callable[[str], str]) -> None:
    topic, group = unique("orders"), unique("billing")
    make_topic(kafka, topic, 1)
    produce(kafka, topic, 0, 50)
    commit(kafka, group, {(topic, 0): 20})
    held = logq("-b", kafka, "wait", "group", group, "--lag", "30", "-o", "json")
    assert (held.code, held.json["held"], held.json["groups"][0]["lag"]) == (0, True, 30)
    late = logq("-b", kafka, "wait", "group", group, "--lag", "29", "--for", "2s")
    assert (late.code, late.out) == (5, "")
    assert late.err.splitlines()[-1].startswith(f"logq: group {group}: 30 behind, after")
    assert "no group nobody" in logq("-b", kafka, "wait", "group", unique("nobody"), "--lag", "0").line
