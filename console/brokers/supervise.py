"""Servers that never outlive logq: a handle on the guard process (`guard.py`), which starts and ends them.

The guard holds the other end of a pipe and runs in a session of its own, so that Ctrl-C in the terminal reaches logq
alone, and logq decides.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.errors import Failed

_GUARD = Path(__file__).with_name("guard.py")
_STOP_S = 15.0
_POLL_S = 0.03
_TAIL_LINES = 6
_TAIL_BYTES = 65536
_TAIL_CHARACTERS = 600


class Supervisor:
    """The guard process and the folder it looks after. One per set of servers; safe to use from several threads."""

    def __init__(self, directory: Path | None = None, keep: bool = False) -> None:
        """Start the guard. Without a directory a temporary one is made, and removed at the end unless `keep`.

        A directory that is given is always kept. `Failed` when the folder cannot be made.
        """
        if os.name == "nt":
            raise Failed("the demo's servers are started on Linux and macOS only: use WSL")
        keep = keep or directory is not None
        self.directory = (directory or Path(tempfile.gettempdir()) / f"logq-{os.urandom(6).hex()}").absolute()
        self.kept = keep
        self._lock = threading.Lock()
        self._known: set[int] = set()
        self._at_stop: list[Callable[[], None]] = []
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), str(self.directory), "keep" if keep else "remove"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        hello = self._read()
        if hello is None:
            self._process.wait()
            assert self._process.stderr is not None
            said = self._process.stderr.read().decode(errors="replace").strip().splitlines()
            raise Failed(f"cannot use {self.directory} for the servers: {said[-1] if said else 'the guard ended'}")

    @property
    def pid(self) -> int:
        """The guard's process id."""
        return self._process.pid

    def start(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> int:
        """Start a program with its output appended to `log`; its process id."""
        answer = self._ask({"do": "start", "argv": list(argv), "env": dict(env), "log": str(log)})
        pid = int(answer["pid"])
        self._known.add(pid)
        return pid

    def signal(self, pid: int, number: signal.Signals) -> bool:
        """Send a signal to a process started here; False when it has already ended."""
        return bool(self._ask({"do": "signal", "pid": pid, "number": int(number)})["alive"])

    def exit_code(self, pid: int) -> int | None:
        """The exit code of a process started here (negative: the signal that ended it), None while it runs."""
        code = self._ask({"do": "poll", "pid": pid})["exit"]
        return None if code is None else int(code)

    def wait(self, pid: int, timeout: float) -> bool:
        """Whether the process ended within `timeout` seconds."""
        until = time.monotonic() + timeout
        while self.exit_code(pid) is None:
            if time.monotonic() > until:
                return False
            time.sleep(_POLL_S)
        return True

    def at_stop(self, release: Callable[[], None]) -> None:
        """Call `release` when the servers have been ended."""
        self._at_stop.append(release)

    def stop(self) -> None:
        """End every server and the guard; a temporary folder is gone afterwards. May be called again.

        At once for a temporary folder; servers whose folder is kept get 5 s for a clean shutdown.
        """
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if self._process.returncode < 0:
            self._after_a_killed_guard()
        while self._at_stop:
            self._at_stop.pop()()

    def _after_a_killed_guard(self) -> None:
        # On Linux the kernel has ended the servers with their guard; elsewhere it is done here.
        for pid in self._known:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        self._known.clear()
        if not self.kept:
            import shutil

            shutil.rmtree(self.directory, ignore_errors=True)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.flush()
                answer = self._read()
            except (OSError, ValueError):
                answer = None
        if answer is None:
            raise Failed("the process that looks after the servers has ended: start logq demo again")
        if "error" in answer:
            raise Failed(f"cannot {request['do']} a server: {answer['error']}")
        return answer

    def _read(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None


@dataclass(slots=True)
class Server:
    """One server program: how to start it, and its process once started."""

    name: str
    supervisor: Supervisor
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    answers: Callable[[], bool]
    hopeless: tuple[str, ...] = ()  # words in its log after which it will never answer, though it may not end
    pid: int = 0
    log_start: int = 0  # bytes the log held before this start

    def start(self) -> None:
        """Start the program (again)."""
        self.log_start = self.log.stat().st_size if self.log.exists() else 0
        self.pid = self.supervisor.start(self.argv, self.env, self.log)

    def wait_ready(self, timeout: float, answers: Callable[[], bool] | None = None) -> None:
        """Return when it answers; `Failed` with the last lines of its log when it ends first or the time is up.

        `answers` asks another question than the server's own. `timeout` is in seconds.
        """
        until = time.monotonic() + timeout
        while not (answers or self.answers)():
            code = self.supervisor.exit_code(self.pid)
            if code is not None:
                raise Failed(f"{self.name} ended with {code} while starting: {self.tail()} (log: {self.log})")
            if self.log_says(self.hopeless):
                raise Failed(f"{self.name} cannot start: {self.tail()} (log: {self.log})")
            if time.monotonic() > until:
                raise Failed(f"{self.name} did not answer within {timeout:.0f} s: {self.tail()} (log: {self.log})")
            time.sleep(_POLL_S)

    def restart(self, timeout: float) -> None:
        """End it if it runs, start it again at the same address and wait until it answers, `timeout` seconds."""
        self.kill()
        self.start()
        self.wait_ready(timeout)

    def tail(self) -> str:
        """The last lines of its log in one line, without the frames of a stack trace."""
        lines = [line.strip() for line in self._end_of_log().splitlines()]
        told = [line for line in lines if line and not line.startswith(("at ", "..."))]
        return " / ".join(told[-_TAIL_LINES:])[-_TAIL_CHARACTERS:] or "its log is empty"

    def log_says(self, words: Sequence[str]) -> bool:
        """Whether what it logged since its start (the last 64 KiB of it) holds one of the words."""
        text = self._end_of_log()
        return any(word in text for word in words)

    def _end_of_log(self) -> str:
        try:
            with self.log.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(self.log_start, size - _TAIL_BYTES))
                return stream.read(_TAIL_BYTES).decode("utf-8", errors="replace")
        except OSError:
            return ""

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._end(signal.SIGKILL, 5.0)

    def terminate(self, timeout: float = 30.0) -> None:
        """SIGTERM, and wait until it is gone; `Failed` when it is not after `timeout` seconds."""
        self._end(signal.SIGTERM, timeout)

    def freeze(self) -> None:
        """SIGSTOP: it keeps its sockets and answers nothing."""
        self.supervisor.signal(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on."""
        self.supervisor.signal(self.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals, timeout: float) -> None:
        self.supervisor.signal(self.pid, number)
        if not self.supervisor.wait(self.pid, timeout):
            raise Failed(f"{self.name} (pid {self.pid}) still runs {timeout:.0f} s after {number.name}")
