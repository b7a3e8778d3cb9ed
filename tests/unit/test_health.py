"""The rules of health over replayed histories, with the verdict each shape of incident must get."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from console import health
from console.cli.group import not_counted
from console.history import SIZE, TREND, History
from console.model import (
    Group,
    GroupPartition,
    KafkaSnapshot,
    Problem,
    Queue,
    SqsSnapshot,
    Status,
    Topic,
    TopicPartition,
)

Look = tuple[float, int | None, int, int]  # at, committed, end, start


def replay(looks: list[Look], state: str = "Stable", stall: float = 30.0, stable_end: int | None = None) -> Group:
    """The group as judged after the last of several looks at its one partition."""
    history = History(stall_seconds=stall)
    group = Group("billing", type="classic", state=state)
    for at, committed, end, start in looks:
        p = GroupPartition("orders", 0, leader=1, start=start, committed=committed, end=end, stable_end=stable_end)
        group = replace(group, partitions=(p,))
        topic = Topic("orders", (TopicPartition(0, 1, start=start, end=end, stable_end=stable_end),))
        history.note_kafka(KafkaSnapshot(at=at, groups=(group,), topics=(topic,)))
    return health.group_health(group, history, looks[-1][0])


def test_one_look_alone_calls_nothing_stalled() -> None:
    assert replay([(0, 10, 10_000, 0)]).status is Status.UNKNOWN


def test_drained_is_ok() -> None:
    assert replay([(0, 10, 10, 0)]).status is Status.OK


def test_stalled_while_records_arrive() -> None:
    judged = replay([(t, 100, 1_000 + 50 * t, 0) for t in range(0, 62, 2)])
    assert judged.status is Status.STALL
    assert judged.reason == "stalled: the commit has not moved since first seen 1m00s ago, 3,900 behind"


def test_stopped_after_having_moved() -> None:
    looks: list[Look] = [(t, 100 + 10 * t, 1_000 + 20 * t, 0) for t in range(0, 20, 2)]
    looks += [(t, 280, 1_000 + 20 * t, 0) for t in range(20, 80, 2)]
    judged = replay(looks)
    assert judged.status is Status.STOP
    assert "has not moved for 1m00s" in judged.reason


def test_a_short_pause_is_no_stall() -> None:
    looks: list[Look] = [(t, 100 + 10 * t, 1_000 + 20 * t, 0) for t in range(0, 20, 2)]
    looks += [(t, 280, 1_000 + 20 * t, 0) for t in range(20, 30, 2)]
    assert replay(looks).status.rank < Status.STALL.rank


def test_falling_behind_while_committing() -> None:
    judged = replay([(t, 100 * t, 200 * t + 10, 0) for t in range(0, 62, 2)])
    assert judged.status is Status.WARN
    assert "falling behind" in judged.reason


def test_a_moment_behind_is_not_falling_behind() -> None:
    # 100 a second arrive, commits come half a second late and a little later each time.
    looks: list[Look] = [(t, 100 * t - 50 - t // 4, 100 * t, 0) for t in range(4, 70, 2)]
    judged = replay(looks)
    assert judged.lag_seconds is not None and judged.lag_seconds < 1
    assert judged.status is Status.OK


def test_catching_up_is_ok() -> None:
    assert replay([(t, 300 * t, 100 * t + 20_000, 0) for t in range(0, 62, 2)]).status is Status.OK


def test_rewind_until_it_has_regained_its_place() -> None:
    looks: list[Look] = [(t, 1_000 + 10 * t, 2_000 + 10 * t, 0) for t in range(0, 40, 2)]
    back: list[Look] = [(40, 500, 2_400, 0), (42, 520, 2_420, 0)]
    judged = replay(looks + back)
    assert judged.status is Status.REWIND
    assert replay([*looks, *back, (44, 1_500, 2_440, 0)]).status is Status.OK


def test_lost_records_are_said_and_not_counted_as_lag() -> None:
    judged = replay([(0, 100, 1_000, 400)])
    assert judged.status is Status.LOST
    assert judged.lag == 600
    assert judged.lost == 300
    assert judged.reason.startswith("lost 300 records")


def test_a_commit_beyond_the_end_is_not_at_rest() -> None:
    judged = replay([(0, 500, 20, 0)])
    assert (judged.status, judged.lag) == (Status.WARN, 0)
    assert judged.reason == (
        "its commit is 480 beyond the end of the log, which was made anew or cut: it goes on where "
        "auto.offset.reset says"
    )
    assert replay([(0, 20, 20, 0)]).status is Status.OK


def test_losing_says_when() -> None:
    looks: list[Look] = [(t, 10_000, 20_000 + 10 * t, 100 * t) for t in range(0, 20, 2)]
    judged = replay(looks, stall=300)
    assert judged.status is Status.LOSING
    # 8,200 records between log start and commit, closing at 100 a second.
    assert "loses data in ~1m22s" in judged.reason


def test_one_short_of_a_transaction_marker_is_at_rest() -> None:
    assert replay([(t, 10, 11, 0) for t in range(0, 120, 2)]).status is Status.OK


def test_an_open_transaction_is_not_the_groups_fault() -> None:
    judged = replay([(t, 500, 900, 0) for t in range(0, 120, 2)], stable_end=500)
    assert judged.status is Status.WARN
    assert "open transaction" in judged.reason


def test_a_group_without_members_warns_but_is_not_stalled() -> None:
    judged = replay([(t, 100, 1_000 + t, 0) for t in range(0, 120, 2)], state="Empty")
    assert judged.status is Status.WARN
    assert judged.reason == "no members: 1,018 behind"


def test_a_simple_consumer_that_commits_is_read_although_the_group_is_empty() -> None:
    judged = replay([(t, 100 * t, 100 * t + 5, 0) for t in range(0, 20, 2)], state="Empty")
    assert judged.status is Status.OK


def test_no_commit_is_not_zero() -> None:
    judged = replay([(0, None, 1_000, 0)])
    assert judged.lag is None
    assert judged.no_commit == 1
    assert judged.status is Status.OK
    assert judged.reason == "no commits"


def test_partitions_that_could_not_be_seen_are_said_not_to_be_counted() -> None:
    """A lag that falls because a leader has gone is no progress."""
    rows = [GroupPartition("orders", p, start=0, committed=5, end=10) for p in range(10)]
    gone = Problem("orders", "LEADER_NOT_AVAILABLE", "no leader")
    rows += [GroupPartition("orders", p, committed=5, problem=gone) for p in (10, 11)]
    judged = health.group_health(Group("g", state="Empty", members=(), partitions=tuple(rows)), History(), 1.0)
    assert judged.lag == 50
    assert judged.reason == "no members: 50 behind; 2 of 12 partitions could not be seen and are not counted"
    [said] = not_counted((judged,))
    assert said.where == "group g" and "2 of 12 partitions could not be seen" in said.message
    [said] = not_counted((judged, replace(judged, name="h")))
    assert "the lag of 2 groups" in said.message and "g, h" in said.message
    seen = health.group_health(replace(judged, partitions=tuple(rows[:10])), History(), 1.0)
    assert seen.reason == "no members: 50 behind" and not_counted((seen,)) == ()


def test_a_partition_that_could_not_be_seen_is_unknown_with_its_reason() -> None:
    trouble = Problem("orders-1", "NOT_LEADER", "partition 1 has no leader")
    group = Group(
        "g", state="Stable", partitions=(GroupPartition("orders", 0, committed=5, end=5, start=0),
                                         GroupPartition("orders", 1, problem=trouble)),
    )  # fmt: skip
    judged = health.group_health(group, History(), 10.0)
    assert judged.lag == 0
    assert judged.no_commit == 0
    assert judged.status is Status.UNKNOWN
    assert "no leader" in judged.reason


offsets = st.integers(0, 10**12)


@given(committed=offsets | st.none(), end=offsets | st.none(), start=offsets | st.none())
def test_lag_and_lost_are_never_negative_and_unknown_is_not_zero(
    committed: int | None, end: int | None, start: int | None
) -> None:
    p = GroupPartition("t", 0, start=start, committed=committed, end=end)
    assert (p.lag is None) == (committed is None or end is None)
    assert (p.lost is None) == (committed is None or start is None)
    assert (p.lag or 0) >= 0 and (p.lost or 0) >= 0
    if p.lag and end is not None and start is not None:
        assert p.lag <= end - start or end < start


steps = st.lists(
    st.tuples(st.floats(0.1, 30), st.integers(-50, 500), st.integers(0, 500), st.integers(0, 100)),
    min_size=1,
    max_size=80,
)


@given(steps)
def test_any_history_gets_a_verdict_with_bounded_memory(moves: list[tuple[float, int, int, int]]) -> None:
    at, committed, end, start = 0.0, 100, 200, 0
    looks: list[Look] = []
    for dt, dc, de, ds in moves:
        at, end, start = at + dt, end + de, start + ds
        committed = max(0, min(end, committed + dc))
        end = max(end, start)
        looks.append((at, committed, end, start))
    judged = replay(looks)
    assert judged.status in Status
    assert len(judged.trend) <= TREND
    assert (judged.produced_rate is None) == (judged.consumed_rate is None)
    assert judged.lag_seconds is None or judged.lag_seconds >= 0
    if len(looks) < health.MIN_LOOKS:
        assert judged.status not in (Status.STALL, Status.STOP)


def test_rings_stay_small_and_keep_their_reach() -> None:
    history = History()
    for t in range(0, 4_000, 2):
        topic = Topic("orders", (TopicPartition(0, 1, start=0, end=10 * t),))
        history.note_kafka(KafkaSnapshot(at=float(t), topics=(topic,)))
    ring = history.ends("orders", 0)
    assert len(ring) <= SIZE
    assert ring[0].at < 600
    assert ring[-1].at == 3_998


def test_time_behind_is_interpolated_and_never_extrapolated() -> None:
    judged = replay([(float(t), 500, 100 * t, 0) for t in range(0, 21, 2)])
    # Offset 500 was passed at t = 5; it is 20 now.
    assert judged.lag_seconds == 15
    assert judged.lag_seconds_source == "history"
    older = replay([(float(t), 5, 1_000 + t, 0) for t in range(0, 21, 2)])
    assert older.lag_seconds == 20
    assert older.lag_seconds_source == "lower_bound"


def test_rates_over_the_window() -> None:
    judged = replay([(float(t), 40 * t, 100 * t, 0) for t in range(0, 62, 2)])
    assert judged.produced_rate == 100
    assert judged.consumed_rate == 40


def queue(**more: object) -> Queue:
    return replace(Queue("jobs", "http://q/jobs", visible=0, in_flight=0, delayed=0), **more)


def test_queues() -> None:
    history = History()
    assert health.queue_health(queue(), history).status is Status.OK
    assert health.queue_health(queue(dlq="jobs-dlq", dlq_count=57), history).status is Status.WARN
    dead = health.queue_health(queue(name="jobs-dlq", dlq_of=("jobs",), visible=57), history)
    assert dead.status is Status.DEAD_LETTERS
    assert dead.reason == "57 dead letters"
    assert health.queue_health(queue(name="jobs-dlq", dlq_of=("jobs",)), history).status is Status.OK
    assert health.queue_health(queue(visible=None), history).status is Status.UNKNOWN


def test_dead_letters_that_cannot_be_seen_now_stay_in_attention_and_say_as_of_when() -> None:
    history = History()
    problem = Problem("queue jobs-dlq", "TIMEOUT", "it did not answer in time")
    dead = queue(name="jobs-dlq", dlq_of=("jobs",), visible=57, seen_at=1_795_443_727.0, problem=problem)
    found = health.sqs_attention(SqsSnapshot(at=0, queues=(health.queue_health(dead, history),)))
    said = "57 dead letters as of 14:22:07Z: it did not answer in time"
    assert [(item.name, item.status, item.reason) for item in found] == [("jobs-dlq", Status.DEAD_LETTERS, said)]
    empty = health.queue_health(replace(dead, visible=0), history)
    assert (empty.status, empty.reason) == (Status.UNKNOWN, "it did not answer in time; counts as of 14:22:07Z")
    never = health.queue_health(replace(dead, visible=None), history)
    assert (never.status, never.reason) == (Status.UNKNOWN, "it did not answer in time")
    before = health.queue_health(replace(dead, problem=None), history)
    (gone,) = health.sqs_attention(SqsSnapshot(at=0, queues=(before,)), gone=True)
    assert gone.reason == "57 dead letters as of 14:22:07Z"


def test_attention_is_what_is_worse_than_a_warning_worst_first() -> None:
    history = History()
    dead = health.queue_health(queue(name="jobs-dlq", dlq_of=("jobs",), visible=3), history)
    warned = health.queue_health(queue(dlq="jobs-dlq", dlq_count=3), history)
    stalled = replay([(t, 100, 1_000 + 50 * t, 0) for t in range(0, 62, 2)])
    letters = Topic("orders.DLT", (TopicPartition(0, 1, start=0, end=7),), dead_letter=True)
    headless = Topic("audit", (TopicPartition(0, None, start=0, end=7),))
    found = health.attention(
        KafkaSnapshot(at=0, groups=(stalled,), topics=(letters, headless)), SqsSnapshot(at=0, queues=(warned, dead))
    )
    assert [(a.name, a.status) for a in found] == [
        ("audit", Status.UNREACHABLE),
        ("billing", Status.STALL),
        ("jobs-dlq", Status.DEAD_LETTERS),
        ("orders.DLT", Status.DEAD_LETTERS),
    ]
    assert found[2].where == "dlq of jobs"
