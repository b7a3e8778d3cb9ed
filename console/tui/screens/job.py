"""One change while it runs and after: progress, rate, time left, outcome, receipt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult

from console import text
from console.model import Job, Outcome, Progress
from console.ops.plan import OVERWRITTEN
from console.text import safe
from console.tui import cells, flows
from console.tui.jobs import Running
from console.tui.screens.base import ConsoleScreen
from console.tui.subject import Subject
from console.tui.summary import Summary, facts
from widgets.detail import Body, Detail, Facts, Section
from widgets.progress import ProgressLine

if TYPE_CHECKING:
    from console.ops.redrive_bounce import Bounces

UPDATES = 0.1
"""Seconds between two drawings of a running change's progress."""

_SIGNS = {
    "done": ("✔", "bold $good"),
    "failed": ("✖", "bold $bad"),
    **dict.fromkeys(("partly", "paused", "cancelled", "interrupted"), ("▲", "bold $warn")),
}


class JobScreen(ConsoleScreen):
    """A change that was begun here (`running`), or a job of the journal (`job`)."""

    scope: ClassVar[str] = "job"
    AUTO_FOCUS = "Detail"

    def __init__(self, running: Running | None = None, job: Job | None = None) -> None:
        super().__init__()
        self.running = running
        self.job = job
        self.receipt = ""
        self._shown_over = False
        self._named = ""
        self._ended: Job | None = None

    @property
    def crumb(self) -> str:
        """The job's name, once it has one."""
        return safe(self.job_id or "job", 60)

    @property
    def job_id(self) -> str:
        """The name in the journal, "" before it has one."""
        if self.job is not None:
            return self.job.id
        return self.running.job_id if self.running is not None else ""

    def compose_body(self) -> ComposeResult:
        """What it is, how far it is, how it ended."""
        yield Summary(id="summary")
        yield ProgressLine(id="progress")
        yield Detail(id="outcome")

    def mounted(self) -> None:
        """Look at a running change ten times a second."""
        if self.running is not None:
            self.set_interval(UPDATES, self.refresh_running)
            self.refresh_running()
        elif self.job is not None:
            self._show_job(self.job)

    def look(self) -> Callable[[], Any]:
        """A job of the journal is looked up every two seconds: another process may run it, or somebody resume it."""
        return self._in_journal

    def _in_journal(self) -> tuple[Job, str] | None:
        """The job as the journal has it; None while it runs here, or was never begun."""
        running, job_id = self.running, self.job_id
        if not job_id or (running is not None and not running.over):
            return None
        job = self.console.backend.job(job_id)
        # A receipt stays as it is as long as its job does.
        return job, (self.receipt if job == self.job else "") or self.console.backend.receipt(job_id)

    def seen(self, value: tuple[Job, str] | None) -> None:
        """Show the job as the journal has it; how it ended here stands only as long as that is how it is."""
        if value is None or (self.running is not None and (self._ended is None or value[0] == self._ended)):
            return
        if self.running is not None:
            self.running, self.receipt = None, ""
        self.job, receipt = value
        # While it runs its receipt grows; afterwards it stays as it is.
        self.receipt = receipt if self.job.state != "running" else ""
        self._show_job(self.job, receipt)

    def refresh_running(self) -> None:
        """How far the change is, and once it has ended, how."""
        running = self.running
        if running is None or self._shown_over:
            return
        if self.job_id != self._named:
            # With its name it can be paused: the footer says so.
            self._named = self.job_id
            self.refresh_keys()
            self.refresh_top()
        progress = running.shown_progress
        self.query_one(ProgressLine).show(progress if running.job_id else None)
        shouts: list[Text] = []
        if running.error is not None:
            # What to do about it stands at its end.
            head = Text.assemble(("✖ ", "bold $bad"), (safe(running.error, 1_000), "bold $foreground"), no_wrap=False)
        elif running.outcome is not None:
            head = outcome_line(running.outcome)
            if any(p.code == OVERWRITTEN for p in running.outcome.problems):
                shouts = [Text(safe(line, 600), style="bold $bad") for line in running.outcome.lines[:2]]
        else:
            words = "running …" if running.job_id or progress is None or not progress.note else progress.note
            if running.cancel.is_set():
                words = "stopping at the next safe point …"
            head = Text.assemble(("… ", "bold $key"), (safe(words, 400), "$muted"))
        view = running.change.view
        self.query_one(Summary).show(
            (Text(safe(view.title, 300), style="bold $key"), head, *shouts, facts(("job", self.job_id)))
        )
        if running.over:
            self._shown_over = True
            self.query_one("#outcome", Detail).show(self._outcome_sections(running), "outcome")
            self._fetch_job()
        else:
            found: list[Section] = [Facts("plan", view.facts)]
            if progress is not None and progress.waits:
                found.insert(0, Facts("waits for these to leave; x stops waiting, nothing was changed", progress.waits))
            self.query_one("#outcome", Detail).show(found, "plan")

    def _outcome_sections(self, running: Running) -> tuple[Section, ...]:
        found: list[Section] = []
        outcome = running.outcome
        if outcome is not None:
            if outcome.lines:
                found.append(Facts("outcome", tuple(("", line) for line in outcome.lines)))
            if outcome.problems:
                rows = tuple((p.where, f"{p.code}: {p.message}", "$warn") for p in outcome.problems)
                found.append(Facts("problems", rows))
        found.append(Facts("plan", running.change.view.facts))
        if running.change.view.command:
            found.append(Facts("the same from a shell", (("", running.change.view.command),)))
        return tuple(found)

    def _fetch_job(self) -> None:
        """The journal's own record, with the receipt, once the change is over."""
        job_id, backend = self.job_id, self.console.backend
        if not job_id:
            return

        def show(found: tuple[Job, str]) -> None:
            self.job, self.receipt = found
            self._ended = self.job
            detail = self.query_one("#outcome", Detail)
            if self.receipt:
                detail.show((*detail.sections, Body("receipt", self.receipt, "y copies it")), "outcome")
            self.refresh_keys()
            self.refresh_top()

        self.ask(lambda: (backend.job(job_id), backend.receipt(job_id)), show)

    def _show_job(self, job: Job, receipt: str = "") -> None:
        sign, style = _SIGNS.get(job.state, ("…", "bold $key"))
        route = job.source if job.target in ("", job.source) else f"{job.source} → {job.target}"
        self.query_one(Summary).show(
            (
                Text(safe(f"{job.kind} {route}", 300), style="bold $key"),
                Text.assemble(
                    (f"{sign} ", style), (job.state, style), (f"  {safe(job.note, 300)}", "$muted"), no_wrap=False
                ),
                facts(
                    ("done", cells.number(job.done)),
                    ("of", cells.number(job.total)),
                    ("failed", cells.number(job.failed) if job.failed else ""),
                    ("left", cells.number(job.left)),
                    ("started", text.utc(job.started) if job.started is not None else ""),
                    ("took", _took(job)),
                    ("undo", "u" if job.undoable else ""),
                ),
            )
        )
        done = Progress(job.id, job.done, job.failed, job.total) if job.total else None
        self.query_one(ProgressLine).show(done)
        found: list[Section] = []
        if receipt:
            found.append(Body("receipt", receipt, "y copies it"))
        if job.command:
            found.append(Facts("the same from a shell", (("", job.command),)))
        self.query_one("#outcome", Detail).show(found, "job")

    def subject(self) -> Subject | None:
        """The job: as the journal has it, or while it runs here by its name alone."""
        if self.job is None and self.running is None:
            return None
        return Subject("job", self.job_id, self.job)

    def offers(self, action: str, subject: Subject | None) -> bool:
        """Only what the job's state allows."""
        running = self.running is not None and not self.running.over
        if action == "pause" and self.running is not None and not self.job_id:
            return False  # it only waits to begin: there is nothing yet that could rest
        return running if action in ("cancel", "pause") and self.running is not None else offered(action, subject)

    def do_cancel(self) -> None:
        """Stop at the next safe point."""
        cancel(self, self.running, self.job)

    def do_pause(self) -> None:
        """Let it rest at the next safe point."""
        pause(self, self.job_id if self.running is not None and not self.running.over else "", self.job)

    def do_resume(self) -> None:
        """Go on with it."""
        if self.job is not None:
            resume(self, self.job)

    def do_undo(self) -> None:
        """Undo it."""
        if self.job is not None:
            undo(self, self.job)

    def do_verify(self) -> None:
        """Look for what came back; what is found stands in the receipt from then on."""
        job = self.job
        if job is None:
            return

        def show(found: Bounces) -> None:
            tell(self, found)
            self.receipt = ""
            if self.running is not None:
                self._fetch_job()
            else:
                self.do_refresh()

        verify(self, job, show)

    def do_copy(self) -> None:
        """Copy the receipt, or the job's name while there is none."""
        if self.receipt:
            self.console.copy(self.receipt, "the receipt")
        elif self.job_id:
            self.console.copy(self.job_id, "the job's name")

    def words(self) -> tuple[str, ...]:
        """`logq job show`."""
        return ("job", "show", self.job_id) if self.job_id else ("job", "list")


