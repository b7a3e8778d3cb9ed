"""Committed offsets and partition offsets, as each broker answers for its own; every failure is data.

Committed offsets must be asked for before the end offsets, else a group that is reading looks ahead of the log.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from console.errors import LogqError
from console.kafka import codes
from console.kafka.cluster import RETRY_PAUSE, Cluster, Metadata
from console.kafka.messages import DESCRIBE_SHARE_GROUP_OFFSETS, LIST_OFFSETS, OFFSET_COMMIT, OFFSET_FETCH, Api
from console.kafka.wire import WireError
from console.model import Problem

T = TypeVar("T")
Partition = tuple[str, int]
Committed = dict[Partition, int | Problem | None]
"""By partition: the committed offset, None for no commit, or why it could not be seen."""


class ShareStart(int):
    """Where the start of a share group stands on a partition, with what it has left by its own count.

    Records after the start may have been acknowledged already.
    """

    lag: int

    def __new__(cls, offset: int, lag: int) -> ShareStart:
        """The start offset and the records left."""
        made = super().__new__(cls, offset)
        made.lag = lag
        return made

    def __eq__(self, other: object) -> bool:
        same = self.lag == other.lag if isinstance(other, ShareStart) else True
        return same and int.__eq__(self, other) is True

    __hash__ = int.__hash__


EARLIEST, LATEST = -2, -1
UNCOMMITTED, COMMITTED = 0, 1  # isolation levels: the high watermark, the last stable offset
_GROUPS_A_REQUEST = 500  # 5,000 at once hold the loop for 90 to 190 ms
_REQUESTS_AHEAD = 3  # the broker works on the next while we read the last
_PARTITIONS_A_REQUEST = 2_000
_TRIES = 3


def by_topic(partitions: Iterable[Partition]) -> dict[str, list[int]]:
    """The partitions' numbers by topic."""
    topics: dict[str, list[int]] = defaultdict(list)
    for topic, partition in partitions:
        topics[topic].append(partition)
    return topics


