"""The options of changes to committed offsets: what they wait for before, and when they look again after."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from console.ops.times import parse_duration

if TYPE_CHECKING:
    import threading

    from console.cli.change import Job
    from console.model import Outcome, Progress
    from console.ops.reset import ResetPlan
    from console.ops.session import Session


def waiting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--wait-empty`, `--wait-limit` and `--reread` to a command that commits offsets."""
    for option in (
        click.option(
            "--reread",
            default="10s",
            show_default=True,
            metavar="D",
            help="When to read the offsets once more: a consumer that is no member may overwrite them. 0 does not.",
        ),
        click.option(
            "--wait-limit",
            default="10m",
            show_default=True,
            metavar="D",
            help="How long --wait-empty waits before it gives up.",
        ),
        click.option(
            "--wait-empty", is_flag=True, help="With --execute: wait until the group has no members, then apply."
        ),
    ):
        command = option(command)
    return command


class Waiting(Struct, frozen=True):
    """What the options said; `limit` and `reread` in seconds."""

    armed: bool
    limit: float
    reread: float

    @classmethod
    def parse(cls, wait_empty: bool, wait_limit: str, reread: str) -> Waiting:
        """From the options as typed. Raises `UsageError`."""
        again = 0.0 if reread.strip() in ("0", "0s") else parse_duration(reread)
        return cls(wait_empty, parse_duration(wait_limit), again)

    def job(self, session: Session, plan: ResetPlan) -> Job:
        """What runs a plan in this way."""
        from console.ops import reset

        def apply(cancel: threading.Event, on_progress: Callable[[Progress], None]) -> Outcome:
            if self.armed:
                return reset.run_when_empty(session, plan, self.limit, cancel, on_progress, self.reread)
            return reset.run(session, plan, cancel, on_progress, self.reread)

        return apply
