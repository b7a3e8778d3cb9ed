"""`logq demo` as a process: what it prints, its keys and commands, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from terminal import Terminal

pytestmark = pytest.mark.broker


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true answer of `condition`, asked for at most so many seconds."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
    return found


def descendants(pid: int) -> set[int]:
    """The processes under a process, from /proc; the guard has left its session but not its family."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])
    found: set[int] = set()
    level = {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level} - found
        found |= level
    return found


def alive(pid: int) -> bool:
    """Whether a process runs (one that only waits to be reaped does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@dataclass
class Demo:
    """A running `logq demo --headless`."""

    process: subprocess.Popen[str]
    address: dict[str, Any]
    folders: set[Path]
    family: set[int]
    said: list[str] = field(default_factory=list)

    def wait_gone(self) -> None:
        """Every process it started has ended and its folder has gone."""
        until(lambda: not [pid for pid in self.family if alive(pid)], 10, "processes end")
        until(lambda: not [folder for folder in self.folders if folder.exists()], 10, "the folder is removed")


@contextmanager
def headless(temporary: Path, *options: str) -> Iterator[Demo]:
    """Start it with a folder of its own for temporary files; whatever the test does, it is ended."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    environment |= {"TMPDIR": str(temporary), "AWS_PROFILE": "somebody-who-is-not-there"}
    with subprocess.Popen(
        [sys.executable, "-m", "console", "demo", "--headless", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        said: list[str] = []
        errors = process.stderr
        Thread(target=lambda: said.extend(errors), daemon=True).start()
        try:
            line = process.stdout.readline()
            assert line, "it ended: " + "".join(said)
            yield Demo(process, json.loads(line), set(temporary.glob("logq-*")), descendants(process.pid), said)
        finally:
            process.kill()


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A short path for TMPDIR."""
    with tempfile.TemporaryDirectory(prefix="demo-test-") as folder:
        yield Path(folder)


def test_first_line_commands_and_an_orderly_end_by_sigterm(temporary: Path) -> None:
    began = time.monotonic()
    with headless(temporary) as demo:
        print(f"first line after {time.monotonic() - began:.1f} s")
        assert set(demo.address) == {"bootstrap", "endpoint_url", "region", "pid"}
        assert demo.address["pid"] == demo.process.pid
        assert len(demo.folders) == 1
        assert len(demo.family) >= 4  # the guard, Kafka, ElasticMQ, the story
        # Another program connects with the addresses alone.
        import boto3
        from confluent_kafka.admin import AdminClient

        sqs = boto3.client("sqs", endpoint_url=demo.address["endpoint_url"], region_name=demo.address["region"])
        names = {url.rpartition("/")[2] for url in sqs.list_queues()["QueueUrls"]}
        assert {"image-resize-jobs", "image-resize-jobs-dlq", "emails.fifo", "emails-dlq.fifo"} <= names
        topics = AdminClient({"bootstrap.servers": demo.address["bootstrap"]}).list_topics(timeout=10).topics
        assert {"orders", "orders.DLT"} <= set(topics)

        assert demo.process.stdin is not None
        for send in (
            lambda: demo.process.stdin.write("break\n") and demo.process.stdin.flush(),
            lambda: demo.process.send_signal(signal.SIGUSR2),
        ):
            demo.said.clear()
            send()
            until(lambda: "release 2026.47 is back" in "".join(demo.said), 5, "the bug is deployed")
            demo.process.send_signal(signal.SIGUSR1)
            until(lambda: "release 2026.48 goes out" in "".join(demo.said), 5, "the fix is deployed")
        assert demo.process.poll() is None

        demo.process.stdin.close()  # nobody types any more: it goes on
        time.sleep(1)
        assert demo.process.poll() is None
        demo.process.send_signal(signal.SIGTERM)
        assert demo.process.wait(10) == 0
        demo.wait_gone()
        assert demo.process.stdout is not None
        assert demo.process.stdout.read() == ""
        assert "Traceback" not in "".join(demo.said)


def test_nothing_stays_behind_a_kill_9(temporary: Path) -> None:
    with headless(temporary) as demo:
        demo.process.kill()
        demo.process.wait(5)
        demo.wait_gone()


def test_ctrl_c_while_the_servers_start_ends_with_130_and_leaves_nothing(temporary: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "console", "demo", "--headless"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as process:
        folder = until(lambda: list(temporary.glob("logq-*")), 20, "its folder")[0]
        family = until(lambda: descendants(process.pid), 10, "the guard")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=15)
    assert (process.returncode, output) == (130, "")
    assert "Traceback" not in errors
    until(lambda: not [pid for pid in family if alive(pid)], 10, "processes end")
    until(lambda: not folder.exists(), 10, "the folder is removed")


def test_without_a_terminal_it_waits_for_trouble_prints_the_page_and_ends(temporary: Path) -> None:
    kept = temporary / "kept"
    done = subprocess.run(
        [sys.executable, "-m", "console", "demo", "--keep", str(kept)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "TMPDIR": str(temporary)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    attention = [line for line in done.stdout.splitlines() if line.startswith("  ✖")]
    assert any("billing" in line and "stalled" in line for line in attention), done.stdout
    assert any("image-resize-jobs-dlq" in line and "dead letter" in line for line in attention), done.stdout
    assert any("orders.DLT" in line for line in attention), done.stdout
    assert "Traceback" not in done.stderr
    assert (kept / "story.log").exists()
    assert not list(temporary.glob("logq-*"))
    begun = [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(kept).encode() in p.read_bytes()]
    assert not begun


def test_on_a_terminal_the_console_opens_and_its_keys_steer_the_story(temporary: Path) -> None:
    with Terminal("demo", columns=120, lines=36, environment={"TMPDIR": str(temporary)}) as terminal:
        terminal.wait_for("starting Kafka", 20)
        terminal.wait_for("image-resize-jobs-dlq", 90)
        terminal.wait_for("billing", 30)
        family = descendants(terminal.pid)
        assert family
        terminal.press("B")
        terminal.wait_for("2026.47 is back", 15)
        terminal.press("F")
        terminal.wait_for("2026.48 goes out", 15)
        terminal.press("q")
        terminal.wait_exit(10)
        assert terminal.exit_code == 0
    assert b"Traceback" not in terminal.raw
    until(lambda: not [pid for pid in family if alive(pid)], 10, "processes end")
    until(lambda: not list(temporary.glob("logq-*")), 10, "the folder is removed")
