"""Who holds a last stable offset back: the open transactions on partitions, and whether anybody will end them.

KIP-664's three questions, each to who can answer: a partition's leader knows the producers that have a transaction open
there (DescribeProducers), every broker the transactional ids it coordinates (ListTransactions), and the coordinator of
one its state, start and timeout (DescribeTransactions). A transaction that a leader has open and no coordinator hangs.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from console.kafka import codes, offsets
from console.kafka.cluster import Cluster, Metadata
from console.kafka.messages import DESCRIBE_PRODUCERS, DESCRIBE_TRANSACTIONS, LIST_TRANSACTIONS
from console.kafka.offsets import Partition
from console.kafka.wire import WireError
from console.model import Problem
from console.model_cluster import Held, HeldPartition, OpenTransaction

_UNDECIDED = frozenset({"ongoing", "preparecommit", "prepareabort", "prepareepochfence"})
_PARTITIONS_A_REQUEST = 500


@dataclass(frozen=True, slots=True)
class _Producer:
    """A producer with a transaction open on one partition, as the partition's leader knows it."""

    id: int
    epoch: int
    last_write: float | None
    held: HeldPartition


@dataclass(frozen=True, slots=True)
class _Known:
    """A transactional id as its coordinator knows it."""

    name: str
    producer_id: int
    state: str
    coordinator: int
    epoch: int | None = None
    started: float | None = None
    timeout: float | None = None
    partitions: frozenset[Partition] | None = None


async def open_transactions(cluster: Cluster, partitions: Iterable[Partition], deadline: float) -> Held:
    """The transactions that are open on these partitions (those whose last stable offset stays behind their end).

    Asks nobody when there are no partitions. What fails is in the problems.
    """
    wanted = list(dict.fromkeys(partitions))
    if not wanted:
        return Held()
    metadata = await cluster.metadata(deadline, sorted({topic for topic, _ in wanted}))
    problems: list[Problem] = []
    producers = await _producers(cluster, metadata, wanted, deadline, problems)
    if not producers:
        return Held(problems=tuple(problems))
    known, everybody = await _known(cluster, metadata, {p.id for p in producers}, deadline, problems)
    by_id: dict[tuple[int, int], list[_Producer]] = defaultdict(list)
    for p in producers:
        by_id[(p.id, p.epoch)].append(p)
    found = [_transaction(theirs, known.get(id_), everybody) for (id_, _), theirs in by_id.items()]
    return Held(tuple(sorted(found, key=lambda t: (t.since or 0.0, t.producer_id))), tuple(problems))


async def _producers(
    cluster: Cluster, metadata: Metadata, wanted: list[Partition], deadline: float, problems: list[Problem]
) -> list[_Producer]:
    found: list[_Producer] = []

    async def ask(leader: int, theirs: list[Partition]) -> None:
        try:
            for some in offsets.slices(theirs, _PARTITIONS_A_REQUEST):
                topics = [{"name": t, "partition_indexes": ps} for t, ps in offsets.by_topic(some).items()]
                answer = await cluster.ask(leader, DESCRIBE_PRODUCERS, {"topics": topics}, deadline)
                for topic in answer.topics:
                    for p in topic.partitions:
                        _take(topic.name, p, found, problems)
        except WireError as error:
            problems.append(Problem(f"broker {leader}", error.code, f"its producers: {error.message}"))

    leaders = offsets.by_leader(metadata, wanted)
    await asyncio.gather(*(ask(leader, theirs) for leader, theirs in leaders.items() if leader is not None))
    return found


def _take(topic: str, p: Any, found: list[_Producer], problems: list[Problem]) -> None:
    if p.error_code:
        problems.append(codes.problem(offsets.where((topic, p.partition_index)), p.error_code, p.error_message))
        return
    for producer in p.active_producers:
        if producer.current_txn_start_offset >= 0:
            held = HeldPartition(topic, p.partition_index, producer.current_txn_start_offset)
            wrote = producer.last_timestamp / 1000 if producer.last_timestamp >= 0 else None
            found.append(_Producer(producer.producer_id, producer.producer_epoch, wrote, held))


async def _known(
    cluster: Cluster, metadata: Metadata, producer_ids: set[int], deadline: float, problems: list[Problem]
) -> tuple[Mapping[int, _Known], bool]:
    """What the coordinators know of these producers, and whether all of them have answered."""
    found: dict[int, _Known] = {}
    everybody = True

    async def ask(broker: int) -> None:
        nonlocal everybody
        values = {
            "state_filters": (),
            "producer_id_filters": sorted(producer_ids),
            "duration_filter": -1,
            "transactional_id_pattern": None,
        }
        try:
            answer = await cluster.ask(broker, LIST_TRANSACTIONS, values, deadline)
            if answer.error_code:
                everybody = False
                problems.append(codes.problem(f"broker {broker}", answer.error_code))
            listed = [
                _Known(t.transactional_id, t.producer_id, t.transaction_state, broker)
                for t in answer.transaction_states
                if t.producer_id in producer_ids
            ]
            for known in await _described(cluster, broker, listed, deadline) if listed else ():
                found[known.producer_id] = known
        except WireError as error:
            everybody = False
            problems.append(Problem(f"broker {broker}", error.code, f"its transactions: {error.message}"))

    await asyncio.gather(*(ask(broker) for broker in metadata.brokers))
    return found, everybody


async def _described(cluster: Cluster, broker: int, listed: list[_Known], deadline: float) -> list[_Known]:
    """The same with start, timeout and partitions, where the coordinator tells them."""
    by_name = {known.name: known for known in listed}
    answer = await cluster.ask(broker, DESCRIBE_TRANSACTIONS, {"transactional_ids": tuple(by_name)}, deadline)
    for t in answer.transaction_states:
        known = by_name.get(t.transactional_id)
        if known is None or t.error_code:
            continue
        by_name[known.name] = _Known(
            known.name,
            t.producer_id,
            t.transaction_state,
            broker,
            t.producer_epoch,
            _epoch_seconds(t.transaction_start_time),
            _seconds(t.transaction_timeout),
            frozenset((topic.topic, p) for topic in t.topics for p in topic.partitions),
        )
    return list(by_name.values())


def _epoch_seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _seconds(length: timedelta) -> float | None:
    return length.total_seconds() if length > timedelta(0) else None


def _transaction(theirs: list[_Producer], known: _Known | None, everybody: bool) -> OpenTransaction:
    wrote = [p.last_write for p in theirs if p.last_write is not None]
    held = tuple(sorted((p.held for p in theirs), key=lambda h: (h.topic, h.partition)))
    last_write = max(wrote) if wrote else None
    first = theirs[0]
    if known is None:
        return OpenTransaction(first.id, first.epoch, held, last_write=last_write, hanging=True if everybody else None)
    return OpenTransaction(
        first.id,
        first.epoch,
        held,
        transactional_id=known.name,
        state=known.state,
        started=known.started if _is_this(known, first, held) else None,
        last_write=last_write,
        timeout=known.timeout,
        coordinator=known.coordinator,
        hanging=not _is_this(known, first, held),
    )


def _is_this(known: _Known, producer: _Producer, held: tuple[HeldPartition, ...]) -> bool:
    """Whether the transaction that a coordinator has open is the one that a leader has open.

    While a transaction is being decided its partitions are taken off one by one, so only an ongoing one must name them.
    """
    if known.state.lower() not in _UNDECIDED:
        return False
    if known.epoch is not None and producer.epoch > known.epoch:
        return False
    ongoing = known.state.lower() == "ongoing"
    return not ongoing or known.partitions is None or all((h.topic, h.partition) in known.partitions for h in held)
