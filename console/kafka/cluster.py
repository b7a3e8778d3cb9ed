"""Which brokers there are, who leads what, and a connection to each.

Every broker answers for itself: nothing here waits for all of them. All deadlines are times of the loop's clock.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar
from uuid import UUID

from msgspec import Struct, field

from console.errors import Denied, LogqError, NotFound, Unreachable
from console.kafka import codes
from console.kafka.messages import FIND_COORDINATOR, METADATA, Api
from console.kafka.properties import Wire
from console.kafka.wire import Connection, WireError, open_connection
from console.model import Broker, Problem

T = TypeVar("T")
Purpose = Literal["look", "records"]
"""Answers on a connection come in order, so long questions have a connection of their own."""

_STAGGER = 0.25  # seconds before the next broker is asked the same beside a silent one
RETRY_PAUSE = 0.2
_LOGIN_PAUSE = (1.0, 2.0, 5.0, 15.0, 30.0)  # after a refused login: a wrong password must not lock the account


class PartitionMeta(Struct, frozen=True):
    """A partition as the cluster's metadata tells it; `leader` is None when it has none now."""

    leader: int | None
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    offline: tuple[int, ...]
    error: int = 0


class TopicMeta(Struct, frozen=True):
    """A topic as the metadata tells it; `error` is the topic's own error code, `id` None below version 10."""

    name: str
    internal: bool
    partitions: Mapping[int, PartitionMeta]
    error: int = 0
    id: str | None = None


class Metadata(Struct, frozen=True):
    """The cluster as one broker sees it."""

    cluster_id: str | None
    controller: int | None
    brokers: Mapping[int, Broker]
    topics: Mapping[str, TopicMeta]

    def leader(self, topic: str, partition: int) -> int | None:
        """The broker that leads a partition; None when it has none or is not known."""
        found = self.topics.get(topic)
        part = found.partitions.get(partition) if found else None
        return part.leader if part and part.leader in self.brokers else None


class _Slot(Struct):
    """The place of a connection: whoever comes while it is being opened waits for the same attempt."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: Connection | None = None


def possible_name(kind: str, name: str) -> None:
    """Raise `NotFound` for a name that Kafka cannot have: the command line passes on bytes that are not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise NotFound(f"no {kind} can be called {name}: names in Kafka are UTF-8, this is not") from None


