"""Failure clusters: dead letters that failed the same way, whatever ids, numbers and times their errors carry."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from console.decode import decode
from console.model import Cluster, Message
from console.text import clip

_LABEL_LENGTH = 120
_ENOUGH = 3
_SHORT = 40
# From the most specific to the least: what differs between two occurrences of the same failure.
_VARIABLES = (
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<address>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<hex>"),
    (re.compile(r"\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,}\b"), "<hex>"),
    (re.compile(r"\b[\w.-]*\d[\w.-]*@[\w.-]+\b"), "<address>"),
    (re.compile(r"\b([A-Za-z]+[-_])?\d[\d,._]*"), r"\1<n>"),
)


def label(message: Message) -> str:
    """What a failure is called: the error with ids, times and numbers taken out, else the shape of the body."""
    if message.error:
        text = " ".join(message.error.split())[: 4 * _LABEL_LENGTH]
        for pattern, stand_in in _VARIABLES:
            text = pattern.sub(stand_in, text)
        return clip(text, _LABEL_LENGTH)
    body = decode(message.value)
    if body.kind == "json" and isinstance(body.value, dict):
        keys = ", ".join(sorted(map(str, body.value))[:8])
        return clip(f"no error given; JSON with {keys}", _LABEL_LENGTH)
    return {"none": "no error given; empty", "bytes": "no error given; binary"}.get(body.kind, "no error given; text")


def common(messages: Sequence[Message]) -> str:
    """What all bodies of several messages say alike ("format=panorama"), the best hint where no error is given.

    Only short scalar fields of JSON objects count, at most three; "" when there are none or fewer than three messages.
    """
    bodies = [decode(m.value) for m in messages]
    if len(bodies) < _ENOUGH or any(b.kind != "json" or not isinstance(b.value, dict) for b in bodies):
        return ""
    alike = []
    for key, value in bodies[0].value.items():
        short = isinstance(value, str | int | bool) and 0 < len(str(value)) <= _SHORT
        if short and all(b.value.get(key) == value for b in bodies[1:]):
            alike.append(f"{key}={value}")
    return ", ".join(alike[:3])


def cluster_id(text: str) -> str:
    """A short name for a label, the same in every run."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:6]


def cluster(messages: Sequence[Message]) -> tuple[Cluster, ...]:
    """The messages grouped by `label`, the largest group first; the example is the newest message of each.

    A group without errors also says what its bodies have in common; its id comes from the label alone.
    """
    groups: dict[str, list[Message]] = {}
    for message in messages:
        groups.setdefault(label(message), []).append(message)
    found = []
    for text, members in groups.items():
        alike = "" if members[0].error else common(members)
        times = [m.timestamp for m in members if m.timestamp is not None]
        example = max(members, key=lambda m: m.timestamp or 0.0)
        found.append(
            Cluster(
                id=cluster_id(text),
                label=f"{alike}; {text}" if alike else text,
                count=len(members),
                first=min(times, default=None),
                last=max(times, default=None),
                example=example,
            )
        )
    return tuple(sorted(found, key=lambda c: (-c.count, c.label)))
