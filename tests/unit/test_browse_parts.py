"""Browsing without a broker: positions as people type them, filters, merging by time, what is said to be scanned."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.config import KafkaSettings
from console.errors import UsageError
from console.kafka.browse import Scan
from console.model import Message
from console.ops.browse import Position, Reach, Scanned, parse_position
from console.ops.browse_filter import RecordWhere, header_value, value_of

NOW = 1_800_000_000.0


class Record:
    """A record as confluent-kafka hands it over."""

    def __init__(
        self,
        value: bytes | None = b"",
        key: bytes | None = None,
        headers: list[tuple[str, bytes | None]] | None = None,
        partition: int = 0,
        offset: int = 0,
        at: float = 1.0,
    ) -> None:
        self._all = {"value": value, "key": key, "headers": headers, "partition": partition, "offset": offset}
        self._at = at

    def __getattr__(self, name: str) -> Any:
        return lambda: self._all[name]

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return "t"

    def timestamp(self) -> tuple[int, int]:
        return (1, round(self._at * 1000))


@pytest.mark.parametrize(
    ("typed", "position"),
    [
        ("earliest", Position("earliest")),
        (" latest ", Position("latest")),
        ("0", Position("offset", 0)),
        ("1234567", Position("offset", 1_234_567)),
        ("15m-ago", Position("time", NOW - 900)),
        ("1h30m ago", Position("time", NOW - 5_400)),
        ("PT2H-ago", Position("time", NOW - 7_200)),
        ("2026-11-23T14:22:07Z", Position("time", 1_795_443_727)),
        ("2026-11-23", Position("time", 1_795_392_000)),
    ],
)
def test_positions(typed: str, position: Position) -> None:
    assert parse_position(typed, NOW) == position


@pytest.mark.parametrize(
    ("end", "start", "before"),
    [
        ("20", "30", True),
        ("30", "30", False),
        ("2h-ago", "1h-ago", True),
        ("1h-ago", "2h-ago", False),
        ("earliest", "latest", True),
        ("latest", "earliest", False),
        ("latest", "latest", False),
        ("5", "1h-ago", False),
    ],
)
def test_an_end_before_its_beginning(end: str, start: str, before: bool) -> None:
    assert parse_position(end, NOW).lies_before(parse_position(start, NOW)) is before


@pytest.mark.parametrize("typed", ["", "newest", "-5", "15m", "ago", "x-ago", "2026-13-01", "9" * 25, "٣"])
def test_what_is_no_position(typed: str) -> None:
    with pytest.raises(UsageError):
        parse_position(typed, NOW)


@pytest.mark.parametrize(
    ("source", "record", "selected"),
    [
        ("value.amount > 100", Record(b'{"amount": 150}'), True),
        ("value.amount > 100", Record(b'{"amount": 50}'), False),
        ("value == 'plain text'", Record(b"plain text"), True),
        ("value == '{broken'", Record(b"{broken"), True),
        ("value == 42", Record(b"42"), True),
        ("value == null", Record(None), True),
        ("value == b'\\xff\\x00'", Record(b"\xff\x00"), True),
        ("value == ''", Record(b""), True),
        ("value[0].id == 'a'", Record(b'[{"id": "a"}]'), True),
        ("key == 'k-1'", Record(key=b"k-1"), True),
        ("key == null", Record(), True),
        ("partition == 3 && offset >= 10", Record(partition=3, offset=10), True),
        ("timestamp > timestamp('2026-01-01T00:00:00Z')", Record(at=NOW), True),
        ("timestamp > timestamp('2026-01-01T00:00:00Z')", Record(at=1.0), False),
        ("headers['trace'] == 'abc'", Record(headers=[("trace", b"old"), ("trace", b"abc")]), True),
        ("'trace' in headers", Record(headers=None), False),
        (
            "headers['kafka_dlt-original-partition'] == 3",
            Record(headers=[("kafka_dlt-original-partition", struct.pack(">i", 3))]),
            True,
        ),
    ],
)
def test_a_filter_sees_a_record(source: str, record: Record, selected: bool) -> None:
    where = RecordWhere(source)
    assert where(record) is selected
    assert where.errors == 0


def test_a_record_the_filter_does_not_fit_is_counted_and_not_selected() -> None:
    where = RecordWhere("value.amount > 100")
    assert not where(Record(b"text"))
    assert not where(Record(b'{"other": 1}'))
    assert where.errors == 2
    assert where.note.startswith("the filter could not be applied to 2: ")
    # A division by zero is one record's misfortune, not the end of a scan.
    for source in ("10 / value > 1", "10 % value == 1"):
        where = RecordWhere(source)
        assert [where(Record(b"%d" % n)) for n in (0, 3)] == [False, True]
        assert where.note.startswith("the filter could not be applied to 1: ZeroDivisionError")
    # What is neither true nor false selects nothing, and says so.
    number = RecordWhere("1 + 1")
    assert not number(Record(b"1"))
    assert number.note == "the filter could not be applied to 1: NotBoolean: it gives int and not true or false"


@pytest.mark.parametrize(
    "source",
    [
        "value.items.exists(i, i.sku == 'x')",
        "value.items.all(i, i.tags.exists(t, t == key))",
        "value.items.filter(i, i.n > 1).size() == 1",
        "value.items.map(i, i.n) == [2]",
        "type(value.items[0].n) == int",
    ],
)
def test_macros_and_types_are_cel_too(source: str) -> None:
    where = RecordWhere(source)
    assert where(Record(b'{"items": [{"sku": "x", "n": 2, "tags": ["k"]}]}', b"k")) is True
    assert where.note == ""
    with pytest.raises(UsageError, match="uses other, but a record has"):
        RecordWhere(source + " && other == 1")


@pytest.mark.parametrize("source", ["value.", "body.kind == 'x'", "valu == 1", ""])
def test_what_is_no_filter(source: str) -> None:
    with pytest.raises(UsageError, match="--where"):
        RecordWhere(source)


@given(st.binary(max_size=60))
def test_any_bytes_have_a_value(raw: bytes) -> None:
    value_of(raw)
    header_value("kafka_dlt-original-offset", raw)


# ---------------------------------------------------------------- one pass, without a broker


class Passed(Scan):
    """A scan whose batches are given: merging and bookkeeping are the real ones, the consumer notes what is paused."""

    def __init__(
        self, ranges: dict[int, tuple[int, int | None]], given: list[list[Any]], held_bytes: int = 10**9
    ) -> None:
        super().__init__(KafkaSettings("x:1"), "t", ranges, None, held_bytes)
        self.given = given
        self.paused_now: set[int] = set()
        self.most_paused = 0
        self._source = self  # type: ignore[assignment]

    def pause(self, places: list[Any]) -> None:
        self.paused_now |= {p.partition for p in places}
        self.most_paused = max(self.most_paused, len(self.paused_now))

    def resume(self, places: list[Any]) -> None:
        self.paused_now -= {p.partition for p in places}

    def batches(self, *_: object) -> Iterator[list[Message]]:
        for batch in self.given:
            yield self._taken([r for r in batch if r.partition() not in self.paused_now])
        while left := [r for batch in self.given for r in batch if self._wants(r)]:
            yield self._taken(left[:5])

    def _wants(self, record: Record) -> bool:
        p = record.partition()
        return p in self.open and p not in self.paused_now and record.offset() >= self.position[p]


def test_merged_by_time_over_partitions() -> None:
    ranges: dict[int, tuple[int, int | None]] = {0: (0, 4), 1: (10, 13)}
    zero = [Record(offset=n, at=float(n)) for n in range(4)]
    one = [Record(partition=1, offset=10 + n, at=n + 0.5) for n in range(3)]
    scan = Passed(ranges, [zero, one])
    assert [m.timestamp for m in scan.merged()] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert scan.open == set() and scan.shown == {0: 4, 1: 13} and scan.scanned == 7


def test_who_stops_in_the_middle_knows_how_far_each_partition_was_shown() -> None:
    zero = [Record(offset=n, at=float(n)) for n in range(4)]
    one = [Record(partition=1, offset=n, at=n + 10.0) for n in range(4)]
    scan = Passed({0: (0, 4), 1: (0, 4)}, [zero, one])
    merged = scan.merged()
    assert [next(merged).offset for _ in range(2)] == [0, 1]
    assert scan.shown == {0: 2, 1: 0}


def test_records_beyond_the_end_or_handed_out_twice_are_not_shown() -> None:
    given_twice = [Record(offset=n, at=float(n)) for n in (0, 1, 0, 1, 2, 7)]
    scan = Passed({0: (0, 5)}, [given_twice])
    assert [m.offset for m in scan.merged()] == [0, 1, 2]
    assert scan.open == set() and scan.shown == {0: 5}


@given(
    st.lists(st.lists(st.integers(0, 1_000), max_size=40).map(sorted), min_size=1, max_size=5),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_a_merge_loses_nothing_whatever_comes_first_and_whatever_it_may_hold(
    times: list[list[int]], batches: int, chance: Any
) -> None:
    records = [
        Record(partition=p, offset=n, at=float(at)) for p, column in enumerate(times) for n, at in enumerate(column)
    ]
    ranges: dict[int, tuple[int, int | None]] = {p: (0, len(column)) for p, column in enumerate(times)}
    cut = sorted(chance.randint(0, len(records)) for _ in range(batches))
    parts = [records[a:b] for a, b in zip([0, *cut], [*cut, len(records)], strict=True)]
    scan = Passed(ranges, parts, held_bytes=3_000)
    shown = list(scan.merged())
    assert [m.timestamp for m in shown] == sorted(float(at) for column in times for at in column)
    assert sorted(m.id for m in shown) == sorted(f"t/{r.partition()}/{r.offset()}" for r in records)
    assert scan.paused_now <= scan.open


def test_a_partition_that_runs_ahead_is_paused() -> None:
    ahead = [Record(partition=1, offset=n, at=1_000.0 + n) for n in range(50)]
    behind = [Record(offset=n, at=float(n)) for n in range(5)]
    scan = Passed({0: (0, 5), 1: (0, 50)}, [ahead[:20], ahead[20:], behind], held_bytes=5_000)
    assert len(list(scan.merged())) == 55
    assert scan.most_paused == 1


# ---------------------------------------------------------------- what was scanned


def test_the_words_say_the_range_and_whether_it_was_the_whole() -> None:
    whole = Scanned("t", 30, 2, (Reach(0, 0, 10, 0, 10, (0, 10)), Reach(1, 5, 25, 5, 25, (5, 25))), True)
    assert whole.words == "2 of 30 records scanned; p0 [0, 10), p1 [5, 25); the whole topic; no group joined"
    asked = Scanned("t", 5, 5, (Reach(0, 0, 10, 5, 10, (5, 10)),), True)
    assert "the whole of the range asked for" in asked.words
    part = Scanned("t", 3, 3, (Reach(0, 0, 1_000, 0, 1_000, (0, 3)),), False, "stopped at the limit of 3")
    assert "p0 [0, 3)" in part.words
    assert "not the whole: 1,000 offsets in the range; stopped at the limit of 3" in part.words


def test_a_range_is_whole_when_all_of_it_was_looked_at() -> None:
    assert Reach(0, 0, 10, 4, 4).whole
    assert Reach(0, 0, 10, 0, 10, (0, 10)).whole
    assert not Reach(0, 0, 10, 0, 10, (5, 10)).whole
    assert not Reach(0, 0, 10, 0, 10, (0, 9)).whole
    assert not Reach(0, 0, 10, 0, 10).whole
