"""Redrive when answers get lost, batches fail in part, sums do not match: what no server does on request is injected
around a real one by `sqs_world.Faulty`."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqs_world
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError
from sqs_world import World

from console.model import Outcome
from console.ops import jobs, redrive
from console.ops.session import Session

pytestmark = pytest.mark.broker
Names = Callable[[str], str]
Call = Callable[..., Any]


@pytest.fixture
def world(sqs_endpoint: str, unique: Names) -> Iterator[World]:
    with sqs_world.world(sqs_endpoint, unique("flt")) as made:
        yield made


def bodies(count: int = 30) -> list[str]:
    return [json.dumps({"n": n}) for n in range(count)]


def error(code: str, status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "SendMessageBatch")


class Times:
    """The first `times` calls of a method go through `fault`, later ones through."""

    def __init__(self, times: int, fault: Callable[[Call, dict[str, Any]], Any]) -> None:
        self.left = times
        self.calls = 0
        self.fault = fault
        self.lock = threading.Lock()

    def __call__(self, call: Call, keywords: dict[str, Any]) -> Any:
        with self.lock:
            self.calls += 1
            self.left -= 1
            faulty = self.left >= 0
        return self.fault(call, keywords) if faulty else call(**keywords)


def lost_answer(call: Call, keywords: dict[str, Any]) -> Any:
    call(**keywords)
    raise ConnectionClosedError(endpoint_url="http://x")


def raises(problem: Exception) -> Callable[[Call, dict[str, Any]], Any]:
    def fault(call: Call, keywords: dict[str, Any]) -> Any:
        raise problem

    return fault


def run(session: Session, world: World, **plan: Any) -> Outcome:
    return redrive.run(session, redrive.plan(session, world.dlq, engine="client", **plan))


def ambiguous(session: Session, job: str) -> set[str]:
    return {entry.key for entry in session.journal.entries(job, data=False) if entry.ambiguous}


def test_a_lost_answer_doubles_only_what_is_named(world: World, tmp_path: Path) -> None:
    ids = world.fill(bodies())
    with sqs_world.session(world.endpoint, tmp_path, {"send_message_batch": Times(1, lost_answer)}) as session:
        outcome = run(session, world)
        assert (outcome.state, outcome.done) == ("done", 30)
        named = ambiguous(session, outcome.job)
        assert any("may be at the destination twice" in line for line in outcome.lines)
        assert all(key in jobs.receipt(session, outcome.job, "md") for key in named)
    arrived = Counter(message["Body"] for message in world.drain())
    assert set(arrived) == set(bodies())
    assert {ids[body] for body, times in arrived.items() if times > 1} == named and len(named) == 10


def test_a_lost_answer_on_fifo_doubles_nothing(sqs_endpoint: str, unique: Names, tmp_path: Path) -> None:
    with sqs_world.world(sqs_endpoint, unique("flt"), fifo=True) as fifo:
        fifo.fill(bodies(20), group=lambda body: "g")
        with sqs_world.session(sqs_endpoint, tmp_path, {"send_message_batch": Times(2, lost_answer)}) as session:
            # Twice in a row for the first message: the run stops, and a resume sends under the same id.
            first = run(session, fifo)
            assert first.state in ("failed", "partly") and first.left
            assert jobs.resume(session, first.job).state == "done"
            assert ambiguous(session, first.job) == set()
        assert Counter(message["Body"] for message in fifo.drain()) == Counter(bodies(20))


def test_no_answer_twice_stops_and_a_resume_finishes(world: World, tmp_path: Path) -> None:
    ids = world.fill(bodies())
    faults = {"send_message_batch": Times(10**6, lost_answer)}
    with sqs_world.session(world.endpoint, tmp_path, faults) as session:
        first = run(session, world)
        assert first.state == "failed" and first.left == 30 and "resume" in first.lines[-2]
        faults["send_message_batch"].left = 0
        assert jobs.resume(session, first.job).state == "done"
        named = ambiguous(session, first.job)
    arrived = Counter(message["Body"] for message in world.drain())
    assert set(arrived) == set(bodies())
    assert {ids[body] for body, times in arrived.items() if times > 1} <= named


@pytest.mark.parametrize(
    "problem", [error("RequestThrottled", 503), EndpointConnectionError(endpoint_url="x"), error("AccessDenied", 403)]
)
def test_what_was_certainly_not_sent_is_not_doubled(world: World, tmp_path: Path, problem: Exception) -> None:
    world.fill(bodies())
    faults = {"send_message_batch": Times(2, raises(problem))}
    with sqs_world.session(world.endpoint, tmp_path, faults) as session:
        outcome = run(session, world)
        if outcome.state != "done":
            assert outcome.problems and outcome.left
            outcome = jobs.resume(session, outcome.job)
        assert (outcome.state, outcome.done) == ("done", 30)
        assert ambiguous(session, outcome.job) == set()
    assert Counter(message["Body"] for message in world.drain()) == Counter(bodies())


def test_throttling_is_waited_out(world: World, tmp_path: Path) -> None:
    world.fill(bodies(10))
    throttle = Times(2, raises(error("RequestThrottled")))
    with sqs_world.session(world.endpoint, tmp_path, {"send_message_batch": throttle}) as session:
        assert run(session, world).state == "done"
    assert throttle.calls == 3


def test_a_partial_failure_keeps_what_failed(world: World, tmp_path: Path) -> None:
    world.fill(bodies())

    def first_fails(call: Call, keywords: dict[str, Any]) -> Any:
        first, *rest = keywords["Entries"]
        answer = call(QueueUrl=keywords["QueueUrl"], Entries=rest)
        failed = {"Id": first["Id"], "Code": "InvalidMessageContents", "SenderFault": True, "Message": "bad character"}
        return {**answer, "Failed": [failed]}

    with sqs_world.session(world.endpoint, tmp_path, {"send_message_batch": Times(1, first_fails)}) as session:
        outcome = run(session, world)
        assert (outcome.state, outcome.done, outcome.failed, outcome.left) == ("partly", 29, 1, 0)
        (entry,) = session.journal.entries(outcome.job, ["FAILED"])
        assert entry.note == "bad character" and entry.data
    arrived = [message["Body"] for message in world.drain()]
    kept = [message["Body"] for message in world.drain(world.dlq_url)]
    assert len(arrived) == 29 and Counter(arrived + kept) == Counter(bodies())


def test_a_copy_that_is_damaged_keeps_the_original(world: World, tmp_path: Path) -> None:
    world.fill(bodies(5))

    def wrong_sum(call: Call, keywords: dict[str, Any]) -> Any:
        answer = call(**keywords)
        answer["Successful"][0]["MD5OfMessageBody"] = "0" * 32
        return answer

    with sqs_world.session(world.endpoint, tmp_path, {"send_message_batch": Times(1, wrong_sum)}) as session:
        outcome = run(session, world)
        assert (outcome.state, outcome.done, outcome.failed) == ("partly", 4, 1)
        assert outcome.problems[0].code == "MD5"
    assert world.counts(world.dlq_url) == (1, 0)


def test_a_message_damaged_on_the_way_here_is_read_again_and_never_sent_so(world: World, tmp_path: Path) -> None:
    world.fill(bodies(5))

    def damages(call: Call, keywords: dict[str, Any]) -> Any:
        answer = call(**keywords)
        for message in answer.get("Messages", [])[:1]:
            message["Body"] += "?"
        return answer

    with sqs_world.session(world.endpoint, tmp_path, {"receive_message": Times(1, damages)}) as session:
        assert run(session, world).state == "done"
    assert Counter(message["Body"] for message in world.drain()) == Counter(bodies(5))
    world.fill(bodies(5))
    with sqs_world.session(world.endpoint, tmp_path, {"receive_message": Times(10**6, damages)}) as session:
        outcome = run(session, world)
        assert outcome.done + outcome.failed == 5 and outcome.failed >= 1
    assert all(not message["Body"].endswith("?") for message in world.drain())


def test_a_failed_delete_is_done_by_a_resume_and_nothing_is_sent_again(world: World, tmp_path: Path) -> None:
    world.fill(bodies())
    sends = Times(0, lost_answer)
    deletes = Times(10**6, raises(error("InternalError", 500)))
    with sqs_world.session(
        world.endpoint, tmp_path, {"send_message_batch": sends, "delete_message_batch": deletes}
    ) as session:
        first = run(session, world, lease_seconds=20)
        assert first.state == "failed" and first.done == 0 and first.left == 30
        sent = sum(count for state, count in session.journal.counts(first.job).items() if state == "SENT")
        assert sent == 10 * sends.calls
        deletes.left = 0
        assert jobs.resume(session, first.job).state == "done"
        assert ambiguous(session, first.job) == set()
    assert Counter(message["Body"] for message in world.drain()) == Counter(bodies())
    assert world.counts(world.dlq_url) == (0, 0)


def test_a_delete_that_fails_for_one_message_keeps_it_sent(world: World, tmp_path: Path) -> None:
    world.fill(bodies(10))

    def first_fails(call: Call, keywords: dict[str, Any]) -> Any:
        first, *rest = keywords["Entries"]
        answer = call(QueueUrl=keywords["QueueUrl"], Entries=rest) if rest else {}
        return {**answer, "Failed": [{"Id": first["Id"], "Code": "InternalError", "SenderFault": False}]}

    with sqs_world.session(world.endpoint, tmp_path, {"delete_message_batch": Times(1, first_fails)}) as session:
        assert run(session, world).state == "done"  # the second try deleted it
    assert Counter(message["Body"] for message in world.drain()) == Counter(bodies(10))


def test_a_lease_that_cannot_be_extended_is_not_used(world: World, tmp_path: Path) -> None:
    world.fill(bodies(10))

    def short(call: Call, keywords: dict[str, Any]) -> Any:
        # The answer took so long that hardly anything of the lease is left.
        answer = call(**(keywords | {"VisibilityTimeout": 2}))
        threading.Event().wait(16 if answer.get("Messages") else 0)
        return answer

    faults = {"receive_message": Times(1, short)}
    with sqs_world.session(world.endpoint, tmp_path, faults) as session:
        outcome = run(session, world, lease_seconds=20)
        assert (outcome.state, outcome.done) == ("done", 10)
    assert Counter(message["Body"] for message in world.drain()) == Counter(bodies(10))


def test_nothing_is_sent_once_the_journal_cannot_be_written(world: World, tmp_path: Path) -> None:
    world.fill(bodies())
    sends = Times(0, lost_answer)
    with sqs_world.session(world.endpoint, tmp_path, {"send_message_batch": sends}) as session:
        plan = redrive.plan(session, world.dlq, engine="client")
        journal = session.journal
        journal._writer.do(
            lambda db: db.execute(
                "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
            )
        )
        outcome = redrive.run(session, plan)
        assert outcome.state == "failed" and "disk is full" in " ".join(outcome.lines)
        assert sends.calls == 0
    assert world.counts() == (0, 0)


def test_a_native_start_whose_answer_was_lost_is_found_again(world: World, tmp_path: Path) -> None:
    world.fill(bodies())
    with sqs_world.session(world.endpoint, tmp_path, {"start_message_move_task": Times(1, lost_answer)}) as session:
        outcome = redrive.run(session, redrive.plan(session, world.dlq, engine="native"))
        assert outcome.state == "failed"
        outcome = jobs.resume(session, outcome.job)
        assert (outcome.state, outcome.done, outcome.left) == ("done", 30, 0)
    assert Counter(message["Body"] for message in world.drain()) == Counter(bodies())


def test_a_native_start_that_never_happened_is_made_up_for(world: World, tmp_path: Path) -> None:
    world.fill(bodies())
    fault = Times(1, raises(EndpointConnectionError(endpoint_url="x")))
    with sqs_world.session(world.endpoint, tmp_path, {"start_message_move_task": fault}) as session:
        outcome = redrive.run(session, redrive.plan(session, world.dlq, engine="native"))
        assert outcome.state == "failed" and world.counts(world.dlq_url) == (30, 0)
        assert jobs.resume(session, outcome.job).state == "done"
        assert fault.calls == 2
    assert Counter(message["Body"] for message in world.drain()) == Counter(bodies())


def test_completed_is_no_proof(world: World, tmp_path: Path) -> None:
    world.fill(bodies())

    def pretends(call: Call, keywords: dict[str, Any]) -> Any:
        return {"TaskHandle": "handle"}

    def lists(call: Call, keywords: dict[str, Any]) -> Any:
        return {"Results": [{"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": 30}]} if started else {}

    started: list[int] = []
    faults = {
        "start_message_move_task": lambda c, k: (started.append(1), pretends(c, k))[1],
        "list_message_move_tasks": lists,
    }
    with sqs_world.session(world.endpoint, tmp_path, faults) as session:
        outcome = redrive.run(session, redrive.plan(session, world.dlq, engine="native"))
    assert (outcome.state, outcome.done, outcome.left) == ("failed", 0, 30)


def test_what_nobody_expected_frees_the_queue_again(world: World, tmp_path: Path) -> None:
    world.fill(bodies(3))
    with sqs_world.session(world.endpoint, tmp_path) as session:
        plan = redrive.plan(session, world.dlq, engine="client")

        def breaks(progress: object) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            redrive.run(session, plan, on_progress=breaks)
        (job,) = session.journal.jobs()
        assert job.state == "failed" and "ZeroDivisionError" in job.note
        assert jobs.resume(session, job.id).state == "done"
        assert Counter(message["Body"] for message in world.drain()) == Counter(bodies(3))


def test_the_endpoint_gone_is_an_outcome_not_a_traceback(world: World, tmp_path: Path) -> None:
    world.fill(bodies(3))
    faults = {"receive_message": raises(EndpointConnectionError(endpoint_url="x"))}
    with sqs_world.session(world.endpoint, tmp_path, faults) as session:
        outcome = run(session, world)
        assert outcome.state == "failed" and outcome.problems[0].code == "EndpointConnectionError"
        assert "resume" in " ".join(outcome.lines)
