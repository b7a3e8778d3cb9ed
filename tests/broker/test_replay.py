"""Replay on a real broker: what is kept, what is left out, where it ends, and what is refused."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_program import logq
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from replay_world import BASE, Run, assert_copied, fill, make_topics, read

from console.config import KafkaSettings, Settings
from console.errors import NotFound, Refused, UsageError
from console.model import Outcome, Progress
from console.ops import jobs, replay
from console.ops.session import Session

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

Unique = Callable[[str], str]


@pytest.fixture
def session(kafka: str, tmp_path: Path) -> Iterator[Session]:
    opened = Session(Settings(kafka=KafkaSettings(kafka), state_dir=tmp_path, timeout=30))
    yield opened
    opened.close()


def pair(kafka: str, unique: Unique, partitions: int = 3, to: int | None = None) -> tuple[str, str]:
    source, target = unique("src"), unique("dst")
    make_topics(kafka, {source: partitions, target: to or partitions})
    return source, target


def copied(session: Session, source: str, target: str, **how: Any) -> Outcome:
    return replay.run(session, replay.plan(session, source, f"kafka:{target}", **how))


def test_everything_of_a_record_is_kept_and_aborted_ones_are_not_copied(
    kafka: str, session: Session, unique: Unique
) -> None:
    """Transactions end in markers: also at the end of a range, where no record comes any more."""
    source, target = pair(kafka, unique, 2)
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": unique("tx")})
    producer.init_transactions(30)
    for round_ in range(4):
        producer.begin_transaction()
        for n in range(25):
            number = round_ * 25 + n
            headers = [("a", None), ("a", b""), ("é", b"\xff\xfe"), ("n", b"%d" % number)]
            value = None if n == 3 else b"" if n == 4 else b"v%d" % number
            producer.produce(
                source, value, None if n == 5 else b"k%d" % n, partition=n % 2, headers=headers, timestamp=BASE + number
            )
        producer.flush(30)
        if round_ in (1, 3):
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    planned = replay.plan(session, source, f"kafka:{target}")
    assert [(r.start, r.end) for r in planned.ranges] == [(0, 56), (0, 52)]
    outcome = replay.run(session, planned)
    assert (outcome.state, outcome.done, outcome.left) == ("done", 50, 0)
    before, after = read(kafka, source, 2), read(kafka, target, 2)
    assert sum(map(len, before.values())) == 50
    assert_copied(before, after)
    assert {dict(r.headers)["logq-replay"] for r in after[0]} == {outcome.job.encode()}
    assert after[0][0].origin == f"{source}/0/0"
    assert after[0][0].headers[:4] == before[0][0].headers
    assert any("2 tombstones" in line for line in outcome.lines)
    assert any(line.startswith("58 offsets held no committed record") for line in outcome.lines)
    job = session.journal.job(outcome.job)
    assert (job.kind, job.state, job.done, job.left) == ("replay", "done", 50, 0)
    proof = jobs.receipt(session, outcome.job, "md")
    assert f"{source}/1" in proof
    assert "exactly once" in proof
    with pytest.raises(UsageError, match="nothing is left"):
        jobs.resume(session, outcome.job)


def test_by_key_where_the_partitions_differ(kafka: str, session: Session, unique: Unique) -> None:
    source, target = pair(kafka, unique, 3, 5)
    fill(kafka, source, 600, 3)
    assert copied(session, source, target).done == 600
    found = read(kafka, target, 5)
    homes: dict[bytes, set[int]] = {}
    for partition, records in found.items():
        origins: dict[tuple[bytes, str], int] = {}
        for r in records:
            assert r.key is not None
            homes.setdefault(r.key, set()).add(partition)
            _, from_partition, offset = r.origin.rsplit("/", 2)
            # Order holds for a key of one source partition.
            assert origins.get((r.key, from_partition), -1) < int(offset)
            origins[r.key, from_partition] = int(offset)
    assert all(len(where) == 1 for where in homes.values())
    # As Kafka's own Java client: murmur2("k0") and so on, from another implementation of it.
    for n in range(101):
        assert homes[b"k%d" % n] == {(murmur2(b"k%d" % n) & 0x7FFFFFFF) % 5}


def murmur2(data: bytes) -> int:
    """Apache Kafka's Utils.murmur2."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    for i in range(0, len(data) // 4 * 4, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    rest = data[len(data) // 4 * 4 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def test_the_range_is_fixed_when_it_is_planned(kafka: str, session: Session, unique: Unique) -> None:
    source, target = pair(kafka, unique, 2)
    fill(kafka, source, 100, 2)
    planned = replay.plan(session, source, f"kafka:{target}")
    fill(kafka, source, 50, 2, first=100)
    assert replay.run(session, planned).done == 100
    assert {p: len(r) for p, r in read(kafka, target, 2).items()} == {0: 50, 1: 50}


