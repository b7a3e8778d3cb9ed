"""The one-line widgets and the screen for a terminal that is too small, as drawn at several widths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len
from rich.style import Style
from seen import HOSTILE, assert_harmless, screen_lines, widget_lines
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.widget import Widget

from console.model import Progress, Severity
from widgets.crumbs import Crumbs, Health, Top
from widgets.keybar import Key, KeyBar
from widgets.line import Line
from widgets.paint import Palette, fit, pieces
from widgets.progress import ProgressLine
from widgets.rule import Heading
from widgets.too_small import TooSmall

NOW = 1_795_443_727.0


class OneApp(App[None]):
    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget
        self.heard: list[Any] = []

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_key_bar_pressed(self, event: KeyBar.Pressed) -> None:
        self.heard.append(event.action)

    def on_crumbs_clicked(self, event: Crumbs.Clicked) -> None:
        self.heard.append(event.depth)


def drawn(widget: Line, width: int) -> str:
    """What stands on the line at this width, drawn as `Line.render_line` draws it but without an app around it."""
    base = Style.parse("#dddddd on #101010")
    segments = fit(pieces(widget.line(width), Palette({}, base), base), width, "left", base)
    line = "".join(segment.text for segment in segments)
    assert_harmless([line])
    assert cell_len(line) == width
    return line


# ---------------------------------------------------------------- crumbs

TOP = Top(("prod-eu", "home", "billing"), (Health("kafka 3/3"), Health("sqs eu-west-1")), NOW - 1.2, True)


def crumbs(top: Top = TOP) -> Crumbs:
    line = Crumbs("logq", clock=lambda: NOW)
    line.show(top)
    return line


def test_the_top_line_says_everything_when_wide() -> None:
    line = drawn(crumbs(), 120)
    assert line.startswith(" logq  prod-eu › home › billing  ")
    assert line.rstrip().endswith("kafka 3/3 ●   sqs eu-west-1 ●   1.2 s ago   read-only   14:22:07Z")


@pytest.mark.parametrize(
    ("width", "there", "gone"),
    [
        (92, ["billing", "sqs eu-west-1 ●", "1.2 s ago", "read-only"], ["14:22:07Z"]),
        (80, ["billing", "sqs eu-west-1 ●", "read-only"], ["14:22:07Z", "ago"]),
        (66, ["billing", "sqs eu-west-1 ●"], ["read-only"]),
        (40, ["prod-eu", "billing"], ["sqs"]),
    ],
)
def test_the_top_line_leaves_out_the_clock_first(width: int, there: list[str], gone: list[str]) -> None:
    line = drawn(crumbs(), width)
    assert [word for word in there if word not in line] == []
    assert [word for word in gone if word in line] == []


def test_trouble_and_staleness_outlive_the_rest_and_carry_signs() -> None:
    top = Top(("prod-eu", "home"), (Health("kafka down", Severity.BAD), Health("sqs eu-west-1")), NOW - 75, True)
    line = drawn(crumbs(top), 60)
    assert "kafka down ✖" in line
    assert "▲ 1m15s ago" in line
    assert "sqs" not in line


def test_a_long_path_loses_its_middle() -> None:
    line = drawn(crumbs(Top(("prod-eu", "home", "orders.DLT", "messages", "orders.DLT/3/18204"))), 60)
    assert "prod-eu › … › " in line
    assert "orders.DLT/3/18204" in line


def test_before_the_first_picture_there_is_no_age() -> None:
    assert "ago" not in drawn(crumbs(Top(("prod",), (Health("kafka", Severity.UNKNOWN),))), 100)


async def test_a_click_on_a_crumb_says_which() -> None:
    app = OneApp(crumbs())
    async with app.run_test(size=(120, 3), notifications=True) as pilot:
        line = widget_lines(app.widget)[0]
        await pilot.click(app.widget, offset=(line.index("home"), 0))
        await pilot.click(app.widget, offset=(line.index("kafka"), 0))
        await pilot.pause()
        assert app.heard == [1]


async def test_the_age_moves_on_by_itself() -> None:
    now = [NOW]
    line = Crumbs("logq", clock=lambda: now[0])
    line.show(TOP)
    app = OneApp(line)
    async with app.run_test(size=(120, 2), notifications=True) as pilot:
        assert "1.2 s ago" in screen_lines(app)[0]
        now[0] += 7
        await pilot.pause(1.2)
        assert "8.2 s ago" in screen_lines(app)[0]


# ---------------------------------------------------------------- heading


def test_a_heading_is_a_rule_with_words() -> None:
    line = drawn(Heading("kafka groups", count="214", remark="worst first", style="$secondary"), 60)
    assert line == "─ kafka groups 214 worst first " + "─" * 29


def test_a_narrow_heading_keeps_its_title() -> None:
    line = drawn(Heading("kafka groups", count="214", remark="worst first"), 22)
    assert line == "─ kafka groups 214 ───"
    assert drawn(Heading("kafka groups"), 8).startswith("─ kafka…")


async def test_a_heading_changes_what_it_is_told() -> None:
    heading = Heading("attention", count="3")
    app = OneApp(heading)
    async with app.run_test(size=(40, 2), notifications=True) as pilot:
        heading.show(count="4")
        await pilot.pause()
        assert screen_lines(app)[0].startswith("─ attention 4 ──")


# ---------------------------------------------------------------- footer

KEYS = (
    Key("open", "enter", "open", 9),
    Key("reset", "r", "reset", 8),
    Key("redrive", "R", "redrive", 8, enabled=False),
    Key("sort", "s", "sort", 2),
    Key("help", "?", "help", 7),
    Key("quit", "q", "quit", 6),
)


def test_the_footer_shows_keys_in_order() -> None:
    line = drawn(KeyBar(KEYS), 80)
    assert line.rstrip() == " enter open   r reset   R redrive   s sort   ? help   q quit"


@pytest.mark.parametrize(
    ("width", "actions"),
    [
        (61, ["open", "reset", "redrive", "sort", "help", "quit"]),
        (55, ["open", "reset", "redrive", "help", "quit"]),
        (40, ["open", "reset", "redrive"]),
        (30, ["open", "reset"]),
        (5, []),
    ],
)
def test_the_footer_drops_the_least_important(width: int, actions: list[str]) -> None:
    assert [key.action for key in KeyBar(KEYS).fitting(width)] == actions


async def test_a_click_on_a_key_presses_it_unless_it_is_off() -> None:
    app = OneApp(KeyBar(KEYS))
    async with app.run_test(size=(80, 4), notifications=True) as pilot:
        line = widget_lines(app.widget)[0]
        await pilot.click(app.widget, offset=(line.index("reset"), 0))
        await pilot.click(app.widget, offset=(line.index("redrive"), 0))
        await pilot.click(app.widget, offset=(79, 0))
        await pilot.pause()
        assert app.heard == ["reset"]


# ---------------------------------------------------------------- progress


def progress(state: Progress | None) -> ProgressLine:
    line = ProgressLine()
    line.show(state)
    return line


def test_progress_shows_bar_counts_rate_and_time_left() -> None:
    line = drawn(progress(Progress("j", 500, 0, 1000, 50.0, "sending")), 100)
    assert "500 of 1,000  50 %  50/s  ~10s left  sending" in line
    assert line.count("━") == line.count("─") == 20


def test_failures_stand_out_with_a_sign_and_stay_when_narrow() -> None:
    state = Progress("j", 500, 30, 1000, 50.0, "sending")
    assert "✖ 30 failed" in drawn(progress(state), 100)
    assert "╳" in drawn(progress(state), 100)
    narrow = drawn(progress(state), 60)
    assert "✖ 30 failed" in narrow
    assert "sending" not in narrow


def test_without_a_total_there_are_only_counts() -> None:
    line = drawn(progress(Progress("j", 500, 0, None, 12.0)), 100)
    assert line.strip() == "500  12/s"


@pytest.mark.parametrize(
    "state",
    [
        None,
        Progress("j", 0, 0, 0, None),
        Progress("j", 0, 0, 1000, 0.0),
        Progress("j", 2000, 5, 1000, 1.0),
        Progress("j", 0, 10, 10, 1.0),
        *(Progress("j", 1, 0, 2, 1.0, name) for name in HOSTILE),
    ],
)
@pytest.mark.parametrize("width", [4, 30, 120])
def test_odd_progress_is_drawn(state: Progress | None, width: int) -> None:
    drawn(progress(state), width)


# ---------------------------------------------------------------- too small


@pytest.mark.parametrize("size", [(60, 20), (30, 3), (1, 1), (28, 1)])
async def test_too_small_says_what_it_needs_as_far_as_there_is_room(size: tuple[int, int]) -> None:
    app = OneApp(TooSmall(80, 24))
    async with app.run_test(size=size, notifications=True) as pilot:
        lines = screen_lines(app)
        assert len(lines) == size[1]
        if size[0] >= 30 and size[1] >= 3:
            assert any(f"needs 80x24, has {size[0]}x{size[1]}" in line for line in lines)
        await pilot.resize_terminal(50, 10)
        await pilot.pause()
        assert any("needs 80x24, has 50x10" in line for line in screen_lines(app))


@pytest.mark.parametrize("make", [crumbs, lambda: KeyBar(KEYS), lambda: Heading("attention", count="3")])
async def test_lines_follow_a_resize_and_the_theme(make: Callable[[], Widget]) -> None:
    app = OneApp(make())
    async with app.run_test(size=(100, 4), notifications=True) as pilot:
        dark = app.widget.render_line(0)
        for width in (20, 1):
            await pilot.resize_terminal(width, 4)
            await pilot.pause()
            assert cell_len(widget_lines(app.widget)[0]) == width
        await pilot.resize_terminal(100, 4)
        app.theme = "textual-light"
        await pilot.pause()
        light = app.widget.render_line(0)
        assert dark.text == light.text
        assert [segment.style for segment in dark] != [segment.style for segment in light]


async def test_hostile_words_in_every_line() -> None:
    lines: list[Line] = []
    for name in HOSTILE:
        top = Crumbs(name, clock=lambda: NOW)
        top.styles.dock = "none"
        top.show(Top((name, name), (Health(name, Severity.BAD),), NOW))
        bar = KeyBar([Key("a", name, name)])
        bar.styles.dock = "none"
        lines += [top, bar, Heading(name, count=name, remark=name), progress(Progress("j", 1, 0, 2, 1.0, name))]
    app = OneApp(Vertical(*lines))
    async with app.run_test(size=(90, len(lines)), notifications=True) as pilot:
        for width in (90, 200, 20):
            await pilot.resize_terminal(width, len(lines))
            await pilot.pause()
            seen = screen_lines(app)
            assert_harmless(seen)
            assert all(cell_len(line) == width for line in seen)
            # The footer leaves out a key that has no room at all.
            assert width < 200 or all(line.strip() for line in seen)
