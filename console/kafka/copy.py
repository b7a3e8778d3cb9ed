"""Copying ranges of one topic's partitions into another topic, exactly once, by as many processes as run it.

Each process is a member of the job's own group and a transactional producer; copies, positions and counts go into one
transaction (KIP-98, KIP-447). Whatever ends a process, the next one goes on where the last commit stands.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from console.config import KafkaSettings
from console.errors import Denied, Failed, Refused
from console.kafka import marks
from console.kafka.copy_calls import CALL_S, Broken, Calls, Fenced, Lost
from console.kafka.copy_group import Copy, close, member, transactional
from console.kafka.copy_lines import place_of
from console.kafka.copy_refused import Gap, Refusal, expired, gone, missing, refusal, uncopied
from console.kafka.marks import Mark

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer

BATCH_BYTES = 64 * 1024 * 1024
"""About what one transaction holds of large records."""

_CONSUME_S = 1.0
_SETTLE_S = 1.0
_LOOK_S = 1.0
_SEE_S = 2.0
_READ_S = 5.0
_AFTER_ABORT_S = 0.2
_AFTER_BROKEN_S = 1.0


Headers = Sequence[tuple[str, bytes | None]]
Shape = Callable[[Any, Headers, int, Headers], tuple[int, Headers, Headers]]
"""(record, its headers, its partition there or -1, our headers) -> the copy's partition, headers and our headers.

