"""Where a broker should be is something that does not behave: every command ends in time, with one line."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hostile_servers import (
    closes,
    drips,
    garbage,
    kafka_that_sends_to,
    mute,
    serving,
    unanswering,
    web_server,
)

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

TIMEOUT_S = 2.0

COMMANDS = {
    "status": ("status",),
    "list": ("group", "list"),
    "show": ("group", "show", "g"),
    "reset": ("group", "reset", "g", "--to-earliest", "--execute", "--yes"),
    "browse": ("topic", "browse", "t"),
    "replay": ("replay", "t", "--to", "kafka:u", "--execute", "--yes"),
}
AT_ONCE = {
    "refuses": "connection refused",
    "closes": "closed the connection at once",
    "garbage": "not Kafka",
    "web server": "is a web server",
}
"""What is seen to be no broker before any command differs from another, and what is said of it."""
SILENT = ("never connects", "mute", "drips", "answers no more", "elsewhere")
FIRST = ("status", "list", "replay")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str
    seconds: float


Endings = dict[tuple[str, str], Ended]


def logq(port: int, state: Path, *argv: str) -> Ended:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "console", "-b", f"127.0.0.1:{port}", "--timeout", f"{TIMEOUT_S:g}", *argv],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=90, check=False,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("AWS_")}, "LOGQ_STATE_DIR": str(state)},
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endings]:
    """How each command ended on each of them, some at a time: most of it is waiting."""
    state = tmp_path_factory.mktemp("hostile")
    with ExitStack() as servers:
        holder = servers.enter_context(socket.socket())  # bound and not listening: connections are refused
        holder.bind(("127.0.0.1", 0))
        ports = {"refuses": holder.getsockname()[1], "never connects": servers.enter_context(unanswering())}
        for kind, serve in (
            ("mute", mute), ("closes", closes), ("garbage", garbage), ("web server", web_server), ("drips", drips),
        ):  # fmt: skip
            ports[kind] = servers.enter_context(serving(serve))
        ports["answers no more"] = servers.enter_context(serving(kafka_that_sends_to(lambda: ports["answers no more"])))
        ports["elsewhere"] = servers.enter_context(serving(kafka_that_sends_to(lambda: ports["never connects"])))
        with ThreadPoolExecutor(4) as pool:
            calls = {
                (kind, name): pool.submit(logq, ports[kind], state, *argv)
                for name, argv in COMMANDS.items()
                for kind in (*AT_ONCE, *SILENT)
                if kind in SILENT or name in FIRST
            }
            yield {key: call.result() for key, call in calls.items()}


def one_line(done: Ended, name: str) -> str:
    """What a command says that could see nothing: one line on stderr, nothing on stdout but the page of `status`."""
    assert done.code == 1, done
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("▲ " if name == "status" else "logq: ")
    assert name == "status" or done.out == ""
    for never in ("Traceback", "bug in logq"):
        assert never not in done.out + done.err
    return done.err


@pytest.mark.parametrize("kind", AT_ONCE)
def test_what_is_no_broker_is_said_at_once(ended: Endings, kind: str) -> None:
    for name in FIRST:
        line = one_line(ended[kind, name], name)
        assert "cannot reach Kafka" in line
        assert AT_ONCE[kind] in line or (kind == "garbage" and "not a Kafka broker" in line)


@pytest.mark.parametrize("kind", SILENT)
def test_silence_ends_within_the_timeout(ended: Endings, kind: str) -> None:
    # What a start costs here and now: of those that need not wait for anything.
    start = statistics.median(ended[no_broker, name].seconds for no_broker in AT_ONCE for name in FIRST)
    for name in COMMANDS:
        done = ended[kind, name]
        assert "answer" in one_line(done, name)  # did not answer, no answer within
        over = 1.5 if name == "status" else 0  # it looks again to tell what moves
        assert done.seconds < TIMEOUT_S + over + 2.5 * start + 1.5, (name, done.seconds, start)


def test_no_answer_is_not_no_groups(ended: Endings) -> None:
    page = ended["answers no more", "status"].out
    assert "brokers 0/1 · groups – · topics 2" in page
    assert "no broker listed its groups" in ended["answers no more", "list"].err
