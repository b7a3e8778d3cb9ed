"""Emptying queues on real servers, seen by a client that is not logq's: what is deleted was saved, and comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqs_world
from botocore.exceptions import ConnectionClosedError
from cli_program import logq
from sqs_world import World, create, plain_client

from console.errors import Refused, UsageError
from console.model import Outcome
from console.ops import jobs, purge, purge_undo
from console.ops.session import Session

pytestmark = pytest.mark.broker
Names = Callable[[str], str]


@pytest.fixture
def world(sqs_endpoint: str, unique: Names) -> Iterator[World]:
    with sqs_world.world(sqs_endpoint, unique("pg")) as made:
        yield made


@pytest.fixture
def session(sqs_endpoint: str, tmp_path: Path) -> Iterator[Session]:
    with sqs_world.session(sqs_endpoint, tmp_path) as opened:
        yield opened


def bodies(count: int) -> list[str]:
    return [json.dumps({"n": n}) for n in range(count)]


def restored(session: Session, job: str) -> Outcome:
    return jobs.undo(session, job)


def test_saved_deleted_and_sent_again_whole(session: Session, world: World) -> None:
    attributes = {"raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    world.fill(bodies(25), MessageAttributes=attributes)
    planned = purge.plan(session, world.dlq)
    assert planned.total == 25
    assert purge.view(planned).typed(production=False), "its name has to be typed"
    outcome = purge.run(session, planned)
    assert (outcome.state, outcome.done, outcome.failed, outcome.left) == ("done", 25, 0, 0)
    assert world.counts(world.dlq_url) == (0, 0)
    assert session.journal.job(outcome.job).undoable

    again = restored(session, outcome.job)
    assert (again.state, again.done) == ("done", 25)
    back = world.drain(world.dlq_url)
    assert Counter(m["Body"] for m in back) == Counter(bodies(25))
    assert all(m["MessageAttributes"]["raw"]["BinaryValue"] == b"\x00\xff" for m in back)
    # Once more: everything was sent already, so nothing is.
    assert "sent again already" in purge_undo.idle(purge_undo.plan(session, outcome.job))
    assert "RESTORED" in jobs.receipt(session, outcome.job)


def test_in_flight_is_not_touched(session: Session, world: World) -> None:
    world.fill(bodies(12))
    held = world.client.receive_message(QueueUrl=world.dlq_url, MaxNumberOfMessages=5, VisibilityTimeout=600)
    planned = purge.plan(session, world.dlq)
    outcome = purge.run(session, planned)
    assert (outcome.state, outcome.done) == ("done", 12 - len(held["Messages"]))
    assert world.counts(world.dlq_url) == (0, len(held["Messages"]))


def test_by_sqs_itself(session: Session, world: World) -> None:
    world.fill(bodies(12))
    planned = purge.plan(session, world.dlq, save=False)
    outcome = purge.run(session, planned)
    assert (outcome.state, outcome.done) == ("done", 12)
    assert world.counts(world.dlq_url) == (0, 0)
    with pytest.raises(UsageError, match="saved no message"):
        restored(session, outcome.job)


def test_a_second_purge_within_a_minute_is_said(moto_server: str, unique: Names, tmp_path: Path) -> None:
    client = plain_client(moto_server)
    name = unique("again")
    url = create(client, name)
    client.send_message(QueueUrl=url, MessageBody="x")
    client.purge_queue(QueueUrl=url)
    client.send_message(QueueUrl=url, MessageBody="y")
    with sqs_world.session(moto_server, tmp_path) as session:
        outcome = purge.run(session, purge.plan(session, name, save=False))
        assert outcome.state == "failed"
        assert "one a minute" in outcome.lines[0]
        assert outcome.problems[0].code == "PurgeQueueInProgress"
        # What SQS does not do, logq does message by message.
        assert purge.run(session, purge.plan(session, name)).done == 1


def test_fifo_order_comes_back(sqs_endpoint: str, unique: Names, tmp_path: Path) -> None:
    with sqs_world.world(sqs_endpoint, unique("pg"), fifo=True) as world:
        world.fill(bodies(24), group=lambda body: f"g{json.loads(body)['n'] % 3}")
        with sqs_world.session(sqs_endpoint, tmp_path) as session:
            outcome = purge.run(session, purge.plan(session, world.dlq))
            assert (outcome.state, outcome.done) == ("done", 24)
            assert restored(session, outcome.job).done == 24
        back = [json.loads(m["Body"])["n"] for m in world.drain(world.dlq_url)]
    assert sorted(back) == list(range(24)), "deduplication swallowed none"
    assert all([n for n in back if n % 3 == g] == list(range(g, 24, 3)) for g in range(3))


def test_what_makes_no_sense_is_refused(sqs_endpoint: str, unique: Names, session: Session, world: World) -> None:
    with pytest.raises(UsageError, match="topic"):
        purge.plan(session, "kafka:orders")
    dlq = sqs_world.arn_of(world.client, world.dlq_url)
    once = unique("once")
    url = create(world.client, once, dlq, receives=1)
    with pytest.raises(Refused, match="allows 1 receive"):
        purge.plan(session, once)
    world.client.delete_queue(QueueUrl=url)
    assert "holds no visible message" in purge.idle(purge.plan(session, world.name))


def test_read_only_refuses(world: World, sqs_endpoint: str, tmp_path: Path) -> None:
    world.fill(bodies(3))
    with sqs_world.session(sqs_endpoint, tmp_path, read_only=True) as session:
        planned = purge.plan(session, world.dlq)
        with pytest.raises(Refused, match="read-only"):
            purge.run(session, planned)
    assert world.counts(world.dlq_url) == (3, 0)


def test_a_redrive_and_a_purge_do_not_share_a_queue(session: Session, world: World) -> None:
    world.fill(bodies(3))
    planned = purge.plan(session, world.dlq)
    with session.journal.lock(planned.source, "somebody", planned.endpoint), pytest.raises(Refused, match="somebody"):
        purge.run(session, planned)
    assert world.counts(world.dlq_url) == (3, 0)


def test_the_program_plans_purges_and_undoes(world: World, sqs_endpoint: str) -> None:
    world.fill(bodies(7))
    where = ("--endpoint-url", sqs_endpoint, "--region", "eu-west-1")
    plan = logq("queue", "purge", world.dlq, *where, "-o", "json").json["plan"]
    assert (plan["kind"], plan["total"], plan["saved"]) == ("purge", 7, True)
    assert "they will not get" in logq("queue", "purge", world.dlq, *where).out
    assert world.counts(world.dlq_url) == (7, 0), "a plan changes nothing"
    refused = logq("queue", "purge", world.dlq, *where, "--execute")
    assert (refused.code, "add --yes" in refused.line) == (3, True)
    done = logq("queue", "purge", world.dlq, *where, "--execute", "--yes", "-o", "json").json["outcome"]
    assert (done["state"], done["done"]) == ("done", 7)
    assert world.counts(world.dlq_url) == (0, 0)
    again = logq("job", "undo", done["job"], *where, "--execute", "--yes")
    assert (again.code, "7 messages sent to" in again.out) == (0, True), again.err
    assert world.counts(world.dlq_url) == (7, 0)
    assert "no queue" in logq("queue", "purge", "nope", *where).line


def test_cancelled_when_all_is_gone_it_is_done(session: Session, world: World) -> None:
    world.fill(bodies(30))
    stop = threading.Event()
    planned = purge.plan(session, world.dlq)
    outcome = purge.run(session, planned, stop, lambda seen: stop.set() if seen.done == 30 else None)
    assert stop.is_set()
    assert (outcome.state, outcome.done, outcome.left) == ("done", 30, 0)


def test_cancelled_and_resumed(session: Session, world: World) -> None:
    world.fill(bodies(200))
    stop = threading.Event()
    outcome = purge.run(session, purge.plan(session, world.dlq), stop, lambda seen: stop.set() if seen.done else None)
    if outcome.state == "cancelled":
        outcome = jobs.resume(session, outcome.job)
    assert (outcome.state, outcome.done) == ("done", 200)
    assert restored(session, outcome.job).done == 200
    assert Counter(m["Body"] for m in world.drain(world.dlq_url)) == Counter(bodies(200))


def test_an_undo_whose_answer_was_lost_names_what_may_be_twice(world: World, sqs_endpoint: str, tmp_path: Path) -> None:
    world.fill(bodies(10))
    lost = [True]

    def fault(call: Callable[..., Any], keywords: dict[str, Any]) -> Any:
        answer = call(**keywords)
        if lost.pop() if lost else False:
            raise ConnectionClosedError(endpoint_url="http://x")
        return answer

    with sqs_world.session(sqs_endpoint, tmp_path, faults={"send_message_batch": fault}) as session:
        job = purge.run(session, purge.plan(session, world.dlq)).job
        outcome = restored(session, job)
        assert outcome.state == "failed"
        finished = jobs.resume(session, outcome.job)
        assert (finished.state, finished.done) == ("done", 10)
        assert any("may be in the queue twice" in line for line in finished.lines)
        assert all(entry.ambiguous for entry in session.journal.entries(job, data=False))
    assert set(Counter(m["Body"] for m in world.drain(world.dlq_url))) == set(bodies(10))


_PURGE = """
import sys
from pathlib import Path
from console.config import Settings, SqsSettings
from console.ops import jobs, purge
from console.ops.session import Session
endpoint, state, queue, job = sys.argv[1:5]
session = Session(Settings(sqs=SqsSettings(region="eu-west-1", endpoint_url=endpoint), state_dir=Path(state)))
if job == "-":
    outcome = purge.run(session, purge.plan(session, queue, lease_seconds=3))
