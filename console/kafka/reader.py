"""Bytes of a Kafka reply -> plain values by the fields of its schema; no length is believed unchecked.

kio's native decoder sends array lengths from the wire straight into an allocation, so that a garbled reply aborts the
process, and loses a whole reply for one unknown tagged field or error code. So readers are generated here, once for
each schema: lengths are checked against the bytes that are left, unknown tagged fields are skipped (KIP-482), error
codes stay plain ints, nothing but `DecodeError` leaves.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from msgspec import UNSET

from console.kafka.fields import CONVERT, FIXED, least, width
from console.kafka.schemas import Entity, Field

Read = Callable[[bytes, int], tuple[Any, int]]
"""Reads a value at an offset: the value and the offset after it."""

_NEUTRAL: dict[str, object] = {"bool": False, "string": "", "bytes": b"", "records": None, "uuid": None}


class DecodeError(Exception):
    """The bytes are not a reply of this type and version."""


def decode(entity: Entity, data: bytes, offset: int = 0) -> Any:
    """The value of an entity in `data` from `offset` to its very end.

    Raises `DecodeError` when it is cut short, garbled, or followed by anything. Memory stays within a small multiple of
    the data's size.
    """
    value, end = decode_from(entity, data, offset)
    if end != len(data):
        raise DecodeError(f"{len(data) - end} bytes too many after a {entity.name}")
    return value


def decode_from(entity: Entity, data: bytes, offset: int = 0) -> tuple[Any, int]:
    """The value of an entity at `offset` and the offset after it. Raises `DecodeError`."""
    try:
        return reader(entity)(data, offset)
    except (struct.error, IndexError):
        raise DecodeError(f"a {entity.name} is cut short") from None
    except OverflowError:
        raise DecodeError(f"a {entity.name} holds a duration out of range") from None


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


class Answer:
    """What a reader makes of an entity: its fields by name, without the cost of a frozen dataclass.

    Ten thousand partitions are an ordinary answer, and a frozen dataclass costs five times as much to make.
    """

    __slots__: tuple[str, ...] = ()

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({inside})"


@cache
def answer_class(entity: Entity) -> type[Answer]:
    """The class of the values that are read for an entity: the same name and the same fields."""
    return type(entity.name, (Answer,), {"__slots__": tuple(f.name for f in entity.fields)})


@cache
def reader(entity: Entity) -> Read:
    """The generated reader of an entity; what it raises is made a `DecodeError` by `decode` and `decode_from`."""
    source = _Source()
    made = _entity(source, entity)
    source.line(f"return {made}, i")
    return source.build(entity.name)


class _Source:
    """Lines of one generated function and the objects they name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, object] = {"varint": _varint, "fail": DecodeError, **_CONVERTERS}
        self._indent = "    "
        self._locals = 0

    def line(self, text: str) -> None:
        self.lines.append(self._indent + text)

    @contextmanager
    def inside(self, head: str) -> Iterator[None]:
        """The lines of a block under its head."""
        self.line(head)
        self._indent += "    "
        yield
        self._indent = self._indent[:-4]

    def bind(self, value: object) -> str:
        name = f"x{len(self.names)}"
        self.names[name] = value
        return name

    def local(self) -> str:
        """A name for a local variable that nothing else has."""
        self._locals += 1
        return f"v{self._locals}"

    def build(self, name: str) -> Read:
        text = "def read(b, i):\n" + "\n".join(self.lines) + "\n"
        # Only field names and numbers of our own file of schemas stand in the text, never anything read from a broker.
        exec(compile(text, f"<reader of {name}>", "exec"), self.names)
        built: Read = self.names["read"]  # type: ignore[assignment]
        return built


def _entity(source: _Source, entity: Entity) -> str:
    """Lines that read an entity; the name of the local that holds its value."""
    flexible = entity.flexible
    plain = [f for f in entity.fields if f.tag is None]
    tagged = [f for f in entity.fields if f.tag is not None]
    names = {f.name: source.local() for f in entity.fields}
    run: list[tuple[str, str]] = []  # neighbouring fields of fixed width are unpacked together
    for f in plain:
        kind, name = f.kind, names[f.name]
        if kind in FIXED and not f.array:
            run.append((name, kind))
            continue
        _fixed(source, run)
        run = []
        if f.array and f.entity is not None:
            _inline_array(source, f, f.entity, name, flexible)
        elif kind == "string" and not f.array:
            _inline_text(source, f, name, flexible)
        else:
            source.line(f"{name}, i = {source.bind(_value(f, flexible))}(b, i)")
    _fixed(source, run)
    for f in tagged:
        source.line(f"{names[f.name]} = {source.bind(_tag_default(f))}")
    if flexible:
        _tags(source, tagged, names)
    made = source.local()
    source.line(f"{made} = {source.bind(answer_class(entity))}()")
    for field_name, name in names.items():
        source.line(f"{made}.{field_name} = {name}")
    return made


