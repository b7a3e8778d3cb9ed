"""Histories in the shape of real incidents, replayed look by look: the verdict while it lasts, none before, none after.

Each is a simulated partition: what arrives, what is committed, what retention deletes. The rules see it every two
seconds, as the console does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import health
from console.history import MOST_PATIENCE, History
from console.model import Group, GroupPartition, KafkaSnapshot, Status, Topic, TopicPartition
from console.ops.times import parse_duration

QUIET = {Status.OK, Status.UNKNOWN}
CALM = QUIET | {Status.WARN}
STUCK = {Status.STALL, Status.STOP}


@dataclass(frozen=True)
class Look:
    """One look at one partition; `committed` None: no commit there (any more)."""

    at: float
    committed: int | None
    end: int
    start: int = 0
    stable_end: int | None = None
    state: str = "Stable"


@dataclass(frozen=True)
class Seen:
    """What the rules said after one look."""

    at: float
    group: Group

    @property
    def status(self) -> Status:
        return self.group.status


def replay(looks: Iterable[Look], stall: float = 30.0) -> list[Seen]:
    """The verdict after every look."""
    history = History(stall_seconds=stall)
    seen = []
    for look in looks:
        stable = look.end if look.stable_end is None else look.stable_end
        p = GroupPartition(
            "orders", 0, leader=1, start=look.start, committed=look.committed, end=look.end, stable_end=stable
        )
        group = Group("billing", type="classic", state=look.state, partitions=(p,))
        topic = Topic("orders", (TopicPartition(0, 1, start=look.start, end=look.end, stable_end=stable),))
        history.note_kafka(KafkaSnapshot(at=look.at, groups=(group,), topics=(topic,)))
        seen.append(Seen(look.at, health.group_health(group, history, look.at)))
    return seen


def simulate(
    seconds: int,
    arrives: Callable[[float], float],
    reads: Callable[[float], float],
    commits_every: float = 5.0,
    every: float = 2.0,
    start: Callable[[float], int] = lambda t: 0,
    backlog: int = 0,
    behind: int = 0,
    state: Callable[[float], str] = lambda t: "Stable",
) -> list[Look]:
    """A group that reads at most `reads(t)` records a second of what `arrives(t)`, committing every so often.

    `backlog` records are there when it begins, `behind` of them not read yet.
    """
    end, position, committed = float(backlog), float(backlog - behind), backlog - behind
    looks, step, next_commit, next_look = [], 0.25, commits_every, 0.0
    for n in range(int(seconds / step)):
        at = n * step
        if at >= next_look:
            looks.append(Look(at, committed, int(end), min(start(at), int(end)), state=state(at)))
            next_look += every
        end += arrives(at) * step
        position = min(end, position + reads(at) * step)
        if at >= next_commit:
            committed = int(position)
            next_commit += commits_every
    return looks


def statuses(seen: list[Seen], after: float, before: float) -> set[Status]:
    found = {s.status for s in seen if after <= s.at < before}
    assert found, "no look in that time"
    return found


def steady(rate: float) -> Callable[[float], float]:
    return lambda t: rate


def test_a_stall_and_its_end() -> None:
    """A service stops for three minutes (a lock is held), then goes on and catches up."""
    seen = replay(simulate(700, steady(100), lambda t: 0 if 120 <= t < 300 else 300))
    assert statuses(seen, 0, 150) <= QUIET
    assert statuses(seen, 156, 300) <= STUCK
    assert "for 2m" in next(s for s in seen if s.at >= 270).group.reason
    assert statuses(seen, 308, 700) <= QUIET


def test_a_stall_of_a_group_that_had_nothing_to_read_when_it_was_first_seen() -> None:
    seen = replay(simulate(400, lambda t: 0 if t < 20 else 100, lambda t: 300 if t < 200 else 0))
    assert seen[0].group.lag == 0
    assert statuses(seen, 0, 225) <= QUIET
    assert statuses(seen, 240, 400) <= STUCK


def test_a_quiet_topic_that_gets_something_again_is_not_stalled_at_once() -> None:
    """The commit stood for five minutes because there was nothing to read: the clock starts with the records."""
    seen = replay(simulate(600, lambda t: 100 if t < 60 or 360 <= t < 380 else 0, steady(500)))
    assert {s.status for s in seen} <= QUIET


def test_a_rewind_until_it_has_regained_its_place() -> None:
    looks = simulate(300, steady(100), steady(100), commits_every=2)
    back = next(n for n, look in enumerate(looks) if look.at >= 100)
    at = looks[back].committed or 0
    for n in range(back, len(looks)):
        read = max(0, at - 6_000) + int(200 * (looks[n].at - looks[back].at))
        looks[n] = replace(looks[n], committed=min(read, looks[n].committed or 0))
    seen = replay(looks)
    assert statuses(seen, 0, 100) <= QUIET
    assert statuses(seen, 100, 128) == {Status.REWIND}
    assert "went back by" in seen[back].group.reason
    assert statuses(seen, 170, 300) <= QUIET


def test_a_slow_drain_is_no_trouble() -> None:
    seen = replay(simulate(600, steady(100), steady(130), backlog=100_000, behind=100_000))
    assert {s.status for s in seen} <= QUIET
    left = health.eta(seen[-1].group)
    lag = seen[-1].group.lag or 0
    assert left is not None and abs(left - lag / 30) < 0.2 * lag / 30


def test_a_burst_warns_at_most_and_is_forgotten() -> None:
    seen = replay(simulate(500, lambda t: 2_000 if 100 <= t < 160 else 100, steady(600)))
    assert statuses(seen, 0, 100) <= QUIET
    assert statuses(seen, 100, 240) <= CALM
    assert Status.WARN in statuses(seen, 130, 165)
    assert statuses(seen, 400, 500) <= QUIET


def test_falling_behind_for_good_has_no_eta() -> None:
    seen = replay(simulate(200, steady(200), steady(100)))
    assert statuses(seen, 60, 200) == {Status.WARN}
    assert "falling behind" in seen[-1].group.reason
    assert health.eta(seen[-1].group) is None


def test_records_that_expired_unread_are_lost_until_the_group_is_past_them() -> None:
    start = lambda t: 9_000 if t >= 100 else 0  # noqa: E731
    looks = simulate(200, steady(100), lambda t: 0 if t < 150 else 5_000, start=start, backlog=5_000, behind=5_000)
    seen = replay(looks)
    assert statuses(seen, 0, 28) <= QUIET
    assert statuses(seen, 100, 148) == {Status.LOST}
    assert "lost 9,000 records" in next(s for s in seen if s.at >= 120).group.reason
    assert statuses(seen, 160, 200) <= QUIET


def test_a_commit_that_expires_is_said() -> None:
    looks = [Look(t, 500 if t < 40 else None, 500) for t in range(0, 80, 2)]
    seen = replay(looks)
    assert statuses(seen, 0, 40) <= QUIET
    assert statuses(seen, 40, 80) == {Status.WARN}
    assert "its commit (500) has gone, expired or deleted" in seen[-1].group.reason
    assert seen[-1].group.lag is None and seen[-1].group.no_commit == 1


def test_a_group_that_rebalances_for_ever_is_stuck_without_flickering() -> None:
    """Members are thrown out before they commit: now Stable, now rebalancing, now empty, and nothing moves."""
    states = ("Stable", "PreparingRebalance", "Empty", "CompletingRebalance")
    looks = simulate(400, steady(100), lambda t: 100 if t < 100 else 0)
    looks = [replace(k, state="Stable" if k.at < 100 else states[int(k.at // 6) % 4]) for k in looks]
    seen = replay(looks)
    assert statuses(seen, 0, 130) <= QUIET
    assert statuses(seen, 140, 400) <= STUCK
    assert "; rebalanced 10 times in" in seen[-1].group.reason


def test_rebalances_of_a_group_that_goes_on_reading_are_no_alarm() -> None:
    states = ("Stable", "Stable", "PreparingRebalance", "Empty")
    seen = replay(simulate(400, steady(100), steady(150), state=lambda t: states[int(t // 6) % 4]))
    assert {s.status for s in seen} <= QUIET


def test_a_deployment_is_no_alarm() -> None:
    seen = replay(
        simulate(
            300,
            steady(100),
            lambda t: 0 if 100 <= t < 120 else 300,
            state=lambda t: "Empty" if 102 <= t < 116 else "Stable",
        )
    )
    assert {s.status for s in seen} <= QUIET


def test_a_group_whose_members_are_gone_warns() -> None:
    seen = replay(
        simulate(300, steady(100), lambda t: 100 if t < 100 else 0, state=lambda t: "Stable" if t < 100 else "Empty")
    )
    assert statuses(seen, 0, 125) <= QUIET
    assert statuses(seen, 145, 300) == {Status.WARN}
    assert seen[-1].group.reason.startswith("no members")


def segments(t: float) -> int:
    """Retention that deletes a segment of 2,000 records every 20 seconds, from the hundredth on."""
    return 0 if t < 100 else 2_000 * (1 + int((t - 100) // 20))


def test_losing_tells_the_time_left() -> None:
    """A stopped group in front of a retention that takes 100 records a second, by segments."""
    looks = simulate(860, steady(100), lambda t: 0 if t >= 100 else 1_000, start=segments, backlog=50_000)
    seen = replay(looks)
    gone = next(s.at for s in seen if s.status is Status.LOST)
    losing = [s for s in seen if s.status is Status.LOSING]
    assert losing and losing[-1].at >= gone - 2, "said until it happens"
    assert losing[0].at <= gone - 200, "said in time"
    assert "when retention deletes next" in losing[-1].group.reason
    for s in (s for s in losing if "~" in s.group.reason):
        told = parse_duration(s.group.reason.split("~")[1].split(":")[0])
        assert abs(told - (gone - s.at)) <= 22 + 0.15 * told, "right within a segment and the grain of what is kept"


def test_a_group_that_keeps_up_is_not_losing_whatever_retention_deletes() -> None:
    seen = replay(simulate(400, steady(100), steady(150), start=lambda t: segments(t) * 2, backlog=50_000))
    assert Status.LOSING not in {s.status for s in seen}


def test_one_segment_that_goes_says_nothing_about_the_next() -> None:
    looks = simulate(300, steady(10), steady(0), start=lambda t: 30_000 if t >= 100 else 0, backlog=60_000)
    seen = replay([replace(look, committed=35_000) for look in looks])
    assert Status.LOSING not in {s.status for s in seen}


def test_one_short_of_a_transaction_marker_is_never_stuck() -> None:
    """Transactions of nine records and a marker, one every two minutes: the commit is always one short of the end."""
    looks = []
    for t in range(0, 900, 2):
        done = t // 120
        fresh = t % 120 < 4 and t >= 120  # a transaction has just been committed: its records are not read yet
        looks.append(Look(t, 10 * (done - fresh) + 9, 10 * done + 10))
    assert {s.status for s in replay(looks)} <= QUIET


def test_an_open_transaction_that_comes_and_goes_is_no_alarm_and_one_that_stays_is() -> None:
    """The group has read to the last stable offset, or to one short of it where a marker stands."""
    for short in (0, 1):
        looks = []
        for t in range(0, 300, 2):
            begun = 10 * (t // 10) + 10 if t < 100 or t >= 250 else 110
            looks.append(Look(t, 100 * begun - short, 100 * t + 1_010, stable_end=100 * begun))
        seen = replay(looks)
        assert statuses(seen, 0, 128) <= QUIET
        assert statuses(seen, 132, 250) == {Status.WARN}
        assert "held back by an open transaction, for 1m" in next(s for s in seen if s.at >= 180).group.reason
        assert statuses(seen, 252, 300) <= QUIET


def test_a_group_that_commits_once_a_minute_is_not_stalled() -> None:
    """Checkpoints: the first ones may look like a stall, from the second on the group's own rhythm is known."""
    seen = replay(simulate(900, steady(100), steady(150), commits_every=60))
    assert statuses(seen, 122, 900) <= QUIET
    stopped = replay(simulate(900, steady(100), lambda t: 150 if t < 400 else 0, commits_every=60))
    assert statuses(stopped, 122, 480) <= QUIET
    assert statuses(stopped, 600, 900) <= STUCK


