"""A replay killed at random moments and resumed: exactly once into a topic, as the journal says into a queue."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import sqs_world
from replay_world import Run, assert_copied, fill, make_topics, read

from console.config import KafkaSettings
from console.journal import Journal
from console.kafka.client import KafkaClient

pytestmark = [pytest.mark.broker, pytest.mark.chaos, pytest.mark.timeout(600)]

Unique = Callable[[str], str]
PARTITIONS = 6
BATCH = 2_000  # so that a kill falls into the middle of something: of 10,000 there are 20 in all
RESERVE = 60_000  # records that are left for after the last kill


def seeded() -> random.Random:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


def test_200000_records_killed_20_times(kafka: str, unique: Unique, tmp_path: Path) -> None:
    """Exactly once whatever moment it dies at: while it copies, and while it starts, joins the group or settles."""
    chance = seeded()
    records, kills = 200_000, 20
    source, target = unique("src"), unique("dst")
    make_topics(kafka, {source: PARTITIONS, target: PARTITIONS})
    fill(kafka, source, records, PARTITIONS)
    run = Run(kafka, tmp_path, source, f"kafka:{target}", batch=BATCH, pause=0.02)
    at = [0]
    for kill in range(kills):
        # A share of what is left, so that each kill finds it at work, however quick it is and however late we look.
        most = (records - RESERVE - max(at)) // (kills - kill)
        if kill % 4 == 3:
            run.kill_within(0.3 + chance.random(), most)
        else:
            run.kill_after(chance.randint(0, max(0, most)), chance.random() * 0.03)
        at.append(run.done)
        journal = Journal(tmp_path / "journal.db")
        assert journal.job(run.job).state == "interrupted"
        journal.close()
        run = Run(kafka, tmp_path, resumes=run.job, batch=BATCH, pause=0.02)
    assert run.finish() == ["done", f"{records}", "0"]
    print(f"killed at {at[1:]}")
    assert_copied(read(kafka, source, PARTITIONS), read(kafka, target, PARTITIONS))
    journal = Journal(tmp_path / "journal.db")
    assert journal.job(run.job).done == records
    assert journal.counts(run.job)["COPIED"] == PARTITIONS
    journal.close()


def test_two_processes_share_and_one_is_killed(kafka: str, unique: Unique, tmp_path: Path) -> None:
    chance = seeded()
    source, target, name = unique("src"), unique("dst"), unique("shared")
    make_topics(kafka, {source: PARTITIONS, target: PARTITIONS})
    fill(kafka, source, 24_000, PARTITIONS)
    both = [Run(kafka, tmp_path, source, f"kafka:{target}", name=name, rate=1_500)]
    both[0].wait_for(lambda: both[0].done > 0)
    both.append(Run(kafka, tmp_path, source, f"kafka:{target}", name=name, rate=1_500))
    client = KafkaClient(KafkaSettings(kafka), timeout=30)
    try:
        both[1].wait_for(lambda: len(shares(client, name)) == 2)
        assert shares(client, name) == [PARTITIONS // 2] * 2
    finally:
        client.close()
    both[1].wait_for(lambda: both[1].begun is not None)
    time.sleep(chance.random())
    dead = both.pop(chance.randrange(2))
    dead.kill()
    assert both[0].finish() == ["done", "24000", "0"]
    assert_copied(read(kafka, source, PARTITIONS), read(kafka, target, PARTITIONS))
    journal = Journal(tmp_path / "journal.db")
    # Also when the one that began it was killed: the other one has finished it.
    assert journal.job(name).state == "done"
    assert journal.counts(name) == {"BEGUN": 1, "COPIED": PARTITIONS, "ENDED": 1, "SETTLED": 1}
    journal.close()


def shares(client: KafkaClient, job: str) -> list[int]:
    """How many partitions each member of the job's group has that has any."""
    members = client.group(f"logq-job-{job}").members or ()
    return [n for n in (sum(len(numbers) for _, numbers in m.assignment) for m in members) if n]


def test_a_queue_gets_every_record_and_doubles_are_named(
    kafka: str, sqs_endpoint: str, unique: Unique, tmp_path: Path
) -> None:
    chance = seeded()
    source = unique("src")
    make_topics(kafka, {source: 3})
    fill(kafka, source, 4_000, 3)
    with sqs_world.world(sqs_endpoint, unique("replay")) as world:
        run = Run(kafka, tmp_path, source, f"sqs:{world.name}", endpoint=sqs_endpoint)
        for _ in range(4):
            run.kill_after(chance.randint(0, 400), chance.random() * 0.1)
            run = Run(kafka, tmp_path, resumes=run.job, endpoint=sqs_endpoint)
        assert run.finish() == ["done", "4000", "0"]
        arrived = Counter(
            message["MessageAttributes"]["logq-origin"]["StringValue"].removeprefix(f"{source}/")
            for message in world.drain()
        )
    sent = [f"{p}/{r.offset}" for p, records in read(kafka, source, 3).items() for r in records]
    journal = Journal(tmp_path / "journal.db")
    named = {
        f"{unit['p']}/{offset}"
        for entry in journal.entries(run.job)
        if entry.ambiguous
        for unit in [json.loads(entry.data or b"")]
        for offset in range(unit["first"], unit["last"] + 1)
    }
    doubled = {origin for origin, times in arrived.items() if times > 1}
    print(f"{len(named)} named ambiguous, {len(doubled)} doubled")
    assert sorted(arrived) == sorted(sent), "lost or invented"
    assert doubled <= named
    assert set(journal.counts(run.job)) == {"SENT"}
    journal.close()
