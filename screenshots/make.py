"""The README's pictures, from the running demo: `python screenshots/make.py` (with the dev extra) writes them here.

Real servers and the real story, driven by keys as a person would. The size, theme, order of screens and the SVG's own
ids are fixed, so that a picture changes only where what it shows has changed: its numbers are those of the run.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from console import brokers
from console.config import KafkaSettings, Settings, SqsSettings
from console.demo import control
from console.ops.session import Session
from console.tui.app import LogqApp

HERE = Path(__file__).resolve().parent
SIZE = (150, 36)


async def until(app: LogqApp, pilot: Pilot[int], what: Callable[[str], bool], seconds: float = 90.0) -> None:
    """Wait until the screen's text fulfils a condition."""
    limit = time.monotonic() + seconds
    while not what(text_of(app)):
        if time.monotonic() > limit:
            raise SystemExit(f"never seen; the screen is\n{text_of(app)}")
        await pilot.pause(0.2)


def text_of(app: LogqApp) -> str:
    """What the screen shows, as text."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line) for line in lines)


def save(app: LogqApp, name: str) -> None:
    """Write the screen as `NAME.svg`, with a local font and ids that do not change from run to run."""
    svg = app.export_screenshot(title="logq")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")
    svg = re.sub(r"terminal-\d+", "terminal", svg)
    (HERE / f"{name}.svg").write_text(svg, encoding="utf-8")
    print(f"{name}.svg", file=sys.stderr)


async def take(app: LogqApp) -> None:
    """Press the keys and save the pictures."""
    async with app.run_test(size=SIZE, notifications=True) as pilot:

        async def type_in(text: str) -> None:
            await pilot.press(*("space" if ch == " " else ch for ch in text))
            await pilot.press("enter")

        await until(app, pilot, lambda seen: "stalled" in seen and "image-resize-jobs-dlq" in seen)
        await pilot.pause(15)  # the trends want some history
        await pilot.press("ctrl+r")
        await pilot.pause(1)
        save(app, "home")

        await pilot.press("colon")
        await type_in("group billing")
        await until(app, pilot, lambda seen: "committed" in seen and "billing-1" in seen)
        await pilot.pause(3)
        save(app, "group")
        await pilot.press("escape")

        await pilot.press("colon")
        await type_in("dlq sqs:image-resize-jobs-dlq")
        await until(app, pilot, lambda seen: "failures" in seen and "panorama" in seen)
        await pilot.press("tab", "enter")
        await pilot.pause(2)
        save(app, "dlq")
        await pilot.press("escape", "escape")

        await pilot.press("colon")
        await type_in("group search-indexer")
        await until(app, pilot, lambda seen: "no members" in seen and "committed" in seen)
        await pilot.press("r")
        await pilot.press("enter")
        await until(app, pilot, lambda seen: "the same from a shell" in seen)
        save(app, "plan")
        await pilot.press("escape")
        await pilot.pause(0.5)
        await pilot.press("escape")

        await pilot.press("colon")
        await type_in("browse orders")
        await until(app, pilot, lambda seen: "no group joined" in seen)
        await pilot.press("e")
        await type_in("value.amount > 200")
        await until(app, pilot, lambda seen: "value.amount > 200" in seen and "scanned" in seen)
        await pilot.pause(3)
        save(app, "browse")
        await pilot.press("escape")
        await pilot.pause(0.5)
        await pilot.press("escape")

        await pilot.press("colon")
        await type_in("dlq sqs:image-resize-jobs-dlq")
        await until(app, pilot, lambda seen: "failures" in seen and "panorama" in seen)
        await pilot.press("R")
        await until(app, pilot, lambda seen: "5, look back, pause" in seen)
        await pilot.press("right", "tab", "tab", *"8", "tab", "tab", "right", "right", "tab")  # all of it, 8 a second
        await pilot.press(*"body.retried=true", "enter")
        await until(app, pilot, lambda seen: "the same from a shell" in seen)
        save(app, "edit")
        await pilot.press("tab", "enter")
        await until(app, pilot, lambda seen: "the fix failed for 5 of 5" in seen)
        await pilot.pause(1)
        save(app, "bounce")
        await pilot.press("F")
        await pilot.pause(5)
        await pilot.press("r")
        await until(app, pilot, lambda seen: "the same from a shell" in seen)
        await pilot.press("tab", "enter")
        await until(app, pilot, lambda seen: "running" in seen)
        await pilot.pause(6)
        save(app, "redrive")


def main() -> None:
    """Start the servers and the story, take the pictures, end everything."""
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "x")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "x")
    with tempfile.TemporaryDirectory() as state, brokers.start() as servers:
        assert servers.endpoint_url is not None and servers.region is not None
        story = control.start(servers.bootstrap, servers.endpoint_url, servers.region)
        settings = Settings(
            kafka=KafkaSettings(servers.bootstrap),
            sqs=SqsSettings(region=servers.region, endpoint_url=servers.endpoint_url),
            stall_seconds=15.0,
            state_dir=Path(state),
        )
        session = Session(settings)
        try:
            asyncio.run(take(LogqApp(session, demo=story)))
        finally:
            session.close()
            story.kill()


if __name__ == "__main__":
    main()
