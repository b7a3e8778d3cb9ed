"""The plan dialog: read on small and large screens, answered by keys, guarded by a typed name."""

from __future__ import annotations

from typing import Any

import pytest
from rich.text import Text
from seen import HOSTILE, assert_harmless, screen_lines
from textual.app import App
from textual.widgets import Button, Input

from widgets.confirm import PlanDialog
from widgets.grid import Grid

PLAN: dict[str, Any] = {
    "facts": [("group", "billing, stopped"), ("replays", "297,792 records, about 12 m"), ("undo", "logq job undo …")],
    "warnings": ["the group skips 3,136 records", "this profile is production"],
    "columns": ("topic", "partition", "old", "new", "records"),
    "rows": [("orders", str(n), "18,204", "12,000", Text("↺ 6,204 replayed", "$primary")) for n in range(60)],
    "command": "logq group reset billing --to-datetime 2026-11-23T12:00:00Z --execute",
}


class DialogApp(App[None]):
    def __init__(self, title: str = "reset group billing", **plan: Any) -> None:
        super().__init__()
        self.dialog = PlanDialog(title, **plan)
        self.answers: list[bool | None] = []
        self.copied: list[str] = []

    def on_mount(self) -> None:
        self.push_screen(self.dialog, self.answers.append)

    def copy_to_clipboard(self, text: str) -> None:
        self.copied.append(text)


async def test_everything_needed_is_on_the_screen_at_every_size() -> None:
    app = DialogApp(**PLAN, typed="billing")
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        for size in ((80, 24), (160, 50), (120, 36), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            await pilot.pause()
            text = "\n".join(screen_lines(app))
            for words in (
                "reset group billing",
                "297,792 records",
                "▲  the group skips 3,136 records",
                "▲  this profile is production",
                "changes 60",
                "↺ 6,204 replayed",
                "logq group reset billing --to-datetime 2026-11-23T12:00:00Z --execute",
                "type billing to go on:",
                "Cancel",
                "Apply",
            ):
                assert words in text, (size, words)
            assert text.count("↺") >= (5 if size[1] == 24 else 15)


async def test_a_small_plan_takes_only_the_room_it_needs() -> None:
    app = DialogApp(facts=[("queue", "images-dlq")], columns=("id",), rows=[("a",), ("b",)], command="logq x")
    async with app.run_test(size=(100, 40), notifications=True) as pilot:
        await pilot.pause()
        box = app.dialog.query_one("#plan--box")
        # Title, fact, heading and three lines of the table, the command under its heading, buttons; three blank lines.
        assert box.size.height == 1 + 1 + 1 + 3 + 2 + 1 + 3
        await pilot.resize_terminal(100, 10)
        await pilot.pause()
        assert box.size.height == 8
        lines = screen_lines(app)
        assert any("Cancel" in line for line in lines) and any("logq x" in line for line in lines)


async def test_enter_at_once_cancels() -> None:
    app = DialogApp(**PLAN)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        assert app.focused is app.dialog.query_one("#plan--cancel")
        await pilot.press("enter")
        await pilot.pause()
        assert app.answers == [False]


@pytest.mark.parametrize(
    ("keys", "answer"), [("escape", False), ("q", False), ("right enter", True), ("tab enter", True)]
)
async def test_keys_answer(keys: str, answer: bool) -> None:
    app = DialogApp(**PLAN)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press(*keys.split())
        await pilot.pause()
        assert app.answers == [answer]


async def test_the_name_has_to_be_typed_exactly_before_apply_is_on() -> None:
    app = DialogApp(**PLAN, typed="billing")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        apply = app.dialog.query_one("#plan--apply", Button)
        assert apply.disabled
        await pilot.press("right", "right", "enter")
        await pilot.pause()
        assert app.answers == [False]
    app = DialogApp(**PLAN, typed="billing")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        apply = app.dialog.query_one("#plan--apply", Button)
        app.dialog.query_one(Input).focus()
        app.dialog.action_answer(True)
        for key in "billin":
            await pilot.press(key)
            assert apply.disabled
        await pilot.press("enter")
        assert app.answers == []
        assert any("that is not the name" in line for line in screen_lines(app))
        await pilot.press("g")
        assert not apply.disabled
        await pilot.press("y")
        assert apply.disabled
        await pilot.press("backspace", "enter")
        await pilot.pause()
        assert app.answers == [] and app.focused is apply
        await pilot.press("enter")
        await pilot.pause()
        assert app.answers == [True]


async def test_letters_typed_into_the_name_are_no_keys() -> None:
    app = DialogApp(**PLAN, typed="jqy")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.dialog.query_one(Input).focus()
        await pilot.press("j", "q", "y")
        await pilot.pause()
        assert app.answers == [] and app.copied == []
        assert app.dialog.query_one(Input).value == "jqy"


async def test_rows_scroll_while_the_button_keeps_the_focus() -> None:
    app = DialogApp(**PLAN)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        await pilot.press("j", "down", "pagedown", "pagedown")
        assert round(app.dialog.query_one(Grid).scroll_y) == 18
        assert app.focused is app.dialog.query_one("#plan--cancel")


async def test_y_copies_the_command_and_refuses_a_dangerous_one() -> None:
    app = DialogApp(**PLAN)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("y")
        await pilot.pause()
        assert app.copied == [PLAN["command"]]
        assert any("copied" in line for line in screen_lines(app))
        app.copied.clear()
        for bad in ("logq x \x1b[31m", "logq x\nrm -rf /", "logq \u202ex"):
            await app.push_screen(PlanDialog("x", command=bad))
            await pilot.press("y")
            await pilot.pause()
            assert app.copied == []
            assert any("not copied" in line for line in screen_lines(app))


async def test_hostile_plans() -> None:
    plan: dict[str, Any] = {
        "title": HOSTILE[1],
        "facts": [(name, name) for name in HOSTILE],
        "warnings": HOSTILE,
        "columns": HOSTILE[:4],
        "rows": [(name, Text(name), name, name) for name in HOSTILE],
        "command": HOSTILE[2] + HOSTILE[10],
        "typed": HOSTILE[3],
        "apply": HOSTILE[0],
        "cancel": HOSTILE[4],
    }
    app = DialogApp(**plan)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        for size in ((80, 24), (160, 50), (10, 3)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert_harmless(screen_lines(app))
        await pilot.press("down", "y", "escape")
        await pilot.pause()
        assert app.answers == [False]


async def test_a_hundred_thousand_rows_open_at_once() -> None:
    app = DialogApp(columns=("topic", "partition"), rows=[("orders", str(n)) for n in range(100_000)])
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        assert any("changes 100,000" in line for line in screen_lines(app))
        await pilot.press("right", "enter")
        await pilot.pause()
        assert app.answers == [True]


async def test_a_question_without_a_table() -> None:
    app = DialogApp("cancel the job?", warnings=["what was sent stays sent"], apply="Cancel the job", cancel="Back")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        text = "\n".join(screen_lines(app))
        assert "▲  what was sent stays sent" in text and "Cancel the job" in text and "Back" in text
        assert "changes" not in text
        await pilot.press("j", "pagedown", "right", "enter")
        await pilot.pause()
        assert app.answers == [True]


async def test_a_long_command_is_cut_where_it_is_seen_and_copied_whole() -> None:
    command = "logq dlq redrive images-dlq " + " ".join(f"--id {n:08d}" for n in range(100))
    app = DialogApp(command=command)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        lines = [line.rstrip() for line in screen_lines(app)]
        assert sum("--id" in line for line in lines) == 3
        assert any(line.endswith("…") for line in lines)
        await pilot.press("y")
        assert app.copied == [command]
