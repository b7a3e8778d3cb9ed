"""What the workers of one redrive share: who has which message, what became of it, how fast they may go."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from enum import Enum, auto

from console.journal import Entry
from console.model import Problem
from console.sqs.receive import Received

SPOOLED, INTENT, SENT, DELETED, FAILED, AMBIGUOUS = "SPOOLED", "INTENT", "SENT", "DELETED", "FAILED", "AMBIGUOUS"
"""The states of a message in the journal. FAILED is the quarantine: never tried again by this job."""

_RATE_WINDOW_S = 5.0
_PROBLEMS = 20


class Verdict(Enum):
    """What to do with a message that was received."""

    SEND = auto()
    DELETE = auto()  # its copy is at the destination already: delete only, never send
    HOLD = auto()  # it stays; kept leased so that it is not read again and again
    OVER = auto()  # beyond what was planned: released at once


class Ledger:
    """The state of one run; every method is safe to call from several threads."""

    def __init__(
        self,
        *,
        scan_limit: int | None,
        limit: int | None,
        ids: Collection[str],
        where: Callable[[Received], bool] | None,
    ) -> None:
        self._lock = threading.Lock()
        self._scan_limit = scan_limit
        self._limit = limit
        self._ids = frozenset(ids)
        self._where = where
        self.states: dict[str, str] = {}
        self.ambiguous: set[str] = set()
        self._copies: set[str] = set()
        self._busy: set[str] = set()
        self._unselected: set[str] = set()
        self._held: dict[str, str] = {}
        self._stopped_groups: set[str] = set()
        self._behind: set[str] = set()
        self._newest: dict[str, str] = {}
        self._damage: dict[str, int] = {}
        self.bounced: set[str] = set()
        self.problems: list[Problem] = []
        self.fatal: Problem | None = None
        self._done = self._failed = 0
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    # ------------------------------------------------------------ what was before

    def load(self, entry: Entry) -> None:
        """Take over what an earlier run of the job wrote."""
        with self._lock:
            self.states[entry.key] = entry.state
            if entry.result is not None:
                self._copies.add(entry.result)
            if entry.ambiguous:
                self.ambiguous.add(entry.key)
            self._done += entry.state == DELETED
            self._failed += entry.state == FAILED

    # ------------------------------------------------------------ claiming

    def claim(self, message: Received) -> tuple[Verdict, bool]:
        """What to do with a received message, and whether it was not seen before in this run."""
        key = message.id
        with self._lock:
            state = self.states.get(key)
            if key in self._copies and state is None:
                # The copy this very job sent failed again and came back: sending it again would never end.
                fresh = key not in self.bounced
                self.bounced.add(key)
                return self._hold(message), fresh
            if state in (SENT, DELETED):
                return Verdict.DELETE, True
            if state == FAILED or key in self._unselected:
                return self._hold(message), False
            if key in self._busy:
                # Its lease ran out while another worker has it: that worker deletes it, with this newer handle.
                self._newest[key] = message.receipt
                return Verdict.HOLD, False
            if message.group_id is not None and message.group_id in self._stopped_groups:
                self._behind.add(key)
                return self._hold(message), False
            if state is None and self._full():
                return Verdict.OVER, False
            self._busy.add(key)
        # The filter runs outside the lock: it is the costly part, and the message is this worker's now.
        wanted = state is not None or self._selects(message)
        with self._lock:
            if not wanted:
                self._busy.discard(key)
                self._unselected.add(key)
                return self._hold(message), True
            if state is None and self._limit is not None and len(self.states) >= self._limit:
                self._busy.discard(key)
                return Verdict.OVER, False
            self.states.setdefault(key, "")
            return Verdict.SEND, True

    def _selects(self, message: Received) -> bool:
        if self._ids and message.id not in self._ids:
            return False
        return self._where is None or self._where(message)

    def _hold(self, message: Received) -> Verdict:
        self._held[message.id] = message.receipt
        return Verdict.HOLD

    def _full(self) -> bool:
        if self._limit is not None and len(self.states) >= self._limit:
            return True
        if self._ids and self._ids <= self.states.keys():
            return True
        return self._scan_limit is not None and len(self.states) + len(self._unselected) >= self._scan_limit

    @property
    def complete(self) -> bool:
        """Whether nothing is left to receive: as many as planned were taken, and each of them reached an end."""
        with self._lock:
            return self._full() and not self._busy and all(s in (DELETED, FAILED) for s in self.states.values())

    @property
    def waiting(self) -> bool:
        """Whether all that was planned has ended or is in the hands of a worker, some of it still."""
        with self._lock:
            if not (self._busy and self._full()):
                return False
            return all(state in (DELETED, FAILED) or key in self._busy for key, state in self.states.items())

    def set(self, keys: Collection[str], state: str, copies: Collection[str] = ()) -> None:
        """Note the new state of messages (after the journal has it); `copies` are their new ids."""
        with self._lock:
            for key in keys:
                before = self.states.get(key)
                self.states[key] = state
                self._done += (state == DELETED) - (before == DELETED)
                self._failed += (state == FAILED) - (before == FAILED)
            self._copies.update(copies)
            self._marks.append((time.monotonic(), self._done))

    def mark_ambiguous(self, keys: Collection[str]) -> None:
        """Note that it is not known whether these were sent (after the journal has it)."""
        with self._lock:
            self.ambiguous.update(keys)

    def let_go(self, keys: Collection[str]) -> None:
        """A worker is through with these messages, for better or worse."""
        with self._lock:
            self._busy.difference_update(keys)
            for key in keys:
                if self.states.get(key) == "":
                    del self.states[key]

    def damaged(self, key: str) -> int:
        """Count one more receive of a message whose MD5 did not match; how many there were."""
        with self._lock:
            self._damage[key] = self._damage.get(key, 0) + 1
            return self._damage[key]

    def stop_group(self, group: str) -> None:
        """Nothing more of this FIFO group is sent: a later message must not overtake one that failed."""
        with self._lock:
            self._stopped_groups.add(group)

    def hold(self, messages: Collection[Received], behind: bool = False) -> None:
        """Keep messages leased until the end; `behind` a message of their FIFO group that failed."""
        with self._lock:
            for message in messages:
                self._held[message.id] = message.receipt
                if behind:
                    self._behind.add(message.id)

    def newest(self, receipts: dict[str, str]) -> dict[str, str]:
        """The receipt handles with those replaced that a later receive made stale."""
        with self._lock:
            return {key: self._newest.pop(key, receipt) for key, receipt in receipts.items()}

    def take_held(self) -> dict[str, str]:
        """The messages kept leased (id -> newest receipt handle); they are no longer kept."""
        with self._lock:
            held, self._held = self._held, {}
            return held

    # ------------------------------------------------------------ what is seen from outside

    @property
    def held(self) -> int:
        """How many messages are kept leased."""
        with self._lock:
            return len(self._held)

    @property
    def done(self) -> int:
        """Messages whose copy arrived and whose original is gone."""
        return self._done

    @property
    def failed(self) -> int:
        """Messages that were refused and stay where they are."""
        return self._failed

    @property
    def behind(self) -> int:
        """Messages seen that stay because an earlier one of their FIFO group failed."""
        with self._lock:
            return len(self._behind)

    @property
    def unselected(self) -> int:
        """Messages that were read and stay because the selection leaves them out."""
        with self._lock:
            return len(self._unselected)

    def unfinished(self) -> tuple[str, ...]:
        """The ids that were begun and reached no end."""
        with self._lock:
            return tuple(key for key, state in self.states.items() if state not in (DELETED, FAILED))

    def in_state(self, state: str) -> tuple[str, ...]:
        """The ids that are in a state now."""
        with self._lock:
            return tuple(key for key, found in self.states.items() if found == state)

    def rate(self) -> float | None:
        """Messages a second over the last seconds; None at the very start."""
        with self._lock:
            now = time.monotonic()
            while len(self._marks) > 2 and now - self._marks[0][0] > _RATE_WINDOW_S:
                self._marks.popleft()
            at, done = self._marks[0]
            return (self._done - done) / (now - at) if now - at > 0.2 else None

    def problem(self, problem: Problem, fatal: bool = False) -> None:
        """Keep a problem for the outcome; a fatal one stops every worker at its next batch."""
        with self._lock:
            if len(self.problems) < _PROBLEMS:
                self.problems.append(problem)
            if fatal and self.fatal is None:
                self.fatal = problem


class Bucket:
    """A token bucket: at most `rate` messages a second over all workers, at most a batch at once."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self.most = 10 if rate is None else max(1, min(10, int(rate)))
        self._tokens = float(self.most) if rate is not None else 0.0
        self._at = time.monotonic()
        self._lock = threading.Lock()

    def take(self, stop: Callable[[], bool]) -> int:
        """Wait for `most` tokens and take them; 0 when `stop` says so meanwhile."""
        if self._rate is None:
            return self.most
        while not stop():
            with self._lock:
                now = time.monotonic()
                self._tokens = min(float(self.most), self._tokens + (now - self._at) * self._rate)
                self._at = now
                if self._tokens >= self.most:
                    self._tokens -= self.most
                    return self.most
                wait = (self.most - self._tokens) / self._rate
            time.sleep(min(wait, 0.1))
        return 0

    def give_back(self, tokens: int) -> None:
        """Return tokens that were not used."""
        if self._rate is not None and tokens > 0:
            with self._lock:
                self._tokens += tokens
