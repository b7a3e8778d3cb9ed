"""`logq broker`: the brokers of the cluster and what each carries."""

from __future__ import annotations

import click

from console import text, upkeep
from console.cli import shapes
from console.cli.options import NounGroup
from console.cli.output import Answer, Column, emit, styled, table
from console.cli.run import Run
from console.model import Severity
from console.model_cluster import BrokerLoad, BrokersView


@click.group("broker", cls=NounGroup)
def command() -> None:
    """Brokers: list them with what they lead, hold and lack."""


COLUMNS: tuple[Column[BrokerLoad], ...] = (
    Column("broker", lambda b: str(b.broker.id), "right"),
    Column("address", lambda b: upkeep.address(b), least=12),
    Column("rack", lambda b: b.broker.rack or text.DASH, drop=4),
    Column("controller", lambda b: "active" if b.controller else "", drop=3),
    Column("leads", lambda b: text.count(b.leads), "right"),
    Column("replicas", lambda b: text.count(b.replicas), "right", drop=5),
    Column("out of sync", lambda b: text.count(b.behind), "right"),
    Column("size", lambda b: text.size(b.size), "right", drop=1),
    Column("free", lambda b: text.size(b.free), "right", drop=2),
    Column("reason", lambda b: upkeep.broker_trouble(b), least=16, drop=6),
)


def severity(load: BrokerLoad) -> Severity:
    """How loud a broker's line is."""
    return upkeep.broker_severity(load)


@command.command("list")
@click.pass_obj
def list_brokers(run: Run) -> None:
    """Every broker: address, rack, controller, partitions led and held, replicas out of sync, size on disk."""
    from console.ops import closely

    session = run.session
    session.require_kafka()
    seen = closely.brokers(session)
    rows = [shapes.broker(load) for load in seen.brokers]
    emit(
        run,
        Answer(
            lists={"brokers": rows, "cluster": seen.cluster_id, "controller": seen.controller},
            rows=rows,
            fields=shapes.BROKER,
            page=lambda width, color: _page(seen, width, color),
            at=seen.at,
            problems=seen.problems,
        ),
    )


def _page(seen: BrokersView, width: int | None, color: bool) -> list[str]:
    lines = table(COLUMNS, seen.brokers, width, color, severity)
    if seen.controller is not None and all(load.broker.id != seen.controller for load in seen.brokers):
        lines.append(styled(f"the active controller is node {seen.controller}, which is not a broker", "dim", color))
    return lines
