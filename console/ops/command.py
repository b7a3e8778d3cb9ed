"""The command line that does what a screen or a plan is about to do, to be pasted into a runbook."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from console.config import Settings, is_secret
from console.text import is_safe


def command_line(settings: Settings, *words: str) -> str:
    """`logq`, what says where to connect, and `words`, quoted for bash, zsh or ksh. Secrets in `-X` are left out.

    A profile is named, with what was given beside it; without one the addresses are spelt out.
    """
    parts = ["logq", *(_beside_profile(settings) if settings.profile else _addresses(settings))]
    return " ".join(quoted(part) for part in (*parts, *_guarded(words)))


def quoted(word: str) -> str:
    """A word for a shell; with control or invisible characters as `$'…'`, which is safe to print and can be pasted."""
    if is_safe(word) and "\n" not in word:
        return shlex.quote(word)
    return "$'" + "".join(_escaped(ch) for ch in word) + "'"


def _escaped(ch: str) -> str:
    if ch in "'\\":
        return "\\" + ch
    if ch.isascii() and ch.isprintable():
        return ch
    return "".join(f"\\x{byte:02x}" for byte in ch.encode("utf-8", "surrogateescape"))


def _guarded(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words, a name that looks like an option behind `--` at the end: there it is taken for a name.

    The name is what stands after noun and verb (after `replay` alone).
    """
    at = 1 if words[:1] == ("replay",) else 2
    if not words[at:] or not words[at].startswith("-"):
        return words
    return (*words[:at], *words[at + 1 :], "--", words[at])


def _beside_profile(settings: Settings) -> list[str]:
    """The profile, and whatever bends it: without that the same line would reach another cluster."""
    given = settings.given
    file = None if given.config_file is None else str(given.config_file)
    return [
        *_options(("--config", file), ("-p", settings.profile), ("-b", given.bootstrap)),
        *_properties(given.properties),
        *_aws(given.region, given.aws_profile, given.endpoint_url),
    ]


def _addresses(settings: Settings) -> list[str]:
    parts: list[str] = []
    if settings.kafka is not None:
        parts += [*_options(("-b", settings.kafka.bootstrap)), *_properties(settings.kafka.properties)]
    if settings.sqs is not None:
        parts += _aws(settings.sqs.region, settings.sqs.aws_profile, settings.sqs.endpoint_url)
    return parts


def _properties(properties: Mapping[str, str]) -> list[str]:
    return [w for key, value in sorted(properties.items()) if not is_secret(key) for w in ("-X", f"{key}={value}")]


def _aws(region: str | None, profile: str | None, url: str | None) -> list[str]:
    return _options(("--region", region), ("--aws-profile", profile), ("--endpoint-url", url))


def _options(*options: tuple[str, str | None]) -> list[str]:
    return [word for option, value in options if value for word in (option, value)]
