"""What a redrive is going to do, before it does anything: a value that can be printed, confirmed and journaled."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from console.errors import NotFound, Refused, UsageError
from console.model import Queue
from console.ops import redrive_budget, redrive_preview, targets
from console.ops.command import command_line
from console.ops.redrive_edit import Edit
from console.ops.redrive_filter import Where
from console.sqs import inspect, move

if TYPE_CHECKING:
    from console.ops.session import Session
    from console.sqs.client import SqsClient

Engine = Literal["native", "client"]

LEASE_S = 60
"""The visibility timeout of what is being redriven. Short, for what a killed run leased comes back after it."""

SELECTING_LEASE_S = 120
"""The same when a filter reads past messages that stay: they are held until the end, so that none is read twice."""


PATIENCE_S = 300.0
"""For how long a server that is away, credentials that have expired or throttling are waited out."""

DEFAULT_WINDOW_S = 30.0
"""The visibility timeout of a queue that sets none (SQS developer guide)."""

FIRST_STEP = 5
"""How many a ramp sends first when it is not told."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A queue or topic that messages go to; the counts are those of the plan's moment.

    `visibility` is the queue's own visibility timeout in seconds: how long one attempt of its consumers may take.
    `ends` are the end offsets of a topic's partitions: no copy of this job lies before them.
    """

    name: str
    url: str
    arn: str
    visible: int | None = None
    max_size: int | None = None
    max_receive: int | None = None
    dlq: str | None = None
    visibility: float | None = None
    kind: Literal["queue", "topic"] = "queue"
    ends: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class RedrivePlan:
    """A redrive of one dead-letter queue. `count` is what is visible in it now: never more than that is handled.

    `to` is None when each message goes back to its own source; `destinations` are all queues that can get some.
    `total` is how many are going to be redriven, None when only reading them tells (a filter).

    `sets` and `unsets` are the patch, `diff` what it does to messages that were looked at: id, path, before, after;
    `diff_note` says how many, how large, or why none. `canary` is how many are sent at first, then after each look that
    found none back twice as many when it is a `ramp`. `watch` is how many seconds the outcome waits for bounces, None
    for as long as the destination's consumers may take. `patience` is for how many seconds an outage is waited out.
    `force` reads on where that may move messages which stay to the dead-letter queue's own dead-letter queue.
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
    sets: tuple[str, ...] = ()
    unsets: tuple[str, ...] = ()
    diff: tuple[tuple[str, str, str, str], ...] = ()
    diff_note: str = ""
    canary: int | None = None
    ramp: bool = False
    watch: float | None = 0.0
    patience: float = PATIENCE_S
    force: bool = False

    @property
    def reads_past(self) -> bool:
        """Whether messages are read that stay. A limit alone is no reason: no more is received than it allows."""
        return self.engine == "client" and (self.where is not None or bool(self.ids))

    @property
    def to_topic(self) -> bool:
        """Whether the messages go to a Kafka topic."""
        return any(destination.kind == "topic" for destination in self.destinations)

    @property
    def to_fifo(self) -> bool:
        """Whether the destination is a FIFO queue, which knows duplicates by their deduplication ids."""
        return self.fifo and not self.to_topic

    @property
    def window(self) -> float:
        """Seconds of one attempt of the slowest destination's consumers; SQS's default where that is not known."""
        return max((d.visibility for d in self.destinations if d.visibility is not None), default=DEFAULT_WINDOW_S)

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
        return ", ".join(
            f"{'kafka' if destination.kind == 'topic' else 'sqs'}:{destination.name}"
            for destination in self.destinations
        )


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
    sets: Sequence[str] = (),
    unsets: Sequence[str] = (),
    canary: int | None = None,
    ramp: bool = False,
    watch: float | None = None,
    patience: float = PATIENCE_S,
    force: bool = False,
) -> RedrivePlan:
    """Look at everything a redrive touches and choose the engine; changes nothing.

    `dlq` and `to` are targets (`sqs:NAME`, `kafka:TOPIC` for `to`, or a bare name); without `to` messages return to
    their source. `rate` is messages a second. Only for a patch (`sets`, `unsets`) some messages are received, under the
    peek budget, to show what it does. `watch` None waits for bounces after a canary and not otherwise.

    Raises `NotFound` for an unknown queue or topic, `UsageError` for what makes no sense (no source and no `to`, types
    that differ, a filter or value that is not CEL, an engine that cannot do it), `Refused` where it would do harm: also
    by the peek budget, for a selection reads what stays, unless `force`.
    """
    if engine not in ("auto", "native", "client"):
        raise UsageError(f"--engine {engine!r} is none; it is auto, native or client")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} makes no sense: it is how many messages at most, 1 or more")
    if rate is not None and not 0 < rate <= 1_000_000:
        raise UsageError(f"--rate {rate:g} makes no sense: it is messages a second, more than 0")
    if canary is not None and canary < 1:
        raise UsageError(f"--canary {canary} makes no sense: it is how many messages are sent first, 1 or more")
    if ramp and watch == 0:
        raise UsageError("--ramp goes by what comes back: with --watch 0 it would not look")
    if ramp and rate is not None and rate < 1:
        raise UsageError("--ramp doubles its steps: a rate below 1 a second makes no sense with it")
    if where is not None:
        Where(where)
    edit = Edit(sets, unsets) if sets or unsets else None
    canary = canary or (FIRST_STEP if ramp else None)
    name = _queue_name(dlq, f"{dlq} is a topic, not a dead-letter queue")
    sqs = session.require_sqs(name)
    source = sqs.queue(name)
    if source.problem is not None:
        raise NotFound(f"cannot redrive {name}: {source.problem.message}")
    sources = source.dlq_of or sqs.sources(source)
    found = _destinations(session, sqs, source, sources, to)
    selected = where is not None or bool(ids) or limit is not None
    reason = _only_client(selected, edit is not None, canary is not None, bool(watch), found)
    chosen, why = _engine(sqs, source, sources, found, to, rate, reason, engine)
    planned = RedrivePlan(
        dlq=source.name,
        url=source.url,
        arn=source.arn,
        fifo=source.fifo,
        count=source.visible,
        in_flight=source.in_flight,
        delayed=source.delayed,
        to=None if to is None else found[0].name,
        sets=tuple(sets),
        unsets=tuple(unsets),
        canary=canary,
        ramp=ramp,
        watch=watch if watch is not None or canary is not None else 0.0,
        patience=patience,
        destinations=found,
        engine=chosen,
        why=why,
        endpoint=sqs.endpoint,
        command="",
        region=sqs.region,
        where=where,
        ids=tuple(dict.fromkeys(ids)),
        limit=limit,
        rate=rate,
        dlq_max_receive=source.max_receive,
        lease_seconds=lease_seconds or (SELECTING_LEASE_S if where is not None or ids else LEASE_S),
        force=force,
    )
    redrive_budget.require(session, sqs, planned, source)
    kept = session.spool.get(source.url) if edit is not None else None
    diff, note = redrive_preview.preview(session, sqs, planned, source, edit, kept) if edit is not None else ((), "")
    return replace(planned, command=_command(session, planned), diff=diff, diff_note=note)


