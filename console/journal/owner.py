"""Who runs a job: a process is known by its host, its id and the moment it started, for ids are used again."""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Owner:
    """A process on a host; `started` is an opaque text that differs for another process of the same id."""

    host: str
    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether that very process still runs; one on another host cannot be seen and counts as running."""
        if self.host != platform.node():
            return True
        return started(self.pid) == self.started


def started(pid: int) -> str:
    """When a process of this host started, as the system tells it; "" when there is no such process."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The name in brackets may hold anything; the state is the 1st field after it, the start time the 20th.
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in ("Z", "X") else f"{_boot()}/{fields[19]}"
    asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


@cache
def _boot() -> str:
    """Start times count from the boot: after another boot the same number is another process."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def this_process() -> Owner:
    """The process that runs this."""
    return Owner(platform.node(), os.getpid(), started(os.getpid()))


def operator() -> str:
    """Who is at the keyboard, as the system knows them: `user@host`."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = "unknown"
    return f"{user}@{platform.node()}"
