"""Failure clusters: dead letters that failed the same way, whatever ids, numbers and times their errors carry."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

from console.decode import decode
from console.decode.unwrap import unwrap
from console.errors import UsageError
from console.model import Cluster, Message
from console.text import DASH, clip, utc

Facet = Literal["error", "shape", "source", "hour"]

FACETS: Final[tuple[Facet, ...]] = ("source", "hour", "error", "shape")
"""What dead letters can be grouped by, in the order a label names them: what is short first, so that it is not cut."""

_LABEL_LENGTH = 120
_KEYS = 8
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
    (re.compile(r"\b\d+x\d+\b"), "<n>x<n>"),
    (re.compile(r"\b([A-Za-z]+[-_])?\d[\d,._]*"), r"\1<n>"),
)


def error_of(message: Message) -> str:
    """The error with ids, times and numbers taken out; "" when the message carries none."""
    if not message.error:
        return ""
    text = " ".join(message.error.split())[: 4 * _LABEL_LENGTH]
    for pattern, stand_in in _VARIABLES:
        text = pattern.sub(stand_in, text)
    return clip(text, _LABEL_LENGTH)


def shape_of(message: Message) -> str:
    """What kind of body it is, whatever it is wrapped in: "JSON with id, kind", "text", "binary", "empty"."""
    inside = unwrap(message.value)
    body = decode(message.value if inside is None else inside.value)
    if body.kind == "json":
        keys = ", ".join(sorted(map(str, body.value))[:_KEYS]) if isinstance(body.value, dict) else "a list"
        words = f"JSON with {keys}" if keys else "JSON without a field"
    else:
        words = {"none": "empty", "bytes": "binary"}.get(body.kind, "text")
    return clip(f"{inside.path} ▸ {words}" if inside is not None else words, _LABEL_LENGTH)


def source_of(message: Message) -> str:
    """The queue or topic a dead letter came from, as it says itself: "" where it does not.

    SQS tells DeadLetterQueueSourceArn of what it moved by itself, not of what somebody sent there.
    """
    if message.target.startswith("kafka:"):
        from console.kafka.deadletter import failure

        why = failure(message.headers)
        return (why.original_topic or "") if why is not None else ""
    arn = dict(message.attributes).get("DeadLetterQueueSourceArn")
    return arn.rsplit(":", 1)[-1] if isinstance(arn, str) else ""


def hour_of(message: Message) -> str:
    """The hour it was sent in, UTC ("2026-11-23 14:00"); "" when unknown."""
    at = utc(message.timestamp)
    return f"{at[:10]} {at[11:13]}:00" if message.timestamp is not None and at != DASH else ""


def label(message: Message, by: Sequence[Facet] = ("error",)) -> str:
    """What a failure is called: its facets one after the other; without an error the body's shape stands for it."""
    parts = []
    for facet in FACETS:
        if facet not in by:
            continue
        if facet == "error":
            parts.append(error_of(message) or f"no error given; {shape_of(message)}")
        elif facet == "shape":
            parts.append(shape_of(message))
        elif facet == "source":
            parts.append(f"from {source_of(message) or 'a source that is not told'}")
        else:
            parts.append(f"in {hour_of(message) or 'an unknown hour'}")
    return " · ".join(parts)


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


def ids_of(message: Message) -> frozenset[str]:
    """The ids of every cluster the message is in, however they are grouped: what `--cluster ID` is compared with."""
    parts = {facet: label(message, (facet,)) for facet in FACETS}
    return frozenset(
        cluster_id(" · ".join(parts[facet] for facet in some))
        for size in range(1, len(FACETS) + 1)
        for some in combinations(FACETS, size)
    )


def parse_by(names: Sequence[str]) -> tuple[Facet, ...]:
    """The facets named, in their one order; none means by error. Raises `UsageError` for a name that is none."""
    wanted = {name.strip() for text in names for name in text.split(",") if name.strip()}
    unknown = sorted(wanted - set(FACETS))
    if unknown:
        raise UsageError(f"--by {', '.join(unknown)} is none of {', '.join(FACETS)}")
    return tuple(facet for facet in FACETS if facet in wanted) or ("error",)


def cluster(messages: Sequence[Message], by: Sequence[Facet] = ("error",)) -> tuple[Cluster, ...]:
    """The messages grouped by `label`, the largest group first; the example is the newest message of each.

    A group without errors also says what its bodies have in common; its id comes from the label alone.
    """
    groups: dict[str, list[Message]] = {}
    for message in messages:
        groups.setdefault(label(message, by), []).append(message)
    found = []
    for text, members in groups.items():
        alike = "" if members[0].error or "error" not in by else common(members)
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


@dataclass(frozen=True, slots=True)
class Spread:
    """How messages spread over what they were grouped by or not: (name, how many), the most first; hours in order."""

    errors: tuple[tuple[str, int], ...]
    sources: tuple[tuple[str, int], ...]
    shapes: tuple[tuple[str, int], ...]
    hours: tuple[tuple[str, int], ...]


def spread(messages: Sequence[Message]) -> Spread:
    """Errors, sources, shapes and hours of messages, counted. What is not told is left out."""

    def counted(of: Callable[[Message], str]) -> tuple[tuple[str, int], ...]:
        return tuple(Counter(name for m in messages if (name := of(m))).most_common())

    return Spread(counted(error_of), counted(source_of), counted(shape_of), tuple(sorted(counted(hour_of))))
