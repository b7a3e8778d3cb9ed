"""What a redrive is going to do, before it does anything: a value that can be printed, confirmed and journaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from console.errors import NotFound, Refused, UsageError
from console.model import Queue
from console.ops import targets
from console.ops.command import command_line
from console.ops.plan import PlanView
from console.ops.redrive_filter import Where
from console.sqs import inspect, move
from console.text import count as counted
from console.text import plural

if TYPE_CHECKING:
    from console.ops.session import Session
    from console.sqs.client import SqsClient

Engine = Literal["native", "client"]

LEASE_S = 60
"""The visibility timeout of what is being redriven. Short, for what a killed run leased comes back after it."""

SELECTING_LEASE_S = 120
"""The same when a filter reads past messages that stay: they are held until the end, so that none is read twice."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A queue that messages go to; the counts are those of the plan's moment."""

    name: str
    url: str
    arn: str
    visible: int | None = None
    max_size: int | None = None
    max_receive: int | None = None
    dlq: str | None = None


@dataclass(frozen=True, slots=True)
class RedrivePlan:
    """A redrive of one dead-letter queue. `count` is what is visible in it now: never more than that is handled.

    `to` is None when each message goes back to its own source; `destinations` are all queues that can get some.
    `total` is how many are going to be redriven, None when only reading them tells (a filter).
    """

    dlq: str
    url: str
    arn: str
    fifo: bool
    count: int | None
    in_flight: int | None
    delayed: int | None
    to: str | None
    destinations: tuple[Destination, ...]
    engine: Engine
    why: str
    endpoint: str
    command: str
    region: str | None = None
    where: str | None = None
    ids: tuple[str, ...] = ()
    limit: int | None = None
    rate: float | None = None
    dlq_max_receive: int | None = None
    lease_seconds: int = LEASE_S

    @property
    def total(self) -> int | None:
        """How many are going to be redriven, as far as the counts can be believed; None when only a filter tells."""
        if self.where is not None:
            return None
        known = [n for n in (self.count, self.limit, len(self.ids) or None) if n is not None]
        return min(known) if known else None

    @property
    def source(self) -> str:
        """The target name of the dead-letter queue."""
        return f"sqs:{self.dlq}"

    @property
    def target(self) -> str:
        """The target name of the destination, or of the sources the messages return to."""
        return ", ".join(f"sqs:{destination.name}" for destination in self.destinations)


def plan(
    session: Session,
    dlq: str,
    *,
    to: str | None = None,
    where: str | None = None,
    ids: Sequence[str] = (),
    limit: int | None = None,
    rate: float | None = None,
    engine: str = "auto",
    lease_seconds: int | None = None,
) -> RedrivePlan:
    """Look at everything a redrive touches and choose the engine; changes nothing and receives nothing.

    `dlq` and `to` are targets (`sqs:NAME` or a bare name); without `to` messages return to their source. `rate` is
    messages a second. Raises `NotFound` for an unknown queue, `UsageError` for what makes no sense (no source and no
    `to`, types that differ, a filter that is not CEL, an engine that cannot do it), `Refused` for a topic.
    """
    if engine not in ("auto", "native", "client"):
        raise UsageError(f"--engine {engine!r} is none; it is auto, native or client")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} makes no sense: it is how many messages at most, 1 or more")
    if rate is not None and not 0 < rate <= 1_000_000:
        raise UsageError(f"--rate {rate:g} makes no sense: it is messages a second, more than 0")
    if where is not None:
        Where(where)
    name = _queue_name(dlq, f"{dlq} is a topic, not a dead-letter queue")
    sqs = session.require_sqs(name)
    source = sqs.queue(name)
    if source.problem is not None:
        raise NotFound(f"cannot redrive {name}: {source.problem.message}")
    sources = source.dlq_of or sqs.sources(source)
    found = _destinations(sqs, source, sources, to)
    selected = where is not None or bool(ids) or limit is not None
    chosen, why = _engine(sqs, source, sources, found, to, rate, selected, engine)
    if chosen == "client" and selected and source.max_receive is not None and source.max_receive <= 1:
        raise Refused(
            f"refused to redrive a selection of {name}: it has a dead-letter queue of its own after 1 receive, so "
            "reading it would move what stays; redrive all of it, or raise its maxReceiveCount first"
        )
    return RedrivePlan(
        dlq=source.name,
        url=source.url,
        arn=source.arn,
        fifo=source.fifo,
        count=source.visible,
        in_flight=source.in_flight,
        delayed=source.delayed,
        to=None if to is None else found[0].name,
        destinations=found,
        engine=chosen,
        why=why,
        endpoint=sqs.endpoint,
        command=_command(session, source.name, found[0].name if to else None, where, ids, limit, rate, chosen),
        region=sqs.region,
        where=where,
        ids=tuple(dict.fromkeys(ids)),
        limit=limit,
        rate=rate,
        dlq_max_receive=source.max_receive,
        lease_seconds=lease_seconds or (SELECTING_LEASE_S if where is not None or ids else LEASE_S),
    )


