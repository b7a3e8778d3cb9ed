"""A redrive's Kafka destination: messages as records, one idempotent producer, every delivery report waited for.

`acks=all`; the caller deletes an original only after the report. Each copy names its job and its origin in headers, so
that after a crash the topic tells which of the messages in doubt have arrived.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from console.kafka import write
from console.model import Problem
from console.ops.redrive_topic_select import JOB_HEADER, ORIGIN_HEADER
from console.ops.redrive_topic_send import DELIVERY_S, NOT_WRITTEN, REFUSED, batch_bytes, name_of
from console.sqs.receive import as_bytes
from console.sqs.send import Fate, Outgoing, Result

if TYPE_CHECKING:
    from confluent_kafka import Producer

    from console.kafka.client import KafkaClient

TRACE_HEADER = "AWSTraceHeader"

_FOR_GOOD = frozenset({"TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"})


class TopicSender:
    """Sends messages of one job to topics; used by all workers at once, they share the producer."""

    def __init__(self, client: KafkaClient, job: str, limits: Sequence[int | None]) -> None:
        """`limits` is what the topics take (`max.message.bytes`), None where that could not be seen."""
        self._client = client
        self._job = job
        self._batch_bytes = batch_bytes(limits)
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    def send(self, topic: str, batch: Sequence[Outgoing]) -> dict[str, Result]:
        """Send messages and wait for every delivery report. Each has a result by its id, whatever went wrong.

        A result's `message_id` is `TOPIC/PARTITION/OFFSET`. What is not answered in time is `Fate.UNKNOWN`.
        """
        answers: dict[str, Result] = {}
        producer = self._started()
        for out in batch:
            try:
                self._produce(producer, topic, out, answers)
            except Exception as error:  # BufferError, KafkaException: it never left this process
                answers[out.id] = _failed(topic, out, write.reason(error), name_of(error))
        ends = time.monotonic() + DELIVERY_S + 5
        while len(answers) < len(batch) and time.monotonic() < ends:
            producer.poll(0.02)
        for out in batch:
            if out.id not in answers:
                answers[out.id] = _failed(topic, out, "no delivery report came", "_TIMED_OUT")
        return answers

    def _started(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._producer = write.producer(
                    self._client.settings,
                    # By key is where a Java producer puts it, or messages of one group would part.
                    partitioner="murmur2_random",
                    allow_auto_create_topics="false",
                    delivery_timeout_ms=str(round(DELIVERY_S * 1000)),
                    linger_ms="5",
                    batch_size=str(self._batch_bytes),
                    message_max_bytes="100000000",
                    acks="all",
                    enable_idempotence="true",
                )
            return self._producer

    def _produce(self, producer: Producer, topic: str, out: Outgoing, answers: dict[str, Result]) -> None:
        def delivered(error: Any, record: Any) -> None:
            if error is None:
                answers[out.id] = Result(Fate.SENT, f"{record.topic()}/{record.partition()}/{record.offset()}")
            else:
                answers[out.id] = _failed(topic, out, " ".join(error.str().split()), error.name())

        key = None if out.group_id is None else out.group_id.encode()
        value = out.body.encode("utf-8", "surrogatepass")
        about: Any = headers(out, self._job)
        producer.produce(topic, value, key, headers=about, on_delivery=delivered)


def headers(out: Outgoing, job: str) -> list[tuple[str, bytes]]:
    """A message's attributes and trace header as record headers, then the job and the message's id as its origin."""
    found = [
        (
            name,
            as_bytes(value["BinaryValue"])
            if str(value.get("DataType", "")).startswith("Binary")
            else str(value.get("StringValue", "")).encode("utf-8", "surrogatepass"),
        )
        for name, value in sorted(out.attributes.items())
    ]
    if out.trace is not None:
        found.append((TRACE_HEADER, out.trace.encode()))
    return [*found, (JOB_HEADER, job.encode()), (ORIGIN_HEADER, out.id.encode())]


def _failed(topic: str, out: Outgoing, said: str, name: str) -> Result:
    """What an error says about a message: refused, certainly not written, or nobody knows."""
    problem = Problem(f"message {out.id}", name, f"{topic}: {said}")
    if name in REFUSED:
        return Result(Fate.REFUSED, problem=problem)
    if name in NOT_WRITTEN:
        return Result(Fate.NOT_SENT, problem=problem, passing=name not in _FOR_GOOD)
    return Result(Fate.UNKNOWN, problem=problem, passing=True)
