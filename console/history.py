"""What was seen before: small rings per partition, group and queue, from which rates, trends and time behind are read.

Memory is bounded for every thing observed: a ring keeps at most `SIZE` points and thins its older half when it is full,
so that it reaches back ever further at a coarser grain. Times are seconds since the epoch, offsets are Kafka's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

from console.model import Group, GroupPartition, KafkaSnapshot, LagSource, SqsSnapshot

SIZE = 48
RATE_WINDOW = 30.0
TREND = 8
MOST_PATIENCE = 600.0
"""However rarely a group commits, a commit that stands longer than this (seconds) with records behind it is stuck."""

AT_REST = 1
"""A group this many records behind may have read all: an offset that holds a transaction marker is never committed
by a client that commits its last message (KAFKA-10683)."""

_KEPT_MOVES = 10
_FORGET_AFTER = 900.0
_EMPTY = frozenset({"", "empty", "dead"})
_REBALANCING = frozenset({"preparingrebalance", "completingrebalance", "assigning", "reconciling"})


NET_WINDOW = 130.0
"""Seconds that a queue's net rate looks back: two looks at a queue that is off the screen."""

NET_LEAST = 3.0


class Depth(NamedTuple):
    """One look at a queue: visible messages, and all it holds."""

    at: float
    visible: float
    held: float


class Point(NamedTuple):
    """One look at one partition of one group; None where it was not known."""

    at: float
    committed: int
    end: int
    start: int


class End(NamedTuple):
    """One look at how far a topic's partition reaches."""

    at: float
    end: int
    start: int


_Look = TypeVar("_Look", Point, End)
_Item = TypeVar("_Item")


class Commits:
    """The recent past of one group's partition: looks, and since when the commit stands where it stands.

    `waits` are how long (seconds) the group was behind before each of its last moves: the rhythm it commits in.
    `rest` is the commit and the end between which nothing can be read, `asked` those it was last asked about.
    `behind_since` is when the present unbroken run of looks with records to read began, None when there are none.
    """

    __slots__ = (
        *("behind_since", "first_seen", "highest", "moved", "moves", "points", "rewound_from", "seen", "still_since"),
        *("asked", "rest", "waits"),
    )

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.first_seen = 0.0
        self.seen = 0.0
        self.still_since = 0.0
        self.behind_since: float | None = None
        self.moved = False
        self.moves: list[float] = []
        self.waits: list[float] = []
        self.rest: tuple[int, int] | None = None
        self.asked: tuple[int, int] | None = None
        self.highest = -1
        self.rewound_from: int | None = None

    def note(self, point: Point) -> None:
        """Take one look; looks older than the newest (a late answer) are ignored."""
        if self.points and point.at <= self.seen:
            return
        if self.points and point.end < self.highest:
            self.__init__()  # type: ignore[misc]  # the log ends before what was committed: it is another topic now
        if not self.points:
            self.first_seen = self.still_since = point.at
        elif point.committed != self.points[-1].committed:
            waiting_since = self.waiting_since
            if waiting_since is not None:
                self.waits = [*self.waits[-_KEPT_MOVES + 1 :], point.at - waiting_since]
            self.moved = True
            self.still_since = point.at
            self.moves = [*self.moves[-_KEPT_MOVES + 1 :], point.at]
            if point.committed < self.points[-1].committed:
                self.rewound_from = max(self.highest, self.points[-1].committed)
        self.highest = max(self.highest, point.committed)
        if self.rewound_from is not None and point.committed >= self.rewound_from:
            self.rewound_from = None
        if point.end - max(point.committed, point.start) <= AT_REST or self.rest == (point.committed, point.end):
            self.behind_since = None
        elif self.behind_since is None:
            self.behind_since = point.at
        self.seen = point.at
        _append(self.points, point)

    def nothing_left(self, committed: int, end: int, nothing: bool) -> None:
        """Take what was found between a commit and the end: nothing that a client could read, or something."""
        self.asked = (committed, end)
        self.rest = (committed, end) if nothing else None
        if nothing:
            self.behind_since = None

    @property
    def waiting_since(self) -> float | None:
        """Since when the commit has stood still with records to read; None when there was nothing to read."""
        return None if self.behind_since is None else max(self.behind_since, self.still_since)

    @property
    def rhythm(self) -> float:
        """How long it usually takes to commit again while there are records to read, seconds; 0 when not known."""
        if not self.waits:
            return 0.0
        # The module `statistics` would take longer to load than everything else here.
        ordered, middle = sorted(self.waits), len(self.waits) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

    def patience(self, least: float) -> float:
        """How long a commit may stand still before that says anything: twice the group's own rhythm, in bounds."""
        return max(least, min(MOST_PATIENCE, 2 * self.rhythm))


