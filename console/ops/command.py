"""The command line that does what a screen or a plan is about to do, to be pasted into a runbook."""

from __future__ import annotations

import re
import shlex

from console.config import Settings

_SECRET = re.compile(r"password|secret|token|\.key$|key\.pem|private|jaas|credentials", re.IGNORECASE)


def command_line(settings: Settings, *words: str) -> str:
    """`logq`, what says where to connect, and `words`, quoted for a shell. Secrets in `-X` are left out.

    A profile is named; without one the addresses are spelt out.
    """
    parts = ["logq"]
    if settings.profile:
        parts += ["-p", settings.profile]
    else:
        if settings.kafka is not None:
            parts += ["-b", settings.kafka.bootstrap]
            for key, value in sorted(settings.kafka.properties.items()):
                if not _SECRET.search(key):
                    parts += ["-X", f"{key}={value}"]
        if settings.sqs is not None:
            for option, address in (
                ("--region", settings.sqs.region),
                ("--aws-profile", settings.sqs.aws_profile),
                ("--endpoint-url", settings.sqs.endpoint_url),
            ):
                if address:
                    parts += [option, address]
    return " ".join(shlex.quote(part) for part in (*parts, *words))
