"""What a replay to a queue reads: ranges of a topic, or the lines of a file."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from console.errors import Failed
from console.model import Message
from console.ops import replay_file
from console.ops.replay_value import ReplayPlan

if TYPE_CHECKING:
    from console.ops.session import Session

_QUIET_S = 60.0

Ranges = Mapping[int, tuple[int, int]]


class Reading(Protocol):
    """A source; `missed` tells it of offsets without a record, `check` raises `Failed` when those have expired."""

    def records(self, ranges: Ranges) -> Iterator[tuple[int, int, Message]]:
        """What lies in the ranges, with the partition and offset it is read from. Ends early when cancelled."""

    def missed(self, partition: int, offset: int) -> None:
        """The offset held no record."""

    def check(self) -> None:
        """Raise `Failed` when what was missed has gone since the replay was planned."""


class Records:
    """Ranges of a topic. `slow` is how many seconds whoever takes the records may be busy with some."""

    def __init__(self, session: Session, planned: ReplayPlan, cancel: threading.Event, slow: float) -> None:
        self._kafka = session.require_kafka()
        self._topic = planned.source
        self._cancel = cancel
        self._patience = _QUIET_S + slow
        self._gap: dict[int, int] = {}

    def records(self, ranges: Ranges) -> Iterator[tuple[int, int, Message]]:
        """As `Reading`; raises `Failed` when the log start has passed a range's beginning."""
        from console.kafka.read import read_range

        starts = self._kafka.watermarks([(self._topic, p) for p in ranges])
        for (_, partition), seen in starts.items():
            low, high = ranges[partition]
            if isinstance(seen, tuple) and low < high and seen[0] > low:
                raise self._expired(partition, low, seen[0])
        # `read_range` itself would stop silently on cancel; here that must be known.
        found = read_range(self._kafka.settings, self._topic, ranges, self._patience, self._cancel)
        return ((m.partition or 0, m.offset or 0, m) for m in found)

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

    def _expired(self, partition: int, low: int, start: int) -> Failed:
        return Failed(
            f"{self._topic} partition {partition} offsets {low:,} to {start - 1:,} have gone: the log start has "
            "moved past them, and a gap is no copy; what was sent stays, plan the rest as a new replay"
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
