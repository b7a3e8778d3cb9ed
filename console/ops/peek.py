"""Looking into a queue: leased, read, given back, and kept, so that it can be looked at again for nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from console.errors import NotFound, Refused
from console.model import Message, Queue
from console.text import duration

if TYPE_CHECKING:
    from console.ops.redrive_filter import Where
    from console.ops.session import Session
    from console.ops.spool import Swept
    from console.sqs.client import SqsClient
    from console.sqs.peek import Budget, Peek

REOPENED_S = 3_600.0
"""How old a look may be that a screen shows again instead of receiving anew; its age is said."""


def peek(
    session: Session,
    name: str,
    max_messages: int = 10,
    force: bool = False,
    where: Where | None = None,
    *,
    again: bool = True,
    age: float = REOPENED_S,
    timeout: float | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Peek:
    """Up to `max_messages` of a queue, leased, read and released. Costs a receive each: see the peek budget.

    What was read is kept (`Session.spool`): without `again` the last look is shown again where it is at most `age`
    seconds old, and costs nothing. `where` leaves out what it does not fit and says so. Raises `NotFound`, and
    `Refused` when the budget does not allow it or a job works on the queue, and `force` is not set.
    """
    name = name.removeprefix("sqs:")
    client = session.require_sqs(name)
    url = client.url(name, timeout)
    kept = None if again else session.spool.get(url, max_messages, age)
    if kept is None:
        if not force and (holder := session.journal.holder(f"sqs:{client.name_of(url)}", client.endpoint)):
            raise Refused(f"not read: {holder}; a look would lease messages from under it")
        _recall(session, client, url)
        found = client.peek(name, max_messages, force=force, timeout=timeout, on_progress=on_progress)
        session.spool.put(url, found, max_messages)
    else:
        found = _aged(kept)
    return _fitting(found, where)


def budget(session: Session, name: str, timeout: float | None = None) -> Budget:
    """How many looks the messages of a queue bear, as far as known before one. Receives nothing; raises `NotFound`."""
    name = name.removeprefix("sqs:")
    client = session.require_sqs(name)
    queue = client.queue(name, timeout)
    return known(session, client, queue)


def known(session: Session, client: SqsClient, queue: Queue) -> Budget:
    """As `budget`, of a queue that has been looked at already."""
    _recall(session, client, queue.url)
    return client.peek_budget(queue)


def spend(session: Session, client: SqsClient, url: str, budget: Budget) -> None:
    """Note what somebody who read a queue, without a look to keep, left of its messages' receives."""
    from console.sqs.peek import Peek

    if budget.left is not None:
        # For less than one message: nobody is shown it as a look, and the look before shows what may be gone.
        session.spool.put(url, Peek((), 0, None, False, "", budget), 0)
        client.recall(url, budget, time.time())


def _recall(session: Session, client: SqsClient, url: str) -> None:
    # The last look may have been another process's: the attempts that it used up are used up all the same.
    before = session.spool.get(url, 0)
    if before is not None:
        client.recall(url, before.peek.budget, before.at)


def kept(session: Session, name: str, where: Where | None = None) -> Peek:
    """What the last look at a queue read, whole, up to a day ago. Receives nothing; raises `NotFound` without one."""
    name = name.removeprefix("sqs:")
    found = session.spool.get(session.require_sqs(name).url(name))
    if found is None:
        raise NotFound(f"no look at {name} of the last day is kept; logq queue peek {name} takes one")
    return _fitting(_aged(found), where)


def _aged(found: Swept) -> Peek:
    """A look of before, its note saying how old it is."""
    age = time.time() - found.at
    when = f"{duration(age)} ago" if age >= 1 else "just now"
    return replace(found.peek, note=f"{found.peek.note}; read {when}")


def _fitting(found: Peek, where: Where | None) -> Peek:
    if where is None:
        return found
    fit = tuple(m for m in found.messages if where.message(m))
    note = f"{len(fit):,} of those fit: {found.note}" + (f"; {where.note}" if where.note else "")
    return replace(found, messages=fit, note=note)


def fitting(messages: Sequence[Message], where: str, topic: bool) -> tuple[tuple[Message, ...], str]:
    """Those of the messages read of a topic or a queue that a CEL expression selects, and what to say about it.

    Raises `UsageError` for what is not CEL, or names what such a message does not have.
    """
    from console.ops.browse_filter import RecordWhere
    from console.ops.redrive_filter import Where

    fits = RecordWhere(where) if topic else Where(where)
    fit = tuple(m for m in messages if fits.message(m))
    return fit, f"{len(fit):,} of {len(messages):,} fit {where}" + (f"; {fits.note}" if fits.note else "")
