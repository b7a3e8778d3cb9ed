"""What a new picture costs the event loop: swap the rows of the grid and draw the 48 lines that are seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.app import App, ComposeResult
from textual.strip import Strip

from widgets.grid import Column, Grid
from widgets.trend import trend

LINES = 48
COLUMNS = (
    Column("sign", "", 1),
    Column("name", "group", 12, flex=1, gap=1),
    Column("state", "state", 8),
    Column("lag", "lag", 9, "right"),
    Column("behind", "behind", 7, "right"),
    Column("trend", "trend", 8),
    Column("in", "in/s", 6, "right"),
    Column("out", "out/s", 6, "right"),
)


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    lag: int
    trend: tuple[float, ...]


def rows(number: int, turn: int) -> list[Row]:
    return [Row(f"group-{i}", i * 37 + turn, (1.0, 5.0, float(i % 90), 7.0, 30.0)) for i in range(number)]


def cell(row: Row, column: str) -> Text | str:
    match column:
        case "sign":
            return Text("✖", "$error")
        case "name":
            return Text(row.name, "bold")
        case "lag":
            return Text(f"{row.lag:,}", "bold $error")
        case "trend":
            return trend(row.trend, 8, "$success")
    return Text("stable", "$text-muted")


class BenchApp(App[None]):
    def compose(self) -> ComposeResult:
        yield Grid(COLUMNS, cell, lambda row: row.name)


def milliseconds(work: Callable[[], object], times: int = 25) -> float:
    """The CPU time of one run in the best of many: what it takes when nothing else has the processor's caches."""
    spent = []
    for _ in range(times):
        start = time.thread_time()
        work()
        spent.append(time.thread_time() - start)
    return min(spent) * 1000


async def swap_and_draw(number: int, *, cursor: int = 0, moved: bool = False) -> float:
    """Milliseconds for one `show` and the drawing of every visible line; `moved` turns the order around each time."""
    app = BenchApp()
    async with app.run_test(size=(160, LINES + 1)) as pilot:
        grid = app.query_one(Grid)
        pictures = [rows(number, turn) for turn in range(2)]
        if moved:
            pictures[1].reverse()
        grid.show(pictures[0])
        grid.move_to(f"group-{cursor}")
        await pilot.pause()
        turn = 0

        def work() -> None:
            nonlocal turn
            turn += 1
            grid.show(pictures[turn % 2])
            assert len(grid.render_lines(grid.size.region)) == LINES + 1

        return milliseconds(work)


def bare() -> float:
    """The least it could cost: 48 lines of the same eight cells as strips, all in one style, nothing looked up."""
    style = Style.parse("#ff0000 on #101010")
    picture = rows(LINES, 0)

    def work() -> None:
        for row in picture:
            words = (
                " ✖",
                f" {row.name:<60}",
                "  stable",
                f"{row.lag:>11,}",
                "  =6m10s",
                "  ▁▂▃▄▅▆▇█",
                "   412",
                "   412",
            )
            strip = Strip([Segment(word, style) for word in words])
            strip.adjust_cell_length(160, style)

    return milliseconds(work)


@pytest.mark.bench
async def test_a_new_picture_of_50_000_rows_costs_little_more_than_bare_strips(
    record_property: Callable[[str, object], None],
) -> None:
    least = bare()
    small = await swap_and_draw(1_000)
    large = await swap_and_draw(50_000)
    far = await swap_and_draw(50_000, cursor=1, moved=True)
    for name, value in (("bare", least), ("1,000", small), ("50,000", large), ("50,000 cursor far", far)):
        record_property(name, round(value, 2))
        print(f"{name}: {value:.2f} ms")
    assert large < 30 and far < 30
    assert large / least < 25
    # Twice the time of a thousand rows at most: what is not seen costs nothing.
    assert large < 2 * small + 1
