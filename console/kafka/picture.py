"""What the answers of one look add up to: groups with their partitions, topics, brokers.

What has not changed since the look before is the same object again, so that nothing downstream works it out anew; what
was not asked for this time stays as it was seen, with the time it was seen at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from console.kafka import codes, offsets
from console.kafka.cluster import Metadata
from console.kafka.collector import held_back
from console.kafka.groups import Described, Listed, held
from console.kafka.offsets import Committed, Partition
from console.model import Broker, Group, GroupPartition, KafkaSnapshot, Member, Problem, Topic, TopicPartition

_FAILOVER = 30.0  # seconds in which the groups of a coordinator that is gone may not be listed by another yet
MEMBERLESS = frozenset({"empty", "dead"})
_PASSING = codes.names(codes.COORDINATOR_MOVED | {codes.GROUP_ID_NOT_FOUND})

OLD = "OLD"
"""The code of the problem that marks a group, and its partitions, as kept from an earlier look."""


class Reach(Struct, frozen=True, gc=False):
    """How far a partition reaches; the problem says why an offset is missing."""

    start: int | None = None
    end: int | None = None
    stable_end: int | None = None
    problem: Problem | None = None


_UNSEEN = Reach()


class Look(Struct):
    """What one look has seen so far, and the look before it."""

    metadata: Metadata
    before: Past | None
    groups: dict[str, Listed] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    """The groups whose offsets are asked for this time."""
    committed: dict[str, Committed] = field(default_factory=dict)
    group_problems: dict[str, Problem] = field(default_factory=dict)
    described: dict[str, Described] = field(default_factory=dict)
    """The members of the groups that have some."""
    describing: set[asyncio.Task[set[str]]] = field(default_factory=set)
    topics: set[str] = field(default_factory=set)
    """The topics whose offsets are asked for this time."""
    reach: dict[Partition, Reach] = field(default_factory=dict)
    broker_problems: dict[int, Problem] = field(default_factory=dict)
    listed: set[int] = field(default_factory=set)
    """Brokers that have told which groups they coordinate."""
    answered: set[int] = field(default_factory=set)
    """Brokers that have answered anything."""


class Past(Struct, frozen=True):
    """A finished look: its picture, and the answers it was made of, to compare the next ones with."""

    picture: KafkaSnapshot
    look: Look
    groups: Mapping[str, Group]
    topics: Mapping[str, Topic]


def finished(look: Look) -> Past:
    """The look as the one before the next."""
    seen = picture(look, complete=True)
    look.before = None  # else every look ever taken would be kept
    return Past(seen, look, {g.name: g for g in seen.groups}, {t.name: t for t in seen.topics})


def picture(look: Look, complete: bool) -> KafkaSnapshot:
    """The cluster as far as this look has seen it."""
    now = time.time()
    before = look.before.groups if look.before else {}
    with held_back():
        same = _same_topics(look)
        groups = {name: _group(look, seen, before.get(name), now, complete, same) for name, seen in look.groups.items()}
        groups |= {
            name: _kept(look, old) for name, old in before.items() if name not in groups and _may_hide(look, old, now)
        }
        topics = tuple(_topic(look, name, now, same) for name in look.metadata.topics)
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


def _same_topics(look: Look) -> set[str]:
    """The topics that are as they were in the look before: leaders, and the offsets of every partition."""
    if look.before is None:
        return set()
    old, now = look.before.look, look.metadata
    return {
        name
        for name, found in now.topics.items()
        if (found is old.metadata.topics.get(name) or found == old.metadata.topics.get(name))
        and now.brokers.keys() == old.metadata.brokers.keys()
        and all(look.reach.get((name, p)) == old.reach.get((name, p)) for p in found.partitions)
    }


def _brokers(look: Look) -> tuple[Broker, ...]:
    holding = {b for t in look.metadata.topics.values() for p in t.partitions.values() for b in (*p.replicas, *p.isr)}
    earlier = {b.id: b for b in look.before.picture.brokers} if look.before else {}
    brokers = []
    for b in sorted(holding | set(look.metadata.brokers)):
        known = look.metadata.brokers.get(b)
        if known is None:
            brokers.append(replace(earlier.get(b, Broker(b, "", 0)), reachable=False))
        else:
            failed = b in look.broker_problems
            brokers.append(replace(known, reachable=not failed if failed or b in look.answered else None))
    return tuple(brokers)


# ---------------------------------------------------------------- groups


def _group(look: Look, seen: Listed, old: Group | None, now: float, complete: bool, same: set[str]) -> Group:
    if old is not None and seen.name not in look.asked:
        return old  # as it was seen last, at the time it says
    problem = look.group_problems.get(seen.name)
    members, hidden = _who(look, seen, old, complete)
    problems = tuple(p for p in (problem, hidden) if p)
    committed = look.committed.get(seen.name)
    seen_at, rows = now, None
    if committed is not None:
        assigned = {topic for m in members or () for topic, _ in m.assignment}
        visible = assigned & look.metadata.topics.keys()
        rows = _unchanged(look, seen.name, old, committed, members, visible, same)
        if rows is None:
            rows = held(partitions(look.metadata, committed, look.reach, visible), members or ())
    elif old is not None and old.partitions is not None:
        seen_at, rows = old.seen_at or now, old.partitions
        if problem is not None:  # without one the answer is on its way: no reason to alarm anybody
            why = Problem(f"group {seen.name}", OLD, f"{problem.message}: an older picture")
            rows, problems = _aged(old, why), (why,)
    return Group(
        seen.name,
        type=seen.type,
        state=seen.state,
        protocol=seen.protocol,
        coordinator=seen.coordinator,
        members=members,
        partitions=rows,
        seen_at=seen_at,
        problems=problems,
    )


def _unchanged(
    look: Look,
    name: str,
    old: Group | None,
    committed: Committed,
    members: tuple[Member, ...] | None,
    visible: set[str],
    same: set[str],
) -> tuple[GroupPartition, ...] | None:
    """The rows of the look before, where they would be the same again."""
    if old is None or look.before is None or old.members != members:
        return None
    if committed != look.before.look.committed.get(
        name
    ):  # also when it was not asked for then: other ends belong to it
        return None
    topics = {topic for topic, _ in committed} | visible
    return old.partitions if topics <= same else None


def _who(
    look: Look, seen: Listed, old: Group | None, complete: bool
) -> tuple[tuple[Member, ...] | None, Problem | None]:
    """The members of a group, None where they are not known, and why they are not."""
    if seen.state.lower() in MEMBERLESS:
        return (), None
    about = look.described.get(seen.name)
    if about is None:  # while the answer is on its way, those of the look before
        return (old.members if old is not None and not complete else None), None
    if about.problem and about.problem.code in _PASSING:  # it has gone or moved since it was listed
        return None, None
    return about.members, about.problem


def _kept(look: Look, old: Group) -> Group:
    """A group that nobody lists now, as it was seen before; marked when its coordinator failed to answer."""
    broker = old.coordinator
    if broker in look.metadata.brokers and broker not in look.broker_problems:
        return old
    told = f"broker {broker}, which coordinates it, does not answer: an older picture"
    why = Problem(f"group {old.name}", OLD, told)
    return replace(old, partitions=_aged(old, why), problems=(why,))


def _may_hide(look: Look, old: Group, now: float) -> bool:
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
    metadata: Metadata, committed: Committed, reaches: Mapping[Partition, Reach], more: Iterable[str] = ()
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
            key = (name, number)
            offset = committed.get(key)
            far = reaches.get(key, _UNSEEN)
            problem, leader, own_lag = far.problem, None, None
            if type(offset) is not int:  # of most it is: no more is asked about those
                if isinstance(offset, Problem):
                    offset, problem = None, offset
                elif isinstance(offset, offsets.ShareStart):
                    own_lag, offset = offset.lag, int(offset)
            if number in there:
                leader = metadata.leader(name, number)
            elif problem is None:
                problem = offsets.without_leader(metadata, key)
            rows.append(
                GroupPartition(
                    name, number, leader, far.start, offset, far.end, far.stable_end, problem=problem, own_lag=own_lag
                )
            )
    return tuple(rows)


# ---------------------------------------------------------------- topics


def _topic(look: Look, name: str, now: float, same: set[str]) -> Topic:
    old = look.before.topics.get(name) if look.before else None
    asked = name in look.topics
    if old is not None and name in same:
        return replace(old, seen_at=now) if asked else old
    return replace(topic(look.metadata, name, look.reach), seen_at=now if asked or old is None else old.seen_at)


def topic(metadata: Metadata, name: str, reaches: Mapping[Partition, Reach]) -> Topic:
    """A topic of the metadata with what is known of its offsets."""
    found = metadata.topics[name]
    rows = []
    for number, p in sorted(found.partitions.items()):
        far = reaches.get((name, number), _UNSEEN)
        rows.append(
            TopicPartition(
                number, p.leader, p.replicas, p.isr, p.offline, far.start, far.end, far.stable_end, far.problem
            )
        )
    problem = codes.problem(f"topic {name}", found.error) if found.error else None
    internal = found.internal or name.startswith("__")
    return Topic(name, tuple(rows), internal, problem=problem, id=found.id)
