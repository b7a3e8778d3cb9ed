"""Looking at queues on ElasticMQ and on moto's server: counts, relations, peeks, and what goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import sqs_world
from sqs_world import World

from console.config import SqsSettings
from console.errors import Failed, NotFound, Refused, Unreachable
from console.sqs import inspect
from console.sqs.client import SqsClient

pytestmark = pytest.mark.broker
Names = Callable[[str], str]


@pytest.fixture
def world(sqs_endpoint: str, unique: Names) -> Iterator[World]:
    with sqs_world.world(sqs_endpoint, unique("look")) as made:
        yield made


@pytest.fixture
def sqs(sqs_endpoint: str) -> Iterator[SqsClient]:
    client = SqsClient(SqsSettings(region="eu-west-1", endpoint_url=sqs_endpoint))
    yield client
    client.close()


def test_a_snapshot_has_counts_and_relations_both_ways(sqs: SqsClient, world: World) -> None:
    world.fill(["a", "b", "c"])
    world.client.receive_message(QueueUrl=world.dlq_url, VisibilityTimeout=60)
    snapshot = sqs.snapshot()
    queues = {queue.name: queue for queue in snapshot.queues}
    dead, queue = queues[world.dlq], queues[world.name]
    assert (dead.visible, dead.in_flight, dead.delayed, dead.dlq_of) == (2, 1, 0, (world.name,))
    assert (queue.visible, queue.dlq, queue.dlq_count, queue.max_receive) == (0, world.dlq, 3, 3)
    assert queue.oldest_seconds is None and "CloudWatch" in queue.oldest_reason
    assert snapshot.complete and snapshot.problems == () and snapshot.requests == 1 + len(snapshot.queues)
    assert [q.name for q in snapshot.queues] == sorted(queues)


def test_one_queue_has_the_same_and_an_unknown_one_is_told(sqs: SqsClient, world: World) -> None:
    world.fill(["a"])
    dead = sqs.queue(world.dlq)
    assert (dead.visible, dead.dlq_of) == (1, (world.name,))
    assert sqs.queue(world.name).dlq_count == 1
    with pytest.raises(NotFound, match="nope"):
        sqs.queue("nope")


def test_a_queue_deleted_since_is_not_found_rather_than_remembered(sqs: SqsClient, world: World) -> None:
    url = sqs_world.create(world.client, f"{world.name}-gone")
    assert sqs.queue(f"{world.name}-gone").visible == 0
    world.client.delete_queue(QueueUrl=url)
    for _ in range(2):
        with pytest.raises(NotFound):
            sqs.queue(f"{world.name}-gone")


def test_a_peek_shows_whole_messages_and_leaves_them_visible(sqs: SqsClient, world: World) -> None:
    attributes = {
        "raw": {"DataType": "Binary.gif", "BinaryValue": b"\x00\xff"},
        "error": {"DataType": "String", "StringValue": "TimeoutError: resize"},
    }
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5f"}}
    world.client.send_message(
        QueueUrl=world.dlq_url, MessageBody="ü {", MessageAttributes=attributes, MessageSystemAttributes=trace
    )
    seen = sqs.peek(world.dlq, 10)
    (message,) = seen.messages
    assert message.target == f"sqs:{world.dlq}" and message.value == "ü {".encode()
    found = dict(message.attributes)
    assert found["raw"] == b"\x00\xff" and found["AWSTraceHeader"] == "Root=1-5f" and "SenderId" in found
    assert message.error == "TimeoutError: resize" and message.receive_count == 1
    assert abs((message.timestamp or 0) - time.time()) < 60
    assert seen.whole and seen.approximate_total == 1 and not seen.budget.refuse
    assert world.counts(world.dlq_url) == (1, 0)


def test_a_peek_reads_far_and_never_says_all_when_it_is_not(sqs: SqsClient, world: World) -> None:
    world.fill([str(n) for n in range(57)])
    steps: list[int] = []
    part = sqs.peek(world.dlq, 25, on_progress=steps.append)
    assert part.seen == 25 and not part.whole and part.note.startswith("25 of ~57 seen")
    assert steps == sorted(set(steps)) and steps[-1] == 25
    all_of_it = sqs.peek(world.dlq, 1_000)
    assert all_of_it.seen == len({m.id for m in all_of_it.messages}) == 57 and all_of_it.whole
    assert world.counts(world.dlq_url) == (57, 0)


def test_what_another_client_holds_is_not_counted_as_seen(sqs: SqsClient, world: World) -> None:
    world.fill([str(n) for n in range(5)])
    world.client.receive_message(QueueUrl=world.dlq_url, MaxNumberOfMessages=2, VisibilityTimeout=60)
    seen = sqs.peek(world.dlq, 100)
    assert not seen.whole and seen.seen + 2 >= 5 and "of ~5 seen" in seen.note


def test_a_cancelled_and_a_failed_peek_release_what_they_leased(world: World, tmp_path: Path) -> None:
    world.fill([str(n) for n in range(30)])
    cancel = threading.Event()
    calls = 0

    def second_fails(call: Callable[..., Any], keywords: dict[str, Any]) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError("the network went away")
        return call(**keywords)

    with sqs_world.session(world.endpoint, tmp_path, {"receive_message": second_fails}) as session:
        assert session.require_sqs().peek(world.dlq, 30).seen == 10
        assert world.counts(world.dlq_url) == (30, 0)
        stopped = session.require_sqs().peek(world.dlq, 30, cancel=cancel, on_progress=lambda n: cancel.set())
        assert stopped.seen == 10
        assert world.counts(world.dlq_url) == (30, 0)


def test_the_budget_of_a_queue_with_a_policy_is_kept(sqs: SqsClient, world: World) -> None:
    world.fill([str(n) for n in range(4)], url=world.url)
    queue = sqs.queue(world.name)
    assert sqs.peek_budget(queue).note == f"this look uses 1 of 3 attempts; after that messages move to {world.dlq}"
    assert sqs.peek(world.name, 10).budget.left == 2
    second = sqs.peek(world.name, 10)
    # The first message is down to its last attempt: no other is touched.
    assert second.seen == 1 and second.budget.refuse and "stopped" in second.note
    with pytest.raises(Refused, match="1 of 3 attempts left"):
        sqs.peek(world.name, 10)
    assert sqs.peek(world.name, 10, force=True).seen >= 1
    assert world.counts(world.dlq_url) == (0, 0)


def test_a_queue_that_allows_one_receive_is_refused(sqs: SqsClient, sqs_endpoint: str, unique: Names) -> None:
    with sqs_world.world(sqs_endpoint, unique("once"), receives=1) as once:
        once.fill(["a"], url=once.url)
        with pytest.raises(Refused, match="allows 1 receive"):
            sqs.peek(once.name, 1)
        assert once.counts() == (1, 0)
        assert sqs.peek(once.name, 1, force=True).seen == 1


def test_a_fifo_peek_says_that_groups_hide(sqs: SqsClient, sqs_endpoint: str, unique: Names) -> None:
    with sqs_world.world(sqs_endpoint, unique("look"), fifo=True) as fifo:
        fifo.fill([str(n) for n in range(25)], group=lambda body: "g")
        seen = sqs.peek(fifo.dlq, 100)
        assert not seen.whole and "1 group hides behind" in seen.note
        assert [m.value for m in seen.messages] == [str(n).encode() for n in range(seen.seen)]
        assert {m.group_id for m in seen.messages} == {"g"}


def test_one_queue_that_cannot_be_seen_blanks_no_other(world: World, tmp_path: Path) -> None:
    def fails_for_one(call: Callable[..., Any], keywords: dict[str, Any]) -> Any:
        if keywords["QueueUrl"] == world.url:
            raise OSError("connection reset")
        return call(**keywords)

    with sqs_world.session(world.endpoint, tmp_path, {"get_queue_attributes": fails_for_one}) as session:
        snapshot = session.require_sqs().snapshot()
    queues = {queue.name: queue for queue in snapshot.queues}
    assert queues[world.name].visible is None and queues[world.name].problem is not None
    assert queues[world.dlq].visible == 0 and not snapshot.complete
    assert [problem.where for problem in snapshot.problems] == [f"queue {world.name}"]


def test_the_deadline_holds_when_nothing_answers(world: World, tmp_path: Path) -> None:
    held = threading.Event()

    def hangs(call: Callable[..., Any], keywords: dict[str, Any]) -> Any:
        held.wait(30)
        return call(**keywords)

    with sqs_world.session(world.endpoint, tmp_path, {"list_queues": hangs}) as session:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="in time"):
            session.require_sqs().snapshot(0.3)
        assert time.monotonic() - began < 5.0  # not the 30 s that the call hangs
    with sqs_world.session(world.endpoint, tmp_path, {"get_queue_attributes": hangs}) as session:
        began = time.monotonic()
        snapshot = session.require_sqs().snapshot(3.0)  # enough to list on a busy machine
        assert time.monotonic() - began < 15.0
        assert {problem.code for problem in snapshot.problems} == {"TIMEOUT"}
    held.set()


def test_the_doctor_is_told_what_works(sqs: SqsClient, world: World, closed_port: int) -> None:
    checks = {check.name: check for check in sqs.check()}
    assert checks["sqs: list queues"].ok and checks["sqs: queue attributes"].ok
    dead = SqsClient(SqsSettings(region="eu-west-1", endpoint_url=f"http://127.0.0.1:{closed_port}"), 2.0)
    (check,) = dead.check()
    assert check.ok is False and "refused" in check.message and check.remedy


def test_an_endpoint_that_is_no_sqs_is_told(moto_server: str) -> None:
    client = SqsClient(SqsSettings(region="eu-west-1", endpoint_url=f"{moto_server}/moto-api/"), 5.0)
    with pytest.raises(Failed, match=r"not SQS's .*; check the endpoint URL"):
        client.snapshot()


# ---------------------------------------------------------------- moto: paging, CloudWatch


def test_more_than_a_page_of_queues_is_listed(moto_server: str, unique: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    # A smaller page than the 1,000 in use: moto takes 30 ms to make a queue.
    monkeypatch.setattr(inspect, "PAGE", 40)
    client = sqs_world.plain_client(moto_server)
    prefix = unique("page")
    names = [f"{prefix}-{n:04}" for n in range(105)]
    for name in names:
        client.create_queue(QueueName=name)
    found = [inspect.name_of(url) for url in inspect.list_urls(client, prefix)]
    assert sorted(found) == names
    sqs = SqsClient(SqsSettings(region="eu-west-1", endpoint_url=moto_server, name_prefix=f"{prefix}-00"), 20.0)
    assert [queue.name for queue in sqs.snapshot().queues] == names[:100]
    for name in names:
        client.delete_queue(QueueUrl=client.get_queue_url(QueueName=name)["QueueUrl"])


def test_ages_come_from_cloudwatch(moto_server: str, unique: Names) -> None:
    # The client is handed in: with a custom endpoint logq itself never asks CloudWatch.
    client: Any = boto3.client("cloudwatch", endpoint_url=moto_server, region_name="eu-west-1")
    names = [unique("age") for _ in range(3)]
    now = datetime.now(UTC)
    for name, values in zip(names, ([100.0, 41.0], [7.0], []), strict=True):
        for minutes, value in zip((10, 5), values, strict=False):
            client.put_metric_data(
                Namespace="AWS/SQS",
                MetricData=[
                    {
                        "MetricName": "ApproximateAgeOfOldestMessage",
                        "Dimensions": [{"Name": "QueueName", "Value": name}],
                        "Timestamp": now - timedelta(minutes=minutes),
                        "Value": value,
                    }
                ],
            )
    assert inspect.ages(client, names) == {names[0]: 41.0, names[1]: 7.0}


INTERRUPTED = """
import os, signal, time
import sqs_world
from pathlib import Path

