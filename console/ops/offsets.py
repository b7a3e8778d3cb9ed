"""Where an offset reset takes each partition: strategies, entries, and Kafka's `--from-file` CSV.

The strategies and their names are those of Kafka's own `kafka-consumer-groups --reset-offsets`.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from console.errors import UsageError
from console.ops.times import parse_datetime, parse_duration, spoken
from console.text import count

StrategyKind = Literal["earliest", "latest", "offset", "shift", "datetime", "duration", "current", "from-file"]
TopicPartition = tuple[str, int]

MAX_OFFSET = 2**63 - 1
_WHOLE = re.compile(r"[+-]?([0-9]{1,30}|[0-9]{1,3}(,[0-9]{3}){1,9})")  # 18204, or 18,204 as our tables print it
_DIGITS = re.compile(r"[+-]?[0-9]{1,30}")  # int() takes 1_0 and the digits of every script too


@dataclass(frozen=True, slots=True)
class Strategy:
    """How new offsets are found. `number` is the offset or the shift, `at` the time (epoch seconds; a duration is
    fixed to a time when it is parsed), `offsets` what a file gave, `text` the value as it was typed. `kept` are the
    commits an undo cannot take away: those a reset made where there was none.
    """

    kind: StrategyKind
    number: int = 0
    at: float = 0.0
    text: str = ""
    offsets: Mapping[TopicPartition, int] = field(default_factory=dict)
    kept: Mapping[TopicPartition, int] = field(default_factory=dict)

    @property
    def timed(self) -> bool:
        """Whether brokers must be asked for offsets at a time."""
        return self.kind in ("datetime", "duration")

    @property
    def words(self) -> str:
        """The strategy for people, with the zone of its time."""
        match self.kind:
            case "earliest":
                return "to the earliest record held"
            case "latest":
                return "to the end of the log"
            case "offset":
                return f"to offset {count(self.number)}"
            case "shift":
                return f"shifted by {self.number:+,}"
            case "datetime":
                return f"to the first record at or after {spoken(self.at)}"
            case "duration":
                return f"back by {self.text} to the first record at or after {spoken(self.at)}"
            case "current":
                return "to where it is now (committed again)"
            case "from-file":
                return f"to the offsets of {self.text or 'a file'}"

    @property
    def option(self) -> tuple[str, ...]:
        """The option of `logq group reset` that asks for it."""
        match self.kind:
            case "shift":
                return ("--shift-by", str(self.number))
            case "duration":
                return ("--by-duration", self.text)
            case "from-file":
                return ("--from-file", self.text)
            case "offset":
                return ("--to-offset", str(self.number))
            case "datetime":
                return ("--to-datetime", self.text)
            case _:
                return (f"--to-{self.kind}",)


def parse_strategy(kind: str, value: str, now: float, group: str = "") -> Strategy:
    """A strategy from its kind and its value as typed ("" where it takes none); `now` fixes a duration to a time.

    `from-file` takes the file's text as value, and of one for several groups the lines of `group`.
    Raises `UsageError` with an example for what makes no sense.
    """
    if kind not in get_args(StrategyKind):
        raise UsageError(f"{kind!r} is no strategy; there are {', '.join(get_args(StrategyKind))}")
    match kind:
        case "offset":
            return Strategy("offset", number=_integer(value, "--to-offset", least=0), text=value.strip())
        case "shift":
            return Strategy("shift", number=_integer(value, "--shift-by", least=-MAX_OFFSET), text=value.strip())
        case "datetime":
            return Strategy("datetime", at=parse_datetime(value), text=value.strip())
        case "duration":
            return Strategy("duration", at=max(0.0, now - parse_duration(value)), text=value.strip())
        case "from-file":
            return Strategy("from-file", offsets=read_csv(value, group))
        case "earliest" | "latest" | "current":
            return Strategy(kind)
    raise AssertionError(kind)


def _integer(value: str, option: str, least: int) -> int:
    if not _WHOLE.fullmatch(value.strip()):
        raise UsageError(f"{option} takes a whole number, not {value!r} (for example 18204)")
    number = int(value.replace(",", ""))
    if not least <= number <= MAX_OFFSET:
        raise UsageError(f"{option} {value} is outside {least:,} to {MAX_OFFSET:,}")
    return number


@dataclass(frozen=True, slots=True)
class Position:
    """A partition as it was seen before a reset. `timed` is the offset at the strategy's time (None: no record that
    late), `problem` says why something could not be seen, `remark` what is special about its commit. `gone`: there is
    no such partition any more.
    """

    topic: str
    partition: int
    committed: int | None
    start: int | None
    end: int | None
    timed: int | None = None
    problem: str = ""
    remark: str = ""
    gone: bool = False


@dataclass(frozen=True, slots=True)
class ResetEntry:
    """One partition of a plan. `new` None leaves it as it is; `note` says why, or what is special.

    `records` will be read again, `skipped` will not be read; None when unknown (no commit: what was read before is not
    known). Times are those of the records at the two offsets, epoch seconds. `unseen`: it is left alone because its log
    or its commit could not be seen, `gone`: because there is no such partition any more.
    """

    topic: str
    partition: int
    old: int | None
    new: int | None
    start: int | None
    end: int | None
    records: int | None
    skipped: int | None
    note: str = ""
    old_time: float | None = None
    new_time: float | None = None
    unseen: bool = False
    gone: bool = False


def entry(position: Position, strategy: Strategy) -> ResetEntry:
    """Where `strategy` takes one partition: always inside [log start, end], or nowhere with a note that says why.

    `--to-current` alone keeps a committed offset outside the log as it is, because that is what it is for.
    """
    old, start, end = position.committed, position.start, position.end
    if position.problem or start is None or end is None:
        why = position.problem or "left alone: its log could not be seen"
        return replace(_unchanged(position, why), unseen=not position.gone, gone=position.gone)
    notes = ([position.remark] if position.remark else []) + _standing(old, start, end)
    new = _target(position, strategy, start, end, notes.append)
    if new is None:
        return _unchanged(position, "; ".join(notes))
    if old is None:
        # What it read before is unknown; what lies before the new offset will not be read.
        records, skipped = None, max(0, new - start)
    else:
        records = max(0, min(old, end) - max(new, start))
        skipped = max(0, min(new, end) - max(old, start))
    return ResetEntry(position.topic, position.partition, old, new, start, end, records, skipped, "; ".join(notes))


def kept_entry(position: Position, made: int) -> ResetEntry:
    """A partition whose commit (`made`) an undo cannot take away; `skipped` is what was skipped by it, ever since."""
    skipped = None
    if position.committed is not None and position.start is not None:
        skipped = max(0, min(made, position.committed) - position.start)
    return replace(_unchanged(position, "left alone: had no commit, and one cannot be taken away"), skipped=skipped)


def _standing(old: int | None, start: int, end: int) -> list[str]:
    if old is None:
        return ["no commit"]
    if old < start:
        return [f"commit is {count(start - old)} below log start: auto.offset.reset decides, latest skips the backlog"]
    if old > end:
        return [f"commit is {count(old - end)} beyond the end of the log (was the topic made anew?)"]
    return []


def _target(
    position: Position, strategy: Strategy, start: int, end: int, remark: Callable[[str], object]
) -> int | None:
    """The new offset, None to leave the partition alone; `remark` takes what must be said about it."""
    old = position.committed
    match strategy.kind:
        case "earliest":
            return start
        case "latest":
            return end
        case "offset":
            return _clamped(strategy.number, start, end, remark)
        case "shift":
            if old is None:
                remark("left alone: nothing to shift from")
                return None
            return _clamped(old + strategy.number, start, end, remark)
        case "datetime" | "duration":
            if position.timed is None:
                remark("no record that late: end of log")
                return end
            return _clamped(position.timed, start, end, remark)
        case "current":
            if old is None:
                remark(f"goes to the end of the log and skips {count(end - start)}")
                return end
            return old
        case "from-file":
            wanted = strategy.offsets.get((position.topic, position.partition))
            if wanted is None:
                remark("left alone: not in the file")
                return None
            return _clamped(wanted, start, end, remark)


def _clamped(wanted: int, start: int, end: int, remark: Callable[[str], object]) -> int:
    if wanted < start:
        remark(f"clamped: {wanted:,} is below log start {start:,}")
        return start
    if wanted > end:
        remark(f"clamped: {wanted:,} is beyond the end {end:,}")
        return end
    return wanted


def _unchanged(position: Position, note: str) -> ResetEntry:
    p = position
    return ResetEntry(p.topic, p.partition, p.committed, None, p.start, p.end, None, None, note)


# ---------------------------------------------------------------- Kafka's --from-file CSV


def write_csv(offsets: Iterable[tuple[str, int, int]]) -> str:
    """Lines of `topic,partition,offset` as `kafka-consumer-groups --reset-offsets --from-file` reads them."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(offsets)
    return out.getvalue()


