"""Which records of a dead-letter topic were redriven before, by any job of this journal.

Kafka cannot delete single records, so the journal is the done state. A record is known by its place and its timestamp:
a topic that was deleted and made again counts its offsets from 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from console.journal import Journal
from console.model import Message

if TYPE_CHECKING:
    from console.ops.session import Session

INTENT, SENT, FAILED, AMBIGUOUS, UNSENT, LEFT = "INTENT", "SENT", "FAILED", "AMBIGUOUS", "UNSENT", "LEFT"
"""The states of a record in the journal: SENT is done; INTENT may have been sent, AMBIGUOUS is going to be sent again
although it may have been; UNSENT certainly was not; FAILED is never tried again by its job; LEFT has nowhere to go."""

_JOBS = 1_000_000


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


def milliseconds(message: Message) -> int:
    """The record's timestamp as Kafka has it; -1 when it has none."""
    return -1 if message.timestamp is None else round(message.timestamp * 1000)


def place_of(session: Session) -> str:
    """What tells clusters apart in the journal: the cluster's id, the same by every address; else the addresses."""
    client = session.require_kafka()
    return client.cluster_id() or ",".join(sorted(client.settings.bootstrap.split(",")))


def marks(journal: Journal, topic: str, place: str, apart_from: str = "") -> Marks:
    """What the journal knows of a dead-letter topic of a cluster; `apart_from` leaves one job out."""
    done: dict[str, int] = {}
    doubtful: dict[str, int] = {}
    jobs = []
    for job in journal.jobs(_JOBS):
        if job.kind != "redrive" or job.source != f"kafka:{topic}" or job.id == apart_from:
            continue
        if journal.place(job.id) != place:
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
