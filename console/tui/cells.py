"""What one cell of a table says and how loud: values of the model -> Rich text in theme variables.

Everything passes `console.text` here; unknown is a dash; what is at rest is muted, and colour never says anything that
a sign or a word does not say as well.
"""

from __future__ import annotations

from rich.text import Text

from console import text, upkeep
from console.model import Attention, DeadLetters, GroupPartition, Job, Message, Severity, Status, Topic
from console.tui.theme import SIGNS, loudness
from console.tui.view import GroupRow, QueueRow
from widgets.trend import trend

TREND = 8
"""How many bars a trend has."""

BUSY = 40.0
"""What stands for a full bar when nothing is larger."""


def sign(severity: Severity) -> Text:
    """✖ or ▲ in its colour, a blank for what is fine or unknown."""
    return Text(SIGNS[severity], style=f"bold {loudness(severity)}")


def name(raw: str, severity: Severity = Severity.OK, width: int = 160) -> Text:
    """The name of a thing: what is in trouble is bold."""
    return Text(text.safe(raw, width), style="bold $foreground" if severity >= Severity.WARN else "$foreground")


def muted(raw: str, width: int = 400) -> Text:
    """A word of little weight."""
    return Text(text.safe(raw, width), style="$muted")


def faint(raw: str) -> Text:
    """A word of no weight: labels, zeros, dashes."""
    return Text(text.safe(raw), style="$faint")


def number(value: float | None, severity: Severity = Severity.OK, rest: str = "$foreground") -> Text:
    """A count with thousands apart, loud when it is the trouble, a faint dash when unknown."""
    if value is None:
        return Text(text.DASH, style="$faint")
    if severity >= Severity.WARN and value:
        return Text(text.count(value), style=f"bold {loudness(severity)}")
    return Text(text.count(value), style=rest)


def bars(values: tuple[float, ...], severity: Severity, least: float = BUSY) -> Text:
    """The last values as a sparkline: in the colour of the trouble, else green while small and blue while busy.

    `least` is what stands for a full bar when no value is larger: a handful is rest, however steep its bars would look.
    """
    known = values[-TREND:]
    busy = bool(known) and max(known) >= least
    style = loudness(severity, "$key" if busy else "$good")
    return trend(known, TREND, style, least=least)


def group_cell(row: GroupRow, column: str) -> Text:
    """A cell of the group list."""
    group, severity = row.group, row.severity
    if column == "sign":
        return sign(severity)
    if column == "name":
        return name(row.name, severity)
    if column == "state":
        shown = group.type if group.type in ("share", "streams") else group.state.lower()
        return muted(shown or text.DASH)
    if column == "lag":
        if row.lag is None:
            return faint(text.DASH)
        return number(row.lag, severity if row.lag else Severity.OK)
    if column == "behind":
        return muted(text.behind(row.lag_seconds, row.lag_seconds_source))
    if column == "trend":
        # What comes in within four seconds is no backlog yet.
        return bars(group.trend, severity, max(BUSY, 4 * (group.produced_rate or 0.0)))
    if column == "in":
        return muted(text.rate(group.produced_rate))
    stopped = group.consumed_rate == 0 and bool(row.lag) and severity >= Severity.WARN
    return Text(text.rate(group.consumed_rate), style="bold $bad") if stopped else muted(text.rate(group.consumed_rate))


def queue_cell(row: QueueRow, column: str) -> Text:
    """A cell of the queue list."""
    queue, severity = row.queue, row.severity
    if column == "sign":
        return sign(severity)
    if column == "name":
        return name(row.name, severity)
    if column == "visible":
        return number(queue.visible, severity)
    if column == "flight":
        return number(queue.in_flight, rest="$key" if queue.in_flight else "$faint")
    if column == "delay":
        return number(queue.delayed, rest="$muted" if queue.delayed else "$faint")
    if column == "dlq":
        return number(queue.dlq_count, Severity.BAD if queue.dlq_count else Severity.OK, "$faint")
    if column == "oldest":
        return muted(text.duration(queue.oldest_seconds))
    return bars(queue.trend, severity)


def attention_cell(item: Attention, column: str, keys: str = "") -> Text:
    """A cell of the attention block; `keys` is what acts on it."""
    if column == "sign":
        return sign(item.severity)
    if column == "name":
        return Text(text.safe(item.name, 160), style="bold $foreground")
    if column == "where":
        return muted(item.where)
    if column == "reason":
        warning = item.severity is Severity.WARN
        return Text(text.safe(item.reason, 400), style="bold $warn" if warning else "$foreground")
    return Text(keys)


