"""What a browse asks for: where to begin, in which partitions, which records; and where to write an export."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from console.errors import UsageError
from console.ops.browse_pages import SIZE, Wish
from console.ops.browse_range import parse_position
from console.text import count, safe
from console.tui.form import Field, Form, Values

if TYPE_CHECKING:
    from console.tui.screens.base import ConsoleScreen

MOST_SIZE = 2_000

_KINDS = (
    ("last", "last"), ("earliest", "earliest"), ("latest", "latest"), ("offset", "offset"), ("time", "time"),
    ("ago", "ago"),
)  # fmt: skip
_WORDS = {
    "last": "the newest records over the partitions, by time",
    "earliest": "the oldest records each partition still holds",
    "latest": "the end of the log: follow (f) shows what comes",
    "offset": "from this offset in every partition, for example 18204",
    "time": "the first records at or after a time such as 2026-11-23T14:00 (UTC unless it says otherwise)",
    "ago": "from so long ago on: 30m, 2h, 1d",
}


def ask_wish(screen: ConsoleScreen, wish: Wish, partitions: int | None, then: Callable[[Wish], None]) -> None:
    """Ask where to begin. `partitions` is how many the topic has, None when that is not known."""
    kind, value = _kind_of(wish.start)
    fields = (
        Field("kind", "from", _KINDS, kind),
        Field("value", "", value=value, wanted=lambda values: values["kind"] in ("offset", "time", "ago")),
        Field("partitions", "partitions", value=",".join(map(str, wish.partitions)), placeholder="all; or 0,2,5"),
        Field("where", "where", value=wish.where or "", placeholder="every record; or CEL: value.total > 100"),
        Field("size", "page", value=f"{wish.size}", placeholder=f"{SIZE} records"),
    )

    def made(values: Values) -> Wish:
        start = values["kind"]
        if start in ("offset", "time"):
            start = values["value"]
        elif start == "ago":
            start = f"{values['value']}-ago"
        if start != "last":
            position = parse_position(start, time.time())
            if values["kind"] != "ago" and position.kind != values["kind"]:
                raise UsageError(f"{values['value']!r} is no {values['kind']}: {_WORDS[values['kind']]}")
        chosen = parse_partitions(values["partitions"], partitions)
        size = values["size"] or str(SIZE)
        if not (size.isascii() and size.isdigit() and 1 <= int(size) <= MOST_SIZE):
            raise UsageError(f"a page holds 1 to {MOST_SIZE:,} records, not {size!r}")
        return Wish(wish.topic, start, chosen, values["where"] or None, int(size))

    def check(values: Values) -> str:
        if values["kind"] in ("offset", "time", "ago") and not values["value"]:
            return _WORDS[values["kind"]]
        try:
            made(values)
        except UsageError as error:
            return str(error)
        return ""

    def explain(values: Values) -> str:
        return _WORDS[values["kind"]] + ". enter reads; no group is joined"

    def answered(values: dict[str, str] | None) -> None:
        if values is not None:
            then(made(values))

    screen.app.push_screen(Form(f"browse {safe(wish.topic, 80)}", fields, check, explain, go="Read"), answered)


def _kind_of(start: str) -> tuple[str, str]:
    if start in ("last", "earliest", "latest"):
        return start, ""
    if start.endswith("-ago"):
        return "ago", start.removesuffix("-ago")
    return ("offset" if start.isdigit() else "time"), start


def parse_partitions(typed: str, there: int | None) -> tuple[int, ...]:
    """Partitions as typed ("0,2 5", "" or "all" for all of them). Raises `UsageError` for others than `there` are."""
    if typed in ("", "all"):
        return ()
    words = typed.replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise UsageError(f"partitions are numbers such as 0,2,5, or all, not {typed!r}")
    found = tuple(sorted({int(word) for word in words}))
    if there is not None and found[-1] >= there:
        raise UsageError(f"there is no partition {found[-1]}: there are {there}, from 0 on")
    return found


def ask_export(screen: ConsoleScreen, wish: Wish, shown: int, marked: str, then: Callable[[str, str], None]) -> None:
    """Ask what to write (`marked`, `shown` or `all`) and to which file; `then` gets both. `marked` are the marks in
    words, "" without any.
    """
    options = [("shown", f"the {count(shown)} shown")] if shown else []
    options = [("marked", f"the {marked}"), *options] if marked else options
    whole = replace(wish, start="earliest") if wish.start in ("last", "latest") else wish
    options.append(("all", "everything " + whole.spoken))
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in wish.topic)[:100]
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    fields = (
        Field("what", "what", tuple(options)),
        Field("path", "file", value=f"{name}-{stamp}.jsonl"),
    )

    def check(values: Values) -> str:
        return "" if values["path"] else "the name of a new file, for example orders.jsonl"

    def explain(values: Values) -> str:
        return "one JSON object a line, every byte kept; logq replay FILE.jsonl --to TARGET reads it again"

    def answered(values: dict[str, str] | None) -> None:
        if values is not None:
            then(values["what"], values["path"])

    screen.app.push_screen(Form(f"export {safe(wish.topic, 80)}", fields, check, explain, go="Write"), answered)
