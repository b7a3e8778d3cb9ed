"""The story's process: `python -m console.demo.story` plays until its standard input closes.

Commands come in on standard input, one JSON object a line: `{"command": "fix" | "break" | "state" | "stop"}`. The state
goes out on standard output, one object a line, twice a second and after each command. It runs apart from the screen so
that neither slows the other, and ends at once when the other end of the pipe is gone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from console.config import KafkaSettings, SqsSettings
from console.demo import layout, plot, workers
from console.demo.readers import FULL_SPEED, Reader, member
from console.demo.shop import Listener, Shop
from console.sqs.connect import sqs_client

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

TICK_S = 0.1
STATE_EVERY_S = 0.5
SQS_TIMEOUT_S = 10.0
CLOSE_S = 2.5
SOON_S = 60.0
"""Only what comes within this time is told beforehand."""
SHOP: dict[str, str | int | float | bool] = {"client.id": "shop", "linger.ms": 20}
ACTS = {"fix": plot.FIX, "break": plot.BREAK}


class Story:
    """All services of the shop on one Kafka and one SQS server."""

    def __init__(self, kafka: KafkaSettings, sqs: SQSClient, replication: int = 1) -> None:
        from console.kafka import write

        layout.create_topics(kafka, replication)
        self._urls = layout.create_queues(sqs)
        self._sqs = sqs
        self._producer = write.producer(kafka, **SHOP)
        self._shop = Shop(self._producer)
        self._fulfillment = Listener(layout.FULFILLMENT, self._producer)
        self._inventory = Listener(layout.INVENTORY, self._producer, every=5)
        self._kafka = kafka
        self._billing: Reader | None = self._new_billing()
        self._analytics = Reader(layout.ANALYTICS, [member(kafka, layout.ANALYTICS, 1, kip848=True)])
        self._plain = [
            Reader(name, [member(kafka, name, n) for n in (1, 2)], handler)
            for name, handler in ((layout.INVENTORY, self._inventory), (layout.FULFILLMENT, self._fulfillment))
        ]
        self._indexer: Reader | None = Reader(layout.SEARCH_INDEXER, [member(kafka, layout.SEARCH_INDEXER, 1)])
        image = workers.Feeder(workers.Sender(sqs, self._urls[layout.IMAGE_JOBS]), workers.image_entry)
        mails = workers.Feeder(workers.Sender(sqs, self._urls[layout.EMAILS]), workers.EmailEntries())
        self._bridge = Reader(layout.IMAGE_BRIDGE, [member(kafka, layout.IMAGE_BRIDGE, 1)], image)
        self._notifications = Reader(layout.NOTIFICATIONS, [member(kafka, layout.NOTIFICATIONS, 1)], mails)
        self._stop = threading.Event()
        self._threads: tuple[threading.Thread, ...] = ()
        self._lock = threading.Lock()
        self._timeline = plot.Timeline()
        self._began = self._last = time.monotonic()

    def start(self) -> None:
        """The shop opens: the story's clock begins to run."""
        self._began = self._last = time.monotonic()
        around = workers.start(
            self._sqs, self._urls, self._bridge, self._notifications, lambda: self.world.panorama_bug, self._stop
        )
        self._threads = (workers.forever("kafka", self._stop, self._tick), *around)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    @property
    def world(self) -> plot.World:
        """How the services are now."""
        return plot.world(self._timeline, self.elapsed)

    def play(self, act: tuple[plot.Event, ...]) -> None:
        """Begins another act now."""
        with self._lock:
            self._timeline = plot.play(self._timeline, act, self.elapsed)

    def state(self) -> dict[str, object]:
        """What the other end of the pipe wants to know, as JSON values."""
        timeline, now = self._timeline, self.elapsed
        past, coming = plot.happened(timeline, now), plot.coming(timeline, now)
        if coming and coming[1] > SOON_S:
            coming = None
        return {
            "broken": plot.world(timeline, now).panorama_bug,
            "elapsed": round(now, 2),
            "last_event": past[-1].text if past else "",
            "next_event": coming[0].text if coming else None,
            "next_in": round(coming[1], 1) if coming else None,
            "orders": self._shop.orders,
        }

    def stop(self) -> None:
        """The services end; consumers leave their groups if that is quick."""
        self._stop.set()
        deadline = time.monotonic() + CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        readers = [*self._plain, self._analytics, self._bridge, self._notifications]
        readers += [self._billing] if self._billing else []
        closers = [threading.Thread(target=reader.close, daemon=True) for reader in readers]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join(max(0.0, deadline - time.monotonic()))

    def _new_billing(self) -> Reader:
        return Reader(layout.BILLING, [member(self._kafka, layout.BILLING, n) for n in (1, 2, 3)])

    def _roll(self, down: bool) -> None:
        """A release of billing: its members leave, and some seconds later new ones come."""
        if down and self._billing:
            # Leaving takes its time, and the shop does not wait for it.
            threading.Thread(target=self._billing.close, name="billing leaves", daemon=True).start()
            self._billing = None
        elif not down and not self._billing:
            self._billing = self._new_billing()

    def _tick(self) -> None:
        self._stop.wait(TICK_S)
        now = time.monotonic()
        seconds, self._last = min(now - self._last, 1.0), now
        world = self.world
        self._fulfillment.broken = self._inventory.broken = world.panorama_bug
        self._shop.step(seconds, world.panorama_share)
        for reader in self._plain:
            reader.step(seconds)
        self._roll(world.billing_down)
        if self._billing:
            self._billing.step(seconds, stalled=world.billing_stalled)
        pace = world.analytics_pace * layout.ORDERS_PER_SECOND
        self._analytics.step(seconds, pace=min(pace, FULL_SPEED))
        if self._indexer and not world.indexer_running:
            self._indexer.close()
            self._indexer = None
        elif self._indexer:
            self._indexer.step(seconds)


def main(arguments: list[str] | None = None) -> int:
    """Plays the story on the servers named; ends when standard input closes (at once) or on `stop` (in order)."""
    parser = argparse.ArgumentParser(prog="python -m console.demo.story", description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--endpoint-url", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--replication", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    # Ctrl-C in a terminal reaches the whole process group; it is the parent that ends the story, through the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    commands: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(commands,), daemon=True).start()
    try:
        sqs = sqs_client(SqsSettings(region=options.region, endpoint_url=options.endpoint_url), SQS_TIMEOUT_S)
        story = Story(KafkaSettings(options.bootstrap), sqs, options.replication)
    except Exception as error:  # whatever it is, the other end says it in its own words
        _tell({"problem": str(error) or type(error).__name__})
        return 1
    story.start()
    parent = os.getppid()
    # The pipe tells at once that the parent is gone; a changed parent tells it even if somebody else holds the pipe.
    while os.getppid() == parent:
        _tell(story.state())
        with contextlib.suppress(queue.Empty):
            command = commands.get(timeout=STATE_EVERY_S)
            if command == "stop":
                story.stop()
                _tell(story.state())
                return 0
            if command in ACTS:
                story.play(ACTS[command])
    return 0


def _listen(commands: queue.Queue[str]) -> None:
    for line in sys.stdin:
        with contextlib.suppress(ValueError, AttributeError):
            commands.put(str(json.loads(line).get("command")))
    # The other end is gone: nothing may outlive it, whatever the clients are waiting for.
    os._exit(0)


def _tell(state: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(state) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # librdkafka's threads may still wait for brokers that are gone
