"""One thing a person can do on the screens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Section = Literal["Move", "Look", "Change", "Go to", "Demo"]
Scope = Literal[
    "home", "group", "topics", "topic", "brokers", "queue", "dlqs", "dlq", "messages", "browse", "jobs", "job",
    "doctor", "help",
]  # fmt: skip

LISTS: Final = frozenset({"home", "group", "topics", "topic", "brokers", "dlqs", "dlq", "messages", "browse", "jobs"})
ALL: Final = frozenset(LISTS | {"queue", "job", "doctor", "help"})


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a person can do.

    `keys` are Textual's names; `scope` the screens it is offered on; `on` the kinds of thing that have to be under
    the cursor (empty: any); `importance` how long it stays in a narrow footer (0: never there); `commands` what `:`
    calls it; `by_widget` marks keys that the focused widget handles itself.
    """

    id: str
    keys: tuple[str, ...]
    label: str
    help: str
    section: Section
    scope: frozenset[str] = ALL
    on: frozenset[str] = frozenset()
    mutating: bool = False
    demo: bool = False
    importance: int = 0
    commands: tuple[str, ...] = ()
    by_widget: bool = False


def on(*kinds: str) -> frozenset[str]:
    """Screens or kinds of thing, as an `Action` takes them."""
    return frozenset(kinds)
