"""The whole Kafka side in one look.

Every broker is asked at once and answers for itself: its groups and their committed offsets as coordinator, then, when
the committed offsets of those who answer are in, the offsets of the partitions it leads. A silent broker delays nothing
that the others know; what it alone could tell is kept from the look before, with its age.

Where there are many groups and it is known which of them somebody looks at, those are asked for at every look, the
others in turns.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from math import ceil

from msgspec.structs import replace

from console.errors import LogqError
from console.kafka import codes, offsets
from console.kafka.cluster import RETRY_PAUSE, Cluster, Metadata
from console.kafka.groups import Described, Listed, describe, listed
from console.kafka.offsets import COMMITTED, EARLIEST, LATEST, UNCOMMITTED, Committed, Partition
from console.kafka.picture import MEMBERLESS, Look, Past, Reach, finished, picture
from console.kafka.wire import WireError
from console.model import KafkaSnapshot, Problem

OnPartial = Callable[[KafkaSnapshot], None]

_GRACE = 0.5  # seconds the end offsets wait for the slower coordinators
_SILENT_PATIENCE = 1.5  # seconds for a broker that was silent the last time
_PUBLISH_EVERY = 0.1
TURNS = 5
"""Everything that is not in view is asked for once in so many looks."""
FEW, FEW_PARTITIONS = 500, 2_000
"""So many groups and partitions are asked for at every look, whoever looks: they fit into one request."""


async def snapshot(
    cluster: Cluster,
    deadline: float,
    on_partial: OnPartial | None = None,
    before: Past | None = None,
    in_view: Collection[str] | None = None,
) -> Past:
    """Brokers, groups and topics with their offsets, by the deadline at the latest; what failed is in the problems.

    `on_partial` gets the picture as it fills in, on the loop's thread: it must neither block nor raise. `before` is the
    last look: what a silent coordinator knew is taken from it. `in_view` are the groups that somebody looks at: where
    there are many, the others are asked for in turns, once in `TURNS` looks, and say when they were seen; None: ask for
    all of them. Raises `Unreachable` or `Denied` only when no broker answers at all.
    """
    look = Look(await cluster.metadata(deadline), before)
    view = in_view if before is not None and len(before.groups) > FEW else None
    look.topics |= _topics_due(look, view)
    look.reach = _reach_kept(look)
    loop = asyncio.get_running_loop()
    silent = set(cluster.silent)

    def until(broker: int) -> float:
        return patience(deadline, broker in silent)

    running: set[asyncio.Task[set[str]]] = {
        asyncio.ensure_future(_coordinator(cluster, look, broker, view, until(broker)))
        for broker in look.metadata.brokers
    }
    publish_at = loop.time() + _GRACE
    try:
        coordinators = set(running)
        done, _ = await asyncio.wait(running, timeout=_GRACE)
        running = _begun(look, running - done)
        look.topics |= {topic for task in done for topic in task.result()}
        running |= _leaders(cluster, look, until, look.topics)
        changed = True
        while running:
            done, running = await asyncio.wait(running, timeout=_PUBLISH_EVERY, return_when=asyncio.FIRST_COMPLETED)
            running = _begun(look, running)
            late: set[str] = set()
            for task in done:
                # Commits are younger than the end offsets that are there already: those are asked for again.
                late |= task.result() if task in coordinators else task.result() - look.topics
            if late:
                look.topics |= late
                running |= _leaders(cluster, look, until, late)
            changed = changed or bool(done)
            if running and on_partial and changed and (began := loop.time()) >= publish_at:
                on_partial(picture(look, complete=False))
                changed = False
                # A picture of thousands of groups costs time that the answers need.
                publish_at = loop.time() + max(_PUBLISH_EVERY, 5 * (loop.time() - began))
    finally:
        for task in _begun(look, running):
            task.cancel()
    return finished(look)


def _topics_due(look: Look, view: Collection[str] | None) -> set[str]:
    """The topics whose offsets are asked for whatever the groups say: all, or their turn's part of very many."""
    names = look.metadata.topics.keys()
    partitions = sum(len(t.partitions) for t in look.metadata.topics.values())
    if view is None or look.before is None or partitions <= FEW_PARTITIONS:
        return set(names)
    old = look.before.topics
    oldest = sorted(names, key=lambda name: (old[name].seen_at or 0.0) if name in old else 0.0)
    return {name for name in names if name not in old} | set(oldest[: ceil(len(oldest) / TURNS)])


