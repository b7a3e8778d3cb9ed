"""How a reset ends when Kafka does not do as it says: races and lies that a real broker shows only now and then.

The journal is the real one; Kafka is a few dictionaries, because a lost answer, an answer that is not true or a commit
between plan and run cannot be had from a broker at will. The real ones are in tests/broker/test_reset.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from console.config import KafkaSettings, Settings
from console.errors import Failed, NotFound, Refused, Unreachable, UsageError
from console.journal import Journal
from console.model import Group, GroupPartition, Member, Outcome, Problem, Progress, Topic, TopicPartition
from console.ops import reset
from console.ops.offsets import Strategy

Key = tuple[str, int]
EARLIEST = Strategy("earliest")


class Kafka:
    """One topic `orders` of 5 partitions, log 10 to 100, read by the group `billing`."""

    def __init__(self) -> None:
        self.commits: dict[Key, int] = {("orders", p): 50 + p for p in range(4)}
        self.start = dict.fromkeys((("orders", p) for p in range(5)), 10)
        self.members: tuple[Member, ...] = ()
        self.on_commit: Callable[[Mapping[Key, int]], dict[Key, Problem | None] | None] = lambda offsets: None
        self.read_fails = False
        self.sent: list[dict[Key, int]] = []
        self.cluster = "c1"

    def cluster_id(self) -> str:
        return self.cluster

    def group(self, name: str) -> Group:
        if name != "billing":
            raise NotFound(f"no group {name}")
        partitions = tuple(
            GroupPartition(t, p, start=self.start[t, p], committed=self.commits.get((t, p)), end=100)
            for t, p in sorted(self.start)
        )
        state = "Stable" if self.members else "Empty"
        return Group("billing", type="classic", state=state, members=self.members, partitions=partitions)

    def topic(self, name: str) -> Topic:
        held = sorted(key for key in self.start if key[0] == name)
        if not held:
            raise NotFound(f"no topic {name}")
        return Topic(name, tuple(TopicPartition(p, start=self.start[t, p], end=100) for t, p in held))

    def record_times(self, positions: Mapping[Key, int]) -> dict[Key, float | None]:
        return {key: float(offset) for key, offset in positions.items()}

    def watermarks(self, partitions: Iterable[Key]) -> dict[Key, tuple[int, int] | Problem]:
        return {key: (self.start[key], 100) for key in partitions}

    def committed(self, group: str, partitions: Iterable[Key]) -> dict[Key, int | Problem | None]:
        if self.read_fails and self.sent:
            raise Unreachable("no broker answers")
        return {key: self.commits.get(key) for key in partitions}

    def commit_offsets(self, group: str, offsets: Mapping[Key, int]) -> dict[Key, Problem | None]:
        self.sent.append(dict(offsets))
        answer = self.on_commit(offsets)
        if answer is not None:
            return answer
        self.commits.update(offsets)
        return dict.fromkeys(offsets)


class Session:
    """What the operations use of a session."""

    def __init__(self, kafka: Kafka, journal: Journal, settings: Settings) -> None:
        self.kafka, self.journal, self.settings = kafka, journal, settings

    def require_kafka(self) -> Kafka:
        return self.kafka


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


@pytest.fixture
def session(kafka: Kafka, journal: Journal, tmp_path: Path) -> Session:
    return Session(kafka, journal, Settings(kafka=KafkaSettings("h:1"), state_dir=tmp_path))


def apply(session: Session, strategy: Strategy = EARLIEST, cancel: threading.Event | None = None):  # type: ignore[no-untyped-def]
    """Plan and run."""
    plan = reset.plan(session, "billing", strategy)  # type: ignore[arg-type]
    return reset.run(session, plan, cancel or threading.Event(), reread=0)  # type: ignore[arg-type]


def test_the_old_offsets_are_saved_before_the_first_commit(kafka: Kafka, journal: Journal, session: Session) -> None:
    saved: list[list[str]] = []

    def look(offsets: Mapping[Key, int]) -> None:
        (job,) = journal.jobs()
        saved.append(sorted(e.key for e in journal.entries(job.id) if b'"old"' in (e.data or b"")))

    kafka.on_commit = look
    outcome = apply(session)
    assert saved == [[f"orders/{p}" for p in range(5)]]
    assert (outcome.state, outcome.done, outcome.failed, outcome.left) == ("done", 5, 0, 0)
    assert set(kafka.commits.values()) == {10}


def test_a_partition_that_could_not_be_seen_makes_it_partly(kafka: Kafka, session: Session) -> None:
    seen = kafka.group

    def without_a_leader(name: str) -> Group:
        found = seen(name)
        lost = Problem("broker 2", "TIMEOUT", "broker 2 does not answer")
        rows = (
            replace(p, end=None, start=None, problem=lost) if p.partition == 3 else p for p in found.partitions or ()
        )
        return replace(found, partitions=tuple(rows))

    kafka.group = without_a_leader  # type: ignore[method-assign]
    outcome = apply(session)
    assert (outcome.state, outcome.done, outcome.failed, outcome.left) == ("partly", 4, 0, 1)
    assert any("1 partition left alone that could not be seen" in line for line in outcome.lines), outcome.lines
    assert [(p.where, p.code) for p in outcome.problems] == [("orders partition 3", "UNSEEN")]
    again = apply(session)
    assert (again.state, again.left) == ("failed", 1), "what is left is not where the plan wants it"
    assert "could not be seen" in again.lines[0]


def test_an_undo_leaves_alone_what_is_no_more_and_brings_back_the_rest(kafka: Kafka, session: Session) -> None:
    kafka.commits["old", 0] = 20
    kafka.start["old", 0] = 10
    job = apply(session).job
    del kafka.commits["old", 0], kafka.start["old", 0]  # a topic that is deleted takes its commits along
    for p in (3, 4):
        kafka.commits.pop(("orders", p))
        del kafka.start["orders", p]
    plan = reset.plan_undo(session, job)  # type: ignore[arg-type]
    notes = {(e.topic, e.partition): e.note for e in plan.entries if e.new is None}
    assert notes == {
        ("old", 0): "left alone: the topic is no more",
        ("orders", 3): "left alone: the topic has only 3 partitions now",
    }
    outcome = reset.undo(session, job, threading.Event())  # type: ignore[arg-type]
    assert (outcome.state, outcome.done, outcome.left) == ("partly", 3, 2)
    assert {p.code for p in outcome.problems} == {"GONE"}
    assert kafka.commits == {("orders", 0): 50, ("orders", 1): 51, ("orders", 2): 52}
    assert any("2 partitions left alone" in line and "old partition 0" in line for line in outcome.lines)


def test_an_undo_says_which_commits_it_cannot_take_away(kafka: Kafka, session: Session) -> None:
    job = apply(session, Strategy("offset", number=60)).job  # orders 4 had no commit: what lies before 60 is skipped
    plan = reset.plan_undo(session, job)  # type: ignore[arg-type]
    said = "1 partition had no commit before and keeps the one the reset made: 50 records before it are not read"
    assert said in reset.view(plan).warnings
    (kept,) = plan.kept
    assert (kept.partition, kept.old, kept.new, kept.skipped) == (4, 60, None, 50)
    assert reset.to_json(plan)["kept"] == [{"topic": "orders", "partition": 4, "committed": 60, "skipped": 50}]
    kafka.commits["orders", 4] = 70  # what it read since changes nothing in what was skipped
    outcome = reset.undo(session, job, threading.Event())  # type: ignore[arg-type]
    assert (outcome.state, outcome.done, outcome.left) == ("done", 4, 0)
    assert said in outcome.lines
    del kafka.commits["orders", 4]
    assert not any("had no commit" in w for w in reset.view(reset.plan_undo(session, job)).warnings)  # type: ignore[arg-type]


def test_a_file_with_a_topic_that_is_not_there_is_an_error_that_names_the_way_out(session: Session) -> None:
    strategy = Strategy("from-file", text="f.csv", offsets={("orders", 0): 20, ("typo", 0): 3})
    with pytest.raises(NotFound, match=r"no topic typo.*take its lines out of f\.csv.*--topic"):
        reset.plan(session, "billing", strategy)  # type: ignore[arg-type]
    plan = reset.plan(session, "billing", strategy, [("orders", (0,))])  # type: ignore[arg-type]
    assert [e.new for e in plan.changes] == [20]


def test_a_refused_partition_is_partly_with_its_reason(kafka: Kafka, session: Session) -> None:
    refusal = Problem("orders 3", "TOPIC_AUTHORIZATION_FAILED", "not allowed")

    def refuse(offsets: Mapping[Key, int]) -> dict[Key, Problem | None]:
        kafka.commits.update({k: v for k, v in offsets.items() if k[1] != 3})
        return {key: refusal if key[1] == 3 else None for key in offsets}

    kafka.on_commit = refuse
    outcome = apply(session)
    assert (outcome.state, outcome.done, outcome.failed) == ("partly", 4, 1)
    assert [(p.where, p.message) for p in outcome.problems] == [("orders partition 3", "not allowed")]
    assert any("job resume" in line for line in outcome.lines)


def test_an_answer_that_is_not_true_is_found_by_reading_back(kafka: Kafka, session: Session) -> None:
    kafka.on_commit = dict.fromkeys  # says yes, writes nothing
    outcome = apply(session)
    assert (outcome.state, outcome.done, outcome.failed) == ("failed", 0, 5)
    assert outcome.problems[0].message == "reads 50 after the commit, not 10"
    assert not any("undo" in line for line in outcome.lines)


def test_a_lost_answer_is_judged_by_reading_back(kafka: Kafka, session: Session) -> None:
    def lost(offsets: Mapping[Key, int]) -> None:
        kafka.commits.update(offsets)
        raise Unreachable("the coordinator died")

    kafka.on_commit = lost
    outcome = apply(session)
    assert (outcome.state, outcome.done) == ("done", 5)


def test_no_reading_back_is_no_verdict_and_resume_finds_out(kafka: Kafka, journal: Journal, session: Session) -> None:
    kafka.read_fails = True
    with pytest.raises(Failed, match="could not be read back"):
        apply(session)
    (job,) = journal.jobs()
    assert job.state == "interrupted"
    kafka.read_fails = False
    outcome = reset.resume(session, job.id, threading.Event(), reread=0)  # type: ignore[arg-type]
    assert (outcome.state, outcome.done) == ("done", 5)
    assert journal.job(job.id).state == "done"
    with pytest.raises(UsageError, match="done"):
        reset.resume(session, job.id, threading.Event(), reread=0)  # type: ignore[arg-type]


def test_a_cancel_stops_between_batches_and_resume_does_the_rest(
    kafka: Kafka, journal: Journal, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reset, "BATCH", 2)
    cancel = threading.Event()

    def stop(offsets: Mapping[Key, int]) -> None:
        cancel.set()

    kafka.on_commit = stop
    outcome = apply(session, cancel=cancel)
    assert (outcome.state, outcome.done, outcome.failed, outcome.left) == ("cancelled", 2, 0, 3)
    (job,) = journal.jobs()
    assert (job.state, job.done, job.left) == ("cancelled", 2, 3)
    kafka.on_commit = lambda offsets: None
    kafka.sent.clear()
    outcome = reset.resume(session, job.id, threading.Event(), reread=0)  # type: ignore[arg-type]
    assert (outcome.state, outcome.done) == ("done", 5)
    assert {key for batch in kafka.sent for key in batch} == {("orders", p) for p in (2, 3, 4)}
    plan = reset.plan_undo(session, job.id)  # type: ignore[arg-type]
    assert {e.partition: e.new for e in plan.entries} == {0: 50, 1: 51, 2: 52, 3: 53}


def test_a_cancel_from_another_process_stops_it_too(
    kafka: Kafka, journal: Journal, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reset, "BATCH", 2)
    kafka.on_commit = lambda offsets: journal.request_cancel(journal.jobs()[0].id)
    assert apply(session).state == "cancelled"


def test_offsets_that_moved_since_the_plan_are_not_overwritten(
    kafka: Kafka, journal: Journal, session: Session
) -> None:
    plan = reset.plan(session, "billing", EARLIEST)  # type: ignore[arg-type]
    kafka.commits["orders", 2] = 77
    with pytest.raises(Refused, match=r"orders partition 2 has moved since the plan \(52 -> 77\)"):
        reset.run(session, plan, threading.Event(), reread=0)  # type: ignore[arg-type]
    assert kafka.sent == []
    assert journal.jobs() == ()


def test_a_log_start_that_moved_on_is_followed_and_said(kafka: Kafka, session: Session) -> None:
    plan = reset.plan(session, "billing", EARLIEST)  # type: ignore[arg-type]
    kafka.start["orders", 1] = 30
    outcome = reset.run(session, plan, threading.Event(), reread=0)  # type: ignore[arg-type]
    assert kafka.commits["orders", 1] == 30
    assert outcome.lines[0] == "orders partition 1: the log start has moved on, 10 became 30"


def test_a_live_group_is_planned_and_refused(kafka: Kafka, session: Session) -> None:
    kafka.members = (Member("m-1", "worker-7", "10.0.0.9"),)
    plan = reset.plan(session, "billing", EARLIEST)  # type: ignore[arg-type]
    assert plan.live
    assert "worker-7 on 10.0.0.9" in " ".join(reset.view(plan).warnings)
    with pytest.raises(Refused, match=r"worker-7 on 10\.0\.0\.9"):
        reset.run(session, plan, threading.Event(), reread=0)  # type: ignore[arg-type]
    assert kafka.sent == []


def test_waiting_plans_again_on_what_the_group_left_behind(kafka: Kafka, session: Session) -> None:
    kafka.members = (Member("m-1", "worker-7", "10.0.0.9"),)
    plan = reset.plan(session, "billing", Strategy("shift", number=-5))  # type: ignore[arg-type]

    def leave(seen: Progress) -> None:
        assert "1 member: worker-7 on 10.0.0.9" in seen.note
        kafka.members = ()
        kafka.commits["orders", 0] = 60

    ready = reset.wait_empty(session, plan, 5, threading.Event(), leave, pause=0.01)  # type: ignore[arg-type]
    assert [e.new for e in ready.entries] == [55, 46, 47, 48, None]


def test_members_that_come_back_at_the_last_moment_are_waited_for_again(
    kafka: Kafka, journal: Journal, session: Session
) -> None:
    """Between the plan on the empty group and its check a member joins; then one between the check and the commit."""
    member = (Member("m-1", "worker-7", "10.0.0.9"),)
    plan = reset.plan(session, "billing", EARLIEST, armed=True)  # type: ignore[arg-type]
    assert plan.command.endswith("--to-earliest --wait-empty --execute")
    looks: list[str] = []
    # A look to wait, one to plan, one to check: the third finds a member; later one joins before the commit.
    script = [(), (), member, member, (), (), (), (), (), ()]

    class Flapping(Kafka):
        def group(self, name: str) -> Group:
            self.members = script[len(looks)] if len(looks) < len(script) else ()
            looks.append(name)
            return super().group(name)

    flapping = Flapping()
    refused = {"left": 1}

    def joined(offsets: Mapping[Key, int]) -> dict[Key, Problem | None] | None:
        if refused["left"]:
            refused["left"] = 0
            return {key: Problem("p", "UNKNOWN_MEMBER_ID", "the group has members") for key in offsets}
        return None

    flapping.on_commit = joined
    session.kafka = flapping
    said: list[str] = []
    outcome = reset.run_when_empty(
        session, plan, 30, threading.Event(), lambda p: said.append(p.note), reread=0  # type: ignore[arg-type]
    )  # fmt: skip
    assert (outcome.state, outcome.done) == ("done", 5)
    assert any("worker-7" in note for note in said)
    assert set(flapping.commits.values()) == {10}
    assert [job.state for job in reversed(journal.jobs())] == ["failed", "done"]


def test_an_armed_reset_bears_brokers_that_do_not_answer_and_gives_up_in_time(kafka: Kafka, session: Session) -> None:
    plan = reset.plan(session, "billing", EARLIEST, armed=True)  # type: ignore[arg-type]
    answers = [Unreachable("no broker answers"), Unreachable("no broker answers")]

    class Away(Kafka):
        def group(self, name: str) -> Group:
            if answers:
                raise answers.pop()
            return super().group(name)

    session.kafka = Away()
    notes: list[str] = []
    ready = reset.wait_empty(
        session, plan, 5, threading.Event(), lambda p: notes.append(p.note), pause=0.01  # type: ignore[arg-type]
    )  # fmt: skip
    assert len(ready.changes) == 5 and all("cannot be seen, asking again" in note for note in notes) and notes
    session.kafka.members = (Member("m-1", "worker-7", "10.0.0.9"),)
    with pytest.raises(Refused, match=r"gave up waiting, nothing was changed: .*worker-7"):
        reset.wait_empty(session, plan, 0.05, threading.Event(), pause=0.01)  # type: ignore[arg-type]


# ---------------------------------------------------------------- the second look


def later(kafka: Kafka, change: Callable[[], None], tmp: Session, strategy: Strategy = EARLIEST) -> Outcome:
    """Plan and run; `change` happens while the reset waits to look again."""
    plan = reset.plan(tmp, "billing", strategy)  # type: ignore[arg-type]
    done: list[bool] = []

    def on(progress: Progress) -> None:
        if "reads again" in progress.note and not done:
            done.append(True)
            change()

    return reset.run(tmp, plan, threading.Event(), on, reread=0.3)  # type: ignore[arg-type]


def test_a_reset_that_was_undone_has_nothing_to_undo_any_more(kafka: Kafka, journal: Journal, session: Session) -> None:
    done = apply(session)
    assert journal.job(done.job).undoable
    undo = reset.run(session, reset.plan_undo(session, done.job), threading.Event(), reread=0)  # type: ignore[arg-type]
    assert undo.state == "done"
    assert not journal.job(done.job).undoable
    assert journal.job(undo.job).undoable
    assert any(f"undone by {undo.job}" in line.line for line in journal.trail(done.job))


def test_a_commit_of_nobody_that_is_a_member_is_shouted(kafka: Kafka, journal: Journal, session: Session) -> None:
    outcome = later(kafka, lambda: kafka.commits.update({("orders", 1): 61}), session)
    assert (outcome.state, outcome.done, outcome.failed) == ("partly", 4, 1)
    assert outcome.lines[0].startswith("OVERWRITTEN: 1 partition of 5 did not stay: orders partition 1 was set to 10")
    assert "it reads 61" in outcome.lines[0] and "assign()" in outcome.lines[1]
    assert [p.code for p in outcome.problems] == ["OVERWRITTEN"]
    assert not any(line.startswith("resume:") for line in outcome.lines), "a resume would be overwritten as well"
    assert journal.counts(outcome.job) == {"done": 4, "overwritten": 1}
    with pytest.raises(Refused, match=r"moved since the plan \(51 -> 61\)"):
        reset.resume(session, outcome.job, threading.Event(), reread=0)  # type: ignore[arg-type]
    assert {e.partition: e.new for e in reset.plan_undo(session, outcome.job).changes} == {0: 50, 1: 51, 2: 52, 3: 53}  # type: ignore[arg-type]


def test_all_of_it_overwritten_is_a_failure(kafka: Kafka, session: Session) -> None:
    assert later(kafka, lambda: kafka.commits.update({("orders", p): 99 for p in range(5)}), session).state == "failed"


def test_members_that_read_on_are_no_trouble(kafka: Kafka, session: Session) -> None:
    def back() -> None:
        kafka.members = (Member("m-1", "worker-7", "10.0.0.9"),)
        kafka.commits["orders", 1] = 12

    outcome = later(kafka, back, session)
    assert (outcome.state, outcome.done) == ("done", 5)
    assert any("1 member came back and read on" in line for line in outcome.lines)


def test_a_second_look_that_cannot_be_had_is_said(kafka: Kafka, session: Session) -> None:
    outcome = later(kafka, lambda: setattr(kafka, "read_fails", True), session)
    assert outcome.state == "done"
    assert any("could not be looked at" in line for line in outcome.lines)


def test_a_cancel_takes_the_second_look_at_once(kafka: Kafka, journal: Journal, session: Session) -> None:
    cancel = threading.Event()
    plan = reset.plan(session, "billing", EARLIEST)  # type: ignore[arg-type]

    def on(progress: Progress) -> None:
        if "reads again" in progress.note:
            cancel.set()

    began = time.monotonic()
    outcome = reset.run(session, plan, cancel, on, reread=30)  # type: ignore[arg-type]
    assert outcome.state == "done" and time.monotonic() - began < 10
    assert journal.job(outcome.job).state == "done"


# ---------------------------------------------------------------- the old offsets in a file


def test_the_old_offsets_are_in_a_file_before_the_first_commit(
    kafka: Kafka, journal: Journal, session: Session, tmp_path: Path
) -> None:
    found: list[str] = []

    def look(offsets: Mapping[Key, int]) -> None:
        (file,) = (tmp_path / "undo").glob("*.csv")
        found.append(file.read_text())

    kafka.on_commit = look
    outcome = apply(session)
    assert found == ["orders,0,50\norders,1,51\norders,2,52\norders,3,53\n"]
    assert reset.saved_csv(session, outcome.job) == found[0]  # type: ignore[arg-type]
    assert f"--from-file {tmp_path}/undo/{outcome.job}.csv --execute" in " ".join(outcome.lines)


def test_nothing_is_changed_when_the_old_offsets_cannot_be_saved(
    kafka: Kafka, journal: Journal, session: Session, tmp_path: Path
) -> None:
    (tmp_path / "undo").write_text("a file where the folder should be")
    with pytest.raises(Failed, match="nothing was changed"):
        apply(session)
    assert kafka.sent == []
    (job,) = journal.jobs()
    (tmp_path / "undo").unlink()
    assert reset.resume(session, job.id, threading.Event(), reread=0).state == "done"  # type: ignore[arg-type]


def test_a_log_start_that_moves_between_two_runs_does_not_lock_the_job(
    kafka: Kafka, journal: Journal, session: Session
) -> None:
    kafka.read_fails = True
    with pytest.raises(Failed):
        apply(session)
    (job,) = journal.jobs()
    kafka.commits = {("orders", p): 50 + p for p in range(4)}  # the commits of the first run never arrived
    kafka.start = dict.fromkeys(kafka.start, 30)
    with pytest.raises(Failed):
        reset.resume(session, job.id, threading.Event(), reread=0)  # type: ignore[arg-type]
    kafka.read_fails = False
    outcome = reset.resume(session, job.id, threading.Event(), reread=0)  # type: ignore[arg-type]
    assert outcome.state == "done" and set(kafka.commits.values()) == {30}


def test_read_only_refuses_in_the_operation_itself(kafka: Kafka, journal: Journal) -> None:
    guarded = Session(kafka, journal, Settings(kafka=KafkaSettings("h:1"), read_only=True))
    with pytest.raises(Refused, match="read-only"):
        apply(guarded)
    with pytest.raises((Refused, NotFound)):
        reset.resume(guarded, "reset-1", threading.Event(), reread=0)  # type: ignore[arg-type]
    assert kafka.sent == []


def test_two_resets_of_one_group_do_not_run_at_once(kafka: Kafka, journal: Journal, session: Session) -> None:
    def second(offsets: Mapping[Key, int]) -> None:
        kafka.on_commit = lambda offsets: None
        with pytest.raises(Refused, match="group:billing is being worked on"):
            apply(session)

    kafka.on_commit = second
    assert apply(session).state == "done"


def test_an_undo_of_another_cluster_is_refused(kafka: Kafka, journal: Journal, session: Session) -> None:
    job = apply(session).job
    kafka.cluster = "c2"
    with pytest.raises(Refused, match=r"was done on the cluster c1, this is c2: .* logq -b h:1 group reset"):
        reset.plan_undo(session, job)  # type: ignore[arg-type]
    # The same cluster by another address is the same cluster.
    kafka.cluster = "c1"
    elsewhere = Session(kafka, journal, Settings(kafka=KafkaSettings("other:1")))
    assert reset.plan_undo(elsewhere, job).changes  # type: ignore[arg-type]


def test_nothing_to_change_leaves_no_job(kafka: Kafka, journal: Journal, session: Session) -> None:
    kafka.commits = {("orders", p): 10 for p in range(5)}
    outcome = apply(session)
    assert (outcome.state, outcome.done, outcome.job) == ("done", 0, "")
    assert journal.jobs() == ()
    assert kafka.sent == []


def test_a_group_that_is_not_there_is_made_only_when_asked(kafka: Kafka, session: Session) -> None:
    where = [("orders", None)]
    with pytest.raises(NotFound):
        reset.plan(session, "new", EARLIEST, where)  # type: ignore[arg-type]
    plan = reset.plan(session, "new", EARLIEST, where, create=True)  # type: ignore[arg-type]
    assert [(e.old, e.new) for e in plan.entries] == [(None, 10)] * 5


def test_kafkas_csv_of_old_and_new(session: Session) -> None:
    plan = reset.plan(session, "billing", EARLIEST, [("orders", (0, 4))])  # type: ignore[arg-type]
    assert reset.csv(plan) == "orders,0,10\norders,4,10\n"
    assert reset.csv(plan, old=True) == "orders,0,50\n"


def test_the_command_of_a_plan_asks_for_the_same_and_holds_no_secret(kafka: Kafka, journal: Journal) -> None:
    properties = {"sasl.password": "hunter2", "security.protocol": "SASL_SSL"}
    session = Session(kafka, journal, Settings(kafka=KafkaSettings("h:1", properties)))
    plan = reset.plan(session, "billing", Strategy("shift", number=-5), [("orders", (0, 3))])  # type: ignore[arg-type]
    assert plan.command == (
        "logq -b h:1 -X security.protocol=SASL_SSL group reset billing --shift-by -5 --topic orders:0,3 --execute"
    )
