"""Opening the console in a test and reading what a person would see."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from seen import screen_lines
from textual.pilot import Pilot

from console.tui.app import LogqApp

SIZES = ((80, 24), (120, 36), (160, 50))


@asynccontextmanager
async def opened(app: LogqApp, size: tuple[int, int] = (120, 36)) -> AsyncIterator[Pilot[int]]:
    """The app with both first pictures on the screen."""
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: app.store.kafka is not None and app.store.sqs is not None)
        await pilot.pause()
        yield pilot


async def until(pilot: Pilot[int], true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something holds; fails after `seconds` with the screen as it was."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it never came:\n" + "\n".join(screen_lines(pilot.app))
        await pilot.pause(0.02)


async def until_seen(pilot: Pilot[int], *words: str) -> None:
    """Wait until all of these words are on the screen."""
    await until(pilot, lambda: all(word in "\n".join(screen_lines(pilot.app)) for word in words))


def seen(app: LogqApp) -> str:
    """The whole screen as text."""
    return "\n".join(screen_lines(app))


def line_with(app: LogqApp, words: str) -> str:
    """The first line that holds these words, "" when none does."""
    return next((line for line in screen_lines(app) if words in line), "")
