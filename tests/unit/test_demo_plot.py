"""The story line is a table: what it says must be so at every moment, whatever is pressed when."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.demo import plot
from console.demo.plot import BREAK, FIX, OPENING, Timeline, World

ACTS = {"opening": OPENING, "fix": FIX, "break": BREAK}


@pytest.mark.parametrize("name", ACTS)
def test_an_acts_events_stand_in_their_order_and_change_known_fields(name: str) -> None:
    act = ACTS[name]
    assert act[0].at == 0
    assert all(a.at < b.at for a, b in pairwise(act))
    fields = set(World.__dataclass_fields__)
    assert all(field in fields for event in act for field, _ in event.changes)
    assert all(event.text for event in act)


def test_everything_goes_wrong_within_half_a_minute_and_stays_so() -> None:
    story = Timeline()
    assert plot.world(story, 0) == World()
    assert plot.world(story, 11.9) == World(indexer_running=False)
    assert plot.world(story, 12).panorama_bug
    assert not plot.world(story, 19.9).billing_stalled
    assert plot.world(story, 20).billing_stalled
    assert plot.world(story, 28).analytics_pace == 0.6
    assert plot.world(story, 1799) == plot.world(story, 28) == World(True, True, 0.6, False)


def test_the_next_event_is_told_with_the_time_until_it() -> None:
    found = plot.coming(Timeline(), 10.5)
    assert found is not None
    assert found == (OPENING[2], 1.5)
    assert plot.coming(Timeline(), 1800) is None


def test_the_fix_takes_the_bug_away_at_once_and_the_rest_soon_after() -> None:
    story = plot.play(Timeline(), FIX, 60)
    assert plot.world(story, 59.9).panorama_bug
    assert not plot.world(story, 60).panorama_bug
    assert plot.world(story, 60).billing_stalled
    assert plot.world(story, 60).billing_down, (
        "its release is rolled out: a reset that waits for an empty group is applied"
    )
    assert plot.world(story, 64) == World(False, False, 0.6, False)
    assert plot.world(story, 66) == World(False, False, 3.0, False)


def test_a_fix_before_the_bug_keeps_the_bug_from_coming() -> None:
    story = plot.play(Timeline(), FIX, 5)
    assert not any(plot.world(story, now).panorama_bug for now in range(120))
    assert not any(plot.world(story, now).billing_stalled for now in range(120))
    assert [event for event in plot.happened(story, 120) if event in OPENING] == [OPENING[0]]


def test_breaking_it_again_brings_all_three_troubles_back() -> None:
    story = plot.play(plot.play(Timeline(), FIX, 60), BREAK, 100)
    assert not plot.world(story, 99).panorama_bug
    assert plot.world(story, 100) == World(True, False, 3.0, False, billing_down=True)
    assert plot.world(story, 104) == World(True, False, 3.0, False)
    assert plot.world(story, 108).billing_stalled
    assert plot.world(story, 116).analytics_pace == 0.6


@given(
    st.lists(st.tuples(st.floats(0, 100), st.sampled_from([FIX, BREAK])), max_size=6),
    st.floats(0, 800),
)
def test_whatever_is_pressed_the_last_act_decides_and_time_never_runs_back(
    presses: list[tuple[float, tuple[plot.Event, ...]]], later: float
) -> None:
    story, now = Timeline(), 0.0
    for wait, act in presses:
        now += wait
        before = plot.happened(story, now)
        story = plot.play(story, act, now)
        assert plot.happened(story, now)[-1] == act[0]
        # What happened before stays happened; only an event of the very moment of the press may be cut.
        assert list(plot.happened(story, now))[: len(before) - 1] == list(before)[:-1]
    assert len(plot.happened(story, now + later)) >= len(plot.happened(story, now))
    broken = presses[-1][1] is BREAK if presses else now + later >= OPENING[2].at
    assert plot.world(story, now + later).panorama_bug is broken


@pytest.mark.parametrize("act", [OPENING, BREAK])
def test_a_demo_left_running_makes_few_dead_letters_after_half_an_hour(act: tuple[plot.Event, ...]) -> None:
    story = Timeline(((0.0, act),))
    before, after = plot.world(story, 1799), plot.world(story, 8 * 3600)
    assert after.panorama_share < before.panorama_share / 40
    assert after.panorama_bug  # the fix is still to be deployed
    assert plot.world(plot.play(story, FIX, 9 * 3600), 9 * 3600).panorama_share == World().panorama_share
