"""Bytes -> values: what a key, a record's value or a queue's body holds, as far as it can be told without a schema."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded value: `json` (any JSON object or array), `text` (str), `bytes` (not UTF-8) or `none` (a tombstone)."""

    kind: Literal["json", "text", "bytes", "none"]
    value: Any


def decode(raw: bytes | None) -> Decoded:
    """The value as JSON when it is an object or array, else as text, else the bytes themselves. Never raises."""
    if raw is None:
        return Decoded("none", None)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return Decoded("bytes", raw)
    if text.lstrip()[:1] in ("{", "["):
        try:
            return Decoded("json", json.loads(text))
        except (ValueError, RecursionError):
            return Decoded("text", text)
    return Decoded("text", text)
