"""A redrive's plan in words: what the dialog and the command line show before it runs."""

from __future__ import annotations

from console.ops.plan import PlanView
from console.ops.redrive_plan import Destination, RedrivePlan
from console.text import DASH, duration, plural
from console.text import count as counted

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
        *_edited(planned),
        *_steps(planned),
        ("from", f"{planned.dlq} ({'FIFO' if planned.fifo else 'standard'}; counts are approximate)"),
        ("to", _to(planned)),
        ("engine", f"{planned.engine}: {planned.why}"),
        ("speed", f"at most {planned.rate:g} a second" if planned.rate else "as fast as the server takes them"),
        ("who sees it", _consumers(planned)),
        ("is lost", _lost(planned)),
        ("if it stops", _stops(planned)),
        ("ends", _ends(planned)),
    ]
    if planned.diff:
        columns: tuple[str, ...] = ("message", "field", "before", "after")
        rows: tuple[tuple[str, ...], ...] = planned.diff
    else:
        columns = ("destination", "visible now", "its dead-letter queue", "after receives")
        rows = tuple(_row(destination) for destination in planned.destinations if destination.kind == "queue")
    return PlanView(
        kind="redrive",
        title=f"redrive {planned.dlq}",
        facts=tuple(facts),
        warnings=warnings(planned),
        columns=columns if rows else (),
        rows=rows,
        command=planned.command,
        target=planned.dlq,
        undo="",
    )


def _row(destination: Destination) -> tuple[str, ...]:
    return (
        destination.name,
        counted(destination.visible),
        destination.dlq or DASH,
        DASH if destination.max_receive is None else str(destination.max_receive),
    )


def _edited(planned: RedrivePlan) -> list[tuple[str, str]]:
    if not (planned.sets or planned.unsets):
        return []
    patch = [*(f"set {each}" for each in planned.sets), *(f"take out {each}" for each in planned.unsets)]
    return [("edited", "; ".join(patch)), ("the edit", planned.diff_note)]


def _steps(planned: RedrivePlan) -> list[tuple[str, str]]:
    if planned.canary is None:
        if planned.watch:
            return [("looks back", f"after {duration(planned.watch)}: which of them are in {planned.dlq} again")]
        return []
    waits = f"waits {_wait(planned)}" if planned.watch != 0 else "does not wait"
    then = "twice as many while none comes back; stops when one does" if planned.ramp else "pauses"
    return [("steps", f"{planned.canary:,} first, {waits}, looks which are in {planned.dlq} again, then {then}")]


def _wait(planned: RedrivePlan) -> str:
    if planned.watch is not None:
        return duration(planned.watch)
    if planned.to_topic:
        return "not, for a topic's consumers send nothing back"
    most = max((d.max_receive or 1 for d in planned.destinations), default=1)
    window = duration(planned.window)
    return f"{window} (one attempt of the consumers), while they are at it up to {most + 1} times that"


def _to(planned: RedrivePlan) -> str:
    if planned.to_topic:
        return f"the topic {planned.to}: by message group as key, attributes as headers; deleted once Kafka has it"
    return planned.target.replace("sqs:", "") if planned.to else _back_to(planned)


def _lost(planned: RedrivePlan) -> str:
    if planned.to_topic:
        return "MessageIds, enqueue times, SenderId, receive counts (the journal keeps them)"
    return _LOSSES[planned.engine][0] + (f"; {_LOSSES[planned.engine][1]}" if planned.fifo else "")


def _stops(planned: RedrivePlan) -> str:
    if planned.engine == "native":
        return "cancel: what was moved stays moved, the rest stays; when logq dies the server goes on, resume looks"
    return f"an outage is waited out for {duration(planned.patience)}; cancelled or killed, resume goes on"


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


def warnings(planned: RedrivePlan) -> tuple[str, ...]:
    """What cannot be undone or needs care."""
    said = ["It cannot be undone: once consumers have the messages, nothing brings them back."]
    if planned.to_topic:
        said.append("After a crash a message in doubt is looked for in the topic; what is not found is sent again.")
    elif not planned.fifo:
        said.append("Exactly once is impossible into a standard queue: consumers must bear a message twice.")
    if planned.engine == "client":
        said.append(
            "Messages that arrive while it runs may be among those handled; what is beyond the planned count is left."
        )
        if planned.to is None and len(planned.destinations) > 1:
            said.append("A message that does not tell its source (DeadLetterQueueSourceArn) stays; --to decides it.")
        if planned.dlq_max_receive is not None:
            said.append(
                f"{planned.dlq} has a redrive policy of its own ({planned.dlq_max_receive} receives): "
                "what is read and stays uses up one."
            )
        if planned.fifo and planned.total is None:
            said.append("FIFO: behind the first 10 messages of a group that stay, nothing can be seen.")
    if planned.in_flight:
        said.append(f"{plural(planned.in_flight, 'message')} of {planned.dlq} in flight: someone is reading it now.")
    return tuple(said)