else:
    outcome = jobs.resume(session, job)
print(outcome.state)
"""


@pytest.mark.timeout(120)
def test_killed_and_resumed_nothing_is_deleted_that_was_not_saved(
    world: World, sqs_endpoint: str, tmp_path: Path
) -> None:
    wanted = set(bodies(1_500))
    world.fill(sorted(wanted))
    job = "-"
    with sqs_world.session(sqs_endpoint, tmp_path) as session:
        for share in (0.1, 0.4, 0.7, None):
            child = subprocess.Popen(
                [sys.executable, "-c", _PURGE, sqs_endpoint, str(tmp_path), world.dlq, job], stdout=subprocess.PIPE
            )
            if share is None:
                assert child.communicate(timeout=90)[0].split() == [b"done"]
                break
            while child.poll() is None:
                job = next((found.id for found in session.journal.jobs()), "-")
                if job != "-" and sum(session.journal.counts(job).values()) >= share * len(wanted):
                    break
                time.sleep(0.02)
            os.kill(child.pid, signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL, "it was killed in the middle"
            saved = sum(session.journal.counts(job).values())
            visible, in_flight = world.counts(world.dlq_url)
            assert visible + in_flight + saved >= len(wanted), "something is gone that was not saved"
    assert world.counts(world.dlq_url) == (0, 0)
    with sqs_world.session(sqs_endpoint, tmp_path) as session:
        assert session.journal.counts(job) == {"DELETED": len(wanted)}
        assert restored(session, job).done == len(wanted)
    assert Counter(m["Body"] for m in world.drain(world.dlq_url)) == Counter(dict.fromkeys(wanted, 1))
