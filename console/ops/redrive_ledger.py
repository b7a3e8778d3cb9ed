"""What the workers of one redrive share: who has which message, what became of it, how fast they may go."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum, auto

from console.journal import Entry
from console.model import Problem
from console.ops.redrive_way import OnTheWay
from console.sqs.peek import FIFO_HEAD
from console.sqs.receive import Received

SPOOLED, INTENT, SENT, DELETED, FAILED, AMBIGUOUS = "SPOOLED", "INTENT", "SENT", "DELETED", "FAILED", "AMBIGUOUS"
BOUNCED = "BOUNCED"
"""The states of a message in the journal. FAILED is the quarantine: never tried again by this job. BOUNCED is DELETED,
and the copy was seen in the dead-letter queue again."""

ARRIVED = (DELETED, BOUNCED)
"""The copy is at its destination, or was and came back; the original is gone."""

_ENDS = (*ARRIVED, FAILED)
_RATE_WINDOW_S = 5.0
_PROBLEMS = 20


class Verdict(Enum):
    """What to do with a message that was received."""

    SEND = auto()
    DELETE = auto()  # its copy is at the destination already: delete only, never send
    HOLD = auto()  # it stays; kept leased so that it is not read again and again
    OVER = auto()  # beyond what was planned: released at once


class Ledger:
    """The state of one run; every method is safe to call from several threads.

    Held here is what is unfinished. What has ended is in the journal, where `known` looks it up for each batch: so the
    memory does not grow with the messages.
    """

    def __init__(
        self,
        *,
        scan_limit: int | None,
        limit: int | None,
        ids: Collection[str],
        where: Callable[[Received], bool] | None,
        known: Callable[[Sequence[str]], tuple[dict[str, str], dict[str, tuple[str, str]]]],
    ) -> None:
        self._lock = threading.Lock()
        self.on_the_way = OnTheWay()
        self._scan_limit = scan_limit
        self.limit = limit
        self._wanted = set(ids) if ids else None
        self._where = where
        self._known = known
        self.states: dict[str, str] = {}
        self.ambiguous: set[str] = set()
        self._busy: set[str] = set()
        self._asked = 0
        self._taken = 0
        self._unselected: set[str] = set()
        self._looked_at: Counter[str] = Counter()
        self._staying: set[str] = set()
        self._held: dict[str, str] = {}
        self._unsent: dict[str, str] = {}
        self._stopped_groups: dict[str, bool] = {}
        self._behind: set[str] = set()
        self._newest: dict[str, str] = {}
        self._damage: dict[str, int] = {}
        self.bounced: set[str] = set()
        self.problems: list[Problem] = []
        self.fatal: Problem | None = None
        self.stalled: Problem | None = None
        self._done = self._failed = 0
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    # ------------------------------------------------------------ what was before

    def load(self, unfinished: Iterable[Entry], counts: Mapping[str, int], doubtful: Collection[str]) -> None:
        """Take over what an earlier run of the job wrote: its unfinished entries, and how many are in which state."""
        with self._lock:
            self.states = {entry.key: entry.state for entry in unfinished}
            self.ambiguous = set(doubtful)
            self._done = sum(counts.get(state, 0) for state in ARRIVED)
            self._failed = counts.get(FAILED, 0)
            self._taken = sum(counts.values())
            if self._wanted is not None:
                found, _ = self._known(tuple(self._wanted))
                self._wanted -= found.keys()

    # ------------------------------------------------------------ claiming

    def ask(self, most: int) -> int:
        """How many messages a worker may receive now, at most `most`: what is planned is not asked for twice.

        0 while all that is left is with other workers; a long poll then would only hold up the end. `answered` follows.
        """
        with self._lock:
            room = self._room()
            if room is not None and self.states.keys() <= self._busy:
                most = max(0, min(most, room - self._asked))
            self._asked += most
            return most

    def answered(self, asked: int) -> None:
        """A receive of `asked` messages is over and what it brought was claimed."""
        with self._lock:
            self._asked -= asked

    def claim(self, messages: Sequence[Received]) -> list[tuple[Received, Verdict, bool]]:
        """What to do with received messages, and whether each was not seen before in this run."""
        others: list[tuple[Received, Verdict, bool]] = []
        mine: list[Received] = []
        with self._lock:
            for message in messages:
                if message.id in self._busy:
                    # Its lease ran out while another worker has it: that worker deletes it, with this newer handle.
                    self._newest[message.id] = message.receipt
                    others.append((message, Verdict.HOLD, False))
                else:
                    self._busy.add(message.id)
                    mine.append(message)
        judged: list[tuple[Received, Verdict, bool]] = []
        try:
            # Only now, being this worker's alone: who had it before has journaled what became of it.
            ended, copies = self._known([message.id for message in mine])
            if self.on_the_way.wait([m for m in mine if m.id not in ended and m.id not in copies]):
                ended, copies = self._known([message.id for message in mine])
            for message in mine:
                verdict, fresh = self._judge(message, ended.get(message.id), copies.get(message.id))
                judged.append((message, verdict, fresh))
        except BaseException:
            self.keep_unsent(mine)
            self.let_go([message.id for message in mine])
            raise
        self.let_go([message.id for message, verdict, _ in judged if verdict is not Verdict.SEND])
        return judged + others

    def _judge(self, message: Received, ended: str | None, copy_of: tuple[str, str] | None) -> tuple[Verdict, bool]:
        key, group = message.id, message.group_id
        with self._lock:
            if copy_of is not None and ended is None:
                # The copy this very job sent failed again and came back: sending it again would never end.
                fresh = key not in self.bounced and copy_of[1] != BOUNCED
                if fresh:
                    self.bounced.add(key)
                return self._hold(message), fresh
            if ended is not None and ended in (SENT, *ARRIVED):
                return Verdict.DELETE, True
            if ended == FAILED:
                if group is not None:
                    self._stopped_groups[group] = True
                return self._hold(message), False
            if key in self._unselected:
                return self._hold(message), False
            if group is not None and group in self._stopped_groups:
                self._behind.add(key)
                return self._hold(message), False
            begun = ended is not None
            if not begun and self._full():
                return Verdict.OVER, False
        # The filter runs outside the lock: it is the costly part, and the message is this worker's now.
        wanted = begun or self._selects(message)
        with self._lock:
            if not wanted:
                self._unselected.add(key)
                if group is not None:
                    self._looked_at[group] += 1
                    self._staying.add(group)
                return self._hold(message), True
            if not begun and key not in self.states:
                if self.limit is not None and self._taken >= self.limit:
                    return Verdict.OVER, False
                self._taken += 1
                if group is not None:
                    self._looked_at[group] += 1
                if self._wanted is not None:
                    self._wanted.discard(key)
            self.states.setdefault(key, ended or "")
            return Verdict.SEND, True

    def _selects(self, message: Received) -> bool:
        if self._wanted is not None and message.id not in self._wanted:
            return False
        return self._where is None or self._where(message)

    def _hold(self, message: Received) -> Verdict:
        self._held[message.id] = message.receipt
        return Verdict.HOLD

    def _room(self) -> int | None:
        """How many more messages are wanted from the queue; None: nobody knows."""
        rooms = []
        if self.limit is not None and self._where is None and self._wanted is None:
            rooms.append(self.limit - self._taken)
        if self._scan_limit is not None:
            rooms.append(self._scan_limit - self._taken - len(self._unselected))
        if self._full():
            rooms.append(0)
        return max(0, min(rooms)) if rooms else None

    def _full(self) -> bool:
        if self.limit is not None and self._taken >= self.limit:
            return True
        if self._wanted is not None and not self._wanted:
            return True
        return self._scan_limit is not None and self._taken + len(self._unselected) >= self._scan_limit

    @property
    def complete(self) -> bool:
        """Whether nothing is left to receive: as many as planned were taken, and each of them reached an end."""
        with self._lock:
            return self._full() and not self._busy and not self.states

    def set(self, keys: Collection[str], state: str) -> None:
        """Note the new state of messages (after the journal has it)."""
        with self._lock:
            for key in keys:
                if state in _ENDS:
                    # One that had ended before was counted then.
                    if self.states.pop(key, None) is not None:
                        self._done += state in ARRIVED
                        self._failed += state == FAILED
                else:
                    self.states[key] = state
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
                    self._taken -= 1
                    if self._wanted is not None:
                        self._wanted.add(key)

    def damaged(self, key: str) -> int:
        """Count one more receive of a message whose MD5 did not match; how many there were."""
        with self._lock:
            self._damage[key] = self._damage.get(key, 0) + 1
            return self._damage[key]

    def stop_group(self, group: str, for_good: bool) -> None:
        """Nothing more of this FIFO group is sent: a later message must not overtake one that failed.

        Not `for_good` where it may go later: then only until `go_on`.
        """
        with self._lock:
            self._stopped_groups[group] = self._stopped_groups.get(group, False) or for_good

    def is_stopped(self, group: str | None) -> bool:
        """Whether a message of this FIFO group failed for good."""
        with self._lock:
            return group is not None and self._stopped_groups.get(group, False)

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

    def keep_unsent(self, messages: Collection[Received]) -> None:
        """Keep, to be given back when the run ends, what was leased and certainly was not sent.

        What may have been sent stays leased until it has been looked for: nobody else is to take it meanwhile.
        """
        with self._lock:
            for message in messages:
                key = message.id
                sure = self.states.get(key, "") in ("", SPOOLED) and key not in self.ambiguous
                if sure and key not in self._held:
                    self._unsent[key] = message.receipt

    def take_unsent(self) -> dict[str, str]:
        """The messages that are leased and were not sent (id -> receipt handle); they are no longer kept."""
        with self._lock:
            unsent, self._unsent = self._unsent, {}
            return unsent

    @property
    def looked_through(self) -> bool:
        """Whether as many messages as were planned have been looked at."""
        with self._lock:
            return self._full()

    @property
    def held(self) -> int:
        """How many messages are kept leased."""
        with self._lock:
            return len(self._held)

    @property
    def taken(self) -> int:
        """How many messages of the queue this job has begun with, in whatever run."""
        return self._taken

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
    def stopped(self) -> int:
        """FIFO groups that stand still behind a message of theirs that failed for good."""
        with self._lock:
            return sum(self._stopped_groups.values())

    @property
    def unselected(self) -> int:
        """Messages that were read and stay because the selection leaves them out."""
        with self._lock:
            return len(self._unselected)

    @property
    def hiding(self) -> int:
        """FIFO groups of which as many were looked at as can be seen, and some of these stay: they may hide more."""
        with self._lock:
            return sum(self._looked_at[group] >= FIFO_HEAD for group in self._staying)

    @property
    def missing(self) -> tuple[str, ...]:
        """The ids asked for that were not met with, sorted."""
        with self._lock:
            return tuple(sorted(self._wanted or ()))

    def unfinished(self) -> tuple[str, ...]:
        """The ids that were begun and reached no end."""
        with self._lock:
            return tuple(self.states)

    def in_state(self, state: str) -> tuple[str, ...]:
        """The unfinished ids that are in a state now."""
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
            # Every worker, and every message of a batch, may run into the same.
            if len(self.problems) < _PROBLEMS and problem not in self.problems:
                self.problems.append(problem)
            if fatal and self.fatal is None:
                self.fatal = problem

    def stall(self, problem: Problem) -> None:
        """Every worker stops at its next batch, until what may pass has passed and `go_on` is called."""
        with self._lock:
            self.stalled = self.stalled or problem

    def go_on(self) -> None:
        """What stood in the way has passed: also groups that waited behind it may go."""
        with self._lock:
            self.stalled = None
            self._stopped_groups = {group: True for group, for_good in self._stopped_groups.items() if for_good}
            self._behind.clear()


class Bucket:
    """A token bucket: at most `rate` messages a second over all workers, at most a batch at once."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self.most = 10 if rate is None else max(1, min(10, int(rate)))
        self._tokens = float(self.most) if rate is not None else 0.0
        self._at = time.monotonic()
        self._lock = threading.Lock()

    def take(self, wanted: int, stop: Callable[[], bool]) -> int:
        """Wait for `wanted` tokens (at most `most`) and take them; 0 when `stop` says so meanwhile."""
        if self._rate is None:
            return wanted
        while not stop():
            with self._lock:
                now = time.monotonic()
                self._tokens = min(float(self.most), self._tokens + (now - self._at) * self._rate)
                self._at = now
                if self._tokens >= wanted:
                    self._tokens -= wanted
                    return wanted
                wait = (wanted - self._tokens) / self._rate
            time.sleep(min(wait, 0.1))
        return 0

    def give_back(self, tokens: int) -> None:
        """Return tokens that were not used."""
        if self._rate is not None and tokens > 0:
            with self._lock:
                self._tokens += tokens
