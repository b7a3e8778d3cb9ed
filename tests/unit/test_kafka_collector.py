"""Python's cycle collector held back and back on afterwards; and which groups a look asks for."""

from __future__ import annotations

import gc
import threading

import pytest

from console.kafka.cluster import Metadata, PartitionMeta, TopicMeta
from console.kafka.collector import held_back
from console.kafka.groups import Listed
from console.kafka.inspect import TURNS, _groups_due, _topics_due
from console.kafka.picture import Look, Past, Reach, finished
from console.model import Broker, KafkaSnapshot, Topic


def test_it_is_off_inside_and_on_after() -> None:
    assert gc.isenabled()
    with held_back():
        assert not gc.isenabled()
        with held_back():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), held_back():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_calls_that_overlap_leave_it_on() -> None:
    def work() -> None:
        for _ in range(300):
            with held_back():
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gc.isenabled()


# ---------------------------------------------------------------- who is asked for, where there are very many


GROUPS, ASKED_IN_VIEW = 2_000, frozenset({"g-0007", "g-1999"})


def meta(topics: int, partitions: int) -> Metadata:
    parts = {p: PartitionMeta(1, (1,), (1,), ()) for p in range(partitions)}
    return Metadata(
        "c", 1, {1: Broker(1, "h", 9092)}, {f"t-{n}": TopicMeta(f"t-{n}", False, parts) for n in range(topics)}
    )


def row(number: int, state: str = "Empty") -> Listed:
    return Listed(f"g-{number:04d}", "classic", state, "", 1)


def take(before: Past | None, at: float, rows: list[Listed], view: frozenset[str] | None) -> tuple[Past, set[str]]:
    """One look as the collector takes it, with commits that never change."""
    look = Look(meta(4, 3), before)
    look.topics |= _topics_due(look, view)
    due = _groups_due(look, rows, view)
    look.groups = {g.name: g for g in rows}
    look.asked = {g.name for g in due}
    look.committed = {g.name: {("t-0", 0): 5} for g in due}
    look.reach = {("t-0", p): Reach(0, 9, 9) for p in range(3)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("console.kafka.picture.time.time", lambda: at)
        return finished(look), look.asked


def test_in_view_every_time_the_rest_in_turns_and_every_row_says_when_it_was_seen() -> None:
    rows = [row(n) for n in range(GROUPS)]
    past, asked = take(None, 100.0, rows, ASKED_IN_VIEW)
    assert len(asked) == GROUPS  # the first look has no other to lean on
    seen: dict[str, int] = {}
    for turn in range(1, 2 * TURNS + 1):
        past, asked = take(past, 100.0 + turn, rows, ASKED_IN_VIEW)
        assert asked >= ASKED_IN_VIEW
        assert len(asked) <= GROUPS / TURNS + len(ASKED_IN_VIEW)
        for g in past.picture.groups:
            assert (g.seen_at == past.picture.at) is (g.name in asked)
            assert g.seen_at is not None and past.picture.at - g.seen_at <= TURNS
            seen[g.name] = seen.get(g.name, 0) + (g.name in asked)
            assert g.lag == 4
    assert min(seen.values()) >= 1
    assert seen["g-0007"] == 2 * TURNS


def test_what_is_new_or_has_changed_is_asked_for_at_once() -> None:
    rows = [row(n) for n in range(GROUPS)]
    past, _ = take(None, 100.0, rows, frozenset())
    rows[5] = row(5, "Stable")
    _, asked = take(past, 101.0, [*rows, row(GROUPS)], frozenset())
    assert {"g-0005", "g-2000"} <= asked
    assert len(asked) < GROUPS / TURNS + 10


def test_nobody_looking_means_everything_is_asked_for() -> None:
    rows = [row(n) for n in range(GROUPS)]
    past, _ = take(None, 100.0, rows, None)
    again, asked = take(past, 101.0, rows, None)
    assert len(asked) == GROUPS
    # Nothing has changed: the rows are the same objects, and only the time is another.
    assert all(
        new.partitions is old.partitions for new, old in zip(again.picture.groups, past.picture.groups, strict=True)
    )
    assert {g.seen_at for g in again.picture.groups} == {101.0}


def test_very_many_topics_take_turns_too() -> None:
    look = Look(meta(400, 10), Past(KafkaSnapshot(0.0), Look(meta(1, 1), None), {}, {}))
    assert len(_topics_due(look, frozenset())) == 400  # never seen: now
    seen = {f"t-{n}": Topic(f"t-{n}", seen_at=float(n)) for n in range(400)}
    look = Look(meta(400, 10), Past(KafkaSnapshot(0.0), Look(meta(1, 1), None), {}, seen))
    assert _topics_due(look, frozenset()) == {f"t-{n}" for n in range(400 // TURNS)}  # the oldest
    assert len(_topics_due(look, None)) == 400
