"""The demo's command without its servers: what the page waits for, and whose credentials are used."""

from __future__ import annotations

import os
import signal

import pytest

from console.demo import control, run
from console.model import Group, GroupPartition, KafkaSnapshot, Queue, SqsSnapshot, Status, Topic, TopicPartition

STALLED = Group(
    "billing",
    state="Stable",
    partitions=(GroupPartition("orders", 0, start=0, committed=5, end=50),),
    status=Status.STALL,
)
STOPPED = Group("indexer", state="Empty", partitions=STALLED.partitions, status=Status.STOP)
LETTERS = Topic("orders.DLT", (TopicPartition("orders.DLT", 0, start=0, end=3),), dead_letter=True)
NO_LETTERS = Topic("orders.DLT", (TopicPartition("orders.DLT", 0, start=0, end=0),), dead_letter=True)
DLQ = Queue("jobs-dlq", "http://127.0.0.1/jobs-dlq", visible=2, dlq_of=("jobs",))
EMPTY_DLQ = Queue("jobs-dlq", "http://127.0.0.1/jobs-dlq", visible=0, dlq_of=("jobs",))
JOBS = Queue("jobs", "http://127.0.0.1/jobs", visible=9, dlq="jobs-dlq")


@pytest.mark.parametrize(
    ("group", "topic", "queue", "missing"),
    [
        (STALLED, LETTERS, DLQ, ""),
        (STOPPED, LETTERS, DLQ, "a group that is stalled"),
        (STALLED, NO_LETTERS, DLQ, "dead letters on a topic"),
        (STALLED, LETTERS, EMPTY_DLQ, "dead letters in a queue"),
        (STALLED, NO_LETTERS, JOBS, "dead letters on a topic, dead letters in a queue"),
    ],
)
def test_the_page_waits_for_a_stalled_live_group_and_both_kinds_of_dead_letters(
    group: Group, topic: Topic, queue: Queue, missing: str
) -> None:
    kafka = KafkaSnapshot(at=0.0, groups=(group,), topics=(topic,))
    assert run._missing(kafka, SqsSnapshot(at=0.0, queues=(queue,))) == missing


def test_the_demo_has_its_own_credentials_and_gives_the_users_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "secret")
    before = dict(os.environ)
    assert "AWS_PROFILE" not in control.environment()
    with run._own_credentials():
        assert os.environ["AWS_ACCESS_KEY_ID"] == "demo"
        assert "AWS_PROFILE" not in os.environ and "AWS_SESSION_TOKEN" not in os.environ
    assert dict(os.environ) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_once_and_the_handlers_come_back(number: signal.Signals, code: int) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    with pytest.raises(SystemExit) as left, run._signals():
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)  # an impatient second one does not cut the clean-up short
    assert left.value.code == code
    assert {each: signal.getsignal(each) for each in before} == before
