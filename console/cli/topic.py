"""`logq topic`: topics, their partitions, and their records."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from console import text, upkeep
from console.cli import shapes
from console.cli.options import NounGroup
from console.cli.output import Answer, Column, emit, facts, styled, table
from console.cli.run import Run
from console.model import Group, Problem, Severity, Topic, TopicPartition
from console.model_cluster import OpenTransaction, TopicView


@click.group("topic", cls=NounGroup)
def command() -> None:
    """Topics: list, show, browse the records."""


def _replication(topic: Topic) -> int | None:
    return max((len(p.replicas) for p in topic.partitions), default=None)


TOPIC_COLUMNS: tuple[Column[Topic], ...] = (
    Column("topic", lambda t: t.name, least=16),
    Column("partitions", lambda t: text.count(len(t.partitions) or None), "right"),
    Column("replicas", lambda t: text.count(_replication(t)), "right", drop=2),
    Column("records", lambda t: text.count(t.records if t.partitions else None), "right"),
    Column("kind", lambda t: "dead letters" if t.dead_letter else "internal" if t.internal else "", drop=1),
    Column("reason", lambda t: t.problem.message if t.problem else _replicas(t).reason, least=16, drop=3),
)


def _partition_columns(view: TopicView) -> tuple[Column[TopicPartition], ...]:
    sizes, oldest = dict(view.sizes), dict(view.oldest)

    def age(p: TopicPartition) -> str:
        at = oldest.get(p.partition)
        return text.duration(None if at is None else max(0.0, view.at - at))

    return (
        Column("p", lambda p: str(p.partition), "right"),
        Column("leader", lambda p: "none" if p.leader is None else str(p.leader), "right"),
        Column("replicas", lambda p: ",".join(map(str, p.replicas)) or text.DASH, drop=4),
        Column("in sync", lambda p: ",".join(map(str, p.isr)) or text.DASH, drop=3),
        Column("start", lambda p: text.count(p.start), "right", drop=1),
        Column("end", lambda p: text.count(p.end), "right"),
        Column("stable end", lambda p: text.count(p.stable_end), "right", drop=6),
        Column("records", lambda p: text.count(upkeep.held(p)), "right", drop=2),
        Column("size", lambda p: text.size(sizes.get(p.partition)), "right", drop=7),
        Column("oldest", age, "right", drop=8),
        Column(
            "reason",
            lambda p: p.problem.message if p.problem else upkeep.replication((p,)).reason,
            least=16,
            drop=5,
        ),
    )


GROUP_COLUMNS: tuple[Column[Group], ...] = (
    Column("group", lambda g: g.name, least=16),
    Column("type", lambda g: g.type, drop=2),
    Column("state", lambda g: g.state or text.DASH, drop=1),
    Column("lag here", lambda g: text.count(g.lag), "right"),
    Column("behind", lambda g: text.behind(g.lag_seconds, g.lag_seconds_source), "right"),
)


def _replicas(topic: Topic) -> upkeep.Replication:
    return upkeep.replication(topic.partitions)


def _severity(topic: Topic) -> Severity:
    return Severity.BAD if topic.problem else _replicas(topic).severity


def _problems(topic: Topic) -> tuple[Problem, ...]:
    found = [topic.problem] if topic.problem else []
    return tuple(dict.fromkeys([*found, *(p.problem for p in topic.partitions if p.problem)]))


@command.command("list")
@click.pass_obj
def list_topics(run: Run) -> None:
    """Every topic, by name; `records` is the offsets held, an upper bound where compacted."""
    from console.ops import inspect

    session = run.session
    session.require_kafka()
    topics = inspect.topics(session)
    rows = [shapes.topic(t) for t in topics]
    emit(
        run,
        Answer(
            lists={"topics": rows},
            rows=rows,
            fields=shapes.TOPIC,
            page=lambda width, color: table(TOPIC_COLUMNS, topics, width, color, _severity),
            problems=tuple(dict.fromkeys(p for t in topics for p in _problems(t))),
        ),
    )


@command.command("show")
@click.argument("topic")
@click.pass_obj
def show_topic(run: Run, topic: str) -> None:
    """One topic: partitions with leaders, offsets and sizes, who reads it, how far back it goes, what holds it back."""
    from console.ops import closely, inspect

    session = run.session
    session.require_kafka()
    view = closely.topic(session, topic)
    found = view.topic
    rows = [shapes.topic_partition(found.name, p, view) for p in found.partitions]
    readers, problems = inspect.readers(session, topic)
    bootstrap = session.settings.kafka.bootstrap if session.settings.kafka else ""
    emit(
        run,
        Answer(
            lists={
                "topics": [shapes.topic(found)],
                "partitions": rows,
                "config": {name: shapes.raw(value) for name, value in found.config},
                "size": view.size,
                "oldest": shapes.when(view.oldest_at),
                "replayable": upkeep.replayable(view),
                "groups": None if readers is None else [shapes.group(g) for g in readers],
                "transactions": [shapes.transaction(t, view.at, bootstrap) for t in view.transactions],
            },
            rows=rows,
            fields=shapes.TOPIC_PARTITION,
            page=lambda width, color: _page(view, readers, bootstrap, width, color),
            problems=(*_problems(found), *view.problems, *problems),
        ),
    )


_TELLING = (
    *("cleanup.policy", "retention.ms", "retention.bytes", "min.insync.replicas", "max.message.bytes"),
    *("message.timestamp.type", "compression.type"),
)
"""The settings that explain what people see; the rest is in `-o json`."""


def _page(
    view: TopicView, readers: tuple[Group, ...] | None, bootstrap: str, width: int | None, color: bool
) -> list[str]:
    topic = view.topic
    lines = facts(
        [
            ("topic", topic.name),
            ("partitions", text.count(len(topic.partitions) or None)),
            ("replicas", text.count(_replication(topic))),
            *([("trouble", trouble)] if (trouble := _replicas(topic).reason) else []),
            ("records", text.count(topic.records if topic.partitions else None)),
            ("size", text.size(view.size)),
            *([("replay", said)] if (said := upkeep.replayable(view)) else []),
            *((name, value) for name, value in topic.config if name in _TELLING),
            *([("settings", f"{len(topic.config)} in all: -o json")] if topic.config else []),
        ],
        color,
    )
    lines += transaction_lines(view.transactions, view.at, bootstrap, color)
    lines += ["", *table(_partition_columns(view), topic.partitions, width, color, _partition_severity)]
    if readers:
        lines += ["", *table(GROUP_COLUMNS, readers, width, color, lambda g: g.status.severity)]
    elif readers is not None:
        lines += ["", styled("no group has committed on it", "dim", color)]
    return lines


def _partition_severity(p: TopicPartition) -> Severity:
    return upkeep.replication((p,)).severity


def transaction_lines(found: Sequence[OpenTransaction], now: float, bootstrap: str, color: bool) -> list[str]:
    """Open transactions in words, each with what ends it; safe to print."""
    lines = []
    for t in found:
        loud = upkeep.is_trouble(t, now, upkeep.LONG_OPEN)
        mark = styled("▲ " if loud else "  ", "warn" if loud else None, color)
        lines.append(mark + text.safe(upkeep.open_words(t, now)))
        lines.append(styled(f"    {text.safe(upkeep.remedy(t, now, bootstrap))}", "dim", color))
    return ["", *lines] if lines else []


@command.command("browse")
@click.argument("topic")
@click.option(
    "--from",
    "start",
    metavar="POSITION",
    help="From earliest, latest, an offset, a time (UTC without a zone) or 15m-ago; left out: the last records.",
)
@click.option("--to", "end", metavar="POSITION", help="Up to here, exclusive; default: the end as it is now.")
@click.option(
    "--partition", "partitions", type=click.IntRange(min=0), multiple=True, metavar="P", help="Only this one."
)
@click.option("--where", metavar="CEL", help="Only records for which this holds, for example value.amount > 100.")
@click.option("--last", type=click.IntRange(1, 100_000), metavar="N", help="The newest N (that match).  [default: 20]")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after the first N (that match).")
@click.option("--follow", is_flag=True, help="Then what is written, a line each, until Ctrl-C (which exits 0).")
@click.pass_obj
def browse_topic(
    run: Run,
    /,
    topic: str,
    start: str | None,
    end: str | None,
    partitions: tuple[int, ...],
    where: str | None,
    last: int | None,
    limit: int | None,
    follow: bool,
) -> None:
    """Records of a topic, merged over its partitions by time. Joins no group and commits nothing.

    --where is CEL over key, value, headers, partition, offset and timestamp. What was scanned, and whether that was the
    whole, is said on stderr and in JSON. With -o jsonl records are written as they are read, for any number of them.
    """
    from console.cli.browse import show
    from console.errors import UsageError
    from console.ops import browse

    if follow and end is not None:
        raise UsageError("--follow has no end: leave out --to")
    if follow and limit is not None:
        raise UsageError("--follow goes on until it is stopped: leave out --limit")
    if follow and run.output == "csv":
        raise UsageError("--follow writes lines: use -o jsonl")
    session = run.session
    now = time.time()
    stream = follow or run.output == "jsonl"
    asked = browse.browse(
        session,
        topic,
        start=browse.parse_position(start, now) if start is not None else None,
        end=browse.parse_position(end, now) if end is not None else None,
        partitions=partitions,
        where=where,
        last=last,
        limit=limit if limit is not None or stream or start is None else browse.PAGE,
    )
    code = show(run, asked, follow)
    if code:
        raise click.exceptions.Exit(code)
