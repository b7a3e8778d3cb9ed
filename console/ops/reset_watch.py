"""Before and after a reset: waiting until a group is empty, and looking whether the offsets stay where they were put.

A consumer that assigns its partitions itself is no member: its group looks empty, its next commit overwrites a reset,
and no broker says so. Only a second look tells.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.errors import LogqError, Refused, Stopped, Unreachable
from console.model import Problem, Progress
from console.ops.offsets import ResetEntry, TopicPartition
from console.ops.plan import OVERWRITTEN
from console.ops.reset_plan import ResetPlan, again, group_now, in_use, live, members
from console.text import DASH, plural

if TYPE_CHECKING:
    from console.ops.session import Session

REREAD_S = 10.0
"""How long after a reset its offsets are read once more: a consumer commits every 5 s unless it was told otherwise."""


def wait_empty(
    session: Session,
    earlier: ResetPlan,
    limit: float,
    cancel: threading.Event,
    on_progress: Callable[[Progress], None] | None = None,
    pause: float = 1.0,
) -> ResetPlan:
    """Wait until the group has no members, then return the plan made again on what it left behind.

    `on_progress` gets a note that names the members and hosts that are waited for. Brokers that do not answer are asked
    again. Raises `Refused` when `limit` seconds pass, `Stopped` when `cancel` is set; nothing was changed then.
    """
    ends = time.monotonic() + limit
    last = in_use(earlier.group, earlier.state, earlier.members)
    while True:
        try:
            seen = group_now(session, earlier.group, earlier.create)
            if not live(seen):
                return again(session, earlier)
            last = in_use(seen.name, seen.state, seen.members or ())
            waits = tuple((m.client_id or m.id, m.host) for m in seen.members or ())
            note = f"armed, waiting for the group to be empty ({members(seen.members or ()) or 'state ' + seen.state})"
        except Unreachable as error:
            last = str(error)
            waits = ()
            note = f"armed: the group cannot be seen, asking again: {error}"
        left = ends - time.monotonic()
        if left <= 0:
            raise Refused(f"gave up waiting, nothing was changed: {last}")
        if on_progress is not None:
            on_progress(Progress("", 0, note=note, waits=waits))
        if cancel.wait(min(pause, left)):
            raise Stopped(f"stopped waiting for group {earlier.group!r} to become empty: nothing was changed")


@dataclass(frozen=True, slots=True)
class Second:
    """What a second look at a reset's offsets found: those lost again, and lines for people."""

    lost: Mapping[TopicPartition, Problem]
    lines: tuple[str, ...]


def second_look(
    session: Session,
    group: str,
    applied: Sequence[ResetEntry],
    after: float,
    stop: Callable[[], bool],
    on_wait: Callable[[float], None],
) -> Second:
    """Wait `after` seconds and read the offsets again that a reset has put in place.

    `stop` ends the waiting early, `on_wait` gets the seconds that are left. Members that have read on from where they
    were put are no trouble; an offset that moved in a group without members was overwritten. Raises nothing for what
    cannot be seen: that becomes a line.
    """
    began = time.monotonic()
    while (left := began + after - time.monotonic()) > 0 and not stop():
        on_wait(left)
        time.sleep(min(0.2, left))
    waited = time.monotonic() - began
    client = session.require_kafka()
    try:
        now = client.committed(group, [(e.topic, e.partition) for e in applied])
        members = client.group(group).members or ()
    except LogqError as error:
        return Second({}, (f"whether it stays could not be looked at {waited:.0f} s later: {error}",))
    lost: dict[TopicPartition, Problem] = {}
    read_on = 0
    first = ""
    for e in applied:
        reads = now.get((e.topic, e.partition))
        if reads == e.new or isinstance(reads, Problem):
            continue
        if members and reads is not None and e.new is not None and reads > e.new:
            read_on += 1
            continue
        where = f"{e.topic} partition {e.partition}"
        shown = DASH if reads is None else f"{reads:,}"
        said = f"was set to {e.new:,} and read back, {waited:.0f} s later it reads {shown}"
        first = first or f"{where} {said}"
        lost[e.topic, e.partition] = Problem(where, OVERWRITTEN, f"{OVERWRITTEN}: {said}")
    if lost:
        return Second(
            lost,
            (
                f"{OVERWRITTEN}: {plural(len(lost), 'partition')} of {len(applied):,} did not stay: {first}",
                "somebody who is no member commits for this group: a consumer that assigns its partitions itself "
                "(assign(), which no broker lists), or another tool; stop it, then reset again",
            ),
        )
    if read_on:
        return Second({}, (f"{plural(len(members), 'member')} came back and read on from there",))
    return Second({}, (f"read again {waited:.0f} s later: nothing has overwritten it",))
