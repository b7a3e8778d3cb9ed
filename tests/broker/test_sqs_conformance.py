"""The same looks at ElasticMQ and at moto, and everything in which either differs from the API model in botocore.

`DIFFERS` is the one list of the differences that looking at queues meets; a test measures it anew, so that a new
version of either server cannot leave it behind. Neither is AWS: where they differ, the model is right.
"""

from __future__ import annotations

import json
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

from console.config import Settings, SqsSettings
from console.errors import NotFound, Refused, UsageError
from console.ops import inspect, queue_facts
from console.ops.redrive_filter import Where
from console.ops.session import Session
from console.sqs.client import SqsClient

pytestmark = pytest.mark.broker
Names = Callable[[str], str]

SETTABLE = {
    "VisibilityTimeout": "11",
    "MessageRetentionPeriod": "7200",
    "MaximumMessageSize": "2048",
    "DelaySeconds": "1",
    "ReceiveMessageWaitTimeSeconds": "1",
    "KmsMasterKeyId": "alias/shop",
    "KmsDataKeyReusePeriodSeconds": "300",
    "SqsManagedSseEnabled": "false",
    "RedriveAllowPolicy": json.dumps({"redrivePermission": "denyAll"}),
}
SETTABLE_FIFO = {
    "ContentBasedDeduplication": "true",
    "DeduplicationScope": "messageGroup",
    "FifoThroughputLimit": "perMessageGroupId",
}

DIFFERS: dict[str, dict[str, str]] = {
    "elasticmq": {
        "MessageRetentionPeriod": "taken, not told",
        "MaximumMessageSize": "taken, not told",
        "KmsMasterKeyId": "refused",
        "KmsDataKeyReusePeriodSeconds": "refused",
        "SqsManagedSseEnabled": "refused",
        "RedriveAllowPolicy": "refused",
        "ContentBasedDeduplication": "refused",
        "DeduplicationScope": "refused",
        "FifoThroughputLimit": "refused",
        "ListQueues MaxResults": "ignored",
    },
    "moto": {"RedriveAllowPolicy": "taken, not told"},
}
"""What is not as the model has it; besides, moto does not tell DeadLetterQueueSourceArn (a test of its own below)."""


@pytest.fixture(params=["elasticmq", "moto"])
def server(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A server's name and endpoint."""
    fixture = "sqs_endpoint" if request.param == "elasticmq" else "moto_server"
    return request.param, request.getfixturevalue(fixture)


@pytest.fixture
def world(server: tuple[str, str], unique: Names) -> Iterator[World]:
    with sqs_world.world(server[1], unique("conf")) as made:
        yield made


@pytest.fixture
def session(server: tuple[str, str], tmp_path: Path) -> Iterator[Session]:
    with sqs_world.session(server[1], tmp_path) as opened:
        yield opened


# ---------------------------------------------------------------- what differs


def measured(client: Any, url: str, fifo: bool) -> dict[str, str]:
    """Which attributes a server refuses, or takes and does not tell again."""
    found = {}
    for name, value in (SETTABLE_FIFO if fifo else SETTABLE).items():
        try:
            client.set_queue_attributes(QueueUrl=url, Attributes={name: value})
        except client.exceptions.ClientError:
            found[name] = "refused"
            continue
        told = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        if name not in told:
            found[name] = "taken, not told"
        elif json.dumps(told[name]) != json.dumps(value):
            found[name] = f"told as {told[name]}"
    return found


def test_the_list_of_differences_is_what_is_measured(server: tuple[str, str], unique: Names) -> None:
    name, endpoint = server
    client = sqs_world.plain_client(endpoint)
    plain = sqs_world.create(client, unique("differs"))
    fifo = sqs_world.create(client, unique("differs") + ".fifo")
    found = measured(client, plain, fifo=False) | measured(client, fifo, fifo=True)

    known = client.meta.service_model.shape_for("QueueAttributeName").enum
    told = client.get_queue_attributes(QueueUrl=fifo, AttributeNames=["All"])["Attributes"]
    found |= {f"attribute {name}": "not in the model" for name in told if name not in known}

    client.send_message(
        QueueUrl=plain, MessageBody="x",
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}},
    )  # fmt: skip
    time.sleep(1.1)  # the queue's own delay, set above
    (message,) = client.receive_message(
        QueueUrl=plain, MessageSystemAttributeNames=["All"], WaitTimeSeconds=5, VisibilityTimeout=0
    )["Messages"]
    for wanted in ("SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp",
                   "AWSTraceHeader"):  # fmt: skip
        if wanted not in message["Attributes"]:
            found[f"system attribute {wanted}"] = "not told"
    more = client.list_queues(MaxResults=1, QueueNamePrefix=fifo.rsplit("/", 1)[1].split("-")[0])
    if len(more["QueueUrls"]) != 1:
        found["ListQueues MaxResults"] = "ignored"
    for url in (plain, fifo):
        client.delete_queue(QueueUrl=url)
    assert found == DIFFERS[name]


