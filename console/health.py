"""Pure rules: what was seen, and what was seen before -> a status with its reason in words.

The rules for consumer groups are Burrow's (github.com/linkedin/Burrow, "Consumer Lag Evaluation Rules"), made safe: one
look alone never calls anything stalled, a minimum window holds and so does the group's own rhythm of commits, a client
that stays one short of a transaction marker (KAFKA-10683) is not stuck, and records that retention is about to delete
are said to be in danger only when the log start has been seen to move twice. Nothing here asks a server, reads a clock
or keeps state.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

from msgspec.structs import replace

from console import upkeep
from console.history import AT_REST, MOST_PATIENCE, RATE_WINDOW, Activity, Commits, End, History, has_members
from console.model import (
    JOB_GROUP_PREFIX,
    Attention,
    Group,
    GroupPartition,
    KafkaSnapshot,
    Queue,
    SqsSnapshot,
    Status,
    Topic,
)
from console.text import count, duration, plural, utc

MIN_LOOKS = 3
NO_COMMIT = "no commit"
MIN_BEHIND = 5.0
"""Less behind than this (seconds) is the normal distance between writing, reading and committing."""

LOSING_HORIZON = 6 * 3600.0
"""Loss further away than this (seconds) is not worth waking anybody for."""

LOSING_WINDOW = 10.0
"""Retention deletes whole segments: how fast the log start moves is told from moves at least so far apart (seconds)."""

FLAPPING = 3
"""So many rebalances within what is remembered are worth a word."""

_DEAD_QUEUE_NAMES = ("*-dlq", "*_dlq", "*-dlq.fifo", "*_dlq.fifo", "*-dead-letter*", "*_dead_letter*", "*DeadLetter*")


def partition_status(
    p: GroupPartition,
    past: Commits | None,
    ends: Sequence[End],
    now: float,
    stall_seconds: float,
    has_readers: bool,
    held_since: float | None = None,
) -> tuple[Status, str]:
    """The status of one partition of one group and why, from this look and the past of its commits and its log.

    `p.lag_seconds` says how far behind it is where that is known: a group a moment behind is not falling behind,
    whichever way its lag happens to go. `held_since` is since when an open transaction holds the last stable offset.
    """
    if p.problem is not None:
        return Status.UNKNOWN, p.problem.message
    if p.committed is None:
        if past is not None:
            gone = f"its commit ({count(past.points[-1].committed)}) has gone, expired or deleted"
            return Status.WARN, f"{gone}: it begins again where auto.offset.reset says"
        return Status.UNKNOWN, NO_COMMIT
    lag, lost = p.lag, p.lost
    if lost:
        return Status.LOST, f"{plural(lost, 'record')} expired before the group read them"
    if lag is None:
        return Status.UNKNOWN, "the end of the log is unknown"
    if p.end is not None and p.committed > p.end and p.own_lag is None:
        # Kafka takes any offset as a commit, and keeps those of a topic that is deleted and made again at once.
        beyond = f"its commit is {count(p.committed - p.end)} beyond the end of the log"
        return Status.WARN, f"{beyond}, which was made anew or cut: it goes on where auto.offset.reset says"
    if lag == 0:
        return Status.OK, ""
    if p.stable_end is not None and p.end is not None and p.stable_end < p.end and _read_to(p, p.stable_end):
        said = f"{count(p.end - p.stable_end)} held back by an open transaction"
        if held_since is None or now - held_since < stall_seconds:
            return Status.OK, said  # transactions come and go: only one that stays is worth a warning
        return Status.WARN, f"{said}, for {duration(now - held_since)} at least"
    if past is not None and past.rest == (p.committed, p.end):
        return Status.OK, "only transaction markers and aborted records are left"
    if past is not None and (losing := _losing(p, past, ends)):
        return Status.LOSING, losing
    if not has_readers and not (past and past.moved and now - past.still_since < past.patience(stall_seconds)):
        return Status.WARN, f"nobody reads it: {count(lag)} behind"
    if past is None or len(past.points) < MIN_LOOKS:
        return Status.UNKNOWN, "seen too briefly to tell"
    if lag <= AT_REST and past.points[-1].end == past.points[-2].end:
        return Status.OK, ""  # one short of a transaction marker: at rest, not stuck
    stuck = _stuck(past, now, stall_seconds)
    if stuck:
        return stuck
    if past.rewound_from is not None:
        return Status.REWIND, f"the commit went back by {count(past.rewound_from - p.committed)} and is catching up"
    far = p.lag_seconds is None or p.lag_seconds >= MIN_BEHIND
    waited = past.behind_since is not None and now - past.behind_since >= stall_seconds
    if far and waited and _never_falls(past, now):
        return Status.WARN, "falling behind: the lag only grows"
    return Status.OK, ""


def _read_to(p: GroupPartition, offset: int) -> bool:
    """Whether a group has read all that is before an offset, save for what may be a transaction's marker."""
    return p.committed is not None and max(p.committed, p.start or 0) >= offset - AT_REST


