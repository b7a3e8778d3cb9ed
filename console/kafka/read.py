"""Reading records to look at them: partitions are assigned, no group is joined, nothing is committed.

The end is taken when reading begins, so that a busy topic ends too; a drained partition ends at once. confluent-kafka
carries the records, our own connections tell where the partitions begin and end.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from console.config import KafkaSettings
from console.errors import Failed, Unreachable
from console.kafka import deadletter
from console.kafka.client import KafkaClient
from console.kafka.write import consumer, reason
from console.model import Message, Topic, TopicPartition

if TYPE_CHECKING:
    from confluent_kafka import Consumer

_POLL = 0.2  # seconds: how long a cancel may go unseen
_BATCH = 500
_WIDER = 4  # where markers or compaction left fewer records than offsets, the next try goes this much further back
_TRIES = 4


def read_last(
    settings: KafkaSettings, topic: str, last: int, timeout: float = 10.0, cancel: threading.Event | None = None
) -> tuple[Message, ...]:
    """The newest `last` records of a topic over all its partitions by time, the newest last.

    Committed records only, unless the settings say `isolation.level=read_uncommitted`. When some partitions do not
    answer within `timeout` seconds or `cancel` is set, what has come is returned. Raises `NotFound` for an unknown
    topic, `Unreachable` when nothing came for want of a broker.
    """
    deadline = time.monotonic() + timeout
    client = KafkaClient(settings, timeout)
    try:
        # Half of the time at most: a leader that does not answer must leave some for what the others hold.
        seen = client.topic(topic, timeout / 2)
    finally:
        client.close()
    bounds = {p.partition: b for p in seen.partitions if (b := _bounds(settings, p)) is not None}
    if not bounds:
        _explain_unreadable(seen)
    reach = last
    records: list[Message] = []
    for _ in range(_TRIES):
        ranges = {p: (max(start, end - reach), end) for p, (start, end) in bounds.items() if start < end}
        reading = _Reading(settings, topic, ranges)
        records = list(reading.records(deadline, None, cancel))
        stopped = (cancel is not None and cancel.is_set()) or time.monotonic() >= deadline
        if not records and reading.open and time.monotonic() >= deadline:
            raise Unreachable(f"no record of {topic} came within {timeout:g} s: {reading.why()}")
        whole = all(begin == bounds[p][0] for p, (begin, _) in ranges.items())
        if len(records) >= last or whole or stopped:
            break
        reach *= _WIDER
    records.sort(key=lambda m: (m.timestamp or 0.0, m.partition or 0, m.offset or 0))
    return tuple(records[-last:]) if last > 0 else ()


def read_range(
    settings: KafkaSettings,
    topic: str,
    ranges: Mapping[int, tuple[int, int]],
    timeout: float = 10.0,
    cancel: threading.Event | None = None,
) -> Iterator[Message]:
    """The records at offsets [from, to) of each partition, in order within a partition.

    Offsets without a record (markers, compaction, expired) yield none. Ends early without an error when `cancel` is
    set; raises `Unreachable` after `timeout` seconds in which nothing came although something is missing.
    """
    reading = _Reading(settings, topic, ranges)
    yield from reading.records(None, timeout, cancel)
    if reading.open and not (cancel is not None and cancel.is_set()):
        missing = ", ".join(str(p) for p in sorted(reading.open)[:5])
        raise Unreachable(
            f"reading {topic} stopped: nothing came from partition {missing} for {timeout:g} s: {reading.why()}"
        )


def _bounds(settings: KafkaSettings, p: TopicPartition) -> tuple[int, int] | None:
    everything = settings.properties.get("isolation.level") == "read_uncommitted"
    end = p.end if everything else p.stable_end
    return None if p.start is None or end is None else (p.start, end)


def _explain_unreadable(seen: Topic) -> None:
    problem = next((p.problem for p in seen.partitions if p.problem), seen.problem)
    raise Unreachable(f"no partition of {seen.name} can be read: {problem.message if problem else 'it has none'}")


class _Reading:
    """One pass over ranges of a topic's partitions; `open` holds those that have not ended."""

    def __init__(self, settings: KafkaSettings, topic: str, ranges: Mapping[int, tuple[int, int]]) -> None:
        self._settings = settings
        self._topic = topic
        self._ranges = {p: r for p, r in ranges.items() if r[0] < r[1]}
        self._errors: list[str] = []
        self.open = set(self._ranges)

    def why(self) -> str:
        """The newest thing Kafka's client complained about."""
        return self._errors[-1] if self._errors else "the broker that leads it does not answer"

    def records(
        self, deadline: float | None, patience: float | None, cancel: threading.Event | None
    ) -> Iterator[Message]:
        """Records until every partition has ended, the deadline, `patience` seconds without any, or the cancel."""
        if not self._ranges:
            return
        from confluent_kafka import OFFSET_INVALID, KafkaException, TopicPartition

        source = self._consumer()
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
                for record in batch:
                    heard = time.monotonic()
                    found = self._take(record, OFFSET_INVALID)
                    if found is not None:
                        yield found
        finally:
            # close() joins librdkafka's threads; nothing is committed, so nobody has to wait for that.
            with contextlib.suppress(RuntimeError):  # the interpreter is ending: the process closes it
                threading.Thread(target=source.close, name="logq-read-close", daemon=True).start()

    def _take(self, record: Any, invalid: int) -> Message | None:
        """The record if it lies in its range; ends its partition when it is the last or beyond."""
        from confluent_kafka import KafkaError

        error, partition = record.error(), record.partition()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self.open.discard(partition)
            elif partition in self.open and not error.retriable() and record.offset() != invalid:
                raise Failed(f"reading {self._topic}/{partition} failed: {' '.join(error.str().split())}")
            else:
                self._errors.append(" ".join(error.str().split()))
            return None
        if partition not in self.open:
            return None
        begin, end = self._ranges[partition]
        offset = record.offset()
        if offset >= end - 1:
            self.open.discard(partition)
        return message(record) if begin <= offset < end else None

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


def message(record: Any) -> Message:
    """A confluent-kafka record as ours; its failure comes from the headers of a dead letter."""
    try:
        headers = tuple((name, value) for name, value in record.headers() or ())
    except UnicodeDecodeError:  # a header's name that is not UTF-8: the record still counts
        headers = ()
    kind, milliseconds = record.timestamp()
    topic, partition, offset = record.topic(), record.partition(), record.offset()
    failed = deadletter.failure(headers)
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
