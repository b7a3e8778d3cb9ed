"""Names, bodies, keys, headers and errors as an enemy would choose them, on every screen: nothing of it can act."""

from __future__ import annotations

from fakes import (
    FakeInspect,
    backend_of,
    fake_app,
    group,
    job,
    kafka_snapshot,
    letter,
    plan_view,
    queue,
    record,
    sqs_snapshot,
)
from msgspec import structs
from msgspec.structs import replace
from pilot import opened, until, until_seen
from seen import HOSTILE, assert_harmless, screen_lines

from console.errors import Failed, Unreachable
from console.model import Outcome, Problem, Status, Topic, TopicPartition
from console.tui.backend import Change
from console.tui.screens.base import ConsoleScreen
from widgets.confirm import PlanDialog


def hostile() -> FakeInspect:
    """Both sides full of hostile names and reasons."""
    bad = tuple(
        group(name, lag=5 + i, status=Status.LOST, reason=f"lost {name}", topic=name, state="Stable")
        for i, name in enumerate(HOSTILE)
    )
    queues = tuple(
        queue(
            name, 3, dlq_of=(HOSTILE[(i + 1) % len(HOSTILE)],), status=Status.DEAD_LETTERS, reason=f"3 in {name}",
            extra=((name, name),),
        )
        for i, name in enumerate(HOSTILE)
    )  # fmt: skip
    topics = tuple(
        Topic(name, (TopicPartition(0, start=0, end=5),), config=(("cleanup.policy", name),)) for name in HOSTILE
    )
    problems = tuple(Problem(name, name, name) for name in HOSTILE[:3])
    return FakeInspect(
        structs.replace(kafka_snapshot(bad, problems=problems), topics=topics), sqs_snapshot(queues, problems=problems)
    )


async def test_no_screen_lets_hostile_text_through() -> None:
    app = fake_app(found=hostile())
    backend = backend_of(app)
    backend.records = tuple(
        record(i, name.encode("utf-8", "surrogateescape"), headers=((name, name.encode()),), error=name)
        for i, name in enumerate(HOSTILE)
    )
    backend.note = HOSTILE[2]
    backend.letters = tuple(letter(i, name, attributes=((name, name),)) for i, name in enumerate(HOSTILE))
    backend.found_jobs = tuple(job(id=f"job-{i}", source=n, target=n, note=n, command=n) for i, n in enumerate(HOSTILE))
    async with opened(app, (160, 50)) as pilot:

        async def walk(*keys: str) -> None:
            for key in keys:
                await pilot.press(key)
                await pilot.pause()
                assert_harmless(screen_lines(app))

        await walk("j", "j", "j", "tab", "j", "tab", "j", "s", "S", "slash", "f", "escape")
        await walk("colon", *"group ", "tab", "escape")
        for index in range(4):
            await walk("colon", *"groups", "enter", *(["j"] * index), "enter", "tab", "r", "escape", "escape")
        await walk(
            "colon", *"queues", "enter", "enter", "enter", "enter", "escape", "escape", "escape", "D", "j", "escape"
        )
        await walk(
            "T", "j", "enter", "b", "j", "j", "enter", "v", "v", "w", "escape", "space", "e", "escape", "o", "escape"
        )
        await walk("E", "escape", "R", "escape", "Y", "c", "escape", "escape", "escape")
        await walk("J", "j", "enter", "escape", "escape", "c", "y", "question_mark", "escape")
        app.run_command("doctor")
        await walk("j", "escape", "colon", *"[/x]", "enter")
        assert isinstance(app.screen, ConsoleScreen)


async def test_hostile_errors_plans_and_outcomes() -> None:
    found = FakeInspect(
        kafka_error=Unreachable("refused by \x1b]0;x\x07[/b] \u202eevil"), sqs_error=Failed("[@click=app.quit]")
    )
    app = fake_app(found=found)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await until_seen(pilot, "refused by ␛]0;x")
        assert_harmless(screen_lines(app))
    app = fake_app()
    backend = backend_of(app)
    nasty = "\x1b[31m[/b]\u202e$x"

    async with opened(app) as pilot:
        view = replace(
            plan_view("reset", nasty), facts=((nasty, nasty),), warnings=(nasty,), rows=((nasty,) * 5,), command=nasty
        )
        outcome = Outcome(nasty, "failed", 0, 1, 0, (nasty,), (Problem(nasty, nasty, nasty),))
        backend.plan_reset = lambda group, wish: Change(view, lambda cancel, on: outcome)  # type: ignore[method-assign]
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.pause()
        assert_harmless(screen_lines(app))
        await pilot.press("right", "enter")
        await until_seen(pilot, "✖ failed")
        await pilot.pause()
        assert_harmless(screen_lines(app))
