"""Browsing a topic: from where to where, which records, and what was looked at in the end.

The ranges are fixed when the browse begins. No group is joined and nothing is committed. What a browse found is only
worth something with what it looked at: `Scanned` says the range and whether that was the whole of what was asked for.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from console.config import KafkaSettings
from console.errors import LogqError, NotFound, Unreachable, UsageError
from console.model import Message, Problem, Topic
from console.ops.browse_filter import RecordWhere
from console.ops.times import parse_datetime, parse_duration, spoken
from console.text import count, plural

if TYPE_CHECKING:
    from console.kafka.browse import Scan
    from console.ops.session import Session

LAST = 20
"""How many records `browse` shows when nothing says from where."""

PAGE = 1_000
"""How many records a table or one JSON object holds at most unless a limit says otherwise; streams have no such end."""

_STEP = 2_000  # how far back a partition is looked at first when a filter looks for the last matches
_WIDER = 4
_AGO = re.compile(r"(.+?)[- ]ago", re.IGNORECASE)
_NAMED = 4


@dataclass(frozen=True, slots=True)
class Position:
    """A place in every partition: an end of the log, an offset, or the first record at or after a time."""

    kind: Literal["earliest", "latest", "offset", "time"]
    value: float = 0.0

    @property
    def words(self) -> str:
        """The position for people."""
        if self.kind == "offset":
            return f"offset {count(self.value)}"
        return spoken(self.value) if self.kind == "time" else self.kind


def parse_position(text: str, now: float) -> Position:
    """`earliest`, `latest`, an offset, a time (UTC without a zone), or a duration with `-ago` ("15m-ago").

    Raises `UsageError` with examples for anything else.
    """
    typed = text.strip()
    if typed in ("earliest", "latest"):
        return Position("earliest" if typed == "earliest" else "latest")
    if typed.isascii() and typed.isdigit():
        if len(typed) > 19:
            raise UsageError(f"{text!r} is beyond every offset")
        return Position("offset", int(typed))
    ago = _AGO.fullmatch(typed)
    if ago:
        return Position("time", max(0.0, now - parse_duration(ago[1])))
    try:
        return Position("time", parse_datetime(typed))
    except UsageError:
        raise UsageError(
            f"{text!r} is no position; it is earliest, latest, an offset, a time (2026-11-23T14:22:07Z) or 15m-ago"
        ) from None


@dataclass(frozen=True, slots=True)
class Reach:
    """One partition of a browse. `begin` and `end` are the range asked for, [begin, end); the log holds [start, stop).

    `reached` is the range that was looked at, [first, next); empty when nothing was.
    """

    partition: int
    start: int
    stop: int
    begin: int
    end: int
    reached: tuple[int, int] = (0, 0)

    @property
    def whole(self) -> bool:
        """Whether all that was asked for was looked at."""
        return self.begin >= self.end or (self.reached[0] <= self.begin and self.reached[1] >= self.end)


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a browse looked at: `records` is how many, `whole` whether it was all of the range asked for.

    `stopped` says why it ended before ("" when it did not).
    """

    topic: str
    records: int
    found: int
    partitions: tuple[Reach, ...]
    whole: bool
    stopped: str = ""
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def words(self) -> str:
        """One line for people: how much was found in which range, and whether that was the whole."""
        looked = [p for p in self.partitions if p.reached[0] < p.reached[1]]
        ranges = ", ".join(f"p{p.partition} [{count(p.reached[0])}, {count(p.reached[1])})" for p in looked[:_NAMED])
        if len(looked) > _NAMED:
            ranges += f" and {plural(len(looked) - _NAMED, 'more partition')}"
        parts = [f"{count(self.found)} of {plural(self.records, 'record')} scanned"]
        parts.append(ranges or "nothing to scan")
        parts.append(self._extent())
        parts += self.notes
        return "; ".join([*parts, "no group joined"])

    def _extent(self) -> str:
        all_of_it = all(p.begin <= p.start and p.end >= p.stop for p in self.partitions)
        if self.whole:
            return "the whole topic" if all_of_it and self.partitions else "the whole of the range asked for"
        held = sum(p.end - p.begin for p in self.partitions)
        return f"not the whole: {count(held)} offsets in the range" + (f"; {self.stopped}" if self.stopped else "")


