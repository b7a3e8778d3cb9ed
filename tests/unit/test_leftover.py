"""What lies between a commit and the end: records, or only markers and what was aborted."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from console import health
from console.history import History
from console.kafka.leftover import only_markers
from console.model import Group, GroupPartition, KafkaSnapshot, Status, Topic, TopicPartition

_PLAIN, _TRANSACTIONAL, _CONTROL = 0, 0x10, 0x30


def batch(base: int, count: int = 1, attributes: int = _PLAIN, producer: int = -1) -> bytes:
    body = struct.pack(">hiqqqhii", attributes, count - 1, 0, 0, producer, 0, -1, count) + b"records"
    return struct.pack(">qiibI", base, 9 + len(body), 0, 2, 0) + body


def test_markers_alone_reach_to_the_end() -> None:
    two = batch(10, attributes=_CONTROL, producer=1) + batch(11, attributes=_CONTROL, producer=2)
    assert only_markers(two, 10, ()) == 12
    assert only_markers(b"", 12, ()) == 12


def test_a_record_is_something_to_read() -> None:
    assert only_markers(batch(10), 10, ()) is None
    assert only_markers(batch(8, 3), 10, ()) is None, "a batch that begins before the commit and reaches past it"
    assert only_markers(batch(8, 2), 10, ()) == 10, "one that ends before it is read already"
    assert only_markers(batch(10, attributes=_TRANSACTIONAL, producer=1), 10, ()) is None, "committed"


def test_what_was_aborted_is_not_given_to_anybody() -> None:
    undone = batch(10, 3, _TRANSACTIONAL, 1) + batch(13, attributes=_CONTROL, producer=1)
    assert only_markers(undone, 10, [(1, 10)]) == 14
    assert only_markers(undone + batch(14, 1, _TRANSACTIONAL, 1), 10, [(1, 10)]) is None, "its next transaction is not"
    assert only_markers(undone + batch(14, 1, _TRANSACTIONAL, 2), 10, [(1, 10)]) is None, "another's is not"


def test_the_marker_of_an_earlier_transaction_ends_only_that_one() -> None:
    raw = batch(7, attributes=_CONTROL, producer=1) + batch(8, attributes=_CONTROL, producer=2)
    raw += batch(9, 1, _TRANSACTIONAL, 1) + batch(10, 1, _TRANSACTIONAL, 2)
    raw += batch(11, attributes=_CONTROL, producer=1) + batch(12, attributes=_CONTROL, producer=2)
    assert only_markers(raw, 7, [(1, 9), (2, 10)]) == 13


def test_what_is_cut_off_is_not_taken_for_nothing() -> None:
    whole = batch(10, attributes=_CONTROL, producer=1)
    assert only_markers(whole[:40], 10, ()) == 10


@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(-1, 5), st.integers(0, 50)), max_size=4))
def test_any_bytes_are_an_offset_or_something_to_read(raw: bytes, aborted: list[tuple[int, int]]) -> None:
    found = only_markers(raw, 7, aborted)
    assert found is None or found >= 7


def seen(history: History, at: float, committed: int, end: int) -> Group:
    p = GroupPartition("orders", 0, 1, start=0, committed=committed, end=end, stable_end=end)
    group = Group("g", type="classic", state="Stable", partitions=(p,))
    topic = Topic("orders", (TopicPartition(0, 1, start=0, end=end, stable_end=end),))
    history.note_kafka(KafkaSnapshot(at=at, groups=(group,), topics=(topic,)))
    return health.group_health(group, history, at)


def test_a_group_with_only_markers_left_is_at_rest_until_there_is_more() -> None:
    history = History(stall_seconds=30)
    for at in range(0, 62, 2):
        judged = seen(history, at, 97, 100)
    assert judged.status is Status.STALL
    (p,) = health.suspects(judged, history)
    past = history.commits("g", "orders", 0)
    assert past is not None and p.committed is not None and p.end is not None
    past.nothing_left(p.committed, p.end, True)
    for at in range(62, 90, 2):
        judged = seen(history, at, 97, 100)
        assert (judged.status, judged.reason) == (
            Status.OK,
            "only transaction markers and aborted records are left",
        )
    # Records come: the clock begins with them.
    for at in range(90, 118, 2):
        assert seen(history, at, 97, 150).status in (Status.OK, Status.WARN)
    for at in range(118, 130, 2):
        judged = seen(history, at, 97, 150)
    assert judged.status in (Status.STALL, Status.STOP)


def test_each_commit_and_end_is_asked_about_once_and_a_backlog_never() -> None:
    history = History(stall_seconds=30)
    for at in range(0, 62, 2):
        judged = seen(history, at, 97, 100)
    past = history.commits("g", "orders", 0)
    assert past is not None
    past.nothing_left(97, 100, False)
    assert health.suspects(judged, history) == [] and judged.status is Status.STALL
    much = History(stall_seconds=30)
    for at in range(0, 62, 2):
        judged = seen(much, at, 97, 97 + health.MOST_LEFT + 1)
    assert judged.status is Status.STALL and health.suspects(judged, much) == []
    busy = History(stall_seconds=30)
    for at in range(0, 62, 2):
        judged = seen(busy, at, 97, 100 + at)
    assert judged.status is Status.STALL and health.suspects(judged, busy) == [], "something arrives all the time"
