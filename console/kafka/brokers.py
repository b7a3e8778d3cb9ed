"""What each broker carries, and what logs take on its disks: every broker answers for itself."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from console.errors import LogqError
from console.kafka import codes, offsets
from console.kafka.cluster import Cluster, Metadata
from console.kafka.inspect import patience
from console.kafka.messages import DESCRIBE_LOG_DIRS, DESCRIBE_QUORUM
from console.kafka.offsets import Partition
from console.kafka.wire import WireError
from console.model import Broker, Problem
from console.model_cluster import BrokerLoad, BrokersView

_QUORUM_TOPIC = "__cluster_metadata"


@dataclass(frozen=True, slots=True)
class Disks:
    """A broker's log folders: bytes by partition, and of the disks where it tells (Kafka 3.3 and later)."""

    sizes: dict[Partition, int] = field(default_factory=dict)
    total: int | None = None
    free: int | None = None
    problem: Problem | None = None


async def disks(cluster: Cluster, broker: int, deadline: float, partitions: Iterable[Partition] | None = None) -> Disks:
    """What the logs of these partitions (None: of all) take on a broker's disks; a failure is its problem."""
    topics = None
    if partitions is not None:
        topics = [{"topic": t, "partitions": tuple(ps)} for t, ps in offsets.by_topic(partitions).items()]
    try:
        answer = await cluster.ask(broker, DESCRIBE_LOG_DIRS, {"topics": topics}, deadline)
    except WireError as error:
        return Disks(problem=Problem(f"broker {broker}", error.code, f"its log folders: {error.message}"))
    problem = None
    if getattr(answer, "error_code", 0):
        problem = codes.problem(f"broker {broker}", answer.error_code)
    sizes: dict[Partition, int] = defaultdict(int)
    total = free = 0
    told = bool(answer.results)
    for folder in answer.results:
        if folder.error_code:
            problem = problem or codes.problem(f"broker {broker}, {folder.log_dir}", folder.error_code)
            told = False
            continue
        for topic in folder.topics:
            for p in topic.partitions:
                if not p.is_future_key:  # a copy that is being moved between folders
                    sizes[(topic.name, p.partition_index)] += p.partition_size
        told = told and getattr(folder, "total_bytes", -1) >= 0
        total += getattr(folder, "total_bytes", -1)
        free += getattr(folder, "usable_bytes", -1)
    if not answer.results and problem is None:
        # A broker answers nothing at all to those who may not describe the cluster (before DescribeLogDirs v3).
        problem = codes.problem(f"broker {broker}", codes.CLUSTER_DENIED)
    return Disks(dict(sizes), total if told else None, free if told else None, problem)


async def sizes(
    cluster: Cluster, metadata: Metadata, deadline: float, topics: Iterable[str] | None = None
) -> tuple[dict[Partition, int], tuple[Problem, ...]]:
    """What each partition of these topics (None: of all) takes on its leader's disks, bytes; missing is unknown."""
    names = metadata.topics if topics is None else [name for name in topics if name in metadata.topics]
    wanted = [(name, p) for name in names for p in metadata.topics[name].partitions]
    leaders = {leader: theirs for leader, theirs in offsets.by_leader(metadata, wanted).items() if leader is not None}
    asked = await asyncio.gather(
        *(
            disks(cluster, leader, patience(deadline, leader in cluster.silent), None if topics is None else theirs)
            for leader, theirs in leaders.items()
        )
    )
    found: dict[Partition, int] = {}
    for theirs, seen in zip(leaders.values(), asked, strict=True):
        found |= {key: seen.sizes[key] for key in theirs if key in seen.sizes}
    return found, tuple(seen.problem for seen in asked if seen.problem)


async def brokers(cluster: Cluster, deadline: float) -> BrokersView:
    """Every broker of the cluster, also those that only hold replicas and are away, with what it carries.

    Raises `Unreachable` or `Denied` when nobody answers.
    """
    metadata = await cluster.metadata(deadline)
    (controller, problem), seen = await asyncio.gather(
        _controller(cluster, metadata, deadline),
        asyncio.gather(*(disks(cluster, b, patience(deadline, b in cluster.silent)) for b in metadata.brokers)),
    )
    by_broker = dict(zip(metadata.brokers, seen, strict=True))
    leads: Counter[int] = Counter()
    replicas: Counter[int] = Counter()
    behind: Counter[int] = Counter()
    short: Counter[int] = Counter()
    for topic in metadata.topics.values():
        for p in topic.partitions.values():
            replicas.update(p.replicas)
            behind.update(set(p.replicas) - set(p.isr))
            if p.leader is not None:
                leads[p.leader] += 1
                short[p.leader] += len(p.isr) < len(p.replicas)
    loads = []
    for number in sorted(replicas.keys() | metadata.brokers.keys()):
        there = metadata.brokers.get(number)
        load = by_broker.get(number, Disks())
        away = Problem(f"broker {number}", "DOWN", "not in the cluster now (down or fenced)")
        problem_here = load.problem if there else away
        silent = problem_here is not None and problem_here.where == f"broker {number}" and not load.sizes
        loads.append(
            BrokerLoad(
                broker=Broker(number, there.host, there.port, there.rack, not silent) if there else _away(number),
                controller=None if controller is None else number == controller,
                leads=leads[number],
                replicas=replicas[number],
                behind=behind[number],
                under_replicated=short[number],
                size=sum(load.sizes.values()) if there and load.problem is None else None,
                total=load.total,
                free=load.free,
                problem=problem_here,
            )
        )
    problems = tuple(p for p in (problem, *(load.problem for load in loads)) if p)
    return BrokersView(time.time(), metadata.cluster_id, controller, tuple(loads), problems)


def _away(number: int) -> Broker:
    return Broker(number, "", 0, reachable=False)


async def _controller(cluster: Cluster, metadata: Metadata, deadline: float) -> tuple[int | None, Problem | None]:
    """The active controller. Under KRaft the metadata names any broker instead, so the quorum is asked (KIP-595)."""
    values = {"topics": [{"topic_name": _QUORUM_TOPIC, "partitions": [{"partition_index": 0}]}]}
    awake = [b for b in metadata.brokers if b not in cluster.silent] or list(metadata.brokers)
    try:
        connection = await cluster.connection(awake[0], deadline)
        if not connection.supports(DESCRIBE_QUORUM):
            return metadata.controller, None  # ZooKeeper: what the metadata names is the controller
        answer = await cluster.ask(awake[0], DESCRIBE_QUORUM, values, deadline)
    except (WireError, LogqError) as error:
        return None, Problem("controller", "UNKNOWN", f"which is the active controller: {error}")
    if answer.error_code:
        return None, codes.problem("controller", answer.error_code)
    leaders = [p.leader_id for t in answer.topics for p in t.partitions if not p.error_code and p.leader_id >= 0]
    return (leaders[0] if leaders else None), None