def test_ranges_by_offset_and_time(kafka: str, session: Session, unique: Unique) -> None:
    source, target = pair(kafka, unique, 2)
    now = time.time()
    producer = Producer({"bootstrap.servers": kafka})
    for n in range(100):  # a minute apart, the newest a minute and a half ago
        at = now - 90 - (99 - n) * 60
        producer.produce(source, b"%d" % n, partition=n % 2, timestamp=round(at * 1000))
    assert producer.flush(30) == 0
    to = f"kafka:{target}"

    def ranges(**how: str) -> list[tuple[int, int]]:
        return [(r.start, r.end) for r in replay.plan(session, source, to, **how).ranges]

    assert ranges(begin="10", to_offset="20") == [(10, 20), (10, 20)]
    assert ranges(begin="40", to_offset="900") == [(40, 50), (40, 50)]
    assert ranges(begin="20", to_offset="20") == [(20, 20), (20, 20)]
    for how, said in (
        ({"begin": "30", "to_offset": "20"}, "--to-offset 20 lies before --from 30"),
        ({"begin": "11m", "until": "21m"}, "--until 21m lies before --from 11m"),
    ):
        with pytest.raises(UsageError, match=said):
            ranges(**how)
    assert ranges(begin="11m") == [(45, 50), (45, 50)]
    assert ranges(begin="21m", until="11m") == [(40, 45), (40, 45)]
    assert ranges(begin="10s") == [(50, 50), (50, 50)]
    seen = replay.plan(session, source, to, begin="21m", until="11m")
    first = seen.ranges[0].first_time
    assert first is not None
    assert abs(first - (now - 90 - 19 * 60)) < 2
    assert replay.run(session, seen).done == 10
    values = sorted(int(r.value or b"") for records in read(kafka, target, 2).values() for r in records)
    assert values == list(range(80, 90))


def test_an_open_transaction_is_left_out(kafka: str, session: Session, unique: Unique) -> None:
    source, target = pair(kafka, unique, 1)
    fill(kafka, source, 10, 1)
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": unique("tx")})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(source, b"undecided", partition=0)
    producer.flush(30)
    try:
        planned = replay.plan(session, source, f"kafka:{target}")
        assert (planned.ranges[0].start, planned.ranges[0].end) == (0, 10)
        assert "1 behind an open transaction" in planned.ranges[0].note
        assert any("open transaction" in line for line in replay.view(planned).warnings)
        assert replay.run(session, planned).done == 10
    finally:
        producer.abort_transaction(30)


def test_a_filter_and_a_limit(kafka: str, session: Session, unique: Unique) -> None:
    source, target = pair(kafka, unique, 3)
    fill(kafka, source, 900, 3)
    how = {"where": "value % 10 == 0 && key.startsWith('k') && headers.n != '' && partition < 2 && offset >= 0"}
    wanted = {n for n in range(900) if n % 10 == 0 and n % 3 < 2}
    outcome = copied(session, source, target, **how)
    assert (outcome.state, outcome.done) == ("done", len(wanted))
    assert any(line.startswith(f"{900 - len(wanted)} records not selected") for line in outcome.lines)
    found = {int(r.value or b"") for records in read(kafka, target, 3).values() for r in records}
    assert found == wanted
    limited = unique("dst")
    make_topics(kafka, {limited: 3})
    outcome = copied(session, source, limited, limit=7, **how)
    assert (outcome.state, outcome.done, outcome.left) == ("done", 7, 0)
    assert sum(map(len, read(kafka, limited, 3).values())) == 7


