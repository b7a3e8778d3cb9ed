"""When a question may take the keys: it must never be answered by keys that were meant for something else.

A plan is made on a thread of its own and arrives whenever it is done. By then somebody may type on the line at the
bottom or in a form, or look at another screen: a dialog that came up there would take the next keys as its answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from widgets.prompt import Prompt

if TYPE_CHECKING:
    from console.tui.screens.base import ConsoleScreen

LOOKS = 0.1
"""Seconds between looks whether the keys are free."""

HELD = 60.0
"""How long something waits to be shown, in seconds: afterwards it is older than what it was asked about."""


class Asking:
    """One question on its way to a screen. Only the last one begun is shown: the same key pressed twice asks once."""

    def __init__(self, screen: ConsoleScreen) -> None:
        self._screen = screen
        self._console = screen.console
        self._console.asking = self

    @property
    def wanted(self) -> bool:
        """Whether nothing else was asked for since."""
        return self._console.asking is self

    def when_free(self, what: str, go: Callable[[], object]) -> None:
        """Call `go` as soon as the keys of the screen that asked are free: at once, or when a line or form is closed.

        `what` is said meanwhile; it is dropped, and that is said, when the screen has gone or is not come back to.
        """
        if self.wanted and self._free:
            go()
            return
        console, since, said = self._console, time.monotonic(), False

        def look() -> None:
            nonlocal said
            dropped = self._dropped(time.monotonic() - since)
            if dropped or self._free:
                timer.stop()
            if dropped:
                console.say(f"{what} is not shown: {dropped}")
            elif self._free:
                console.clear_notifications()
                go()
            elif not said:
                said = True
                console.say(f"{what} is ready: it is shown when {self._waits_for()}")

        timer = console.set_interval(LOOKS, look)

    @property
    def _free(self) -> bool:
        """Whether the screen is on top, with nothing over it, and nobody types on its line."""
        screen = self._screen
        return (
            screen.is_attached
            and self._console.screen is screen
            and not any(prompt.is_open for prompt in screen.query(Prompt))
        )

    def _dropped(self, waited: float) -> str:
        if not self.wanted:
            return "something else was asked for since"
        if not self._screen.is_attached:
            return "you have left the screen that asked for it"
        return "it has waited too long; ask for it again" if waited > HELD else ""

    def _waits_for(self) -> str:
        top = self._console.screen
        if top is self._screen:
            return "the line is closed"
        # Another screen has its place in the crumbs; a form or a dialog has none.
        return f"you are back on {self._screen.crumb}" if hasattr(top, "crumb") else "this is closed"
