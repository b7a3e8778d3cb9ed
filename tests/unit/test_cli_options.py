"""Options mean the same before the noun and after the verb; addresses come from where the contract says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from console.cli import main

ADDRESSES = (
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"),
    *("LOGQ_BOOTSTRAP", "LOGQ_PROFILE", "LOGQ_READ_ONLY", "NO_COLOR"),
)

CONFIG = """
[profiles.prod]
read_only = true
production = true
[profiles.prod.kafka]
bootstrap = "prod:9092"
[profiles.prod.kafka.properties]
"sasl.username" = "me"
"sasl.password" = "hunter2"

[profiles.both.kafka]
bootstrap = "both:9092"
[profiles.both.sqs]
region = "eu-north-1"
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No address in the environment, and a config file with two profiles."""
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    monkeypatch.setenv("LOGQ_CONFIG", str(path))
    monkeypatch.setenv("LOGQ_STATE_DIR", str(tmp_path / "state"))
    return path


def settings(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main([*argv]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["settings"]
    return found


@pytest.mark.parametrize(
    "options",
    [
        ["-b", "h:1"],
        ["-p", "both"],
        ["--region", "eu-west-1", "--endpoint-url", "http://127.0.0.1:9"],
        ["-b", "h:1", "-X", "security.protocol=SSL", "-X", "client.id=a=b"],
        ["--read-only", "--timeout", "3"],
    ],
)
def test_before_the_noun_at_the_noun_and_after_the_verb_mean_the_same(
    capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    before = settings(capsys, *options, "-o", "json", "config", "show")
    between = settings(capsys, "config", *options, "-o", "json", "show")
    after = settings(capsys, "config", "show", *options, "-o", "json")
    assert before == between == after


def test_after_the_verb_wins_and_properties_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    found = settings(
        capsys,
        *("-b", "first:1", "-X", "client.id=one", "-X", "acks=all", "--timeout", "3"),
        *("config", "show", "-b", "second:2", "-X", "client.id=two", "-o", "json"),
    )
    assert found["kafka"] == {"bootstrap": "second:2", "properties": {"client.id": "two", "acks": "all"}}
    assert found["timeout"] == 3


def test_environment_names_both_sides(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGQ_BOOTSTRAP", "env:9092")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:4")
    found = settings(capsys, "config", "show", "-o", "json")
    assert found["kafka"]["bootstrap"] == "env:9092"
    assert found["sqs"]["region"] == "eu-west-3"
    assert found["sqs"]["endpoint_url"] == "http://127.0.0.1:4"


def test_a_named_profile_is_not_bent_by_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGQ_BOOTSTRAP", "env:9092")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert settings(capsys, "-p", "both", "config", "show", "-o", "json")["kafka"]["bootstrap"] == "both:9092"
    assert settings(capsys, "-p", "both", "config", "show", "-o", "json")["sqs"]["region"] == "eu-north-1"
    assert settings(capsys, "-p", "prod", "config", "show", "-o", "json")["sqs"] is None
    monkeypatch.setenv("LOGQ_PROFILE", "both")
    assert settings(capsys, "config", "show", "-o", "json")["profile"] == "both"


@pytest.mark.parametrize(
    ("value", "read_only"), [("1", True), ("yes", True), ("flase", True), ("0", False), ("", False)]
)
def test_read_only_from_the_environment_errs_on_the_safe_side(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: str, read_only: bool
) -> None:
    monkeypatch.setenv("LOGQ_READ_ONLY", value)
    assert settings(capsys, "config", "show", "-o", "json")["read_only"] is read_only


def test_an_option_cannot_make_a_read_only_profile_writable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGQ_READ_ONLY", "0")
    assert settings(capsys, "-p", "prod", "config", "show", "-o", "json")["read_only"] is True


@pytest.mark.parametrize("output", ["table", "json", "jsonl", "csv"])
def test_config_show_prints_no_secret(capsys: pytest.CaptureFixture[str], output: str) -> None:
    assert main(["-p", "prod", "config", "show", "-o", output]) == 0
    out = capsys.readouterr().out
    assert "hunter2" not in out
    assert "me" in out


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["group", "list"], 2, "logq demo"),
        (["status"], 2, "-b HOST:PORT"),
        (["queue", "list", "-b", "127.0.0.1:1"], 2, "--region"),
        (["group", "list", "--region", "eu-west-1"], 2, "-b HOST:PORT"),
        (["-p", "nosuch", "status"], 2, "nosuch"),
        (["--config", "/nowhere/at/all.toml", "status"], 2, "logq config init"),
        (["-X", "acks", "status"], 2, "KEY=VALUE"),
        (["-X", "acks=all", "status"], 2, "no Kafka side"),
        (["-o", "xml", "status"], 2, "xml"),
        (["--timeout", "0", "status"], 2, "timeout"),
        (["grup", "list"], 2, "'group'"),
        (["group", "lst"], 2, "'list'"),
        (["stauts"], 2, "'status'"),
        (["group", "show"], 2, "GROUP"),
        (["group", "reset", "g"], 2, "--to-earliest"),
        (["group", "reset", "g", "--to-earliest", "--to-latest"], 2, "one way"),
        (["group", "reset", "g", "--to-datetime", "tomorrow"], 2, "2026-11-23T14:22:07Z"),
        (["group", "reset", "g", "--to-datetime", "2026-02-30"], 2, "2026-11-23T14:22:07Z"),
        (["group", "reset", "g", "--by-duration", "P1Y"], 2, "PT1H30M"),
        (["group", "reset", "g", "--to-offset", "-1"], 2, "--to-offset"),
        (["group", "reset", "g", "--shift-by", "x"], 2, "whole number"),
        (["group", "reset", "g", "--from-file", "/nowhere.csv"], 2, "/nowhere.csv"),
        (["group", "reset", "g", "--to-latest", "--topic", "orders:x"], 2, "orders:0,3"),
        (["-p", "prod", "group", "reset", "g", "--to-latest", "--execute", "--yes"], 3, "read-only"),
        (["-b", "h:1", "group", "reset", "g", "--to-latest", "--execute"], 3, "--yes"),
        (["-b", "h:1", "--read-only", "group", "reset", "g", "--to-latest", "--execute", "--yes"], 3, "read-only"),
        ([], 2, "terminal"),
    ],
)
def test_wrong_usage_is_one_helpful_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], code: int, says: str
) -> None:
    assert main(argv) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("logq: ")
    assert captured.err.count("\n") == 1
    assert says in captured.err


def test_a_misspelt_key_in_the_file_is_one_line(capsys: pytest.CaptureFixture[str], clean: Path) -> None:
    clean.write_text("[profiles.x]\nread_olny = true\n")
    assert main(["config", "check"]) == 2
    err = capsys.readouterr().err
    assert "read_olny" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("kafka", "says"),
    [
        ('bootstrap = "127.0.0.1"', "port"),
        ('bootstrap = "h:1"\nproperties = {"security.protocol" = "PLAINTXT"}', "security.protocol"),
        ('bootstrap = "h:1"\nproperties = {"nonsense" = "1"}', "nonsense"),
    ],
)
def test_a_profile_is_not_right_that_every_command_refuses(
    capsys: pytest.CaptureFixture[str], clean: Path, kafka: str, says: str
) -> None:
    clean.write_text(f"[profiles.bad.kafka]\n{kafka}\n")
    assert main(["-p", "bad", "config", "check"]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""


def test_hostile_arguments_reach_the_terminal_made_safe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["\x1b]52;c;aGk=\x07", "list"]) == 2
    assert main(["-p", "\x1b[2J\u202e", "status"]) == 2
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\x07" not in err
    assert "\u202e" not in err


def test_config_init_writes_once_for_its_owner_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "config.toml"
    monkeypatch.setenv("LOGQ_CONFIG", str(path))
    assert main(["config", "init"]) == 0
    assert path.stat().st_mode & 0o077 == 0
    before = path.read_text()
    assert main(["config", "check"]) == 0
    assert main(["config", "init"]) == 3
    assert path.read_text() == before
    assert "left as it is" not in before


def test_a_bug_is_one_line_and_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The only way to see this path is to break something: here the settings."""
    from console.cli.run import Run

    def broken(self: Run) -> None:
        raise ZeroDivisionError("by \x1b[31mdesign")

    monkeypatch.setattr(Run, "connected_settings", broken)
    monkeypatch.delenv("LOGQ_DEBUG", raising=False)
    assert main(["-b", "h:1", "status"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "bug in logq" in err
    assert "\x1b" not in err
    assert "Traceback" not in err
    monkeypatch.setenv("LOGQ_DEBUG", "1")
    assert main(["-b", "h:1", "status"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["-b", "127.0.0.1", "status"], "has no port"),
        (["-b", "127.0.0.1:1", "-X", "securty.protocol=SSL", "status"], "did you mean security.protocol"),
    ],
)
def test_an_address_that_makes_no_sense_is_wrong_usage_not_a_silent_side(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err and captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("--help >&-", 1, "cannot write the output"),
        ("config path >&-", 1, "cannot write the output"),
        ("group reset g --to-earliest -b 127.0.0.1:1 --execute <&-", 3, "no terminal to confirm at"),
        ("group reset g --from-file - -b 127.0.0.1:1 <&-", 2, "the file names no offsets"),
        ("config path 2>&-", 0, ""),
        ("nothing <&- >&- 2>&-", 2, ""),
    ],
)
def test_a_closed_stream_is_no_bug(line: str, code: int, says: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m console {line}', sys.executable], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "bug in logq" not in done.stderr
    assert says in done.stderr


@pytest.mark.parametrize("number", ["nan", "NaN", "-nan", "inf"])
@pytest.mark.parametrize(
    "argv",
    [
        ["config", "show", "--timeout"],
        ["group", "show", "g", "--over"],
        ["status", "--over"],
        ["replay", "a", "--to", "b", "--rate"],
        ["dlq", "redrive", "a", "--rate"],
    ],
)
def test_what_is_not_a_finite_number_is_wrong_usage(
    argv: list[str], number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-b", "127.0.0.1:1", *argv, number]) == 2
    assert argv[-1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "variable", "says"),
    [
        (["-p", "both", "--read-only"], "", "read-only, by --read-only; leave that out"),
        (["-p", "both"], "1", "read-only, by LOGQ_READ_ONLY; leave that out"),
        (["-b", "h:1", "--read-only"], "1", "read-only, by --read-only and LOGQ_READ_ONLY; leave that out"),
        (["-p", "prod"], "", "profile 'prod' is read-only; use a writable profile"),
        (["-p", "prod", "--read-only"], "1", "profile 'prod' is read-only; use a writable profile"),
    ],
)
def test_what_made_the_run_read_only_is_named(
    argv: list[str], variable: str, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGQ_READ_ONLY", variable)
    assert main([*argv, "group", "reset", "g", "--to-latest", "--execute", "--yes"]) == 3
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["topic", "show"], ["group", "show"], ["topic", "browse"]])
def test_a_name_that_is_not_utf8_is_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-b", "127.0.0.1:1", *argv, "g\udcff"]) == 2
    err = capsys.readouterr().err
    assert "names in Kafka are UTF-8" in err and "g\\xff" in err