def _stuck(past: Commits, now: float, stall_seconds: float) -> tuple[Status, str] | None:
    """Stalled or stopped: the commit stands still, for longer than the group's own rhythm, with records to read."""
    since = past.waiting_since
    if since is None or now - since < past.patience(stall_seconds):
        return None
    window = past.moves[-1] - past.moves[0] if len(past.moves) > 1 else 0.0
    stopped = past.moved and now - past.still_since > window
    said = f"for {duration(now - since)}" if past.moved else f"since first seen {duration(now - since)} ago"
    return (Status.STOP if stopped else Status.STALL), f"the commit has not moved {said}"


def _never_falls(past: Commits, now: float) -> bool:
    """Whether the lag grows from commit to commit: what is left right after each, over a minute or three commits.

    All of that time has to grow, so that neither a pause at its end nor the way down from one counts as a trend.
    """
    since = now - max(2 * RATE_WINDOW, min(MOST_PATIENCE, 3.5 * past.rhythm))
    lags = [
        after.end - max(after.committed, after.start)
        for before, after in pairwise(past.points)
        if after.committed != before.committed and after.at >= since
    ]
    if len(lags) < MIN_LOOKS or lags[-1] < lags[-2]:
        return False
    third = len(lags) // 3
    low, mid, high = min(lags[:third]), min(lags[third:-third]), min(lags[-third:])
    return low < high and mid - low >= (high - low) / 4 and mid <= high


def _losing(p: GroupPartition, past: Commits, ends: Sequence[End]) -> str:
    """When the log start is moving toward the commit faster than the commit moves away: "loses data in ~42 min".

    Only where the commit is nearer the log start than the end: a group that keeps up loses nothing, however much
    retention deletes at once behind it.
    """
    if p.committed is None or p.start is None or len(past.points) < MIN_LOOKS:
        return ""
    left = p.committed - p.start
    if left >= (p.lag or 0):
        return ""
    moves = [after for before, after in pairwise(ends) if after.start > before.start]
    if len(moves) < 2 or moves[-1].at - moves[0].at < LOSING_WINDOW:
        return ""
    since = max(moves[0].at, past.points[0].at)
    commits = [point for point in past.points if point.at >= since]
    span = commits[-1].at - commits[0].at if commits else 0.0
    commit_rate = max(0.0, (commits[-1].committed - commits[0].committed) / span) if span > 0 else 0.0
    closing = (moves[-1].start - moves[0].start) / (moves[-1].at - moves[0].at) - commit_rate
    if closing <= 0 or left / closing > LOSING_HORIZON:
        return ""
    if left <= 0:
        return "loses data when retention deletes next: the log start has reached its commit"
    return f"loses data in ~{duration(left / closing)}: the log start is catching up with its commit"


def group_health(group: Group, history: History, now: float) -> Group:
    """The group with status and reason, also per partition; rates, trend and time behind from the history."""
    activity = history.activity(group.name)
    has_readers = has_members(group) or _just_left(activity, now, history.stall_seconds)
    ours = group.name.startswith(JOB_GROUP_PREFIX)  # a finished copy stays behind its topic for ever: no alarm
    partitions = []
    blank = history.blank  # then there is nothing to look up for each of 10,000 partitions
    for p in group.partitions or ():
        past = None if blank else history.commits(group.name, p.topic, p.partition)
        ends = () if blank else history.ends(p.topic, p.partition)
        if p.lag_seconds is None and (not blank or p.lag == 0):
            seconds, source = history.behind(p, now)
            if seconds is not None:
                p = replace(p, lag_seconds=seconds, lag_seconds_source=source)
        if ours:
            status, reason = Status.OK, ""
        else:
            held = None if blank else history.held_since(p.topic, p.partition)
            status, reason = partition_status(p, past, ends, now, history.stall_seconds, has_readers, held)
        partitions.append(replace(p, status=status, reason=reason))
    produced, consumed, window = history.rates(group, now)
    rows = tuple(partitions) if group.partitions is not None else None
    seen = replace(
        group,
        partitions=rows,
        produced_rate=produced,
        consumed_rate=consumed,
        rate_seconds=window,
        trend=history.lag_trend(group.name),
    )
    status, reason = (Status.OK, "holds the progress of a logq job") if ours else _group_status(seen)
    if status in (Status.STALL, Status.STOP, Status.WARN) and activity is not None:
        reason += _flapping(activity, now)
    return replace(seen, status=status, reason=reason)


