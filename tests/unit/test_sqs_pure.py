"""The parts of the SQS side that need no server: sums, batches, words for errors, policies, the peek budget."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st

from console.config import SqsSettings
from console.errors import Denied, Failed, LogqError, NotFound, Refused, Unreachable, UsageError
from console.model import Queue
from console.sqs import connect, inspect, move, peek, receive, send
from console.sqs.client import SqsClient
from console.sqs.pool import Pool
from console.sqs.receive import Received
from console.sqs.send import Fate, Outgoing

SETTINGS = SqsSettings(region="eu-west-1", endpoint_url="http://127.0.0.1:9324")


def service(code: str, status: int = 400, message: str = "said so") -> boto.ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(answer, "ListQueues")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (boto.NoRegionError(), UsageError, "--region"),
        (boto.NoCredentialsError(), Denied, "--aws-profile"),
        (boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), Denied, "credentials"),
        (boto.ProfileNotFound(profile="nope"), NotFound, "nope"),
        (boto.EndpointConnectionError(endpoint_url="http://x", error="[Errno 111] refused"), Unreachable, "refused"),
        (boto.ReadTimeoutError(endpoint_url="http://x"), Unreachable, "in time"),
        (boto.ConnectTimeoutError(endpoint_url="http://x"), Unreachable, "in time"),
        (boto.SSLError(endpoint_url="http://x", error="self-signed"), Unreachable, "AWS_CA_BUNDLE"),
        (boto.UnauthorizedSSOTokenError(), Denied, "aws sso login"),
        (ValueError("Invalid endpoint: nonsense"), UsageError, "looks like"),
        (service("AccessDenied", 403, "not authorized to perform sqs:ListQueues"), Denied, "sqs:ListQueues"),
        (service("com.amazonaws.sqs#AccessDeniedException", 403), Denied, "AccessDeniedException"),
        (service("ExpiredToken", 403), Denied, "expired"),
        (service("InvalidClientTokenId", 403), Denied, "not accepted"),
        (service("AWS.SimpleQueueService.NonExistentQueue"), NotFound, "does not exist"),
        (service("QueueDoesNotExist"), NotFound, "does not exist"),
        (service("ThrottlingException"), Failed, "slow down"),
        (service("404", 404), Failed, "does not answer as SQS"),
        (service("InternalError", 500), Unreachable, "try again"),
        (service("501", 501, "<!DOCTYPE HTML>\n<html>no</html>"), Unreachable, "a web page (501), not as SQS; check"),
        (service("403", 403, "<html><body>proxy</body></html>"), Denied, "a web page (403)"),
        (service("InvalidParameterValue"), Failed, "said so"),
    ],
)
def test_an_error_becomes_one_line_of_the_right_kind(error: Exception, kind: type[LogqError], says: str) -> None:
    said = connect.words(error, "list queues", SETTINGS)
    assert type(said) is kind
    assert says in str(said) and str(said).startswith("cannot list queues: ") and "\n" not in str(said)


def test_an_error_of_ours_stays_itself() -> None:
    ours = Refused("no")
    assert connect.words(ours, "x", SETTINGS) is ours


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://x", "http://", "http://127.0.0.1:99999", "127.0.0.1:9324"])
def test_a_bad_endpoint_url_is_told_before_anything_is_loaded(url: str) -> None:
    with pytest.raises(UsageError, match="endpoint URL"):
        SqsClient(SqsSettings(endpoint_url=url))


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:9324", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
        ("http://sqs.localhost:1", True),
        ("http://127.evil.example", False),
        ("https://sqs.eu-west-1.amazonaws.com", False),
        (None, False),
    ],
)
def test_loopback_is_told_from_elsewhere(url: str | None, local: bool) -> None:
    assert connect.is_loopback(url) is local


def test_without_region_and_credentials_one_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="no AWS region"):
        SqsClient(SqsSettings(), 2.0).snapshot()
    with pytest.raises(NotFound, match="nope"):
        SqsClient(SqsSettings(region="eu-west-1", aws_profile="nope"), 2.0).snapshot()


def test_a_loopback_endpoint_needs_neither_region_nor_credentials_nor_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    client = SqsClient(SqsSettings(endpoint_url="http://127.0.0.1:1"), 2.0)
    assert client.region == "us-east-1" and not client.is_aws
    with pytest.raises(Unreachable, match=r"refused at http://127\.0\.0\.1:1"):
        client.snapshot()


# ---------------------------------------------------------------- sums


def test_the_md5_of_attributes_is_the_one_aws_documents() -> None:
    # From the test suites of AWS's own SDKs and of ElasticMQ: one String attribute.
    attributes = {"timestamp": {"DataType": "Number", "StringValue": "1493147359900"}}
    assert receive.md5_of_attributes(attributes) == "235c5c510d26fb653d073faed50ae77c"


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.binary(max_size=8), min_size=1, max_size=5))
def test_the_md5_of_attributes_hangs_on_every_byte_but_not_on_order(raw: dict[str, bytes]) -> None:
    attributes = {name: {"DataType": "Binary", "BinaryValue": value} for name, value in raw.items()}
    backwards = dict(reversed(attributes.items()))
    assert receive.md5_of_attributes(attributes) == receive.md5_of_attributes(backwards)
    name = next(iter(attributes))
    changed = attributes | {name: {"DataType": "Binary", "BinaryValue": raw[name] + b"x"}}
    assert receive.md5_of_attributes(changed) != receive.md5_of_attributes(attributes)
    retyped = attributes | {name: {"DataType": "Binary.x", "BinaryValue": raw[name]}}
    assert receive.md5_of_attributes(retyped) != receive.md5_of_attributes(attributes)


def test_damage_is_seen_in_body_and_attributes() -> None:
    attributes = {"a": {"DataType": "String", "StringValue": "1"}}
    good = Received(
        "id", "r", "body", attributes, {}, receive.md5_of_body("body"), receive.md5_of_attributes(attributes)
    )
    assert receive.damage(good) is None
    assert "body" in str(receive.damage(Received("id", "r", "bodx", attributes, {}, good.md5_body)))
    other = {"a": {"DataType": "String", "StringValue": "2"}}
    assert "attributes" in str(
        receive.damage(Received("id", "r", "body", other, {}, good.md5_body, good.md5_attributes))
    )


# ---------------------------------------------------------------- batches


@given(st.lists(st.integers(0, 1_200), max_size=60), st.integers(100, 1_000))
def test_batches_keep_order_and_both_limits(sizes: list[int], limit: int) -> None:
    messages = [Outgoing(str(n), "x" * size, {}) for n, size in enumerate(sizes)]
    batches = send.cut(messages, limit)
    assert [m.id for batch in batches for m in batch] == [m.id for m in messages]
    for batch in batches:
        assert 1 <= len(batch) <= 10
        assert sum(m.size for m in batch) <= limit or len(batch) == 1


def test_ten_messages_of_200_kb_do_not_travel_together() -> None:
    messages = [Outgoing(str(n), "x" * 200_000, {}) for n in range(10)]
    assert [len(batch) for batch in send.cut(messages)] == [1] * 10
    assert [len(batch) for batch in send.cut(messages, send.batch_limit(1_048_576))] == [5, 5]


def test_the_size_counts_bytes_of_body_names_types_and_values() -> None:
    attributes = {"ä": {"DataType": "Binary", "BinaryValue": b"123"}, "n": {"DataType": "Number", "StringValue": "42"}}
    assert Outgoing("1", "ü", attributes).size == 2 + (2 + 6 + 3) + (1 + 6 + 2)


class Answering:
    """A client whose send gives a set answer, or raises. No server gives these on request."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[list[str]] = []

    def send_message_batch(self, QueueUrl: str, Entries: list[Any]) -> Any:
        self.calls.append([entry["MessageBody"] for entry in Entries])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def sent(*messages: Outgoing, answers: list[Any]) -> tuple[dict[str, send.Result], Answering]:
    client: Any = Answering(*answers)
    return send.send(client, "url", messages), client