def _command(
    session: Session,
    dlq: str,
    to: str | None,
    where: str | None,
    ids: Sequence[str],
    limit: int | None,
    rate: float | None,
    engine: Engine,
) -> str:
    words = ["dlq", "redrive", f"sqs:{dlq}"]
    if to is not None:
        words += ["--to", f"sqs:{to}"]
    if where is not None:
        words += ["--where", where]
    for message_id in ids:
        words += ["--id", message_id]
    if limit is not None:
        words += ["--limit", str(limit)]
    if rate is not None:
        words += ["--rate", f"{rate:g}"]
    return command_line(session.settings, *words, "--engine", engine, "--execute")


def _queue_name(target: str, topic_message: str) -> str:
    side, name = targets.parse(target)
    if side == "kafka":
        raise Refused(topic_message)
    return name


def _destinations(sqs: SqsClient, source: Queue, sources: Sequence[str], to: str | None) -> tuple[Destination, ...]:
    if to is not None:
        names: Sequence[str] = (
            _queue_name(to, "a dead-letter queue is redriven to a queue; logq replay copies messages to a topic"),
        )
    elif sources:
        names = sources
    else:
        raise UsageError(
            f"{source.name} is the dead-letter queue of no queue, so its messages have no source to return to; "
            "say where they go with --to QUEUE"
        )
    found = []
    for name in names:
        queue = sqs.queue(name)
        if queue.url == source.url or (queue.arn and queue.arn == source.arn):
            raise UsageError(f"the destination is the source ({name}): the messages would go round for ever")
        if queue.fifo != source.fifo:
            kinds = ("a FIFO", "a standard") if source.fifo else ("a standard", "a FIFO")
            raise UsageError(
                f"{source.name} is {kinds[0]} queue and {name} {kinds[1]} queue: messages can only be redriven "
                "between queues of one type"
            )
        size = dict(queue.extra).get("MaximumMessageSize")
        found.append(
            Destination(
                queue.name,
                queue.url,
                queue.arn,
                queue.visible,
                int(size) if size and size.isdigit() else None,
                queue.max_receive,
                queue.dlq,
            )
        )
    return tuple(found)


def _engine(
    sqs: SqsClient,
    source: Queue,
    sources: Sequence[str],
    found: Sequence[Destination],
    to: str | None,
    rate: float | None,
    selected: bool,
    wanted: str,
) -> tuple[Engine, str]:
    if wanted == "client":
        return "client", "asked for"
    objection = move.objection(
        is_aws=sqs.is_aws,
        fifo=source.fifo,
        sources=len(sources),
        source_arn=source.arn,
        destination_arn=None if to is None else found[0].arn,
        destination_fifo=None if to is None else source.fifo,
        rate=rate,
        selected=selected,
    )
    if not objection:
        supported, reason, tasks = move.probe(sqs, source.arn)
        running = [task for task in tasks if task.status in ("RUNNING", "CANCELLING")]
        if running:
            raise Refused(f"refused to redrive {source.name}: a native move task of it is {running[0].status.lower()}")
        objection = "" if supported else reason
    if not objection:
        return "native", "asked for" if wanted == "native" else "the whole queue goes back, and the server can move it"
    if wanted == "native":
        raise UsageError(f"--engine native cannot redrive {source.name}: {objection}; use --engine client")
    return "client", objection


_LOSSES = {
    "native": (
        "new MessageIds and enqueue times; no list of ids in the receipt; messages that arrive meanwhile move too",
        "FIFO messages get new deduplication ids",
    ),
    "client": (
        "new MessageIds, enqueue times and SenderId (the journal keeps the old ones); DelaySeconds is not known to SQS",
        "FIFO messages get deduplication ids of this job",
    ),
}