def test_dead_letters_name_their_source_only_where_the_server_tells_it(
    session: Session, world: World, server: tuple[str, str]
) -> None:
    world.fill(["x"], url=world.url)
    for _ in range(4):
        world.client.receive_message(QueueUrl=world.url, VisibilityTimeout=0)
    seen = inspect.dead_letter(session, f"sqs:{world.dlq}", by=("source",))
    (found,) = seen.letters.clusters
    told = f"from {world.name}" if server[0] == "elasticmq" else "from a source that is not told"
    assert found.label == told and found.count == 1
    assert seen.letters.source == (world.name,)  # the relation itself is known either way


# ---------------------------------------------------------------- the same on both


def test_counts_relations_and_settings(session: Session, world: World) -> None:
    world.fill(["a", "b", "c"])
    world.client.receive_message(QueueUrl=world.dlq_url, VisibilityTimeout=60)
    world.client.tag_queue(QueueUrl=world.url, Tags={"team": "shop"})
    dead, queue = inspect.queue(session, world.dlq), inspect.queue(session, f"sqs:{world.name}")
    assert (dead.visible, dead.in_flight, dead.delayed, dead.dlq_of) == (2, 1, 0, (world.name,))
    assert (queue.dlq, queue.dlq_count, queue.max_receive) == (world.dlq, 3, 3)
    labels = [label for label, _ in queue_facts.pairs(queue)]
    assert {"visibility timeout", "retention", "encryption"} <= set(labels)
    assert queue_facts.attribute(queue, "VisibilityTimeout") is None  # told as itself, not twice


def test_a_pattern_and_a_tag_limit_what_is_listed(server: tuple[str, str], world: World) -> None:
    world.client.tag_queue(QueueUrl=world.url, Tags={"team": world.name, "env": "test"})

    def names(**limits: Any) -> list[str]:
        client = SqsClient(SqsSettings(region="eu-west-1", endpoint_url=server[1], **limits))
        try:
            return [queue.name for queue in client.snapshot().queues]
        finally:
            client.close()

    assert names(queues=(f"{world.name}*",)) == sorted([world.name, world.dlq])
    assert names(queues=("nothing-*", f"*{world.name[4:]}-dlq")) == [world.dlq]
    assert names(tags={"team": world.name}) == [world.name]
    assert names(queues=(f"{world.name}*",), tags={"team": "another"}) == []


def test_requests_are_counted_as_they_go_out(server: tuple[str, str], world: World) -> None:
    client = SqsClient(SqsSettings(region="eu-west-1", endpoint_url=server[1], queues=(f"{world.name}*",)))
    sent: list[str] = []
    client.raw().meta.events.register(
        "before-send.sqs", lambda request, **_: sent.append(request.headers["X-Amz-Target"])
    )
    client.snapshot()
    assert len(sent) == client.spent.requests == 3
    client.snapshot(watched={world.name})
    assert len(sent) == client.spent.requests == 3  # seen a moment ago: nothing is due
    client.hurry()
    snapshot = client.snapshot(watched={world.name})
    assert len(sent) == client.spent.requests == snapshot.requests_so_far == 6
    assert snapshot.dollars_so_far == pytest.approx(6 * 0.40 / 1e6)
    client.close()


