"""The whole Kafka side in one look, and one group or topic closely.

Every broker is asked at once and answers for itself: its groups and their committed offsets as coordinator, then, when
the committed offsets of those who answer are in, the offsets of the partitions it leads. A silent broker delays nothing
that the others know; what it alone could tell is kept from the look before, with its age.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from console.errors import LogqError
from console.kafka import codes, offsets
from console.kafka.cluster import RETRY_PAUSE, Cluster, Metadata
from console.kafka.collector import held_back
from console.kafka.groups import Described, Listed, describe, held, listed
from console.kafka.offsets import COMMITTED, EARLIEST, LATEST, UNCOMMITTED, Committed, Partition
from console.kafka.wire import WireError
from console.model import Broker, Group, GroupPartition, KafkaSnapshot, Member, Problem, Topic, TopicPartition

OnPartial = Callable[[KafkaSnapshot], None]

_GRACE = 0.5  # seconds the end offsets wait for the slower coordinators
_SILENT_PATIENCE = 1.5  # seconds for a broker that was silent the last time
_PUBLISH_EVERY = 0.1
_FAILOVER = 30.0  # seconds in which the groups of a coordinator that is gone may not be listed by another yet

_MEMBERLESS = frozenset({"empty", "dead"})
_PASSING = codes.names(codes.COORDINATOR_MOVED | {codes.GROUP_ID_NOT_FOUND})

OLD = "OLD"
"""The code of the problem that marks a group, and its partitions, as kept from an earlier look."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a partition reaches; the problem says why an offset is missing."""

    start: int | None = None
    end: int | None = None
    stable_end: int | None = None
    problem: Problem | None = None


_UNSEEN = Reach()


@dataclass(slots=True)
class _Look:
    """What one snapshot has seen so far."""

    metadata: Metadata
    before: KafkaSnapshot | None
    groups: dict[str, Listed] = field(default_factory=dict)
    committed: dict[str, Committed] = field(default_factory=dict)
    group_problems: dict[str, Problem] = field(default_factory=dict)
    described: dict[str, Described] = field(default_factory=dict)
    """The members of the groups that have some."""
    describing: set[asyncio.Task[set[str]]] = field(default_factory=set)
    reach: dict[Partition, Reach] = field(default_factory=dict)
    broker_problems: dict[int, Problem] = field(default_factory=dict)
    listed: set[int] = field(default_factory=set)
    """Brokers that have told which groups they coordinate."""
    answered: set[int] = field(default_factory=set)
    """Brokers that have answered anything."""

    def earlier(self) -> Mapping[str, Group]:
        """The groups of the look before, by name."""
        return {g.name: g for g in self.before.groups} if self.before else {}


async def snapshot(
    cluster: Cluster, deadline: float, on_partial: OnPartial | None = None, before: KafkaSnapshot | None = None
) -> KafkaSnapshot:
    """Brokers, groups and topics with their offsets, by the deadline at the latest; what failed is in the problems.

    `on_partial` gets the picture as it fills in, on the loop's thread: it must neither block nor raise. `before` is the
    last look: what a silent coordinator knew is taken from it. Raises `Unreachable` or `Denied` only when no broker
    answers at all.
    """
    look = _Look(await cluster.metadata(deadline), before)
    loop = asyncio.get_running_loop()
    silent = set(cluster.silent)

    def until(broker: int) -> float:
        return patience(deadline, broker in silent)

    running: set[asyncio.Task[set[str]]] = {
        asyncio.ensure_future(_coordinator(cluster, look, broker, until(broker))) for broker in look.metadata.brokers
    }
    publish_at = loop.time() + _GRACE
    try:
        coordinators = set(running)
        done, _ = await asyncio.wait(running, timeout=_GRACE)
        running = _begun(look, running - done)
        for task in done:
            task.result()
        running |= _leaders(cluster, look, until)
        changed = True
        while running:
            done, running = await asyncio.wait(running, timeout=_PUBLISH_EVERY, return_when=asyncio.FIRST_COMPLETED)
            running = _begun(look, running)
            late: set[str] = set()
            for task in done:
                if task in coordinators:
                    late |= task.result()
                else:
                    task.result()
            if late:  # these commits are younger than the end offsets: ask for those again
                running |= _leaders(cluster, look, until, late)
            changed = changed or bool(done)
            if running and on_partial and changed and (began := loop.time()) >= publish_at:
                on_partial(_picture(look, complete=False))
                changed = False
                # A picture of thousands of groups costs time that the answers need.
                publish_at = loop.time() + max(_PUBLISH_EVERY, 5 * (loop.time() - began))
    finally:
        for task in _begun(look, running):
            task.cancel()
    return _picture(look, complete=True)


