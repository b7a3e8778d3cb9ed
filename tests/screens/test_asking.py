"""A plan that arrives while the keys mean something else does not take them."""

from __future__ import annotations

import threading

import pytest
from fakes import backend_of, fake_app
from pilot import opened, seen, until
from textual.widgets import Button

from console.tui import asking
from console.tui.app import LogqApp
from console.tui.backend import Change
from console.tui.form import Form
from console.tui.screens.group import GroupScreen
from console.tui.screens.help import HelpScreen
from console.tui.screens.home import HomeScreen
from console.tui.screens.job import JobScreen
from console.tui.screens.messages import MessagesScreen
from console.tui.wishes import ResetWish
from widgets.confirm import PlanDialog


def slow(app: LogqApp) -> threading.Event:
    """Plans of resets are made when this is set."""
    backend, go_on = backend_of(app), threading.Event()
    made = backend.plan_reset

    def plan(group: str, wish: ResetWish) -> Change:
        go_on.wait(10)
        return made(group, wish)

    backend.plan_reset = plan  # type: ignore[method-assign]
    return go_on


def ran(app: LogqApp) -> bool:
    """Whether a plan was carried out."""
    return any(asked[0] == "run" for asked in backend_of(app).asked) or bool(app.running)


def said(app: LogqApp) -> str:
    """The remarks on the screen, not broken into lines."""
    return " ".join(note.message for note in app._notifications)


def planned(app: LogqApp) -> int:
    """How many plans were made."""
    return sum(1 for asked in backend_of(app).asked if asked[0] == "plan_reset")


@pytest.mark.parametrize("line", ["colon", "slash"])
async def test_a_plan_waits_for_the_line_that_is_typed_on(line: str) -> None:
    app = fake_app()
    go_on = slow(app)
    async with opened(app) as pilot:
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press(line, *"he")
        go_on.set()
        await until(
            pilot, lambda: "the plan to reset billing is ready: it is shown when the line is closed" in said(app)
        )
        await pilot.press("l", "p")
        assert isinstance(app.screen, HomeScreen)
        assert ":help" in seen(app) or "/help" in seen(app), "the line has every character"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        assert not ran(app)
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(app.screen, JobScreen))


async def test_a_plan_waits_until_its_screen_is_back_on_top() -> None:
    app = fake_app()
    go_on = slow(app)
    async with opened(app) as pilot:
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(app.screen, GroupScreen))
        go_on.set()
        await until(
            pilot, lambda: "the plan to reset billing is ready: it is shown when you are back on home" in said(app)
        )
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        assert not ran(app)


async def test_a_plan_nobody_comes_back_to_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "HELD", 0.3)
    app = fake_app()
    go_on = slow(app)
    async with opened(app) as pilot:
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, GroupScreen))
        go_on.set()
        await until(pilot, lambda: "is not shown: it has waited too long" in said(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.pause(3 * asking.LOOKS)
        assert isinstance(app.screen, HomeScreen)


async def test_a_plan_whose_screen_has_gone_is_dropped_and_that_is_said() -> None:
    app = fake_app()
    go_on = slow(app)
    async with opened(app) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, GroupScreen))
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, GroupScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        go_on.set()
        await until(
            pilot,
            lambda: "the plan to reset billing is not shown: you have left the screen that asked for it" in said(app),
        )
        assert isinstance(app.screen, HomeScreen)


async def test_the_same_key_twice_asks_one_question() -> None:
    app = fake_app()
    go_on = slow(app)
    async with opened(app) as pilot:
        for _ in range(2):
            await pilot.press("r")
            await until(pilot, lambda: isinstance(app.screen, Form))
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        go_on.set()
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await until(pilot, lambda: planned(app) == 2)
        await pilot.press("escape")
        await pilot.pause(3 * asking.LOOKS)
        assert isinstance(app.screen, HomeScreen)
        assert not ran(app)


async def test_a_look_into_a_queue_does_not_take_the_keys_either() -> None:
    app = fake_app()
    backend = backend_of(app)
    go_on = threading.Event()
    found = backend.peek_cost

    def cost(name: str) -> object:
        go_on.wait(10)
        return found(name)

    backend.peek_cost = cost  # type: ignore[method-assign,assignment]
    async with opened(app) as pilot:
        await pilot.press("tab", "b", "colon", *"he")
        go_on.set()
        await until(pilot, lambda: "is ready: it is shown when the line is closed" in said(app))
        assert isinstance(app.screen, HomeScreen)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, MessagesScreen))


async def test_keys_of_a_dialogs_first_moment_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PlanDialog, "settles", 0.5)
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("right", "enter", "tab", "enter")
        assert isinstance(app.screen, PlanDialog) and not ran(app)
        await until(pilot, lambda: not app.screen.query_one("#plan--apply", Button).disabled)
        assert app.focused is not None and app.focused.id == "plan--cancel"
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(app.screen, JobScreen))


async def test_a_dialog_can_be_given_up_in_its_first_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PlanDialog, "settles", 5.0)
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
