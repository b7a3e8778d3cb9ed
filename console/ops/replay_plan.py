"""What a replay is going to copy, before it does anything: ranges [from, to) per partition, fixed when planned."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from console.errors import LogqError, NotFound, Refused, UsageError
from console.model import Problem, Queue
from console.ops import replay_file, replay_ranges
from console.ops.browse_filter import RecordWhere
from console.ops.command import command_line
from console.ops.replay_edit import HeaderEdit
from console.ops.replay_ranges import Picks, Range
from console.ops.replay_value import ReplayPlan, from_json
from console.ops.replay_words import EPOCH
from console.ops.targets import Target, parse, resolve
from console.text import plural

if TYPE_CHECKING:
    from console.ops.session import Session

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LEAST_RATE = 0.02
"""Records a second; slower, a pause between two batches would be longer than a group waits for a member."""


def plan(
    session: Session,
    source: str,
    to: str,
    *,
    begin: str | None = None,
    to_offset: str | None = None,
    until: str | None = None,
    partitions: Sequence[int] = (),
    records: Sequence[str] = (),
    where: str | None = None,
    limit: int | None = None,
    rate: float | None = None,
    job: str | None = None,
    edit: HeaderEdit | None = None,
) -> ReplayPlan:
    """Fix the ranges of a replay and look at everything it touches; joins nothing and changes nothing.

    `source` is a topic or a file (`file:PATH`, `NAME.jsonl`). `begin` is earliest, an offset, a time or a duration
    (back from now), `until` a time or a duration, of all partitions or of `partitions` alone; `records` names single
    ones instead. Raises `NotFound` for an unknown topic, partition, queue, file or record, `UsageError` for what makes
    no sense, `Unreachable`, `Failed` when a partition's offsets cannot be seen: a replay without it would not be what
    was asked for.
    """
    _check(to_offset, until, limit, rate, job)
    ends = (begin, to_offset, until)
    if records and any(end is not None for end in ends):
        raise UsageError("--record names the records: leave out --from, --to-offset and --until")
    only = tuple(sorted(set(partitions)))
    if only and records:
        raise UsageError("--record names the partition of each record: leave out --partition")
    if where is not None:
        RecordWhere(where)
    path = replay_file.path_of(source)
    if path and only:
        raise UsageError("a file is replayed whole, whatever partitions it is from: leave out --partition")
    seen = _of_file(session, path, to, ends, records) if path else _of_topic(session, source, to, ends, records, only)
    seen = replace(seen, where=where, limit=limit, rate=rate, job=job or "", edit=edit or HeaderEdit())
    seen = _into_topic(session, seen) if seen.to == "topic" else _into_queue(session, seen)
    if job:
        seen = _joined(session, seen) if seen.to == "topic" else _resumed(session, seen)
    if not seen.file:
        ranges, problems = replay_ranges.with_times(session, seen.source, seen.ranges)
        seen = replace(seen, ranges=ranges, problems=(*seen.problems, *problems))
    return replace(seen, command=_command(session, seen, begin, to_offset, until))


def _of_topic(
    session: Session,
    source: str,
    to: str,
    ends: tuple[str | None, str | None, str | None],
    records: Sequence[str],
    only: tuple[int, ...],
) -> ReplayPlan:
    """The beginning of a plan: which records of which topic."""
    origin, destination = _sides(session, source, to)
    now = time.time()
    topic = session.require_kafka().topic(origin)
    picks: Picks = ()
    if records:
        picks = replay_ranges.parse_records(records, topic.name)
        ranges, begin, until = replay_ranges.around(topic, picks), "the first picked record", "the last one"
    else:
        ranges, begin, until = replay_ranges.fixed(session, topic, *ends, now, only)
    return ReplayPlan(
        source=topic.name,
        target=destination.name,
        to="topic" if destination.side == "kafka" else "queue",
        ranges=ranges,
        partitions=len(topic.partitions),
        target_partitions=0,
        place=place(session),
        command="",
        at=now,
        begin=begin,
        until=until,
        picks=picks,
        only=only,
        compacted="compact" in dict(topic.config).get("cleanup.policy", ""),
        topic_id=topic.id,
    )


def _of_file(
    session: Session, path: str, to: str, ends: tuple[str | None, str | None, str | None], records: Sequence[str]
) -> ReplayPlan:
    """The beginning of a plan: a file of exported messages, all of it."""
    if records or any(end is not None for end in ends):
        raise UsageError("a file is replayed whole: choose among its messages with --where and --limit")
    destination = _destination(session, to)
    held = replay_file.examine(str(Path(path).absolute()), to_topic=destination.side == "kafka")
    if not held.records:
        raise UsageError(f"{path} holds no message")
    problems = []
    if held.attributes:
        said = f"{held.attributes:,} messages carry SQS attributes, which are not copied"
        problems.append(Problem(path, "ATTRIBUTES", said))
    if held.untimed and destination.side == "kafka":
        said = (
            f"{plural(held.untimed, 'message')} without a time, or with {EPOCH}: their copies get that of the copying"
        )
        problems.append(Problem(path, "NO_TIME", said))
    whole = Range(0, 0, held.end, held.first_time, held.last_time, f"{held.records:,} messages")
    return ReplayPlan(
        source=held.path,
        target=destination.name,
        to="topic" if destination.side == "kafka" else "queue",
        ranges=(whole,),
        partitions=0,
        target_partitions=0,
        place=place(session),
        command="",
        at=time.time(),
        begin="its first line",
        until="its last line",
        file=True,
        sha256=held.sha256,
        keeps_partitions=destination.side == "kafka" and _fits(session, held, destination.name),
        problems=tuple(problems),
    )


def _fits(session: Session, held: replay_file.Contents, topic: str) -> bool:
    """Whether a file's records keep their partition numbers: all from topics of as many partitions as this one has."""
    client = session.require_kafka()
    wanted = len(client.topic(topic).partitions)
    if held.partition is None or held.partition >= wanted:
        return False
    names = {target.removeprefix("kafka:") for target in held.targets if target.startswith("kafka:")}
    if len(names) != len(held.targets):
        return False
    counts = {t.name: len(t.partitions) for t in client.topics() if t.name in names}
    return all(counts.get(name) == wanted for name in names)


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
    return name, _destination(session, to)