def _only_client(selected: bool, edited: bool, steps: bool, watched: bool, found: Sequence[Destination]) -> str:
    """Why the server's own move task cannot do what is asked, "" where it might."""
    if found[0].kind == "topic":
        return "the server moves messages between queues only, not to a topic"
    if edited:
        return "a native move changes nothing in a message"
    if steps:
        return "a native move takes the whole queue at once, no steps"
    if watched:
        return "a native move tells no ids, so what comes back would not be known"
    return "a native move takes the whole queue, not a selection" if selected else ""


def _command(session: Session, planned: RedrivePlan) -> str:
    words = ["dlq", "redrive", planned.source]
    if planned.to is not None:
        words += ["--to", planned.target]
    if planned.where is not None:
        words += ["--where", planned.where]
    for option, values in (("--id", planned.ids), ("--set", planned.sets), ("--unset", planned.unsets)):
        for value in values:
            words += [option, value]
    if planned.limit is not None:
        words += ["--limit", str(planned.limit)]
    if planned.rate is not None:
        words += ["--rate", f"{planned.rate:g}"]
    if planned.canary is not None:
        words += ["--canary", str(planned.canary)]
    if planned.ramp:
        words.append("--ramp")
    if planned.watch is not None and (planned.watch > 0 or planned.canary is not None):
        words += ["--watch", f"{planned.watch:g}s"]
    if planned.patience != PATIENCE_S:
        words += ["--patience", f"{planned.patience:g}s"]
    if planned.force:
        words.append("--force")
    return command_line(session.settings, *words, "--engine", planned.engine, "--execute")


