"""Home as a person sees it, at three sizes and between them, with keys pressed."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from fakes import NOW, FakeInspect, backend_of, fake_app, group, groups, kafka_snapshot, queue, queues, sqs_snapshot
from msgspec.structs import replace
from pilot import SIZES, line_with, opened, seen, until
from seen import screen_lines
from textual import events
from textual.screen import ModalScreen

from console.errors import Unreachable
from console.model import Severity, Status
from console.tui import notice
from console.tui.app import LogqApp
from console.tui.feed import SnapshotArrived
from console.tui.screens.home import HomeScreen
from console.tui.store import NEVER


def home(app: LogqApp) -> HomeScreen:
    """The home screen."""
    assert isinstance(app.screen, HomeScreen)
    return app.screen


@pytest.mark.parametrize("size", SIZES)
async def test_the_worst_stands_on_top_with_its_reason_and_key(size: tuple[int, int]) -> None:
    app = fake_app()
    async with opened(app, size):
        lines = screen_lines(app)
        assert "logq" in lines[0] and "prod-eu" in lines[0] and "home" in lines[0] and "kafka 3/3" in lines[0]
        assert "attention 4" in lines[1]
        assert "✖ billing" in lines[2] and "stalled" in lines[2] and "r reset" in lines[2]
        assert "R redrive" in line_with(app, "✖ image-resize-jobs-dlq")
        kafka = next(i for i, line in enumerate(lines) if "kafka groups 10" in line)
        assert "✖ billing" in lines[kafka + 2] and "18,204" in lines[kafka + 2] and "=6m10s" in lines[kafka + 2]
        assert "▲ analytics" in lines[kafka + 3]
        assert "enter open" in lines[-1] and "? help" in lines[-1] and "q quit" in lines[-1]


async def test_wide_shows_both_sides_and_narrow_makes_them_tabs() -> None:
    app = fake_app()
    async with opened(app, (80, 24)) as pilot:
        assert "sqs queues 8" in line_with(app, "kafka groups") and "visible" not in seen(app)
        await pilot.press("tab")
        assert "visible" in seen(app) and "behind" not in seen(app)
        await pilot.resize_terminal(160, 50)
        await pilot.pause()
        assert "visible" in seen(app) and "behind" in seen(app)
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "visible" in seen(app), "the tab in front stays in front"


async def test_a_resize_keeps_the_cursor_and_too_small_says_so() -> None:
    app = fake_app()
    async with opened(app, (120, 36)) as pilot:
        await pilot.press("j", "j")
        key = home(app).kafka.grid.cursor_key
        await pilot.resize_terminal(50, 12)
        await pilot.pause()
        assert "needs 60x16, has 50x12" in seen(app) and "billing" not in seen(app)
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert home(app).kafka.grid.cursor_key == key and "billing" in seen(app)
        await pilot.press("j")
        assert home(app).kafka.grid.cursor_key != key, "the keys work again"


async def test_a_side_that_has_the_focus_is_in_front_when_it_becomes_narrow() -> None:
    app = fake_app()
    async with opened(app, (120, 36)) as pilot:
        await pilot.press("tab", "j")
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "visible" in seen(app) and "behind" not in seen(app)
        await pilot.press("j")
        assert home(app).sqs.grid.cursor == 2


async def test_unknown_is_a_dash_never_zero() -> None:
    app = fake_app()
    async with opened(app, (160, 50)):
        audit = line_with(app, "audit-2024")[:79]
        assert "0" not in audit.replace("audit-2024", "") and "–" in audit
        exports = line_with(app, " exports")
        assert "–" in exports.split("exports")[1] and "0" not in exports.split("exports")[1]


async def test_the_line_under_the_cursor_says_why_it_is_as_it_is() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        assert "✖ billing  stalled" in screen_lines(app)[-2]
        await pilot.press("tab", "G")
        await until(pilot, lambda: "exports  AccessDenied: not allowed to look" in screen_lines(app)[-2])
        await pilot.press("k")
        await until(pilot, lambda: "webhooks" not in screen_lines(app)[-2])


async def test_attention_folds_away_when_nothing_is_wrong() -> None:
    well = FakeInspect(kafka_snapshot((group("billing"),), problems=()), sqs_snapshot((queue("emails.fifo"),)))
    well.kafka_side = replace(well.kafka_side, topics=())
    app = fake_app(found=well)
    async with opened(app) as pilot:
        assert "attention" not in seen(app) and "kafka groups 1" in screen_lines(app)[1]
        well.kafka_side = kafka_snapshot()
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "attention" in seen(app))


async def test_tab_goes_round_attention_kafka_sqs_and_enter_opens() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        screen = home(app)
        assert screen.kafka.grid.has_focus
        await pilot.press("tab")
        assert screen.sqs.grid.has_focus
        await pilot.press("tab")
        assert screen.attention.grid.has_focus
        await pilot.press("shift+tab")
        assert screen.sqs.grid.has_focus
        await pilot.press("shift+tab", "shift+tab")
        assert screen.attention.grid.has_focus
        await pilot.press("j", "enter")
        await pilot.pause()
        assert "image-resize-jobs-dlq" in screen_lines(app)[0]


async def test_the_filter_is_live_inverse_and_cleared_by_escape() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("slash", *"ana")
        await pilot.pause()
        assert "kafka groups 1 of 10 /ana" in seen(app)
        assert [row.name for row in home(app).kafka.grid.items] == ["analytics"]
        await pilot.press("enter")
        assert home(app).kafka.grid.has_focus
        await pilot.press("escape")
        assert "kafka groups 10" in seen(app)
        await pilot.press("slash", *"!orders", "enter")
        assert not home(app).kafka.grid.items
        assert "nothing of 10 fits" in seen(app)
        await pilot.press("slash", "escape")
        assert "/!orders" in seen(app), "giving up leaves the filter as it was"


async def test_sort_goes_through_the_columns_and_turns_round() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        pane = home(app).kafka
        await pilot.press("s")
        assert [row.name for row in pane.grid.items] == sorted(g.name for g in groups())
        await pilot.press("S")
        assert [row.name for row in pane.grid.items] == sorted((g.name for g in groups()), reverse=True)
        await pilot.press("s", "s")
        lags = [row.lag for row in pane.grid.items]
        assert lags[-1] is None and lags[:-1] == sorted(lags[:-1], reverse=True)  # type: ignore[type-var]
        assert "by lag" in seen(app)
        await pilot.press("S")
        assert pane.grid.items[-1].lag is None, "unknown stays last"


async def test_the_cursor_stays_on_its_group_while_the_order_changes() -> None:
    found = FakeInspect()
    app = fake_app(found=found)
    async with opened(app) as pilot:
        await pilot.press("j", "j", "j", "j")
        key = home(app).kafka.grid.cursor_key
        worse = tuple(replace(g, status=Status.LOST, reason="lost 5") if g.name == key else g for g in groups())
        found.kafka_side = kafka_snapshot(worse)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: home(app).kafka.grid.cursor == 0)
        assert home(app).kafka.grid.cursor_key == key


async def test_a_cursor_nobody_has_moved_stays_on_the_worst() -> None:
    found = FakeInspect(
        kafka_snapshot(
            tuple(replace(g, status=Status.OK, partitions=()) if g.name == "billing" else g for g in groups())
        )
    )
    app = fake_app(found=found)
    async with opened(app) as pilot:
        grid = home(app).kafka.grid
        assert grid.cursor_key != "billing"
        found.kafka_side = kafka_snapshot(groups())
        await pilot.press("ctrl+r")
        await until(pilot, lambda: grid.cursor_key == "billing" and grid.cursor == 0)
        # Once somebody went somewhere from here, the cursor belongs to them.
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, HomeScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        worse = Status.UNREACHABLE
        found.kafka_side = kafka_snapshot(
            tuple(replace(g, status=worse) if g.name == "inventory" else g for g in groups())
        )
        await pilot.press("ctrl+r")
        await until(pilot, lambda: grid.items[0].name == "inventory")
        assert grid.cursor_key == "billing"


async def test_when_what_was_under_the_cursor_goes_it_is_said() -> None:
    found = FakeInspect()
    app = fake_app(found=found)
    async with opened(app) as pilot:
        found.kafka_side = kafka_snapshot(tuple(g for g in groups() if g.name != "billing"))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "billing is gone" in seen(app))


async def test_an_unreachable_side_keeps_its_picture_and_says_how_old_it_is() -> None:
    now = [NOW + 1.0]
    found = FakeInspect()
    app = fake_app(found=found, clock=lambda: now[0])
    async with opened(app) as pilot:
        found.kafka_error = Unreachable("no broker of 127.0.0.1:1 answers: connection refused")
        now[0] = NOW + 14.0
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "kafka: data is 14 s old" in seen(app))
        shown = seen(app)
        assert "connection refused" in shown and "18,204" in shown, "the picture stays"
        assert "✖ kafka" in shown, "and it is in the attention block"
        assert "kafka 0/3" in shown, "nobody of that picture answers any more"
        assert "57" in line_with(app, "image-resize-jobs-dlq"), "the other side lives on"
        found.kafka_error = None
        found.kafka_side = kafka_snapshot(at=NOW + 15)
        now[0] = NOW + 15.5
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "kafka: data is" not in seen(app))


async def test_the_groups_in_sight_are_asked_for_at_every_look_and_an_older_line_says_so() -> None:
    many = tuple(
        replace(group(f"g-{n:04d}", lag=1, status=Status.WARN, reason="slow"), seen_at=NOW) for n in range(900)
    )
    older = replace(many[0], seen_at=NOW - 8)
    app = fake_app(found=FakeInspect(kafka_side=kafka_snapshot((older, *many[1:]))))
    async with opened(app, (120, 36)) as pilot:
        assert "seen 8s before the rest" in seen(app)
        await pilot.press("j")
        assert "before the rest" not in seen(app)
        await pilot.press("ctrl+r")  # everything, whoever looks
        await until(pilot, lambda: app.session.groups_in_view is None)
        home(app).refresh_top()
        app._pollers["kafka"].now()
        await until(pilot, lambda: app.session.groups_in_view is not None)
        in_view = app.session.groups_in_view or frozenset()
        assert {"g-0000", "g-0001"} <= in_view and "g-0899" not in in_view
        assert 10 < len(in_view) < 50
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, HomeScreen))
        app._pollers["kafka"].now()
        await until(pilot, lambda: app.session.groups_in_view is None)  # another screen may need any of them


async def test_a_side_that_was_never_seen_says_why() -> None:
    found = FakeInspect(kafka_error=Unreachable("no broker answers"))
    app = fake_app(found=found)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await until(pilot, lambda: "kafka: nothing seen yet" in seen(app))
        assert "no broker answers" in seen(app) and "kafka groups 0" in seen(app)


async def test_one_side_alone_takes_the_whole_width() -> None:
    app = fake_app(kafka=None)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await until(pilot, lambda: app.store.sqs is not None)
        await pilot.pause()
        assert "kafka" not in seen(app) and "sqs queues 8" in seen(app)
        assert home(app).sqs.grid.has_focus
        await pilot.press("tab", "j")
        assert home(app).focused is not None


@pytest.mark.parametrize("keys", [("q",), ("ctrl+c",), ("colon", "q", "enter")])
async def test_quit_takes_under_a_second_with_hung_looks(keys: tuple[str, ...]) -> None:
    hang = threading.Event()
    app = fake_app(found=FakeInspect(hang=hang))
    try:
        async with app.run_test(size=(120, 36), notifications=True) as pilot:
            await pilot.pause(0.1)
            assert "looking …" in seen(app), "the first screen is there before anything has answered"
            await pilot.press(*keys[:-1])
            began = time.monotonic()
            await pilot.press(keys[-1])
            await asyncio.sleep(0)
        assert time.monotonic() - began < 1.0
        assert app.return_code == 0
    finally:
        hang.set()


async def test_what_some_brokers_know_is_shown_while_another_is_still_awaited() -> None:
    hang = threading.Event()
    found = FakeInspect(partial=kafka_snapshot(groups()[:3], complete=False), hang=hang)
    app = fake_app(found=found)
    try:
        async with app.run_test(size=(120, 36), notifications=True) as pilot:
            await until(pilot, lambda: "kafka groups 3" in seen(app))
            hang.set()
            await until(pilot, lambda: "kafka groups 10" in seen(app))
    finally:
        hang.set()


async def test_nothing_looks_any_more_once_the_app_is_gone() -> None:
    found = FakeInspect()
    app = fake_app(found=found)
    async with opened(app) as pilot:
        await pilot.press("enter")
        await pilot.pause()
    names = {thread.name for thread in threading.enumerate()}
    await asyncio.sleep(0.2)
    assert not {"poll kafka", "poll sqs", "poll group billing"} & {t.name for t in threading.enumerate()}, names


async def test_dead_letters_stay_in_attention_while_sqs_does_not_answer() -> None:
    found = FakeInspect()
    now = NOW + 1.2
    app = fake_app(found=found, clock=lambda: now)
    async with opened(app) as pilot:
        assert "57 dead letters" in line_with(app, "✖ image-resize-jobs-dlq")
        found.sqs_error = Unreachable("no queue answered: it did not answer in time")
        now = NOW + 18.0
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.store.links["sqs"].error is not None)
        await pilot.pause()
        assert "sqs eu-west-1 ✖" in screen_lines(app)[0]
        assert "sqs: data is 18 s old" in seen(app) and "no queue answered" in seen(app)
        items = [item for item in app.store.attention if item.name == "image-resize-jobs-dlq"]
        assert [item.reason for item in items] == ["57 dead letters, oldest 2h04m as of 14:22:07Z"]
        assert home(app).sqs.items[0].queue.visible is not None, "the counts stay"


async def test_a_side_that_nothing_looks_at_is_not_called_healthy_for_ever() -> None:
    now = NOW + 1.2
    app = fake_app(clock=lambda: now)
    async with opened(app) as pilot:
        await pilot.press("J")
        await until(pilot, lambda: app.store.links["sqs"].every == NEVER)
        assert "sqs eu-west-1 ●" in screen_lines(app)[0]
        now = NOW + 70.0
        app.screen.refresh_top()  # type: ignore[attr-defined]
        await pilot.pause()
        assert "sqs eu-west-1 ●" not in screen_lines(app)[0]
        assert notice.health(app.store, now)[1].severity is Severity.UNKNOWN


async def test_an_answer_that_a_newer_one_has_overtaken_is_dropped() -> None:
    app = fake_app()
    async with opened(app):
        old = app.backend.kafka()
        newer = app.store._generations["kafka"]
        assert not app.store.arrived("kafka", old, newer - 1)
        assert not app.store.failed("kafka", "too late", newer - 1)
        assert app.store.links["kafka"].error is None


async def test_ten_thousand_groups_are_shown_filtered_and_sorted_quickly() -> None:
    many = tuple(group(f"group-{i:05d}", lag=i % 97, partitions=2) for i in range(10_000))
    app = fake_app(found=FakeInspect(kafka_side=kafka_snapshot(many), sqs_side=sqs_snapshot(queues())))
    async with app.run_test(size=(160, 50), notifications=True) as pilot:
        await until(pilot, lambda: app.store.kafka is not None, 20)
        began = time.process_time()
        await pilot.press("slash", *"0012", "enter")
        await pilot.press("s", "s", "s")
        await pilot.pause()
        assert time.process_time() - began < 5.0
        assert all("0012" in row.name for row in home(app).kafka.grid.items)


def typed_at_once(app: LogqApp, *keys: str) -> None:
    """Keys that arrive in one burst, as from a paste, a fast hand or a slow line: nothing is handled between them."""
    for key in keys:
        app.post_message(events.Key("space" if key == " " else key, key if len(key) == 1 else None))


async def test_what_is_typed_right_behind_a_colon_is_text_and_presses_nothing() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        app.post_message(events.Key("colon", ":"))
        typed_at_once(app, *"group qrRJt", "enter")
        await until(pilot, lambda: "qrRJt" in seen(app))
        assert app.is_running and not isinstance(app.screen, ModalScreen)
        assert all(asked[0] != "plan_reset" for asked in backend_of(app).asked)


async def test_enter_typed_before_a_form_is_there_does_not_answer_it() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        typed_at_once(app, "r", "enter", "enter")
        await pilot.pause(0.5)
        assert app.is_running
        assert app._exception is None


async def test_a_picture_that_comes_while_the_app_closes_harms_nothing() -> None:
    app = fake_app()
    async with opened(app):
        picture = app.store.kafka
    assert picture is not None
    assert not app.screen_stack, "closing has taken the screens away"
    app.on_snapshot_arrived(SnapshotArrived("kafka", 1_000, picture))
    assert app.return_code in (0, None)
