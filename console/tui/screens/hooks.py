"""What a screen may do of its own when something happens to it."""

from __future__ import annotations

from textual.widget import Widget

from widgets.grid_messages import Moved


class Hooks:
    """Called by the handlers of `ConsoleScreen`; a screen overrides these, never a handler.

    Textual calls the handlers of every class in the line of descent: one that is overridden runs all the same, and one
    that calls its base runs that twice.
    """

    def mounted(self) -> None:
        """The screen has just been made: begin to read."""

    def unmounted(self) -> None:
        """The screen is gone."""

    def resumed(self) -> None:
        """The screen is on top, for the first time or again."""

    def suspended(self) -> None:
        """Another screen is on top."""

    def resized(self, width: int, height: int) -> None:
        """The terminal has another size."""

    def moved(self, event: Moved) -> None:
        """The cursor of a list stands on another line."""

    def focus_moved(self, widget: Widget) -> None:
        """Something else has the focus."""

    def submitted(self, kind: str, value: str) -> None:
        """Something was typed on a line of the screen's own; `kind` is what the line was opened for."""
