"""Targets: `kafka:NAME`, `sqs:NAME`, or a bare NAME where only one side has it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple

from console.errors import NotFound, UsageError

Side = Literal["kafka", "sqs"]


class Target(NamedTuple):
    """A topic or a queue by name."""

    side: Side
    name: str

    def __str__(self) -> str:
        return f"{self.side}:{self.name}"


def parse(text: str) -> tuple[Side | None, str]:
    """The side a target names (None for a bare name) and the name. Raises `UsageError` for an empty name."""
    for side in ("kafka", "sqs"):
        prefix = f"{side}:"
        if text.startswith(prefix):
            name = text[len(prefix) :]
            if not name:
                raise UsageError(f"{text!r} names nothing: a target is kafka:TOPIC, sqs:QUEUE or a bare name")
            return side, name
    if not text:
        raise UsageError("an empty target: it is kafka:TOPIC, sqs:QUEUE or a bare name")
    return None, text


def resolve(text: str, topics: Collection[str], queues: Collection[str]) -> Target:
    """The one thing a target names. A name with its side is believed; a bare one must exist on exactly one side.

    Raises `UsageError` for a bare name that both sides have (and lists both), `NotFound` for one that neither has.
    """
    side, name = parse(text)
    if side is not None:
        return Target(side, name)
    on_kafka, on_sqs = name in topics, name in queues
    if on_kafka and on_sqs:
        raise UsageError(f"{name!r} is on both sides: say kafka:{name} or sqs:{name}")
    if on_kafka:
        return Target("kafka", name)
    if on_sqs:
        return Target("sqs", name)
    raise NotFound(f"no topic and no queue named {name!r}; logq topic list and logq queue list show what there is")