def _reach_kept(look: Look) -> dict[Partition, Reach]:
    """How far the partitions reached that are not asked for now."""
    old = look.before.look.reach if look.before else {}
    return {key: far for key, far in old.items() if key[0] not in look.topics}


def _groups_due(look: Look, listed: Sequence[Listed], view: Collection[str] | None) -> list[Listed]:
    """The groups whose offsets are asked for now: those in view, new or changed ones, and those whose turn it is."""
    if view is None or look.before is None:
        return list(listed)
    old = look.before.groups
    now: list[Listed] = []
    later: list[tuple[float, Listed]] = []
    for g in listed:
        seen = old.get(g.name)
        known = seen is not None and seen.partitions is not None and not seen.problems
        if seen is None or not known or g.name in view or (seen.state, seen.type) != (g.state, g.type):
            now.append(g)
        else:
            later.append((seen.seen_at or 0.0, g))
    later.sort(key=lambda pair: pair[0])
    return now + [g for _, g in later[: ceil(len(listed) / TURNS)]]


def _begun(look: Look, running: set[asyncio.Task[set[str]]]) -> set[asyncio.Task[set[str]]]:
    """What is under way, with what the coordinators' answers have begun meanwhile."""
    begun, look.describing = look.describing, set()
    return running | begun


def patience(deadline: float, silent: bool) -> float:
    """How long to wait for a broker: not to the deadline when it was silent the last time."""
    return min(deadline, asyncio.get_running_loop().time() + _SILENT_PATIENCE) if silent else deadline


async def _coordinator(
    cluster: Cluster, look: Look, broker: int, view: Collection[str] | None, deadline: float
) -> set[str]:
    """A broker's groups with their committed offsets, into the look; the topics they have commits on."""
    try:
        groups, problem = await listed(cluster, broker, deadline)
    except WireError as error:
        look.broker_problems[broker] = Problem(f"broker {broker}", error.code, error.message)
        return set()
    look.answered.add(broker)
    look.listed.add(broker)
    if problem:
        look.broker_problems[broker] = problem
    # A broker that has just woken may still list groups that have moved: the first to name one keeps it.
    mine = [g for g in groups if look.groups.setdefault(g.name, g) is g]
    due = _groups_due(look, mine, view)
    look.asked.update(g.name for g in due)
    live = [g for g in due if g.state.lower() not in MEMBERLESS]
    if live:  # beside the offsets, never before them: these tell how far a group is
        look.describing.add(asyncio.ensure_future(_members(cluster, look, broker, live, deadline)))
    await _fetch(cluster, look, due, deadline)
    return {topic for g in due for topic, _ in look.committed.get(g.name, ())}


async def _members(cluster: Cluster, look: Look, broker: int, groups: list[Listed], deadline: float) -> set[str]:
    """Who reads what: a group that has not committed yet is known by its members' assignments alone."""
    try:
        await describe(cluster, broker, groups, deadline, look.described.__setitem__)
    except WireError as error:
        for g in groups:
            why = Described(problem=Problem(f"group {g.name}", error.code, f"its members: {error.message}"))
            look.described.setdefault(g.name, why)
    found = (look.described[g.name].members or () for g in groups if g.name in look.described)
    return {topic for members in found for m in members for topic, _ in m.assignment}


