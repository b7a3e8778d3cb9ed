"""What a patch does to messages that are there: read once under the peek budget, changed, compared, released."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from console.errors import LogqError
from console.model import Message, Queue
from console.ops.peek import known, spend
from console.ops.redrive_edit import Edit, Unfit, difference, size_of
from console.ops.redrive_filter import Where
from console.sqs import inspect, peek
from console.sqs.receive import Received
from console.text import duration, plural, size

if TYPE_CHECKING:
    from console.ops.redrive_plan import RedrivePlan
    from console.ops.session import Session
    from console.ops.spool import Swept
    from console.sqs.client import SqsClient

LOOK_AT = 50
"""How many messages are read to show a patch."""

SHOWN = 8
"""Of how many messages the changes are listed."""

_UNFIT_NAMED = 2

_SYSTEM = frozenset(
    {
        "AWSTraceHeader",
        "ApproximateFirstReceiveTimestamp",
        "ApproximateReceiveCount",
        "DeadLetterQueueSourceArn",
        "MessageDeduplicationId",
        "MessageGroupId",
        "SenderId",
        "SentTimestamp",
        "SequenceNumber",
    }
)
"""AWS, ReceiveMessage: the system attributes."""


def preview(
    session: Session, sqs: SqsClient, planned: RedrivePlan, source: Queue, edit: Edit, kept: Swept | None = None
) -> tuple[tuple[tuple[str, str, str, str], ...], str]:
    """The changes as rows of id, path, before and after, and a line on how many fit and how large they get.

    Where a look finds none of them, those of the look that was `kept` are shown. Where the peek budget or the server
    does not let the messages be seen and none are kept, no rows and the reason.
    """
    where = Where(planned.where) if planned.where is not None else None
    ids = frozenset(planned.ids)

    def selected(found: list[Received]) -> list[Received]:
        return [m for m in found if (not ids or m.id in ids) and (where is None or where(m))]

    why, chosen, seen = "", [], "looked at"
    try:
        chosen = selected(_look(session, sqs, source, planned.force))
    except LogqError as error:
        why = f"not shown: {error}"
    if not chosen and kept is not None and (chosen := selected([_received(m) for m in kept.peek.messages])):
        seen = f"read {duration(max(1.0, time.time() - kept.at))} ago"
    elif why:
        return (), why
    rows: list[tuple[str, str, str, str]] = []
    unfit: list[str] = []
    sizes: list[int] = []
    shown = untouched = 0
    for message in chosen:
        try:
            edited = edit(message)
        except Unfit as why:
            unfit.append(f"{message.id}: {why}")
            continue
        sizes.append(size_of(edited))
        changes = difference(message, edited)
        untouched += not changes
        if changes and shown < SHOWN:
            shown += 1
            rows += [(message.id, *change) for change in changes]
    said = [f"{plural(len(sizes), 'message')} of {len(chosen)} {seen} fit" if chosen else "no message was seen"]
    limit = min((d.max_size for d in planned.destinations if d.max_size is not None), default=None)
    if sizes:
        over = sum(bytes_ > limit for bytes_ in sizes) if limit is not None else 0
        takes = "an unknown size" if limit is None else size(limit)
        said.append(f"the largest has {size(max(sizes))} after it, {planned.target} takes {takes}")
        if over:
            said.append(f"{over} of them would be too large and stay")
    if untouched:
        said.append(f"{untouched} would not change")
    if unfit:
        said.append(f"{len(unfit)} would stay: {'; '.join(unfit[:_UNFIT_NAMED])}")
    return tuple(rows), "; ".join(said)


def _received(message: Message) -> Received:
    """A message that was read before, as a lease would give it; numbers among its attributes have become words."""
    system: dict[str, str] = {}
    attributes: dict[str, dict[str, str | bytes]] = {}
    # The system's stand last: a name that both have is the system's there, the message's own before.
    for name, value in reversed(message.attributes):
        if name in _SYSTEM and name not in system and isinstance(value, str):
            system[name] = value
        elif isinstance(value, bytes):
            attributes[name] = {"DataType": "Binary", "BinaryValue": value}
        else:
            attributes[name] = {"DataType": "String", "StringValue": value}
    return Received(message.id, "", (message.value or b"").decode("utf-8", "surrogatepass"), attributes, system)


def _look(session: Session, sqs: SqsClient, source: Queue, force: bool) -> list[Received]:
    if not force:
        peek.refuse(source, known(session, sqs, source))
    ends = time.monotonic() + sqs.timeout

    def sweep() -> tuple[list[Received], peek.Budget]:
        found, _, left = peek.sweep(
            sqs.raw(),
            source,
            LOOK_AT,
            timeout=max(0.5, ends - time.monotonic() - 0.5),
            force=force,
            attributes=lambda: inspect.queue_of(source.url, inspect.attributes(sqs.raw(), source.url), time.time()),
        )
        return found, left

    found, left = sqs.bounded(f"read some messages of {source.name}", sweep, sqs.timeout + 1.0)
    spend(session, sqs, source.url, left)
    return found