def view(planned: RedrivePlan) -> PlanView:
    """The plan in words, for the dialog and the command line."""
    many = "?" if planned.count is None else counted(planned.count)
    if planned.where is not None:
        what = f"those of ~{many} messages that match: {planned.where}"
    elif planned.ids:
        what = f"{plural(len(planned.ids), 'message')} by id, of ~{many}"
    else:
        what = f"~{'?' if planned.total is None else counted(planned.total)} of ~{many} messages"
    if planned.limit is not None and (planned.where is not None or len(planned.ids) > planned.limit):
        what += f", at most {planned.limit:,}"
    facts = [
        ("what", what),
        ("from", f"{planned.dlq} ({'FIFO' if planned.fifo else 'standard'}; counts are approximate)"),
        ("to", planned.target.replace("sqs:", "") if planned.to else _back_to(planned)),
        ("engine", f"{planned.engine}: {planned.why}"),
        ("speed", f"at most {planned.rate:g} a second" if planned.rate else "as fast as the server takes them"),
        ("who sees it", _consumers(planned)),
        ("is lost", _LOSSES[planned.engine][0] + (f"; {_LOSSES[planned.engine][1]}" if planned.fifo else "")),
        ("ends", _ends(planned)),
    ]
    return PlanView(
        kind="redrive",
        title=f"redrive {planned.dlq}",
        facts=tuple(facts),
        warnings=_warnings(planned),
        columns=("destination", "visible now", "its dead-letter queue", "after receives"),
        rows=tuple(
            (
                destination.name,
                "–" if destination.visible is None else counted(destination.visible),
                destination.dlq or "–",
                "–" if destination.max_receive is None else str(destination.max_receive),
            )
            for destination in planned.destinations
        ),
        command=planned.command,
        target=planned.dlq,
        undo="",
    )


def _back_to(planned: RedrivePlan) -> str:
    if len(planned.destinations) == 1:
        return f"{planned.destinations[0].name} (its source)"
    names = ", ".join(destination.name for destination in planned.destinations)
    return f"each to the source it came from: {names}"


def _consumers(planned: RedrivePlan) -> str:
    names = ", ".join(destination.name for destination in planned.destinations)
    bounce = [d for d in planned.destinations if d.dlq is not None]
    text = f"the consumers of {names} get these messages again, beside their own"
    if bounce:
        text += f"; what fails {bounce[0].max_receive} times there comes back to {bounce[0].dlq}"
    return text


def _ends(planned: RedrivePlan) -> str:
    if planned.engine == "native":
        return "when the server says so and the counts before and after agree"
    many = "all" if planned.count is None else counted(planned.count)
    return f"after {many} messages have been looked at, or when the queue is empty"


def _warnings(planned: RedrivePlan) -> tuple[str, ...]:
    warnings = ["It cannot be undone: once consumers have the messages, nothing brings them back."]
    if not planned.fifo:
        warnings.append("Exactly once is impossible into a standard queue: consumers must bear a message twice.")
    if planned.engine == "client":
        warnings.append(
            "Messages that arrive while it runs may be among those handled; what is beyond the planned count is left."
        )
        if planned.to is None and len(planned.destinations) > 1:
            warnings.append(
                "A message that does not tell its source (DeadLetterQueueSourceArn) stays; --to decides it."
            )
        if planned.dlq_max_receive is not None:
            warnings.append(
                f"{planned.dlq} has a redrive policy of its own ({planned.dlq_max_receive} receives): "
                "what is read and stays uses up one."
            )
        if planned.fifo and planned.total is None:
            warnings.append("FIFO: behind the first 10 messages of a group that stay, nothing can be seen.")
    if planned.in_flight:
        warnings.append(
            f"{plural(planned.in_flight, 'message')} of {planned.dlq} in flight: someone is reading it now."
        )
    return tuple(warnings)


def to_json(planned: RedrivePlan) -> dict[str, Any]:
    """The plan as plain values: what `-o json` prints and the journal keeps."""
    return {
        **asdict(planned),
        "kind": "redrive",
        "total": planned.total,
        "source": planned.source,
        "target": planned.target,
        "warnings": list(_warnings(planned)),
    }


def from_json(raw: Mapping[str, Any]) -> RedrivePlan:
    """The plan that `to_json` wrote."""
    derived = {"kind", "total", "source", "target", "warnings"}
    values = {key: value for key, value in raw.items() if key not in derived}
    values["destinations"] = tuple(Destination(**destination) for destination in raw["destinations"])
    values["ids"] = tuple(raw["ids"])
    return RedrivePlan(**values)


def counts(sqs: SqsClient, planned: RedrivePlan) -> Queue:
    """The dead-letter queue's attributes now. Raises as `SqsClient.queue`."""
    import time

    return sqs.bounded(
        f"see the queue {planned.dlq!r}",
        lambda: inspect.queue_of(planned.url, inspect.attributes(sqs.raw(), planned.url), time.time()),
    )
