"""The made-up orders, the messages made from them, and the dead-letter headers."""

from __future__ import annotations

import json
import struct
from collections import Counter

import pytest

from console.demo import orders
from console.demo.orders import OrderBook
from console.demo.shop import FAILURES
from console.demo.spring import LISTENER_EXCEPTION, dead_letter_headers
from console.demo.workers import is_panorama_job

NOW = 1_795_443_727.12


def many(count: int, seed: int = 47) -> list[orders.Order]:
    book = OrderBook(seed)
    return [book.next(NOW + n / 400, 0.15) for n in range(count)]


def test_the_same_seed_gives_the_same_orders_and_another_seed_others() -> None:
    assert many(200) == many(200)
    assert many(200) != many(200, seed=48)


def test_an_order_is_json_that_adds_up_and_is_keyed_by_its_customer() -> None:
    for order in many(300):
        body = json.loads(order.body)
        assert order.key.decode() == body["customer_id"]
        assert body["amount"] == pytest.approx(sum(i["quantity"] * i["price"] for i in body["items"]))
        assert body["placed_at"].startswith("2026-11-23T") and body["placed_at"].endswith("Z")
        version, trace, span, flags = dict(order.headers)["traceparent"].decode().split("-")
        assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert len({json.loads(order.body)["order_id"] for order in many(300)}) == 300


def test_a_few_orders_have_a_picture_and_some_of_those_are_panoramas() -> None:
    made = many(20_000)
    photos = [order for order in made if orders.has_photo(order.body)]
    panoramas = [order for order in made if orders.is_panorama(order.body)]
    assert 0.025 < len(photos) / len(made) < 0.035
    assert 0.10 < len(panoramas) / len(photos) < 0.20
    # The quick look at the bytes says what the parsed order says.
    for order in made[:3000]:
        image = json.loads(order.body).get("image")
        assert orders.has_photo(order.body) == (image is not None)
        assert orders.is_panorama(order.body) == (image is not None and image["format"] == "panorama")


def test_customers_are_many_and_spread_over_the_partitions_keys() -> None:
    keys = Counter(order.key for order in many(5000))
    assert len(keys) > 400
    assert keys.most_common(1)[0][1] < 5000 / 20


def test_image_jobs_and_emails_carry_what_a_worker_needs() -> None:
    panorama = next(json.loads(o.body) for o in many(5000) if orders.is_panorama(o.body))
    job, mail = orders.image_job(panorama), orders.email(panorama)
    assert job["order_id"] == mail["order_id"] == panorama["order_id"]
    assert (job["format"], job["source"]) == ("panorama", panorama["image"]["upload"])
    assert mail["template"] == "panorama-proof"
    assert is_panorama_job(json.dumps(job)) and is_panorama_job(json.dumps(mail))


@pytest.mark.parametrize("body", ["", "hello", "[1]", "null", '{"format": 7}', "\x1b[31m", "{"])
def test_what_people_put_on_the_queues_themselves_fails_nothing(body: str) -> None:
    assert is_panorama_job(body) is False
    found = orders.parse(body) or {}
    assert orders.image_job(found)["targets"]
    assert orders.email(found)["to"].endswith("@example.com")


def test_spring_headers_have_springs_names_order_and_binary_numbers() -> None:
    own: list[tuple[str, bytes | None]] = [("traceparent", b"00-1-2-01")]
    found = dead_letter_headers(
        own,
        topic="orders",
        partition=5,
        offset=2**40 + 3,
        timestamp_ms=1_795_443_727_120,
        group="fulfillment",
        failure=FAILURES["fulfillment"],
    )
    assert found[0] == own[0]
    values = dict(found)
    assert values["kafka_dlt-original-topic"] == b"orders"
    assert values["kafka_dlt-original-partition"] == struct.pack(">i", 5) == b"\x00\x00\x00\x05"
    assert values["kafka_dlt-original-offset"] == (2**40 + 3).to_bytes(8, "big")
    assert values["kafka_dlt-original-timestamp"] == (1_795_443_727_120).to_bytes(8, "big")
    assert values["kafka_dlt-original-timestamp-type"] == b"CreateTime"
    assert values["kafka_dlt-original-consumer-group"] == b"fulfillment"
    assert values["kafka_dlt-exception-fqcn"] == LISTENER_EXCEPTION.encode()
    assert values["kafka_dlt-exception-cause-fqcn"] == b"com.example.fulfillment.NoCartonException"
    message = values["kafka_dlt-exception-message"]
    assert message is not None
    assert message == b"Listener failed; " + FAILURES["fulfillment"].message.encode()
    trace = values["kafka_dlt-exception-stacktrace"]
    assert trace is not None
    assert b"Caused by: com.example.fulfillment.NoCartonException: no carton" in trace
    assert b"PackingListener.onMessage(PackingListener.java:88)" in trace
