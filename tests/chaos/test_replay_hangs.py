"""A replay on a broker that hangs: it says so, can be left within seconds, and goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from replay_world import assert_copied, fill, make_topics, read

from console.brokers import Brokers
from console.journal import Journal

pytestmark = [pytest.mark.broker, pytest.mark.chaos]


def test_it_is_left_in_seconds_and_resumed(brokers: Brokers, unique: Callable[[str], str], tmp_path: Path) -> None:
    source, target, job = unique("src"), unique("dst"), unique("hangs")
    make_topics(brokers.bootstrap, {source: 3, target: 3})
    fill(brokers.bootstrap, source, 3_600, 3)
    logq = [sys.executable, "-m", "console", "-b", brokers.bootstrap, "--timeout", "3", "-o", "json"]
    at_work = subprocess.Popen(
        [*logq, "replay", source, "--to", f"kafka:{target}", "--rate", "600", "--job", job, "--execute", "--yes"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(tmp_path),
    )  # fmt: skip
    try:
        journal = Journal(tmp_path / "journal.db")
        wait_until(lambda: any(j.id == job and j.done > 0 for j in journal.jobs()))
        brokers.kafka.freeze(1)
        time.sleep(8)
        asked = time.monotonic()
        at_work.send_signal(signal.SIGINT)
        out, err = at_work.communicate(timeout=60)
        assert time.monotonic() - asked < 12
        assert at_work.returncode == 130
        outcome = json.loads(out)["outcome"]
        assert outcome["state"] == "cancelled"
        assert 0 < outcome["done"] < 3_600
        # No rate and no time left while nothing moves, but for how long.
        (*_, last) = [line for line in err.splitlines() if "of 3,600" in line]
        assert "nothing has moved for" in last
        assert "/s" not in last
        assert "Traceback" not in err

        # Who resumes on a cluster that does not answer is told so in time, and the job stays as it was.
        asked = time.monotonic()
        resumed = resume(logq, job, tmp_path)
        assert time.monotonic() - asked < 3 + 3
        assert (resumed.returncode, resumed.stdout) == (1, "")
        assert "cannot reach Kafka" in resumed.stderr
        assert "Traceback" not in resumed.stderr
        seen = journal.job(job)
        assert (seen.state, seen.done, seen.left) == ("cancelled", outcome["done"], outcome["left"])
    finally:
        at_work.kill()
        brokers.kafka.thaw(1)
    resumed = resume(logq, job, tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["outcome"]["done"] == 3_600
    assert_copied(read(brokers.bootstrap, source, 3), read(brokers.bootstrap, target, 3))
    assert journal.job(job).state == "done"
    journal.close()


def environment(state: Path) -> dict[str, str]:
    return {**os.environ, "LOGQ_STATE_DIR": str(state)}


def resume(logq: list[str], job: str, state: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*logq, "job", "resume", job, "--execute", "--yes"],
        capture_output=True, text=True, env=environment(state), timeout=120, check=False,
    )  # fmt: skip


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.1)
