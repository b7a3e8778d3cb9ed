"""The pure parts of the widgets: sparklines, changes, layout of columns, bodies as lines, styles from words."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from console.model import Progress, Severity
from console.text import is_safe
from widgets.body import Piece, best_view, rows, wrapped
from widgets.layout import MARGIN, Column, place
from widgets.paint import Palette, fit, harmless, pieces
from widgets.progress import seconds_left
from widgets.too_small import lines
from widgets.trend import BLOCKS, trend

# ---------------------------------------------------------------- trend


@pytest.mark.parametrize(
    ("values", "width", "text"),
    [
        ([], 4, "    "),
        ([0, 0, 0], 3, "▁▁▁"),
        ([5, 5, 5], 3, "▆▆▆"),
        ([0, 4, 8], 3, "▁▅█"),
        ([100, 100], 4, "  ██"),
        ([0, None, 8], 3, "▁ █"),
        ([float("nan"), float("inf"), 8], 3, "  █"),
        ([-5, 8], 2, "▁█"),
        ([0, 80, 0, 0], 2, "█▁"),
        ([1, 2, 3], 0, ""),
        ([None, None], 2, "  "),
    ],
)
def test_a_trend_shows_the_shape(values: list[float | None], width: int, text: str) -> None:
    assert trend(values, width).plain == text


def test_a_small_lag_is_no_mountain_unless_asked() -> None:
    assert trend([3, 3], 2).plain == "▄▄"
    assert trend([3, 3], 2, least=0).plain == "██"
    assert trend([0, 0], 2, least=0).plain == "▁▁"


def test_a_trend_takes_a_severity_for_its_style() -> None:
    assert trend([1], 1, Severity.BAD).style == "$error"
    assert trend([1], 1, "$kafka").style == "$kafka"


@settings(max_examples=50)
@given(st.lists(st.none() | st.floats(), max_size=300), st.integers(0, 60))
def test_a_trend_is_as_wide_as_asked(values: list[float | None], width: int) -> None:
    text = trend(values, width).plain
    assert len(text) == width
    assert set(text) <= set(BLOCKS) | {" "}


# ---------------------------------------------------------------- columns

WIDTHS = st.integers(1, 30)
COLUMN = st.builds(
    Column,
    key=st.text("abc", min_size=1, max_size=3),
    label=st.just("x"),
    width=WIDTHS,
    flex=st.integers(0, 3),
    drop=st.integers(0, 4),
    gap=st.integers(0, 3),
    most=st.sampled_from([0, 0, 40]),
)


@settings(max_examples=50)
@given(st.lists(COLUMN, max_size=9), st.integers(0, 240))
def test_columns_never_overlap_nor_leave_the_line(columns: list[Column], width: int) -> None:
    spots = place(columns, width)
    for left, right in pairwise(spots):
        assert left.start + left.width <= right.start
    for spot in spots:
        assert spot.width > 0
        assert spot.start + spot.width <= width
    kept = {id(spot.column) for spot in spots}
    dropped = [column for column in columns if id(column) not in kept]
    if width >= 2 * MARGIN + sum(column.width + column.gap for column in columns):
        assert not dropped


def test_the_highest_drop_goes_first_and_flexible_columns_take_the_rest() -> None:
    columns = (Column("a", "a", 10, flex=1), Column("b", "b", 10, drop=1), Column("c", "c", 10, drop=2))
    assert [spot.column.key for spot in place(columns, 36)] == ["a", "b", "c"]
    assert [spot.column.key for spot in place(columns, 35)] == ["a", "b"]
    assert [spot.column.key for spot in place(columns, 23)] == ["a"]
    assert place(columns, 46)[0].width == 20


def test_flexible_columns_share_by_weight_up_to_their_most() -> None:
    columns = (Column("a", "a", 5, flex=1), Column("b", "b", 5, flex=3))
    first, second = place(columns, 54)
    assert (first.width, second.width) == (15, 35)
    limited = (Column("a", "a", 5, flex=1, most=8), Column("b", "b", 5, flex=1))
    first, second = place(limited, 54)
    assert (first.width, second.width) == (8, 42)


# ---------------------------------------------------------------- bodies


def flat(lines: Any) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def test_json_is_laid_out_with_its_own_tokens() -> None:
    raw = b'{"a": 1.10, "a":[1,{},[]], "big": 12345678901234567890123, "s": "x, y: {z}", "t": null}'
    assert best_view(raw) == "pretty"
    assert flat(rows(raw, "pretty")) == [
        "{",
        '  "a": 1.10,',
        '  "a": [',
        "    1,",
        "    {},",
        "    []",
        "  ],",
        '  "big": 12345678901234567890123,',
        '  "s": "x, y: {z}",',
        '  "t": null',
        "}",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=50)
@given(st.lists(JSON) | st.dictionaries(st.text(), JSON), st.booleans())
def test_what_is_laid_out_is_still_the_same_json(value: Any, ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only)
    assert best_view(raw) == "pretty"
    assert json.loads("\n".join(flat(rows(raw, "pretty")))) == value


def test_escapes_that_hide_ordinary_letters_are_spelt_and_dangerous_ones_kept() -> None:
    raw = r'{"name": "Jos\u00e9 \ud83d\ude00 \u001b \u202e \u0022 \\u00e9 \n"}'
    assert flat(rows(raw, "pretty"))[1] == r'  "name": "José 😀 \u001b \u202e \u0022 \\u00e9 \n"'


@pytest.mark.parametrize(
    ("raw", "view"),
    [
        (b"{}", "pretty"),
        (b"  [1]\n", "pretty"),
        (b"{not json", "raw"),
        (b"[" * 100_000, "raw"),
        (b"42", "raw"),
        (b"plain text\nwith lines", "raw"),
        (b"\x1b]52;c;x\x07 in a long enough line of text", "raw"),
        (b"\x00\x01\x02", "hex"),
        (b"\xff\xfe\xfd", "hex"),
        ("ü".encode() * 3000, "raw"),
        (b"x" + "ü".encode() * 3000, "raw"),
        ("ü" * 10, "raw"),
    ],
)
def test_the_best_view_of_a_body(raw: bytes | str, view: str) -> None:
    assert best_view(raw) == view


def test_hex_shows_offsets_and_printable_characters() -> None:
    assert flat(rows(b"\x1b]5" + bytes(14), "hex")) == [
        "00000000  1b 5d 35 00 00 00 00 00  00 00 00 00 00 00 00 00  .]5.............",
        "00000010  00                                                .",
    ]


@pytest.mark.parametrize(("width", "each"), [(160, 16), (76, 16), (75, 8), (56, 8), (43, 8), (42, 4)])
def test_hex_keeps_its_columns_in_a_narrow_pane(width: int, each: int) -> None:
    lines = flat(rows(b"orders-0123456789-abcdef", "hex", width))
    assert len(lines) == -(-24 // each)
    assert all(len(line) <= width for line in lines)
    assert "".join(line[-each:].strip() for line in lines if len(line) == len(lines[0])) in "orders-0123456789-abcdef"


def test_missing_and_empty_bodies_are_told_apart() -> None:
    assert flat(rows(None, "raw")) == ["no value"]
    assert flat(rows(b"", "raw")) == ["empty"]


@settings(max_examples=50)
@given(st.text(), st.integers(8, 60), st.booleans())
def test_wrapped_lines_are_safe_fit_and_lose_nothing(text: str, width: int, words: bool) -> None:
    out = [flat([line])[0] for row in rows(text, "raw") for line in wrapped(row, width, wrap=True, words=words)]
    for line in out:
        assert is_safe(line)
        # A variation selector may widen the character before it after it was placed.
        assert cell_len(line) <= width + line.count("\ufe0f")
    if not words and text and text.isascii() and text.isprintable():
        assert "".join(out) == text


def test_words_stay_whole_where_they_can_and_long_ones_break() -> None:
    row: list[Piece] = [("label  ", "$text-muted"), ("the quick brown fox " + "x" * 40, "")]
    assert flat(wrapped(row, 20, True, 7, words=True)) == [
        "label  the quick",
        "       brown fox",
        "       " + "x" * 13,
        "       " + "x" * 13,
        "       " + "x" * 13,
        "       x",
    ]


def test_an_unwrapped_line_says_how_much_it_leaves_out() -> None:
    (line,) = wrapped([("x" * 100_000, "")], 80, wrap=False)
    assert flat([line])[0].endswith("… 95,904 more characters: w wraps")


def test_the_first_lines_of_a_mebibyte_cost_little() -> None:
    body = json.dumps([{"id": n, "name": "customer", "text": "é" * 20} for n in range(11_000)]).encode()
    assert len(body) > 1 << 20
    start = time.perf_counter()
    source = (line for row in rows(body, best_view(body)) for line in wrapped(row, 80, True))
    first = [next(source) for _ in range(300)]
    # Generous for a busy machine; laying all of it out takes many times as long.
    assert time.perf_counter() - start < 0.5
    assert flat(first)[:3] == ["[", "  {", '    "id": 0,']


# ---------------------------------------------------------------- styles

BASE = Style.parse("#dddddd on #101010")
VARIABLES = {"error": "#ff0000", "text-muted": "auto 60%", "half": "#ff0000 50%", "odd": "no colour"}


def test_style_words_are_theme_variables_and_rich_words_and_unknown_ones_are_left_out() -> None:
    palette = Palette(VARIABLES, BASE)
    assert palette.style("bold $error") == Style.parse("bold #ff0000")
    assert palette.style("$background on $error") == Style.parse("on #ff0000")
    assert palette.style("$nothing $odd [/foo] italic") == Style.parse("italic")
    muted = palette.style("$text-muted").color
    assert muted is not None and muted.triplet is not None and 130 < muted.triplet.red < 180
    half = palette.style("$half").color
    assert half is not None and half.triplet is not None and 100 < half.triplet.red < 180


@settings(max_examples=50)
@given(st.text(max_size=60), st.integers(0, 40), st.sampled_from(["left", "right"]))
def test_a_cell_is_exactly_as_wide_as_its_column(text: str, width: int, align: str) -> None:
    shown = harmless(Text(text, spans=[]), 200)
    assert is_safe(shown.plain) and "\n" not in shown.plain
    drawn = fit(pieces(shown, Palette(VARIABLES, BASE), BASE), width, align, BASE)
    assert sum(cell_len(segment.text) for segment in drawn) == width


def test_a_cell_of_a_megabyte_is_looked_at_only_as_far_as_it_shows() -> None:
    start = time.perf_counter()
    shown = harmless("é" * 1_000_000, 40)
    assert len(shown.plain) <= 40
    assert time.perf_counter() - start < 0.1


def test_spans_keep_their_styles_when_cut() -> None:
    text = Text.assemble("on ", ("orders", "bold"), (" [3]", "$error"))
    drawn = fit(pieces(text, Palette(VARIABLES, BASE), BASE), 8, "left", BASE)
    assert [segment.text for segment in drawn] == ["on ", "orde…"]
    assert drawn[1].style is not None and drawn[1].style.bold


# ---------------------------------------------------------------- progress, too small


def test_time_left_needs_a_total_and_a_rate() -> None:
    assert seconds_left(Progress("j", 400, 100, 1000, 50.0)) == 10.0
    assert seconds_left(Progress("j", 400, 0, None, 50.0)) is None
    assert seconds_left(Progress("j", 400, 0, 1000, 0.0)) is None
    assert seconds_left(Progress("j", 400, 0, 1000, None)) is None
    assert seconds_left(Progress("j", 1200, 0, 1000, 10.0)) == 0.0


def test_too_small_says_both_sizes() -> None:
    assert "needs 80x24, has 60x10" in lines(60, 10, 80, 24)
    assert len(lines(60, 1, 80, 24)) == 1