class Activity:
    """When a group was last seen with members, and when it was seen to begin a rebalance."""

    __slots__ = ("live_at", "rebalances", "rebalancing", "seen")

    def __init__(self) -> None:
        self.seen = 0.0
        self.live_at: float | None = None
        self.rebalancing = False
        self.rebalances: list[float] = []

    def note(self, group: Group, at: float) -> None:
        """Take one look."""
        state = group.state.lower()
        live = has_members(group)
        began = state in _REBALANCING and not self.rebalancing
        # Everybody thrown out and back in is a rebalance too, even when no look falls into it.
        came_back = live and self.live_at is not None and self.live_at < self.seen
        if began or came_back:
            self.rebalances = [*self.rebalances[-_KEPT_MOVES + 1 :], at]
        self.rebalancing = state in _REBALANCING
        self.seen = at
        if live:
            self.live_at = at


def has_members(group: Group) -> bool:
    """Whether a group has members at this look, by its members or else by its state."""
    return bool(group.members) or group.state.lower() not in _EMPTY


def _append(ring: list[_Item], item: _Item) -> None:
    """Add to a ring; when it is full drop every second of the older half, so that it keeps its reach."""
    if len(ring) >= SIZE:
        half = len(ring) // 2
        ring[:half] = ring[:half:2]
    ring.append(item)


