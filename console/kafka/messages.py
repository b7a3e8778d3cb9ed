"""Requests of any version from the same few values, and the table of the questions we ask.

Fields differ from version to version: what a version needs and is not given gets a neutral value (0, "", false, an
empty array), what it does not know is left out.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import timedelta
from functools import cache
from typing import Any, get_args, get_origin

from kio.index import load_request_schema, load_response_schema
from kio.schema.index import schema_name_map
from kio.serial import entity_writer

from console.kafka.reader import reader, without_none

KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Api:
    """One of Kafka's questions: its key and name, the versions we speak and how long an answer may be, in bytes."""

    key: int
    name: str
    limit: int = 4 * MIB
    cap: int = 99

    @property
    def versions(self) -> tuple[int, int]:
        """The lowest and highest version that kio has and our cap allows."""
        known = [v for v in schema_name_map[self.name] if v <= self.cap]
        return min(known), max(known)


# Above these caps topics are ids instead of names, which an admin tool cannot ask by.
FETCH = Api(1, "fetch", 16 * MIB, cap=12)
LIST_OFFSETS = Api(2, "list_offsets", 8 * MIB)
METADATA = Api(3, "metadata", 64 * MIB)
OFFSET_COMMIT = Api(8, "offset_commit", cap=9)
OFFSET_FETCH = Api(9, "offset_fetch", 16 * MIB, cap=9)
FIND_COORDINATOR = Api(10, "find_coordinator")
DESCRIBE_GROUPS = Api(15, "describe_groups", 32 * MIB)
LIST_GROUPS = Api(16, "list_groups", 16 * MIB)
SASL_HANDSHAKE = Api(17, "sasl_handshake", 64 * KIB)
API_VERSIONS = Api(18, "api_versions", 256 * KIB)
DESCRIBE_CONFIGS = Api(32, "describe_configs")
SASL_AUTHENTICATE = Api(36, "sasl_authenticate", 256 * KIB)
CONSUMER_GROUP_DESCRIBE = Api(69, "consumer_group_describe", 32 * MIB)
SHARE_GROUP_DESCRIBE = Api(77, "share_group_describe", 8 * MIB)
STREAMS_GROUP_DESCRIBE = Api(89, "streams_group_describe", 8 * MIB)
DESCRIBE_SHARE_GROUP_OFFSETS = Api(90, "describe_share_group_offsets", 8 * MIB)

SNAPSHOT_APIS = (
    *(API_VERSIONS, METADATA, LIST_GROUPS, OFFSET_FETCH, LIST_OFFSETS),
    *(DESCRIBE_GROUPS, CONSUMER_GROUP_DESCRIBE),
)
"""What a snapshot asks: their schemas are loaded ahead, 5 to 26 ms each."""


def request(api: Api, version: int, values: Mapping[str, Any]) -> Any:
    """The request of an API at a version; nested entities are given as mappings, arrays as sequences of them."""
    return build(load_request_schema(api.key, version), values)


def build(entity: Any, values: Mapping[str, Any]) -> Any:
    """A kio entity from plain values: unknown names are left out, missing ones neutral."""
    return entity(**{name: fit(values[name]) if name in values else neutral for name, fit, neutral in _plan(entity)})


def encode(api: Api, version: int, correlation: int, client_id: str, values: Mapping[str, Any]) -> bytes:
    """The bytes of a request with its header, without the length before it."""
    message = request(api, version, values)
    header_class = message.__header_schema__
    header = build(
        header_class,
        {
            "request_api_key": api.key,
            "request_api_version": version,
            "correlation_id": correlation,
            "client_id": client_id,
        },
    )
    buffer = io.BytesIO()
    entity_writer(header_class)(buffer, header)
    entity_writer(type(message))(buffer, message)
    return buffer.getvalue()


@cache
def response_class(api: Api, version: int) -> Any:
    """kio's class of the answer to an API at a version."""
    return load_response_schema(api.key, version)


def preload(apis: tuple[Api, ...] = SNAPSHOT_APIS) -> None:
    """Load the schemas of the newest versions ahead of their first use."""
    for api in apis:
        version = api.versions[1]
        load_request_schema(api.key, version)
        reader(response_class(api, version))


@cache
def _plan(entity: Any) -> tuple[tuple[str, Callable[[Any], Any], Any], ...]:
    """For each field its name, what makes its value from a plain one, and its neutral value."""
    return tuple((f.name, _fit(f), f.default if f.default is not MISSING else _neutral(f)) for f in fields(entity))


def _fit(field: Field[Any]) -> Callable[[Any], Any]:
    inner: Any = without_none(field.type)
    if get_origin(inner) is tuple:
        element: Any = get_args(inner)[0]
        if is_dataclass(element):
            return lambda given: None if given is None else tuple(build(element, item) for item in given)
        return lambda given: None if given is None else tuple(given)
    if is_dataclass(inner):
        return lambda given: None if given is None else build(inner, given)
    if str(field.metadata.get("kafka_type", "")).startswith("timedelta"):
        return lambda given: timedelta(milliseconds=given)
    return lambda given: given


def _neutral(field: Field[Any]) -> Any:
    inner = without_none(field.type)
    if get_origin(inner) is tuple:
        return ()
    if inner is not field.type:
        return None
    if is_dataclass(inner):
        return build(inner, {})
    kind = str(field.metadata["kafka_type"])
    if kind.startswith("timedelta"):
        return timedelta(0)
    return {"string": "", "bytes": b"", "bool": False, "records": None, "uuid": None}.get(kind, 0)
