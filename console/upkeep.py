"""Rules about the cluster itself, in words: replicas, what retention means for a replay, open transactions.

Pure, as the rules of `console.health`: nothing here asks a server or reads a clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from msgspec import Struct

from console.model import Severity, Topic, TopicPartition
from console.model_cluster import BrokerLoad, OpenTransaction, TopicView
from console.text import DASH, count, duration, plural, size, utc

NAMED = 3
"""How many partitions are named one by one; more are counted."""


LONG_OPEN = 60.0
"""A transaction of unknown timeout that is open for longer than this (seconds) is worth a warning."""


def held(p: TopicPartition) -> int | None:
    """How many offsets a partition holds, None when unknown."""
    return None if p.start is None or p.end is None else p.end - p.start


def is_offline(p: TopicPartition) -> bool:
    """Whether a partition has no leader: nobody can read or write it."""
    return p.leader is None


def is_under_replicated(p: TopicPartition) -> bool:
    """Whether a partition has fewer replicas in sync than it should (offline or not)."""
    return len(p.isr) < len(p.replicas)


class Replication(Struct, frozen=True):
    """What is wrong with a topic's replicas: numbers of partitions, and the brokers whose replicas are not in sync."""

    partitions: int
    offline: int = 0
    under_replicated: int = 0
    brokers: tuple[int, ...] = ()

    @property
    def severity(self) -> Severity:
        """Offline is bad, under-replicated a warning."""
        return Severity.BAD if self.offline else Severity.WARN if self.under_replicated else Severity.OK

    @property
    def reason(self) -> str:
        """In words; "" when all is well."""
        parts = []
        if self.offline:
            parts.append(f"{plural(self.offline, 'partition')} of {self.partitions} without a leader")
        if self.under_replicated:
            who = ", ".join(map(str, self.brokers))
            out = f" (out of sync: broker {who})" if self.brokers else ""
            parts.append(f"{plural(self.under_replicated, 'partition')} under-replicated{out}")
        return ", ".join(parts)


def replication(partitions: Iterable[TopicPartition]) -> Replication:
    """How the replicas of some partitions are; an offline partition is not counted as under-replicated as well."""
    found = list(partitions)
    short = [p for p in found if is_under_replicated(p) and not is_offline(p)]
    behind = sorted({broker for p in short for broker in p.replicas if broker not in p.isr})
    return Replication(len(found), sum(map(is_offline, found)), len(short), tuple(behind))


def out_of_sync(topics: Iterable[Topic]) -> Mapping[int, tuple[int, int]]:
    """By broker whose replicas are not in sync: how many partitions, and of how many topics."""
    partitions: dict[int, int] = defaultdict(int)
    names: dict[int, set[str]] = defaultdict(set)
    for topic in topics:
        for p in topic.partitions:
            for broker in p.replicas:
                if broker not in p.isr:
                    partitions[broker] += 1
                    names[broker].add(topic.name)
    return {broker: (number, len(names[broker])) for broker, number in partitions.items()}


# ---------------------------------------------------------------- what can be replayed


def _setting(config: Mapping[str, str], key: str) -> int | None:
    value = config.get(key, "")
    return int(value) if value.lstrip("-").isdigit() else None


def retention(config: Mapping[str, str]) -> str:
    """How long records are kept, in words; "" when the configuration is not known."""
    if "cleanup.policy" not in config:
        return ""
    policies = {word.strip() for word in config["cleanup.policy"].split(",")} - {""}
    said = []
    if "delete" in policies:
        age, most = _setting(config, "retention.ms"), _setting(config, "retention.bytes")
        limits = [duration(age / 1000)] if age is not None and age >= 0 else []
        limits += [f"{size(most)} a partition"] if most is not None and most >= 0 else []
        said.append(f"kept {' or '.join(limits)}" if limits else "kept for ever")
    if "compact" in policies:
        said.append("compacted: the last record of each key stays")
    return ", ".join(said) or "kept for ever"


def replayable(view: TopicView) -> str:
    """From how far back a replay can begin and what retention does to that, in words; "" when it is not known."""
    config = dict(view.topic.config)
    oldest = view.oldest_at
    kept = retention(config)
    if view.topic.records == 0:
        return f"nothing to replay now ({kept})" if kept else "nothing to replay now"
    if oldest is None:
        return kept
    age = max(0.0, view.at - oldest)
    said = f"oldest replayable: {duration(age)} ago ({utc(oldest)})"
    policies = config.get("cleanup.policy", "")
    if "compact" in policies:
        said += "; compacted: older values of a key may be gone already"
    limit = _setting(config, "retention.ms")
    if "delete" in policies:
        if limit is None or limit < 0:
            said += f"; {kept}"
        elif age > limit / 1000:
            said += f"; past its retention of {duration(limit / 1000)}: goes when its segment is closed"
        else:
            said += f"; kept {duration(limit / 1000)}: the next go in ~{duration(limit / 1000 - age)}"
    return said


