"""The prompt for filters and commands, typed into as a person would."""

from __future__ import annotations

from collections.abc import Sequence

from seen import HOSTILE, assert_harmless, screen_lines
from textual import events, on
from textual.app import App, ComposeResult
from textual.widgets import Input

from widgets.grid import Column, Grid
from widgets.prompt import Prompt

WORDS = ("groups", "queues", "topics", "quit")


def suggest(kind: str, typed: str) -> Sequence[str]:
    return [word for word in WORDS if word.startswith(typed)] if kind == ":" else ()


class PromptApp(App[None]):
    def __init__(self, words: Sequence[str] | None = None) -> None:
        super().__init__()
        self.heard: list[tuple[str, str, str]] = []
        self.prompt = Prompt(suggest if words is None else lambda kind, typed: words)

    def compose(self) -> ComposeResult:
        yield Grid((Column("name", "name", 10, flex=1),), lambda row, column: str(row), str)
        yield self.prompt

    def on_mount(self) -> None:
        self.query_one(Grid).show([1, 2, 3])
        self.query_one(Grid).focus()

    @on(Prompt.Changed)
    @on(Prompt.Submitted)
    @on(Prompt.Cancelled)
    def _hear(self, event: Prompt.Changed | Prompt.Submitted | Prompt.Cancelled) -> None:
        self.heard.append((type(event).__name__, event.kind, event.value))


async def test_a_filter_is_heard_live_and_submitted_and_the_focus_goes_back() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 10), notifications=True) as pilot:
        assert not app.prompt.is_open
        app.prompt.open("/")
        await pilot.press("b", "i", "j", "enter")
        await pilot.pause()
        assert app.heard == [
            ("Changed", "/", "b"),
            ("Changed", "/", "bi"),
            ("Changed", "/", "bij"),
            ("Submitted", "/", "bij"),
        ]
        assert not app.prompt.is_open
        assert isinstance(app.focused, Grid)


async def test_the_line_stands_at_the_bottom_with_sign_and_hint() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 10), notifications=True) as pilot:
        app.prompt.open("/", "bill")
        app.prompt.set_hint("3 of 214")
        await pilot.pause()
        line = screen_lines(app)[-1]
        assert line.startswith(" /bill")
        assert line.rstrip().endswith("3 of 214")
        assert app.heard == []
        await pilot.press("i")
        assert app.prompt.value == "billi"


async def test_escape_cancels_and_tells_what_it_began_with() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 10), notifications=True) as pilot:
        app.prompt.open("/", "old")
        await pilot.press("x", "escape")
        await pilot.pause()
        assert app.heard[-1] == ("Cancelled", "/", "old")
        assert not app.prompt.is_open and isinstance(app.focused, Grid)
        await pilot.press("x")
        assert app.heard[-1] == ("Cancelled", "/", "old")


async def test_tab_goes_through_the_completions() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 10), notifications=True) as pilot:
        app.prompt.open(":")
        await pilot.pause()
        assert [line.strip() for line in screen_lines(app)[-5:-1]] == list(WORDS)
        await pilot.press("q")
        await pilot.pause()
        assert [line.strip() for line in screen_lines(app)[-3:-1]] == ["queues", "quit"]
        await pilot.press("tab")
        assert app.prompt.value == "queues"
        await pilot.press("tab")
        assert app.prompt.value == "quit"
        await pilot.press("tab", "shift+tab", "shift+tab")
        assert app.prompt.value == "queues"
        await pilot.press("enter")
        await pilot.pause()
        assert app.heard[-1] == ("Submitted", ":", "queues")


async def test_up_and_down_go_through_what_was_submitted_of_the_same_kind() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 10), notifications=True) as pilot:
        for kind, word in ((":", "jobs"), ("/", "billing"), (":", "flows"), (":", "jobs")):
            app.prompt.open(kind)
            await pilot.press(*word, "enter")
        app.prompt.open(":")
        await pilot.press("x", "up")
        assert app.prompt.value == "jobs"
        await pilot.press("up", "up")
        assert app.prompt.value == "flows"
        await pilot.press("down", "down", "down")
        assert app.prompt.value == "x"
        await pilot.press("escape")
        app.prompt.open("/")
        await pilot.press("up")
        assert app.prompt.value == "billing"


async def test_an_empty_line_can_be_submitted_and_is_not_remembered() -> None:
    app = PromptApp()
    async with app.run_test(size=(60, 10), notifications=True) as pilot:
        app.prompt.open("/")
        await pilot.press("enter")
        await pilot.pause()
        assert app.heard == [("Submitted", "/", "")]
        app.prompt.open("/")
        await pilot.press("up")
        assert app.prompt.value == ""


async def test_hostile_completions_pastes_and_hints() -> None:
    app = PromptApp(HOSTILE)
    async with app.run_test(size=(60, 16), notifications=True) as pilot:
        for name in HOSTILE:
            app.prompt.open(":", name)
            app.prompt.set_hint(name)
            await pilot.pause()
            assert_harmless(screen_lines(app))
            app.prompt.query_one(Input).post_message(events.Paste(name))
            await pilot.pause()
            assert_harmless([app.prompt.value])
            app.prompt.action_complete(1)
            await pilot.pause()
            assert_harmless(screen_lines(app))
            assert_harmless([app.prompt.value])
            app.prompt.close()


async def test_more_completions_than_lines_follow_the_chosen_one() -> None:
    app = PromptApp([f"word-{n}" for n in range(40)])
    async with app.run_test(size=(60, 16), notifications=True) as pilot:
        app.prompt.open(":")
        await pilot.press(*["tab"] * 12)
        await pilot.pause()
        shown = [line.strip() for line in screen_lines(app)[-9:-1]]
        assert shown == [f"word-{n}" for n in range(4, 12)]
