"""A real terminal for the tests: the program under a pty, its raw bytes kept, and the screen those bytes draw."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping
from types import TracebackType

import pyte

KEYS = {"enter": "\r", "esc": "\x1b", "tab": "\t", "up": "\x1b[A", "down": "\x1b[B", "ctrl+c": "\x03", "ctrl+r": "\x12"}


class Terminal:
    """`logq …` running under a pty of a given size. Use as a context manager: it ends what it started.

    `raw` is every byte the program wrote; `screen()` what a person sees, line by line.
    """

    def __init__(
        self, *arguments: str, columns: int = 120, lines: int = 36, environment: Mapping[str, str] | None = None
    ) -> None:
        self.raw = bytearray()
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.exit_code: int | None = None
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            _set_size(0, columns, lines)  # before the program looks
            dropped = ("NO_COLOR", "CI", "COLUMNS", "LINES")
            own = {name: value for name, value in os.environ.items() if name not in dropped}
            own |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", **(environment or {})}
            # Its own environment: readline, where a test tool loads it, puts LINES and COLUMNS into the C library's.
            os.execve(sys.executable, [sys.executable, "-m", "console", *arguments], own)

    def resize(self, columns: int, lines: int) -> None:
        """Change the terminal's size, as dragging a window's corner does."""
        _set_size(self._fd, columns, lines)
        self._screen.resize(lines, columns)

    def press(self, *keys: str) -> None:
        """Type keys, by name ("enter", "esc") or as they are."""
        for key in keys:
            os.write(self._fd, KEYS.get(key, key).encode())
            # Escape and a key right after it are one key (alt), as any terminal program has to take them.
            self.read(0.4 if key == "esc" else 0.05)

    def read(self, seconds: float) -> None:
        """Take in what the program writes for so long."""
        limit = time.monotonic() + seconds
        while (left := limit - time.monotonic()) > 0:
            ready, _, _ = select.select([self._fd], [], [], left)
            if not ready:
                return
            try:
                data = os.read(self._fd, 65536)
            except OSError:  # the other end is closed: the program has ended
                return
            if not data:
                return
            self.raw += data
            self._stream.feed(data)

    def screen(self) -> str:
        """The picture as text."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def wait_for(self, what: str | Callable[[str], bool], seconds: float = 30.0) -> str:
        """Wait until the screen shows a text (or fulfils a condition); fails with the screen when it never does."""
        limit = time.monotonic() + seconds
        while True:
            self.read(0.1)
            seen = self.screen()
            if what(seen) if callable(what) else what in seen:
                return seen
            assert time.monotonic() < limit, f"never seen: {what!r}; the screen is\n{seen}"

    def wait_exit(self, seconds: float = 10.0) -> float:
        """Wait for the program to end; returns how many seconds that took, sets `exit_code`."""
        started = time.monotonic()
        while self.exit_code is None:
            self.read(0.02)
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.exit_code = os.waitstatus_to_exitcode(status)
                break
            assert time.monotonic() - started < seconds, f"still running; the screen is\n{self.screen()}"
        return time.monotonic() - started

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
        os.close(self._fd)


def _set_size(fd: int, columns: int, lines: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
