"""Browse and replay driven by keys on a real broker; what came of it is read by a client that is not ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from pilot import line_with, seen, until, until_seen
from replay_world import fill, make_topics, read

from console.config import KafkaSettings, Settings
from console.ops.lines import read_line
from console.ops.session import Session
from console.tui.app import LogqApp
from console.tui.screens.browse import BrowseScreen
from console.tui.screens.job import JobScreen
from widgets.confirm import PlanDialog

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

Unique = Callable[[str], str]
WAIT = 60.0


async def test_browse_filter_follow_export_and_replay_by_keys(kafka: str, unique: Unique, tmp_path: Path) -> None:
    """900 records are looked through, a third is copied exactly once, two of them once more; nothing else changes."""
    source, target = unique("screen-src"), unique("screen-dst")
    make_topics(kafka, {source: 3, target: 3})
    fill(kafka, source, 900, 3)
    admin = AdminClient({"bootstrap.servers": kafka})
    groups = {g.group_id for g in admin.list_consumer_groups().result(30).valid}
    session = Session(Settings(kafka=KafkaSettings(kafka), state_dir=tmp_path, timeout=30))
    for _ in range(50):  # the topics are new: their leaders may not be there yet
        if all(p.end is not None for name in (source, target) for p in session.require_kafka().topic(name).partitions):
            break
        await asyncio.sleep(0.2)
    app = LogqApp(session)
    async with app.run_test(size=(140, 40), notifications=True) as pilot:
        await until(pilot, lambda: app.store.kafka is not None, WAIT)
        app.run_command(f"browse {source}")
        await until(pilot, lambda: f"kafka:{source} 200" in seen(app), WAIT)
        assert isinstance(app.screen, BrowseScreen)
        assert "200 of" in seen(app) and "not the whole: 900 offsets are held" in seen(app)
        await until_seen(pilot, "older not looked at")

        # A filter, scanned back page after page until it was the whole; then from the earliest on.
        screen = app.screen
        await pilot.press("e", *"int(value) % 3 == 0", "enter")
        await until(pilot, lambda: len(screen.list.items) == 200 and "p0 100–299" in seen(app), WAIT)
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: len(screen.list.items) == 300 and "not the whole" not in seen(app), WAIT)
        assert "300 of 900 records scanned" in line_with(app, "records scanned")
        await pilot.press("left_square_bracket")
        await until_seen(pilot, "nothing older is held")
        await pilot.press("o", "right", "tab", "tab", "tab", "ctrl+u", *"100", "enter")
        await until(pilot, lambda: f"kafka:{source} 100" in seen(app), WAIT)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: len(screen.list.items) == 200, WAIT)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: len(screen.list.items) == 300, WAIT)
        assert {int(m.value or b"") for m in screen.list.items} == set(range(0, 900, 3))
        assert "300 of 900 records scanned" in seen(app)
        assert {g.group_id for g in admin.list_consumer_groups().result(30).valid} == groups, "no group was joined"

        # What is written is seen as it comes, filtered too.
        await pilot.press("f")
        await until_seen(pilot, "following:")
        fill(kafka, source, 30, 3, first=900)
        await until(pilot, lambda: any(m.value == b"927" for m in screen.list.items), WAIT)
        assert not any(m.value == b"928" for m in screen.list.items)
        await pilot.press("f")

        # The filter's records, up to the offset where the follow began, into the other topic.
        await pilot.press("R", *f"kafka:{target}", "tab", *"0", "tab", *"300", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog), WAIT)
        await until(pilot, lambda: "exactly once" in seen(app) and "that match: int(value) % 3 == 0" in seen(app))
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(app.screen, JobScreen) and "✔ done" in seen(app), WAIT)
        await until_seen(pilot, "300 done")
        assert sorted(int(r.value or b"") for found in read(kafka, target, 3).values() for r in found) == list(
            range(0, 900, 3)
        )

        # Two marked ones, with a header more.
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        assert screen.list.grid.move_to(f"{source}/0/3")
        await pilot.press("space")
        assert screen.list.grid.move_to(f"{source}/0/9")
        await pilot.press("space", "R")
        await until_seen(pilot, "the 2 marked records")
        await pilot.press("tab", *f"kafka:{target}", "tab", "tab", *"env=test", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog), WAIT)
        await until(pilot, lambda: "2 records picked by hand" in seen(app) and "env = 'test'" in seen(app))
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(app.screen, JobScreen) and "✔ done" in seen(app), WAIT)
        edited = [r for found in read(kafka, target, 3).values() for r in found if ("env", b"test") in r.headers]
        assert sorted(r.value or b"" for r in edited) == [b"27", b"9"]

        # Everything the filter selects, as a file.
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        path = tmp_path / "third.jsonl"
        await pilot.press("E", "right", "right", "tab", "ctrl+u", *str(path), "enter")
        await until(pilot, lambda: path.exists(), WAIT)
        assert sorted(int(read_line(line).value or b"") for line in path.read_bytes().splitlines()) == list(
            range(0, 930, 3)
        )
    session.close()
