"""Clients that change something on Kafka: producers, group consumers and new topics, on confluent-kafka.

Their log lines go to the logger `console.kafka.write`, which is silent unless somebody configures it: librdkafka would
write to standard error and tear the screen. The clients block; one consumer belongs to one thread.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from console.config import KafkaSettings
from console.errors import Failed, Unreachable

_LOG = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False

TopicSpec = tuple[int, int, Mapping[str, str]]
"""Number of partitions, replication factor, topic configuration."""


def producer(settings: KafkaSettings, **properties: str | int | float | bool) -> Producer:
    """An idempotent producer that waits for all in-sync replicas, unless `properties` (librdkafka's names) differ.

    Nothing is connected yet. Raises `Failed` for properties that librdkafka refuses.
    """
    defaults = {"acks": "all", "enable.idempotence": True}
    try:
        return Producer({**defaults, **_base(settings), **properties}, logger=_LOG)
    except (KafkaException, ValueError, TypeError) as error:
        raise Failed(f"the Kafka producer cannot be set up: {_reason(error)}") from None


def consumer(settings: KafkaSettings, **properties: str | int | float | bool) -> Consumer:
    """A consumer with the given properties (`group.id` is needed); it joins its group when it subscribes.

    Raises `Failed` for properties that librdkafka refuses.
    """
    try:
        return Consumer({**_base(settings), **properties}, logger=_LOG)
    except (KafkaException, ValueError, TypeError) as error:
        raise Failed(f"the Kafka consumer cannot be set up: {_reason(error)}") from None


def create_topics(settings: KafkaSettings, topics: Mapping[str, TopicSpec], timeout: float = 15.0) -> tuple[str, ...]:
    """Creates the topics that are not there yet and returns the names of those it created.

    An existing topic is left as it is. Raises `Unreachable` when no broker answers within `timeout` seconds, `Failed`
    with the broker's reason when it refuses one.
    """
    admin = AdminClient(_base(settings), logger=_LOG)
    wanted = [
        NewTopic(name, num_partitions=partitions, replication_factor=replication, config=dict(config))
        for name, (partitions, replication, config) in topics.items()
    ]
    created = []
    for name, future in admin.create_topics(wanted, operation_timeout=timeout, request_timeout=timeout).items():
        try:
            future.result(timeout=timeout + 1)
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            if code in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
                raise Unreachable(f"no broker of {settings.bootstrap} answered while creating topic {name}") from None
            raise Failed(f"topic {name} was not created: {_reason(error)}") from None
        created.append(name)
    return tuple(created)


def _base(settings: KafkaSettings) -> dict[str, str | int | float | bool]:
    return {**settings.properties, "bootstrap.servers": settings.bootstrap}


def _reason(error: Exception) -> str:
    first = error.args[0] if error.args else error
    return first.str() if isinstance(first, KafkaError) else str(first)
