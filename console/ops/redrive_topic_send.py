"""Sending dead letters to their topics, a batch at a time: INTENT on the disk, produce, every answer, SENT on the disk.

So whatever ends the process, the journal tells of each record that it was sent, was not, or may have been. The last are
looked for at their destination, where each copy names its job and its origin.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec import structs

from console.errors import LogqError, NotFound
from console.journal import Entry, Journal
from console.kafka import write
from console.kafka.browse import Scan, headers_of
from console.model import Problem
from console.ops.redrive_marks import AMBIGUOUS, FAILED, INTENT, SENT, UNSENT, another, milliseconds
from console.ops.redrive_topic_plan import TopicRedrivePlan
from console.ops.redrive_topic_select import JOB_HEADER, ORIGIN_HEADER, Chosen

if TYPE_CHECKING:
    from confluent_kafka import Producer

    from console.kafka.client import KafkaClient

DELIVERY_S = 30.0
"""How long a record may take to be acknowledged before its fate is called unknown."""

_BATCH_BYTES = 200_000

# The broker's answers that speak of the one record: it was not written and never will be.
REFUSED = frozenset({"MSG_SIZE_TOO_LARGE", "INVALID_MSG", "INVALID_RECORD", "INVALID_TIMESTAMP", "POLICY_VIOLATION"})
# Those that a record can only get for what it was sent together with.
_TOGETHER = frozenset({"_INVALID_DIFFERENT_RECORD", "RECORD_LIST_TOO_LARGE"})
# Those that speak of the place: nothing was written, and it may work later.
NOT_WRITTEN = frozenset(
    {
        "TOPIC_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED",
        "UNKNOWN_TOPIC_OR_PART",
        "_UNKNOWN_TOPIC",
        "_UNKNOWN_PARTITION",
        "_QUEUE_FULL",
    }
)


class Sender:
    """One producer and the journal's entries of one job; for one thread."""

    def __init__(self, client: KafkaClient, journal: Journal, job: str, limits: Sequence[int | None]) -> None:
        """`limits` is what the destinations take (`max.message.bytes`), None where that could not be seen."""
        self._client = client
        self._batch_bytes = batch_bytes(limits)
        self._journal = journal
        self._job = job
        self._producer: Producer | None = None
        self.fatal: Problem | None = None

    def send(self, batch: Sequence[Chosen]) -> dict[str, Entry]:
        """Send a batch and wait for every answer; what became of each record, by its id, as it stands in the journal.

        `fatal` is set when the job should stop: the entries then say what was sent, was not, or may have been.
        """
        self._journal.put(self._job, [self._entry(chosen, INTENT) for chosen in batch])
        answers = self._attempt(batch)
        # For one bad record a broker refuses all that came with it, and writes none of them: each has to go alone.
        for chosen in batch if len(batch) > 1 else ():
            refused = answers[chosen.message.id]
            if refused.state != FAILED:
                continue
            if self.fatal is None:
                answers |= self._attempt([chosen])
            else:
                answers[chosen.message.id] = replace(refused, state=UNSENT)
        self._journal.put(self._job, answers.values())
        return answers

    def _attempt(self, batch: Sequence[Chosen]) -> dict[str, Entry]:
        """Produce records and wait for every answer."""
        answers: dict[str, Entry] = {}
        producer = self._started()
        for chosen in batch:
            try:
                self._produce(producer, chosen, answers)
            except Exception as error:  # BufferError, KafkaException: it never left this process
                self._answered(chosen, write.reason(error), name_of(error), None, answers)
        ends = time.monotonic() + DELIVERY_S + 5
        while len(answers) < len(batch) and time.monotonic() < ends:
            producer.poll(0.05)
        for chosen in batch:
            if chosen.message.id not in answers:
                self._answered(chosen, "no answer came", "_TIMED_OUT", None, answers)
        return answers

    def close(self) -> None:
        """Let go of the producer; everything handed to it has been answered."""
        self._producer = None

    def _started(self) -> Producer:
        if self._producer is None:
            self._producer = write.producer(
                self._client.settings,
                # "By key" is where a Java producer puts it, or records of one key would part.
                partitioner="murmur2_random",
                allow_auto_create_topics="false",
                delivery_timeout_ms=str(round(DELIVERY_S * 1000)),
                linger_ms="5",
                batch_size=str(self._batch_bytes),
                message_max_bytes="100000000",
                acks="all",
                enable_idempotence="true",
            )
        return self._producer

    def _produce(self, producer: Producer, chosen: Chosen, answers: dict[str, Entry]) -> None:
        message = chosen.message
        assert chosen.to is not None

        def delivered(error: Any, record: Any) -> None:
            if error is None:
                result = f"{record.topic()}/{record.partition()}/{record.offset()}"
                self._answered(chosen, "", "", result, answers)
            else:
                self._answered(chosen, " ".join(error.str().split()), error.name(), None, answers)

        headers: Any = [*chosen.headers, (JOB_HEADER, self._job.encode()), (ORIGIN_HEADER, message.id.encode())]
        more: dict[str, Any] = {} if chosen.partition is None else {"partition": chosen.partition}
        producer.produce(chosen.to, message.value, message.key, headers=headers, on_delivery=delivered, **more)

    def _answered(self, chosen: Chosen, said: str, name: str, result: str | None, answers: dict[str, Entry]) -> None:
        if result is not None:
            entry = replace(self._entry(chosen, SENT), result=result)
        elif name in REFUSED or name in _TOGETHER:
            entry = replace(self._entry(chosen, FAILED), note=said)
        elif name in NOT_WRITTEN:
            entry = replace(self._entry(chosen, UNSENT), note=said)
        else:
            entry = replace(self._entry(chosen, INTENT), note=said)
        if entry.state in (INTENT, UNSENT) and self.fatal is None:
            self.fatal = Problem(f"topic {chosen.to}", name, f"{chosen.message.id} to {chosen.to}: {said}")
        answers[chosen.message.id] = entry

    def _entry(self, chosen: Chosen, state: str) -> Entry:
        data = {"timestamp": milliseconds(chosen.message), "to": chosen.to, "partition": chosen.partition}
        return Entry(chosen.message.id, state, data=json.dumps(data).encode())