def partition_cell(p: GroupPartition, column: str) -> Text:
    """A cell of a group's partitions."""
    severity = p.status.severity
    if column == "sign":
        return sign(severity)
    if column == "topic":
        return name(p.topic, severity)
    if column == "partition":
        return Text(str(p.partition), style="$foreground")
    if column in ("start", "end"):
        return number(p.start if column == "start" else p.end, rest="$muted")
    if column == "committed":
        return number(p.committed, rest="$foreground")
    if column == "lag":
        return number(p.lag, severity if p.lag else Severity.OK)
    if column == "lost":
        return number(p.lost, Severity.BAD if p.lost else Severity.OK, "$faint")
    if column == "behind":
        return muted(text.behind(p.lag_seconds, p.lag_seconds_source))
    if column == "leader":
        return muted("none" if p.leader is None else str(p.leader))
    if column == "member":
        return muted(p.client_id or p.member or text.DASH)
    if column == "status":
        return Text(
            "" if p.status is Status.OK else p.status.lower().replace("_", " "), style=loudness(severity, "$faint")
        )
    reason = p.problem.message if p.problem else p.reason
    return Text(text.safe(reason, 400), style="$faint" if severity <= Severity.UNKNOWN else "$foreground")


def topic_cell(topic: Topic, column: str) -> Text:
    """A cell of the topic list."""
    replicas = upkeep.replication(topic.partitions)
    severity = Severity.BAD if topic.problem or (topic.dead_letter and topic.records) else replicas.severity
    if column == "sign":
        return sign(severity)
    if column == "name":
        return name(topic.name, severity)
    if column == "partitions":
        return number(len(topic.partitions), rest="$muted")
    if column == "records":
        return number(topic.records, severity if topic.dead_letter else Severity.OK)
    if column == "in":
        return muted(text.rate(topic.produced_rate))
    if column == "kind":
        return muted("dead letters" if topic.dead_letter else "internal" if topic.internal else "")
    if topic.problem:
        return Text(text.safe(topic.problem.message, 400), style="$bad")
    return Text(replicas.reason, style=loudness(replicas.severity, "$muted"))


def message_cell(message: Message, column: str) -> Text:
    """A cell of a list of messages."""
    if column == "time":
        return muted(text.utc(message.timestamp)[11:19] if message.timestamp is not None else text.DASH)
    if column == "where":
        if message.offset is not None:
            return Text(f"{message.partition}:{message.offset}", style="$muted")
        return muted(message.id[:8])
    if column == "key":
        key = message.key if message.key is not None else message.group_id
        return faint(text.DASH) if key is None else Text(text.safe(key, 80), style="$key")
    if column == "times":
        return number(message.receive_count, rest="$muted")
    if column == "error":
        return Text(text.safe(message.error or "", 400), style="$warn")
    if message.value is None:
        return Text(text.DASH if message.offset is None else "tombstone", style="$faint")
    return Text(text.safe(message.value, 400))


def dlq_cell(item: DeadLetters, column: str) -> Text:
    """A cell of the list of dead letters."""
    severity = item.status.severity
    side, _, plain = item.target.partition(":")
    if column == "sign":
        return sign(severity)
    if column == "name":
        return name(plain, severity)
    if column == "kind":
        return Text("sqs queue" if side == "sqs" else "kafka topic", style="$sqs" if side == "sqs" else "$kafka")
    if column == "count":
        return number(item.count, severity if item.count else Severity.OK)
    if column == "oldest":
        return muted(text.duration(item.oldest_seconds))
    if column == "expires":
        soon = item.expires_seconds is not None and item.expires_seconds < 86_400
        return Text(text.duration(item.expires_seconds), style="bold $warn" if soon else "$muted")
    if column == "source":
        return muted(", ".join(item.source) or text.DASH)
    return muted(item.reason)


_JOB_STYLES = {
    "done": "$good",
    "failed": "bold $bad",
    "partly": "bold $warn",
    "interrupted": "bold $warn",
    "running": "bold $key",
}


def job_cell(job: Job, column: str) -> Text:
    """A cell of the job list."""
    if column == "id":
        return name(job.id)
    if column == "kind":
        return muted(job.kind)
    if column == "route":
        where = job.source if job.target in ("", job.source) else f"{job.source} → {job.target}"
        return Text(text.safe(where, 200))
    if column == "state":
        return Text(job.state, style=_JOB_STYLES.get(job.state, "$muted"))
    if column == "done":
        return number(job.done)
    if column == "failed":
        return number(job.failed, Severity.BAD if job.failed else Severity.OK, "$faint")
    if column == "left":
        return number(job.left, rest="$muted")
    if column == "started":
        return muted(text.utc(job.started)[5:19].replace("T", " ") if job.started is not None else text.DASH)
    return muted(job.note)
