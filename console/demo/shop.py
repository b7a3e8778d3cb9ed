"""The shop's own side of Kafka: orders come in, and a service that cannot handle one writes it to `orders.DLT`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from console.demo.layout import FULFILLMENT, INVENTORY, ORDERS, ORDERS_DLT, ORDERS_PER_SECOND
from console.demo.orders import OrderBook, is_panorama
from console.demo.readers import headers
from console.demo.spring import Failure, dead_letter_headers

if TYPE_CHECKING:
    from confluent_kafka import Message, Producer

FAILURES = {
    FULFILLMENT: Failure(
        "com.example.fulfillment.NoCartonException",
        "no carton for PANO-120X40: aspect ratio 4.5 is above 3.0",
        "com.example.fulfillment.PackingListener.onMessage",
        88,
    ),
    INVENTORY: Failure(
        "com.example.inventory.UnknownSkuException",
        "SKU PANO-120X40 has no stock location",
        "com.example.inventory.ReservationListener.onMessage",
        131,
    ),
}
"""What the bad release throws, by consumer group."""


class Shop:
    """Produces orders at a steady rate. Used by one thread."""

    def __init__(self, producer: Producer, seed: int = 47) -> None:
        self._producer = producer
        self._book = OrderBook(seed)
        self._due = 0.0
        self.orders = 0

    def step(self, seconds: float, panorama_share: float) -> None:
        """Produces the orders due after `seconds`; at most a second's worth, so that a pause makes no flood.

        `panorama_share` is how many of the orders with a picture are panoramas.
        """
        self._due = min(self._due + seconds * ORDERS_PER_SECOND, ORDERS_PER_SECOND)
        now = time.time()
        while self._due >= 1:
            order = self._book.next(now, panorama_share)
            try:
                self._producer.produce(ORDERS, value=order.body, key=order.key, headers=list(order.headers))
            except BufferError:  # no broker has taken anything for a long while: the shop's front page is down
                break
            self._due -= 1
            self.orders += 1
        self._producer.poll(0)


class Listener:
    """A service with Spring's error handling: what its code throws on goes to the dead-letter topic."""

    def __init__(self, group: str, producer: Producer, every: int = 1) -> None:
        self._group = group
        self._producer = producer
        self._every = every
        self._seen = 0
        self.broken = False

    def __call__(self, messages: Sequence[Message]) -> None:
        """Handles a batch; while `broken`, each `every`-th panorama order becomes a dead letter."""
        for message in messages:
            if is_panorama(message.value()):
                self._seen += 1
                if self.broken and self._seen % self._every == 0:
                    self._dead_letter(message)

    def _dead_letter(self, message: Message) -> None:
        found = dead_letter_headers(
            headers(message),
            topic=message.topic() or ORDERS,
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            timestamp_ms=message.timestamp()[1],
            group=self._group,
            failure=FAILURES[self._group],
        )
        # Spring's recoverer keeps key, value and partition number.
        self._producer.produce(
            ORDERS_DLT,
            value=message.value(),
            key=message.key(),
            partition=message.partition() or 0,
            headers=list(found),
        )
