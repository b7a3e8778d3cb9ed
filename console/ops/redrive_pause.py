"""An outage in the middle of a redrive: wait, say why, ask whether it is over, go on; give up after a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from console.errors import LogqError
from console.model import Problem
from console.text import duration

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0


class Patience:
    """How long one run has waited for the same outage; what moves in between begins it anew."""

    def __init__(self, seconds: float, cancel: threading.Event, tell: Callable[[str], None]) -> None:
        """`tell` gets a line on what is waited for, and "" when it goes on."""
        self._seconds = seconds
        self._cancel = cancel
        self._tell = tell
        self._since: float | None = None
        self._moved = 0
        self._wait = FIRST_WAIT_S

    def outlasts(self, problem: Problem, moved: int, ask: Callable[[], object]) -> bool:
        """Wait until `ask` raises no `LogqError` any more; False when cancelled, or when patience has run out.

        `moved` counts what was done so far: an outage that lets some through between is another one each time.
        """
        now = time.monotonic()
        if self._since is None or moved > self._moved:
            self._since, self._wait = now, FIRST_WAIT_S
        self._moved = moved
        why = problem.message
        while True:
            left = self._since + self._seconds - time.monotonic()
            if left <= 0 or self._cancel.is_set():
                return False
            wait = min(self._wait, left)
            self._wait = min(LONGEST_WAIT_S, self._wait * 2)
            self._tell(f"paused: {why}; tries again in {duration(wait)}, for {duration(left)} more")
            if self._cancel.wait(wait):
                return False
            try:
                ask()
            except LogqError as error:
                why = str(error)
                continue
            self._tell("")
            return True