# ---------------------------------------------------------------- open transactions


def who(t: OpenTransaction) -> str:
    """Whose transaction it is."""
    number = f"producer {t.producer_id}, epoch {t.epoch}"
    return f"{t.transactional_id} ({number})" if t.transactional_id is not None else number


def where(t: OpenTransaction) -> str:
    """On which partitions, with the first offset where they are few."""
    if len(t.partitions) <= NAMED:
        return ", ".join(f"{h.topic}/{h.partition} from {count(h.first_offset)}" for h in t.partitions)
    topics: dict[str, int] = defaultdict(int)
    for h in t.partitions:
        topics[h.topic] += 1
    return ", ".join(f"{plural(number, 'partition')} of {topic}" for topic, number in sorted(topics.items()))


def open_words(t: OpenTransaction, now: float) -> str:
    """Who holds a last stable offset back, where and since when: one line."""
    since = t.since
    how_long = f" for {duration(max(0.0, now - since))} (since {utc(since)})" if since is not None else ""
    kind = "hanging transaction" if t.hanging else "open transaction"
    return f"{kind} of {who(t)}{how_long} on {where(t)}"


def is_trouble(t: OpenTransaction, now: float, patience: float) -> bool:
    """Whether somebody has to look at it: it hangs, is past its timeout, or has been open for long (seconds)."""
    if t.hanging:
        return True
    since = t.since
    return since is not None and now - since > (t.timeout if t.timeout is not None else patience)


def remedy(t: OpenTransaction, now: float, bootstrap: str) -> str:
    """What ends it, in one line: nothing to do, whom to look at, or the command of Apache's tools."""
    if t.hanging:
        first = t.partitions[0]
        more = f"; the same for {plural(len(t.partitions) - 1, 'more partition')}" if len(t.partitions) > 1 else ""
        at = f"--topic {first.topic} --partition {first.partition} --start-offset {first.first_offset}"
        return (
            "no coordinator has it open, so nothing will end it: "
            f"kafka-transactions.sh --bootstrap-server {bootstrap} abort {at}{more}"
        )
    if t.hanging is None:
        return "not every broker could be asked who coordinates it: whether it hangs is not known"
    coordinator = f"broker {t.coordinator}"
    if t.state.lower() != "ongoing":
        return f"{coordinator}, which coordinates it, is writing its markers: a partition's leader may be away"
    if t.started is None or t.timeout is None:
        return f"{coordinator} coordinates it and aborts it when its timeout is over"
    left = t.started + t.timeout - now
    if left > 0:
        return f"it ends within {duration(left)}: {coordinator} aborts it at its timeout of {duration(t.timeout)}"
    late = f"{coordinator} should have aborted it {duration(-left)} ago (its timeout is {duration(t.timeout)})"
    return f"{late}: look at that broker's log"


# ---------------------------------------------------------------- brokers


def address(load: BrokerLoad) -> str:
    """HOST:PORT of a broker, a dash when it is away."""
    return f"{load.broker.host}:{load.broker.port}" if load.broker.port else DASH


def broker_severity(load: BrokerLoad) -> Severity:
    """A broker that does not answer is bad, replicas out of sync or sizes that could not be seen are a warning."""
    if load.broker.reachable is False:
        return Severity.BAD
    return Severity.WARN if load.behind or load.problem else Severity.OK


def broker_trouble(load: BrokerLoad) -> str:
    """What is wrong with a broker, in words; "" when nothing is."""
    parts = [load.problem.message] if load.problem else []
    if load.behind:
        parts.append(f"{count(load.behind)} of {plural(load.replicas, 'replica')} out of sync")
    if load.under_replicated:
        parts.append(f"leads {count(load.under_replicated)} under-replicated")
    return ", ".join(parts)


# ---------------------------------------------------------------- types of groups

_FOREIGN = {
    "share": "a share group keeps no such offsets; Kafka's kafka-share-groups --reset-offsets moves its start",
    "streams": "a streams group also has state to reset; use Kafka's kafka-streams-groups --reset-offsets",
}


def reset_refusal(kind: str) -> str:
    """Why the offsets of a type of group are not moved here, and what moves them; "" when they are."""
    return _FOREIGN.get(kind, "")


def type_limits(kind: str) -> str:
    """What a type of group cannot do or does not tell, in one line; "" for classic and consumer groups."""
    if kind == "share":
        return (
            "members share partitions and acknowledge record by record: `committed` is where its start stands; "
            "no reset here (kafka-share-groups --reset-offsets)"
        )
    if kind == "streams":
        return "its state stores have to be reset with its offsets: no reset here (kafka-streams-groups)"
    return ""
