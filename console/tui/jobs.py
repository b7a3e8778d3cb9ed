"""A change that runs: its thread, how far it is, and how it ended. The screen looks; it is never called back."""

from __future__ import annotations

import threading

from console.model import Outcome, Progress
from console.tui.backend import Change
from console.tui.feed import describe


class Running:
    """One confirmed change on its own daemon thread.

    `progress` and `outcome` are replaced, never changed, so the event loop may read them at any time; a screen looks
    ten times a second, however often the operation reports.
    """

    def __init__(self, change: Change) -> None:
        self.change = change
        self.cancel = threading.Event()
        self.progress: Progress | None = None
        self.outcome: Outcome | None = None
        self.error: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"run {change.view.kind}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def job_id(self) -> str:
        """The job's name in the journal, "" before it has one."""
        if self.outcome is not None:
            return self.outcome.job
        return self.progress.job if self.progress is not None else ""

    @property
    def shown_progress(self) -> Progress | None:
        """How far it is; once it is over, what its outcome says."""
        outcome = self.outcome
        if outcome is None:
            return self.progress
        total = outcome.done + outcome.failed + (outcome.left or 0)
        return Progress(outcome.job, outcome.done, outcome.failed, total) if total else None

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.outcome is not None or self.error is not None

    def farewell(self) -> tuple[str, ...]:
        """What to say on the terminal when the console is left while this was running."""
        if self.outcome is not None:
            return self.outcome.lines
        if self.error is not None:
            return (self.error,)
        if not self.job_id and self.change.view.kind in ("reset", "undo"):
            # A reset names its job before its first commit.
            return (f"{self.change.view.title}: had not begun, nothing was changed",)
        if self.job_id:
            return (f"{self.job_id} was stopped on the way; go on with: logq job resume {self.job_id} --execute",)
        return (f"{self.change.view.title}: stopped on the way; logq job list shows how far it came",)

    def _note(self, progress: Progress) -> None:
        self.progress = progress

    def _run(self) -> None:
        try:
            self.outcome = self.change.run(self.cancel, self._note)
        except Exception as error:  # whatever an operation raises is for the person who asked for it
            self.error = describe(error)
