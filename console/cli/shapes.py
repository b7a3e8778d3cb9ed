"""What was seen -> the JSON fields of the contract: raw values, RFC 3339 times, seconds, bytes, null for unknown.

The field names are what scripts hold on to: adding one is free, renaming or dropping one is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from console import upkeep
from console.health import eta
from console.model import (
    Attention,
    Cluster,
    DeadLetters,
    Group,
    GroupPartition,
    Job,
    KafkaSnapshot,
    Member,
    Message,
    Outcome,
    Problem,
    Queue,
    Topic,
    TopicPartition,
)
from console.model_check import Check
from console.model_cluster import BrokerLoad, OpenTransaction, TopicView
from console.ops.lines import message as message
from console.ops.lines import raw as raw
from console.ops.lines import when as when

if TYPE_CHECKING:
    from console.ops.clusters import Spread


def silent(seen: KafkaSnapshot) -> bool:
    """Whether no broker told anything but who there is: then there being no groups is not known."""
    return bool(seen.brokers) and all(b.reachable is False for b in seen.brokers) and not seen.groups


def _fields(names: str) -> tuple[str, ...]:
    return tuple(names.split())


GROUP = _fields(
    "group type state status reason members lag lag_seconds lag_seconds_source lost no_commit topics"
    " produced_rate consumed_rate rate_seconds eta_seconds partitions"
)
PARTITION = _fields(
    "topic partition leader start committed end stable_end lag lost lag_seconds member client_id host status reason"
)
TOPIC = _fields("topic partitions replication records internal dead_letter reason offline under_replicated")
TOPIC_PARTITION = _fields(
    "topic partition leader replicas isr offline start end stable_end reason under_replicated size oldest"
)
TRANSACTION = _fields(
    "producer_id epoch transactional_id state since started last_write timeout_seconds coordinator hanging partitions"
    " reason remedy"
)
BROKER = _fields(
    "broker host port rack controller reachable leads replicas out_of_sync under_replicated groups size total free"
    " reason"
)
QUEUE = _fields(
    "name url type visible in_flight delayed oldest_seconds dlq dlq_of max_receive retention_seconds status reason "
    "oldest_reason net_per_second arn dlq_arn dlq_count redrive_allow visibility_timeout_seconds delay_seconds "
    "receive_wait_seconds max_message_bytes encryption kms_key content_deduplication deduplication_scope "
    "throughput_limit high_throughput seen_at"
)
DLQ = _fields("target kind count oldest_seconds expires_seconds source done clusters")
MESSAGE = _fields("target id partition offset timestamp key value headers attributes receive_count group_id error")
JOB = _fields("job kind source target state done failed left started finished")
ATTENTION = _fields("status side kind name where reason")
CHECK = _fields("check ok message remedy")


def problem(p: Problem) -> dict[str, Any]:
    """One problem of the envelope."""
    return {"where": raw(p.where), "code": raw(p.code), "message": raw(p.message)}


def group(g: Group) -> dict[str, Any]:
    """A group with its partitions nested, so that one call answers for all groups."""
    seen = g.partitions is not None
    return {
        "group": raw(g.name),
        "type": g.type,
        "state": g.state or None,
        "status": g.status.value,
        "reason": raw(g.reason),
        "members": None if g.members is None else len(g.members),
        "lag": g.lag,
        "lag_seconds": g.lag_seconds,
        "lag_seconds_source": g.lag_seconds_source,
        "lost": g.lost,
        "no_commit": g.no_commit if seen else None,
        "topics": [raw(t) for t in g.topics] if seen else None,
        "produced_rate": g.produced_rate,
        "consumed_rate": g.consumed_rate,
        "rate_seconds": g.rate_seconds,
        "eta_seconds": eta(g),
        "partitions": [partition(p) for p in g.partitions] if g.partitions is not None else None,
    }


def partition(p: GroupPartition) -> dict[str, Any]:
    """One partition as a group reads it."""
    return {
        "topic": raw(p.topic),
        "partition": p.partition,
        "leader": p.leader,
        "start": p.start,
        "committed": p.committed,
        "end": p.end,
        "stable_end": p.stable_end,
        "lag": p.lag,
        "lost": p.lost,
        "lag_seconds": p.lag_seconds,
        "member": raw(p.member),
        "client_id": raw(p.client_id),
        "host": raw(p.host),
        "status": p.status,
        "reason": raw(p.reason or (p.problem.message if p.problem else "")),
    }


def member(m: Member) -> dict[str, Any]:
    """One member of a group and what is assigned to it."""
    return {
        "member": raw(m.id),
        "client_id": raw(m.client_id),
        "host": raw(m.host),
        "instance_id": raw(m.instance_id),
        "assignment": [{"topic": raw(topic), "partitions": list(numbers)} for topic, numbers in m.assignment],
    }


def topic(t: Topic) -> dict[str, Any]:
    """A topic in one line; `records` is the offsets held, an upper bound where compacted."""
    replicas = upkeep.replication(t.partitions)
    return {
        "topic": raw(t.name),
        "partitions": len(t.partitions) or None,
        "replication": max((len(p.replicas) for p in t.partitions), default=None) or None,
        "records": t.records if t.partitions else None,
        "internal": t.internal,
        "dead_letter": t.dead_letter,
        "reason": raw(t.problem.message if t.problem else replicas.reason),
        "offline": replicas.offline if t.partitions else None,
        "under_replicated": replicas.under_replicated if t.partitions else None,
    }


def topic_partition(name: str, p: TopicPartition, view: TopicView | None = None) -> dict[str, Any]:
    """One partition of a topic: where it lives, how far it reaches; size (bytes) and oldest record from the view."""
    return {
        "topic": raw(name),
        "partition": p.partition,
        "leader": p.leader,
        "replicas": list(p.replicas),
        "isr": list(p.isr),
        "offline": list(p.offline),
        "start": p.start,
        "end": p.end,
        "stable_end": p.stable_end,
        "reason": raw(p.problem.message if p.problem else upkeep.replication((p,)).reason),
        "under_replicated": upkeep.is_under_replicated(p),
        "size": dict(view.sizes).get(p.partition) if view else None,
        "oldest": when(dict(view.oldest).get(p.partition)) if view else None,
    }


def transaction(t: OpenTransaction, now: float, bootstrap: str) -> dict[str, Any]:
    """A transaction that holds a last stable offset back, with what it means and what ends it in words."""
    return {
        "producer_id": t.producer_id,
        "epoch": t.epoch,
        "transactional_id": raw(t.transactional_id),
        "state": raw(t.state) or None,
        "since": when(t.since),
        "started": when(t.started),
        "last_write": when(t.last_write),
        "timeout_seconds": t.timeout,
        "coordinator": t.coordinator,
        "hanging": t.hanging,
        "partitions": [
            {"topic": raw(h.topic), "partition": h.partition, "first_offset": h.first_offset} for h in t.partitions
        ],
        "reason": raw(upkeep.open_words(t, now)),
        "remedy": raw(upkeep.remedy(t, now, bootstrap)),
    }


def broker(b: BrokerLoad) -> dict[str, Any]:
    """A broker and what it carries; sizes in bytes."""
    return {
        "broker": b.broker.id,
        "host": raw(b.broker.host) or None,
        "port": b.broker.port or None,
        "rack": raw(b.broker.rack),
        "controller": b.controller,
        "reachable": b.broker.reachable,
        "leads": b.leads,
        "replicas": b.replicas,
        "out_of_sync": b.behind,
        "under_replicated": b.under_replicated,
        "groups": b.groups,
        "size": b.size,
        "total": b.total,
        "free": b.free,
        "reason": raw(upkeep.broker_trouble(b)),
    }


def queue(q: Queue) -> dict[str, Any]:
    """A queue with its approximate counts and what its attributes mean."""
    from console.ops import queue_facts

    return {
        "name": raw(q.name),
        "url": raw(q.url),
        "type": q.type,
        "visible": q.visible,
        "in_flight": q.in_flight,
        "delayed": q.delayed,
        "oldest_seconds": q.oldest_seconds,
        "dlq": raw(q.dlq),
        "dlq_of": [raw(name) for name in q.dlq_of],
        "max_receive": q.max_receive,
        "retention_seconds": q.retention_seconds,
        "status": q.status.value,
        "reason": raw(q.reason or (q.problem.message if q.problem else "")),
        "oldest_reason": raw(q.oldest_reason) or None,
        "net_per_second": q.net_rate,
        "arn": raw(q.arn) or None,
        "dlq_arn": raw(q.dlq_arn),
        "dlq_count": q.dlq_count,
        "redrive_allow": queue_facts.redrive_allow(q),
        "visibility_timeout_seconds": q.visibility_timeout,
        "delay_seconds": queue_facts.number(q, "DelaySeconds"),
        "receive_wait_seconds": queue_facts.number(q, "ReceiveMessageWaitTimeSeconds"),
        "max_message_bytes": queue_facts.number(q, "MaximumMessageSize"),
        "encryption": queue_facts.encryption(q),
        "kms_key": raw(queue_facts.attribute(q, "KmsMasterKeyId")) or None,
        "content_deduplication": _yes(queue_facts.attribute(q, "ContentBasedDeduplication")),
        "deduplication_scope": raw(queue_facts.attribute(q, "DeduplicationScope")),
        "throughput_limit": raw(queue_facts.attribute(q, "FifoThroughputLimit")),
        "high_throughput": queue_facts.high_throughput(q),
        "seen_at": when(q.seen_at),
    }


def _yes(value: str | None) -> bool | None:
    return None if value is None else value.lower() == "true"


def dlq(d: DeadLetters, clusters: bool = False) -> dict[str, Any]:
    """Dead letters; `clusters` is null where nobody looked inside."""
    return {
        "target": raw(d.target),
        "kind": d.kind,
        "count": d.count,
        "oldest_seconds": d.oldest_seconds,
        "expires_seconds": d.expires_seconds,
        "source": [raw(name) for name in d.source],
        "done": d.done,
        "clusters": [cluster(c) for c in d.clusters] if clusters else None,
    }


def cluster(c: Cluster) -> dict[str, Any]:
    """Dead letters that failed the same way."""
    return {
        "id": c.id,
        "label": raw(c.label),
        "count": c.count,
        "first": when(c.first),
        "last": when(c.last),
        "example": message(c.example) if c.example else None,
    }


def spread(s: Spread) -> dict[str, Any]:
    """How the messages of a cluster spread over sources, shapes and hours: lists of `name count`."""
    return {
        name: [{"name": raw(what), "count": count} for what, count in counted]
        for name, counted in (("sources", s.sources), ("shapes", s.shapes), ("hours", s.hours))
    }


def opened(m: Message) -> dict[str, Any]:
    """A message with what lies inside its value: `unwrapped` is null when the value is just what it is."""
    from console.decode.unwrap import unwrap

    inside = unwrap(m.value)
    if inside is None:
        return {**message(m), "unwrapped": None}
    layers = [{"name": raw(layer.name), "note": raw(layer.note)} for layer in inside.layers]
    return {**message(m), "unwrapped": {"layers": layers, "value": raw(inside.value), "cut": inside.cut}}


def job(j: Job) -> dict[str, Any]:
    """One change in the journal."""
    return {
        "job": j.id,
        "kind": j.kind,
        "source": raw(j.source),
        "target": raw(j.target),
        "state": j.state,
        "done": j.done,
        "failed": j.failed,
        "left": j.left,
        "started": when(j.started),
        "finished": when(j.finished),
    }


def attention(a: Attention) -> dict[str, Any]:
    """One thing that is wrong now."""
    return {
        "status": a.status.value,
        "side": a.side,
        "kind": a.kind,
        "name": raw(a.name),
        "where": raw(a.where),
        "reason": raw(a.reason),
    }


def check(c: Check) -> dict[str, Any]:
    """One line of the doctor."""
    return {"check": raw(c.name), "ok": c.ok, "message": raw(c.message), "remedy": raw(c.remedy)}


def outcome(o: Outcome) -> dict[str, Any]:
    """How a change ended."""
    return {
        "job": o.job,
        "state": o.state,
        "done": o.done,
        "failed": o.failed,
        "left": o.left,
        "lines": [raw(line) for line in o.lines],
        "problems": problems(o.problems),
    }


def problems(items: Iterable[Problem]) -> list[dict[str, Any]]:
    """The envelope's list."""
    return [problem(p) for p in items]
