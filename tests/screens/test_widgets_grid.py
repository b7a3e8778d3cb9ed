"""The grid as a person uses it: keys pressed, lines read off the screen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from rich.cells import cell_len
from rich.text import Text
from seen import HOSTILE, assert_harmless, screen_lines, widget_lines
from textual import events, on
from textual.app import App, ComposeResult
from textual.containers import Horizontal

from widgets.grid import MARK, Column, Grid


@dataclass(frozen=True)
class Row:
    name: str
    lag: int = 0


COLUMNS = (
    Column("sign", "", 1),
    Column("name", "group", 8, flex=1, gap=1),
    Column("lag", "lag", 9, "right", sortable=True),
    Column("rate", "in/s", 6, "right", drop=1),
    Column("state", "state", 8, drop=2),
)


class Cells:
    """A cell function that counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __call__(self, row: Row, column: str) -> Text | str:
        self.asked.add(row.name)
        match column:
            case "sign":
                return Text("✖", "$error") if row.lag > 1_000 else ""
            case "name":
                return row.name
            case "lag":
                return Text(f"{row.lag:,}", "bold $error")
            case "rate":
                return "412"
        return "stable"


class GridApp(App[None]):
    def __init__(self, rows: Sequence[Row] = (), grids: int = 1, **options: Any) -> None:
        super().__init__()
        self.cells = Cells()
        self.rows = rows
        self.grids = [Grid(COLUMNS, self.cells, lambda row: row.name, **options) for _ in range(grids)]
        self.heard: list[tuple[str, str]] = []

    @property
    def grid(self) -> Grid[Row]:
        return self.grids[0]

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield from self.grids

    def on_mount(self) -> None:
        for grid in self.grids:
            grid.show(self.rows)
        self.grid.focus()

    @on(Grid.Moved)
    @on(Grid.Opened)
    @on(Grid.Vanished)
    def _hear(self, event: Grid.Moved | Grid.Opened | Grid.Vanished) -> None:
        self.heard.append((type(event).__name__, event.key))

    @on(Grid.SortAsked)
    def _sort(self, event: Grid.SortAsked) -> None:
        self.heard.append(("SortAsked", event.key))


def rows(number: int) -> list[Row]:
    return [Row(f"group-{index}", index) for index in range(number)]


def cursor_line(grid: Grid[Any]) -> int:
    """The screen line (under the header) that the cursor stands on."""
    return grid.cursor - round(grid.scroll_y) + 1


async def test_lines_are_the_width_of_the_grid_and_numbers_stand_to_the_right() -> None:
    app = GridApp([Row("billing", 18204), Row("inventory", 3)])
    async with app.run_test(size=(50, 6), notifications=True):
        lines = widget_lines(app.grid)
        assert lines[0] == "   group                    lag    in/s  state    "
        assert lines[1] == " ✖ billing               18,204     412  stable   "
        assert lines[2] == "   inventory                  3     412  stable   "
        assert lines[3].strip() == ""


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (80, ("sign", "name", "lag", "rate", "state")),
        (36, ("sign", "name", "lag", "rate")),
        (26, ("sign", "name", "lag")),
    ],
)
async def test_narrow_grids_leave_out_the_columns_marked_for_it_first(width: int, columns: tuple[str, ...]) -> None:
    app = GridApp(rows(3))
    async with app.run_test(size=(width, 6), notifications=True):
        assert app.grid.visible_columns == columns
        assert all(cell_len(line) == width for line in widget_lines(app.grid))


async def test_names_have_the_room_that_is_left() -> None:
    app = GridApp([Row("n" * 60)])
    async with app.run_test(size=(120, 4), notifications=True) as pilot:
        assert "n" * 60 in widget_lines(app.grid)[1]
        await pilot.resize_terminal(60, 4)
        await pilot.pause()
        line = widget_lines(app.grid)[1]
        assert "…" in line and cell_len(line) == 60


KEYS = {
    "j": 1,
    "down down k": 1,
    "G": 99,
    "G g": 0,
    "end home": 0,
    "pagedown": 10,
    "ctrl+d": 5,
    "pagedown ctrl+u": 5,
    "end pageup": 89,
    "up": 0,
    "end j": 99,
}


async def test_keys_move_the_cursor_and_it_is_always_in_sight() -> None:
    app = GridApp(rows(100))
    async with app.run_test(size=(60, 11), notifications=True) as pilot:
        for keys, index in KEYS.items():
            app.grid.move_to("group-0")
            await pilot.press(*keys.split())
            assert (app.grid.cursor, app.grid.cursor_key) == (index, f"group-{index}"), keys
            assert f"group-{index} " in widget_lines(app.grid)[cursor_line(app.grid)], keys


