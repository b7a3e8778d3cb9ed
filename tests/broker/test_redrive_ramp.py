"""Canary, ramp, breaker and bounce proof: consumers that fail, seen by what comes back to the dead-letter queue."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqs_world
from cli_program import logq
from sqs_world import World, arn_of, create, plain_client

from console.model import Progress
from console.ops import jobs, redrive
from console.ops.session import Session

pytestmark = pytest.mark.broker
Names = Callable[[str], str]


class Consumer:
    """Reads the queue all the time; deletes what `good` likes and lets the rest come again at once."""

    def __init__(self, world: World, good: Callable[[Any], bool]) -> None:
        self.good = good
        self.handled: list[Any] = []
        self._world = world
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        client = plain_client(self._world.endpoint)
        while not self._stop.is_set():
            got = client.receive_message(QueueUrl=self._world.url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in got.get("Messages", []):
                handle = {"QueueUrl": self._world.url, "ReceiptHandle": message["ReceiptHandle"]}
                if self.good(json.loads(message["Body"])):
                    client.delete_message(**handle)
                    self.handled.append(json.loads(message["Body"]))
                else:
                    client.change_message_visibility(**handle, VisibilityTimeout=0)

    def __enter__(self) -> Consumer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)


@pytest.fixture
def world(sqs_endpoint: str, unique: Names) -> Iterator[World]:
    client = plain_client(sqs_endpoint)
    name = unique("ramp")
    dlq_url = create(client, f"{name}-dlq")
    url = create(client, name, arn_of(client, dlq_url), 2, VisibilityTimeout="3")
    yield World(client, sqs_endpoint, name, url, f"{name}-dlq", dlq_url)
    client.delete_queue(QueueUrl=url)
    client.delete_queue(QueueUrl=dlq_url)


@pytest.fixture
def session(sqs_endpoint: str, tmp_path: Path) -> Iterator[Session]:
    with sqs_world.session(sqs_endpoint, tmp_path) as opened:
        yield opened


def numbered(count: int) -> list[str]:
    return [json.dumps({"n": n, "error": f"TimeoutError: resize {n}"}) for n in range(count)]


def test_a_ramp_stops_at_the_first_that_comes_back_and_goes_on_after_the_fix(session: Session, world: World) -> None:
    ids = world.fill(numbered(40))
    planned = redrive.plan(session, world.dlq, ramp=True)
    assert planned.engine == "client" and planned.canary == 5 and "--ramp" in planned.command
    assert planned.window == 3, "the queue's own visibility timeout"
    assert "5 first, waits 3s" in dict(redrive.view(planned).facts)["steps"]
    with Consumer(world, lambda body: False) as consumer:
        waits: list[Progress] = []
        outcome = redrive.run(session, planned, on_progress=lambda p: waits.append(p) if p.note else None)
        assert (outcome.state, outcome.done, outcome.left) == ("paused", 5, 35), outcome.lines
        assert "the fix failed for 5 of 5: 5 × TimeoutError: resize <n>" in outcome.lines
        assert any("looks for what comes back" in wait.note for wait in waits)
        assert any("looking into" in wait.note for wait in waits), "each is told, also one right after another"
        assert all(wait.rate is None for wait in waits), "what waits has no rate, and so no end foretold"
        came_back = {entry.key for entry in session.journal.entries(outcome.job, ["BOUNCED"])}
        assert len(came_back) == 5 and came_back <= set(ids.values())
        text = jobs.receipt(session, outcome.job, "md")
        assert "Came back to the dead-letter queue: 5 of 5" in text and "TimeoutError: resize <n>" in text
        consumer.good = lambda body: True
        again = jobs.resume(session, outcome.job)
    # The first five came back and stay: a resume never sends its own copies again.
    assert (again.state, again.done) == ("done", 40), again.lines
    assert len(consumer.handled) == 35 and world.counts(world.dlq_url) == (5, 0)
    assert session.journal.counts(outcome.job) == {"BOUNCED": 5, "DELETED": 35}


def test_a_ramp_doubles_while_nothing_comes_back(session: Session, world: World) -> None:
    world.fill(numbered(18))
    with Consumer(world, lambda body: True) as consumer:
        outcome = redrive.run(session, redrive.plan(session, world.dlq, ramp=True, canary=3))
    assert (outcome.state, outcome.done) == ("done", 18), outcome.lines
    assert any(line.startswith("none of 18 came back") for line in outcome.lines)
    assert len(consumer.handled) == 18


def test_a_canary_pauses_and_a_resume_sends_the_rest(session: Session, world: World) -> None:
    world.fill(numbered(12))
    with Consumer(world, lambda body: body["n"] % 2 == 0) as consumer:
        outcome = redrive.run(session, redrive.plan(session, world.dlq, canary=4))
        assert (outcome.state, outcome.done, outcome.left) == ("paused", 4, 8), outcome.lines
        consumer.good = lambda body: True
        assert jobs.resume(session, outcome.job).state == "done"


def test_a_ramp_that_nobody_reads_proves_nothing_and_pauses(session: Session, world: World) -> None:
    world.fill(numbered(9))
    outcome = redrive.run(session, redrive.plan(session, world.dlq, ramp=True, canary=2, watch=1.5))
    assert (outcome.state, outcome.done) == ("paused", 2)
    assert any("nothing is proven" in line and "2 waiting" in line for line in outcome.lines), outcome.lines


def test_a_canary_that_does_not_look_pauses_all_the_same(session: Session, world: World) -> None:
    world.fill(numbered(6))
    outcome = redrive.run(session, redrive.plan(session, world.dlq, canary=2, watch=0.0))
    assert (outcome.state, outcome.done, outcome.left) == ("paused", 2, 4), outcome.lines


def test_what_comes_back_later_is_found_by_verify(session: Session, world: World) -> None:
    world.fill(numbered(10))
    outcome = redrive.run(session, redrive.plan(session, world.dlq, engine="client"))
    assert outcome.state == "done" and jobs.bounces(session, outcome.job) == ()
    with Consumer(world, lambda body: body["n"] not in (3, 7)):
        while world.counts(world.dlq_url)[0] < 2 or world.counts() != (0, 0):
            threading.Event().wait(0.2)
    env = {"LOGQ_STATE_DIR": str(session.settings.state_dir)}
    place = ("--endpoint-url", world.endpoint, "--region", "eu-west-1")
    told = logq(*place, "job", "verify", outcome.job, "-o", "json", env=env)
    assert told.code == 5
    assert (told.json["verified"]["came_back"], told.json["verified"]["sent"]) == (2, 10)
    seen = logq(*place, "dlq", "show", world.dlq, "-o", "json", env=env)
    assert f"2 came back from {outcome.job}" in seen.json["note"]
    shown = logq("job", "show", outcome.job, env=env)
    assert "the fix failed for 2 of 10" in shown.out
    assert world.counts(world.dlq_url) == (2, 0), "the look did not release what it leased"


def test_fifo_copies_that_come_back_are_known_as_well(sqs_endpoint: str, unique: Names, session: Session) -> None:
    with sqs_world.world(sqs_endpoint, unique("ramp"), fifo=True, receives=1) as fifo:
        fifo.fill(numbered(6), group=lambda body: str(json.loads(body)["n"] % 3))
        with Consumer(fifo, lambda body: body["n"] % 3 != 1):
            outcome = redrive.run(session, redrive.plan(session, fifo.dlq, watch=15.0))
        assert (outcome.state, outcome.done) == ("done", 6)
        assert session.journal.counts(outcome.job) == {"BOUNCED": 2, "DELETED": 4}, outcome.lines
