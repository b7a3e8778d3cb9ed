"""Reading a topic's newest records, or a range of offsets, to look at them.

The end is taken when reading begins, so that a busy topic ends too. confluent-kafka carries the records, our own
connections tell where the partitions begin and end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from console.config import KafkaSettings
from console.errors import Unreachable
from console.kafka.browse import Scan
from console.kafka.client import KafkaClient
from console.model import Message, Topic, TopicPartition

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
    bounds = {p.partition: b for p in seen.partitions if (b := readable(settings, p)) is not None}
    if not bounds:
        _explain_unreadable(seen)
    reach = last
    records: list[Message] = []
    for _ in range(_TRIES):
        ranges = {p: (max(start, end - reach), end) for p, (start, end) in bounds.items() if start < end}
        reading = Scan(settings, topic, ranges)
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
    check: Callable[[], None] | None = None,
) -> Iterator[Message]:
    """The records at offsets [from, to) of each partition, in order within a partition.

    Offsets without a record (markers, compaction, expired) yield none. `check` is called after records were read and
    before they are handed out. Ends early without an error when `cancel` is set; raises `Unreachable` after `timeout`
    seconds in which nothing came although something is missing.
    """
    reading = Scan(settings, topic, ranges)
    for batch in reading.batches(None, timeout, cancel):
        if batch and check is not None:
            check()
        yield from batch
    if reading.open and not (cancel is not None and cancel.is_set()):
        missing = ", ".join(str(p) for p in sorted(reading.open)[:5])
        raise Unreachable(
            f"reading {topic} stopped: nothing came from partition {missing} for {timeout:g} s: {reading.why()}"
        )


def readable(settings: KafkaSettings, p: TopicPartition) -> tuple[int, int] | None:
    """From where to where a partition can be read: to the last stable offset, or as the isolation level says."""
    everything = settings.properties.get("isolation.level") == "read_uncommitted"
    end = p.end if everything else p.stable_end
    return None if p.start is None or end is None else (p.start, end)


def _explain_unreadable(seen: Topic) -> None:
    problem = next((p.problem for p in seen.partitions if p.problem), seen.problem)
    raise Unreachable(f"no partition of {seen.name} can be read: {problem.message if problem else 'it has none'}")
