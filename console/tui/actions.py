"""The one registry of actions: key bindings, footer, help, `:` commands and the key table in the README all read it.

Actions that change something are not registered at all when the settings are read-only, and the demo's only when a
demo runs: a key that is not registered does nothing, stands in no footer and in no help.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from textual.binding import Binding

from console.tui.action import ALL, LISTS, Action, Section, on
from console.tui.actions_browse import BROWSE

OPENS_A_LINE: Final = frozenset({"filter", "command", "where"})
"""Actions after which keys are text until the line is closed."""


ACTIONS: Final[tuple[Action, ...]] = (
    Action("open", ("enter",), "open", "open what the cursor is on", "Move", LISTS, importance=100, by_widget=True),
    Action(
        "reset",
        ("r",),
        "reset",
        "move a group's committed offsets: a plan first, then a question",
        "Change",
        on("home", "group"),
        on("group", "partition", "member"),
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
        on("home", "queue", "dlqs", "dlq"),
        on("dlq", "dlt", "queue", "message", "cluster"),
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
        on("group", "topics", "topic", "browse"),
        on("partition", "topic", "dlt", "message"),
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
        on("queue", "dlqs", "dlq"),
        on("dlq", "queue", "message", "cluster"),
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
        on("jobs", "job"),
        on("job"),
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
        on("jobs", "job"),
        on("job"),
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
        on("jobs", "job"),
        on("job"),
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
        on("jobs", "job"),
        on("job"),
        mutating=True,
        importance=75,
        commands=("cancel",),
    ),
    Action(
        "verify",
        ("V",),
        "came back?",
        "look into the dead-letter queue for what a redrive sent and what failed again",
        "Look",
        on("jobs", "job"),
        on("job"),
        importance=79,
        commands=("verify",),
    ),
    Action(
        "browse",
        ("b", "p"),
        "browse",
        "read messages: the records of a topic, or a peek into a queue",
        "Look",
        on("home", "group", "topics", "topic", "queue", "dlqs"),
        on("group", "partition", "topic", "queue", "dlq", "dlt"),
        importance=70,
        commands=("browse",),
    ),
    *BROWSE,
    Action(
        "dead",
        ("d",),
        "dead letters",
        "the dead letters of this queue",
        "Look",
        on("home", "queue"),
        on("queue"),
        importance=55,
    ),
    Action(
        "filter",
        ("slash",),
        "filter",
        "show only lines that hold every word; !word leaves lines out",
        "Look",
        LISTS,
        importance=60,
    ),
    Action("sort", ("s",), "sort", "sort by the next column", "Look", LISTS, importance=50),
    Action("reverse", ("S",), "reverse", "turn the order round", "Look", LISTS),
    Action(
        "group",
        ("o",),
        "group by",
        "group failures by error, by source, by hour, or by the shape of their bodies",
        "Look",
        on("dlq"),
        importance=30,
        commands=("by",),
    ),
    Action(
        "mark",
        ("space",),
        "mark",
        "mark or unmark the line",
        "Look",
        on("dlq", "browse"),
        by_widget=True,
        importance=35,
    ),
    Action(
        "pane",
        ("tab",),
        "other side",
        "to the next part of the screen (shift+tab: back)",
        "Move",
        on("home", "group", "topic", "dlq", "messages", "browse"),
        importance=69,
    ),
    Action(
        "pane_back",
        ("shift+tab",),
        "other side",
        "to the part before",
        "Move",
        on("home", "group", "topic", "dlq", "messages", "browse"),
    ),
    Action("move", ("j", "k", "down", "up"), "move", "one line down or up", "Move", LISTS, by_widget=True),
    Action("ends", ("g", "G"), "ends", "to the first or the last line", "Move", LISTS, by_widget=True),
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
        on("messages", "browse"),
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
        "brokers",
        (),
        "brokers",
        "Kafka's brokers: what they lead, hold and lack",
        "Go to",
        commands=("brokers", "broker"),
    ),
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
        ALL - {"help"},
        importance=95,
        commands=("help",),
    ),
    Action(
        "back",
        ("escape",),
        "back",
        "clear the filter, close the detail, or go back",
        "Move",
        ALL,
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