def _queue_name(target: str, topic_message: str) -> str:
    side, name = targets.parse(target)
    if side == "kafka":
        raise Refused(topic_message)
    return name


def _destinations(
    session: Session, sqs: SqsClient, source: Queue, sources: Sequence[str], to: str | None
) -> tuple[Destination, ...]:
    if to is not None and targets.parse(to)[0] == "kafka":
        return (_topic(session, targets.parse(to)[1]),)
    if to is not None:
        names: Sequence[str] = (targets.parse(to)[1],)
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
        found.append(
            Destination(
                queue.name,
                queue.url,
                queue.arn,
                queue.visible,
                _whole(queue, "MaximumMessageSize"),
                queue.max_receive,
                queue.dlq,
                queue.visibility_timeout,
            )
        )
    return tuple(found)


def _whole(queue: Queue, name: str) -> int | None:
    told = dict(queue.extra).get(name)
    return int(told) if told and told.isdigit() else None


def _topic(session: Session, name: str) -> Destination:
    topic = session.require_kafka().topic(name)
    if topic.internal:
        raise UsageError(f"{name} is a topic of Kafka's own; messages cannot go there")
    return Destination(
        name,
        "",
        "",
        max_size=topic.max_bytes,
        kind="topic",
        ends=tuple((p.partition, p.end) for p in topic.partitions if p.end is not None),
    )


def _engine(
    sqs: SqsClient,
    source: Queue,
    sources: Sequence[str],
    found: Sequence[Destination],
    to: str | None,
    rate: float | None,
    reason: str,
    wanted: str,
) -> tuple[Engine, str]:
    # Whichever engine serves: beside a move task that runs, messages would be redriven twice.
    supported, missing, tasks = move.probe(sqs, source.arn)
    if busy := move.at_work(tasks):
        raise Refused(f"refused to redrive {source.name}: {busy}; wait for it")
    if wanted == "client":
        return "client", "asked for"
    objection = reason or move.objection(
        is_aws=sqs.is_aws,
        fifo=source.fifo,
        sources=len(sources),
        source_arn=source.arn,
        destination_arn=None if to is None else found[0].arn,
        destination_fifo=None if to is None else source.fifo,
        rate=rate,
    )
    if not objection and not supported:
        objection = missing
    if not objection:
        return "native", "asked for" if wanted == "native" else "the whole queue goes back, and the server can move it"
    if wanted == "native":
        raise UsageError(f"--engine native cannot redrive {source.name}: {objection}; use --engine client")
    return "client", objection


def to_json(planned: RedrivePlan) -> dict[str, Any]:
    """The plan as plain values: what `-o json` prints and the journal keeps."""
    from console.ops.redrive_words import warnings

    return {
        **asdict(planned),
        "kind": "redrive",
        "total": planned.total,
        "source": planned.source,
        "target": planned.target,
        "warnings": list(warnings(planned)),
    }


def from_json(raw: Mapping[str, Any]) -> RedrivePlan:
    """The plan that `to_json` wrote."""
    derived = {"kind", "total", "source", "target", "warnings"}
    values = {key: value for key, value in raw.items() if key not in derived}
    values["destinations"] = tuple(
        Destination(**{**d, "ends": tuple((int(p), int(end)) for p, end in d.get("ends") or ())})
        for d in raw["destinations"]
    )
    for name in ("ids", "sets", "unsets"):
        values[name] = tuple(raw.get(name) or ())
    values["diff"] = tuple((str(i), str(path), str(was), str(new)) for i, path, was, new in raw.get("diff") or ())
    return RedrivePlan(**values)


def counts(sqs: SqsClient, planned: RedrivePlan, url: str = "") -> Queue:
    """The attributes now of the dead-letter queue, or of the queue at `url`. Raises as `SqsClient.queue`."""
    of = url or planned.url
    return sqs.bounded(
        f"see the queue {inspect.name_of(of)!r}",
        lambda: inspect.queue_of(of, inspect.attributes(sqs.raw(), of), time.time()),
    )
