"""Hostile text against a real terminal: the program runs under a pty on real brokers, and its raw bytes are read.

What Kafka and SQS accept decides what can be sent: a group's name, a key, a header and a value are any bytes; SQS
refuses most C0 controls in a body, but takes C1, bidi controls and markup.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from confluent_kafka import Producer
from terminal import Terminal

from console import brokers as servers
from console.config import KafkaSettings
from console.kafka import write
from console.kafka.client import KafkaClient

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

EVIL = (
    "EVIL\x1b]52;c;UFdORUQ=\x07\x1b[31mRED\x1b]0;TITLE\x07\x9b5mC1\u202egnp.exe\u200b"
    "[/foo][bold]M[/bold][@click=quit]x[/]"
)
EVIL_FOR_SQS = "EVIL\x9b31mC1\u202egnp.exe\u200b[/foo][bold]M[/bold][@click=quit]x[/]"
SHOWN_ESC = "EVIL␛]52;c;UFdORUQ=␇"
SHOWN_C1 = "EVIL\\x9b31mC1\\u202egnp.exe\\u200b[/foo]"

# Sequences that only the hostile text holds; the program's own colours and modes are not among them.
FORBIDDEN = (
    b"\x1b]52",
    b"\x1b]0;TITLE",
    b"\x1b[31mRED",
    "\x9b".encode(),
    "\u202e".encode(),
    "\u200b".encode(),
    b"\xff\xfeBROKEN",
)


@dataclass(frozen=True)
class Stage:
    """Where the hostile things are."""

    options: tuple[str, ...]
    group: str
    topic: str
    queue: str


@pytest.fixture(scope="module")
def stage(isolated: Path, unique: Callable[[str], str]) -> Iterator[Stage]:
    """Servers of this module's own: on the session's, a page has no room for what is looked for here."""
    with servers.start() as running:
        assert running.endpoint_url is not None
        yield from _set(running.bootstrap, running.endpoint_url, unique)


def _set(kafka: str, sqs_endpoint: str, unique: Callable[[str], str]) -> Iterator[Stage]:
    topic = unique("hostile") + ".DLT"
    settings = KafkaSettings(kafka)
    write.create_topics(settings, {topic: (1, 1, {})})
    producer = Producer({"bootstrap.servers": kafka})
    headers = [
        ("kafka_dlt-exception-fqcn", EVIL.encode()),
        ("kafka_dlt-exception-message", EVIL.encode()),
        ("trace" + EVIL, EVIL.encode()),
        ("binary", b"\xff\xfeBROKEN\x1b[31mRED"),
    ]
    values = (b'{"note": "' + b"x" * 300_000 + b'"}', b"\xff\xfeBROKEN" + EVIL.encode(), EVIL.encode())
    now = int(time.time() * 1000)
    for age, value in zip((3_000, 2_000, 1_000), values, strict=True):
        producer.produce(topic, value=value, key=EVIL.encode(), headers=headers, timestamp=now - age)
    producer.flush(10)
    group = unique("grp") + EVIL
    client = KafkaClient(settings)
    try:
        assert client.commit_offsets(group, {(topic, 0): 0}) == {(topic, 0): None}
    finally:
        client.close()

    sqs = boto3.client("sqs", endpoint_url=sqs_endpoint, region_name="eu-west-1")
    queue = unique("hostile") + "-dlq"
    url = sqs.create_queue(QueueName=queue)["QueueUrl"]
    attribute = {"error": {"DataType": "String", "StringValue": EVIL_FOR_SQS}}
    for body in ("y" * 200_000, '{"error": "' + EVIL_FOR_SQS + '"}', EVIL_FOR_SQS):
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attribute)
    yield Stage(("-b", kafka, "--endpoint-url", sqs_endpoint, "--region", "eu-west-1"), group, topic, queue)
    sqs.delete_queue(QueueUrl=url)


def assert_clean(terminal: Terminal) -> None:
    found = [bad for bad in FORBIDDEN if bad in terminal.raw]
    assert not found, f"reached the terminal: {found}"
    # A bell, or any operating system command but the pointer shape that Textual itself sets.
    assert not re.findall(rb"\x1b\](?!22;)[^\x1b]{0,20}", bytes(terminal.raw))
    assert b"Traceback" not in terminal.raw


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (160, 50)])
def test_screens(stage: Stage, columns: int, lines: int, tmp_path: Path) -> None:
    with Terminal(*stage.options, columns=columns, lines=lines) as terminal:
        terminal.wait_for(lambda seen: "EVIL␛]52" in seen and "dead letters" in seen)
        terminal.press("/", *"EVIL", "enter")
        terminal.wait_for("EVIL␛]52")
        terminal.press("esc")
        # A Kafka dead-letter topic: clusters, messages, one message whole with its headers.
        terminal.press(":", *f"dlq kafka:{stage.topic}", "enter")
        terminal.wait_for(lambda seen: "failures" in seen and "EVIL␛]52" in seen)
        terminal.wait_for(lambda seen: "0:2" in seen)
        terminal.press("tab")
        terminal.read(0.5)
        terminal.press("enter")
        terminal.wait_for("/0/2")
        terminal.press("G")
        terminal.wait_for("traceEVIL␛]52")
        terminal.press("esc", "esc")
        terminal.wait_for(lambda seen: "failures" not in seen)
        # An SQS dead-letter queue, and the same queue as messages.
        terminal.press(":", *f"dlq sqs:{stage.queue}", "enter")
        terminal.wait_for(lambda seen: "failures" in seen and "EVIL\\x9b" in seen)
        terminal.press("tab")
        terminal.read(0.5)
        terminal.press("enter")
        terminal.wait_for(lambda seen: "ApproximateReceiveCount" in seen and "EVIL\\x9b" in seen)
        terminal.press("?")
        terminal.read(1)
        terminal.press("esc", "ctrl+c")
        terminal.wait_exit()
        assert terminal.exit_code == 0
    assert_clean(terminal)


def commands(stage: Stage) -> dict[str, tuple[list[str], str]]:
    """Each command that prints text from elsewhere, and what of it a person must see."""
    return {
        "group list": (["group", "list"], SHOWN_ESC),
        "group show": (["group", "show", stage.group], SHOWN_ESC),
        "group show of an unknown name": (["group", "show", "no" + EVIL], SHOWN_ESC),
        "group reset": (["group", "reset", stage.group, "--to-latest"], SHOWN_ESC),
        "status": (["status"], SHOWN_ESC),
        "dlq show of a topic": (["dlq", "show", f"kafka:{stage.topic}"], "EVIL␛]52"),
        "topic browse": (["topic", "browse", stage.topic, "--last", "3"], "EVIL␛]52"),
        "dlq show of a queue": (["dlq", "show", f"sqs:{stage.queue}"], SHOWN_C1),
        "queue peek": (["queue", "peek", stage.queue], SHOWN_C1),
        "a mistyped command": (["stat" + EVIL], "\\x1b]52"),
        "a bad time": (["group", "reset", stage.group, "--to-datetime", EVIL], "\\x1b]52"),
    }


@pytest.mark.parametrize("what", list(commands(Stage((), "", "", ""))))
def test_tables(stage: Stage, what: str) -> None:
    arguments, shown = commands(stage)[what]
    with Terminal(*arguments, *stage.options, columns=400, lines=60) as terminal:
        terminal.wait_exit(60)
        terminal.read(0.2)
        assert shown in terminal.screen(), terminal.screen()
    assert_clean(terminal)


def test_json_is_raw_but_escaped(stage: Stage) -> None:
    with Terminal("group", "list", "-o", "json", *stage.options, columns=400, lines=60) as terminal:
        terminal.wait_exit(60)
        terminal.read(0.2)
    assert b"\\u001b]52" in terminal.raw
    assert b"\x1b]52" not in terminal.raw
    assert os.fsencode("\x9b") not in terminal.raw
