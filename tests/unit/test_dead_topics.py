"""Dead-letter topics known by their newest record, with the records given; a real broker's are in tests/broker."""

from __future__ import annotations

from typing import Any

import pytest

from console.config import KafkaSettings
from console.kafka import dead_topics
from console.model import Topic, TopicPartition


class Record:
    def __init__(self, topic: str, offset: int, headers: list[tuple[str, bytes]], error: object = None) -> None:
        self._topic, self._offset, self._headers, self._error = topic, offset, headers, error

    def topic(self) -> str:
        return self._topic

    def offset(self) -> int:
        return self._offset

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers

    def error(self) -> object:
        return self._error


class Source:
    """A consumer that hands out what it was given and notes what it was assigned."""

    def __init__(self, batches: list[list[Record]]) -> None:
        self.batches = batches
        self.assigned: dict[str, tuple[int, int]] = {}

    def assign(self, places: list[Any]) -> None:
        self.assigned = {place.topic: (place.partition, place.offset) for place in places}

    def consume(self, count: int, timeout: float) -> list[Record]:
        return self.batches.pop(0) if self.batches else []

    def close(self) -> None:
        pass


def topic(name: str, *ends: int) -> Topic:
    return Topic(name, tuple(TopicPartition(p, leader=1, start=0, end=end) for p, end in enumerate(ends)))


def test_the_newest_record_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = [("dead-letter-topic", b"orders"), ("dead-letter-reason", b"no")]
    source = Source(
        [
            [Record("parked", 97, []), Record("parked", 98, dead), Record("parked", 100, [], error="end")],
            # Older dead letters do not count, nor what went back to its own topic, nor what nobody put aside.
            [Record("mixed", 1, dead), Record("mixed", 2, [("trace", b"1")])],
            [Record("orders", 6, dead), Record("plain", 0, [("x", b"y")])],
        ]
    )
    monkeypatch.setattr(dead_topics, "consumer", lambda settings, **more: source)
    topics = [topic("parked", 3, 100), topic("mixed", 3), topic("orders", 7), topic("plain", 1), topic("empty", 0)]
    assert dead_topics.by_headers(KafkaSettings("h:1"), topics, timeout=5) == {"parked": "orders"}
    # One partition of each, the fullest, from a few offsets before its end; nothing of what holds nothing.
    assert source.assigned == {"parked": (1, 95), "mixed": (0, 0), "orders": (0, 2), "plain": (0, 0)}


def test_nothing_is_asked_where_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_topics, "consumer", lambda settings, **more: pytest.fail("asked"))
    assert dead_topics.by_headers(KafkaSettings("h:1"), [topic("empty", 0)], timeout=5) == {}


def test_brokers_that_do_not_answer_cost_the_timeout_and_no_more(closed_port: int) -> None:
    """The real client, so that its settings are ones it takes."""
    assert dead_topics.by_headers(KafkaSettings(f"127.0.0.1:{closed_port}"), [topic("a", 5)], timeout=0.3) == {}
