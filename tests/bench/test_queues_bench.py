"""What 500 queues cost the processor while the console is left open, against bare boto3 calls in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqs_world

from console.config import Settings, SqsSettings
from console.ops import inspect
from console.ops.session import Session
from console.sqs import cadence
from console.tui.view import queue_rows

pytestmark = [pytest.mark.bench, pytest.mark.broker]

QUEUES = 500
VISIBLE = 12
SHARE = 0.03
CALL_S = 0.0014
"""What one bare GetQueueAttributes cost when the limit was set; a machine that is slower than that gets more."""


def spent(work: Callable[[], object]) -> float:
    """CPU seconds of this whole process: the server is another one, and other work on the machine does not count."""
    before = time.process_time()
    work()
    return time.process_time() - before


def test_500_queues_of_which_12_are_on_the_screen_stay_under_3_percent_of_a_core(
    sqs_endpoint: str, unique: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = unique("many")
    bare = sqs_world.plain_client(sqs_endpoint)
    with ThreadPoolExecutor(8) as pool:
        urls = list(pool.map(lambda n: sqs_world.create(bare, f"{prefix}-{n:03}"), range(QUEUES)))
        sqs = SqsSettings(region="eu-west-1", endpoint_url=sqs_endpoint, queues=(f"{prefix}*",))
        session = Session(Settings(sqs=sqs, state_dir=tmp_path))

        def look(watched: frozenset[str]) -> int:
            seen = inspect.sqs(session, timeout=60, watched=watched)
            queue_rows(seen)
            return seen.requests

        def ask(url: str) -> object:
            return bare.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])

        names = frozenset(f"{prefix}-{n:03}" for n in range(VISIBLE))
        assert look(names) == QUEUES + 1
        monkeypatch.setattr(cadence, "VISIBLE_S", 0.0)  # due again at once: what is measured is the look, not the wait
        assert look(names) == VISIBLE
        calls, ticks, sweeps = [], [], []
        for _ in range(3):
            calls.append(spent(lambda: list(pool.map(ask, urls))) / QUEUES)
            ticks.append(spent(lambda: [look(names) for _ in range(12)]) / 12)
            session.require_sqs().hurry()
            sweeps.append(spent(lambda: look(names)))
        session.close()
        list(pool.map(lambda url: bare.delete_queue(QueueUrl=url), urls))
    call, tick, sweep = min(calls), min(ticks), min(sweeps)
    # A minute: twelve looks at what is in sight, and every other queue once.
    share = (12 * tick + sweep) / 60
    least = (12 * VISIBLE + QUEUES) * call / 60
    print(
        f"bare call {call * 1e3:.2f} ms, look at 12 of 500 {tick * 1e3:.1f} ms, sweep of 500 {sweep:.2f} s: "
        f"{share:.2%} of a core, {share / least:.2f} x the bare calls"
    )
    assert share <= SHARE * max(1.0, call / CALL_S)
    assert share <= 1.8 * least
