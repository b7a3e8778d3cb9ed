"""A message's body as lines: JSON set out with its own tokens, text as it is, anything else in hexadecimal.

All of it lazily, so that a body of a mebibyte costs what is looked at. JSON is not parsed and written again: its tokens
are laid out as they came, so that numbers keep their digits and repeated keys are seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Literal

from rich.cells import cell_len, get_character_cell_size

from console.text import safe

Piece = tuple[str, str]
"""A run of characters and the style word it is drawn in (`widgets.paint`)."""

View = Literal["pretty", "raw", "hex"]

KEY = "$text-muted"
PUNCTUATION = "$text-disabled"
NUMBER = "$primary"
LITERAL = "italic $primary"
MUTED = "$text-muted"

_MOST_JSON = 2 << 20
_MOST_INDENT = 40
_MOST_SPELT = 65_536
_CHUNK = 4_096
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_ESCAPED = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.", re.DOTALL)


def best_view(raw: bytes | str) -> View:
    """How a body is read best: "pretty" for a JSON object or array, "hex" for what is not text, "raw" for the rest."""
    if _is_json(raw):
        return "pretty"
    return "hex" if _is_binary(raw) else "raw"


def rows(raw: bytes | str | None, view: View, width: int = 80) -> Iterator[list[Piece]]:
    """The body line by line in this view, not yet made safe nor wrapped (`wrapped` does both).

    A line of "hex" shows 16 bytes, fewer where `width` has no room for them, so that its columns stand unbroken.
    "pretty" is for what `best_view` calls so: it lays out tokens and does not ask again whether they are JSON.
    """
    if raw is None:
        yield [("no value", MUTED)]
    elif not raw:
        yield [("empty", MUTED)]
    elif view == "hex":
        yield from _hex(raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogateescape"), width)
    elif view == "pretty":
        yield from _pretty(_text(raw))
    else:
        for line in _text(raw).split("\n"):
            yield [(line.removesuffix("\r").replace("\t", "    "), "")]


def wrapped(row: list[Piece], width: int, wrap: bool, indent: int = 0, words: bool = False) -> Iterator[list[Piece]]:
    """One row as safe lines of at most `width` cells; without `wrap` one line, cut after a few thousand characters.

    Lines after the first start with `indent` spaces. With `words` they break at a space where there is one.
    """
    if not wrap:
        yield _cut(row)
        return
    width = max(width, 8)
    indent = min(indent, width // 2)
    line: list[Piece] = []
    room = width
    for text, style in row:
        for start in range(0, len(text), _CHUNK):
            rest = _visible(text[start : start + _CHUNK])
            while rest:
                head, rest = _split(rest, room)
                if words and rest and (space := head.rfind(" ")) > 0:
                    head, rest = head[:space], head[space + 1 :] + rest
                if head:
                    line.append((head, style))
                    room -= cell_len(head)
                if rest:
                    yield line
                    line = [(" " * indent, "")] if indent else []
                    room = width - indent
    yield line


def _split(text: str, room: int) -> tuple[str, str]:
    """The longest beginning that fits into `room` cells, and the rest; wide characters stay whole."""
    if text.isascii():
        return text[:room], text[room:]
    for at, ch in enumerate(text):
        room -= get_character_cell_size(ch)
        if room < 0:
            return text[:at], text[at:]
    return text, ""


def _cut(row: list[Piece]) -> list[Piece]:
    out: list[Piece] = []
    room = _CHUNK
    for text, style in row:
        shown = _visible(text[:room])
        out.append((shown, style))
        if len(text) > room:
            out.append((f"… {len(text) - room:,} more characters: w wraps", MUTED))
            break
        room -= len(text)
    return out


def _visible(text: str) -> str:
    """`safe` for a piece of bounded length, without its own limit (a control becomes at most ten characters)."""
    return safe(text, 10 * len(text) + 1)


def _text(raw: bytes | str) -> str:
    return raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else raw


def _is_json(raw: bytes | str) -> bool:
    head = raw[:64].lstrip()
    if head[:1] not in (b"{", b"[", "{", "[") or len(raw) > _MOST_JSON:
        return False
    try:
        # Only whether it parses matters; numbers stay strings, a thousand digits are no reason to refuse.
        json.loads(raw, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


def _is_binary(raw: bytes | str) -> bool:
    if isinstance(raw, bytes):
        try:
            head = raw[:_CHUNK].decode("utf-8")
        except UnicodeDecodeError as error:
            # The cut may fall inside a character: up to three bytes at the end of the head may be half of one.
            if len(raw) <= _CHUNK or error.start < _CHUNK - 3:
                return True
            head = raw[: error.start].decode("utf-8")
    else:
        head = raw[:_CHUNK]
    controls = sum(1 for ch in head if ch < " " and ch not in "\t\n\r")
    return "\0" in head or controls * 10 > len(head)


def _hex(raw: bytes, width: int) -> Iterator[list[Piece]]:
    # An offset of 8 digits, then two cells and a space a byte and the byte as text; a gap stands after every eighth.
    count = 16 if width >= 76 else 8 if width >= 43 else 4
    for at in range(0, len(raw), count):
        part = raw[at : at + count]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        halves = "".join(f"{part[half : half + 8].hex(' '):<{min(count, 8) * 3 - 1}}  " for half in range(0, count, 8))
        yield [(f"{at:08x}  ", MUTED), (halves, ""), (text, MUTED)]


def _pretty(text: str) -> Iterator[list[Piece]]:
    """The JSON text's own tokens, one member or element a line, two spaces a level."""
    depth = 0
    line: list[Piece] = []
    tokens = _TOKEN.finditer(text)
    token = next(tokens, None)
    while token is not None:
        word = token.group()
        after = next(tokens, None)
        follows = after.group() if after is not None else ""
        if word in "{[":
            line.append((word, PUNCTUATION))
            if follows and follows in "}]":
                line.append((follows, PUNCTUATION))
                after = next(tokens, None)
            else:
                yield line
                depth += 1
                line = _indented(depth)
        elif word in "}]":
            yield line
            depth -= 1
            line = [*_indented(depth), (word, PUNCTUATION)]
        elif word == ",":
            line.append((word, PUNCTUATION))
            yield line
            line = _indented(depth)
        elif word == ":":
            line.append((": ", PUNCTUATION))
        elif word[0] == '"':
            line.append((_spelt(word), KEY if follows == ":" else ""))
        else:
            line.append((word, LITERAL if word in ("true", "false", "null") else NUMBER))
        token = after
    if line:
        yield line


def _indented(depth: int) -> list[Piece]:
    return [("  " * min(depth, _MOST_INDENT), "")] if depth > 0 else []


def _spelt(string: str) -> str:
    r"""A JSON string with `\uXXXX` as the character where that is plainly displayable, all other escapes kept."""
    return _ESCAPED.sub(_character, string) if len(string) <= _MOST_SPELT and "\\u" in string else string


def _character(match: re.Match[str]) -> str:
    escape = match.group()
    if not escape.startswith("\\u"):
        return escape
    ch: str = json.loads(f'"{escape}"')
    return ch if ch not in '"\\' and safe(ch) == ch else escape
