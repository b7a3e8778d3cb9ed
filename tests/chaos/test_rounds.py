"""Brokers killed, stopped and frozen, one a round, while logq polls, resets offsets and replays without a pause.

No process dies, no tick lacks what the healthy brokers know, no reset says done that is not, and every replay ends
with each record once. `LOGQ_CHAOS_ROUNDS=20` makes it long.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos_children import POLLING, RESETS, TIMEOUT_S, Child, Replays, fresh
from chaos_scene import Scene, Unique, spread_leaders
from replay_world import fill, read

from console.brokers import KafkaCluster
from console.kafka.copy_calls import STUCK_S
from console.kafka.write import create_topics

ROUNDS = int(os.environ.get("LOGQ_CHAOS_ROUNDS", "6"))
KINDS = os.environ.get("LOGQ_CHAOS_KINDS", "kill,terminate,freeze").split(",")

pytestmark = [pytest.mark.broker, pytest.mark.chaos, pytest.mark.timeout(120 + 90 * ROUNDS)]

RECORDS, RATE, PARTITIONS = 6_000, 500, 3
BACK_S = 40.0  # failover takes 1 s after SIGTERM, 9 to 12 s after SIGKILL or SIGSTOP; the rest is a busy machine's
SETTLED_S = 60.0


@pytest.fixture
def scene(cluster3: KafkaCluster, unique: Unique) -> Iterator[Scene]:
    made = Scene(cluster3, unique)
    yield made
    made.client.close()


class Rounds:
    """Three processes at work, and what is asked of them while a broker is away."""

    def __init__(self, scene: Scene, unique: Unique, folder: Path) -> None:
        self.scene = scene
        self.source, self.target = unique("src"), unique("dst")
        keep = {"retention.ms": "-1"}
        create_topics(scene.settings, dict.fromkeys((self.source, self.target), (PARTITIONS, 3, keep)))
        fill(scene.cluster.bootstrap, self.source, RECORDS, PARTITIONS)
        self.moving = [unique("moves") for _ in range(4)]
        for group in self.moving:
            result = scene.client.commit_offsets(group, {(scene.topic, p): 0 for p in range(6)}, timeout=60)
            assert set(result.values()) == {None}
        bootstrap, state, timeout = scene.cluster.bootstrap, str(folder), str(TIMEOUT_S)
        self.polling = Child(POLLING, bootstrap, state, timeout)
        self.resets = Child(RESETS, bootstrap, state, timeout, scene.topic, *self.moving)
        self.replays = Replays(bootstrap, folder, self.source, self.target, RATE)

    def close(self) -> None:
        self.polling.end()
        self.resets.end()
        self.replays.close()

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """Seconds until something holds; all three live meanwhile."""
        began = time.monotonic()
        while not condition():
            assert self.polling.alive(), f"polling died: {self.polling.process.returncode}"
            assert self.resets.alive(), f"the resets died: {self.resets.process.returncode}"
            self.replays.tend()
            assert time.monotonic() - began < seconds, f"not in {seconds:g} s: {what}; {self.newest()}"
            time.sleep(0.1)
        return time.monotonic() - began

    def newest(self) -> str:
        tick = {k: v for k, v in self.polling.said[-1].items() if k not in ("groups", "topics")}
        reset = {k: v for k, v in self.resets.said[-1].items() if k != "lines"}
        return f"tick {tick}, reset {reset}, replay {self.replays.jobs[-1]} {self.replays.newest()}"

    def settled(self) -> dict[str, Any]:
        """A tick on the whole cluster, every replica in sync and the leaders spread again."""
        since = time.time()

        def whole() -> bool:
            for tick in self.polling.since(since):
                topics = tick.get("topics", {})
                in_sync = all(p["in_sync"] for t in topics.values() for p in t)
                if tick.get("complete") and in_sync and self.all_fresh(tick):
                    return True
            return False

        self.wait(whole, SETTLED_S, "the cluster is whole again")
        spread_leaders(self.scene.cluster)
        since = time.time()
        self.wait(whole, SETTLED_S, "the leaders are spread again")
        return self.polling.since(since)[-1]

    def all_fresh(self, tick: dict[str, Any]) -> bool:
        return fresh(tick, self.scene.groups, self.scene.topic, 6)

    def check_healthy(self, tick: dict[str, Any], before: dict[str, Any], victim: int) -> None:
        """What the two others know is in a tick, in time."""
        assert "error" not in tick, tick["error"]
        assert tick["took"] < TIMEOUT_S + 0.6 + 2, tick["took"]
        healthy = [g for g in self.scene.groups if before["groups"][g]["coordinator"] != victim]
        assert healthy
        assert fresh(tick, healthy, self.scene.topic, 6), {g: tick["groups"].get(g) for g in healthy}
        led = [n for n, p in enumerate(before["topics"][self.scene.topic]) if p["leader"] != victim]
        assert led
        assert all(tick["topics"][self.scene.topic][n]["end"] == 10 for n in led), tick["topics"][self.scene.topic]

    def one(self, how: str, before: dict[str, Any], chance: random.Random) -> str:
        """A broker goes and comes back; in words what was seen."""
        cluster = self.scene.cluster
        hit = Counter(before["groups"][g]["coordinator"] for g in (*self.scene.groups, *self.moving))
        victim = chance.choice([node for node, count in hit.items() if count])
        theirs = {g for g in self.moving if before["groups"][g]["coordinator"] == victim}
        copied, since = self.replays.copied(), time.time()
        getattr(cluster, how)(victim)
        gone = time.time()
        try:
            # All is back on the two others, while the third is still away.
            back = self.wait(
                lambda: any(
                    self.all_fresh(tick)
                    and victim not in {tick["groups"][g]["coordinator"] for g in self.scene.groups}
                    and (how == "freeze" or victim in tick["down"])
                    for tick in self.polling.since(gone)
                ),
                BACK_S, f"the groups of broker {victim} on the others",
            )  # fmt: skip
            moved = self.wait(
                lambda: {s["group"] for s in self.resets.since(gone) if s.get("state") == "done"} >= set(self.moving),
                BACK_S, "a reset of each group",
            )  # fmt: skip
            # A client may wait for ever for a coordinator that has moved: then there are new ones after `STUCK_S`.
            copies = self.wait(lambda: self.replays.copied() > copied, BACK_S + 2 * STUCK_S, "the replay goes on")
            ticks = self.polling.since(since)
            assert ticks
            for tick in ticks:
                self.check_healthy(tick, before, victim)
        finally:
            cluster.thaw(victim) if how == "freeze" else cluster.restart(victim)
        return (
            f"{how} {victim} ({len(theirs)} resets on it): {len(ticks)} ticks, back {back:.1f} s, "
            f"resets +{moved:.1f} s, replay +{copies:.1f} s"
        )


def test_rounds(scene: Scene, unique: Unique, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    kinds = (KINDS * ROUNDS)[:ROUNDS]
    chance.shuffle(kinds)
    rounds = Rounds(scene, unique, tmp_path)
    try:
        rounds.wait(lambda: len(rounds.polling.said) > 1 and len(rounds.resets.said) > 3, 60, "they are at work")
        rounds.wait(lambda: rounds.replays.copied() > 0, 60, "the replay is at work")
        for number, how in enumerate(kinds, 1):
            before = rounds.settled()
            print(f"{number}: {rounds.one(how, before, chance)}", flush=True)
        rounds.settled()
        rounds.replays.finish(180)
        # None of the resets said done without having done it, and what failed said so in a line.
        said = list(rounds.resets.said)
        assert [s for s in said if s.get("state") == "done" and s["committed"] != [s["to"]] * 6] == []
        ends = Counter(s.get("state", "refused") for s in said)
        assert all("\n" not in s.get("error", "") for s in said)
        longest = max(s["took"] for s in said)
        print(f"resets {dict(ends)}, the longest {longest:.1f} s; replays {len(rounds.replays.done)}")
        print("stops", rounds.replays.stops)
    finally:
        rounds.close()
    once(scene.cluster.bootstrap, rounds)


def once(bootstrap: str, rounds: Rounds) -> None:
    """Every replay has each record of the source once, in its partition's order, as another client reads it."""
    source = {p: [r.own for r in records] for p, records in read(bootstrap, rounds.source, PARTITIONS).items()}
    found: dict[str, dict[int, list[Any]]] = {job: {p: [] for p in source} for job in rounds.replays.done}
    for partition, records in read(bootstrap, rounds.target, PARTITIONS).items():
        for record in records:
            found[(dict(record.headers)["logq-replay"] or b"").decode()][partition].append(record.own)
    assert found
    assert all(copies == source for copies in found.values())
