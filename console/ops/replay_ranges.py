"""The ranges [from, to) of a replay's partitions, fixed when it is planned: by offset, by time, or around records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from console.errors import Failed, LogqError, NotFound, UsageError
from console.model import Problem, Topic, TopicPartition
from console.ops.times import parse_datetime, parse_duration, spoken
from console.text import plural

if TYPE_CHECKING:
    from console.ops.session import Session

Picks = tuple[tuple[int, tuple[int, ...]], ...]
"""Records picked by hand: of each partition the offsets, in order."""

_RECORD = re.compile(r"(?:(?P<topic>[^/]+)/)?(?P<partition>[0-9]{1,9})/(?P<offset>[0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class Range:
    """The offsets [start, end) of one partition, with the times of the records at both ends as far as known."""

    partition: int
    start: int
    end: int
    first_time: float | None = None
    last_time: float | None = None
    note: str = ""

    @property
    def offsets(self) -> int:
        """How many offsets, an upper bound of the records."""
        return max(0, self.end - self.start)


def fixed(
    session: Session,
    topic: Topic,
    begin: str | None,
    to_offset: str | None,
    until: str | None,
    now: float,
    only: Sequence[int] = (),
) -> tuple[tuple[Range, ...], str, str]:
    """The ranges of all partitions, empty for others than `only` (none: all of them), and both ends in words.

    Raises `NotFound` for a partition that the topic does not have, `UsageError` for what is no position or an end
    before its beginning, `Failed` when a partition's offsets cannot be seen.
    """
    _all_seen(topic)
    if missing := sorted(set(only) - {p.partition for p in topic.partitions}):
        raise NotFound(f"{topic.name} has no partition {missing[0]}: it has {len(topic.partitions)}, from 0 on")
    option = "--to-offset" if to_offset is not None else "--until"
    first, begin_words = _bound(begin or "earliest", now, "--from")
    last, until_words = _bound(to_offset or until or "", now, option)
    if first is not None and last is not None and type(first) is type(last) and last < first:
        raise UsageError(
            f"{option} {to_offset or until} lies before --from {begin}: nothing is between them; swap them"
        )
    starts = _offsets_at(session, topic, first) if isinstance(first, float) else {}
    ends = _offsets_at(session, topic, last) if isinstance(last, float) else {}
    found = []
    for p in topic.partitions:
        if only and p.partition not in only:
            found.append(Range(p.partition, p.start or 0, p.start or 0))
            continue
        start = starts.get(p.partition, p.stable_end) if isinstance(first, float) else first
        end = ends.get(p.partition, p.stable_end) if isinstance(last, float) else last
        found.append(_range(p, start, end))
    return tuple(found), begin_words, until_words


def _all_seen(topic: Topic) -> None:
    for p in topic.partitions:
        if p.start is None or p.stable_end is None:
            why = p.problem.message if p.problem else "its offsets are not known"
            raise Failed(f"cannot plan a replay of {topic.name}: partition {p.partition}: {why}")
    if not topic.partitions:
        raise Failed(f"cannot plan a replay of {topic.name}: its partitions could not be seen")


def parse_records(typed: Iterable[str], topic: str) -> Picks:
    """Records as typed, `P/OFFSET` or `TOPIC/P/OFFSET`, by partition. Raises `UsageError` for anything else."""
    found: dict[int, set[int]] = {}
    for text in typed:
        match = _RECORD.fullmatch(text.strip())
        if match is None or match["topic"] not in (None, topic):
            raise UsageError(
                f"--record {text!r} is no record of {topic}: it is PARTITION/OFFSET or {topic}/PARTITION/OFFSET"
            )
        found.setdefault(int(match["partition"]), set()).add(int(match["offset"]))
    return tuple((partition, tuple(sorted(offsets))) for partition, offsets in sorted(found.items()))


def around(topic: Topic, picks: Picks) -> tuple[Range, ...]:
    """The ranges that hold the picked records: of each partition from the first to the last of them.

    Raises `NotFound` for a record that the log does not hold, `Failed` as `fixed`.
    """
    _all_seen(topic)
    wanted = dict(picks)
    held = {p.partition: p for p in topic.partitions}
    for partition, offsets in picks:
        p = held.get(partition)
        if p is None:
            raise NotFound(f"{topic.name} has no partition {partition}")
        assert p.start is not None
        assert p.stable_end is not None
        if gone := [offset for offset in offsets if not p.start <= offset < p.stable_end]:
            raise NotFound(
                f"{topic.name} partition {partition} does not hold offset {gone[0]:,}: it holds "
                f"{p.start:,} to {p.stable_end - 1:,}"
            )
    found = []
    for p in topic.partitions:
        offsets = wanted.get(p.partition, ())
        if offsets:
            found.append(
                Range(p.partition, offsets[0], offsets[-1] + 1, note=f"{plural(len(offsets), 'record')} picked")
            )
        else:
            found.append(Range(p.partition, p.start or 0, p.start or 0))
    return tuple(found)


def _bound(text: str, now: float, option: str) -> tuple[int | float | None, str]:
    """Where a range begins or ends: an offset (int), a time (float) or its own end (None), and that in words."""
    typed = text.strip()
    if option == "--from" and typed.lower() == "earliest":
        return None, "the earliest record held"
    if option != "--from" and not typed:
        return None, "the end when it was planned"
    if option != "--until" and (typed.isascii() and typed.isdigit()):
        return int(typed), f"offset {int(typed):,}"
    if option == "--to-offset":
        raise UsageError(f"--to-offset {text!r} is not an offset: a whole number, 0 or more; --until takes a time")
    try:
        at = now - parse_duration(typed)
    except UsageError:
        try:
            at = parse_datetime(typed)
        except UsageError:
            also = "earliest, an offset, " if option == "--from" else ""
            raise UsageError(
                f"{option} {text!r} is not understood: it is {also}a time (2026-11-23T14:22:07Z; no zone: UTC) "
                "or a duration back from now (90s, 15m, 1h30m, 2d)"
            ) from None
    return max(0.0, at), f"the first record at or after {spoken(at)}"


def _offsets_at(session: Session, topic: Topic, at: float) -> dict[int, int]:
    """The first offset at or after a time; partitions without a record that late are missing."""
    asked = [(topic.name, p.partition) for p in topic.partitions]
    found = {}
    for (_, partition), offset in session.require_kafka().offsets_for_time(asked, at).items():
        if isinstance(offset, Problem):
            raise Failed(f"cannot plan a replay of {topic.name}: partition {partition}: {offset.message}")
        if offset is not None:
            found[partition] = offset
    return found


def _range(p: TopicPartition, start: int | None, end: int | None) -> Range:
    assert p.start is not None
    assert p.stable_end is not None
    notes = []
    if start is not None and start < p.start:
        notes.append(f"offsets {start:,} to {p.start - 1:,} have expired")
    if end is not None and end > p.stable_end:
        notes.append(f"ends at {p.stable_end:,}: there is no more")
    if p.end is not None and p.end > p.stable_end and (end is None or end > p.stable_end):
        notes.append(f"{p.end - p.stable_end:,} behind an open transaction are left out")
    low = p.start if start is None else min(max(start, p.start), p.stable_end)
    high = p.stable_end if end is None else min(end, p.stable_end)
    return Range(p.partition, low, max(low, high), note="; ".join(notes))


def with_times(
    session: Session, topic: str, ranges: tuple[Range, ...]
) -> tuple[tuple[Range, ...], tuple[Problem, ...]]:
    """The ranges with the record times at their ends, as far as they can be had; a plan stands without them."""
    client = session.require_kafka()
    held = [r for r in ranges if r.offsets]
    try:
        first = client.record_times({(topic, r.partition): r.start for r in held}) if held else {}
        last = client.record_times({(topic, r.partition): r.end - 1 for r in held}) if held else {}
    except LogqError as error:
        return ranges, (Problem("record times", "UNKNOWN", f"the times of the records could not be read: {error}"),)
    known = [
        replace(r, first_time=first.get((topic, r.partition)), last_time=last.get((topic, r.partition))) for r in ranges
    ]
    return tuple(known), ()
