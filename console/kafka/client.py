"""The blocking, thread-safe face of the Kafka side: one background event loop, every answer within its timeout.

Kafka's own libraries load when the first question is asked, not when this module or a client is made.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from console.config import KafkaSettings
from console.errors import Failed
from console.kafka.loop import LoopThread
from console.kafka.properties import wire
from console.model import Group, KafkaSnapshot, Problem, Topic
from console.model_check import Check
from console.model_cluster import BrokersView, Held

if TYPE_CHECKING:
    from console.kafka.cluster import Cluster
    from console.kafka.picture import Past

T = TypeVar("T")
Partition = tuple[str, int]


class KafkaClient:
    """Questions to one Kafka cluster, and the one change that is made through it: committing offsets for a group.

    Any thread may call; `timeout` is seconds for the whole call, the client's own when None. Raises `UsageError` for
    settings that make no sense, `Unreachable` when no broker answers in time, `Denied` when the login is refused.
    """

    def __init__(self, settings: KafkaSettings, timeout: float = 10.0) -> None:
        self.settings = settings
        self._wire = wire(settings)
        self._timeout = timeout
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        self._cluster: Cluster | None = None
        self._before: Past | None = None
        self._closed = False

    def snapshot(
        self,
        timeout: float | None = None,
        on_partial: Callable[[KafkaSnapshot], None] | None = None,
        in_view: Collection[str] | None = None,
    ) -> KafkaSnapshot:
        """Brokers, groups and topics with their offsets; whatever failed is in its problems.

        `on_partial` gets the picture while it fills in, on the client's own thread: it must neither block nor raise.
        `in_view` are the groups that somebody looks at: where there are more than 500, the others are asked for once
        in five looks, and their `seen_at` says when; None: every group is asked for now.
        """

        async def look(cluster: Cluster, deadline: float) -> KafkaSnapshot:
            from console.kafka.inspect import snapshot

            seen = await snapshot(cluster, deadline, on_partial, self._before, in_view)
            self._before = seen
            return seen.picture

        return self._run(look, timeout)

    def group(self, name: str, timeout: float | None = None) -> Group:
        """One group with its members and every partition of its topics. Raises `NotFound`."""

        async def look(cluster: Cluster, deadline: float) -> Group:
            from console.kafka.closely import group

            return await group(cluster, name, deadline)

        return self._run(look, timeout)

    def cluster_id(self, timeout: float | None = None) -> str | None:
        """The cluster's own id, the same whatever address it was reached by; None where it does not tell."""

        async def look(cluster: Cluster, deadline: float) -> str | None:
            return (await cluster.metadata(deadline, [])).cluster_id

        return self._run(look, timeout)

    def topics(self, timeout: float | None = None) -> tuple[Topic, ...]:
        """All topics with their partitions and offsets, by name."""

        async def look(cluster: Cluster, deadline: float) -> tuple[Topic, ...]:
            from console.kafka.closely import topics

            return await topics(cluster, deadline)

        return self._run(look, timeout)

    def topic(self, name: str, timeout: float | None = None) -> Topic:
        """One topic with its partitions, offsets and configuration. Raises `NotFound`."""

        async def look(cluster: Cluster, deadline: float) -> Topic:
            from console.kafka.closely import topic

            return await topic(cluster, name, deadline)

        return self._run(look, timeout)

    def topic_id(self, name: str, timeout: float | None = None) -> str | None:
        """The cluster's id of a topic, None where brokers tell none. Raises `NotFound`."""

        async def look(cluster: Cluster, deadline: float) -> str | None:
            from console.kafka.closely import known

            return known(await cluster.metadata(deadline, [name]), name).id

        return self._run(look, timeout)

    def open_transactions(self, partitions: Iterable[Partition], timeout: float | None = None) -> Held:
        """The transactions that are open on these partitions, and whether anybody will end them (KIP-664)."""
        wanted = list(partitions)

        async def look(cluster: Cluster, deadline: float) -> Held:
            from console.kafka.transactions import open_transactions

            return await open_transactions(cluster, wanted, deadline)

        return self._run(look, timeout)

    def sizes(
        self, topics: Iterable[str] | None = None, timeout: float | None = None
    ) -> tuple[dict[Partition, int], tuple[Problem, ...]]:
        """What each partition of these topics (None: of all) takes on its leader's disks, bytes; missing is unknown."""
        names = None if topics is None else list(topics)

        async def look(cluster: Cluster, deadline: float) -> tuple[dict[Partition, int], tuple[Problem, ...]]:
            from console.kafka.brokers import sizes

            return await sizes(cluster, await cluster.metadata(deadline, names), deadline, names)

        return self._run(look, timeout)

    def brokers(self, timeout: float | None = None) -> BrokersView:
        """Every broker with what it carries, and which controller is active."""

        async def look(cluster: Cluster, deadline: float) -> BrokersView:
            from console.kafka.brokers import brokers

            return await brokers(cluster, deadline)

        return self._run(look, timeout)

    def committed(
        self, group: str, partitions: Iterable[Partition], timeout: float | None = None
    ) -> dict[Partition, int | Problem | None]:
        """The committed offset of each partition, asked for by name; None for no commit.

        A transaction's commit that is not decided yet is a problem (UNSTABLE_OFFSET_COMMIT).
        """
        wanted = list(partitions)

        async def look(cluster: Cluster, deadline: float) -> dict[Partition, int | Problem | None]:
            from console.kafka.closely import committed

            return await committed(cluster, group, wanted, deadline)

        return self._run(look, timeout)

    def watermarks(
        self, partitions: Iterable[Partition], timeout: float | None = None
    ) -> dict[Partition, tuple[int, int] | Problem]:
        """Log start and high watermark of each partition."""
        wanted = list(partitions)

        async def look(cluster: Cluster, deadline: float) -> dict[Partition, tuple[int, int] | Problem]:
            from console.kafka.closely import watermarks

            return await watermarks(cluster, wanted, deadline)

        return self._run(look, timeout)

    def offsets_for_time(
        self, partitions: Iterable[Partition], at: float, timeout: float | None = None
    ) -> dict[Partition, int | Problem | None]:
        """The first offset whose record is at or after a time (epoch seconds); None: no record that late."""
        wanted = list(partitions)

        async def look(cluster: Cluster, deadline: float) -> dict[Partition, int | Problem | None]:
            from console.kafka.closely import offsets_for_time

            return await offsets_for_time(cluster, wanted, at, deadline)

        return self._run(look, timeout)

    def record_times(
        self, positions: Mapping[Partition, int], timeout: float | None = None
    ) -> dict[Partition, float | None]:
        """The timestamp (epoch seconds) of the record at each offset, or the first after it, known to a second.

        None when there is none (the end) or it cannot be told.
        """
        wanted = dict(positions)

        async def look(cluster: Cluster, deadline: float) -> dict[Partition, float | None]:
            from console.kafka.times import record_times

            return await record_times(cluster, wanted, deadline)

        return self._run(look, timeout)

    def record_spans(
        self, positions: Mapping[Partition, int], timeout: float | None = None
    ) -> dict[Partition, tuple[float, float] | None]:
        """As `record_times`, but the earliest and the latest it can be: apart in a compressed batch, else equal."""
        wanted = dict(positions)

        async def look(cluster: Cluster, deadline: float) -> dict[Partition, tuple[float, float] | None]:
            from console.kafka.times import record_spans

            return await record_spans(cluster, wanted, deadline)

        return self._run(look, timeout)

    def nothing_to_read(
        self, places: Iterable[tuple[str, int, int]], timeout: float | None = None
    ) -> frozenset[tuple[str, int, int]]:
        """The places (topic, partition, offset) after which there are only transaction markers and aborted records."""
        wanted = list(places)

        async def look(cluster: Cluster, deadline: float) -> frozenset[tuple[str, int, int]]:
            from console.kafka.leftover import nothing_to_read

            return await nothing_to_read(cluster, wanted, deadline)

        return self._run(look, timeout)

    def commit_offsets(
        self, group: str, offsets: Mapping[Partition, int], timeout: float | None = None
    ) -> dict[Partition, Problem | None]:
        """Commit offsets for a group from outside; for each partition None (written) or why not.

        An unknown group name is accepted by Kafka and makes a group: whoever calls has looked first.
        """
        wanted = dict(offsets)

        async def change(cluster: Cluster, deadline: float) -> dict[Partition, Problem | None]:
            from console.kafka.offsets import commit

            return await commit(cluster, group, wanted, deadline)

        return self._run(change, timeout)

    def check(self, timeout: float | None = None) -> tuple[Check, ...]:
        """What works and what does not between here and the cluster; raises nothing for what it finds."""

        async def look(cluster: Cluster, deadline: float) -> tuple[Check, ...]:
            from console.kafka.doctor import checks

            return await checks(cluster, deadline)

        return self._run(look, timeout)

    def close(self) -> None:
        """Drop every connection; under 0.2 s whatever the brokers do. Calls that wait elsewhere end with `Failed`."""
        with self._lock:
            thread, cluster = self._thread, self._cluster
            self._closed, self._thread, self._cluster = True, None, None
        atexit.unregister(self.close)
        if thread is not None:
            thread.close(cluster.close if cluster is not None else lambda: None)

    def _run(self, call: Callable[[Cluster, float], Coroutine[Any, Any, T]], timeout: float | None) -> T:
        patience = self._timeout if timeout is None else timeout
        thread, cluster = self._started()

        async def bounded() -> T:
            import asyncio

            return await call(cluster, asyncio.get_running_loop().time() + patience)

        return thread.run(bounded())

    def _started(self) -> tuple[LoopThread, Cluster]:
        from console.kafka.cluster import Cluster

        with self._lock:
            if self._closed:
                raise Failed("the connection to Kafka is closed")
            if self._thread is None or self._cluster is None:
                self._thread, self._cluster = LoopThread(), Cluster(self._wire)
                atexit.register(self.close)  # a program that forgets to close must not end in asyncio's complaints
            return self._thread, self._cluster
