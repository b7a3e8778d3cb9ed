"""The root command: a static table of what exists, so that help and typing errors cost no imports."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from console.cli.options import Command, Connecting, NounGroup
from console.cli.run import Run

COMMANDS: dict[str, tuple[str, str]] = {
    "status": ("console.cli.status", "Both sides on one page, problems first."),
    "group": ("console.cli.group", "Consumer groups: list, show, reset offsets."),
    "topic": ("console.cli.topic", "Topics: list, show, browse the newest records."),
    "broker": ("console.cli.broker", "Brokers: list them with what they lead, hold and lack."),
    "replay": ("console.cli.replay", "Copy a bounded range of a topic to another topic or a queue."),
    "queue": ("console.cli.queue", "SQS queues: list, show, peek, purge."),
    "dlq": ("console.cli.dlq", "Dead-letter queues and topics: list, show, redrive."),
    "job": ("console.cli.job", "The journal of changes: list, show, resume, cancel, undo, receipt."),
    "wait": ("console.cli.wait", "Until a group has caught up or a queue is empty, for deployments."),
    "doctor": ("console.cli.doctor", "What can be reached and what is allowed, with the remedy."),
    "config": ("console.cli.config", "The config file: path, show, check, init."),
    "demo": ("console.cli.demo", "A real Kafka and a real SQS server with a story on them."),
}
"""Command name -> (the module whose `command` it is, its line in `logq --help`)."""


class LazyGroup(Connecting, click.Group):
    """A group that imports a command's module only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table: looking first, changing later."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now; None when there is none."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = import_module(entry[0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command list of the help, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but a mistyped name is answered with the nearest one."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise click.UsageError(unknown(name, COMMANDS), ctx)
        return super().resolve_command(ctx, args)


def unknown(name: str, known: Any) -> str:
    """What is said about a command that does not exist, with the nearest that does."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"no command {name!r}" + (f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}")


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("logq")
        except PackageNotFoundError:
            number = "unknown (not installed)"
        click.echo(f"logq {number}")
        ctx.exit()


@click.command(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Connection and output options may stand here or after the verb, where they win. "
    "Without a command, logq opens the console. Exit codes: 0 done (what could not be seen is named on stderr, "
    "in JSON under problems), 1 failed, 2 wrong usage, 3 refused, "
    "4 partly done, 5 a condition does not hold, 130 stopped.",
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
@click.pass_context
def root(ctx: click.Context) -> None:
    """One terminal console for the log and the queue: Apache Kafka and Amazon SQS side by side."""
    if ctx.invoked_subcommand is None:
        run = ctx.find_object(Run)
        assert run is not None
        ctx.exit(_open_console(run))


def _open_console(run: Run) -> int:
    import sys

    from console.errors import UsageError

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the console needs a terminal; logq status prints both sides, logq --help lists commands")
    settings = run.connected_settings()
    from console.tui.app import run as open_screens

    code: int = open_screens(run.session_for(settings))
    return code


__all__ = ["COMMANDS", "Command", "LazyGroup", "NounGroup", "root", "unknown"]
