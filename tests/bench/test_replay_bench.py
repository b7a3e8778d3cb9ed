"""Replay against a bare transactional loop of the same clients, batch and settings, in the same run on one broker."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer
from noise import MOST, rounds
from replay_world import make_topics

from console.config import KafkaSettings, Settings
from console.kafka import copy_group, marks
from console.model import Progress
from console.ops import replay
from console.ops.session import Session

pytestmark = [pytest.mark.broker, pytest.mark.bench, pytest.mark.timeout(600)]

RECORDS = 300_000
PARTITIONS = 10
RATIO = 0.8

Unique = Callable[[str], str]


def fill(bootstrap: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
    value = bytes(range(200))
    for n in range(RECORDS):
        producer.produce(topic, value, b"%d" % n, partition=n % PARTITIONS, headers=[("a", b"12345678"), ("b", b"x")])
        if n % 50_000 == 0:
            producer.poll(0)
    assert producer.flush(120) == 0


def steady(steps: list[tuple[float, int]]) -> float:
    """Records a second from the first commit to the last: joining a group is no throughput."""
    (began, before), (ended, after) = steps[0], steps[-1]
    return (after - before) / (ended - began)


def bare(settings: KafkaSettings, copy: copy_group.Copy) -> float:
    """Records a second of consume -> produce -> commit in a transaction, with nothing around it."""
    from confluent_kafka import TopicPartition

    def ignore(*_: Any) -> None:
        pass

    producer = copy_group.transactional(settings, copy, copy.group + "-bare", ignore)
    source = copy_group.member(settings, copy, copy.group + "-bare", ignore)
    done = 0
    steps: list[tuple[float, int]] = []
    try:
        producer.init_transactions(60)
        source.assign([TopicPartition(copy.source, p, 0) for p in range(PARTITIONS)])
        position = {}
        while done < RECORDS:
            batch = source.consume(min(copy.batch, RECORDS - done), 1.0)
            producer.begin_transaction()
            for record in batch:
                if record.error() is not None:
                    assert record.error().code() == KafkaError._PARTITION_EOF
                    continue
                number = record.partition()
                producer.produce(
                    copy.target, record.value(), record.key(), number, headers=record.headers(),
                    timestamp=record.timestamp()[1],
                )  # fmt: skip
                position[number] = record.offset() + 1
                done += 1
            offsets = [TopicPartition(copy.source, p, at) for p, at in position.items()]
            producer.send_offsets_to_transaction(offsets, source.consumer_group_metadata(), 60)
            producer.commit_transaction(60)
            steps.append((time.perf_counter(), done))
        return steady(steps)
    finally:
        source.close()


def test_replay_keeps_up_with_a_bare_loop(kafka: str, unique: Unique, tmp_path: Path) -> None:
    """Pairs, one right after the other, and the median of their ratios: what else runs here slows both."""
    settings = KafkaSettings(kafka)
    source = unique("src")
    targets = [unique("dst") for _ in range(2 * MOST)]
    make_topics(kafka, dict.fromkeys([source, *targets], PARTITIONS))
    fill(kafka, source)
    session = Session(Settings(kafka=settings, state_dir=tmp_path, timeout=30))
    loop: list[float] = []
    ours: list[float] = []

    def median() -> float:
        return statistics.median(mine / theirs for mine, theirs in zip(ours, loop, strict=True))

    try:
        planned = replay.plan(session, source, f"kafka:{targets[0]}")
        begin = {p: marks.Mark(0, RECORDS // PARTITIONS, 0, planned.digest) for p in range(PARTITIONS)}
        copy = copy_group.Copy(source, "", "", "bench", planned.digest, begin, True)
        for number in rounds(lambda: median() >= RATIO):
            bare_target, target = targets[2 * number : 2 * number + 2]
            group = f"{marks.GROUP_PREFIX}bare-{bare_target}"
            loop.append(bare(settings, replace(copy, target=bare_target, group=group)))
            planned = replay.plan(session, source, f"kafka:{target}")
            gc.collect()
            steps: list[tuple[float, int]] = []

            def step(p: Progress, steps: list[tuple[float, int]] = steps) -> None:
                if p.done:  # not what is told while it joins the group
                    steps.append((time.perf_counter(), p.done))

            outcome = replay.run(session, planned, on_progress=step)
            ours.append(steady(steps))
            assert (outcome.state, outcome.done) == ("done", RECORDS), outcome.lines
    finally:
        session.close()
    ratios = [mine / theirs for mine, theirs in zip(ours, loop, strict=True)]
    print(
        f"replay {statistics.median(ours):,.0f} records/s, a bare transactional loop {statistics.median(loop):,.0f}; "
        f"ratios {[round(r, 2) for r in ratios]}, median {median():.2f}"
    )
    assert median() >= RATIO
