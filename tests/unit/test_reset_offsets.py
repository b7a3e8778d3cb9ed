"""Where a reset takes each partition: pure rules, held against every position there can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import UsageError
from console.ops.offsets import (
    MAX_OFFSET,
    Position,
    Strategy,
    StrategyKind,
    entry,
    file_text,
    parse_selection,
    parse_strategy,
    read_csv,
    write_csv,
)

NOW = 1795443727.0
OFFSETS = st.integers(0, 10**12)


@st.composite
def positions(draw: st.DrawFn) -> Position:
    start = draw(OFFSETS)
    end = start + draw(st.integers(0, 10**6))
    committed = draw(st.none() | st.integers(max(0, start - 10**6), end + 10**6))
    timed = draw(st.none() | st.integers(start, end))
    return Position("orders", draw(st.integers(0, 99)), committed, start, end, timed)


@st.composite
def strategies(draw: st.DrawFn) -> Strategy:
    kind: StrategyKind = draw(st.sampled_from(get_args(StrategyKind)))
    match kind:
        case "offset":
            return Strategy("offset", number=draw(st.integers(0, MAX_OFFSET)))
        case "shift":
            return Strategy("shift", number=draw(st.integers(-(10**13), 10**13)))
        case "from-file":
            return Strategy("from-file", offsets={("orders", p): draw(OFFSETS) for p in range(0, 100, 2)})
        case _:
            return Strategy(kind, at=NOW)


@given(positions(), strategies())
def test_the_new_offset_is_inside_the_log_or_absent_with_a_note(p: Position, how: Strategy) -> None:
    e = entry(p, how)
    assert p.start is not None
    assert p.end is not None
    if e.new is None:
        assert e.note
        assert e.records is None
        assert e.skipped is None
    elif not (how.kind == "current" and p.committed is not None):
        assert p.start <= e.new <= p.end
    assert e.new not in (-1, -2)
    assert (e.old, e.start, e.end) == (p.committed, p.start, p.end)


@given(positions(), strategies())
def test_records_and_skipped_are_what_the_group_will_see(p: Position, how: Strategy) -> None:
    """Counted the slow way: which offsets that are still held are read by both, by neither, by one."""
    e = entry(p, how)
    if e.new is None or p.committed is None or p.start is None or p.end is None:
        return
    before = range(max(p.committed, p.start), p.end)
    after = range(max(e.new, p.start), p.end)
    assert e.records == max(0, len(after) - len(before))
    assert e.skipped == max(0, len(before) - len(after))


@given(positions(), strategies())
def test_no_commit_is_said_and_never_counted(p: Position, how: Strategy) -> None:
    e = entry(p, how)
    if p.committed is None:
        assert "no commit" in e.note
        assert e.records is None
    if p.committed is not None and p.start is not None and p.committed < p.start:
        assert "below log start" in e.note


@given(positions())
def test_a_partition_that_could_not_be_seen_is_left_alone(p: Position) -> None:
    for blind in (replace(p, problem="leader not available"), replace(p, start=None), replace(p, end=None)):
        e = entry(blind, Strategy("earliest"))
        assert e.new is None
        assert e.note


def test_each_strategy_in_words() -> None:
    p = Position("orders", 0, committed=50, start=10, end=100, timed=70)
    kinds = get_args(StrategyKind)
    new = {kind: entry(p, Strategy(kind, number=20, at=NOW, offsets={("orders", 0): 33})).new for kind in kinds}
    assert new == {"earliest": 10, "latest": 100, "offset": 20, "shift": 70, "datetime": 70, "duration": 70,
                   "current": 50, "from-file": 33}  # fmt: skip


def test_clamping_says_from_where() -> None:
    p = Position("orders", 0, committed=50, start=10, end=100)
    low, high = entry(p, Strategy("offset", number=3)), entry(p, Strategy("shift", number=80))
    assert (low.new, low.note) == (10, "clamped: 3 is below log start 10")
    assert (high.new, high.note) == (100, "clamped: 130 is beyond the end 100")


def test_no_record_that_late_means_the_end_and_says_so() -> None:
    e = entry(Position("orders", 0, 50, 10, 100, timed=None), Strategy("datetime", at=NOW))
    assert (e.new, e.skipped, e.note) == (100, 50, "no record that late: end of log")


def test_shift_without_a_commit_is_left_alone_and_the_rest_goes_on() -> None:
    e = entry(Position("orders", 0, None, 10, 100), Strategy("shift", number=-5))
    assert (e.new, e.note) == (None, "no commit; left alone: nothing to shift from")


def test_current_without_a_commit_is_flagged_as_a_skip() -> None:
    e = entry(Position("orders", 0, None, 10, 100), Strategy("current"))
    assert (e.new, e.skipped, e.note) == (100, 90, "no commit; goes to the end of the log and skips 90")


def test_current_keeps_what_is_outside_the_log_and_warns() -> None:
    below = entry(Position("orders", 0, 4, 10, 100), Strategy("current"))
    beyond = entry(Position("orders", 0, 400, 10, 100), Strategy("current"))
    assert (below.new, beyond.new) == (4, 400)
    assert "auto.offset.reset" in below.note
    assert "made anew" in beyond.note


# ---------------------------------------------------------------- files


@given(
    st.dictionaries(
        st.tuples(st.text("abc.-_09", min_size=1), st.integers(0, 10**6)), st.integers(0, MAX_OFFSET), min_size=1
    )
)
def test_csv_comes_back_as_it_went(offsets: dict[tuple[str, int], int]) -> None:
    assert read_csv(write_csv((t, p, o) for (t, p), o in offsets.items())) == offsets


def test_csv_as_kafkas_own_tool_writes_it() -> None:
    assert read_csv("orders,0,18204\norders,1,0\n\n") == {("orders", 0): 18204, ("orders", 1): 0}
    assert read_csv('topic,partition,offset\n"orders",0,1\n# note,\n') == {("orders", 0): 1}
    assert write_csv([("orders", 0, 18204)]) == "orders,0,18204\n"


def test_csv_of_several_groups_gives_the_lines_of_one() -> None:
    text = "group,topic,partition,offset\nbilling,orders,0,7\naudit,orders,0,9\nbilling,orders,1,8\n"
    assert read_csv(text, "billing") == {("orders", 0): 7, ("orders", 1): 8}
    with pytest.raises(UsageError, match="no offsets of group 'other', only of audit, billing"):
        read_csv(text, "other")


@pytest.mark.parametrize(
    "text",
    ["", "\n", "orders,0", "orders,0,1,2", "orders,x,1", "orders,0,1.5", ",0,1", "orders,-1,1", "orders,0,-1",
     "orders,0,1\norders,0,2", f"orders,0,{2**63}"],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError):
        read_csv(text)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("orders", ("orders", None)), ("orders:0", ("orders", (0,))), ("orders:3,1,3", ("orders", (1, 3)))],
)
def test_selections(typed: str, expected: object) -> None:
    assert parse_selection(typed) == expected


@pytest.mark.parametrize("typed", ["", ":0", "orders:", "orders:a", "orders:-1", "orders:1,"])
def test_wrong_selections(typed: str) -> None:
    with pytest.raises(UsageError):
        parse_selection(typed)


# ---------------------------------------------------------------- strategies as typed


@pytest.mark.parametrize(
    ("kind", "value", "option"),
    [
        ("earliest", "", ("--to-earliest",)),
        ("latest", "", ("--to-latest",)),
        ("current", "", ("--to-current",)),
        ("offset", "18,204", ("--to-offset", "18204")),
        ("shift", "-5", ("--shift-by", "-5")),
        ("datetime", "2026-11-23", ("--to-datetime", "2026-11-23")),
        ("duration", "15m", ("--by-duration", "15m")),
    ],
)
def test_a_strategy_knows_the_option_that_asks_for_it(kind: str, value: str, option: tuple[str, ...]) -> None:
    assert parse_strategy(kind, value, NOW).option == option


def test_a_duration_is_fixed_to_a_time_when_it_is_parsed() -> None:
    assert parse_strategy("duration", "15m", NOW).at == NOW - 900
    assert "(UTC)" in parse_strategy("duration", "15m", NOW).words
    assert "2026-11-23T00:00:00.000Z (UTC)" in parse_strategy("datetime", "2026-11-23", NOW).words


NO_SENSE = [
    *(("offset", value) for value in ("-1", "", "1e3", "1,2", str(2**63))),
    ("shift", "one"),
    ("nosuch", ""),
    ("duration", "0s"),
]


@pytest.mark.parametrize(("kind", "value"), NO_SENSE)
def test_a_strategy_that_makes_no_sense(kind: str, value: str) -> None:
    with pytest.raises(UsageError):
        parse_strategy(kind, value, NOW)


@pytest.mark.parametrize("number", ["1_0", "٣", "１", "0x1", "1.0", ""])
def test_numbers_are_written_with_plain_digits(number: str) -> None:
    for line in (f"orders,{number},5", f"orders,0,{number}"):
        with pytest.raises(UsageError, match="line 1: partition and offset are whole numbers"):
            read_csv(line)
    with pytest.raises(UsageError, match="partitions are whole numbers"):
        parse_selection(f"orders:{number}")


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "offsets.csv"
    path.write_text("orders,0,5\n", encoding="utf-8-sig")
    assert read_csv(file_text(str(path))) == {("orders", 0): 5}
    monkeypatch.setattr("sys.stdin", path.open(encoding="utf-8"))
    assert read_csv(file_text("-")) == {("orders", 0): 5}
