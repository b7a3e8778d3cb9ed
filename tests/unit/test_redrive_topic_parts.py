"""Redrive of dead-letter topics without a broker: headers, the journal's marks, plans, where a record goes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.errors import NotFound, UsageError
from console.journal import Entry, Journal
from console.kafka.deadletter import without_failure
from console.model import Message, Topic, TopicPartition
from console.ops.redrive_marks import Marks, marks
from console.ops.redrive_topic_plan import TopicDestination, TopicRedrivePlan, _place, from_json, to_json, view
from console.ops.redrive_topic_select import Chosen, Selection


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal.db")
    yield opened
    opened.close()


def record(headers: dict[str, bytes], at: float | None = 1.0, offset: int = 5) -> Message:
    return Message("kafka:d.DLT", f"d.DLT/0/{offset}", 0, offset, at, b"k", b"v", tuple(headers.items()))


@pytest.mark.parametrize(
    ("dialect", "added"),
    [
        ("spring", ["kafka_dlt-original-topic", "kafka_dlt-exception-stacktrace", "retry_topic-attempts"]),
        ("spring-cloud-stream", ["x-original-topic", "x-exception-message"]),
        ("connect", ["__connect.errors.topic", "__connect.errors.task.id"]),
        ("streams", ["__streams.errors.topic"]),
        ("smallrye", ["dead-letter-reason", "dead-letter-topic"]),
    ],
)
def test_only_what_the_framework_added_goes(dialect: str, added: list[str]) -> None:
    headers = [("trace", b"1"), *((name, b"x") for name in added), ("trace", b"2"), ("x-mine", None)]
    assert without_failure(headers, dialect) == (("trace", b"1"), ("trace", b"2"), ("x-mine", None))
    assert without_failure(headers, None) == tuple(headers)


def test_marks_come_from_every_job_of_that_topic_on_that_cluster(journal: Journal) -> None:
    def job(source: str, place: str, entries: dict[str, tuple[str, int]]) -> str:
        made = journal.create_job("redrive", source, "kafka:d", plan={}, place=place)
        journal.put(
            made.id, [Entry(k, s, data=json.dumps({"timestamp": at}).encode()) for k, (s, at) in entries.items()]
        )
        journal.finish(made.id, "partly")
        return made.id

    first = job("kafka:d.DLT", "c1", {"d.DLT/0/5": ("SENT", 1000), "d.DLT/0/6": ("INTENT", 2000)})
    job("kafka:d.DLT", "c2", {"d.DLT/0/7": ("SENT", 1000)})
    job("kafka:e.DLT", "c1", {"e.DLT/0/7": ("SENT", 1000)})
    second = job("kafka:d.DLT", "c1", {"d.DLT/0/8": ("SENT", 1), "d.DLT/0/9": ("FAILED", 1), "d.DLT/0/10": ("LEFT", 1)})
    known = marks(journal, "d.DLT", None, "c1")
    assert known == Marks({"d.DLT/0/5": 1000, "d.DLT/0/8": 1}, {"d.DLT/0/6": 2000}, (first,))
    assert marks(journal, "d.DLT", "id1", "c1", apart_from=first).done == {"d.DLT/0/8": 1}
    assert second != first
    assert known.is_done(record({}))
    # The same place in a topic made again is another record.
    assert not known.is_done(record({}, at=7.0))
    assert known.in_doubt(record({}, at=2.0, offset=6))


def test_marks_belong_to_the_topic_of_that_id(journal: Journal) -> None:
    """Same name, place and timestamp: after a topic was made again nothing else tells its records from the old."""
    for planned, key in (({"dlq_id": "id1"}, 1), ({"dlq_id": "id2"}, 2), ({"dlq_id": None}, 3), ({}, 4)):
        made = journal.create_job("redrive", "kafka:d.DLT", "kafka:d", plan=planned, place="c1")
        entries = [Entry(f"d.DLT/0/{key}", "SENT", data=b'{"timestamp": 5}')]
        journal.put(made.id, [*entries, Entry(f"d.DLT/1/{key}", "INTENT", data=b'{"timestamp": 5}')])
        journal.finish(made.id, "partly")

    def seen(topic_id: str | None) -> tuple[list[str], list[str]]:
        known = marks(journal, "d.DLT", topic_id, "c1")
        return sorted(known.done), sorted(known.doubtful)

    assert seen("id2") == ([f"d.DLT/0/{n}" for n in (2, 3, 4)], [f"d.DLT/1/{n}" for n in (2, 3, 4)])
    assert seen(None) == ([f"d.DLT/0/{n}" for n in (1, 2, 3, 4)], [f"d.DLT/1/{n}" for n in (1, 2, 3, 4)])


class Client:
    """A cluster with one topic of three partitions; counts how often it is asked."""

    asked = 0

    def topic(self, name: str) -> Topic:
        self.asked += 1
        if name != "orders":
            raise NotFound(f"no topic {name}")
        return Topic(name, tuple(TopicPartition(p, leader=0, start=0, end=9) for p in range(3)))


def selection(client: Client, **more: Any) -> Selection:
    given: dict[str, Any] = {"to": None, "where": None, "ids": (), "clusters": (), "patience": 1.0, **more}
    return Selection(client, "d.DLT", {}, Marks(), **given)  # type: ignore[arg-type]


def chosen(message: Message, client: Client | None = None, **more: Any) -> Chosen:
    return selection(client or Client(), **more)._chosen(message)


SPRING = {"kafka_dlt-original-topic": b"orders", "kafka_dlt-original-partition": struct.pack(">i", 2), "mine": b"1"}


def test_back_to_the_original_topic_and_partition() -> None:
    found = chosen(record(SPRING))
    assert (found.to, found.partition, found.headers, found.again) == ("orders", 2, (("mine", b"1"),), False)


def test_a_partition_that_is_no_more_is_left_to_the_key() -> None:
    found = chosen(record({**SPRING, "kafka_dlt-original-partition": struct.pack(">i", 7)}))
    assert (found.to, found.partition) == ("orders", None)


def test_what_came_back_is_known_and_its_old_marks_go() -> None:
    found = chosen(record({**SPRING, "logq-redrive": b"job-1", "logq-origin": b"d.DLT/0/1"}))
    assert found.again and found.headers == (("mine", b"1"),)


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "no header says where it comes from"),
        ({"kafka_dlt-exception-fqcn": b"a.B"}, "do not name its original topic"),
        ({"kafka_dlt-original-topic": b"gone"}, "topic gone does not exist"),
        ({"kafka_dlt-original-topic": b"d.DLT"}, "this dead-letter topic itself"),
        ({"kafka_dlt-original-topic": b"\xff/../x"}, "no topic's name"),
    ],
)
def test_what_has_nowhere_to_go_stays_and_says_why(headers: dict[str, bytes], says: str) -> None:
    client = Client()
    found = chosen(record(headers), client)
    assert found.to is None and says in found.reason
    # A destination decides it for those that have none.
    assert chosen(record(headers), client, to="orders").to == "orders"


def test_ids_are_places() -> None:
    assert _place("d.DLT", "d.DLT/3/17") == _place("d.DLT", "3/17") == (3, 17)
    for wrong in ("17", "a/b", "other/3/17", "3/-1", "", "3/" + "9" * 30):
        with pytest.raises(UsageError, match="PARTITION/OFFSET"):
            _place("d.DLT", wrong)


def plan(**more: Any) -> TopicRedrivePlan:
    given: dict[str, Any] = {
        "dlq": "d.DLT",
        "place": "c1",
        "ranges": ((0, 0, 160),),
        "scanned": 160,
        "total": 100,
        "done_before": 57,
        "doubtful": 1,
        "doubtful_jobs": ("redrive-1",),
        "unselected": 0,
        "left": (("no header says where it comes from", 2),),
        "came_back": 3,
        "destinations": (TopicDestination("orders", 100, ((0, 5), (1, 6)), ("billing (Stable)",)),),
        "command": "logq",
        "canary": 10,
    }
    return TopicRedrivePlan(**{**given, **more})


def test_a_plan_survives_the_journal() -> None:
    assert from_json(json.loads(json.dumps(to_json(plan())))) == plan()
    unseen = plan(destinations=(TopicDestination("orders", 1, (), None),))
    assert from_json(json.loads(json.dumps(to_json(unseen)))) == unseen
    known = plan(dlq_id="0lqSDm6ZReeKcrBVGV-nFg")
    assert from_json(json.loads(json.dumps(to_json(known)))) == known
    older = to_json(known)
    del older["dlq_id"]
    assert from_json(older) == plan()


def test_a_plan_says_what_people_must_know() -> None:
    seen = view(plan())
    facts, warnings = dict(seen.facts), "\n".join(seen.warnings)
    assert facts["range"] == "p0 [0, 160)" and facts["done before"].startswith("57 records")
    assert "the first 10, then it pauses" in facts["speed"]
    assert seen.rows == (("orders", "100", "billing (Stable)"),)
    for said in ("cannot be undone", "2 records stay: no header", "resume redrive-1", "3 records had been redriven"):
        assert said in warnings


def test_why_there_is_nothing_to_do() -> None:
    assert plan().idle == ""
    assert "redriven already" in plan(total=0).idle
    assert "stay: no header" in plan(total=0, done_before=0).idle
    assert "no record that is selected" in plan(total=0, done_before=0, left=()).idle
