"""One connection against peers that misbehave. The peers are scripted: no real broker sends these things on purpose."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from kio.index import load_response_schema
from kio_entities import build, kio_bytes

from console.config import KafkaSettings
from console.errors import Unreachable
from console.kafka.client import KafkaClient
from console.kafka.loop import LoopThread
from console.kafka.messages import API_VERSIONS, LIST_GROUPS, METADATA, OFFSET_FETCH, payload
from console.kafka.properties import Security
from console.kafka.wire import Connection, WireError, open_connection

Reply = Callable[[int, int, int], bytes | None]  # (api key, version, correlation) -> a whole frame, None: silence


@asynccontextmanager
async def peer(reply: Reply, greeting: bytes = b"") -> AsyncIterator[int]:
    """A server that answers each request as told; b"" closes the connection."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(greeting)
        try:
            while True:
                size = struct.unpack(">i", await reader.readexactly(4))[0]
                key, version, correlation = struct.unpack_from(">hhi", await reader.readexactly(size))
                answer = reply(key, version, correlation)
                if answer == b"":
                    writer.close()
                    return
                writer.write(answer or b"")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


def frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def versions(correlation: int, *ranges: tuple[int, int, int], version: int = 4, error: int = 0) -> bytes:
    schema = load_response_schema(18, version)
    keys = [{"api_key": k, "min_version": low, "max_version": high} for k, low, high in ranges]
    value = build(schema, {"error_code": error, "api_keys": keys})
    return frame(struct.pack(">i", correlation) + kio_bytes(value))


ALL = ((3, 0, 13), (16, 0, 5), (9, 0, 10), (18, 0, 4))
GROUPS = b"\x00" + b"\0\0\0\0\0\0\x01\x00"  # ListGroups v5: header, throttle, error, no groups, tags


def usual(then: Reply) -> Reply:
    return lambda key, version, c: versions(c, *ALL) if key == 18 else then(key, version, c)


async def connect(port: int, seconds: float = 3) -> Connection:
    deadline = asyncio.get_running_loop().time() + seconds
    return await open_connection("127.0.0.1", port, Security(), "logq", deadline)


async def failure(work: Awaitable[Any]) -> WireError:
    with pytest.raises(WireError) as found:
        await work
    return found.value


def soon(seconds: float = 1) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_versions_are_the_least_of_all_three() -> None:
    async with peer(lambda k, v, c: versions(c, (3, 0, 9), (9, 0, 12), (16, 7, 9))) as port:
        connection = await connect(port)
        assert connection.version(METADATA) == 9  # the broker's
        assert connection.version(OFFSET_FETCH) == 9  # our cap: above it topics are ids
        assert not connection.supports(LIST_GROUPS)  # nothing in common
        assert (await failure(connection.ask(LIST_GROUPS, {}, soon()))).code == "UNSUPPORTED"
        assert not connection.closed
        connection.close()


async def test_an_old_broker_is_asked_in_its_own_way() -> None:
    asked: list[int] = []

    def reply(key: int, version: int, correlation: int) -> bytes:
        asked.append(version)
        # KIP-511: what is too new is answered in version 0, with error 35 and the versions known.
        return versions(correlation, (3, 0, 5), (18, 0, 2), version=0, error=35 if version > 2 else 0)

    async with peer(reply) as port:
        connection = await connect(port)
        assert connection.version(METADATA) == 5
        assert asked == [4]
        connection.close()

    def older(key: int, version: int, correlation: int) -> bytes:
        asked.append(version)
        if version > 0:
            return frame(struct.pack(">ihi", correlation, 35, 0))
        return versions(correlation, (3, 0, 4), version=0)

    asked.clear()
    async with peer(older) as port:
        connection = await connect(port)
        assert connection.version(METADATA) == 4
        assert asked == [4, 0]
        connection.close()


async def test_answers_find_their_questions() -> None:
    waiting: list[int] = []

    def reply(key: int, version: int, correlation: int) -> bytes | None:
        waiting.append(correlation)
        if len(waiting) < 3:
            return None
        return b"".join(frame(struct.pack(">i", c) + GROUPS) for c in waiting)

    async with peer(usual(reply)) as port:
        connection = await connect(port)
        answers = await asyncio.gather(*(connection.ask(LIST_GROUPS, {}, soon()) for _ in range(3)))
        assert [a.groups for a in answers] == [(), (), ()]
        connection.close()


@pytest.mark.parametrize(
    ("raw", "code", "words"),
    [
        (lambda c: frame(struct.pack(">i", c) + b"\x00\0\0"), "DECODE", "cannot be read"),
        (lambda c: frame(struct.pack(">i", c) + GROUPS + b"x"), "DECODE", "too many"),
        (lambda c: frame(struct.pack(">i", c) + b"\xff"), "DECODE", "cannot be read"),
        (lambda c: frame(struct.pack(">i", c + 5) + GROUPS), "FRAME", "nobody asked"),
        (lambda c: struct.pack(">ii", 2**31 - 1, c), "FRAME", "too long"),
        (lambda c: struct.pack(">ii", -1, c), "FRAME", "not a Kafka broker"),
        (lambda c: struct.pack(">ii", 3, c), "FRAME", "not a Kafka broker"),
        (lambda c: b"", "CLOSED", "closed the connection"),
    ],
)
async def test_what_cannot_be_believed_closes_the_connection(raw: Any, code: str, words: str) -> None:
    async with peer(usual(lambda key, version, c: raw(c))) as port:
        connection = await connect(port)
        error = await failure(connection.ask(LIST_GROUPS, {}, soon()))
        assert error.code == code
        assert words in error.message
        assert connection.closed
        again = await failure(connection.ask(LIST_GROUPS, {}, soon()))
        assert again.code == code  # the first reason is kept


