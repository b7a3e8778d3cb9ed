"""Replay without a broker: bounds, marks, filters, messages, words."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from console import health
from console.config import Settings
from console.errors import NotFound, UsageError
from console.history import History
from console.kafka.marks import Mark, parse
from console.model import Group, GroupPartition, Message, Problem, Status, Topic, TopicPartition
from console.ops import replay, replay_plan, replay_ranges
from console.ops.browse_filter import RecordWhere
from console.ops.plan import printed
from console.ops.replay_message import attributes, dedup_id, group_of, outgoing
from console.ops.replay_ranges import Range
from console.ops.replay_unit import INTENT, Unit, restored
from console.ops.replay_value import ReplayPlan, from_json
from console.ops.replay_words import to_json, view
from console.sqs.send import Outgoing

NOW = 1_795_000_000.0


def planned(**how: Any) -> ReplayPlan:
    base = ReplayPlan(
        source="orders",
        target="orders-copy",
        to="topic",
        ranges=(Range(0, 10, 60, NOW - 100, NOW), Range(1, 5, 5), Range(2, 0, 50, note="n")),
        partitions=3,
        target_partitions=3,
        place="localhost:9092",
        command="logq replay kafka:orders --to kafka:orders-copy --execute",
        at=NOW,
        groups=("billing",),
        max_bytes=1_048_588,
    )
    return replace(base, **how)


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    ("text", "option", "found"),
    [
        ("earliest", "--from", None),
        (" 42 ", "--from", 42),
        ("0", "--to-offset", 0),
        ("", "--until", None),
        ("90s", "--from", NOW - 90),
        ("PT1H", "--until", NOW - 3600),
        ("2026-11-23T14:22:07Z", "--from", 1795443727.0),
        ("2026-11-23", "--until", 1795392000.0),
    ],
)
def test_where_a_range_begins_or_ends(text: str, option: str, found: float | None) -> None:
    bound, words = replay_ranges._bound(text, NOW, option)
    assert bound == found
    assert type(bound) is type(found)
    assert words


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("sideways", "--from"),
        ("", "--from"),
        ("-5", "--from"),
        ("latest", "--from"),
        ("5", "--until"),
        ("earliest", "--until"),
        ("1h", "--to-offset"),
        ("-1", "--to-offset"),
        ("٣", "--from"),
    ],
)
def test_a_bound_that_makes_no_sense(text: str, option: str) -> None:
    with pytest.raises(UsageError, match=option):
        replay_ranges._bound(text, NOW, option)


@given(
    log=st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 20)),
    start=st.none() | st.integers(0, 150),
    end=st.none() | st.integers(0, 150),
)
def test_a_range_lies_in_the_log_and_before_undecided_records(
    log: tuple[int, int, int], start: int | None, end: int | None
) -> None:
    first, stable, high = log[0], log[0] + log[1], sum(log)
    made = replay_ranges._range(TopicPartition(0, start=first, end=high, stable_end=stable), start, end)
    assert first <= made.start <= made.end <= stable
    wanted = range(max(first, start or 0), min(stable, stable if end is None else end))
    assert list(range(made.start, made.end)) == list(wanted)
    assert ("expired" in made.note) == (start is not None and start < first)


@pytest.mark.parametrize(
    "how",
    [
        {"to_offset": "5", "until": "1h"},
        {"limit": 0},
        {"rate": 0.001},
        {"rate": float("inf")},
        {"job": "a job"},
        {"job": "../x"},
        {"job": ""},
    ],
)
def test_options_that_make_no_sense(how: dict[str, Any]) -> None:
    given_ = {"to_offset": None, "until": None, "limit": None, "rate": None, "job": None, **how}
    with pytest.raises(UsageError):
        replay_plan._check(**given_)


# ---------------------------------------------------------------- plan and words


def test_a_plan_comes_back_from_the_journal() -> None:
    for plan in (planned(), planned(to="queue", groups=None, problems=(Problem("w", "C", "m"),), where="value > 1")):
        kept = json.loads(json.dumps(to_json(plan)))
        assert from_json(kept) == plan
        told = printed(kept)
        assert told["at"] == "2026-11-18T11:06:40.000Z"
        assert (told["ranges"][0]["first_time"], told["ranges"][1]["first_time"]) == ("2026-11-18T11:05:00.000Z", None)
        assert told["ranges"][0]["start"] == 10
    assert planned().total == planned().offsets == 100
    assert planned(limit=7).total == 7
    assert planned(where="true").total is None


def test_the_digest_tells_other_jobs_apart_but_not_other_speeds() -> None:
    same = planned(rate=5.0, ranges=(), command="x", at=0.0, groups=None)
    assert same.digest == planned().digest
    others = [planned(target="x"), planned(source="x"), planned(where="true"), planned(limit=3), planned(to="queue")]
    assert len({p.digest for p in [*others, planned()]}) == 6


def test_a_range_can_be_limited_to_some_partitions() -> None:
    topic = Topic("orders", tuple(TopicPartition(i, start=10 * i, end=100, stable_end=90) for i in range(3)))
    ranges, *_ = replay_ranges.fixed(None, topic, None, "50", None, NOW, (1,))  # type: ignore[arg-type]
    assert [(r.partition, r.start, r.end, r.note) for r in ranges] == [(0, 0, 0, ""), (1, 10, 50, ""), (2, 20, 20, "")]
    with pytest.raises(NotFound, match="orders has no partition 3: it has 3, from 0 on"):
        replay_ranges.fixed(None, topic, None, None, None, NOW, (0, 3))  # type: ignore[arg-type]
    for how, said in (({"records": ("0/1",)}, "leave out --partition"), ({}, "a file is replayed whole")):
        source = "orders" if how else "file:/x.jsonl"
        with pytest.raises(UsageError, match=said):
            replay_plan.plan(None, source, "x", partitions=(0,), **how)  # type: ignore[arg-type]


def test_a_plan_of_some_partitions_says_so_everywhere() -> None:
    made = planned(only=(1, 2))
    assert from_json(json.loads(json.dumps(to_json(made)))) == made
    assert made.digest != planned().digest
    assert made.digest != planned(only=(1,)).digest
    shown = view(made)
    assert dict(shown.facts)["from"].startswith("topic orders, only partitions 1, 2 of 3, from earliest")
    assert "0" not in [row[0] for row in shown.rows]
    session = cast(Any, SimpleNamespace(settings=Settings()))
    command = replay_plan._command(session, made, None, None, None)
    assert "--partition 1 --partition 2" in command


def test_the_words_say_what_matters() -> None:
    def told(**how: Any) -> str:
        shown = view(planned(**how))
        return "\n".join([*(f"{a} {b}" for a, b in shown.facts), *shown.warnings])

    assert "1 group on orders-copy: billing" in told()
    assert "the same numbers" in told()
    assert "cannot be undone" in told()
    assert "by key (3 at the source, 5" in told(target_partitions=5)
    assert "unknown" in told(groups=None)
    assert "second time" in told(target="orders")
    assert "LogAppendTime" in told(own_time=False)
    assert "is compacted" in told(compacted=True)
    assert "shares its work" in told(joins=True, job="j")
    assert "takes it over" in told(limit=3)
    assert "by their own time" in told(retention_seconds=60.0)
    assert "by their own time" not in told(retention_seconds=6000.0)
    assert "at least once" in told(to="queue")
    assert "message group: the key, partition-N" in told(to="queue", fifo=True)
    assert "message group: each line's group_id, else its key" in told(to="queue", fifo=True, file=True)
    assert view(planned()).target == "orders-copy"
    assert [row[3] for row in view(planned()).rows] == ["50", "0", "50"]
    assert replay.view is view


# ---------------------------------------------------------------- marks


@given(
    numbers=st.lists(st.integers(0, 2**62), min_size=6, max_size=6),
    position=st.integers(0, 2**62),
    digest=st.text("0123456789abcdef", max_size=12),
)
def test_a_mark_comes_back_from_its_commit(numbers: list[int], position: int, digest: str) -> None:
    start, end, copied, tombstones, unselected, errors = numbers
    mark = Mark(start, end, position, digest, copied, tombstones, unselected, errors)
    assert parse(position, mark.metadata()) == mark
    assert len(mark.metadata()) < 400  # the broker takes 4,096


def test_a_mark_counts_what_held_no_record() -> None:
    mark = Mark(10, 100, 60, "d", copied=30, unselected=5)
    assert (mark.left, mark.done, mark.empty) == (40, False, 15)
    assert replace(mark, position=100).done


@pytest.mark.parametrize("text", ["", None, "x", "[]", "{}", '{"logq":2}', '{"logq":1,"start":0}', '{"logq":1,"z":0}'])
def test_another_programs_commit_is_no_mark(text: str | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(5, text)


def test_a_jobs_own_group_raises_no_alarm() -> None:
    """It stays where the copy ended, and its topic goes on, expires and all."""
    history = History(stall_seconds=10)
    left = GroupPartition("orders", 0, start=500, committed=100, end=9_000, stable_end=9_000)
    other = health.group_health(Group("billing", "classic", "Empty", members=(), partitions=(left,)), history, NOW)
    ours = health.group_health(Group("logq-job-x", "classic", "Empty", members=(), partitions=(left,)), history, NOW)
    assert other.status is Status.LOST
    assert (ours.status, ours.reason) == (Status.OK, "holds the progress of a logq job")
    assert ours.partitions is not None
    assert ours.partitions[0].status is Status.OK


# ---------------------------------------------------------------- filter


class Record:
    """As confluent-kafka gives it; what a filter does not name is not asked for."""

    def __init__(self, value: bytes | None, key: bytes | None = None, headers: Any = (), at: int = 1000) -> None:
        self._held = {
            "value": value,
            "key": key,
            "headers": headers,
            "timestamp": (1, at),
            "partition": 3,
            "offset": 77,
        }
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        def give() -> Any:
            self.asked.add(name)
            return self._held[name]

        return give


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        ("value.total > 100", True),
        ("value.total > 1000", False),
        ("value.missing == 1", None),
        ("key == 'k1' && partition == 3 && offset == 77", True),
        ("headers.kind == 'late' && headers['raw'] == b'\\xff'", True),
        ("headers.none == 'x'", None),
        ("timestamp > timestamp('1970-01-01T00:00:00Z')", True),
        ("'total' in value", True),
    ],
)
def test_a_filter_sees_the_record(where: str, chosen: bool | None) -> None:
    headers = [("kind", b"early"), ("kind", b"late"), ("raw", b"\xff")]
    record = Record(b'{"total": 120}', b"k1", headers)
    compiled = RecordWhere(where)
    assert compiled.record(record) is chosen
    assert bool(compiled.first_error) == (chosen is None)
    message = Message("kafka:t", "t/3/77", 3, 77, 1.0, b"k1", b'{"total": 120}', tuple(headers))
    assert RecordWhere(where).message(message) is chosen


def test_a_filter_decodes_only_what_it_names() -> None:
    record = Record(b"\xff" * 100)
    assert RecordWhere("offset > 5").record(record) is True
    assert record.asked == {"offset"}
    assert RecordWhere("value == null").record(Record(None)) is True


@pytest.mark.parametrize("where", ["value >", "bogus == 1", "attributes.x == 1", "body == 1"])
def test_a_filter_that_is_none(where: str) -> None:
    with pytest.raises(UsageError, match="--where"):
        RecordWhere(where)


# ---------------------------------------------------------------- messages


def record(value: bytes | None, key: bytes | None = b"k", headers: Any = (), offset: int = 7) -> Message:
    return Message("kafka:t", f"t/2/{offset}", 2, offset, 1.0, key, value, tuple(headers))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "tombstone"),
        (b"", "empty"),
        (b"\xff", "UTF-8"),
        (b"a\x00", r"U\+0000"),
        ("\uffff".encode(), r"U\+FFFF"),
        (b"x" * 300_000, "300"),
    ],
)
def test_what_cannot_be_a_message(value: bytes | None, why: str) -> None:
    made = outgoing(record(value), "t", "job", False, 262_144)
    assert isinstance(made, str)
    assert __import__("re").search(why, made)


def test_a_message_of_a_record() -> None:
    made = outgoing(record("é\t\n".encode()), "t", "job", False, None)
    assert isinstance(made, Outgoing)
    assert (made.body, made.group_id, made.dedup_id) == ("é\t\n", None, None)
    fifo = outgoing(record(b"x"), "t", "job", True, None)
    assert isinstance(fifo, Outgoing)
    assert fifo.group_id == "k"
    assert fifo.dedup_id == dedup_id("t", 2, 7, "job") != dedup_id("t", 2, 7, "job2")


def test_attributes_are_at_most_ten_and_none_twice() -> None:
    headers = [
        ("a", b"1"),
        ("a", b"2"),
        ("logq-replay", b"no"),
        ("AWS.x", b"no"),
        ("b..c", b"no"),
        ("e", None),
        (".f", b""),
    ]
    made = attributes(record(b"x", b"\xff", [*headers, *((f"h{n}", b"v") for n in range(20))]), "job")
    assert len(made) == 10
    assert made["a"]["StringValue"] == "1"
    assert made["logq-key"] == {"DataType": "Binary", "BinaryValue": b"\xff"}
    assert made["logq-origin"]["StringValue"] == "t/2/7"
    assert set(made) == {"a", "logq-replay", "logq-origin", "logq-key", *(f"h{n}" for n in range(6))}


def test_the_message_group_is_the_key() -> None:
    assert group_of(record(b"x", b"order-1")) == "order-1"
    assert group_of(record(b"x", None)) == "partition-2"
    assert group_of(structs.replace(record(b"x", b"order-1"), group_id="g1")) == "g1"
    assert len(group_of(structs.replace(record(b"x", b"order-1"), group_id="has space"))) == 64
    assert group_of(Message("", "", value=b"x")) == "file"
    for odd in (b"has space", b"k" * 129, "é".encode(), b"\xff", b""):
        assert len(group_of(record(b"x", odd))) == 64
    assert group_of(record(b"x", b"a b")) != group_of(record(b"x", b"a c"))


def test_a_unit_comes_back_from_the_journal() -> None:
    unit = Unit(3, 10, 25, {12: Outgoing("", "", {}), 20: Outgoing("", "", {})}, sent=4, intent=NOW)
    back = restored(unit.entry(INTENT))
    assert (back.partition, back.first, back.last, set(back.open), back.sent) == (3, 10, 25, {12, 20}, 4)
    assert back.unknown
    assert back.named == "offsets 12, 20 of partition 3"
    assert unit.entry(INTENT).key == "3/10-25"
