"""What a replay is going to copy, before it does anything: ranges [from, to) per partition, fixed when planned."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from console.errors import Failed, LogqError, NotFound, Refused, UsageError
from console.model import Problem, Queue, Topic, TopicPartition
from console.ops.browse_filter import RecordWhere
from console.ops.command import command_line
from console.ops.targets import Target, parse, resolve
from console.ops.times import parse_datetime, parse_duration, spoken

if TYPE_CHECKING:
    from console.ops.session import Session

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LEAST_RATE = 0.02
"""Records a second; slower, a pause between two batches would be longer than a group waits for a member."""


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


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """A bounded copy of one topic. `ranges` are those of all its partitions, empty ones included.

    `partitions` and `target_partitions` are the numbers of partitions (0: a queue). `groups` are the other groups that
    read the destination topic, None when they could not be seen. `max_bytes` is what the destination takes a message,
    `retention_seconds` how long it keeps one by its time (None: for ever, or not known).
    `joins` tells that a job of this name is there already: its ranges are the plan's.
    """

    source: str
    target: str
    to: Literal["topic", "queue"]
    ranges: tuple[Range, ...]
    partitions: int
    target_partitions: int
    place: str
    command: str
    at: float
    begin: str = "earliest"
    until: str = "the end when it was planned"
    where: str | None = None
    limit: int | None = None
    rate: float | None = None
    job: str = ""
    joins: bool = False
    compacted: bool = False
    own_time: bool = True
    retention_seconds: float | None = None
    max_bytes: int | None = None
    groups: tuple[str, ...] | None = None
    fifo: bool = False
    url: str = ""
    problems: tuple[Problem, ...] = ()

    @property
    def offsets(self) -> int:
        """All planned offsets: an upper bound of the records."""
        return sum(r.offsets for r in self.ranges)

    @property
    def total(self) -> int | None:
        """How many records at most, None when only reading them tells (a filter)."""
        if self.where is not None:
            return None
        return self.offsets if self.limit is None else min(self.offsets, self.limit)

    @property
    def same_partitions(self) -> bool:
        """Whether each record keeps its partition number; else the key decides."""
        return self.partitions == self.target_partitions

    @property
    def digest(self) -> str:
        """What tells jobs of one name with other options apart."""
        said = json.dumps([self.source, self.target, self.to, self.where, self.limit])
        return hashlib.sha256(said.encode()).hexdigest()[:12]


def plan(
    session: Session,
    source: str,
    to: str,
    *,
    begin: str | None = None,
    to_offset: str | None = None,
    until: str | None = None,
    where: str | None = None,
    limit: int | None = None,
    rate: float | None = None,
    job: str | None = None,
) -> ReplayPlan:
    """Fix the ranges of a replay and look at everything it touches; joins nothing and changes nothing.

    `begin` is earliest, an offset, a time or a duration (back from now), `until` a time or a duration. Raises
    `NotFound` for an unknown topic or queue, `UsageError` for what makes no sense, `Unreachable`, `Failed` when a
    partition's offsets cannot be seen: a replay without it would not be what was asked for.
    """
    _check(to_offset, until, limit, rate, job)
    if where is not None:
        RecordWhere(where)
    origin, destination = _sides(session, source, to)
    now = time.time()
    topic = session.require_kafka().topic(origin)
    ranges, begin_words, until_words = _ranges(session, topic, begin, to_offset, until, now)
    seen = ReplayPlan(
        source=topic.name,
        target=destination.name,
        to="topic" if destination.side == "kafka" else "queue",
        ranges=ranges,
        partitions=len(topic.partitions),
        target_partitions=0,
        place=place(session),
        command="",
        at=now,
        begin=begin_words,
        until=until_words,
        where=where,
        limit=limit,
        rate=rate,
        job=job or "",
        compacted="compact" in dict(topic.config).get("cleanup.policy", ""),
    )
    seen = _into_topic(session, seen) if seen.to == "topic" else _into_queue(session, seen)
    if job:
        seen = _joined(session, seen) if seen.to == "topic" else _resumed(session, seen)
    seen = _with_times(session, seen)
    return replace(seen, command=_command(session, seen, begin, to_offset, until))


def place(session: Session) -> str:
    """What tells clusters apart in the journal: the addresses, in an order of their own."""
    kafka = session.settings.kafka
    return ",".join(sorted(kafka.bootstrap.split(","))) if kafka else ""


def _check(to_offset: str | None, until: str | None, limit: int | None, rate: float | None, job: str | None) -> None:
    if to_offset is not None and until is not None:
        raise UsageError("--to-offset and --until both say where it ends: give one of them")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} makes no sense: it is how many records at most, 1 or more")
    if rate is not None and not LEAST_RATE <= rate <= 10_000_000:
        raise UsageError(f"--rate {rate:g} makes no sense: it is records a second, {LEAST_RATE:g} or more")
    if job is not None and not _NAME.fullmatch(job):
        raise UsageError(f"--job {job!r} is no name: letters, digits, dots, dashes and underscores, at most 100")


def _sides(session: Session, source: str, to: str) -> tuple[str, Target]:
    side, name = parse(source)
    if side == "sqs":
        raise UsageError(
            f"replaying a queue ({name}) into a topic is not built yet; logq replay copies a topic, "
            "logq dlq redrive moves a dead-letter queue's messages"
        )
    # A bare destination may be on both sides; only then both are asked.
    to_side, to_name = parse(to)
    if to_side is not None:
        return name, Target(to_side, to_name)
    topics = {t.name for t in session.require_kafka().topics()}
    queues = {q.name for q in session.require_sqs().snapshot().queues} if session.settings.sqs is not None else set()
    return name, resolve(to_name, topics, queues)


# ---------------------------------------------------------------- ranges


def _ranges(
    session: Session, topic: Topic, begin: str | None, to_offset: str | None, until: str | None, now: float
) -> tuple[tuple[Range, ...], str, str]:
    for p in topic.partitions:
        if p.start is None or p.stable_end is None:
            why = p.problem.message if p.problem else "its offsets are not known"
            raise Failed(f"cannot plan a replay of {topic.name}: partition {p.partition}: {why}")
    if not topic.partitions:
        raise Failed(f"cannot plan a replay of {topic.name}: its partitions could not be seen")
    first, begin_words = _bound(begin or "earliest", now, "--from")
    last, until_words = _bound(to_offset or until or "", now, "--to-offset" if to_offset is not None else "--until")
    starts = _offsets_at(session, topic, first) if isinstance(first, float) else {}
    ends = _offsets_at(session, topic, last) if isinstance(last, float) else {}
    found = []
    for p in topic.partitions:
        start = starts.get(p.partition, p.stable_end) if isinstance(first, float) else first
        end = ends.get(p.partition, p.stable_end) if isinstance(last, float) else last
        found.append(_range(p, start, end))
    return tuple(found), begin_words, until_words


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


def _with_times(session: Session, seen: ReplayPlan) -> ReplayPlan:
    """The plan with the record times at the ends of its ranges, as far as they can be had; it stands without them."""
    client = session.require_kafka()
    held = [r for r in seen.ranges if r.offsets]
    try:
        first = client.record_times({(seen.source, r.partition): r.start for r in held}) if held else {}
        last = client.record_times({(seen.source, r.partition): r.end - 1 for r in held}) if held else {}
    except LogqError as error:
        said = Problem("record times", "UNKNOWN", f"the times of the records could not be read: {error}")
        return replace(seen, problems=(*seen.problems, said))
    ranges = [
        replace(r, first_time=first.get((seen.source, r.partition)), last_time=last.get((seen.source, r.partition)))
        for r in seen.ranges
    ]
    return replace(seen, ranges=tuple(ranges))


# ---------------------------------------------------------------- destinations


def _into_topic(session: Session, seen: ReplayPlan) -> ReplayPlan:
    try:
        target = session.require_kafka().topic(seen.target)
    except NotFound as error:
        raise NotFound(f"{error}; a replay makes no topic: create {seen.target} first") from None
    config = dict(target.config)
    size = config.get("max.message.bytes", "")
    groups, problems = _readers(session, seen.target)
    return replace(
        seen,
        target_partitions=len(target.partitions),
        own_time=config.get("message.timestamp.type") != "LogAppendTime",
        retention_seconds=_retention(config),
        max_bytes=int(size) if size.isdigit() else None,
        groups=groups,
        problems=(*seen.problems, *problems),
    )


def _retention(config: Mapping[str, str]) -> float | None:
    held = config.get("retention.ms", "")
    return int(held) / 1000 if "delete" in config.get("cleanup.policy", "delete") and held.isdigit() else None


def _readers(session: Session, topic: str) -> tuple[tuple[str, ...] | None, tuple[Problem, ...]]:
    """The groups that have commits or members on a topic; None when the cluster's groups could not be seen."""
    from console.kafka.marks import GROUP_PREFIX

    try:
        snapshot = session.require_kafka().snapshot()
    except LogqError as error:
        return None, (Problem("groups", "UNKNOWN", f"which groups read the destination could not be seen: {error}"),)
    names = [g.name for g in snapshot.groups if topic in g.topics and not g.name.startswith(GROUP_PREFIX)]
    return tuple(sorted(names)), snapshot.problems


