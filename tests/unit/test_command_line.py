"""The printed command line leads to the same place as the call that printed it, and shows no secret."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from console.cli.group import reset_group
from console.cli.options import connection_options
from console.cli.run import Run
from console.config import KafkaSettings, Settings
from console.ops.command import command_line
from console.text import is_safe

CONFIG = """
default_profile = "prod"
[profiles.prod.kafka]
bootstrap = "prod:9092"
[profiles.prod.kafka.properties]
"sasl.username" = "me"
"sasl.password" = "hunter2"
[profiles.prod.sqs]
region = "eu-north-1"
"""


@pytest.fixture(autouse=True)
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A config file at the default place, and no address in the environment."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("LOGQ_BOOTSTRAP", "LOGQ_PROFILE", "LOGQ_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *a, **k: str(tmp_path / "default"))
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "config.toml").write_text(CONFIG)
    return path


def settings(*argv: str) -> Settings:
    """The settings that these options make."""
    import click

    run = Run()
    with click.Command("logq", params=list(connection_options())).make_context("logq", list(argv)) as context:
        for name, value in context.params.items():
            if value not in (None, False, {}, ()):
                run.gather(name, value)
    return run.settings


def again(line: str) -> Settings:
    """The settings of a printed line, pasted."""
    return settings(*shlex.split(line)[1:-3])


@pytest.mark.parametrize(
    "argv",
    [
        ["-p", "prod"],
        ["-p", "prod", "-b", "other:9092"],
        ["-p", "prod", "-X", "client.id=a b"],
        ["-p", "prod", "-b", "other:9092", "-X", "client.id=c", "-X", "security.protocol=SSL"],
        ["-p", "prod", "--region", "us-east-1"],
        ["-p", "prod", "--endpoint-url", "http://127.0.0.1:9"],
        ["-p", "prod", "--aws-profile", "work"],
        ["-b", "other:9092"],
        [],
    ],
)
def test_a_pasted_line_leads_where_the_call_was(argv: list[str]) -> None:
    first = settings(*argv)
    line = command_line(first, "group", "reset", "g")
    assert line.startswith("logq -p prod") and line.endswith("group reset g")
    second = again(line)
    assert (second.kafka, second.sqs) == (first.kafka, first.sqs)


def test_a_profile_alone_stays_short() -> None:
    assert command_line(settings("-p", "prod"), "group", "reset", "g") == "logq -p prod group reset g"


def test_the_config_file_is_named_wherever_it_was_given(monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    config.write_text(CONFIG.replace("prod:9092", "elsewhere:9092"))
    line = command_line(settings("--config", str(config), "-p", "prod"), "group", "reset", "g")
    assert line == f"logq --config {config} -p prod group reset g"
    monkeypatch.chdir(config.parent)
    assert command_line(settings("--config", "config.toml"), "group", "reset", "g") == line
    monkeypatch.setenv("LOGQ_CONFIG", str(config))
    assert command_line(settings(), "group", "reset", "g") == line


def test_an_address_of_the_environment_that_bends_the_default_profile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGQ_BOOTSTRAP", "env:9092")
    found = settings()
    assert found.kafka is not None and found.kafka.bootstrap == "env:9092"
    monkeypatch.delenv("LOGQ_BOOTSTRAP")
    assert again(command_line(found, "group", "reset", "g")).kafka == found.kafka


@pytest.mark.parametrize("profile", [["-p", "prod"], ["--config", "none.toml", "-b", "h:1"]])
def test_no_secret_is_printed(profile: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none.toml").touch()
    keys = ("sasl.password", "ssl.key.password", "sasl.jaas.config", "sasl.oauthbearer.client.secret", "ssl.key.pem")
    extra = [word for key in keys for word in ("-X", f"{key}=hunter3")]
    line = command_line(settings(*profile, *extra, "-X", "client.id=shown"), "group", "reset", "g")
    assert "hunter" not in line
    assert "-X client.id=shown" in line


HERE = Settings(kafka=KafkaSettings("h:1"))
NAMES = ["plain", "a b", "it's", "-g", "--execute", "a\\b\x07'", "not \udcff utf-8"]
NAMES += ["\x1b[31mred", "two\nlines", "tab\there", "\u202eback", "ü\u200bx"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_pasted_and_printed(name: str) -> None:
    line = command_line(HERE, "group", "reset", name, "--to-offset", "5", "--execute")
    assert is_safe(line) and "\n" not in line
    shell = ["bash", "-c", f"logq() {{ printf '%s\\0' \"$@\"; }}; {line}"]
    said = subprocess.run(shell, capture_output=True, check=True).stdout.decode("utf-8", "surrogateescape")
    words = said.split("\0")[:-1]
    assert words[:4] == ["-b", "h:1", "group", "reset"]
    with reset_group.make_context("reset", words[4:]) as context:
        found = context.params
    assert (found["group"], found["to_offset"], found["execute"]) == (name, "5", True)


def test_a_name_of_replay_stands_after_the_noun() -> None:
    line = command_line(HERE, "replay", "-a", "--to", "kafka:b")
    assert line == "logq -b h:1 replay --to kafka:b -- -a"
