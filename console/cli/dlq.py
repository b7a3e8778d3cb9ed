"""`logq dlq`: dead-letter queues and dead-letter topics, seen as one kind of place."""

from __future__ import annotations

import click

from console import text
from console.cli import shapes
from console.cli.change import Change, carry_out, executing, guard
from console.cli.messages import MESSAGE_COLUMNS
from console.cli.options import NounGroup, Number
from console.cli.output import Answer, Column, emit, facts, note, table
from console.cli.progress import counting, stoppable
from console.cli.run import Run
from console.cli.status import look
from console.model import Cluster, DeadLetters, Message, Severity


@click.group("dlq", cls=NounGroup)
def command() -> None:
    """Dead-letter queues and topics: list, show, redrive."""


def _severity(letters: DeadLetters) -> Severity:
    return letters.status.severity


DLQ_COLUMNS: tuple[Column[DeadLetters], ...] = (
    Column("target", lambda d: d.target, least=16),
    Column("kind", lambda d: d.kind, drop=3),
    Column("count", lambda d: text.count(d.count), "right"),
    Column("redriven", lambda d: text.count(d.done) if d.done else "", "right", drop=6),
    Column("oldest", lambda d: text.duration(d.oldest_seconds), "right", drop=2),
    Column("expires", lambda d: text.duration(d.expires_seconds), "right", drop=4),
    Column("source", lambda d: ", ".join(d.source) or text.DASH, least=12, drop=1),
    Column("reason", lambda d: d.reason, least=16, drop=5),
)

CLUSTER_COLUMNS: tuple[Column[Cluster], ...] = (
    Column("cluster", lambda c: c.id),
    Column("count", lambda c: text.count(c.count), "right"),
    Column("first", lambda c: text.utc(c.first), drop=2),
    Column("last", lambda c: text.utc(c.last), drop=1),
    Column("failure", lambda c: c.label, least=20),
)


@command.command("list")
@click.pass_obj
def list_dlqs(run: Run) -> None:
    """Every dead-letter queue and topic, the fullest first. Receives from no queue; joins no group.

    Topics are known by their names, and by the headers of their newest record.
    """
    from console.ops import dead_topics, inspect

    looked = look(run.session, over=0)
    if looked.kafka is not None:
        looked.kafka = dead_topics.recognised(run.session, looked.kafka)
    letters = inspect.dead_letters(looked.kafka, looked.sqs)
    rows = [shapes.dlq(d) for d in letters]
    emit(
        run,
        Answer(
            lists={"dlqs": rows},
            rows=rows,
            fields=shapes.DLQ[:-1],
            page=lambda width, color: table(DLQ_COLUMNS, letters, width, color, _severity),
            at=looked.at,
            problems=looked.all_problems,
        ),
    )
    if looked.kafka is None and looked.sqs is None:
        raise click.exceptions.Exit(1)


@command.command("show")
@click.argument("dlq")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    metavar="N",
    help="Read at most N messages.",
)
@click.option(
    "--where", metavar="CEL", help="Only those for which this holds: body.kind == 'resize'; a topic's: value.kind."
)
@click.option("--by", "by", metavar="FACET[,…]", multiple=True, help="Group by error, shape, source, hour [error].")
@click.option("--force", is_flag=True, help="Look even where the look itself may move messages on.")
@click.pass_obj
def show_dlq(run: Run, dlq: str, limit: int, where: str | None, by: tuple[str, ...], force: bool) -> None:
    """One dead-letter queue or topic: how its messages failed, and the messages. A queue's messages cost a receive."""
    from console.ops import clusters, inspect

    facets = clusters.parse_by(by)
    with counting() as seen_so_far:
        seen = inspect.dead_letter(
            run.session, dlq, limit=limit, force=force, where=where, by=facets, on_progress=seen_so_far
        )
    row = shapes.dlq(seen.letters, clusters=True)
    members: dict[str, list[Message]] = {}
    for m in seen.messages:
        members.setdefault(clusters.cluster_id(clusters.label(m, facets)), []).append(m)
    for c in row["clusters"]:
        c.update(shapes.spread(clusters.spread(members[c["id"]])))
    messages = [{**shapes.opened(m), "done": m.id in seen.done} for m in seen.messages]
    # A queue's dead letters leave it when they are redriven; a topic's stay, and are marked.
    marked: tuple[Column[Message], ...] = (Column("redriven", lambda m: "yes" if m.id in seen.done else "", drop=1),)
    columns = (*MESSAGE_COLUMNS[:1], *(marked if seen.letters.kind == "topic" else ()), *MESSAGE_COLUMNS[1:])

    def page(width: int | None, color: bool) -> list[str]:
        letters = seen.letters
        lines = facts(
            [
                ("target", letters.target),
                ("count", text.count(letters.count)),
                ("oldest", text.duration(letters.oldest_seconds)),
                ("expires", text.duration(letters.expires_seconds)),
                ("source", ", ".join(letters.source) or text.DASH),
                *([("redriven", text.count(letters.done))] if letters.kind == "topic" else []),
                ("read", seen.note),
            ],
            color,
        )
        if seen.messages:
            over = clusters.spread(seen.messages)
            lines += facts([("sources", _counted(over.sources)), ("hours", _counted(over.hours))], color)
        if letters.clusters:
            lines += ["", *table(CLUSTER_COLUMNS, letters.clusters, width, color)]
        if seen.messages:
            lines += ["", *table(columns, seen.messages, width, color)]
        return lines

    emit(
        run,
        Answer(
            lists={
                "dlqs": [row],
                "messages": messages,
                "by": list(facets),
                "whole": seen.whole,
                "note": shapes.raw(seen.note),
            },
            rows=[row],
            fields=shapes.DLQ,
            page=page,
        ),
    )
    if run.output in ("jsonl", "csv"):
        note(seen.note)


