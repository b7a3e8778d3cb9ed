"""What looking costs: every request is counted as it goes out, and what AWS would charge for it.

Prices are the first paid tier of the large regions, without the free tier, taxes and data transfer: an upper bound for
most accounts, not an invoice.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Final

DOLLARS_PER_MILLION: Final = {"standard": 0.40, "fifo": 0.50}
"""SQS requests by queue type: https://aws.amazon.com/sqs/pricing/ (requests that name no queue count as standard)."""

DOLLARS_PER_METRIC: Final = 0.01 / 1_000
"""One metric asked of GetMetricData: https://aws.amazon.com/cloudwatch/pricing/ (no free tier for this call)."""

CHUNK: Final = 65_536
"""Every 64 KB of payload is billed as one request (same page)."""

_FIFO = re.compile(rb'"QueueUrl"\s*:\s*"[^"]*\.fifo"')


@dataclass(frozen=True, slots=True)
class Spent:
    """Requests sent so far (`fifo` of them to FIFO queues), CloudWatch metrics asked for, and `dollars` for both.

    `requests` counts what went over the wire; `dollars` also counts payload over 64 KB as AWS bills it.
    """

    requests: int = 0
    fifo: int = 0
    metrics: int = 0
    dollars: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.requests + other.requests,
            self.fifo + other.fifo,
            self.metrics + other.metrics,
            self.dollars + other.dollars,
        )


class Meter:
    """Counts what one connection sends. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent = Spent()

    @property
    def spent(self) -> Spent:
        """Everything counted so far."""
        return self._spent

    def sent(self, body: bytes) -> None:
        """One SQS request with this body is about to go out (retries are requests too)."""
        kind = "fifo" if _FIFO.search(body) else "standard"
        billed = max(1, -(-len(body) // CHUNK))
        self._add(Spent(1, int(kind == "fifo"), 0, billed * DOLLARS_PER_MILLION[kind] / 1e6))

    def received(self, body_bytes: int, fifo: bool) -> None:
        """A receive was answered with so many bytes: what is over 64 KB is billed on top of the request itself."""
        more = max(0, -(-body_bytes // CHUNK) - 1)
        if more:
            self._add(Spent(dollars=more * DOLLARS_PER_MILLION["fifo" if fifo else "standard"] / 1e6))

    def metrics(self, count: int) -> None:
        """So many CloudWatch metrics are about to be asked for."""
        self._add(Spent(metrics=count, dollars=count * DOLLARS_PER_METRIC))

    def _add(self, more: Spent) -> None:
        with self._lock:
            self._spent = self._spent + more
