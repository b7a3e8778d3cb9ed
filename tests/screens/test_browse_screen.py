"""Browsing from the screen: where to begin, filter, pages, follow, stop, export; and replay of what is seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeInspect, backend_of, fake_app, job, record
from pilot import SIZES, line_with, opened, seen, until, until_seen
from seen import screen_lines
from textual.pilot import Pilot

from console.errors import UsageError
from console.ops.browse_pages import Wish
from console.ops.lines import read_line
from console.tui.app import LogqApp
from console.tui.browse_forms import parse_partitions
from console.tui.form import Form
from console.tui.replay_form import edit_of
from console.tui.screens.browse import BrowseScreen
from console.tui.screens.job import JobScreen
from console.tui.wishes import ReplayWish
from widgets.confirm import PlanDialog


async def browsing(pilot: Pilot[int], app: LogqApp) -> BrowseScreen:
    """The records of orders, read."""
    app.run_command("browse orders")
    await until_seen(pilot, "kafka:orders 90", "no group joined")
    assert isinstance(app.screen, BrowseScreen)
    return app.screen


def pages(app: LogqApp) -> list[tuple[str, Wish]]:
    return [(asked[1], asked[2]) for asked in backend_of(app).asked if asked[0] == "page"]


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_scanned_is_always_said(size: tuple[int, int]) -> None:
    app = fake_app()
    async with opened(app, size) as pilot:
        await browsing(pilot, app)
        shown = seen(app)
        for words in ("90 of 90 records scanned", "p0 910–999", "not the whole: 900 offsets", "older not looked at"):
            assert words in shown, words
        await pilot.press("left_square_bracket")
        await until_seen(pilot, "180 of 180 records scanned", "p0 820–999")
        for _ in range(8):
            await pilot.press("left_square_bracket")
        await until_seen(pilot, "p0 100–999", "the whole")
        assert "not the whole" not in seen(app)
        await pilot.press("left_square_bracket")
        await until_seen(pilot, "nothing older is held")
        await pilot.press("right_square_bracket")
        await until_seen(pilot, "nothing newer")
    assert [toward for toward, _ in pages(app)] == ["first", *["older"] * 9, "newer"]


async def test_a_filter_is_typed_kept_and_cleared() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await browsing(pilot, app)
        await pilot.press("e", *"value.total > 100", "enter")
        await until_seen(pilot, "the last 200, where value.total > 100", "could not be applied to 3")
        await pilot.press("c")
        assert app.clipboard.endswith("topic browse orders --last 200 --where 'value.total > 100'")
        await pilot.press("e")
        await until(pilot, lambda: "where value.total > 100" in screen_lines(app)[-2])
        await pilot.press("ctrl+u", "enter")
        await until(pilot, lambda: len(pages(app)) == 3)
    assert [wish.where for _, wish in pages(app)] == [None, "value.total > 100", None]


async def test_a_wrong_filter_is_said_in_one_line_and_the_screen_goes_on() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await browsing(pilot, app)
        backend_of(app).error = UsageError("--where 'nope(' is not a CEL expression: it ends too early")
        await pilot.press("e", *"nope(", "enter")
        await until_seen(pilot, "is not a CEL expression")
        backend_of(app).error = None
        await pilot.press("e", "ctrl+u", "enter")
        await until_seen(pilot, "kafka:orders 90")


async def test_where_to_begin_is_asked_and_checked() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await browsing(pilot, app)
        await pilot.press("o", "right", "right", "right")
        await until_seen(pilot, "from this offset in every partition")
        await pilot.press("enter")
        assert isinstance(app.screen, Form), "nothing is read before it is known from where"
        await pilot.press("tab", *"18204", "tab", *"0,9")
        await until_seen(pilot, "there is no partition 9: there are 6, from 0 on")
        await pilot.press("backspace", "2", "enter")
        await until_seen(pilot, "from 18204, partition 0, 2")
        assert pages(app)[-1] == ("first", Wish("orders", "18204", (0, 2)))
        await pilot.press("o")
        await until_seen(pilot, "‹offset›", "18204", "0,2")
        await pilot.press("right", "right", "tab", "ctrl+u", *"2h", "tab", "ctrl+u", "enter")
        await until_seen(pilot, "from 2h-ago")
        await pilot.press("c")
        assert app.clipboard.endswith("topic browse orders --from 2h-ago")


async def test_a_scan_says_how_far_it_is_and_is_stopped_by_a_key() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await browsing(pilot, app)
        backend_of(app).go_on.clear()
        await pilot.press("e", *"value.total > 100", "enter")
        await until_seen(pilot, "scanning … 12,000 records of at most 3,100,000 offsets; 0 found; x stops")
        await until(pilot, lambda: "x stop" in screen_lines(app)[-1])
        await pilot.press("left_square_bracket")
        await until_seen(pilot, "it is reading already")
        await pilot.press("x")
        await until_seen(pilot, "kafka:orders 1 ", "stopped")
        assert "x stop" not in screen_lines(app)[-1]
        await pilot.press("x")
        await until_seen(pilot, "nothing is being read")


async def test_what_is_asked_while_it_reads_takes_its_place() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await browsing(pilot, app)
        backend_of(app).go_on.clear()
        await pilot.press("e", *"first()", "enter")
        await until_seen(pilot, "scanning …")
        await pilot.press("e", "ctrl+u", *"second()", "enter")
        await until(pilot, lambda: len(pages(app)) == 3)
        backend_of(app).go_on.set()
        await until_seen(pilot, "where second()", "90 of 90 records scanned")
        assert "stopped" not in seen(app), "the first one's answer is not shown"


@pytest.mark.parametrize("end", ["f", "x"])
async def test_follow_shows_what_comes_until_it_is_ended(end: str) -> None:
    app = fake_app()
    async with opened(app) as pilot:
        screen = await browsing(pilot, app)
        await pilot.press("f")
        await until_seen(pilot, "following:", "came", "f end follow")
        await until(pilot, lambda: len(screen.list.items) > 95)
        assert screen.list.grid.cursor == 0, "the cursor stays on the newest"
        await pilot.press("j", "j", "c")
        assert app.clipboard.endswith("--last 200 --follow")
        where = screen.list.grid.cursor_key
        before = len(screen.list.items)
        await until(pilot, lambda: len(screen.list.items) > before)
        assert screen.list.grid.cursor_key == where, "elsewhere it stays on its record"
        await pilot.press(end)
        await until(pilot, lambda: "following" not in seen(app))
        assert "the whole" not in line_with(app, "records scanned") or "older" in seen(app)
        kept = [m.offset for m in screen.list.items]
        assert sorted(kept) == list(range(910, 910 + len(kept))), "nothing missing, nothing twice"


async def test_a_record_is_copied_whole_and_a_tombstone_says_what_it_is() -> None:
    app = fake_app()
    backend_of(app).records = (*backend_of(app).records[:-1], record(999, None))
    async with opened(app) as pilot:
        await browsing(pilot, app)
        await until_seen(pilot, "tombstone")
        await pilot.press("Y")
        await until_seen(pilot, "copied all of orders/0/999 as JSON")
        assert read_line(app.clipboard).offset == 999
        assert read_line(app.clipboard).value is None


async def test_export_asks_what_and_where(tmp_path: Path) -> None:
    app = fake_app()
    async with opened(app, (160, 50)) as pilot:
        await browsing(pilot, app)
        await pilot.press("space", "j", "space", "E")
        await until_seen(pilot, "the 2 marked", "the 90 shown", "everything from earliest", "logq replay FILE.jsonl")
        path = str(tmp_path / "two.jsonl")
        await pilot.press("tab", "ctrl+u", *path, "enter")
        await until_seen(pilot, "2 records written to")
        written = Path(path).read_text(encoding="ascii").splitlines()
        assert [read_line(line).offset for line in written] == [998, 999]
        await pilot.press("E", "tab", "ctrl+u", *path, "enter")
        await until_seen(pilot, "exists already")
        backend_of(app).go_on.clear()
        await pilot.press("E", "right", "right", "tab", "ctrl+u", *"all.jsonl", "enter")
        await until_seen(pilot, "exporting …")
        await pilot.press("x")
        await until_seen(pilot, "stopped: nothing was written")
    assert backend_of(app).asked[-1] == ("export", Wish("orders"), "all.jsonl")


# ---------------------------------------------------------------- replay


async def test_marked_records_are_replayed() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await browsing(pilot, app)
        await pilot.press("space", "j", "j", "space", "R")
        await until_seen(pilot, "the 2 marked records", "exactly once")
        await pilot.press("tab", *"nowhere")
        await until_seen(pilot, "there is no topic and no queue 'nowhere'")
        await pilot.press("ctrl+u", *"kafka:invoices", "tab", *"0")
        await until_seen(pilot, "rate is a number above 0")
        await pilot.press("backspace", *"50", "tab", *"env=test -x-* oops")
        await until_seen(pilot, "headers: 'oops' is none of NAME=TEXT, NAME:=CEL, -NAME")
        await pilot.press(*["backspace"] * 5, "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        assert app.screen.focused is not None and app.screen.focused.id == "plan--cancel"
        await pilot.press("right", "enter")
        await until_seen(pilot, "✔ done")
        assert isinstance(app.screen, JobScreen)
    asked = [a for a in backend_of(app).asked if a[0] == "plan_replay"]
    wish = ReplayWish("kafka:invoices", rate=50, records=("0/999", "0/997"), headers=("env=test", "-x-*"))
    assert asked == [("plan_replay", "kafka:orders", wish)]


async def test_a_range_is_of_the_partitions_that_are_browsed() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        screen = await browsing(pilot, app)
        screen.go_to(Wish("orders", partitions=(3,)))
        await until_seen(pilot, "kafka:orders 90", "partition 3")
        await pilot.press("R", *"sqs:webhooks")
        await until_seen(pilot, "the range of partition 3 alone")
        app.screen.query_one("#field-partitions").focus()
        await pilot.press(*",7", "enter")
        await until_seen(pilot, "there is no partition 7: there are 6, from 0 on")
        await pilot.press("backspace", "5", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
    assert backend_of(app).asked[-1] == ("plan_replay", "kafka:orders", ReplayWish("sqs:webhooks", partitions=(3, 5)))


async def test_marks_that_a_filter_hides_are_replayed() -> None:
    app = fake_app()
    async with opened(app, (160, 50)) as pilot:
        await browsing(pilot, app)
        await pilot.press("space", "j", "space", "slash", *"zzz", "enter")
        await until_seen(pilot, "0 of 90 /zzz, 2 marked, not shown now")
        await pilot.press("E")
        await until_seen(pilot, "‹the 2 marked, not shown now›")
        await pilot.press("escape", "R")
        await until_seen(pilot, "‹the 2 marked records, not shown now›")
        await pilot.press("right", "tab", *"kafka:invoices")
        await until_seen(pilot, "also what is neither marked nor shown")
        await pilot.press("shift+tab", "left")
        await until_seen(pilot, "exactly the 2 marked records, not shown now: nothing else is copied")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
    wishes = [asked[2] for asked in backend_of(app).asked if asked[0] == "plan_replay"]
    assert wishes == [ReplayWish("kafka:invoices", records=("0/998", "0/999"))]


async def test_with_a_filter_and_no_marks_what_is_shown_is_replayed() -> None:
    app = fake_app()
    async with opened(app, (160, 50)) as pilot:
        screen = await browsing(pilot, app)
        await pilot.press("slash", *"zzz", "enter", "R")
        await until_seen(pilot, "nothing fits the filter")
        assert app.screen is screen, "a range would copy what is not to be seen"
        await pilot.press("slash", "ctrl+u", *"customer-3", "enter", "R")
        shown = tuple(f"0/{m.offset}" for m in screen.list.grid.items)
        assert 0 < len(shown) < 90
        await until_seen(pilot, f"‹the {len(shown)} records shown, /customer-3›", "a range")
        await pilot.press("tab", *"kafka:invoices", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
    assert backend_of(app).asked[-1] == ("plan_replay", "kafka:orders", ReplayWish("kafka:invoices", records=shown))


async def test_a_range_with_the_filter_of_the_screen_is_replayed() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await browsing(pilot, app)
        await pilot.press("e", *"key == 'a'", "enter")
        await until_seen(pilot, "where key == 'a'", "kafka:orders 90")
        await pilot.press("R", *"invoices")
        await until_seen(pilot, "on both sides: say kafka:invoices or sqs:invoices")
        await pilot.press("ctrl+u", *"sqs:webhooks", "tab", *"2h", "tab", *"500", "tab", "tab", *"10", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
    wish = ReplayWish("sqs:webhooks", "2h", "500", "key == 'a'", 10)
    assert backend_of(app).asked[-1] == ("plan_replay", "kafka:orders", wish)


@pytest.mark.parametrize(
    "way", [("T", "j", "R"), ("T", "j", "enter", "R"), ("enter", "R"), ("colon", *"replay orders", "enter")]
)
async def test_replay_is_offered_on_topics_and_groups(way: tuple[str, ...]) -> None:
    app = fake_app()
    async with opened(app) as pilot:
        for key in way:
            await pilot.press(key)
            await pilot.pause(0.1)
        await until_seen(pilot, "replay orders", "Plan")


async def test_read_only_has_no_replay_but_browses() -> None:
    app = fake_app(read_only=True)
    async with opened(app) as pilot:
        await browsing(pilot, app)
        assert "replay" not in screen_lines(app)[-1]
        await pilot.press("R")
        await pilot.pause()
        assert isinstance(app.screen, BrowseScreen)
        app.run_command("replay orders")
        await until_seen(pilot, "no command :replay")
        await pilot.press("E")
        await until_seen(pilot, "export orders")


async def test_a_production_profile_wants_the_destination_typed() -> None:
    app = fake_app(production=True)
    async with opened(app) as pilot:
        await browsing(pilot, app)
        await pilot.press("R", *"kafka:invoices", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("right", "enter")
        await pilot.pause()
        assert not [asked for asked in backend_of(app).asked if asked[0] == "run"], "enter alone is no yes"


async def test_a_running_replay_is_paused_from_its_screen_and_from_the_list() -> None:
    found = job("running", id="replay-1", kind="replay", source="kafka:orders", finished=None, undoable=False)
    app = fake_app()
    backend_of(app).found_jobs = (found,)
    async with opened(app) as pilot:
        await pilot.press("J")
        await until_seen(pilot, "replay-1")
        await until(pilot, lambda: "p pause" in screen_lines(app)[-1])
        await pilot.press("p")
        await until(pilot, lambda: ("pause", "replay-1") in backend_of(app).asked)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, JobScreen) and "p pause" in screen_lines(app)[-1])
        await pilot.press("p")
        await until(pilot, lambda: backend_of(app).asked.count(("pause", "replay-1")) == 2)
        backend_of(app).found_jobs = (job("paused", id="replay-1", kind="replay", undoable=False),)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "r resume" in screen_lines(app)[-1] and "p pause" not in screen_lines(app)[-1])


async def test_leaving_ends_what_is_read() -> None:
    app = fake_app(found=FakeInspect())
    async with opened(app) as pilot:
        screen = await browsing(pilot, app)
        await pilot.press("f")
        await until_seen(pilot, "following")
        follow = screen._follow
        assert follow is not None
        await pilot.press("escape")
        await until(pilot, follow.cancel.is_set)


def test_partitions_as_typed() -> None:
    assert parse_partitions("", 3) == parse_partitions("all", None) == ()
    assert parse_partitions("2, 0 2", 3) == (0, 2)
    for wrong in ("x", "-1", "1.5", "9" * 12, "3"):
        with pytest.raises(UsageError):
            parse_partitions(wrong, 3)


def test_headers_as_typed() -> None:
    edit = edit_of(("a=b=c", "n:=value.n == 'x'", "-x-*"))
    assert (edit.texts, edit.computed, edit.drop) == ((("a", "b=c"),), (("n", "value.n == 'x'"),), ("x-*",))
    for wrong in (("a",), ("-",), ("n:=value.",), ("=x",), ("logq-replay=x",)):
        with pytest.raises(UsageError):
            edit_of(wrong)
