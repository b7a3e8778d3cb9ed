"""A few screens as pictures: the clock stands still and no cursor blinks. Baselines are drawn by Python 3.11.

The pictures depend on the exact versions of Textual and Rich; the tests of words beside this file do not.
"""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Any

import pytest
from fakes import fake_app
from pilot import until

DRAWN_WITH = {"textual": "8.2.8", "rich": "15.0.0"}

if sys.version_info[:2] != (3, 11) or any(importlib.metadata.version(n) != v for n, v in DRAWN_WITH.items()):
    pytest.skip(f"baselines are drawn by Python 3.11 with {DRAWN_WITH}", allow_module_level=True)


def _settled(*keys: str) -> Any:
    async def run_before(pilot: Any) -> None:
        app = pilot.app
        app.animation_level = "none"
        await until(pilot, lambda: app.store.kafka is not None and app.store.sqs is not None)
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.2)
        await pilot.pause(0.2)

    return run_before


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 50)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_home(snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(fake_app(), terminal_size=size, run_before=_settled())


def test_home_light(snap_compare: Any) -> None:
    assert snap_compare(fake_app(theme="logq-light"), terminal_size=(120, 36), run_before=_settled())


def test_group(snap_compare: Any) -> None:
    assert snap_compare(fake_app(), terminal_size=(120, 36), run_before=_settled("enter"))


def test_dead_letters(snap_compare: Any) -> None:
    assert snap_compare(fake_app(), terminal_size=(120, 36), run_before=_settled("tab", "enter", "j", "enter"))


def test_plan(snap_compare: Any) -> None:
    assert snap_compare(fake_app(), terminal_size=(120, 36), run_before=_settled("r", "enter"))
