"""A group's commits right before and right after a reset: whether the plan still holds, and what was really written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from console.errors import Failed, LogqError, Refused
from console.model import Problem
from console.ops.offsets import ResetEntry, TopicPartition
from console.ops.reset_plan import UNDECIDED, InUse, group_now, in_use, live
from console.text import DASH

if TYPE_CHECKING:
    from console.ops.session import Session


def revalidated(
    session: Session, group: str, changes: Sequence[ResetEntry], create: bool
) -> tuple[tuple[ResetEntry, ...], tuple[str, ...]]:
    """The changes against the group as it is now; lines about offsets the log start has passed. Raises `Refused`."""
    client = session.require_kafka()
    seen = group_now(session, group, create)
    if live(seen):
        raise InUse(in_use(group, seen.state, seen.members or ()))
    keys = [(e.topic, e.partition) for e in changes]
    committed = commits(session, group, keys)
    marks = client.watermarks(keys)
    kept: list[ResetEntry] = []
    lines: list[str] = []
    for e in changes:
        now = committed.get((e.topic, e.partition))
        where = f"{e.topic} partition {e.partition}"
        if isinstance(now, Problem):
            raise Failed(f"cannot read the commit of {where}: {now.message}; nothing was changed")
        if now not in (e.old, e.new):
            was, reads = (DASH if offset is None else f"{offset:,}" for offset in (e.old, now))
            raise Refused(
                f"the commit of {where} has moved since the plan ({was} -> {reads}): consumers ran meanwhile, or one "
                "that is no member (assign()) still does; stop it and look at the plan again; nothing was changed"
            )
        mark = marks.get((e.topic, e.partition))
        if isinstance(mark, tuple) and e.new is not None and e.old != e.new and e.new < mark[0]:
            lines.append(f"{where}: the log start has moved on, {e.new:,} became {mark[0]:,}")
            e = replace(e, new=mark[0])
        kept.append(e)
    return tuple(kept), tuple(lines)


def read_back(
    session: Session, group: str, changes: Sequence[ResetEntry], job: str
) -> Mapping[TopicPartition, int | Problem | None]:
    """What the group's commits read now: the answers to the commits alone prove nothing."""
    try:
        return commits(session, group, [(e.topic, e.partition) for e in changes])
    except LogqError as error:
        raise Failed(
            f"the commits of group {group!r} were sent but could not be read back: {error}; "
            f"logq group show {group} says where it is, logq job undo {job} goes back"
        ) from None


def commits(session: Session, group: str, keys: Sequence[TopicPartition]) -> dict[TopicPartition, int | Problem | None]:
    """The group's commits now; where a transaction is open, the last one that is decided."""
    client = session.require_kafka()
    found: dict[TopicPartition, int | Problem | None] = dict(client.committed(group, keys))
    open_ones = {key for key, value in found.items() if isinstance(value, Problem) and value.code == UNDECIDED}
    if open_ones:
        for p in client.group(group).partitions or ():
            if (p.topic, p.partition) in open_ones:
                found[p.topic, p.partition] = p.problem or p.committed
    return found
