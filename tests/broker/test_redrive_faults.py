"""Redrive when answers get lost, batches fail in part, sums do not match: what no server does on request is injected
around a real one by `sqs_world.Faulty`.

What can go wrong (the design's table), and the test that provokes it:

- lost, deleted before the send was confirmed: test_nothing_is_deleted_before_its_send_is_confirmed
- lost, a FIFO copy swallowed as a duplicate: test_redrive.test_fifo_order_holds_and_the_copy_is_not_swallowed
- lost, a whole batch deleted after a partial failure: test_a_partial_failure_keeps_what_failed
- lost, the retention ran out during the review: test_a_message_that_is_gone_before_its_turn_is_told
- lost, attributes, trace header or group: test_redrive.test_a_message_arrives_whole
- lost, a Kafka destination without acks: test_redrive_kafka.test_nothing_is_deleted_without_a_delivery_report
- twice, a crash or time-out after a send: test_a_lost_answer_is_looked_for_and_doubles_nothing,
  test_where_no_look_is_possible_only_what_is_named_doubles, test_redrive_kill
- twice, the lease ran out and a stale receipt "succeeded": test_a_lease_that_cannot_be_extended_is_not_used,
  test_a_message_delivered_twice_is_sent_once, test_a_stale_receipt_that_succeeds_sends_nothing_again
- twice, the SDK's retries: test_the_sending_client_never_retries
- twice, two operators: test_redrive.test_two_operators_cannot_redrive_one_queue; a native task as well:
  test_a_running_move_task_is_respected
- reordered, a FIFO partial failure: test_redrive.test_a_fifo_group_stops_at_its_first_failure
- damage (MD5): test_a_copy_that_is_damaged_keeps_the_original, test_a_message_damaged_on_the_way_here_…
- throttling: test_throttling_is_waited_out, test_an_outage_is_waited_out
- lagging counters: test_counters_that_lag_end_nothing_early, test_completed_is_no_proof,
  test_what_left_the_queue_was_not_all_moved
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqs_world
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError
from sqs_world import World

from console.errors import Refused
from console.model import Outcome, Progress
from console.ops import (
    jobs,
    purge,
    redrive,
    redrive_client,
    redrive_filter,
    redrive_native,
    redrive_resolve,
    redrive_spool,
)
from console.ops.session import Session
from console.sqs import send as sending

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


def run(session: Session, world: World, patience: float = 1.0, **plan: Any) -> Outcome:
    return redrive.run(session, redrive.plan(session, world.dlq, engine="client", patience=patience, **plan))


def ambiguous(session: Session, job: str) -> set[str]:
    return {entry.key for entry in session.journal.entries(job, data=False) if entry.ambiguous}


def test_a_lost_answer_is_looked_for_and_doubles_nothing(world: World, tmp_path: Path) -> None:
    world.fill(bodies())
    with sqs_world.session(world.endpoint, tmp_path, {"send_message_batch": Times(1, lost_answer)}) as session:
        outcome = run(session, world)
        assert (outcome.state, outcome.done) == ("done", 30)
        assert "10 of 10 messages in doubt found at the destination" in outcome.lines
        assert ambiguous(session, outcome.job) == set()
    assert Counter(message["Body"] for message in world.drain()) == Counter(bodies())


def test_where_no_look_is_possible_only_what_is_named_doubles(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive_resolve, "LOOK_MOST", 0)
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


def test_what_somebody_else_sent_is_not_taken_for_a_copy(world: World, tmp_path: Path) -> None:
    """The same content twice at the destination: whose is whose nobody can tell, and nothing may be lost by a guess."""
    (body,) = bodies(1)
    ids = world.fill([body])

    def as_well(call: Call, keywords: dict[str, Any]) -> Any:
        world.fill([body], url=world.url)
        lost_answer(call, keywords)

    with sqs_world.session(world.endpoint, tmp_path, {"send_message_batch": Times(1, as_well)}) as session:
        outcome = run(session, world)
        assert (outcome.state, outcome.done) == ("done", 1)
        assert ambiguous(session, outcome.job) == set(ids.values())
    assert [message["Body"] for message in world.drain()] == [body] * 3


def test_a_lost_answer_on_fifo_doubles_nothing(sqs_endpoint: str, unique: Names, tmp_path: Path) -> None:
    with sqs_world.world(sqs_endpoint, unique("flt"), fifo=True) as fifo:
        fifo.fill(bodies(20), group=lambda body: "g")
        with sqs_world.session(sqs_endpoint, tmp_path, {"send_message_batch": Times(2, lost_answer)}) as session:
            # Twice in a row for the first message: the run pauses and sends under the same id.
            outcome = run(session, fifo, patience=20.0)
            assert (outcome.state, outcome.done) == ("done", 20)
            assert ambiguous(session, outcome.job) == set()
        arrived = [json.loads(message["Body"])["n"] for message in fifo.drain()]
        assert arrived == list(range(20))


def test_no_answer_ever_stops_and_a_resume_finishes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive_resolve, "LOOK_MOST", 0)
    ids = world.fill(bodies())
    faults = {"send_message_batch": Times(10**6, lost_answer)}
    with sqs_world.session(world.endpoint, tmp_path, faults) as session:
        first = run(session, world, patience=30.0)
        # It does not go on doubling for as long as its patience would last.
        assert first.state == "failed" and first.left == 30 and "resume" in first.lines[-2]
        assert faults["send_message_batch"].calls <= redrive_client.UNKNOWN_MOST * 3
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
        outcome = run(session, world, patience=20.0)
        if outcome.state != "done":
            # A permission is not waited for.
            assert outcome.problems[0].code == "AccessDenied" and outcome.left
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
        first = run(session, world, patience=0.2, lease_seconds=20)
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


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
def test_a_lease_that_cannot_be_extended_is_not_used(
    sqs_endpoint: str, unique: Names, tmp_path: Path, fifo: bool
) -> None:
    def short(call: Call, keywords: dict[str, Any]) -> Any:
        # The answer took so long that hardly anything of the lease is left.
        answer = call(**(keywords | {"VisibilityTimeout": 1}))
        threading.Event().wait(6.5 if answer.get("Messages") else 0)
        return answer

    with sqs_world.world(sqs_endpoint, unique("flt"), fifo=fifo) as world:
        world.fill(bodies(10), **({"group": lambda body: "g"} if fifo else {}))
        with sqs_world.session(sqs_endpoint, tmp_path, {"receive_message": Times(1, short)}) as session:
            outcome = run(session, world, lease_seconds=8)
            assert (outcome.state, outcome.done) == ("done", 10), outcome.lines
        arrived = [message["Body"] for message in world.drain()]
        # In a FIFO queue the whole group waits for the message whose lease was lost.
        assert (arrived if fifo else sorted(arrived)) == bodies(10)


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


def test_what_left_the_queue_was_not_all_moved(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another client empties the queue under a move task that says COMPLETED: only what was moved is told as moved."""
    monkeypatch.setattr(redrive_native, "SETTLE_S", 2.0)
    world.fill(bodies(300))
    with sqs_world.session(world.endpoint, tmp_path) as session:
        plan = redrive.plan(session, world.dlq, engine="native", rate=20)
        timer = threading.Timer(1.5, lambda: world.client.purge_queue(QueueUrl=world.dlq_url))
        timer.start()
        outcome = redrive.run(session, plan)
        timer.join()
        moved = sum(world.counts())
        assert 0 < moved < 300
        assert (outcome.state, outcome.done, outcome.left) == ("partly", moved, 0)
        said = " ".join(outcome.lines)
        assert f"{300 - moved} more left {world.dlq}, but are not known to be moved" in said
        assert jobs.show(session, outcome.job).job.done == moved
        assert any(f"{moved} known to be moved" in line.line for line in session.journal.trail(outcome.job))
        again = jobs.resume(session, outcome.job)
        assert (again.state, again.done) == ("partly", moved)


