"""The questions of an offset reset: where to, of which partitions, and whether to wait until the group is empty."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from console.errors import UsageError
from console.model import Group, GroupPartition
from console.ops.offsets import parse_selection, parse_strategy
from console.text import plural, safe
from console.tui import flows
from console.tui.form import Field, Form, Values
from console.tui.wishes import ResetWish

if TYPE_CHECKING:
    from console.tui.screens.base import ConsoleScreen

_KINDS = (
    ("earliest", "earliest"),
    ("latest", "latest"),
    ("offset", "offset"),
    ("shift", "shift"),
    ("datetime", "time"),
    ("duration", "ago"),
    ("current", "same"),
    ("from-file", "file"),
)
_WORDS = {
    "earliest": "the earliest record each partition still holds: everything is read again",
    "latest": "the end of the log: what is behind is skipped, not read",
    "current": "the same offsets committed again, so that they do not expire; without a commit: the end",
}
_EXAMPLES = {
    "offset": "an offset, for example 18204: every partition goes there, within what its log holds",
    "shift": "how many records back (-500) or on (500)",
    "datetime": "a time such as 2026-11-23T14:00 (UTC unless it says otherwise): the first record at or after it",
    "duration": "how far back from now: 30m, 2h, 1d",
    "from-file": "a file of topic,partition,offset, as Kafka's own tool and logq export it",
}
_NOW, _EMPTY = "now", "empty"


def reset(
    screen: ConsoleScreen,
    group: str,
    partition: GroupPartition | None = None,
    seen: Group | None = None,
) -> None:
    """Ask where a group's offsets should go, then plan it. `seen` is the group as it was looked at last."""
    known = seen or screen.console.store.group(group)
    members = (known.members or ()) if known is not None else ()
    which = [("all", "all topics")]
    if partition is not None:
        which += [("topic", partition.topic), ("partition", f"{partition.topic}:{partition.partition}")]
    which.append(("some", "these …"))
    when = [(_NOW, "now"), (_EMPTY, "once it has no members")]
    fields = (
        Field("kind", "to", _KINDS),
        Field("value", "value", wanted=lambda values: values["kind"] in _EXAMPLES),
        Field("which", "which", tuple(which)),
        Field("some", "topics", placeholder="orders payments:0,3", wanted=lambda values: values["which"] == "some"),
        Field("when", "when", tuple(when), _EMPTY if members else _NOW),
    )

    def wish(values: Values) -> ResetWish:
        selection: tuple[tuple[str, tuple[int, ...] | None], ...] = ()
        if values["which"] == "some":
            selection = tuple(parse_selection(word) for word in values["some"].split())
        elif partition is not None and values["which"] != "all":
            one = (partition.partition,) if values["which"] == "partition" else None
            selection = ((partition.topic, one),)
        kind = values["kind"]
        value = values["value"] if kind in _EXAMPLES else ""
        return ResetWish(kind, value, selection, armed=values["when"] == _EMPTY)

    def check(values: Values) -> str:
        kind, value = values["kind"], values["value"]
        if kind in _EXAMPLES and not value:
            return _EXAMPLES[kind]
        if values["which"] == "some" and not values["some"]:
            return "topics or some of their partitions, a space between: orders payments:0,3"
        try:
            wish(values)
            if kind != "from-file":  # the file is read when the plan is made, off the screen's thread
                parse_strategy(kind, value, time.time())
        except UsageError as error:
            return str(error)
        return ""

    def explain(values: Values) -> str:
        kind = values["kind"]
        words = _WORDS.get(kind) or (
            f"to the offsets of {values['value']}"
            if kind == "from-file"
            else parse_strategy(kind, values["value"], time.time()).words
        )
        if values["when"] == _EMPTY:
            have = f"{plural(len(members), 'member')} now" if members else "no members now"
            return f"{words}; armed: nothing is changed before the group is empty ({have}). enter shows the plan"
        if members:
            return f"{words}; it has {plural(len(members), 'member')}: applying now is refused. enter shows the plan"
        return f"{words}. enter shows the plan"

    def answered(values: dict[str, str] | None) -> None:
        if values is not None:
            asked = wish(values)
            flows.confirm(screen, lambda: screen.console.backend.plan_reset(group, asked))

    screen.app.push_screen(Form(f"reset group {safe(group, 80)}", fields, check, explain), answered)
