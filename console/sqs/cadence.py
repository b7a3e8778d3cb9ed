"""When each queue is looked at again: often while it is on the screen, rarely otherwise, less when nothing changes.

Pure bookkeeping on a monotonic clock, so that a test can run a day of it in a second and count the requests.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=str)

VISIBLE_S: Final = 5.0
REST_S: Final = 60.0
VISIBLE_MOST_S: Final = 15.0
REST_MOST_S: Final = 240.0
"""The longest pause of a queue whose counts do not change. One that changes is back at the short one at once."""

QUIET_LOOKS: Final = 3
"""Looks at a visible queue without a change before its pause grows."""

_TICK_SLACK_S: Final = 1.0


@dataclass(slots=True)
class _Seen:
    at: float
    counts: object
    quiet: int = 0
    looks: int = 1


class Cadence(Generic[K]):
    """The looks at a set of queues. Not locked: one sweep at a time uses it."""

    def __init__(self) -> None:
        self._seen: dict[K, _Seen] = {}

    def due(self, queues: Iterable[K], visible: Collection[str], now: float, awaited: Collection[str] = ()) -> list[K]:
        """Those of the queues that should be looked at now; a queue never looked at always is.

        `awaited` are those off the screen whose pause does not grow, however quiet they are: dead-letter queues.
        """
        return [queue for queue in queues if self._is_due(queue, queue in visible, queue in awaited, now)]

    def saw(self, queue: K, counts: object, now: float) -> None:
        """Note a look; `counts` is anything that compares equal while nothing has changed. A failure is a change."""
        known = self._seen.get(queue)
        if known is None:
            self._seen[queue] = _Seen(now, counts)
            return
        known.quiet = known.quiet + 1 if counts == known.counts else 0
        known.at, known.counts = now, counts
        known.looks += 1

    def hurry(self) -> None:
        """Everything is due: somebody asked for a look now."""
        for known in self._seen.values():
            known.at = float("-inf")

    def keep(self, queues: Collection[K]) -> None:
        """Forget all others: they are gone."""
        self._seen = {queue: seen for queue, seen in self._seen.items() if queue in queues}

    def _is_due(self, queue: K, visible: bool, awaited: bool, now: float) -> bool:
        known = self._seen.get(queue)
        if known is None:
            return True
        if visible:
            pause = min(VISIBLE_MOST_S, VISIBLE_S * (1 + known.quiet // QUIET_LOOKS))
        else:
            pause = REST_S if awaited else min(REST_MOST_S, REST_S * 2.0 ** min(known.quiet, 8))
            if known.looks == 1:
                # Five hundred queues seen in the same second are not all due in the same second again.
                pause *= 0.5 + (zlib.crc32(queue.encode("utf-8", "surrogatepass")) % 1_000) / 2_000
        return now - known.at >= pause - _TICK_SLACK_S
