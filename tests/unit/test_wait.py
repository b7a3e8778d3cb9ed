"""When a group has caught up and a queue is empty: unknown is neither."""

from __future__ import annotations

import threading

import pytest
from msgspec.structs import replace

from console.errors import NotFound, Unreachable
from console.model import Group, GroupPartition, Problem, Queue
from console.ops import wait


def group(*partitions: GroupPartition) -> Group:
    return Group("billing", partitions=partitions)


READ = GroupPartition("orders", 0, start=0, committed=90, end=100)


@pytest.mark.parametrize(
    ("seen", "held", "words"),
    [
        (group(READ), True, "10 behind"),
        (group(replace(READ, committed=89)), False, "11 behind"),
        (group(READ, GroupPartition("orders", 1, start=0, end=0)), True, "10 behind"),
        (group(READ, GroupPartition("orders", 1, start=0, end=5)), False, "no commit yet"),
        (group(READ, GroupPartition("orders", 1, problem=Problem("x", "x", "no leader"))), False, "no leader"),
        (group(READ, GroupPartition("orders", 1, committed=5)), False, "not known"),
        (group(GroupPartition("orders", 1, start=7, end=7)), True, "are empty"),
        (group(), False, "no partitions"),
        (Group("billing"), False, "no partitions"),
    ],
)  # fmt: skip
def test_behind(seen: Group, held: bool, words: str) -> None:
    found, reason = wait.behind(seen, 10)
    assert (found, words in reason) == (held, True), reason


@pytest.mark.parametrize(("counts", "held"), [((0, 0, 0), True), ((0, 1, 0), False), ((0, 0, None), False)])
def test_holds(counts: tuple[int | None, ...], held: bool) -> None:
    assert wait.holds(Queue("q", "", visible=counts[0], in_flight=counts[1], delayed=counts[2]))[0] is held


class Looks:
    """A queue client whose looks end one after another as listed, the last one for ever."""

    def __init__(self, *looks: int | Exception) -> None:
        self.looks = list(looks)

    def require_sqs(self, name: str) -> Looks:
        return self

    def queue(self, name: str) -> Queue:
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            raise look
        return Queue(name, "", visible=look, in_flight=0, delayed=0)


def run(monkeypatch: pytest.MonkeyPatch, limit: float, *looks: int | Exception) -> tuple[bool, list[str]]:
    monkeypatch.setattr(wait, "EVERY_S", 0.001)
    said: list[str] = []
    found = wait.for_empty(Looks(*looks), "q", limit, threading.Event(), said.append)  # type: ignore[arg-type]
    return found.held, said


def test_a_queue_has_to_be_empty_twice_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    held, said = run(monkeypatch, 10, 5, 0, 3, 0, 0)
    assert held
    assert len(said) == 5


def test_servers_that_are_away_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    held, said = run(monkeypatch, 10, 0, Unreachable("no answer"), 0, 0)
    assert held
    assert said[1] == "no answer"


def test_time_runs_out_and_a_wrong_name_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    held, said = run(monkeypatch, 0.05, 5)
    assert not held
    assert said[-1].startswith("5 visible")
    with pytest.raises(NotFound):
        run(monkeypatch, 10, NotFound("no queue q"))
