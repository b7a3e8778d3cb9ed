"""Copies on their way: what was sent, while the answer that tells its new ids is not in the journal yet.

A consumer may fail a copy, and the server put it into the dead-letter queue, before that answer is here. Another worker
that receives it then would take it for a message of its own and send it once more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from console.sqs.receive import Received, md5_of_body

LONGEST_S = 45.0
"""How long an answer is waited for (seconds): longer than a send takes to give up."""

SKEW_S = 900.0
"""How far the server's clock may be from ours (seconds); SQS refuses requests that are further off."""


@dataclass(frozen=True, slots=True)
class _Send:
    """One batch on its way: since when (epoch seconds), and the MD5 sums of its bodies."""

    began: float
    sums: frozenset[str]

    def may_be(self, message: Received, body: str) -> bool:
        """Whether a message may be a copy out of this batch; `body` is the MD5 of its body."""
        return body in self.sums and (message.sent is None or message.sent >= self.began - SKEW_S)


class OnTheWay:
    """The sends of one run whose answers are awaited. Safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sends: dict[int, _Send] = {}
        self._number = 0

    def begin(self, bodies: Iterable[str]) -> int:
        """A batch with these bodies is about to be sent; the number is for `end`."""
        send = _Send(time.time(), frozenset(md5_of_body(body) for body in bodies))
        with self._changed:
            self._number += 1
            self._sends[self._number] = send
            return self._number

    def end(self, number: int) -> None:
        """What became of the batch is in the journal, or will never be known."""
        with self._changed:
            del self._sends[number]
            self._changed.notify_all()

    def wait(self, messages: Collection[Received]) -> bool:
        """Until it is known of every send that may have made one of these messages; False where there is none.

        Those alone that are on their way now: with the same body in every message there is always a next one.
        """
        with self._changed:
            if not self._sends:
                return False
            sums = [(message, message.md5_body or md5_of_body(message.body)) for message in messages]
            awaited = {n for n, send in self._sends.items() if any(send.may_be(m, body) for m, body in sums)}
            if not awaited:
                return False
            self._changed.wait_for(lambda: awaited.isdisjoint(self._sends), LONGEST_S)
            return True
