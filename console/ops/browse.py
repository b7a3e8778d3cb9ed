"""Browsing a topic: from where to where, which records, and what was looked at in the end.

The ranges are fixed when the browse begins. No group is joined and nothing is committed. What a browse found is only
worth something with what it looked at: `Scanned` says the range and whether that was the whole of what was asked for.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from console.config import KafkaSettings
from console.errors import NotFound, Unreachable, UsageError
from console.model import Message, Problem, Topic
from console.ops.browse_filter import RecordWhere
from console.ops.browse_range import Edges, Offsets, Place, Position, Reach, Scanned, parse_position
from console.text import count, plural

__all__ = ["LAST", "PAGE", "Browse", "Position", "Reach", "Scanned", "browse", "parse_position"]

if TYPE_CHECKING:
    from console.kafka.browse import Scan
    from console.ops.session import Session

LAST = 20
"""How many records `browse` shows when nothing says from where."""

PAGE = 1_000
"""How many records a table or one JSON object holds at most unless a limit says otherwise; streams have no such end."""

_STEP = 2_000  # how far back a partition is looked at first when a filter looks for the last matches
_WIDER = 4
_WIDEST = 200_000  # what a stop may leave unsaid of a partition
_NAMED = 4


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
        self._left_out: dict[int, int] = {}
        self.settled: tuple[Message, ...] = ()
        """While the newest matches are looked for: those found so far."""
        self._scan: Scan | None = None

    @property
    def records(self) -> int:
        """How many records have been looked at so far."""
        return self._records + (self._scan.scanned if self._scan is not None else 0)

    @property
    def position(self) -> dict[int, int]:
        """Of each partition that is being read the next offset to be looked at."""
        return dict(self._scan.position) if self._scan is not None else {}

    @property
    def offsets(self) -> int:
        """How many offsets the range asked for holds: what `records` counts towards, at most."""
        return sum(r.end - r.begin for r in self._reaches.values())

    @property
    def edges(self) -> Edges:
        """Where older and newer records than those handed out lie, once `messages` has ended. Nothing lies between."""
        looked = {p: self._looked.get(p, (r.begin, r.begin)) for p, r in self._reaches.items()}
        if self._last is None:
            return Edges({p: r.begin for p, r in self._reaches.items()}, {p: end for p, (_, end) in looked.items()})
        ends = {p: r.end for p, r in self._reaches.items()}
        begins = {p: looked[p][0] if p in self._looked else ends[p] for p in ends}
        # Matches too old to be among the last were read, and are not handed out: the page before has them.
        return Edges({p: max(at, self._left_out.get(p, -1) + 1) for p, at in begins.items()}, ends)

    def messages(self, cancel: threading.Event | None = None) -> Iterator[Message]:
        """The records asked for, merged by time. Ends early at the limit, at `cancel`, or when a broker is silent."""
        found = self._from_the_end(cancel) if self._last is not None else self._forward(cancel)
        for message in found:
            self._found += 1
            yield message

    def follow(self, cancel: threading.Event | None = None) -> Iterator[Message]:
        """What is written from the end of this browse on, as it comes, until `cancel`."""
        for batch in self.batches(cancel):
            yield from batch

    def batches(self, cancel: threading.Event | None = None, *, from_begin: bool = False) -> Iterator[list[Message]]:
        """As `follow`, what came at once together by time; an empty one now and then while nothing comes.

        `from_begin` starts where the range asked for begins instead of at the end.
        """
        scan = self._begin({p: (r.begin if from_begin else r.stop, None) for p, r in self._reaches.items()})
        for batch in scan.batches(None, None, cancel):
            self._found += len(batch)
            yield sorted(batch, key=_order)

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
                if low[p] > r.begin and p not in self._left_out and (edge is None or oldest.get(p, edge) >= edge)
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
            step = max(step, min(step * _WIDER, _WIDEST))
            self.settled = tuple(self._newest(matches))
        yield from self._newest(matches)

    def _newest(self, matches: list[Message]) -> list[Message]:
        """The last of them, taken from the end of whichever partition ends latest; by time.

        So what is left out of a partition lies before what is taken, also where its times run backwards: the page
        before begins there.
        """
        last = self._last or 0
        if len(matches) > last:
            ends: dict[int, list[Message]] = {}
            for m in sorted(matches, key=lambda m: m.offset or 0):
                ends.setdefault(m.partition or 0, []).append(m)
            heads = [(-(held[-1].timestamp or 0.0), -p) for p, held in ends.items()]
            heapq.heapify(heads)
            matches = []
            while len(matches) < last:
                p = -heapq.heappop(heads)[1]
                matches.append(ends[p].pop())
                if ends[p]:
                    heapq.heappush(heads, (-(ends[p][-1].timestamp or 0.0), -p))
            for p, rest in ends.items():
                if rest:
                    self._older = True
                    self._left_out[p] = max(self._left_out.get(p, -1), rest[-1].offset or 0)
        return sorted(matches, key=_order)


def _order(message: Message) -> tuple[float, int, int]:
    return (message.timestamp or 0.0, message.partition or 0, message.offset or 0)


def browse(
    session: Session,
    topic: str,
    *,
    start: Place | None = None,
    end: Place | None = None,
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
    if isinstance(start, Position) and isinstance(end, Position) and end.lies_before(start):
        raise UsageError(f"--to {end.words} lies before --from {start.words}: swap them")
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
    offsets = Offsets(lambda at: client.offsets_for_time([(topic, p) for p in held], at, timeout), topic, held)
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
