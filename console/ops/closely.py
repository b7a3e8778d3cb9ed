"""What is asked only about what is open on a screen or named in a command: open transactions, disks, brokers.

Joins no group, commits nothing, writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from console.errors import LogqError
from console.model import Group, GroupPartition, KafkaSnapshot, Problem, TopicPartition
from console.model_cluster import BrokersView, Held, TopicView
from console.ops import inspect

if TYPE_CHECKING:
    from console.ops.session import Session


def held_back(session: Session, group: Group, timeout: float | None = None) -> Held:
    """The open transactions that hold the last stable offset back on a group's partitions. Asks nobody without one."""
    return _held(session, [(p.topic, p) for p in group.partitions or ()], timeout)


def _held(
    session: Session, partitions: Iterable[tuple[str, GroupPartition | TopicPartition]], timeout: float | None
) -> Held:
    behind = [
        (topic, p.partition)
        for topic, p in partitions
        if p.stable_end is not None and p.end is not None and p.stable_end < p.end
    ]
    if not behind:
        return Held()
    try:
        return session.require_kafka().open_transactions(behind, timeout=timeout)
    except LogqError as error:
        return Held(problems=(Problem("transactions", "UNKNOWN", f"who holds them open: {error}"),))


def topic(session: Session, name: str, timeout: float | None = None) -> TopicView:
    """One topic with its configuration, sizes, the time of its oldest records and its open transactions.

    Raises `NotFound`, `Denied`, `Unreachable`; what fails beside the topic itself is in the problems.
    """
    client = session.require_kafka()
    seen = inspect.topic(session, name, timeout)
    starts = {
        (name, p.partition): p.start
        for p in seen.partitions
        if p.start is not None and p.end is not None and p.end > p.start
    }
    problems: list[Problem] = []
    spans = client.record_spans(starts, timeout=timeout) if starts else {}
    sizes, failed = client.sizes([name], timeout=timeout)
    problems += failed
    held = _held(session, [(name, p) for p in seen.partitions], timeout)
    return TopicView(
        topic=seen,
        at=time.time(),
        sizes=tuple(sorted((partition, size) for (_, partition), size in sizes.items())),
        oldest=tuple(sorted((partition, span[0]) for (_, partition), span in spans.items() if span is not None)),
        transactions=held.transactions,
        problems=(*problems, *held.problems),
    )


def sizes(session: Session, timeout: float | None = None) -> dict[str, int]:
    """Bytes by topic, one replica of each partition; a topic of which any partition is unknown is missing."""
    client = session.require_kafka()
    found, problems = client.sizes(timeout=timeout)
    if problems and not found:
        return {}
    total: dict[str, int] = {}
    known: dict[str, int] = {}
    for (name, _), size in found.items():
        total[name] = total.get(name, 0) + size
        known[name] = known.get(name, 0) + 1
    if not problems:
        return total
    whole = {t.name: len(t.partitions) for t in client.topics(timeout=timeout)}
    return {name: size for name, size in total.items() if known[name] == whole.get(name)}


def brokers(session: Session, snapshot: KafkaSnapshot | None = None, timeout: float | None = None) -> BrokersView:
    """Every broker with what it carries; with a picture of the cluster also how many groups each coordinates.

    Raises `Unreachable`, `Denied`, `UsageError` when there is no Kafka side.
    """
    seen = session.require_kafka().brokers(timeout=timeout)
    if snapshot is None:
        return seen
    counted: dict[int, int] = dict.fromkeys((load.broker.id for load in seen.brokers), 0)
    for group in snapshot.groups:
        if group.coordinator in counted:
            counted[group.coordinator] += 1
    return replace(seen, brokers=tuple(replace(load, groups=counted[load.broker.id]) for load in seen.brokers))
