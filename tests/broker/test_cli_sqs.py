"""Looking at a real SQS server from the command line, redriving, and both sides on one page."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from cli_program import environment, logq
from kafka_client import commit, make_topic, produce

pytestmark = pytest.mark.broker

REGION = "eu-west-1"
QUEUE = {
    "name",
    "url",
    "type",
    "visible",
    "in_flight",
    "delayed",
    "oldest_seconds",
    "dlq",
    "dlq_of",
    "max_receive",
    "retention_seconds",
    "status",
    "reason",
}
DLQ = {"target", "kind", "count", "oldest_seconds", "expires_seconds", "source", "done", "clusters"}


def boto(endpoint: str) -> Any:
    """A client that is not ours."""
    import boto3

    return boto3.client(
        "sqs", endpoint_url=endpoint, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
    )


@pytest.fixture(scope="module")
def pair(sqs_endpoint: str, unique: Callable[[str], str]) -> tuple[str, str]:
    """A queue with 3 messages and its dead-letter queue with 4."""
    client = boto(sqs_endpoint)
    name = unique("images")
    dlq = f"{name}-dlq"
    dlq_url = client.create_queue(QueueName=dlq)["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
    url = client.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"]
    for i in range(3):
        client.send_message(QueueUrl=url, MessageBody=f"job {i}")
    for i in range(4):
        client.send_message(QueueUrl=dlq_url, MessageBody=json.dumps({"error": "TimeoutError: resize", "n": i}))
    return name, dlq


def at(endpoint: str, *argv: str, **how: Any) -> Any:
    return logq("--endpoint-url", endpoint, "--region", REGION, *argv, **how)


def test_queue_list_has_every_field(sqs_endpoint: str, pair: tuple[str, str]) -> None:
    name, dlq = pair
    found = at(sqs_endpoint, "queue", "list", "-o", "json").json
    assert set(found) >= {"schema", "at", "problems", "queues", "requests", "dollars"}
    rows = {q["name"]: q for q in found["queues"]}
    assert set(rows[name]) >= QUEUE
    assert (rows[name]["type"], rows[name]["visible"], rows[name]["dlq"], rows[name]["max_receive"]) == (
        "standard",
        3,
        dlq,
        3,
    )
    assert rows[dlq]["dlq_of"] == [name]
    assert rows[dlq]["status"] == "DEAD_LETTERS"
    assert rows[name]["oldest_seconds"] is None
    shown = at(sqs_endpoint, "queue", "show", name, "-o", "json").json["queues"]
    assert len(shown) == 1 and set(shown[0]) >= QUEUE


def test_peek_reads_and_gives_back(sqs_endpoint: str, pair: tuple[str, str]) -> None:
    name, _ = pair
    done = at(sqs_endpoint, "queue", "peek", name, "-o", "json")
    assert done.code == 0, done.err
    assert {m["value"] for m in done.json["messages"]} == {"job 0", "job 1", "job 2"}
    assert {m["receive_count"] for m in done.json["messages"]} == {1}
    after = at(sqs_endpoint, "queue", "show", name, "-o", "json").json["queues"][0]
    assert (after["visible"], after["in_flight"]) == (3, 0)


def test_dlq_list_and_show(sqs_endpoint: str, pair: tuple[str, str]) -> None:
    name, dlq = pair
    rows = {d["target"]: d for d in at(sqs_endpoint, "dlq", "list", "-o", "json").json["dlqs"]}
    assert set(rows[f"sqs:{dlq}"]) == DLQ
    assert (rows[f"sqs:{dlq}"]["kind"], rows[f"sqs:{dlq}"]["count"], rows[f"sqs:{dlq}"]["source"]) == (
        "queue",
        4,
        [name],
    )
    assert rows[f"sqs:{dlq}"]["clusters"] is None
    found = at(sqs_endpoint, "dlq", "show", dlq, "-o", "json").json
    (one,) = found["dlqs"]
    assert [(c["label"], c["count"]) for c in one["clusters"]] == [("TimeoutError: resize", 4)]
    assert set(one["clusters"][0]) >= {"sources", "shapes", "hours", "id", "label", "count", "first", "last", "example"}
    assert len(found["messages"]) == 4


def test_redrive_plans_first_then_moves_and_is_proved(sqs_endpoint: str, unique: Callable[[str], str]) -> None:
    client = boto(sqs_endpoint)
    name = unique("emails")
    dlq_url = client.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
    url = client.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"]
    bodies = {f"letter {i}" for i in range(25)}
    for body in sorted(bodies):
        client.send_message(QueueUrl=dlq_url, MessageBody=body)

    planned = at(sqs_endpoint, "dlq", "redrive", f"{name}-dlq", "-o", "json")
    assert planned.code == 0, planned.err
    assert planned.json["plan"]["count"] == 25
    for refused in (["--read-only", "--yes"], []):
        done = at(sqs_endpoint, "dlq", "redrive", f"{name}-dlq", "--execute", *refused)
        assert done.code == 3
        assert done.line

    done = at(sqs_endpoint, "dlq", "redrive", f"{name}-dlq", "--execute", "--yes", "-o", "json")
    assert done.code == 0, done.err
    outcome = done.json["outcome"]
    assert (outcome["state"], outcome["done"], outcome["failed"]) == ("done", 25, 0)
    arrived: set[str] = set()
    while batch := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        arrived |= {m["Body"] for m in batch}
    assert arrived == bodies

    job = outcome["job"]
    assert job in logq("job", "list").out
    assert logq("job", "show", job, "-o", "json").json["jobs"][0]["done"] == 25
    assert job in logq("job", "receipt", job).out
    assert all(json.loads(line) for line in logq("job", "receipt", job, "--format", "jsonl").out.splitlines())
    undo = at(sqs_endpoint, "job", "undo", job, "--execute", "--yes")
    assert undo.code == 2
    assert "cannot be undone" in undo.line
    resumed = at(sqs_endpoint, "job", "resume", job, "--execute", "--yes")
    assert resumed.code == 0
    assert "is done" in resumed.err


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["queue", "show", "no-such-queue"], 2),
        (["queue", "peek", "no-such-queue"], 2),
        (["dlq", "show", "no-such-queue"], 2),
        (["dlq", "redrive", "no-such-queue"], 2),
        (["dlq", "redrive", "no-such-queue", "--where", "((("], 2),
        (["job", "show", "no-such-job"], 2),
        (["job", "receipt", "no-such-job"], 2),
    ],
)
def test_unknown_names_are_one_line(sqs_endpoint: str, argv: list[str], code: int) -> None:
    done = at(sqs_endpoint, *argv)
    assert done.code == code
    assert done.line


def test_an_endpoint_that_is_not_there_is_one_line_within_the_timeout(closed_port: int) -> None:
    done = at(f"http://127.0.0.1:{closed_port}", "queue", "list", "--timeout", "2")
    assert done.code == 1
    assert str(closed_port) in done.line
    assert done.seconds < 2 + 4


@pytest.mark.parametrize("url", ["127.0.0.1:9324", "ftp://127.0.0.1", "http://", "nonsense"])
def test_an_endpoint_that_is_no_url_is_wrong_usage(url: str) -> None:
    done = at(url, "queue", "list")
    assert done.code == 2
    assert "http://127.0.0.1:9324" in done.line


def test_kafka_in_place_of_sqs_is_one_line(kafka: str) -> None:
    done = at(f"http://{kafka}", "queue", "list", "--timeout", "3")
    assert done.code == 1
    assert done.line


def test_no_credentials_for_a_real_region_is_one_line(tmp_path: Any) -> None:
    """No key anywhere, and no way to ask a metadata service: refused before anything is sent."""
    nothing = {
        "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "c"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "s"),
    }  # fmt: skip
    done = logq("--region", REGION, "--timeout", "3", "queue", "list", env=nothing)
    assert done.code == 1
    assert "credentials" in done.line.lower()


def test_an_unknown_aws_profile_is_one_line() -> None:
    done = logq("--aws-profile", "nosuch", "--region", REGION, "queue", "list")
    assert done.code == 2
    assert "nosuch" in done.line


# ---------------------------------------------------------------- both sides


@pytest.fixture(scope="module")
def behind(kafka: str, unique: Callable[[str], str]) -> str:
    """A group whose commit lies below the log start: records it has lost."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    topic, group = unique("orders"), unique("lost")
    make_topic(kafka, topic, 1)
    produce(kafka, topic, 0, 50)
    commit(kafka, group, {(topic, 0): 5})
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_records([TopicPartition(topic, 0, 30)])[TopicPartition(topic, 0)].result(20)
    return group