def slow(call, keywords):
    time.sleep(0.1)  # so that one after the other would take six seconds
    return call(**keywords)

def gone(call, keywords):
    raise ConnectionError

with sqs_world.session({endpoint!r}, Path({state!r}), {{"change_message_visibility_batch": {fault}}}) as session:
    client = session.require_sqs()
    try:
        client.peek({dlq!r}, 600, on_progress=lambda n: os.kill(os.getpid(), signal.SIGINT) if n == 600 else None)
    except BaseException as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("fault", ["slow", "gone"])
def test_an_interrupted_look_gives_back_all_it_has_or_says_what_stays_hidden(
    world: World, tmp_path: Path, fault: str
) -> None:
    world.fill([str(n) for n in range(600)])
    program = INTERRUPTED.format(endpoint=world.endpoint, state=str(tmp_path), dlq=world.dlq, fault=fault)
    found = {**os.environ, "PYTHONPATH": str(Path(sqs_world.__file__).parent)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=found)
    visible, hidden = world.counts(world.dlq_url)
    if fault == "slow":
        assert (done.stdout.strip(), visible, hidden) == ("KeyboardInterrupt", 600, 0), done.stderr
    else:
        why = f"{hidden} messages of {world.dlq} could not be given back: hidden from readers up to 120 s"
        assert done.stdout == f"Stopped stopped: {why}\n" and hidden == 600, done.stderr
