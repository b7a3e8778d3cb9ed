"""A dead-letter record as Spring Kafka's DeadLetterPublishingRecoverer writes it (kafka_dlt-* headers).

Partition, offset and timestamp are Java's big-endian binary numbers, the rest is UTF-8 text. A listener's own exception
is the *cause*: the outer one is always ListenerExecutionFailedException, and the message joins both.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

LISTENER_EXCEPTION = "org.springframework.kafka.listener.ListenerExecutionFailedException"
OUTER_MESSAGE = "Listener failed"
"""What the container says of a MessageListener that throws."""


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
    at = failure.listener.rpartition(".")[0].rpartition(".")[2]
    container = "org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer"
    trace = (
        f"{LISTENER_EXCEPTION}: {OUTER_MESSAGE}\n"
        f"\tat {container}.decorateException(KafkaMessageListenerContainer.java:2965)\n"
        f"\tat {container}.doInvokeOnMessage(KafkaMessageListenerContainer.java:2907)\n"
        f"\tat {container}.invokeOnMessage(KafkaMessageListenerContainer.java:2871)\n"
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
        ("kafka_dlt-exception-message", f"{OUTER_MESSAGE}; {failure.message}".encode()),
        ("kafka_dlt-exception-stacktrace", trace.encode()),
    ]