RESUMABLE = frozenset({"interrupted", "cancelled", "partly", "paused", "failed"})
"""The states from which a job can go on."""


def offered(action: str, subject: Subject | None) -> bool:
    """Whether a job's state allows an action."""
    job = subject.item if subject is not None else None
    if not isinstance(job, Job):
        return action not in ("resume", "undo", "cancel", "pause", "verify")
    match action:
        case "resume":
            return job.state in RESUMABLE
        case "undo":
            return job.undoable
        case "cancel":
            return job.state == "running" or may_run_at_server(job)
        case "pause":
            return job.state == "running"
        case "verify":
            return job.kind == "redrive" and job.source.startswith("sqs:") and job.state != "running" and job.done > 0
    return True


def may_run_at_server(job: Job) -> bool:
    """Whether the server may go on with a job whose process is gone; only its plan tells which engine it had."""
    return job.state == "interrupted" and job.kind == "redrive" and job.source.startswith("sqs:")


def outcome_line(outcome: Outcome) -> Text:
    """How a change ended, in one line."""
    sign, style = _SIGNS.get(outcome.state, ("…", "bold $key"))
    line = Text(f"{sign} {outcome.state}", style=style)
    line.append(f"  {text.count(outcome.done)} done", style="$foreground")
    if outcome.failed:
        line.append(f", {text.count(outcome.failed)} failed", style="bold $bad")
    if outcome.left:
        line.append(f", {text.count(outcome.left)} left", style="bold $warn")
    return line


