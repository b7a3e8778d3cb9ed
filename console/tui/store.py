"""What the screens show: the newest snapshot of each side, when it came, and what went wrong since.

Lives on the event loop alone. A result carries the generation it was asked for in; one of an older generation (a slow
answer that a newer one has overtaken) is dropped. An error keeps the last picture: it stays and says how old it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from console.model import Attention, Group, KafkaSnapshot, SqsSnapshot
from console.tui.view import GroupRow, QueueRow

SideName = Literal["kafka", "sqs"]

NEVER = float("inf")
"""The rhythm of a side that nothing shows: it is not looked at."""

MISSED = 2.5
"""How many ordinary looks have to be missed before a picture calls itself old."""


RESTS = 15.0
"""Seconds after which the last answer of a side that nothing looks at says nothing about how it is now."""


@dataclass(frozen=True, slots=True)
class KafkaPicture:
    """A Kafka snapshot with its lines worked out, the worst first, and what is wrong in it."""

    snapshot: KafkaSnapshot
    rows: tuple[GroupRow, ...]
    attention: tuple[Attention, ...]


@dataclass(frozen=True, slots=True)
class SqsPicture:
    """An SQS snapshot with its lines worked out."""

    snapshot: SqsSnapshot
    rows: tuple[QueueRow, ...]


Picture = KafkaPicture | SqsPicture


@dataclass(frozen=True, slots=True)
class Link:
    """How one side is doing: when the last picture came (None: never), and the error since, if any.

    `every` is the rhythm of the looks, seconds.
    """

    configured: bool
    seen_at: float | None = None
    error: str | None = None
    every: float = 5.0

    def age(self, now: float) -> float | None:
        """Seconds since the last picture, None when there is none."""
        return None if self.seen_at is None else max(0.0, now - self.seen_at)

    def stale(self, now: float) -> bool:
        """Whether the picture is older than the ordinary rhythm explains, or the last look failed."""
        age = self.age(now)
        return age is not None and (self.error is not None or age > MISSED * self.every + 2.0)

    def unknown(self, now: float) -> bool:
        """Whether nothing looks at it and its last answer is too old to tell how it is."""
        age = self.age(now)
        return age is not None and self.every == NEVER and age > RESTS


@dataclass(slots=True)
class Store:
    """The pictures on the screen. Changed by `arrived` and `failed` on the event loop only."""

    kafka: KafkaPicture | None = None
    sqs: SqsPicture | None = None
    attention: tuple[Attention, ...] = ()
    links: dict[SideName, Link] = field(default_factory=dict)
    _generations: dict[SideName, int] = field(default_factory=dict)

    def group(self, name: str) -> Group | None:
        """A group as the newest picture has it, None when it has none of that name."""
        rows = self.kafka.rows if self.kafka is not None else ()
        return next((row.group for row in rows if row.name == name), None)

    def arrived(self, side: SideName, picture: Picture, generation: int | None) -> bool:
        """Take a picture; False when a newer one is already there. Without a generation it is an unfinished one."""
        if generation is not None:
            if generation < self._generations.get(side, 0):
                return False
            self._generations[side] = generation
        if isinstance(picture, KafkaPicture):
            self.kafka = picture
        else:
            self.sqs = picture
        self.links[side] = replace(self.links[side], seen_at=picture.snapshot.at, error=None)
        return True

    def failed(self, side: SideName, error: str, generation: int) -> bool:
        """Note that a look failed and keep what was seen before; False when a newer look has answered already."""
        if generation < self._generations.get(side, 0):
            return False
        self._generations[side] = generation
        self.links[side] = replace(self.links[side], error=error)
        return True
