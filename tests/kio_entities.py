"""kio's own entities and bytes from plain values: what stands for a broker in tests, and what ours is compared with."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from datetime import timedelta
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from kio.schema.errors import ErrorCode
from kio.serial import entity_writer


def is_optional(annotation: Any) -> bool:
    """Whether a value of this type may be null."""
    return get_origin(annotation) in (UnionType, Union) and NoneType in get_args(annotation)


def is_entity(annotation: Any) -> bool:
    """Whether it is a class of nested fields."""
    return is_dataclass(annotation)


def without_none(annotation: Any) -> Any:
    """The type of a field that may be null, without the null."""
    if is_optional(annotation):
        return next(a for a in get_args(annotation) if a is not NoneType)
    return annotation


def is_array(field: Field[Any]) -> bool:
    """Whether a field holds an array."""
    return get_origin(without_none(field.type)) is tuple


def element(field: Field[Any]) -> Any:
    """The type of an array's elements."""
    return without_none(get_args(without_none(field.type))[0])


def build(entity: Any, values: Mapping[str, Any]) -> Any:
    """A kio entity from plain values: unknown names are left out, missing ones neutral."""
    return entity(**{name: fit(values[name]) if name in values else neutral for name, fit, neutral in _plan(entity)})


def kio_bytes(entity: Any) -> bytes:
    """The bytes of an entity by kio's own writer, which takes error codes of its enum only."""
    buffer = io.BytesIO()
    fixed = with_codes(entity)
    entity_writer(type(fixed))(buffer, fixed)
    return buffer.getvalue()


def with_codes(entity: Any) -> Any:
    """An entity whose error codes are members of kio's enum."""
    changes: dict[str, Any] = {}
    for f in fields(entity):
        value = getattr(entity, f.name)
        if f.metadata.get("kafka_type") == "error_code" and not isinstance(value, tuple):
            changes[f.name] = ErrorCode(value)
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            changes[f.name] = tuple(with_codes(v) for v in value)
    return replace(entity, **changes)


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
