"""How kio's dataclasses describe Kafka's types: what a field is, how wide it is at least, whether it may be null."""

from __future__ import annotations

from dataclasses import Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

FIXED = {  # kind -> its code for struct, its width in bytes
    "bool": ("?", 1),
    "int8": ("b", 1),
    "int16": ("h", 2),
    "int32": ("i", 4),
    "int64": ("q", 8),
    "uint8": ("B", 1),
    "uint16": ("H", 2),
    "uint32": ("I", 4),
    "uint64": ("Q", 8),
    "float64": ("d", 8),
    "error_code": ("h", 2),
    "timedelta_i32": ("i", 4),
    "timedelta_i64": ("q", 8),
    "datetime_i64": ("q", 8),
    "uuid": ("16s", 16),
}
CONVERT = {"timedelta_i32": "duration", "timedelta_i64": "duration", "datetime_i64": "moment", "uuid": "uuid"}


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


def width(kind: str, flexible: bool) -> int:
    """The fewest bytes a primitive takes."""
    if kind in FIXED:
        return FIXED[kind][1]
    if flexible:
        return 1
    return 2 if kind == "string" else 4


@cache
def least(entity: Any) -> int:
    """The fewest bytes a value of a kio class takes: what bounds an array's length."""
    flexible: bool = entity.__flexible__
    total = 1 if flexible else 0
    for f in fields(entity):
        if "tag" in f.metadata:
            continue
        inner: Any = without_none(f.type)
        if get_origin(inner) is tuple:
            total += 1 if flexible else 4
        elif is_entity(inner):
            total += 1 if is_optional(f.type) else least(inner)
        else:
            total += width(str(f.metadata["kafka_type"]), flexible)
    return max(total, 1)
