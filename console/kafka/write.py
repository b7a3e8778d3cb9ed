"""confluent-kafka's clients with our settings: producers, consumers, and topics made.

What librdkafka logs goes to Python's logging ("logq.librdkafka"), never to stderr, which would tear a screen. Only
the data path and CreateTopics are used: its group calls may abort the process.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from console.config import KafkaSettings
from console.errors import Denied, Failed, Unreachable, UsageError
from console.kafka.properties import confluent

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer

_LOG = logging.getLogger("logq.librdkafka")
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False


def configuration(settings: KafkaSettings, **properties: Any) -> dict[str, Any]:
    """A confluent-kafka configuration: the settings', then these on top; `group_id` is written for `group.id`.

    Raises `UsageError` for settings that make no sense.
    """
    given = {
        name if name.endswith("_cb") or name.startswith("on_") else name.replace("_", "."): value
        for name, value in properties.items()
    }
    return {**confluent(settings), **given}


def producer(settings: KafkaSettings, **properties: Any) -> Producer:
    """A producer, `acks=all` and idempotent unless said otherwise. Raises `UsageError` for a property's wrong value.

    It makes no topic, whatever the broker would allow: one that was deleted meanwhile is missed, not made anew.
    """
    from confluent_kafka import KafkaException, Producer

    chosen = {"enable.idempotence": "true", **configuration(settings, **properties)}
    chosen["allow.auto.create.topics"] = "false"
    try:
        return Producer(chosen, logger=_LOG)
    except (KafkaException, ValueError, TypeError) as error:
        raise UsageError(f"Kafka's client refuses its settings: {reason(error)}") from None


def consumer(settings: KafkaSettings, **properties: Any) -> Consumer:
    """A consumer that commits nothing by itself. Raises `UsageError` for a property's wrong value.

    `enable.auto.commit` is off unless asked for: with it, closing on frozen brokers hung for more than 70 s.
    """
    from confluent_kafka import Consumer, KafkaException

    chosen = {"enable.auto.commit": "false", **configuration(settings, **properties)}
    try:
        return Consumer(chosen, logger=_LOG)
    except (KafkaException, ValueError, TypeError) as error:
        raise UsageError(f"Kafka's client refuses its settings: {reason(error)}") from None


def create_topics(
    settings: KafkaSettings, topics: Mapping[str, tuple[int, int, Mapping[str, str]]], timeout: float = 30.0
) -> None:
    """Make topics from name -> (partitions, replication factor, configuration); those that exist stay as they are.

    Raises `Unreachable` or `Failed` naming the first that could not be made.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    admin = AdminClient(configuration(settings), logger=_LOG)
    wanted = [
        NewTopic(name, partitions, replication, config=dict(config))
        for name, (partitions, replication, config) in topics.items()
    ]
    if not wanted:
        return
    futures = admin.create_topics(wanted, operation_timeout=timeout, request_timeout=timeout)
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            kind = Unreachable if code in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT) else Failed
            if code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
                kind = Denied
            raise kind(f"cannot make the topic {name}: {reason(error)}") from None


def reason(error: BaseException) -> str:
    """librdkafka's own words for an error, one line."""
    first = error.args[0] if error.args else error
    told = first.str() if hasattr(first, "str") else str(first)
    return " ".join(told.split()) or type(error).__name__