def _into_queue(session: Session, seen: ReplayPlan) -> ReplayPlan:
    queue: Queue = session.require_sqs().queue(seen.target)
    if queue.problem is not None:
        raise NotFound(f"cannot replay to {seen.target}: {queue.problem.message}")
    size = dict(queue.extra).get("MaximumMessageSize", "")
    return replace(
        seen,
        fifo=queue.fifo,
        url=queue.url,
        max_bytes=int(size) if size.isdigit() else None,
        place=f"{seen.place} {session.require_sqs().endpoint}",
    )


def _joined(session: Session, seen: ReplayPlan) -> ReplayPlan:
    """The plan with the ranges of the job of that name, where there is one: they were fixed when it was planned."""
    from console.kafka import copy_group
    from console.kafka.marks import GROUP_PREFIX

    settings = session.require_kafka().settings
    found = copy_group.look(
        settings, GROUP_PREFIX + seen.job, seen.source, [r.partition for r in seen.ranges], session.settings.timeout
    )
    if not found:
        return seen
    if any(mark.digest != seen.digest for mark in found.values()):
        raise Refused(
            f"a job named {seen.job} copies {seen.source} with another destination, filter or limit; "
            "choose another name, or give the same options to share its work"
        )
    ranges = tuple(
        Range(p, mark.start, mark.end, note=f"{mark.left:,} left of the job {seen.job}")
        for p, mark in sorted(found.items())
    )
    return replace(seen, ranges=ranges, joins=True)


