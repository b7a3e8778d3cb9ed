"""Rules about the cluster itself: replicas, how far back a replay goes, who holds a transaction open, what ends it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from console import health, upkeep
from console.kafka.transactions import _Known, _Producer, _transaction
from console.model import Broker, KafkaSnapshot, Problem, Severity, Status, Topic, TopicPartition
from console.model_cluster import BrokerLoad, HeldPartition, OpenTransaction, TopicView

NOW = 1_795_443_727.0
DAY = 86_400.0


def part(number: int, leader: int | None = 1, isr: tuple[int, ...] = (1, 2, 3)) -> TopicPartition:
    return TopicPartition(number, leader, (1, 2, 3), isr, start=0, end=10)


def test_replication_in_words() -> None:
    assert upkeep.replication((part(0), part(1))) == upkeep.Replication(2)
    short = upkeep.replication((part(0), part(1, isr=(1, 3)), part(2, isr=(3,))))
    assert (short.severity, short.reason) == (
        Severity.WARN,
        "2 partitions under-replicated (out of sync: broker 1, 2)",
    )
    bad = upkeep.replication((part(0, leader=None, isr=(2,)), part(1, isr=(1, 3))))
    assert bad.severity is Severity.BAD
    assert bad.reason == "1 partition of 2 without a leader, 1 partition under-replicated (out of sync: broker 2)"


def test_attention_has_one_line_a_broker_however_many_topics_it_holds_up() -> None:
    topics = tuple(Topic(f"t{n}", (part(0, isr=(1, 3)), part(1, isr=(1, 3)))) for n in range(50))
    brokers = tuple(Broker(n, "h", 9092, reachable=True) for n in (1, 2, 3))
    (found,) = health.attention(KafkaSnapshot(NOW, brokers=brokers, topics=topics), None)
    assert (found.name, found.status, found.severity) == ("broker 2", Status.WARN, Severity.WARN)
    assert found.reason == "its replicas are out of sync on 100 partitions of 50 topics"
    away = (brokers[0], replace(brokers[1], reachable=False), brokers[2])
    (found,) = health.attention(KafkaSnapshot(NOW, brokers=away, topics=topics), None)
    assert found.status is Status.UNREACHABLE
    assert found.reason == "does not answer; out of sync on 100 partitions of 50 topics"


def view(oldest: float | None, records: int = 10, **config: str) -> TopicView:
    settings = tuple((key.replace("_", "."), value) for key, value in config.items())
    topic = Topic("t", (TopicPartition(0, 1, (1,), (1,), start=0, end=records),), config=settings)
    return TopicView(topic, NOW, oldest=((0, NOW - oldest),) if oldest is not None else ())


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (
            view(6 * DAY + 3 * 3600, cleanup_policy="delete", retention_ms=str(7 * 86_400_000)),
            "oldest replayable: 6d03h ago (2026-11-17T11:22:07Z); kept 7d00h: the next go in ~21h00m",
        ),
        (
            view(8 * DAY, cleanup_policy="delete", retention_ms=str(7 * 86_400_000)),
            "oldest replayable: 8d00h ago (2026-11-15T14:22:07Z); past its retention of 7d00h: "
            "goes when its segment is closed",
        ),
        (
            view(60, cleanup_policy="delete", retention_ms="-1", retention_bytes="-1"),
            "oldest replayable: 1m00s ago (2026-11-23T14:21:07Z); kept for ever",
        ),
        (
            view(60, cleanup_policy="delete", retention_ms="-1", retention_bytes="1073741824"),
            "oldest replayable: 1m00s ago (2026-11-23T14:21:07Z); kept 1.0 GiB a partition",
        ),
        (
            view(60, cleanup_policy="compact", retention_ms="1000"),
            "oldest replayable: 1m00s ago (2026-11-23T14:21:07Z); "
            "compacted: older values of a key may be gone already",
        ),
        (view(None, 0, cleanup_policy="delete", retention_ms="60000"), "nothing to replay now (kept 1m00s)"),
        (view(None, cleanup_policy="compact,delete", retention_ms="60000", retention_bytes="-1"),
         "kept 1m00s, compacted: the last record of each key stays"),
        (view(None), ""),
    ],
)  # fmt: skip
def test_how_far_back_a_replay_goes(seen: TopicView, said: str) -> None:
    assert upkeep.replayable(seen) == said


def test_the_oldest_is_unknown_when_a_partitions_is() -> None:
    two = Topic("t", tuple(TopicPartition(n, 1, start=0, end=10) for n in (0, 1)))
    assert TopicView(two, NOW, oldest=((0, NOW - 5),)).oldest_at is None
    drained = Topic("t", (two.partitions[0], TopicPartition(1, 1, start=7, end=7)))
    assert TopicView(drained, NOW, oldest=((0, NOW - 5),)).oldest_at == NOW - 5
    assert TopicView(two, NOW, sizes=((0, 5),)).size is None
    assert TopicView(two, NOW, sizes=((0, 5), (1, 6))).size == 11


# ---------------------------------------------------------------- transactions

HELD = HeldPartition("orders", 3, 1_204)
PRODUCER = _Producer(4001, 7, NOW - 90, HELD)


def known(state: str = "Ongoing", **more: object) -> _Known:
    values = {"epoch": 7, "started": NOW - 100, "timeout": 60.0, "partitions": frozenset({("orders", 3)}), **more}
    return _Known("order-sync", 4001, state, 2, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("coordinated", "everybody", "hanging"),
    [
        (known(), True, False),
        (known("PrepareCommit", partitions=frozenset()), True, False),  # its markers are being written
        (known("Empty"), True, True),
        (known("CompleteAbort"), True, True),
        (known(partitions=frozenset({("orders", 4)})), True, True),  # it has another transaction open, not this one
        (known(epoch=6), True, True),
        (known(partitions=None, epoch=None), True, False),  # described by nobody: what the list says counts
        (None, True, True),
        (None, False, None),  # a broker did not answer: it may be its coordinator
    ],
)
def test_a_transaction_hangs_when_no_coordinator_has_it_open(
    coordinated: _Known | None, everybody: bool, hanging: bool | None
) -> None:
    found = _transaction([PRODUCER], coordinated, everybody)
    assert found.hanging is hanging
    assert (found.producer_id, found.partitions, found.last_write) == (4001, (HELD,), NOW - 90)
    assert found.started == (NOW - 100 if coordinated is not None and hanging is False else None)


def transaction(**more: object) -> OpenTransaction:
    values: dict[str, object] = {"transactional_id": "order-sync", "state": "Ongoing", "started": NOW - 20}
    values |= {"timeout": 60.0, "coordinator": 2, "hanging": False, **more}
    return OpenTransaction(4001, 7, (HELD,), **values)  # type: ignore[arg-type]


def test_an_open_transaction_in_words() -> None:
    assert upkeep.open_words(transaction(), NOW) == (
        "open transaction of order-sync (producer 4001, epoch 7) for 20s (since 2026-11-23T14:21:47Z) "
        "on orders/3 from 1,204"
    )
    many = replace(transaction(transactional_id=None), partitions=tuple(replace(HELD, partition=n) for n in range(5)))
    assert upkeep.open_words(many, NOW).endswith("on 5 partitions of orders")
    assert upkeep.who(many) == "producer 4001, epoch 7"


@pytest.mark.parametrize(
    ("found", "trouble", "said"),
    [
        (transaction(), False, "it ends within 40s: broker 2 aborts it at its timeout of 1m00s"),
        (transaction(started=NOW - 120), True, "broker 2 should have aborted it 1m00s ago (its timeout is 1m00s)"),
        (transaction(state="PrepareAbort"), False, "is writing its markers"),
        (transaction(hanging=None, started=None, last_write=NOW - 5, timeout=None), False, "whether it hangs is not"),
        (
            transaction(hanging=True, started=None),
            True,
            "kafka-transactions.sh --bootstrap-server h:1 abort --topic orders --partition 3 --start-offset 1204",
        ),
    ],
)
def test_what_ends_a_transaction(found: OpenTransaction, trouble: bool, said: str) -> None:
    assert said in upkeep.remedy(found, NOW, "h:1")
    assert upkeep.is_trouble(found, NOW, upkeep.LONG_OPEN) is trouble


def test_a_broker_in_words() -> None:
    fine = BrokerLoad(Broker(1, "h", 9092, reachable=True), leads=3, replicas=9)
    assert (upkeep.broker_severity(fine), upkeep.broker_trouble(fine), upkeep.address(fine)) == (
        Severity.OK,
        "",
        "h:9092",
    )
    short = replace(fine, behind=2, under_replicated=1)
    assert upkeep.broker_severity(short) is Severity.WARN
    assert upkeep.broker_trouble(short) == "2 of 9 replicas out of sync, leads 1 under-replicated"
    away = BrokerLoad(Broker(2, "", 0, reachable=False), problem=Problem("broker 2", "DOWN", "not in the cluster"))
    assert (upkeep.broker_severity(away), upkeep.broker_trouble(away), upkeep.address(away)) == (
        Severity.BAD,
        "not in the cluster",
        "–",
    )
