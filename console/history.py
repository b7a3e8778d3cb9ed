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
_FORGET_AFTER = 900.0


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
    """The recent past of one group's partition: distinct looks, and since when the commit stands where it stands."""

    __slots__ = ("first_seen", "highest", "moved", "moves", "points", "rewound_from", "seen", "still_since")

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.first_seen = 0.0
        self.seen = 0.0
        self.still_since = 0.0
        self.moved = False
        self.moves: list[float] = []
        self.highest = -1
        self.rewound_from: int | None = None

    def note(self, point: Point) -> None:
        """Take one look; looks older than the newest (a late answer) are ignored."""
        if self.points and point.at <= self.seen:
            return
        if not self.points:
            self.first_seen = self.still_since = point.at
        elif point.committed != self.points[-1].committed:
            self.moved = True
            self.still_since = point.at
            self.moves = [*self.moves[-9:], point.at]
            if point.committed < self.points[-1].committed:
                self.rewound_from = max(self.highest, self.points[-1].committed)
        self.highest = max(self.highest, point.committed)
        if self.rewound_from is not None and point.committed >= self.rewound_from:
            self.rewound_from = None
        self.seen = point.at
        _append(self.points, point)


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
        self._lags: dict[str, list[tuple[float, float]]] = {}
        self._depths: dict[str, list[tuple[float, float]]] = {}

    def note_kafka(self, snapshot: KafkaSnapshot) -> None:
        """Take one look at the Kafka side; what was not seen for a quarter of an hour is forgotten."""
        with self._lock:
            for topic in snapshot.topics:
                for partition in topic.partitions:
                    if partition.end is not None:
                        ring = self._ends.setdefault((topic.name, partition.partition), [])
                        if not ring or ring[-1].at < snapshot.at:
                            _append(ring, End(snapshot.at, partition.end, partition.start or 0))
            for group in snapshot.groups:
                if any(problem.code == "OLD" for problem in group.problems):
                    continue  # kept from an earlier look: nothing was observed now
                for p in group.partitions or ():
                    if p.committed is not None and p.end is not None:
                        commits = self._commits.setdefault((group.name, p.topic, p.partition), Commits())
                        commits.note(Point(snapshot.at, p.committed, p.end, p.start or 0))
                lag = group.lag
                if lag is not None:
                    ring_of_lags = self._lags.setdefault(group.name, [])
                    if not ring_of_lags or ring_of_lags[-1][0] < snapshot.at:
                        _append(ring_of_lags, (snapshot.at, float(lag)))
            self._forget(snapshot.at)

    def note_sqs(self, snapshot: SqsSnapshot) -> None:
        """Take one look at the SQS side: how many messages are visible in each queue."""
        with self._lock:
            for queue in snapshot.queues:
                if queue.visible is not None:
                    ring = self._depths.setdefault(queue.url, [])
                    if not ring or ring[-1][0] < snapshot.at:
                        _append(ring, (snapshot.at, float(queue.visible)))

    def commits(self, group: str, topic: str, partition: int) -> Commits | None:
        """The past of one partition of one group, None when it was never seen with a commit."""
        return self._commits.get((group, topic, partition))

    def ends(self, topic: str, partition: int) -> Sequence[End]:
        """How far a partition reached, oldest look first."""
        return self._ends.get((topic, partition), ())

    def rates(self, group: Group, now: float) -> tuple[float | None, float | None]:
        """Records a second produced to, and consumed by, a group over the last `RATE_WINDOW` seconds.

        None until two looks at least a second apart exist. A commit that went backwards (a reset) is no consumption.
        """
        produced = consumed = 0.0
        known = False
        with self._lock:
            for p in group.partitions or ():
                commits = self._commits.get((group.name, p.topic, p.partition))
                if commits is None or len(commits.points) < 2:
                    continue
                last = commits.points[-1]
                first = _since(commits.points, now - RATE_WINDOW)
                span = last.at - first.at
                if span < 1.0:
                    continue
                known = True
                produced += max(0, last.end - first.end) / span
                consumed += max(0, last.committed - first.committed) / span
        return (produced, consumed) if known else (None, None)

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
        return self._trend(self._depths.get(queue_url, []))

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
        with self._lock:
            ring = list(self._ends.get((p.topic, p.partition), ()))
        if not ring:
            return None, None
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


def _since(ring: Sequence[_Look], at: float) -> _Look:
    """The first look not older than `at`, or the last but one when all are older."""
    for item in ring[:-1]:
        if item.at >= at:
            return item
    return ring[-2]
