"""Bounce proof: which messages of a redrive failed again and are in their dead-letter queue once more.

A message that a redrive policy moves keeps the MessageId it got when it was sent, and those of a job's copies are in
its journal. So a look at the dead-letter queue tells, as far as it reaches, which came back and how they failed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from console.errors import LogqError
from console.journal import Entry, Journal
from console.model import Message
from console.ops import peek
from console.ops.clusters import label
from console.ops.redrive_ledger import ARRIVED, BOUNCED, DELETED
from console.ops.redrive_plan import RedrivePlan, counts
from console.sqs.client import SqsClient
from console.sqs.peek import refuse
from console.text import count as counted
from console.text import duration, plural

if TYPE_CHECKING:
    from console.ops.session import Session

LOOK_MOST = 5_000
"""How many messages of the dead-letter queue are read at most to find those that came back."""

LOOK_S = 60.0
POLL_S = 0.5
AWS_POLL_S = 5.0
ATTEMPTS_MOST = 10
"""A wait covers as many attempts as the destination's redrive policy allows, but not more than these."""

QUIET_LOOKS = 3
"""How often in a row a destination must be seen empty; one look may fall between two counters."""

JOBS_MOST = 20
"""How many redrives of a queue a look at it is compared with, the newest."""

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Bounces:
    """What a look found: how many of `sent` came back since the last look and in all, by failure; and its coverage.

    `whole` tells that all of the dead-letter queue was seen, `looked` that it could be looked at. `note` says how much
    was seen, or why nothing. `waiting` are the messages that the destination held then: what the consumers have not got
    to yet cannot have failed.
    """

    fresh: int
    back: int
    sent: int
    failures: tuple[tuple[str, int], ...]
    whole: bool
    note: str
    waiting: int = 0
    looked: bool = True

    @property
    def proven(self) -> bool:
        """Whether it is known that none came back: all was seen, and nothing waits for its consumers any more."""
        return self.whole and not self.back and not self.waiting

    @property
    def lines(self) -> tuple[str, ...]:
        """The proof in words."""
        if not self.back:
            if not self.looked:
                return (f"whether any of {counted(self.sent)} came back is not known: {self.note}",)
            if self.waiting:
                still = f"{counted(self.waiting)} still wait at the destination"
                return (f"none of {counted(self.sent)} came back yet: {still} ({self.note})",)
            if not self.whole:
                return (f"none of {counted(self.sent)} seen to come back so far: {self.note}",)
            return (f"none of {counted(self.sent)} came back ({self.note})",)
        named = "; ".join(f"{many:,} × {why}" for why, many in self.failures[:_NAMED])
        more = f"; {len(self.failures) - _NAMED} other ways" if len(self.failures) > _NAMED else ""
        said = f"the fix failed for {counted(self.back)} of {counted(self.sent)}: {named}{more}"
        return (said,) if self.whole else (said, f"perhaps for more: {self.note}")


def look(session: Session, sqs: SqsClient, job: str, planned: RedrivePlan, *, force: bool = False) -> Bounces:
    """Read the dead-letter queue under a lease, within the peek budget, and journal what came back. Raises nothing.

    Where the queue has a redrive policy of its own, a look never saw all: what used up its receives has moved on.
    """
    fresh = 0
    looked, whole = True, False
    try:
        require_budget(session, sqs, planned, force)
        seen = sqs.peek(planned.dlq, LOOK_MOST, force=force, timeout=LOOK_S)
        peek.spend(session, sqs, planned.url, seen.budget)
        fresh, whole, note = noted(session.journal, job, seen.messages), seen.whole, f"{planned.dlq}: {seen.note}"
        if seen.budget.max_receive is not None:
            whole = False
            note += f"; what was received {seen.budget.max_receive:,} times before has moved on and is not seen"
    except LogqError as error:
        looked, note = False, f"{planned.dlq} could not be read through: {error}"
    seen_so_far = so_far(session.journal, job, fresh, whole, note)
    return replace(seen_so_far, looked=looked, waiting=_waiting(sqs, planned))


def _waiting(sqs: SqsClient, planned: RedrivePlan) -> int:
    """What the destination's consumers have still before them or in their hands; 0 where that cannot be seen."""
    if planned.to_topic:
        return 0
    try:
        queues = [counts(sqs, planned, destination.url) for destination in planned.destinations]
    except LogqError:
        return 0
    return sum((q.visible or 0) + (q.in_flight or 0) + (q.delayed or 0) for q in queues)


