"""Sums over a group's partitions: what is unknown is never 0."""

from __future__ import annotations

import pytest

from console.model import Group, GroupPartition, LagSource, Problem


def at(p: int, committed: int | None, end: int | None, seconds: float | None, source: LagSource | None = None):  # type: ignore[no-untyped-def]
    return GroupPartition(
        "orders", p, start=0, committed=committed, end=end, lag_seconds=seconds, lag_seconds_source=source
    )


DRAINED = at(0, 9, 9, 0.0, "history")
LAGS = at(1, 4, 9, None)
KNOWN = at(2, 4, 9, 30.0, "record")
SOONER = at(3, 4, 9, 10.0, "lower_bound")
NO_COMMIT = at(4, None, 9, None)
NO_END = at(5, 4, None, None)
NO_ANSWER = GroupPartition("orders", 6, problem=Problem("broker 2", "TIMEOUT", "does not answer"))


@pytest.mark.parametrize(
    ("partitions", "seconds", "source"),
    [
        ((), None, None),
        ((DRAINED,), 0.0, "history"),
        ((DRAINED, NO_COMMIT), 0.0, "history"),
        ((DRAINED, LAGS), None, None),
        ((DRAINED, NO_END), None, None),
        ((DRAINED, NO_ANSWER), None, None),
        ((LAGS,), None, None),
        ((DRAINED, KNOWN), 30.0, "record"),
        ((DRAINED, KNOWN, LAGS), 30.0, "lower_bound"),
        ((KNOWN, NO_ANSWER), 30.0, "lower_bound"),
        ((SOONER, KNOWN), 30.0, "record"),
        ((SOONER,), 10.0, "lower_bound"),
    ],
)
def test_time_behind_of_a_group(
    partitions: tuple[GroupPartition, ...], seconds: float | None, source: str | None
) -> None:
    group = Group("g", partitions=partitions)
    assert (group.lag_seconds, group.lag_seconds_source) == (seconds, source)


def test_partitions_that_are_not_counted() -> None:
    assert Group("g", partitions=(DRAINED, LAGS, NO_COMMIT)).unseen == 0
    assert Group("g", partitions=(DRAINED, LAGS, NO_COMMIT, NO_END, NO_ANSWER)).unseen == 2
