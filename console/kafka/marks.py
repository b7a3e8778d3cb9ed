"""How far a copy is, kept in its own consumer group: each commit carries the range and the counts as its metadata.

The offset, the range and the counts change in one transaction with the copies, so they are exact after any crash, and
whoever knows the group's name, on any machine, knows the whole state of the job.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from console.errors import Failed
from console.model import JOB_GROUP_PREFIX as GROUP_PREFIX

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

__all__ = ["GROUP_PREFIX", "Mark", "commits", "parse", "read"]

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """One partition of a copy: offsets [start, end) are planned, everything below `position` is settled.

    `copied` records are at the destination, `tombstones` of them without a value; `unselected` were left out by the
    filter, `errors` of those because it could not be applied. `digest` tells jobs with other options apart.
    """

    start: int
    end: int
    position: int
    digest: str
    copied: int = 0
    tombstones: int = 0
    unselected: int = 0
    errors: int = 0

    @property
    def done(self) -> bool:
        """Whether the whole range is settled."""
        return self.position >= self.end

    @property
    def left(self) -> int:
        """Offsets that are not settled yet."""
        return max(0, self.end - self.position)

    @property
    def empty(self) -> int:
        """Settled offsets without a record: transaction markers, aborted records, compacted away."""
        return self.position - self.start - self.copied - self.unselected

    def metadata(self) -> str:
        """The mark as the metadata of its commit; the position is the offset itself. About 120 bytes of 4,096."""
        values = {key: value for key, value in asdict(self).items() if key != "position"}
        return json.dumps({"logq": _VERSION, **values}, separators=(",", ":"))


def parse(position: int, metadata: str | None) -> Mark:
    """The mark of a commit. Raises `ValueError` for a commit that is not one of a copy."""
    values = json.loads(metadata or "")
    if not isinstance(values, dict) or values.pop("logq", None) != _VERSION:
        raise ValueError("not a mark of this version")
    try:
        return Mark(position=position, **values)
    except TypeError as error:
        raise ValueError(str(error)) from None


def read(consumer: Consumer, topic: str, partitions: Iterable[int], timeout: float) -> dict[int, Mark]:
    """The marks of a group's partitions; those without a commit are missing. `consumer` must be read_committed.

    Raises `KafkaException` when they cannot be had within `timeout` seconds (a transaction that is not decided, say),
    `Failed` for a group whose commits are not those of a copy.
    """
    from confluent_kafka import KafkaException, TopicPartition

    found: dict[int, Mark] = {}
    for tp in consumer.committed([TopicPartition(topic, p) for p in partitions], timeout):
        if tp.error is not None:
            raise KafkaException(tp.error)
        if tp.offset < 0:
            continue
        try:
            found[tp.partition] = parse(tp.offset, tp.metadata)
        except ValueError:
            raise Failed(
                f"the commits of the job's group on {topic} are not those of a logq replay; give the job another name"
            ) from None
    return found


def commits(topic: str, marks: Mapping[int, Mark]) -> list[TopicPartition]:
    """The marks as what a commit takes."""
    from confluent_kafka import TopicPartition

    return [TopicPartition(topic, p, mark.position, metadata=mark.metadata()) for p, mark in marks.items()]
