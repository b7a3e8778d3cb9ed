"""Look without touching: both sides as frozen snapshots with health filled in. Joins no group, commits nothing.

Only `peek`, and `dead_letter` of a queue, receive from a queue: under the peek budget, because they were asked to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from console import health
from console.errors import LogqError, NotFound
from console.kafka.collector import held_back
from console.kafka.deadletter import is_dead_letter_topic, origin_by_name
from console.model import (
    Attention,
    DeadLetters,
    Group,
    GroupPartition,
    KafkaSnapshot,
    Message,
    Problem,
    Queue,
    SqsSnapshot,
    Status,
    Topic,
)
from console.ops import targets
from console.ops.leftover import cleared
from console.ops.peek import REOPENED_S as REOPENED_S
from console.ops.peek import budget as budget
from console.ops.peek import kept as kept
from console.ops.peek import peek as peek

if TYPE_CHECKING:
    from console.ops.clusters import Facet
    from console.ops.session import Session
    from console.sqs.peek import Peek

DEAD_LETTER_PAGE = 200
"""How many dead letters are read at most when one place is opened."""


class DeadLetterView(Struct, frozen=True):
    """One dead-letter place opened: what it is, the messages read (newest first), and how much of it that is.

    `whole` is True only when every message that was there has been seen; `note` says in words what was read. `done`
    holds the ids of those a redrive of this journal has sent already (of a topic: its records stay where they are).
    """

    letters: DeadLetters
    messages: tuple[Message, ...]
    whole: bool
    note: str
    done: frozenset[str] = frozenset()


def kafka(
    session: Session,
    timeout: float | None = None,
    on_partial: Callable[[KafkaSnapshot], None] | None = None,
    once: bool = False,
) -> KafkaSnapshot:
    """One look at the Kafka side, noted in the session's history, with status, rates, trend and time behind.

    `on_partial` gets unfinished pictures as they fill in. `session.groups_in_view` says which groups have to be of now;
    the others may be of one of the last few looks, and say so in `seen_at`. `once`: no other look will follow, so there
    is nothing to note. Raises `Unreachable` when nothing at all could be seen within `timeout` seconds, `UsageError`
    when there is no Kafka side.
    """
    client = session.require_kafka()
    partial: Callable[[KafkaSnapshot], None] | None = None
    if on_partial is not None:

        def partial(seen: KafkaSnapshot) -> None:
            on_partial(_judged(session, seen))

    seen = client.snapshot(timeout=timeout, on_partial=partial, in_view=session.groups_in_view)
    if not once:
        session.history.note_kafka(seen)
    _note_redriven(session, seen.topics, seen.cluster_id)
    judged = _judged(session, seen)
    at_rest = {} if once else cleared(session, judged.groups)
    if not at_rest:
        return judged
    session.judged |= {name: (session.judged[name][0], group) for name, group in at_rest.items()}
    return structs.replace(judged, groups=tuple(at_rest.get(g.name, g) for g in judged.groups))


def sqs(session: Session, timeout: float | None = None, watched: Collection[str] | None = None) -> SqsSnapshot:
    """One look at the SQS side, noted in the history, with status and trend. Raises as `kafka`, and `Denied`.

    `watched` are the queues on the screen, where the look is one of many: see `SqsClient.snapshot`.
    """
    seen = session.sqs_side().snapshot(timeout=timeout, watched=watched)
    session.history.note_sqs(seen)
    return structs.replace(seen, queues=tuple(health.queue_health(q, session.history) for q in seen.queues))


def _judged(session: Session, seen: KafkaSnapshot) -> KafkaSnapshot:
    history, before = session.history, session.judged
    patterns = session.settings.dead_letter_topics
    with held_back():
        groups = []
        for g in seen.groups:
            # What was not looked at this time was judged when it was.
            done = before.get(g.name) if g.seen_at != seen.at else None
            judged = done[1] if done and done[0] is g else health.group_health(g, history, g.seen_at or seen.at)
            groups.append((g, judged))
        topics = [_topic(t, patterns, session, t.seen_at or seen.at) for t in seen.topics]
        session.judged = {g.name: (g, judged) for g, judged in groups}
        return structs.replace(seen, groups=tuple(judged for _, judged in groups), topics=tuple(topics))


def _topic(topic: Topic, patterns: Sequence[str], session: Session, now: float) -> Topic:
    rate = session.history.topic_rate(topic.name, (p.partition for p in topic.partitions), now)
    dead = _dead(session, topic, patterns)
    known = session.redriven.get(topic.name) if dead else None
    done = known.held(topic) if known is not None else None
    return structs.replace(topic, dead_letter=dead, produced_rate=rate, redriven=done)


def _dead(session: Session, t: Topic, patterns: Sequence[str]) -> bool:
    return not t.internal and (t.name in session.dead_topics or is_dead_letter_topic(t.name, patterns))


def _note_redriven(session: Session, seen: Sequence[Topic], cluster_id: str | None) -> None:
    """Look up in the journal what was redriven of the dead-letter topics that hold records."""
    if not (session.settings.state_dir / "journal.db").exists():
        return  # nothing was ever changed from here; a look makes no journal
    patterns = session.settings.dead_letter_topics
    dead = [t for t in seen if t.records and _dead(session, t, patterns)]
    if not dead:
        return
    from console.ops.redrive_marks import count_redriven, place_of

    try:
        session.redriven = count_redriven(session, dead, cluster_id or place_of(session))
    except LogqError:
        # A journal that cannot be read says so where jobs are listed; the picture of the cluster stands without it.
        session.redriven = {}


def group(session: Session, name: str, timeout: float | None = None) -> Group:
    """One group with its members, every partition of its topics, and the record times at its commits ("=").

    Raises `NotFound` for a name the cluster does not have.
    """
    client = session.require_kafka()
    seen = client.group(name, timeout=timeout)
    now = time.time()
    session.history.note_kafka(KafkaSnapshot(at=now, groups=(seen,)))
    positions = {
        (p.topic, p.partition): p.committed
        for p in seen.partitions or ()
        if p.committed is not None and p.lag and not p.lost
    }
    spans = client.record_spans(positions, timeout=timeout) if positions else {}
    partitions = tuple(_timed(session, p, spans.get((p.topic, p.partition)), now) for p in seen.partitions or ())
    timed = structs.replace(seen, partitions=partitions if seen.partitions is not None else None)
    judged = health.group_health(timed, session.history, now)
    return cleared(session, (judged,)).get(name, judged)


def _timed(session: Session, p: GroupPartition, span: tuple[float, float] | None, now: float) -> GroupPartition:
    """The partition with its time behind from the record at its commit.

    In a compressed batch only the first and the last record's times are known: where they are apart, the group is
    behind by the later one at least, unless our own looks tell it better.
    """
    from console.kafka.times import NEAR_ENOUGH

    if span is None:
        return p
    earliest, latest = span
    if latest - earliest <= NEAR_ENOUGH:
        return structs.replace(p, lag_seconds=max(0.0, now - latest), lag_seconds_source="record")
    if session.history.behind(p, now)[1] == "history":
        return p
    return structs.replace(p, lag_seconds=max(0.0, now - latest), lag_seconds_source="lower_bound")


def topic(session: Session, name: str, timeout: float | None = None) -> Topic:
    """One topic with its configuration. Raises `NotFound`."""
    return _topic(
        session.require_kafka().topic(name, timeout=timeout), session.settings.dead_letter_topics, session, time.time()
    )


def topics(session: Session, timeout: float | None = None) -> tuple[Topic, ...]:
    """All topics, dead-letter topics flagged."""
    now = time.time()
    patterns = session.settings.dead_letter_topics
    return tuple(_topic(t, patterns, session, now) for t in session.require_kafka().topics(timeout=timeout))


def readers(
    session: Session, topic: str, timeout: float | None = None
) -> tuple[tuple[Group, ...] | None, tuple[Problem, ...]]:
    """The groups that have commits or members on a topic, each with its partitions there alone, the worst first.

    None when the cluster's groups could not be seen.
    """
    try:
        seen = kafka(session, timeout)
    except LogqError as error:
        return None, (Problem("groups", "UNKNOWN", f"which groups read it could not be seen: {error}"),)
    found = [
        structs.replace(g, partitions=tuple(p for p in g.partitions or () if p.topic == topic))
        for g in seen.groups
        if topic in g.topics
    ]
    return tuple(sorted(found, key=lambda g: (-g.status.rank, -(g.lag or 0), g.name))), seen.problems


def queue(session: Session, name: str, timeout: float | None = None) -> Queue:
    """One queue with its attributes and DLQ relations. Raises `NotFound`."""
    name = name.removeprefix("sqs:")
    found = session.require_sqs(name).queue(name, timeout=timeout)
    session.history.note_sqs(SqsSnapshot(at=time.time(), queues=(found,)))
    return health.queue_health(found, session.history)


def attention(kafka_side: KafkaSnapshot | None, sqs_side: SqsSnapshot | None) -> tuple[Attention, ...]:
    """What is wrong now on both sides, the worst first."""
    return health.attention(kafka_side, sqs_side)


def dead_letters(kafka_side: KafkaSnapshot | None, sqs_side: SqsSnapshot | None) -> tuple[DeadLetters, ...]:
    """Every dead-letter queue and topic seen in two snapshots, the fullest first. Reads no message."""
    found = [_queue_letters(q) for q in (sqs_side.queues if sqs_side else ()) if health.is_dead_letter_queue(q)]
    if kafka_side is not None:
        names = {t.name for t in kafka_side.topics}
        for t in kafka_side.topics:
            if t.dead_letter:
                origin = origin_by_name(t.name, names)
                found.append(structs.replace(_topic_letters(t), source=(origin,) if origin else ()))
    return tuple(sorted(found, key=lambda d: (-(d.count or 0), d.target)))


def _queue_letters(q: Queue) -> DeadLetters:
    held = None if q.visible is None else q.visible + (q.in_flight or 0) + (q.delayed or 0)
    expires = None
    if q.oldest_seconds is not None and q.retention_seconds is not None:
        expires = max(0.0, q.retention_seconds - q.oldest_seconds)
    return DeadLetters(
        target=f"sqs:{q.name}",
        kind="queue",
        count=held,
        oldest_seconds=q.oldest_seconds,
        expires_seconds=expires,
        source=q.dlq_of,
        status=q.status,
        reason=q.reason,
    )


def _topic_letters(t: Topic) -> DeadLetters:
    held = t.records
    left = None if held is None else max(0, held - (t.redriven or 0))
    status = Status.UNKNOWN if left is None else Status.DEAD_LETTERS if left else Status.OK
    return DeadLetters(
        target=f"kafka:{t.name}",
        kind="topic",
        count=held,
        status=status,
        reason=health.dead_letters_of(t),
        done=t.redriven,
    )


def dead_letter(
    session: Session,
    target: str,
    limit: int = DEAD_LETTER_PAGE,
    force: bool = False,
    timeout: float | None = None,
    *,
    where: str | None = None,
    by: Sequence[Facet] = ("error",),
    again: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> DeadLetterView:
    """One dead-letter queue or topic opened: its messages (newest first, at most `limit`) and their failure clusters.

    A queue is swept under a lease and released again (without `again` the last look of this run is shown again); a
    topic is read without joining a group. `where` is CEL, `by` what the clusters go by. Raises `NotFound` for a name
    neither side has, `Refused` by the peek budget when the DLQ has a redrive policy of its own, `UsageError` for a
    `where` that is no CEL.
    """
    found = resolve(session, target, timeout)
    if found.side == "sqs":
        from console.ops.redrive_bounce import noticed
        from console.ops.redrive_filter import Where

        fits = None if where is None else Where(where)
        letters = _queue_letters(queue(session, found.name, timeout))
        seen = peek(session, found.name, limit, force, fits, again=again, timeout=timeout, on_progress=on_progress)
        view = _queue_view(letters, seen, by)
        back = noticed(session, found.name, seen.messages)
        return structs.replace(view, note=f"{view.note}; {back}") if back else view
    view = _topic_view(session, found.name, limit, timeout)
    return view if where is None and tuple(by) == ("error",) else _narrowed(view, where, by)


def _narrowed(view: DeadLetterView, where: str | None, by: Sequence[Facet]) -> DeadLetterView:
    """What of a topic's records fits, and its clusters; how many the topic holds stays what it is."""
    from console.ops.browse_filter import RecordWhere
    from console.ops.clusters import cluster

    messages, note = view.messages, view.note
    if where is not None:
        fits = RecordWhere(where)
        messages = tuple(m for m in messages if fits.message(m) is True)
        note = f"{len(messages):,} of those fit: {note}" + (f"; {fits.note}" if fits.note else "")
    return structs.replace(
        view, letters=structs.replace(view.letters, clusters=cluster(messages, by)), messages=messages, note=note
    )


