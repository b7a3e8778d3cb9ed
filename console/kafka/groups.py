"""Which groups there are, and their members: asked by the API that fits its type.

DescribeGroups answers Dead for every group that is not classic, so the type from ListGroups decides the question.
"""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast, get_args

from msgspec import Struct
from msgspec.structs import replace

from console.kafka import codes
from console.kafka.cluster import RETRY_PAUSE, Cluster
from console.kafka.messages import (
    CONSUMER_GROUP_DESCRIBE,
    DESCRIBE_GROUPS,
    LIST_GROUPS,
    SHARE_GROUP_DESCRIBE,
    STREAMS_GROUP_DESCRIBE,
    Api,
)
from console.kafka.offsets import slices
from console.kafka.reader import DecodeError, decode_from
from console.kafka.schemas import assignment
from console.kafka.wire import WireError
from console.model import GroupPartition, GroupType, Member, Problem

_ASSIGNMENT_VERSION = 3
_LOADING_PATIENCE = 3.0  # seconds
_GROUPS_A_REQUEST = 50


class Listed(Struct, frozen=True, gc=False):
    """A group as its coordinator lists it."""

    name: str
    type: GroupType
    state: str
    protocol: str
    coordinator: int


class Described(Struct, frozen=True, gc=False):
    """A group's state and members; the problem says why there are none to show."""

    state: str = ""
    members: tuple[Member, ...] | None = None
    problem: Problem | None = None


async def listed(cluster: Cluster, broker: int, deadline: float) -> tuple[tuple[Listed, ...], Problem | None]:
    """The groups a broker coordinates, of every type; asked again for a while when it is still loading some.

    Raises `WireError`.
    """
    loop = asyncio.get_running_loop()
    settled = min(deadline - RETRY_PAUSE, loop.time() + _LOADING_PATIENCE)
    connection = await cluster.connection(broker, deadline)
    # A broker that does not say the type knows only classic groups, or (3.x) consumer groups beside them.
    unsaid: GroupType = "unknown" if connection.supports(CONSUMER_GROUP_DESCRIBE) else "classic"

    def read(answer: Any) -> tuple[int, tuple[Listed, ...]]:
        return answer.error_code, tuple(
            Listed(
                g.group_id,
                _type(getattr(g, "group_type", ""), unsaid),
                getattr(g, "group_state", ""),
                g.protocol_type,
                broker,
            )
            for g in answer.groups
        )

    while True:
        error, groups = await cluster.again(broker, LIST_GROUPS, None, dict, read, deadline)
        if error not in codes.COORDINATOR_MOVED or loop.time() >= settled:
            break
        await asyncio.sleep(RETRY_PAUSE)
    return groups, codes.problem(f"broker {broker}", error) if error else None


def _type(given: str, unsaid: GroupType) -> GroupType:
    lower = given.lower()
    return cast(GroupType, lower) if lower in get_args(GroupType) else unsaid


async def described(cluster: Cluster, group: Listed, deadline: float) -> Described:
    """The members of a group and what is assigned to them, asked of its coordinator. Raises `WireError`."""
    found: dict[str, Described] = {}
    await describe(cluster, group.coordinator, [group], deadline, found.__setitem__)
    if group.name not in found:
        raise WireError("NO_ANSWER", f"broker {group.coordinator} left group {group.name} out of its answer")
    return found[group.name]


async def describe(
    cluster: Cluster, broker: int, groups: Sequence[Listed], deadline: float, found: Callable[[str, Described], None]
) -> None:
    """The members of many groups of one coordinator, each type by its own API, some 50 groups a request.

    `found` is called for each group that is in the answers. Raises `WireError` when the broker does not answer; what
    came before stays found.
    """
    by_type: dict[GroupType, list[str]] = defaultdict(list)
    for g in groups:
        by_type[g.type].append(g.name)
    for kind in ("unknown", *get_args(GroupType)):
        names = by_type.pop(kind, [])
        api = _APIS[kind]

        def read(answer: Any, kind: GroupType = kind) -> list[tuple[str, int, Described]]:
            return [(one.group_id, one.error_code, _described(one, kind)) for one in answer.groups]

        for some in slices(names, _GROUPS_A_REQUEST):
            key = tuple(some)

            def values(names: tuple[str, ...] = key) -> dict[str, Any]:
                return {"groups": names, "group_ids": names}

            for name, error, about in await cluster.again(broker, api, key, values, read, deadline):
                if kind == "unknown" and error:
                    by_type["classic"].append(name)  # comes later in this loop
                else:
                    found(name, about)
            await asyncio.sleep(0)


