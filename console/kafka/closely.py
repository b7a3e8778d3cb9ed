"""One group or topic closely, and offsets of chosen partitions: what is open on a screen or about to be changed."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from console.errors import Denied, Failed, NotFound, Unreachable
from console.kafka import codes, offsets
from console.kafka.cluster import RETRY_PAUSE, Cluster, Metadata, TopicMeta, possible_name
from console.kafka.groups import Described, Listed, described, held, listed
from console.kafka.inspect import patience, reach
from console.kafka.messages import DESCRIBE_CONFIGS
from console.kafka.offsets import EARLIEST, LATEST, UNCOMMITTED, Committed, Partition
from console.kafka.picture import Reach, partitions
from console.kafka.picture import topic as _topic
from console.kafka.wire import WireError
from console.model import Group, Problem, Topic

_TOPIC = 2  # DescribeConfigs' resource type


async def group(cluster: Cluster, name: str, deadline: float) -> Group:
    """A group with its members, and every partition of the topics it has commits or assignments on.

    Raises `NotFound` when no broker lists it, `Unreachable` when it may be a silent broker's.
    """
    possible_name("group", name)
    metadata = await cluster.metadata(deadline)
    seen = await _find(cluster, metadata, name, deadline)
    problems: list[Problem] = []
    try:
        (committed, problem), about = await asyncio.gather(
            _all_committed(cluster, seen, deadline), _described(cluster, seen, deadline)
        )
    except WireError as error:
        raise Unreachable(f"group {name}: {error.message}") from None
    problems += [p for p in (problem, about.problem) if p]
    members = about.members or ()
    assigned = {topic for m in members for topic, _ in m.assignment}
    hidden = sorted(assigned - set(metadata.topics))
    if hidden:
        count = f"{len(hidden)} topic{'s' if len(hidden) > 1 else ''} of its members not visible"
        problems.append(Problem(f"group {name}", "NOT_VISIBLE", f"{count} with these credentials: {', '.join(hidden)}"))
    rows = partitions(metadata, committed or {}, {}, assigned)
    unsaid = [(r.topic, r.partition) for r in rows if r.committed is None and r.problem is None]
    if unsaid and seen.type != "share":
        # A transaction's pending first commit is left out unless it is asked for by name.
        try:
            by_name = await offsets.committed_by_name(cluster, seen.coordinator, name, unsaid, deadline)
            committed = {**by_name, **(committed or {})}
        except WireError as error:
            problems.append(Problem(f"group {name}", error.code, error.message))
    keys = [(r.topic, r.partition) for r in rows]
    reaches = await _reach(cluster, metadata, keys, deadline)
    rows = held(partitions(metadata, committed or {}, reaches, assigned), members)
    return Group(
        name,
        type=seen.type,
        state=about.state or seen.state,
        protocol=seen.protocol,
        coordinator=seen.coordinator,
        members=about.members,
        partitions=rows if committed is not None else None,
        seen_at=time.time(),
        problems=tuple(problems),
    )


async def _find(cluster: Cluster, metadata: Metadata, name: str, deadline: float) -> Listed:
    """The group as its coordinator lists it: the first broker that names it is enough."""

    async def look(broker: int) -> Listed | None:
        groups, problem = await listed(cluster, broker, deadline)
        found = next((g for g in groups if g.name == name), None)
        if found is None and problem:
            raise WireError(problem.code, f"broker {broker}: {problem.message}")
        return found

    running = {asyncio.ensure_future(look(broker)) for broker in metadata.brokers}
    failures: list[WireError] = []
    try:
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if isinstance(error, WireError):
                    failures.append(error)
                elif (found := task.result()) is not None:
                    return found
    finally:
        for task in running:
            task.cancel()
    if failures:
        raise Unreachable(f"group {name} is not listed by the brokers that answered, but {failures[0].message}")
    raise NotFound(f"no group {name} on this cluster; logq group list shows them")


async def _described(cluster: Cluster, seen: Listed, deadline: float) -> Described:
    try:
        return await described(cluster, seen, deadline)
    except WireError as error:
        return Described(problem=Problem(f"group {seen.name}", error.code, error.message))


async def _all_committed(cluster: Cluster, seen: Listed, deadline: float) -> tuple[Committed | None, Problem | None]:
    answers: dict[str, Committed | int] = {}
    ask = offsets.share_committed if seen.type == "share" else offsets.groups_committed
    loop = asyncio.get_running_loop()
    broker = seen.coordinator
    while True:
        await ask(cluster, broker, [seen.name], deadline, answers.__setitem__)
        answer = answers.get(seen.name)
        if not isinstance(answer, int):
            return answer, None
        if answer not in codes.COORDINATOR_MOVED or loop.time() + RETRY_PAUSE >= deadline:
            return None, codes.problem(f"group {seen.name}", answer)
        await asyncio.sleep(RETRY_PAUSE)
        now = (await cluster.coordinators([seen.name], deadline)).get(seen.name)
        broker = now if isinstance(now, int) else broker


async def _reach(
    cluster: Cluster, metadata: Metadata, keys: Iterable[Partition], deadline: float
) -> dict[Partition, Reach]:
    """How far partitions reach; each leader answers for its own, a silent one by the deadline."""
    found: dict[Partition, Reach] = {}
    asked = []
    for leader, theirs in offsets.by_leader(metadata, keys).items():
        if leader is None:
            found |= {k: Reach(problem=offsets.without_leader(metadata, k)) for k in theirs}
        else:
            until = patience(deadline, leader in cluster.silent)
            asked.append(reach(cluster, metadata, leader, theirs, until))
    for part in await asyncio.gather(*asked):
        found |= part
    return found


# ---------------------------------------------------------------- topics


async def topics(cluster: Cluster, deadline: float) -> tuple[Topic, ...]:
    """All topics with their offsets."""
    metadata = await cluster.metadata(deadline)
    keys = [(t.name, p) for t in metadata.topics.values() for p in t.partitions]
    reaches = await _reach(cluster, metadata, keys, deadline)
    return tuple(_topic(metadata, name, reaches) for name in metadata.topics)


def known(metadata: Metadata, name: str) -> TopicMeta:
    """A topic as the metadata has it. Raises `NotFound`, `Denied`."""
    found = metadata.topics.get(name)
    if found is None or found.error in (codes.UNKNOWN_TOPIC_OR_PARTITION, codes.INVALID_TOPIC):
        raise NotFound(f"no topic {name} on this cluster; logq topic list shows them")
    if found.error == codes.TOPIC_DENIED:
        raise Denied(f"topic {name}: {codes.words(codes.TOPIC_DENIED)}")
    return found


async def topic(cluster: Cluster, name: str, deadline: float) -> Topic:
    """One topic with its offsets and configuration (without what is sensitive). Raises `NotFound`, `Denied`."""
    metadata = await cluster.metadata(deadline, [name])
    found = known(metadata, name)
    reaches, (config, problem) = await asyncio.gather(
        _reach(cluster, metadata, [(name, p) for p in found.partitions], deadline),
        _config(cluster, metadata, name, deadline),
    )
    seen = _topic(metadata, name, reaches)
    return replace(seen, config=config, problem=seen.problem or problem)


async def _config(
    cluster: Cluster, metadata: Metadata, name: str, deadline: float
) -> tuple[tuple[tuple[str, str], ...], Problem | None]:
    values = {"resources": [{"resource_type": _TOPIC, "resource_name": name, "configuration_keys": None}]}
    awake = [b for b in metadata.brokers if b not in cluster.silent] or list(metadata.brokers)
    try:
        answer = await cluster.ask(awake[0], DESCRIBE_CONFIGS, values, deadline)
    except WireError as error:
        return (), Problem(f"topic {name}", error.code, error.message)
    for result in answer.results:
        if result.error_code:
            return (), codes.problem(f"topic {name}", result.error_code, result.error_message)
        return tuple(sorted((c.name, c.value or "") for c in result.configs if not c.is_sensitive)), None
    return (), None


# ---------------------------------------------------------------- chosen partitions


async def committed(
    cluster: Cluster, group: str, wanted: Sequence[Partition], deadline: float
) -> dict[Partition, int | Problem | None]:
    """The committed offsets of these partitions, asked by name, again while the coordinator is settling."""
    result: Committed = {}
    loop = asyncio.get_running_loop()
    while True:
        coordinator = (await cluster.coordinators([group], deadline)).get(group)
        if not isinstance(coordinator, int):
            missing = coordinator or codes.problem(f"group {group}", codes.COORDINATOR_NOT_AVAILABLE)
            return dict.fromkeys(wanted, missing)
        try:
            result = await offsets.committed_by_name(cluster, coordinator, group, wanted, deadline)
        except WireError as error:
            return dict.fromkeys(wanted, Problem(f"broker {coordinator}", error.code, error.message))
        moved = codes.names(codes.COORDINATOR_MOVED)
        settling = any(isinstance(v, Problem) and v.code in moved for v in result.values())
        if not settling or loop.time() + RETRY_PAUSE >= deadline:
            return result
        await asyncio.sleep(RETRY_PAUSE)


async def watermarks(
    cluster: Cluster, wanted: Sequence[Partition], deadline: float
) -> dict[Partition, tuple[int, int] | Problem]:
    """Log start and high watermark of these partitions."""
    starts, ends = await asyncio.gather(
        _by_leader(cluster, wanted, EARLIEST, deadline), _by_leader(cluster, wanted, LATEST, deadline)
    )
    found: dict[Partition, tuple[int, int] | Problem] = {}
    for key in wanted:
        start, end = starts[key], ends[key]
        if isinstance(start, Problem):
            found[key] = start
        elif isinstance(end, Problem):
            found[key] = end
        else:
            found[key] = (start, end)
    return found


async def offsets_for_time(
    cluster: Cluster, wanted: Sequence[Partition], at: float, deadline: float
) -> dict[Partition, int | Problem | None]:
    """The first offset at or after a time; None: no record that late."""
    if not math.isfinite(at):
        raise Failed("not a time")
    # Kafka's timestamps are whole milliseconds; those below 0 would ask for something else.
    found = await _by_leader(cluster, wanted, max(0, math.ceil(round(at * 1000, 3))), deadline)
    return {k: None if v == -1 else v for k, v in found.items()}


async def _by_leader(
    cluster: Cluster, wanted: Sequence[Partition], timestamp: int, deadline: float
) -> dict[Partition, int | Problem]:
    metadata = await cluster.metadata(deadline, sorted({topic for topic, _ in wanted}))
    found: dict[Partition, int | Problem] = {}
    asked = []
    for leader, theirs in offsets.by_leader(metadata, wanted).items():
        if leader is None:
            found |= {k: offsets.without_leader(metadata, k) for k in theirs}
        else:
            asked.append(offsets.partition_offsets(cluster, metadata, leader, theirs, timestamp, deadline, UNCOMMITTED))
    for part in await asyncio.gather(*asked):
        found |= part
    return found
