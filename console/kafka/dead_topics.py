"""Dead-letter topics whose names do not say so: known by the headers of their newest record."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable
from typing import Any

from console.config import KafkaSettings
from console.kafka import deadletter
from console.kafka.browse import headers_of
from console.kafka.write import consumer
from console.model import Topic

_BACK = 5  # the newest offsets may be markers of transactions, or compacted away
_TOPICS = 2_000


def by_headers(settings: KafkaSettings, topics: Iterable[Topic], timeout: float) -> dict[str, str]:
    """Of these topics those whose newest record is a dead letter, with the topic that its headers name as the origin.

    Reads the last few records of the partition of each that holds the most, all with one consumer that joins no group;
    what has not come within `timeout` seconds is left out. A record that is back in its own topic is no dead letter.
    """
    from confluent_kafka import KafkaException, TopicPartition

    places: dict[str, tuple[int, int, int]] = {}
    for topic in topics:
        # A picture of all topics knows their ends; where a transaction is open the client stops before it by itself.
        bounds = [
            (p.end - p.start, p.partition, p.start, p.end)
            for p in topic.partitions
            if p.start is not None and p.end is not None
        ]
        held, partition, start, end = max(bounds, default=(0, 0, 0, 0))
        if held > 0 and len(places) < _TOPICS:
            places[topic.name] = (partition, max(start, end - _BACK), end)
    if not places:
        return {}
    newest: dict[str, Any] = {}
    open_ = set(places)
    source = consumer(
        settings,
        group_id="logq-no-group",  # the client demands a name; assign() without commits never uses it
        enable_partition_eof=True,
        enable_auto_offset_store=False,
        auto_offset_reset="earliest",
        fetch_wait_max_ms=50,
        # A few records of each are wanted, not a megabyte of what follows.
        fetch_message_max_bytes=65536,
        queued_max_messages_kbytes=16384,
    )
    try:
        source.assign([TopicPartition(name, p, begin) for name, (p, begin, _) in places.items()])
        ends = time.monotonic() + timeout
        while open_ and time.monotonic() < ends:
            for record in source.consume(500, 0.1):
                name, offset = str(record.topic()), record.offset() or 0
                if record.error() is not None:
                    open_.discard(name)  # the end of it, or nothing that could be read
                    continue
                newest[name] = record
                if offset >= places[name][2] - 1:
                    open_.discard(name)
    except KafkaException:
        pass  # what could be told is told: names are the rule, headers the addition
    finally:
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=source.close, name="logq-read-close", daemon=True).start()
    found = {}
    for name, record in newest.items():
        why = deadletter.failure(headers_of(record))
        if why is not None and why.original_topic and why.original_topic != name:
            found[name] = why.original_topic
    return found
