"""Servers at whose address a broker should be: silent, broken, something else, or Kafka that will not go on."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

Serve = Callable[[socket.socket], None]

_VERSIONS = {0: (3, 3), 1: (4, 4), 2: (2, 2), 3: (4, 4), 8: (2, 2), 9: (2, 2), 10: (0, 0), 16: (0, 0), 18: (0, 0)}


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def _frame(correlation: int, body: bytes) -> bytes:
    return struct.pack(">ii", 4 + len(body), correlation) + body


def _versions(asked: int) -> bytes:
    # KIP-511: what is too new is answered as version 0, with error 35 and what is known.
    known = b"".join(struct.pack(">hhh", key, *versions) for key, versions in _VERSIONS.items())
    return struct.pack(">hi", 35 if asked else 0, len(_VERSIONS)) + known


def _metadata(host: str, port: int, topics: tuple[str, ...]) -> bytes:
    """Metadata v4: one broker, which leads the three partitions of each topic."""
    parts = b"".join(struct.pack(">hiiiiii", 0, n, 1, 1, 1, 1, 1) for n in range(3))
    told = b"".join(struct.pack(">h", 0) + _text(name) + struct.pack(">bi", 0, 3) + parts for name in topics)
    broker = struct.pack(">iii", 0, 1, 1) + _text(host) + struct.pack(">ih", port, -1)
    return broker + _text("hostile") + struct.pack(">ii", 1, len(topics)) + told


def kafka_that_sends_to(port_of: Callable[[], int]) -> Serve:
    """It tells its versions and that its one broker is at a port; it answers nothing else."""

    def serve(peer: socket.socket) -> None:
        while True:
            (size,) = struct.unpack(">i", peer.recv(4, socket.MSG_WAITALL))
            key, version, correlation = struct.unpack_from(">hhi", peer.recv(size, socket.MSG_WAITALL))
            if key == 18:
                peer.sendall(_frame(correlation, _versions(version)))
            elif key == 3:
                peer.sendall(_frame(correlation, _metadata("127.0.0.1", port_of(), ("t", "u"))))

    return serve


def closes(peer: socket.socket) -> None:
    """Nothing, and the end."""
    peer.close()


def garbage(peer: socket.socket) -> None:
    """Something else than was asked for, without end."""
    peer.recv(100)
    while True:
        peer.sendall(os.urandom(4096))


def web_server(peer: socket.socket) -> None:
    """HTTP's answer to what it cannot understand."""
    peer.recv(100)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    peer.close()


def drips(peer: socket.socket) -> None:
    """The beginning of an answer to the first question, then a byte now and then: never quite silent."""
    (size,) = struct.unpack(">i", peer.recv(4, socket.MSG_WAITALL))
    _, _, correlation = struct.unpack_from(">hhi", peer.recv(size, socket.MSG_WAITALL))
    peer.sendall(struct.pack(">ii", 60_000, correlation))
    while True:
        peer.sendall(b"\0")
        time.sleep(0.1)


def mute(peer: socket.socket) -> None:
    """A port that takes connections and what is sent, and says nothing."""
    while peer.recv(4096):
        pass


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """The port of a server that treats each connection so."""
    with ExitStack() as open_ones:
        listening = open_ones.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))

        def one(peer: socket.socket) -> None:
            with contextlib.suppress(OSError, struct.error):
                serve(peer)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listening.accept()
                    open_ones.callback(peer.close)
                    threading.Thread(target=one, args=(peer,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]


@contextmanager
def unanswering() -> Iterator[int]:
    """A port whose connections are never made, as behind a firewall that drops: its queue is full."""
    with ExitStack() as open_ones:
        listening = open_ones.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            waiting = open_ones.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
