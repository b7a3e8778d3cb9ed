"""Schedules: one look at a time, backing off, and stopping at once even when a look hangs."""

import threading
import time
from itertools import pairwise

from console.poll import Poller


def wait_for(condition: object, seconds: float = 5.0) -> None:
    assert callable(condition)
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "did not happen in time"
        time.sleep(0.005)


def test_results_come_with_rising_generations() -> None:
    seen: list[tuple[int, int]] = []
    values = iter(range(1_000))
    poller = Poller("t", lambda: next(values), 0.01, lambda v, g: seen.append((v, g)), lambda e, g: None)
    poller.start()
    wait_for(lambda: len(seen) >= 3)
    poller.stop()
    assert seen[:3] == [(0, 1), (1, 2), (2, 3)]


def test_only_one_look_is_under_way() -> None:
    under_way, most = 0, 0
    lock = threading.Lock()
    done: list[int] = []

    def look() -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.02)
        with lock:
            under_way -= 1

    poller = Poller("t", look, 0.001, lambda v, g: done.append(g), lambda e, g: None)
    poller.start()
    for _ in range(20):
        poller.now()
    wait_for(lambda: len(done) >= 4)
    poller.stop()
    assert most == 1


def test_failures_are_handed_on_and_the_schedule_goes_on_slower() -> None:
    errors: list[float] = []

    def look() -> None:
        errors.append(time.monotonic())
        raise OSError("no route")

    told: list[Exception] = []
    poller = Poller("t", look, 0.05, lambda v, g: None, lambda e, g: told.append(e))
    poller.start()
    wait_for(lambda: len(errors) >= 5)
    poller.stop()
    assert all(isinstance(e, OSError) for e in told)
    pauses = [b - a for a, b in pairwise(errors)]
    assert pauses[3] > 2 * pauses[0]


def test_a_hung_look_does_not_hold_up_stop() -> None:
    started, never = threading.Event(), threading.Event()

    def look() -> None:
        started.set()
        never.wait(30)

    seen: list[int] = []
    poller = Poller("t", look, 0.01, lambda v, g: seen.append(g), lambda e, g: None)
    poller.start()
    started.wait(5)
    before = time.monotonic()
    poller.stop()
    assert time.monotonic() - before < 0.2
    never.set()
    time.sleep(0.05)
    assert seen == []  # the late result of a stopped poller is dropped


def test_paused_asks_nothing_until_now_or_resume() -> None:
    seen: list[int] = []
    poller = Poller("t", lambda: 1, 0.01, lambda v, g: seen.append(g), lambda e, g: None)
    poller.pause()
    poller.start()
    wait_for(lambda: len(seen) == 1)
    time.sleep(0.1)
    assert len(seen) == 1
    poller.resume()
    wait_for(lambda: len(seen) >= 3)
    poller.stop()
