"""What a replay to a queue has in hand at once, as the journal keeps it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from console.journal import Entry
from console.sqs.send import Outgoing

INTENT, SENT, UNSENT, FAILED = "INTENT", "SENT", "UNSENT", "FAILED"
"""States in the journal. INTENT: about to be sent, may have arrived. UNSENT: certainly not. FAILED: one record that
cannot be a message, or that the queue refused."""


@dataclass(slots=True)
class Unit:
    """Consecutive offsets [first, last] of one partition with at most ten records to send: one journal entry.

    `open` are the messages not known to have arrived, by offset; `sent` how many of it have.
    """

    partition: int
    first: int
    last: int
    open: dict[int, Outgoing] = field(default_factory=dict)
    sent: int = 0
    intent: float = 0.0
    unknown: bool = False

    @property
    def key(self) -> str:
        """Its key in the journal."""
        return f"{self.partition}/{self.first}-{self.last}"

    @property
    def named(self) -> str:
        """The offsets that may be at the destination twice, for people."""
        return f"offsets {', '.join(map(str, sorted(self.open)))} of partition {self.partition}"

    def entry(self, state: str, *, ambiguous: bool = False, note: str = "") -> Entry:
        """The unit for the journal."""
        data = json.dumps(
            {"p": self.partition, "first": self.first, "last": self.last, "open": sorted(self.open), "sent": self.sent}
        )
        return Entry(self.key, state, at=self.intent, data=data.encode(), ambiguous=ambiguous, note=note)


def restored(entry: Entry) -> Unit:
    """The unit that `Unit.entry` wrote; of its open messages only the offsets are known."""
    told = json.loads(entry.data or b"{}")
    return Unit(
        told["p"],
        told["first"],
        told["last"],
        open={offset: Outgoing("", "", {}) for offset in told["open"]},
        sent=told["sent"],
        intent=entry.at,
        unknown=entry.state == INTENT,
    )


def records(entries: Iterable[Entry]) -> dict[str, int]:
    """How many records had which outcome: an entry stands for up to ten of them, and those that failed have their own.

    Of a unit that was sent in part, the rest counts as what the unit is.
    """
    found: Counter[str] = Counter()
    left: list[tuple[str, str]] = []
    failed = set()
    for entry in entries:
        if entry.state == FAILED:
            failed.add(entry.key)
            continue
        unit = restored(entry)
        found[SENT] += unit.sent
        left += [(entry.state, f"{unit.partition}/{offset}") for offset in unit.open]
    # One that was refused when it was tried again stays in the data of its unit.
    found.update(state for state, key in left if key not in failed)
    found[FAILED] += len(failed)
    return {state: many for state, many in sorted(found.items()) if many}
