"""The bounds-checked reader: the same values as kio's own decoder, and nothing but `DecodeError` for anything else."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import tracemalloc
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kio.index import load_response_schema
from kio.schema.errors import ErrorCode
from kio.serial import entity_reader, entity_writer
from kio_entities import element, is_array, without_none

from console.kafka import messages
from console.kafka.messages import Api
from console.kafka.reader import Answer, DecodeError, decode, decode_from, skip_tags
from console.kafka.writer import written

APIS = [api for api in vars(messages).values() if isinstance(api, Api)]
SCHEMAS = {
    load_response_schema(api.key, v): api.answer(v) for api in APIS for v in range(api.versions[0], api.versions[1] + 1)
}
"""kio's class -> our schema made from it."""
CLASSES = list(SCHEMAS)

_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int8": st.integers(-(2**7), 2**7 - 1),
    "int16": st.integers(-(2**15), 2**15 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint16": st.integers(0, 2**16 - 1),
    "string": st.text(max_size=140),
    "bytes": st.binary(max_size=20),
    "records": st.binary(max_size=20),
    "error_code": st.sampled_from(ErrorCode),
    "timedelta_i32": st.integers(0, 2**31 - 1).map(lambda ms: timedelta(milliseconds=ms)),
    "timedelta_i64": st.integers(0, 2**40).map(lambda ms: timedelta(milliseconds=ms)),
    "datetime_i64": st.integers(0, 2**42).map(lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)),
    "uuid": st.none() | st.uuids(),
}


def values(entity: Any) -> st.SearchStrategy[Any]:
    return st.builds(entity, **{f.name: _field(f) for f in fields(entity)})


def _field(field: Any) -> st.SearchStrategy[Any]:
    inner = without_none(field.type)
    optional = inner is not field.type and "tag" not in field.metadata
    if is_array(field):
        nested = element(field)
        item = values(nested) if is_dataclass(nested) else _PRIMITIVES[field.metadata["kafka_type"]]
        found: st.SearchStrategy[Any] = st.lists(item, max_size=3).map(tuple)
    elif is_dataclass(inner):
        found = values(inner)
    else:
        found = _PRIMITIVES[field.metadata["kafka_type"]]
    return st.none() | found if optional else found


def encode(value: Any) -> bytes:
    buffer = io.BytesIO()
    entity_writer(type(value))(buffer, value)
    return buffer.getvalue()


def plain(value: Any) -> Any:
    """A value with its nested ones as dictionaries: kio's dataclasses and ours, side by side."""
    if isinstance(value, Answer):
        return {name: plain(getattr(value, name)) for name in value.__slots__}
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    return tuple(plain(v) for v in value) if isinstance(value, tuple) else value


def is_a(value: Any, entity: Any) -> bool:
    """Whether a value has exactly the fields of a kio class."""
    return isinstance(value, Answer) and value.__slots__ == tuple(f.name for f in fields(entity))


@pytest.mark.parametrize("entity", CLASSES, ids=lambda e: f"{e.__name__}-v{e.__version__}")
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_reads_what_kio_reads(entity: Any, data: st.DataObject) -> None:
    value = data.draw(values(entity))
    raw = encode(value)
    mine = decode(SCHEMAS[entity], raw)
    assert plain(mine) == plain(value)
    theirs, size = entity_reader(entity)(raw, 0)
    assert plain(mine) == plain(theirs)
    assert size == len(raw)
    # Every proper beginning of it is refused, and so is a byte too many.
    with pytest.raises(DecodeError):
        decode(SCHEMAS[entity], raw[: data.draw(st.integers(0, len(raw) - 1))])
    with pytest.raises(DecodeError):
        decode(SCHEMAS[entity], raw + b"\0")


@pytest.mark.parametrize("entity", CLASSES, ids=lambda e: f"{e.__name__}-v{e.__version__}")
def test_what_is_absent_is_what_kio_says_it_is(entity: Any) -> None:
    """Neither arrays nor tagged fields in the answer: what stands for them."""
    raw = written(SCHEMAS[entity], {})
    theirs, size = entity_reader(entity)(raw, 0)
    assert size == len(raw)
    assert plain(decode(SCHEMAS[entity], raw)) == plain(theirs)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    entity=st.sampled_from(CLASSES),
    data=st.data(),
    damage=st.lists(st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=5)), min_size=1, max_size=4),
)
def test_damaged_bytes_are_a_value_or_a_decode_error(
    entity: Any, data: st.DataObject, damage: list[tuple[int, bytes]]
) -> None:
    raw = bytearray(encode(data.draw(values(entity))))
    for at, new in damage:
        at %= len(raw)
        raw[at : at + len(new)] = new
    try:
        value = decode(SCHEMAS[entity], bytes(raw))
    except DecodeError:
        return
    assert is_a(value, entity)


