"""A redrive killed with SIGKILL at random moments and resumed: nothing is lost, and what is doubled was named."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import sqs_world

from console.journal import Journal
from console.sqs.peek import LEASE_S

pytestmark = [pytest.mark.broker, pytest.mark.chaos, pytest.mark.timeout(1800)]

CHILD = """
import sys
from pathlib import Path
from console.config import Settings, SqsSettings
from console.ops import jobs, redrive
from console.ops.session import Session

endpoint, state, dlq, job = sys.argv[1:5]
session = Session(Settings(sqs=SqsSettings(region="eu-west-1", endpoint_url=endpoint), state_dir=Path(state)))
show = lambda p: print(p.job, p.done, flush=True)
if job:
    outcome = jobs.resume(session, job, on_progress=show)
else:
    outcome = redrive.run(session, redrive.plan(session, dlq, engine="client", lease_seconds=20), on_progress=show)
print(outcome.lines, outcome.problems, file=sys.stderr)
print("outcome", outcome.state, outcome.done, outcome.left, flush=True)
session.close()
"""


class Run:
    """One process that redrives or resumes, and what it prints."""

    def __init__(self, endpoint: str, state: Path, dlq: str, job: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, endpoint, str(state), dlq, job], stdout=subprocess.PIPE, text=True
        )
        self.job = job
        self.done = 0
        self.begun: int | None = None
        self.outcome: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):
                return  # killed in the middle of a line
            words = line.split()
            if words[0] == "outcome":
                self.outcome = words[1:]
            else:
                self.job, self.done = words[0], int(words[1])
                self.begun = self.done if self.begun is None else self.begun

    def kill_after(self, messages: int, more_seconds: float) -> None:
        ends = time.monotonic() + 120
        while self.process.poll() is None and time.monotonic() < ends:
            if self.begun is not None and self.done - self.begun >= messages:
                break
            time.sleep(0.005)
        time.sleep(more_seconds)
        assert self.process.poll() is None, "it was over before the kill"
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self._reader.join(10)

    def finish(self) -> None:
        try:
            assert self.process.wait(300) == 0
        finally:
            self.process.kill()
        self._reader.join(10)


FULL = bool(os.environ.get("LOGQ_FULL"))
"""Set for 20 kills and 10,000 messages a queue; else a smaller number of both, of the same kind."""

MESSAGES, KILLS, MOST = (10_000, 20, 200) if FULL else (4_000, 5, 200)
FIFO_MESSAGES, FIFO_KILLS, FIFO_MOST = (10_000, 20, 200) if FULL else (600, 3, 40)


def killed_and_resumed(
    endpoint: str, state: Path, dlq: str, chance: random.Random, kills: int, most: int
) -> tuple[str, list[int]]:
    """Killed so many times, of which each moves 150 to 550 messages: there are enough for all of them, and to spare."""
    job = ""
    at: list[int] = []
    for _ in range(kills):
        run = Run(endpoint, state, dlq, job)
        run.kill_after(chance.randint(0, most), chance.random() * 0.15)
        assert run.job, "killed before it had a job"
        job = run.job
        at.append(run.done)
        journal = Journal(state / "journal.db")
        assert journal.job(job).state == "interrupted"
        journal.close()
    run = Run(endpoint, state, dlq, job)
    run.finish()
    assert run.outcome[0] == "done", run.outcome
    return job, at


def seeded() -> random.Random:
    """Another course each time, told so that it can be had again with LOGQ_SEED."""
    seed = int(os.environ.get("LOGQ_SEED") or random.SystemRandom().randrange(2**32))
    print(f"LOGQ_SEED={seed}")
    return random.Random(seed)


def test_a_standard_queue_loses_nothing_and_doubles_only_what_is_named(
    sqs_endpoint: str, unique: Callable[[str], str], tmp_path: Path
) -> None:
    with sqs_world.world(sqs_endpoint, unique("kill")) as world:
        bodies = [json.dumps({"n": n, "pad": "x" * 200}) for n in range(MESSAGES)]
        ids = world.fill(bodies)
        job, at = killed_and_resumed(sqs_endpoint, tmp_path, world.dlq, seeded(), KILLS, MOST)
        arrived = Counter(message["Body"] for message in world.drain())
        journal = Journal(tmp_path / "journal.db")
        named = set(journal.doubtful(job))
        doubled = {ids[body] for body, times in arrived.items() if times > 1}
        print(f"killed at {at}; {len(named)} named ambiguous, {len(doubled)} of them doubled")
        assert set(arrived) == set(bodies), "lost or invented"
        assert doubled <= named
        assert world.counts(world.dlq_url) == (0, 0)
        assert journal.counts(job) == {"DELETED": MESSAGES}
        assert journal.job(job).done == MESSAGES
        journal.close()


def test_where_the_destination_can_be_looked_at_nothing_stays_in_doubt(
    sqs_endpoint: str, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """Killed between INTENT and SENT, with the copies there: the look finds them, and nothing is sent twice."""
    with sqs_world.world(sqs_endpoint, unique("look"), receives=50) as world:
        bodies = [json.dumps({"n": n}) for n in range(2_400)]
        world.fill(bodies)
        job, at = killed_and_resumed(sqs_endpoint, tmp_path, world.dlq, seeded(), 3, 80)
        ends = time.monotonic() + LEASE_S + 5
        while world.counts()[1] and time.monotonic() < ends:
            time.sleep(0.5)  # a run that was killed while it looked holds what it saw until its lease ends
        arrived = Counter(message["Body"] for message in world.drain())
        journal = Journal(tmp_path / "journal.db")
        named = set(journal.doubtful(job))
        print(f"killed at {at}; {len(named)} named ambiguous")
        # What was not found had not been sent: the server is on this machine, and nobody consumes.
        assert arrived == Counter(bodies)
        journal.close()


def test_a_fifo_queue_keeps_order_and_doubles_nothing(
    sqs_endpoint: str, unique: Callable[[str], str], tmp_path: Path
) -> None:
    groups_of = 20 if not FULL else 200
    with sqs_world.world(sqs_endpoint, unique("killf"), fifo=True) as world:
        bodies = [json.dumps({"n": n, "group": n % groups_of}) for n in range(FIFO_MESSAGES)]
        world.fill(bodies, group=lambda body: str(json.loads(body)["group"]))
        _, at = killed_and_resumed(sqs_endpoint, tmp_path, world.dlq, seeded(), FIFO_KILLS, FIFO_MOST)
        print(f"killed at {at}")
        groups = defaultdict(list)
        for message in world.drain():
            value = json.loads(message["Body"])
            assert message["Attributes"]["MessageGroupId"] == str(value["group"])
            groups[value["group"]].append(value["n"])
        assert groups == {group: list(range(group, FIFO_MESSAGES, groups_of)) for group in range(groups_of)}
        assert world.counts(world.dlq_url) == (0, 0)
