"""What lies inside bodies, as AWS's documentation and common producers wrap them, and bodies that mean harm."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.cli import shapes
from console.decode.unwrap import DEPTH, INFLATED, unwrap
from console.model import Message
from console.sqs.peek import error_of
from console.sqs.receive import Received
from console.tui.message_view import copied, sections
from widgets.detail import Body, Facts

ORDER = b'{"order": 17, "sku": "A-1"}'


def opened(raw: bytes | str | dict[str, Any] | list[Any]) -> tuple[str, bytes]:
    data = raw if isinstance(raw, bytes) else raw.encode() if isinstance(raw, str) else json.dumps(raw).encode()
    found = unwrap(data)
    assert found is not None
    return found.path, found.value


@pytest.mark.parametrize(
    ("pack", "path"),
    [
        (gzip.compress, "gzip"),
        (zlib.compress, "zlib"),
        (bz2.compress, "bzip2"),
        (lzma.compress, "xz"),
        (lambda body: base64.b64encode(gzip.compress(body)), "base64 ▸ gzip"),
        (lambda body: base64.urlsafe_b64encode(zlib.compress(body)).rstrip(b"="), "base64 ▸ zlib"),
        (base64.b64encode, "base64"),
    ],
)
def test_compressed_and_base64_bodies_are_opened(pack: Any, path: str) -> None:
    assert opened(pack(ORDER)) == (path, ORDER)


SNS = {
    "Type": "Notification",
    "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
    "TopicArn": "arn:aws:sns:us-west-2:123456789012:orders",
    "Subject": "New order",
    "Message": ORDER.decode(),
    "Timestamp": "2026-05-02T00:54:06.655Z",
}
EVENT_BRIDGE = {
    "version": "0", "id": "6a7e8feb", "detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2",
    "account": "111122223333", "time": "2026-12-22T18:43:48Z", "region": "us-west-1", "resources": [],
    "detail": {"order": 17, "sku": "A-1"},
}  # fmt: skip
S3 = {
    "Records": [
        {
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-west-2", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "photos"}, "object": {"key": "red+flower%2B1.jpg", "size": 1024}},
        }
    ]
}  # fmt: skip
LAMBDA = {
    "version": "1.0",
    "timestamp": "2026-11-14T18:16:05.568Z",
    "requestContext": {
        "requestId": "e4b46cbf", "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:resize:$LATEST",
        "condition": "RetriesExhausted", "approximateInvokeCount": 3,
    },
    "requestPayload": {"order": 17, "sku": "A-1"},
    "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
    "responsePayload": {"errorMessage": "resize timed out", "errorType": "TimeoutError", "stackTrace": []},
}  # fmt: skip


def test_the_envelopes_of_aws_are_opened_and_said() -> None:
    assert opened(SNS) == ("SNS notification", ORDER)
    assert opened(EVENT_BRIDGE) == ("EventBridge event", ORDER)
    assert opened(LAMBDA) == ("Lambda failure", ORDER)
    found = unwrap(json.dumps(S3).encode())
    assert found is not None and found.layers[0].note == "ObjectCreated:Put photos/red flower+1.jpg"
    assert found.value == json.dumps(S3).encode()  # nothing further is inside
    lambda_ = unwrap(json.dumps(LAMBDA).encode())
    assert lambda_ is not None and lambda_.error == "TimeoutError: resize timed out"
    assert lambda_.layers[0].note == "function resize:$LATEST, RetriesExhausted after 3 invocations"
    pointer = ["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "big", "s3Key": "4f/1"}]
    large = unwrap(json.dumps(pointer).encode())
    assert large is not None and large.layers[0].note == "the body lies in S3: big/4f/1"
    stream = {
        "requestContext": {"functionArn": "arn:aws:lambda:r:1:function:f", "condition": "RetryAttemptsExhausted"},
        "KinesisBatchInfo": {"shardId": "s-1", "startSequenceNumber": "1", "endSequenceNumber": "9", "batchSize": 9},
    }
    gone = unwrap(json.dumps(stream).encode())
    assert gone is not None and gone.error == "RetryAttemptsExhausted" and "stay in the stream" in gone.layers[0].note


def test_layers_are_opened_through_one_another() -> None:
    packed = base64.b64encode(gzip.compress(json.dumps(EVENT_BRIDGE).encode())).decode()
    assert opened({**SNS, "Message": packed}) == ("SNS notification ▸ base64 ▸ gzip ▸ EventBridge event", ORDER)
    s3_by_sns = {**SNS, "Message": json.dumps(S3)}
    assert opened(s3_by_sns)[0] == "SNS notification ▸ S3 event"
    assert opened({"id": 1, "payload": ORDER.decode()}) == ("JSON in 'payload'", ORDER)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"plain words", b"deadbeefdeadbeefdeadbeefdeadbeef", b"order-0000000000000017", ORDER, b"[1, 2]", b"{",
        b"550e8400-e29b-41d4-a716-446655440000", b"\xff\xfe\x00", b"x^2 + y^2", b"BZh is how bzip2 begins",
        b'{"a": "{}x", "b": "[1"}', b'{"one": "{}", "two": "[]"}', b'{"Type": "Notification"}',
        b'{"Records": []}', b'{"Records": 3}', b'{"requestContext": null, "requestPayload": 1}',
        b"\x1f\x8b", b"\x1f\x8b\x08\x00garbage", b"\x28\xb5\x2f",
    ],
)  # fmt: skip
def test_what_is_just_what_it_is_stays_so(body: bytes) -> None:
    assert unwrap(body) is None


def test_a_bomb_is_unpacked_no_further_than_the_limit() -> None:
    bomb = gzip.compress(bytes(200 << 20), 9)
    assert len(bomb) < 300_000
    tracemalloc.start()
    began = time.process_time()
    found = unwrap(bomb)
    spent, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found is not None and found.cut and len(found.value) == INFLATED
    assert peak < 16 << 20 and spent < 2.0
    for pack in (bz2.compress, lzma.compress):
        cut = unwrap(pack(bytes(20 << 20)))
        assert cut is not None and cut.cut and len(cut.value) <= INFLATED
    nested = ORDER
    for _ in range(30):
        nested = gzip.compress(nested)
    deep = unwrap(nested)
    assert deep is not None and len(deep.layers) == DEPTH
    assert unwrap(b"[" * 200_000) is None and unwrap(b'{"a":' * 200_000) is None


@given(st.one_of(st.binary(max_size=200), st.text(max_size=80).map(lambda t: t.encode("utf-8", "surrogatepass"))))
def test_nothing_raises(raw: bytes) -> None:
    unwrap(raw)
    unwrap(base64.b64encode(raw))
    unwrap(gzip.compress(raw))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["Type", "Message", "TopicArn", "Records", "detail", "detail-type", "source", "requestContext",
                         "requestPayload", "specversion", "data", "Service", "Event", "KinesisBatchInfo"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_nothing_raises_on_what_is_nearly_an_envelope(value: Any) -> None:
    unwrap(json.dumps(value).encode())


def test_the_detail_pane_shows_the_inside_first_and_what_is_moved_stays_raw() -> None:
    raw = json.dumps({**SNS, "Message": base64.b64encode(gzip.compress(ORDER)).decode()}).encode()
    message = Message("sqs:q", "1", value=raw)
    shown = sections(message)
    facts = next(part for part in shown if isinstance(part, Facts) and part.title == "unwrapped")
    assert [row[0] for row in facts.rows] == ["SNS notification", "base64", "gzip"]
    bodies = [(part.title, part.raw) for part in shown if isinstance(part, Body)]
    assert bodies == [("what is inside", ORDER), ("value as it is moved", raw)]
    assert copied(message).encode() == raw
    made = shapes.opened(message)
    assert made["value"] == raw.decode() and made["unwrapped"]["value"] == ORDER.decode()
    assert shapes.opened(Message("sqs:q", "1", value=ORDER))["unwrapped"] is None


def test_the_failure_is_told_by_the_envelope_or_by_what_is_inside() -> None:
    assert error_of(Received("i", "r", json.dumps(LAMBDA), {}, {})) == "TimeoutError: resize timed out"
    inside = {**SNS, "Message": json.dumps({"errorMessage": "no such format"})}
    assert error_of(Received("i", "r", json.dumps(inside), {}, {})) == "no such format"
