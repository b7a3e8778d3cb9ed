"""Every screen: what stands on it, where its keys lead, and the way back."""

from __future__ import annotations

import pytest
from fakes import FakeInspect, backend_of, fake_app, groups, kafka_snapshot
from pilot import SIZES, line_with, opened, seen, until, until_seen
from seen import screen_lines

from console.errors import Unreachable
from console.ops.browse_pages import Wish
from console.tui.actions import ACTIONS, registry
from console.tui.screens.base import ConsoleScreen
from console.tui.screens.brokers import BrokersScreen
from console.tui.screens.browse import BrowseScreen
from console.tui.screens.catalog import _GO
from console.tui.screens.dlq import DlqScreen
from console.tui.screens.dlqs import DlqsScreen
from console.tui.screens.doctor import DoctorScreen
from console.tui.screens.group import GroupScreen
from console.tui.screens.help import HelpScreen
from console.tui.screens.home import HomeScreen
from console.tui.screens.job import JobScreen
from console.tui.screens.jobs import JobsScreen
from console.tui.screens.messages import MessagesScreen
from console.tui.screens.queue import QueueScreen
from console.tui.screens.topic import TopicScreen, TopicsScreen

ALL = (
    HomeScreen, GroupScreen, TopicsScreen, TopicScreen, BrokersScreen, QueueScreen, DlqsScreen, DlqScreen,
    MessagesScreen, BrowseScreen, JobsScreen, JobScreen, DoctorScreen, HelpScreen,
)  # fmt: skip


@pytest.mark.parametrize("screen", ALL)
def test_every_key_of_a_screen_leads_somewhere(screen: type[ConsoleScreen]) -> None:
    for action in registry(demo=True).on_screen(screen.scope):
        if not action.by_widget:
            assert hasattr(screen, f"do_{action.id}") or action.id in _GO, f"{action.id} on {screen.scope}"


def test_no_screen_has_two_actions_on_one_key() -> None:
    for screen in ALL:
        keys = [key for action in registry(demo=True).on_screen(screen.scope) for key in action.keys]
        assert len(keys) == len(set(keys)), f"{screen.scope}: {sorted(k for k in keys if keys.count(k) > 1)}"


@pytest.mark.parametrize("size", SIZES)
async def test_a_group_shows_its_partitions_members_and_reason(size: tuple[int, int]) -> None:
    app = fake_app()
    async with opened(app, size) as pilot:
        await pilot.press("enter")
        await until_seen(pilot, "partitions 6", "members 1", "billing-client")
        lines = screen_lines(app)
        assert "billing" in lines[0]
        assert "billing  ✖ stalled: the commit has not moved" in seen(app)
        assert "lag 18,204" in seen(app) and "=6m10s" in seen(app)
        assert "orders" in line_with(app, "26,966") and "3,034" in line_with(app, "26,966")
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)


async def test_a_group_tells_when_it_will_have_caught_up() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("j", "enter")
        await until_seen(pilot, "catches up never at this rate")


async def test_topics_then_one_topic_then_its_records_in_full() -> None:
    app = fake_app()
    async with opened(app, (160, 50)) as pilot:
        await pilot.press("T")
        await until_seen(pilot, "kafka topics 4", "dead letters")
        await pilot.press("j", "enter")
        await until_seen(pilot, "groups on it 10", "cleanup.policy delete", "retention.ms 7d00h")
        await pilot.press("b")
        await until_seen(pilot, "kafka:orders 90", "no group joined", "customer-5")
        assert '"total": "18.20"' in seen(app), "the detail stands beside the list"
        await pilot.press("enter", "escape", "escape")
        assert isinstance(app.screen, TopicScreen)
        assert backend_of(app).asked == [("page", "first", Wish("orders"))]


async def test_in_a_narrow_terminal_the_detail_takes_the_lists_place() -> None:
    app = fake_app()
    async with opened(app, (80, 24)) as pilot:
        await pilot.press("T", "j", "enter", "b")
        await until_seen(pilot, "kafka:orders 90")
        assert "partition  0" not in seen(app)
        await pilot.press("enter")
        await until_seen(pilot, "orders/0/999", "18.20")
        assert "kafka:orders 90" not in seen(app)
        await pilot.press("escape")
        await until_seen(pilot, "kafka:orders 90")


