"""logq at work in processes of its own while brokers die: only from outside is it seen that a client aborts one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from console.journal import Journal

TIMEOUT_S = 5.0

POLLING = """
import json, sys, time
from pathlib import Path
from console.config import KafkaSettings, Settings
from console.errors import LogqError
from console.ops import inspect
from console.ops.session import Session

bootstrap, state, timeout = sys.argv[1:4]
session = Session(Settings(kafka=KafkaSettings(bootstrap), state_dir=Path(state), timeout=float(timeout)))
while True:
    began, at = time.monotonic(), time.time()
    tick = {"at": at}
    try:
        seen = inspect.kafka(session)
    except LogqError as error:
        tick["error"] = str(error)
    else:
        tick["complete"] = seen.complete
        tick["down"] = [b.id for b in seen.brokers if b.reachable is False]
        tick["groups"] = {
            g.name: {
                "coordinator": g.coordinator,
                "old": any(p.code == "OLD" for p in g.problems),
                "committed": {f"{p.topic}/{p.partition}": p.committed for p in g.partitions or ()},
                "lag": None if g.problems else g.lag,
            }
            for g in seen.groups
        }
        tick["topics"] = {
            t.name: [
                {"leader": p.leader, "end": p.end, "in_sync": len(p.isr) == len(p.replicas)} for p in t.partitions
            ]
            for t in seen.topics
        }
    tick["took"] = time.monotonic() - began
    print(json.dumps(tick), flush=True)
    time.sleep(0.5)
"""

RESETS = """
import json, sys, threading, time
from pathlib import Path
from confluent_kafka import Consumer, KafkaException, TopicPartition
from console.config import KafkaSettings, Settings
from console.errors import LogqError
from console.ops import reset
from console.ops.session import Session

bootstrap, state, timeout, topic, *groups = sys.argv[1:]
session = Session(Settings(kafka=KafkaSettings(bootstrap), state_dir=Path(state), timeout=float(timeout)))

def committed(group, to):
    # Another client than ours says where the group is, however long that takes: nobody else moves it. A broker that
    # has just woken may still tell what it knew before it slept, so it is asked again for some seconds; by a new
    # client each time, for one may go on waiting for a coordinator that has moved.
    settings = {"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0, "socket.timeout.ms": 5000}
    until = time.monotonic() + 10
    while True:
        other = Consumer(settings)
        try:
            found = [tp.offset for tp in other.committed([TopicPartition(topic, p) for p in range(6)], 5)]
        except KafkaException:
            found = None
        finally:
            other.close()
        if found == [to] * 6 or (found is not None and time.monotonic() > until):
            return found
        time.sleep(0.2)

turn = 0
while True:
    for group in groups:
        turn += 1
        said = {"at": time.time(), "group": group, "to": turn % 10}
        began = time.monotonic()
        try:
            planned = reset.plan(session, group, reset.parse_strategy("offset", str(turn % 10), time.time()))
            outcome = reset.run(session, planned, threading.Event(), reread=0.5)
            said["state"], said["lines"] = outcome.state, outcome.lines
        except LogqError as error:
            said["error"] = str(error)
        said["took"] = time.monotonic() - began
        if said.get("state") == "done":
            said["committed"] = committed(group, turn % 10)
        print(json.dumps(said), flush=True)
        time.sleep(0.2)
"""


class Child:
    """A process that prints a JSON object a line until it is ended; `said` holds what came so far."""

    def __init__(self, code: str, *argv: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", code, *argv], stdout=subprocess.PIPE, text=True)
        self.said: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(json.loads(line))

    def since(self, at: float) -> list[dict[str, Any]]:
        """What began at or after a time."""
        return [said for said in list(self.said) if said["at"] >= at]

    def alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self._reader.join(10)


class Replays:
    """`logq replay`, one after the other for as long as it lasts; what stops is resumed, as its last line says."""

    def __init__(self, bootstrap: str, folder: Path, source: str, target: str, rate: int) -> None:
        self._logq = [sys.executable, "-m", "console", "-b", bootstrap, "--timeout", f"{TIMEOUT_S:g}", "-o", "json"]
        self._what = ["replay", source, "--to", f"kafka:{target}", "--rate", str(rate)]
        self._folder = folder
        self._environment = {**os.environ, "LOGQ_STATE_DIR": str(folder)}
        self._journal = Journal(folder / "journal.db")
        self._stem = target
        self.jobs: list[str] = []
        self.done: list[str] = []
        self.stops: list[str] = []
        self._begin()

    def _begin(self) -> None:
        self.jobs.append(f"{self._stem}-{len(self.jobs) + 1}")
        self._start(*self._what, "--job", self.jobs[-1])

    def _start(self, *argv: str) -> None:
        self._began = time.monotonic()
        self._out = (self._folder / "replay.out").open("w")
        self._err = (self._folder / "replay.err").open("w+")
        self.process = subprocess.Popen(
            [*self._logq, *argv, "--execute", "--yes"], stdout=self._out, stderr=self._err, env=self._environment
        )

    def _errors(self) -> str:
        self._out.close()
        with self._err as stream:
            stream.seek(0)
            return stream.read()

    def newest(self) -> str:
        """The last lines of the one at work, and of the last that stopped."""
        said = (self._folder / "replay.err").read_text().splitlines()[-2:]
        age = time.monotonic() - self._began
        return f"{said} for {age:.0f} s, before that {len(self.stops)} stops, the last {self.stops[-2:]}"

    def copied(self) -> int:
        """Records that all jobs have copied, as the journal knows."""
        # All of them are asked for: the resets of the other child soon push a replay out of the newest hundred.
        return sum(job.done for job in self._journal.jobs(limit=1_000_000) if job.id in self.jobs)

    def tend(self, go_on: bool = True) -> bool:
        """Resume or follow up what has ended; whether something runs."""
        code = self.process.poll()
        if code is None:
            return True
        err = self._errors()
        assert code in (0, 1, 4), f"it died: {code}\n{err}"
        assert "Traceback" not in err, err
        if code == 0:
            self.done.append(self.jobs[-1])
            if not go_on:
                return False
            self._begin()
            return True
        self.stops.append(err.splitlines()[-1])
        known = {job.id for job in self._journal.jobs(limit=1_000_000)}
        if self.jobs[-1] in known:
            self._start("job", "resume", self.jobs[-1])
        else:  # it could not even be planned
            self._start(*self._what, "--job", self.jobs[-1])
        return True

    def finish(self, seconds: float) -> None:
        """Wait for the last one."""
        ends = time.monotonic() + seconds
        while self.tend(go_on=False):
            assert time.monotonic() < ends, f"still at {self.jobs[-1]}"
            time.sleep(0.2)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self._journal.close()


def fresh(tick: dict[str, Any], groups: Iterable[str], topic: str, partitions: int) -> bool:
    """Whether a tick shows the groups whole and as they are now."""
    found = tick.get("groups", {})
    expected = {f"{topic}/{p}": 4 for p in range(partitions)}
    return all(g in found and not found[g]["old"] and found[g]["committed"] == expected for g in groups)
