"""What a patch does to messages that are there: read once under the peek budget, changed, compared, released."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from console.errors import LogqError
from console.model import Queue
from console.ops.redrive_edit import Edit, Unfit, difference, size_of
from console.ops.redrive_filter import Where
from console.sqs import inspect, peek
from console.sqs.receive import Received
from console.text import plural, size

if TYPE_CHECKING:
    from console.ops.redrive_plan import RedrivePlan
    from console.sqs.client import SqsClient

LOOK_AT = 50
"""How many messages are read to show a patch."""

SHOWN = 8
"""Of how many messages the changes are listed."""

_UNFIT_NAMED = 2


def preview(
    sqs: SqsClient, planned: RedrivePlan, source: Queue, edit: Edit
) -> tuple[tuple[tuple[str, str, str, str], ...], str]:
    """The changes as rows of id, path, before and after, and a line on how many fit and how large they get.

    Where the peek budget or the server does not let the messages be seen, no rows and the reason.
    """
    try:
        found = _look(sqs, source)
    except LogqError as error:
        return (), f"not shown: {error}"
    where = Where(planned.where) if planned.where is not None else None
    chosen = [m for m in found if (not planned.ids or m.id in planned.ids) and (where is None or where(m))]
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
    said = [f"{plural(len(sizes), 'message')} of {len(chosen)} looked at fit" if chosen else "no message was seen"]
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


def _look(sqs: SqsClient, source: Queue) -> list[Received]:
    peek.refuse(source, sqs.peek_budget(source))
    ends = time.monotonic() + sqs.timeout

    def sweep() -> list[Received]:
        found, _, _ = peek.sweep(
            sqs.raw(),
            source,
            LOOK_AT,
            timeout=max(0.5, ends - time.monotonic() - 0.5),
            attributes=lambda: inspect.queue_of(source.url, inspect.attributes(sqs.raw(), source.url), time.time()),
        )
        return found

    return sqs.bounded(f"read some messages of {source.name}", sweep, sqs.timeout + 1.0)
