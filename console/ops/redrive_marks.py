"""Which records of a dead-letter topic were redriven before, by any job of this journal.

Kafka cannot delete single records, so the journal is the done state. A record is known by its topic's id, its place and
its timestamp: a topic that was deleted and made again counts its offsets from 0. Where the broker is too old to tell
the id, or was when the job was planned, place and timestamp have to do.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from console.journal import Journal
from console.model import Job, Message, Topic

if TYPE_CHECKING:
    from console.ops.session import Session

INTENT, SENT, FAILED, AMBIGUOUS, UNSENT, LEFT = "INTENT", "SENT", "FAILED", "AMBIGUOUS", "UNSENT", "LEFT"
"""The states of a record in the journal: SENT is done; INTENT may have been sent, AMBIGUOUS is going to be sent again
although it may have been; UNSENT certainly was not; FAILED is never tried again by its job; LEFT has nowhere to go."""

_JOBS = 1_000_000
_OLD_S, _RUNNING_S = 60.0, 5.0  # after how long a count is made again: at rest, while jobs go on


@dataclass(frozen=True, slots=True)
class Marks:
    """`done` and `doubtful` map a record's id to its timestamp (ms); `jobs` are those that left something in doubt."""

    done: Mapping[str, int] = field(default_factory=dict)
    doubtful: Mapping[str, int] = field(default_factory=dict)
    jobs: tuple[str, ...] = ()

    def is_done(self, message: Message) -> bool:
        """Whether that very record was redriven."""
        return self.done.get(message.id) == milliseconds(message)

    def in_doubt(self, message: Message) -> bool:
        """Whether that very record may have been redriven by a job that was not finished."""
        return self.doubtful.get(message.id) == milliseconds(message)


def another(known: str | None, seen: str | None) -> bool:
    """Whether two topics of one name have ids that tell them apart."""
    return known is not None and seen is not None and known != seen


def milliseconds(message: Message) -> int:
    """The record's timestamp as Kafka has it; -1 when it has none."""
    return -1 if message.timestamp is None else round(message.timestamp * 1000)


def place_of(session: Session) -> str:
    """What tells clusters apart in the journal: the cluster's id, the same by every address; else the addresses."""
    client = session.require_kafka()
    return client.cluster_id() or ",".join(sorted(client.settings.bootstrap.split(",")))


def marks(journal: Journal, topic: str, topic_id: str | None, place: str, apart_from: str = "") -> Marks:
    """What the journal knows of a dead-letter topic of a cluster; `apart_from` leaves one job out."""
    done: dict[str, int] = {}
    doubtful: dict[str, int] = {}
    jobs = []
    for job in _jobs(journal, topic, place):
        if job.id == apart_from or another(journal.plan(job.id).get("dlq_id"), topic_id):
            continue
        for entry in journal.entries(job.id, (SENT, INTENT, AMBIGUOUS)):
            at = int(json.loads(entry.data or b"{}").get("timestamp", -1))
            if entry.state == SENT:
                done[entry.key] = at
            else:
                doubtful[entry.key] = at
                if job.id not in jobs:
                    jobs.append(job.id)
    return Marks(done, {key: at for key, at in doubtful.items() if done.get(key) != at}, tuple(jobs))


def _jobs(journal: Journal, topic: str, place: str) -> list[Job]:
    """The redrives of a dead-letter topic of a cluster, newest first."""
    found = journal.jobs(_JOBS, f"kafka:{topic}")
    return [job for job in found if job.kind == "redrive" and journal.place(job.id) == place]


# ---------------------------------------------------------------- how many, for lists and attention


@dataclass(frozen=True, slots=True)
class Counted:
    """What the journal knew of a topic at `at` (monotonic): the offsets redriven of each partition, sorted.

    `of` tells one state of the topic and its jobs from another. `offsets` is None when the topic was made again since.
    """

    at: float
    of: tuple[str | None, tuple[tuple[str, str, int], ...]]
    offsets: Mapping[int, Sequence[int]] | None

    def held(self, topic: Topic) -> int | None:
        """How many of the records the topic still holds were redriven; None when that cannot be told."""
        if self.offsets is None:
            return None
        total = 0
        for p in topic.partitions:
            done = self.offsets.get(p.partition, ())
            if p.start is None or p.end is None or (done and done[-1] >= p.end):
                return None  # an offset beyond the end: the topic was made again
            total += len(done) - bisect_left(done, p.start)
        return total


def count_redriven(session: Session, topics: Sequence[Topic], place: str) -> dict[str, Counted]:
    """What was redriven of each topic, read from the journal when its jobs have changed, and once a minute.

    What the journal names is compared with the newest such record of each partition, so that a topic that was deleted
    and made again is not taken for done. Asks the brokers for those records' times alone.
    """
    found: dict[str, Counted] = {}
    now = time.monotonic()
    for topic in topics:
        jobs = _jobs(session.journal, topic.name, place)
        of = topic.id, tuple((job.id, job.state, job.done) for job in jobs)
        known = session.redriven.get(topic.name)
        age = now - known.at if known is not None else _OLD_S
        # A job that runs changes all the time: its count may be a few seconds old.
        if known is not None and known.of[0] == topic.id and age < (_OLD_S if known.of == of else _RUNNING_S):
            found[topic.name] = known
        else:
            done = marks(session.journal, topic.name, topic.id, place).done if jobs else {}
            found[topic.name] = Counted(now, of, _offsets(session, topic, done))
    return found


def _offsets(session: Session, topic: Topic, done: Mapping[str, int]) -> Mapping[int, Sequence[int]] | None:
    """The offsets by partition, or None when the records at the newest are others than those that were redriven."""
    offsets: dict[int, list[int]] = {}
    for name in done:
        _, partition, offset = name.rsplit("/", 2)
        offsets.setdefault(int(partition), []).append(int(offset))
    held = {p.partition: p for p in topic.partitions}
    asked: dict[tuple[str, int], int] = {}
    for number, some in offsets.items():
        some.sort()
        p = held.get(number)
        if p is None or p.start is None or p.end is None or some[-1] >= p.end:
            return None
        if some[-1] >= p.start:
            asked[topic.name, number] = some[-1]
    spans = session.require_kafka().record_spans(asked) if asked else {}
    for key, newest in asked.items():
        span, at = spans.get(key), done[f"{topic.name}/{key[1]}/{newest}"] / 1000
        if span is None or not span[0] - 0.001 <= at <= span[1] + 0.001:
            return None
    return offsets