def read_csv(text: str, group: str = "") -> dict[TopicPartition, int]:
    """Offsets from lines of `topic,partition,offset`. Empty lines, a heading and `#` comments are passed over.

    Lines of `group,topic,partition,offset`, as Kafka's tool exports several groups, count when they are of `group`.
    Raises `UsageError` naming the line: other fields, not numbers, a partition twice, or nothing at all.
    """
    found: dict[TopicPartition, int] = {}
    others: set[str] = set()
    for number, row in enumerate(csv.reader(io.StringIO(text)), 1):
        fields = [cell.strip() for cell in row]
        if not any(fields) or fields[0].startswith("#") or (number == 1 and "partition" in fields[1:3]):
            continue
        if len(fields) == 4 and group:
            if fields[0] != group:
                others.add(fields[0])
                continue
            del fields[0]
        if len(fields) != 3:
            raise UsageError(f"line {number} has {len(fields)} fields, not topic,partition,offset (orders,0,1820)")
        if not (_DIGITS.fullmatch(fields[1]) and _DIGITS.fullmatch(fields[2])):
            raise UsageError(f"line {number}: partition and offset are whole numbers (orders,0,1820)")
        partition, offset = int(fields[1]), int(fields[2])
        if not fields[0] or partition < 0 or not 0 <= offset <= MAX_OFFSET:
            raise UsageError(f"line {number}: a topic, a partition and an offset of at least 0 (orders,0,1820)")
        if (fields[0], partition) in found:
            raise UsageError(f"line {number}: {fields[0]} partition {partition} is there twice")
        found[fields[0], partition] = offset
    if not found and others:
        raise UsageError(f"the file names no offsets of group {group!r}, only of {', '.join(sorted(others)[:4])}")
    if not found:
        raise UsageError("the file names no offsets; it has lines of topic,partition,offset (orders,0,1820)")
    return found


def file_text(name: str) -> str:
    """The text of a file of offsets, or of standard input for "-". Raises `UsageError`."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).expanduser().read_text(encoding="utf-8")
        return text.removeprefix("\ufeff")  # what some editors and spreadsheets put before UTF-8
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None


def parse_selection(text: str) -> tuple[str, tuple[int, ...] | None]:
    """`TOPIC` or `TOPIC:P,P,…` as `--topic` takes it; None means all partitions. Raises `UsageError`."""
    name, colon, numbers = text.partition(":")
    if not name:
        raise UsageError(f"--topic {text!r} names no topic; write it as orders or orders:0,3")
    if not colon:
        return name, None
    parts = [part.strip() for part in numbers.split(",")]
    if not all(_DIGITS.fullmatch(part) and int(part) >= 0 for part in parts):
        raise UsageError(f"--topic {text!r}: partitions are whole numbers, as in orders:0,3")
    return name, tuple(sorted({int(part) for part in parts}))
