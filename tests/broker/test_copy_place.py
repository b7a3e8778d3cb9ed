"""The place of one process in a copy: lost to a request of its own it goes on, lost to another process it leaves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer
from replay_world import assert_copied, fill, make_topics, read

from console.config import KafkaSettings
from console.errors import LogqError
from console.kafka.copy import Copier
from console.kafka.copy_calls import STUCK_S, Fenced
from console.kafka.copy_group import Copy, begin
from console.kafka.marks import GROUP_PREFIX, Mark

pytestmark = pytest.mark.broker

RECORDS, PARTITIONS = 3_000, 2


class Process:
    """One process's part in a copy, in a thread."""

    def __init__(self, settings: KafkaSettings, copy: Copy) -> None:
        self._stop = threading.Event()
        self.copier = Copier(settings, copy, f"{copy.group}-only", stop=self._stop.is_set)
        self.error: LogqError | None = None
        self.done = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.done = self.copier.run()
        except LogqError as error:
            self.error = error

    @property
    def copied(self) -> int:
        return sum(mark.copied for mark in self.copier.marks.values())

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends, f"not in {seconds:g} s: {self.copied} copied, {self.error}"
            time.sleep(0.05)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture
def copy(kafka: str, unique: Callable[[str], str]) -> Copy:
    """A copy that takes ten seconds, its ranges written."""
    source, target, job = unique("src"), unique("dst"), unique("place")
    make_topics(kafka, {source: PARTITIONS, target: PARTITIONS})
    fill(kafka, source, RECORDS, PARTITIONS)
    ends = RECORDS // PARTITIONS
    made = Copy(
        source=source,
        target=target,
        group=GROUP_PREFIX + job,
        job=job,
        digest="d",
        marks={p: Mark(0, ends, 0, "d") for p in range(PARTITIONS)},
        same_partitions=True,
        rate=RECORDS / 10,
    )
    assert begin(KafkaSettings(kafka), made)
    return made


def test_a_member_that_is_fenced_by_no_other_process_comes_back_at_once(kafka: str, copy: Copy) -> None:
    """As a join that was given up fences the one after it: here another consumer does, under the same name."""
    process = Process(KafkaSettings(kafka), copy)
    process.wait_for(lambda: process.copied > 0, 30)
    other = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": copy.group,
            "group.instance.id": f"{copy.group}-only",
            "session.timeout.ms": 10_000,
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    other.subscribe([copy.source])
    ends = time.monotonic() + 15
    while not other.assignment():
        other.poll(0.1)
        assert time.monotonic() < ends, "it did not fence the member"
    other.close()
    fenced, before = time.monotonic(), process.copied
    assert before < RECORDS
    process.wait_for(lambda: process.copied > before, STUCK_S / 2)
    print(f"fenced at {before}, on after {time.monotonic() - fenced:.1f} s")
    process.wait_for(lambda: process.done, 40)
    process.end()
    assert process.error is None
    assert_copied(read(kafka, copy.source, PARTITIONS), read(kafka, copy.target, PARTITIONS))


def test_who_was_replaced_by_another_process_leaves_and_does_not_fight_back(kafka: str, copy: Copy) -> None:
    settings = KafkaSettings(kafka)
    first = Process(settings, copy)
    first.wait_for(lambda: first.copied > 0, 30)
    second = Process(settings, copy)
    first.wait_for(lambda: first.error is not None, STUCK_S / 2)
    assert isinstance(first.error, Fenced)
    assert "another process has taken over" in str(first.error)
    second.wait_for(lambda: second.done, 60)
    first.end()
    second.end()
    assert second.error is None
    assert_copied(read(kafka, copy.source, PARTITIONS), read(kafka, copy.target, PARTITIONS))
