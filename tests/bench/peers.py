"""The tools logq is measured against, each as a process of its own: run it as `python peers.py NAME BOOTSTRAP`.

None of this may run in logq's process: librdkafka's coordinator-targeted admin calls can abort it (librdkafka #4605).
Each prints one line of JSON: how many groups it saw, and their lag in all.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any


def librdkafka(bootstrap: str, rounds: int = 1) -> dict[str, object]:
    """Bare confluent_kafka, as quick as its API allows: states from the list, nothing described, all asked at once.

    With more than one round: the best time and its CPU (user and system) of one look, the client warm.
    """
    from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, TopicPartition
    from confluent_kafka.admin import AdminClient, OffsetSpec

    admin = AdminClient({"bootstrap.servers": bootstrap})

    def look() -> dict[str, object]:
        listed = admin.list_consumer_groups(request_timeout=60).result()
        assert not listed.errors
        states = {g.group_id: g.state.name for g in listed.valid}
        asked = [
            admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)], request_timeout=60)[name]
            for name in states
        ]
        committed = {future.result().group_id: future.result().topic_partitions for future in asked}
        wanted = {TopicPartition(tp.topic, tp.partition) for tps in committed.values() for tp in tps}
        ends: dict[tuple[str, int], int] = {}
        spec = OffsetSpec.latest()
        futures = admin.list_offsets(
            dict.fromkeys(wanted, spec), request_timeout=60, isolation_level=IsolationLevel.READ_UNCOMMITTED
        )
        for tp, future in futures.items():
            ends[(tp.topic, tp.partition)] = future.result().offset
        rows = [
            {
                "group": name,
                "state": states[name],
                "lag": sum(max(0, ends[(tp.topic, tp.partition)] - tp.offset) for tp in tps if tp.offset >= 0),
            }
            for name, tps in committed.items()
        ]
        return _told(rows)

    return _rounds(look, rounds)


def kaskade(bootstrap: str, rounds: int = 1) -> dict[str, object]:
    """What kaskade's own screen of topics and groups asks its services for. Needs kaskade installed."""
    from kaskade.services import TopicService

    async def look() -> dict[str, object]:
        service: Any = TopicService({"bootstrap.servers": bootstrap})
        topics = await service.metadata()
        await service.enrich_offsets(topics)
        groups = await service.load_groups()
        service.apply_groups(topics, groups)
        lags = [{"group": g.id, "lag": g.lag_count()} for t in topics.values() for g in t.groups]
        return _told(lags)

    return _rounds(lambda: asyncio.run(look()), rounds)


def logq(bootstrap: str, rounds: int = 1, moving: bool = False) -> dict[str, object]:
    """The collector alone, as the console asks it every two seconds. `moving`: each group has committed in between."""
    from group_world import make_groups

    from console.config import KafkaSettings
    from console.kafka.client import KafkaClient

    client = KafkaClient(KafkaSettings(bootstrap), timeout=60)

    def between(turn: int) -> None:
        if moving:
            make_groups(bootstrap, 0, groups, shift=turn % 2)

    def look() -> dict[str, object]:
        seen = client.snapshot()
        assert seen.complete, seen.problems
        return _told([{"group": g.name, "lag": g.lag or 0} for g in seen.groups])

    groups = len(client.snapshot().groups)
    try:
        return _rounds(look, rounds, between)
    finally:
        client.close()


def _told(rows: list[dict[str, Any]]) -> dict[str, object]:
    return {"groups": len(rows), "lag": sum(row["lag"] for row in rows)}


def _rounds(
    look: Callable[[], dict[str, object]], rounds: int, between: Callable[[int], object] = lambda turn: None
) -> dict[str, object]:
    told = look()
    if rounds > 1:
        walls, spent = [], []
        for turn in range(rounds):
            between(turn)
            began, cpu = time.perf_counter(), time.process_time()
            told = look()
            walls.append(time.perf_counter() - began)
            spent.append(time.process_time() - cpu)
        told |= {"wall": min(walls), "cpu": min(spent), "rounds": rounds}
    return told


if __name__ == "__main__":
    print(
        json.dumps(
            {"librdkafka": librdkafka, "kaskade": kaskade, "logq": logq, "moving": partial(logq, moving=True)}[
                sys.argv[1]
            ](sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1)
        )
    )
