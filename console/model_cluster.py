"""What a closer look at a Kafka cluster tells: open transactions, how a topic is kept, what each broker carries.

Units as in `console.model`: epoch seconds, seconds, bytes, records; unknown is None.
"""

from __future__ import annotations

from msgspec import Struct

from console.model import Broker, Problem, Topic


class HeldPartition(Struct, frozen=True, gc=False):
    """A partition that a transaction has written to: its first offset is where the last stable offset stands still."""

    topic: str
    partition: int
    first_offset: int


class OpenTransaction(Struct, frozen=True, gc=False):
    """A transaction that is not decided on some partitions.

    `started` is when its coordinator says it began, `last_write` when the producer last wrote to one of `partitions`.
    `state` is the coordinator's word for it ("" when no coordinator knows the producer). `hanging` is True when no
    coordinator has it open, so that nothing will ever end it (KIP-664); None when not all could be asked.
    """

    producer_id: int
    epoch: int
    partitions: tuple[HeldPartition, ...]
    transactional_id: str | None = None
    state: str = ""
    started: float | None = None
    last_write: float | None = None
    timeout: float | None = None
    coordinator: int | None = None
    hanging: bool | None = None

    @property
    def since(self) -> float | None:
        """Since when it is open, as far as known: its start, else the last time its producer wrote."""
        return self.started if self.started is not None else self.last_write


class Held(Struct, frozen=True, gc=False):
    """The open transactions found, and what could not be asked."""

    transactions: tuple[OpenTransaction, ...] = ()
    problems: tuple[Problem, ...] = ()


class TopicView(Struct, frozen=True, gc=False):
    """A topic closely: the topic, what each partition takes on its leader's disk, the time of its oldest record.

    `sizes` and `oldest` are by partition; what is missing there is unknown, and the problems may say why.
    """

    topic: Topic
    at: float
    sizes: tuple[tuple[int, int], ...] = ()
    oldest: tuple[tuple[int, float], ...] = ()
    transactions: tuple[OpenTransaction, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def size(self) -> int | None:
        """Bytes of all partitions, one replica each; None when any is unknown."""
        known = dict(self.sizes)
        numbers = [p.partition for p in self.topic.partitions]
        return sum(known[n] for n in numbers) if numbers and all(n in known for n in numbers) else None

    @property
    def oldest_at(self) -> float | None:
        """The time of the oldest record held; None when there is none or the oldest of some partition is unknown."""
        known = dict(self.oldest)
        filled = [p.partition for p in self.topic.partitions if p.start != p.end or p.end is None]
        return min(known[n] for n in filled) if filled and all(n in known for n in filled) else None


class BrokerLoad(Struct, frozen=True, gc=False):
    """A broker and what it carries.

    `leads` and `replicas` count partitions; `behind` are replicas on it that are not in sync, `under_replicated`
    partitions it leads that have too few in sync. `size` is what its logs take, `total` and `free` its disks, bytes.
    """

    broker: Broker
    controller: bool | None = None
    leads: int = 0
    replicas: int = 0
    behind: int = 0
    under_replicated: int = 0
    groups: int | None = None
    size: int | None = None
    total: int | None = None
    free: int | None = None
    problem: Problem | None = None


class BrokersView(Struct, frozen=True, gc=False):
    """The brokers of a cluster; `controller` is its active controller, which need not be one of them."""

    at: float
    cluster_id: str | None
    controller: int | None
    brokers: tuple[BrokerLoad, ...]
    problems: tuple[Problem, ...] = ()