def good(index: int, body: str, **more: str) -> dict[str, str]:
    return {"Id": str(index), "MessageId": f"new-{body}", "MD5OfMessageBody": receive.md5_of_body(body), **more}


A, B = Outgoing("a", "A", {}), Outgoing("b", "B", {})


def test_a_partial_failure_is_told_message_by_message() -> None:
    failed = {"Id": "1", "Code": "InvalidMessageContents", "SenderFault": True, "Message": "bad character"}
    results, _ = sent(A, B, answers=[{"Successful": [good(0, "A")], "Failed": [failed]}])
    assert results["a"].fate is Fate.SENT and results["a"].message_id == "new-A"
    assert (
        results["b"].fate is Fate.REFUSED and results["b"].problem and results["b"].problem.message == "bad character"
    )


def test_an_entry_that_is_not_mentioned_may_have_been_sent() -> None:
    results, _ = sent(A, B, answers=[{"Successful": [good(0, "A")]}])
    assert results["b"].fate is Fate.UNKNOWN


def test_another_body_than_sent_is_damage() -> None:
    results, _ = sent(A, answers=[{"Successful": [good(0, "X")]}])
    assert results["a"].fate is Fate.DAMAGED and results["a"].message_id == "new-X"


def test_other_attributes_or_another_trace_than_sent_are_damage() -> None:
    message = Outgoing("a", "A", {"k": {"DataType": "String", "StringValue": "v"}}, trace="Root=1")
    results, _ = sent(message, answers=[{"Successful": [good(0, "A", MD5OfMessageAttributes="0" * 32)]}])
    assert results["a"].fate is Fate.DAMAGED
    results, _ = sent(message, answers=[{"Successful": [good(0, "A", MD5OfMessageSystemAttributes="0" * 32)]}])
    assert results["a"].fate is Fate.DAMAGED


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (boto.ReadTimeoutError(endpoint_url="x"), Fate.UNKNOWN),
        (boto.ConnectionClosedError(endpoint_url="x"), Fate.UNKNOWN),
        (ResponseParserError("x"), Fate.UNKNOWN),
        (service("InternalError", 500), Fate.UNKNOWN),
        (boto.EndpointConnectionError(endpoint_url="x"), Fate.NOT_SENT),
        (boto.ConnectTimeoutError(endpoint_url="x"), Fate.NOT_SENT),
        (service("RequestThrottled", 503), Fate.NOT_SENT),
        (service("AccessDenied", 403), Fate.NOT_SENT),
        (service("QueueDoesNotExist"), Fate.NOT_SENT),
        (service("KmsDisabled"), Fate.NOT_SENT),
    ],
)
def test_an_error_of_the_call_says_whether_it_may_have_been_sent(error: Exception, fate: Fate) -> None:
    results, client = sent(A, B, answers=[error])
    assert {result.fate for result in results.values()} == {fate}
    assert len(client.calls) == 1