def test_status_has_both_sides_and_problems_first(
    kafka: str, sqs_endpoint: str, pair: tuple[str, str], behind: str
) -> None:
    done = at(sqs_endpoint, "-b", kafka, "status", "-o", "json")
    assert done.code == 0, done.err
    found = done.json
    assert {"attention", "kafka", "sqs", "groups", "queues"} <= set(found)
    assert set(found["attention"][0]) == {"status", "side", "kind", "name", "where", "reason"}
    lost = [a for a in found["attention"] if a["name"] == behind]
    assert [a["status"] for a in lost] == ["LOST"]
    assert "25 records" in lost[0]["reason"]
    assert pair[1] in {a["name"] for a in found["attention"]}
    assert (found["kafka"]["brokers"], found["kafka"]["brokers_reachable"]) == (1, 1)
    page = at(sqs_endpoint, "-b", kafka, "status").out
    assert page.index("attention") < page.index("kafka: brokers 1/1") < page.index("sqs: eu-west-1")


def test_status_check_exits_5_when_something_is_worse_than_warn(kafka: str, behind: str) -> None:
    done = logq("-b", kafka, "status", "--check", "--over", "0")
    assert done.code == 5
    assert "worse than WARN" in done.err
    assert done.err.count("logq: ") == 1


def test_one_side_down_is_a_problem_beside_the_other(kafka: str, closed_port: int) -> None:
    done = logq(
        *("-b", kafka, "--endpoint-url", f"http://127.0.0.1:{closed_port}", "--region", REGION, "--timeout", "2"),
        *("status", "-o", "json"),
    )
    assert done.code == 0
    assert done.json["sqs"] is None
    assert done.json["kafka"]["brokers"] == 1
    assert [p["where"] for p in done.json["problems"]] == ["sqs"]
    first = done.json["attention"][0]
    assert (first["status"], first["name"]) == ("UNREACHABLE", "sqs")


