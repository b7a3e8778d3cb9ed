"""What was changed: the journal's jobs, newest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from textual.app import ComposeResult

from console.model import Job
from console.tui import cells
from console.tui.jobs import Running
from console.tui.pane import Pane
from console.tui.screens import job as job_screen
from console.tui.screens.base import ConsoleScreen
from console.tui.subject import Subject
from console.tui.view import SortColumn
from widgets.grid import Column

JOB_COLUMNS = (
    Column("id", "job", 29, most=36),
    Column("kind", "what", 8, drop=6),
    Column("route", "on", 20, flex=2),
    Column("state", "state", 11, sortable=True),
    Column("done", "done", 8, align="right"),
    Column("failed", "failed", 6, align="right", drop=4),
    Column("left", "left", 7, align="right", drop=2),
    Column("started", "started", 14, drop=1, sortable=True),
    Column("note", "", 10, flex=2, drop=5),
)
JOB_SORTS: Mapping[str, SortColumn[Job]] = {
    "started": SortColumn(lambda job: job.started, largest_first=True),
    "state": SortColumn(lambda job: job.state),
}


class JobsScreen(ConsoleScreen):
    """The newest jobs; `name` puts the cursor on one."""

    scope: ClassVar[str] = "jobs"

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self._wanted = name

    def compose_body(self) -> ComposeResult:
        """One list."""
        yield Pane(
            "jobs",
            JOB_COLUMNS,
            cells.job_cell,
            lambda job: job.id,
            lambda job: Subject("job", job.id, job),
            lambda job: f"{job.id} {job.kind} {job.source} {job.target} {job.state} {job.note}".casefold(),
            JOB_SORTS,
            id="jobs",
        )

    def look(self) -> Callable[[], tuple[Job, ...]]:
        """The journal."""
        return self.console.backend.jobs

    def seen(self, value: tuple[Job, ...]) -> None:
        """Show the jobs."""
        pane: Pane[Job] = self.query_one("#jobs", Pane)
        pane.set_placeholder("no jobs yet: a reset or a redrive leaves one here")
        pane.show(value)
        if self._wanted and pane.grid.move_to(self._wanted):
            self._wanted = ""

    def _job(self) -> Job | None:
        found = self.subject()
        return found.item if found is not None and isinstance(found.item, Job) else None

    def offers(self, action: str, subject: Subject | None) -> bool:
        """Only what the job's state allows."""
        return job_screen.offered(action, subject)

    def do_open(self) -> None:
        """The job; one that runs here with its live progress."""
        job = self._job()
        if job is not None:
            self.console.push_screen(job_screen.JobScreen(self._here(job), job))

    def _here(self, job: Job) -> Running | None:
        return next((r for r in self.console.running.values() if r.job_id == job.id and not r.over), None)

    def do_resume(self) -> None:
        """Go on with a job."""
        if (job := self._job()) is not None:
            job_screen.resume(self, job)

    def do_undo(self) -> None:
        """Undo a job."""
        if (job := self._job()) is not None:
            job_screen.undo(self, job)

    def do_pause(self) -> None:
        """Let a job rest."""
        if (job := self._job()) is not None:
            job_screen.pause(self, "", job)

    def do_cancel(self) -> None:
        """Stop a job."""
        if (job := self._job()) is not None:
            job_screen.cancel(self, self._here(job), job)

    def do_verify(self) -> None:
        """Look for what of a redrive came back."""
        if (job := self._job()) is not None:
            job_screen.verify(self, job, lambda found: job_screen.tell(self, found))

    def words(self) -> tuple[str, ...]:
        """`logq job list`."""
        return ("job", "list")
