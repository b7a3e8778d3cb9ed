"""A dead-letter record as Spring Kafka's DeadLetterPublishingRecoverer writes it (kafka_dlt-* headers).

Partition, offset and timestamp are Java's big-endian binary numbers, the rest is UTF-8 text. A listener's own exception
is the *cause*: the outer one is always ListenerExecutionFailedException, and the message joins both.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

LISTENER_EXCEPTION = "org.springframework.kafka.listener.ListenerExecutionFailedException"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a listener gave up on a record: the exception's class, its message and where in the code it was thrown."""

    exception: str
    message: str
    listener: str
    line: int


def dead_letter_headers(
    headers: list[tuple[str, bytes | None]],
    *,
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    group: str,
    failure: Failure,
) -> list[tuple[str, bytes | None]]:
    """The record's own headers, then where it came from, then what went wrong, in Spring's order and encodings."""
    method = f"public void {failure.listener}(com.example.shop.Order)"
    outer = f"Listener method '{method}' threw exception"
    at = failure.listener.rpartition(".")[0].rpartition(".")[2]
    trace = (
        f"{LISTENER_EXCEPTION}: {outer}\n"
        "\tat org.springframework.kafka.listener.adapter.MessagingMessageListenerAdapter.invokeHandler"
        "(MessagingMessageListenerAdapter.java:478)\n"
        "\tat org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.doInvokeRecordListener"
        "(KafkaMessageListenerContainer.java:2882)\n"
        f"Caused by: {failure.exception}: {failure.message}\n"
        f"\tat {failure.listener}({at}.java:{failure.line})\n"
        "\t... 11 more\n"
    )
    return [
        *headers,
        ("kafka_dlt-original-topic", topic.encode()),
        ("kafka_dlt-original-partition", struct.pack(">i", partition)),
        ("kafka_dlt-original-offset", struct.pack(">q", offset)),
        ("kafka_dlt-original-timestamp", struct.pack(">q", timestamp_ms)),
        ("kafka_dlt-original-timestamp-type", b"CreateTime"),
        ("kafka_dlt-original-consumer-group", group.encode()),
        ("kafka_dlt-exception-fqcn", LISTENER_EXCEPTION.encode()),
        ("kafka_dlt-exception-cause-fqcn", failure.exception.encode()),
        ("kafka_dlt-exception-message", f"{outer}; {failure.message}".encode()),
        ("kafka_dlt-exception-stacktrace", trace.encode()),
    ]
