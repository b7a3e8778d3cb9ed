"""A hostile or broken cluster: real answers of the real broker, damaged on their way to us.

Whatever comes has to end in a value or in one of our own errors, within its time and in bounded memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from console.config import KafkaSettings
from console.errors import LogqError
from console.kafka.client import KafkaClient
from console.kafka.cluster import Cluster
from console.kafka.loop import LoopThread
from console.kafka.messages import Api
from console.kafka.reader import DecodeError, decode, skip_tags
from console.kafka.wire import Connection
from console.kafka.write import create_topics
from console.model import KafkaSnapshot

pytestmark = pytest.mark.broker

Unique = Callable[[str], str]
ROUNDS = 60
PATIENCE = 0.5  # seconds for one look
_LENGTHS = (0, 1, 3, 127, 128, 2**15, 2**31 - 1, -1, -(2**31))


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Some bytes cut off, changed, put in, or overwritten by lengths and codes that nobody expects."""
    raw = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(raw)) if raw else 0
        match rng.randrange(6):
            case 0:
                del raw[at:]
            case 1:
                raw[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                raw[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 3:
                raw[at : at + 4] = struct.pack(">i", rng.choice(_LENGTHS))
            case 4:
                raw[at : at + 2] = struct.pack(">h", rng.randrange(-2, 200))
            case _:
                raw[at : at + 5] = b"\xff\xff\xff\xff" + bytes([rng.randrange(16)])
    return bytes(raw)


@pytest.fixture(scope="module")
def busy(kafka: str) -> Iterator[str]:
    """A group with a member, one without, and records: something of everything that a look asks for."""
    topic = f"fuzz-{random.Random().randrange(10**9)}"
    create_topics(KafkaSettings(kafka), {topic: (4, 1, {})})
    producer = Producer({"bootstrap.servers": kafka})
    for _ in range(5):
        producer.produce(topic, b"value", key=b"key", partition=0)
    assert producer.flush(20) == 0
    client = KafkaClient(KafkaSettings(kafka), timeout=20)
    client.commit_offsets(f"{topic}-group", {(topic, p): 0 for p in range(4)})
    client.close()
    member = Consumer({"bootstrap.servers": kafka, "group.id": f"{topic}-live", "enable.auto.commit": False})
    member.subscribe([topic])
    while not member.assignment():
        member.poll(0.1)
    stop = threading.Event()

    def stay() -> None:
        while not stop.is_set():
            member.poll(0.2)

    thread = threading.Thread(target=stay, daemon=True)
    thread.start()
    yield topic
    stop.set()
    thread.join(5)
    member.close()


def everything(client: KafkaClient, topic: str) -> None:
    """Ask what screens and commands ask."""
    seen = client.snapshot()
    assert seen.complete, seen.problems
    client.group(f"{topic}-live")
    client.topic(topic)
    client.committed(f"{topic}-group", [(topic, 0)])
    client.offsets_for_time([(topic, 0)], 1.0)
    client.record_times({(topic, 0): 0})
    client.check()


# ---------------------------------------------------------------- decoding


def test_live_answers_damaged_in_every_way_are_a_value_or_a_decode_error(
    busy: str, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: dict[tuple[Api, int], bytes] = {}
    exchange = Connection._exchange

    async def record(self: Connection, api: Api, version: int, *rest: Any) -> bytes:
        answer = await exchange(self, api, version, *rest)
        recorded[(api, version)] = answer
        return answer

    monkeypatch.setattr(Connection, "_exchange", record)
    client = KafkaClient(KafkaSettings(kafka), timeout=20)
    everything(client, busy)
    client.close()
    assert len(recorded) >= 9
    rng = random.Random(20_261_128)
    outcomes = {"value": 0, "error": 0}
    for (api, version), answer in recorded.items():
        entity = api.answer(version)
        start = skip_tags(answer, 0) if entity.flexible_header else 0
        decode(entity, answer, start)  # undamaged it can be read
        tracemalloc.start()
        began = time.monotonic()
        for turn in range(250):
            # Every length of a short one, else random cuts and damage.
            bad = answer[:turn] if turn < min(len(answer), 100) else damaged(answer, rng)
            try:
                start = skip_tags(bad, 0) if entity.flexible_header else 0
                decode(entity, bad, start)
                outcomes["value"] += 1
            except DecodeError:
                outcomes["error"] += 1
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2_000_000 + 60 * len(answer), (api.name, peak)
        assert time.monotonic() - began < 30
    assert min(outcomes.values()) > 50, outcomes


# ---------------------------------------------------------------- framing, and what is made of what was decoded


@dataclass
class Damager:
    """A proxy before the broker that damages some of the frames it passes on."""

    target: tuple[str, int]
    rng: random.Random
    share: float = 0.0
    thread: LoopThread = field(default_factory=LoopThread)
    port: int = 0

    def start(self) -> None:
        self.server = self.thread.run(asyncio_server(self))
        self.port = self.server.sockets[0].getsockname()[1]

    def close(self) -> None:
        self.thread.close(self.server.close)

    def frame(self, body: bytes) -> tuple[bytes, bool]:
        """What is sent in place of an answer (its correlation id and the rest), and whether to hang up after it."""
        whole = struct.pack(">i", len(body)) + body
        if self.rng.random() >= self.share:
            return whole, False
        match self.rng.randrange(9):
            case 0:
                return whole[: self.rng.randrange(len(whole))], True
            case 1:
                return struct.pack(">ii", len(body), self.rng.randrange(2**31)) + body[4:], False
            case 2:
                return struct.pack(">i", self.rng.choice(_LENGTHS)) + body, False
            case 3:
                return whole + whole, False
            case 4:
                return self.rng.randbytes(self.rng.randrange(1, 200)), True
            case _:
                bad = body[:4] + damaged(body[4:], self.rng)
                return struct.pack(">i", len(bad)) + bad, False


async def asyncio_server(proxy: Damager) -> asyncio.Server:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, out = await asyncio.open_connection(*proxy.target)

        async def questions() -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(65536):
                    out.write(data)
            out.close()

        asking = asyncio.ensure_future(questions())
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                (size,) = struct.unpack(">i", await there.readexactly(4))
                data, over = proxy.frame(await there.readexactly(size))
                writer.write(data)
                await writer.drain()
                if over:
                    break
        asking.cancel()
        writer.close()
        out.close()

    return await asyncio.start_server(client, "127.0.0.1", 0)


def test_a_look_through_damage_ends_in_a_picture_or_a_plain_error(
    busy: str, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, port = kafka.split(",")[0].split(":")
    proxy = Damager((host, int(port)), random.Random(4))
    proxy.start()
    monkeypatch.setattr(Cluster, "address", lambda self, broker: ("127.0.0.1", proxy.port))
    settings = KafkaSettings(f"127.0.0.1:{proxy.port}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ended = {"picture": 0, "whole": 0, "error": 0}
    try:
        for turn in range(ROUNDS):
            proxy.share = (0.1, 0.3, 0.6)[turn % 3]
            client = KafkaClient(settings, timeout=PATIENCE)
            questions: list[Callable[[], object]] = [
                client.snapshot,  # twice: what was kept of the first meets other answers
                client.snapshot,
                lambda c=client: c.group(f"{busy}-live"),  # type: ignore[misc]
                lambda c=client: c.topic(busy),  # type: ignore[misc]
                lambda c=client: c.record_times({(busy, 0): 0}),  # type: ignore[misc]
            ]
            for ask in questions:
                began = time.monotonic()
                try:
                    found = ask()
                    ended["picture"] += 1
                    ended["whole"] += isinstance(found, KafkaSnapshot) and found.complete
                except LogqError as error:
                    ended["error"] += 1
                    assert "\n" not in str(error)
                assert time.monotonic() - began < PATIENCE + 4
            client.close()
        proxy.share = 0.0
        client = KafkaClient(settings, timeout=20)
        everything(client, busy)
        client.close()
    finally:
        proxy.close()
    assert min(ended.values()) > 5, ended
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 150, f"{grown:.0f} MiB more"