def _begun(look: _Look, running: set[asyncio.Task[set[str]]]) -> set[asyncio.Task[set[str]]]:
    """What is under way, with what the coordinators' answers have begun meanwhile."""
    begun, look.describing = look.describing, set()
    return running | begun


def patience(deadline: float, silent: bool) -> float:
    """How long to wait for a broker: not to the deadline when it was silent the last time."""
    return min(deadline, asyncio.get_running_loop().time() + _SILENT_PATIENCE) if silent else deadline


async def _coordinator(cluster: Cluster, look: _Look, broker: int, deadline: float) -> set[str]:
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
    live = [g for g in mine if g.state.lower() not in _MEMBERLESS]
    if live:  # beside the offsets, never before them: these tell how far a group is
        look.describing.add(asyncio.ensure_future(_members(cluster, look, broker, live, deadline)))
    await _fetch(cluster, look, mine, deadline)
    return {topic for g in mine for topic, _ in look.committed.get(g.name, ())}


async def _members(cluster: Cluster, look: _Look, broker: int, groups: list[Listed], deadline: float) -> set[str]:
    """Who reads what: a group that has not committed yet is known by its members' assignments alone."""
    try:
        await describe(cluster, broker, groups, deadline, look.described.__setitem__)
    except WireError as error:
        for g in groups:
            why = Described(problem=Problem(f"group {g.name}", error.code, f"its members: {error.message}"))
            look.described.setdefault(g.name, why)
    return set()


async def _fetch(cluster: Cluster, look: _Look, groups: list[Listed], deadline: float) -> None:
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


async def _located(cluster: Cluster, look: _Look, groups: list[Listed], deadline: float) -> list[Listed]:
    """The groups with the coordinator they have now."""
    now = await cluster.coordinators([g.name for g in groups], deadline)
    placed = [replace(g, coordinator=c) for g in groups if isinstance(c := now.get(g.name), int)]
    look.groups.update({g.name: g for g in placed})
    return placed


def _leaders(
    cluster: Cluster, look: _Look, until: Callable[[int], float], topics: set[str] | None = None
) -> set[asyncio.Task[set[str]]]:
    """One task for each leader that asks for its partitions' offsets (of these topics, or of all)."""
    partitions = [
        (t.name, p)
        for t in look.metadata.topics.values()
        if not t.error and (topics is None or t.name in topics)
        for p in t.partitions
    ]
    tasks = set()
    for leader, theirs in offsets.by_leader(look.metadata, partitions).items():
        if leader is None:
            look.reach.update({k: Reach(problem=offsets.without_leader(look.metadata, k)) for k in theirs})
        else:
            tasks.add(asyncio.ensure_future(_leader(cluster, look, leader, theirs, until(leader))))
    return tasks


async def _leader(cluster: Cluster, look: _Look, leader: int, partitions: list[Partition], deadline: float) -> set[str]:
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


# ---------------------------------------------------------------- the picture


def _picture(look: _Look, complete: bool) -> KafkaSnapshot:
    now = time.time()
    before = look.earlier()
    with held_back():
        groups = {name: _group(look, listed, before.get(name), now, complete) for name, listed in look.groups.items()}
    groups |= {
        name: _kept(look, old) for name, old in before.items() if name not in groups and _may_hide(look, old, now)
    }
    topics = tuple(topic(look.metadata, name, look.reach) for name in look.metadata.topics)
    brokers = _brokers(look)
    problems = [look.broker_problems[b] for b in sorted(look.broker_problems)]
    problems += [
        Problem(
            f"broker {b.id}", "DOWN", f"broker {b.id} holds replicas but is not in the cluster now (down or fenced)"
        )
        for b in brokers
        if b.id not in look.metadata.brokers
    ]
    return KafkaSnapshot(
        at=now,
        cluster_id=look.metadata.cluster_id,
        controller=look.metadata.controller,
        brokers=brokers,
        groups=tuple(groups[name] for name in sorted(groups)),
        topics=topics,
        problems=tuple(problems),
        complete=complete and not problems and not look.group_problems,
    )


def _brokers(look: _Look) -> tuple[Broker, ...]:
    holding = {b for t in look.metadata.topics.values() for p in t.partitions.values() for b in (*p.replicas, *p.isr)}
    earlier = {b.id: b for b in look.before.brokers} if look.before else {}
    brokers = []
    for b in sorted(holding | set(look.metadata.brokers)):
        known = look.metadata.brokers.get(b)
        if known is None:
            brokers.append(replace(earlier.get(b, Broker(b, "", 0)), reachable=False))
        else:
            failed = b in look.broker_problems
            brokers.append(replace(known, reachable=not failed if failed or b in look.answered else None))
    return tuple(brokers)