@settings(max_examples=250, deadline=None)
@given(entity=st.sampled_from(CLASSES), raw=st.binary(max_size=300))
def test_noise_is_a_value_or_a_decode_error(entity: Any, raw: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert is_a(decode(SCHEMAS[entity], raw), entity)


@pytest.mark.parametrize("length", [2**31 - 1, 100_000])
@pytest.mark.parametrize("entity", CLASSES, ids=lambda e: f"{e.__name__}-v{e.__version__}")
def test_a_huge_length_costs_nothing(entity: Any, length: int) -> None:
    """Wherever a length may stand, a huge one is refused before anything of that size is made."""
    raw = (b"\0\0\0\0\x01\0" * 4) + b"\x01" * 8
    varint = bytes([*((length >> shift) & 0x7F | 0x80 for shift in (0, 7, 14, 21)), length >> 28])
    tracemalloc.start()
    started = time.perf_counter()
    try:
        for at in range(len(raw)):
            for huge in (struct.pack(">i", length), varint):
                with contextlib.suppress(DecodeError):
                    decode(SCHEMAS[entity], raw[:at] + huge + raw[at:] + b"\0" * 64)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - started < 2


LISTED = messages.LIST_GROUPS.answer(5)
EMPTY_LIST = b"\0\0\0\0" + b"\0\0" + b"\x01"  # throttle, error, no groups; the tagged fields follow


def test_unknown_tagged_fields_are_skipped() -> None:
    value = decode(LISTED, EMPTY_LIST + b"\x02" + b"\x63\x03abc" + b"\xe7\x07\x00")
    assert value.groups == ()


@pytest.mark.parametrize(
    "tags", [b"\x01\x63\x04abc", b"\x02\x63\x00", b"\x01\x63", b"\xff\xff\xff\xff\x0f", b"\x01\xff\xff\xff\xff\xff\x01"]
)
def test_tagged_fields_that_do_not_fit_are_refused(tags: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(LISTED, EMPTY_LIST + tags)


def test_a_known_tagged_field_must_have_the_length_it_says() -> None:
    versions = messages.API_VERSIONS.answer(4)
    start = b"\0\0" + b"\x01" + b"\0\0\0\0"  # error, no keys, throttle
    assert decode(versions, start + b"\x01\x01\x08" + struct.pack(">q", 7)).finalized_features_epoch == 7
    with pytest.raises(DecodeError):
        decode(versions, start + b"\x01\x01\x09" + struct.pack(">q", 7) + b"\0")


def test_an_unknown_error_code_stays_a_number() -> None:
    value = decode(LISTED, b"\0\0\0\0" + struct.pack(">h", 31_000) + b"\x01\x00")
    assert value.error_code == 31_000
    assert type(value.error_code) is int


def test_a_name_that_is_not_utf8_does_not_cost_the_reply() -> None:
    row = b"\x03\xff\xfe" + b"\x01" * 3 + b"\x00"
    value = decode(LISTED, b"\0\0\0\0\0\0" + b"\x02" + row + b"\x00")
    assert value.groups[0].group_id.encode("utf-8", "surrogateescape") == b"\xff\xfe"


def test_a_null_where_none_may_be_is_refused() -> None:
    with pytest.raises(DecodeError):
        decode(LISTED, b"\0\0\0\0\0\0" + b"\x02" + b"\x00" + b"\x01" * 3 + b"\x00" + b"\x00")


def test_a_duration_out_of_range_is_refused() -> None:
    login = messages.SASL_AUTHENTICATE.answer(1)
    assert decode(login, b"\0\0" + b"\0\0" + b"\0\0\0\0" + struct.pack(">q", 90_000)).session_lifetime == timedelta(
        0, 90
    )
    with pytest.raises(DecodeError):
        decode(login, b"\0\0" + b"\0\0" + b"\0\0\0\0" + struct.pack(">q", 2**63 - 1))


def test_a_header_is_skipped_within_bounds() -> None:
    assert skip_tags(b"\0rest", 0) == 1
    assert skip_tags(b"\x01\x05\x02abrest", 0) == 5
    for bad in (b"", b"\x01\x05\x09ab", b"\xff", b"\x05\x01\x00"):
        with pytest.raises(DecodeError):
            skip_tags(bad, 0)


def test_decode_from_leaves_what_follows() -> None:
    value, end = decode_from(LISTED, EMPTY_LIST + b"\x00" + b"more")
    assert value.groups == ()
    assert end == len(EMPTY_LIST) + 1
