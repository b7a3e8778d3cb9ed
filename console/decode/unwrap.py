"""What lies inside a body: compressed, base64, JSON in JSON, and the envelopes AWS puts around an event.

For reading alone: what is moved is always the raw body. Every step is bounded, since a body is hostile until read:
a few hundred bytes of gzip can hold gigabytes, and JSON can be nested for ever.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import json
import lzma
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from console.decode.envelopes import open_envelope

INFLATED: Final = 1_048_576
"""The most bytes that one compressed layer is unpacked to; SQS itself takes no larger body."""

READ: Final = 4_194_304
"""Larger bodies are not looked into."""

DEPTH: Final = 8
"""The most layers that are opened."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_LEAST_TEXT = 12


@dataclass(frozen=True, slots=True)
class Layer:
    """One wrapping that was opened: what it is ("gzip", "SNS notification") and what it says of itself."""

    name: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The innermost value and the layers around it, the outermost first.

    `cut` says that a compressed layer held more than is unpacked. `error` is the failure that an envelope names.
    """

    layers: tuple[Layer, ...]
    value: bytes
    cut: bool = False
    error: str | None = None

    @property
    def path(self) -> str:
        """The layers in one line: "SNS notification ▸ base64 ▸ gzip"."""
        return " ▸ ".join(layer.name for layer in self.layers)


def unwrap(raw: bytes | None) -> Unwrapped | None:
    """What lies inside a body, None when it is just what it is. Never raises, never unpacks more than `INFLATED`."""
    if not raw or len(raw) > READ:
        return None
    layers: list[Layer] = []
    value, cut, error = raw, False, None
    while len(layers) < DEPTH:
        step = _inflate(value) or _from_base64(value) or _from_json(value)
        if step is None:
            break
        layers.append(step.layer)
        cut = cut or step.cut
        error = error or step.error
        if step.value is None or cut:
            value = value if step.value is None else step.value
            break
        value = step.value
    return Unwrapped(tuple(layers), value, cut, error) if layers else None


@dataclass(frozen=True, slots=True)
class _Step:
    """One layer opened; `value` None means that the layer is named but holds nothing to go on with."""

    layer: Layer
    value: bytes | None
    cut: bool = False
    error: str | None = None


def _inflate(value: bytes) -> _Step | None:
    for magic, name, how in _COMPRESSED:
        if value.startswith(magic):
            if how is None:
                return _Step(Layer(name, "not opened: no decoder for it here"), None)
            try:
                found, more = how(value)
            except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError):
                continue
            if found:
                return _Step(Layer(name, f"the first {INFLATED:,} bytes of more" if more else ""), found, more)
    return None


def _zlib(value: bytes) -> tuple[bytes, bool]:
    """Gzip and zlib alike (47 is the window of both): at most `INFLATED` bytes, and whether there are more."""
    stream = zlib.decompressobj(47)
    found = stream.decompress(value, INFLATED)
    return found, not stream.eof and bool(stream.unconsumed_tail)


def _stream(make: Callable[[], Any]) -> Callable[[bytes], tuple[bytes, bool]]:
    def inflate(value: bytes) -> tuple[bytes, bool]:
        stream = make()
        found: bytes = stream.decompress(value, INFLATED)
        return found, not stream.eof and not stream.needs_input

    return inflate


_COMPRESSED: Final[tuple[tuple[bytes, str, Callable[[bytes], tuple[bytes, bool]] | None], ...]] = (
    (b"\x1f\x8b", "gzip", _zlib),
    (b"\x78\x01", "zlib", _zlib),
    (b"\x78\x5e", "zlib", _zlib),
    (b"\x78\x9c", "zlib", _zlib),
    (b"\x78\xda", "zlib", _zlib),
    (b"BZh", "bzip2", _stream(bz2.BZ2Decompressor)),
    # The memory that the format may ask for is bounded as well: its dictionary can be gigabytes.
    (b"\xfd7zXZ\x00", "xz", _stream(lambda: lzma.LZMADecompressor(memlimit=64 << 20))),
    (b"\x28\xb5\x2f\xfd", "zstd", None),
)


def _from_base64(value: bytes) -> _Step | None:
    """Base64 only where what comes out is evidently meant: compressed, JSON, or text. Many an id looks like base64."""
    text = value.strip()
    if not _BASE64.fullmatch(text):
        return None
    try:
        found = base64.b64decode(text.translate(_URL_SAFE) + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    if any(found.startswith(magic) for magic, _, _ in _COMPRESSED) and _inflate(found) is not None:
        return _Step(Layer("base64"), found)
    try:
        shown = found.decode("utf-8")
    except UnicodeDecodeError:
        return None
    meant = _json(found) is not None or (
        len(shown) >= _LEAST_TEXT and all(c.isprintable() or c in "\r\n\t" for c in shown)
    )
    return _Step(Layer("base64"), found) if meant else None


_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _from_json(value: bytes) -> _Step | None:
    found = _json(value)
    if found is None:
        return None
    envelope = open_envelope(found)
    if envelope is not None:
        inner = None if envelope.inner is None else _bytes(envelope.inner)
        return _Step(Layer(envelope.name, envelope.note), inner, error=envelope.error)
    if isinstance(found, dict):
        # One field that is a document of its own: the rest is its envelope, whoever made it.
        inside = [
            (key, text) for key, text in found.items() if isinstance(text, str) and _json(_bytes(text)) is not None
        ]
        if len(inside) == 1:
            key, text = inside[0]
            return _Step(Layer(f"JSON in {key[:40]!r}"), _bytes(text))
    return None


def _json(value: bytes) -> Any:
    """A JSON object or array, None for everything else."""
    if value.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _bytes(value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")
