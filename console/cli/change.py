"""A change from the command line: the plan, the question, the run with its progress, the outcome.

Without `--execute` the plan is printed and that is all. With it a person at a terminal is asked (on a production
profile: to type the target's name), a script says `--yes`. Ctrl-C stops at the next batch boundary.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click
from msgspec import Struct

from console import text
from console.cli import shapes
from console.cli.output import Column, envelope, facts, note, report, styled, table, terminal_width, write
from console.cli.progress import Bar
from console.cli.run import Run
from console.errors import Refused
from console.model import Outcome, Progress
from console.ops.plan import PlanView, printed

Job = Callable[[threading.Event, Callable[[Progress], None]], Outcome]

EXIT_CODES = {"done": 0, "running": 0, "partly": 4, "failed": 1, "cancelled": 130, "interrupted": 130, "paused": 4}

_NUMERIC = frozenset("0123456789,.–+-~=><%")


class Change(Struct, frozen=True):
    """A change that was planned: its plan in words and as the journal keeps it, and what runs it (blocking).

    `idle` says why there is nothing to do, "" when there is.
    """

    view: PlanView
    plan: dict[str, Any]
    run: Job
    idle: str = ""


def executing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--execute` and `--yes` to a command that changes something."""
    command = click.option("--yes", is_flag=True, help="With --execute: do not ask (for scripts).")(command)
    return click.option("--execute", is_flag=True, help="Do it; without this the plan is printed and nothing changes.")(
        command
    )


def guard(run: Run, what: str, execute: bool, yes: bool) -> None:
    """Refuse what cannot go on before anything is asked of a server. Raises `Refused`."""
    if not execute:
        return
    from console.ops.guard import require_writable

    require_writable(run.settings, what)
    if not yes and not _asks():
        raise Refused(f"refused to {what}: there is no terminal to confirm at; add --yes")


def carry_out(run: Run, change: Change, execute: bool, yes: bool) -> int:
    """Print the plan; with `execute` ask, run it, print the outcome. Returns the exit code. Raises `Refused`."""
    if not execute:
        _print_plan(run, change)
        if run.settings.read_only:
            note("read-only: this plan cannot be executed here")
        return 0
    quiet = run.output != "table"
    if change.idle:
        _print_plan(run, change)
        note(change.idle)
        return 0
    if not (quiet and yes):
        _show(change.view, to_stderr=quiet, color=run.color)
    if not yes:
        confirm(run, change.view)
    outcome = perform(change.run)
    if quiet:
        _print_rows(
            run, {"plan": printed(change.plan), "outcome": shapes.outcome(outcome)}, shapes.outcome(outcome), outcome
        )
    else:
        print_outcome(run, outcome)
    return EXIT_CODES.get(outcome.state, 1)


def _asks() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(run: Run, view: PlanView) -> None:
    """Ask on the terminal. A production profile and a purge want the target's name; Enter alone is no.

    Raises `Refused`.
    """
    if not _asks():
        raise Refused(f"refused to {view.title}: there is no terminal to confirm at; add --yes")
    if view.typed(run.settings.production):
        why = "production" if run.settings.production else view.title
        question = f"{text.safe(why)}: type the name {text.safe(view.target)} to go on: "
        agreed = _answer(question) == view.target
    else:
        agreed = _answer(f"{text.safe(view.title)}? [y/N] ").lower() in ("y", "yes")
    if not agreed:
        raise Refused("not confirmed: nothing was changed")


