"""The services that read `orders`: consumer groups whose members share one thread.

A record counts as read when its handler is done with it: only then is its offset stored, and librdkafka commits what is
stored a few times a second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from console.config import KafkaSettings
from console.demo.layout import ORDERS

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

LOG = logging.getLogger(__name__)
COMMIT_MS = 250
FULL_SPEED = 3000.0
"""Records a second that a group which lags works off at most."""

Handler = Callable[[Sequence["Message"]], None]


def member(settings: KafkaSettings, group: str, number: int, *, kip848: bool = False) -> Consumer:
    """A member of `group` reading `orders` from its beginning; `kip848` asks for the broker-side group protocol."""
    from console.kafka import write

    properties: dict[str, str | int | float | bool] = {
        "group.id": group,
        "client.id": f"{group}-{number}",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": True,
        "enable.auto.offset.store": False,
        "auto.commit.interval.ms": COMMIT_MS,
        # One member holds a few seconds of orders, not librdkafka's 64 MB.
        "queued.min.messages": 1000,
        "queued.max.messages.kbytes": 2048,
        # Small turns: a member that reads less than arrives still gets to each partition every few seconds. With
        # librdkafka's 1 MiB a turn, two partitions of a slow group stood for minutes, which looks like a stall.
        "fetch.message.max.bytes": 32768,
        "fetch.wait.max.ms": 200,
        "fetch.min.bytes": 16384,
    }
    if kip848:
        properties["group.protocol"] = "consumer"
    else:
        # Members learn of a rebalance with their next heartbeat: often, so that a group is complete within a second.
        properties["heartbeat.interval.ms"] = 300
        properties["session.timeout.ms"] = 10_000
    consumer = write.consumer(settings, **properties)
    consumer.subscribe([ORDERS])
    return consumer


class Reader:
    """One consumer group: its members and what it does with records. Used by one thread."""

    def __init__(self, name: str, members: Sequence[Consumer], handler: Handler | None = None) -> None:
        self.name = name
        self._members = tuple(members)
        self._handler = handler
        self._held: dict[int, list[Message]] = {}
        self._stalled = False
        self._credit = 0.0

    def step(self, seconds: float, *, pace: float = FULL_SPEED, stalled: bool = False) -> int:
        """Reads what is due after `seconds`, at most `pace` records a second, and returns how many were read.

        `stalled` keeps the members in the group but takes nothing: what they still hand over waits until it is over.
        When the handler raises, its records are held and handed to it again at the next step.
        """
        if stalled:
            for number, consumer in enumerate(self._members):
                consumer.pause(consumer.assignment())
                self._held.setdefault(number, []).extend(_good(consumer.consume(10, timeout=0)))
            self._stalled = True
            return 0
        if self._stalled:
            for consumer in self._members:
                consumer.resume(consumer.assignment())
            self._stalled = False
        self._credit = min(self._credit + seconds * pace, pace)
        each = int(self._credit / max(1, len(self._members)))
        read = 0
        for number, consumer in enumerate(self._members):
            if each > 0:
                messages = self._held.get(number) or _good(consumer.consume(each, timeout=0))
                self._held[number] = messages
                self._handle(consumer, messages)
                self._held[number] = []
                read += len(messages)
        self._credit -= read
        return read

    def close(self) -> None:
        """Leaves the group with what is stored committed."""
        for consumer in self._members:
            consumer.close()
        self._members = ()

    def _handle(self, consumer: Consumer, messages: list[Message]) -> None:
        if not messages:
            return
        if self._handler:
            self._handler(messages)
        last = {message.partition(): message for message in messages}
        for message in last.values():
            try:
                consumer.store_offsets(message=message)
            except Exception as error:  # the partition went to another member meanwhile: that one reads it again
                LOG.warning("%s: offset not stored: %s", self.name, error)


def _good(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if message.error() is None]


def headers(message: Message) -> list[tuple[str, bytes | None]]:
    """A record's headers in their order, as bytes."""
    found = message.headers()
    pairs = list(found.items()) if isinstance(found, dict) else found or []
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]
