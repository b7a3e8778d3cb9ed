"""Whether there is anything to read after an offset: records, or only transaction markers and what was aborted.

A client that commits its last message stays before the markers that follow it (KAFKA-10683), two of them where two
transactions ended one after the other, and before records of an aborted transaction, which it is never given. Such a
group is behind by the offsets and has read all there is.
"""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from console.kafka.cluster import Cluster
from console.kafka.messages import FETCH
from console.kafka.wire import WireError

Place = tuple[str, int, int]
"""Topic, partition and offset."""

_HEADER = struct.Struct(">qiibIhiqqqhii")  # a record batch of magic 2 (KIP-98)
_TRANSACTIONAL, _CONTROL = 0x10, 0x20
_READ_COMMITTED = 1
_BYTES = 64 * 1024


async def nothing_to_read(cluster: Cluster, places: Iterable[Place], deadline: float) -> frozenset[Place]:
    """The places after which a read_committed client gets nothing up to the end, as far as it can be told in time."""
    wanted = list(dict.fromkeys(places))
    metadata = await cluster.metadata(deadline, sorted({topic for topic, _, _ in wanted}))

    async def one(topic: str, partition: int, offset: int) -> bool:
        leader = metadata.leader(topic, partition)
        if leader is None:
            return False
        asked = {"partition": partition, "fetch_offset": offset, "partition_max_bytes": _BYTES}
        values = {
            "max_wait": 0,
            "min_bytes": 0,
            "isolation_level": _READ_COMMITTED,
            "topics": [{"topic": topic, "partitions": [asked]}],
        }
        try:
            answer = await cluster.ask(leader, FETCH, values, deadline, "records")
        except WireError:
            return False
        for found in answer.responses:
            for p in found.partitions:
                if (found.topic, p.partition_index) == (topic, partition) and not p.error_code:
                    return _only_markers(p, offset)
        return False

    rest = await asyncio.gather(*(one(*place) for place in wanted))
    return frozenset(place for place, empty in zip(wanted, rest, strict=True) if empty)


def _only_markers(p: Any, offset: int) -> bool:
    """Whether a partition's answer to a read_committed Fetch holds no record, and reaches to the end."""
    if p.last_stable_offset != p.high_watermark:
        return False  # something is not decided yet
    aborted = [(a.producer_id, a.first_offset) for a in p.aborted_transactions or ()]
    reached = only_markers(p.records or b"", offset, aborted)
    return reached is not None and reached >= p.high_watermark


def only_markers(records: bytes, offset: int, aborted: Iterable[tuple[int, int]]) -> int | None:
    """The offset that batches without a readable record reach to; None when there is a record at or after `offset`.

    `aborted` are the producers of aborted transactions with the first offset of each.
    """
    begun: dict[int, list[int]] = defaultdict(list)
    for number, first in sorted(aborted):
        begun[number].append(first)
    at, reached = 0, offset
    while at + _HEADER.size <= len(records):
        base, length, _, magic, _, attributes, last_delta, _, _, producer, _, _, count = _HEADER.unpack_from(
            records, at
        )
        if magic != 2 or length < _HEADER.size - 12:
            return None
        last = base + last_delta
        if last >= offset and count > 0 and not attributes & _CONTROL:
            undone = attributes & _TRANSACTIONAL and any(first <= base for first in begun.get(producer, ()))
            if not undone:
                return None
        elif attributes & _CONTROL and begun[producer] and begun[producer][0] <= base:
            begun[producer].pop(0)  # its transaction ends here; a later one of the same producer is another
        reached = max(reached, last + 1)
        at += 12 + length
    return reached