def _just_left(activity: Activity | None, now: float, stall_seconds: float) -> bool:
    """Whether the members of a group that looks empty were there a moment ago: a rebalance, not a group at rest."""
    return activity is not None and activity.live_at is not None and now - activity.live_at < stall_seconds


def _flapping(activity: Activity, now: float) -> str:
    times = activity.rebalances
    if len(times) < FLAPPING:
        return ""
    return f"; rebalanced {len(times)} times in {duration(now - times[0])}"


def eta(group: Group) -> float | None:
    """Seconds until the group has caught up at the rates seen; None when nothing is behind, unknown, or never."""
    if group.consumed_rate is None or group.produced_rate is None or not group.lag:
        return None
    gain = group.consumed_rate - group.produced_rate
    return group.lag / gain if gain > 0 else None


def catches_up(group: Group) -> str:
    """When the group will have caught up at the rates seen, in words; "" when there is nothing to catch up."""
    if not group.lag or group.consumed_rate is None:
        return ""
    left = eta(group)
    return "never at this rate" if left is None else "in ~" + duration(left)


MOST_LEFT = 1_000
"""More offsets than this after a commit are not looked into: markers alone they are not."""


def suspects(group: Group, history: History) -> list[GroupPartition]:
    """The partitions called stuck that may have nothing left to read: few offsets, an end that stands still.

    Each commit and end is asked about once.
    """
    found: list[GroupPartition] = []
    if group.status not in (Status.STALL, Status.STOP):
        return found
    for p in group.partitions or ():
        if p.status not in (Status.STALL, Status.STOP) or (p.lag or 0) > MOST_LEFT or p.stable_end != p.end:
            continue
        past = history.commits(group.name, p.topic, p.partition)
        still = past is not None and len(past.points) >= MIN_LOOKS and past.points[-MIN_LOOKS].end == p.end
        if past is not None and still and past.asked != (p.committed, p.end):
            found.append(p)
    return found


_MAY_BE_UNSEEN = frozenset({Status.UNKNOWN, Status.LOST})
"""Where a partition can be without a known lag: only then is it worth counting those of ten thousand."""


def _group_status(group: Group) -> tuple[Status, str]:
    if group.partitions is None:
        first = group.problems[0].message if group.problems else "its offsets were not seen"
        return Status.UNKNOWN, first
    if not group.partitions:
        return (Status.UNKNOWN, group.problems[0].message) if group.problems else (Status.OK, "no commits")
    known = [p for p in group.partitions if p.reason != NO_COMMIT]
    if not known:
        return Status.OK, "no commits"
    firsts = {p.status: p for p in reversed(known)}
    worst = firsts[max(firsts, key=lambda status: status.rank)] if len(firsts) > 1 else known[0]
    alike = [p for p in known if p.status is worst.status]
    if worst.status is Status.OK:
        return Status.OK, max((p.reason for p in known), default="")
    reason = _reason(group, worst, alike, len(known))
    if firsts.keys() & _MAY_BE_UNSEEN and (missing := not_counted(group)):
        reason += f"; {missing}"
    return worst.status, reason


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


def not_counted(group: Group) -> str:
    """How many partitions the lag leaves out because they could not be seen, in words; "" when it leaves out none."""
    many = group.unseen
    seen = f"{many:,} of {plural(len(group.partitions or ()), 'partition')}"
    return f"{seen} could not be seen and {'is' if many == 1 else 'are'} not counted" if many else ""


def is_dead_letter_queue(queue: Queue) -> bool:
    """Whether it is the dead-letter queue of another queue, or at least named like one."""
    return bool(queue.dlq_of) or any(fnmatch.fnmatchcase(queue.name, pattern) for pattern in _DEAD_QUEUE_NAMES)


def queue_health(queue: Queue, history: History) -> Queue:
    """The queue with status, reason and trend."""
    status, reason = _queue_status(queue)
    trend, net = history.depth_trend(queue.url), history.net_rate(queue.url)
    return replace(queue, status=status, reason=reason, trend=trend, net_rate=net)