Raises `ValueError` with why a record cannot be copied."""


class Copier:
    """One process's part in a copy. `run` blocks until the whole job is done or `stop` says so; `marks` tell how far.

    `identity` is this process's place in the job: its transactional id and its static membership. A process that takes
    the place of a dead one aborts its open transaction and has its partitions at once. `settle` calls what it is given
    with each further identity whose process is known to be dead. `select` is the filter: True, False, or None where it
    failed. `shape` gives a copy's partition and headers where they are not the record's own. `reader` makes what is
    read from, when that is no topic. `on_wait` is told while nothing moves. `unseen` holds the partitions whose mark is
    still that of the plan; `undecided` says that a transaction was left whose end nobody told.
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
        shape: Shape | None = None,
        reader: Callable[[KafkaSettings, Copy, str, Callable[[Any], None]], Consumer] = member,
        on_step: Callable[[Mapping[int, Mark]], None] = lambda marks: None,
        on_wait: Callable[[float, str], None] = lambda seconds, why: None,
    ) -> None:
        self._settings = settings
        self._copy = copy
        self._identity = identity
        self._settle = settle
        self._select = select
        self._shape = shape
        self._reader = reader
        self._on_step = on_step
        self._calls = Calls(copy.job, copy.patience, stop, on_wait)
        self.marks: dict[int, Mark] = dict(copy.marks)
        self.unseen = set(copy.marks)
        self.undecided = False
        self._mine: dict[int, Mark] = {}
        self._dirty: set[int] = set()
        self._failure: BaseException | None = None
        self._refused: Refusal | None = None
        self._singly = False
        self._committed_at = self._looked = time.monotonic()
        self._due = 0.0
        self._size = 1
        self._added = ("logq-replay", copy.job.encode())
        self._origin = f"{copy.source}/".encode()

    def run(self) -> bool:
        """Copy until every planned partition is settled (True), or until `stop` says so (False).

        Raises `Fenced`, `Unreachable` when nothing moved for the copy's patience, `Failed` for a range whose records
        have gone or a record that cannot be copied, `Denied`. What is committed by then stays, and is never doubled.
        """
        while True:
            try:
                return self._session()
            except Broken as error:
                self._calls.complain(error)
                self._calls.check()
                self._calls.pause(_AFTER_BROKEN_S)

    # ------------------------------------------------------------ one pair of clients

    def _session(self) -> bool:
        from confluent_kafka import KafkaException

        calls = self._calls
        calls.renewed()
        producer = transactional(self._settings, self._copy, self._identity, calls.complain, self._undelivered)
        source = self._reader(self._settings, self._copy, self._identity, calls.complain)
        try:
            # First of all: it fences whoever had this place and settles its open transaction.
            if not calls.again(lambda: producer.init_transactions(CALL_S), "begin transactions"):
                return False
            source.subscribe(
                [self._copy.source], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
            )
            while not self._finished(source):
                if calls.stop():
                    return False
                calls.stuck()
                try:
                    records = source.consume(self._want(), _CONSUME_S)
                except KafkaException as error:
                    self._consumer_error(error.args[0], None)
                    continue
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                chosen = self._chosen(records)
                if chosen or self._must_commit():
                    self._transaction(producer, source, chosen)
            return True
        except Lost:
            self._whose_place(producer, source)
            raise
        finally:
            self._mine = {}
            close(source)

    def _whose_place(self, producer: Producer, source: Consumer) -> None:
        """Raise `Fenced` when another process has this one's place: before all else it has fenced the producer."""
        from confluent_kafka import KafkaException

        calls, held = self._calls, marks.commits(self._copy.source, self.marks)
        try:
            if calls.again(producer.begin_transaction, "begin a transaction"):
                # Never committed: whatever else is said to it, the producer is given up, and its transaction with it.
                calls.again(
                    lambda: producer.send_offsets_to_transaction(held, source.consumer_group_metadata(), CALL_S),
                    "see whose place it is",
                )
        except (Broken, Failed, KafkaException) as error:
            calls.complain(error)

    def _assigned(self, source: Consumer, partitions: list[Any]) -> None:
        """The group gave this process partitions: what is committed is where it begins."""
        try:
            self._settle(self._fence)
            self._begin_at(source, [tp.partition for tp in partitions if tp.partition in self._copy.marks])
            self._calls.renewed()  # it may have waited for the end of a dead process's transaction
        except BaseException as error:  # raised from consume() it would lose its kind
            self._failure = error
            source.assign([])

    def _revoked(self, source: Consumer, partitions: list[Any]) -> None:
        """The group took the partitions away; what is not committed belongs to whoever gets them."""
        self._mine = {}
        self._dirty.clear()
        source.unassign()

    def _fence(self, identity: str) -> None:
        """Abort what a dead process left open, instead of waiting for the broker to."""
        dead = transactional(self._settings, self._copy, identity, self._calls.complain)
        self._calls.again(lambda: dead.init_transactions(CALL_S), f"settle {identity}")

    def _begin_at(self, source: Consumer, partitions: list[int]) -> None:
        """Read what is committed and read on from there."""
        from confluent_kafka import TopicPartition

        found = self._committed(source, partitions)
        self._mine = {p: mark for p, mark in found.items() if not mark.done}
        self._dirty.clear()
        self._saw(found)
        source.assign([TopicPartition(self._copy.source, p, mark.position) for p, mark in self._mine.items()])

    def _committed(self, source: Consumer, partitions: list[int]) -> dict[int, Mark]:
        """What is committed. An open transaction of a dead process holds it back until the broker ends that."""
        found: dict[int, Mark] = {}

        def look() -> None:
            found.update(marks.read(source, self._copy.source, partitions, _READ_S))

        if not partitions or not self._calls.again(look, "read the position", here=True):
            return {}
        if lost := set(partitions) - found.keys():
            raise Gap(
                f"the group {self._copy.group} has lost its position in partition {min(lost)} (deleted, or expired): "
                "going on could double records; look at what the destination holds and plan a new replay"
            )
        if any(mark.digest != self._copy.digest for mark in found.values()):
            raise Refused(f"the group {self._copy.group} belongs to a job with other options; choose another name")
        return found

    # ------------------------------------------------------------ records

    def _want(self) -> int:
        copy = self._copy
        most = min(copy.batch, max(1, BATCH_BYTES // self._size))
        if copy.rate is not None:
            most = min(most, max(1, math.ceil(copy.rate / 2)))
        # Not more than can come: else the last call waits its whole time.
        here = self._mine or self.marks  # before the group has given out partitions: all there are
        return max(1, min(most, sum(mark.left for mark in here.values())))

    def _chosen(self, records: list[Any]) -> list[Any]:
        """The records to copy; positions and counts move with them."""
        from confluent_kafka import KafkaError

        if not records:
            return []
        self._size = max(1, sum(map(len, records)) // len(records))
        chosen: list[Any] = []
        limit = self._copy.limit
        room = None if limit is None else limit - self._copied()
        # Plain numbers, a list a partition: this loop is what the throughput hangs on.
        tallies: dict[int, list[int]] = {}
        select, eof = self._select, KafkaError._PARTITION_EOF
        for record in records:
            partition, error = record.partition(), record.error()
            if error is not None and error.code() != eof:
                self._consumer_error(error, partition)
                continue
            tally = tallies.get(partition)
            if tally is None:
                mark = self._mine.get(partition)
                if mark is None:
                    continue
                tally = tallies[partition] = [
                    mark.position, mark.end, mark.copied, mark.tombstones, mark.unselected, mark.errors,
                ]  # fmt: skip
            offset = record.offset()
            if error is not None or offset >= tally[1]:
                # The end of the log, or a record behind the range: no record of the range is left.
                tally[0] = max(tally[0], min(offset, tally[1]))
            elif offset >= tally[0]:
                if room is not None and len(chosen) >= room:
                    break
                tally[0] = offset + 1
                if select is not None and (wanted := select(record)) is not True:
                    tally[4] += 1
                    tally[5] += wanted is None
                    continue
                tally[2] += 1
                tally[3] += record.value() is None
                chosen.append(record)
        self._move(tallies)
        return chosen

    def _move(self, tallies: Mapping[int, list[int]]) -> None:
        for partition, (position, _, copied, tombstones, unselected, errors) in tallies.items():
            mark = self._mine[partition]
            if position != mark.position:
                self._dirty.add(partition)
                self._mine[partition] = replace(
                    mark, position=position, copied=copied, tombstones=tombstones, unselected=unselected, errors=errors
                )

    def _must_commit(self) -> bool:
        """Whether positions without copies are worth a transaction: a partition has ended, or a second has passed."""
        if not self._dirty:
            return False
        return any(self._mine[p].done for p in self._dirty) or time.monotonic() - self._committed_at > _SETTLE_S

    def _transaction(self, producer: Producer, source: Consumer, chosen: list[Any]) -> None:
        """Copies and positions in one transaction; it never spans two consume() calls."""
        from confluent_kafka import KafkaException, TopicPartition

        moved = {p: self._mine[p] for p in self._dirty}
        calls = self._calls
        try:
            if not calls.again(producer.begin_transaction, "begin a transaction"):
                return
            self._produce(producer, chosen)
            offsets = marks.commits(self._copy.source, moved)
            committed = calls.again(
                lambda: producer.send_offsets_to_transaction(offsets, source.consumer_group_metadata(), CALL_S),
                "commit the position",
            ) and calls.again(lambda: producer.commit_transaction(CALL_S), "commit")
        except KafkaException as error:
            self._abort(producer, source, error, chosen)
            return
        if not committed:
            self.undecided = True  # stopped while nobody answered: the next run reads whether it was
            return
        self._calls.moved()
        self._committed_at = time.monotonic()
        self._singly = False
        self._dirty.clear()
        self.marks.update(moved)
        ended = [p for p, mark in moved.items() if mark.done]
        source.pause([TopicPartition(self._copy.source, p) for p in ended])
        for p in ended:
            del self._mine[p]
        self._on_step(self.marks)
        self._throttle(len(chosen))

    def _produce(self, producer: Producer, chosen: Iterable[Any]) -> None:
        """Hand the records over. `produce_batch` drops headers without a word, so each goes by itself."""
        from confluent_kafka import KafkaError, KafkaException

        target, same, produce = self._copy.target, self._copy.same_partitions, producer.produce
        added, origin, shape = self._added, self._origin, self._shape
        for record in chosen:
            number = record.partition()
            place = number if same else -1
            ours: Headers = (added, ("logq-origin", b"%b%d/%d" % (origin, number, record.offset())))
            try:
                headers = record.headers()
                if shape is not None:
                    place, headers, ours = shape(record, headers or [], place, ours)
            except UnicodeDecodeError:
                raise self._uncopied(producer, record, "a header's name is not UTF-8") from None
            except ValueError as error:
                raise self._uncopied(producer, record, str(error)) from None
            kind, at = record.timestamp()
            while True:
                try:
                    produce(
                        target,
                        record.value(),
                        record.key(),
                        partition=place,
                        headers=[*headers, *ours] if headers else list(ours),
                        timestamp=at if kind else 0,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
                except KafkaException as error:
                    code = error.args[0].code()
                    if code in missing():
                        self._calls.again(lambda: producer.abort_transaction(CALL_S), "abort")
                        raise gone(target, error.args[0].str()) from None
                    if code != KafkaError.MSG_SIZE_TOO_LARGE:
                        raise
                    raise self._uncopied(producer, record, f"{target} does not take its size") from None
            if self._singly:
                producer.flush(CALL_S)
                if self._refused is not None:
                    raise self._uncopied(producer, record, f"{target} refuses it ({self._refused.why})")

    def _uncopied(self, producer: Producer, record: Any, why: str) -> Failed:
        self._calls.again(lambda: producer.abort_transaction(CALL_S), "abort")
        return uncopied(place_of(record), why)

    # ------------------------------------------------------------ what goes wrong

    def _abort(self, producer: Producer, source: Consumer, error: Any, chosen: list[Any]) -> None:
        """A transaction failed: abort it and go back to what is committed."""
        from confluent_kafka import KafkaException

        if not error.args[0].txn_requires_abort():
            raise self._calls.verdict(error.args[0], "copy")
        self._calls.complain(error)
        self._calls.check()
        refused, self._refused = self._refused, None
        try:
            if self._calls.again(lambda: producer.abort_transaction(CALL_S), "abort"):
                self._begin_at(source, sorted(self._mine))
        except KafkaException as worse:
            raise Broken(str(worse)) from None
        if refused is not None:  # it would be refused again and again
            if refused.topic_gone:
                raise gone(self._copy.target, refused.why)
            if refused.of_a_batch:
                self._singly = True  # once more, each alone and with new clients: then it is known which
                raise Broken(refused.why)
            named = (place_of(r) for r in chosen if refused.fits(r))
            which = next(named, f"a record of {self._copy.source}")
            raise uncopied(which, f"{self._copy.target} refuses it ({refused.why})")
        self._calls.pause(_AFTER_ABORT_S)

    def _undelivered(self, error: Any, message: Any) -> None:
        """The broker did not take a record: remember why when no second try can help."""
        self._refused = self._refused or refusal(error, message)

    def _consumer_error(self, error: Any, partition: int | None) -> None:
        from confluent_kafka import KafkaError

        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            mark = None if partition is None else self._mine.get(partition)
            at = "" if mark is None else f" partition {partition} offset {mark.position}"
            raise expired(f"{self._copy.source}{at}")
        verdict = self._calls.verdict(error, f"read {self._copy.source}")
        if isinstance(verdict, Fenced | Denied | Broken):
            raise verdict
        self._calls.complain(error)

    # ------------------------------------------------------------ the whole job

    def _finished(self, source: Consumer) -> bool:
        """Whether all planned partitions are settled, or as many records as the limit allows are copied."""
        limit = self._copy.limit
        if limit is not None and self._copied() >= limit:
            return True
        foreign = [p for p, mark in self.marks.items() if not mark.done and p not in self._mine]
        now = time.monotonic()
        if foreign and now - self._looked >= _LOOK_S:
            self._looked = now
            self._watch(source, foreign)
        return all(mark.done for mark in self.marks.values())

    def _watch(self, source: Consumer, foreign: list[int]) -> None:
        """How far the other processes are."""
        from confluent_kafka import KafkaException

        try:
            seen = marks.read(source, self._copy.source, foreign, _SEE_S)
        except KafkaException as error:  # a transaction is being decided: asked again in a second
            self._calls.complain(error)
            return
        if any(mark.position > self.marks[p].position for p, mark in seen.items()):
            self._calls.moved()  # others work, and this one may only be waiting for them
        self._saw(seen)
        self._on_step(self.marks)

    def _saw(self, seen: Mapping[int, Mark]) -> None:
        self.marks.update(seen)
        self.unseen -= seen.keys()

    def _copied(self) -> int:
        return sum(mark.copied for mark in self.marks.values())

    def _throttle(self, copied: int) -> None:
        if self._copy.rate is None or not copied:
            return
        now = time.monotonic()
        self._due = max(self._due, now) + copied / self._copy.rate
        self._calls.pause(self._due - now)
        self._calls.moved()
