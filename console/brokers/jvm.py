"""What both servers share: the Java command line, the environment, and ports on loopback."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from console.brokers import jars

HOST = "127.0.0.1"
# Small and quick to start rather than fast for ever: one garbage collector thread, the first compiler only.
_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)
BIND_FAILED = ("Address already in use", "BindException", "Failed to bind")


def command(heap_mb: int, folder: Path, *rest: str) -> tuple[str, ...]:
    """`java` with our flags and `heap_mb` MiB of heap; scratch files and a crash report stay in `folder`."""
    scratch = folder / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    crash = folder / "hs_err.log"
    return (
        str(jars.java()),
        f"-Xmx{heap_mb}m",
        *_FLAGS,
        f"-Djava.io.tmpdir={scratch}",
        f"-XX:ErrorFile={crash}",
        *rest,
    )


def environment(server: jars.Pinned) -> dict[str, str]:
    """The environment a server gets: its class path, and no credentials or Java options of ours."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    if sys.platform == "linux":
        kept["LC_ALL"] = "C.UTF-8"  # or Java does not find a folder whose name is not ASCII
    return {**kept, "CLASSPATH": jars.class_path(server)}


class Ports:
    """Free ports on loopback, held while the server that uses them may come and go.

    On Linux a bound socket that does not listen, with SO_REUSEADDR on both sides, keeps the port from everybody else
    and lets the server (Java sets SO_REUSEADDR) bind it. Elsewhere the port is only looked up, and the start is tried
    again when somebody was quicker.
    """

    def __init__(self, count: int) -> None:
        """Reserve `count` ports."""
        sockets = []
        for _ in range(count):
            holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((HOST, 0))
            sockets.append(holder)
        self.numbers: tuple[int, ...] = tuple(holder.getsockname()[1] for holder in sockets)
        self._held = sockets
        if sys.platform != "linux":
            self.release()

    def release(self) -> None:
        """Let the ports go."""
        for holder in self._held:
            holder.close()
        self._held = []
