"""Browsing page by page: a window on a topic that grows towards older or newer records, and what it has looked at.

A window is whole between its edges: every record there that the filter selects is in it. Nothing joins a group.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from console.errors import Failed, UsageError
from console.model import Message, Problem
from console.ops.browse import Browse, browse
from console.ops.browse_range import Edges, Position, Scanned, parse_position
from console.ops.lines import write_line
from console.text import count, plural

if TYPE_CHECKING:
    from console.ops.session import Session

SIZE = 200
"""How many records a page holds."""

MOST, MOST_BYTES = 5_000, 64 * 1024 * 1024
"""What a window holds at most; then it begins anew with the page that came last."""

FOLLOWED = 2_000
"""How many records of a follow are kept, the newest."""

_NAMED = 3

Toward = Literal["first", "older", "newer"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to browse: `start` is "last" (the newest) or what `parse_position` takes, `partitions` some of them (empty:
    all), `where` a CEL filter."""

    topic: str
    start: str = "last"
    partitions: tuple[int, ...] = ()
    where: str | None = None
    size: int = SIZE

    @property
    def words(self) -> tuple[str, ...]:
        """The words after `logq` that show the same."""
        begin = ("--last", str(self.size)) if self.start == "last" else ("--from", self.start)
        only = tuple(word for p in self.partitions for word in ("--partition", str(p)))
        return ("topic", "browse", self.topic, *begin, *only, *(("--where", self.where) if self.where else ()))

    @property
    def spoken(self) -> str:
        """The wish in a few words for a heading."""
        begin = f"the last {self.size:,}" if self.start == "last" else f"from {self.start}"
        only = f", partition {', '.join(map(str, self.partitions))}" if self.partitions else ""
        return f"{begin}{only}" + (f", where {self.where}" if self.where else "")


class Reading(Protocol):
    """A page that is being read (a `Browse`): how far it is."""

    @property
    def records(self) -> int:
        """Records looked at so far."""

    @property
    def offsets(self) -> int:
        """Offsets in the range, the most there can be to look at."""

    @property
    def settled(self) -> tuple[Message, ...]:
        """What was found so far."""


@dataclass(frozen=True, slots=True)
class Window:
    """Records of a topic by time, the newest last, with what was looked at for them.

    `held` is the range of offsets of each partition when it was last looked at, `records` how many were scanned,
    `stopped` why the last page ended early ("" when it did not).
    """

    messages: tuple[Message, ...]
    edges: Edges
    held: Mapping[int, tuple[int, int]]
    records: int
    stopped: str = ""
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def at_start(self) -> bool:
        """Whether nothing older is held."""
        return all(self.edges.older.get(p, start) <= start for p, (start, _) in self.held.items())

    @property
    def at_end(self) -> bool:
        """Whether nothing newer was held when it was last looked."""
        return all(self.edges.newer.get(p, stop) >= stop for p, (_, stop) in self.held.items())

    @property
    def whole(self) -> bool:
        """Whether all that is held was looked at."""
        return self.at_start and self.at_end and not self.problems

    @property
    def parts(self) -> tuple[str, ...]:
        """What to say of it, part by part: how much was scanned, which offsets, and whether that was the whole."""
        everything = sum(stop - start for start, stop in self.held.values())
        looked = {p: (a, b) for p, a in self.edges.older.items() if (b := self.edges.newer.get(p, a)) > a}
        named = ", ".join(f"p{p} {a:,}–{b - 1:,}" for p, (a, b) in sorted(looked.items())[:_NAMED])
        if len(looked) > _NAMED:
            named += f" and {plural(len(looked) - _NAMED, 'partition')} more"
        parts = [f"{count(len(self.messages))} of {plural(self.records, 'record')} scanned"]
        parts.append(f"offsets {named}" if named else "nothing to scan")
        if self.whole:
            parts.append("the whole")
        else:
            parts.append(f"not the whole: {count(everything)} offsets are held")
            left = [] if self.at_start else ["older"]
            left += [] if self.at_end else ["newer"]
            parts += [f"{' and '.join(left)} not looked at"] if left else []
        parts += [self.stopped] if self.stopped else []
        return (*parts, *self.notes, *(f"{p.where}: {p.message}" for p in self.problems[:1]))


def page(
    session: Session,
    wish: Wish,
    toward: Toward = "first",
    before: Window | None = None,
    cancel: threading.Event | None = None,
    on_open: Callable[[Reading], None] = lambda reading: None,
) -> Window:
    """Read one page and put it to the window `before`: the first one, or the one beyond an edge. Blocks.

    `on_open` gets the reading when it begins, to be asked how far it is. Raises as `browse`.
    """
    if toward == "first" or before is None:
        start = None if wish.start == "last" else parse_position(wish.start, time.time())
        last, limit = (wish.size, None) if start is None else (None, wish.size)
        reading = browse(
            session, wish.topic, start=start, partitions=wish.partitions, where=wish.where, last=last, limit=limit
        )
        return _read(reading, cancel, on_open)
    only = tuple(before.held)
    if toward == "older":
        reading = browse(session, wish.topic, end=before.edges.older, partitions=only, where=wish.where, last=wish.size)
    else:
        reading = browse(
            session, wish.topic, start=before.edges.newer, partitions=only, where=wish.where, limit=wish.size
        )
    return joined(before, _read(reading, cancel, on_open), toward)