def test_a_batch_refused_for_one_message_is_sent_one_by_one() -> None:
    refusal = service("InvalidParameterValue", 400, "too long")
    results, client = sent(A, B, answers=[refusal, {"Successful": [good(0, "A")]}, refusal])
    assert client.calls == [["A", "B"], ["A"], ["B"]]
    assert (results["a"].fate, results["b"].fate) == (Fate.SENT, Fate.REFUSED)


def test_what_a_receive_adds_to_an_attribute_is_not_sent_back() -> None:
    seen: list[Any] = []

    class Client:
        def send_message_batch(self, QueueUrl: str, Entries: list[Any]) -> Any:
            seen.extend(Entries)
            return {"Successful": []}

    attribute = {"DataType": "Binary.gif", "BinaryValue": b"\x00", "BinaryListValues": [], "StringListValues": []}
    client: Any = Client()
    send.send(client, "u", [Outgoing("a", "A", {"k": attribute}, "Root=1", "g", "d")])
    assert seen == [
        {
            "Id": "0",
            "MessageBody": "A",
            "MessageAttributes": {"k": {"DataType": "Binary.gif", "BinaryValue": b"\x00"}},
            "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}},
            "MessageGroupId": "g",
            "MessageDeduplicationId": "d",
        }
    ]


# ---------------------------------------------------------------- inspecting


def test_a_redrive_policy_is_read_as_number_and_as_text() -> None:
    for count in (3, "3"):
        text = json.dumps({"deadLetterTargetArn": "arn:aws:sqs:r:1:d", "maxReceiveCount": count})
        assert inspect.redrive_policy(text) == ("arn:aws:sqs:r:1:d", 3)
    for text in (None, "", "{", "[]", "null", '{"maxReceiveCount": "x"}'):
        assert inspect.redrive_policy(text) == (None, None)


def test_relations_go_both_ways_and_a_hidden_queue_counts_as_unknown() -> None:
    def queue(name: str, dlq: str | None = None, **more: Any) -> Queue:
        return Queue(name, f"http://x/1/{name}", f"arn:{name}", dlq=dlq, dlq_arn=dlq and f"arn:{dlq}", **more)

    a, b, dead, lost = inspect.related(
        [queue("a", "dead"), queue("b", "dead"), queue("dead", visible=4, in_flight=1, delayed=0), queue("c", "gone")]
    )
    assert dead.dlq_of == ("a", "b") and a.dlq_count == b.dlq_count == 5
    assert lost.dlq_count is None and dead.dlq_count is None


def test_a_missing_or_odd_number_is_unknown_not_zero() -> None:
    queue = inspect.queue_of("http://x/1/q.fifo", {"ApproximateNumberOfMessages": "many", "X": "1"}, 1.0)
    assert (queue.visible, queue.in_flight, queue.retention_seconds, queue.type) == (None, None, None, "fifo")
    assert queue.extra == (("X", "1"),)


# ---------------------------------------------------------------- peek budget


def limited(receives: int | None, visible: int = 5) -> Queue:
    return Queue("q", "u", "arn:q", visible=visible, dlq="d" if receives else None, max_receive=receives)


