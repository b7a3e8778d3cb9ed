"""The options that say where to connect and how to print: the same before the noun and after the verb.

Each command takes them; what was typed nearest to the verb wins. They never appear among a command's own parameters:
they are gathered into the `Run` of this call.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import click

from console.cli.run import Run
from console.errors import Stopped

_GATHERED = frozenset(
    {
        "profile",
        "config_file",
        "bootstrap",
        "properties",
        "region",
        "aws_profile",
        "endpoint_url",
        "queues",
        "queue_tags",
        "read_only",
        "output",
        "timeout",
        "no_color",
    }
)


class Number(click.FloatRange):
    """A number within bounds. Neither `nan`, which every comparison with a bound lets pass, nor `inf`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click's; what is not finite fails as what is no number does."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a number that can be used.", param, ctx)
        return found


def _key_values(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in values:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise click.BadParameter(f"{text!r} is not KEY=VALUE (for example -X security.protocol=SASL_SSL)")
        pairs[key.strip()] = value
    return pairs


def connection_options(hidden: bool = False) -> list[click.Option]:
    """New option objects (click keeps no state in them, but each command owns its own)."""

    def option(*names: str, **how: Any) -> click.Option:
        return click.Option(list(names), hidden=hidden, **how)

    return [
        option("-p", "--profile", metavar="NAME", help="A profile of the config file [env LOGQ_PROFILE]."),
        option(
            "--config",
            "config_file",
            metavar="FILE",
            help="The config file [env LOGQ_CONFIG; default: the platform's config folder, logq/config.toml].",
        ),
        option(
            "-b",
            "--bootstrap",
            metavar="HOST:PORT[,…]",
            help="Kafka [env LOGQ_BOOTSTRAP]; without it and without a profile there is no Kafka side.",
        ),
        option(
            "-X",
            "properties",
            metavar="KEY=VALUE",
            multiple=True,
            callback=_key_values,
            help="Any librdkafka property; may be repeated.",
        ),
        option("--region", metavar="NAME", help="SQS: the region [env AWS_REGION, AWS_DEFAULT_REGION]."),
        option("--aws-profile", metavar="NAME", help="SQS: a profile of the AWS files [env AWS_PROFILE]."),
        option(
            "--endpoint-url",
            metavar="URL",
            help="SQS: another address than Amazon's [env AWS_ENDPOINT_URL_SQS, AWS_ENDPOINT_URL].",
        ),
        option(
            "--queues",
            metavar="PATTERN",
            multiple=True,
            help="SQS: list only queues whose name fits, as a shell pattern; may be repeated.",
        ),
        option(
            "--queue-tag",
            "queue_tags",
            metavar="KEY=VALUE",
            multiple=True,
            callback=_key_values,
            help="SQS: list only queues with this tag; may be repeated.",
        ),
        option("--read-only", is_flag=True, help="Change nothing: every change is refused [env LOGQ_READ_ONLY=1]."),
        option(
            "-o",
            "--output",
            type=click.Choice(["table", "json", "jsonl", "csv"]),
            help="How to print (default table, without colour or clipping when piped).",
        ),
        option(
            "--timeout",
            type=Number(min=0.05, max=3600),
            metavar="SECONDS",
            help="How long one answer may take (default 10).",
        ),
        option("--no-color", is_flag=True, help="No colour [env NO_COLOR]."),
    ]


class Connecting(click.Command):
    """A command that takes the connection options beside its own and gathers them into the call's `Run`."""

    hide_connection = False

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self.own = list(self.params)
        self.params.extend(connection_options(self.hide_connection))

    def invoke(self, ctx: click.Context) -> Any:
        """Gather, then run with the command's own parameters alone."""
        run = ctx.find_object(Run)
        assert run is not None
        for name in _GATHERED & ctx.params.keys():
            value = ctx.params.pop(name)
            if value not in (None, False, {}, ()):
                run.gather(name, value)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if sys.stderr.isatty():
                sys.stderr.write("\n")  # the terminal has written ^C
            raise Stopped("stopped") from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options first, then the ones every command has."""
        shared = [p for p in self.get_params(ctx) if p.name in _GATHERED]
        own = [p for p in self.get_params(ctx) if p.name not in _GATHERED and isinstance(p, click.Option)]
        for title, params in (("Options", own), ("Connection and output", shared)):
            records = [record for p in params if (record := p.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)


class Command(Connecting):
    """A verb (or a noun without verbs) of the command line."""


class NounGroup(Connecting, click.Group):
    """A noun with its verbs; the connection options are accepted here too, but not listed."""

    hide_connection = True
    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with the first line of their help, whole."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, (verb.help or "").split("\n")[0]) for name, verb in self.commands.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but a mistyped verb is answered with the nearest one."""
        from console.cli.app import unknown

        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            raise click.UsageError(unknown(name, self.commands), ctx)
        return super().resolve_command(ctx, args)