def _read(reading: Browse, cancel: threading.Event | None, on_open: Callable[[Reading], None]) -> Window:
    on_open(reading)
    found: list[Message] = []
    for message in reading.messages(cancel):
        found.append(message)
        reading.settled = tuple(found)
    scanned: Scanned = reading.scanned()
    edges = reading.edges
    between = sum(max(0, edges.newer.get(p, at) - at) for p, at in edges.older.items())
    return Window(
        tuple(sorted(found, key=order)),
        edges,
        {p.partition: (p.start, p.stop) for p in scanned.partitions},
        # What was read beyond the edges is read again by the page that comes then.
        min(scanned.records, between),
        scanned.stopped if cancel is not None and cancel.is_set() else "",
        scanned.notes,
        scanned.problems,
    )


def joined(before: Window, found: Window, toward: Toward) -> Window:
    """A window and the page beyond one of its edges as one window; only the page when both would be too much."""
    edges = Edges(
        {**before.edges.older, **found.edges.older} if toward == "older" else before.edges.older,
        {**before.edges.newer, **found.edges.newer} if toward == "newer" else before.edges.newer,
    )
    held = {**before.held, **found.held}
    # A partition that could not be read at first is in none of the pages; silence is over when the next page has come.
    lasting = [p for p in before.problems if p.code != "TIMEOUT" and p not in found.problems]
    found = replace(found, problems=(*lasting, *found.problems))
    together = {m.id: m for m in (*before.messages, *found.messages)}
    size = sum(len(m.value or b"") + len(m.key or b"") for m in together.values())
    if len(together) > MOST or size > MOST_BYTES:
        edges = Edges(found.edges.older, before.edges.older) if toward == "older" else edges
        edges = Edges(before.edges.newer, found.edges.newer) if toward == "newer" else edges
        return replace(found, edges=edges, held=held)
    return replace(
        found,
        messages=tuple(sorted(together.values(), key=order)),
        edges=edges,
        held=held,
        records=before.records + found.records,
    )


def order(message: Message) -> tuple[float, int, int]:
    """By time, then partition, then offset."""
    return (message.timestamp or 0.0, message.partition or 0, message.offset or 0)


OnBatch = Callable[[list[Message], int, Mapping[int, int]], None]
"""What came (perhaps nothing), how many records were looked at so far, and up to which offset of each partition."""


def follow(session: Session, wish: Wish, before: Window, cancel: threading.Event, on_batch: OnBatch) -> None:
    """What comes from the window's newer edge on, until `cancel`; `on_batch` gets it as it comes. Blocks."""
    reading = browse(
        session,
        wish.topic,
        start=before.edges.newer,
        end=before.edges.newer,
        partitions=tuple(before.held),
        where=wish.where,
    )
    for batch in reading.batches(cancel, from_begin=True):
        on_batch(batch, reading.records, reading.position)


def followed(before: Window, came: Iterable[Message], newer: Mapping[int, int]) -> Window:
    """A window with what came behind it, up to the offsets `newer`; the oldest fall out when there are too many."""
    together = sorted({m.id: m for m in (*before.messages, *came)}.values(), key=order)
    dropped = together[: max(0, len(together) - FOLLOWED)]
    older = dict(before.edges.older)
    for m in dropped:
        if m.partition is not None and m.offset is not None:
            older[m.partition] = max(older.get(m.partition, 0), m.offset + 1)
    reached = {**before.edges.newer, **newer}
    held = {p: (start, max(stop, reached.get(p, stop))) for p, (start, stop) in before.held.items()}
    return replace(
        before,
        messages=tuple(together[len(dropped) :]),
        edges=Edges(older, reached),
        held=held,
        stopped="",
    )


def export(
    session: Session,
    wish: Wish,
    path: str,
    cancel: threading.Event | None = None,
    on_open: Callable[[Reading], None] = lambda reading: None,
) -> tuple[int, Scanned]:
    """Write everything a wish selects, from its start (the earliest when it is "last") to the end as it is now.

    Returns how many were written, and what was scanned. Raises as `write_file`; a stopped export leaves no file.
    """
    start = Position("earliest") if wish.start == "last" else parse_position(wish.start, time.time())
    reading = browse(session, wish.topic, start=start, partitions=wish.partitions, where=wish.where)
    on_open(reading)

    def all_of_it() -> Iterator[Message]:
        yield from reading.messages(cancel)
        if cancel is not None and cancel.is_set():
            raise Failed("stopped: nothing was written")
        if problems := reading.scanned().problems:
            raise Failed(f"not all could be read ({problems[0].message}): nothing was written")

    return write_file(path, all_of_it()), reading.scanned()


def write_file(path: str, messages: Iterable[Message]) -> int:
    """Write messages as lines that `replay` reads again; the file is its user's alone and appears when it is whole.

    Returns how many. Raises `UsageError` for a file that exists, `Failed` when it cannot be written.
    """
    target = Path(path).expanduser()
    part = target.with_name(f".{target.name}.part")
    written = 0
    try:
        if target.exists():
            raise UsageError(f"{path} exists already: name another file")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            for message in messages:
                file.write(write_line(message))
                written += 1
        part.rename(target)
    except OSError as error:
        raise Failed(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            part.unlink()
    return written
