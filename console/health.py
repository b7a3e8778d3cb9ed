"""Pure rules: what was seen, and what was seen before -> a status with its reason in words.

The rules for consumer groups are Burrow's (github.com/linkedin/Burrow, "Consumer Lag Evaluation Rules"), made safe: one
look alone never calls anything stalled, a minimum window holds, and a client that stays one short of a transaction
marker (KAFKA-10683) is not stuck. Nothing here asks a server, reads a clock or keeps state.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from console.history import RATE_WINDOW, Commits, End, History
from console.model import (
    JOB_GROUP_PREFIX,
    Attention,
    Group,
    GroupPartition,
    KafkaSnapshot,
    Queue,
    SqsSnapshot,
    Status,
)
from console.text import count, duration, plural

MIN_LOOKS = 3
MIN_BEHIND = 5.0
"""Less behind than this (seconds) is the normal distance between writing, reading and committing."""

LOSING_HORIZON = 6 * 3600.0
"""Loss further away than this (seconds) is not worth waking anybody for."""

_DEAD_QUEUE_NAMES = ("*-dlq", "*_dlq", "*-dlq.fifo", "*_dlq.fifo", "*-dead-letter*", "*_dead_letter*", "*DeadLetter*")


def partition_status(
    p: GroupPartition, past: Commits | None, ends: Sequence[End], now: float, stall_seconds: float, has_members: bool
) -> tuple[Status, str]:
    """The status of one partition of one group and why, from this look and the past of its commits and its log.

    `p.lag_seconds` says how far behind it is where that is known: a group a moment behind is not falling behind,
    whichever way its lag happens to go.
    """
    if p.problem is not None:
        return Status.UNKNOWN, p.problem.message
    if p.committed is None:
        return Status.UNKNOWN, "no commit"
    lag, lost = p.lag, p.lost
    if lost:
        return Status.LOST, f"{plural(lost, 'record')} expired before the group read them"
    if lag is None:
        return Status.UNKNOWN, "the end of the log is unknown"
    if lag == 0:
        return Status.OK, ""
    if p.stable_end is not None and p.end is not None and p.stable_end < p.end and p.committed >= p.stable_end:
        return Status.WARN, f"{count(p.end - p.stable_end)} held back by an open transaction"
    losing = _losing(p, past, ends, now)
    if losing:
        return Status.LOSING, losing
    if not has_members and not (past and past.moved and now - past.still_since < stall_seconds):
        return Status.WARN, f"nobody reads it: {count(lag)} behind"
    if past is None or len(past.points) < MIN_LOOKS:
        return Status.UNKNOWN, "seen too briefly to tell"
    still = now - past.still_since
    everywhere_behind = all(point.end > max(point.committed, point.start) for point in past.points)
    end_moved = past.points[-1].end > past.points[0].end
    if lag == 1 and not end_moved:
        return Status.OK, ""  # one short of a transaction marker (KAFKA-10683): at rest, not stuck
    if still >= stall_seconds and everywhere_behind:
        window = past.moves[-1] - past.moves[0] if len(past.moves) > 1 else 0.0
        stopped = past.moved and still > window
        since = f"for {duration(still)}" if past.moved else f"since first seen {duration(still)} ago"
        return (Status.STOP if stopped else Status.STALL), f"the commit has not moved {since}"
    if past.rewound_from is not None:
        return Status.REWIND, f"the commit went back by {count(past.rewound_from - p.committed)} and is catching up"
    far = p.lag_seconds is None or p.lag_seconds >= MIN_BEHIND
    if far and now - past.first_seen >= stall_seconds and everywhere_behind and _never_falls(past, now):
        return Status.WARN, "falling behind: the lag only grows"
    return Status.OK, ""


def _never_falls(past: Commits, now: float) -> bool:
    lags = [point.end - max(point.committed, point.start) for point in past.points if point.at >= now - 2 * RATE_WINDOW]
    if len(lags) < MIN_LOOKS or lags[-1] <= lags[0]:
        return False
    # Commits come in steps, so a look can catch a dip: thirds of the window are compared, not neighbours.
    third = max(1, len(lags) // 3)
    low, mid, high = min(lags[:third]), min(lags[third:-third] or lags[:third]), min(lags[-third:])
    return low < high and low <= mid <= high


def _losing(p: GroupPartition, past: Commits | None, ends: Sequence[End], now: float) -> str:
    """When the log start is moving toward the commit faster than the commit moves away: "loses data in ~42 min"."""
    if p.committed is None or p.start is None or past is None or len(ends) < MIN_LOOKS or len(past.points) < MIN_LOOKS:
        return ""
    start_span = ends[-1].at - ends[0].at
    commit_span = past.points[-1].at - past.points[0].at
    if start_span <= 0 or commit_span <= 0 or ends[-1].start <= ends[0].start:
        return ""
    start_rate = (ends[-1].start - ends[0].start) / start_span
    commit_rate = max(0.0, (past.points[-1].committed - past.points[0].committed) / commit_span)
    closing = start_rate - commit_rate
    if closing <= 0:
        return ""
    left = (p.committed - p.start) / closing
    if left > LOSING_HORIZON:
        return ""
    return f"loses data in ~{duration(left)}: the log start is catching up with its commit"


def group_health(group: Group, history: History, now: float) -> Group:
    """The group with status and reason, also per partition; rates, trend and time behind from the history."""
    has_members = bool(group.members) or group.state.lower() not in ("empty", "dead", "")
    ours = group.name.startswith(JOB_GROUP_PREFIX)  # a finished copy stays behind its topic for ever: no alarm
    partitions = []
    for p in group.partitions or ():
        past = history.commits(group.name, p.topic, p.partition)
        ends = history.ends(p.topic, p.partition)
        if p.lag_seconds is None:
            seconds, source = history.behind(p, now)
            p = replace(p, lag_seconds=seconds, lag_seconds_source=source)
        if ours:
            status, reason = Status.OK, ""
        else:
            status, reason = partition_status(p, past, ends, now, history.stall_seconds, has_members)
        partitions.append(replace(p, status=status, reason=reason))
    produced, consumed = history.rates(group, now)
    seen = replace(
        group,
        partitions=tuple(partitions) if group.partitions is not None else None,
        produced_rate=produced,
        consumed_rate=consumed,
        trend=history.lag_trend(group.name),
    )
    status, reason = (Status.OK, "holds the progress of a logq job") if ours else _group_status(seen)
    return replace(seen, status=status, reason=reason)


def _group_status(group: Group) -> tuple[Status, str]:
    if group.partitions is None:
        first = group.problems[0].message if group.problems else "its offsets were not seen"
        return Status.UNKNOWN, first
    if not group.partitions:
        return (Status.UNKNOWN, group.problems[0].message) if group.problems else (Status.OK, "no commits")
    if all(p.committed is None and p.problem is None for p in group.partitions):
        return Status.OK, "no commits"
    known = [p for p in group.partitions if not (p.committed is None and p.problem is None)]
    worst = max(known, key=lambda p: p.status.rank)
    alike = [p for p in known if p.status is worst.status]
    if worst.status is Status.OK:
        return Status.OK, ""
    return worst.status, _reason(group, worst, alike, len(known))


def _reason(group: Group, worst: GroupPartition, alike: Sequence[GroupPartition], known: int) -> str:
    where = "" if len(alike) == known else f" on {len(alike)} of {plural(known, 'partition')}"
    lag = count(group.lag)
    if worst.status in (Status.STALL, Status.STOP):
        longest = max(alike, key=lambda p: len(p.reason)).reason
        return f"stalled: {longest}{where}, {lag} behind"
    if worst.status is Status.LOST:
        return f"lost {plural(group.lost or 0, 'record')}: they expired before the group read them{where}"
    if worst.status is Status.WARN and worst.reason.startswith("nobody"):
        return f"no members: {lag} behind"
    if worst.status is Status.WARN and worst.reason.startswith("falling"):
        return f"falling behind{where}: {lag} behind and growing"
    return f"{worst.reason}{where}"


def is_dead_letter_queue(queue: Queue) -> bool:
    """Whether it is the dead-letter queue of another queue, or at least named like one."""
    return bool(queue.dlq_of) or any(fnmatch.fnmatchcase(queue.name, pattern) for pattern in _DEAD_QUEUE_NAMES)


def queue_health(queue: Queue, history: History) -> Queue:
    """The queue with status, reason and trend."""
    status, reason = _queue_status(queue)
    return replace(queue, status=status, reason=reason, trend=history.depth_trend(queue.url))


def _queue_status(queue: Queue) -> tuple[Status, str]:
    if queue.problem is not None:
        return Status.UNKNOWN, queue.problem.message
    if queue.visible is None:
        return Status.UNKNOWN, "its counts were not seen"
    held = queue.visible + (queue.in_flight or 0) + (queue.delayed or 0)
    if is_dead_letter_queue(queue):
        if not held:
            return Status.OK, ""
        flying = f", {count(queue.in_flight)} of them in flight" if queue.in_flight else ""
        oldest = f", oldest {duration(queue.oldest_seconds)}" if queue.oldest_seconds is not None else ""
        return Status.DEAD_LETTERS, f"{plural(held, 'dead letter')}{flying}{oldest}"
    if queue.dlq_count:
        return Status.WARN, f"{plural(queue.dlq_count, 'message')} in its dead-letter queue"
    return Status.OK, ""


def kafka_attention(snapshot: KafkaSnapshot) -> list[Attention]:
    """What is wrong on the Kafka side now: groups beyond WARN, dead-letter topics with records, what is offline."""
    found: list[Attention] = []
    for group in snapshot.groups:
        if group.status.rank <= Status.WARN.rank:
            continue
        affected = sorted({p.topic for p in group.partitions or () if p.status is group.status})
        where = "on " + affected[0] + (f" +{len(affected) - 1}" if len(affected) > 1 else "") if affected else "group"
        found.append(Attention(group.status, "kafka", "group", group.name, where, group.reason, ("open", "reset")))
    for topic in snapshot.topics:
        held = topic.records
        if topic.dead_letter and held:
            reason = plural(held, "dead letter")
            actions = ("open", "redrive")
            found.append(Attention(Status.DEAD_LETTERS, "kafka", "topic", topic.name, "topic", reason, actions))
        without_leader = [p.partition for p in topic.partitions if p.leader is None]
        if without_leader:
            reason = f"{plural(len(without_leader), 'partition')} of {len(topic.partitions)} without a leader"
            found.append(Attention(Status.UNREACHABLE, "kafka", "topic", topic.name, "topic", reason, ("open",)))
    for broker in snapshot.brokers:
        if broker.reachable is False:
            address = f"{broker.host}:{broker.port}"
            why = next((p.message for p in snapshot.problems if p.where == f"broker {broker.id}"), "does not answer")
            found.append(
                Attention(Status.UNREACHABLE, "kafka", "broker", f"broker {broker.id}", address, why, ("doctor",))
            )
    return found


def sqs_attention(snapshot: SqsSnapshot) -> list[Attention]:
    """What is wrong on the SQS side now: dead-letter queues that are not empty, queues that could not be seen."""
    found = []
    for queue in snapshot.queues:
        if queue.status.rank > Status.WARN.rank:
            of = f"dlq of {queue.dlq_of[0]}" if queue.dlq_of else "sqs queue"
            found.append(Attention(queue.status, "sqs", "queue", queue.name, of, queue.reason, ("open", "redrive")))
    return found


def unreachable(side: Literal["kafka", "sqs"], where: str, reason: str) -> Attention:
    """A whole side that does not answer, as one line of attention."""
    return Attention(Status.UNREACHABLE, side, "connection", side, where, reason, ("doctor",))


def attention(kafka: KafkaSnapshot | None, sqs: SqsSnapshot | None) -> tuple[Attention, ...]:
    """What is wrong now on both sides, the worst first; a side that could not be seen at all says so itself."""
    found: list[Attention] = []
    if kafka is not None:
        found += kafka_attention(kafka)
    if sqs is not None:
        found += sqs_attention(sqs)
    return tuple(sorted(found, key=_loudest_first))


def _loudest_first(item: Attention) -> tuple[int, int, str]:
    return -item.severity, -item.status.rank, item.name
