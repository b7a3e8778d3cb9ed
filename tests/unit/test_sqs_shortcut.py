"""The shorter way through botocore against a real HTTP server on loopback that says what a test wants it to."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from console.config import SqsSettings
from console.errors import Failed
from console.sqs import connect
from console.sqs import send as sending
from console.sqs.client import SqsClient
from console.sqs.price import Meter

URL = "http://127.0.0.1/000000000000/q"
ENTRIES: Any = [{"Id": "0", "MessageBody": "x"}]
SENT = {"Successful": [{"Id": "0", "MessageId": "m", "MD5OfMessageBody": "9dd4e461268c8034f5c8564e155c67a6"}]}


class Server:
    """Answers with what is in `answers`, one a request, the last one again and again; keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.heard: dict[str, str] = {}
        self.hang = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.headers["Authorization"].startswith("AWS4-HMAC-SHA256 ")
                outer.heard = dict(self.headers)
                outer.asked.append((self.headers["X-Amz-Target"].rpartition(".")[2], body))
                status, content = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                if status == 0:  # the connection breaks before there is an answer
                    self.close_connection = True
                    return
                if status == -1:
                    outer.hang.wait(10)
                    return
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Nothing on the terminal."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def say(self, *answers: tuple[int, Any]) -> None:
        self.asked.clear()
        self.answers = [(s, said if isinstance(said, bytes) else json.dumps(said).encode()) for s, said in answers]


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.hang.set()
    made.http.shutdown()
    made.http.server_close()


def client(server: Server, sends: bool, timeout: float = 5.0, meter: Meter | None = None) -> Any:
    settings = SqsSettings(region="eu-west-1", endpoint_url=server.url)
    return connect.sqs_client(settings, timeout, sends=sends, meter=meter)


def error(code: str) -> dict[str, str]:
    return {"__type": f"com.amazonaws.sqs#{code}", "message": "said by the server"}


@pytest.mark.parametrize("sends", [False, True])
def test_a_plain_success_is_what_botocore_makes_of_it(server: Server, sends: bool) -> None:
    message = {"MessageId": "m", "ReceiptHandle": "r", "Body": "a b", "Attributes": {"SenderId": "s"}}
    meter = Meter()
    mine = client(server, sends, meter=meter)
    for said in ({"Messages": [message]}, {}, {"Messages": [{**message, "MessageAttributes": {}}]}):
        server.say((200, said))
        answer = mine.receive_message(QueueUrl=URL, MaxNumberOfMessages=3)
        assert {k: v for k, v in answer.items() if k != "ResponseMetadata"} == said
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert server.asked == [("ReceiveMessage", {"QueueUrl": URL, "MaxNumberOfMessages": 3})]
    assert meter.spent.requests == 3


BINARY = {"b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}, "n": {"DataType": "Number.x", "StringValue": "1"}}
TRACE = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}}


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        ("receive_message", {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 1, "MessageAttributeNames": ["All"]}),
        ("receive_message", {"VisibilityTimeout": 0, "ReceiveRequestAttemptId": "a-1"}),
        (
            "send_message_batch",
            {"Entries": [{"Id": "0", "MessageBody": 'é \ud83d\ude00 \x7f " \\ </', "DelaySeconds": 0}]},
        ),
        ("send_message_batch", {"Entries": [{"Id": "0", "MessageBody": "half \ud800 of it"}]}),
        (
            "send_message_batch",
            {
                "Entries": [
                    {"Id": "0", "MessageBody": "x", "MessageAttributes": BINARY, "MessageSystemAttributes": TRACE},
                    {"Id": "1", "MessageBody": "y", "MessageGroupId": "g", "MessageDeduplicationId": "d"},
                ]
            },
        ),
        ("delete_message_batch", {"Entries": [{"Id": str(n), "ReceiptHandle": "r" * 80} for n in range(10)]}),
        ("change_message_visibility_batch", {"Entries": [{"Id": "0", "ReceiptHandle": "r", "VisibilityTimeout": 30}]}),
    ],
)
def test_what_is_sent_is_what_botocore_sends(
    server: Server, call: str, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.say((200, {}))
    mine = client(server, False)
    with monkeypatch.context() as patch:
        patch.setattr(connect, "shorten", lambda *_, **__: None)
        whole = client(server, False)
    told = []
    for one in (mine, mine, whole):
        getattr(one, call)(QueueUrl=URL, **parameters)
        own = ("authorization", "x-amz-date", "content-length", "amz-sdk-invocation-id", "amz-sdk-request")
        told.append({name: said for name, said in server.heard.items() if name.lower() not in own})
    assert server.asked[0] == server.asked[1] == server.asked[2]
    assert told[0] == told[1] == told[2]
    assert re.fullmatch(r"Boto3/\S+ Botocore/\S+ logq", told[0]["User-Agent"])


def test_bytes_and_nulls_and_what_is_no_json_are_botocores(server: Server) -> None:
    mine = client(server, False)
    binary = {"MessageAttributes": {"b": {"DataType": "Binary", "BinaryValue": "AP8="}}, "Body": "null"}
    server.say((200, {"Messages": [binary]}))
    (found,) = mine.receive_message(QueueUrl=URL)["Messages"]
    assert found["MessageAttributes"]["b"]["BinaryValue"] == b"\x00\xff"
    assert found["Body"] == "null"
    server.say((200, {"Successful": [], "Failed": None}))
    assert "Failed" not in mine.delete_message_batch(QueueUrl=URL, Entries=[])
    # Half a surrogate pair, which only Python's own JSON reads.
    server.say((200, b'{"Messages": [{"Body": "\\ud800"}]}'))
    assert mine.receive_message(QueueUrl=URL)["Messages"][0]["Body"] == "\ud800"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((200, b"<html>no</html>"), r"gave an answer that is not SQS's \(a web page\); check the endpoint URL"),
        ((200, []), r"gave an answer that is not SQS's \(no JSON object\); check the endpoint URL"),
        ((200, b"hello"), r"gave an answer that is not SQS's \(no JSON object\); check the endpoint URL"),
        ((301, b""), r"sends elsewhere \(HTTP 301\), not as SQS; check the endpoint URL"),
    ],
)
def test_an_endpoint_that_is_no_sqs_is_told_by_every_call(server: Server, answer: tuple[int, Any], says: str) -> None:
    settings = SqsSettings(region="eu-west-1", endpoint_url=server.url)
    server.say(answer)
    asked = SqsClient(settings, 5.0)
    for look in (lambda: asked.url("a"), lambda: asked.queue("a"), lambda: asked.peek("a"), asked.snapshot):
        with pytest.raises(Failed, match=says):
            look()
    mine = client(server, False)
    for call in (mine.receive_message, mine.get_queue_attributes, mine.purge_queue):
        with pytest.raises(Exception) as raised:
            call(QueueUrl=URL)
        assert re.search(says, str(connect.words(raised.value, "x", settings)))
    (result,) = sending.send(client(server, True), URL, [sending.Outgoing("0", "x", {})]).values()
    assert result.fate is not sending.Fate.SENT
    asked.close()


