"""`logq replay`: copy a bounded range of a topic into another topic or a queue."""

from __future__ import annotations

import click

from console.cli.change import Change, carry_out, executing, guard
from console.cli.options import Command, Number
from console.cli.run import Run


@click.command("replay", cls=Command)
@click.argument("source")
@click.option(
    "--to", "target", metavar="TARGET", required=True, help="Where to: kafka:TOPIC, sqs:QUEUE or a bare name."
)
@click.option(
    "--from", "begin", metavar="F", help="earliest (default), an offset, a time, or a duration back from now (2h)."
)
@click.option("--to-offset", metavar="N", help="Up to, and without, this offset in every partition.")
@click.option("--until", metavar="T", help="Up to the first record at or after a time, or a duration back from now.")
@click.option(
    "--partition",
    "partitions",
    multiple=True,
    type=click.IntRange(min=0),
    metavar="P",
    help="Only this partition; may be given again.",
)
@click.option("--record", "records", multiple=True, metavar="P/OFFSET", help="Only this record; may be given again.")
@click.option("--where", metavar="CEL", help="Only records for which this holds, for example value.total > 100.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N records.")
@click.option("--rate", type=Number(min=0, min_open=True), metavar="N", help="At most N records a second.")
@click.option("--job", metavar="NAME", help="The job's name; started again elsewhere with it, the work is shared.")
@click.option("--set-header", "texts", multiple=True, metavar="NAME=TEXT", help="Give each copy this header.")
@click.option(
    "--set-header-cel", "computed", multiple=True, metavar="NAME=CEL", help="A header computed from the record."
)
@click.option(
    "--drop-header", "drop", multiple=True, metavar="NAME", help="Leave this header out; x-*: all that begin so."
)
@click.option("--edit-where", metavar="CEL", help="Change the headers only of records for which this holds.")
@executing
@click.pass_obj
def command(
    run: Run,
    /,
    source: str,
    target: str,
    begin: str | None,
    to_offset: str | None,
    until: str | None,
    partitions: tuple[int, ...],
    records: tuple[str, ...],
    where: str | None,
    limit: int | None,
    rate: float | None,
    job: str | None,
    texts: tuple[str, ...],
    computed: tuple[str, ...],
    drop: tuple[str, ...],
    edit_where: str | None,
    execute: bool,
    yes: bool,
) -> None:
    """Copy a bounded range of a topic, or a file of exported messages: the plan, and with --execute the change.

    Into a topic exactly once, into a queue at least once. The range is fixed when it is planned and ends. SOURCE is a
    topic, or a file as `logq topic browse TOPIC -o jsonl` writes it (file:PATH, NAME.jsonl).
    """
    from console.ops import replay
    from console.ops.replay_edit import parse_edit

    guard(run, f"replay {source} to {target}", execute, yes)
    session = run.session
    plan = replay.plan(
        session,
        source,
        target,
        begin=begin,
        to_offset=to_offset,
        until=until,
        partitions=partitions,
        records=records,
        where=where,
        limit=limit,
        rate=rate,
        job=job,
        edit=parse_edit(drop, texts, computed, edit_where),
    )
    change = Change(
        replay.view(plan),
        replay.to_json(plan),
        lambda cancel, on_progress: replay.run(session, plan, cancel, on_progress),
        idle="" if plan.offsets else f"nothing to do: no offset of {plan.named} lies in the range",
    )
    raise click.exceptions.Exit(carry_out(run, change, execute, yes))
