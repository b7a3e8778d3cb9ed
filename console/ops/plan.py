"""A plan as people read it before they say yes: the same value feeds the dialog and the command line."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from console.model import JobKind
from console.ops.lines import when

OVERWRITTEN = "OVERWRITTEN"
"""The code of a problem: an offset that a reset had put in place was replaced by somebody else's commit."""


class PlanView(Struct, frozen=True):
    """A change that has not happened yet, in words.

    `facts` are label and text (what, how many, from where to where, who else is touched), `warnings` what cannot be
    undone or needs care, `columns` and `rows` the diff, `command` the command line that does the same, `target` the
    name a production profile asks to be typed, `undo` how it is undone ("" when it cannot be).
    The strings hold text from elsewhere: they pass `console.text` where they are displayed.
    """

    kind: JobKind
    title: str
    facts: tuple[tuple[str, str], ...]
    command: str
    target: str
    warnings: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    undo: str = ""

    def typed(self, production: bool) -> bool:
        """Whether the target's name has to be typed: on a production profile, and before anything is deleted."""
        return production or self.kind == "purge"


_TIMES = frozenset({"at", "first_time", "last_time"})


def printed(plan: Any) -> Any:
    """A plan as the journal keeps it (or a part of one) with its times as RFC 3339: what JSON for others holds."""
    if isinstance(plan, dict):
        return {
            key: when(value) if key in _TIMES and isinstance(value, float) else printed(value)
            for key, value in plan.items()
        }
    return [printed(value) for value in plan] if isinstance(plan, list | tuple) else plan