def _group(look: _Look, seen: Listed, old: Group | None, now: float, complete: bool) -> Group:
    problem = look.group_problems.get(seen.name)
    members, hidden = _who(look, seen, old, complete)
    group = Group(
        seen.name,
        type=seen.type,
        state=seen.state,
        protocol=seen.protocol,
        coordinator=seen.coordinator,
        members=members,
        seen_at=now,
        problems=tuple(p for p in (problem, hidden) if p),
    )
    committed = look.committed.get(seen.name)
    if committed is not None:
        assigned = {topic for m in members or () for topic, _ in m.assignment}
        visible = assigned & look.metadata.topics.keys()
        return replace(group, partitions=held(partitions(look.metadata, committed, look.reach, visible), members or ()))
    if old is None or old.partitions is None:
        return group
    if problem is None:  # the answer is on its way: no reason to alarm anybody
        return replace(group, partitions=old.partitions, seen_at=old.seen_at)
    why = Problem(f"group {seen.name}", OLD, f"{problem.message}: an older picture")
    return replace(group, partitions=_aged(old, why), seen_at=old.seen_at, problems=(why,))


def _who(
    look: _Look, seen: Listed, old: Group | None, complete: bool
) -> tuple[tuple[Member, ...] | None, Problem | None]:
    """The members of a group, None where they are not known, and why they are not."""
    if seen.state.lower() in _MEMBERLESS:
        return (), None
    about = look.described.get(seen.name)
    if about is None:  # while the answer is on its way, those of the look before
        return (old.members if old is not None and not complete else None), None
    if about.problem and about.problem.code in _PASSING:  # it has gone or moved since it was listed
        return None, None
    return about.members, about.problem


def _kept(look: _Look, old: Group) -> Group:
    """A group that nobody lists now, as it was seen before; marked when its coordinator failed to answer."""
    broker = old.coordinator
    if broker in look.metadata.brokers and broker not in look.broker_problems:
        return old
    told = f"broker {broker}, which coordinates it, does not answer: an older picture"
    why = Problem(f"group {old.name}", OLD, told)
    return replace(old, partitions=_aged(old, why), problems=(why,))


def _may_hide(look: _Look, old: Group, now: float) -> bool:
    """Whether a group that nobody lists may still be there: its coordinator is silent, or not replaced yet."""
    if old.coordinator is None:
        return False
    if old.coordinator in look.metadata.brokers:
        return old.coordinator in look.broker_problems or old.coordinator not in look.listed
    commits = look.metadata.topics.get("__consumer_offsets")
    unled = commits is not None and any(p.leader is None for p in commits.partitions.values())
    return unled or bool(look.broker_problems) or now - (old.seen_at or 0.0) < _FAILOVER


def _aged(old: Group, why: Problem) -> tuple[GroupPartition, ...] | None:
    """The partitions as they were, each saying so: old commits beside new ends would look like a stalled group."""
    return None if old.partitions is None else tuple(replace(p, problem=why) for p in old.partitions)


def partitions(
    metadata: Metadata, committed: Committed, reaches: dict[Partition, Reach], more: Iterable[str] = ()
) -> tuple[GroupPartition, ...]:
    """A group's partitions: those with a commit, and the rest of the same topics (and of `more` topics) without one.

    Partitions added since the last commit are missing from what the coordinator tells: no commit, not no partition.
    """
    rows = []
    numbers = offsets.by_topic(committed)
    for name in sorted(numbers.keys() | set(more)):
        found = metadata.topics.get(name)
        there = found.partitions if found else {}
        for number in sorted({*numbers.get(name, ()), *there}):
            offset = committed.get((name, number))
            far = reaches.get((name, number), _UNSEEN)
            problem = far.problem
            if isinstance(offset, Problem):
                offset, problem = None, offset
            leader = None
            if number in there:
                leader = there[number].leader if there[number].leader in metadata.brokers else None
            elif problem is None:
                problem = offsets.without_leader(metadata, (name, number))
            rows.append(
                GroupPartition(name, number, leader, far.start, offset, far.end, far.stable_end, problem=problem)
            )
    return tuple(rows)


def topic(metadata: Metadata, name: str, reaches: dict[Partition, Reach]) -> Topic:
    """A topic of the metadata with what is known of its offsets."""
    found = metadata.topics[name]
    rows = []
    for number, p in sorted(found.partitions.items()):
        far = reaches.get((name, number), Reach())
        rows.append(
            TopicPartition(
                number, p.leader, p.replicas, p.isr, p.offline, far.start, far.end, far.stable_end, far.problem
            )
        )
    problem = codes.problem(f"topic {name}", found.error) if found.error else None
    internal = found.internal or name.startswith("__")
    return Topic(name, tuple(rows), internal, problem=problem)
