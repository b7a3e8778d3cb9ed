"""`logq job`: the journal of changes, and what can be done about one: resume, cancel, undo, prove."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from console import text
from console.cli import shapes
from console.cli.change import Change, carry_out, executing, guard
from console.cli.options import NounGroup
from console.cli.output import Answer, Column, emit, facts, table, write
from console.cli.run import Run
from console.cli.waiting import Waiting, waiting
from console.errors import UsageError
from console.model import Job, Severity
from console.ops.plan import PlanView, printed

if TYPE_CHECKING:
    from console.ops.session import Session


@click.group("job", cls=NounGroup)
def command() -> None:
    """The journal of changes: list, show, pause, resume, cancel, undo, receipt."""


_LOUD = {"failed": Severity.BAD, "partly": Severity.WARN, "interrupted": Severity.WARN, "cancelled": Severity.WARN}


def _severity(job: Job) -> Severity:
    return _LOUD.get(job.state, Severity.OK)


JOB_COLUMNS: tuple[Column[Job], ...] = (
    Column("job", lambda j: j.id),
    Column("source", lambda j: j.source, least=12, drop=1),
    Column("target", lambda j: j.target, least=12, drop=2),
    Column("state", lambda j: j.state),
    Column("done", lambda j: text.count(j.done), "right"),
    Column("failed", lambda j: text.count(j.failed), "right"),
    Column("left", lambda j: text.count(j.left), "right"),
    Column("started", lambda j: text.utc(j.started), drop=3),
    Column("finished", lambda j: text.utc(j.finished), drop=4),
)


def _session(run: Run) -> Session:
    """The session for the journal alone: no side is needed to read it."""
    return run.session_for(run.settings)


@command.command("list")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, metavar="N", help="The newest N."
)
@click.pass_obj
def list_jobs(run: Run, limit: int) -> None:
    """The newest changes. `interrupted` is one whose process has gone: resume finishes it."""
    jobs = _session(run).journal.jobs(limit)
    rows = [shapes.job(j) for j in jobs]
    emit(
        run,
        Answer(
            lists={"jobs": rows},
            rows=rows,
            fields=shapes.JOB,
            page=lambda width, color: table(JOB_COLUMNS, jobs, width, color, _severity),
        ),
    )


@command.command("show")
@click.argument("job")
@click.pass_obj
def show_job(run: Run, job: str) -> None:
    """One change: how far it is, what was asked, its audit trail. A unique beginning of its name is enough."""
    from console.ops import jobs

    session = _session(run)
    journal = session.journal
    found = journal.job(job)
    trail = journal.trail(found.id)
    row = shapes.job(found)
    counts = jobs.outcomes(journal, found)

    def page(width: int | None, color: bool) -> list[str]:
        lines = facts(
            [
                ("job", found.id),
                ("kind", found.kind),
                ("source", found.source),
                ("target", found.target),
                ("state", found.state),
                ("done", text.count(found.done)),
                ("failed", text.count(found.failed)),
                ("left", text.count(found.left)),
                ("started", text.utc(found.started)),
                ("finished", text.utc(found.finished)),
                ("operator", journal.operator(found.id)),
                ("entries", ", ".join(f"{count:,} {state}" for state, count in sorted(counts.items())) or text.DASH),
                ("command", found.command or text.DASH),
                ("note", found.note or text.DASH),
                *[("came back", line) for line in (jobs.bounces(session, found.id) if counts else ())],
                ("next", ", ".join(_next(found)) or text.DASH),
            ],
            color,
        )
        lines.append("")
        lines += [f"{text.utc(line.at)}  {text.safe(line.operator)}  {text.safe(line.line)}" for line in trail]
        return lines

    emit(
        run,
        Answer(
            lists={
                "jobs": [row],
                "entries": counts,
                "plan": printed(journal.plan(found.id)),
                "note": shapes.raw(found.note),
                "command": shapes.raw(found.command),
                "trail": [
                    {"at": shapes.when(line.at), "operator": line.operator, "line": shapes.raw(line.line)}
                    for line in trail
                ],
            },
            rows=[row],
            fields=shapes.JOB,
            page=page,
        ),
    )


def _next(job: Job) -> list[str]:
    """What can be done about a job in its state."""
    steps = []
    if job.state in ("interrupted", "cancelled", "partly", "failed", "paused"):
        steps.append(f"logq job resume {job.id}")
    if job.state == "running":
        steps += [f"logq job pause {job.id}", f"logq job cancel {job.id}"]
    if job.undoable and (job.done or job.state == "interrupted"):
        steps.append(f"logq job undo {job.id}")
    if job.kind == "redrive" and job.source.startswith("sqs:") and job.done:
        steps.append(f"logq job verify {job.id}")
    return [*steps, f"logq job receipt {job.id}"]


@command.command("resume")
@click.argument("job")
@click.option("--force", is_flag=True, help="Read a selection even where that may move what stays on.")
@executing
@click.pass_obj
def resume_job(run: Run, /, job: str, force: bool, execute: bool, yes: bool) -> None:
    """Finish a change that was interrupted, cancelled or partly done; what was done is not done again."""
    from console.ops import jobs

    guard(run, f"resume job {job}", execute, yes)
    session = _session(run)
    found = session.journal.job(job)
    change = Change(
        _view(run, found, "resume", f"{text.count(found.left)} left, {text.count(found.done)} done"),
        {"kind": found.kind, "resumes": found.id, **shapes.job(found)},
        lambda cancel, on_progress: jobs.resume(session, found.id, cancel, on_progress, force=force),
        idle=f"nothing to do: job {found.id} is done" if found.state == "done" else "",
    )
    raise click.exceptions.Exit(carry_out(run, change, execute, yes))


@command.command("cancel")
@click.argument("job")
@executing
@click.pass_obj
def cancel_job(run: Run, /, job: str, execute: bool, yes: bool) -> None:
    """Ask a running change to stop at its next batch; it can be resumed.

    Also one whose process is gone while the server goes on with it (a native move).
    """
    from console.ops import jobs

    guard(run, f"cancel job {job}", execute, yes)
    session = _session(run)
    found = session.journal.job(job)
    server = jobs.left_to_server(session, found)
    what = "the server's move task is asked to stop, if it runs; what it has moved stays moved"
    change = Change(
        _view(run, found, "cancel", what if server else "stops at its next batch; what is done stays done"),
        {"kind": found.kind, "cancels": found.id, **shapes.job(found)},
        lambda cancel, on_progress: jobs.cancel(session, found.id),
        idle="" if server or found.state == "running" else f"nothing to do: job {found.id} is {found.state}",
    )
    raise click.exceptions.Exit(carry_out(run, change, execute, yes))


@command.command("verify")
@click.argument("job")
@click.option("--force", is_flag=True, help="Look even where the look itself may move messages on.")
@click.pass_obj
def verify_job(run: Run, job: str, force: bool) -> None:
    """Which messages of a redrive failed again: reads its dead-letter queue (a receive each).

    Exits 5 when some did, 4 when that is not known yet: messages still wait for their consumers, or not all was seen.
    Refused (3) where reading could move them on to that queue's own dead-letter queue.
    """
    from console.ops import jobs

    session = _session(run)
    found = session.journal.job(job)
    bounces = jobs.verify(session, found.id, force)
    row = {
        "job": found.id,
        "sent": bounces.sent,
        "came_back": bounces.back,
        "whole": bounces.whole,
        "waiting": bounces.waiting,
        "looked": bounces.looked,
        "note": shapes.raw(bounces.note),
        "failures": [{"label": shapes.raw(why), "count": many} for why, many in bounces.failures],
    }
    emit(
        run,
        Answer(
            lists={"verified": row},
            rows=[row],
            fields=tuple(row),
            page=lambda width, color: [text.safe(line) for line in bounces.lines],
        ),
    )
    if not bounces.proven:
        raise click.exceptions.Exit(5 if bounces.back else 4)


@command.command("pause")
@click.argument("job")
@executing
@click.pass_obj
def pause_job(run: Run, /, job: str, execute: bool, yes: bool) -> None:
    """Ask a running change to rest after its present batch, until it is resumed."""
    from console.ops import jobs

    guard(run, f"pause job {job}", execute, yes)
    session = _session(run)
    found = session.journal.job(job)
    change = Change(
        _view(run, found, "pause", "rests after its present batch until it is resumed; what is done stays done"),
        {"kind": found.kind, "pauses": found.id, **shapes.job(found)},
        lambda cancel, on_progress: jobs.pause(session, found.id),
        idle="" if found.state == "running" else f"nothing to do: job {found.id} is {found.state}",
    )
    raise click.exceptions.Exit(carry_out(run, change, execute, yes))


@command.command("undo")
@click.argument("job")
@click.option(
    "--export", is_flag=True, help="Print the old offsets as topic,partition,offset for --from-file; change nothing."
)
@waiting
@executing
@click.pass_obj
def undo_job(
    run: Run, /, job: str, export: bool, execute: bool, yes: bool, wait_empty: bool, wait_limit: str, reread: str
) -> None:
    """Bring back what a change replaced or deleted, where that is possible: a reset's offsets, a purge's messages."""
    from console.ops import purge_undo, reset

    if export and execute:
        raise UsageError("--export prints offsets and --execute applies them: give one of them")
    how = Waiting.parse(wait_empty, wait_limit, reread)
    guard(run, f"undo job {job}", execute, yes)
    session = _session(run)
    found = session.journal.job(job)
    if found.kind == "purge":
        planned = purge_undo.plan(session, found.id)
        sending = Change(
            purge_undo.view(planned),
            purge_undo.to_json(planned),
            lambda cancel, on_progress: purge_undo.run(session, planned, cancel, on_progress),
            idle=purge_undo.idle(planned),
        )
        raise click.exceptions.Exit(carry_out(run, sending, execute, yes))
    if found.kind not in ("reset", "undo"):
        raise UsageError(
            f"job {found.id} cannot be undone: a {found.kind} gives messages to consumers that may have them already; "
            f"logq job receipt {found.id} names them"
        )
    if export:
        write(reset.saved_csv(session, found.id))
        return
    plan = reset.plan_undo(session, found.id, armed=wait_empty)
    change = Change(
        reset.view(plan),
        reset.to_json(plan),
        how.job(session, plan),
        idle=f"nothing to do: {plan.idle}" if plan.idle and not plan.untouched else "",
    )
    raise click.exceptions.Exit(carry_out(run, change, execute, yes))


@command.command("receipt")
@click.argument("job")
@click.option(
    "--format", "form", type=click.Choice(["md", "jsonl"]), default="md", show_default=True, help="How to write it."
)
@click.pass_obj
def receipt(run: Run, job: str, form: str) -> None:
    """What a change did, for the incident: on stdout."""
    from console.ops import jobs

    content = jobs.receipt(_session(run), job, form)
    # Markdown is read by people, often on the terminal; jsonl is escaped by JSON.
    write(text.block(content, limit=len(content) * 8 + 1) if form == "md" else content)
    if not content.endswith("\n"):
        write("\n")


def _view(run: Run, job: Job, verb: str, what: str) -> PlanView:
    from console.ops.command import command_line

    return PlanView(
        kind=job.kind,
        title=f"{verb} {job.id}",
        facts=(
            ("job", job.id),
            ("kind", job.kind),
            ("from", job.source),
            ("to", job.target),
            ("state", job.state),
            ("what", what),
        ),
        command=command_line(run.settings, "job", verb, job.id, "--execute"),
        target=job.id,
    )
