"""The questions before a replay is planned: which records, where to, how many, how fast, with which headers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.errors import UsageError
from console.model import Message
from console.ops.replay_edit import HeaderEdit, parse_edit
from console.text import plural, safe
from console.tui.browse_forms import parse_partitions
from console.tui.flows import confirm, number
from console.tui.form import Field, Form, Values
from console.tui.pane import Pane
from console.tui.wishes import ReplayWish

if TYPE_CHECKING:
    from console.tui.screens.base import ConsoleScreen


@dataclass(frozen=True, slots=True)
class Part:
    """Single records (`PARTITION/OFFSET`) that can be copied, and what they are in words."""

    words: str
    records: tuple[str, ...]


def parts_of(pane: Pane[Message]) -> tuple[Part, ...]:
    """What single records of a list can be copied: the marked ones, and with a filter those it shows."""

    def part(words: str, messages: Sequence[Message]) -> Part:
        return Part(words, tuple(f"{m.partition}/{m.offset}" for m in messages if m.offset is not None))

    found = []
    if marked := pane.marked():
        hidden = pane.marked_words.partition(",")[2]
        found.append(part(f"the {plural(len(marked), 'marked record')}{',' if hidden else ''}{hidden}", marked))
    if pane.filter_text and (shown := pane.grid.items):
        found.append(part(f"the {plural(len(shown), 'record')} shown, /{safe(pane.filter_text, 24)}", shown))
    return tuple(found)


def replay(
    screen: ConsoleScreen,
    topic: str,
    *,
    begin: str = "",
    where: str = "",
    partitions: Sequence[int] = (),
    parts: Sequence[Part] = (),
) -> None:
    """Ask how a topic's records should be copied, then plan it: one of the `parts`, or a range."""
    picture = screen.console.store.kafka
    topics = picture.snapshot.topics if picture is not None else ()
    there = next((len(t.partitions) for t in topics if t.name == topic), None)
    chosen = {f"part{index}": part for index, part in enumerate(parts)}
    which = [*((key, part.words) for key, part in chosen.items()), ("range", "a range")]
    fields = (
        Field("which", "which", tuple(which), wanted=lambda values: len(which) > 1),
        Field("to", "to", placeholder="a topic or a queue: orders-copy, sqs:jobs"),
        Field("begin", "from", value=begin, placeholder="earliest; or an offset, a time, 2h (back)", wanted=_of_range),
        Field("until", "until", placeholder="the end as it is now; or an offset, a time, 10m (back)", wanted=_of_range),
        Field("where", "where", value=where, placeholder="every record; or CEL: value.total > 100", wanted=_of_range),
        Field("limit", "at most", placeholder="all", wanted=_of_range),
        Field(
            "partitions",
            "partitions",
            value=",".join(map(str, partitions)),
            placeholder="all; or 0,2,5",
            wanted=_of_range,
        ),
        Field("rate", "rate", placeholder="records a second; as fast as it goes"),
        Field("headers", "headers", placeholder="as they are; or NAME=TEXT NAME:=CEL -NAME"),
    )

    def wish(values: Values) -> ReplayWish:
        limit = number(values["limit"]) if values["limit"] else None
        in_range = values["which"] == "range"
        return ReplayWish(
            to=values["to"],
            begin=values["begin"] if in_range else "",
            until=values["until"] if in_range else "",
            where=values["where"] if in_range else "",
            limit=int(limit) if limit is not None and in_range else None,
            rate=number(values["rate"]) if values["rate"] else None,
            records=() if in_range else chosen[values["which"]].records,
            headers=_words(values["headers"]),
            partitions=parse_partitions(values["partitions"], there) if in_range else (),
        )

    def check(values: Values) -> str:
        if not values["to"]:
            return "to: the topic (exactly once) or the queue (at least once) that gets the copies"
        for field in ("limit", "rate"):
            if values[field] and number(values[field]) is None:
                return f"{'at most' if field == 'limit' else 'rate'} is a number above 0, not {values[field]!r}"
        if values["limit"] and not (number(values["limit"]) or 0.5).is_integer():
            return "at most is a whole number of records"
        try:
            if _of_range(values):
                parse_partitions(values["partitions"], there)
            edit_of(_words(values["headers"]))
        except UsageError as error:
            return str(error)
        return _where_to(screen, values["to"])

    def explain(values: Values) -> str:
        part = chosen.get(values["which"])
        where = "" if not values["partitions"] else f" of partition {values['partitions']} alone"
        what = f"the range{where}, fixed when it is planned, is copied"
        if part is not None:
            what = f"exactly {part.words}: nothing else is copied"
        elif parts:
            what += ", also what is neither marked nor shown"
        return f"{what}; the source keeps everything. enter shows the plan, and who will see the copies"

    def answered(values: dict[str, str] | None) -> None:
        if values is not None:
            asked = wish(values)
            confirm(screen, lambda: screen.console.backend.plan_replay(f"kafka:{topic}", asked))

    screen.app.push_screen(Form(f"replay {safe(topic, 80)}", fields, check, explain), answered)


def _of_range(values: Values) -> bool:
    return values["which"] == "range"


def _where_to(screen: ConsoleScreen, typed: str) -> str:
    """What is wrong with a destination as far as the pictures at hand tell, "" when nothing is."""
    kafka, sqs = screen.console.store.kafka, screen.console.store.sqs
    side, colon, name = typed.partition(":")
    if not colon or side not in ("kafka", "sqs"):
        side, name = "", typed
    topics = {t.name for t in kafka.snapshot.topics} if kafka is not None else None
    queues = {row.name for row in sqs.rows} if sqs is not None else None
    on_kafka = topics is None or name in topics
    on_sqs = queues is not None and name in queues
    if side == "kafka" and not on_kafka:
        return f"there is no topic {name!r}: a replay makes none"
    if side == "sqs" and queues is not None and not on_sqs:
        return f"there is no queue {name!r}"
    if not side and not on_kafka and not on_sqs:
        return f"there is no topic and no queue {name!r}"
    if not side and topics is not None and on_kafka and on_sqs:
        return f"{name!r} is on both sides: say kafka:{name} or sqs:{name}"
    return ""


def _words(typed: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(typed))
    except ValueError:
        return (typed,)  # a quote that is not closed yet: `edit_of` says what it makes of it


def edit_of(words: Sequence[str]) -> HeaderEdit:
    """Header changes as typed: `NAME=TEXT`, `NAME:=CEL`, `-NAME`. Raises `UsageError` for anything else."""
    drop, texts, computed = [], [], []
    for word in words:
        name, sign, value = word.partition("=")
        if word.startswith("-") and not sign:
            drop.append(word[1:])
        elif sign and name.endswith(":"):
            computed.append(f"{name[:-1]}={value}")
        elif sign:
            texts.append(word)
        else:
            raise UsageError(f"headers: {word!r} is none of NAME=TEXT, NAME:=CEL, -NAME")
    return parse_edit(drop, texts, computed)