async def test_a_queue_shows_its_dead_letter_relation_both_ways() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("tab", "j", "enter")
        await until_seen(pilot, "image-resize-jobs-dlq, after 3 receives", "visible 310", "retention")
        await pilot.press("d")
        await until_seen(pilot, "failures 4", "of image-resize-jobs")
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, HomeScreen)


async def test_the_cost_of_a_peek_is_said_before_it_and_cancel_has_the_focus() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("tab", "j", "b")
        await until_seen(pilot, "peek into image-resize-jobs", "looking costs one of 3 attempts")
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, HomeScreen), "enter is Cancel"
        assert not any(asked[0] == "peek" for asked in backend_of(app).asked)
        await pilot.press("b")
        await until_seen(pilot, "peek into")
        await pilot.press("right", "enter")
        await until_seen(pilot, "sqs:image-resize-jobs 12", "12 of ~12 seen")
        assert ("peek", "image-resize-jobs", False) in backend_of(app).asked


async def test_a_peek_that_would_cost_the_last_attempt_is_refused_when_read_only() -> None:
    app = fake_app(read_only=True)
    backend_of(app).cost = ("1 of 3 attempts left", True)
    async with opened(app) as pilot:
        await pilot.press("tab", "j", "b")
        await until_seen(pilot, "refused: 1 of 3 attempts left")
        assert not any(asked[0] == "peek" for asked in backend_of(app).asked)


@pytest.mark.parametrize("size", SIZES)
async def test_dead_letters_are_grouped_by_failure(size: tuple[int, int]) -> None:
    app = fake_app()
    async with opened(app, size) as pilot:
        app.run_command("dlq image-resize-jobs-dlq")
        await until_seen(pilot, "failures 4", "messages 57", "all failures")
        assert "41" in line_with(app, "TimeoutError: resize")
        await pilot.press("j")
        await until_seen(pilot, "messages 41")
        await pilot.press("enter", "enter")
        await until_seen(pilot, "panorama", "attributes")
        await pilot.press("tab")
        assert app.screen.focused is not None and app.screen.focused.region.height > 0, "tab goes to what is seen"
        await pilot.press("tab")
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, HomeScreen)
    assert backend_of(app).asked == [("dead_letter", "sqs:image-resize-jobs-dlq")], "read once, never by itself"


async def test_dead_letters_of_both_sides_in_one_list() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("D")
        await until_seen(pilot, "dead letters 3", "sqs queue", "kafka topic", "orders.DLT")


async def test_jobs_list_and_one_job_with_its_receipt() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("J")
        await until_seen(pilot, "jobs 2", "interrupted", "reset-20261123-141207-7k3f")
        assert "r resume" in screen_lines(app)[-1] and "u undo" not in screen_lines(app)[-1]
        await pilot.press("j")
        await until(pilot, lambda: "u undo" in screen_lines(app)[-1])
        assert "r resume" not in screen_lines(app)[-1], "what is done cannot be resumed"
        await pilot.press("enter")
        await until_seen(pilot, "receipt", "committed and read back")


async def test_the_doctor_says_what_to_do() -> None:
    app = fake_app()
    async with opened(app, (160, 50)) as pilot:
        app.run_command("doctor")
        await until_seen(pilot, "✖ sqs list queues", "allow sqs:ListQueues", "✔ kafka reachable", "? terminal")


async def test_help_lists_the_keys_of_the_screen_it_was_asked_on() -> None:
    app = fake_app()
    async with opened(app, (120, 60)) as pilot:
        await pilot.press("question_mark")
        await until_seen(pilot, "on this screen (home)", "move a group's committed offsets", ":jobs")
        assert "undo a job" not in seen(app).split("Commands")[0]
        await pilot.press("escape", "J", "question_mark")
        await until_seen(pilot, "on this screen (jobs)", "undo a job")


PLACES: tuple[tuple[str, type[ConsoleScreen]], ...] = (
    ("topics", TopicsScreen), ("topic orders", TopicScreen), ("group analytics", GroupScreen),
    ("queue webhooks", QueueScreen), ("queue emails-dlq.fifo", DlqScreen), ("dlqs", DlqsScreen),
    ("dlq orders.DLT", DlqScreen), ("jobs", JobsScreen), ("doctor", DoctorScreen), ("help", HelpScreen),
    ("brokers", BrokersScreen),
    ("groups", HomeScreen), ("queues", HomeScreen), ("home", HomeScreen), ("topi", TopicsScreen),
)  # fmt: skip


