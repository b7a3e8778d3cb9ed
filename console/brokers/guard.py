"""The process that outlives logq by a moment: starts the servers, and ends them when logq is gone, however it went.

Run as a script (`python -I -S guard.py FOLDER keep|remove`), with imports of the standard library only, so that it is
there in milliseconds and cannot fail for a reason of logq's. It makes FOLDER, then reads one JSON request a line on
stdin and answers each with one line on stdout. End of file on stdin is the sign that logq ended: quit, exception,
SIGTERM and `kill -9` all close the pipe. A parent id that changes is the second sign, for when a forked child still
holds the pipe open.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

GRACE_S = 5.0  # how long servers whose data is kept may take to close their logs
PARENT_CHECK_S = 1.0
PR_SET_PDEATHSIG = 1

children: dict[int, int | None] = {}  # pid -> exit status once reaped (negative: signal)


def start(argv: list[str], env: dict[str, str], log: str) -> int:
    """Start one server with stdin empty and both outputs appended to `log`; its pid. `OSError` without a log."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    empty = os.open(os.devnull, os.O_RDONLY)
    guard = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(empty, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            if libc is not None:
                # A guard that is itself killed takes its servers along; it has one thread, so the signal means its end.
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != guard:
                    os._exit(127)
            os.execve(argv[0], argv, env)
        except OSError as error:
            os.write(2, f"cannot run {argv[0]}: {error}\n".encode())
        finally:
            os._exit(127)
    os.close(output)
    os.close(empty)
    children[pid] = None
    return pid


def reap() -> None:
    """Note the exit status of every child that has ended."""
    for pid in [pid for pid, status in children.items() if status is None]:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            children[pid] = os.waitstatus_to_exitcode(status)


def send(pid: int, number: int) -> bool:
    """Signal a child that has not been reaped (so the pid is still its own); whether it was alive."""
    reap()
    if children.get(pid, 0) is not None:
        return False
    os.kill(pid, number)
    return True


def end_all(grace: float) -> None:
    """End every child: SIGTERM and up to `grace` seconds when there is something to keep, then SIGKILL."""
    if grace > 0:
        for pid in children:
            # A frozen process does not see SIGTERM until it runs again.
            send(pid, signal.SIGTERM)
            send(pid, signal.SIGCONT)
        until = time.monotonic() + grace
        while time.monotonic() < until and any(status is None for status in children.values()):
            time.sleep(0.02)
            reap()
    for pid in children:
        send(pid, signal.SIGKILL)
    until = time.monotonic() + GRACE_S
    while time.monotonic() < until and any(status is None for status in children.values()):
        time.sleep(0.01)
        reap()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do one request; what to answer. A request is one of `start`, `signal`, `poll`."""
    try:
        if request["do"] == "start":
            return {"pid": start(request["argv"], request["env"], request["log"])}
        if request["do"] == "signal":
            return {"alive": send(request["pid"], request["number"])}
        reap()
        return {"exit": children.get(request["pid"])}
    except OSError as error:
        return {"error": str(error)}


def main() -> None:
    """Serve requests until the parent is gone, then leave nothing behind."""
    folder, keep = sys.argv[1], sys.argv[2] == "keep"
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parent = os.getppid()
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=keep)
    sys.stdout.write(json.dumps({"pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    buffer = b""
    try:
        while os.getppid() == parent:
            if not select.select([0], [], [], PARENT_CHECK_S)[0]:
                continue
            chunk = os.read(0, 65536)
            if not chunk:
                break
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                os.write(1, json.dumps(answer(json.loads(line))).encode() + b"\n")
    except BrokenPipeError:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_all(GRACE_S if keep else 0)
        if not keep:
            import shutil

            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