def test_a_topic_made_anew_is_neither_a_rewind_nor_a_stall() -> None:
    looks = simulate(100, steady(100), steady(150))
    again = [replace(look, at=look.at + 100) for look in simulate(100, steady(10), steady(15))]
    assert {s.status for s in replay(looks + again)} <= QUIET


rates = st.floats(0.5, 5_000)


@given(rate=rates, faster=st.floats(1.05, 10), commits=st.floats(0.5, 14), every=st.floats(1, 7))
def test_whoever_keeps_up_is_never_in_trouble(rate: float, faster: float, commits: float, every: float) -> None:
    seen = replay(simulate(240, steady(rate), steady(rate * faster), commits, every))
    assert {s.status for s in seen} <= CALM


@pytest.mark.parametrize("state", ["Stable", ""])
@given(rate=rates, commits=st.floats(0.5, 10), every=st.floats(1, 5), stops=st.integers(60, 200))
def test_whoever_stops_is_found_and_not_before(
    state: str, rate: float, commits: float, every: float, stops: int
) -> None:
    """Found within the minimum window and a few looks; what is known of a broker that tells no state is enough."""
    looks = simulate(
        stops + 130, steady(rate), lambda t: 2 * rate if t < stops else 0, commits, every, state=lambda t: state
    )
    seen = replay(looks)
    before = {s.status for s in seen if s.at < stops}
    assert before <= CALM
    if state:
        late = 30 + commits + 3 * every + 3 / rate
        assert statuses(seen, stops + late, stops + 130) <= STUCK
    else:
        assert seen[-1].status is Status.WARN  # nobody is known to read it