def _counted(names: tuple[tuple[str, int], ...]) -> str:
    shown = ", ".join(f"{name} ×{text.count(number)}" for name, number in names[:6])
    return (shown + (f" and {len(names) - 6:,} more" if len(names) > 6 else "")) or text.DASH


@command.command("redrive")
@click.argument("dlq")
@click.option("--to", metavar="TARGET", help="Where to; left out, each message goes back to its own source.")
@click.option(
    "--where", metavar="CEL", help="Only those for which this holds: body.kind == 'resize'; a topic's: value.kind."
)
@click.option("--cluster", "clusters", metavar="ID", multiple=True, help="Only this way of failing (dlq show).")
@click.option("--id", "ids", metavar="ID", multiple=True, help="Only this message; may be repeated.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N messages.")
@click.option("--rate", type=Number(min=0, min_open=True), metavar="N", help="At most N messages a second.")
@click.option(
    "--canary", type=click.IntRange(min=1), metavar="N", help="The first N, then look which came back; pause."
)
@click.option("--ramp", is_flag=True, help="In steps: 5 (or --canary) first, then twice as many while none comes back.")
@click.option("--watch", metavar="D", help="How long to wait for what comes back (30s, 5m); 0 does not look.")
@click.option(
    "--set", "sets", metavar="PATH=CEL", multiple=True, help="Send it edited: body.tries=0, attributes.tenant='\"b\"'."
)
@click.option("--unset", "unsets", metavar="PATH", multiple=True, help="Send it without this: body.error.")
@click.option("--patience", metavar="D", default="5m", show_default=True, help="How long an outage is waited out.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "native", "client"]),
    default="auto",
    show_default=True,
    help="native: the server moves all of it; client: logq does, with a journal.",
)
@click.option("--force", is_flag=True, help="Read a selection even where that may move what stays on.")
@executing
@click.pass_obj
def redrive_dlq(
    run: Run,
    /,
    dlq: str,
    to: str | None,
    where: str | None,
    clusters: tuple[str, ...],
    ids: tuple[str, ...],
    limit: int | None,
    rate: float | None,
    canary: int | None,
    ramp: bool,
    watch: str | None,
    sets: tuple[str, ...],
    unsets: tuple[str, ...],
    patience: str,
    engine: str,
    force: bool,
    execute: bool,
    yes: bool,
) -> None:
    """Send dead letters back: the plan, and with --execute the change."""
    from console.ops import redrive
    from console.ops.times import parse_duration

    guard(run, f"redrive {dlq}", execute, yes)
    session = run.session
    with stoppable():  # it may look into the queue
        plan = redrive.plan(
            session,
            dlq,
            to=to,
            where=where,
            ids=ids,
            limit=limit,
            rate=rate,
            engine=engine,
            clusters=clusters,
            canary=canary,
            ramp=ramp,
            watch=None if watch is None else 0.0 if watch.strip() in ("0", "0s") else parse_duration(watch),
            sets=sets,
            unsets=unsets,
            patience=parse_duration(patience),
            force=force,
        )
    change = Change(
        redrive.view(plan),
        redrive.to_json(plan),
        lambda cancel, on_progress: redrive.run(session, plan, cancel, on_progress),
        redrive.idle(plan),
    )
    raise click.exceptions.Exit(carry_out(run, change, execute, yes))
