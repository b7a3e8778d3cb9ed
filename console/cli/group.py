"""`logq group`: consumer groups, their partitions, and moving their offsets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from console import health, text, upkeep
from console.cli import shapes
from console.cli.change import Change, carry_out, executing, guard
from console.cli.options import NounGroup, Number
from console.cli.output import Answer, Column, Rows, emit, facts, styled, table, write
from console.cli.run import Run
from console.cli.topic import transaction_lines
from console.cli.waiting import Waiting, waiting
from console.errors import Unreachable, UsageError
from console.model import Group, GroupPartition, Problem, Severity

if TYPE_CHECKING:
    from console.ops.offsets import Strategy


@click.group("group", cls=NounGroup)
def command() -> None:
    """Consumer groups: list, show, reset offsets."""


_LOOKS = 3
"""The fewest looks after the first that movement can be told from."""


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


def not_counted(groups: Sequence[Group]) -> tuple[Problem, ...]:
    """The notice that the lag of groups leaves out partitions; none when all could be seen."""
    short = [(g, missing) for g in groups if (missing := health.not_counted(g))]
    if not short:
        return ()
    first, missing = short[0]
    if len(short) == 1:
        return (Problem(f"group {first.name}", "NOT_COUNTED", f"{missing} in its lag"),)
    named = ", ".join([*(g.name for g, _ in short[:4]), *(["…"] if len(short) > 4 else [])])
    message = f"the lag of {len(short):,} groups leaves out partitions that could not be seen: {named}"
    return (Problem("groups", "NOT_COUNTED", message),)


def worst_first(groups: tuple[Group, ...]) -> list[Group]:
    """Groups by how bad they are, then by lag, then by name."""
    return sorted(groups, key=lambda g: (-g.status.rank, -(g.lag or 0), g.name))


@command.command("list")
@click.pass_obj
def list_groups(run: Run) -> None:
    """Every group of the cluster, worst first."""
    from console.kafka.collector import held_back
    from console.ops import inspect

    session = run.session
    session.require_kafka()
    snapshot = inspect.kafka(session, once=True)
    if shapes.silent(snapshot):
        raise Unreachable(f"no broker listed its groups: {snapshot.problems[0].message}")
    with held_back():
        groups = worst_first(snapshot.groups)
        rows = Rows(groups, shapes.group)
        emit(
            run,
            Answer(
                lists={"groups": rows},
                rows=rows,
                fields=shapes.GROUP[:-1],
                page=lambda width, color: table(GROUP_COLUMNS, groups, width, color, _severity),
                at=snapshot.at,
                problems=(*snapshot.problems, *not_counted(groups)),
            ),
        )


@command.command("show")
@click.argument("group")
@click.option(
    "--over",
    type=Number(min=0, max=300),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Look again over this time: rates, time left and movement are told from it.",
)
@click.pass_obj
def show_group(run: Run, group: str, over: float) -> None:
    """One group: its members and every partition with start, committed, end, lag and who reads it."""
    from console.ops import closely, inspect

    session = run.session
    session.require_kafka()
    found = inspect.group(session, group)
    for _ in range(_LOOKS if over else 0):
        time.sleep(over / _LOOKS)
        found = inspect.group(session, group)
    held = closely.held_back(session, found)
    at = found.seen_at or time.time()
    bootstrap = session.settings.kafka.bootstrap if session.settings.kafka else ""
    partitions = found.partitions or ()
    rows = [shapes.partition(p) for p in partitions]
    emit(
        run,
        Answer(
            lists={
                "groups": [shapes.group(found)],
                "partitions": rows,
                "members": None if found.members is None else [shapes.member(m) for m in found.members],
                "transactions": [shapes.transaction(t, at, bootstrap) for t in held.transactions],
            },
            rows=rows,
            fields=shapes.PARTITION,
            page=lambda width, color: [
                *_facts(found, color),
                *transaction_lines(held.transactions, at, bootstrap, color),
                *_page(found, partitions, width, color),
            ],
            at=found.seen_at,
            problems=(*found.problems, *not_counted((found,)), *held.problems),
        ),
    )


def _facts(group: Group, color: bool) -> list[str]:
    limits = upkeep.type_limits(group.type)
    over = f" over {text.duration(group.rate_seconds)}" if group.rate_seconds else ""
    return facts(
        [
            ("group", group.name),
            ("type", group.type),
            *([("limits", limits)] if limits else []),
            ("state", group.state or text.DASH),
            ("status", group.status + (f": {group.reason}" if group.reason else "")),
            ("members", text.count(None if group.members is None else len(group.members))),
            ("lag", text.count(group.lag)),
            ("behind", text.behind(group.lag_seconds, group.lag_seconds_source)),
            *([("in/s", text.rate(group.produced_rate) + over)] if over else []),
            *([("out/s", text.rate(group.consumed_rate) + over)] if over else []),
            *([("catches up", said)] if (said := health.catches_up(group)) else []),
            ("lost", text.count(group.lost)),
            ("no commit", text.count(None if group.partitions is None else group.no_commit)),
        ],
        color,
    )


def _page(group: Group, partitions: tuple[GroupPartition, ...], width: int | None, color: bool) -> list[str]:
    lines = ["", *table(PARTITION_COLUMNS, partitions, width, color, _severity)]
    idle = [m for m in group.members or () if not any(numbers for _, numbers in m.assignment)]
    if idle:
        lines.append("")
        lines += [styled(text.safe(f"idle member {m.client_id} on {m.host}: {m.id}"), "dim", color) for m in idle]
    return lines


@command.command("reset")
@click.argument("group")
@click.option("--to-earliest", is_flag=True, help="To the oldest record held.")
@click.option("--to-latest", is_flag=True, help="To the end of the log: what is there now will not be read.")
@click.option("--to-offset", metavar="N", help="To one offset, in every partition.")
@click.option("--shift-by", metavar="N", help="Forward by N, or back by -N.")
@click.option("--to-datetime", metavar="T", help="To the first record at or after 2026-11-23T14:22:07Z (no zone: UTC).")
@click.option("--by-duration", metavar="D", help="Back by PT1H30M, 90s, 15m, 1h30m, 2d.")
@click.option("--to-current", is_flag=True, help="To where it is: commits the same offsets again.")
@click.option("--from-file", metavar="FILE", help="To the offsets of a file of topic,partition,offset (- is stdin).")
@click.option(
    "--topic", "topics", metavar="T[:P,…]", multiple=True, help="Only these topics or partitions; may be repeated."
)
@click.option("--create", is_flag=True, help="Make the group when there is none of that name (with --topic).")
@waiting
@click.option(
    "--export", is_flag=True, help="Print the new offsets as topic,partition,offset for --from-file; change nothing."
)
@executing
@click.pass_obj
def reset_group(
    run: Run,
    /,
    group: str,
    topics: tuple[str, ...],
    create: bool,
    export: bool,
    execute: bool,
    yes: bool,
    wait_empty: bool,
    wait_limit: str,
    reread: str,
    **strategies: str | bool | None,
) -> None:
    """Move a group's committed offsets: the plan, and with --execute the change.

    All topics of the group, or those named with --topic. The plan can be made while the group is in use; applying needs
    it stopped.
    """
    from console.ops import reset

    if export and execute:
        raise UsageError("--export prints offsets and --execute applies them: give one of them")
    strategy = _strategy(group, strategies)
    selection = tuple(reset.parse_selection(topic) for topic in topics)
    how = Waiting.parse(wait_empty, wait_limit, reread)
    guard(run, f"reset group {group}", execute, yes)
    session = run.session
    plan = reset.plan(session, group, strategy, selection, create, armed=wait_empty)
    if export:
        write(reset.csv(plan))
        return
    idle = f"nothing to do: {plan.idle}" if plan.idle and not plan.untouched else ""
    change = Change(reset.view(plan), reset.to_json(plan), how.job(session, plan), idle)
    raise click.exceptions.Exit(carry_out(run, change, execute, yes))


def _strategy(group: str, given: dict[str, str | bool | None]) -> Strategy:
    """The one strategy that was asked for. Raises `UsageError` when there is none, or more than one."""
    from console.ops.offsets import file_text, parse_strategy

    asked = {name: value for name, value in given.items() if value not in (None, False)}
    options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
    if len(asked) != 1:
        said = " and ".join(f"--{name.replace('_', '-')}" for name in asked)
        raise UsageError(f"say one way to reset, not {said}" if asked else f"say how to reset: one of {options}")
    ((name, value),) = asked.items()
    typed = value if isinstance(value, str) else ""
    kind = {"shift_by": "shift", "by_duration": "duration", "from_file": "from-file"}.get(
        name, name.removeprefix("to_")
    )
    if kind != "from-file":
        return parse_strategy(kind, typed, time.time())
    return replace(parse_strategy(kind, file_text(typed), time.time(), group), text=typed)
