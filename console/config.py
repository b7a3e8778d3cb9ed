"""Profiles: where to connect and what is allowed there, from a strict TOML file, the environment and options.

The file (`logq config path`) holds `[profiles.NAME]` tables. A misspelt key is an error, never ignored. `${NAME}` in a
string is replaced from the environment; `password_command` runs a command whose standard output is the secret, so that
passwords need not lie in a file.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

from console.errors import NotFound, UsageError

DEFAULT_TIMEOUT = 10.0
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CONNECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SECRET = re.compile(r"password|secret|token|\.key$|key\.pem|private", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to reach a Kafka cluster. `properties` keep librdkafka's names (`security.protocol`, `sasl.username`, …)."""

    bootstrap: str
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SqsSettings:
    """How to reach SQS; what is None comes from boto3's own chain (environment, shared files, instance role).

    `name` is set where a profile has several connections: their queues are called `NAME/QUEUE`. `queues` (shell
    patterns), `name_prefix` and `tags` limit which queues are listed.
    """

    region: str | None = None
    aws_profile: str | None = None
    endpoint_url: str | None = None
    name_prefix: str | None = None
    name: str = ""
    queues: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    cloudwatch_endpoint_url: str | None = None

    @property
    def place(self) -> str:
        """Where it is, for people: its name, address or region; "" when boto3's chain decides."""
        return self.name or self.endpoint_url or self.region or ""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything one run of logq needs to know about where it is and what it may do. Times are seconds."""

    profile: str | None = None
    kafka: KafkaSettings | None = None
    sqs: SqsSettings | None = None
    sqs_more: tuple[SqsSettings, ...] = ()
    read_only: bool = False
    production: bool = False
    timeout: float = DEFAULT_TIMEOUT
    stall_seconds: float = 30.0
    dead_letter_topics: tuple[str, ...] = ()
    theme: str | None = None
    state_dir: Path = field(default_factory=lambda: default_state_dir())

    @property
    def sqs_all(self) -> tuple[SqsSettings, ...]:
        """Every connection to SQS: accounts and regions side by side."""
        return (self.sqs, *self.sqs_more) if self.sqs is not None else ()

    @property
    def label(self) -> str:
        """What the screen calls this place: the profile's name or the addresses."""
        if self.profile:
            return self.profile
        return self.kafka.bootstrap.split(",")[0] if self.kafka else "local"


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


def default_config_path() -> Path:
    """Where the config file is looked for: `LOGQ_CONFIG`, else the platform's config folder, `logq/config.toml`."""
    given = os.environ.get("LOGQ_CONFIG")
    return Path(given) if given else Path(platformdirs.user_config_dir("logq", appauthor=False)) / "config.toml"


def default_state_dir() -> Path:
    """Where the journal and spools live: `LOGQ_STATE_DIR`, else the platform's state folder."""
    given = os.environ.get("LOGQ_STATE_DIR")
    return Path(given) if given else Path(platformdirs.user_state_dir("logq", appauthor=False))


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


def with_overrides(
    settings: Settings,
    *,
    bootstrap: str | None = None,
    properties: Mapping[str, str] | None = None,
    region: str | None = None,
    aws_profile: str | None = None,
    endpoint_url: str | None = None,
    queues: Sequence[str] = (),
    queue_tags: Mapping[str, str] | None = None,
    read_only: bool = False,
    timeout: float | None = None,
) -> Settings:
    """Settings with a command's options on top; an SQS option alone is enough to have an SQS side.

    Of a profile with several SQS connections an address makes one again: that one. `queues` and `queue_tags` limit what
    every connection lists.

    `read_only` only ever adds: an option cannot make a read-only profile writable. Raises `UsageError` when `-X` is
    given without any Kafka side.
    """
    kafka = settings.kafka
    if bootstrap:
        kafka = KafkaSettings(bootstrap, kafka.properties if kafka else {})
    if properties:
        if kafka is None:
            raise UsageError("-X sets a Kafka property, but there is no Kafka side: add -b HOST:PORT or a profile")
        kafka = replace(kafka, properties={**kafka.properties, **properties})
    sqs, more = settings.sqs, settings.sqs_more
    if region or aws_profile or endpoint_url:
        base = sqs if sqs is not None and not more else SqsSettings()
        more = ()
        sqs = replace(
            base,
            region=region or base.region,
            aws_profile=aws_profile or base.aws_profile,
            endpoint_url=endpoint_url or base.endpoint_url,
        )
    if queues or queue_tags:
        if sqs is None:
            raise UsageError("--queues and --queue-tag limit SQS queues, but there is no SQS side: add --region NAME")
        sqs, *others = (
            replace(one, queues=tuple(queues) or one.queues, tags={**one.tags, **(queue_tags or {})})
            for one in (sqs, *more)
        )
        more = tuple(others)
    return replace(
        settings,
        kafka=kafka,
        sqs=sqs,
        sqs_more=more,
        read_only=settings.read_only or read_only,
        timeout=timeout if timeout is not None else settings.timeout,
    )


def redacted(settings: Settings) -> dict[str, Any]:
    """The settings as plain values to print: secrets are `"(hidden)"`."""
    kafka = settings.kafka and {
        "bootstrap": settings.kafka.bootstrap,
        "properties": {k: "(hidden)" if _SECRET.search(k) else v for k, v in sorted(settings.kafka.properties.items())},
    }
    sqs = [
        {
            **({"name": one.name} if one.name else {}),
            "region": one.region,
            "aws_profile": one.aws_profile,
            "endpoint_url": one.endpoint_url,
            "name_prefix": one.name_prefix,
            "queues": list(one.queues),
            "tags": dict(one.tags),
            "cloudwatch_endpoint_url": one.cloudwatch_endpoint_url,
        }
        for one in settings.sqs_all
    ]
    return {
        "profile": settings.profile,
        "kafka": kafka,
        "sqs": None if not sqs else sqs[0] if len(sqs) == 1 else sqs,
        "read_only": settings.read_only,
        "production": settings.production,
        "stall_seconds": settings.stall_seconds,
        "dead_letter_topics": list(settings.dead_letter_topics),
        "timeout": settings.timeout,
        "state_dir": str(settings.state_dir),
    }


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
