"""Hostile text: nothing that can steer a terminal, reorder or hide what is read survives `safe` and `block`."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import text

FORBIDDEN = {chr(c) for c in range(0x20)} | {"\x7f"} | {chr(c) for c in range(0x80, 0xA0)}
BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)


@given(st.one_of(ANY_TEXT, st.binary(max_size=200)))
def test_one_line_has_no_control_bidi_or_invisible_character(raw: str | bytes) -> None:
    shown = text.safe(raw)
    assert not FORBIDDEN & set(shown)
    assert not BIDI & set(shown)
    assert all(unicodedata.category(ch) not in ("Cf", "Cs", "Cn", "Co", "Zl", "Zp") for ch in shown)
    shown.encode("utf-8")


@given(st.one_of(ANY_TEXT, st.binary(max_size=200)))
def test_a_block_keeps_line_feeds_and_nothing_else(raw: str | bytes) -> None:
    assert not (FORBIDDEN - {"\n"}) & set(text.block(raw))


@given(ANY_TEXT)
def test_made_safe_once_is_safe(raw: str) -> None:
    once = text.block(raw)
    assert text.is_safe(once)


@given(st.text(max_size=300), st.integers(1, 50))
def test_never_longer_than_the_limit(raw: str, limit: int) -> None:
    assert len(text.safe(raw, limit)) <= limit


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred", "␛[31mred"),
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("a\nb", "a␊b"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\ud800", "\\ud800"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("naïve 日本語 Ω", "naïve 日本語 Ω"),
        ("e" + "\u0301" * 6, "e\u0301\u0301\u0301\u0301\\u0301\\u0301"),
    ],
)
def test_what_is_shown(raw: str | bytes, shown: str) -> None:
    assert text.safe(raw) == shown


def test_a_huge_value_is_cut_without_being_read_whole() -> None:
    shown = text.safe(b"x" * 50_000_000, limit=100)
    assert len(shown) == 100
    assert shown.endswith("…")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (0, "0s"), (0.35, "350ms"), (41, "41s"), (59.7, "1m00s"), (370, "6m10s"), (7440, "2h04m"),
     (273_600, "3d04h"), (-5, "-5s")],
)  # fmt: skip
def test_durations(seconds: float | None, shown: str) -> None:
    assert text.duration(seconds) == shown


@given(st.floats(0, 1e10, allow_nan=False))
def test_durations_never_show_sixty_of_a_unit(seconds: float) -> None:
    assert "60" not in text.duration(seconds).replace("60d", "").replace("60ms", "") or seconds < 1 or seconds > 86_400


def test_numbers_and_sizes() -> None:
    assert text.count(18204) == "18,204"
    assert text.count(None) == text.DASH
    assert text.rate(412.3) == "412"
    assert text.rate(3.24) == "3.2"
    assert text.rate(0) == "0"
    assert text.size(512) == "512 B"
    assert text.size(1536) == "1.5 KiB"
    assert text.size(None) == text.DASH
    assert text.behind(370, "record") == "=6m10s"
    assert text.behind(124, "history") == "~2m04s"
    assert text.behind(300, "lower_bound") == ">=5m00s"
    assert text.utc(1_764_000_000) == "2025-11-24T16:00:00Z"
    assert text.utc(1_764_000_000.125, millis=True) == "2025-11-24T16:00:00.125Z"
    assert text.utc(1e30) == text.DASH
    assert text.plural(1, "message") == "1 message"
    assert text.plural(1204, "entry", "entries") == "1,204 entries"