def test_a_look_is_swept_once_and_browsed_for_ever(session: Session, world: World) -> None:
    bodies = [json.dumps({"n": n, "kind": "even" if n % 2 == 0 else "odd"}) for n in range(35)]
    world.fill(bodies)
    first = inspect.dead_letter(session, f"sqs:{world.dlq}")
    assert first.whole and len(first.messages) == 35
    spent = session.require_sqs().spent.requests
    kept = inspect.peek(session, world.dlq, 200, again=False)
    odd = inspect.kept(session, world.dlq, Where("body.kind == 'odd'"))
    assert session.require_sqs().spent.requests == spent  # opened and filtered again: not one request
    assert {m.id for m in kept.messages} == {m.id for m in first.messages} and kept.note.endswith("; read just now")
    assert len(odd.messages) == 17 and odd.note.startswith("17 of those fit: 35 seen")
    assert {m.receive_count for m in kept.messages} == {1}
    assert world.counts(world.dlq_url) == (35, 0)
    again = inspect.dead_letter(session, f"sqs:{world.dlq}", where="body.n < 5", by=("shape",))
    assert [c.label for c in again.letters.clusters] == ["JSON with kind, n"] and len(again.messages) == 5
    assert {m.receive_count for m in again.messages} == {2}  # that one was a sweep of its own
    with pytest.raises(UsageError, match="not a CEL expression"):
        inspect.dead_letter(session, f"sqs:{world.dlq}", where="body.n <")
    with pytest.raises(NotFound, match="logq queue peek"):
        inspect.kept(session, world.name)


def test_coverage_never_says_all_when_it_is_not(session: Session, world: World) -> None:
    world.fill([str(n) for n in range(30)])
    part = inspect.peek(session, world.dlq, 12)
    assert not part.whole and part.note.startswith("12 of ~30 seen")
    world.client.receive_message(QueueUrl=world.dlq_url, MaxNumberOfMessages=3, VisibilityTimeout=60)
    rest = inspect.peek(session, world.dlq, 100)
    assert not rest.whole and "of ~30 seen" in rest.note


def test_fifo_groups_hide_behind_their_heads(server: tuple[str, str], session: Session, unique: Names) -> None:
    with sqs_world.world(server[1], unique("conf"), fifo=True) as fifo:
        fifo.fill([f"{n % 3}-{n}" for n in range(45)], group=lambda body: body[0])
        seen = inspect.peek(session, fifo.dlq, 100)
        assert not seen.whole and "only the first 10 of a group" in seen.note
        assert seen.seen <= 30
        queue = inspect.queue(session, fifo.dlq)
        assert queue.fifo and "deduplicat" in queue_facts.fifo_words(queue)


def test_the_budget_stops_before_the_last_attempt(session: Session, world: World) -> None:
    world.fill(["a", "b"], url=world.url)
    assert inspect.peek(session, world.name, 10).budget.left == 2
    assert inspect.peek(session, world.name, 10).budget.left == 1
    with pytest.raises(Refused, match="1 of 3 attempts left"):
        inspect.peek(session, world.name, 10)
    assert world.counts(world.dlq_url) == (0, 0)


def test_the_budget_holds_from_one_run_to_the_next(server: tuple[str, str], world: World, tmp_path: Path) -> None:
    world.fill(["a", "b"], url=world.url)
    seen = []
    for _ in range(2):
        with sqs_world.session(server[1], tmp_path) as session:
            seen.append(inspect.peek(session, world.name, 10).budget.left)
    assert seen == [2, 1]
    with sqs_world.session(server[1], tmp_path) as session:
        assert inspect.budget(session, world.name).refuse
        with pytest.raises(Refused, match="1 of 3 attempts left"):
            inspect.peek(session, world.name, 10)
    assert world.counts(world.dlq_url) == (0, 0)


