"""`logq doctor`: what can be reached and what is allowed."""

from __future__ import annotations

import time

import click

from console.cli import shapes
from console.cli.options import Command
from console.cli.output import Answer, emit, styled
from console.cli.run import Run
from console.errors import LogqError
from console.model_check import Check
from console.text import safe

_SIGNS = {True: "✔", False: "✖", None: "–"}
_STYLES = {True: None, False: "bad", None: "dim"}


@click.command("doctor", cls=Command)
@click.pass_obj
def command(run: Run) -> None:
    """One line per check, with the remedy; exit 1 when any failed."""
    from console.config import Settings
    from console.ops import doctor

    broken: tuple[Check, ...] = ()
    try:
        settings = run.settings
    except LogqError as error:
        settings = Settings()
        broken = (Check("settings", False, str(error)),)
    checks = broken + doctor.examine(run.session_for(settings), run.config_path)
    rows = [shapes.check(c) for c in checks]
    emit(
        run,
        Answer(
            lists={"checks": rows},
            rows=rows,
            fields=shapes.CHECK,
            page=lambda width, color: _page(checks, color),
            at=time.time(),
        ),
    )
    if any(c.ok is False for c in checks):
        raise click.exceptions.Exit(1)


def _page(checks: tuple[Check, ...], color: bool) -> list[str]:
    wide = max(len(safe(c.name)) for c in checks)
    lines = []
    for c in checks:
        remedy = f" -> {safe(c.remedy)}" if c.remedy and c.ok is not True else ""
        mark = styled(_SIGNS[c.ok], _STYLES[c.ok], color)
        lines.append(f"{mark} {safe(c.name):<{wide}}  {safe(c.message)}{remedy}")
    return lines
