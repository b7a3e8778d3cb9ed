"""Lines of a file as what a copy reads: they look like a consumer's records, and their position is the job's group's.

The position is committed for partition 0 of the destination topic, in the transaction of the copies: so a file is
copied exactly once, as a topic is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from console.errors import Failed
from console.model import Message

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition


class Line:
    """A message of a file as a record of confluent-kafka: its offset is the line's number, its partition 0."""

    __slots__ = ("message", "number", "path")

    def __init__(self, path: str, number: int, message: Message) -> None:
        self.path = path
        self.number = number
        self.message = message

    def __len__(self) -> int:
        return len(self.message.value or b"")

    def error(self) -> None:
        """A line is never an error."""

    def topic(self) -> str:
        """The file."""
        return self.path

    def partition(self) -> int:
        """Always 0: a file is one sequence."""
        return 0

    def offset(self) -> int:
        """The line's number, the first is 0."""
        return self.number

    def key(self) -> bytes | None:
        """The message's key."""
        return self.message.key

    def value(self) -> bytes | None:
        """The message's value, None for a tombstone."""
        return self.message.value

    def headers(self) -> list[tuple[str, bytes | None]]:
        """The message's headers."""
        return list(self.message.headers)

    def timestamp(self) -> tuple[int, int]:
        """Kind (1: the producer's, 0: none) and milliseconds, as confluent-kafka tells them."""
        at = self.message.timestamp
        return (0, -1) if at is None else (1, round(at * 1000))


class LineReader:
    """What `Copier` takes for a consumer: lines instead of records; commits and positions are those of `group`.

    `lines` gives the messages from a line on, with their numbers.
    """

    def __init__(
        self, group: Consumer, topic: str, path: str, lines: Callable[[int], Iterator[tuple[int, Message]]]
    ) -> None:
        self._group = group
        self._topic = topic
        self._path = path
        self._lines = lines
        self._open: Iterator[tuple[int, Message]] | None = None
        self._on_assign: Callable[[Any, list[Any]], None] | None = None

    def subscribe(self, topics: list[str], on_assign: Callable[[Any, list[Any]], None], **others: Any) -> None:
        """Nobody shares a file: its one partition is given at the first `consume`."""
        self._on_assign = on_assign

    def consume(self, most: int, timeout: float) -> list[Line]:
        """The next lines, at most so many. Raises `Failed` when the file ends before its planned end."""
        if self._on_assign is not None:
            from confluent_kafka import TopicPartition

            given, self._on_assign = self._on_assign, None
            given(self, [TopicPartition(self._topic, 0)])
        if self._open is None:
            return []
        found = [Line(self._path, number, message) for number, message in islice(self._open, most)]
        if not found:
            raise Failed(f"{self._path} holds fewer lines than were planned")
        return found

    def assign(self, places: list[TopicPartition]) -> None:
        """Read on from a line; nothing when it is done."""
        self._open = self._lines(places[0].offset) if places else None

    def unassign(self) -> None:
        """Read nothing more."""
        self._open = None

    def pause(self, places: list[TopicPartition]) -> None:
        """The range is read."""
        if places:
            self._open = None

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """What the job's group has committed."""
        return self._group.committed(places, timeout)

    def consumer_group_metadata(self) -> Any:
        """The job's group as a transaction names it."""
        return self._group.consumer_group_metadata()

    def close(self) -> None:
        """Let go of the group's client."""
        self._group.close()


def place_of(record: Any) -> str:
    """Where a record or a line stands, for people."""
    if isinstance(record, Line):
        return f"{record.path} line {record.number + 1:,}"
    return f"{record.topic()} partition {record.partition()} offset {record.offset()}"