def cancel(screen: ConsoleScreen, running: Running | None, job: Job | None) -> None:
    """Ask a job to stop: one that runs here at once, one of another process through the journal."""
    if running is not None and not running.over:
        running.cancel.set()
        screen.console.say("stopping at the next safe point …")
    elif job is not None and job.state == "running":
        said = f"asked {job.id} to stop at its next safe point"
        screen.ask(lambda: screen.console.backend.cancel(job.id), lambda _: screen.console.say(said))
    elif job is not None and may_run_at_server(job):
        screen.console.say("asking the server to stop …")
        said = f"{job.id} does not run any more; what was moved stays moved"
        screen.ask(lambda: screen.console.backend.cancel(job.id), lambda _: screen.console.say(said))
    else:
        screen.console.say("it is not running")


def pause(screen: ConsoleScreen, job_id: str, job: Job | None) -> None:
    """Ask a job to rest: one that runs here under `job_id`, or one of another process; through the journal both."""
    running = job_id or (job.id if job is not None and job.state == "running" else "")
    if running:
        screen.console.say("pausing at the next safe point …")
        screen.ask(lambda: screen.console.backend.pause(running), lambda _: None)
    else:
        screen.console.say("it is not running")


def resume(screen: ConsoleScreen, job: Job) -> None:
    """Plan going on with a job that stopped on the way."""
    if job.state in RESUMABLE:
        flows.confirm(screen, lambda: screen.console.backend.plan_resume(job))
    else:
        screen.console.say(f"nothing to resume: it is {job.state}")


def undo(screen: ConsoleScreen, job: Job) -> None:
    """Plan undoing a job."""
    if job.undoable:
        flows.confirm(screen, lambda: screen.console.backend.plan_undo(job))
    else:
        screen.console.say("it cannot be undone")


def verify(screen: ConsoleScreen, job: Job, show: Callable[[Bounces], None]) -> None:
    """Look into the dead-letter queue for what a redrive sent, and hand over what came back."""
    screen.console.say(f"looking into {safe(job.source, 100)} for what came back …")
    screen.ask(lambda: screen.console.backend.verify(job.id), show)


def tell(screen: ConsoleScreen, found: Bounces) -> None:
    """Say what came back; louder when something did."""
    said = "; ".join(found.lines)
    if found.back:
        screen.console.complain(said)
    else:
        screen.console.say(said)


def _took(job: Job) -> str:
    if job.started is None or job.finished is None:
        return ""
    return text.duration(max(0.0, job.finished - job.started))