def _answer(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def perform(job: Job) -> Outcome:
    """Run a change on a thread of its own with a progress bar; Ctrl-C asks it to stop and waits for the batch to end.

    A second Ctrl-C leaves at once (`KeyboardInterrupt`): the journal has what is needed to go on.
    """
    cancel = threading.Event()
    result: list[Outcome] = []
    failure: list[BaseException] = []
    bar = Bar()

    def work() -> None:
        try:
            result.append(job(cancel, bar.show))
        except BaseException as error:  # handed to the caller's thread
            failure.append(error)

    with _stopping(cancel, bar):
        worker = threading.Thread(target=work, name="change", daemon=True)
        worker.start()
        # Short joins: a signal's handler runs between them on every platform.
        while worker.is_alive():
            worker.join(0.1)
            bar.draw()
    bar.clear()
    if failure:
        raise failure[0]
    return result[0]


@contextmanager
def _stopping(cancel: threading.Event, bar: Bar) -> Any:
    """SIGINT and SIGTERM set `cancel` the first time and interrupt the second time."""

    def stop(signum: int, frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()
        bar.clear()
        note("stopping at the end of this batch; once more leaves at once")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---------------------------------------------------------------- printing


def print_outcome(run: Run, outcome: Outcome) -> None:
    """The outcome for people on stdout, its problems on stderr."""
    left = f", {text.count(outcome.left)} left" if outcome.left else ""
    failed = f", {text.count(outcome.failed)} failed" if outcome.failed else ""
    lines = [f"{outcome.state}: {text.count(outcome.done)} done{failed}{left}"]
    lines += [text.safe(line) for line in outcome.lines]
    if outcome.job:
        lines.append(f"job: {text.safe(outcome.job)}")
    write("".join(line + "\n" for line in lines))
    report(outcome.problems)


def emit_outcome(run: Run, outcome: Outcome) -> int:
    """Print an outcome that has no plan of its own in the way this call asks for; the exit code."""
    if run.output == "table":
        print_outcome(run, outcome)
    else:
        _print_rows(run, {"outcome": shapes.outcome(outcome)}, shapes.outcome(outcome), outcome)
    return EXIT_CODES.get(outcome.state, 1)


def _print_plan(run: Run, change: Change) -> None:
    if run.output == "table":
        _show(change.view, to_stderr=False, color=run.color)
    else:
        plan = printed(change.plan)
        _print_rows(run, {"plan": plan}, plan, None)


def _print_rows(run: Run, lists: dict[str, Any], row: dict[str, Any], outcome: Outcome | None) -> None:
    """JSON as one envelope; jsonl and csv print the plan's entries where it has some, else the one object."""
    import json

    from console.cli.output import as_csv

    problems = outcome.problems if outcome else ()
    if run.output == "json":
        write(json.dumps(envelope(lists, None, problems), indent=2) + "\n")
        return
    rows = row.get("entries") or [row]
    if run.output == "jsonl":
        write("".join(json.dumps(entry) + "\n" for entry in rows))
    else:
        write(as_csv(rows, list(rows[0])))
    report(problems)


def _show(view: PlanView, to_stderr: bool, color: bool) -> None:
    """The plan for people: on stdout, or on stderr when stdout is for data."""
    lines = plan_lines(view, None if to_stderr else terminal_width(), color and not to_stderr)
    if to_stderr:
        sys.stderr.write("".join(line + "\n" for line in lines))
        sys.stderr.flush()
    else:
        write("".join(line + "\n" for line in lines))
        sys.stdout.flush()


def plan_lines(view: PlanView, width: int | None, color: bool) -> Iterable[str]:
    """The plan as lines: title, facts, the diff, warnings, how it is undone, the command that does it."""
    lines = [styled("plan: " + text.safe(view.title), "bold", color)]
    lines += facts(view.facts, color)
    if view.rows:
        lines.append("")
        lines += table(_columns(view), view.rows, width, color)
    if view.warnings:
        lines.append("")
        lines += [styled("▲", "warn", color) + " " + text.safe(warning) for warning in view.warnings]
    lines.append("")
    lines += facts((*((("undo", view.undo),) if view.undo else ()), ("command", view.command)), color)
    return lines


def _columns(view: PlanView) -> list[Column[tuple[str, ...]]]:
    last = len(view.columns) - 1
    return [
        Column(
            label,
            cell=lambda row, i=i: row[i],  # type: ignore[misc]
            align="right" if all(set(row[i]) <= _NUMERIC or row[i] == "stays" for row in view.rows) else "left",
            least=12 if i in (0, last) else None,
            drop=i if 2 < i < last else 0,
        )
        for i, label in enumerate(view.columns)
    ]
