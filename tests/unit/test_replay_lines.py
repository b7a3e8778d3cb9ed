"""Messages as lines come back whole, whatever is in them; header changes do what they say and nothing else."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import NotFound, UsageError
from console.model import Message, Topic, TopicPartition
from console.ops import replay_reading
from console.ops.lines import read_line, write_line
from console.ops.replay_edit import OURS, Editor, Unfit, header_bytes, parse_edit
from console.ops.replay_file import examine, path_of
from console.ops.replay_message import outgoing
from console.ops.replay_ranges import Range, around, parse_records
from console.ops.replay_select import Selection
from console.ops.replay_value import ReplayPlan, from_json, to_values
from console.ops.replay_words import warnings
from console.sqs.send import Outgoing

raw = st.none() | st.binary(max_size=40)
headers = st.lists(st.tuples(st.text(min_size=1, max_size=8), raw), max_size=6).map(tuple)
messages = st.builds(
    Message,
    target=st.sampled_from(["kafka:orders", "kafka:ü"]),
    id=st.just("orders/1/5"),
    partition=st.integers(0, 9),
    offset=st.integers(0, 2**63 - 1),
    timestamp=st.none() | st.integers(0, 4_000_000_000_000).map(lambda ms: ms / 1000),
    key=raw,
    value=raw,
    headers=headers,
)


@given(messages)
def test_a_line_comes_back_as_the_message_it_was(message: Message) -> None:
    line = write_line(message)
    assert line.count("\n") == 1
    assert line.isascii(), "nothing in it can steer a terminal or an editor"
    back = read_line(line)
    assert (back.key, back.value, back.headers) == (message.key, message.value, message.headers)
    assert (back.id, back.target, back.partition, back.offset) == (
        message.id,
        message.target,
        message.partition,
        message.offset,
    )
    if message.timestamp is None:
        assert back.timestamp is None
    else:
        assert back.timestamp is not None
        assert round(back.timestamp * 1000) == round(message.timestamp * 1000)


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["value", "key", "headers", "timestamp", "partition", "base64", "name", "id", "attributes"]),
        inner, max_size=5),
    max_leaves=12,
).map(lambda told: json.dumps(told).encode()))  # fmt: skip
def test_any_line_is_a_message_or_said_not_to_be(line: bytes) -> None:
    try:
        assert isinstance(read_line(line), Message)
    except ValueError as error:
        assert str(error).startswith(("it ", "its ", "the base64 of its ")), error


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ({"id": "a\ud800"}, "id"),
        ({"target": "\udfff"}, "target"),
        ({"group_id": "\ud800"}, "group_id"),
        ({"headers": [{"name": "\ud800", "value": "v"}]}, "header's name"),
        ({"headers": {"a\udc80": "v"}}, "header's name"),
        ({"headers": [{"name": "a", "value": "\ud800"}]}, "header 'a'"),
    ],
)
def test_half_of_a_surrogate_pair_is_refused_with_its_line(tmp_path: Path, bad: dict[str, Any], what: str) -> None:
    """No byte stands for it: SQS's client fails on it, and Kafka's crashes the process."""
    path = tmp_path / "odd.jsonl"
    path.write_text('{"value": "good"}\n' + json.dumps({"value": "x", **bad}) + "\n", encoding="utf-8")
    for to_topic in (True, False):
        with pytest.raises(UsageError, match=rf"line 2 is no message: its {what} holds half of a surrogate pair"):
            examine(str(path), to_topic=to_topic)


def test_a_header_name_with_nul_cannot_go_to_a_topic(tmp_path: Path) -> None:
    path = tmp_path / "nul.jsonl"
    path.write_text(json.dumps({"value": "x", "headers": [{"name": "a\0b", "value": "v"}]}) + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match="line 1 cannot go to a topic"):
        examine(str(path), to_topic=True)
    assert examine(str(path), to_topic=False).records == 1


@pytest.mark.parametrize("name", ["a\0b", "\udcff", "a\ud800"])
def test_no_header_is_set_that_kafkas_client_cannot_take(name: str) -> None:
    with pytest.raises(UsageError, match="UTF-8 text without NUL"):
        parse_edit(texts=[f"{name}=x"])
    with pytest.raises(UsageError, match="UTF-8 text without NUL"):
        parse_edit(computed=[f"{name}=key"])


def test_an_id_that_sqs_takes_for_no_text_is_kept_as_bytes() -> None:
    line = json.dumps({"value": "x", "id": {"base64": "/wE="}})
    made = outgoing(read_line(line), "f.jsonl", "job", False, None, (0, 0))
    assert isinstance(made, Outgoing)
    assert made.attributes["logq-origin"] == {"DataType": "Binary", "BinaryValue": b"\xff\x01"}


@given(headers, st.sets(st.sampled_from("abc")), st.sampled_from(["", "x", "t=1"]))
def test_an_edit_drops_and_sets_and_leaves_the_rest_in_order(
    held: tuple[tuple[str, bytes | None], ...], dropped: set[str], text: str
) -> None:
    editor = Editor(parse_edit(sorted(dropped), [f"new={text}"]))
    made = editor.message(Message("kafka:t", "t/0/1", 0, 1, 1.0, b"k", b"1", held)).headers
    assert made[-1] == ("new", text.encode())
    assert made[:-1] == tuple(h for h in held if h[0] not in {*dropped, "new"})


@pytest.mark.parametrize(
    ("value", "header"),
    [
        (None, None), (b"\xff", b"\xff"), ("é", "é".encode()), (12, b"12"), (1.5, b"1.5"), (True, b"true"),
        ({"a": [1]}, b'{"a":[1]}'), (timedelta(minutes=1), b"60s"),
        (datetime(2026, 11, 23, 14, 22, 7, tzinfo=UTC), b"2026-11-23T14:22:07Z"),
    ],
)  # fmt: skip
def test_what_an_expression_gives_as_a_header(value: Any, header: bytes | None) -> None:
    assert header_bytes(value) == header


def test_an_edit_is_limited_by_its_own_filter_and_counts() -> None:
    editor = Editor(parse_edit(["x-*"], ["env=test"], where="value.total > 10"))
    told = [("x-trace", b"1"), ("keep", b"2")]
    small = Message("kafka:t", "t/0/1", 0, 1, 1.0, None, b'{"total": 5}', tuple(told))
    large = Message("kafka:t", "t/0/2", 0, 2, 1.0, None, b'{"total": 50}', tuple(told))
    tombstone = Message("kafka:t", "t/0/3", 0, 3, 1.0, None, None, tuple(told))
    assert editor.message(small) == small
    assert editor.message(tombstone) == tombstone
    assert editor.message(large).headers == (("keep", b"2"), ("env", b"test"))
    assert (editor.edited, editor.errors) == (1, 1)
    assert "copied as they are" in editor.note


def test_a_header_that_does_not_fit_is_an_error_not_a_guess() -> None:
    with pytest.raises(Unfit, match="tenant cannot be computed"):
        Editor(parse_edit(computed=["tenant=value.tenant"])).message(Message("kafka:t", "t/0/1", 0, 1, value=b"{}"))


@pytest.mark.parametrize(
    "how",
    [
        {"texts": ["noequals"]}, {"texts": ["=x"]}, *({"texts": [f"{name}=x"]} for name in OURS),
        {"computed": ["a=value."]}, {"computed": ["a=body.x"]}, {"drop": [""]}, {"drop": ["a*b"]},
        {"where": "offset > 5"}, {"texts": ["a=b"], "where": "nonsense("},
    ],
)  # fmt: skip
def test_what_is_no_edit(how: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        parse_edit(**how)


def test_what_was_typed_is_utf_8() -> None:
    """A shell hands over any bytes; the journal could not keep them."""
    for how in ({"drop": ["a\udcff"]}, {"texts": ["a=\udcffv"]}, {"computed": ["a='\udcff'"]}):
        with pytest.raises(UsageError, match="is not UTF-8"):
            parse_edit(**how)


# ---------------------------------------------------------------- picked records, files, plans


def test_records_are_named_by_partition_and_offset() -> None:
    assert parse_records(["0/5", "orders/1/7", "0/3", "0/5"], "orders") == ((0, (3, 5)), (1, (7,)))
    for wrong in ("5", "0-5", "other/0/5", "0/x", "-1/5", "٣/5"):
        with pytest.raises(UsageError, match="is no record of orders"):
            parse_records([wrong], "orders")


@given(st.dictionaries(st.integers(0, 2), st.sets(st.integers(10, 99), min_size=1, max_size=5), min_size=1))
def test_the_ranges_around_picked_records_hold_them_and_no_more(wanted: dict[int, set[int]]) -> None:
    topic = Topic("orders", tuple(TopicPartition(p, start=10, end=100, stable_end=100) for p in range(3)))
    picks = parse_records([f"{p}/{offset}" for p, offsets in wanted.items() for offset in offsets], "orders")
    ranges = {r.partition: (r.start, r.end) for r in around(topic, picks) if r.offsets}
    assert ranges == {p: (min(offsets), max(offsets) + 1) for p, offsets in wanted.items()}
    plan = made(picks=picks, ranges=around(topic, picks))
    chosen = Selection(plan)
    for p, (start, end) in ranges.items():
        for offset in range(start, end):
            taken = chosen.message(Message("kafka:orders", "", p, offset))
            assert taken is (offset in wanted[p])
    assert plan.total == sum(map(len, wanted.values()))


def test_a_picked_record_that_is_not_held_is_refused() -> None:
    topic = Topic("orders", (TopicPartition(0, start=10, end=100, stable_end=90),))
    for gone in ("0/9", "0/90", "1/50"):
        with pytest.raises(NotFound):
            around(topic, parse_records([gone], "orders"))


def made(**how: Any) -> ReplayPlan:
    base: dict[str, Any] = {
        "source": "orders", "target": "copy", "to": "topic", "ranges": (), "partitions": 3, "target_partitions": 3,
        "place": "b:1", "command": "", "at": 1.0,
    }  # fmt: skip
    return ReplayPlan(**{**base, **how})


def test_a_plan_with_everything_comes_back_from_the_journal_and_another_edit_is_another_job() -> None:
    edit = parse_edit(["x-*"], ["a=b=c"], ["n=key"], "offset > 5")
    plan = made(edit=edit, picks=((0, (3, 5)),), file=True, sha256="00")
    back = from_json(json.loads(json.dumps(to_values(plan))))
    assert back == plan
    assert back.digest == plan.digest
    digests = {
        p.digest
        for p in (
            made(),
            made(edit=edit),
            made(picks=((0, (3,)),)),
            made(file=True, sha256="1"),
            made(where="key == ''"),
        )
    }
    assert len(digests) == 5
    old = {key: value for key, value in to_values(made()).items() if key not in ("edit", "picks", "file", "sha256")}
    assert from_json(old).digest == made().digest, "a job of an earlier version goes on"


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("file:/a/b", "/a/b"), ("orders.jsonl", "orders.jsonl"), ("kafka:orders.jsonl", None), ("orders", None),
        ("sqs:x.jsonl", None), ("./x/orders.jsonl", "./x/orders.jsonl"), ("file:", None),
    ],
)  # fmt: skip
def test_which_source_is_a_file(source: str, path: str | None) -> None:
    assert path_of(source) == path


def test_the_time_0_is_told_to_become_another_one_at_a_topic() -> None:
    ends = (Range(0, 0, 5, first_time=0.0, last_time=9.0),)
    for plan, says in ((made(ranges=ends), True), (made(), False), (made(ranges=ends, to="queue"), False)):
        assert any("1970-01-01T00:00:00Z get that of the copying" in line for line in warnings(plan)) is says


def test_a_topic_that_a_broker_does_not_know_for_a_moment_is_not_taken_for_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay_reading, "_PAUSE_S", 0.0)
    answers: list[str | None] = []

    def topic_id(name: str) -> str:
        if (told := answers.pop(0)) is None:
            raise NotFound(f"no topic {name}")
        return told

    kafka = SimpleNamespace(topic_id=topic_id)
    session: Any = SimpleNamespace(require_kafka=lambda: kafka)
    reading = replay_reading.Records(session, made(topic_id="a"), threading.Event(), 0)
    answers.extend([None, None, None, "a"])
    reading._same()
    answers.extend([None] * 4)
    with pytest.raises(replay_reading.Gone, match="has been deleted"):
        reading._same()
    answers.append("b")
    with pytest.raises(replay_reading.Gone, match="made anew"):
        reading._same()
