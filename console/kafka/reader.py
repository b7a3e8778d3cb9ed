"""Bytes of a Kafka reply -> kio's dataclasses, with every length checked before it is believed.

kio's native decoder sends array lengths from the wire straight into an allocation, so that a garbled reply aborts the
process, and loses a whole reply for one unknown tagged field or error code. So readers are generated here, once for
each of kio's classes, from its dataclass fields: lengths are checked against the bytes that are left, unknown tagged
fields are skipped (KIP-482), error codes stay plain ints, nothing but `DecodeError` leaves.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import timedelta
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin
from uuid import UUID

Read = Callable[[bytes, int], tuple[Any, int]]
"""Reads a value at an offset: the value and the offset after it."""

_FIXED = {
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
    "uuid": ("16s", 16),
}
_CONVERT = {"timedelta_i32": "duration", "timedelta_i64": "duration", "uuid": "uuid"}
_NEUTRAL: dict[str, object] = {"bool": False, "string": "", "bytes": b"", "records": None, "uuid": None}


class DecodeError(Exception):
    """The bytes are not a reply of this type and version."""


def decode(entity: Any, data: bytes, offset: int = 0) -> Any:
    """The value of a kio class in `data` from `offset` to its very end.

    Raises `DecodeError` when it is cut short, garbled, or followed by anything. Memory stays within a small multiple of
    the data's size.
    """
    value, end = decode_from(entity, data, offset)
    if end != len(data):
        raise DecodeError(f"{len(data) - end} bytes too many after a {entity.__name__}")
    return value


def decode_from(entity: Any, data: bytes, offset: int = 0) -> tuple[Any, int]:
    """The value of a kio class at `offset` and the offset after it. Raises `DecodeError`."""
    try:
        return reader(entity)(data, offset)
    except (struct.error, IndexError):
        raise DecodeError(f"a {entity.__name__} is cut short") from None
    except OverflowError:
        raise DecodeError(f"a {entity.__name__} holds a duration out of range") from None


def skip_tags(data: bytes, offset: int) -> int:
    """The offset after a section of tagged fields that is of no interest (a reply's header). Raises `DecodeError`."""
    try:
        count, i = _varint(data, offset)
        if count > (len(data) - i) // 2:
            raise DecodeError("more tagged fields than bytes")
        for _ in range(count):
            _, i = _varint(data, i)
            size, i = _varint(data, i)
            i += size
    except IndexError:
        raise DecodeError("a header is cut short") from None
    if i > len(data):
        raise DecodeError("a tagged field longer than the reply")
    return i


@cache
def reader(entity: Any) -> Read:
    """The generated reader of a kio class; what it raises is made a `DecodeError` by `decode` and `decode_from`."""
    flexible: bool = entity.__flexible__
    source = _Source()
    plain = [f for f in fields(entity) if "tag" not in f.metadata]
    tagged = [f for f in fields(entity) if "tag" in f.metadata]
    run: list[tuple[str, str]] = []  # neighbouring fields of fixed width are unpacked together
    for f in plain:
        kind = f.metadata.get("kafka_type", "")
        if kind in _FIXED and not _is_array(f):
            run.append((f.name, kind))
            continue
        _fixed(source, run)
        run = []
        if kind == "string" and not _is_array(f):
            _inline_text(source, f, flexible)
        else:
            source.line(f"v_{f.name}, i = {source.bind(_value(f, flexible))}(b, i)")
    _fixed(source, run)
    for f in tagged:
        source.line(f"v_{f.name} = {source.bind(_tag_default(f))}")
    if flexible:
        _tags(source, tagged, flexible)
    arguments = ", ".join(f"{f.name}=v_{f.name}" for f in fields(entity))
    source.line(f"return {source.bind(entity)}({arguments}), i")
    return source.build(entity.__name__)


class _Source:
    """Lines of one generated function and the objects they name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, object] = {"varint": _varint, "duration": _duration, "uuid": _uuid, "fail": DecodeError}

    def line(self, text: str) -> None:
        self.lines.append("    " + text)

    def bind(self, value: object) -> str:
        name = f"x{len(self.names)}"
        self.names[name] = value
        return name

    def build(self, name: str) -> Read:
        text = "def read(b, i):\n" + "\n".join(self.lines) + "\n"
        # Only field names and numbers of kio's classes stand in the text, never anything read from a broker.
        exec(compile(text, f"<reader of {name}>", "exec"), self.names)
        built: Read = self.names["read"]  # type: ignore[assignment]
        return built


def _fixed(source: _Source, run: list[tuple[str, str]]) -> None:
    if not run:
        return
    packed = struct.Struct(">" + "".join(_FIXED[kind][0] for _, kind in run))
    targets = ", ".join(f"v_{name}" for name, _ in run)
    source.line(f"{targets}, = {source.bind(packed.unpack_from)}(b, i)")
    source.line(f"i += {packed.size}")
    for name, kind in run:
        if kind in _CONVERT:
            source.line(f"v_{name} = {_CONVERT[kind]}(v_{name})")


def _inline_text(source: _Source, field: Field[Any], flexible: bool) -> None:
    """A string, written out in place: most of what a reply holds are strings."""
    name, null = f"v_{field.name}", _is_optional(field.type)
    if flexible:
        source.line("n = b[i]; i += 1")
        source.line("if n > 127: n, i = varint(b, i - 1)")
        source.line("n -= 1")
    else:
        source.line(f"n, = {source.bind(_INT16)}(b, i); i += 2")
    source.line("if n < 0:")
    source.line(f"    {name} = None" if null else "    raise fail('a null where none may be')")
    source.line("else:")
    source.line("    stop = i + n")
    source.line("    if stop > len(b): raise fail('a string longer than the reply')")
    # A name that is not UTF-8 must not cost the whole reply: console.text shows such bytes.
    source.line(f"    {name} = b[i:stop].decode('utf-8', 'surrogateescape'); i = stop")


def _tags(source: _Source, tagged: list[Field[Any]], flexible: bool) -> None:
    """Tagged fields: a count, then (tag, size, bytes) each; what is not known is skipped."""
    source.line("n = b[i]; i += 1")
    source.line("if n:")
    source.line("    if n > 127: n, i = varint(b, i - 1)")
    source.line("    if n > (len(b) - i) // 2: raise fail('more tagged fields than bytes')")
    source.line("    for _ in range(n):")
    source.line("        tag, i = varint(b, i)")
    source.line("        size, i = varint(b, i)")
    source.line("        stop = i + size")
    source.line("        if stop > len(b): raise fail('a tagged field longer than the reply')")
    for f in tagged:
        source.line(f"        if tag == {int(f.metadata['tag'])}:")
        source.line(f"            v_{f.name}, end = {source.bind(_value(f, flexible, tag=True))}(b, i)")
        source.line("            if end != stop: raise fail('a tagged field of another length than it says')")
    source.line("        i = stop")


def _value(field: Field[Any], flexible: bool, tag: bool = False) -> Read:
    """The reader of one field's value. A tagged field cannot be null: its absence stands for that."""
    kind = str(field.metadata.get("kafka_type", ""))
    optional = not tag and _is_optional(field.type)
    inner: Any = without_none(field.type)
    if get_origin(inner) is tuple:
        element: Any = without_none(get_args(inner)[0])
        if _is_entity(element):
            return _array(reader(element), _least(element), flexible, optional)
        return _array(_primitive(kind, flexible, False), _width(kind, flexible), flexible, optional)
    if _is_entity(inner):
        read_entity = reader(inner)
        return _nullable_entity(read_entity) if optional else read_entity
    return _primitive(kind, flexible, optional)


def _primitive(kind: str, flexible: bool, optional: bool) -> Read:
    if kind in _FIXED:
        unpack, size = struct.Struct(">" + _FIXED[kind][0]).unpack_from, _FIXED[kind][1]
        converters: dict[str, Callable[[Any], Any]] = {"duration": _duration, "uuid": _uuid}
        convert = converters.get(_CONVERT.get(kind, ""), _same)
        return lambda b, i: (convert(unpack(b, i)[0]), i + size)
    if kind == "string":
        length = _compact_length if flexible else _short_length
        return _text(length, optional)
    if kind in ("bytes", "records"):
        return _blob(_compact_length if flexible else _int_length, optional)
    raise NotImplementedError(f"no reader for Kafka's type {kind!r}")


def _text(length: Read, optional: bool) -> Read:
    def read(b: bytes, i: int) -> tuple[str | None, int]:
        n, i = length(b, i)
        if n < 0:
            return _null(optional, i)
        stop = i + n
        if stop > len(b):
            raise DecodeError("a string longer than the reply")
        return b[i:stop].decode("utf-8", "surrogateescape"), stop

    return read


def _blob(length: Read, optional: bool) -> Read:
    def read(b: bytes, i: int) -> tuple[bytes | None, int]:
        n, i = length(b, i)
        if n < 0:
            return _null(optional, i)
        stop = i + n
        if stop > len(b):
            raise DecodeError("bytes longer than the reply")
        return b[i:stop], stop

    return read


def _array(item: Read, least: int, flexible: bool, optional: bool) -> Read:
    length = _compact_length if flexible else _int_length

    def read(b: bytes, i: int) -> tuple[tuple[Any, ...] | None, int]:
        n, i = length(b, i)
        if n < 0:
            return _null(optional, i)
        if n * least > len(b) - i:
            raise DecodeError("an array longer than the reply")
        items = []
        for _ in range(n):
            value, i = item(b, i)
            items.append(value)
        return tuple(items), i

    return read


def _nullable_entity(item: Read) -> Read:
    def read(b: bytes, i: int) -> tuple[Any, int]:  # KIP-893: a negative marker is null
        marker = b[i]
        return (None, i + 1) if marker > 127 else item(b, i + 1)

    return read


def _null(optional: bool, end: int) -> tuple[None, int]:
    if not optional:
        raise DecodeError("a null where none may be")
    return None, end


def _compact_length(b: bytes, i: int) -> tuple[int, int]:
    n = b[i]
    if n < 128:
        return n - 1, i + 1
    n, i = _varint(b, i)
    return n - 1, i


def _short_length(b: bytes, i: int) -> tuple[int, int]:
    return _INT16(b, i)[0], i + 2


def _int_length(b: bytes, i: int) -> tuple[int, int]:
    return _INT32(b, i)[0], i + 4


_INT16 = struct.Struct(">h").unpack_from
_INT32 = struct.Struct(">i").unpack_from


def _varint(b: bytes, i: int) -> tuple[int, int]:
    """An unsigned varint of at most five bytes."""
    value = 0
    for shift in (0, 7, 14, 21, 28):
        byte = b[i]
        i += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, i
    raise DecodeError("a number longer than five bytes")


def _duration(milliseconds: int) -> timedelta:
    return timedelta(milliseconds=milliseconds)


def _uuid(raw: bytes) -> UUID | None:
    return UUID(bytes=raw) if raw.strip(b"\0") else None


def _same(value: Any) -> Any:
    return value


def _is_optional(annotation: Any) -> bool:
    return get_origin(annotation) in (UnionType, Union) and NoneType in get_args(annotation)


def _is_entity(annotation: Any) -> bool:
    return is_dataclass(annotation)


def without_none(annotation: Any) -> Any:
    """The type of a field that may be null, without the null."""
    if _is_optional(annotation):
        return next(a for a in get_args(annotation) if a is not NoneType)
    return annotation


def _is_array(field: Field[Any]) -> bool:
    return get_origin(without_none(field.type)) is tuple


def _tag_default(field: Field[Any]) -> object:
    if field.default is not MISSING:
        return field.default
    return _NEUTRAL.get(str(field.metadata.get("kafka_type", "")), 0)


def _width(kind: str, flexible: bool) -> int:
    """The fewest bytes a primitive takes."""
    if kind in _FIXED:
        return _FIXED[kind][1]
    if flexible:
        return 1
    return 2 if kind == "string" else 4


@cache
def _least(entity: Any) -> int:
    """The fewest bytes a value of a kio class takes: what bounds an array's length."""
    flexible: bool = entity.__flexible__
    total = 1 if flexible else 0
    for f in fields(entity):
        if "tag" in f.metadata:
            continue
        inner: Any = without_none(f.type)
        if get_origin(inner) is tuple:
            total += 1 if flexible else 4
        elif _is_entity(inner):
            total += 1 if _is_optional(f.type) else _least(inner)
        else:
            total += _width(str(f.metadata["kafka_type"]), flexible)
    return max(total, 1)