def batch_bytes(limits: Sequence[int | None]) -> int:
    """How large a producer's batches may be for topics that take so much: their limit holds for a whole batch.

    librdkafka does not split one that is refused, and each record of it would be called too large. Where a limit is
    not known (None) each record goes alone.
    """
    return max(1, min([_BATCH_BYTES, *(limit or 1 for limit in limits)]))


def name_of(error: BaseException) -> str:
    """What never left this process was not written; its code tells whether it ever can be."""
    code: Any = error.args[0] if error.args else None
    name = str(code.name()) if hasattr(code, "name") else "_QUEUE_FULL"
    return name if name in REFUSED or name in NOT_WRITTEN else "_QUEUE_FULL"


def settle(client: KafkaClient, journal: Journal, job: str, planned: TopicRedrivePlan, patience: float) -> None:
    """After a run that ended in between: find out what became of the records with an INTENT and no answer.

    Their destinations are read from where this job's copies can begin: a copy that is found is SENT. What is not found
    is AMBIGUOUS, for the dead process's last request may still be on its way, and will be sent again: the only records
    that can be doubled. The same when a destination cannot be read. While there is none, its records keep their INTENT.
    """
    open_entries = list(journal.entries(job, (INTENT,)))
    if not open_entries:
        return
    unsure = {entry.key: json.loads(entry.data or b"{}") for entry in open_entries}
    since = min(entry.at for entry in open_entries)
    floors = {(d.name, p): end for d in planned.destinations for p, end in d.ends}
    for entry in journal.entries(job, (SENT,), data=False):
        # Batches go one after the other: what was answered before the last began lies below it.
        if entry.result is not None and entry.at < since:
            topic, partition, offset = entry.result.rsplit("/", 2)
            place = (topic, int(partition))
            floors[place] = max(floors.get(place, 0), int(offset) + 1)
    planned_ids = {d.name: d.id for d in planned.destinations}
    found: dict[str, str] = {}
    absent: set[str] = set()
    for topic in sorted({str(data["to"]) for data in unsure.values()}):
        try:
            # A topic made again counts its offsets from 0.
            remade = another(planned_ids.get(topic), client.topic(topic).id)
            found |= copies(client, job, topic, {} if remade else floors, patience)
        except NotFound:
            absent.add(topic)
        except LogqError as error:
            journal.audit(f"the copies in {topic} could not be looked for: {error}", job)
    journal.put(job, [Entry(key, SENT, result=result) for key, result in found.items() if key in unsure])
    journal.put(
        job,
        [
            Entry(key, AMBIGUOUS, ambiguous=True, note="the run ended between INTENT and SENT; no copy was found")
            for key, data in unsure.items()
            if key not in found and data["to"] not in absent
        ],
    )


def copies(
    client: KafkaClient, job: str, topic: str, floors: dict[tuple[str, int], int], patience: float
) -> dict[str, str]:
    """The copies of a job in a topic from the floors to its present end: origin -> place."""
    # Not only what is decided: behind somebody else's open transaction a copy of ours would not be seen.
    properties = {**client.settings.properties, "isolation.level": "read_uncommitted"}
    settings = structs.replace(client.settings, properties=properties)
    ranges: dict[int, tuple[int, int | None]] = {
        p.partition: (max(floors.get((topic, p.partition), 0), p.start or 0), p.end)
        for p in client.topic(topic).partitions
        if p.end is not None
    }
    mine = (JOB_HEADER, job.encode())
    scan = Scan(settings, topic, ranges, lambda record: mine in headers_of(record))
    found = {}
    for message in scan.records(None, patience):
        origin = dict(message.headers).get(ORIGIN_HEADER)
        if origin is not None:
            found[origin.decode("utf-8", "replace")] = message.id
    return found
