"""Queues on the screen: who is asked how often goes by what is in sight, and what a look costs is said."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from fakes import FakeInspect, backend_of, fake_app, letter, queue, sqs_snapshot
from msgspec.structs import replace
from pilot import SIZES, line_with, opened, seen, until, until_seen

from console.model import Queue, SqsSnapshot
from console.ops.session import Session
from console.tui import app as app_module
from console.tui.screens.dlq import DlqScreen
from console.tui.screens.group import GroupScreen
from console.tui.screens.home import HomeScreen

MANY = tuple(queue(f"jobs-{number:03}", visible=number) for number in range(200))


class Watching(FakeInspect):
    """Notes which queues each look at the SQS side was for."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.watched: list[Collection[str] | None] = []

    def sqs(
        self, session: Session, timeout: float | None = None, watched: Collection[str] | None = None
    ) -> SqsSnapshot:
        self.watched.append(watched)
        return super().sqs(session, timeout)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at SQS several times a second instead of every five."""
    monkeypatch.setattr(app_module, "SQS_EVERY", 0.2)


async def test_the_queues_in_sight_are_watched_and_none_while_no_screen_shows_them(quick: None) -> None:
    found = Watching(sqs_side=sqs_snapshot(found=MANY))
    app = fake_app(found=found)
    async with opened(app) as pilot:
        assert found.watched[0] is None  # the first picture is of everything
        await until(pilot, lambda: bool(found.watched[-1]))
        shown = found.watched[-1]
        assert shown is not None and "jobs-000" in shown and len(shown) < 40
        home = app.screen
        assert isinstance(home, HomeScreen)
        home.sqs.grid.focus()
        await pilot.press("G")
        await until(pilot, lambda: "jobs-199" in (found.watched[-1] or ()))
        assert "jobs-000" not in (found.watched[-1] or ())

        home.kafka.grid.focus()
        await pilot.press("g", "enter")
        await until(pilot, lambda: isinstance(app.screen, GroupScreen))
        await pilot.pause(0.6)
        before = len(found.watched)
        await pilot.pause(1.0)
        assert len(found.watched) == before  # no request while nothing shows a queue
        assert "old" not in line_with(app, "sqs:")  # and what is not asked for does not grow old
        await pilot.press("escape")
        await until(pilot, lambda: len(found.watched) > before)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: None in found.watched[before:])  # asked for by hand: everything


async def test_on_its_own_screen_a_dead_letter_queue_is_what_is_watched(quick: None) -> None:
    found = Watching()
    app = fake_app(found=found)
    async with opened(app) as pilot:
        app.run_command("dlq image-resize-jobs-dlq")
        await until(pilot, lambda: isinstance(app.screen, DlqScreen))
        await until(pilot, lambda: found.watched[-1] == {"image-resize-jobs-dlq"})


@pytest.mark.parametrize("size", SIZES)
async def test_requests_and_dollars_so_far_stand_above_the_list(size: tuple[int, int]) -> None:
    spent = replace(sqs_snapshot(), requests_so_far=1_204, dollars_so_far=0.000_481_6)
    app = fake_app(found=FakeInspect(sqs_side=spent))
    async with opened(app, size) as pilot:
        if size[0] < 100:
            await pilot.press("tab", "tab")
        await until_seen(pilot, "1,204 requests ≈ $0.00048")


SET_UP: tuple[tuple[str, str], ...] = (
    ("ContentBasedDeduplication", "false"),
    ("DeduplicationScope", "messageGroup"),
    ("FifoThroughputLimit", "perMessageGroupId"),
    ("KmsMasterKeyId", "alias/shop"),
    ("RedriveAllowPolicy", '{"redrivePermission": "denyAll"}'),
    ("MaximumMessageSize", "262144"),
    ("Policy", "\x1b]0;owned\x07{}"),
)


async def test_a_queue_says_how_it_is_set_up() -> None:
    odd: Queue = queue("orders.fifo", visible=3, extra=SET_UP, net_rate=-0.5, oldest_reason="ask CloudWatch")
    app = fake_app(found=FakeInspect(sqs_side=sqs_snapshot(found=(odd,))))
    async with opened(app, (160, 50)) as pilot:
        app.run_command("queue orders.fifo")
        await until_seen(pilot, "deduplicated by id, per message group, high throughput", "SSE-KMS, key alias/shop")
        await until_seen(
            pilot, "drains by 0.50/s, empty in ~6s", "256.0 KiB", "may serve", "no queue", "– ask CloudWatch"
        )
        assert "\x1b]0" not in seen(app)


async def test_failures_are_grouped_by_error_source_hour_and_shape() -> None:
    app = fake_app()
    source = "arn:aws:sqs:eu-west-1:1:image-resize-jobs"
    backend_of(app).letters = tuple(
        letter(number, attributes=(("DeadLetterQueueSourceArn", source),), value=b'{"a": 1}' if number % 2 else b"x")
        for number in range(10)
    )
    async with opened(app, (160, 50)) as pilot:
        app.run_command("dlq image-resize-jobs-dlq")
        await until_seen(pilot, "from image-resize-jobs ×10", "TimeoutError: resize of <n>x<n> took <n> s")
        await pilot.press("o")
        await until_seen(pilot, "by error and source", "from image-resize-jobs · TimeoutError")
        await pilot.press("o")
        await until_seen(pilot, "by error and hour", "in 2026-11-23 12:00 · TimeoutError")
        await pilot.press("o")
        await until_seen(pilot, "by shape", "JSON with a")
        screen = app.screen
        assert isinstance(screen, DlqScreen)
        screen.clusters.grid.focus()
        await pilot.press("g", "j")
        await pilot.pause()
        assert len(screen.list.items) == 5
        await pilot.press("o")
        await until_seen(pilot, "failures 1")


async def test_dead_letters_are_filtered_by_cel_and_what_is_hidden_is_not_redriven() -> None:
    app = fake_app()
    backend = backend_of(app)
    backend.letters = tuple(
        letter(number, error=("TimeoutError", "KeyError")[number % 2], value=f'{{"n": {number}}}'.encode())
        for number in range(10)
    )
    async with opened(app, (160, 50)) as pilot:
        app.run_command("dlq image-resize-jobs-dlq")
        await until_seen(pilot, "messages 10")
        await pilot.press("e", *"body.n < 3", "enter")
        await until_seen(pilot, "messages 3", "3 of 10 fit body.n < 3", "2 TimeoutError")
        assert backend.asked.count(("dead_letter", "sqs:image-resize-jobs-dlq")) == 1  # nothing was read again
        await pilot.press("e", *" &&", "enter")
        await until_seen(pilot, "is not a CEL expression", "messages 3")
        screen = app.screen
        assert isinstance(screen, DlqScreen)
        screen.list.grid.focus()
        await pilot.press("R")
        await until_seen(pilot, "3 that fit")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("e", "ctrl+u", "enter")
        await until_seen(pilot, "messages 10")


@pytest.mark.parametrize("size", SIZES)
async def test_without_kafka_the_first_key_falls_on_the_queues(size: tuple[int, int]) -> None:
    app = fake_app(kafka=None)
    async with app.run_test(size=size, notifications=True) as pilot:
        home = await _home(pilot, app)
        await until(pilot, lambda: home.focused is home.sqs.grid)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DlqScreen))


async def _home(pilot: Any, app: Any) -> HomeScreen:
    await until(pilot, lambda: app.store.sqs is not None and isinstance(app.screen, HomeScreen))
    found = app.screen
    assert isinstance(found, HomeScreen)
    return found
