"""Waiting for a group to catch up or a queue to be empty: what a deployment asks before it goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from console.errors import Unreachable
from console.model import Group, Queue
from console.text import DASH, count, plural

if TYPE_CHECKING:
    from console.ops.session import Session

T = TypeVar("T", Group, Queue)

EVERY_S = 2.0
EMPTY_LOOKS = 2
"""Looks in a row that must find a queue empty: its counts are approximate, and one of them alone proves little."""


@dataclass(frozen=True, slots=True)
class Waited(Generic[T]):
    """How a wait ended: whether the condition holds, why (or why not) in words, what was seen last, after how long."""

    held: bool
    reason: str
    seen: T | None
    seconds: float


def for_lag(
    session: Session, name: str, most: int, limit: float, cancel: threading.Event, on_look: Callable[[str], None]
) -> Waited[Group]:
    """Wait up to `limit` seconds until a group is at most `most` records behind, over all its partitions.

    A partition whose lag cannot be told, or that holds records and has no commit, does not count as caught up.
    `on_look` gets each look in words. Raises `NotFound` for an unknown group.
    """

    def look() -> tuple[Group, bool, str]:
        group = session.require_kafka().group(name)
        held, reason = behind(group, most)
        return group, held, reason

    return _until(look, limit, cancel, on_look, looks=1)


def for_empty(
    session: Session, name: str, limit: float, cancel: threading.Event, on_look: Callable[[str], None]
) -> Waited[Queue]:
    """Wait up to `limit` seconds until a queue has nothing visible, in flight or delayed, twice in a row.

    `on_look` gets each look in words. Raises `NotFound` for an unknown queue.
    """

    def look() -> tuple[Queue, bool, str]:
        queue = session.require_sqs(name).queue(name)
        held, reason = holds(queue)
        return queue, held, reason

    return _until(look, limit, cancel, on_look, looks=EMPTY_LOOKS)


def behind(group: Group, most: int) -> tuple[bool, str]:
    """Whether a group is at most `most` records behind, and how far it is in words. Pure."""
    partitions = group.partitions or ()
    unseen = [p for p in partitions if p.problem is not None or p.end is None]
    unread = [p for p in partitions if p not in unseen and p.committed is None and (p.end or 0) > (p.start or 0)]
    if unseen:
        why = unseen[0].problem.message if unseen[0].problem else "its end is not known"
        return False, f"the lag of {plural(len(unseen), 'partition')} is not known: {why}"
    if unread:
        return False, f"{plural(len(unread), 'partition')} with records and no commit yet"
    if group.lag is None:
        if not partitions:
            return False, "it has no partitions: nothing was committed and nobody reads"
        return True, "its partitions are empty"
    return group.lag <= most, f"{count(group.lag)} behind"


def holds(queue: Queue) -> tuple[bool, str]:
    """Whether a queue is empty, and what it holds in words. Pure."""
    counts = (queue.visible, queue.in_flight, queue.delayed)
    shown = tuple(DASH if n is None else count(n) for n in counts)
    return all(n == 0 for n in counts), f"{shown[0]} visible, {shown[1]} in flight, {shown[2]} delayed"


def _until(
    look: Callable[[], tuple[T, bool, str]],
    limit: float,
    cancel: threading.Event,
    on_look: Callable[[str], None],
    looks: int,
) -> Waited[T]:
    began = time.monotonic()
    seen: T | None = None
    row = 0
    while True:
        try:
            seen, held, reason = look()
            row = row + 1 if held else 0
        except Unreachable as error:  # servers that restart are what a deployment waits for, too
            row, reason = 0, str(error)
        on_look(reason)
        spent = time.monotonic() - began
        if row >= looks or spent >= limit or cancel.wait(min(EVERY_S, max(0.0, limit - spent))):
            return Waited(row >= looks, reason, seen, time.monotonic() - began)
