"""The generated writers: byte for byte what kio's own encoder makes, for every question at every version."""

from __future__ import annotations

import struct
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kio.index import load_request_schema
from kio_entities import build, element, is_array, is_optional, kio_bytes, without_none

from console.kafka import messages
from console.kafka.messages import FIND_COORDINATOR, OFFSET_FETCH, Api, header
from console.kafka.writer import written

APIS = [api for api in vars(messages).values() if isinstance(api, Api)]
SCHEMAS = {
    load_request_schema(api.key, v): api.question(v)
    for api in APIS
    for v in range(api.versions[0], api.versions[1] + 1)
}
"""kio's class -> our schema made from it."""
CLASSES = list(SCHEMAS)

_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int8": st.integers(-(2**7), 2**7 - 1),
    "int16": st.integers(-(2**15), 2**15 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "string": st.text(max_size=200),
    "bytes": st.binary(max_size=200),
    "timedelta_i32": st.integers(0, 2**31 - 1),
    "timedelta_i64": st.integers(0, 2**40),
    "datetime_i64": st.integers(0, 2**42),
    "uuid": st.none() | st.uuids(),
}


def values(entity: Any) -> st.SearchStrategy[Any]:
    """Plain values for a kio class, some of them left out."""
    plain = {f.name: _field(f) for f in fields(entity) if "tag" not in f.metadata}
    return st.fixed_dictionaries({}, optional=plain)


def _field(field: Any) -> st.SearchStrategy[Any]:
    inner = without_none(field.type)
    if is_array(field):
        item = element(field)
        one = values(item) if is_dataclass(item) else _PRIMITIVES[field.metadata["kafka_type"]]
        found: st.SearchStrategy[Any] = st.lists(one, max_size=3)
    elif is_dataclass(inner):
        found = values(inner)
    else:
        found = _PRIMITIVES[field.metadata["kafka_type"]]
    return st.none() | found if is_optional(field.type) else found


@pytest.mark.parametrize("entity", CLASSES, ids=lambda e: f"{e.__name__}-v{e.__version__}")
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_writes_what_kio_writes(entity: Any, data: st.DataObject) -> None:
    given_values = data.draw(values(entity))
    assert written(SCHEMAS[entity], given_values) == kio_bytes(build(entity, given_values))


def test_a_long_array_has_a_long_length() -> None:
    many = {"groups": [{"group_id": f"g{i}", "topics": None} for i in range(20_000)]}
    theirs = kio_bytes(build(load_request_schema(OFFSET_FETCH.key, 9), many))
    assert written(OFFSET_FETCH.question(9), many) == theirs


@pytest.mark.parametrize("version", [3, 4])
def test_a_header_is_kios_header(version: int) -> None:
    entity = load_request_schema(FIND_COORDINATOR.key, version).__header_schema__
    values = {"request_api_key": 10, "request_api_version": version, "correlation_id": 7, "client_id": "logq"}
    assert header(FIND_COORDINATOR, version, 7, "logq") == kio_bytes(build(entity, values))


@pytest.mark.parametrize(
    "wrong",
    [{"key": None}, {"key_type": 1_000}, {"key_type": "x"}, {"coordinator_keys": 5}, {"coordinator_keys": ["\udcff"]}],
)
def test_what_does_not_fit_the_schema_is_refused(wrong: dict[str, Any]) -> None:
    version = 3 if "key" in wrong else 4
    with pytest.raises((struct.error, TypeError, ValueError, AttributeError)):
        written(FIND_COORDINATOR.question(version), wrong)
