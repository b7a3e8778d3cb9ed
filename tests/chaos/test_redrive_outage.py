"""A redrive whose server goes away under it: real connections are cut and refused for a while, then it is back."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqs_world

from console.model import Progress
from console.ops import redrive

pytestmark = [pytest.mark.broker, pytest.mark.chaos, pytest.mark.timeout(180)]

AWAY_S = 2.0


class Relay:
    """Passes connections on to a server; `cut` ends all there are, and until `back` new ones are refused."""

    def __init__(self, to: tuple[str, int]) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self._to)
            except OSError:
                return
            with self._lock:
                self._open += [client, server]
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    @staticmethod
    def _pass(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            self._open.clear()

    def back(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
def test_a_server_that_goes_and_comes_back(
    sqs_endpoint: str, unique: Callable[[str], str], tmp_path: Path, fifo: bool
) -> None:
    parts = urlsplit(sqs_endpoint)
    assert parts.hostname is not None
    assert parts.port is not None
    relay = Relay((parts.hostname, parts.port))
    count = 160 if fifo else 500
    with (
        sqs_world.world(sqs_endpoint, unique("away"), fifo=fifo) as world,
        sqs_world.session(f"http://127.0.0.1:{relay.port}", tmp_path) as session,
    ):
        bodies = [json.dumps({"n": n, "group": str(n % 20)}) for n in range(count)]
        ids = world.fill(bodies, **({"group": lambda body: json.loads(body)["group"]} if fifo else {}))
        notes: list[str] = []
        gone = threading.Event()

        def watch(progress: Progress) -> None:
            notes.append(progress.note)
            if progress.done >= count // 3 and not gone.is_set():
                gone.set()
                relay.cut()
                threading.Timer(AWAY_S, relay.back).start()

        planned = redrive.plan(session, world.dlq, engine="client", lease_seconds=8)
        began = time.monotonic()
        outcome = redrive.run(session, planned, on_progress=watch)
        print(f"{outcome.lines} after {time.monotonic() - began:.1f} s")
        assert gone.is_set()
        assert (outcome.state, outcome.done, outcome.left) == ("done", count, 0), outcome.lines
        assert any(note.startswith("paused: ") for note in notes), set(notes)
        named = set(session.journal.doubtful(outcome.job))
        arrived = world.drain()
        times = Counter(message["Body"] for message in arrived)
        assert set(times) == set(bodies), "lost or invented"
        assert {ids[body] for body, many in times.items() if many > 1} <= named
        if fifo:
            assert not named
            order = [json.loads(message["Body"]) for message in arrived]
            for group in range(20):
                assert [v["n"] for v in order if v["group"] == str(group)] == list(range(group, count, 20))
    relay.cut()
