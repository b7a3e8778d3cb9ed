"""A progress bar on stderr: redrawn in place on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

from console import text
from console.cli.output import note
from console.model import Progress

_FIRST_COUNT_S = 0.5
_REDRAW_S = 0.1
_LINE_S = 5.0
_WIDTH = 30


class Bar:
    """Takes progress from a worker thread (`show`) and draws it from the main one (`draw`)."""

    def __init__(self) -> None:
        self._newest: Progress | None = None
        self._drawn: Progress | None = None
        self._terminal = sys.stderr.isatty()
        self._next = 0.0 if self._terminal else time.monotonic() + _LINE_S
        self._shown = False

    def show(self, progress: Progress) -> None:
        """Note the newest progress; never blocks and never writes."""
        self._newest = progress

    def draw(self) -> None:
        """Write the newest progress if it is new and its time has come."""
        now = time.monotonic()
        newest = self._newest
        if newest is None or newest is self._drawn or now < self._next:
            return
        self._drawn = newest
        line = line_of(newest)
        if self._terminal:
            room = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{text.clip(line, room)}")
            self._next = now + _REDRAW_S
            self._shown = True
        else:
            sys.stderr.write(line + "\n")
            self._next = now + _LINE_S
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the bar off the terminal."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextlib.contextmanager
def counting() -> Iterator[Callable[[int], None]]:
    """How many messages a look has read so far, on a terminal's stderr while it lasts; nothing elsewhere.

    The look is `stoppable`.
    """
    terminal = sys.stderr.isatty()
    next_at = time.monotonic() + _FIRST_COUNT_S

    def seen(number: int) -> None:
        nonlocal next_at
        if terminal and time.monotonic() >= next_at:
            next_at = time.monotonic() + _REDRAW_S
            sys.stderr.write(f"\r\x1b[K{text.plural(number, 'message')} read so far; ctrl+c stops and gives them back")
            sys.stderr.flush()

    try:
        with stoppable():
            yield seen
    finally:
        if terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """While a look lasts SIGTERM ends it as SIGINT does, with `KeyboardInterrupt`; the first time says what follows."""
    stopping = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            if sys.stderr.isatty():
                sys.stderr.write("\r\x1b[K")
            note("stopping: what was leased is given back; once more leaves at once")
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def line_of(p: Progress) -> str:
    """One safe line: bar, done of total, rate, time left, failures, the note."""
    parts = []
    total = p.total
    if total:
        filled = min(_WIDTH, round(_WIDTH * (p.done + p.failed) / total))
        parts += ["█" * filled + "░" * (_WIDTH - filled), f"{p.done:,} of {total:,}"]
    else:
        parts.append(f"{p.done:,} done")
    if p.rate:
        parts.append(f"{text.rate(p.rate)}/s")
        if total and total > p.done:
            parts.append(f"{text.duration((total - p.done) / p.rate)} left")
    if p.failed:
        parts.append(f"{p.failed:,} failed")
    if p.note:
        parts.append(text.safe(p.note))
    return "  ".join(parts)