@given(
    st.lists(
        st.tuples(st.floats(0.5, 20), st.integers(-300, 500), st.integers(-200, 500), st.integers(0, 300)),
        min_size=3,
        max_size=60,
    )
)
def test_in_any_history_every_verdict_holds_what_it_says(moves: list[tuple[float, int, int, int]]) -> None:
    at, committed, end, start = 0.0, 500, 1_000, 0
    looks = []
    for dt, dc, de, ds in moves:
        at, end = at + dt, max(0, end + de)
        start = min(end, start + ds)
        committed = min(end, max(0, committed + dc))
        looks.append(Look(at, committed, end, start))
    for n, s in enumerate(replay(looks)):
        (p,) = s.group.partitions or ()
        if p.lag == 0 and not p.lost:
            assert s.status is Status.OK
        if s.status is Status.LOST:
            assert p.lost
        if s.status in STUCK:
            still = [k.committed for k in looks[: n + 1] if k.at >= s.at - 29]
            assert len(set(still)) == 1 and n + 1 >= health.MIN_LOOKS
        if s.status is Status.LOSING:
            assert p.committed is not None and p.start is not None and p.committed - p.start < (p.lag or 0)
            assert len({k.start for k in looks[: n + 1]}) >= 2
        if s.status is Status.REWIND:
            assert any((later.committed or 0) < (k.committed or 0) for k, later in pairwise(looks))
        left = health.eta(s.group)
        assert left is None or left > 0
        assert s.status is Status.OK or s.group.reason


def test_patience_has_an_end() -> None:
    """A group that was stuck for an hour and moved once is not trusted for two."""
    looks = [Look(t, 0, 10_000 + t) for t in range(0, 3_600, 30)]
    looks += [Look(3_600 + t, 100, 13_600 + t) for t in range(0, int(MOST_PATIENCE) + 60, 10)]
    seen = replay(looks)
    assert seen[-1].status in STUCK
