"""A replay's plan as people and scripts read it."""

from __future__ import annotations

from typing import Any

from console.ops.plan import PlanView
from console.ops.replay_value import ReplayPlan, to_values
from console.text import count, duration, plural, utc

_GROUPS_NAMED = 8

EPOCH = "1970-01-01T00:00:00Z"
"""The time 0: Kafka's client takes it for none, so that no copy can have it."""

LINES_GROUP = "file"
"""The message group of lines that have no group, key or partition of their own."""

QUEUE_HEADERS = 7
"""SQS takes 10 message attributes; three are ours: logq-replay, logq-origin, logq-key."""


def view(plan: ReplayPlan) -> PlanView:
    """The plan in words, for the dialog and the command line."""
    kind = "topic" if plan.to == "topic" else "FIFO queue" if plan.fifo else "queue"
    facts = [
        ("what", _what(plan)),
        (
            "from",
            f"{'file' if plan.file else 'topic'} {plan.source}{_only(plan)}, from {plan.begin} to {plan.until}",
        ),
        ("to", f"{kind} {plan.target}"),
        ("speed", f"at most {plan.rate:g} a second" if plan.rate else "as fast as the brokers take them"),
        ("guarantee", _guarantee(plan)),
    ]
    if plan.to == "topic":
        facts.append(("partitions", _partitions(plan)))
        facts.append(("who sees it", _readers(plan)))
        facts.append(("is kept", "key, value, headers and timestamp; headers logq-replay and logq-origin are added"))
    else:
        facts.append(("who sees it", f"the consumers of {plan.target} get these messages beside their own"))
        facts.append(("is kept", _attributes(plan)))
    if plan.edit:
        facts.append(("headers", plan.edit.words))
    facts.append(("job", plan.job or "named when it starts"))
    facts.append(("times", "UTC"))
    return PlanView(
        kind="replay",
        title=f"replay {plan.source} to {plan.target}",
        facts=tuple(facts),
        command=plan.command,
        target=plan.target,
        warnings=warnings(plan),
        columns=("p", "from", "to", "lines" if plan.file else "offsets", "first record", "last record", "note"),
        rows=tuple(
            (
                str(r.partition),
                count(r.start),
                count(r.end),
                count(r.offsets),
                utc(r.first_time),
                utc(r.last_time),
                r.note,
            )
            for r in plan.ranges
            if not plan.only or r.partition in plan.only
        ),
    )


def to_json(plan: ReplayPlan) -> dict[str, Any]:
    """The plan as plain values for the journal; `console.ops.plan.printed` makes of it what `-o json` prints."""
    return {**to_values(plan), "warnings": list(warnings(plan))}


def _only(plan: ReplayPlan) -> str:
    numbers = ", ".join(map(str, plan.only))
    return f", only partition{'s' if len(plan.only) > 1 else ''} {numbers} of {plan.partitions}" if plan.only else ""


def _what(plan: ReplayPlan) -> str:
    if plan.picks:
        what = f"{plural(sum(len(offsets) for _, offsets in plan.picks), 'record')} picked by hand"
        what += f", those that match: {plan.where}" if plan.where is not None else ""
        return what if plan.limit is None else f"{what}, at most {plan.limit:,}"
    if plan.file:
        what = f"the {plan.ranges[0].note} of the file" + (f" that match: {plan.where}" if plan.where else "")
        return what if plan.limit is None else f"{what}, at most {plan.limit:,}"
    held = plural(plan.offsets, "offset")
    partitions = plural(sum(1 for r in plan.ranges if r.offsets), "partition")
    if plan.where is not None:
        what = f"the records of {held} in {partitions} that match: {plan.where}"
    else:
        what = f"the records of {held} in {partitions}"
    return what if plan.limit is None else f"{what}, at most {plan.limit:,}"


def _guarantee(plan: ReplayPlan) -> str:
    if plan.to == "topic":
        return "exactly once for consumers that read committed records, in order within a partition"
    if plan.fifo:
        return "at least once; deduplication ids of this job keep what is sent again within 5 minutes from doubling"
    return "at least once; what may be there twice is named"


