"""`logq demo`: real servers and a story on them, from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from console.cli.options import Command
from console.cli.output import emit
from console.cli.run import Run

if TYPE_CHECKING:
    from console.demo.control import StoryHandle
    from console.ops.session import Session


@click.command("demo", cls=Command)
@click.option(
    "--headless", is_flag=True, help="No screen: print one JSON line with the addresses and run until stopped."
)
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep data and logs in DIR."
)
@click.option(
    "--kafka-nodes",
    type=click.IntRange(1, 9),
    default=1,
    show_default=True,
    metavar="N",
    help="Brokers of the Kafka cluster.",
)
@click.pass_obj
def command(run: Run, headless: bool, keep: Path | None, kafka_nodes: int) -> None:
    """A real Kafka and a real SQS server started here, and services on them that go wrong by themselves.

    Needs neither Docker nor Java; the first start fetches the servers once. Without a terminal it lets the story run
    until something lags and dead letters are there, prints the status page, and ends.
    """
    from console.demo.run import run as demo

    def screens(session: Session, story: StoryHandle) -> int:
        from console.tui.app import run as open_screens

        return open_screens(session, demo=story)

    def page(session: Session) -> None:
        from console.cli.status import answer, look

        emit(run, answer(look(session, over=1.5)))

    code = demo(
        console=screens, page=page, headless=headless, keep=keep, kafka_nodes=kafka_nodes, settings=run.settings
    )
    raise click.exceptions.Exit(code)
