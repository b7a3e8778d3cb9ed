"""The names of everything in the story, and the commands that create it on the servers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from console.config import KafkaSettings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

ORDERS = "orders"
ORDERS_DLT = "orders.DLT"
PARTITIONS = 6
ORDERS_PER_SECOND = 400

BILLING = "billing"
INVENTORY = "inventory"
FULFILLMENT = "fulfillment"
ANALYTICS = "analytics"
NOTIFICATIONS = "notifications"
IMAGE_BRIDGE = "image-bridge"
SEARCH_INDEXER = "search-indexer"

IMAGE_JOBS = "image-resize-jobs"
IMAGE_JOBS_DLQ = "image-resize-jobs-dlq"
EMAILS = "emails.fifo"
EMAILS_DLQ = "emails-dlq.fifo"
WEBHOOKS = "webhooks"
WEBHOOKS_DLQ = "webhooks-dlq"
INVOICES = "invoices"
THUMBNAILS = "thumbnails"

MAX_RECEIVES = 3
VISIBILITY_S = 3
"""Short, so that a message that fails is back in its DLQ after 3 receives, some 10 s."""

CREATE_S = 15.0
RETENTION_BYTES = 96 * 1024 * 1024
"""Per partition of `orders`: a demo left running must not fill the disk (some 40 minutes of orders)."""


def create_topics(settings: KafkaSettings, replication: int) -> None:
    """The two topics, unless they are there. Raises what `console.kafka.write.create_topics` raises."""
    from console.kafka import write

    orders = {"retention.bytes": str(RETENTION_BYTES), "segment.bytes": str(RETENTION_BYTES // 6)}
    dead = {"retention.ms": str(14 * 24 * 3600 * 1000)}
    topics = {ORDERS: (PARTITIONS, replication, orders), ORDERS_DLT: (PARTITIONS, replication, dead)}
    write.create_topics(settings, topics, timeout=CREATE_S)


def create_queues(sqs: SQSClient) -> dict[str, str]:
    """Every queue of the story, created where it is not there yet: name to URL."""
    short: dict[QueueAttributeNameType, str] = {"VisibilityTimeout": str(VISIBILITY_S)}
    fifo: dict[QueueAttributeNameType, str] = {"FifoQueue": "true"}
    urls = {
        IMAGE_JOBS_DLQ: _create(sqs, IMAGE_JOBS_DLQ, {}),
        EMAILS_DLQ: _create(sqs, EMAILS_DLQ, fifo),
        WEBHOOKS_DLQ: _create(sqs, WEBHOOKS_DLQ, {}),
        INVOICES: _create(sqs, INVOICES, {"DelaySeconds": "10"}),
        THUMBNAILS: _create(sqs, THUMBNAILS, {}),
    }
    for name, dead, attributes in (
        (IMAGE_JOBS, IMAGE_JOBS_DLQ, short),
        (EMAILS, EMAILS_DLQ, {**short, **fifo}),
        (WEBHOOKS, WEBHOOKS_DLQ, {}),
    ):
        arn = sqs.get_queue_attributes(QueueUrl=urls[dead], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": str(MAX_RECEIVES)})
        urls[name] = _create(sqs, name, {**attributes, "RedrivePolicy": policy})
    return urls


def _create(sqs: SQSClient, name: str, attributes: dict[QueueAttributeNameType, str]) -> str:
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
