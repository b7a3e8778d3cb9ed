"""Schedulers that call one function over and over on a daemon thread: single flight, jitter, backoff, pause.

Daemon threads of our own rather than an executor: a call that hangs must neither delay the exit of the program nor stop
the next schedule from being understood. The result is handed to a callback on the poller's own thread.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_BACKOFF_LIMIT = 8


class Poller(Generic[T]):
    """Calls `look` every `every` seconds until stopped, and hands on its result or its exception.

    Only one call is under way at a time. After failures the pause doubles, up to eight times `every`. A paused one asks
    nothing until `resume` or `now`. `on_result(value, generation)` and `on_error(error, generation)` run on the
    poller's thread; generations count up, so that a receiver can drop what is older than what it has.
    """

    def __init__(
        self,
        name: str,
        look: Callable[[], T],
        every: float,
        on_result: Callable[[T, int], None],
        on_error: Callable[[Exception, int], None],
    ) -> None:
        self.name = name
        self.every = every
        self._look = look
        self._on_result = on_result
        self._on_error = on_error
        self._wake = threading.Event()
        self._stopped = False
        self._paused = False
        self._failures = 0
        self._generation = 0
        self._thread = threading.Thread(target=self._run, name=f"poll {name}", daemon=True)

    def start(self) -> None:
        """Begin with a first look at once."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more. Returns at once: a look under way is abandoned with its daemon thread."""
        self._stopped = True
        self._wake.set()

    @property
    def paused(self) -> bool:
        """Whether it rests until `resume` or `now`."""
        return self._paused

    def pause(self) -> None:
        """Look no more until `resume` or `now`; for what nothing shows."""
        self._paused = True

    def resume(self) -> None:
        """Go on, with a look at once when it was paused."""
        if self._paused:
            self._paused = False
            self._wake.set()

    def now(self) -> None:
        """Look at once (after the one under way), also when backing off or paused."""
        self._failures = 0
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            started = time.monotonic()
            self._generation += 1
            try:
                value = self._look()
            except Exception as error:  # whatever a look raises is data for the screen; the schedule goes on
                self._failures = min(self._failures + 1, _BACKOFF_LIMIT)
                self._hand_on(self._on_error, error)
            else:
                self._failures = 0
                self._hand_on(self._on_result, value)
            self._wait(started)

    def _hand_on(self, callback: Callable[..., None], value: object) -> None:
        if not self._stopped:
            callback(value, self._generation)

    def _wait(self, started: float) -> None:
        pause = self.every * min(_BACKOFF_LIMIT, 2 ** max(0, self._failures - 1)) * random.uniform(0.9, 1.1)
        # At least half a period of rest, however long the look took: a slow server is not asked without end.
        rest = max(self.every / 2, pause - (time.monotonic() - started))
        self._wake.wait(rest)
        while self._paused and not self._stopped and not self._wake.is_set():
            self._wake.wait(1.0)