def require_budget(session: Session, sqs: SqsClient, planned: RedrivePlan, force: bool) -> None:
    """Raise `Refused` when the dead-letter queue's messages do not bear a look and it is not forced.

    Raises as `SqsClient.queue`.
    """
    if not force:
        queue = sqs.queue(planned.dlq)
        refuse(queue, peek.known(session, sqs, queue))


def noted(journal: Journal, job: str, messages: Sequence[Message]) -> int:
    """Journal those of a dead-letter queue's messages that are copies of a job's; how many were not known before."""
    by_id = {message.id: message for message in messages}
    _, origins = journal.known(job, tuple(by_id))
    found = [
        Entry(origin, BOUNCED, note=label(by_id[copy])) for copy, (origin, state) in origins.items() if state == DELETED
    ]
    if found:
        journal.put(job, found)
        journal.audit(f"{plural(len(found), 'message')} came back to the dead-letter queue", job)
    return len(found)


def noticed(session: Session, queue: str, messages: Sequence[Message]) -> str:
    """Which of a dead-letter queue's messages came back from redrives of this journal, in words; they are journaled.

    Any look at the queue tells that for nothing.
    """
    endpoint = session.require_sqs(queue).endpoint
    journal = session.journal
    said = []
    for job in journal.jobs(JOBS_MOST, f"sqs:{queue}"):
        if job.kind != "redrive" or job.state == "running" or not job.done or journal.place(job.id) != endpoint:
            continue
        noted(journal, job.id, messages)
        _, copies = journal.known(job.id, [message.id for message in messages])
        if copies:
            said.append(f"{counted(len(copies))} came back from {job.id}")
    return "; ".join(said)


def so_far(journal: Journal, job: str, fresh: int = 0, whole: bool = False, note: str = "") -> Bounces:
    """What the journal has of bounces, with what the newest look said."""
    states = journal.counts(job)
    failures = Counter(entry.note for entry in journal.entries(job, (BOUNCED,), data=False))
    sent = sum(states.get(state, 0) for state in ARRIVED)
    return Bounces(fresh, states.get(BOUNCED, 0), sent, tuple(failures.most_common()), whole, note)


def longest(planned: RedrivePlan) -> float:
    """For how many seconds bounces are waited for at most: all attempts the consumers have, and one more."""
    attempts = min(ATTEMPTS_MOST, max((d.max_receive or 1 for d in planned.destinations), default=1))
    return planned.watch if planned.watch is not None else planned.window * (attempts + 1)


def wait(
    sqs: SqsClient, planned: RedrivePlan, cancel: threading.Event, tell: Callable[[str], None], most: float
) -> str:
    """Give the destination's consumers `most` seconds to fail; what could not be waited for, "" when they are through.

    Ends sooner when they hold nothing any more (on AWS, whose counts lag, not within the first visibility window), or
    when the dead-letter queue has grown and a visibility window is over: then a look may tell enough.
    """
    began = time.monotonic()
    least = min(planned.window, most) if sqs.is_aws else 0.0
    quiet = 0
    before: int | None = None
    busy = "the consumers have not been seen yet"
    while not cancel.is_set():
        gone = time.monotonic() - began
        if gone >= most or (quiet >= QUIET_LOOKS and gone >= least):
            break
        tell(f"looks for what comes back in {duration(most - gone)} or sooner: {busy}")
        cancel.wait(min(AWS_POLL_S if sqs.is_aws else POLL_S, most - gone))
        try:
            queues = [counts(sqs, planned, destination.url) for destination in planned.destinations]
            dead = counts(sqs, planned).visible
        except LogqError as error:
            busy, quiet = str(error), 0
            continue
        held = [(q.name, q.visible or 0, q.in_flight or 0, q.delayed or 0) for q in queues]
        quiet = 0 if any(sum(three) for _, *three in held) else quiet + 1
        busy = "; ".join(
            f"{name} holds {visible:,} waiting, {flight:,} with its consumers" for name, visible, flight, _ in held
        )
        before = dead if before is None else before
        if before is not None and dead is not None and dead > before and gone >= planned.window:
            break
    tell("")
    return "" if quiet >= QUIET_LOOKS else f"after {duration(time.monotonic() - began)} {busy}"
