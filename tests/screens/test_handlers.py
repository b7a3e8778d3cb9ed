"""Every message of the screens is handled once: Textual calls the handlers of all classes in the line of descent."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Iterator

import pytest
from fakes import backend_of, fake_app, job
from pilot import opened, seen, until
from textual.message_pump import MessagePump

import console.tui
import widgets
from console.tui.screens.base import ConsoleScreen
from console.tui.screens.browse import BrowseScreen
from console.tui.screens.dlq import DlqScreen
from console.tui.screens.home import HomeScreen
from console.tui.screens.job import JobScreen
from console.tui.screens.jobs import JobsScreen


def ours() -> Iterator[type]:
    """Every class of the screens that gets messages."""
    for package in (console.tui, widgets):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            for found in vars(importlib.import_module(module.name)).values():
                if isinstance(found, type) and issubclass(found, MessagePump) and found.__module__ == module.name:
                    yield found


def test_no_handler_of_ours_is_overridden() -> None:
    classes = set(ours())
    assert HomeScreen in classes
    twice = [
        f"{found.__qualname__}.{name} is {base.__qualname__}'s as well"
        for found in classes
        for base in found.__mro__[1:]
        if base in classes
        for name in vars(found)
        if name.startswith(("on_", "_on_")) and name in vars(base)
    ]
    assert not twice


@pytest.mark.parametrize(("command", "screen"), [("dlq kafka:orders.DLT", DlqScreen), ("browse", BrowseScreen)])
async def test_a_command_runs_once_on_every_screen(command: str, screen: type[ConsoleScreen]) -> None:
    app = fake_app()
    async with opened(app) as pilot:
        if screen is BrowseScreen:
            app.push_screen(BrowseScreen("orders"))
        else:
            app.run_command(command)
        await until(pilot, lambda: isinstance(app.screen, screen))
        await pilot.press("colon", *"jobs", "enter")
        await until(pilot, lambda: isinstance(app.screen, JobsScreen))
        await pilot.pause()
        assert [type(found) for found in app.screen_stack[2:]] == [screen, JobsScreen]


async def test_another_page_of_records_says_nothing_of_what_is_gone() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        app.push_screen(BrowseScreen("orders"))
        await until(pilot, lambda: bool(app.screen.query("#messages Grid")) and "orders/0" in seen(app))
        app.screen.list.show(())  # type: ignore[attr-defined]
        await pilot.pause()
        assert not [note.message for note in app._notifications if "is gone" in note.message]


async def test_a_screen_has_one_poller_and_leaves_none_behind() -> None:
    app = fake_app()
    backend_of(app).found_jobs = (job("interrupted"),)
    before = {thread.ident for thread in threading.enumerate()}

    def pollers() -> list[str]:
        found = [t.name for t in threading.enumerate() if t.ident not in before]
        return [name for name in found if name.startswith("poll job ")]

    async with opened(app) as pilot:
        await pilot.press("J")
        await until(pilot, lambda: "interrupted" in seen(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, JobScreen))
        await pilot.pause()
        assert len(pollers()) == 1
        await pilot.press("escape")
        await until(pilot, lambda: not pollers())
