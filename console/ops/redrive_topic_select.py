"""Which records of a dead-letter topic a redrive takes, and where each goes: the same when planned and when run."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from console.errors import Denied, NotFound, Unreachable
from console.kafka.browse import Scan
from console.kafka.deadletter import failure, without_failure
from console.model import Message, Topic
from console.ops.browse_filter import RecordWhere
from console.ops.clusters import ids_of
from console.ops.redrive_marks import Marks

if TYPE_CHECKING:
    from console.kafka.client import KafkaClient

JOB_HEADER = "logq-redrive"
ORIGIN_HEADER = "logq-origin"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
_OURS = (JOB_HEADER, ORIGIN_HEADER)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A record that is selected. `to` is its destination and `partition` the one there (None: by key).

    `to` is None when it has nowhere to go, and `reason` says why. `headers` are those the copy keeps. `again` says that
    it was redriven before, failed again and came back. `aim` is the topic it is for, also when that cannot be reached.
    """

    message: Message
    to: str | None
    partition: int | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    reason: str = ""
    again: bool = False
    aim: str | None = None


class Selection:
    """One pass over fixed ranges of a dead-letter topic, by time over its partitions; counts what it leaves out."""

    def __init__(
        self,
        client: KafkaClient,
        topic: str,
        ranges: Mapping[int, tuple[int, int]],
        marks: Marks,
        *,
        to: str | None,
        where: str | None,
        ids: Collection[str],
        clusters: Collection[str],
        patience: float,
    ) -> None:
        self._client = client
        self._topic = topic
        self._ranges = ranges
        self._marks = marks
        self._to = to
        self._ids = frozenset(ids)
        self._clusters = frozenset(clusters)
        self._patience = patience
        self.where = RecordWhere(where) if where is not None else None
        self.topics: dict[str, Topic | str] = {}
        """The destinations looked up so far: what they are, or why nothing can go there."""
        self.scanned = self.done = self.doubtful = self.unselected = 0

    def records(self, cancel: threading.Event | None = None) -> Iterator[Chosen]:
        """Those selected and not redriven before. Raises `Unreachable` when not all of the range could be read."""
        ranges: dict[int, tuple[int, int | None]] = {p: (begin, end) for p, (begin, end) in self._ranges.items()}
        scan = Scan(self._client.settings, self._topic, ranges, self.where)
        kept = 0
        for message in scan.merged(None, self._patience, cancel):
            kept += 1
            self.scanned = scan.scanned
            if not self._wanted(message):
                self.unselected += 1
            elif self._marks.is_done(message):
                self.done += 1
            elif self._marks.in_doubt(message):
                self.doubtful += 1
            else:
                yield self._chosen(message)
        self.scanned = scan.scanned
        self.unselected += scan.scanned - kept
        if scan.open and not (cancel is not None and cancel.is_set()):
            silent = ", ".join(map(str, sorted(scan.open)[:5]))
            raise Unreachable(
                f"{self._topic} could not be read to its end: nothing came from partition {silent} for "
                f"{self._patience:g} s: {scan.why()}"
            )

    def _wanted(self, message: Message) -> bool:
        if self._ids and message.id not in self._ids:
            return False
        return not self._clusters or not ids_of(message).isdisjoint(self._clusters)

    def _chosen(self, message: Message) -> Chosen:
        why = failure(message.headers)
        origin = why.original_topic if why is not None else None
        again = any(name == JOB_HEADER for name, _ in message.headers)
        kept = without_failure(message.headers, why.dialect if why is not None else None)
        chosen = Chosen(message, None, None, tuple((n, v) for n, v in kept if n not in _OURS), "", again)
        to = self._to or origin
        if to is None:
            said = "its headers do not name its original topic" if why else "no header says where it comes from"
            return replace(chosen, reason=said)
        if to == self._topic:
            return replace(chosen, reason="it comes from this dead-letter topic itself")
        there = self.destination(to)
        if isinstance(there, str):
            return replace(chosen, reason=there, aim=to)
        same = why is not None and to == origin and why.original_partition is not None
        numbers = {p.partition for p in there.partitions}
        number = why.original_partition if same and why is not None and why.original_partition in numbers else None
        return replace(chosen, to=to, partition=number, aim=to)

    def destination(self, name: str) -> Topic | str:
        """The topic of a name, or in words why nothing can go there; asked once."""
        if name not in self.topics:
            found: Topic | str
            try:
                # A header may hold anything, also what cannot be asked for.
                found = self._client.topic(name) if _NAME.fullmatch(name) else f"{name!r} is no topic's name"
            except NotFound:
                found = f"topic {name} does not exist"
            except Denied as error:
                found = str(error)
            self.topics[name] = found
        return self.topics[name]
