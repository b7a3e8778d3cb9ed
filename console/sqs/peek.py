"""Looking into a queue: one leased sweep into memory, released when it ends, and what the look cost.

Every peek is a receive: ApproximateReceiveCount goes up, and on a queue with a redrive policy a message whose attempts
are used up moves to the dead-letter queue at its next receive. Hence the budget, asked before and kept during a sweep.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from console.decode import decode
from console.decode.unwrap import unwrap
from console.errors import Refused
from console.model import Message, Queue
from console.sqs import receive as lease
from console.sqs.receive import BATCH, Received
from console.text import plural

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

LEASE_S = 120
"""How long a sweep leases what it reads, should it not come to release it (a crash)."""

SWEEP_MOST_S = LEASE_S - 20.0
"""A longer sweep would meet its own first messages again, their leases run out."""

SWEEP_BYTES = 64 << 20
"""How much of a queue one sweep holds in memory."""

SLOWEST = 50.0
"""Messages a second that a sweep reads at the least: how long it is given follows from it."""

EMPTY_POLLS = 3
"""Long polls in a row without anything new before a queue that counts more is left as it is."""

TRICKLE_POLLS = 3
"""Polls in a row that bring a few messages more than there were, before the counts are asked whether that is all."""

FIFO_HEAD = 10
"""Without deleting, at most so many messages of one FIFO group can be seen."""

_ERROR_ATTRIBUTES = (
    "error", "errormessage", "error_message", "error-message", "exception", "exceptionmessage", "exception_message",
    "exception-message", "errorcode", "error_code", "failure", "failurereason", "failure_reason", "reason", "cause",
)  # fmt: skip
_ERROR_KEYS = ("errorMessage", "error_message", "error", "exception", "exceptionMessage", "failureReason")
_ERROR_BODY_LIMIT = 262_144
_ERROR_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Budget:
    """How many receives messages have left before the queue's redrive policy moves them to its dead-letter queue.

    `left` is the fewest attempts left of any message seen (None while none was seen), `at_risk` how many of those seen
    would be moved at their next receive, `refuse` whether a peek is refused unless forced.
    """

    max_receive: int | None
    left: int | None = None
    at_risk: int = 0
    note: str = ""
    refuse: bool = False


@dataclass(frozen=True, slots=True)
class Peek:
    """What a sweep saw. `whole` only when the counts agree that nothing is left; `note` says how far it reached."""

    messages: tuple[Message, ...]
    seen: int
    approximate_total: int | None
    whole: bool
    note: str
    budget: Budget


def budget_of(queue: Queue, left: int | None = None, at_risk: int = 0) -> Budget:
    """The peek budget of a queue; `left` is the fewest attempts left that an earlier look saw.

    A queue without a redrive policy has no limit. Receive counts are not known before a look, so a queue that allows
    one receive is refused outright.
    """
    most = queue.max_receive
    if most is None:
        return Budget(None, note="no redrive policy: looking moves nothing")
    where = queue.dlq or "its dead-letter queue"
    if queue.visible == 0 and left is None:
        return Budget(most, note=f"nothing visible; a message moves to {where} after {most} receives")
    if left is None:
        if most <= 1:
            note = f"{queue.name} allows 1 receive: this look would use it and the next one moves messages to {where}"
            return Budget(most, note=note, refuse=True)
        return Budget(most, note=f"this look uses 1 of {most} attempts; after that messages move to {where}")
    note = f"{left} of {most} attempts left"
    if at_risk:
        note += f"; {at_risk} seen would move to {where} at the next receive"
    return Budget(most, left, at_risk, note, refuse=left <= 1)


def refuse(queue: Queue, budget: Budget) -> None:
    """Raise `Refused` when the budget says so."""
    if budget.refuse:
        raise Refused(
            f"refused to peek {queue.name}: {budget.note}; look at {queue.dlq or 'its dead-letter queue'} instead, "
            "or force it (--force)"
        )


def sweep(
    client: SQSClient,
    queue: Queue,
    most: int,
    *,
    timeout: float,
    force: bool = False,
    cancel: threading.Event | None = None,
    on_progress: Callable[[int], None] | None = None,
    attributes: Callable[[], Queue] | None = None,
    leases: dict[str, str] | None = None,
) -> tuple[list[Received], bool, Budget]:
    """Lease up to `most` messages, release them all, return them with "whole" and the budget as seen.

    Ends after `timeout` seconds, at `cancel`, after `most`, or when the queue has nothing more to give; on a queue with
    a redrive policy also as soon as a message is down to its last attempt (unless `force`). `attributes` is asked for
    the counts while everything is held, to tell whether anything was left. `leases` (id -> receipt handle) is filled
    with what is held and emptied as it is released: what is left in it stays hidden. Raises what boto3 raises when the
    very first receive fails; a later failure ends the sweep with what was seen.
    """
    ends = time.monotonic() + timeout
    held: dict[str, Received] = {}
    receipts: dict[str, str] = {} if leases is None else leases
    barren = size = trickle = 0
    limited = queue.max_receive is not None and not force
    left: int | None = None
    at_risk = 0
    whole = False
    try:
        while len(held) < most and barren < EMPTY_POLLS and size < SWEEP_BYTES:
            remaining = ends - time.monotonic()
            if remaining <= 0 or (cancel is not None and cancel.is_set()):
                break
            # The first message tells how many attempts are left: with a policy it is fetched alone.
            ask = 1 if limited and not held else min(BATCH, most - len(held))
            try:
                got = lease.receive(client, queue.url, most=ask, visibility=LEASE_S, wait=1 if remaining > 1.5 else 0)
            except Exception:
                if not held:
                    raise
                break
            fresh = 0
            for message in got:
                receipts[message.id] = message.receipt
                if message.id not in held:
                    fresh += 1
                    held[message.id] = message
                    size += len(message.body)
                count = message.receive_count
                if queue.max_receive is not None and count is not None:
                    rest = max(0, queue.max_receive - count)
                    left = rest if left is None else min(left, rest)
                    at_risk += rest == 0
            barren = 0 if fresh else barren + 1
            # Where more comes all the time no poll is ever empty: then polls that bring a few beyond what there was.
            there = queue.visible is not None and len(held) >= queue.visible
            trickle = trickle + 1 if there and len(got) < ask else 0
            asks = barren == 1 or (trickle > 0 and trickle % TRICKLE_POLLS == 0)
            if asks and attributes is not None and (whole := _nothing_left(attributes, len(held), barren == 1)):
                break
            if fresh and on_progress is not None:
                on_progress(len(held))
            if limited and left is not None and left <= 1:
                break
    finally:
        # Also when cancelled or failed: what is not released stays hidden from its consumers for the whole lease.
        lease.release(client, queue.url, receipts)
    return list(held.values()), whole, budget_of(queue, left, at_risk)


def _nothing_left(attributes: Callable[[], Queue], held: int, polled_empty: bool) -> bool:
    """Whether the counts say so while everything is held.

    Without an empty poll that agrees they must know of all that is held: else they lag, and may not know of more.
    """
    try:
        now = attributes()
    except Exception:
        return False
    if now.visible != 0 or now.delayed != 0 or now.in_flight is None:
        return False
    return now.in_flight <= held if polled_empty else now.in_flight == held


def describe(queue: Queue, found: list[Received], total: int | None, whole: bool, budget: Budget) -> tuple[bool, str]:
    """Whether all was seen, and the coverage in words: never "all" where messages may hide."""
    seen = len(found)
    hidden = 0
    if queue.fifo:
        groups = Counter(message.group_id for message in found)
        hidden = sum(1 for count in groups.values() if count >= FIFO_HEAD)
    whole = whole and hidden == 0
    if whole:
        note = f"{seen:,} seen, as many as the queue's counts tell of"
    elif total is None:
        note = f"{seen:,} seen; how many there are is not known"
    else:
        note = f"{seen:,} of ~{max(total, seen):,} seen"
    if queue.fifo:
        note += f"; FIFO: only the first {FIFO_HEAD} of a group can be seen"
        if hidden:
            note += f", {hidden} {'group hides' if hidden == 1 else 'groups hide'} behind their heads"
    if budget.left is not None and budget.left <= 1:
        note += f"; stopped: {budget.note}" if not whole else f"; {budget.note}"
    return whole, note


def hidden(name: str, leases: Mapping[str, str]) -> str:
    """What to say of messages that were leased and could not be given back."""
    return f"{plural(len(leases), 'message')} of {name} could not be given back: hidden from readers up to {LEASE_S} s"


def to_message(queue: str, found: Received) -> Message:
    """A received message as the model has it: body as bytes, message attributes, then system attributes by name."""
    attributes: list[tuple[str, str | bytes]] = []
    for name in sorted(found.attributes):
        value = found.attributes[name]
        binary = str(value.get("DataType", "")).startswith("Binary")
        attributes.append((name, lease.as_bytes(value["BinaryValue"]) if binary else str(value.get("StringValue", ""))))
    attributes += sorted(found.system.items())
    return Message(
        target=f"sqs:{queue}",
        id=found.id,
        timestamp=found.sent,
        value=found.body.encode("utf-8", "surrogatepass"),
        attributes=tuple(attributes),
        receive_count=found.receive_count,
        group_id=found.group_id,
        error=error_of(found),
    )


def error_of(found: Received) -> str | None:
    """Why a message failed, where its attributes, its envelope or a JSON body evidently say so; None otherwise.

    SQS itself keeps no reason: this is what applications write before they give up.
    """
    named = {name.lower(): value for name, value in found.attributes.items()}
    for name in _ERROR_ATTRIBUTES:
        text = named.get(name, {}).get("StringValue")
        if text:
            return str(text)[:_ERROR_CHARS]
    if len(found.body) > _ERROR_BODY_LIMIT:
        return None
    inside = unwrap(found.body.encode("utf-8", "surrogatepass"))
    if inside is not None and inside.error:
        return inside.error[:_ERROR_CHARS]
    body = decode(found.body.encode("utf-8", "surrogatepass") if inside is None else inside.value).value
    if not isinstance(body, dict):
        return None
    for key in _ERROR_KEYS:
        value = body.get(key)
        if isinstance(value, dict):
            value = value.get("message") or value.get("type")
        if isinstance(value, str) and value:
            return value[:_ERROR_CHARS]
    return None


def peek(
    client: SQSClient,
    queue: Queue,
    most: int,
    *,
    timeout: float,
    earlier: Budget | None = None,
    force: bool = False,
    cancel: threading.Event | None = None,
    on_progress: Callable[[int], None] | None = None,
    attributes: Callable[[], Queue] | None = None,
    leases: dict[str, str] | None = None,
) -> Peek:
    """Look at up to `most` messages of a queue. Raises `Refused` when the budget does not allow it and not forced.

    `earlier` is the budget an earlier look left behind. When the first message turns out to have been on its last
    attempt, the sweep stops there and the answer's budget refuses the next one. `leases` is as for `sweep`.
    """
    budget = earlier or budget_of(queue)
    if not force:
        refuse(queue, budget)
    before = queue.visible
    total = None if before is None else before + (queue.delayed or 0) + (queue.in_flight or 0)
    leases = {} if leases is None else leases
    found, whole, after = sweep(
        client,
        queue,
        most,
        timeout=timeout,
        force=force,
        cancel=cancel,
        on_progress=on_progress,
        attributes=attributes,
        leases=leases,
    )
    if not found and earlier is not None:
        after = replace(earlier)
    whole, note = describe(queue, found, total, whole, after)
    if leases:
        note += f"; {hidden(queue.name, leases)}"
    return Peek(tuple(to_message(queue.name, message) for message in found), len(found), total, whole, note, after)
