"""Targets and failure clusters: the pure parts of the operation layer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import NotFound, UsageError
from console.model import Message
from console.ops import targets
from console.ops.clusters import cluster, cluster_id, label


def test_targets() -> None:
    topics, queues = {"orders", "both"}, {"jobs", "both"}
    assert targets.resolve("orders", topics, queues) == ("kafka", "orders")
    assert targets.resolve("jobs", topics, queues) == ("sqs", "jobs")
    assert targets.resolve("sqs:both", topics, queues) == ("sqs", "both")
    assert str(targets.resolve("kafka:new", topics, queues)) == "kafka:new"
    with pytest.raises(UsageError, match="kafka:both or sqs:both"):
        targets.resolve("both", topics, queues)
    with pytest.raises(NotFound, match="nope"):
        targets.resolve("nope", topics, queues)
    for empty in ("", "kafka:", "sqs:"):
        with pytest.raises(UsageError):
            targets.resolve(empty, topics, queues)


def letter(error: str | None, value: bytes | None = None, at: float | None = None) -> Message:
    return Message("sqs:dlq", f"{error}{at}", value=value, timestamp=at, error=error)


def test_errors_that_differ_only_in_ids_and_numbers_are_one_cluster() -> None:
    found = cluster(
        [
            letter("TimeoutError: resize of img_8812 took 30.2 s at 10.0.0.7:8080", at=1.0),
            letter("TimeoutError: resize of img_11 took 31 s at 10.0.0.9:8080", at=3.0),
            letter("TimeoutError: resize of img_9 took 30 s at 10.0.0.8:8080", at=2.0),
            letter("KeyError: 'gift_wrap' in 3f0c1a52-8f5e-4a6b-9d3a-0a1b2c3d4e5f"),
        ]
    )
    assert [c.count for c in found] == [3, 1]
    assert found[0].label == "TimeoutError: resize of img_<n> took <n> s at <address>"
    assert (found[0].first, found[0].last) == (1.0, 3.0)
    assert found[0].example is not None and found[0].example.timestamp == 3.0
    assert found[1].label == "KeyError: 'gift_wrap' in <id>"
    assert found[0].id == cluster_id(found[0].label)


def test_without_an_error_the_shape_of_the_body_tells() -> None:
    assert label(letter(None, b'{"b": 1, "a": [2]}')) == "no error given; JSON with a, b"
    assert label(letter(None, b"\xff\x00")) == "no error given; binary"
    assert label(letter(None, b"hello")) == "no error given; text"
    assert label(letter(None, None)) == "no error given; empty"


def test_without_an_error_what_the_bodies_have_in_common_tells() -> None:
    bodies = [b'{"format": "panorama", "id": %d, "deep": {"a": 1}, "dpi": 300}' % n for n in range(3)]
    [found] = cluster([letter(None, body) for body in bodies])
    assert found.label == "format=panorama, dpi=300; no error given; JSON with deep, dpi, format, id"
    [two] = cluster([letter(None, body) for body in bodies[:2]])
    assert two.label == "no error given; JSON with deep, dpi, format, id"
    assert two.id == found.id


@given(st.lists(st.tuples(st.text(max_size=40) | st.none(), st.binary(max_size=30) | st.none()), max_size=30))
def test_every_message_is_in_exactly_one_cluster(raw: list[tuple[str | None, bytes | None]]) -> None:
    found = cluster([letter(error, value) for error, value in raw])
    assert sum(c.count for c in found) == len(raw)
    assert len({c.label for c in found}) == len(found)
