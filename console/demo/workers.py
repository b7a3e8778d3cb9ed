"""The services around SQS: what feeds the queues from Kafka, and the workers that empty them.

Each runs in a thread of its own, because a call to SQS waits. A worker that fails on a message simply does not delete
it: the visibility timeout brings it back, and the queue's redrive policy gives up on it.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from console.demo.layout import EMAILS, IMAGE_JOBS, INVOICES, THUMBNAILS, WEBHOOKS, create_queues
from console.demo.orders import PANORAMA, email, has_photo, image_job, is_panorama, parse
from console.demo.readers import Reader, headers

if TYPE_CHECKING:
    from confluent_kafka import Message
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import (
        MessageAttributeValueTypeDef,
        MessageTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

LOG = logging.getLogger(__name__)
BATCH = 10
"""SQS takes and gives at most this many messages in one call."""
IMAGE_WORK_S = 0.6
EMAIL_WORK_S = 0.5
EMAIL_EVERY = 130
"""One order in so many is confirmed by e-mail, some 3 a second; the others' customers have the app."""
PROOF_EVERY = 4
"""One panorama in so many is sent as a proof by e-mail."""
READ_EVERY_S = 0.5
RETRY_S = 1.0


def forever(name: str, stop: threading.Event, step: Callable[[], None]) -> threading.Thread:
    """A started daemon thread that repeats `step` until `stop` is set; an error is logged and tried again after 1 s."""

    def run() -> None:
        while not stop.is_set():
            try:
                step()
            except Exception as error:  # a service that loses its server goes on when it is back
                LOG.warning("%s: %s: %s", name, type(error).__name__, error)
                stop.wait(RETRY_S)

    thread = threading.Thread(target=run, name=f"story-{name}", daemon=True)
    thread.start()
    return thread


class Sender:
    """Sends JSON bodies to one queue, ten a call."""

    def __init__(self, sqs: SQSClient, url: str) -> None:
        self._sqs = sqs
        self._url = url

    def send(self, entries: Sequence[SendMessageBatchRequestEntryTypeDef]) -> None:
        """Sends all entries, or raises: what the server refused of a batch is an error too."""
        for start in range(0, len(entries), BATCH):
            batch = entries[start : start + BATCH]
            answer = self._sqs.send_message_batch(QueueUrl=self._url, Entries=batch)
            if answer.get("Failed"):
                raise RuntimeError(f"{len(answer['Failed'])} of {len(batch)} not sent: {answer['Failed'][0]}")


class Feeder:
    """A consumer group that turns some records into messages of a queue; offsets move only after the send."""

    def __init__(
        self, sender: Sender, make: Callable[[Message, int], SendMessageBatchRequestEntryTypeDef | None]
    ) -> None:
        self._sender = sender
        self._make = make

    def __call__(self, messages: Sequence[Message]) -> None:
        """Sends what the records ask for; raises when that fails, and the records are read again."""
        made = (self._make(message, number) for number, message in enumerate(messages))
        self._sender.send([entry for entry in made if entry is not None])


def image_entry(message: Message, number: int) -> SendMessageBatchRequestEntryTypeDef | None:
    """The image job for a record, None when its order has no picture."""
    value = message.value()
    order = parse(value) if has_photo(value) else None
    if order is None:
        return None
    job = image_job(order)
    attributes: dict[str, MessageAttributeValueTypeDef] = {
        "format": {"DataType": "String", "StringValue": str(job["format"])},
        "bytes": {"DataType": "Number", "StringValue": str(order["image"].get("bytes", 0))},
    }
    trace = dict(headers(message)).get("traceparent")
    if trace:
        attributes["traceparent"] = {"DataType": "String", "StringValue": trace.decode(errors="replace")}
    return {"Id": str(number), "MessageBody": _json(job), "MessageAttributes": attributes}


class EmailEntries:
    """Which orders are confirmed by e-mail, as entries for a FIFO queue in one message group per customer."""

    def __init__(self) -> None:
        self._orders = 0
        self._panoramas = 0

    def __call__(self, message: Message, number: int) -> SendMessageBatchRequestEntryTypeDef | None:
        """The e-mail for a record, None when its customer gets none."""
        value = message.value()
        if is_panorama(value):
            self._panoramas += 1
            wanted = self._panoramas % PROOF_EVERY == 0
        else:
            self._orders += 1
            wanted = self._orders % EMAIL_EVERY == 0
        order = parse(value) if wanted else None
        if order is None:
            return None
        mail = email(order)
        return {
            "Id": str(number),
            "MessageBody": _json(mail),
            "MessageGroupId": str(mail["customer_id"]),
            "MessageDeduplicationId": f"{mail['email_id']}-{message.partition()}-{message.offset()}",
            "MessageAttributes": {"template": {"DataType": "String", "StringValue": str(mail["template"])}},
        }


