"""A transaction that nobody will end, made as a misbehaving client makes it: KIP-664's hanging transaction.

The partition's leader gets a transactional batch that its coordinator was never told of. Brokers refuse that since
Kafka 3.6 unless the check is switched off (`transaction.partition.verification.enable`), so it is for a moment.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from kio_schemas import spoken

from console.config import KafkaSettings
from console.kafka.cluster import Cluster
from console.kafka.messages import Api
from console.kafka.properties import wire

# The last version that does not add the partition to the transaction by itself.
PRODUCE = spoken(Api(0, "produce", cap=9))
INIT_PRODUCER_ID = spoken(Api(22, "init_producer_id", cap=4))
FIND_COORDINATOR = Api(10, "find_coordinator", cap=3)

_TRANSACTIONAL = 0x10


def _crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), bit by bit: for a batch of a few bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def batch(producer_id: int, epoch: int, value: bytes) -> bytes:
    """A record batch of magic 2 with one transactional record (KIP-98)."""
    record = b"\0\0\0\x01" + bytes([2 * len(value)]) + value + b"\0"
    records = bytes([2 * len(record)]) + record
    now = int(time.time() * 1000)
    body = struct.pack(">hiqqqhii", _TRANSACTIONAL, 0, now, now, producer_id, epoch, 0, 1) + records
    head = struct.pack(">ibI", 0, 2, _crc32c(body))
    return struct.pack(">qi", 0, len(head) + len(body)) + head + body


@contextmanager
def unverified(bootstrap: str) -> Iterator[None]:
    """The brokers take transactional batches unseen for as long as this lasts."""
    admin = AdminClient({"bootstrap.servers": bootstrap})

    def alter(operation: AlterConfigOpType) -> None:
        for broker in admin.list_topics(timeout=10).brokers:
            entry = ConfigEntry("transaction.partition.verification.enable", "false", incremental_operation=operation)
            resource = ConfigResource(ResourceType.BROKER, str(broker), incremental_configs=[entry])
            for future in admin.incremental_alter_configs([resource]).values():
                future.result(30)

    alter(AlterConfigOpType.SET)
    try:
        yield
    finally:
        alter(AlterConfigOpType.DELETE)


def hang(bootstrap: str, topic: str, partition: int, transactional_id: str) -> int:
    """Leave a transaction hanging on one partition; the producer's id."""

    async def run() -> int:
        cluster = Cluster(wire(KafkaSettings(bootstrap)))
        try:
            return await _hang(cluster, topic, partition, transactional_id)
        finally:
            cluster.close()

    return asyncio.run(run())


async def _hang(cluster: Cluster, topic: str, partition: int, transactional_id: str) -> int:
    deadline = asyncio.get_running_loop().time() + 30
    metadata = await cluster.metadata(deadline, [topic])
    leader = metadata.leader(topic, partition)
    assert leader is not None
    who: dict[str, Any] = {"key": transactional_id, "key_type": 1}
    begin = {
        "transactional_id": transactional_id,
        "transaction_timeout": 60_000,
        "producer_id": -1,
        "producer_epoch": -1,
    }
    while True:
        coordinator = (await cluster.ask(leader, FIND_COORDINATOR, who, deadline)).node_id
        if coordinator >= 0:
            made = await cluster.ask(coordinator, INIT_PRODUCER_ID, begin, deadline)
            if made.error_code == 0:
                break
        await asyncio.sleep(0.2)
    records = batch(made.producer_id, made.producer_epoch, b"left hanging")
    values = {
        "transactional_id": transactional_id,
        "acks": -1,
        "timeout": 10_000,
        "topic_data": [{"name": topic, "partition_data": [{"index": partition, "records": records}]}],
    }
    while True:  # the switch takes a moment to reach the broker
        answer = await cluster.ask(leader, PRODUCE, values, deadline)
        (part,) = answer.responses[0].partition_responses
        if part.error_code == 0:
            return int(made.producer_id)
        assert asyncio.get_running_loop().time() < deadline - 5, f"refused: {part.error_code} {part}"
        await asyncio.sleep(0.3)
