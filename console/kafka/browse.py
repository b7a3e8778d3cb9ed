"""One pass over ranges of a topic's partitions: assigned, no group joined, nothing committed.

Ranges are fixed when the pass begins, so a busy topic ends too and a drained partition never waits for a time-out.
Records a filter drops are never turned into messages. Partitions come as they come, or merged by time within a bound
of memory: those that run ahead are paused.
"""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from console.config import KafkaSettings
from console.errors import Failed
from console.kafka import deadletter
from console.kafka.write import consumer, reason
from console.model import Message

if TYPE_CHECKING:
    from confluent_kafka import Consumer

_POLL = 0.05  # seconds: how long a batch that does not fill up is waited for, and a cancel may go unseen
_BATCH = 2_000
HELD_BYTES = 64 * 1024 * 1024
"""What a merge holds back at most before it pauses the partitions that are ahead."""
_RECORD_BYTES = 600  # what a message costs beside its key and value


Keep = Callable[[Any], bool]
"""Whether a record of confluent-kafka is wanted."""


class Scan:
    """One pass; iterate `records` or `merged` once, then look at what was reached.

    `open` holds the partitions that have not ended, `position` the next offset to be looked at of each, `scanned` how
    many records were looked at, `first` the time of the first of each. A range whose end is None never ends
    by itself.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        ranges: Mapping[int, tuple[int, int | None]],
        keep: Keep | None = None,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._keep = keep
        self._most_held = held_bytes
        self._ranges = {p: r for p, r in ranges.items() if r[1] is None or r[0] < r[1]}
        self._errors: list[str] = []
        self._held: dict[int, deque[Message]] = {}
        self._newest: dict[int, float] = {}
        self._paused: set[int] = set()
        self.open = set(self._ranges)
        self.position = {p: begin for p, (begin, _) in ranges.items()}
        self.scanned = 0
        self.first: dict[int, float] = {}

    def why(self) -> str:
        """The newest thing Kafka's client complained about."""
        return self._errors[-1] if self._errors else "the broker that leads it does not answer"

    @property
    def shown(self) -> dict[int, int]:
        """Of each partition the offset up to which everything kept has been handed out."""
        waiting = {p: held[0].offset or 0 for p, held in self._held.items() if held}
        return {**self.position, **waiting}

    def records(
        self,
        deadline: float | None = None,
        patience: float | None = None,
        cancel: threading.Event | None = None,
    ) -> Iterator[Message]:
        """Messages as they come, in order within a partition; ends as `batches`."""
        for batch in self.batches(deadline, patience, cancel):
            yield from batch

    def merged(
        self,
        deadline: float | None = None,
        patience: float | None = None,
        cancel: threading.Event | None = None,
    ) -> Iterator[Message]:
        """Messages by time over the partitions (equal times by partition), in order within one; ends as `batches`.

        A partition whose times run backwards keeps its own order. At an early end what was held back still comes.
        """
        self._held = {p: deque() for p in self._ranges}
        heads: list[tuple[float, int]] = []
        size = 0
        for batch in self.batches(deadline, patience, cancel):
            for found in batch:
                held = self._held[found.partition or 0]
                if not held:
                    heapq.heappush(heads, (found.timestamp or 0.0, found.partition or 0))
                held.append(found)
                size += _weight(found)
            for found in self._release(heads):
                size -= _weight(found)
                yield found
            self._balance(size)
        self.open, unended = set(), self.open
        try:
            yield from self._release(heads)
        finally:
            self.open = unended

    def _release(self, heads: list[tuple[float, int]]) -> Iterator[Message]:
        """Those held back that nothing still to come of another partition can precede."""
        waiting = {p for p in self.open if not self._held[p]}
        until = min((self._newest.get(p, float("-inf")) for p in waiting), default=None)
        while heads and (until is None or heads[0][0] <= until):
            _, p = heapq.heappop(heads)
            held = self._held[p]
            # Gone before it is handed out: who stops here has been shown it.
            found = held.popleft()
            if held:
                heapq.heappush(heads, (held[0].timestamp or 0.0, p))
            elif p in self.open:
                newest = self._newest.get(p, float("-inf"))
                until = newest if until is None else min(until, newest)
            yield found

    def _balance(self, size: int) -> None:
        """Pause the partitions that are ahead while too much is held back, and let them go on after."""
        ahead = {p for p in self.open if self._held[p]}
        if size > self._most_held:
            self._pause(ahead - self._paused)
        elif size < self._most_held // 2:
            ahead = set()
        self._resume(self._paused - ahead)

    def _pause(self, partitions: Iterable[int]) -> None:
        if chosen := self._places(partitions):
            self._source.pause(chosen)
            self._paused |= {place.partition for place in chosen}

    def _resume(self, partitions: Iterable[int]) -> None:
        if chosen := self._places(partitions):
            self._source.resume(chosen)
            self._paused -= {place.partition for place in chosen}

    def _places(self, partitions: Iterable[int]) -> list[Any]:
        from confluent_kafka import TopicPartition

        return [TopicPartition(self._topic, p) for p in partitions]

    def batches(
        self, deadline: float | None, patience: float | None, cancel: threading.Event | None
    ) -> Iterator[list[Message]]:
        """Messages a batch at a time, an empty one where nothing of it was kept.

        Ends when every partition has ended, at `deadline` (monotonic), after `patience` seconds in which nothing came,
        or when `cancel` is set; `open` tells. Raises `Failed` for what Kafka will not do however often it is asked.
        """
        if not self._ranges:
            return
        from confluent_kafka import KafkaException, TopicPartition

        self._source = source = self._consumer()
        try:
            source.assign([TopicPartition(self._topic, p, begin) for p, (begin, _) in self._ranges.items()])
            heard = time.monotonic()
            while self.open and not (cancel is not None and cancel.is_set()):
                now = time.monotonic()
                if (deadline is not None and now >= deadline) or (patience is not None and now - heard >= patience):
                    return
                try:
                    batch = source.consume(_BATCH, _POLL)
                except KafkaException as error:
                    raise Failed(f"reading {self._topic} failed: {reason(error)}") from None
                before = self.scanned
                yield self._taken(batch)
                # Whoever takes the messages may be slow: that is no silence of the broker.
                if self.scanned > before:
                    heard = time.monotonic()
        finally:
            # close() joins librdkafka's threads; nothing is committed, so nobody has to wait for that.
            with contextlib.suppress(RuntimeError):  # the interpreter is ending: the process closes it
                threading.Thread(target=source.close, name="logq-read-close", daemon=True).start()

    def _taken(self, batch: list[Any]) -> list[Message]:
        """The messages of a batch that lie in their ranges and are kept; ends partitions that have come to theirs."""
        found: list[Message] = []
        keep, ranges, position = self._keep, self._ranges, self.position
        last: dict[int, Any] = {}
        scanned = 0
        for record in batch:
            if record.error() is not None:
                self._failed(record)
                continue
            partition, offset = record.partition(), record.offset()
            # A paused partition may hand out again what it had fetched.
            if partition not in self.open or offset < position[partition]:
                continue
            end = ranges[partition][1]
            if end is not None and offset >= end - 1:
                self.open.discard(partition)
                position[partition] = end
                if offset >= end:
                    continue
            else:
                position[partition] = offset + 1
            scanned += 1
            if partition not in last and partition not in self.first:
                self.first[partition] = record.timestamp()[1] / 1000
            last[partition] = record
            if keep is None or keep(record):
                found.append(message(record))
        self.scanned += scanned
        for partition, record in last.items():
            self._newest[partition] = record.timestamp()[1] / 1000
        return found

    def _failed(self, record: Any) -> None:
        """An error in place of a record: the partition's end, what may pass, or what will not."""
        from confluent_kafka import OFFSET_INVALID, KafkaError

        error, partition = record.error(), record.partition()
        if error.code() == KafkaError._PARTITION_EOF:
            end = self._ranges[partition][1] if partition in self._ranges else None
            if end is not None and partition in self.open:
                self.open.discard(partition)
                self.position[partition] = end
        elif partition in self.open and not error.retriable() and record.offset() != OFFSET_INVALID:
            raise Failed(f"reading {self._topic}/{partition} failed: {' '.join(error.str().split())}")
        else:
            self._errors.append(" ".join(error.str().split()))

    def _consumer(self) -> Consumer:
        return consumer(
            self._settings,
            group_id="logq-no-group",  # the client demands a name; assign() without commits never uses it
            enable_partition_eof=True,
            enable_auto_offset_store=False,
            auto_offset_reset="earliest",
            fetch_wait_max_ms=100,
            error_cb=lambda error: self._errors.append(" ".join(error.str().split())),
        )


def _weight(found: Message) -> int:
    return _RECORD_BYTES + len(found.value or b"") + len(found.key or b"")


def message(record: Any) -> Message:
    """A confluent-kafka record as ours; its failure comes from the headers of a dead letter."""
    headers = headers_of(record)
    kind, milliseconds = record.timestamp()
    topic, partition, offset = record.topic(), record.partition(), record.offset()
    failed = deadletter.failure(headers) if headers else None
    return Message(
        target=f"kafka:{topic}",
        id=f"{topic}/{partition}/{offset}",
        partition=partition,
        offset=offset,
        timestamp=milliseconds / 1000 if kind else None,
        key=record.key(),
        value=record.value(),
        headers=headers,
        error=(failed.text or None) if failed else None,
    )


def headers_of(record: Any) -> tuple[tuple[str, bytes | None], ...]:
    """A record's headers; none where a name is not UTF-8, which the client cannot hand over."""
    try:
        return tuple(record.headers() or ())
    except UnicodeDecodeError:
        return ()