class Worker:
    """Takes messages of a queue in batches, works on them for a while, and deletes those it could handle."""

    def __init__(self, sqs: SQSClient, url: str, fails: Callable[[str], bool], work: float, stop: threading.Event):
        self._sqs = sqs
        self._url = url
        self._fails = fails
        self._work = work
        self._stop = stop

    def step(self) -> None:
        """One batch."""
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=1)
        messages = answer.get("Messages", [])
        if not messages:
            return
        self._stop.wait(self._work)
        done = [message for message in messages if not self._fails(message["Body"])]
        delete(self._sqs, self._url, done)


def is_panorama_job(body: str) -> bool:
    """Whether an image job or an e-mail is about a panorama, the kind that the bad release fails on."""
    job = parse(body)
    return job is not None and (job.get("format") == PANORAMA or job.get("template") == "panorama-proof")


def delete(sqs: SQSClient, url: str, messages: Sequence[MessageTypeDef]) -> None:
    """Deletes what was handled; an entry that is refused comes back by itself."""
    if messages:
        entries = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)]
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)  # type: ignore[arg-type]


class SideQueues:
    """The quiet queues: webhooks and invoices are emptied as they come, thumbnails in rare sweeps."""

    def __init__(self, sqs: SQSClient, urls: dict[str, str], stop: threading.Event, seed: int = 11) -> None:
        self._sqs = sqs
        self._urls = urls
        self._stop = stop
        self._random = random.Random(seed)
        self._round = 0

    def step(self) -> None:
        """About a second of it."""
        self._stop.wait(1.0)
        self._round += 1
        self._send(WEBHOOKS, self._random.randint(1, 4), self._webhook)
        if self._round % 2 == 0:
            self._send(INVOICES, self._random.randint(1, 3), self._invoice)
            self._send(THUMBNAILS, self._random.randint(3, 6), self._thumbnail)
            self._drain(WEBHOOKS, 1)
        if self._round % 3 == 0:
            self._drain(INVOICES, 1)
        if self._round % 15 == 0:
            self._drain(THUMBNAILS, 4)

    def _send(self, name: str, count: int, body: Callable[[], dict[str, Any]]) -> None:
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {"Id": str(number), "MessageBody": _json(body())} for number in range(count)
        ]
        self._sqs.send_message_batch(QueueUrl=self._urls[name], Entries=entries)

    def _drain(self, name: str, batches: int) -> None:
        url = self._urls[name]
        for _ in range(batches):
            messages = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=BATCH).get("Messages", [])
            delete(self._sqs, url, messages)

    def _webhook(self) -> dict[str, Any]:
        event = self._random.choice(("order.created", "order.paid", "order.shipped"))
        shop = self._random.randint(100, 140)
        return {"event": event, "url": f"https://hooks.example.com/shop/{shop}", "delivery": self._number()}

    def _invoice(self) -> dict[str, Any]:
        return {"invoice": f"INV-2026-{self._random.randint(10000, 99999)}", "pdf": True, "delivery": self._number()}

    def _thumbnail(self) -> dict[str, Any]:
        return {"picture": f"s3://shop-uploads/{self._number()}.jpg", "sizes": [96, 200]}

    def _number(self) -> str:
        return f"{self._random.getrandbits(48):012x}"


def start(
    sqs: SQSClient,
    urls: dict[str, str],
    bridge: Reader,
    notifications: Reader,
    broken: Callable[[], bool],
    stop: threading.Event,
) -> tuple[threading.Thread, ...]:
    """Starts every service around SQS; `broken` says whether the bad release is out. The threads end after `stop`."""

    def fails(body: str) -> bool:
        return broken() and is_panorama_job(body)

    def reading(reader: Reader) -> Callable[[], None]:
        def step() -> None:
            stop.wait(READ_EVERY_S)
            reader.step(READ_EVERY_S)

        return step

    side = SideQueues(sqs, urls, stop)

    def side_step() -> None:
        try:
            side.step()
        except Exception:
            # A server that was started anew has forgotten its queues; the other services find them again then.
            create_queues(sqs)
            raise

    image = [Worker(sqs, urls[IMAGE_JOBS], fails, IMAGE_WORK_S, stop) for _ in range(2)]
    mailer = Worker(sqs, urls[EMAILS], fails, EMAIL_WORK_S, stop)
    return (
        forever(bridge.name, stop, reading(bridge)),
        forever(notifications.name, stop, reading(notifications)),
        *(forever(f"image-worker-{number}", stop, worker.step) for number, worker in enumerate(image, 1)),
        forever("mailer", stop, mailer.step),
        forever("side-queues", stop, side_step),
    )


def _json(body: dict[str, Any]) -> str:
    return json.dumps({**body, "queued_at": round(time.time(), 3)}, ensure_ascii=False, separators=(",", ":"))