def test_a_filter_that_fails_is_counted(kafka: str, session: Session, unique: Unique) -> None:
    source, target = pair(kafka, unique, 1)
    fill(kafka, source, 30, 1)
    outcome = copied(session, source, target, where="value.total > 5")
    assert (outcome.state, outcome.done) == ("done", 0)
    assert any("30 because the filter could not be applied" in line for line in outcome.lines)


def test_cancelled_between_transactions_and_resumed(kafka: str, session: Session, unique: Unique) -> None:
    source, target = pair(kafka, unique, 3)
    fill(kafka, source, 3_000, 3)
    planned = replay.plan(session, source, f"kafka:{target}", rate=600)  # 300 records a transaction
    asked: list[str] = []

    def ask(progress: Progress) -> None:
        if not asked and progress.done:
            session.journal.request_cancel(progress.job)  # as another process asks
            asked.append(progress.job)

    outcome = replay.run(session, planned, threading.Event(), ask)
    assert outcome.state == "cancelled"
    assert 0 < outcome.done < 3_000
    assert outcome.left == 3_000 - outcome.done
    assert sum(map(len, read(kafka, target, 3).values())) == outcome.done
    assert session.journal.job(outcome.job).state == "cancelled"
    # The rate is the plan's own; the rest goes as fast as it can.
    session.journal._writer.do(  # a test's short cut: five seconds less
        lambda db: db.execute("UPDATE jobs SET plan = replace(plan, '\"rate\": 600', '\"rate\": null')")
    )
    outcome = jobs.resume(session, outcome.job)
    assert (outcome.state, outcome.done, outcome.left) == ("done", 3_000, 0)
    assert_copied(read(kafka, source, 3), read(kafka, target, 3))


def test_a_rate_is_kept(kafka: str, session: Session, unique: Unique) -> None:
    source, target = pair(kafka, unique, 2)
    fill(kafka, source, 60, 2)
    started = time.monotonic()
    assert copied(session, source, target, rate=20).done == 60
    assert time.monotonic() - started >= 2.9


def test_a_log_start_that_overtakes_it_stops_it_clearly(kafka: str, session: Session, unique: Unique) -> None:
    source, target = pair(kafka, unique, 1)
    fill(kafka, source, 100, 1)
    planned = replay.plan(session, source, f"kafka:{target}")
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.delete_records([TopicPartition(source, 0, 40)]).values():
        future.result(30)
    outcome = replay.run(session, planned)
    assert (outcome.state, outcome.done, outcome.left) == ("failed", 0, 100)
    assert any("has gone: the log start has moved past it" in line for line in outcome.lines)
    assert not any(line.startswith("resume:") for line in outcome.lines), "a resume would end the same"
    again = replay.plan(session, source, f"kafka:{target}", begin="0")
    assert (again.ranges[0].start, again.ranges[0].note) == (40, "offsets 0 to 39 have expired")


def test_a_record_too_large_for_the_destination_is_named(kafka: str, session: Session, unique: Unique) -> None:
    source, target = unique("src"), unique("dst")
    make_topics(kafka, {source: 1})
    make_topics(kafka, {target: 1}, **{"max.message.bytes": "20000"})
    fill(kafka, source, 5, 1, pad=5_000)  # together they are more than the destination takes, but each fits
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(source, os.urandom(100_000), partition=0)
    assert producer.flush(30) == 0
    planned = replay.plan(session, source, f"kafka:{target}")
    assert (planned.ranges[0].end, planned.max_bytes) == (6, 20_000)
    outcome = replay.run(session, planned)
    # What came in transactions before it stays; nothing of its own transaction does.
    assert outcome.state == ("partly" if outcome.done else "failed")
    assert outcome.left
    assert any(f"{source} partition 0 offset 5 cannot be copied" in line for line in outcome.lines), outcome.lines
    assert any("too large" in line.lower() for line in outcome.lines), outcome.lines
    assert len(read(kafka, target, 1)[0]) == outcome.done < 6


