"""What a person sees: the drawn screen as lines of text, and a check that nothing drawn can act on a terminal."""

from __future__ import annotations

from textual.app import App
from textual.widget import Widget

HOSTILE = (
    "[/foo]",
    "[@click=app.quit]x[/]",
    "\x1b]52;c;ZWNobw==\x07",
    "\x1b[2J\x1b[31mred",
    "a\u202egnp.exe",
    "zero\u200bwidth\ufeff",
    "c1\x9b31m\x85",
    "line\nfeed\rreturn\ttab\x00nul",
    "宽字符表格" * 30,
    "zalgo" + "\u0301" * 400,
    "x" * 100_000,
    "$error [bold $x]",
)
"""Names as an enemy would choose them: markup, control sequences, bidi, invisible, wide and endless."""

_FORBIDDEN = {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), *"\u200b\u200e\u200f\u2028\u2029\ufeff"}
_FORBIDDEN |= {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


def screen_lines(app: App[object]) -> list[str]:
    """The top screen as drawn, one string a line, trailing blanks kept."""
    return [strip.text for strip in app.screen._compositor.render_strips()]


def widget_lines(widget: Widget) -> list[str]:
    """The lines of one widget as drawn in its region."""
    return [strip.text for strip in widget.render_lines(widget.size.region)]


def assert_harmless(lines: list[str]) -> None:
    """Fails when a drawn line holds a control, bidi or invisible character."""
    for line in lines:
        bad = sorted(_FORBIDDEN & set(line))
        assert not bad, f"{bad!r} in {line!r}"
