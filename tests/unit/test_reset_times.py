"""Times and durations as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import UsageError
from console.ops.times import parse_datetime, parse_duration, spoken

AT = datetime(2026, 11, 23, 14, 22, 7, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("typed", "at"),
    [
        ("2026-11-23T14:22:07Z", AT),
        ("2026-11-23T14:22:07", AT),
        ("2026-11-23 14:22:07", AT),
        ("2026-11-23T14:22:07.250", AT + 0.25),
        ("2026-11-23T14:22:07,250Z", AT + 0.25),
        ("2026-11-23T15:22:07+01:00", AT),
        ("2026-11-23T15:22:07+0100", AT),
        ("2026-11-23T19:52:07+05:30", AT),
        ("2026-11-23T14:22", AT - 7),
        ("2026-11-23", AT - 7 - 14 * 3600 - 22 * 60),
        (" 2026-11-23T14:22:07Z ", AT),
        ("1970-01-01", 0.0),
    ],
)
def test_a_time_without_a_zone_is_utc(typed: str, at: float) -> None:
    assert parse_datetime(typed) == pytest.approx(at, abs=1e-6)


@pytest.mark.parametrize(
    "typed",
    ["", "now", "yesterday", "2026", "20261123", "1795443727", "2026-13-01", "2026-02-30", "2026-11-23T25:00",
     "23.11.2026", "2026-11-23T14:22:07 CET", "1969-12-31T23:59:59", "-1", "2026-W48-1", "2026-11-23T14:22:07Zx"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_an_example(typed: str) -> None:
    with pytest.raises(UsageError, match="2026-11-23T14:22:07Z"):
        parse_datetime(typed)


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_every_zone_names_the_same_moment(moment: datetime, minutes: int) -> None:
    there = moment.replace(tzinfo=UTC, microsecond=0).astimezone(timezone(timedelta(minutes=minutes)))
    assert parse_datetime(there.isoformat()) == there.timestamp()


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("PT1H30M", 5400), ("P2DT3H", 183_600), ("PT0.5S", 0.5), ("P1W", 604_800), ("90s", 90), ("15m", 900),
     ("1h30m", 5400), ("2d", 172_800), ("pt5m", 300), (" 1.5h ", 5400)],
)  # fmt: skip
def test_durations(typed: str, seconds: float) -> None:
    assert parse_duration(typed) == seconds


@pytest.mark.parametrize(
    "typed",
    ["", "P", "PT", "P1Y", "P1M", "90", "0s", "PT0S", "-5m", "5 m", "m5", "1h1h", "P1DT", "9e9d", "99999999999s"],
)
def test_what_is_no_duration_is_refused_with_a_reason(typed: str) -> None:
    with pytest.raises(UsageError, match=r"PT1H30M|more than nothing"):
        parse_duration(typed)


def test_a_plan_speaks_the_zone() -> None:
    assert spoken(AT) == "2026-11-23T14:22:07.000Z (UTC)"