def test_what_a_sweep_holds_goes_back_when_the_console_closes(world: World, tmp_path: Path) -> None:
    world.fill([str(n) for n in range(40)])
    held = threading.Event()

    def slow(call: Callable[..., Any], keywords: dict[str, Any]) -> Any:
        held.wait(0.1)
        return call(**keywords)

    with sqs_world.session(world.endpoint, tmp_path, {"receive_message": slow}) as session:
        client, reading = session.require_sqs(), threading.Event()
        look = threading.Thread(target=lambda: client.peek(world.dlq, 40, on_progress=lambda n: reading.set()))
        look.start()
        assert reading.wait(20)
        began = time.monotonic()
        session.close()
        assert time.monotonic() - began < 1.0
        look.join(10)
    assert world.counts(world.dlq_url) == (40, 0)


def test_ctrl_c_gives_back_what_a_look_has_leased(world: World, tmp_path: Path) -> None:
    world.fill([str(n) for n in range(60)])
    # A process of its own, whose main thread is interrupted while its sweep is under way.
    program = f"""
import _thread, sys
from console.config import Settings, SqsSettings
from console.ops import inspect
from console.ops.session import Session
from pathlib import Path
sqs = SqsSettings(region="eu-west-1", endpoint_url={world.endpoint!r})
session = Session(Settings(sqs=sqs, state_dir=Path({str(tmp_path)!r})))
inspect.queue(session, {world.dlq!r})
try:
    inspect.peek(session, {world.dlq!r}, 60, on_progress=lambda n: _thread.interrupt_main() if n == 10 else None)
except KeyboardInterrupt:
    print("stopped")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "stopped\n", done.stderr
    assert world.counts(world.dlq_url) == (60, 0)


def test_cloudwatch_is_asked_for_what_is_on_the_screen(moto_server: str, unique: Names) -> None:
    name = unique("age")
    plain = sqs_world.plain_client(moto_server)
    url = sqs_world.create(plain, name)
    plain.send_message(QueueUrl=url, MessageBody="x")
    sqs_world.create(plain, f"{name}-empty")
    cloudwatch: Any = boto3.client("cloudwatch", endpoint_url=moto_server, region_name="eu-west-1")
    cloudwatch.put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateAgeOfOldestMessage", "Value": 93.0,
                "Timestamp": datetime.now(UTC) - timedelta(minutes=2),
                "Dimensions": [{"Name": "QueueName", "Value": name}],
            }
        ],
    )  # fmt: skip
    settings = SqsSettings(
        region="eu-west-1", endpoint_url=moto_server, cloudwatch_endpoint_url=moto_server, queues=(f"{name}*",)
    )
    client = SqsClient(settings)
    ages = {queue.name: (queue.oldest_seconds, queue.oldest_reason) for queue in client.snapshot().queues}
    assert ages == {name: (93.0, ""), f"{name}-empty": (None, "it is empty")}
    assert client.spent.metrics == 1  # the empty one has no oldest message to ask for
    assert client.queue(name).oldest_seconds == 93.0
    client.close()


# ---------------------------------------------------------------- several connections


def test_several_connections_stand_side_by_side(
    sqs_endpoint: str, moto_server: str, unique: Names, tmp_path: Path
) -> None:
    name = unique("twice")
    with sqs_world.world(sqs_endpoint, name) as here, sqs_world.world(moto_server, name) as there:
        here.fill(["a"])
        there.fill(["b", "c"])
        only = sqs_world.create(there.client, f"{name}-only")
        limits = (f"{name}*",)
        settings = Settings(
            sqs=SqsSettings(region="eu-west-1", endpoint_url=sqs_endpoint, name="eu", queues=limits),
            sqs_more=(SqsSettings(region="eu-west-1", endpoint_url=moto_server, name="us", queues=limits),),
            state_dir=tmp_path,
        )
        session = Session(settings)
        seen = inspect.sqs(session)
        found = {queue.name: queue for queue in seen.queues}
        assert set(found) == {f"{p}/{q}" for p in ("eu", "us") for q in (name, f"{name}-dlq")} | {f"us/{name}-only"}
        assert found[f"eu/{name}"].dlq == f"eu/{name}-dlq" and found[f"us/{name}-dlq"].dlq_of == (f"us/{name}",)
        assert (found[f"eu/{name}-dlq"].visible, found[f"us/{name}-dlq"].visible) == (1, 2)
        targets = {d.target: d.count for d in inspect.dead_letters(None, seen)}
        assert targets == {f"sqs:us/{name}-dlq": 2, f"sqs:eu/{name}-dlq": 1}
        view = inspect.dead_letter(session, f"sqs:us/{name}-dlq")
        assert {m.value for m in view.messages} == {b"b", b"c"} and view.messages[0].target == f"sqs:us/{name}-dlq"
        # A bare name does where one connection alone has it, and is refused where both do.
        assert inspect.queue(session, f"{name}-only").name == f"us/{name}-only"
        with pytest.raises(UsageError, match=f"say sqs:eu/{name} or sqs:us/{name}"):
            inspect.queue(session, name)
        with pytest.raises(UsageError, match="there are eu, us"):
            inspect.queue(session, f"asia/{name}")
        with pytest.raises(NotFound, match="on eu, us"):
            inspect.queue(session, "nowhere")
        there.client.delete_queue(QueueUrl=only)
        session.close()


def test_a_redrive_stays_on_the_connection_its_queue_is_on(
    sqs_endpoint: str, moto_server: str, unique: Names, tmp_path: Path
) -> None:
    from console.ops import jobs, redrive

    name = unique("twice")
    with sqs_world.world(sqs_endpoint, name) as here, sqs_world.world(moto_server, name) as there:
        there.fill(["a", "b"])
        here.fill(["not me"])
        session = Session(
            Settings(
                sqs=SqsSettings(region="eu-west-1", endpoint_url=sqs_endpoint, name="eu"),
                sqs_more=(SqsSettings(region="eu-west-1", endpoint_url=moto_server, name="us"),),
                state_dir=tmp_path,
            )
        )
        plan = redrive.plan(session, f"sqs:us/{name}-dlq", engine="client", limit=1)
        outcome = redrive.run(session, plan)
        assert (outcome.state, outcome.done) == ("done", 1), outcome
        assert session.journal.job(outcome.job).source == f"sqs:us/{name}-dlq"
        assert f"sqs:us/{name}-dlq" in jobs.receipt(session, outcome.job, "md")
        assert there.counts()[0] == 1 and here.counts() == (0, 0) and here.counts(here.dlq_url) == (1, 0)
        with pytest.raises(UsageError, match="not on this SQS connection"):
            redrive.plan(session, f"sqs:us/{name}-dlq", to=f"sqs:eu/{name}")
        session.close()


def test_one_connection_that_is_down_hides_only_its_own_queues(
    sqs_endpoint: str, closed_port: int, unique: Names, tmp_path: Path
) -> None:
    with sqs_world.world(sqs_endpoint, unique("half")) as here:
        down = SqsSettings(region="eu-west-1", endpoint_url=f"http://127.0.0.1:{closed_port}", name="us")
        up = SqsSettings(region="eu-west-1", endpoint_url=sqs_endpoint, name="eu", queues=(f"{here.name}*",))
        session = Session(Settings(sqs=up, sqs_more=(down,), state_dir=tmp_path, timeout=4.0))
        seen = inspect.sqs(session)
        assert [queue.name for queue in seen.queues] == [f"eu/{here.name}", f"eu/{here.dlq}"]
        assert not seen.complete and seen.problems[0].where == "sqs us" and "refused" in seen.problems[0].message
        checks = {check.name: check.ok for check in session.sqs_side().check()}
        assert checks["sqs eu: list queues"] is True and checks["sqs us: list queues"] is False
        session.close()