def _fixed(source: _Source, run: list[tuple[str, str]]) -> None:
    if not run:
        return
    packed = struct.Struct(">" + "".join(FIXED[kind][0] for _, kind in run))
    targets = ", ".join(name for name, _ in run)
    source.line(f"{targets}, = {source.bind(packed.unpack_from)}(b, i)")
    source.line(f"i += {packed.size}")
    for name, kind in run:
        if kind in CONVERT:
            source.line(f"{name} = {CONVERT[kind]}({name})")


def _inline_length(source: _Source, unpack: Callable[..., Any], size: int, flexible: bool) -> None:
    """A length into `n`, -1 for null."""
    if flexible:
        source.line("n = b[i] - 1; i += 1")
        source.line("if n > 126: n, i = varint(b, i - 1); n -= 1")
    else:
        source.line(f"n, = {source.bind(unpack)}(b, i); i += {size}")


def _inline_text(source: _Source, field: Field, name: str, flexible: bool) -> None:
    """A string, written out in place: most of what a reply holds are strings."""
    _inline_length(source, _INT16, 2, flexible)
    with source.inside("if n > 0:"):
        source.line("stop = i + n")
        source.line("if stop > len(b): raise fail('a string longer than the reply')")
        # A name that is not UTF-8 must not cost the whole reply: console.text shows such bytes.
        source.line(f"{name} = b[i:stop].decode('utf-8', 'surrogateescape'); i = stop")
    source.line(f"elif n == 0: {name} = ''")
    null = f"{name} = None" if field.optional else "raise fail('a null where none may be')"
    source.line(f"else: {null}")


def _inline_array(source: _Source, field: Field, inner: Entity, name: str, flexible: bool) -> None:
    """An array of entities as a loop in place: a call for each of ten thousand partitions would cost twice as much."""
    _inline_length(source, _INT32, 4, flexible)
    null = f"{name} = None" if field.optional else "raise fail('a null where none may be')"
    source.line(f"if n < 0: {null}")
    with source.inside("else:"):
        source.line(f"if n * {least(inner)} > len(b) - i: raise fail('an array longer than the reply')")
        source.line(f"{name} = []")
        with source.inside("for _ in range(n):"):
            source.line(f"{name}.append({_entity(source, inner)})")
        source.line(f"{name} = tuple({name})")


def _tags(source: _Source, tagged: list[Field], names: Mapping[str, str]) -> None:
    """Tagged fields: a count, then (tag, size, bytes) each; what is not known is skipped."""
    source.line("n = b[i]; i += 1")
    with source.inside("if n:"):
        source.line("if n > 127: n, i = varint(b, i - 1)")
        source.line("if n > (len(b) - i) // 2: raise fail('more tagged fields than bytes')")
        with source.inside("for _ in range(n):"):
            source.line("tag, i = varint(b, i)")
            source.line("size, i = varint(b, i)")
            source.line("stop = i + size")
            source.line("if stop > len(b): raise fail('a tagged field longer than the reply')")
            for f in tagged:
                with source.inside(f"if tag == {f.tag}:"):
                    source.line(f"{names[f.name]}, at = {source.bind(_value(f, True, tag=True))}(b, i)")
                    source.line("if at != stop: raise fail('a tagged field of another length than it says')")
            source.line("i = stop")


def _value(field: Field, flexible: bool, tag: bool = False) -> Read:
    """The reader of one field's value. A tagged field cannot be null: its absence stands for that."""
    optional = not tag and field.optional
    if field.array:
        if field.entity is not None:
            return _array(reader(field.entity), least(field.entity), flexible, optional)
        return _array(_primitive(field.kind, flexible, False), width(field.kind, flexible), flexible, optional)
    if field.entity is not None:
        read_entity = reader(field.entity)
        return _nullable_entity(read_entity) if optional else read_entity
    return _primitive(field.kind, flexible, optional)


def _primitive(kind: str, flexible: bool, optional: bool) -> Read:
    if kind in FIXED:
        unpack, size = struct.Struct(">" + FIXED[kind][0]).unpack_from, FIXED[kind][1]
        convert = _CONVERTERS.get(CONVERT.get(kind, ""), _same)
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


def _moment(milliseconds: int) -> datetime | None:
    """A point in time; None for what is below 0 ("there is none") and what no calendar has."""
    if milliseconds < 0:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def _uuid(raw: bytes) -> UUID | None:
    return UUID(bytes=raw) if raw.strip(b"\0") else None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONVERTERS: dict[str, Callable[[Any], Any]] = {"duration": _duration, "moment": _moment, "uuid": _uuid}


def _same(value: Any) -> Any:
    return value


def _tag_default(field: Field) -> object:
    """What an absent tagged field holds; of an entity that may not be null, the entity with its own defaults."""
    if field.array:
        return None if field.default is None else ()
    if field.entity is not None:
        return None if field.optional else _bare(field.entity)
    if field.default is UNSET:
        return _NEUTRAL.get(field.kind, 0)
    return _CONVERTERS.get(CONVERT.get(field.kind, ""), _same)(field.default)


def _bare(entity: Entity) -> Answer:
    bare = answer_class(entity)()
    for f in entity.fields:
        setattr(bare, f.name, _tag_default(f))
    return bare