def _partitions(plan: ReplayPlan) -> str:
    if plan.file:
        numbers = "the number of each message's own partition" if plan.keeps_partitions else "by key"
        return f"{numbers} ({plan.target_partitions} at the destination)"
    if plan.same_partitions:
        return f"the same numbers (both topics have {plan.partitions})"
    return f"by key ({plan.partitions} at the source, {plan.target_partitions} at the destination; murmur2 as in Java)"


def _readers(plan: ReplayPlan) -> str:
    if plan.groups is None:
        return "unknown: the groups could not be seen"
    if not plan.groups:
        return f"no group has read {plan.target} so far"
    named = ", ".join(plan.groups[:_GROUPS_NAMED])
    more = len(plan.groups) - _GROUPS_NAMED
    return f"{plural(len(plan.groups), 'group')} on {plan.target}: {named}" + (
        f" and {more:,} more" if more > 0 else ""
    )


def _attributes(plan: ReplayPlan) -> str:
    group = ""
    if plan.fifo and plan.file:
        group = f"; message group: each line's group_id, else its key, else partition-N, else one group {LINES_GROUP}"
    elif plan.fifo:
        group = "; message group: the key, partition-N where there is none"
    return (
        f"the value as body; attributes logq-replay, logq-origin, logq-key and the first {QUEUE_HEADERS} headers with "
        f"a name and value SQS takes, other headers and the timestamp are dropped{group}"
    )


def warnings(plan: ReplayPlan) -> tuple[str, ...]:
    """What cannot be undone or needs care."""
    lines = ["It cannot be undone: once consumers have the copies, nothing brings them back."]
    if plan.to == "topic":
        if plan.source == plan.target:
            lines.append("Source and destination are one topic: every group on it gets these records a second time.")
        if not plan.own_time:
            lines.append(f"{plan.target} sets LogAppendTime: the copies get the time of the copying, not their own.")
        oldest = min((r.first_time for r in plan.ranges if r.first_time is not None), default=None)
        keeps = plan.retention_seconds if plan.own_time else None
        if keeps is not None and oldest is not None and plan.at - oldest > keeps:
            lines.append(
                f"{plan.target} keeps records {duration(keeps)} by their own time: copies of older ones may be deleted "
                "before anybody reads them."
            )
        if not plan.file and any(0 in (r.first_time, r.last_time) for r in plan.ranges):
            lines.append(f"Records with the time {EPOCH} get that of the copying: Kafka's client takes 0 for no time.")
        if plan.file:
            lines.append("The file must stay as it is until the job is done: it is read again when the job is resumed.")
        if not plan.same_partitions and not plan.file:
            lines.append(
                "The numbers of partitions differ: order holds per key only, and records without a key scatter."
            )
        if plan.limit is not None:
            lines.append("With a limit one process does it: the same job started elsewhere takes it over.")
        elif plan.rate is not None and not plan.file:
            lines.append("The rate is that of each process that shares the job.")
    else:
        lines.append(
            "Records that cannot be SQS messages (no value, not UTF-8, characters SQS refuses, too large) are left "
            "out, counted and named."
        )
        if not plan.fifo:
            lines.append("A standard queue keeps no order, and consumers must bear a message twice.")
    if plan.compacted:
        lines.append(
            f"{plan.source} is compacted: offsets whose records are compacted away are stepped over and counted."
        )
    if plan.joins:
        how = "it is resumed" if plan.alone else "this process shares its work"
        lines.append(f"A job named {plan.job} is there already: {how}, its ranges are used.")
    cut = sum("open transaction" in r.note for r in plan.ranges)
    if cut:
        lines.append(f"{plural(cut, 'partition')} with an open transaction: what is not decided yet is left out.")
    lines += [f"{p.where}: {p.message}" for p in plan.problems]
    return tuple(lines)
