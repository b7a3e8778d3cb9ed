"""Plain values -> the bytes of a request, by writers made from a schema's fields: the reader's counterpart.

kio's own encoder wants an instance of a dataclass for every nested thing and checks each of its fields: 30 ms for the
names of a thousand groups. Here a request is given as a mapping, its nested things as mappings in sequences. Fields
differ from version to version: what a version needs and is not given gets a neutral value (the schema's default, 0, "",
false, an empty array), what it does not know is left out. Tagged fields are left out too: they are optional by
definition (KIP-482), and no question asked here needs one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from uuid import UUID

from msgspec import UNSET

from console.kafka.fields import FIXED
from console.kafka.schemas import Entity, Field

Put = Callable[[bytes], object]
Write = Callable[[Put, Mapping[str, Any]], None]
"""Hands the bytes of an entity's values on, piece by piece."""

_SHORT = struct.Struct(">h").pack
_INT = struct.Struct(">i").pack
_ONE_BYTE = tuple(bytes([n]) for n in range(128))


def written(entity: Entity, values: Mapping[str, Any]) -> bytes:
    """The bytes of an entity with these values.

    Raises `struct.error`, `TypeError`, `ValueError` or `AttributeError` for values that do not fit the schema.
    """
    pieces: list[bytes] = []
    writer(entity)(pieces.append, values)
    return b"".join(pieces)


@cache
def writer(entity: Entity) -> Write:
    """The writer of an entity."""
    flexible = entity.flexible
    parts = [_part(f, flexible) for f in entity.fields if f.tag is None]

    def write(put: Put, values: Mapping[str, Any]) -> None:
        for name, neutral, write_field in parts:
            write_field(put, values.get(name, neutral))
        if flexible:
            put(b"\0")  # no tagged fields

    return write


def _part(field: Field, flexible: bool) -> tuple[str, Any, Callable[[Put, Any], None]]:
    """A field's name, its neutral value, and what writes its value."""
    return field.name, _neutral(field), _value(field, flexible)


def _value(field: Field, flexible: bool) -> Callable[[Put, Any], None]:
    length = _compact if flexible else _INT
    if field.array:
        inner = field.entity
        item = writer(inner) if inner is not None else _primitive(field.kind, flexible, False)
        return _array(item, length, field.optional)
    if field.entity is not None:
        return _entity(writer(field.entity), field.optional)
    return _primitive(field.kind, flexible, field.optional)


def _array(
    item: Callable[[Put, Any], None], length: Callable[[int], bytes], optional: bool
) -> Callable[[Put, Any], None]:
    def write(put: Put, given: Any) -> None:
        if given is None:
            put(_null(length, optional))
            return
        put(length(len(given)))
        for one in given:
            item(put, one)

    return write


def _entity(write_inner: Write, optional: bool) -> Callable[[Put, Any], None]:
    def write(put: Put, given: Any) -> None:
        if optional:  # KIP-893: a marker tells whether there is one
            put(b"\xff" if given is None else b"\x01")
        if given is not None:
            write_inner(put, given)

    return write


def _primitive(kind: str, flexible: bool, optional: bool) -> Callable[[Put, Any], None]:
    if kind == "uuid":
        return _packed(lambda given: given.bytes if isinstance(given, UUID) else bytes(16))
    if kind in FIXED:
        return _packed(struct.Struct(">" + FIXED[kind][0]).pack)
    if kind == "string":
        return _sized(_compact if flexible else _SHORT, optional, str.encode)
    if kind in ("bytes", "records"):
        return _sized(_compact if flexible else _INT, optional, bytes)
    raise NotImplementedError(f"no writer for Kafka's type {kind!r}")


def _packed(pack: Callable[[Any], bytes]) -> Callable[[Put, Any], None]:
    def write(put: Put, given: Any) -> None:
        put(pack(given))

    return write


def _sized(
    length: Callable[[int], bytes], optional: bool, encode: Callable[[Any], bytes]
) -> Callable[[Put, Any], None]:
    def write(put: Put, given: Any) -> None:
        if given is None:
            put(_null(length, optional))
            return
        data = encode(given)
        put(length(len(data)))
        put(data)

    return write


def _null(length: Callable[[int], bytes], optional: bool) -> bytes:
    if not optional:
        raise ValueError("a null where none may be")
    return length(-1)


def _compact(length: int) -> bytes:
    """A compact length: one more, as an unsigned varint; -1 is null."""
    value = length + 1
    if value < 128:
        return _ONE_BYTE[value]
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _neutral(field: Field) -> Any:
    """The schema's default, or the neutral value of the field's type."""
    if field.default is not UNSET:
        return field.default
    if field.array:
        return ()
    if field.optional:
        return None
    if field.entity is not None:
        return {}
    return {"string": "", "bytes": b"", "bool": False, "records": None, "uuid": None}.get(field.kind, 0)
