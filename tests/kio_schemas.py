"""Makes `console/kafka/schemas.json` from kio's classes: run it as `python tests/kio_schemas.py` after a change of kio
or of the questions we ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import timedelta
from typing import Any

import msgspec
from kio.index import load_entity_schema, load_request_schema, load_response_schema
from kio.schema.errors import ErrorCode
from kio.schema.index import schema_name_map
from kio.static.constants import EntityType
from kio_entities import element, is_array, is_entity, is_optional, without_none

from console.kafka import messages
from console.kafka.messages import Api
from console.kafka.schemas import FILE, Entity, Field, Version, schemas

APIS = tuple(api for api in vars(messages).values() if isinstance(api, Api))
ASSIGNMENT = "consumer_protocol_assignment"


def spoken(api: Api) -> Api:
    """A question that only tests ask: its schemas are added to those of the file, in this process."""
    schemas().apis[api.name] = {
        v: Version(*(msgspec.Raw(msgspec.json.encode(schema)) for schema in both.values()))
        for v, both in _versions(api).items()
    }
    return api


def made() -> bytes:
    """The file as it should be: every API of `console.kafka.messages` between its floor and its cap."""
    apis = {api.name: _versions(api) for api in APIS}
    assignment = {
        v: entity(load_entity_schema(ASSIGNMENT, v, EntityType.data)) for v in sorted(schema_name_map[ASSIGNMENT])
    }
    errors = {int(code): code.name.upper() for code in ErrorCode}
    parts = {
        "apis": _lines({name: _lines(versions) for name, versions in apis.items()}),
        "assignment": _lines(assignment),
        "errors": _lines(errors),
    }
    return bytes(_lines(parts)) + b"\n"


def _versions(api: Api) -> dict[int, dict[str, Entity]]:
    return {
        v: {
            "question": entity(load_request_schema(api.key, v), outermost=True),
            "answer": entity(load_response_schema(api.key, v), outermost=True),
        }
        for v in sorted(schema_name_map[api.name])
        if api.floor <= v <= api.cap
    }


def _lines(named: Mapping[Any, Any]) -> msgspec.Raw:
    """A JSON object with a line for each of its names."""
    lines = (b'"%s":%s' % (str(name).encode(), msgspec.json.encode(value)) for name, value in named.items())
    return msgspec.Raw(b"{\n" + b",\n".join(lines) + b"\n}")


def entity(found: Any, outermost: bool = False) -> Entity:
    """A kio class as a schema of ours."""
    return Entity(
        found.__name__,
        tuple(_field(f) for f in fields(found)),
        bool(found.__flexible__),
        outermost and bool(found.__header_schema__.__flexible__),
    )


def _field(f: Any) -> Field:
    inner = element(f) if is_array(f) else without_none(f.type)
    nested = entity(inner) if is_entity(inner) else None
    more: dict[str, Any] = {}
    if f.default is not MISSING and not (is_array(f) and f.default == ()):
        more["default"] = _default(f.default)
    return Field(
        f.name,
        "" if nested else str(f.metadata["kafka_type"]),
        nested,
        is_array(f),
        is_optional(f.type),
        f.metadata.get("tag"),
        **more,
    )


def _default(given: Any) -> int | bool | str | None:
    if isinstance(given, timedelta):
        return round(given.total_seconds() * 1000)
    if is_entity(type(given)):
        assert given == type(given)(), "an entity's default is its fields' defaults"
        return None
    if isinstance(given, bool) or given is None:
        return given
    return str(given) if isinstance(given, str) else int(given)


if __name__ == "__main__":
    FILE.write_bytes(made())