def test_both_sides_down_is_exit_1(closed_port: int) -> None:
    down = f"127.0.0.1:{closed_port}"
    done = logq("-b", down, "--endpoint-url", f"http://{down}", "--region", REGION, "--timeout", "2", "status")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert str(closed_port) in done.err


def test_doctor_passes_here_and_fails_with_a_remedy_elsewhere(kafka: str, sqs_endpoint: str, closed_port: int) -> None:
    good = at(sqs_endpoint, "-b", kafka, "doctor", "-o", "json")
    assert good.code == 0, good.out
    assert all(set(c) == {"check", "ok", "message", "remedy"} for c in good.json["checks"])
    assert not [c for c in good.json["checks"] if c["ok"] is False]
    bad = logq("-b", f"127.0.0.1:{closed_port}", "--timeout", "2", "doctor")
    assert bad.code == 1
    assert "✖" in bad.out
    assert str(closed_port) in bad.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", [("queue", "peek"), ("dlq", "show")])
def test_a_look_that_is_stopped_gives_back_what_it_leased(
    sqs_endpoint: str, unique: Callable[[str], str], command: tuple[str, str], number: signal.Signals
) -> None:
    client = boto(sqs_endpoint)
    name = unique("stopped")
    url = client.create_queue(QueueName=name)["QueueUrl"]
    for start in range(0, 3_000, 10):
        client.send_message_batch(
            QueueUrl=url, Entries=[{"Id": str(i), "MessageBody": f"{i}"} for i in range(start, start + 10)]
        )
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def counts() -> list[int]:
        found = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return [int(found[each]) for each in names]

    running = subprocess.Popen(
        [sys.executable, "-m", "console", "--endpoint-url", sqs_endpoint, "--region", REGION, *command, name,
         "--max" if command[0] == "queue" else "--limit", "3000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    ends = time.monotonic() + 30
    while counts()[1] < 500 and time.monotonic() < ends:
        time.sleep(0.05)
    running.send_signal(number)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (130, ""), err
    assert err.splitlines()[-2:] == [
        "stopping: what was leased is given back; once more leaves at once",
        "logq: stopped",
    ]
    assert counts() == [3_000, 0]


def test_ctrl_c_stops_a_redrive_at_a_batch_and_resume_does_the_rest(
    sqs_endpoint: str, unique: Callable[[str], str]
) -> None:
    client = boto(sqs_endpoint)
    name = unique("slow")
    dlq_url = client.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
    url = client.create_queue(QueueName=name)["QueueUrl"]
    bodies = {f"letter {i}" for i in range(200)}
    for start in range(0, 200, 10):
        client.send_message_batch(
            QueueUrl=dlq_url, Entries=[{"Id": str(i), "MessageBody": f"letter {i}"} for i in range(start, start + 10)]
        )
    running = subprocess.Popen(
        [sys.executable, "-m", "console", "--endpoint-url", sqs_endpoint, "--region", REGION, "dlq", "redrive",
         f"{name}-dlq", "--to", name, "--engine", "client", "--rate", "30", "--execute", "--yes", "-o", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip

    def arrived() -> int:
        seen = client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(seen["Attributes"]["ApproximateNumberOfMessages"])

    ends = time.monotonic() + 30
    while arrived() < 20 and time.monotonic() < ends:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    outcome = json.loads(out)["outcome"]
    assert outcome["state"] == "cancelled"
    assert 0 < outcome["done"] < 200

    resumed = at(sqs_endpoint, "job", "resume", outcome["job"], "--execute", "--yes", "-o", "json", limit=120)
    assert resumed.code == 0, resumed.err
    found: list[str] = []
    while batch := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [m["Body"] for m in batch]
    assert sorted(found) == sorted(bodies)


def test_wait_ends_when_a_queue_is_empty(sqs_endpoint: str, unique: Callable[[str], str]) -> None:
    client = boto(sqs_endpoint)
    name = unique("drained")
    url = client.create_queue(QueueName=name)["QueueUrl"]
    client.send_message(QueueUrl=url, MessageBody="x")
    late = at(sqs_endpoint, "wait", "queue", name, "--empty", "--for", "1s", "-o", "json")
    assert (late.code, late.json["held"], late.json["problems"][0]["code"]) == (5, False, "UNMET")
    client.purge_queue(QueueUrl=url)
    done = at(sqs_endpoint, "wait", "queue", name, "--empty")
    assert (done.code, "0 visible" in done.out) == (0, True)
    assert "--empty" in at(sqs_endpoint, "wait", "queue", name).line
