"""The real program under a pty while its servers freeze, die and come back: it stays, says so, and quits at once."""

from __future__ import annotations

import re
from collections.abc import Iterator

import boto3
import pytest
from terminal import Terminal

from console import brokers as servers
from console.brokers import Brokers
from console.config import KafkaSettings
from console.kafka import write
from console.kafka.client import KafkaClient

pytestmark = [pytest.mark.broker, pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.fixture
def own() -> Iterator[Brokers]:
    """Servers of this test's own, with a group and a queue to look at: it is going to end them."""
    with servers.start() as running:
        settings = KafkaSettings(running.bootstrap)
        write.create_topics(settings, {"orders": (2, 1, {})})
        client = KafkaClient(settings)
        client.commit_offsets("billing", {("orders", 0): 0, ("orders", 1): 0})
        client.close()
        sqs = boto3.client("sqs", endpoint_url=running.endpoint_url, region_name="eu-west-1")
        sqs.create_queue(QueueName="invoices")
        yield running


def options(running: Brokers) -> tuple[str, ...]:
    assert running.endpoint_url is not None
    return ("-b", running.bootstrap, "--endpoint-url", running.endpoint_url, "--region", running.region)


def both_sides(seen: str) -> bool:
    return "billing" in seen and "invoices" in seen


def both_gone(seen: str) -> bool:
    return "cannot reach Kafka" in seen and "cannot list queues" in seen


def test_frozen_and_thawed(own: Brokers) -> None:
    assert own.sqs is not None
    with Terminal(*options(own), columns=160, lines=50) as terminal:
        terminal.wait_for(both_sides)
        own.kafka.freeze(1)
        own.sqs.freeze()
        seen = terminal.wait_for(lambda s: both_gone(s) and both_sides(s), 60)  # the picture stays
        assert re.search(r"\d+(\.\d+)? ?s (ago|old)", seen), seen
        own.kafka.thaw(1)
        own.sqs.thaw()
        terminal.wait_for(lambda s: "cannot reach" not in s and "cannot list" not in s and both_sides(s), 60)
        own.kafka.freeze(1)
        own.sqs.freeze()
        terminal.read(3)
        terminal.press("q")
        assert terminal.wait_exit() < 1.0
        assert terminal.exit_code == 0
        own.kafka.thaw(1)
        own.sqs.thaw()
    assert b"Traceback" not in terminal.raw


def test_killed_while_it_runs(own: Brokers) -> None:
    assert own.sqs is not None
    with Terminal(*options(own), columns=120, lines=36) as terminal:
        terminal.wait_for(both_sides)
        own.kafka.kill(1)
        own.sqs.kill()
        terminal.wait_for(lambda s: both_gone(s) and both_sides(s), 60)
        own.kafka.restart(1)
        terminal.press("ctrl+r")
        terminal.wait_for(lambda s: "kafka 1/1 ●" in s, 60)
        own.kafka.kill(1)
        terminal.read(4)
        terminal.press("q")
        assert terminal.wait_exit() < 1.0
        assert terminal.exit_code == 0
    assert b"Traceback" not in terminal.raw


def test_nothing_there_at_all(closed_port: int) -> None:
    dead = f"127.0.0.1:{closed_port}"
    with Terminal("-b", dead, "--endpoint-url", f"http://{dead}", "--region", "eu-west-1") as terminal:
        seen = terminal.wait_for(lambda s: "refused" in s, 40)
        assert dead in seen
        terminal.press("q")
        assert terminal.wait_exit() < 1.0
        assert terminal.exit_code == 0
    assert b"Traceback" not in terminal.raw
