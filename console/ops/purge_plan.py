"""What emptying a queue is going to do, before it does anything: a value that is printed, confirmed and journaled."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from console.errors import NotFound, Refused, UsageError
from console.model import Queue
from console.ops import targets
from console.ops.command import command_line
from console.ops.plan import PlanView
from console.sqs import inspect, move
from console.text import DASH, plural
from console.text import count as counted

if TYPE_CHECKING:
    from console.ops.session import Session
    from console.sqs.client import SqsClient

LEASE_S = 60
"""The visibility timeout of what is being saved: what a killed run had leased and not saved comes back after it."""


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """A purge of one queue.

    With `saved` every message is leased, kept in the journal and only then deleted, one by one, so that an undo can
    send it again; without, SQS's own PurgeQueue deletes everything at once, in flight and delayed as well.
    """

    queue: str
    url: str
    arn: str
    fifo: bool
    saved: bool
    visible: int | None
    in_flight: int | None
    delayed: int | None
    max_receive: int | None
    dlq: str | None
    dlq_of: tuple[str, ...]
    endpoint: str
    command: str
    lease_seconds: int = LEASE_S

    @property
    def source(self) -> str:
        """The target name of the queue."""
        return f"sqs:{self.queue}"

    @property
    def total(self) -> int | None:
        """How many messages are going to be deleted, as far as the approximate counts tell."""
        if self.saved:
            return self.visible
        known = [n for n in (self.visible, self.in_flight, self.delayed) if n is not None]
        return sum(known) if known else None


def plan(session: Session, queue: str, *, save: bool = True, lease_seconds: int = LEASE_S) -> PurgePlan:
    """Look at the queue that is to be emptied; changes nothing and receives nothing.

    Raises `NotFound` for an unknown queue, `UsageError` for a topic, `Refused` where saving cannot work: with one
    receive allowed, reading a message again moves it to the dead-letter queue instead of deleting it. `Refused` also
    while the server moves the messages elsewhere: which are purged and which moved nobody could tell.
    """
    side, name = targets.parse(queue)
    if side == "kafka":
        raise UsageError(f"{queue} is a topic: its records go by retention, logq purges queues")
    sqs = session.require_sqs(name)
    found = sqs.queue(name)
    if found.problem is not None:
        raise NotFound(f"cannot purge {name}: {found.problem.message}")
    if save and found.max_receive is not None and found.max_receive <= 1:
        raise Refused(
            f"refused to save and purge {name}: it allows 1 receive, so what was received before would move to "
            f"{found.dlq or 'its dead-letter queue'} when it is read; purge it with --no-save, or raise maxReceiveCount"
        )
    # Only a dead-letter queue can be moved out of.
    if found.dlq_of and (busy := move.at_work(move.probe(sqs, found.arn)[2])):
        raise Refused(f"refused to purge {name}: {busy}; wait for it, or cancel it first")
    words = ["queue", "purge", name, *([] if save else ["--no-save"]), "--execute"]
    return PurgePlan(
        queue=found.name,
        url=found.url,
        arn=found.arn,
        fifo=found.fifo,
        saved=save,
        visible=found.visible,
        in_flight=found.in_flight,
        delayed=found.delayed,
        max_receive=found.max_receive,
        dlq=found.dlq,
        dlq_of=found.dlq_of,
        endpoint=sqs.endpoint,
        command=command_line(session.settings, *words),
        lease_seconds=lease_seconds,
    )


def counts(sqs: SqsClient, queue: str, url: str) -> Queue:
    """The queue's attributes now. Raises as `SqsClient.queue`."""
    return sqs.bounded(
        f"see the queue {queue!r}", lambda: inspect.queue_of(url, inspect.attributes(sqs.raw(), url), time.time())
    )


def to_json(planned: PurgePlan) -> dict[str, Any]:
    """The plan as plain values: what `-o json` prints and the journal keeps."""
    return {"kind": "purge", "source": planned.source, "total": planned.total, **asdict(planned)}


def from_json(raw: Mapping[str, Any]) -> PurgePlan:
    """What `to_json` made, back from the journal."""
    names = PurgePlan.__dataclass_fields__
    values = {name: value for name, value in raw.items() if name in names}
    return PurgePlan(**{**values, "dlq_of": tuple(values["dlq_of"])})


def idle(planned: PurgePlan) -> str:
    """Why there is nothing to do, "" when there is."""
    held = (planned.visible, planned.in_flight, planned.delayed)
    if planned.saved and planned.visible == 0:
        rest = ", ".join(
            f"{counted(n)} {words}"
            for n, words in ((planned.in_flight, "in flight"), (planned.delayed, "delayed"))
            if n
        )
        return f"nothing to do: {planned.queue} holds no visible message" + (f" ({rest})" if rest else "")
    return f"nothing to do: {planned.queue} is empty" if not any(n != 0 for n in held) else ""


def view(planned: PurgePlan) -> PlanView:
    """The plan in words, for the dialog and the command line."""
    serves = f"; it is the dead-letter queue of {', '.join(planned.dlq_of)}" if planned.dlq_of else ""
    facts = [
        ("what", f"~{_many(planned.total)} messages are deleted"),
        ("from", f"{planned.queue} ({'FIFO' if planned.fifo else 'standard'}; counts are approximate){serves}"),
        ("how", _how(planned)),
        ("in flight", _in_flight(planned)),
        ("who sees it", f"the consumers of {planned.queue}: what they have not received yet they will not get"),
        ("ends", _ends(planned)),
    ]
    return PlanView(
        kind="purge",
        title=f"purge {planned.queue}",
        facts=tuple(facts),
        warnings=_warnings(planned),
        columns=("queue", "visible now", "in flight", "delayed"),
        rows=((planned.queue, _many(planned.visible), _many(planned.in_flight), _many(planned.delayed)),),
        command=planned.command,
        target=planned.queue,
        undo="logq job undo JOB sends the saved messages to the queue again" if planned.saved else "",
    )


def _many(number: int | None) -> str:
    return DASH if number is None else counted(number)


def _how(planned: PurgePlan) -> str:
    if planned.saved:
        return "each is leased, saved in the journal, then deleted: nothing is deleted that is not saved"
    return "SQS's PurgeQueue: everything at once, nothing is saved"


def _in_flight(planned: PurgePlan) -> str:
    if planned.saved:
        return f"{_many(planned.in_flight)} in flight and {_many(planned.delayed)} delayed are not touched"
    return f"{_many(planned.in_flight)} in flight and {_many(planned.delayed)} delayed are deleted too"


def _ends(planned: PurgePlan) -> str:
    if planned.saved:
        many = "all" if planned.visible is None else plural(planned.visible, "message")
        return f"after {many}, or when the queue has nothing more to give"
    return "up to 60 s after the request, by SQS's own word; it takes one purge a minute"


def _warnings(planned: PurgePlan) -> tuple[str, ...]:
    if not planned.saved:
        return ("It cannot be undone: what PurgeQueue deletes is gone. Without --no-save messages are saved first.",)
    warnings = ["Sent again by an undo, messages have new MessageIds, enqueue times and receive counts."]
    if planned.max_receive is not None:
        where = planned.dlq or "its dead-letter queue"
        warnings.append(
            f"Reading is a receive: a message that was received {counted(planned.max_receive)} times already moves to "
            f"{where} instead."
        )
    if planned.fifo:
        warnings.append("An undo within 5 minutes uses deduplication ids of its own, so that nothing is swallowed.")
    return tuple(warnings)
