"""What works and what does not between here and the cluster, one line each, with the remedy."""

from __future__ import annotations

import asyncio

from console.errors import LogqError
from console.kafka import codes
from console.kafka.cluster import Cluster
from console.kafka.groups import listed
from console.kafka.messages import OFFSET_FETCH
from console.kafka.wire import WireError
from console.model import Broker
from console.model_check import Check


async def checks(cluster: Cluster, deadline: float) -> tuple[Check, ...]:
    """The address, every broker at the address it advertises, and what these credentials may see."""
    try:
        metadata = await cluster.metadata(deadline)
    except LogqError as error:
        return (
            Check("kafka address", False, str(error), "start the broker, or correct -b and the profile's properties"),
        )
    count = len(metadata.brokers)
    told = f"cluster {metadata.cluster_id or 'without an id'}, {count} broker{'s' if count != 1 else ''}"
    rest = await asyncio.gather(*(_broker(cluster, b, deadline) for b in metadata.brokers.values()))
    offline = sum(1 for t in metadata.topics.values() for p in t.partitions.values() if p.leader is None)
    partitions = sum(len(t.partitions) for t in metadata.topics.values())
    leaders = Check(
        "kafka leaders",
        offline == 0,
        f"{len(metadata.topics)} topics, {partitions} partitions, {offline} without a leader",
        "" if offline == 0 else "bring the brokers that hold their replicas back",
    )
    parts = [p for t in metadata.topics.values() for p in t.partitions.values()]
    behind = sorted({b for p in parts for b in p.replicas if b not in p.isr})
    short = sum(len(p.isr) < len(p.replicas) for p in parts)
    said = f" (out of sync: broker {', '.join(map(str, behind))})" if short else ""
    replicas = Check(
        "kafka replicas",
        short == 0,
        f"{short} of {partitions} partitions under-replicated{said}",
        "" if short == 0 else "look at that broker: logq broker list, then its log",
    )
    return (Check("kafka address", True, told), *rest, leaders, replicas)


async def _broker(cluster: Cluster, broker: Broker, deadline: float) -> Check:
    name = f"kafka broker {broker.id}"
    try:
        groups, problem = await listed(cluster, broker.id, deadline)
        version = (await cluster.connection(broker.id, deadline)).version(OFFSET_FETCH)
    except WireError as error:
        remedy = "the address it advertises (advertised.listeners) must be reachable from here"
        return Check(name, False, error.message, remedy)
    if problem:
        denied = problem.code == codes.name(codes.CLUSTER_DENIED)
        remedy = "these credentials need DESCRIBE on the cluster or its groups" if denied else "ask again in a moment"
        return Check(name, False, problem.message, remedy)
    how = "500 groups a request" if version >= 8 else "one group a request (older than Kafka 3.0)"
    return Check(
        name,
        True,
        f"answers at {broker.host}:{broker.port}, groups it coordinates: {len(groups)}, {how}",
    )