async def test_enter_opens_what_the_cursor_stands_on_when_pressed() -> None:
    app = GridApp(rows(5))
    async with app.run_test(size=(60, 11), notifications=True) as pilot:
        await pilot.press("j", "j", "enter")
        app.grid.show(list(reversed(rows(5))))
        await pilot.pause()
        assert ("Opened", "group-2") in app.heard


CHANGES: tuple[Callable[[list[Row]], list[Row]], ...] = (
    lambda items: list(reversed(items)),
    lambda items: [Row("first", 1), Row("second", 2), *items],
    lambda items: items[30:],
    lambda items: sorted(items, key=lambda row: row.name),
    lambda items: [Row(row.name, row.lag * 7) for row in items],
)


async def test_the_cursor_stays_on_its_key_whatever_moves_around_it() -> None:
    items = rows(200)
    app = GridApp(items)
    async with app.run_test(size=(60, 21), notifications=True) as pilot:
        app.grid.move_to("group-50")
        await pilot.pause()
        app.heard.clear()
        for number, change in enumerate(CHANGES):
            app.grid.show(items)
            app.grid.show(change(items))
            await pilot.pause()
            assert app.grid.cursor_key == "group-50", number
            assert app.grid.cursor_item == next(row for row in change(items) if row.name == "group-50")
            assert "group-50 " in widget_lines(app.grid)[cursor_line(app.grid)], number
        assert app.heard == []


async def test_the_row_under_the_eye_keeps_its_line_when_rows_come_above() -> None:
    app = GridApp(rows(200))
    async with app.run_test(size=(60, 21), notifications=True) as pilot:
        app.grid.move_to("group-100")
        await pilot.press("k", "k", "k")
        line = cursor_line(app.grid)
        app.grid.show([*(Row(f"new-{i}") for i in range(7)), *rows(200)])
        await pilot.pause()
        assert cursor_line(app.grid) == line
        assert app.grid.cursor_key == "group-97"


async def test_a_list_watched_from_its_top_stays_at_its_top() -> None:
    app = GridApp(rows(50))
    async with app.run_test(size=(60, 21), notifications=True) as pilot:
        app.grid.show([Row("worse", 10**6), *rows(50)])
        await pilot.pause()
        assert round(app.grid.scroll_y) == 0
        assert "worse" in widget_lines(app.grid)[1]
        assert app.grid.cursor_key == "group-0"


async def test_a_reader_who_scrolled_away_from_the_cursor_is_left_alone() -> None:
    app = GridApp(rows(200))
    async with app.run_test(size=(60, 21), notifications=True) as pilot:
        app.grid.scroll_to(y=100, animate=False)
        await pilot.pause()
        app.grid.show([Row(row.name, row.lag + 1) for row in rows(200)])
        await pilot.pause()
        assert "group-100 " in widget_lines(app.grid)[1]


async def test_a_key_that_vanishes_leaves_the_cursor_near_and_says_so() -> None:
    app = GridApp(rows(10))
    async with app.run_test(size=(60, 21), notifications=True) as pilot:
        app.grid.move_to("group-4")
        await pilot.pause()
        app.heard.clear()
        app.grid.show([row for row in rows(10) if row.name != "group-4"])
        await pilot.pause()
        assert app.heard == [("Vanished", "group-4"), ("Moved", "group-5")]
        assert app.grid.cursor_key == "group-5"
        app.grid.show(rows(2))
        await pilot.pause()
        assert app.grid.cursor_key == "group-1"


async def test_no_rows_then_the_same_rows_again_finds_the_cursor_where_it_was() -> None:
    app = GridApp(rows(10), placeholder="nothing matches the filter")
    async with app.run_test(size=(60, 8), notifications=True) as pilot:
        app.grid.move_to("group-6")
        app.grid.show([])
        await pilot.pause()
        assert app.grid.cursor_item is None and app.grid.cursor_key is None
        assert any("nothing matches the filter" in line for line in widget_lines(app.grid))
        await pilot.press("j", "enter", "space", "G", "pagedown")
        assert not any(name == "Opened" for name, _ in app.heard)
        app.grid.show(rows(10))
        await pilot.pause()
        assert app.grid.cursor_key == "group-6"


async def test_one_row() -> None:
    app = GridApp(rows(1))
    async with app.run_test(size=(60, 8), notifications=True) as pilot:
        await pilot.press("j", "G", "k", "enter")
        await pilot.pause()
        assert app.heard == [("Moved", "group-0"), ("Opened", "group-0")]