async def test_commands_go_where_they_say() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("colon", *"jobs", "enter")
        await pilot.pause()
        assert type(app.screen) is JobsScreen
        for typed, screen in PLACES:
            app.back_to(0)
            app.run_command(typed)
            await pilot.pause()
            assert type(app.screen) is screen, typed


async def test_a_command_that_is_not_understood_is_said_and_nothing_is_guessed() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("colon", *"frob", "enter")
        await until_seen(pilot, "no command :frob")
        app.run_command("group nobody")
        await until_seen(pilot, "no group nobody")
        app.run_command("undo")
        await until_seen(pilot, ":undo means nothing on this screen")
        app.run_command("quit billing")
        await until_seen(pilot, ":quit takes no name")
        assert isinstance(app.screen, HomeScreen)


async def test_a_reset_by_name_is_of_that_name_not_of_what_the_cursor_is_on() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        app.run_command("reset analytics")
        await until_seen(pilot, "reset group analytics")
        await pilot.press("escape")
        app.run_command("redrive emails-dlq.fifo")
        await until_seen(pilot, "redrive sqs:emails-dlq.fifo")
        await pilot.press("escape")
        app.run_command("reset nobody")
        await until_seen(pilot, "no group nobody")


async def test_a_detail_that_fails_keeps_its_picture_and_says_why() -> None:
    found = FakeInspect()
    app = fake_app(found=found)
    async with opened(app) as pilot:
        await pilot.press("enter")
        await until_seen(pilot, "billing-client")
        found.kafka_side = kafka_snapshot(tuple(g for g in groups() if g.name != "billing"))
        await pilot.press("ctrl+r")
        await until_seen(pilot, "no group 'billing'")
        assert "26,966" in seen(app)


async def test_every_screen_shows_its_command_line() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("c")
        await until_seen(pilot, "logq -p prod-eu status")
        assert app.clipboard == "logq -p prod-eu status"
        await pilot.press("enter", "c")
        await until(pilot, lambda: app.clipboard == "logq -p prod-eu group show billing")


async def test_a_long_way_leaves_room_for_the_state_of_both_sides() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("T", "j", "enter", "b")
        await until_seen(pilot, "kafka:orders 90")
        top = screen_lines(app)[0]
        assert "browse" in top and "kafka 3/3" in top and "sqs eu-west-1" in top and "read-write" in top
        app.back_to(1)
        await pilot.pause()
        assert isinstance(app.screen, TopicsScreen)


async def test_copy_takes_the_name_raw() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("y")
        assert app.clipboard == "billing"
        await pilot.press("tab", "y")
        assert app.clipboard == "image-resize-jobs-dlq"


async def test_themes_go_round_and_can_be_named() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        assert app.theme == "logq-dark"
        await pilot.press("t")
        assert app.theme == "logq-light"
        app.run_command("theme clear")
        assert app.theme == "logq-clear"
        assert "✖ billing" in seen(app)


async def test_the_theme_of_the_profile_is_taken_and_an_unknown_one_is_not() -> None:
    assert fake_app(theme="logq-light").theme == "logq-light"
    assert fake_app(theme="no such").theme == "logq-dark"


async def test_both_sides_down_still_opens_every_screen_and_leaves() -> None:
    found = FakeInspect(kafka_error=Unreachable("no broker answers"), sqs_error=Unreachable("refused"))
    app = fake_app(found=found)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await until_seen(pilot, "no broker answers", "refused")
        for typed in ("topics", "dlqs", "jobs", "doctor", "help"):
            app.run_command(typed)
            await pilot.pause()
        await pilot.press("escape", "escape", "escape", "escape", "escape")
        assert isinstance(app.screen, HomeScreen)


def test_every_mutating_action_is_left_out_of_a_read_only_run() -> None:
    kept = registry(read_only=True).actions
    assert not any(action.mutating for action in kept)
    assert {a.id for a in ACTIONS if a.mutating} == {
        "reset", "redrive", "replay", "purge", "resume", "undo", "pause", "cancel",
    }  # fmt: skip