def _resumed(session: Session, seen: ReplayPlan) -> ReplayPlan:
    """The plan with the ranges of the unfinished job of that name in this journal, where there is one."""
    try:
        job = session.journal.job(seen.job)
    except NotFound:
        return seen
    if job.id != seen.job or job.kind != "replay":
        return seen
    before = from_json(session.journal.plan(job.id))
    return replace(seen, ranges=before.ranges, joins=True) if before.digest == seen.digest else seen


def _command(session: Session, seen: ReplayPlan, begin: str | None, to_offset: str | None, until: str | None) -> str:
    words = ["replay", f"kafka:{seen.source}", "--to", f"{'kafka' if seen.to == 'topic' else 'sqs'}:{seen.target}"]
    given: Sequence[tuple[str, str | None]] = (
        ("--from", begin),
        ("--to-offset", to_offset),
        ("--until", until),
        ("--where", seen.where),
        ("--limit", None if seen.limit is None else str(seen.limit)),
        ("--rate", None if seen.rate is None else f"{seen.rate:g}"),
        ("--job", seen.job or None),
    )
    for option, value in given:
        if value is not None:
            words += [option, value]
    return command_line(session.settings, *words, "--execute")


# ---------------------------------------------------------------- in the journal

_DERIVED = ("kind", "offsets", "total", "warnings", "digest")


def to_values(seen: ReplayPlan) -> dict[str, Any]:
    """The plan as plain values for the journal."""
    return {"kind": "replay", **asdict(seen), "offsets": seen.offsets, "total": seen.total, "digest": seen.digest}


def from_json(raw: Mapping[str, Any]) -> ReplayPlan:
    """The plan that `to_values` (or `to_json`) wrote."""
    values = {key: value for key, value in raw.items() if key not in _DERIVED}
    values["ranges"] = tuple(Range(**r) for r in raw["ranges"])
    values["groups"] = None if raw["groups"] is None else tuple(raw["groups"])
    values["problems"] = tuple(Problem(**p) for p in raw["problems"])
    return ReplayPlan(**values)