async def test_marks_are_seen_and_survive_new_rows_sorting_and_absence() -> None:
    app = GridApp(rows(6))
    async with app.run_test(size=(60, 9), notifications=True) as pilot:
        await pilot.press("j", "space", "j", "j", "space", "space", "k", "space")
        assert app.grid.marks == {"group-1", "group-2"}
        assert [line[0] for line in widget_lines(app.grid)[1:7]] == [" ", MARK, MARK, " ", " ", " "]
        app.grid.show(list(reversed(rows(6))))
        await pilot.pause()
        assert [line[0] for line in widget_lines(app.grid)[1:7]] == [" ", " ", " ", MARK, MARK, " "]
        app.grid.show([])
        app.grid.show(rows(2))
        assert app.grid.marks == {"group-1", "group-2"}
        assert app.grid.marked_items() == (Row("group-1", 1),)
        app.grid.set_marks(set())
        assert app.grid.marked_items() == ()


async def test_a_hundred_thousand_rows_ask_only_for_what_is_seen() -> None:
    app = GridApp(rows(100_000))
    async with app.run_test(size=(60, 31), notifications=True) as pilot:
        await pilot.press("G")
        await pilot.pause()
        assert "group-99999 " in widget_lines(app.grid)[-1]
        assert len(app.cells.asked) <= 62
        app.cells.asked.clear()
        app.grid.show(list(reversed(rows(100_000))))
        await pilot.pause()
        assert app.grid.cursor_key == "group-99999"
        assert app.grid.cursor == 0
        assert len(app.cells.asked) <= 31


@pytest.mark.parametrize("as_text", [False, True])
async def test_hostile_names_are_drawn_harmless_and_aligned(as_text: bool) -> None:
    app = GridApp([Row(name, 2_000) for name in HOSTILE])
    items = app.rows
    app.grids = [
        Grid(
            (Column("name", HOSTILE[2], 10, flex=1), Column("lag", "lag\x1b[1m", 6, "right")),
            lambda row, column: (Text(row.name, "bold") if as_text else row.name) if column == "name" else "1",
            lambda row: row.name,
            placeholder=HOSTILE[3],
        )
    ]
    async with app.run_test(size=(40, 16), notifications=True) as pilot:
        lines = screen_lines(app)
        assert_harmless(lines)
        assert any("[/foo]" in line for line in lines)
        app.grid.show([])
        await pilot.pause()
        assert_harmless(screen_lines(app))
        app.grid.show(items)
        await pilot.pause()
        for line in widget_lines(app.grid)[1 : 1 + len(items)]:
            assert cell_len(line) == 40
            assert line.rstrip().endswith("1")


async def test_wide_characters_keep_the_columns_straight() -> None:
    app = GridApp([Row("订单服务", 5), Row("ascii", 5), Row("한국어テスト", 5)])
    async with app.run_test(size=(40, 6), notifications=True):
        places = {cell_len(line[: line.index("5")]) for line in widget_lines(app.grid)[1:4]}
        assert len(places) == 1


async def test_clicks_select_then_open_and_the_header_asks_for_a_sort() -> None:
    app = GridApp(rows(5))
    async with app.run_test(size=(60, 9), notifications=True) as pilot:
        await pilot.pause()
        app.heard.clear()
        await pilot.click(app.grid, offset=(5, 3))
        await pilot.pause()
        assert app.heard == [("Moved", "group-2")]
        await pilot.click(app.grid, offset=(5, 3))
        await pilot.pause()
        assert app.heard[-1] == ("Opened", "group-2")
        lag = widget_lines(app.grid)[0].index("lag")
        await pilot.click(app.grid, offset=(lag, 0))
        await pilot.click(app.grid, offset=(5, 0))
        await pilot.pause()
        assert app.heard.count(("SortAsked", "lag")) == 1
        assert app.heard[-1] == ("SortAsked", "lag")
        await pilot.click(app.grid, offset=(5, 8))
        assert app.grid.cursor == 2


async def test_a_second_click_on_another_row_that_slid_under_the_mouse_does_not_open_it() -> None:
    app = GridApp(rows(5))
    async with app.run_test(size=(60, 9), notifications=True) as pilot:
        await pilot.click(app.grid, offset=(5, 3))
        app.grid.show([Row("new"), *rows(5)])
        await pilot.click(app.grid, offset=(5, 3))
        await pilot.pause()
        assert not any(name == "Opened" for name, _ in app.heard)


async def test_the_wheel_scrolls_and_leaves_the_cursor() -> None:
    app = GridApp(rows(100))
    async with app.run_test(size=(60, 11), notifications=True) as pilot:
        wheel = events.MouseScrollDown(app.grid, 5, 5, 0, 1, 0, False, False, False, screen_x=5, screen_y=5)
        app.grid.post_message(wheel)
        await pilot.pause(0.1)
        assert widget_lines(app.grid)[1].split()[0] == "group-2"
        assert app.grid.cursor == 0


