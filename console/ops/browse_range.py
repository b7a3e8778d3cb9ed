"""Where a browse begins and ends, and what it has looked at in the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from console.errors import LogqError, Unreachable, UsageError
from console.model import Problem
from console.ops.times import parse_datetime, parse_duration, spoken
from console.text import count, plural

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

    def lies_before(self, other: Position) -> bool:
        """Whether it lies before another place whatever the log holds."""
        ends = ("earliest", "latest")
        if self.kind in ends and other.kind in ends:
            return self.kind == "earliest" and other.kind == "latest"
        return self.kind == other.kind and self.value < other.value


Place = Position | Mapping[int, int]
"""Where a browse begins or ends: a position, or an offset for each partition (those left out are not read)."""


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


@dataclass(frozen=True, slots=True)
class Edges:
    """Where a page can be gone on from: per partition the offset before which older records lie, and that from which
    newer ones come."""

    older: Mapping[int, int]
    newer: Mapping[int, int]


class Offsets:
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

    def at(self, position: Place) -> dict[int, int]:
        """The offset of each partition, within what it holds."""
        if not isinstance(position, Position):
            held = self._held
            return {p: min(max(held[p][0], at), held[p][1]) for p, at in position.items() if p in held}
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