def test_what_makes_no_sense_is_refused(kafka: str, session: Session, unique: Unique) -> None:
    source, target = pair(kafka, unique, 1)
    fill(kafka, source, 3, 1)
    with pytest.raises(NotFound, match="create no-such-topic first"):
        replay.plan(session, source, "kafka:no-such-topic")
    with pytest.raises(NotFound):
        replay.plan(session, "no-such-topic", f"kafka:{target}")
    with pytest.raises(UsageError, match="not built yet"):
        replay.plan(session, "sqs:queue", f"kafka:{target}")
    with pytest.raises(UsageError, match="uses bogus"):
        replay.plan(session, source, f"kafka:{target}", where="bogus > 1")
    name = unique("job")
    assert copied(session, source, target, job=name).done == 3
    with pytest.raises(UsageError, match="is done"):
        copied(session, source, target, job=name)
    with pytest.raises(Refused, match="with another destination, filter, limit or edit"):
        replay.plan(session, source, f"kafka:{target}", job=name, limit=2)


def test_another_machine_joins_by_the_name_alone(kafka: str, session: Session, unique: Unique, tmp_path: Path) -> None:
    """Two journals: what the second process knows of the job, it has from the job's own group."""
    source, target = pair(kafka, unique, 4)
    fill(kafka, source, 12_000, 4)
    name = unique("far")
    first = Run(kafka, tmp_path / "a", source, f"kafka:{target}", name=name, rate=1_500)
    first.wait_for(lambda: first.done > 0)
    fill(kafka, source, 400, 4, first=12_000)  # behind the range that the first one fixed
    second = Run(kafka, tmp_path / "b", source, f"kafka:{target}", name=name, rate=1_500)
    assert first.finish() == ["done", "12000", "0"]
    assert second.finish() == ["done", "12000", "0"]
    assert_copied({p: r[:3_000] for p, r in read(kafka, source, 4).items()}, read(kafka, target, 4))
    joined = replay.plan(session, source, f"kafka:{target}", job=name)
    assert joined.joins
    assert [(r.start, r.end) for r in joined.ranges] == [(0, 3_000)] * 4


def test_the_plan_names_who_will_see_the_copies_and_the_program_does_it(
    kafka: str, unique: Unique, tmp_path: Path
) -> None:
    from kafka_client import commit

    source, target, group = *pair(kafka, unique, 2), unique("readers")
    fill(kafka, source, 40, 2)
    commit(kafka, group, {(target, 0): 0})
    env = {"LOGQ_STATE_DIR": str(tmp_path)}
    call = ["-b", kafka, "replay", source, "--to", target]
    shown = logq(*call, env=env)
    assert shown.code == 0, shown.err
    assert group in shown.out
    assert "exactly once" in shown.out
    assert "the same numbers" in shown.out
    plan = logq(*call, "-o", "json", env=env).json["plan"]
    assert (plan["offsets"], plan["groups"], [r["end"] for r in plan["ranges"]]) == (40, [group], [20, 20])
    assert "--execute" in plan["command"]
    refused = logq(*call, "--execute", env=env)
    assert refused.code == 3
    assert "add --yes" in refused.line
    refused = logq("--read-only", *call, "--execute", "--yes", env=env)
    assert refused.code == 3
    assert "read-only" in refused.line
    assert logq(*call, "--from", "sideways", env=env).code == 2
    done = logq(*call, "--execute", "--yes", "-o", "json", env=env)
    assert done.code == 0, done.err
    assert done.json["outcome"]["state"] == "done"
    assert done.json["outcome"]["done"] == 40
    assert_copied(read(kafka, source, 2), read(kafka, target, 2))
    empty = logq(*call, "--from", "20", "--execute", "--yes", env=env)
    assert empty.code == 0
    assert "nothing to do" in empty.err
