"""Redrive on real servers, seen by a client that is not logq's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqs_world
from sqs_world import World, arn_of, create, plain_client

from console.errors import NotFound, Refused, Unreachable, UsageError
from console.model import Outcome, Progress
from console.ops import inspect, jobs, redrive, redrive_native
from console.ops.session import Session

pytestmark = pytest.mark.broker
Names = Callable[[str], str]


@pytest.fixture
def world(sqs_endpoint: str, unique: Names) -> Iterator[World]:
    with sqs_world.world(sqs_endpoint, unique("rd")) as made:
        yield made


@pytest.fixture
def fifo(sqs_endpoint: str, unique: Names) -> Iterator[World]:
    with sqs_world.world(sqs_endpoint, unique("rd"), fifo=True) as made:
        yield made


@pytest.fixture
def session(sqs_endpoint: str, tmp_path: Path) -> Iterator[Session]:
    with sqs_world.session(sqs_endpoint, tmp_path) as opened:
        yield opened


def numbered(count: int, **more: Any) -> list[str]:
    return [json.dumps({"n": n, **more}) for n in range(count)]


def client_run(session: Session, world: World, **plan: Any) -> Outcome:
    return redrive.run(session, redrive.plan(session, world.dlq, engine="client", **plan))


# ---------------------------------------------------------------- the whole way


def test_a_message_arrives_whole(session: Session, world: World) -> None:
    attributes = {
        "raw": {"DataType": "Binary.gif", "BinaryValue": b"\x00\xff"},
        "n": {"DataType": "Number.int", "StringValue": "42"},
        "ü": {"DataType": "String", "StringValue": "ö\n"},
    }
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5f"}}
    world.fill(["bödy"], MessageAttributes=attributes, MessageSystemAttributes=trace)
    world.client.send_message(QueueUrl=world.dlq_url, MessageBody="fair", MessageGroupId="tenant-1")
    outcome = client_run(session, world)
    assert (outcome.state, outcome.done, outcome.failed, outcome.left) == ("done", 2, 0, 0)
    arrived = {message["Body"]: message for message in world.drain()}
    whole = arrived["bödy"]
    assert {k: {x: v[x] for x in v if x in attributes[k]} for k, v in whole["MessageAttributes"].items()} == attributes
    assert whole["Attributes"]["AWSTraceHeader"] == "Root=1-5f"
    assert arrived["fair"]["Attributes"]["MessageGroupId"] == "tenant-1"
    assert world.counts(world.dlq_url) == (0, 0)


def test_the_server_moves_the_whole_queue_when_it_can(session: Session, world: World) -> None:
    world.fill(numbered(120))
    plan = redrive.plan(session, world.dlq)
    assert plan.engine == "native" and plan.total == 120
    outcome = redrive.run(session, plan)
    assert (outcome.state, outcome.done, outcome.left) == ("done", 120, 0)
    assert sorted(message["Body"] for message in world.drain()) == sorted(numbered(120))
    job = session.journal.job(outcome.job)
    assert (job.state, job.done, job.source, job.target) == ("done", 120, f"sqs:{world.dlq}", f"sqs:{world.name}")


def test_without_move_tasks_the_client_engine_serves_and_says_why(
    moto_server: str, unique: Names, tmp_path: Path
) -> None:
    with (
        sqs_world.world(moto_server, unique("rd")) as world,
        sqs_world.session(moto_server, tmp_path) as session,
    ):
        world.fill(numbered(25))
        plan = redrive.plan(session, world.dlq)
        assert plan.engine == "client" and "no native move tasks" in plan.why
        with pytest.raises(UsageError, match="--engine client"):
            redrive.plan(session, world.dlq, engine="native")
        assert redrive.run(session, plan).state == "done"
        assert sorted(message["Body"] for message in world.drain()) == sorted(numbered(25))


def test_large_messages_are_cut_by_bytes(session: Session, world: World) -> None:
    bodies = [json.dumps({"n": n, "pad": "x" * 200_000}) for n in range(10)]
    for body in bodies:
        world.client.send_message(QueueUrl=world.dlq_url, MessageBody=body)
    assert client_run(session, world).state == "done"
    assert sorted(message["Body"] for message in world.drain()) == sorted(bodies)


def test_progress_is_told_and_the_journal_follows(session: Session, world: World) -> None:
    world.fill(numbered(100))
    seen: list[tuple[float, Progress]] = []
    plan = redrive.plan(session, world.dlq, engine="client", rate=60)
    outcome = redrive.run(session, plan, on_progress=lambda p: seen.append((time.monotonic(), p)))
    assert outcome.done == 100 and seen[-1][1].done == 100 and {p.total for _, p in seen} == {100}
    assert [p.done for _, p in seen] == sorted(p.done for _, p in seen)
    took = seen[-1][0] - seen[0][0]
    assert took > 1.2, "faster than 60 a second"
    assert len(seen) <= took * 10 + 3, "more than 10 updates a second"


# ---------------------------------------------------------------- selections


def test_a_filter_takes_its_own_and_releases_the_rest(session: Session, world: World) -> None:
    world.fill(numbered(40, kind="png") + numbered(30, kind="gif") + ["no json"])
    plan = redrive.plan(session, world.dlq, where='body.kind == "png" && body.n < 30')
    assert plan.engine == "client" and plan.total is None
    outcome = redrive.run(session, plan)
    assert (outcome.state, outcome.done) == ("done", 30)
    assert any("41 messages not selected" in line for line in outcome.lines), outcome.lines
    assert any("could not be applied to 1 message" in line for line in outcome.lines), outcome.lines
    assert world.counts(world.dlq_url) == (41, 0)
    assert sorted(message["Body"] for message in world.drain()) == sorted(numbered(30, kind="png"))


def test_ids_and_a_limit(session: Session, world: World) -> None:
    ids = world.fill(numbered(50))
    chosen = [ids[body] for body in numbered(50)[10:13]]
    outcome = redrive.run(session, redrive.plan(session, world.dlq, ids=[*chosen, chosen[0]]))
    assert (outcome.state, outcome.done) == ("done", 3)
    assert sorted(message["Body"] for message in world.drain()) == sorted(numbered(50)[10:13])
    outcome = redrive.run(session, redrive.plan(session, world.dlq, limit=7))
    assert (outcome.state, outcome.done) == ("done", 7)
    assert world.counts() == (7, 0) and world.counts(world.dlq_url) == (40, 0)


def test_a_limit_leaves_ids_that_are_not_called_missing(session: Session, world: World) -> None:
    chosen = list(world.fill(numbered(6)).values())
    planned = redrive.plan(session, world.dlq, ids=chosen, limit=2)
    assert ("what", "6 messages by id, of ~6, at most 2") in redrive.view(planned).facts
    outcome = redrive.run(session, planned)
    assert (outcome.state, outcome.done) == ("done", 2)
    assert not [line for line in outcome.lines if "not found" in line]


def test_an_id_that_is_not_there_is_told(session: Session, world: World) -> None:
    world.fill(numbered(3))
    outcome = redrive.run(session, redrive.plan(session, world.dlq, ids=["not-there"]))
    assert outcome.done == 0 and outcome.state != "done"
    assert any("not found: not-there" in line for line in outcome.lines)
    assert world.counts(world.dlq_url) == (3, 0)


def test_another_destination(session: Session, world: World, unique: Names) -> None:
    url = create(world.client, unique("other"))
    world.fill(numbered(5))
    plan = redrive.plan(session, f"sqs:{world.dlq}", to=url.rsplit("/", 1)[-1], engine="client")
    assert redrive.run(session, plan).state == "done"
    assert world.counts(url) == (5, 0) and world.counts() == (0, 0)
    world.client.delete_queue(QueueUrl=url)


def test_each_message_returns_to_its_own_source(
    session: Session, sqs_endpoint: str, unique: Names, tmp_path: Path
) -> None:
    client = plain_client(sqs_endpoint)
    dead = create(client, unique("dead"))
    sources = [create(client, unique("src"), arn_of(client, dead), receives=1) for _ in range(2)]
    for number, url in enumerate(sources):
        for n in range(6):
            client.send_message(QueueUrl=url, MessageBody=f"{number}-{n}")
        for _ in range(2):  # the second receive moves them
            client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    plan = redrive.plan(session, dead.rsplit("/", 1)[-1])
    assert plan.engine == "client" and "several sources" in plan.why and len(plan.destinations) == 2
    outcome = redrive.run(session, plan)
    assert (outcome.state, outcome.done) == ("done", 12)
    world = World(client, sqs_endpoint, "", "", "", "")
    for number, url in enumerate(sources):
        assert sorted(message["Body"] for message in world.drain(url)) == [f"{number}-{n}" for n in range(6)]
    # A message that was put there by hand tells no source: it stays, and the outcome says why.
    client.send_message(QueueUrl=dead, MessageBody="by hand")
    outcome = redrive.run(session, redrive.plan(session, dead.rsplit("/", 1)[-1]))
    assert (outcome.state, outcome.done, outcome.failed) == ("failed", 0, 1)
    assert "DeadLetterQueueSourceArn" in outcome.problems[0].message
    assert world.counts(dead) == (1, 0)
    for url in (*sources, dead):
        client.delete_queue(QueueUrl=url)


@pytest.mark.parametrize("answer_takes", [0.0, 0.3])
def test_what_bounces_back_is_not_redriven_for_ever(
    session: Session, sqs_endpoint: str, unique: Names, answer_takes: float
) -> None:
    """Also what is back before the answer to its send is here, which tells the ids of the copies."""
    events = session.require_sqs().sender().meta.events
    events.register("after-call.sqs.SendMessageBatch", lambda **_: time.sleep(answer_takes))
    with sqs_world.world(sqs_endpoint, unique("bounce"), receives=1) as world:
        ids = world.fill(numbered(60))
        stop = threading.Event()

        def fail_at_once() -> None:
            while not stop.is_set():
                world.client.receive_message(QueueUrl=world.url, MaxNumberOfMessages=10, VisibilityTimeout=0)

        consumer = threading.Thread(target=fail_at_once)
        consumer.start()
        # As if the count had been too low or too high, which it may be: what came back is within the planned number.
        plan = replace(redrive.plan(session, world.dlq, engine="client"), count=200)
        outcome = redrive.run(session, plan)
        stop.set()
        consumer.join()
        assert (outcome.state, outcome.done) == ("done", 60)
        assert {entry.key for entry in session.journal.entries(outcome.job)} == set(ids.values())
        assert any("came back" in line for line in outcome.lines), outcome.lines
        left = Counter(message["Body"] for message in world.drain(world.dlq_url) + world.drain())
        assert left == Counter(numbered(60))


# ---------------------------------------------------------------- refusals


def test_what_makes_no_sense_is_refused_before_anything_happens(session: Session, world: World, fifo: World) -> None:
    world.fill(numbered(2))
    for keywords, kind, says in [
        ({"dlq": "nope"}, NotFound, "nope"),
        ({"dlq": world.name}, UsageError, "--to QUEUE"),
        ({"dlq": "kafka:orders.DLT"}, UsageError, "no Kafka side"),
        ({"to": "kafka:orders"}, UsageError, "no Kafka side"),
        ({"to": world.dlq}, UsageError, "is the source"),
        ({"to": fifo.name}, UsageError, "one type"),
        ({"to": "nope"}, NotFound, "nope"),
        ({"engine": "magic"}, UsageError, "native or client"),
        ({"engine": "native", "limit": 3}, UsageError, "selection"),
        ({"engine": "native", "rate": 501}, UsageError, "500"),
        ({"limit": 0}, UsageError, "--limit"),
        ({"rate": -1}, UsageError, "--rate"),
        ({"rate": float("nan")}, UsageError, "--rate"),
        ({"where": "body."}, UsageError, "CEL"),
        ({"ramp": True, "watch": 0.0}, UsageError, "--watch 0"),
        ({"canary": 0}, UsageError, "--canary"),
    ]:
        with pytest.raises(kind, match=says):
            redrive.plan(session, **({"dlq": world.dlq} | keywords))  # type: ignore[arg-type]
    assert world.counts(world.dlq_url) == (2, 0) and session.journal.jobs() == ()


def test_read_only_refuses_everything(sqs_endpoint: str, world: World, tmp_path: Path) -> None:
    world.fill(numbered(2))
    with sqs_world.session(sqs_endpoint, tmp_path, read_only=True) as session:
        plan = redrive.plan(session, world.dlq)
        for act in (
            lambda: redrive.run(session, plan),
            lambda: jobs.resume(session, "x"),
            lambda: jobs.undo(session, "x"),
            lambda: jobs.cancel(session, "x"),
        ):
            with pytest.raises(Refused, match="read-only"):
                act()
        assert session.journal.jobs() == ()
    assert world.counts(world.dlq_url) == (2, 0)


def test_two_operators_cannot_redrive_one_queue(session: Session, world: World, tmp_path: Path) -> None:
    world.fill(numbered(40))
    running = threading.Event()
    cancel = threading.Event()
    plan = redrive.plan(session, world.dlq, engine="client", rate=5)
    outcomes: list[Outcome] = []
    first = threading.Thread(
        target=lambda: outcomes.append(redrive.run(session, plan, cancel, lambda p: running.set()))
    )
    first.start()
    assert running.wait(10)
    with sqs_world.session(world.endpoint, tmp_path) as other:
        (job,) = other.journal.jobs()
        with pytest.raises(Refused, match=job.id):
            redrive.run(other, redrive.plan(other, world.dlq, engine="client"))
        with pytest.raises(Refused, match="is running"):
            jobs.resume(other, job.id)
        # A look would lease messages from under it.
        with pytest.raises(Refused, match=f"not read: .*{job.id}"):
            inspect.dead_letter(other, f"sqs:{world.dlq}")
        with pytest.raises(Refused, match=job.id):
            inspect.peek(other, world.dlq)
        # Another process stops it through the journal.
        assert jobs.cancel(other, job.id).state == "done"
        assert other.journal.job(job.id).state == "cancelled"
    first.join(10)
    assert outcomes[0].state == "cancelled" and not first.is_alive()
    before = outcomes[0].done
    assert 0 < before < 40
    assert world.counts() == (before, 0)
    with pytest.raises(UsageError, match="cannot be undone"):
        jobs.undo(session, job.id)
    plan_again = session.journal.plan(job.id)
    assert plan_again["rate"] == 5
    session.journal._writer.do(
        lambda db: db.execute("UPDATE jobs SET plan = json_set(plan, '$.rate', NULL) WHERE id = ?", (job.id,))
    )
    outcome = jobs.resume(session, job.id)
    assert (outcome.state, outcome.done) == ("done", 40)
    assert Counter(message["Body"] for message in world.drain()) == Counter(numbered(40))
    with pytest.raises(UsageError, match="done"):
        jobs.resume(session, job.id)


def test_a_job_of_another_endpoint_is_not_resumed_here(
    session: Session, world: World, moto_server: str, tmp_path: Path
) -> None:
    world.fill(numbered(3))
    cancel = threading.Event()
    cancel.set()
    outcome = redrive.run(session, redrive.plan(session, world.dlq, engine="client"), cancel)
    assert outcome.state == "cancelled"
    with sqs_world.session(moto_server, tmp_path) as other, pytest.raises(Refused, match="belongs to"):
        jobs.resume(other, outcome.job)


# ---------------------------------------------------------------- FIFO


def test_fifo_order_holds_and_the_copy_is_not_swallowed(session: Session, fifo: World) -> None:
    bodies = numbered(60)
    group = lambda body: str(json.loads(body)["n"] % 5)  # noqa: E731
    # The originals went through the destination minutes ago: their deduplication ids are still remembered there.
    fifo.fill(bodies, url=fifo.url, group=group)
    assert len(fifo.drain()) == 60
    fifo.fill(bodies, group=group)
    plan = redrive.plan(session, fifo.dlq)
    assert plan.engine == "client" and "FIFO" in plan.why
    outcome = redrive.run(session, plan)
    assert (outcome.state, outcome.done) == ("done", 60)
    order = defaultdict(list)
    for message in fifo.drain():
        order[message["Attributes"]["MessageGroupId"]].append(json.loads(message["Body"])["n"])
    assert order == {str(g): list(range(g, 60, 5)) for g in range(5)}


def test_a_fifo_group_stops_at_its_first_failure(fifo: World, tmp_path: Path) -> None:
    bodies = numbered(40)
    fifo.fill(bodies, group=lambda body: str(json.loads(body)["n"] % 4))

    def refuses_13(call: Callable[..., Any], keywords: dict[str, Any]) -> Any:
        bad = [e for e in keywords["Entries"] if json.loads(e["MessageBody"])["n"] == 13]
        rest = [e for e in keywords["Entries"] if e not in bad]
        answer = call(QueueUrl=keywords["QueueUrl"], Entries=rest) if rest else {}
        failed = [{"Id": e["Id"], "Code": "InvalidMessageContents", "SenderFault": True, "Message": "no"} for e in bad]
        return {**answer, "Failed": [*answer.get("Failed", []), *failed]}

    with sqs_world.session(fifo.endpoint, tmp_path, {"send_message_batch": refuses_13}) as session:
        outcome = client_run(session, fifo)
        assert outcome.state == "partly" and outcome.failed == 1 and outcome.left == 6
    order = defaultdict(list)
    for message in fifo.drain():
        order[message["Attributes"]["MessageGroupId"]].append(json.loads(message["Body"])["n"])
    # Group 1 is 1, 5, 9, 13, …: nothing overtook 13.
    assert order == {"0": [*range(0, 40, 4)], "1": [1, 5, 9], "2": [*range(2, 40, 4)], "3": [*range(3, 40, 4)]}
    assert [json.loads(message["Body"])["n"] for message in fifo.drain(fifo.dlq_url)] == [*range(13, 40, 4)]


def test_a_fifo_head_that_fails_is_told_with_what_to_do_and_a_resume_does_not_wait(
    session: Session, fifo: World
) -> None:
    fifo.fill([body if n != 1 else "no json" for n, body in enumerate(numbered(6))], group=lambda body: "g")
    first = client_run(session, fifo, sets=["body.x=1"])
    began = time.monotonic()
    again = jobs.resume(session, first.job)
    assert time.monotonic() - began < 30  # not until the leases of the run before would be over
    for outcome in (first, again):
        assert (outcome.state, outcome.done, outcome.failed, outcome.left) == ("partly", 1, 1, 4), outcome
        said = "\n".join(outcome.lines)
        assert "a FIFO group stops at its first failure" in said and "mend what failed" in said
        assert "job resume" not in said
    assert fifo.counts(fifo.dlq_url) == (5, 0)
    assert [json.loads(message["Body"]) for message in fifo.drain()] == [{"n": 0, "x": 1}]
    # As it says: without the head the rest goes, in order.
    (head,) = fifo.client.receive_message(QueueUrl=fifo.dlq_url)["Messages"]
    assert head["Body"] == "no json"
    fifo.client.delete_message(QueueUrl=fifo.dlq_url, ReceiptHandle=head["ReceiptHandle"])
    assert client_run(session, fifo, sets=["body.x=1"]).state == "done"
    assert [json.loads(message["Body"])["n"] for message in fifo.drain()] == [2, 3, 4, 5]


@pytest.mark.parametrize("by", ["where", "id"])
def test_what_hides_behind_the_heads_of_a_fifo_group_is_told(session: Session, fifo: World, by: str) -> None:
    """Never a false "all": behind the first ten of a group that stay nothing can be seen."""
    ids = fifo.fill(numbered(25), group=lambda body: "g")
    wanted: dict[str, Any] = {"where": "body.n == 24"} if by == "where" else {"ids": [ids[numbered(25)[24]]]}
    outcome = client_run(session, fifo, **wanted)
    assert (outcome.state, outcome.done, outcome.left) == ("failed", 0, None if by == "where" else 1)
    assert session.journal.job(outcome.job).left == outcome.left
    said = "\n".join(outcome.lines)
    assert "15 messages not looked at (by the counts): 1 FIFO group hides behind heads that stay" in said
    assert "redrive or remove those in front" in said and "not found" not in said
    assert "may be among those not looked at" in said or by == "where"
    assert fifo.counts(fifo.dlq_url) == (25, 0)
    # With those in front gone, the job reaches it.
    for _ in range(2):
        got = fifo.client.receive_message(QueueUrl=fifo.dlq_url, MaxNumberOfMessages=10)["Messages"]
        for message in got:
            fifo.client.delete_message(QueueUrl=fifo.dlq_url, ReceiptHandle=message["ReceiptHandle"])
    assert jobs.resume(session, outcome.job).done == 1
    assert [json.loads(message["Body"])["n"] for message in fifo.drain()] == [24]


def test_the_receipt_names_everything(session: Session, world: World) -> None:
    ids = world.fill(numbered(5, note="a|b"))
    outcome = client_run(session, world, where="body.n < 3")
    records = [json.loads(line) for line in jobs.receipt(session, outcome.job, "jsonl").splitlines()]
    head = records[0]
    assert (head["state"], head["done"], head["plan"]["where"]) == ("done", 3, "body.n < 3")
    entries = [record for record in records if record["record"] == "entry"]
    assert {entry["id"] for entry in entries} == {ids[body] for body in numbered(5, note="a|b")[:3]}
    assert {entry["new_id"] for entry in entries} == {message["MessageId"] for message in world.drain()}
    text = jobs.receipt(session, outcome.job, "md")
    assert "body.n < 3" in text and all(entry["id"] in text for entry in entries)
    assert [record["line"].split(":")[0] for record in records if record["record"] == "audit"] == ["started", "ended"]
    with pytest.raises(UsageError, match="md or jsonl"):
        jobs.receipt(session, outcome.job, "pdf")


def test_a_native_move_is_cancelled_and_finished_later(session: Session, world: World) -> None:
    world.fill(numbered(40))
    cancel = threading.Event()
    plan = redrive.plan(session, world.dlq, rate=5)
    assert plan.engine == "native"
    timer = threading.Timer(1.5, cancel.set)
    timer.start()
    outcome = redrive.run(session, plan, cancel)
    timer.cancel()
    assert outcome.state == "cancelled" and 0 < outcome.done < 40 and outcome.left
    visible = world.counts(world.dlq_url)[0]
    time.sleep(1)
    assert world.counts(world.dlq_url)[0] == visible, "it goes on moving"
    with sqs_world.session(world.endpoint, session.settings.state_dir) as other:
        other.journal._writer.do(
            lambda db: db.execute("UPDATE jobs SET plan = json_set(plan, '$.rate', 500) WHERE id = ?", (outcome.job,))
        )
        finished = jobs.resume(other, outcome.job)
        assert (finished.state, finished.done) == ("done", 40)
    assert Counter(message["Body"] for message in world.drain()) == Counter(numbered(40))


def killed_native(session: Session, world: World, rate: float = 10) -> str:
    """A native move whose process dies soon after it has begun: the job's name."""
    script = (
        "import sys; from pathlib import Path; import sqs_world; from console.ops import redrive\n"
        "with sqs_world.session(sys.argv[1], Path(sys.argv[2])) as session:\n"
        "    redrive.run(session, redrive.plan(session, sys.argv[3], engine='native', rate=float(sys.argv[4])))\n"
    )
    words = [world.endpoint, str(session.settings.state_dir), world.dlq, str(rate)]
    # As pytest does, the process finds what the tests share beside them.
    found = {**os.environ, "PYTHONPATH": str(Path(sqs_world.__file__).parent)}
    process = subprocess.Popen([sys.executable, "-c", script, *words], env=found)
    try:
        ends = time.monotonic() + 30
        while world.counts()[0] == 0:
            assert time.monotonic() < ends and process.poll() is None
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    (job,) = session.journal.jobs(1)
    assert job.state == "interrupted"
    return job.id


