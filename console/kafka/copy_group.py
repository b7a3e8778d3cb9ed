"""A copy's own consumer group and the clients that work in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from console.config import KafkaSettings
from console.errors import Denied, Failed, Unreachable
from console.kafka import marks
from console.kafka.marks import Mark
from console.kafka.write import consumer, producer, reason

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer

BATCH = 10_000
"""Records a transaction: each costs about 134 ms whatever it holds (of 1,000: 32,000/s, of 10,000: 100,000/s)."""

SESSION_MS = 10_000
"""How long a member that was killed keeps its partitions."""

TRANSACTION_MS = 60_000
"""How long a transaction may stay open; 15 s ended in fatal errors while brokers were killed."""

ANSWER_MS = 10_000
"""How long a broker may leave a request without answer: of one that hangs nobody learns otherwise for 60 s (Fetch) or
30 s (Produce) that another leads by now."""

PATIENCE_S = 180.0
"""How long nothing may move before a copy gives up, resumable; longer than a dead process's open transaction."""

_CALL_S = 30.0
_CLOSE_S = 2.0
_LEAST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Copy:
    """What is copied. `marks` are the planned ranges at their start, written to the group when it has none.

    `group` and `job` name the job, `digest` its options. `rate` is records a second of this process, `limit` records
    of the whole job (then only one process may run it: `identity` is fixed). `max_bytes` is what the destination takes.
    """

    source: str
    target: str
    group: str
    job: str
    digest: str
    marks: Mapping[int, Mark]
    same_partitions: bool
    rate: float | None = None
    limit: int | None = None
    max_bytes: int = _LEAST_BYTES
    batch: int = BATCH
    patience: float = PATIENCE_S


def begin(settings: KafkaSettings, copy: Copy) -> dict[int, Mark]:
    """Write the copy's ranges to its group unless it has some already; what the group then holds.

    Raises `Unreachable`, `Denied` or `Failed` when that cannot be done.
    """
    from confluent_kafka import KafkaError, KafkaException

    found = look(settings, copy.group, copy.source, list(copy.marks))
    if found:
        return found
    source = _outsider(settings, copy.group)
    ends = time.monotonic() + _CALL_S
    try:
        while True:
            try:
                # One request: the group has all of the ranges or none.
                source.commit(offsets=marks.commits(copy.source, copy.marks), asynchronous=False)
                break
            except KafkaException as error:
                code = error.args[0].code()
                if code in (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION):
                    break  # somebody else's process is in the group already: then its ranges are there
                if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
                    raise Denied(f"not allowed to commit for the group {copy.group}: {reason(error)}") from None
                if time.monotonic() >= ends:
                    raise Failed(f"cannot write the ranges to the group {copy.group}: {reason(error)}") from None
                time.sleep(0.3)
    finally:
        close(source)
    return look(settings, copy.group, copy.source, list(copy.marks))


def look(
    settings: KafkaSettings, group: str, topic: str, partitions: list[int], timeout: float = _CALL_S
) -> dict[int, Mark]:
    """The marks of a job's group as they are committed now, empty when there is no such job; joins nothing.

    Raises `Unreachable` when they cannot be had within `timeout` seconds, `Failed` when the group is not a job's.
    """
    from confluent_kafka import KafkaException

    source = _outsider(settings, group)
    ends = time.monotonic() + timeout
    try:
        while True:
            try:
                return marks.read(source, topic, partitions, max(1.0, min(5.0, timeout)))
            except KafkaException as error:
                if time.monotonic() >= ends:
                    raise Unreachable(f"cannot read the positions of {group}: {reason(error)}") from None
                time.sleep(0.3)
    finally:
        close(source)


def _outsider(settings: KafkaSettings, group: str) -> Consumer:
    """Who reads and writes a group's commits without joining it."""
    return consumer(settings, group_id=group, isolation_level="read_committed", **_patience(settings))


def _patience(settings: KafkaSettings) -> dict[str, Any]:
    """How long a client waits for an answer, unless the settings say so."""
    return {"socket_timeout_ms": settings.properties.get("socket.timeout.ms", ANSWER_MS)}


def transactional(
    settings: KafkaSettings,
    copy: Copy,
    identity: str,
    complain: Callable[[Any], None],
    undelivered: Callable[[Any, Any], None] = lambda error, message: None,
) -> Producer:
    """The producer of one process of a copy; `undelivered` gets the error and the message of each that failed."""
    given = settings.properties
    return producer(
        settings,
        transactional_id=identity,
        transaction_timeout_ms=max(TRANSACTION_MS, int(given.get("transaction.timeout.ms", "0"))),
        **_patience(settings),
        request_timeout_ms=given.get("request.timeout.ms", ANSWER_MS),
        message_max_bytes=max(copy.max_bytes, _LEAST_BYTES),
        # The destination's limit holds for a whole batch, and librdkafka does not split one that is refused.
        batch_size=min(copy.max_bytes, _LEAST_BYTES),
        # Where the partition follows from the key: as Kafka's own Java client places it.
        partitioner="murmur2_random",
        # What was compressed at the source must not grow at the destination.
        compression_type=given.get("compression.type", "lz4"),
        on_delivery=undelivered,
        delivery_report_only_error=True,
        error_cb=complain,
    )


def member(settings: KafkaSettings, copy: Copy, identity: str, complain: Callable[[Any], None]) -> Consumer:
    """The member of the group of one process of a copy: static (KIP-345), so that its successor takes over at once."""
    return consumer(
        settings,
        group_id=copy.group,
        group_instance_id=identity,
        session_timeout_ms=SESSION_MS,
        **_patience(settings),
        isolation_level="read_committed",
        enable_partition_eof=True,
        enable_auto_offset_store=False,
        auto_offset_reset="error",
        error_cb=complain,
    )


def close(source: Consumer) -> None:
    """Close a consumer; nothing is left to commit, so a broker that hangs is not waited for."""
    closing = threading.Thread(target=source.close, name="logq-copy-close", daemon=True)
    closing.start()
    closing.join(_CLOSE_S)