class Browse:
    """One browse of one topic: made by `browse`; iterate `messages` once, then ask `scanned`, then perhaps `follow`."""

    def __init__(
        self,
        settings: KafkaSettings,
        seen: Topic,
        reaches: Collection[Reach],
        problems: Collection[Problem],
        *,
        where: RecordWhere | None,
        last: int | None,
        limit: int | None,
        patience: float,
        held_back: int,
    ) -> None:
        self._settings = settings
        self._topic = seen.name
        self._reaches = {r.partition: r for r in reaches}
        self._problems = list(problems)
        self._where = where
        self._last = last
        self._limit = limit
        self._patience = patience
        self._held_back = held_back
        self._looked: dict[int, tuple[int, int]] = {}
        self._records = self._found = 0
        self._stopped = ""
        self._older = False
        self._scan: Scan | None = None

    @property
    def records(self) -> int:
        """How many records have been looked at so far."""
        return self._records + (self._scan.scanned if self._scan is not None else 0)

    def messages(self, cancel: threading.Event | None = None) -> Iterator[Message]:
        """The records asked for, merged by time. Ends early at the limit, at `cancel`, or when a broker is silent."""
        found = self._from_the_end(cancel) if self._last is not None else self._forward(cancel)
        for message in found:
            self._found += 1
            yield message

    def follow(self, cancel: threading.Event | None = None) -> Iterator[Message]:
        """What is written from the end of this browse on, as it comes, until `cancel`."""
        scan = self._begin({p: (r.stop, None) for p, r in self._reaches.items()})
        for batch in scan.batches(None, None, cancel):
            self._found += len(batch)
            yield from sorted(batch, key=_order)

    def scanned(self) -> Scanned:
        """What has been looked at so far."""
        reaches = tuple(
            Reach(r.partition, r.start, r.stop, r.begin, r.end, self._looked.get(r.partition, (r.begin, r.begin)))
            for _, r in sorted(self._reaches.items())
        )
        notes = [self._where.note] if self._where is not None and self._where.note else []
        if self._held_back:
            notes.append(f"{plural(self._held_back, 'offset')} behind open transactions not read")
        whole = all(r.whole for r in reaches) and not self._problems and not self._older
        stopped = self._stopped
        if not stopped and self._older and self._where is not None:
            stopped = f"older ones match too: these are the last {count(self._found)}"
        return Scanned(
            self._topic,
            self.records,
            self._found,
            reaches,
            whole,
            stopped,
            tuple(notes),
            tuple(self._problems),
        )

    # ------------------------------------------------------------ forward

    def _begin(self, ranges: dict[int, tuple[int, int | None]]) -> Scan:
        from console.kafka.browse import Scan

        self._records = self.records
        self._scan = Scan(self._settings, self._topic, ranges, self._where)
        return self._scan

    def _forward(self, cancel: threading.Event | None) -> Iterator[Message]:
        scan = self._begin({p: (r.begin, r.end) for p, r in self._reaches.items()})
        shown = 0
        try:
            for message in scan.merged(None, self._patience, cancel):
                shown += 1
                yield message
                if shown == self._limit:
                    break
        finally:
            for p, reached in scan.shown.items():
                self._looked[p] = (self._reaches[p].begin, reached)
        if shown == self._limit:
            self._stopped = f"stopped at the limit of {count(shown)}"
        else:
            self._ended(scan, cancel)

    def _ended(self, scan: Scan, cancel: threading.Event | None) -> None:
        if cancel is not None and cancel.is_set():
            self._stopped = "stopped"
        elif scan.open:
            silent = ", ".join(map(str, sorted(scan.open)[:_NAMED]))
            why = f"nothing came from partition {silent} for {self._patience:g} s: {scan.why()}"
            if not self.records:
                raise Unreachable(f"reading {self._topic} stopped: {why}")
            self._stopped = why
            self._problems.append(Problem(f"topic {self._topic}", "TIMEOUT", why))

    # ------------------------------------------------------------ backward

    def _from_the_end(self, cancel: threading.Event | None) -> Iterator[Message]:
        """The newest matches: backwards in growing steps, until no older record of any partition can be among them."""
        last = self._last or 0
        step = last if self._where is None else max(last, _STEP)
        low = {p: r.end for p, r in self._reaches.items()}
        oldest: dict[int, float] = {}
        matches: list[Message] = []
        while True:
            newest = matches = self._newest(matches)
            # Older than this nothing can be among the last.
            edge = (newest[0].timestamp or 0.0) if len(newest) == last else None
            ranges: dict[int, tuple[int, int | None]] = {
                p: (max(r.begin, low[p] - step), low[p])
                for p, r in self._reaches.items()
                if low[p] > r.begin and (edge is None or oldest.get(p, edge) >= edge)
            }
            per_partition = {p: sum(m.partition == p for m in newest) for p in ranges}
            ranges = {p: r for p, r in ranges.items() if per_partition[p] < last}
            if not ranges:
                break
            scan = self._begin(ranges)
            for batch in scan.batches(None, self._patience, cancel):
                matches += batch
                if len(matches) > 2 * last + _STEP:
                    matches = self._newest(matches)
            for p, (begin, _) in ranges.items():
                if p not in scan.open:
                    low[p] = begin
                    self._looked[p] = (begin, self._reaches[p].end)
                    oldest[p] = scan.first.get(p, oldest.get(p, float("inf")))
            if scan.open:
                # Of a partition that was not read to its end nobody could say what is missing in between.
                matches = [m for m in matches if (m.offset or 0) >= low[m.partition or 0]]
                self._ended(scan, cancel)
                break
            step *= _WIDER
        yield from self._newest(matches)

    def _newest(self, matches: list[Message]) -> list[Message]:
        """The last of them by time."""
        last = self._last or 0
        if len(matches) > last:
            self._older = True
        return sorted(matches, key=_order)[-last:]