def _destination(session: Session, to: str) -> Target:
    """Where to. A bare name may be on both sides; only then both are asked."""
    side, name = parse(to)
    if side is not None:
        return Target(side, name)
    topics = {t.name for t in session.require_kafka().topics()}
    queues: set[str] = set()
    if session.settings.sqs is not None:
        names = [q.name for q in session.sqs_side().snapshot().queues]
        queues = {*names, *(name.rpartition("/")[2] for name in names)}
    return resolve(name, topics, queues)


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
    sqs = session.require_sqs(seen.target)
    queue: Queue = sqs.queue(seen.target)
    if queue.problem is not None:
        raise NotFound(f"cannot replay to {seen.target}: {queue.problem.message}")
    size = dict(queue.extra).get("MaximumMessageSize", "")
    return replace(
        seen,
        fifo=queue.fifo,
        url=queue.url,
        max_bytes=int(size) if size.isdigit() else None,
        place=f"{seen.place} {sqs.endpoint}",
    )


def _joined(session: Session, seen: ReplayPlan) -> ReplayPlan:
    """The plan with the ranges of the job of that name, where there is one: they were fixed when it was planned."""
    from console.kafka import copy_group
    from console.kafka.marks import GROUP_PREFIX

    settings = session.require_kafka().settings
    found = copy_group.look(
        settings,
        GROUP_PREFIX + seen.job,
        seen.progress_topic,
        [r.partition for r in seen.ranges],
        session.settings.timeout,
    )
    if not found:
        return seen
    if any(mark.digest != seen.digest for mark in found.values()):
        raise Refused(
            f"a job named {seen.job} copies {seen.source} with another destination, filter, limit or "
            "edit, or other partitions; choose another name, or give the same options to share its work"
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
    if before.digest != seen.digest:
        return seen
    return replace(seen, ranges=before.ranges, topic_id=before.topic_id, joins=True)


def _command(session: Session, seen: ReplayPlan, begin: str | None, to_offset: str | None, until: str | None) -> str:
    words = ["replay", seen.origin, "--to", f"{'kafka' if seen.to == 'topic' else 'sqs'}:{seen.target}"]
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
    words += [word for partition in seen.only for word in ("--partition", str(partition))]
    for partition, offsets in seen.picks:
        words += [word for offset in offsets for word in ("--record", f"{partition}/{offset}")]
    words += seen.edit.options
    return command_line(session.settings, *words, "--execute")