async def test_silence_ends_at_the_deadline_and_closes() -> None:
    async with peer(usual(lambda key, version, c: None)) as port:
        connection = await connect(port)
        started = time.monotonic()
        one, other = await asyncio.gather(
            failure(connection.ask(LIST_GROUPS, {}, soon(0.3))), failure(connection.ask(METADATA, {}, soon(5)))
        )
        assert 0.2 < time.monotonic() - started < 1
        assert (one.code, other.code) == ("TIMEOUT", "CLOSED")
        assert "did not answer within 0.3 s" in one.message
        assert connection.closed


async def test_a_question_given_up_does_not_shift_the_answers() -> None:
    delayed: list[int] = []

    def reply(key: int, version: int, c: int) -> bytes | None:
        if key == 16 and not delayed:
            delayed.append(c)
            return None
        late = b"".join(frame(struct.pack(">i", d) + GROUPS) for d in delayed)
        return late + frame(struct.pack(">i", c) + GROUPS)

    async with peer(usual(reply)) as port:
        connection = await connect(port)
        given_up = asyncio.ensure_future(connection.ask(LIST_GROUPS, {}, soon(5)))
        await asyncio.sleep(0.05)
        given_up.cancel()
        await asyncio.wait([given_up])
        assert (await connection.ask(LIST_GROUPS, {}, soon())).groups == ()
        assert not connection.closed
        connection.close()


async def test_a_mute_peer_cannot_hold_the_handshake() -> None:
    async with peer(lambda key, version, c: None) as port:
        started = time.monotonic()
        assert (await failure(connect(port, 0.3))).code == "TIMEOUT"
        assert time.monotonic() - started < 1


async def test_a_tls_port_is_recognised() -> None:
    alert = bytes.fromhex("15030300020246")
    async with peer(lambda key, version, c: alert) as port:
        error = await failure(connect(port))
        assert error.code == "TLS"
        assert "speaks TLS: set security.protocol to SSL or SASL_SSL" in error.message


async def test_something_else_than_kafka_is_recognised() -> None:
    async with peer(lambda key, version, c: b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        error = await failure(connect(port))
        assert error.code == "FRAME"
    async with peer(lambda key, version, c: b"") as port:
        assert "it wants TLS" in (await failure(connect(port))).message


async def test_a_port_that_wants_a_login_is_recognised() -> None:
    async with peer(usual(lambda key, version, c: b"")) as port:
        connection = await connect(port)
        error = await failure(connection.ask(METADATA, {"topics": None}, soon()))
        assert "it wants a login (security.protocol=SASL_PLAINTEXT" in error.message


async def test_what_the_protocol_cannot_carry_is_said_and_harms_nothing() -> None:
    async with peer(usual(lambda key, version, c: frame(struct.pack(">i", c) + GROUPS))) as port:
        connection = await connect(port)
        error = await failure(connection.ask(METADATA, {"topics": [{"name": "\udcff", "topic_id": None}]}, soon()))
        assert error.code == "ENCODE"
        assert (await connection.ask(LIST_GROUPS, {}, soon())).groups == ()
        connection.close()


def test_requests_of_every_version_from_the_same_values() -> None:
    values = {"groups": [{"group_id": "g", "topics": None}], "group_id": "g", "topics": None, "require_stable": True}
    member = b"\0" + b"\xff" * 4  # no id and no epoch: nobody's member asks
    assert payload(OFFSET_FETCH, 9, values) == b"\x02\x02g" + member + b"\0\0" + b"\x01\0"
    assert payload(OFFSET_FETCH, 7, values) == b"\x02g" + b"\0" + b"\x01" + b"\0"
    assert payload(OFFSET_FETCH, 5, values) == b"\0\x01g" + b"\xff" * 4  # it does not know require_stable
    assert API_VERSIONS.versions == (0, 4)


def test_a_client_of_a_peer_that_sends_noise_reports_it_in_one_line() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]

        def serve() -> None:
            taken, _ = server.accept()
            with taken:
                taken.recv(1000)
                taken.sendall(b"SSH-2.0-something\r\n")

        threading.Thread(target=serve, daemon=True).start()
        client = KafkaClient(KafkaSettings(f"127.0.0.1:{port}"), timeout=3)
        with pytest.raises(Unreachable, match=f"cannot reach Kafka at 127.0.0.1:{port}: ") as error:
            client.snapshot()
        assert "\n" not in str(error.value)
        client.close()


def test_a_host_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:  # no name server is asked in a test
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    client = KafkaClient(KafkaSettings("no-such-host.invalid:9092"), timeout=5)
    with pytest.raises(Unreachable, match="unknown host name"):
        client.snapshot()
    client.close()


def test_a_name_server_that_hangs_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: hang.wait(30))
    client = KafkaClient(KafkaSettings("some.host:9092"), timeout=0.3)
    started = time.monotonic()
    with pytest.raises(Unreachable, match=r"within 0\.3 s"):
        client.snapshot()
    client.close()
    assert time.monotonic() - started < 1
    hang.set()


def test_a_question_that_nobody_waits_for_prints_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An error nobody asked for any more: two brokers answer at once, and the first answer was enough."""
    loop = LoopThread()

    async def fails() -> None:
        raise WireError("DOWN", "connection refused")

    async def first_is_enough() -> None:
        task = asyncio.ensure_future(fails())
        await asyncio.wait([task])
        del task
        gc.collect()

    loop.run(first_is_enough())
    loop.close(lambda: None)
    assert not caplog.records, "without a handler of ours asyncio writes to stderr"
