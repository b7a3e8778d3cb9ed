"""Profiles: strict keys, secrets from elsewhere, and options that only ever make a run safer."""

from pathlib import Path

import pytest

from console import config, config_file
from console.errors import NotFound, UsageError

GOOD = """
default_profile = "prod"
[profiles.prod]
read_only = true
production = true
[profiles.prod.kafka]
bootstrap = "b:9092"
password_command = "printf hunter2"
[profiles.prod.kafka.properties]
"security.protocol" = "SASL_SSL"
"sasl.username" = "${LOGQ_TEST_USER}"
"enable.ssl.certificate.verification" = true
[profiles.prod.sqs]
region = "eu-west-1"
[profiles.bare]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOGQ_TEST_USER", "ada")
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    return path


def test_a_profile_with_secrets_from_elsewhere(file: Path) -> None:
    settings = config_file.resolve(file)
    assert settings.kafka is not None and settings.sqs is not None
    assert settings.profile == "prod"
    assert settings.read_only and settings.production
    assert settings.kafka.properties == {
        "security.protocol": "SASL_SSL",
        "sasl.username": "ada",
        "enable.ssl.certificate.verification": "true",
        "sasl.password": "hunter2",
    }
    assert settings.sqs.region == "eu-west-1"
    assert "hunter2" not in str(config.redacted(settings))
    assert "ada" in str(config.redacted(settings))


def test_options_win_but_never_make_a_read_only_profile_writable(file: Path) -> None:
    settings = config.with_overrides(
        config_file.resolve(file),
        bootstrap="c:1",
        properties={"client.id": "x"},
        endpoint_url="http://127.0.0.1:1",
        timeout=3,
    )
    assert settings.kafka is not None and settings.sqs is not None
    assert settings.read_only
    assert settings.kafka.bootstrap == "c:1"
    assert settings.kafka.properties["client.id"] == "x"
    assert settings.kafka.properties["sasl.username"] == "ada"
    assert (settings.sqs.region, settings.sqs.endpoint_url) == ("eu-west-1", "http://127.0.0.1:1")
    assert settings.timeout == 3


def test_no_file_is_empty_settings(tmp_path: Path) -> None:
    settings = config_file.resolve(tmp_path / "none.toml")
    assert settings.kafka is None and settings.sqs is None
    with pytest.raises(UsageError, match="-b HOST:PORT"):
        config.with_overrides(settings, properties={"a": "b"})
    with pytest.raises(UsageError, match="does not exist"):
        config_file.resolve(tmp_path / "none.toml", required=True)


@pytest.mark.parametrize(
    ("content", "profile", "words"),
    [
        ("[profiles.a]\nred_only = true", "a", "red_only"),
        ("[profiles.a.kafka]\nbootstrap = 5", "a", "bootstrap"),
        ("[profiles.a", "a", "not valid TOML"),
        ('[profiles.a.kafka]\nbootstrap = "${LOGQ_TEST_MISSING}"', "a", "LOGQ_TEST_MISSING"),
        ('[profiles.a.kafka]\nbootstrap = "x:1"\npassword_command = "exit 3"', "a", "ended with 3"),
        ("profiles = 3", "a", "profiles"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: str, profile: str, words: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(content)
    with pytest.raises(UsageError, match=words):
        config_file.resolve(path, profile)


def test_an_unknown_profile_lists_those_there_are(file: Path) -> None:
    with pytest.raises(NotFound, match="bare, prod"):
        config_file.resolve(file, "stage")


def test_a_binary_or_unreadable_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot read"):
        config_file.resolve(path)
    with pytest.raises(UsageError, match="cannot read"):
        config_file.resolve(tmp_path)


def test_the_example_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_text(config_file.EXAMPLE)
    assert set(config_file.profile_names(path)) == {"local", "prod"}
    assert config_file.resolve(path, "local").kafka is not None


SEVERAL = """
[[profiles.two.sqs]]
name = "eu"
region = "eu-west-1"
queues = ["orders-*"]
tags = {team = "shop"}

[[profiles.two.sqs]]
region = "us-east-1"
cloudwatch_endpoint_url = "http://127.0.0.1:1"

[profiles.one.sqs]
name = "ignored-for-one"
region = "eu-west-1"
"""


def test_several_sqs_connections_have_names_and_one_has_none(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(SEVERAL)
    two = config_file.resolve(path, "two")
    assert [(one.name, one.region, one.queues) for one in two.sqs_all] == [
        ("eu", "eu-west-1", ("orders-*",)), ("us-east-1", "us-east-1", ()),
    ]  # fmt: skip
    assert two.sqs is two.sqs_all[0] and dict(two.sqs_all[0].tags) == {"team": "shop"}
    shown = config.redacted(two)["sqs"]
    assert [one["name"] for one in shown] == ["eu", "us-east-1"]
    one = config_file.resolve(path, "one")
    assert [found.name for found in one.sqs_all] == [""]  # its queues keep their plain names
    assert config.redacted(one)["sqs"]["region"] == "eu-west-1"


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ('[[profiles.p.sqs]]\nregion = "a"\n[[profiles.p.sqs]]\nregion = "a"\n', "called the same"),
        ('[[profiles.p.sqs]]\nregion = "a"\n[[profiles.p.sqs]]\n', "needs a name"),
        ('[[profiles.p.sqs]]\nname = "a/b"\n[[profiles.p.sqs]]\nname = "c"\n', "needs a name"),
        ('[[profiles.p.sqs]]\nregio = "a"\n', "regio"),
    ],
)
def test_connections_that_cannot_be_told_apart_are_an_error(tmp_path: Path, tables: str, says: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(tables)
    with pytest.raises(UsageError, match=says):
        config_file.resolve(path, "p")


def test_options_limit_every_connection_and_an_address_makes_one_of_several(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(SEVERAL)
    two = config_file.resolve(path, "two")
    limited = config.with_overrides(two, queues=("*-dlq",), queue_tags={"env": "prod"})
    assert [one.queues for one in limited.sqs_all] == [("*-dlq",)] * 2
    assert [dict(one.tags) for one in limited.sqs_all] == [{"team": "shop", "env": "prod"}, {"env": "prod"}]
    single = config.with_overrides(two, region="ap-south-1")
    assert [(one.name, one.region, one.queues) for one in single.sqs_all] == [("", "ap-south-1", ())]
    with pytest.raises(UsageError, match="no SQS side"):
        config.with_overrides(config.Settings(), queues=("x",))


def test_the_example_file_is_right(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(config_file.EXAMPLE)
    assert config_file.load(path).profiles.keys() == {"local", "prod"}
    table = config_file.load(path).profiles["prod"].sqs
    assert isinstance(table, list) and [one.name for one in table] == ["eu", "us"]
