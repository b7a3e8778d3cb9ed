"""`logq replay`: copy a bounded range of a topic into another topic or a queue."""

from __future__ import annotations

import click

from console.cli.change import Change, carry_out, executing, guard
from console.cli.options import Command
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
@click.option("--where", metavar="CEL", help="Only records for which this holds, for example value.total > 100.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N records.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="At most N records a second.")
@click.option("--job", metavar="NAME", help="The job's name; started again elsewhere with it, the work is shared.")
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
    where: str | None,
    limit: int | None,
    rate: float | None,
    job: str | None,
    execute: bool,
    yes: bool,
) -> None:
    """Copy a bounded range of a topic: the plan, and with --execute the change.

    Into a topic exactly once, into a queue at least once. The range is fixed when it is planned and ends.
    """
    from console.ops import replay

    guard(run, f"replay {source} to {target}", execute, yes)
    session = run.session
    plan = replay.plan(
        session,
        source,
        target,
        begin=begin,
        to_offset=to_offset,
        until=until,
        where=where,
        limit=limit,
        rate=rate,
        job=job,
    )
    change = Change(
        replay.view(plan),
        replay.to_json(plan),
        lambda cancel, on_progress: replay.run(session, plan, cancel, on_progress),
        idle="" if plan.offsets else f"nothing to do: no offset of {plan.source} lies in the range",
    )
    raise click.exceptions.Exit(carry_out(run, change, execute, yes))
