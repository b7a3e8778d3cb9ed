"""A dead-letter queue with a dead-letter queue of its own: reading what stays there uses up its receives.

Every session here is one of its own process's, as `logq` called again and again is: what one used up another must know.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqs_world
from cli_program import Ended, logq
from sqs_world import World, arn_of, create, plain_client

from console.errors import Refused
from console.model import Outcome
from console.ops import inspect, jobs, redrive, redrive_plan
from console.ops.session import Session

pytestmark = pytest.mark.broker
Names = Callable[[str], str]


@contextmanager
def chained(endpoint: str, name: str, receives: int) -> Iterator[tuple[World, str]]:
    """A queue with its dead-letter queue, which has one of its own after `receives`: the URL of that."""
    client = plain_client(endpoint)
    last = create(client, f"{name}-dd")
    dlq = create(client, f"{name}-d", arn_of(client, last), receives)
    source = create(client, name, arn_of(client, dlq), 1)
    try:
        yield World(client, endpoint, name, source, f"{name}-d", dlq), last
    finally:
        for url in (source, dlq, last):
            client.delete_queue(QueueUrl=url)


@pytest.fixture
def chain(sqs_endpoint: str, unique: Names) -> Iterator[tuple[World, str]]:
    with chained(sqs_endpoint, unique("chain"), 2) as made:
        yield made


def numbered(count: int) -> list[str]:
    return [json.dumps({"n": n}) for n in range(count)]


def once(world: World, state: Path, **plan: Any) -> Outcome:
    """A redrive by a process of its own."""
    with sqs_world.session(world.endpoint, state) as session:
        return redrive.run(session, redrive.plan(session, world.dlq, **plan))


def test_a_selection_is_refused_when_what_stays_has_one_receive_left(chain: tuple[World, str], tmp_path: Path) -> None:
    world, last = chain
    world.fill(numbered(4))
    assert once(world, tmp_path, where="body.n > 100").state == "done"
    for more in ({"where": "body.n > 100"}, {"ids": ["some"]}, {"where": "body.n > 100", "limit": 1}):
        with pytest.raises(Refused, match=r"1 of 2 attempts left.*raise its maxReceiveCount first, or force it"):
            once(world, tmp_path, **more)
    with sqs_world.session(world.endpoint, tmp_path) as session:
        with pytest.raises(Refused, match="1 of 2 attempts left"):
            inspect.peek(session, world.dlq)
        plan = redrive.plan(session, world.dlq, where="body.n > 100", force=True)
        assert " --force " in plan.command
        with pytest.raises(Refused, match="1 of 2 attempts left"):
            redrive.run(session, replace(plan, force=False))
    assert world.counts(world.dlq_url) == (4, 0) and world.counts(last) == (0, 0)
    # All of it reads nothing that stays, and a part of it without a choice neither.
    assert once(world, tmp_path, limit=1, engine="client").done == 1
    assert once(world, tmp_path, engine="client").done == 3
    assert sum(world.counts()) == 4


def test_a_resume_keeps_the_budget_too(chain: tuple[World, str], tmp_path: Path) -> None:
    world, last = chain
    ids = list(world.fill(numbered(4)).values())
    cancel = threading.Event()
    with sqs_world.session(world.endpoint, tmp_path) as session:
        plan = redrive.plan(session, world.dlq, ids=ids[:3], rate=2)
        stopped = redrive.run(session, plan, cancel, lambda progress: cancel.set() if progress.done else None)
        job = stopped.job
        assert stopped.state == "cancelled"
    with sqs_world.session(world.endpoint, tmp_path) as session:
        with suppress(Refused):  # when the run has read something that stays already
            inspect.peek(session, world.dlq)
        with pytest.raises(Refused, match="1 of 2 attempts left"):
            jobs.resume(session, job)
        assert jobs.resume(session, job, force=True).done == 3
    assert sum(world.counts()) == 3 and world.counts(last) == (0, 0)


def test_what_a_forced_selection_moves_on_is_told(chain: tuple[World, str], tmp_path: Path) -> None:
    world, last = chain
    world.fill(numbered(4))
    for _ in range(2):
        assert once(world, tmp_path, where="body.n > 100", force=True).state == "done"
    outcome = once(world, tmp_path, where="body.n > 100", force=True)
    assert world.counts(last) == (4, 0)
    assert outcome.state == "failed"
    assert any(line.startswith("4 of the ~4 that were counted were not met with") for line in outcome.lines)


def test_a_selection_stops_where_somebody_else_has_used_up_the_receives(
    chain: tuple[World, str], tmp_path: Path
) -> None:
    """Nothing here knows of the other reader: the first message is received alone and tells."""
    world, last = chain
    world.fill(numbered(30))
    read = 0
    while read < 30:
        got = world.client.receive_message(QueueUrl=world.dlq_url, MaxNumberOfMessages=10, VisibilityTimeout=5)
        read += len(got["Messages"])
    ends = time.monotonic() + 20
    while world.counts(world.dlq_url) != (30, 0):
        assert time.monotonic() < ends
        time.sleep(0.2)
    with sqs_world.session(world.endpoint, tmp_path) as session:
        plan = redrive.plan(session, world.dlq, where="body.n > 100")
        outcome = redrive.run(session, plan)
    assert outcome.state == "failed" and "no receive left" in " ".join(outcome.lines)
    # Only the one that was read has none left: of the others each bears the receive that takes it out here.
    assert world.counts(last) == (0, 0)
    assert len(world.drain(world.dlq_url)) == 29 and world.counts(last) == (1, 0)


def test_a_look_back_is_no_clean_bill_where_the_queue_could_not_be_read(
    chain: tuple[World, str], tmp_path: Path
) -> None:
    world, last = chain
    world.fill(numbered(4))
    outcome = once(world, tmp_path, where="body.n == 0", watch=1.0)
    assert outcome.done == 1
    assert any(line.startswith("whether any of 1 came back is not known") for line in outcome.lines), outcome.lines
    with sqs_world.session(world.endpoint, tmp_path) as session, pytest.raises(Refused, match="1 of 2 attempts left"):
        jobs.verify(session, outcome.job)
    assert world.counts(world.dlq_url) == (3, 0) and world.counts(last) == (0, 0)
    for _ in range(3):
        with sqs_world.session(world.endpoint, tmp_path) as session:
            found = jobs.verify(session, outcome.job, force=True)
            assert not found.whole and found.looked
            assert "has moved on and is not seen" in " ".join(found.lines)
    assert world.counts(last) == (3, 0)


def test_a_ramp_does_not_go_on_when_it_could_not_look(chain: tuple[World, str], tmp_path: Path) -> None:
    world, _ = chain
    world.fill(numbered(12))
    outcome = once(world, tmp_path, where="body.n < 11", canary=2, ramp=True, watch=1.0)
    assert outcome.state in ("paused", "partly") and outcome.done < 11
    assert not any(line.startswith("none of") for line in outcome.lines), outcome.lines


def test_the_plan_reads_to_show_an_edit_and_that_counts(chain: tuple[World, str], tmp_path: Path) -> None:
    world, last = chain
    world.fill(numbered(4))
    for _ in range(3):
        with sqs_world.session(world.endpoint, tmp_path) as session:
            plan = redrive.plan(session, world.dlq, sets=["body.m=1"])
            assert isinstance(plan, redrive_plan.RedrivePlan)
    assert "refused to peek" in plan.diff_note
    assert world.counts(last) == (0, 0)


def test_the_command_line_refuses_and_forces(chain: tuple[World, str], tmp_path: Path) -> None:
    world, _ = chain
    world.fill(numbered(4))
    where = ("--endpoint-url", world.endpoint, "--region", "eu-west-1")
    env = {"XDG_STATE_HOME": str(tmp_path), "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}

    def call(*words: str) -> Ended:
        return logq(*where, *words, env=env)

    def select(*words: str) -> Ended:
        return call("dlq", "redrive", world.dlq, "--where", "body.n == 0", "--execute", "--yes", *words)

    first = select()
    assert first.code == 0
    job = first.out.split("job: ")[1].split()[0]
    refused = select()
    assert refused.code == 3 and "1 of 2 attempts left" in refused.line and "(--force)" in refused.line
    verified = call("job", "verify", job)
    assert verified.code == 3 and "1 of 2 attempts left" in verified.line and "(--force)" in verified.line
    forced = call("job", "verify", job, "--force", "-o", "json")
    assert forced.code == 4 and forced.json["verified"]["whole"] is False
    assert select("--force").code in (0, 1)


@pytest.fixture
def session(sqs_endpoint: str, tmp_path: Path) -> Iterator[Session]:
    with sqs_world.session(sqs_endpoint, tmp_path) as opened:
        yield opened


def test_a_policy_that_leaves_enough_stands_in_no_ones_way(session: Session, sqs_endpoint: str, unique: Names) -> None:
    with chained(sqs_endpoint, unique("roomy"), 10) as (world, last):
        world.fill(numbered(40))
        outcome = redrive.run(session, redrive.plan(session, world.dlq, where="body.n < 30", watch=1.0))
        assert (outcome.state, outcome.done) == ("done", 30)
        assert any("none of 30 came back yet: 30 still wait" in line for line in outcome.lines)
        assert world.counts(world.dlq_url) == (10, 0) and world.counts(last) == (0, 0)
