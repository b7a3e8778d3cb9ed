"""Copying ranges of one topic's partitions into another topic, exactly once, by as many processes as run it.

Each process is a member of the job's own group and a transactional producer; copies, positions and counts go into one
transaction (KIP-98, KIP-447). Whatever ends a process, the next one goes on where the last commit stands.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from console.config import KafkaSettings
from console.errors import Denied, Failed, LogqError, Refused, Unreachable
from console.kafka import marks
from console.kafka.marks import Mark
from console.kafka.write import consumer as make_consumer
from console.kafka.write import producer as make_producer
from console.kafka.write import reason

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer

T = TypeVar("T")

BATCH = 10_000
"""Records a transaction: each costs about 134 ms whatever it holds (of 1,000: 32,000/s, of 10,000: 100,000/s)."""

BATCH_BYTES = 64 * 1024 * 1024
SESSION_MS = 10_000
"""How long a member that was killed keeps its partitions."""

TRANSACTION_MS = 60_000
"""How long a transaction may stay open; 15 s ended in fatal errors while brokers were killed."""

PATIENCE_S = 180.0
"""How long nothing may move before the copy gives up, resumable; longer than a dead process's open transaction."""

_CALL_S = 30.0
_CONSUME_S = 1.0
_SETTLE_S = 1.0
_LOOK_S = 1.0
_CLOSE_S = 5.0
_LEAVE_S = 10.0


class Fenced(Refused):
    """Another process has taken this one's place in the job."""


class _Rebuild(Exception):
    """A fatal error of a client: nothing but new clients helps."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What is copied. `marks` are the planned ranges at their start, written to the group when it has none.

    `group` and `job` name the job, `digest` its options. `rate` is records a second of this process, `limit` records
    of the whole job (then only one process may run it: `identity` is fixed). `max_bytes` is what the destination takes.
    """

    source: str
    target: str
    group: str
    job: str
    digest: str
    marks: Mapping[int, Mark]
    same_partitions: bool
    rate: float | None = None
    limit: int | None = None
    max_bytes: int = 1_000_000
    batch: int = BATCH
    patience: float = PATIENCE_S


