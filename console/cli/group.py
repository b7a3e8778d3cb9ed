"""`logq group`: consumer groups, their partitions, and moving their offsets."""

from __future__ import annotations

import click

from console import text
from console.cli import shapes
from console.cli.options import NounGroup
from console.cli.output import Answer, Column, emit, facts, styled, table
from console.cli.run import Run
from console.model import Group, GroupPartition, Severity


@click.group("group", cls=NounGroup)
def command() -> None:
    """Consumer groups: list, show, reset offsets."""


def _severity(item: Group | GroupPartition) -> Severity:
    return item.status.severity


GROUP_COLUMNS: tuple[Column[Group], ...] = (
    Column("group", lambda g: g.name, least=16),
    Column("type", lambda g: g.type, drop=6),
    Column("state", lambda g: g.state or text.DASH, drop=3),
    Column("members", lambda g: text.count(None if g.members is None else len(g.members)), "right", drop=4),
    Column("lag", lambda g: text.count(g.lag), "right"),
    Column("behind", lambda g: text.behind(g.lag_seconds, g.lag_seconds_source), "right"),
    Column("lost", lambda g: text.count(g.lost), "right", drop=2),
    Column("no commit", lambda g: text.count(None if g.partitions is None else g.no_commit), "right", drop=5),
    Column("topics", lambda g: ", ".join(g.topics) or text.DASH, least=8, drop=7),
    Column("reason", lambda g: g.reason, least=20, drop=1),
)

PARTITION_COLUMNS: tuple[Column[GroupPartition], ...] = (
    Column("topic", lambda p: p.topic, least=12),
    Column("p", lambda p: str(p.partition), "right"),
    Column("leader", lambda p: text.DASH if p.leader is None else str(p.leader), "right", drop=6),
    Column("start", lambda p: text.count(p.start), "right", drop=3),
    Column("committed", lambda p: text.count(p.committed), "right"),
    Column("end", lambda p: text.count(p.end), "right"),
    Column("lag", lambda p: text.count(p.lag), "right"),
    Column("lost", lambda p: text.count(p.lost), "right", drop=2),
    Column("behind", lambda p: text.behind(p.lag_seconds, p.lag_seconds_source), "right"),
    Column("client", lambda p: p.client_id or text.DASH, least=8, drop=4),
    Column("host", lambda p: p.host or text.DASH, least=8, drop=5),
    Column("reason", lambda p: p.reason or (p.problem.message if p.problem else ""), least=16, drop=1),
)


def worst_first(groups: tuple[Group, ...]) -> list[Group]:
    """Groups by how bad they are, then by lag, then by name."""
    return sorted(groups, key=lambda g: (-g.status.rank, -(g.lag or 0), g.name))


@command.command("list")
@click.pass_obj
def list_groups(run: Run) -> None:
    """Every group of the cluster, worst first."""
    from console.ops import inspect

    session = run.session
    session.require_kafka()
    snapshot = inspect.kafka(session)
    groups = worst_first(snapshot.groups)
    rows = [shapes.group(g) for g in groups]
    emit(
        run,
        Answer(
            lists={"groups": rows},
            rows=rows,
            fields=shapes.GROUP[:-1],
            page=lambda width, color: table(GROUP_COLUMNS, groups, width, color, _severity),
            at=snapshot.at,
            problems=snapshot.problems,
        ),
    )


@command.command("show")
@click.argument("group")
@click.pass_obj
def show_group(run: Run, group: str) -> None:
    """One group: its members and every partition with start, committed, end, lag and who reads it."""
    from console.ops import inspect

    session = run.session
    session.require_kafka()
    found = inspect.group(session, group)
    partitions = found.partitions or ()
    rows = [shapes.partition(p) for p in partitions]
    emit(
        run,
        Answer(
            lists={
                "groups": [shapes.group(found)],
                "partitions": rows,
                "members": None if found.members is None else [shapes.member(m) for m in found.members],
            },
            rows=rows,
            fields=shapes.PARTITION,
            page=lambda width, color: _page(found, partitions, width, color),
            at=found.seen_at,
            problems=found.problems,
        ),
    )


def _page(group: Group, partitions: tuple[GroupPartition, ...], width: int | None, color: bool) -> list[str]:
    lines = facts(
        [
            ("group", group.name),
            ("type", group.type),
            ("state", group.state or text.DASH),
            ("status", group.status + (f": {group.reason}" if group.reason else "")),
            ("members", text.count(None if group.members is None else len(group.members))),
            ("lag", text.count(group.lag)),
            ("behind", text.behind(group.lag_seconds, group.lag_seconds_source)),
            ("lost", text.count(group.lost)),
            ("no commit", text.count(None if group.partitions is None else group.no_commit)),
        ],
        color,
    )
    lines.append("")
    lines += table(PARTITION_COLUMNS, partitions, width, color, _severity)
    idle = [m for m in group.members or () if not any(numbers for _, numbers in m.assignment)]
    if idle:
        lines.append("")
        lines += [styled(text.safe(f"idle member {m.client_id} on {m.host}: {m.id}"), "dim", color) for m in idle]
    return lines
