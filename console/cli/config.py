"""`logq config`: where the config file is, what it says, and a first one."""

from __future__ import annotations

import json
import os

import click

from console import text
from console.cli.options import NounGroup
from console.cli.output import envelope, facts, note, write
from console.cli.run import Run
from console.errors import Failed, Refused

_SPOKEN = {"None": text.DASH, "True": "yes", "False": "no"}


@click.group("config", cls=NounGroup)
def command() -> None:
    """The config file: path, show, check, init."""


@command.command("path")
@click.pass_obj
def path(run: Run) -> None:
    """Where the config file is looked for."""
    where = run.config_path
    write(text.safe(str(where)) + "\n")
    if not where.exists():
        note("it does not exist yet; logq config init writes one")


@command.command("show")
@click.pass_obj
def show(run: Run) -> None:
    """The settings this call would use, options and environment included; no secret is printed."""
    from console.config import redacted

    settings = redacted(run.settings)
    if run.output == "json":
        write(json.dumps(envelope({"settings": settings}, None, ()), indent=2) + "\n")
    elif run.output == "jsonl":
        write(json.dumps(settings) + "\n")
    else:
        pairs = _flat(settings)
        if run.output == "csv":
            from console.cli.output import as_csv

            write(as_csv([{"setting": name, "value": value} for name, value in pairs], ("setting", "value")))
        else:
            write("".join(line + "\n" for line in facts(pairs, run.color)))


def _flat(settings: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            pairs.append((prefix + name, ", ".join(map(str, value)) or text.DASH))
        else:
            pairs.append((prefix + name, _SPOKEN.get(str(value), str(value))))
    return pairs


@command.command("check")
@click.pass_obj
def check(run: Run) -> None:
    """Whether the file is right: TOML, known keys and types; the profile in use with its variables and commands."""
    from console.config_file import profile_names

    where = run.config_path
    names = profile_names(where)
    settings = run.settings
    if not where.exists():
        write(f"{text.safe(str(where))} does not exist; logq config init writes one\n")
        return
    if settings.kafka is not None:
        from console.kafka.properties import wire

        wire(settings.kafka)  # an address without a port, a property's name or value: as every command would say
    said = f"{text.plural(len(names), 'profile')}: {', '.join(names)}" if names else "no profiles"
    write(f"{text.safe(str(where))} is right ({text.safe(said)})\n")
    if settings.profile:
        write(f"profile {text.safe(settings.profile)} is right\n")


@command.command("init")
@click.pass_obj
def init(run: Run) -> None:
    """Write a first config file that shows every key; never over one that is there."""
    from console.config_file import EXAMPLE

    where = run.config_path
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        # A file that will hold passwords is for its owner alone.
        handle = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused(f"{where} is there already and was left as it is") from None
    except OSError as error:
        raise Failed(f"cannot write {where}: {error.strerror}") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(EXAMPLE)
    write(f"{text.safe(str(where))}\n")
    note("written; edit the profiles, then logq -p local status")
