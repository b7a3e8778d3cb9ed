"""The config file: profiles in a strict TOML file, with secrets kept out of it.

The file (`logq config path`) holds `[profiles.NAME]` tables. A misspelt key is an error, never ignored. `${NAME}` in a
string is replaced from the environment; `password_command` runs a command whose standard output is the secret, so that
passwords need not lie in a file.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import msgspec
from msgspec.structs import replace

from console.config import KafkaSettings, Settings, SqsSettings
from console.errors import NotFound, UsageError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CONNECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class _KafkaTable(msgspec.Struct, forbid_unknown_fields=True):
    bootstrap: str
    properties: dict[str, str | int | float | bool] = {}
    password_command: str | None = None


class _SqsTable(msgspec.Struct, forbid_unknown_fields=True):
    region: str | None = None
    aws_profile: str | None = None
    endpoint_url: str | None = None
    name_prefix: str | None = None
    name: str | None = None
    queues: list[str] = []
    tags: dict[str, str] = {}
    cloudwatch_endpoint_url: str | None = None


class _ProfileTable(msgspec.Struct, forbid_unknown_fields=True):
    kafka: _KafkaTable | None = None
    sqs: _SqsTable | list[_SqsTable] | None = None
    read_only: bool = False
    production: bool = False
    stall_seconds: float = 30.0
    dead_letter_topics: list[str] = []
    theme: str | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    default_profile: str | None = None
    theme: str | None = None
    profiles: dict[str, _ProfileTable] = {}


def load(path: Path) -> _File:
    """The file's tables, checked. A missing file is an empty one.

    Raises `UsageError` naming the file and what is wrong: not TOML, an unknown key, a wrong type, unreadable.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return _File()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the config file {path}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the config file {path} is not valid TOML: {error}") from None
    try:
        return msgspec.convert(raw, _File)
    except msgspec.ValidationError as error:
        raise UsageError(f"the config file {path} is wrong: {error} (logq config init shows every key)") from None


def profile_names(path: Path) -> tuple[str, ...]:
    """The names of the profiles in the file, sorted. Raises `UsageError` as `load`."""
    return tuple(sorted(load(path).profiles))


def resolve(path: Path, profile: str | None = None, required: bool = False) -> Settings:
    """The settings of a profile of the file (its `default_profile` when none is named; none at all: empty settings).

    `${NAME}` is replaced and `*_command` is run here. `required` makes a missing file an error.
    Raises `NotFound` for an unknown profile, `UsageError` for a wrong file, variable or command.
    """
    if required and not path.exists():
        raise UsageError(f"the config file {path} does not exist; logq config init writes one")
    tables = load(path)
    name = profile or tables.default_profile
    if name is None:
        return Settings(theme=tables.theme)
    table = tables.profiles.get(name)
    if table is None:
        known = ", ".join(sorted(tables.profiles)) or "none"
        raise NotFound(f"no profile {name!r} in {path}; it has: {known}")
    settings = Settings(
        profile=name,
        read_only=table.read_only,
        production=table.production,
        stall_seconds=table.stall_seconds,
        dead_letter_topics=tuple(table.dead_letter_topics),
        theme=table.theme or tables.theme,
    )
    if table.kafka:
        properties = {key: _expand(_as_property(value), name) for key, value in table.kafka.properties.items()}
        if table.kafka.password_command:
            properties["sasl.password"] = _run_secret(table.kafka.password_command, name)
        settings = replace(settings, kafka=KafkaSettings(_expand(table.kafka.bootstrap, name), properties))
    if table.sqs:
        tables_of = table.sqs if isinstance(table.sqs, list) else [table.sqs]
        several = len(tables_of) > 1
        found = tuple(_sqs_settings(one, name, several) for one in tables_of)
        if several and len({one.name for one in found}) < len(found):
            raise UsageError(
                f"profile {name!r}: two of its SQS connections are called the same "
                f"({', '.join(one.name for one in found)}); give each a name of its own"
            )
        settings = replace(settings, sqs=found[0], sqs_more=found[1:])
    return settings


def _sqs_settings(table: _SqsTable, profile: str, several: bool) -> SqsSettings:
    """One connection; among several it needs a name, which its AWS profile or region can be."""

    def text(value: str | None) -> str | None:
        return None if value is None else _expand(value, profile)

    name = text(table.name) or text(table.aws_profile) or text(table.region) or ""
    if several and not _CONNECTION.fullmatch(name):
        raise UsageError(
            f"profile {profile!r}: an SQS connection among several needs a name of letters, digits, '-', '_' and '.', "
            f"not {name!r}: it stands before its queues, NAME/QUEUE"
        )
    return SqsSettings(
        region=text(table.region),
        aws_profile=text(table.aws_profile),
        endpoint_url=text(table.endpoint_url),
        name_prefix=text(table.name_prefix),
        name=name if several else "",
        queues=tuple(_expand(pattern, profile) for pattern in table.queues),
        tags={key: _expand(value, profile) for key, value in table.tags.items()},
        cloudwatch_endpoint_url=text(table.cloudwatch_endpoint_url),
    )


def _as_property(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _expand(value: str, profile: str) -> str:
    def from_environment(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise UsageError(f"profile {profile!r} uses ${{{match[1]}}}, but that environment variable is not set")
        return found

    return _VARIABLE.sub(from_environment, value)


def _run_secret(command: str, profile: str) -> str:
    import subprocess

    try:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        raise UsageError(f"profile {profile!r}: its password_command gave no answer in 30 s") from None
    if done.returncode != 0:
        raise UsageError(f"profile {profile!r}: its password_command ended with {done.returncode}")
    return done.stdout.rstrip("\n")


EXAMPLE = """\
# logq: where to connect. Every key that exists is shown here; a misspelt one is an error.
# default_profile = "local"
# theme = "logq-dark"                  # or "logq-light"

[profiles.local.kafka]
bootstrap = "127.0.0.1:9092"

[profiles.local.sqs]
region = "eu-west-1"
# endpoint_url = "http://127.0.0.1:9324"
# aws_profile = "work"                 # boto3's own credential chain otherwise
# name_prefix = "orders-"              # list only queues that start so
# queues = ["orders-*", "*-dlq"]        # or only those that fit one of these patterns
# tags = {team = "shop"}               # and only those with these tags
# cloudwatch_endpoint_url = "http://127.0.0.1:4566"   # for the age of the oldest message, beside an endpoint_url

[profiles.prod]
read_only = true                       # nothing that changes anything is offered
production = true                      # changes ask for the target's name typed out
stall_seconds = 60
dead_letter_topics = ["*.parked"]      # beside *.DLT, *-dlq, *.dlq, dlq.*, *-dead-letter*

[profiles.prod.kafka]
bootstrap = "b-1.example:9096,b-2.example:9096"
password_command = "pass show kafka/prod"   # its output becomes sasl.password

[[profiles.prod.sqs]]                  # several accounts and regions: queues are then called eu/NAME and us/NAME
name = "eu"
region = "eu-west-1"
aws_profile = "shop-prod"

[[profiles.prod.sqs]]
name = "us"
region = "us-east-1"
aws_profile = "shop-prod"

[profiles.prod.kafka.properties]       # librdkafka's names
"security.protocol" = "SASL_SSL"
"sasl.mechanisms" = "SCRAM-SHA-512"
"sasl.username" = "${KAFKA_USER}"
"""
"""What `logq config init` writes."""
