"""Kafka's types: which are of fixed width, what becomes of their values, and how few bytes a thing takes at least."""

from __future__ import annotations

from functools import cache

from console.kafka.schemas import Entity

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


def width(kind: str, flexible: bool) -> int:
    """The fewest bytes a primitive takes."""
    if kind in FIXED:
        return FIXED[kind][1]
    if flexible:
        return 1
    return 2 if kind == "string" else 4


@cache
def least(entity: Entity) -> int:
    """The fewest bytes a value of an entity takes: what bounds an array's length."""
    total = 1 if entity.flexible else 0
    for f in entity.fields:
        if f.tag is not None:
            continue
        if f.array:
            total += 1 if entity.flexible else 4
        elif f.entity is not None:
            total += 1 if f.optional else least(f.entity)
        else:
            total += width(f.kind, entity.flexible)
    return max(total, 1)
