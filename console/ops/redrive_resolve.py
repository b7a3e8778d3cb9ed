"""Messages of which a run that ended does not know whether they were sent: looked for where they would be.

In a topic each copy names its origin. In a queue a copy is known by its content, by having been sent since, and by not
being one that the journal knows; the look costs the destination's messages an attempt, so the peek budget is kept.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from console.errors import LogqError
from console.journal import Entry, Journal
from console.ops import redrive_spool as spool
from console.ops.redrive_plan import Destination, RedrivePlan
from console.sqs import inspect, peek
from console.sqs.client import SqsClient
from console.sqs.receive import Received
from console.text import count

if TYPE_CHECKING:
    from console.kafka.client import KafkaClient

LOOK_MOST = 2_000
"""A destination that holds more is not read through for a few messages."""

LOOK_S = 20.0
CLOCK_S = 1.5
"""The server's Date has whole seconds; with that and rounding a copy may seem to be so much older than its INTENT."""


def resolve(
    sqs: SqsClient,
    kafka: Callable[[], KafkaClient],
    journal: Journal,
    job: str,
    planned: RedrivePlan,
    unsure: Sequence[Entry],
) -> tuple[dict[str, str], str]:
    """Which of the entries in doubt are at the destination: key -> id of the copy, and what to say about the look.

    What is not among them may have been consumed already, or never have been sent: nobody can tell.
    """  # fmt: skip
    try:
        if planned.to_topic:
            found = _in_topic(kafka(), job, planned)
            return {entry.key: found[entry.key] for entry in unsure if entry.key in found}, ""
        out: dict[str, str] = {}
        notes: list[str] = []
        wanted: dict[str, list[Entry]] = defaultdict(list)
        for entry in unsure:
            if entry.data is not None:
                wanted[spool.unpack(entry.data).to].append(entry)
        for destination in planned.destinations:
            if destination.name in wanted:
                found, why = _in_queue(sqs, journal, job, destination, wanted[destination.name])
                out |= found
                notes += [why] if why else []
    except LogqError as error:
        return {}, f"those in doubt were not looked for: {error}"
    return out, "; ".join(notes)


def _in_topic(client: KafkaClient, job: str, planned: RedrivePlan) -> dict[str, str]:
    from console.ops.redrive_topic_send import copies

    (to,) = planned.destinations
    floors = {(to.name, partition): end for partition, end in to.ends}
    return copies(client, job, to.name, floors, LOOK_S)


def _in_queue(
    sqs: SqsClient, journal: Journal, job: str, to: Destination, entries: Sequence[Entry]
) -> tuple[dict[str, str], str]:
    """The copies that a destination holds: key -> id, and why not all of it could be read through."""
    queue = sqs.queue(to.name)
    held = (queue.visible or 0) + (queue.in_flight or 0)
    if queue.visible is None or held > LOOK_MOST:
        return {}, f"{to.name} holds too many to look through for them ({count(queue.visible)} visible)"
    peek.refuse(queue, sqs.peek_budget(queue))

    def sweep() -> tuple[list[Received], float, peek.Budget]:
        # What the server's clock shows, for a copy's SentTimestamp is the server's.
        answer = sqs.raw().get_queue_attributes(QueueUrl=to.url, AttributeNames=["QueueArn"])
        date = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
        ahead = parsedate_to_datetime(date).timestamp() - time.time() if date else 0.0
        found, _, budget = peek.sweep(
            sqs.raw(),
            queue,
            LOOK_MOST,
            timeout=LOOK_S,
            attributes=lambda: inspect.queue_of(to.url, inspect.attributes(sqs.raw(), to.url), time.time()),
        )
        return found, ahead, budget

    seen, ahead, budget = sqs.bounded(f"look for copies in {to.name}", sweep, LOOK_S + sqs.timeout)
    _, known = journal.known(job, [message.id for message in seen])
    by_content: dict[str, list[Received]] = defaultdict(list)
    for message in seen:
        if message.id not in known:
            by_content[spool.fingerprint(message.body, message.attributes)].append(message)
    doubt: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        assert entry.data is not None
        doubt[spool.unpack(entry.data).sha256].append(entry)
    out: dict[str, str] = {}
    for content, asked in doubt.items():
        since = min(entry.at for entry in asked) + ahead - CLOCK_S
        young = [m for m in by_content.get(content, ()) if m.sent is not None and m.sent >= since]
        if len(young) > len(asked):
            continue  # somebody else sends the same: which is whose nobody knows
        out |= {entry.key: message.id for entry, message in zip(asked, young, strict=False)}
    short = budget.left is not None and budget.left <= 1 and queue.max_receive is not None
    return out, f"the look into {to.name} stopped: {budget.note}" if short else ""
