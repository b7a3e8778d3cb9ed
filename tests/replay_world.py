"""Topics to copy, a reader that is not ours and says what a replay did, and logq's replay in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BASE = 1_700_000_000_000


@dataclass(frozen=True)
class Record:
    """What a record holds, with where it lies."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int

    @property
    def own(self) -> tuple[Any, ...]:
        """Everything a copy must keep, without the headers a replay adds."""
        headers = tuple(h for h in self.headers if h[0] not in ("logq-replay", "logq-origin"))
        return self.partition, self.key, self.value, headers, self.timestamp

    @property
    def origin(self) -> str:
        """The header that says where it was copied from."""
        return (dict(self.headers)["logq-origin"] or b"").decode()


def make_topics(bootstrap: str, names: dict[str, int], **config: str) -> None:
    """Create topics of so many partitions that keep records of any age, and wait until each has its leaders."""
    config = {"retention.ms": "-1", **config}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(n, p, 1, config=config) for n, p in names.items()]).values():
        future.result(30)
    for name, partitions in names.items():
        for _ in range(100):
            seen = admin.list_topics(name, timeout=10).topics[name].partitions
            if len(seen) == partitions and all(p.leader >= 0 for p in seen.values()):
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"{name} has no leaders")


def fill(bootstrap: str, topic: str, count: int, partitions: int, *, first: int = 0, pad: int = 0) -> None:
    """Numbered records, in turn over the partitions, with two headers and times of their own."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
            "enable.idempotence": True,  # else a batch sent again changes the order
        }
    )
    for n in range(first, first + count):
        producer.produce(
            topic, b"%d" % n + b"x" * pad, key=b"k%d" % (n % 101), partition=n % partitions,
            headers=[("n", b"%d" % n), ("raw", b"\xff\x00")], timestamp=BASE + n,
        )  # fmt: skip
    assert producer.flush(60) == 0


def read(bootstrap: str, topic: str, partitions: int) -> dict[int, list[Record]]:
    """Every committed record of a topic as another program sees it."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "not-used",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    found: dict[int, list[Record]] = {p: [] for p in range(partitions)}
    open_ones = set(found)
    ends = time.monotonic() + 120
    try:
        while open_ones:
            assert time.monotonic() < ends, f"{topic} could not be read"
            for message in consumer.consume(10_000, 0.5):
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    open_ones.discard(message.partition())
                    continue
                found[message.partition()].append(
                    Record(
                        message.partition(), message.offset(), message.key(), message.value(),
                        tuple(message.headers() or ()), message.timestamp()[1],
                    )
                )  # fmt: skip
    finally:
        consumer.close()
    return found


def assert_copied(source: dict[int, list[Record]], target: dict[int, list[Record]]) -> None:
    """Every record once, in the order of its partition, with all it had."""
    assert {p: len(r) for p, r in target.items()} == {p: len(r) for p, r in source.items()}
    for partition, records in source.items():
        assert [r.own for r in target[partition]] == [r.own for r in records]
        assert [int(r.origin.rpartition("/")[2]) for r in target[partition]] == [r.offset for r in records]


CHILD = """
import sys
import time
from pathlib import Path
from console.config import KafkaSettings, Settings, SqsSettings
from console.kafka import copy_group
from console.ops import jobs, replay
from console.ops.session import Session

bootstrap, endpoint, state, source, target, name, resumes, batch, rate, pause = sys.argv[1:11]
copy_group.BATCH = int(batch)
sqs = SqsSettings(region="eu-west-1", endpoint_url=endpoint) if endpoint else None
session = Session(Settings(kafka=KafkaSettings(bootstrap), sqs=sqs, state_dir=Path(state), timeout=30))
def show(p):
    print(p.job, p.done, flush=True)
    time.sleep(float(pause))
if resumes:
    outcome = jobs.resume(session, resumes, on_progress=show)
else:
    planned = replay.plan(session, source, target, job=name or None, rate=float(rate) or None)
    outcome = replay.run(session, planned, on_progress=show)
print(outcome.lines, outcome.problems, file=sys.stderr)
print("outcome", outcome.state, outcome.done, outcome.left, flush=True)
session.close()
"""


class Run:
    """One process that replays or resumes, and what it prints."""

    def __init__(
        self, bootstrap: str, state: Path, source: str = "", target: str = "", *, name: str = "", resumes: str = "",
        endpoint: str = "", batch: int = 200, rate: float = 0, pause: float = 0,
    ) -> None:  # fmt: skip
        """`pause`: seconds of sleep after each step, for tests that must meet it at work."""
        argv = [bootstrap, endpoint, str(state), source, target, name, resumes, str(batch), str(rate), str(pause)]
        self.process = subprocess.Popen([sys.executable, "-c", CHILD, *argv], stdout=subprocess.PIPE, text=True)
        self.job = name or resumes
        self.done = 0
        self.begun: int | None = None
        self.outcome: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            words = line.split()
            if words[0] == "outcome":
                self.outcome = words[1:]
            else:
                self.job, self.done = words[0], int(words[1])
                self.begun = self.done if self.begun is None else self.begun

    def wait_for(self, condition: Callable[[], bool], seconds: float = 90) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"it ended: {self.outcome}"
            assert time.monotonic() < ends, "nothing of it came"
            time.sleep(0.005)

    def kill_after(self, records: int, more_seconds: float) -> None:
        self.wait_for(lambda: self.begun is not None and self.done - self.begun >= records)
        self.kill(more_seconds)

    def kill_within(self, seconds: float, records: int) -> None:
        """Kill after so many seconds, wherever it is, or when it has moved so many records if that is sooner."""
        ends = time.monotonic() + seconds
        self.wait_for(
            lambda: time.monotonic() >= ends or (self.begun is not None and self.done - self.begun >= records)
        )
        self.kill()

    def kill(self, after_seconds: float = 0.0) -> None:
        time.sleep(after_seconds)
        assert self.process.poll() is None, "it was over before the kill"
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self._reader.join(10)

    def finish(self, seconds: float = 180) -> list[str]:
        try:
            assert self.process.wait(seconds) == 0
        finally:
            self.process.kill()
        self._reader.join(10)
        return self.outcome
