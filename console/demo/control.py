"""The story from outside: starts its process, sends it commands, knows its last state.

No method waits for the story except `wait_started` and `stop`, so a screen may call them from its event loop.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

STOP_S = 4.0
_AWS = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")


@dataclass(frozen=True, slots=True)
class DemoState:
    """How the story stands: `running` while its process lives, `broken` while the bad release is out.

    `elapsed` and `next_in` are seconds, `next_event` is None when nothing comes within a minute; `orders`
    counts those produced so far; `problem` says why the story ended by itself, or could not start.
    """

    running: bool = True
    broken: bool = False
    elapsed: float = 0.0
    last_event: str = ""
    next_event: str | None = None
    next_in: float | None = None
    orders: int = 0
    problem: str | None = None


class StoryHandle:
    """A story that plays in a child process, which ends when this one does."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._state = DemoState()
        self._changed = threading.Condition()
        self._stopping = False
        threading.Thread(target=self._listen, name="demo-story", daemon=True).start()

    @property
    def pid(self) -> int:
        """The story's process."""
        return self._process.pid

    def state(self) -> DemoState:
        """The last state heard, half a second old at most while it runs."""
        return self._state

    def deploy_fix(self) -> None:
        """The release that handles panoramas goes out; a few seconds later billing and analytics recover too."""
        self._send("fix")

    def break_it(self) -> None:
        """The bad release is back, and the other troubles follow it."""
        self._send("break")

    def wait_started(self, timeout: float) -> bool:
        """Waits until topics and queues exist and orders flow; False when that took longer or the story ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._state.orders > 0 or not self._state.running, timeout)
        return self._state.running and self._state.orders > 0

    def stop(self) -> None:
        """Ends the story, within some 4 s whatever its clients wait for; may be called again."""
        self._stopping = True
        self._send("stop")
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(OSError):
            self._in.close()

    def kill(self) -> None:
        """Ends the story's process at once; its consumers do not leave their groups. May be called after `stop`."""
        self._stopping = True
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._in.close()

    @property
    def _in(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _send(self, command: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # it has ended: `state` says so
            self._in.write(json.dumps({"command": command}) + "\n")
            self._in.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError, TypeError):
                self._heard(replace(self._state, **json.loads(line)))
        code = self._process.wait()
        problem = self._state.problem
        if not self._stopping and problem is None:
            problem = f"the story's process ended with {code}"
        self._heard(replace(self._state, running=False, problem=problem))

    def _heard(self, state: DemoState) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()


def start(
    bootstrap: str, endpoint_url: str, region: str, *, log: Path | None = None, replication: int = 1
) -> StoryHandle:
    """Starts the story on these servers and returns at once. What its services complain about goes to `log`."""
    command = [sys.executable, "-m", "console.demo.story"]
    command += ["--bootstrap", bootstrap, "--endpoint-url", endpoint_url, "--region", region]
    command += ["--replication", str(replication)]
    with contextlib.ExitStack() as stack:
        errors: Any = stack.enter_context(log.open("ab")) if log else subprocess.DEVNULL
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
            encoding="utf-8",
        )
    return StoryHandle(process)


def environment() -> dict[str, str]:
    """This process's environment, but with made-up AWS credentials: the demo never uses anybody's own."""
    kept = {name: value for name, value in os.environ.items() if name not in _AWS}
    return {**kept, "AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo"}