async def _fetch(cluster: Cluster, look: Look, groups: list[Listed], deadline: float) -> None:
    """The committed offsets of groups, asked again while their coordinator is settling."""
    loop = asyncio.get_running_loop()
    waiting = groups
    while waiting:
        moved: list[Listed] = []

        def found(name: str, value: Committed | int, moved: list[Listed] = moved) -> None:
            if not isinstance(value, int):
                look.committed[name] = value
                look.group_problems.pop(name, None)
                return
            look.group_problems[name] = codes.problem(f"group {name}", value)
            if value in codes.COORDINATOR_MOVED and name in look.groups:
                moved.append(look.groups[name])

        by_broker: dict[tuple[int, bool], list[str]] = defaultdict(list)
        for g in waiting:
            by_broker[(g.coordinator, g.type == "share")].append(g.name)
        for (broker, share), names in by_broker.items():
            ask = offsets.share_committed if share else offsets.groups_committed
            try:
                await ask(cluster, broker, names, deadline, found)
            except WireError as error:
                for name in names:
                    if name not in look.committed:
                        look.group_problems.setdefault(name, Problem(f"group {name}", error.code, error.message))
        for g in waiting:
            if g.name not in look.committed and g.name not in look.group_problems:
                left_out = Problem(f"group {g.name}", "NO_ANSWER", "its coordinator left it out of its answer")
                look.group_problems[g.name] = left_out
        if not moved or loop.time() + RETRY_PAUSE >= deadline:
            return
        await asyncio.sleep(RETRY_PAUSE)
        try:
            waiting = await _located(cluster, look, moved, deadline)
        except LogqError:  # nobody answers any more: what was seen stays
            return


async def _located(cluster: Cluster, look: Look, groups: list[Listed], deadline: float) -> list[Listed]:
    """The groups with the coordinator they have now."""
    now = await cluster.coordinators([g.name for g in groups], deadline)
    placed = [replace(g, coordinator=c) for g in groups if isinstance(c := now.get(g.name), int)]
    look.groups.update({g.name: g for g in placed})
    return placed


def _leaders(
    cluster: Cluster, look: Look, until: Callable[[int], float], topics: set[str]
) -> set[asyncio.Task[set[str]]]:
    """One task for each leader that asks for its partitions' offsets, of these topics."""
    partitions = [
        (t.name, p) for t in look.metadata.topics.values() if not t.error and t.name in topics for p in t.partitions
    ]
    tasks = set()
    for leader, theirs in offsets.by_leader(look.metadata, partitions).items():
        if leader is None:
            look.reach.update({k: Reach(problem=offsets.without_leader(look.metadata, k)) for k in theirs})
        else:
            tasks.add(asyncio.ensure_future(_leader(cluster, look, leader, theirs, until(leader))))
    return tasks


async def _leader(cluster: Cluster, look: Look, leader: int, partitions: list[Partition], deadline: float) -> set[str]:
    seen = await reach(cluster, look.metadata, leader, partitions, deadline)
    look.reach.update(seen)
    lost = next((r.problem for r in seen.values() if r.problem and r.problem.where == f"broker {leader}"), None)
    if lost is None:
        look.answered.add(leader)
    else:
        look.broker_problems.setdefault(leader, lost)
    return set()


async def reach(
    cluster: Cluster, metadata: Metadata, leader: int, partitions: list[Partition], deadline: float
) -> dict[Partition, Reach]:
    """Log start, high watermark and last stable offset of a leader's partitions."""
    ends, stable, starts = await asyncio.gather(
        offsets.partition_offsets(cluster, metadata, leader, partitions, LATEST, deadline, UNCOMMITTED),
        offsets.partition_offsets(cluster, metadata, leader, partitions, LATEST, deadline, COMMITTED),
        offsets.partition_offsets(cluster, metadata, leader, partitions, EARLIEST, deadline),
    )
    found = {}
    for key in partitions:
        three = (starts[key], ends[key], stable[key])
        start, end, last = (None if isinstance(v, Problem) else v for v in three)
        found[key] = Reach(start, end, last, next((v for v in three if isinstance(v, Problem)), None))
    return found
