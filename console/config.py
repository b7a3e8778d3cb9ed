"""Settings: where to connect and what is allowed there, and a command's options on top of a profile's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import platformdirs
from msgspec import Struct, field
from msgspec.structs import replace

from console.errors import UsageError

DEFAULT_TIMEOUT = 10.0
_SECRET = re.compile(r"password|secret|token|\.key$|key\.pem|private|jaas|credentials", re.IGNORECASE)


class KafkaSettings(Struct, frozen=True):
    """How to reach a Kafka cluster. `properties` keep librdkafka's names (`security.protocol`, `sasl.username`, …)."""

    bootstrap: str
    properties: Mapping[str, str] = {}


class SqsSettings(Struct, frozen=True):
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
    tags: Mapping[str, str] = {}
    cloudwatch_endpoint_url: str | None = None

    @property
    def place(self) -> str:
        """Where it is, for people: its name, address or region; "" when boto3's chain decides."""
        return self.name or self.endpoint_url or self.region or ""


class Given(Struct, frozen=True):
    """What a call said beside its profile: the profile alone would lead elsewhere. `properties` hold no secrets.

    `read_only_by` names what made the run read-only where the profile alone would not.
    """

    config_file: Path | None = None
    bootstrap: str | None = None
    properties: Mapping[str, str] = {}
    region: str | None = None
    aws_profile: str | None = None
    endpoint_url: str | None = None
    read_only_by: str = ""


class Settings(Struct, frozen=True):
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
    given: Given = Given()
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


def default_config_path() -> Path:
    """Where the config file is looked for: `LOGQ_CONFIG`, else the platform's config folder, `logq/config.toml`."""
    given = os.environ.get("LOGQ_CONFIG")
    return Path(given) if given else Path(platformdirs.user_config_dir("logq", appauthor=False)) / "config.toml"


def default_state_dir() -> Path:
    """Where the journal and spools live: `LOGQ_STATE_DIR`, else the platform's state folder."""
    given = os.environ.get("LOGQ_STATE_DIR")
    return Path(given) if given else Path(platformdirs.user_state_dir("logq", appauthor=False))


def is_secret(key: str) -> bool:
    """Whether a property of that name holds a secret, which is never printed."""
    return _SECRET.search(key) is not None


def with_overrides(
    settings: Settings,
    *,
    config_file: Path | None = None,
    bootstrap: str | None = None,
    properties: Mapping[str, str] | None = None,
    region: str | None = None,
    aws_profile: str | None = None,
    endpoint_url: str | None = None,
    queues: Sequence[str] = (),
    queue_tags: Mapping[str, str] | None = None,
    read_only: bool = False,
    read_only_by: str = "",
    timeout: float | None = None,
) -> Settings:
    """Settings with a command's options on top; an SQS option alone is enough to have an SQS side.

    Of a profile with several SQS connections an address makes one again: that one. `queues` and `queue_tags` limit what
    every connection lists. `config_file` is where the profile came from, when that is not the default place.

    `read_only` only ever adds: an option cannot make a read-only profile writable; `read_only_by` names what asked for
    it. Raises `UsageError` when `-X` is given without any Kafka side.
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
        given=Given(
            config_file=config_file,
            bootstrap=bootstrap,
            properties={key: value for key, value in (properties or {}).items() if not is_secret(key)},
            region=region,
            aws_profile=aws_profile,
            endpoint_url=endpoint_url,
            read_only_by="" if settings.read_only else read_only_by,
        ),
        read_only=settings.read_only or read_only,
        timeout=timeout if timeout is not None else settings.timeout,
    )


def redacted(settings: Settings) -> dict[str, Any]:
    """The settings as plain values to print: secrets are `"(hidden)"`."""
    kafka = settings.kafka and {
        "bootstrap": settings.kafka.bootstrap,
        "properties": {k: "(hidden)" if is_secret(k) else v for k, v in sorted(settings.kafka.properties.items())},
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
