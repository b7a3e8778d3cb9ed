"""The time of the record at an offset, for many partitions at once: one Fetch for each leader, batch headers by hand.

A record's time is in its batch: exact when the batch is not compressed (or by gzip, which Python reads), when it holds
one record or all of one time, or when the broker stamps the times; else between the batch's first and last time.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Mapping, Sequence

from console.kafka import offsets
from console.kafka.cluster import Cluster
from console.kafka.messages import FETCH
from console.kafka.offsets import Partition
from console.kafka.wire import WireError

Span = tuple[float, float]
"""The earliest and the latest the record can be, epoch seconds; equal when it is known."""

_HEADER = struct.Struct(">qiibIhiqqqhii")  # a record batch of magic 2 (KIP-98)
_MAGIC_AT = 16
_COMPRESSION, _LOG_APPEND_TIME = 0x07, 0x08
_GZIP = 1
_PARTITION_BYTES = 8 * 1024
_PARTITIONS_A_REQUEST = 500
_UNPACKED_LIMIT = 4 * 1024 * 1024
NEAR_ENOUGH = 1.0
"""Seconds between a batch's first and last record that still are one time for people."""


async def record_times(
    cluster: Cluster, positions: Mapping[Partition, int], deadline: float
) -> dict[Partition, float | None]:
    """The time of the record at (or first after) each offset, known to a second at least; None when it is not."""
    spans = await record_spans(cluster, positions, deadline)
    return {k: s[0] if s is not None and s[1] - s[0] <= NEAR_ENOUGH else None for k, s in spans.items()}


async def record_spans(
    cluster: Cluster, positions: Mapping[Partition, int], deadline: float
) -> dict[Partition, Span | None]:
    """When the record at (or first after) each offset can be from; None: at the end, expired, or no answer in time."""
    found: dict[Partition, Span | None] = dict.fromkeys(positions)
    metadata = await cluster.metadata(deadline, sorted({topic for topic, _ in positions}))
    asked = [
        _of_leader(cluster, leader, {k: positions[k] for k in theirs}, deadline, found)
        for leader, theirs in offsets.by_leader(metadata, positions).items()
        if leader is not None
    ]
    await asyncio.gather(*asked)
    return found


async def _of_leader(
    cluster: Cluster,
    leader: int,
    positions: Mapping[Partition, int],
    deadline: float,
    found: dict[Partition, Span | None],
) -> None:
    try:
        for some in offsets.slices(list(positions), _PARTITIONS_A_REQUEST):
            withheld = await _fetch(cluster, leader, {k: positions[k] for k in some}, deadline, found)
            # A batch larger than the limit comes only for the first partition that has data: ask for the rest alone.
            for key in withheld:
                await _fetch(cluster, leader, {key: positions[key]}, deadline, found)
    except WireError:
        return  # what was found stays; the rest is unknown


async def _fetch(
    cluster: Cluster,
    leader: int,
    positions: Mapping[Partition, int],
    deadline: float,
    found: dict[Partition, Span | None],
) -> Sequence[Partition]:
    """Fill in what one Fetch tells; the partitions that have data which did not come."""
    topics = [
        {
            "topic": topic,
            "partitions": [
                {"partition": p, "fetch_offset": positions[(topic, p)], "partition_max_bytes": _PARTITION_BYTES}
                for p in numbers
            ],
        }
        for topic, numbers in offsets.by_topic(positions).items()
    ]
    values = {"max_wait": 0, "min_bytes": 0, "isolation_level": 0, "topics": topics}
    answer = await cluster.ask(leader, FETCH, values, deadline, "records")
    withheld = []
    for topic in answer.responses:
        for p in topic.partitions:
            key = (topic.topic, p.partition_index)
            if p.error_code or key not in positions:
                continue
            if p.records:
                found[key] = span_at(p.records, positions[key])
            elif 0 <= positions[key] < p.high_watermark:
                withheld.append(key)
    return withheld if len(positions) > 1 else ()


def span_at(records: bytes, offset: int) -> Span | None:
    """When the first record at or after `offset` can be from, read from fetched batches; None when none is there."""
    at = 0
    while at + _HEADER.size <= len(records):
        if records[at + _MAGIC_AT] != 2:
            return None  # a message set of before Kafka 0.11
        base, length, _, _, _, attributes, last_delta, first, last, _, _, _, count = _HEADER.unpack_from(records, at)
        stop = at + 12 + length
        if stop <= at + _HEADER.size - 1:
            return None
        if base + last_delta >= offset and count > 0:
            body = records[at + _HEADER.size : stop]
            return _within(body, attributes, offset - base, first, last, count)
        at = stop
    return None


def _within(body: bytes, attributes: int, delta: int, first: int, last: int, count: int) -> Span | None:
    if last < 0:
        return None
    if attributes & _LOG_APPEND_TIME or first == last:
        return last / 1000, last / 1000
    compression = attributes & _COMPRESSION
    if compression == _GZIP:
        try:
            body = zlib.decompressobj(wbits=31).decompress(body, _UNPACKED_LIMIT)
        except zlib.error:
            return None
    exact = _walk(body, delta) if compression in (0, _GZIP) else None
    if exact is not None:
        return (first + exact) / 1000, (first + exact) / 1000
    if count == 1 or first < 0:
        return last / 1000, last / 1000
    return min(first, last) / 1000, last / 1000


def _walk(body: bytes, delta: int) -> int | None:
    """The time delta (ms) of the first record at or after an offset delta; None when the bytes end before it."""
    at = 0
    try:
        while at < len(body):
            length, at = _zigzag(body, at)
            if length <= 0:
                return None
            moment, after = _zigzag(body, at + 1)  # a byte of attributes comes first
            offset, _ = _zigzag(body, after)
            if offset >= delta:
                return moment
            at += length
    except IndexError:
        return None
    return None


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
        if shift > 63:
            raise IndexError