class Copier:
    """One process's part in a copy. `run` blocks until the whole job is done or `stop` says so; `marks` tell how far.

    `identity` is this process's place in the job: its transactional id and static membership (KIP-345). A process that
    takes the place of a dead one aborts its open transaction and has its partitions at once. `settle` calls what it is
    given with each further identity whose process is known to be dead. `select` is the filter: True, False, or None
    where it failed.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        copy: Copy,
        identity: str,
        *,
        stop: Callable[[], bool],
        settle: Callable[[Callable[[str], None]], None] = lambda fence: None,
        select: Callable[[Any], bool | None] | None = None,
        on_step: Callable[[Mapping[int, Mark]], None] = lambda marks: None,
    ) -> None:
        self._settings = settings
        self._copy = copy
        self._identity = identity
        self._stop = stop
        self._settle = settle
        self._select = select
        self._on_step = on_step
        self.marks: dict[int, Mark] = dict(copy.marks)
        self.aborted = 0
        self._mine: dict[int, Mark] = {}
        self._dirty: set[int] = set()
        self._failure: BaseException | None = None
        self._errors: list[str] = []
        self._moved = self._committed_at = self._looked = time.monotonic()
        self._due = 0.0
        self._size = 1
        self._origin = f"{copy.source}/".encode()
        self._job = copy.job.encode()

    def run(self) -> bool:
        """Copy until every planned partition is settled (True), or until `stop` says so (False).

        Raises `Fenced`, `Unreachable` when nothing moved for the copy's patience, `Failed` for a range whose records
        have gone or a record that cannot be copied, `Denied`. What is committed by then stays, and is never doubled.
        """
        while True:
            try:
                return self._session()
            except _Rebuild as error:
                self._errors.append(str(error))
                self._check_patience()
                self._pause(1.0)

    # ------------------------------------------------------------ one pair of clients

    def _session(self) -> bool:
        from confluent_kafka import KafkaException

        producer = self._producer(self._identity)
        source = self._consumer()
        try:
            # First of all: it fences whoever had this place and settles its open transaction.
            if not self._again(lambda: producer.init_transactions(_CALL_S), "begin transactions"):
                return False
            source.subscribe(
                [self._copy.source], on_assign=self._assigned, on_revoke=_dropped(self), on_lost=_dropped(self)
            )
            while not self._stop():
                if self._finished(source):
                    return True
                self._check_patience()
                try:
                    records = source.consume(self._want(), _CONSUME_S)
                except KafkaException as error:
                    self._consumer_error(error.args[0], None)
                    continue
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                out = self._chosen(records)
                if out or self._must_commit():
                    self._transaction(producer, source, out)
                    self._throttle(len(out))
            return self._finished(source)
        finally:
            self._mine = {}
            _close(source)

    def _assigned(self, source: Consumer, partitions: list[Any]) -> None:
        """The group gave this process partitions: what is committed is where it begins."""
        try:
            self._settle(self._fence)
            self._begin_at(source, [tp.partition for tp in partitions if tp.partition in self._copy.marks])
        except BaseException as error:  # raised from consume() it would lose its kind
            self._failure = error
            source.assign([])

    def _fence(self, identity: str) -> None:
        """Abort what a dead process left open, instead of waiting for the broker to."""
        dead = self._producer(identity)
        self._again(lambda: dead.init_transactions(_CALL_S), f"settle {identity}")

    def _begin_at(self, source: Consumer, partitions: list[int]) -> None:
        from confluent_kafka import TopicPartition

        found = self._read(source, partitions) if partitions else {}
        if lost := set(partitions) - found.keys():
            raise Failed(
                f"the group {self._copy.group} has lost its position in partition {min(lost)} (deleted, or expired): "
                "going on could double records; look at what the destination holds and plan a new replay"
            )
        self._mine = {p: mark for p, mark in found.items() if not mark.done}
        self._dirty.clear()
        self.marks.update(found)
        source.assign([TopicPartition(self._copy.source, p, mark.position) for p, mark in self._mine.items()])

    def drop(self) -> None:
        """The group took the partitions away; what is not committed belongs to whoever gets them."""
        self._mine = {}
        self._dirty.clear()

    # ------------------------------------------------------------ records

    def _want(self) -> int:
        copy = self._copy
        most = min(copy.batch, max(1, BATCH_BYTES // self._size))
        if copy.rate is not None:
            most = min(most, max(1, math.ceil(copy.rate / 2)))
        left = sum(mark.left for mark in self._mine.values())
        # Not more than can come: else the last call waits its whole time.
        return max(1, min(most, left)) if left else 1

    def _chosen(self, records: list[Any]) -> list[Any]:
        """The records to copy; positions and counts move with them."""
        from confluent_kafka import KafkaError

        if not records:
            return []
        self._size = max(1, sum(map(len, records)) // len(records))
        out: list[Any] = []
        room = None if self._copy.limit is None else self._copy.limit - sum(m.copied for m in self.marks.values())
        # Plain numbers in a list per partition: this loop is what the throughput hangs on.
        counts: dict[int, list[int]] = {}
        eof = KafkaError._PARTITION_EOF
        select = self._select
        for record in records:
            partition = record.partition()
            error = record.error()
            if error is not None and error.code() != eof:
                self._consumer_error(error, partition)
                continue
            tally = counts.get(partition)
            if tally is None:
                mark = self._mine.get(partition)
                if mark is None:
                    continue
                tally = counts[partition] = [mark.position, mark.end, 0, 0, 0, 0]
            offset = record.offset()
            if error is not None or offset >= tally[1]:
                tally[0] = max(tally[0], min(offset, tally[1]))
                continue
            if offset < tally[0]:
                continue
            if room is not None and len(out) >= room:
                break
            tally[0] = offset + 1
            if select is not None and (chosen := select(record)) is not True:
                tally[4] += 1
                tally[5] += chosen is None
                continue
            tally[2] += 1
            if record.value() is None:
                tally[3] += 1
            out.append(record)
        for partition, (position, end, copied, tombstones, unselected, errors) in counts.items():
            mark = self._mine[partition]
            if position != mark.position:
                self._dirty.add(partition)
                self._mine[partition] = Mark(
                    mark.start, end, position, mark.digest, mark.copied + copied, mark.tombstones + tombstones,
                    mark.unselected + unselected, mark.errors + errors,
                )  # fmt: skip
        return out

    def _must_commit(self) -> bool:
        """Whether positions without copies are worth a transaction: a partition has ended, or a second has passed."""
        if not self._dirty:
            return False
        return any(self._mine[p].done for p in self._dirty) or time.monotonic() - self._committed_at > _SETTLE_S

    def _transaction(self, producer: Producer, source: Consumer, out: list[Any]) -> None:
        from confluent_kafka import KafkaException

        moved = {p: self._mine[p] for p in self._dirty}
        try:
            producer.begin_transaction()
            self._produce(producer, out)
            offsets, member = marks.commits(self._copy.source, moved), source.consumer_group_metadata()
            done = self._again(
                lambda: producer.send_offsets_to_transaction(offsets, member, _CALL_S), "commit the position"
            ) and self._again(lambda: producer.commit_transaction(_CALL_S), "commit")
        except KafkaException as error:
            self._aborted(producer, source, error)
            return
        if not done:
            return  # stopped while nobody answers: whether it was committed, the next run reads
        self._moved = self._committed_at = time.monotonic()
        self._dirty.clear()
        self.marks.update(moved)
        ended = [p for p, mark in moved.items() if mark.done]
        if ended:
            from confluent_kafka import TopicPartition

            source.pause([TopicPartition(self._copy.source, p) for p in ended])
            for p in ended:
                del self._mine[p]
        self._on_step(self.marks)

    def _produce(self, producer: Producer, out: list[Any]) -> None:
        from confluent_kafka import KafkaError, KafkaException

        target, same, produce = self._copy.target, self._copy.same_partitions, producer.produce
        job = ("logq-replay", self._job)
        for record in out:
            partition, offset = record.partition(), record.offset()
            try:
                headers = record.headers() or []
            except UnicodeDecodeError:
                raise self._uncopied(producer, record, "a header's name is not UTF-8") from None
            headers = [*headers, job, ("logq-origin", b"%b%d/%d" % (self._origin, partition, offset))]
            kind, at = record.timestamp()
            more = {"timestamp": at} if kind else {}
            while True:
                try:
                    produce(
                        target,
                        record.value(),
                        record.key(),
                        partition=partition if same else -1,
                        headers=headers,
                        **more,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
                except KafkaException as error:
                    if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                        raise self._uncopied(producer, record, f"{target} does not take its size") from None
                    raise

    def _uncopied(self, producer: Producer, record: Any, why: str) -> Failed:
        self._again(lambda: producer.abort_transaction(_CALL_S), "abort")
        return Failed(
            f"{record.topic()} partition {record.partition()} offset {record.offset()} cannot be copied: {why}; "
            "leave it out with --where, or change the destination"
        )

    # ------------------------------------------------------------ what goes wrong

    def _again(self, call: Callable[[], object], what: str) -> bool:
        """Make a call, again while the error says that this helps; False when stopped meanwhile.

        Raises `KafkaException` for what must be aborted, and what `_fatal` makes of the rest.
        """
        from confluent_kafka import KafkaException

        leave: float | None = None
        while True:
            try:
                call()
                return True
            except KafkaException as error:
                said = error.args[0]
                self._errors.append(f"{what}: {reason(error)}")
                if said.txn_requires_abort():
                    raise
                if not said.retriable():
                    raise self._fatal(said, what) from None
                self._check_patience()
                # One more try is granted to whoever stops it: most answers come.
                if self._stop():
                    leave = leave or time.monotonic() + _LEAVE_S
                    if time.monotonic() >= leave:
                        return False
                time.sleep(0.1)

    def _aborted(self, producer: Producer, source: Consumer, error: Any) -> None:
        """A transaction failed: abort it and go back to what is committed."""
        said = error.args[0]
        if not said.txn_requires_abort():
            raise self._fatal(said, "copy")
        self.aborted += 1
        self._errors.append(reason(error))
        self._check_patience()
        try:
            if self._again(lambda: producer.abort_transaction(_CALL_S), "abort"):
                self._begin_at(source, sorted(self._mine))
        except LogqError:
            raise
        except Exception as worse:
            raise _Rebuild(str(worse)) from None
        self._pause(0.2)

    def _fatal(self, error: Any, what: str) -> Exception:
        from confluent_kafka import KafkaError

        told = " ".join(error.str().split())
        code = error.code()
        if code in (
            KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.FENCED_INSTANCE_ID,
            KafkaError.INVALID_PRODUCER_EPOCH,
        ):  # fmt: skip
            return Fenced(f"another process has taken over {self._copy.job}: this one leaves it ({told})")
        if code in (
            KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED,
            KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        ):  # fmt: skip
            return Denied(f"not allowed to {what}: {told}")
        if error.fatal():
            return _Rebuild(told)
        return Failed(f"cannot {what}: {told}")

    def _consumer_error(self, error: Any, partition: int | None) -> None:
        from confluent_kafka import KafkaError

        told = " ".join(error.str().split())
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            mark = None if partition is None else self._mine.get(partition)
            at = "" if mark is None else f" partition {partition} offset {mark.position}"
            raise Failed(
                f"{self._copy.source}{at} has gone: the log start has moved past it, and a gap is no copy; "
                "what was copied stays, plan the rest as a new replay"
            )
        kind = self._fatal(error, f"read {self._copy.source}")
        if isinstance(kind, Fenced | Denied | _Rebuild):
            raise kind
        self._errors.append(told)

    def _check_patience(self) -> None:
        if time.monotonic() - self._moved > self._copy.patience:
            last = self._errors[-1] if self._errors else "the brokers do not answer"
            raise Unreachable(f"nothing moved for {self._copy.patience:g} s: {last}")

    # ------------------------------------------------------------ the whole job

    def _finished(self, source: Consumer) -> bool:
        """Whether all planned partitions are settled, or as many as the limit allows are copied."""
        if self._full():
            return True
        foreign = [p for p, mark in self.marks.items() if not mark.done and p not in self._mine]
        now = time.monotonic()
        if foreign and now - self._looked >= _LOOK_S:
            self._looked = now
            seen = self._seen(source, foreign)
            if seen and not self._mine:
                self._moved = now  # others work, and this one waits for them
            self.marks.update(seen)
            self._on_step(self.marks)
        return all(mark.done for mark in self.marks.values())

    def _full(self) -> bool:
        limit = self._copy.limit
        return limit is not None and sum(mark.copied for mark in self.marks.values()) >= limit

    def _seen(self, source: Consumer, partitions: list[int]) -> dict[int, Mark]:
        from confluent_kafka import KafkaException

        try:
            return marks.read(source, self._copy.source, partitions, 2.0)
        except KafkaException as error:  # another process's transaction is open: asked again in a second
            self._errors.append(reason(error))
            return {}

    def _read(self, source: Consumer, partitions: list[int]) -> dict[int, Mark]:
        """What is committed. An open transaction of a dead process holds it back until the broker ends that."""
        found: dict[int, Mark] = {}

        def look() -> None:
            nonlocal found
            found = marks.read(source, self._copy.source, partitions, _CALL_S)

        self._again(look, "read the position")
        for partition, mark in found.items():
            if mark.digest != self._copy.digest:
                raise Refused(
                    f"partition {partition} belongs to a job of that name with other options; choose another name"
                )
        return found

    def _throttle(self, copied: int) -> None:
        if self._copy.rate is None or not copied:
            return
        now = time.monotonic()
        self._due = max(self._due, now - 1.0) + copied / self._copy.rate
        self._pause(self._due - now)
        self._moved = time.monotonic()

    def _pause(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not self._stop() and (left := ends - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    # ------------------------------------------------------------ clients

    def _producer(self, identity: str) -> Producer:
        given = self._settings.properties
        return make_producer(
            self._settings,
            transactional_id=identity,
            transaction_timeout_ms=max(TRANSACTION_MS, int(given.get("transaction.timeout.ms", "0"))),
            message_max_bytes=max(self._copy.max_bytes, 1_000_000),
            # Where the partition follows from the key: as Kafka's own Java client places it.
            partitioner="murmur2_random",
            # What was compressed at the source must not grow at the destination.
            compression_type=given.get("compression.type", "lz4"),
            error_cb=lambda error: self._errors.append(" ".join(error.str().split())),
        )

    def _consumer(self) -> Consumer:
        return make_consumer(
            self._settings,
            group_id=self._copy.group,
            group_instance_id=self._identity,
            session_timeout_ms=SESSION_MS,
            isolation_level="read_committed",
            enable_partition_eof=True,
            enable_auto_offset_store=False,
            auto_offset_reset="error",
            error_cb=lambda error: self._errors.append(" ".join(error.str().split())),
        )


def _dropped(copier: Copier) -> Callable[[Any, list[Any]], None]:
    def dropped(source: Any, partitions: list[Any]) -> None:
        copier.drop()
        source.unassign()

    return dropped


def _close(source: Consumer) -> None:
    """Close a consumer; nothing is left to commit, so a broker that hangs is not waited for."""
    closing = threading.Thread(target=source.close, name="logq-copy-close", daemon=True)
    closing.start()
    closing.join(_CLOSE_S)


def begin(settings: KafkaSettings, copy: Copy) -> dict[int, Mark]:
    """Write the copy's ranges to its group unless it has them already; what the group then holds.

    Raises `Unreachable`, `Denied` or `Failed` when that cannot be done.
    """
    found = look(settings, copy.group, copy.source, list(copy.marks))
    missing = {p: mark for p, mark in copy.marks.items() if p not in found}
    if not missing or found:
        return found
    from confluent_kafka import KafkaError, KafkaException

    source = make_consumer(settings, group_id=copy.group, isolation_level="read_committed")
    ends = time.monotonic() + _CALL_S
    try:
        while True:
            try:
                source.commit(offsets=marks.commits(copy.source, missing), asynchronous=False)
                break
            except KafkaException as error:
                said = error.args[0]
                # Somebody else's process is in the group already: then its ranges are there.
                if said.code() in (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION):
                    break
                if time.monotonic() >= ends or said.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                    kind = Denied if said.code() == KafkaError.GROUP_AUTHORIZATION_FAILED else Failed
                    raise kind(f"cannot write the job's group {copy.group}: {reason(error)}") from None
                time.sleep(0.3)
    finally:
        _close(source)
    return look(settings, copy.group, copy.source, list(copy.marks))


def look(
    settings: KafkaSettings, group: str, topic: str, partitions: list[int], timeout: float = _CALL_S
) -> dict[int, Mark]:
    """The marks of a job's group as they are committed now, empty when there is no such job; joins nothing.

    Raises `Unreachable` when they cannot be had within `timeout` seconds.
    """
    from confluent_kafka import KafkaException

    source = make_consumer(settings, group_id=group, isolation_level="read_committed")
    ends = time.monotonic() + timeout
    try:
        while True:
            try:
                return marks.read(source, topic, partitions, max(1.0, min(5.0, timeout)))
            except KafkaException as error:
                if time.monotonic() >= ends:
                    raise Unreachable(f"cannot read the positions of {group}: {reason(error)}") from None
                time.sleep(0.3)
    finally:
        _close(source)
