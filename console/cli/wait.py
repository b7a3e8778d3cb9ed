"""`logq wait`: until a group has caught up or a queue is empty, for scripts and deployments."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from console import text
from console.cli import shapes
from console.cli.options import NounGroup
from console.cli.output import Answer, emit, note
from console.cli.run import Run
from console.errors import Unmet, UsageError
from console.model import Problem

if TYPE_CHECKING:
    from console.ops.wait import Waited


@click.group("wait", cls=NounGroup)
def command() -> None:
    """Wait until a group has caught up or a queue is empty; exits 5 when the time runs out."""


_FOR = click.option(
    "--for", "limit", default="10m", show_default=True, metavar="D", help="How long to wait: 90s, 15m, 1h30m, PT1H."
)


@command.command("group")
@click.argument("group")
@click.option("--lag", type=click.IntRange(0), required=True, metavar="N", help="At most N records behind, in all.")
@_FOR
@click.pass_obj
def wait_group(run: Run, group: str, lag: int, limit: str) -> None:
    """Until the group is at most N records behind. Partitions it has not committed to count as behind."""
    from console.ops import wait
    from console.ops.times import parse_duration

    seconds, session = parse_duration(limit), run.session
    session.require_kafka()
    found = wait.for_lag(session, group, lag, seconds, threading.Event(), _teller(f"group {group}"))
    rows = [shapes.group(found.seen)] if found.seen is not None else []
    _end(run, f"group {group}", {"groups": rows}, shapes.GROUP, found)


@command.command("queue")
@click.argument("queue")
@click.option("--empty", is_flag=True, help="Nothing visible, in flight or delayed, twice in a row.")
@_FOR
@click.pass_obj
def wait_queue(run: Run, queue: str, empty: bool, limit: str) -> None:
    """Until the queue is empty. Its counts are approximate: two looks in a row have to agree."""
    from console.ops import targets, wait
    from console.ops.times import parse_duration

    if not empty:
        raise UsageError("say what to wait for: --empty")
    side, name = targets.parse(queue)
    if side == "kafka":
        raise UsageError(f"{queue} is a topic: logq wait group waits for the groups that read it")
    seconds, session = parse_duration(limit), run.session
    session.require_sqs_settings()
    found = wait.for_empty(session, name, seconds, threading.Event(), _teller(f"queue {name}"))
    rows = [shapes.queue(found.seen)] if found.seen is not None else []
    _end(run, f"queue {name}", {"queues": rows}, shapes.QUEUE, found)


def _teller(what: str) -> Callable[[str], None]:
    """Says on stderr how far it is, a line whenever that has changed."""
    last = ""

    def tell(reason: str) -> None:
        nonlocal last
        if reason != last:
            note(f"waiting: {what}: {reason}")
        last = reason

    return tell


def _end(run: Run, what: str, answer: dict[str, Any], fields: tuple[str, ...], found: Waited[Any]) -> None:
    """Print what was seen last; a condition that does not hold is `Unmet`, and in JSON a problem as well."""
    told = f"{text.safe(what)}: {text.safe(found.reason)}, after {text.duration(round(found.seconds))}"
    unmet = not found.held and run.output == "json"
    (rows,) = answer.values()
    if found.held or run.output != "table":
        emit(
            run,
            Answer(
                lists={**answer, "held": found.held},
                rows=rows,
                fields=fields,
                page=lambda width, color: [told],
                problems=(Problem(what, "UNMET", found.reason),) if unmet else (),
            ),
        )
    if not found.held:
        raise Unmet(told)
