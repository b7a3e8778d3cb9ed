"""Calls of a transactional client: made again, told of, left. The clients are functions here: the rules are ours."""

from __future__ import annotations

import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from console.errors import Failed, Unreachable
from console.kafka import copy_calls
from console.kafka.copy_calls import Broken, Calls, Fenced


def test_a_call_that_never_returns_is_left_to_itself_and_meanwhile_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_calls, "_LEAVE_S", 0.3)
    monkeypatch.setattr(copy_calls, "_QUIET_S", 0.2)
    stop, for_ever = threading.Event(), threading.Event()
    told: list[float] = []
    calls = Calls("job", 60, stop.is_set, lambda seconds, why: told.append(seconds))
    threading.Timer(1.5, stop.set).start()
    started = time.monotonic()
    assert calls.again(for_ever.wait, "commit") is False
    assert 1.7 < time.monotonic() - started < 4
    assert len(told) in (1, 2)  # once a second
    assert told == sorted(told)
    for_ever.set()


def test_a_call_that_never_returns_is_the_end_of_its_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    for_ever = threading.Event()
    calls = Calls("job", 60, lambda: False)
    with pytest.raises(Broken, match=r"gave no answer in 0\.3 s"):
        calls.again(for_ever.wait, "commit the position", most=0.3)
    monkeypatch.setattr(copy_calls, "CALL_S", 0.2)
    monkeypatch.setattr(copy_calls, "_LATE_S", 0.1)
    with pytest.raises(Broken, match=r"gave no answer in 0\.3 s"):
        calls.again(for_ever.wait, "commit the position")
    impatient = Calls("job", 0.2, lambda: False)
    with pytest.raises(Unreachable, match=r"nothing moved for 0\.2 s"):
        impatient.again(for_ever.wait, "write the ranges", most=0.2)
    for_ever.set()


def test_who_wants_to_stop_still_gets_an_answer_that_comes() -> None:
    calls = Calls("job", 60, lambda: True)
    made: list[int] = []
    assert calls.again(lambda: (time.sleep(0.3), made.append(1)), "commit") is True
    assert made == [1]


@pytest.mark.parametrize("here", [False, True])
def test_what_a_call_raises_keeps_its_kind(here: bool) -> None:
    def fenced() -> None:
        raise KafkaException(KafkaError(KafkaError._FENCED, "gone"))

    def ours() -> None:
        raise Failed("the position is lost")

    calls = Calls("job", 60, lambda: False)
    with pytest.raises(Fenced, match="another process has taken over job"):
        calls.again(fenced, "commit", here=here)
    with pytest.raises(Failed, match="the position is lost"):
        calls.again(ours, "read", here=here)


def test_a_retriable_error_is_asked_again_until_it_passes() -> None:
    errors = [
        KafkaError(KafkaError._TIMED_OUT, "slow", retriable=True),
        KafkaError(KafkaError._TIMED_OUT, "slow", retriable=True),
    ]

    def call() -> None:
        if errors:
            raise KafkaException(errors.pop())

    calls = Calls("job", 60, lambda: False)
    assert calls.again(call, "commit") is True
    assert calls.errors == ["slow", "slow"]
    calls.moved()
    assert calls.errors == []
