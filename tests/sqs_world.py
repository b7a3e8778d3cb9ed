"""Queues for tests, made and read by a plain boto3 client that is not logq's, and a client that injects faults."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from console.config import Settings, SqsSettings
from console.ops.session import Session
from console.sqs import connect
from console.sqs.client import SqsClient


def plain_client(endpoint: str) -> Any:
    config = Config(max_pool_connections=16, retries={"total_max_attempts": 1}, proxies={})
    return boto3.client(
        "sqs", endpoint_url=endpoint, region_name="eu-west-1", config=config,
        aws_access_key_id="x", aws_secret_access_key="x",
    )  # fmt: skip


@dataclass
class World:
    """A queue with its dead-letter queue, and the means to fill and to drain them."""

    client: Any
    endpoint: str
    name: str
    url: str
    dlq: str
    dlq_url: str

    @property
    def fifo(self) -> bool:
        return self.name.endswith(".fifo")

    def fill(self, bodies: list[str], url: str | None = None, **more: Any) -> dict[str, str]:
        """Send to the dead-letter queue; body -> MessageId. On FIFO `group` gives the group of a body."""
        group: Callable[[str], str] | None = more.pop("group", None)

        def one(first: int) -> dict[str, str]:
            batch = bodies[first : first + 10]
            entries = []
            for index, body in enumerate(batch):
                entry: dict[str, Any] = {"Id": str(index), "MessageBody": body, **more}
                if group is not None:
                    entry["MessageGroupId"] = group(body)
                if self.fifo:
                    entry["MessageDeduplicationId"] = str(hash(body) & 0xFFFFFFFFFF)
                entries.append(entry)
            answer = self.client.send_message_batch(QueueUrl=url or self.dlq_url, Entries=entries)
            assert not answer.get("Failed"), answer
            return {batch[int(done["Id"])]: done["MessageId"] for done in answer["Successful"]}

        out: dict[str, str] = {}
        with ThreadPoolExecutor(1 if self.fifo else 8) as pool:
            for part in pool.map(one, range(0, len(bodies), 10)):
                out |= part
        return out

    def drain(self, url: str | None = None) -> list[dict[str, Any]]:
        """Everything in the queue, deleted as it is read, in the order it came.

        Each message once: a queue may hand one out to two readers (moto does, under load). A second copy is another
        message, with an id of its own.
        """
        out: dict[str, dict[str, Any]] = {}
        lock = threading.Lock()

        def work() -> None:
            empty = 0
            while empty < 2:
                got = self.client.receive_message(
                    QueueUrl=url or self.url, MaxNumberOfMessages=10, WaitTimeSeconds=1, VisibilityTimeout=600,
                    MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"],
                ).get("Messages", [])  # fmt: skip
                empty = 0 if got else empty + 1
                if got:
                    entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(got)]
                    self.client.delete_message_batch(QueueUrl=url or self.url, Entries=entries)
                    with lock:
                        for message in got:
                            out.setdefault(message["MessageId"], message)

        threads = [threading.Thread(target=work) for _ in range(1 if self.fifo else 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return list(out.values())

    def counts(self, url: str | None = None) -> tuple[int, int]:
        """Visible and in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])


def arn_of(client: Any, url: str) -> str:
    return str(client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


def create(client: Any, name: str, dlq_arn: str | None = None, receives: int = 3, **attributes: str) -> str:
    if name.endswith(".fifo"):
        attributes["FifoQueue"] = "true"
    if dlq_arn is not None:
        attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": dlq_arn, "maxReceiveCount": receives})
    return str(client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


@contextmanager
def world(endpoint: str, name: str, fifo: bool = False, receives: int = 3) -> Iterator[World]:
    client = plain_client(endpoint)
    end = ".fifo" if fifo else ""
    dlq_url = create(client, f"{name}-dlq{end}")
    url = create(client, f"{name}{end}", arn_of(client, dlq_url), receives)
    try:
        yield World(client, endpoint, f"{name}{end}", url, f"{name}-dlq{end}", dlq_url)
    finally:
        client.delete_queue(QueueUrl=url)
        client.delete_queue(QueueUrl=dlq_url)


class Faulty:
    """Wraps a boto3 client: before or after a call something goes wrong that a real server will not do on request.

    `faults` maps a method's name to a function of (call, keywords) that calls through, changes the answer, or raises.
    """

    def __init__(self, inner: Any, faults: dict[str, Callable[..., Any]]) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        fault = self._faults.get(name)
        if fault is None:
            return found
        return lambda **keywords: fault(found, keywords)


@contextmanager
def session(
    endpoint: str, state: Path, faults: dict[str, Callable[..., Any]] | None = None, **settings: Any
) -> Iterator[Session]:
    """A logq session on the endpoint; with `faults` its SQS clients are `Faulty`."""
    sqs = SqsSettings(region="eu-west-1", endpoint_url=endpoint)
    opened = Session(Settings(sqs=sqs, state_dir=state, **settings))
    if faults is not None:

        def make(*args: Any, **keywords: Any) -> Any:
            return Faulty(connect.sqs_client(*args, **keywords), faults)

        opened._sqs = SqsClient(sqs, 10.0, make=make)
    try:
        yield opened
    finally:
        opened.close()
