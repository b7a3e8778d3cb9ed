"""How far a running change is: one line with a bar, counts, rate and what is left of the time."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from console.model import Progress
from console.text import count, duration, rate, safe
from widgets.line import Line

_MOST_BAR = 40
_LEAST_BAR = 8


def seconds_left(progress: Progress) -> float | None:
    """How long the rest takes at the present rate, seconds; None when total or rate are unknown or the rate is 0."""
    if progress.total is None or not progress.rate or progress.rate <= 0:
        return None
    return max(0, progress.total - progress.done - progress.failed) / progress.rate


class ProgressLine(Line):
    """A line driven by `console.model.Progress`; with an unknown total no bar and no time left, only counts."""

    DEFAULT_CSS = """
    ProgressLine {
        color: $foreground;
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._progress: Progress | None = None

    @property
    def progress(self) -> Progress | None:
        """What is shown now."""
        return self._progress

    def show(self, progress: Progress | None) -> None:
        """Shows this; None empties the line."""
        self._progress = progress
        self.refresh()

    def line(self, width: int) -> Text:
        """Bar, counts, rate, time left, failures, note: what has no room goes from the end, the failures stay."""
        text = Text(" ", no_wrap=True, end="")
        progress = self._progress
        if progress is None:
            return text
        counts = self._counts(progress)
        failed = Text(f"✖ {count(progress.failed)} failed", "bold $error") if progress.failed else Text()
        used = cell_len(counts.plain) + (cell_len(failed.plain) + 2 if failed.plain else 0) + 2
        if progress.total is not None:
            bar = min(_MOST_BAR, width - used - 2)
            if bar >= _LEAST_BAR:
                _bar(text, progress, bar)
                text.append("  ")
        text.append_text(counts)
        if failed.plain:
            text.append("  ")
            text.append_text(failed)
        note = safe(progress.note, max(1, width)) if progress.note else ""
        if note and cell_len(text.plain) + 6 < width:
            text.append("  ")
            text.append(note, "$text-muted")
        return text

    def _counts(self, progress: Progress) -> Text:
        handled = progress.done + progress.failed
        text = Text()
        text.append(count(handled), "bold")
        if progress.total is not None:
            text.append(f" of {count(progress.total)}", "$text-muted")
            if progress.total > 0:
                text.append(f"  {min(100, 100 * handled // progress.total)} %")
        if progress.rate is not None:
            text.append(f"  {rate(progress.rate)}/s", "$text-muted")
        left = seconds_left(progress)
        if left is not None:
            text.append(f"  ~{duration(left)} left", "$text-muted")
        return text


def _bar(text: Text, progress: Progress, width: int) -> None:
    """Writes the bar: what is done, what has failed (another sign as well as another colour), what is to come."""
    total = max(progress.total or 0, progress.done + progress.failed, 1)
    done = width * progress.done // total
    failed = min(width - done, -(-width * progress.failed // total))
    text.append("━" * done, "$success")
    text.append("╳" * failed, "$error")
    text.append("─" * (width - done - failed), "$text-disabled")