class Fed:
    """A queue of 20 messages into which one more comes with every poll after: no poll is ever empty."""

    def __init__(self) -> None:
        self.given = 0
        self.released: list[str] = []

    def receive_message(self, **asked: Any) -> Any:
        count = 10 if self.given < 20 else 1
        numbers = range(self.given, self.given + count)
        self.given += count
        return {"Messages": [{"MessageId": f"{n}", "ReceiptHandle": f"r{n}", "Body": "b"} for n in numbers]}

    def change_message_visibility_batch(self, QueueUrl: str, Entries: list[Any]) -> Any:
        self.released += [entry["ReceiptHandle"] for entry in Entries]
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}


def test_a_queue_that_is_fed_all_the_time_is_seen_whole_in_a_moment() -> None:
    client: Any = Fed()
    found, whole, _ = peek.sweep(
        client, limited(None, 20), 500, timeout=5,
        attributes=lambda: Queue("q", "u", visible=0, delayed=0, in_flight=client.given),
    )  # fmt: skip
    assert (len(found), whole) == (20 + peek.TRICKLE_POLLS, True)
    assert len(client.released) == len(found)


def test_counts_that_do_not_know_of_what_is_held_prove_nothing() -> None:
    """As AWS's, which lag: the sweep goes on while there is more."""
    client: Any = Fed()
    found, whole, _ = peek.sweep(
        client, limited(None, 20), 60, timeout=5,
        attributes=lambda: Queue("q", "u", visible=0, delayed=0, in_flight=3),
    )  # fmt: skip
    assert (len(found), whole) == (60, False)


def test_the_budget_says_what_is_left_and_refuses_in_time() -> None:
    assert not peek.budget_of(limited(None)).refuse
    assert peek.budget_of(limited(1)).refuse
    assert not peek.budget_of(limited(1, visible=0)).refuse
    assert not peek.budget_of(limited(3)).refuse
    seen = peek.budget_of(limited(5), left=2, at_risk=0)
    assert not seen.refuse and seen.note == "2 of 5 attempts left"
    seen = peek.budget_of(limited(5), left=0, at_risk=14)
    assert seen.refuse and seen.note == "0 of 5 attempts left; 14 seen would move to d at the next receive"
    with pytest.raises(Refused, match="force"):
        peek.refuse(limited(5), seen)


@pytest.mark.parametrize(
    ("body", "attributes", "error"),
    [
        ('{"errorMessage": "TimeoutError: resize"}', {}, "TimeoutError: resize"),
        ('{"error": {"message": "deep", "code": 3}}', {}, "deep"),
        ('{"error": 3}', {}, None),
        ("plain text", {}, None),
        ('{"error": ', {}, None),
        ("[" * 100_000, {}, None),
        ("{" * 100_000, {}, None),
        ('{"error": "body"}', {"ErrorMessage": {"DataType": "String", "StringValue": "attribute"}}, "attribute"),
    ],
)
def test_the_failure_is_told_where_it_is_evident(body: str, attributes: dict[str, Any], error: str | None) -> None:
    assert peek.error_of(Received("id", "r", body, attributes, {})) == error


# ---------------------------------------------------------------- move tasks


def test_a_native_move_is_refused_where_it_would_go_wrong() -> None:
    good: dict[str, Any] = {
        "is_aws": True, "fifo": False, "sources": 1, "source_arn": "s", "destination_arn": None,
        "destination_fifo": None, "rate": None,
    }  # fmt: skip
    assert move.objection(**good) == ""
    assert move.objection(**good | {"fifo": True, "sources": 3}) == ""
    for change, says in [
        ({"sources": 0}, "another queue"),
        ({"destination_arn": "s"}, "is the source"),
        ({"destination_fifo": True}, "types"),
        ({"rate": 501}, "500"),
        ({"rate": 0.5}, "500"),
        ({"is_aws": False, "fifo": True}, "FIFO"),
        ({"is_aws": False, "sources": 2}, "several sources"),
    ]:
        assert says in move.objection(**good | change), change
    assert move.objection(**good | {"is_aws": False, "sources": 2, "destination_arn": "d"}) == ""


# ---------------------------------------------------------------- threads


def test_the_pool_runs_eight_at_once_and_ends_without_waiting() -> None:
    pool = Pool("test")
    held = threading.Event()
    going = threading.Semaphore(0)

    def block() -> int:
        going.release()
        held.wait(10)
        return 1

    futures = [pool.submit(block) for _ in range(9)]
    assert all(going.acquire(timeout=5) for _ in range(8))
    assert not going.acquire(blocking=False)
    began = time.monotonic()
    pool.close()
    assert time.monotonic() - began < 0.1
    assert futures[8].cancelled() and pool.submit(block).cancelled()
    held.set()
    assert [future.result(5) for future in futures[:8]] == [1] * 8