class Cluster:
    """Connections to the brokers of one cluster; lives on one event loop."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._slots: dict[tuple[Purpose, str, int], _Slot] = {}
        self._refused_login: WireError | None = None
        self._login_tries = 0
        self._login_after = 0.0
        self.brokers: dict[int, Broker] = {}
        self.silent: set[int] = set()
        """Brokers that did not answer in time when last asked: nothing waits long for them a second time."""

    def address(self, broker: int) -> tuple[str, int]:
        """Where a broker listens. Raises `WireError` when it is not in the metadata."""
        found = self.brokers.get(broker)
        if found is None or not found.port:
            raise WireError("UNKNOWN_BROKER", f"broker {broker} is not in the cluster now (down or fenced)")
        return found.host, found.port

    async def ask(
        self, broker: int, api: Api, values: Mapping[str, Any], deadline: float, purpose: Purpose = "look"
    ) -> Any:
        """One question that changes nothing to one broker. Raises `WireError`.

        Asked once more when a connection from before turns out to be closed (an idle one, a renewed login).
        """
        return await self._asked(broker, lambda connection: connection.ask(api, values, deadline), deadline, purpose)

    async def again(
        self,
        broker: int,
        api: Api,
        key: Hashable,
        values: Callable[[], Mapping[str, Any]],
        read: Callable[[Any], T],
        deadline: float,
    ) -> T:
        """As `ask`, for what is asked over and over: what has not changed costs nothing. See `Connection.again`."""
        return await self._asked(
            broker, lambda connection: connection.again(api, key, values, read, deadline), deadline, "look"
        )

    async def _asked(
        self, broker: int, ask: Callable[[Connection], Awaitable[T]], deadline: float, purpose: Purpose
    ) -> T:
        try:
            connection = await self.connection(broker, deadline, purpose)
            try:
                answer = await ask(connection)
            except WireError as error:
                if error.code != "CLOSED" or not connection.proven:
                    raise
                answer = await ask(await self.connection(broker, deadline, purpose))
        except WireError as error:
            if error.code == "TIMEOUT":
                self.silent.add(broker)
            raise
        self.silent.discard(broker)
        return answer

    async def connection(self, broker: int, deadline: float, purpose: Purpose = "look") -> Connection:
        """The open connection to a broker, opened if need be. Raises `WireError` by the deadline."""
        host, port = self.address(broker)
        try:
            return await self._connect(host, port, deadline, purpose, f"broker {broker} ({host}:{port})")
        except WireError as error:
            if error.code == "TIMEOUT":
                self.silent.add(broker)
            raise

    async def fresh(self, broker: int, deadline: float) -> Connection:
        """A connection of one's own, to be closed after use: on one from before, a change might be lost unseen."""
        host, port = self.address(broker)
        self._check_login()
        name = f"broker {broker} ({host}:{port})"
        return await open_connection(host, port, self._wire.security, self._wire.client_id, deadline, name)

    def _check_login(self) -> None:
        if self._refused_login and asyncio.get_running_loop().time() < self._login_after:
            raise self._refused_login

    async def _connect(
        self, host: str, port: int, deadline: float, purpose: Purpose = "look", name: str | None = None
    ) -> Connection:
        slot = self._slots.setdefault((purpose, host, port), _Slot())
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout_at(deadline):
                await slot.lock.acquire()
        except TimeoutError:
            raise WireError("TIMEOUT", f"{name or f'{host}:{port}'} did not answer in time") from None
        try:
            found = slot.connection
            if found and not found.closed and (found.expires is None or now() < found.expires):
                return found
            if found:
                found.close()
            self._check_login()
            try:
                slot.connection = await open_connection(
                    host, port, self._wire.security, self._wire.client_id, deadline, name
                )
            except WireError as error:
                if error.code == "AUTH":
                    pause = _LOGIN_PAUSE[min(self._login_tries, len(_LOGIN_PAUSE) - 1)]
                    self._refused_login, self._login_after = error, now() + pause
                    self._login_tries += 1
                raise
            self._refused_login, self._login_tries = None, 0
            return slot.connection
        finally:
            slot.lock.release()

    async def metadata(self, deadline: float, topics: Sequence[str] | None = None) -> Metadata:
        """The cluster from whichever broker answers first; `topics` None asks for all of them.

        Raises `Unreachable` or `Denied` when nobody answers, with what each address said, `NotFound` for a name that
        is not UTF-8.
        """
        for name in topics or ():
            possible_name("topic", name)
        key = None if topics is None else tuple(topics)

        def values() -> dict[str, Any]:
            asked = None if key is None else [{"name": name, "topic_id": None} for name in key]
            return {"topics": asked, "allow_auto_topic_creation": False}

        def ask(connection: Connection) -> Awaitable[Metadata]:
            return connection.again(METADATA, key, values, _metadata, deadline)

        metadata = await self._first(ask, deadline)
        self.brokers = {**self.brokers, **metadata.brokers}
        return metadata

    async def _first(self, ask: Callable[[Connection], Awaitable[T]], deadline: float) -> T:
        """The first good answer: a broker is asked, and beside it the next when it is silent or has failed."""
        targets = self._targets()
        failures: list[WireError] = []
        running: set[asyncio.Task[T]] = set()

        async def one(host: str, port: int, broker: int | None) -> T:
            name = f"{host}:{port}" if broker is None else f"broker {broker} ({host}:{port})"
            connection = await self._connect(host, port, deadline, "look", name)
            return await ask(connection)

        try:
            while targets or running:
                if targets:
                    running.add(asyncio.ensure_future(one(*targets.pop(0))))
                done, running = await asyncio.wait(
                    running, timeout=_STAGGER if targets else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    error = task.exception()
                    if error is None:
                        return task.result()
                    if not isinstance(error, WireError):
                        raise error
                    failures.append(error)
                    if error.code == "AUTH":  # one attempt a try
                        raise self._nobody(failures)
            raise self._nobody(failures)
        finally:
            for task in running:
                task.cancel()

    def _targets(self) -> list[tuple[str, int, int | None]]:
        """Whom to ask what anybody may answer: known brokers that were not silent, the given addresses, the rest."""
        known = [(b.host, b.port, b.id) for b in self.brokers.values() if b.port]
        awake = [t for t in known if t[2] not in self.silent]
        asleep = [t for t in known if t[2] in self.silent]
        seen: dict[tuple[str, int], tuple[str, int, int | None]] = {}
        given: list[tuple[str, int, int | None]] = [(host, port, None) for host, port in self._wire.bootstrap]
        for target in [*awake, *given, *asleep]:
            seen.setdefault(target[:2], target)
        return list(seen.values())

    def _nobody(self, failures: list[WireError]) -> LogqError:
        where = ",".join(f"{host}:{port}" for host, port in self._wire.bootstrap)
        denied = next((f for f in failures if f.code == "AUTH"), None)
        if denied:
            return Denied(f"cannot log in to Kafka: {denied.message}")
        telling = [f for f in failures if f.code not in ("TIMEOUT", "REFUSED")] or failures
        reason = telling[0].message if telling else "no broker answered"
        first_host, first_port = self._wire.bootstrap[0]
        if reason.startswith(f"{first_host}:{first_port}: "):
            reason = reason.split(": ", 1)[1]
        remedy = "" if ";" in reason else "; check -b and that the broker is up"
        more = f" (and {len(failures) - 1} more addresses failed)" if len(failures) > 1 else ""
        return Unreachable(f"cannot reach Kafka at {where}: {reason}{more}{remedy}")

    async def coordinators(self, groups: Iterable[str], deadline: float) -> dict[str, int | Problem]:
        """The coordinator of each group, asked again while it is settling. Raises `Unreachable` when nobody answers."""
        waiting = list(dict.fromkeys(groups))
        found: dict[str, int | Problem] = {}
        loop = asyncio.get_running_loop()
        while waiting:
            for name, node, code, detail in await self._find(waiting, deadline):
                if code == 0 and node.id >= 0:
                    found[name] = node.id
                    self.brokers[node.id] = node
                else:
                    found[name] = codes.problem(f"group {name}", code, detail)
            again = [
                name
                for name in waiting
                if isinstance(problem := found.get(name), Problem)
                and problem.code in codes.names(codes.COORDINATOR_MOVED)
            ]
            if not again or loop.time() + RETRY_PAUSE >= deadline:
                break
            waiting = again
            await asyncio.sleep(RETRY_PAUSE)
        return found

    async def _find(self, groups: list[str], deadline: float) -> list[tuple[str, Broker, int, str | None]]:
        values = {"key": groups[0], "key_type": 0, "coordinator_keys": groups}
        answer = await self._first(lambda connection: connection.ask(FIND_COORDINATOR, values, deadline), deadline)
        if hasattr(answer, "coordinators"):
            return [
                (c.key, Broker(c.node_id, c.host, c.port), c.error_code, c.error_message) for c in answer.coordinators
            ]
        # Below v4 a request carries one group: this answer is the first one's.
        rows = [(groups[0], Broker(answer.node_id, answer.host, answer.port), answer.error_code, None)]
        return rows + (await self._find(groups[1:], deadline) if len(groups) > 1 else [])

    def close(self) -> None:
        """Drop every connection at once."""
        for slot in self._slots.values():
            if slot.connection:
                slot.connection.close()


def _metadata(answer: Any) -> Metadata:
    brokers = {b.node_id: Broker(b.node_id, b.host, b.port, getattr(b, "rack", None)) for b in answer.brokers}
    topics = {}
    for t in answer.topics:
        partitions = {
            p.partition_index: PartitionMeta(
                p.leader_id if p.leader_id >= 0 else None,
                p.replica_nodes,
                p.isr_nodes,
                getattr(p, "offline_replicas", ()),
                p.error_code,
            )
            for p in sorted(t.partitions, key=lambda p: p.partition_index)
        }
        if t.name is not None:
            known = _printed(getattr(t, "topic_id", None))
            topics[t.name] = TopicMeta(t.name, getattr(t, "is_internal", False), partitions, t.error_code, known)
    controller = getattr(answer, "controller_id", -1)
    return Metadata(
        getattr(answer, "cluster_id", None),
        controller if controller >= 0 else None,
        brokers,
        dict(sorted(topics.items())),
    )


def _printed(topic_id: UUID | None) -> str | None:
    """A topic's id as Kafka's own tools print it."""
    return None if topic_id is None else urlsafe_b64encode(topic_id.bytes).rstrip(b"=").decode()