class History:
    """The rings of everything observed in one run. Safe to use from several threads.

    `stall_seconds` is the minimum window before a commit that does not move is called stalled.
    """

    def __init__(self, stall_seconds: float = 30.0) -> None:
        self.stall_seconds = stall_seconds
        self._lock = threading.Lock()
        self._commits: dict[tuple[str, str, int], Commits] = {}
        self._ends: dict[tuple[str, int], list[End]] = {}
        self._held: dict[tuple[str, int], tuple[int, float]] = {}
        self._activity: dict[str, Activity] = {}
        self._lags: dict[str, list[tuple[float, float]]] = {}
        self._depths: dict[str, list[Depth]] = {}

    def note_kafka(self, snapshot: KafkaSnapshot) -> None:
        """Take one look at the Kafka side; what was not seen for a quarter of an hour is forgotten."""
        with self._lock:
            for topic in snapshot.topics:
                at = topic.seen_at or snapshot.at  # what was not looked at again is no newer than it was
                for partition in topic.partitions:
                    key = (topic.name, partition.partition)
                    self._note_end(key, at, partition.start, partition.end, partition.stable_end)
            for group in snapshot.groups:
                if any(problem.code == "OLD" for problem in group.problems):
                    continue  # kept from an earlier look: nothing was observed now
                at = group.seen_at or snapshot.at
                activity = self._activity.get(group.name)
                if activity is None:
                    activity = self._activity[group.name] = Activity()
                elif at <= activity.seen:
                    continue  # kept as it was: it was noted when it was looked at
                activity.note(group, at)
                for p in group.partitions or ():
                    if not snapshot.topics:  # one group was looked at by itself
                        self._note_end((p.topic, p.partition), at, p.start, p.end, p.stable_end)
                    if p.committed is not None and p.end is not None:
                        row = (group.name, p.topic, p.partition)
                        commits = self._commits.get(row)
                        if commits is None:
                            commits = self._commits[row] = Commits()
                        commits.note(Point(at, p.committed, p.end, p.start or 0))
                lag = group.lag
                if lag is not None:
                    ring_of_lags = self._lags.setdefault(group.name, [])
                    if not ring_of_lags or ring_of_lags[-1][0] < at:
                        _append(ring_of_lags, (at, float(lag)))
            self._forget(snapshot.at)

    def _note_end(
        self, key: tuple[str, int], at: float, start: int | None, end: int | None, stable_end: int | None
    ) -> None:
        if end is None:
            return
        ring = self._ends.setdefault(key, [])
        if ring and ring[-1].at >= at:
            return
        if ring and end < ring[-1].end:
            ring.clear()  # cut off or made anew: what was seen before tells nothing about these offsets
        _append(ring, End(at, end, start or 0))
        if stable_end is None or stable_end >= end:
            self._held.pop(key, None)
        elif key not in self._held or self._held[key][0] != stable_end:
            self._held[key] = (stable_end, at)

    def note_sqs(self, snapshot: SqsSnapshot) -> None:
        """Take one look at the SQS side: how many messages each queue holds. What was not asked again is no look."""
        with self._lock:
            for queue in snapshot.queues:
                at = queue.seen_at if queue.seen_at is not None else snapshot.at
                if queue.visible is not None:
                    ring = self._depths.setdefault(queue.url, [])
                    if not ring or ring[-1].at < at:
                        held = queue.visible + (queue.in_flight or 0) + (queue.delayed or 0)
                        _append(ring, Depth(at, float(queue.visible), float(held)))
            self._depths = {url: r for url, r in self._depths.items() if r[-1].at >= snapshot.at - _FORGET_AFTER}

    @property
    def blank(self) -> bool:
        """Whether nothing of Kafka was noted yet: before the first look, or in a run of one look."""
        return not self._commits and not self._ends

    def commits(self, group: str, topic: str, partition: int) -> Commits | None:
        """The past of one partition of one group, None when it was never seen with a commit."""
        return self._commits.get((group, topic, partition))

    def ends(self, topic: str, partition: int) -> Sequence[End]:
        """How far a partition reached, oldest look first."""
        return self._ends.get((topic, partition), ())

    def held_since(self, topic: str, partition: int) -> float | None:
        """Since when an open transaction is seen to hold the last stable offset where it is; None: nothing does."""
        held = self._held.get((topic, partition))
        return None if held is None else held[1]

    def activity(self, group: str) -> Activity | None:
        """When the group had members and when it rebalanced, None when it was never seen."""
        return self._activity.get(group)

    def rates(self, group: Group, now: float) -> tuple[float | None, float | None, float | None]:
        """Records a second produced to, and consumed by, a group, and the window (seconds) that both were seen over.

        The window is `RATE_WINDOW`, or two commits of a group that commits more rarely. None until two looks at least
        a second apart exist. A commit that went backwards (a reset) is no consumption.
        """
        produced = consumed = 0.0
        longest: float | None = None
        if not self._commits:
            return None, None, None  # the first look, or the only one
        with self._lock:
            for p in group.partitions or ():
                commits = self._commits.get((group.name, p.topic, p.partition))
                if commits is None or len(commits.points) < 2:
                    continue
                last = commits.points[-1]
                window = max(RATE_WINDOW, min(MOST_PATIENCE, 2 * commits.rhythm))
                first = _since(commits.points, now - window)
                span = last.at - first.at
                if span < 1.0:
                    continue
                longest = max(longest or 0.0, span)
                produced += max(0, last.end - first.end) / span
                consumed += max(0, last.committed - first.committed) / span
        return (None, None, None) if longest is None else (produced, consumed, longest)

    def topic_rate(self, topic: str, partitions: Iterable[int], now: float) -> float | None:
        """Records a second produced to a topic over the last `RATE_WINDOW` seconds, None until it can be told."""
        total, known = 0.0, False
        with self._lock:
            for partition in partitions:
                ring = self._ends.get((topic, partition), [])
                if len(ring) < 2:
                    continue
                first = _since(ring, now - RATE_WINDOW)
                span = ring[-1].at - first.at
                if span >= 1.0:
                    known = True
                    total += max(0, ring[-1].end - first.end) / span
        return total if known else None

    def lag_trend(self, group: str) -> tuple[float, ...]:
        """The group's lag over the time observed, at most `TREND` values, oldest first."""
        return self._trend(self._lags.get(group, []))

    def depth_trend(self, queue_url: str) -> tuple[float, ...]:
        """The queue's visible messages over the time observed, at most `TREND` values, oldest first."""
        return self._trend([(look.at, look.visible) for look in self._depths.get(queue_url, [])])

    def net_rate(self, queue_url: str) -> float | None:
        """Messages a second that a queue gains (negative: loses), over about the last `NET_WINDOW` seconds.

        What is visible, in flight and delayed together: a receive alone changes nothing. None until two looks at least
        a few seconds apart exist. SQS's counts are approximate, and so is this.
        """
        with self._lock:
            ring = self._depths.get(queue_url, [])
            if len(ring) < 2:
                return None
            last = ring[-1]
            first = next((look for look in ring[:-1] if look.at >= last.at - NET_WINDOW), ring[-2])
        span = last.at - first.at
        return (last.held - first.held) / span if span >= NET_LEAST else None

    def behind(self, p: GroupPartition, now: float) -> tuple[float | None, LagSource | None]:
        """How many seconds a partition's group is behind, from our own (end offset, time) looks.

        The record at the committed offset was written when the end offset passed it: interpolated between the two looks
        around that moment ("history"), or at least as long ago as the oldest look ("lower_bound"). Never extrapolated
        backwards; nothing behind is (0, "history"), nothing known is (None, None).
        """
        lag = p.lag
        if lag is None or p.committed is None:
            return None, None
        if lag == 0:
            return 0.0, "history"
        position = max(p.committed, p.start or 0)
        known = self._ends.get((p.topic, p.partition))
        if not known:
            return None, None
        with self._lock:
            ring = list(known)
        if ring[0].end > position:
            age = now - ring[0].at
            return (age, "lower_bound") if age >= 1.0 else (None, None)
        for before, after in pairwise(ring):
            if before.end <= position < after.end:
                share = (position - before.end) / (after.end - before.end)
                written = before.at + share * (after.at - before.at)
                return max(0.0, now - written), "history"
        return None, None

    def _trend(self, ring: Sequence[tuple[float, float]]) -> tuple[float, ...]:
        with self._lock:
            values = [value for _, value in ring]
        if len(values) <= TREND:
            return tuple(values)
        step = len(values) / TREND
        return tuple(max(values[int(i * step) : max(int(i * step) + 1, int((i + 1) * step))]) for i in range(TREND))

    def _forget(self, now: float) -> None:
        before = now - _FORGET_AFTER
        self._ends = {key: ring for key, ring in self._ends.items() if ring[-1].at >= before}
        self._lags = {key: ring for key, ring in self._lags.items() if ring[-1][0] >= before}
        self._commits = {key: commits for key, commits in self._commits.items() if commits.seen >= before}
        self._activity = {key: seen for key, seen in self._activity.items() if seen.seen >= before}
        self._held = {key: held for key, held in self._held.items() if key in self._ends}


def _since(ring: Sequence[_Look], at: float) -> _Look:
    """The first look not older than `at`, or the last but one when all are older."""
    for item in ring[:-1]:
        if item.at >= at:
            return item
    return ring[-2]