def slices(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in runs of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def where(partition: Partition) -> str:
    """How a problem names a partition."""
    return f"{partition[0]}/{partition[1]}"


# ---------------------------------------------------------------- committed


async def groups_committed(
    cluster: Cluster,
    broker: int,
    groups: Sequence[str],
    deadline: float,
    found: Callable[[str, Committed | int], None],
) -> None:
    """All committed offsets of the groups a broker coordinates, 500 groups a request where it can (KIP-709).

    `found` is called for each group with its offsets or the group's error code. Raises `WireError` when the broker
    does not answer; what came before stays found.
    """
    connection = await cluster.connection(broker, deadline)
    if connection.version(OFFSET_FETCH) >= 8:
        await _in_batches(cluster, broker, OFFSET_FETCH, "committed_offset", groups, deadline, found)
        return
    for some in slices(groups, 50):
        answers = await asyncio.gather(
            *(cluster.ask(broker, OFFSET_FETCH, {"group_id": g, "topics": None}, deadline) for g in some)
        )
        for name, answer in zip(some, answers, strict=True):
            found(name, getattr(answer, "error_code", 0) or _committed(answer.topics, "committed_offset"))


async def share_committed(
    cluster: Cluster,
    broker: int,
    groups: Sequence[str],
    deadline: float,
    found: Callable[[str, Committed | int], None],
) -> None:
    """The start offsets of share groups (KIP-932), -1 before the first delivery; as `groups_committed`.

    Where the broker tells what a group has left by its own count (KIP-1226), they are `ShareStart`.
    """
    await _in_batches(cluster, broker, DESCRIBE_SHARE_GROUP_OFFSETS, "start_offset", groups, deadline, found)


async def _in_batches(
    cluster: Cluster,
    broker: int,
    api: Api,
    field: str,
    groups: Sequence[str],
    deadline: float,
    found: Callable[[str, Committed | int], None],
) -> None:
    def read(answer: Any) -> dict[str, Committed | int]:
        return {g.group_id: g.error_code or _committed(g.topics, field) for g in answer.groups}

    gate = asyncio.Semaphore(_REQUESTS_AHEAD)

    async def ask(names: tuple[str, ...]) -> None:
        def values() -> dict[str, Any]:
            return {"groups": [{"group_id": g, "topics": None} for g in names], "require_stable": False}

        async with gate:
            for name, value in (await cluster.again(broker, api, names, values, read, deadline)).items():
                found(name, value)

    asked = (ask(tuple(some)) for some in slices(groups, _GROUPS_A_REQUEST))
    for outcome in await asyncio.gather(*asked, return_exceptions=True):
        if outcome is not None:
            raise outcome


def _committed(topics: Iterable[Any], field: str) -> Committed:
    found: Committed = {}
    for topic in topics:
        name = topic.name if hasattr(topic, "name") else topic.topic_name
        for p in topic.partitions:
            key, offset = (name, p.partition_index), getattr(p, field)
            if p.error_code:
                found[key] = codes.problem(where(key), p.error_code)
            elif offset >= 0:
                lag = getattr(p, "lag", -1)  # of share groups alone
                found[key] = offset if lag < 0 else ShareStart(offset, lag)
            elif offset == -1:
                found[key] = None
            else:
                found[key] = Problem(where(key), "BAD_OFFSET", f"the broker answered offset {offset}")
    return found


async def committed_by_name(
    cluster: Cluster, broker: int, group: str, partitions: Iterable[Partition], deadline: float
) -> Committed:
    """The committed offsets of these partitions, as their coordinator knows them.

    Asked for by name with stable offsets required, a pending transactional commit answers UNSTABLE_OFFSET_COMMIT and a
    forbidden topic TOPIC_AUTHORIZATION_FAILED; asked for with all, both are silently missing. Raises `WireError`.
    """
    wanted = list(dict.fromkeys(partitions))
    topics = [{"name": t, "partition_indexes": ps} for t, ps in by_topic(wanted).items()]
    one = {"group_id": group, "topics": topics}
    answer = await cluster.ask(broker, OFFSET_FETCH, {**one, "groups": [one], "require_stable": True}, deadline)
    part = answer.groups[0] if hasattr(answer, "groups") else answer
    if getattr(part, "error_code", 0):
        problem = codes.problem(f"group {group}", part.error_code)
        return dict.fromkeys(wanted, problem)
    seen = _committed(part.topics, "committed_offset")
    silent = Problem(f"group {group}", "NO_ANSWER", "the broker left this partition out of its answer")
    return {key: seen.get(key, silent) for key in wanted}


# ---------------------------------------------------------------- the log's offsets


async def partition_offsets(
    cluster: Cluster,
    metadata: Metadata,
    leader: int,
    partitions: Sequence[Partition],
    timestamp: int | Mapping[Partition, int],
    deadline: float,
    isolation: int = UNCOMMITTED,
) -> dict[Partition, int | Problem]:
    """The offsets that one leader answers for its partitions at a timestamp (EARLIEST, LATEST, or milliseconds).

    -1 is a possible answer for a time only (no record that late); any other offset below 0 is a problem. A leader that
    has just moved is looked up again, within the deadline. A silent broker is a problem of every partition.
    """
    result: dict[Partition, int | Problem] = {}
    for some in slices(partitions, _PARTITIONS_A_REQUEST):
        result.update(await _ask_leader(cluster, leader, some, timestamp, deadline, isolation))
        await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    for attempt in range(1, _TRIES):
        moved = [k for k, v in result.items() if isinstance(v, Problem) and v.code in codes.names(codes.LEADER_MOVED)]
        if not moved or loop.time() + RETRY_PAUSE * attempt >= deadline:
            break
        await asyncio.sleep(RETRY_PAUSE * attempt)
        try:
            metadata = await cluster.metadata(deadline, sorted({topic for topic, _ in moved}))
        except LogqError:  # nobody answers any more: what we have stays
            break
        for now, again in by_leader(metadata, moved).items():
            if now is not None:
                result.update(await _ask_leader(cluster, now, again, timestamp, deadline, isolation))
    return result


def by_leader(metadata: Metadata, partitions: Iterable[Partition]) -> dict[int | None, list[Partition]]:
    """The partitions by the broker that leads them; None: nobody does."""
    leaders: dict[int | None, list[Partition]] = defaultdict(list)
    for topic, partition in partitions:
        leaders[metadata.leader(topic, partition)].append((topic, partition))
    return leaders


def without_leader(metadata: Metadata, partition: Partition) -> Problem:
    """Why a partition has nobody to ask."""
    topic = metadata.topics.get(partition[0])
    if topic is None or (topic.error == 0 and partition[1] not in topic.partitions):
        return codes.problem(where(partition), codes.UNKNOWN_TOPIC_OR_PARTITION)
    if topic.error:
        return codes.problem(where(partition), topic.error)
    return codes.problem(where(partition), topic.partitions[partition[1]].error or codes.LEADER_NOT_AVAILABLE)


async def _ask_leader(
    cluster: Cluster,
    leader: int,
    partitions: Sequence[Partition],
    timestamp: int | Mapping[Partition, int],
    deadline: float,
    isolation: int,
) -> dict[Partition, int | Problem]:
    times = dict.fromkeys(partitions, timestamp) if isinstance(timestamp, int) else timestamp
    seconds = math.ceil(max(0.1, deadline - asyncio.get_running_loop().time()))

    def values() -> dict[str, Any]:
        topics = [
            {"name": t, "partitions": [{"partition_index": p, "timestamp": times[(t, p)]} for p in ps]}
            for t, ps in by_topic(partitions).items()
        ]
        return {"replica_id": -1, "isolation_level": isolation, "topics": topics, "timeout": seconds * 1000}

    def read(answer: Any) -> dict[Partition, int | Problem]:
        return _positions(answer, partitions, times)

    try:
        if not isinstance(timestamp, int):
            return read(await cluster.ask(leader, LIST_OFFSETS, values(), deadline))
        key = (timestamp, isolation, seconds, tuple(partitions))
        return await cluster.again(leader, LIST_OFFSETS, key, values, read, deadline)
    except WireError as error:
        return dict.fromkeys(partitions, Problem(f"broker {leader}", error.code, error.message))


def _positions(
    answer: Any, partitions: Sequence[Partition], times: Mapping[Partition, int]
) -> dict[Partition, int | Problem]:
    found: dict[Partition, int | Problem] = {}
    for topic in answer.topics:
        name = topic.name
        for p in topic.partitions:
            key, offset = (name, p.partition_index), p.offset
            if key not in times:
                continue
            if p.error_code:
                found[key] = codes.problem(where(key), p.error_code)
            elif offset >= 0 or (offset == -1 and times[key] >= 0):
                found[key] = offset
            else:
                found[key] = Problem(where(key), "NO_OFFSET", f"the leader answered offset {offset}")
    for key in partitions:
        if key not in found:
            found[key] = Problem(where(key), "NO_ANSWER", "the leader left it out of its answer")
    return found


# ---------------------------------------------------------------- changes


async def commit(
    cluster: Cluster, group: str, offsets: Mapping[Partition, int], deadline: float
) -> dict[Partition, Problem | None]:
    """Commit offsets for a group from outside it (member "", generation -1); None for each that was taken.

    A group with live members refuses each partition (UNKNOWN_MEMBER_ID). Asked again only when the answer itself says
    that nothing was written (the coordinator moved or is loading); after silence the outcome is unknown, and the
    problem says so. Raises `Unreachable` when no broker answers at all.
    """
    result: dict[Partition, Problem | None] = {}
    waiting = dict(offsets)
    loop = asyncio.get_running_loop()
    while waiting:
        coordinator = (await cluster.coordinators([group], deadline)).get(group)
        if not isinstance(coordinator, int):
            missing = coordinator or codes.problem(f"group {group}", codes.COORDINATOR_NOT_AVAILABLE)
            return result | dict.fromkeys(waiting, missing)
        result |= await _commit_at(cluster, coordinator, group, waiting, deadline)
        moved = codes.names(codes.COORDINATOR_MOVED)
        waiting = {k: waiting[k] for k in waiting if (p := result[k]) is not None and p.code in moved}
        if loop.time() + RETRY_PAUSE >= deadline:
            break
        if waiting:
            await asyncio.sleep(RETRY_PAUSE)
    return result


async def _commit_at(
    cluster: Cluster, coordinator: int, group: str, offsets: Mapping[Partition, int], deadline: float
) -> dict[Partition, Problem | None]:
    topics = [
        {
            "name": t,
            "partitions": [
                {"partition_index": p, "committed_offset": offsets[(t, p)], "committed_metadata": ""} for p in ps
            ],
        }
        for t, ps in by_topic(offsets).items()
    ]
    values = {
        "group_id": group,
        "generation_id_or_member_epoch": -1,
        "member_id": "",
        "retention_time": -1,
        "topics": topics,
    }
    try:
        connection = await cluster.fresh(coordinator, deadline)
    except WireError as error:  # nothing was sent yet
        return dict.fromkeys(offsets, Problem(f"broker {coordinator}", error.code, error.message))
    try:
        answer = await connection.ask(OFFSET_COMMIT, values, deadline)
    except WireError as error:
        sent = error.code not in ("UNSUPPORTED", "ENCODE")
        unknown = "; whether it was written is not known: read the offsets back" if sent else ""
        return dict.fromkeys(offsets, Problem(f"broker {coordinator}", error.code, error.message + unknown))
    finally:
        connection.close()
    found: dict[Partition, Problem | None] = {}
    for topic in answer.topics:
        for p in topic.partitions:
            key = (topic.name, p.partition_index)
            found[key] = codes.problem(where(key), p.error_code) if p.error_code else None
    lost = "the coordinator left it out of its answer: read the offsets back"
    return {k: found[k] if k in found else Problem(where(k), "NO_ANSWER", lost) for k in offsets}