_APIS: dict[GroupType, Api] = {
    "unknown": CONSUMER_GROUP_DESCRIBE,
    "classic": DESCRIBE_GROUPS,
    "consumer": CONSUMER_GROUP_DESCRIBE,
    "share": SHARE_GROUP_DESCRIBE,
    "streams": STREAMS_GROUP_DESCRIBE,
}
"""A type that is not known may be a consumer group of a 3.x broker: what that API does not know is classic."""


def _described(answer: Any, kind: GroupType) -> Described:
    if answer.error_code:
        detail = getattr(answer, "error_message", None)
        return Described(problem=codes.problem(f"group {answer.group_id}", answer.error_code, detail))
    if kind == "classic":
        members = tuple(_classic(m, answer.protocol_type) for m in answer.members)
    elif kind == "streams":
        sources = _sources(answer.topology)
        members = tuple(_streams(m, sources) for m in answer.members)
    else:
        members = tuple(_modern(m) for m in answer.members)
    return Described(answer.group_state, members)


def held(rows: Iterable[GroupPartition], members: Iterable[Member]) -> tuple[GroupPartition, ...]:
    """The partitions with the member that reads each; where members of a share group share one, none is named."""
    holders: dict[tuple[str, int], list[Member]] = defaultdict(list)
    for m in members:
        for topic, numbers in m.assignment:
            for number in numbers:
                holders[(topic, number)].append(m)
    if not holders:
        return tuple(rows)
    return tuple(
        replace(row, member=theirs[0].id, client_id=theirs[0].client_id, host=theirs[0].host)
        if len(theirs := holders.get((row.topic, row.partition), [])) == 1
        else row
        for row in rows
    )


def _host(raw: str) -> str:
    return raw.removeprefix("/")  # Java's InetAddress writes an address without a name as "/127.0.0.1"


def _classic(member: Any, protocol: str) -> Member:
    assignment = assigned(member.member_assignment) if protocol == "consumer" else ()
    instance = getattr(member, "group_instance_id", None)
    return Member(member.member_id, member.client_id, _host(member.client_host), instance, assignment)


def assigned(data: bytes) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The partitions in a classic member's assignment (ConsumerProtocolAssignment); empty when it cannot be read.

    The bytes come from the group's own clients, not from the broker: anything may stand there.
    """
    if len(data) < 2:
        return ()
    version = min(struct.unpack_from(">h", data)[0], _ASSIGNMENT_VERSION)
    if version < 0:
        return ()
    try:
        value, _ = decode_from(assignment(version), data, 2)
    except DecodeError:
        return ()
    return _sorted((t.topic, t.partitions) for t in value.assigned_partitions)


def _modern(member: Any) -> Member:
    assignment = _sorted((t.topic_name, t.partitions) for t in member.assignment.topic_partitions)
    instance = getattr(member, "instance_id", None)
    return Member(member.member_id, member.client_id, _host(member.client_host), instance, assignment)


def _sources(topology: Any) -> dict[str, tuple[str, ...]]:
    """The topics each subtopology of a streams group reads: a task of it is the same partition of all of them."""
    subtopologies = (topology.subtopologies if topology else None) or ()
    return {s.subtopology_id: (*s.source_topics, *(t.name for t in s.repartition_source_topics)) for s in subtopologies}


def _streams(member: Any, sources: dict[str, tuple[str, ...]]) -> Member:
    held: dict[str, list[int]] = defaultdict(list)
    for task in member.assignment.active_tasks:
        for topic in sources.get(task.subtopology_id, ()):
            held[topic].extend(task.partitions)
    return Member(
        member.member_id,
        member.client_id,
        _host(member.client_host),
        member.instance_id,
        _sorted((t, tuple(ps)) for t, ps in held.items()),
    )


def _sorted(pairs: Iterable[tuple[str, tuple[int, ...]]]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple(sorted((topic, tuple(sorted(partitions))) for topic, partitions in pairs))