def resolve(session: Session, target: str, timeout: float | None = None) -> targets.Target:
    """The one topic or queue a target names, asked for on both sides. Raises as `targets.resolve`."""
    side, name = targets.parse(target)
    if side is not None:
        return targets.Target(side, name)
    topic_names = {t.name for t in topics(session, timeout)} if session.settings.kafka else set()
    queue_names: set[str] = set()
    if session.settings.sqs:
        try:
            queue_names = {session.require_sqs(name).queue(name, timeout=timeout).name}
        except NotFound:
            queue_names = set()
    return targets.resolve(target, topic_names, queue_names)


def _queue_view(letters: DeadLetters, seen: Peek, by: Sequence[Facet]) -> DeadLetterView:
    from console.ops.clusters import cluster

    messages = tuple(sorted(seen.messages, key=lambda m: m.timestamp or 0.0, reverse=True))
    times = [m.timestamp for m in messages if m.timestamp is not None]
    if letters.oldest_seconds is None and seen.whole and times:
        letters = structs.replace(letters, oldest_seconds=max(0.0, time.time() - min(times)))
    return DeadLetterView(structs.replace(letters, clusters=cluster(messages, by)), messages, seen.whole, seen.note)


def _topic_view(session: Session, name: str, limit: int, timeout: float | None) -> DeadLetterView:
    from console.kafka.deadletter import failure
    from console.kafka.read import read_last
    from console.ops.clusters import cluster
    from console.ops.redrive_marks import marks, place_of

    seen = topic(session, name, timeout)
    settings = session.settings.kafka
    assert settings is not None  # topic() required the Kafka side
    read = read_last(settings, name, limit, timeout=timeout or session.settings.timeout)
    messages = []
    sources: set[str] = set()
    for message in reversed(read):
        why = failure(message.headers)
        if why is not None:
            if why.original_topic:
                sources.add(why.original_topic)
            error = ": ".join(part for part in (why.exception, why.message) if part)
            message = structs.replace(message, error=message.error or error or None)
        messages.append(message)
    held = seen.records
    whole = held is not None and len(messages) >= held
    note = f"the last {len(messages):,} of {held:,}" if held is not None and not whole else "all of it"
    known = marks(session.journal, name, seen.id, place_of(session))
    done = frozenset(m.id for m in messages if known.is_done(m))
    # Another record at a place that was redriven: the topic was made again, and only what was read can be told.
    other = any(m.id in known.done and m.id not in done for m in messages)
    letters = structs.replace(
        _topic_letters(seen),
        done=len(done) if other else _done(seen, known.done),
        source=tuple(sorted(sources)),
        oldest_seconds=_oldest(session, seen, timeout),
        clusters=cluster(messages),
    )
    if letters.done:
        note += f"; {letters.done:,} of {held or 0:,} redriven already"
    return DeadLetterView(letters, tuple(messages), whole, f"{note}; no group joined", done)


def _done(seen: Topic, done: Iterable[str]) -> int:
    """How many of the records still in a topic the journal says were redriven, by their places."""
    held = {p.partition: (p.start or 0, p.end or 0) for p in seen.partitions}
    places = (key.rsplit("/", 2)[1:] for key in done)
    return sum(start <= int(o) < end for p, o in places for start, end in [held.get(int(p), (0, 0))])


def _oldest(session: Session, seen: Topic, timeout: float | None) -> float | None:
    """The age of the oldest record still in a topic: that of the record at each partition's log start. Seconds."""
    starts = {
        (seen.name, p.partition): p.start
        for p in seen.partitions
        if p.start is not None and p.end is not None and p.end > p.start
    }
    if not starts:
        return None
    times = session.require_kafka().record_times(starts, timeout=timeout)
    known = [at for at in times.values() if at is not None]
    return max(0.0, time.time() - min(known)) if len(known) == len(starts) else None