def test_an_answer_without_the_url_that_was_asked_for(server: Server) -> None:
    server.say((200, {}))
    asked = SqsClient(SqsSettings(region="eu-west-1", endpoint_url=server.url), 5.0)
    with pytest.raises(Failed, match=r"not SQS's \(no queue URL in it\); check the endpoint URL"):
        asked.url("a")
    asked.close()


@pytest.mark.parametrize(("status", "name"), [(400, "AccessDenied"), (400, "ThrottlingException"), (500, "Failure")])
def test_a_send_is_made_once_and_its_error_is_the_servers(server: Server, status: int, name: str) -> None:
    mine = client(server, True)
    server.say((status, error(name)))
    with pytest.raises(ClientError) as raised:
        mine.send_message_batch(QueueUrl=URL, Entries=ENTRIES)
    assert (connect.code(raised.value), connect.status(raised.value)) == (name, status)
    assert "said by the server" in str(raised.value)
    assert len(server.asked) == 1


def test_a_send_whose_answer_is_lost_is_not_made_again(server: Server) -> None:
    mine = client(server, True)
    server.say((0, b""))
    with pytest.raises(ConnectionClosedError):
        mine.send_message_batch(QueueUrl=URL, Entries=ENTRIES)
    assert len(server.asked) == 1
    server.say((-1, b""))
    with pytest.raises(ReadTimeoutError):
        client(server, True, 0.3).send_message_batch(QueueUrl=URL, Entries=ENTRIES)
    assert len(server.asked) == 1
    server.say((200, b"<html>a proxy's page</html>"))
    told = sending.send(mine, URL, [sending.Outgoing("id", "x", {})])
    assert [result.fate for result in told.values()] == [sending.Fate.UNKNOWN]
    assert len(server.asked) == 1
    server.say((200, SENT))
    assert mine.send_message_batch(QueueUrl=URL, Entries=ENTRIES)["Successful"] == SENT["Successful"]


@pytest.mark.parametrize("first", [(0, b""), (503, b"busy"), (400, error("ThrottlingException"))])
def test_a_read_that_failed_is_asked_again(server: Server, first: tuple[int, Any]) -> None:
    server.say(first, (200, {"Messages": []}))
    assert client(server, False).receive_message(QueueUrl=URL)["Messages"] == []
    assert len(server.asked) == 2


def test_a_read_that_always_fails_ends_with_the_servers_words(server: Server) -> None:
    server.say((403, error("AccessDeniedException")))
    with pytest.raises(ClientError) as raised:
        client(server, False).delete_message_batch(QueueUrl=URL, Entries=[{"Id": "0", "ReceiptHandle": "r"}])
    assert connect.code(raised.value) == "AccessDeniedException"
    server.say((-1, b""))
    with pytest.raises(ReadTimeoutError):
        client(server, False, 0.3).receive_message(QueueUrl=URL)
    assert len(server.asked) == 1, "who has waited in vain once does not do so again"


def test_nobody_there(server: Server) -> None:
    nobody = client(server, False)
    server.http.shutdown()
    server.http.server_close()
    for mine in (nobody, client(server, True)):
        with pytest.raises(EndpointConnectionError):
            mine.change_message_visibility_batch(QueueUrl=URL, Entries=[])
