"""The peek budget of a redrive that reads past messages which stay: each reading is a receive of theirs.

What is read and moved needs none, for it leaves the queue.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from console.errors import Refused
from console.model import Problem, Queue
from console.ops import peek
from console.ops.redrive_ledger import Verdict
from console.sqs.peek import budget_of
from console.sqs.receive import Received

if TYPE_CHECKING:
    from console.ops.redrive_plan import RedrivePlan
    from console.ops.session import Session
    from console.sqs.client import SqsClient


def require(session: Session, sqs: SqsClient, planned: RedrivePlan, queue: Queue | None = None) -> None:
    """Raise `Refused` when what stays in the dead-letter queue does not bear to be read, unless it is forced.

    `queue` is the dead-letter queue where it has been looked at already. Raises as `SqsClient.queue`.
    """
    if not planned.reads_past or planned.force or planned.dlq_max_receive is None:
        return
    known = peek.known(session, sqs, queue or sqs.queue(planned.dlq))
    if known.refuse:
        raise Refused(
            f"refused to redrive a selection of {planned.dlq}: {known.note}; redrive all of it, raise its "
            "maxReceiveCount first, or force it (--force)"
        )


class Spent:
    """The receives that one run uses up of messages that stay. Safe to use from several threads."""

    def __init__(self, planned: RedrivePlan) -> None:
        self._plan = planned
        self._receives = planned.dlq_max_receive if planned.reads_past else None
        self._left: int | None = None
        self._at_risk = 0
        self._lock = threading.Lock()
        self.first = self._receives is not None and not planned.force
        """Whether the first message is still to be received, alone: it tells how many receives are left."""

    def note(self, claimed: Iterable[tuple[Received, Verdict, bool]]) -> Problem | None:
        """Count what was just read; the problem to stop at when something that stays was on its last receive."""
        if self._receives is None:
            return None
        with self._lock:
            for message, verdict, _ in claimed:
                if verdict in (Verdict.HOLD, Verdict.OVER) and message.receive_count is not None:
                    left = max(0, self._receives - message.receive_count)
                    self._left = left if self._left is None else min(left, self._left)
                    self._at_risk += left == 0
            if self._plan.force or self._left != 0:
                return None
        dlq = self._plan.dlq
        why = f"what stays in {dlq} has no receive left, the next one moves it on; plan it anew with --force to read on"
        return Problem(f"queue {dlq}", "PEEK_BUDGET", why)

    def record(self, session: Session, sqs: SqsClient) -> None:
        """Keep what is left, for the next one who wants to read."""
        queue = Queue(self._plan.dlq, self._plan.url, max_receive=self._receives)
        peek.spend(session, sqs, queue.url, budget_of(queue, self._left, self._at_risk))

    def vanished(self, read: int) -> int:
        """How many of those that were counted a run did not meet with that read all there was: moved on, perhaps."""
        return 0 if self._receives is None else max(0, (self._plan.count or 0) - read)