def _queue_status(queue: Queue) -> tuple[Status, str]:
    problem = queue.problem
    if queue.visible is None:
        return Status.UNKNOWN, problem.message if problem is not None else "its counts were not seen"
    status, reason = _counted_status(queue, queue.visible)
    if problem is None:
        return status, reason
    # Not seen now: what it held when it was seen last is still what is known, and says as of when.
    if status is Status.OK:
        return Status.UNKNOWN, f"{problem.message}; counts{_as_of(queue.seen_at)}"
    return status, f"{reason}{_as_of(queue.seen_at)}: {problem.message}"


def _as_of(at: float | None) -> str:
    """ " as of 14:22:07Z": a time, since an age would be of when it was judged."""
    return f" as of {utc(at)[11:]}" if at is not None else " as last seen"


def _counted_status(queue: Queue, visible: int) -> tuple[Status, str]:
    held = visible + (queue.in_flight or 0) + (queue.delayed or 0)
    if is_dead_letter_queue(queue):
        if not held:
            return Status.OK, ""
        flying = f", {count(queue.in_flight)} of them in flight" if queue.in_flight else ""
        oldest = f", oldest {duration(queue.oldest_seconds)}" if queue.oldest_seconds is not None else ""
        return Status.DEAD_LETTERS, f"{plural(held, 'dead letter')}{flying}{oldest}"
    if queue.dlq_count:
        return Status.WARN, f"{plural(queue.dlq_count, 'message')} in its dead-letter queue"
    return Status.OK, ""


def dead_letters_of(topic: Topic) -> str:
    """What a dead-letter topic holds, in words; its records stay when they are redriven, so those are said apart."""
    held, done = topic.records, topic.redriven
    if not held:
        return ""
    if not done:
        return plural(held, "dead letter")
    left = max(0, held - done)
    return f"{plural(left, 'dead letter')}, {count(done)} redriven" if left else f"all {count(held)} redriven"


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
        if topic.dead_letter and (topic.records or 0) > (topic.redriven or 0):
            reason = dead_letters_of(topic)
            actions = ("open", "redrive")
            found.append(Attention(Status.DEAD_LETTERS, "kafka", "topic", topic.name, "topic", reason, actions))
        without_leader = [p.partition for p in topic.partitions if p.leader is None]
        if without_leader:
            reason = f"{plural(len(without_leader), 'partition')} of {len(topic.partitions)} without a leader"
            found.append(Attention(Status.UNREACHABLE, "kafka", "topic", topic.name, "topic", reason, ("open",)))
    return found + _brokers_attention(snapshot)


def _brokers_attention(snapshot: KafkaSnapshot) -> list[Attention]:
    """One line a broker, however many topics it serves: it does not answer, or its replicas are not in sync."""
    found = []
    behind = upkeep.out_of_sync(snapshot.topics)
    for broker in snapshot.brokers:
        name, address = f"broker {broker.id}", f"{broker.host}:{broker.port}" if broker.port else "broker"
        partitions, topics = behind.get(broker.id, (0, 0))
        short = f"out of sync on {plural(partitions, 'partition')} of {plural(topics, 'topic')}"
        if broker.reachable is False:
            why = next((p.message for p in snapshot.problems if p.where == name), "does not answer")
            why = f"{why}; {short}" if partitions else why
            found.append(Attention(Status.UNREACHABLE, "kafka", "broker", name, address, why, ("open", "doctor")))
        elif partitions:
            found.append(Attention(Status.WARN, "kafka", "broker", name, address, f"its replicas are {short}"))
    return found


def sqs_attention(snapshot: SqsSnapshot, gone: bool = False) -> list[Attention]:
    """What is wrong on the SQS side: dead-letter queues that are not empty. `gone`: it does not answer any more."""
    found = []
    for queue in snapshot.queues:
        if queue.status.rank > Status.WARN.rank:
            of = f"dlq of {queue.dlq_of[0]}" if queue.dlq_of else "sqs queue"
            reason = queue.reason + (_as_of(queue.seen_at) if gone and queue.problem is None else "")
            found.append(Attention(queue.status, "sqs", "queue", queue.name, of, reason, ("open", "redrive")))
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
    return tuple(loudest_first(found))


def loudest_first(found: Iterable[Attention]) -> list[Attention]:
    """The worst on top, those alike by name."""
    return sorted(found, key=lambda item: (-item.severity, -item.status.rank, item.name))
