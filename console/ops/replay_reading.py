"""What a replay to a queue reads: ranges of a topic, or the lines of a file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec.structs import replace

from console.errors import Failed, NotFound, Unreachable
from console.model import Message
from console.ops import replay_file
from console.ops.replay_value import ReplayPlan

if TYPE_CHECKING:
    from console.ops.session import Session

T = TypeVar("T")

_QUIET_S = 60.0
_PAUSE_S = 0.5
_UNKNOWN_TIMES = 4

Ranges = Mapping[int, tuple[int, int]]


class Gone(Failed):
    """What was planned can be read no more, now or later: no resume helps."""


class Reading(Protocol):
    """A source; `missed` tells it of offsets without a record, `check` raises `Gone` when those have expired."""

    def records(self, ranges: Ranges) -> Iterator[tuple[int, int, Message]]:
        """What lies in the ranges, with the partition and offset it is read from. Ends early when cancelled.

        Raises `Gone` when what the ranges meant is not there any more, before anything else is handed out for it.
        """

    def missed(self, partition: int, offset: int) -> None:
        """The offset held no record."""

    def check(self) -> None:
        """Raise `Gone` when what was missed has gone since the replay was planned."""


class Records:
    """Ranges of a topic. `slow` is how many seconds whoever takes the records may be busy with some."""

    def __init__(self, session: Session, planned: ReplayPlan, cancel: threading.Event, slow: float) -> None:
        self._kafka = session.require_kafka()
        self._topic = planned.source
        self._id = planned.topic_id
        self._cancel = cancel
        self._patience = _QUIET_S + slow
        self._gap: dict[int, int] = {}

    def records(self, ranges: Ranges) -> Iterator[tuple[int, int, Message]]:
        """As `Reading`: looks before, with each batch that was read, and after."""
        from console.kafka.read import read_range

        self._reaches(ranges)
        left = dict(ranges)
        # `read_range` itself would stop silently on cancel; here that must be known.
        for m in read_range(self._kafka.settings, self._topic, ranges, self._patience, self._cancel, self._same):
            partition, offset = m.partition or 0, m.offset or 0
            left[partition] = (offset + 1, left[partition][1])
            yield partition, offset, m
        if not self._cancel.is_set():
            # An end that came too early looks like a range that ends in markers.
            self._reaches(left)

    def _same(self) -> None:
        """What has been read by now is of the topic that was planned, or raise `Gone`."""
        if self._id is not None:
            self._known(self._asked(lambda: self._kafka.topic_id(self._topic)))

    def _reaches(self, ranges: Ranges) -> None:
        """The log holds the ranges from end to end, or raise `Gone` with what is missing."""
        topic = self._asked(lambda: self._kafka.topic(self._topic))
        self._known(topic.id)
        held = {p.partition: p for p in topic.partitions}
        for partition, (low, high) in ranges.items():
            if low >= high:
                continue
            p = held.get(partition)
            if p is None:
                raise Gone(f"{self._topic} has no partition {partition} any more: it is not the topic that was planned")
            if p.start is not None and p.start > low:
                raise self._expired(partition, low, p.start)
            if p.end is not None and p.end < high:
                raise Gone(
                    f"{self._topic} partition {partition} ends at {p.end:,} now, offsets {max(low, p.end):,} to "
                    f"{high - 1:,} have gone: it was made anew or cut, and what it holds may be others' records"
                )

    def _known(self, topic_id: str | None) -> None:
        if self._id is not None and topic_id is not None and topic_id != self._id:
            raise Gone(
                f"{self._topic} is not the topic that was planned: it has been deleted and made anew, and what it "
                "holds now are other records"
            )

    def _asked(self, question: Callable[[], T]) -> T:
        """An answer about the topic; brokers that are away are waited for as long as for records."""
        ends = time.monotonic() + self._patience
        unknown = 0
        while True:
            try:
                return question()
            except NotFound:
                unknown += 1  # a broker that has just started may not know it yet
                if unknown >= _UNKNOWN_TIMES or self._cancel.wait(_PAUSE_S):
                    raise Gone(f"{self._topic} has been deleted, and what was not sent with it") from None
            except Unreachable:
                if self._cancel.wait(_PAUSE_S) or time.monotonic() >= ends:
                    raise

    def missed(self, partition: int, offset: int) -> None:
        """As `Reading`."""
        self._gap[partition] = min(self._gap.get(partition, offset), offset)

    def check(self) -> None:
        """Offsets without a record are markers or compacted away, unless the log start has overtaken the reading."""
        if not self._gap:
            return
        seen = self._kafka.watermarks([(self._topic, p) for p in self._gap])
        for (_, partition), marks in seen.items():
            if isinstance(marks, tuple) and marks[0] > self._gap[partition]:
                raise self._expired(partition, self._gap[partition], marks[0])
        self._gap.clear()

    def _expired(self, partition: int, low: int, start: int) -> Gone:
        return Gone(
            f"{self._topic} partition {partition} offsets {low:,} to {start - 1:,} have gone: the log start has "
            "moved past them, and a gap is no copy"
        )


class Lines:
    """A file that is what was planned; its one partition is 0 and its offsets are the numbers of its lines."""

    def __init__(self, planned: ReplayPlan, cancel: threading.Event) -> None:
        """Raises `Refused` when the file has changed."""
        replay_file.verify(planned.source, planned.sha256)
        self._path = planned.source
        self._cancel = cancel

    def records(self, ranges: Ranges) -> Iterator[tuple[int, int, Message]]:
        """As `Reading`."""
        name = Path(self._path).name
        for number, message in replay_file.read(self._path, *ranges[0]):
            if self._cancel.is_set():
                return
            yield 0, number, message if message.id else replace(message, id=f"{name}/{number + 1}")

    def missed(self, partition: int, offset: int) -> None:
        """A blank line is nothing that was lost."""

    def check(self) -> None:
        """Nothing of a file expires."""