def test_a_server_whose_counter_tells_nothing_is_judged_by_what_arrived(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counter stays 0 and the queue is emptied by somebody else: only what the destination has grown by counts."""
    monkeypatch.setattr(redrive_native, "SETTLE_S", 2.0)
    world.fill(bodies(300))

    def silent(call: Call, keywords: dict[str, Any]) -> Any:
        answer = call(**keywords)
        for task in answer.get("Results", []):
            task["ApproximateNumberOfMessagesMoved"] = 0
        return answer

    with sqs_world.session(world.endpoint, tmp_path, {"list_message_move_tasks": silent}) as session:
        plan = redrive.plan(session, world.dlq, engine="native", rate=20)
        timer = threading.Timer(1.5, lambda: world.client.purge_queue(QueueUrl=world.dlq_url))
        timer.start()
        outcome = redrive.run(session, plan)
        timer.join()
        assert outcome.state == "partly" and 0 < outcome.done == sum(world.counts()) < 300


def test_letters_that_arrive_meanwhile_hide_nothing_of_what_was_moved(world: World, tmp_path: Path) -> None:
    """The queue is as full as before: what left it is not to be seen in its count."""
    world.fill(bodies(200))
    cancel, more = threading.Event(), threading.Event()

    def arrive() -> None:
        number = 0
        while not more.wait(0.05):
            world.fill([f"late {number}", f"later {number}"])
            number += 1

    feeding = threading.Thread(target=arrive)
    timer = threading.Timer(3.0, cancel.set)
    with sqs_world.session(world.endpoint, tmp_path) as session:
        plan = redrive.plan(session, world.dlq, engine="native", rate=10)
        feeding.start()
        timer.start()
        outcome = redrive.run(session, plan, cancel)
        more.set()
        feeding.join()
        assert outcome.state == "cancelled"
        assert world.counts(world.dlq_url)[0] > 200, "more arrived than left"
        assert 0 < outcome.done == sum(world.counts())


def test_a_queue_is_not_purged_while_the_server_moves_it(world: World, tmp_path: Path) -> None:
    world.fill(bodies(60))
    world.client.start_message_move_task(
        SourceArn=sqs_world.arn_of(world.client, world.dlq_url), MaxNumberOfMessagesPerSecond=5
    )
    with sqs_world.session(world.endpoint, tmp_path) as session:
        for save in (True, False):
            with pytest.raises(Refused, match="native move task of it is running; wait for it, or cancel it"):
                purge.plan(session, world.dlq, save=save)


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
        assert "stopped" in outcome.lines[1] and "connection" in outcome.lines[1]
        assert "resume" in " ".join(outcome.lines)


@pytest.mark.parametrize("where", [None, "body.n >= 0"])
def test_a_destination_that_goes_in_the_middle_stops_it_and_hides_nothing(
    world: World, tmp_path: Path, where: str | None
) -> None:
    world.fill(bodies(60))
    deleted = threading.Event()

    def watch(progress: Progress) -> None:
        if progress.done >= 10 and not deleted.is_set():
            deleted.set()
            world.client.delete_queue(QueueUrl=world.url)

    with sqs_world.session(world.endpoint, tmp_path) as session:
        planned = redrive.plan(session, world.dlq, engine="client", rate=10, where=where)
        outcome = redrive.run(session, planned, on_progress=watch)
        sqs_world.create(world.client, world.name, sqs_world.arn_of(world.client, world.dlq_url))
        assert outcome.state == "partly" and 10 <= outcome.done < 60
        # What could not be sent is given back at once, and nobody is told that less is left than there is.
        assert world.counts(world.dlq_url) == (60 - outcome.done, 0)
        job = session.journal.job(outcome.job)
        assert outcome.left == job.left == (60 - outcome.done if where is None else None)
        (problem,) = outcome.problems
        why = f"cannot send to {world.name}: the queue does not exist; logq queue list shows what there is"
        assert problem.message == why and outcome.lines[1] == f"stopped: {why}" and why in job.note
        assert jobs.resume(session, outcome.job).done == 60
    assert len(world.drain()) == 60 - outcome.done  # the others went with the queue


@pytest.mark.parametrize("place", ["filter", "carry"])
def test_a_worker_that_fails_gives_back_what_it_holds_and_says_why(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    world.fill(bodies(40))
    calls = itertools.count()

    def breaks(real: Call) -> Call:
        def broken(*args: Any) -> Any:
            return 1 // 0 if next(calls) >= 25 else real(*args)

        return broken

    if place == "filter":
        monkeypatch.setattr(redrive_filter.Where, "__call__", breaks(redrive_filter.Where.__call__))
    else:
        monkeypatch.setattr(redrive_spool, "outgoing", breaks(redrive_spool.outgoing))
    with sqs_world.session(world.endpoint, tmp_path) as session:
        where = "body.n >= 0" if place == "filter" else None
        outcome = run(session, world, where=where)
        monkeypatch.undo()
        assert outcome.state in ("partly", "failed") and outcome.done < 40
        assert world.counts(world.dlq_url) == (40 - outcome.done, 0)
        job = session.journal.job(outcome.job)
        assert outcome.left == job.left == (40 - outcome.done if where is None else None)
        assert "ZeroDivisionError" in outcome.lines[1] and "ZeroDivisionError" in job.note
        assert "ZeroDivisionError" in jobs.receipt(session, outcome.job, "md")
        assert jobs.resume(session, outcome.job).state == "done"
    assert Counter(message["Body"] for message in world.drain()) == Counter(bodies(40))


# ---------------------------------------------------------------- outages in the middle

SKEW = ClientError(
    {
        "Error": {"Code": "SignatureDoesNotMatch", "Message": "Signature expired: 20261128T0800Z is now earlier than"},
        "ResponseMetadata": {"HTTPStatusCode": 403},  # type: ignore[typeddict-item]
    },
    "ReceiveMessage",
)


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (EndpointConnectionError(endpoint_url="x", error="Connection refused"), "refused"),
        (error("InternalError", 500), "failed"),
        (error("RequestThrottled", 400), ""),
        (error("ExpiredToken", 403), "credentials have expired"),
        (SKEW, "clock"),
    ],
    ids=["refused", "5xx", "throttled", "expired", "skew"],
)
def test_an_outage_is_waited_out(world: World, tmp_path: Path, problem: Exception, says: str) -> None:
    """Every call fails for a while in the middle: the job pauses, says why, and goes on; nothing is lost or doubled."""
    world.fill(bodies(60))
    down = threading.Event()
    done = threading.Event()
    calls = Counter[str]()

    def fails(name: str) -> Callable[[Call, dict[str, Any]], Any]:
        def fault(call: Call, keywords: dict[str, Any]) -> Any:
            calls[name] += 1
            if name == "send_message_batch" and calls[name] == 3 and not done.is_set():
                down.set()
                threading.Timer(1.0, lambda: (done.set(), down.clear())).start()
            if down.is_set():
                raise problem
            return call(**keywords)

        return fault

    names = (
        "send_message_batch", "receive_message", "delete_message_batch", "change_message_visibility_batch",
        "get_queue_attributes",
    )  # fmt: skip
    with sqs_world.session(world.endpoint, tmp_path, {name: fails(name) for name in names}) as session:
        notes: list[str] = []
        planned = redrive.plan(session, world.dlq, engine="client", patience=60.0)
        outcome = redrive.run(session, planned, on_progress=lambda p: notes.append(p.note))
        assert (outcome.state, outcome.done) == ("done", 60), outcome.lines
        # What only asks to slow down is waited for in place, for a few seconds.
        assert not says or any(note.startswith("paused: ") and says in note for note in notes), set(notes)
        assert notes[-1] == "", "it goes on saying that it is paused"
    assert Counter(message["Body"] for message in world.drain()) == Counter(bodies(60))
    assert world.counts(world.dlq_url) == (0, 0)


def test_another_process_sees_the_pause_and_can_cancel_it(world: World, tmp_path: Path) -> None:
    world.fill(bodies(5))
    faults = {"receive_message": raises(EndpointConnectionError(endpoint_url="x", error="refused"))}
    outcomes: list[Outcome] = []
    with sqs_world.session(world.endpoint, tmp_path, faults) as session:
        planned = redrive.plan(session, world.dlq, engine="client", patience=60.0)
        thread = threading.Thread(target=lambda: outcomes.append(redrive.run(session, planned)))
        thread.start()
        with sqs_world.session(world.endpoint, tmp_path) as other:
            ends = time.monotonic() + 20
            while time.monotonic() < ends:
                found = other.journal.jobs()
                if found and found[0].note.startswith("paused"):
                    break
                time.sleep(0.1)
            assert "refused" in found[0].note
            jobs.cancel(other, found[0].id)
        thread.join(20)
        assert not thread.is_alive() and outcomes[0].state == "cancelled"


# ---------------------------------------------------------------- the rest of the table


def test_nothing_is_deleted_before_its_send_is_confirmed(world: World, tmp_path: Path) -> None:
    world.fill(bodies())
    sent: set[str] = set()
    lock = threading.Lock()

    def sends(call: Call, keywords: dict[str, Any]) -> Any:
        answer = call(**keywords)
        with lock:
            sent.update(entry["MessageBody"] for entry in keywords["Entries"])
        return answer

    bodies_of: dict[str, str] = {}

    def receives(call: Call, keywords: dict[str, Any]) -> Any:
        answer = call(**keywords)
        with lock:
            bodies_of.update((m["ReceiptHandle"], m["Body"]) for m in answer.get("Messages", []))
        return answer

    def deletes(call: Call, keywords: dict[str, Any]) -> Any:
        with lock:
            early = [e for e in keywords["Entries"] if bodies_of[e["ReceiptHandle"]] not in sent]
        assert not early
        return call(**keywords)

    faults = {"send_message_batch": sends, "receive_message": receives, "delete_message_batch": deletes}
    with sqs_world.session(world.endpoint, tmp_path, faults) as session:
        assert run(session, world).state == "done"
    assert sent == set(bodies())


def test_a_message_that_is_gone_before_its_turn_is_told(world: World, tmp_path: Path) -> None:
    """As when its retention runs out between the plan and the run."""
    world.fill(bodies(12))
    with sqs_world.session(world.endpoint, tmp_path) as session:
        planned = redrive.plan(session, world.dlq, engine="client")
        gone = world.client.receive_message(QueueUrl=world.dlq_url, MaxNumberOfMessages=2)["Messages"]
        for message in gone:
            world.client.delete_message(QueueUrl=world.dlq_url, ReceiptHandle=message["ReceiptHandle"])
        outcome = redrive.run(session, planned)
        assert (outcome.state, outcome.done) == ("done", 12 - len(gone))
        assert any(f"{len(gone)} of the ~12 planned were not in the queue any more" in x for x in outcome.lines)


def test_a_message_delivered_twice_is_sent_once(world: World, tmp_path: Path) -> None:
    """A standard queue may deliver the same message twice: at once, and again after it was deleted."""
    world.fill(bodies(20))
    first: list[Any] = []

    def doubles(call: Call, keywords: dict[str, Any]) -> Any:
        answer = call(**keywords)
        got = answer.get("Messages", [])
        if got and not first:
            first.append(got[0])
        return {**answer, "Messages": [*got, *first, *got[:1]]} if got else answer

    with sqs_world.session(world.endpoint, tmp_path, {"receive_message": doubles}) as session:
        outcome = run(session, world)
        assert (outcome.state, outcome.done) == ("done", 20)
    assert Counter(message["Body"] for message in world.drain()) == Counter(bodies(20))


def test_a_stale_receipt_that_succeeds_sends_nothing_again(world: World, tmp_path: Path) -> None:
    """A delete by a handle that has run out answers success and deletes nothing: the message comes again."""
    world.fill(bodies(10))

    def pretends(call: Call, keywords: dict[str, Any]) -> Any:
        entries = [
            {"Id": e["Id"], "ReceiptHandle": e["ReceiptHandle"], "VisibilityTimeout": 0} for e in keywords["Entries"]
        ]
        world.client.change_message_visibility_batch(QueueUrl=world.dlq_url, Entries=entries)
        return {"Successful": [{"Id": e["Id"]} for e in keywords["Entries"]]}

    with sqs_world.session(world.endpoint, tmp_path, {"delete_message_batch": Times(1, pretends)}) as session:
        assert run(session, world).done == 10
        assert jobs_left(world) == 10
        again = redrive.plan(session, world.dlq, engine="client")
        job = session.journal.jobs()[0].id
        assert again.count == 10 and session.journal.counts(job) == {"DELETED": 10}
    assert Counter(message["Body"] for message in world.drain()) == Counter(bodies(10))


def jobs_left(world: World) -> int:
    return world.counts(world.dlq_url)[0]


def test_the_sending_client_never_retries(world: World, tmp_path: Path) -> None:
    """An HTTP 500 to a send is one request: what the SDK repeats by itself would double unseen."""
    with sqs_world.session(world.endpoint, tmp_path) as session:
        sender = session.require_sqs().sender()
        requests: list[int] = []

        def refuse(**_: Any) -> Any:
            requests.append(1)
            return AWSResponse("http://x", 500, {}, RawBody())

        sender.meta.events.register("before-send.sqs", refuse)
        answer = sending.send(sender, world.url, [sending.Outgoing("a", "body", {})])
        assert answer["a"].fate is sending.Fate.UNKNOWN and len(requests) == 1


class RawBody:
    """What botocore reads an answer from."""

    def stream(self) -> Iterator[bytes]:
        yield b"{}"


def test_a_running_move_task_is_respected(world: World, tmp_path: Path) -> None:
    lists = {"list_message_move_tasks": lambda c, k: {"Results": [{"Status": "RUNNING", "TaskHandle": "h"}]}}
    with sqs_world.session(world.endpoint, tmp_path, lists) as session:
        for engine in ("auto", "client"):
            with pytest.raises(Refused, match="move task"):
                redrive.plan(session, world.dlq, engine=engine)


def test_counters_that_lag_end_nothing_early(world: World, tmp_path: Path) -> None:
    """Counts that stay too high: all that is in the queue is redriven, and what is not there is not waited for."""
    world.fill(bodies(25))
    asked = Counter[str]()

    def lags(call: Call, keywords: dict[str, Any]) -> Any:
        answer = call(**keywords)
        asked["n"] += 1
        if "ApproximateNumberOfMessages" in answer.get("Attributes", {}) and asked["n"] > 6:
            answer["Attributes"]["ApproximateNumberOfMessages"] = "7"
        return answer

    with sqs_world.session(world.endpoint, tmp_path, {"get_queue_attributes": lags}) as session:
        planned = redrive.plan(session, world.dlq, engine="client")
        outcome = redrive.run(session, replace(planned, count=40))
        assert outcome.done == 25
    assert Counter(message["Body"] for message in world.drain()) == Counter(bodies(25))


def test_a_native_move_is_followed_by_the_counts_while_its_own_lag(world: World, tmp_path: Path) -> None:
    """The task tells 0 all the time: progress follows the queue, says so, and the history names start and end."""
    world.fill(bodies(40))

    def lags(call: Call, keywords: dict[str, Any]) -> Any:
        answer = call(**keywords)
        for task in answer.get("Results", []):
            task["ApproximateNumberOfMessagesMoved"] = 0
        return answer

    with sqs_world.session(world.endpoint, tmp_path, {"list_message_move_tasks": lags}) as session:
        seen: list[Progress] = []
        plan = redrive.plan(session, world.dlq, engine="native", rate=20)
        outcome = redrive.run(session, plan, on_progress=seen.append)
        assert (outcome.state, outcome.done) == ("done", 40)
        assert [p.done for p in seen] == sorted(p.done for p in seen)
        assert any(p.done > 0 and "the task itself tells of 0" in p.note for p in seen), [p.note for p in seen]
        trail = [line.line for line in session.journal.trail(outcome.job)]
        assert any(line.startswith("move task started: 40 visible, at most 20") for line in trail)
        assert any(line.startswith("move task ended: completed") for line in trail)
