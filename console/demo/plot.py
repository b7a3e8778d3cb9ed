"""The story line: what happens when, as tables; and pure functions that say how the world stands at a moment.

Three acts can play. The opening plays from the start; deploying the fix or breaking things again cuts the act that is
running and begins another. What an act has changed stays changed until another event changes it back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class World:
    """How the shop's services are.

    `panorama_bug`: image workers, the mailer, fulfillment and inventory fail on panorama prints. `billing_stalled`: its
    members are alive but take no record. `analytics_pace`: what analytics reads, as a share of what the shop produces.
    `indexer_running`: search-indexer has a member. `panorama_share`: how many of the orders with a picture (some 12 a
    second) are panoramas, the kind that the bad release fails on. `billing_down`: its members have left for the seconds
    that rolling out a release takes; an offset reset that waits for an empty group is applied then.
    """

    panorama_bug: bool = False
    billing_stalled: bool = False
    analytics_pace: float = 2.0
    indexer_running: bool = True
    panorama_share: float = 0.15
    billing_down: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens `at` seconds after its act begins; `changes` are fields of `World` with new values."""

    at: float
    text: str
    changes: tuple[tuple[str, bool | float], ...] = ()


OPENING: tuple[Event, ...] = (
    Event(0.0, "orders flow and every service keeps up"),
    Event(8.0, "search-indexer is switched off for maintenance", (("indexer_running", False),)),
    Event(12.0, "release 2026.47 goes out: panorama prints fail in four services", (("panorama_bug", True),)),
    Event(20.0, "billing stalls: its database does not answer", (("billing_stalled", True),)),
    Event(28.0, "analytics slows down: it reads 60 % of what arrives", (("analytics_pace", 0.6),)),
    Event(1800.0, "word gets round: hardly anybody orders a panorama now", (("panorama_share", 0.003),)),
)
"""What plays from the start: everything has gone wrong within half a minute.

The last event, here and in `BREAK`, keeps the dead letters of a demo left running over night to some thousands.
"""

FIX: tuple[Event, ...] = (
    Event(
        0.0,
        "release 2026.48 goes out: panorama prints work again",
        (("panorama_bug", False), ("panorama_share", 0.15), ("billing_down", True)),
    ),
    Event(
        4.0,
        "billing is back and its database answers: it works off what it missed",
        (("billing_stalled", False), ("billing_down", False)),
    ),
    Event(6.0, "analytics gets more power: it catches up", (("analytics_pace", 3.0),)),
)
"""What plays when the fix is deployed: the bug goes at once, billing restarts, the two other troubles go just after."""

BREAK: tuple[Event, ...] = (
    Event(
        0.0,
        "release 2026.47 is back: panorama prints fail in four services",
        (("panorama_bug", True), ("panorama_share", 0.15), ("billing_down", True)),
    ),
    Event(4.0, "billing is back with the old release", (("billing_down", False),)),
    Event(8.0, "billing stalls again: its database does not answer", (("billing_stalled", True),)),
    Event(16.0, "analytics slows down again: it reads 60 % of what arrives", (("analytics_pace", 0.6),)),
    Event(1800.0, "word gets round: hardly anybody orders a panorama now", (("panorama_share", 0.003),)),
)
"""What plays when things are broken again."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The acts played so far with the moment each began, in seconds since the story's start, oldest first."""

    acts: tuple[tuple[float, tuple[Event, ...]], ...] = ((0.0, OPENING),)


def play(timeline: Timeline, act: tuple[Event, ...], now: float) -> Timeline:
    """The timeline with `act` beginning at `now`; what the running act still had to come is cut."""
    return Timeline((*timeline.acts, (now, act)))


def happened(timeline: Timeline, now: float) -> tuple[Event, ...]:
    """The events up to and including `now`, in the order they happened."""
    ends = [began for began, _ in timeline.acts[1:]] + [float("inf")]
    return tuple(
        event
        for (began, act), end in zip(timeline.acts, ends, strict=True)
        for event in act
        if began + event.at <= now and began + event.at < end
    )


def coming(timeline: Timeline, now: float) -> tuple[Event, float] | None:
    """The next event and the seconds until it, None when the act has played out."""
    began, act = timeline.acts[-1]
    for event in act:
        if began + event.at > now:
            return event, began + event.at - now
    return None


def world(timeline: Timeline, now: float) -> World:
    """How the services are at `now`."""
    found = World()
    for event in happened(timeline, now):
        if event.changes:
            found = replace(found, **dict(event.changes))  # type: ignore[arg-type]
    return found