async def test_the_sorted_column_carries_the_sign() -> None:
    app = GridApp(rows(3))
    async with app.run_test(size=(60, 6), notifications=True):
        app.grid.set_sort("lag", reverse=True)
        assert "▼lag" in widget_lines(app.grid)[0]
        app.grid.set_sort("name")
        assert "group ▲" in widget_lines(app.grid)[0]
        assert "▼" not in widget_lines(app.grid)[0]
        app.grid.set_sort(None)
        assert "▲" not in widget_lines(app.grid)[0]


def background(grid: Grid[Any], line: int) -> object:
    segment = next(iter(grid.render_line(line)))
    assert segment.style is not None
    return segment.style.bgcolor


async def test_the_cursor_is_seen_in_both_panes_and_brighter_where_the_focus_is() -> None:
    app = GridApp(rows(3), grids=2)
    async with app.run_test(size=(120, 6), notifications=True) as pilot:
        await pilot.pause()
        left, right = app.grids
        plain, focused, blurred = background(left, 2), background(left, 1), background(right, 1)
        assert len({plain, focused, blurred}) == 3
        right.focus()
        await pilot.pause()
        assert (background(left, 1), background(right, 1)) == (blurred, focused)


async def test_a_table_that_is_only_read_draws_no_cursor() -> None:
    app = GridApp(rows(3), highlight=False)
    async with app.run_test(size=(60, 6), notifications=True):
        assert background(app.grid, 1) == background(app.grid, 2)


async def test_colours_follow_the_theme() -> None:
    app = GridApp([Row("billing", 18204)])
    async with app.run_test(size=(60, 6), notifications=True) as pilot:
        before = app.grid.render_line(1)
        app.theme = "textual-light"
        await pilot.pause()
        after = app.grid.render_line(1)
        assert before.text == after.text
        assert [segment.style for segment in before] != [segment.style for segment in after]


async def test_any_size_is_drawn() -> None:
    app = GridApp(rows(30), placeholder="nothing")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        for size in ((1, 1), (160, 50), (5, 2), (12, 3), (80, 24)):
            app.grid.show(rows(30))
            app.grid.move_to("group-20")
            await pilot.resize_terminal(*size)
            await pilot.pause()
            lines = widget_lines(app.grid)
            assert len(lines) == size[1]
            assert all(cell_len(line) == app.grid.size.width for line in lines)
            if size[1] > 2:
                assert 1 <= cursor_line(app.grid) < size[1]
            app.grid.show([])
            await pilot.pause()
            assert len(widget_lines(app.grid)) == size[1]


async def test_columns_can_change_while_cursor_and_marks_stay() -> None:
    app = GridApp(rows(5))
    async with app.run_test(size=(60, 9), notifications=True) as pilot:
        await pilot.press("j", "space")
        app.grid.set_columns(COLUMNS[1:3])
        assert app.grid.visible_columns == ("name", "lag")
        assert app.grid.cursor_key == "group-1"
        assert widget_lines(app.grid)[2].startswith(f"{MARK}group-1")


def test_rows_can_be_given_before_there_is_a_screen() -> None:
    app = GridApp()
    app.grid.show(rows(100))
    assert app.grid.move_to("group-70")
    app.rows = rows(100)

    async def look() -> None:
        async with app.run_test(size=(60, 11), notifications=True) as pilot:
            await pilot.pause()
            assert app.grid.cursor_key == "group-70"
            assert "group-70 " in widget_lines(app.grid)[cursor_line(app.grid)]

    asyncio.run(look())


async def test_whatever_happens_the_cursor_is_on_its_key_and_in_sight() -> None:
    chance = random.Random(1_795_443_727)
    everything = rows(60)
    app = GridApp(everything, placeholder="nothing")
    async with app.run_test(size=(60, 11), notifications=True) as pilot:
        grid = app.grid
        for step in range(150):
            before = grid.cursor_key
            if chance.random() < 0.5:
                items = chance.sample(everything, chance.choice((0, 1, 2, 30, 59, 60)))
                grid.show(items)
                if before is not None and any(row.name == before for row in items):
                    assert grid.cursor_key == before, step
            else:
                act = chance.choice((grid.action_bottom, grid.action_top, grid.action_mark, grid.action_open))
                chance.choice((act, lambda: grid.action_page(0.5), lambda: grid.action_move(chance.randint(-9, 9))))()
            if step % 25 == 0:
                await pilot.resize_terminal(60, chance.randint(4, 30))
                await pilot.pause()
            if not grid.items:
                assert grid.cursor_key is None
                continue
            assert grid.items[grid.cursor] is grid.cursor_item
            assert grid.cursor_item is not None and grid.cursor_item.name == grid.cursor_key
            assert 1 <= cursor_line(grid) < grid.size.height, step
            assert f"{grid.cursor_key} " in widget_lines(grid)[cursor_line(grid)], step