def _order(message: Message) -> tuple[float, int, int]:
    return (message.timestamp or 0.0, message.partition or 0, message.offset or 0)


def browse(
    session: Session,
    topic: str,
    *,
    start: Position | None = None,
    end: Position | None = None,
    partitions: Collection[int] = (),
    where: str | None = None,
    last: int | None = None,
    limit: int | None = None,
    timeout: float | None = None,
) -> Browse:
    """A browse of [start, end) of a topic's partitions (all, unless some are named), its ends taken now.

    Without `start`, the `last` records before the end (20 when nothing is said) that `where` selects. Raises
    `UsageError` for what makes no sense, `NotFound` for an unknown topic or partition, `Unreachable` when no partition
    can be read.
    """
    from console.kafka.read import readable

    if start is not None and last is not None:
        raise UsageError("--from and --last say both where to begin: leave one out")
    if last is not None and limit is not None:
        raise UsageError("--last is a limit already: leave out --limit")
    client = session.require_kafka()
    compiled = RecordWhere(where) if where is not None else None
    seen = client.topic(topic, timeout)
    numbers = {p.partition for p in seen.partitions}
    unknown = sorted(set(partitions) - numbers)
    if unknown:
        raise NotFound(f"{topic} has no partition {unknown[0]}: its {plural(len(numbers), 'partition')} begin at 0")
    chosen = [p for p in seen.partitions if not partitions or p.partition in partitions]
    held = {p.partition: b for p in chosen if (b := readable(client.settings, p)) is not None}
    problems = [
        p.problem or Problem(f"{topic} partition {p.partition}", "UNKNOWN", "its offsets could not be seen")
        for p in chosen
        if p.partition not in held
    ]
    if not held:
        raise Unreachable(f"no partition of {topic} can be read: {problems[0].message if problems else 'it has none'}")
    held_back = sum(max(0, (p.end or 0) - held[p.partition][1]) for p in chosen if p.partition in held)
    offsets = _Offsets(lambda at: client.offsets_for_time([(topic, p) for p in held], at, timeout), topic, held)
    begins = offsets.at(start) if start is not None else {p: b[0] for p, b in held.items()}
    ends = offsets.at(end) if end is not None else {p: b[1] for p, b in held.items()}
    return Browse(
        client.settings,
        seen,
        [Reach(p, *held[p], begins[p], max(begins[p], ends[p])) for p in held if p in begins and p in ends],
        [*problems, *offsets.problems],
        where=compiled,
        last=(last or LAST) if start is None and limit is None else last,
        limit=limit,
        patience=session.settings.timeout if timeout is None else timeout,
        held_back=held_back,
    )


class _Offsets:
    """Positions as offsets of the partitions held; what a leader does not tell becomes a problem."""

    def __init__(
        self,
        ask: Callable[[float], dict[tuple[str, int], int | Problem | None]],
        topic: str,
        held: dict[int, tuple[int, int]],
    ) -> None:
        self._ask = ask
        self._topic = topic
        self._held = held
        self.problems: list[Problem] = []

    def at(self, position: Position) -> dict[int, int]:
        """The offset of each partition, within what it holds."""
        if position.kind == "earliest":
            return {p: start for p, (start, _) in self._held.items()}
        if position.kind == "latest":
            return {p: stop for p, (_, stop) in self._held.items()}
        if position.kind == "offset":
            return {p: min(max(start, int(position.value)), stop) for p, (start, stop) in self._held.items()}
        try:
            told = self._ask(position.value)
        except LogqError as error:
            raise Unreachable(f"cannot find {position.words} in {self._topic}: {error}") from None
        found = {}
        for p, (start, stop) in self._held.items():
            offset = told.get((self._topic, p))
            if isinstance(offset, Problem):
                self.problems.append(offset)
            else:
                found[p] = stop if offset is None else min(max(start, offset), stop)
        return found
