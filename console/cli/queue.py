"""`logq queue`: SQS queues, on request a careful look inside, and emptying one."""

from __future__ import annotations

import click

from console import text
from console.cli import shapes
from console.cli.change import Change, carry_out, executing, guard
from console.cli.messages import MESSAGE_COLUMNS
from console.cli.options import NounGroup
from console.cli.output import Answer, Column, emit, facts, note, table
from console.cli.progress import counting
from console.cli.run import Run
from console.model import Queue, Severity


@click.group("queue", cls=NounGroup)
def command() -> None:
    """SQS queues: list, show, peek, purge."""


def _severity(queue: Queue) -> Severity:
    return queue.status.severity


QUEUE_COLUMNS: tuple[Column[Queue], ...] = (
    Column("queue", lambda q: q.name, least=16),
    Column("type", lambda q: q.type, drop=6),
    Column("visible", lambda q: text.count(q.visible), "right"),
    Column("in flight", lambda q: text.count(q.in_flight), "right"),
    Column("delayed", lambda q: text.count(q.delayed), "right", drop=3),
    Column("oldest", lambda q: text.duration(q.oldest_seconds), "right", drop=2),
    Column("dlq", lambda q: q.dlq or text.DASH, least=8, drop=4),
    Column("dlq of", lambda q: ", ".join(q.dlq_of) or text.DASH, least=8, drop=5),
    Column("max receive", lambda q: text.count(q.max_receive), "right", drop=7),
    Column("retention", lambda q: text.duration(q.retention_seconds), "right", drop=8),
    Column("reason", lambda q: q.reason or (q.problem.message if q.problem else ""), least=20, drop=1),
)


def worst_first(queues: tuple[Queue, ...]) -> list[Queue]:
    """Queues by how bad they are, then by what waits in them, then by name."""
    return sorted(queues, key=lambda q: (-q.status.rank, -(q.visible or 0), q.name))


@command.command("list")
@click.pass_obj
def list_queues(run: Run) -> None:
    """Every queue of the region, worst first. Counts are SQS's own approximations."""
    from console.ops import inspect

    session = run.session
    session.require_sqs_settings()
    snapshot = inspect.sqs(session)
    queues = worst_first(snapshot.queues)
    rows = [shapes.queue(q) for q in queues]
    emit(
        run,
        Answer(
            lists={"queues": rows, "requests": snapshot.requests_so_far, "dollars": snapshot.dollars_so_far},
            rows=rows,
            fields=shapes.QUEUE,
            page=lambda width, color: table(QUEUE_COLUMNS, queues, width, color, _severity),
            at=snapshot.at,
            problems=snapshot.problems,
        ),
    )


@command.command("show")
@click.argument("queue")
@click.pass_obj
def show_queue(run: Run, queue: str) -> None:
    """One queue: counts, retention, redrive policy and dead-letter relations both ways."""
    from console.ops import inspect

    session = run.session
    session.require_sqs_settings()
    found = inspect.queue(session, queue)
    rows = [shapes.queue(found)]
    emit(
        run,
        Answer(
            lists={"queues": rows},
            rows=rows,
            fields=shapes.QUEUE,
            page=lambda width, color: _page(found, color),
            at=found.seen_at,
            problems=(found.problem,) if found.problem else (),
        ),
    )


def _page(queue: Queue, color: bool) -> list[str]:
    from console.ops import queue_facts

    return facts(
        [
            ("queue", queue.name),
            ("url", queue.url),
            ("type", queue.type),
            ("status", queue.status + (f": {queue.reason}" if queue.reason else "")),
            ("visible", text.count(queue.visible)),
            ("in flight", text.count(queue.in_flight)),
            ("delayed", text.count(queue.delayed)),
            (
                "oldest",
                text.duration(queue.oldest_seconds) + (f" ({queue.oldest_reason})" if queue.oldest_reason else ""),
            ),
            ("in less out", queue_facts.flow_words(queue)),
            *queue_facts.pairs(queue),
            ("dlq", f"{queue.dlq} after {text.count(queue.max_receive)} receives" if queue.dlq else text.DASH),
            ("dlq holds", text.count(queue.dlq_count) if queue.dlq else text.DASH),
            ("dlq of", ", ".join(queue.dlq_of) or text.DASH),
            ("may be dlq of", queue_facts.allow_words(queue)),
            *queue_facts.others(queue),
        ],
        color,
    )


@command.command("peek")
@click.argument("queue")
@click.option(
    "--max",
    "most",
    type=click.IntRange(1, 10_000),
    default=10,
    show_default=True,
    metavar="N",
    help="At most N messages.",
)
@click.option(
    "--force", is_flag=True, help="Look even where the look itself may move messages to the dead-letter queue."
)
@click.option("--where", metavar="CEL", help="Only those for which this holds: body.kind == 'resize'.")
@click.option("--spooled", is_flag=True, help="What the last look of at most a day ago read: costs no receive.")
@click.pass_obj
def peek_queue(run: Run, queue: str, most: int, force: bool, where: str | None, spooled: bool) -> None:
    """Lease, read and release messages. Costs each a receive: refused (3) where that could move them.

    What was read is kept for a day in the state folder, so that --spooled can show it again with another filter.
    """
    from console.ops import inspect
    from console.ops.redrive_filter import Where

    session = run.session
    session.require_sqs_settings()
    fits = None if where is None else Where(where)
    if spooled:
        seen = inspect.kept(session, queue, fits)
    else:
        before = inspect.budget(session, queue)
        if before.max_receive is not None and not before.refuse:
            note(before.note)  # said before it is spent
        with counting() as seen_so_far:
            seen = inspect.peek(session, queue, most, force=force, where=fits, on_progress=seen_so_far)
    rows = [shapes.opened(m) for m in seen.messages]
    emit(
        run,
        Answer(
            lists={
                "messages": rows,
                "whole": seen.whole,
                "note": shapes.raw(seen.note),
                "seen": seen.seen,
                "approximate_total": seen.approximate_total,
                "budget": {"max_receive": seen.budget.max_receive, "left": seen.budget.left},
            },
            rows=rows,
            fields=shapes.MESSAGE,
            page=lambda width, color: table(MESSAGE_COLUMNS, seen.messages, width, color),
        ),
    )
    if run.output != "json":
        note(f"{seen.note}; {seen.budget.note}" if seen.budget.note not in seen.note else seen.note)


@command.command("purge")
@click.argument("queue")
@click.option("--no-save", is_flag=True, help="By SQS's own PurgeQueue: at once, in flight too, and gone for good.")
@executing
@click.pass_obj
def purge_queue(run: Run, queue: str, no_save: bool, execute: bool, yes: bool) -> None:
    """Empty a queue: the plan, and with --execute the change.

    Each message is saved in the journal, then deleted; job undo sends what was saved to the queue again.
    """
    from console.ops import purge

    guard(run, f"purge {queue}", execute, yes)
    session = run.session
    session.require_sqs_settings()
    planned = purge.plan(session, queue, save=not no_save)
    change = Change(
        purge.view(planned),
        purge.to_json(planned),
        lambda cancel, on_progress: purge.run(session, planned, cancel, on_progress),
        idle=purge.idle(planned),
    )
    raise click.exceptions.Exit(carry_out(run, change, execute, yes))
