"""The one registry of actions: key bindings, footer, help, `:` commands and the key table in the README all read it.

Actions that change something are not registered at all when the settings are read-only, and the demo's only when a
demo runs: a key that is not registered does nothing, stands in no footer and in no help.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from textual.binding import Binding

Section = Literal["Move", "Look", "Change", "Go to", "Demo"]
Scope = Literal[
    "home", "group", "topics", "topic", "queue", "dlqs", "dlq", "messages", "browse", "jobs", "job", "doctor", "help"
]

_LISTS: Final = frozenset({"home", "group", "topics", "topic", "dlqs", "dlq", "messages", "browse", "jobs"})
_ALL: Final = frozenset(_LISTS | {"queue", "job", "doctor", "help"})


OPENS_A_LINE: Final = frozenset({"filter", "command", "where"})
"""Actions after which keys are text until the line is closed."""


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
    scope: frozenset[str] = _ALL
    on: frozenset[str] = frozenset()
    mutating: bool = False
    demo: bool = False
    importance: int = 0
    commands: tuple[str, ...] = ()
    by_widget: bool = False


def _on(*kinds: str) -> frozenset[str]:
    return frozenset(kinds)


ACTIONS: Final[tuple[Action, ...]] = (
    Action("open", ("enter",), "open", "open what the cursor is on", "Move", _LISTS, importance=100, by_widget=True),
    Action(
        "reset",
        ("r",),
        "reset",
        "move a group's committed offsets: a plan first, then a question",
        "Change",
        _on("home", "group"),
        _on("group", "partition", "member"),
        mutating=True,
        importance=90,
        commands=("reset",),
    ),
    Action(
        "redrive",
        ("R",),
        "redrive",
        "move dead letters back: a plan first, then a question",
        "Change",
        _on("home", "queue", "dlqs", "dlq"),
        _on("dlq", "dlt", "queue", "message", "cluster"),
        mutating=True,
        importance=88,
        commands=("redrive",),
    ),
    Action(
        "replay",
        ("R",),
        "replay",
        "copy a range of a topic, or the marked records, to another topic or a queue: a plan first, then a question",
        "Change",
        _on("group", "topics", "topic", "browse"),
        _on("partition", "topic", "dlt", "message"),
        mutating=True,
        importance=86,
        commands=("replay",),
    ),
    Action(
        "purge",
        ("X",),
        "purge",
        "empty a queue, saved first or by SQS itself: a plan first, then its name typed",
        "Change",
        _on("queue", "dlqs", "dlq"),
        _on("dlq", "queue", "message", "cluster"),
        mutating=True,
        importance=20,
        commands=("purge",),
    ),
    Action(
        "resume",
        ("r",),
        "resume",
        "finish a job that was interrupted",
        "Change",
        _on("jobs", "job"),
        _on("job"),
        mutating=True,
        importance=90,
        commands=("resume",),
    ),
    Action(
        "undo",
        ("u",),
        "undo",
        "undo a job where that is possible: a plan first, then a question",
        "Change",
        _on("jobs", "job"),
        _on("job"),
        mutating=True,
        importance=80,
        commands=("undo",),
    ),
    Action(
        "pause",
        ("p",),
        "pause",
        "let a running job rest at its next safe point; resume goes on",
        "Change",
        _on("jobs", "job"),
        _on("job"),
        mutating=True,
        importance=78,
        commands=("pause",),
    ),
    Action(
        "cancel",
        ("x",),
        "cancel job",
        "stop a running job at its next safe point",
        "Change",
        _on("jobs", "job"),
        _on("job"),
        mutating=True,
        importance=75,
        commands=("cancel",),
    ),
    Action(
        "browse",
        ("b", "p"),
        "browse",
        "read messages: the records of a topic, or a peek into a queue",
        "Look",
        _on("home", "group", "topics", "topic", "queue", "dlqs"),
        _on("group", "partition", "topic", "queue", "dlq", "dlt"),
        importance=70,
        commands=("browse",),
    ),
    Action(
        "where",
        ("e",),
        "where",
        "browse: only records for which a CEL expression holds, such as value.total > 100",
        "Look",
        _on("browse"),
        importance=84,
        commands=("where",),
    ),
    Action(
        "begin",
        ("o",),
        "from",
        "browse: begin elsewhere (earliest, an offset, a time, the last N), in some partitions",
        "Look",
        _on("browse"),
        importance=83,
        commands=("from",),
    ),
    Action(
        "older",
        ("left_square_bracket",),
        "older",
        "browse: the page of older records",
        "Look",
        _on("browse"),
        importance=82,
    ),
    Action(
        "newer",
        ("right_square_bracket",),
        "newer",
        "browse: the page of newer records",
        "Look",
        _on("browse"),
        importance=81,
    ),
    Action(
        "follow",
        ("f",),
        "follow",
        "browse: show what is written as it comes; the same key ends it",
        "Look",
        _on("browse"),
        importance=80,
        commands=("follow", "tail"),
    ),
    Action(
        "stop",
        ("x",),
        "stop",
        "browse: stop reading; what was found stays",
        "Look",
        _on("browse"),
        importance=91,
    ),
    Action(
        "export",
        ("E",),
        "export",
        "browse: write records to a file that replay reads again",
        "Look",
        _on("browse"),
        importance=66,
        commands=("export",),
    ),
    Action(
        "dead",
        ("d",),
        "dead letters",
        "the dead letters of this queue",
        "Look",
        _on("home", "queue"),
        _on("queue"),
        importance=55,
    ),
    Action(
        "filter",
        ("slash",),
        "filter",
        "show only lines that hold every word; !word leaves lines out",
        "Look",
        _LISTS,
        importance=60,
    ),
    Action("sort", ("s",), "sort", "sort by the next column", "Look", _LISTS, importance=50),
    Action("reverse", ("S",), "reverse", "turn the order round", "Look", _LISTS),
    Action(
        "group",
        ("o",),
        "group by",
        "group failures by error, by source, by hour, or by the shape of their bodies",
        "Look",
        _on("dlq"),
        importance=30,
        commands=("by",),
    ),
    Action(
        "mark",
        ("space",),
        "mark",
        "mark or unmark the line",
        "Look",
        _on("dlq", "browse"),
        by_widget=True,
        importance=35,
    ),
    Action(
        "pane",
        ("tab",),
        "other side",
        "to the next part of the screen (shift+tab: back)",
        "Move",
        _on("home", "group", "topic", "dlq", "messages", "browse"),
        importance=69,
    ),
    Action(
        "pane_back",
        ("shift+tab",),
        "other side",
        "to the part before",
        "Move",
        _on("home", "group", "topic", "dlq", "messages", "browse"),
    ),
    Action("move", ("j", "k", "down", "up"), "move", "one line down or up", "Move", _LISTS, by_widget=True),
    Action("ends", ("g", "G"), "ends", "to the first or the last line", "Move", _LISTS, by_widget=True),
    Action(
        "fix",
        ("F",),
        "deploy the fix",
        "demo: deploy the fix, so that a redrive succeeds",
        "Demo",
        demo=True,
        importance=65,
        commands=("fix",),
    ),
    Action(
        "break",
        ("B",),
        "break it",
        "demo: deploy the bug again, so that a redrive bounces",
        "Demo",
        demo=True,
        importance=64,
        commands=("break",),
    ),
    Action("refresh", ("ctrl+r",), "refresh", "look again now", "Look"),
    Action("copy", ("y",), "copy", "copy the name or the message under the cursor", "Look", importance=15),
    Action(
        "copy_whole",
        ("Y",),
        "copy whole",
        "copy the message under the cursor with key, headers and all, as a line of JSON",
        "Look",
        _on("messages", "browse"),
    ),
    Action(
        "command_line",
        ("c",),
        "command line",
        "show and copy the command line that shows or does the same as this screen",
        "Look",
        importance=18,
    ),
    Action("theme", ("t",), "theme", "the next theme: dark, light, clear", "Look", commands=("theme",)),
    Action(
        "command",
        ("colon",),
        "command",
        "go somewhere by name: :group billing, :dlq, :jobs",
        "Go to",
        importance=62,
    ),
    Action("home", (), "home", "both sides, the worst first", "Go to", commands=("home",)),
    Action(
        "groups", (), "groups", "Kafka's consumer groups, or one by name", "Go to", commands=("groups", "group", "g")
    ),
    Action("queues", (), "queues", "SQS queues, or one by name", "Go to", commands=("queues", "queue")),
    Action("topics", ("T",), "topics", "Kafka's topics, or one by name", "Go to", commands=("topics", "topic")),
    Action(
        "dlqs",
        ("D",),
        "all dead letters",
        "every dead-letter queue and topic, or one by name",
        "Go to",
        commands=("dlq", "dlqs"),
    ),
    Action("jobs", ("J",), "jobs", "what was changed: resume, undo, receipts", "Go to", commands=("jobs", "job")),
    Action("doctor", (), "doctor", "what can be reached and what is allowed", "Go to", commands=("doctor",)),
    Action(
        "help",
        ("question_mark",),
        "help",
        "the keys of this screen",
        "Go to",
        _ALL - {"help"},
        importance=95,
        commands=("help",),
    ),
    Action(
        "back",
        ("escape",),
        "back",
        "clear the filter, close the detail, or go back",
        "Move",
        _ALL,
        importance=96,
    ),
    Action("quit", ("q",), "quit", "leave", "Go to", importance=94, commands=("quit", "q", "q!", "exit")),
)
"""Every action there is, in the order help lists them."""

_SHOWN: Final = {
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "escape": "esc",
    "exclamation_mark": "!",
    "up": "↑",
    "down": "↓",
}


def shown(key: str) -> str:
    """A key as people write it: "/" for "slash", "esc" for "escape"."""
    return _SHOWN.get(key, key)


@dataclass(frozen=True, slots=True)
class Registry:
    """The actions of this run."""

    actions: tuple[Action, ...]

    def on_screen(self, scope: str) -> tuple[Action, ...]:
        """The actions offered on a screen."""
        return tuple(action for action in self.actions if scope in action.scope)

    def get(self, action: str) -> Action | None:
        """The action of that id, None when it is not registered."""
        return next((a for a in self.actions if a.id == action), None)

    def bindings(self, scope: str) -> tuple[Binding, ...]:
        """Key bindings for a screen; each runs the screen's `press` action with the action's id."""
        return tuple(
            # What opens a line goes before the focused widget: keys typed right behind it must not reach the list.
            Binding(key, f"press('{action.id}')", action.label, show=False, priority=action.id in OPENS_A_LINE)
            for action in self.on_screen(scope)
            if not action.by_widget
            for key in action.keys
        )

    def footer(self, scope: str, kind: str | None = None) -> tuple[Action, ...]:
        """What the footer offers, in its order: only what acts on the kind of thing under the cursor."""
        fitting = [
            action
            for action in self.on_screen(scope)
            if action.importance and action.keys and (not action.on or kind in action.on)
        ]
        return tuple(fitting)

    def command(self, name: str) -> Action | None:
        """The action a `:` name stands for: a whole name first, else the only one that begins so; None when unclear."""
        for action in self.actions:
            if name in action.commands:
                return action
        close = {a.id: a for a in self.actions for command in a.commands if command.startswith(name)} if name else {}
        return next(iter(close.values())) if len(close) == 1 else None

    def command_names(self) -> tuple[str, ...]:
        """Every `:` name, sorted."""
        return tuple(sorted(name for action in self.actions for name in action.commands))


def registry(read_only: bool = False, demo: bool = False) -> Registry:
    """The actions of a run: without those that change something when read-only, without the demo's outside it."""
    return Registry(tuple(a for a in ACTIONS if not (a.mutating and read_only) and (demo or not a.demo)))


def by_section(actions: Iterable[Action]) -> tuple[tuple[Section, tuple[Action, ...]], ...]:
    """Actions under their headings, for help."""
    found = tuple(actions)
    order: tuple[Section, ...] = ("Move", "Look", "Change", "Go to", "Demo")
    return tuple((section, group) for section in order if (group := tuple(a for a in found if a.section == section)))


def key_table() -> str:
    """The key table of the README, in Markdown, one row an action."""
    lines = ["| key | `:` | what it does |", "| --- | --- | --- |"]
    for _, actions in by_section(ACTIONS):
        for action in actions:
            keys = " ".join(f"`{shown(key)}`" for key in action.keys)
            names = " ".join(f"`:{name}`" for name in action.commands)
            note = " (not in read-only mode)" if action.mutating else " (only in `logq demo`)" if action.demo else ""
            lines.append(f"| {keys} | {names} | {action.help.removeprefix('demo: ')}{note} |")
    return "\n".join(lines) + "\n"