def test_a_native_move_whose_process_is_gone_is_cancelled(session: Session, world: World) -> None:
    world.fill(numbered(200))
    job = killed_native(session, world)
    visible = world.counts(world.dlq_url)[0]
    time.sleep(1)
    assert world.counts(world.dlq_url)[0] < visible, "the server does not go on, so nothing is proven here"
    outcome = jobs.cancel(session, job)
    moved = sum(world.counts())
    assert (outcome.state, outcome.done, outcome.left) == ("done", moved, 200 - moved)
    assert "is cancelled" in outcome.lines[0] and "what was moved stays moved" in outcome.lines
    assert session.journal.job(job).state == "cancelled"
    time.sleep(1)
    assert sum(world.counts()) == moved, "it goes on moving"
    assert jobs.resume(session, job).state == "done"


def test_a_native_move_that_has_ended_is_not_cancelled_but_told(session: Session, world: World) -> None:
    world.fill(numbered(40))
    job = killed_native(session, world, rate=20)
    arn = arn_of(world.client, world.dlq_url)
    ends = time.monotonic() + 30
    while world.client.list_message_move_tasks(SourceArn=arn)["Results"][0]["Status"] == "RUNNING":
        assert time.monotonic() < ends
        time.sleep(0.2)
    outcome = jobs.cancel(session, job)
    assert (outcome.state, outcome.done, outcome.left) == ("done", 40, 0)
    assert "is done" in outcome.lines[0] and "its task had ended before it could be cancelled" in outcome.lines
    assert session.journal.job(job).state == "done"


def test_a_native_move_that_never_began_is_not_begun_by_its_cancel(
    session: Session, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill(numbered(5))

    def refuses(*args: object) -> None:
        raise Unreachable("cannot start: nobody there")

    with monkeypatch.context() as patched:
        patched.setattr(redrive_native, "_start", refuses)
        failed = redrive.run(session, redrive.plan(session, world.dlq, engine="native"))
    assert failed.state == "failed"
    outcome = jobs.cancel(session, failed.job)
    assert (outcome.state, outcome.done, outcome.left) == ("done", 0, 5)
    assert "is cancelled" in outcome.lines[0] and "lists no task of it" in " ".join(outcome.lines)
    assert world.counts(world.dlq_url) == (5, 0)
