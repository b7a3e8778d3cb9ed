"""Dead letters by name and by header, in every framework's dialect."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.kafka.deadletter import Failure, binary_number, failure, is_dead_letter_topic, origin_by_name


@pytest.mark.parametrize(
    "name",
    [
        "orders.DLT",
        "orders-dlt",
        "orders-dlq",
        "a.dlq",
        "dlq.orders",
        "my-dead-letter-topic",
        "dead-letter-topic-in",
        "X-DLQ",
    ],
)
def test_names_of_dead_letter_topics(name: str) -> None:
    assert is_dead_letter_topic(name)


@pytest.mark.parametrize("name", ["orders", "dlq", "adult", "dltorders", "orders.dlt.retry", "parked"])
def test_other_names(name: str) -> None:
    assert not is_dead_letter_topic(name)


def test_configured_patterns() -> None:
    assert is_dead_letter_topic("orders.parked", ["*.parked"])
    assert not is_dead_letter_topic("orders.PARKED", ["*.parked"])


def test_spring_is_binary() -> None:
    found = failure(
        [
            ("kafka_dlt-original-topic", b"orders"),
            ("kafka_dlt-original-partition", struct.pack(">i", 3)),
            ("kafka_dlt-original-offset", struct.pack(">q", 12_345_678_901)),
            ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
            ("kafka_dlt-exception-cause-fqcn", b"java.lang.NullPointerException"),
            ("kafka_dlt-exception-message", b"no address"),
        ]
    )
    assert found == Failure("orders", 3, 12_345_678_901, "java.lang.NullPointerException", "no address", "spring")
    assert found.text == "NullPointerException: no address"


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        ("spring-cloud-stream", ["x-original-topic", "x-original-partition", "x-original-offset", "x-exception-fqcn"]),
        (
            "connect",
            [
                "__connect.errors.topic",
                "__connect.errors.partition",
                "__connect.errors.offset",
                "__connect.errors.exception.class.name",
            ],
        ),
        (
            "streams",
            [
                "__streams.errors.topic",
                "__streams.errors.partition",
                "__streams.errors.offset",
                "__streams.errors.exception",
            ],
        ),
        (
            "smallrye",
            ["dead-letter-topic", "dead-letter-partition", "dead-letter-offset", "dead-letter-exception-class-name"],
        ),
    ],
)
def test_dialects_in_text(dialect: str, names: list[str]) -> None:
    values = [b"orders", b"7", b"12345678", b"a.b.Oops"]
    assert failure(zip(names, values, strict=True)) == Failure("orders", 7, 12_345_678, "a.b.Oops", None, dialect)


def test_the_last_of_a_header_written_twice_counts() -> None:
    found = failure([("x-original-topic", b"first"), ("x-original-topic", b"second")])
    assert found is not None and found.original_topic == "second"


def test_headers_of_nobody_we_know() -> None:
    assert failure([]) is None
    assert failure([("traceparent", b"x"), ("kafka_dlt-original-topic", None)]) is None


def test_nonsense_numbers_are_unknown() -> None:
    found = failure(
        [
            ("kafka_dlt-original-topic", b"\xff\x1b[2J"),
            ("kafka_dlt-original-partition", b"abc"),
            ("kafka_dlt-original-offset", struct.pack(">q", -5)),
        ]
    )
    assert found is not None
    assert (found.original_partition, found.original_offset) == (None, None)
    assert found.original_topic == "\udcff\x1b[2J"


@given(st.lists(st.tuples(st.sampled_from(["kafka_dlt-original-topic", "x-original-offset"]), st.none() | st.binary())))
def test_any_bytes_are_a_failure_or_none(headers: list[tuple[str, bytes | None]]) -> None:
    found = failure(headers)
    assert found is None or found.original_offset is None or found.original_offset >= 0


@pytest.mark.parametrize(
    ("name", "raw", "number"),
    [
        ("kafka_dlt-original-partition", struct.pack(">i", 3), 3),
        ("x-original-offset", struct.pack(">q", 77), 77),
        ("kafka_dlt-original-timestamp", struct.pack(">q", 1_760_000_000_000), 1_760_000_000_000),
        ("retry_topic-attempts", struct.pack(">i", 4), 4),
        ("x-original-partition", b"1234", None),  # decimal text is text
        ("x-original-partition", b"12", None),
        ("x-original-offset", struct.pack(">i", 3), None),
        ("trace", struct.pack(">i", 3), None),
        ("kafka_dlt-original-offset", None, None),
    ],
)
def test_numbers_that_are_written_as_bytes(name: str, raw: bytes | None, number: int | None) -> None:
    assert binary_number(name, raw) == number


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("orders.DLT", "orders"),
        ("orders-dlq", "orders"),
        ("dlq.orders", "orders"),
        ("dead-letter-topic-orders", "orders"),
        ("orders-dead-letters", "orders"),
        ("gone.DLT", None),
        ("orders", None),
    ],
)
def test_what_a_name_says_about_the_origin(name: str, origin: str | None) -> None:
    assert origin_by_name(name, {"orders", "payments"}) == origin
