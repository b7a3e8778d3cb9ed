"""The detail pane: what is shown, how it scrolls, and how it takes bodies of a mebibyte."""

from __future__ import annotations

import asyncio
import gc
import json
import time

import pytest
from rich.cells import cell_len
from seen import HOSTILE, assert_harmless, screen_lines, widget_lines
from textual.app import App, ComposeResult

from widgets.detail import Body, Detail, Facts, Section

MESSAGE: tuple[Section, ...] = (
    Facts("message", (("id", "orders/3/18204"), ("key", "customer-17"), ("failed", None))),
    Body("value", b'{"order": 18204, "note": "' + b"x" * 100 + b'"}', "1.2 KiB"),
    Body("header", b"\x00\x01"),
)


class DetailApp(App[None]):
    def __init__(self, sections: tuple[Section, ...] = ()) -> None:
        super().__init__()
        self.sections = sections
        self.detail = Detail(placeholder="nothing chosen")

    def compose(self) -> ComposeResult:
        yield self.detail

    def on_mount(self) -> None:
        if self.sections:
            self.detail.show(self.sections, "one")
        self.detail.focus()


def seen(app: DetailApp) -> list[str]:
    return [line.strip() for line in widget_lines(app.detail)]


async def settled(app: DetailApp) -> None:
    """Waits until all lines have been laid out."""
    for _ in range(600):
        if app.detail._source is None:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("still laying out")


async def test_sections_are_shown_one_under_the_other() -> None:
    app = DetailApp(MESSAGE)
    async with app.run_test(size=(60, 20), notifications=True):
        lines = seen(app)
        assert lines[0].startswith("message ──")
        assert lines[1:5] == ["id      orders/3/18204", "key     customer-17", "failed  –", ""]
        assert lines[5].startswith("value 1.2 KiB  pretty ──")
        assert lines[6:8] == ["{", '"order": 18204,']
        assert any(line.startswith("00000000  00 01") for line in lines)


async def test_nothing_chosen_says_so() -> None:
    app = DetailApp()
    async with app.run_test(size=(60, 5), notifications=True):
        assert seen(app)[0] == "nothing chosen"


async def test_w_wraps_or_cuts_and_arrows_go_sideways() -> None:
    app = DetailApp((Body("value", "abc" * 100),))
    async with app.run_test(size=(40, 12), notifications=True) as pilot:
        assert seen(app)[2].startswith("cabc") or len(seen(app)[1]) == 38
        assert sum("abc" in line for line in seen(app)) == 8
        await pilot.press("w")
        assert not app.detail.wraps
        assert sum("abc" in line for line in seen(app)) == 1
        await pilot.press("right")
        assert seen(app)[1].startswith("cabcab")
        await pilot.press("left")
        assert seen(app)[1].startswith("abcabc")


async def test_v_goes_through_the_views() -> None:
    app = DetailApp((Body("value", b'{"a": 1}'),))
    async with app.run_test(size=(80, 12), notifications=True) as pilot:
        assert '"a": 1' in seen(app)
        await pilot.press("v")
        assert seen(app)[1] == '{"a": 1}'
        await pilot.press("v")
        assert seen(app)[1].startswith("00000000  7b 22 61")
        await pilot.press("v")
        assert '"a": 1' in seen(app)


async def test_keys_scroll() -> None:
    app = DetailApp((Body("value", "\n".join(f"line {n}" for n in range(200))),))
    async with app.run_test(size=(40, 11), notifications=True) as pilot:
        for keys, first in (
            ("j j", "line 1"),
            ("k", "line 0"),
            ("G", "line 189"),
            ("pageup", "line 179"),
            ("g", "value"),
            ("pagedown ctrl+d", "line 14"),
            ("ctrl+u", "line 9"),
            ("end home", "value"),
        ):
            await pilot.press(*keys.split())
            assert seen(app)[0].startswith(first), keys


async def test_the_same_key_keeps_the_place_and_another_starts_at_the_top() -> None:
    body = Body("value", "\n".join(f"line {n}" for n in range(200)))
    app = DetailApp((body,))
    async with app.run_test(size=(40, 11), notifications=True) as pilot:
        await pilot.press("pagedown", "pagedown")
        before = seen(app)[0]
        app.detail.show((body, Facts("more", (("a", "b"),))), "one")
        await pilot.pause()
        assert seen(app)[0] == before
        app.detail.show((body,), "two")
        await pilot.pause()
        assert seen(app)[0].startswith("value")


def hostile(name: str) -> tuple[Section, ...]:
    raw = name.encode("utf-8", "surrogatepass")
    return (
        Facts(name, ((name, name), ("label", name, name))),
        Body(name, raw, name),
        Body("json", json.dumps({name: [name]}, ensure_ascii=False)),
        Body("hex", raw + b"\xff\x00"),
    )


async def test_hostile_content_everywhere() -> None:
    app = DetailApp()
    async with app.run_test(size=(60, 40), notifications=True) as pilot:
        for name in HOSTILE:
            app.detail.show(hostile(name), None)
            for act in (app.detail.action_wrap, app.detail.action_view, app.detail.action_view, app.detail.action_view):
                lines = widget_lines(app.detail)
                assert_harmless(lines)
                assert all(cell_len(line) == 60 for line in lines)
                act()
            app.detail.action_wrap()
            app.detail.action_bottom()
            await pilot.pause()
            assert_harmless(screen_lines(app))


async def test_any_size() -> None:
    app = DetailApp(MESSAGE)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        for size in ((1, 1), (160, 50), (8, 3), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            lines = widget_lines(app.detail)
            assert len(lines) == size[1]
            assert all(cell_len(line) == size[0] for line in lines)


BIG = {
    "json": json.dumps([{"id": n, "name": "customer é", "total": n * 1.5} for n in range(22_000)]).encode(),
    "controls": b"\x1b[31m red " * 105_000,
}


@pytest.mark.parametrize("kind", BIG)
async def test_a_mebibyte_never_holds_up_the_event_loop(kind: str) -> None:
    app = DetailApp()
    # What a thousand tests before this one left in memory is not this widget's: the collector shall not walk it here.
    gc.collect()
    gc.freeze()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.pause()
        longest = 0.0
        running = True

        async def watch() -> None:
            nonlocal longest
            while running:
                # CPU time of this thread: what other programs take is not ours.
                start = time.thread_time()
                await asyncio.sleep(0.005)
                longest = max(longest, time.thread_time() - start)

        watcher = asyncio.create_task(watch())
        await asyncio.sleep(0.02)
        app.detail.show((Body("value", BIG[kind]),), kind)
        await asyncio.sleep(0.2)
        assert app.detail.virtual_size.height > 120
        running = False
        await watcher
        gc.unfreeze()
        assert longest < 0.4
        app.detail.action_bottom()
        assert len(seen(app)) == 40
        assert_harmless(screen_lines(app))


async def test_a_resize_while_laying_out_starts_over_and_ends() -> None:
    app = DetailApp((Body("value", b"some words in a line of text\n" * 10_000),))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.resize_terminal(60, 20)
        await pilot.resize_terminal(90, 30)
        await pilot.pause()
        await settled(app)
        assert app.detail.virtual_size.height == 10_001 + 1


async def test_selected_text_is_what_is_displayed() -> None:
    app = DetailApp((Body("value", "first\n\x1b[31msecond"),))
    async with app.run_test(size=(60, 10), notifications=True) as pilot:
        app.detail.text_select_all()
        await pilot.pause()
        selected = app.screen.get_selected_text()
        assert selected is not None and "␛[31msecond" in selected and "\x1b" not in selected
        assert_harmless(screen_lines(app))
