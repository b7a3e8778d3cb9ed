"""From a key to a running job: questions, plan, the yes, progress, outcome; read-only and production."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from fakes import NOW, FakeInspect, FakeStory, backend_of, fake_app, groups, job, kafka_snapshot, letters, plan_view
from msgspec import structs
from pilot import opened, seen, until, until_seen
from seen import screen_lines
from textual import events

from console.errors import Refused, Stopped
from console.model import Outcome, Problem, Progress, Status
from console.ops.clusters import cluster_id, label
from console.ops.inspect import DeadLetterView
from console.ops.redrive_bounce import Bounces
from console.tui import flows
from console.tui.app import LogqApp
from console.tui.backend import Change
from console.tui.form import Form
from console.tui.screens.dlq import DlqScreen
from console.tui.screens.home import HomeScreen
from console.tui.screens.job import JobScreen
from console.tui.wishes import RedriveWish, ResetWish
from widgets.confirm import PlanDialog


async def test_a_reset_goes_from_question_to_plan_to_outcome() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("r")
        await until_seen(pilot, "reset group billing", "earliest")
        await pilot.press("enter")
        await until_seen(
            pilot, "6 partitions to the earliest record held", "replays", "Cancel", "--to-earliest --execute"
        )
        assert app.screen.focused is not None and app.screen.focused.id == "plan--cancel"
        await pilot.press("right", "enter")
        await until_seen(pilot, "✔ done", "6 partitions committed and read back", "receipt")
        assert isinstance(app.screen, JobScreen)
    assert [asked[0] for asked in backend_of(app).asked] == ["plan_reset", "run"]
    assert backend_of(app).asked[0] == ("plan_reset", "billing", ResetWish("earliest", armed=True))


@pytest.mark.parametrize("answer", [("enter",), ("escape",), ("q",)])
async def test_cancel_has_the_focus_and_nothing_runs(answer: tuple[str, ...]) -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press(*answer)
        await pilot.pause()
        assert isinstance(app.screen, HomeScreen)
    assert [asked[0] for asked in backend_of(app).asked] == ["plan_reset"]


async def test_the_value_is_checked_while_it_is_typed() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("r", "right", "right")
        await until_seen(pilot, "an offset, for example 18204")
        await pilot.press("tab", *"12x", "enter")
        await until_seen(pilot, "takes a whole number, not '12x'")
        assert isinstance(app.screen, Form), "enter does not go on with a wrong value"
        await pilot.press("backspace", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
    assert backend_of(app).asked[0][2] == ResetWish("offset", "12", armed=True)


async def test_a_reset_can_be_limited_to_the_partition_under_the_cursor() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("enter")
        await until_seen(pilot, "billing-client")
        await pilot.press("j", "r")
        await until_seen(pilot, "all topics", "orders:1")
        await pilot.press("tab", "right", "right", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
    assert backend_of(app).asked[0][2] == ResetWish("earliest", "", (("orders", (1,)),), armed=True)


async def test_the_dialog_speaks_of_what_the_cursor_stood_on_when_the_key_was_pressed() -> None:
    found = FakeInspect()
    app = fake_app(found=found)
    async with opened(app) as pilot:
        await pilot.press("r")
        found.kafka_side = kafka_snapshot(
            tuple(
                structs.replace(g, status=Status.LOST) if g.name == "inventory" else g
                for g in groups()
                if g.name != "billing"
            )
        )
        app.look_now()
        await until(
            pilot, lambda: app.store.kafka is not None and all(r.name != "billing" for r in app.store.kafka.rows)
        )
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
    assert backend_of(app).asked[0][1] == "billing"


async def test_a_plan_that_fails_is_said_in_one_line() -> None:
    app = fake_app()
    backend_of(app).error = Refused("group 'billing' has 3 members: stop them first")
    async with opened(app) as pilot:
        await pilot.press("r", "enter")
        await until_seen(pilot, "has 3 members")
        assert isinstance(app.screen, HomeScreen)


async def test_a_production_profile_wants_the_name_typed() -> None:
    app = fake_app(production=True)
    async with opened(app) as pilot:
        await pilot.press("r", "enter")
        await until_seen(pilot, "type billing to go on")
        await pilot.press("right", "enter")
        await pilot.pause()
        assert not any(asked[0] == "run" for asked in backend_of(app).asked), "Apply is off"
    assert not any(asked[0] == "run" for asked in backend_of(app).asked)


async def test_production_goes_on_once_the_name_stands_there() -> None:
    app = fake_app(production=True)
    async with opened(app) as pilot:
        await pilot.press("r", "enter")
        await until_seen(pilot, "type billing to go on")
        app.screen.query_one("#plan--name").focus()
        await pilot.press(*"billing", "enter", "enter")
        await until_seen(pilot, "✔ done")


async def test_a_purge_wants_the_name_typed_on_any_profile() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        app.run_command("dlq image-resize-jobs-dlq")
        await until_seen(pilot, "failures 4")
        await pilot.press("X")
        await until_seen(pilot, "purge sqs:image-resize-jobs-dlq", "saved first")
        await pilot.press("enter")
        await until_seen(pilot, "type image-resize-jobs-dlq to go on")
        await pilot.press("right", "enter")
        await pilot.pause()
        assert not any(asked[0] == "run" for asked in backend_of(app).asked), "Apply is off, so enter was Cancel"
        await pilot.press("X")
        await until_seen(pilot, "saved first")
        await pilot.press("enter")
        await until_seen(pilot, "type image-resize-jobs-dlq to go on")
        app.screen.query_one("#plan--name").focus()
        await pilot.press(*"image-resize-jobs-dlq", "enter", "enter")
        await until_seen(pilot, "✔ done")
    assert ("plan_purge", "sqs:image-resize-jobs-dlq", True) in backend_of(app).asked


async def test_a_topic_is_not_purged() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        app.run_command("dlq orders.DLT")
        await until_seen(pilot, "failures")
        await pilot.press("X")
        await until_seen(pilot, "its records go by retention")
    assert not [asked for asked in backend_of(app).asked if asked[0] == "plan_purge"]


async def test_redrive_of_all_of_some_and_with_limits() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("tab", "R")
        await until_seen(pilot, "redrive sqs:image-resize-jobs-dlq", "5 is a good canary")
        await pilot.press("5", "tab", *"2.5", "tab", "right", "right", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("escape", "R")
        await until_seen(pilot, "5, look back, double")
        await pilot.press("tab", "tab", "tab", "right", "tab", *"body.kind=png", "enter")
        await until_seen(pilot, "a word needs quotes")
        await pilot.press(*["backspace"] * 3, *"1", "tab", *"body", "enter")
        await until_seen(pilot, "is no place in a message")
        await pilot.press(*".error", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("escape")
        app.run_command("dlq image-resize-jobs-dlq")
        await until_seen(pilot, "failures 4")
        await pilot.press("j", "R")
        await until_seen(pilot, "41 of this failure")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("escape", "tab", "space", "j", "space", "R")
        await until_seen(pilot, "2 marked")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
    wishes = [asked[2] for asked in backend_of(app).asked if asked[0] == "plan_redrive"]
    assert wishes[0] == RedriveWish(limit=5, rate=2.5, engine="client")
    assert wishes[1] == RedriveWish(ramp=True, sets=("body.kind=1",), unsets=("body.error",))
    assert len(wishes[2].ids) == 41 and len(wishes[3].ids) == 2


async def test_a_dead_letter_topic_is_redriven_without_asking_for_an_engine() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        app.run_command("dlq kafka:orders.DLT")
        await until_seen(pilot, "orders.DLT", "failures")
        await pilot.press("g", "R")
        await until_seen(pilot, "redrive kafka:orders.DLT", "none; 5 sends five and pauses")
        assert "engine" not in seen(app)
        await pilot.press(*"x", "enter")
        await until_seen(pilot, "canary is a number above 0, not 'x'")
        await pilot.press("backspace", *"5")
        await until_seen(pilot, "5 at first, then it pauses")
        await pilot.press("tab", *"20", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
    (_, target, wish) = next(asked for asked in backend_of(app).asked if asked[0] == "plan_redrive")
    assert target == "kafka:orders.DLT"
    assert wish == RedriveWish(canary=5, limit=20)


async def test_a_failure_of_a_topic_is_redriven_whole_and_marked_records_by_name() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        app.run_command("dlq kafka:orders.DLT")
        await until_seen(pilot, "failures 4")
        await pilot.press("j", "R")
        await until_seen(pilot, "all of this failure")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("escape", "tab", "space", "j", "space", "R")
        await until_seen(pilot, "2 marked")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
    wishes = [asked[2] for asked in backend_of(app).asked if asked[0] == "plan_redrive"]
    (first, second) = wishes
    assert first == RedriveWish(clusters=(cluster_id(label(letters()[0])),)), first
    assert len(second.ids) == 2 and second.clusters == ()


async def test_marks_that_are_not_shown_are_redriven_first_and_the_form_says_what_goes() -> None:
    app = fake_app()
    async with opened(app, (160, 50)) as pilot:
        app.run_command("dlq image-resize-jobs-dlq")
        await until_seen(pilot, "failures 4")
        await pilot.press("tab", "space", "j", "space", "slash", *"s3://photos/7.jpg", "enter")
        await until_seen(pilot, "messages 1 of 57 /s3://photos/7.jpg, 2 marked, not shown now")
        await pilot.press("R")
        await until_seen(
            pilot, "‹2 marked, not shown now›", "1 shown, /s3://photos/7.jpg", "exactly these 2 go, 2 marked, not shown"
        )
        await pilot.press("right")
        await until_seen(pilot, "exactly this one goes, 1 shown")
        await pilot.press("right")
        await until_seen(pilot, "all of it goes, also what is neither marked nor shown")
        await pilot.press("left", "left", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("escape", "escape", "shift+tab", "j", "j")
        await until_seen(pilot, "messages 13, 2 marked, not shown now")
        await pilot.press("tab", "space", "R")
        await until_seen(pilot, "‹3 marked, 2 of them not shown now›", "13 of this failure")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
    wishes = [asked[2] for asked in backend_of(app).asked if asked[0] == "plan_redrive"]
    newest = [m.id for m in reversed(letters())]
    assert set(wishes[0].ids) == set(newest[:2])
    assert len(wishes[1].ids) == 3 and set(wishes[1].ids) > set(newest[:2])


async def test_with_a_filter_and_no_marks_what_is_shown_is_redriven() -> None:
    app = fake_app()
    async with opened(app, (160, 50)) as pilot:
        app.run_command("dlq image-resize-jobs-dlq")
        await until_seen(pilot, "failures 4")
        await pilot.press("tab", "slash", *"zzz", "enter", "R")
        await until_seen(pilot, "nothing fits the filter")
        assert isinstance(app.screen, DlqScreen)
        await pilot.press("slash", "ctrl+u", *"s3://photos/7.jpg", "enter", "R")
        await until_seen(pilot, "‹1 shown, /s3://photos/7.jpg›", "all of it", "exactly this one goes")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
    assert backend_of(app).asked[-1] == (
        "plan_redrive",
        "sqs:image-resize-jobs-dlq",
        RedriveWish(ids=(letters()[7].id,)),
    )


async def test_the_age_and_what_was_read_go_on_with_the_clock_and_the_live_count() -> None:
    now = [NOW]
    found = FakeInspect()
    app = fake_app(found=found, clock=lambda: now[0])
    backend = backend_of(app)
    backend.letters = letters()[:23]
    look = backend.dead_letter

    def aged(target: str, force: bool = False, again: bool = True) -> DeadLetterView:
        view = look(target, force, again)
        return structs.replace(
            view, letters=structs.replace(view.letters, oldest_seconds=508.0), note="all of it; no group joined"
        )

    backend.dead_letter = aged  # type: ignore[method-assign]
    async with opened(app, (160, 50)) as pilot:
        app.run_command("dlq kafka:orders.DLT")
        await until_seen(pilot, "holds 23", "oldest 8m28s", "read all of it; no group joined")
        now[0] += 20
        (orders, dlt, *others) = found.kafka_side.topics
        more = structs.replace(dlt, partitions=(structs.replace(dlt.partitions[0], end=64),))
        found.kafka_side = structs.replace(found.kafka_side, at=now[0], topics=(orders, more, *others))
        app.look_now()
        await until_seen(pilot, "holds 64", "oldest 8m48s", "read 23 of 64; no group joined")
        assert "all of it" not in seen(app)


async def test_what_was_redriven_is_marked_and_what_is_left_counted() -> None:
    app = fake_app()
    # All of one failure, and two of the largest.
    backend_of(app).redriven = frozenset(m.id for m in (*letters()[41:54], *letters()[:2]))
    async with opened(app, (160, 50)) as pilot:
        app.run_command("dlq kafka:orders.DLT")
        await until_seen(pilot, "failures 4", "redriven 15", "left")
        lines = screen_lines(app)
        rows = {word: next(line for line in lines if word in line) for word in ("all failures", "UnsupportedFormat")}
        assert rows["all failures"].split()[:2] == ["57", "42"]
        assert rows["UnsupportedFormat"].split()[:2] == ["13", "✔"]
        await pilot.press("j", "j")
        await until(pilot, lambda: sum(line.count("✔ ") for line in screen_lines(app)) >= 13)


async def test_a_queue_redrives_its_dead_letter_queue_and_one_without_says_so() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("tab", "j", "R")
        await until_seen(pilot, "redrive sqs:image-resize-jobs-dlq")
        await pilot.press("escape", "j", "j", "j", "R")
        await until_seen(pilot, "invoices has no dead-letter queue")


async def test_progress_is_shown_and_x_stops_at_a_safe_point() -> None:
    app = fake_app()
    backend_of(app).go_on = threading.Event()
    async with opened(app) as pilot:
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("right", "enter")
        await until_seen(pilot, "3 of 6", "50 %", "12/s", "half of it", "running …")
        backend_of(app).found_jobs = (job("running", id="reset-20261123-142207-aaaa", done=3, left=3, finished=None),)
        await pilot.press("J")
        await until_seen(pilot, "jobs 1")
        await pilot.press("enter")
        await until_seen(pilot, "half of it", "running …")
        await pilot.press("x")
        await until_seen(pilot, "cancelled", "3 left")
        await until(pilot, lambda: "r resume" in screen_lines(app)[-1] or "u undo" in screen_lines(app)[-1])


async def test_leaving_while_a_change_runs_stops_it_and_says_how_to_go_on() -> None:
    app = fake_app()
    backend_of(app).go_on = threading.Event()
    async with opened(app) as pilot:
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("right", "enter")
        await until_seen(pilot, "running …")
        await pilot.press("q")
        await until(pilot, lambda: bool(app.farewell))
    assert app.farewell == ["6 partitions committed and read back"], "the outcome's own words"
    running = next(iter(app.running.values()))
    assert running.outcome is not None and running.outcome.state == "cancelled"


async def test_what_failed_is_shown_with_its_problems() -> None:
    app = fake_app()
    backend_of(app).outcome = Outcome(
        "reset-1",
        "partly",
        4,
        2,
        0,
        ("4 of 6 done",),
        (Problem("orders partition 3", "NOT_COORDINATOR", "moved away"),),
    )
    async with opened(app) as pilot:
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("right", "enter")
        await until_seen(pilot, "▲ partly", "2 failed", "NOT_COORDINATOR: moved away")


async def test_a_job_that_was_resumed_or_undone_is_shown_as_the_journal_has_it() -> None:
    app = fake_app()
    backend = backend_of(app)
    paused = job("paused", id="redrive-1", kind="redrive", source="sqs:a-dlq", target="sqs:a", total=38, done=5)
    paused = structs.replace(paused, left=33, note="5 redriven", undoable=False)
    backend.outcome = Outcome("redrive-1", "paused", 5, 0, 33, ("5 redriven",))
    backend.found_jobs = (paused,)
    async with opened(app) as pilot:
        app.begin(backend._change(plan_view("redrive", "a-dlq")))
        await until_seen(pilot, "▲ paused  5 done, 33 left", "# redrive-1")
        first = app.screen
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        backend.outcome = Outcome("redrive-1", "done", 38, 0, 0, ("38 redriven",))
        backend.found_jobs = (structs.replace(paused, state="done", done=38, left=0, note="38 redriven"),)
        await pilot.press("right", "enter")
        await until_seen(pilot, "✔ done  38 done")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is first)
        await until_seen(pilot, "✔ done  38 redriven", "done 38   of 38", "38 of 38")
        assert "r resume" not in screen_lines(app)[-1] and "33 left" not in seen(app)
        backend.found_jobs = (structs.replace(backend.found_jobs[0], undoable=True),)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "u undo" in screen_lines(app)[-1])
        backend.found_jobs = (structs.replace(backend.found_jobs[0], undoable=False),)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "u undo" not in screen_lines(app)[-1])


async def test_the_footer_offers_to_pause_as_soon_as_the_job_has_its_name() -> None:
    app = fake_app()
    named, go_on = threading.Event(), threading.Event()

    def run(cancel: threading.Event, on_progress: Callable[[Progress], None]) -> Outcome:
        named.wait(10)
        on_progress(Progress("reset-1", 1, total=6))
        go_on.wait(10)
        return Outcome("reset-1", "done", 6)

    async with opened(app, (160, 36)) as pilot:
        changing(app, run)
        await until_seen(pilot, "running …", "x cancel job")
        assert "p pause" not in screen_lines(app)[-1]
        named.set()
        await until(pilot, lambda: "p pause" in screen_lines(app)[-1])
        go_on.set()
        await until_seen(pilot, "✔ done")


async def test_a_refusal_is_told_to_its_end_which_says_what_to_do() -> None:
    app = fake_app()

    def run(cancel: threading.Event, on_progress: Callable[[Progress], None]) -> Outcome:
        raise Refused(f"redrive-1 belongs to {'http://far-away:9324 ' * 6}; resume it with the profile it began with")

    async with opened(app, (80, 24)) as pilot:
        changing(app, run)
        await until_seen(pilot, "✖ redrive-1 belongs to")
        assert "resume it with the profile it began with" in " ".join(seen(app).split())


async def test_resume_and_undo_go_through_a_plan_too() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("J")
        await until_seen(pilot, "interrupted")
        await pilot.press("u")
        await until_seen(pilot, "it cannot be undone")
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("escape", "j", "r")
        await until_seen(pilot, "nothing to resume: it is done")
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("right", "enter")
        await until_seen(pilot, "✔ done")
    asked = [asked[0] for asked in backend_of(app).asked]
    assert asked == ["plan_resume", "plan_undo", "run"]


async def test_what_came_back_of_a_redrive_is_looked_for_by_a_key() -> None:
    app = fake_app()
    backend = backend_of(app)
    async with opened(app, (160, 50)) as pilot:
        await pilot.press("J")
        await until_seen(pilot, "interrupted")
        assert "V came back?" in screen_lines(app)[-1]
        await pilot.press("V")
        await until_seen(pilot, "none of 20 came back (all 37 seen)")
        backend.bounces = Bounces(7, 7, 20, (("out of memory", 7),), False, "half of it was seen")
        await pilot.press("enter")
        await until_seen(pilot, "receipt")
        await pilot.press("V")
        await until_seen(pilot, "the fix failed for 7 of 20: 7 × out of memory", "half of it was seen")
        await pilot.press("escape", "j")
        await until(pilot, lambda: "V came back?" not in screen_lines(app)[-1])
        await pilot.press("V")
        await until_seen(pilot, "is no redrive of a queue")
    assert [asked[1][:7] for asked in backend.asked if asked[0] == "verify"] == ["redrive", "redrive", "reset-2"]


async def test_cancel_reaches_a_job_of_another_process() -> None:
    app = fake_app()
    backend_of(app).found_jobs = (job("running", finished=None),)
    async with opened(app) as pilot:
        await pilot.press("J")
        await until_seen(pilot, "running")
        await pilot.press("x")
        await until_seen(pilot, "asked reset-20261123-141207-7k3f to stop")
    assert backend_of(app).asked == [("cancel", "reset-20261123-141207-7k3f")]


async def test_read_only_takes_the_actions_away_everywhere() -> None:
    app = fake_app(read_only=True)
    async with opened(app, (160, 60)) as pilot:
        assert "read-only" in screen_lines(app)[0]
        assert "r reset" not in seen(app) and "R redrive" not in seen(app)
        await pilot.press("r", "tab", "R", "tab", "r", "R")
        assert isinstance(app.screen, HomeScreen), "the keys do nothing"
        await pilot.press("colon", *"redrive", "enter")
        await until_seen(pilot, "no command :redrive")
        await pilot.press("question_mark")
        await until_seen(pilot, "on this screen (home)")
        assert "move dead letters back" not in seen(app) and ":reset" not in seen(app)
        await pilot.press("escape", "J")
        await until_seen(pilot, "interrupted")
        await pilot.press("r", "u", "x")
        await pilot.pause()
        assert "resume" not in screen_lines(app)[-1]
    assert backend_of(app).asked == []


async def test_the_demo_has_its_keys_and_its_line_and_nobody_else() -> None:
    story = FakeStory()
    app = fake_app(story)
    async with opened(app, (160, 50)) as pilot:
        await until_seen(pilot, "▲ a bad release is out", "billing stalls")
        assert "F deploy the fix" in screen_lines(app)[-1]
        await pilot.press("F")
        assert story.told == ["fix"]
        await until_seen(pilot, "● a good release is out")
        await pilot.press("enter", "B")
        assert story.told == ["fix", "break"]
    plain = fake_app()
    async with opened(plain, (160, 50)) as pilot:
        await pilot.press("F", "B")
        assert "release" not in seen(plain) and "deploy" not in seen(plain)


async def test_dead_letters_are_not_read_beside_a_redrive_that_runs() -> None:
    app = fake_app()
    backend_of(app).go_on = threading.Event()

    def reads() -> int:
        return sum(1 for asked in backend_of(app).asked if asked[0] == "dead_letter")

    async with opened(app) as pilot:
        app.run_command("dlq image-resize-jobs-dlq")
        await until_seen(pilot, "failures")
        await until(pilot, lambda: reads() == 1)
        await pilot.press("R")
        await until_seen(pilot, "redrive sqs:image-resize-jobs-dlq")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("right", "enter")
        await until_seen(pilot, "running …")
        assert reads() == 1, "the look would lease what the redrive is to find"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, DlqScreen))
        await pilot.press("ctrl+r", "R")
        await until_seen(pilot, "a change is running")
        assert reads() == 1
        backend_of(app).go_on.set()
        await until(pilot, lambda: not app.changing)
        app.screen.store_changed()  # type: ignore[attr-defined]  # the next picture has come in
        await until(pilot, lambda: reads() == 2)


async def test_a_job_that_runs_offers_to_be_stopped() -> None:
    app = fake_app()
    backend_of(app).go_on = threading.Event()
    async with opened(app) as pilot:
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("right", "enter")
        await until_seen(pilot, "running …")
        await until(pilot, lambda: "x cancel job" in screen_lines(app)[-1])
        assert "r resume" not in screen_lines(app)[-1]
        await pilot.press("x")
        await until_seen(pilot, "cancelled")
        await until(pilot, lambda: "x cancel job" not in screen_lines(app)[-1])


async def test_enter_does_not_overtake_what_was_typed_before_it() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("r", "right", "right", "tab")
        await until_seen(pilot, "an offset, for example 18204")
        for key in "18204":
            # As a terminal hands them over: all at once, without waiting for each to be handled.
            app.post_message(events.Key(key, key))
        app.post_message(events.Key("enter", "\r"))
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
    assert backend_of(app).asked[0] == ("plan_reset", "billing", ResetWish("offset", "18204", armed=True))


async def test_enter_on_cancel_gives_the_questions_up() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        await pilot.press("r")
        await until_seen(pilot, "reset group billing")
        await pilot.press("shift+tab", "shift+tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
    assert not backend_of(app).asked


# ---------------------------------------------------------------- resets: every strategy, arming, what does not stay


async def test_every_strategy_can_be_chosen_and_some_partitions_named() -> None:
    app = fake_app()
    async with opened(app) as pilot:
        for presses, value in ((6, ""), (7, "/tmp/offsets.csv")):
            await pilot.press("r", *["right"] * presses)
            await until_seen(pilot, "reset group billing")
            if value:
                await pilot.press("tab", *value)
            await pilot.press("tab", "right")
            await until_seen(pilot, "topics or some of their partitions")
            await pilot.press("tab", *"orders:0,3 invoices", "tab", "left", "enter")
            await until(pilot, lambda: isinstance(app.screen, PlanDialog))
            await pilot.press("escape")
    wishes = [asked[2] for asked in backend_of(app).asked if asked[0] == "plan_reset"]
    named = (("orders", (0, 3)), ("invoices", None))
    assert wishes == [
        ResetWish("current", "", named, armed=False),
        ResetWish("from-file", "/tmp/offsets.csv", named, armed=False),
    ]


async def test_a_stopped_group_is_reset_at_once_unless_it_is_to_wait() -> None:
    app = fake_app(
        found=FakeInspect(kafka_side=kafka_snapshot((structs.replace(groups()[0], members=(), state="Empty"),)))
    )
    async with opened(app) as pilot:
        await pilot.press("r")
        await until_seen(pilot, "reset group billing", "‹now›")
        await pilot.press("shift+tab", "shift+tab", "shift+tab", "right")
        await until_seen(pilot, "armed: nothing is", "changed before the group is empty (no members now)")


def changing(app: LogqApp, run: Callable[[threading.Event, Callable[[Progress], None]], Outcome]) -> None:
    """Begin a reset that does this."""
    app.begin(Change(plan_view(), run))


async def test_an_armed_reset_shows_who_it_waits_for_and_x_stops_it() -> None:
    app = fake_app()

    def wait(cancel: threading.Event, on_progress: Callable[[Progress], None]) -> Outcome:
        while not cancel.wait(0.01):
            on_progress(Progress("", 0, note="armed, waiting for 1 member", waits=(("worker-7", "10.0.0.9"),)))
        raise Stopped("stopped waiting: nothing was changed")

    async with opened(app) as pilot:
        changing(app, wait)
        await until_seen(pilot, "armed, waiting for 1 member", "waits for these to leave", "worker-7", "10.0.0.9")
        assert next(iter(app.running.values())).farewell() == ("reset billing: had not begun, nothing was changed",)
        await pilot.press("x")
        await until_seen(pilot, "stopped waiting: nothing was changed")


async def test_an_overwritten_reset_is_shouted_wherever_one_is() -> None:
    app = fake_app()
    go_on = threading.Event()
    lines = ("OVERWRITTEN: 1 partition of 6 did not stay: orders partition 0", "somebody who is no member commits")
    problem = Problem("orders partition 0", "OVERWRITTEN", "was set to 5, 10 s later it reads 211")
    outcome = Outcome("reset-1", "partly", 5, 1, 0, lines, (problem,))

    def run(cancel: threading.Event, on_progress: Callable[[Progress], None]) -> Outcome:
        on_progress(Progress("reset-1", 6, total=6, note="committed and read back; reads again in 9 s"))
        go_on.wait(10)
        return outcome

    async with opened(app, (120, 36)) as pilot:
        changing(app, run)
        await until_seen(pilot, "reads again in 9 s")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        go_on.set()
        await until_seen(pilot, "OVERWRITTEN: 1 partition of 6")
        app.clear_notifications()
        changing(app, run)
        await until_seen(pilot, "▲ partly", "OVERWRITTEN: 1 partition of 6", "somebody who is no member commits")


async def test_a_topic_is_read_again_after_a_change_wherever_that_was_begun() -> None:
    app = fake_app()
    backend = backend_of(app)

    def reads() -> int:
        return sum(1 for asked in backend.asked if asked[0] == "dead_letter")

    async with opened(app, (120, 36)) as pilot:
        app.run_command("dlq kafka:orders.DLT")
        await until_seen(pilot, "failures 4")
        assert reads() == 1
        backend.redriven = frozenset(m.id for m in letters())
        app.begin(Change(plan_view("redrive", "orders.DLT"), lambda cancel, on: backend.outcome))
        await until_seen(pilot, "✔ done")
        await pilot.press("escape")
        await until_seen(pilot, "redriven 57", "✔")
        assert reads() == 2
        app.screen.store_changed()  # type: ignore[attr-defined]  # the next picture: nothing has changed since
        await pilot.pause()
        assert reads() == 2


async def test_warnings_stand_first_where_there_is_no_room_for_all_of_a_plan() -> None:
    long = structs.replace(plan_view(), facts=tuple((f"fact {n}", "words") for n in range(12)), warnings=("mind this",))
    for size, first in (((80, 24), "mind this"), ((120, 50), "fact 0")):
        app = fake_app()
        async with opened(app, size) as pilot:
            app.push_screen(flows.dialog(long, False))
            await until_seen(pilot, "reset billing", "fact 0", "mind this")
            await pilot.pause()
            order = [word for line in screen_lines(app) for word in ("mind this", "fact 0") if word in line]
            assert order[0] == first, (size, order)
