"""What was seen: frozen, slotted values that every other part passes around.

Units everywhere: times are seconds since the epoch (UTC) as float, durations are seconds, sizes are bytes, lag is
records. Unknown is `None`, never 0. Names, keys, values and messages are raw here: only `console.text` makes them safe
to display.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Literal

from msgspec import Struct


class Severity(IntEnum):
    """How loud something is on a screen: the sign and the colour, never the colour alone."""

    OK = 0
    UNKNOWN = 1
    WARN = 2
    BAD = 3


class Status(StrEnum):
    """The state of health of a group, partition, queue or connection, mildest first (Burrow's names where they fit)."""

    OK = "OK"
    UNKNOWN = "UNKNOWN"
    WARN = "WARN"
    LOSING = "LOSING"  # the log start is moving toward the committed offset: data will be lost before it is read
    REWIND = "REWIND"  # the committed offset went backwards and has not regained its earlier value
    DEAD_LETTERS = "DEAD_LETTERS"  # a dead-letter queue or topic that holds messages
    STALL = "STALL"  # members are there, records are behind, the committed offset does not move
    STOP = "STOP"  # the commit has not moved for longer than the whole window of observed changes
    LOST = "LOST"  # records expired before the group read them
    UNREACHABLE = "UNREACHABLE"

    @property
    def rank(self) -> int:
        """Its place from mild (0) to bad, for "worst first"."""
        return _RANKS[self]

    @property
    def severity(self) -> Severity:
        """How loud it is: OK and UNKNOWN are quiet, LOSING and REWIND warn, the rest of those beyond WARN is bad."""
        if self is Status.OK:
            return Severity.OK
        if self is Status.UNKNOWN:
            return Severity.UNKNOWN
        return Severity.WARN if self.rank <= Status.REWIND.rank else Severity.BAD


_RANKS = {status: rank for rank, status in enumerate(Status)}


class Problem(Struct, frozen=True, gc=False):
    """Something that could not be seen or done, kept as data beside what could.

    `where` names the thing ("broker 2", "group billing", "queue images"), `code` is the other side's own short name
    ("NOT_COORDINATOR", "AccessDenied", "TIMEOUT"), `message` one line for people.
    """

    where: str
    code: str
    message: str


# ---------------------------------------------------------------- Kafka

GroupType = Literal["classic", "consumer", "share", "streams", "unknown"]
LagSource = Literal["record", "history", "lower_bound"]


class Broker(Struct, frozen=True, gc=False):
    """One broker of the cluster; `reachable` is what this look saw, None when it was not asked."""

    id: int
    host: str
    port: int
    rack: str | None = None
    reachable: bool | None = None


class Member(Struct, frozen=True, gc=False):
    """One member of a consumer group and what is assigned to it."""

    id: str
    client_id: str
    host: str
    instance_id: str | None = None
    assignment: tuple[tuple[str, tuple[int, ...]], ...] = ()


class GroupPartition(Struct, frozen=True, gc=False):
    """One partition as one group reads it.

    `start` is the log start offset, `end` the high watermark, `stable_end` the last stable offset; None when unknown.
    `committed` is None when the group never committed here, or when it could not be seen (`problem` says why).
    `own_lag` is what a share group has left by its own count.
    """

    topic: str
    partition: int
    leader: int | None = None
    start: int | None = None
    committed: int | None = None
    end: int | None = None
    stable_end: int | None = None
    lag_seconds: float | None = None
    lag_seconds_source: LagSource | None = None
    member: str | None = None
    client_id: str | None = None
    host: str | None = None
    status: Status = Status.UNKNOWN
    reason: str = ""
    problem: Problem | None = None
    own_lag: int | None = None

    @property
    def lag(self) -> int | None:
        """Records between the group and the end: end - max(committed, log start), at least 0; None when unknown."""
        committed, end, start = self.committed, self.end, self.start
        if committed is None or end is None or self.own_lag is not None:
            return self.own_lag
        behind = end - (start if start is not None and start > committed else committed)
        return behind if behind > 0 else 0

    @property
    def unseen(self) -> bool:
        """Whether its lag is unknown because something could not be seen (not: because there is no commit)."""
        if self.own_lag is not None or (self.committed is not None and self.end is not None):
            return False
        return self.committed is not None or self.problem is not None

    @property
    def lost(self) -> int | None:
        """Records that expired before the group read them: max(0, log start - committed); None when unknown."""
        committed, start = self.committed, self.start
        if committed is None or start is None:
            return None
        return start - committed if start > committed else 0


class Group(Struct, frozen=True, gc=False):
    """A consumer group with its partitions; `members` and `partitions` are None while not asked for or not visible.

    Rates are records a second over the last `rate_seconds`; `trend` holds recent lag values, oldest first.
    """

    name: str
    type: GroupType = "unknown"
    state: str = ""
    protocol: str = ""
    coordinator: int | None = None
    members: tuple[Member, ...] | None = None
    partitions: tuple[GroupPartition, ...] | None = None
    status: Status = Status.UNKNOWN
    reason: str = ""
    produced_rate: float | None = None
    consumed_rate: float | None = None
    rate_seconds: float | None = None
    trend: tuple[float, ...] = ()
    seen_at: float | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def lag(self) -> int | None:
        """The sum over partitions with a known lag; None when there is none. No commit is left out, not taken as 0."""
        known = [lag for p in self.partitions or () if (lag := p.lag) is not None]
        return sum(known) if known else None

    @property
    def lost(self) -> int | None:
        """The sum of lost records over partitions where it is known; None when there is none."""
        known = [lost for p in self.partitions or () if (lost := p.lost) is not None]
        return sum(known) if known else None

    @property
    def no_commit(self) -> int:
        """How many partitions have no commit at all (not: could not be seen)."""
        return sum(1 for p in self.partitions or () if p.committed is None and p.problem is None)

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics the group has partitions on, sorted."""
        return tuple(sorted({p.topic for p in self.partitions or ()}))

    @property
    def lag_seconds(self) -> float | None:
        """How far behind the slowest partition is, seconds, or at least is; None when unknown."""
        return self._slowest()[0]

    @property
    def lag_seconds_source(self) -> LagSource | None:
        """The tier of `lag_seconds`: `lower_bound` where a partition that may be further behind is not known."""
        return self._slowest()[1]

    @property
    def unseen(self) -> int:
        """How many partitions are not counted in `lag`, because their commit or their log could not be seen."""
        return sum(1 for p in self.partitions or () if p.unseen)

    def _slowest(self) -> tuple[float | None, LagSource | None]:
        partitions = self.partitions or ()
        timed = [p for p in partitions if p.lag_seconds is not None]
        if not timed:
            return None, None
        worst = max(timed, key=lambda p: p.lag_seconds or 0.0)
        if len(timed) < len(partitions) and any(p.lag_seconds is None and (p.unseen or p.lag) for p in partitions):
            # Being at the end of one partition says nothing of another.
            return (worst.lag_seconds, "lower_bound") if worst.lag_seconds else (None, None)
        return worst.lag_seconds, worst.lag_seconds_source


class TopicPartition(Struct, frozen=True, gc=False):
    """One partition of a topic: where it lives and how far it reaches. Offsets are None when unknown."""

    partition: int
    leader: int | None = None
    replicas: tuple[int, ...] = ()
    isr: tuple[int, ...] = ()
    offline: tuple[int, ...] = ()
    start: int | None = None
    end: int | None = None
    stable_end: int | None = None
    problem: Problem | None = None


class Topic(Struct, frozen=True, gc=False):
    """A topic with its partitions by number. `config` is what was asked for, `redriven` how many dead letters.

    `id` is the cluster's own, as Kafka prints it: a topic made again has another. None where the broker is too old.
    """

    name: str
    partitions: tuple[TopicPartition, ...] = ()
    internal: bool = False
    dead_letter: bool = False
    redriven: int | None = None
    config: tuple[tuple[str, str], ...] = ()
    produced_rate: float | None = None
    problem: Problem | None = None
    seen_at: float | None = None
    id: str | None = None

    @property
    def records(self) -> int | None:
        """The sum of end - start over partitions, an upper bound where compacted; None when any is unknown."""
        held = [p.end - p.start for p in self.partitions if p.start is not None and p.end is not None]
        return sum(held) if len(held) == len(self.partitions) else None

    @property
    def max_bytes(self) -> int | None:
        """`max.message.bytes`, the limit of a batch of records; None when the configuration was not seen."""
        most = dict(self.config).get("max.message.bytes", "")
        return int(most) if most.isdigit() else None


class KafkaSnapshot(Struct, frozen=True, gc=False):
    """The Kafka side at one moment. `at` is when it was complete (epoch seconds)."""

    at: float
    cluster_id: str | None = None
    controller: int | None = None
    brokers: tuple[Broker, ...] = ()
    groups: tuple[Group, ...] = ()
    topics: tuple[Topic, ...] = ()
    problems: tuple[Problem, ...] = ()
    complete: bool = True


# ---------------------------------------------------------------- SQS

QueueType = Literal["standard", "fifo"]


class Queue(Struct, frozen=True, gc=False):
    """A queue with its approximate counts. `dlq` is the name of its dead-letter queue, `dlq_of` the queues it serves.

    `dlq_count` is how many messages lie in its dead-letter queue, when that was seen. `oldest_seconds` comes from
    CloudWatch alone (`oldest_reason` says why it is missing). `net_rate` is what comes in less what goes out, messages
    a second, from our own looks. `extra` holds the other attributes as SQS names them.
    """

    name: str
    url: str
    arn: str = ""
    type: QueueType = "standard"
    visible: int | None = None
    in_flight: int | None = None
    delayed: int | None = None
    oldest_seconds: float | None = None
    oldest_reason: str = ""
    dlq: str | None = None
    dlq_arn: str | None = None
    dlq_count: int | None = None
    dlq_of: tuple[str, ...] = ()
    max_receive: int | None = None
    retention_seconds: int | None = None
    visibility_timeout: int | None = None
    extra: tuple[tuple[str, str], ...] = ()
    trend: tuple[float, ...] = ()
    net_rate: float | None = None
    seen_at: float | None = None
    status: Status = Status.UNKNOWN
    reason: str = ""
    problem: Problem | None = None

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue."""
        return self.type == "fifo"


class SqsSnapshot(Struct, frozen=True, gc=False):
    """The SQS side at one moment; `requests` is what this look cost, `…_so_far` (at AWS's prices) the whole run."""

    at: float
    region: str | None = None
    endpoint_url: str | None = None
    queues: tuple[Queue, ...] = ()
    problems: tuple[Problem, ...] = ()
    requests: int = 0
    complete: bool = True
    requests_so_far: int = 0
    dollars_so_far: float | None = None


# ---------------------------------------------------------------- messages


class Message(Struct, frozen=True, gc=False):
    """One Kafka record or SQS message, raw.

    `target` is `kafka:TOPIC` or `sqs:QUEUE`; `id` is `TOPIC/PARTITION/OFFSET` or the SQS MessageId. `headers` are
    Kafka's; `attributes` are SQS message attributes (Binary ones as bytes) and, under their own names, SQS system
    attributes. `error` is the failure as far as headers or attributes tell it.
    """

    target: str
    id: str
    partition: int | None = None
    offset: int | None = None
    timestamp: float | None = None
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    attributes: tuple[tuple[str, str | bytes], ...] = ()
    receive_count: int | None = None
    group_id: str | None = None
    error: str | None = None


class Cluster(Struct, frozen=True, gc=False):
    """Dead letters that failed the same way: `id` is stable for the same label, times are epoch seconds."""

    id: str
    label: str
    count: int
    first: float | None = None
    last: float | None = None
    example: Message | None = None


class DeadLetters(Struct, frozen=True, gc=False):
    """A dead-letter queue or topic. `source` names what it serves (queue names, or the original topic). `count` is
    approximate for a queue and the number of offsets held for a topic; `done` of them were redriven (None: not looked).
    """

    target: str
    kind: Literal["queue", "topic"]
    count: int | None = None
    oldest_seconds: float | None = None
    expires_seconds: float | None = None
    source: tuple[str, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    status: Status = Status.UNKNOWN
    reason: str = ""
    done: int | None = None


# ---------------------------------------------------------------- attention, jobs


class Attention(Struct, frozen=True, gc=False):
    """One thing that is wrong now, with its reason in words and the actions that help (ids of the action registry)."""

    status: Status
    side: Literal["kafka", "sqs"]
    kind: Literal["group", "topic", "queue", "broker", "connection"]
    name: str
    where: str
    reason: str
    actions: tuple[str, ...] = ("open",)

    @property
    def severity(self) -> Severity:
        """How loud it is."""
        return self.status.severity


JOB_GROUP_PREFIX = "logq-job-"  # consumer groups that hold the progress of jobs: reserved, never a user's group

JobKind = Literal["reset", "redrive", "replay", "purge", "undo"]
JobState = Literal["planned", "running", "paused", "done", "partly", "failed", "cancelled", "interrupted"]


class Job(Struct, frozen=True, gc=False):
    """One change in the journal. `interrupted` is a job whose process has gone: `resume` finishes it."""

    id: str
    kind: JobKind
    source: str
    target: str
    state: JobState
    total: int | None = None
    done: int = 0
    failed: int = 0
    left: int | None = None
    started: float | None = None
    finished: float | None = None
    note: str = ""
    command: str = ""
    undoable: bool = False


class Progress(Struct, frozen=True, gc=False):
    """How far a job is: `rate` in messages a second, `note` one line, `waits` who is waited for first, and where."""

    job: str
    done: int
    failed: int = 0
    total: int | None = None
    rate: float | None = None
    note: str = ""
    waits: tuple[tuple[str, str], ...] = ()


class Outcome(Struct, frozen=True, gc=False):
    """How a change ended. `lines` say for people what happened and how to resume, undo or prove it."""

    job: str
    state: JobState
    done: int
    failed: int = 0
    left: int | None = None
    lines: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
