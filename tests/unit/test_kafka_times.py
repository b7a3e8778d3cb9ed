"""The time of a record out of batch bytes."""

from __future__ import annotations

import gzip
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.kafka.times import span_at

BASE = 1_700_000_000_000


def varint(value: int) -> bytes:
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def batch(base: int, deltas: list[tuple[int, int]], codec: int = 0, attributes: int = 0) -> bytes:
    """A batch of magic 2 with records at (offset delta, time delta in ms)."""
    body = b""
    for offset, moment in deltas:
        record = b"\0" + varint(moment) + varint(offset) + varint(-1) + varint(2) + b"hi" + varint(0)
        body += varint(len(record)) + record
    body = gzip.compress(body) if codec == 1 else b"?" * 40 if codec else body
    first, last = BASE + deltas[0][1], BASE + max(d for _, d in deltas)
    rest = struct.pack(">ibIhiqqqhii", 0, 2, 0, codec | attributes, deltas[-1][0], BASE, last, -1, -1, -1, len(deltas))
    assert first >= BASE
    return struct.pack(">qi", base, len(rest) + len(body)) + rest + body


def at(milliseconds: int) -> tuple[float, float]:
    return ((BASE + milliseconds) / 1000,) * 2


RECORDS = [(0, 0), (1, 5_000), (3, 9_000)]  # compaction took offset 2


@pytest.mark.parametrize("codec", [0, 1])
@pytest.mark.parametrize(("offset", "moment"), [(100, 0), (101, 5_000), (102, 9_000), (103, 9_000), (50, 0)])
def test_the_records_own_time(codec: int, offset: int, moment: int) -> None:
    assert span_at(batch(100, RECORDS, codec), offset) == at(moment)


def test_the_batch_that_holds_the_offset_counts() -> None:
    both = batch(100, RECORDS) + batch(104, [(0, 20_000)])
    assert span_at(both, 104) == at(20_000)
    assert span_at(both, 105) is None


@pytest.mark.parametrize("codec", [2, 3, 4])
def test_a_compressed_batch_gives_bounds(codec: int) -> None:
    assert span_at(batch(100, RECORDS, codec), 101) == (BASE / 1000, (BASE + 9_000) / 1000)
    assert span_at(batch(100, [(0, 700)], codec), 100) == at(700)  # one record: its time is known


def test_the_brokers_own_stamp_counts() -> None:
    assert span_at(batch(100, RECORDS, codec=4, attributes=8), 100) == at(9_000)


def test_a_batch_cut_short_tells_what_it_can() -> None:
    whole = batch(100, RECORDS)
    assert span_at(whole[:-10], 101) == at(5_000)
    assert span_at(whole[:60], 100) is None
    assert span_at(b"", 100) is None


@given(st.binary(max_size=200), st.integers(0, 2**62))
def test_noise_raises_nothing(raw: bytes, offset: int) -> None:
    span_at(raw, offset)


@given(st.integers(0, 300), st.binary(min_size=1, max_size=4), st.integers(90, 110), st.sampled_from([0, 1]))
def test_damage_raises_nothing(where: int, new: bytes, offset: int, codec: int) -> None:
    raw = bytearray(batch(100, RECORDS, codec) * 2)
    raw[where % len(raw) : where % len(raw) + len(new)] = new
    span_at(bytes(raw), offset)
