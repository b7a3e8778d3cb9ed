"""A session whose looks are frozen values: what the screens show in these tests, without any broker.

Faked here because the screens' own behaviour is the subject; the same screens run on real brokers in tests/terminal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from console.config import KafkaSettings, Settings, SqsSettings
from console.demo.control import DemoState
from console.errors import Failed, NotFound, UsageError
from console.model import (
    Broker,
    DeadLetters,
    Group,
    GroupPartition,
    Job,
    JobKind,
    JobState,
    KafkaSnapshot,
    LagSource,
    Member,
    Message,
    Outcome,
    Problem,
    Progress,
    Queue,
    SqsSnapshot,
    Status,
    Topic,
    TopicPartition,
)
from console.model_check import Check
from console.model_cluster import BrokerLoad, BrokersView, Held, TopicView
from console.ops import clusters, inspect
from console.ops.browse_pages import OnBatch, Reading, Toward, Window, Wish, joined
from console.ops.browse_range import Edges
from console.ops.plan import PlanView
from console.ops.redrive_bounce import Bounces
from console.ops.session import Session
from console.tui.app import LogqApp
from console.tui.backend import Backend, Change, PeekCost, Sample
from console.tui.wishes import RedriveWish, ReplayWish, ResetWish

NOW = 1_795_443_727.0
"""2026-11-23T14:22:07Z: when these pictures were taken."""

RISING = (1_000.0, 2_000.0, 4_000.0, 6_000.0, 9_000.0, 12_000.0, 15_000.0, 18_204.0)

BUSY = (60.0, 30.0, 50.0, 90.0, 60.0, 40.0, 99.0, 50.0)


def group(
    name: str,
    state: str = "Stable",
    lag: int | None = 0,
    behind: float | None = None,
    source: LagSource | None = None,
    rates: tuple[float | None, float | None] = (412.0, 412.0),
    status: Status = Status.OK,
    reason: str = "",
    trend: tuple[float, ...] = (0.0,) * 8,
    topic: str = "orders",
    partitions: int = 6,
    **more: Any,
) -> Group:
    """A group whose lag is spread over its partitions; `lag` None: no partition ever committed."""
    share = None if lag is None else [lag // partitions + (1 if i < lag % partitions else 0) for i in range(partitions)]
    made = tuple(
        GroupPartition(
            topic=topic,
            partition=index,
            leader=1,
            start=0,
            committed=None if share is None else 30_000 - share[index],
            end=30_000,
            stable_end=30_000,
            lag_seconds=behind,
            lag_seconds_source=source,
            member=f"{name}-1",
            client_id=f"{name}-client",
            host="/10.0.0.7",
            status=status,
            reason=reason,
        )
        for index in range(partitions)
    )
    return Group(
        name=name,
        type=more.pop("type", "consumer"),
        state=state,
        coordinator=1,
        members=(Member(f"{name}-1", f"{name}-client", "/10.0.0.7", None, ((topic, tuple(range(partitions))),)),),
        partitions=made,
        status=status,
        reason=reason,
        produced_rate=rates[0],
        consumed_rate=rates[1],
        trend=trend,
        seen_at=NOW,
        **more,
    )


def queue(name: str, visible: int | None = 0, flight: int | None = 0, delay: int | None = 0, **more: Any) -> Queue:
    """A queue."""
    return Queue(
        name=name,
        url=f"http://127.0.0.1:9324/000000000000/{name}",
        arn=f"arn:aws:sqs:eu-west-1:000000000000:{name}",
        type="fifo" if name.endswith(".fifo") else "standard",
        visible=visible,
        in_flight=flight,
        delayed=delay,
        retention_seconds=345_600,
        visibility_timeout=30,
        seen_at=NOW,
        **{"status": Status.OK, "trend": (1.0, 3.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0), **more},
    )


def groups() -> tuple[Group, ...]:
    """The groups of the drawing."""
    return (
        group(
            "billing", lag=18_204, behind=370, source="record", rates=(412, 0), status=Status.STOP, trend=RISING,
            reason="stalled: the commit has not moved for 4m02s, 18,204 behind",
        ),
        group("inventory", lag=3, behind=1, source="record"),
        group("image-bridge", lag=37, behind=1, source="record", rates=(412, 411)),
        group(
            "analytics", lag=9_120, behind=124, source="history", rates=(412, 398), status=Status.LOSING,
            trend=(6_000.0, 6_100.0, 7_000.0, 7_100.0, 8_900.0, 9_000.0, 9_100.0, 9_120.0),
            reason="loses data in ~42m00s: the log start is catching up with its commit on 1 of 6 partitions",
        ),
        group("fulfillment", lag=2, behind=1, source="record"),
        group("notifications"),
        group("search-indexer", state="Empty", lag=2_310, behind=41, source="history", rates=(88, 0),
              status=Status.WARN, reason="no members: 2,310 behind", trend=RISING),
        group("fraud-score", rates=(96, 96)),
        group("ledger-share", rates=(12, 12), type="share"),
        group("audit-2024", state="Empty", lag=None, rates=(None, None), trend=()),
    )  # fmt: skip


def topics() -> tuple[Topic, ...]:
    """Topics, one of them a dead-letter topic."""

    def made(name: str, partitions: int, records: int, **more: Any) -> Topic:
        return Topic(
            name,
            tuple(
                TopicPartition(i, leader=1, replicas=(1, 2, 3), isr=(1, 2, 3), start=0, end=records // partitions)
                for i in range(partitions)
            ),
            **more,
        )

    return (
        made(
            "orders",
            6,
            180_000,
            produced_rate=412.0,
            config=(("cleanup.policy", "delete"), ("retention.ms", "604800000")),
        ),
        made("orders.DLT", 1, 23, dead_letter=True, produced_rate=0.3),
        made("invoices", 3, 9_000, produced_rate=96.0),
        made("__consumer_offsets", 50, 5_000, internal=True),
    )


def queues() -> tuple[Queue, ...]:
    """The queues of the drawing."""
    return (
        queue("image-resize-jobs-dlq", 57, oldest_seconds=7_440, dlq_of=("image-resize-jobs",), trend=RISING,
              status=Status.DEAD_LETTERS, reason="57 dead letters, oldest 2h04m"),
        queue("image-resize-jobs", 310, 42, oldest_seconds=38, dlq="image-resize-jobs-dlq", dlq_count=57, max_receive=3,
              status=Status.WARN, reason="57 messages in its dead-letter queue", trend=BUSY),
        queue("emails.fifo", 0, 1, dlq="emails-dlq.fifo", dlq_count=0, max_receive=3),
        queue("emails-dlq.fifo", dlq_of=("emails.fifo",)),
        queue("invoices", 12, 3, 140, dlq_count=0, oldest_seconds=4),
        queue("webhooks", dlq_count=0),
        queue("thumbnails", 1, 8, dlq_count=0, oldest_seconds=1),
        queue("exports", None, None, None, status=Status.UNKNOWN, reason="AccessDenied: not allowed to look", trend=()),
    )  # fmt: skip


def kafka_snapshot(found: tuple[Group, ...] | None = None, at: float = NOW, **more: Any) -> KafkaSnapshot:
    """The Kafka side."""
    return KafkaSnapshot(
        at=at,
        cluster_id="K8s0XmqLQRy9sT0nBz4aXQ",
        controller=1,
        brokers=tuple(Broker(i, "10.0.0.1", 9090 + i, reachable=True) for i in (1, 2, 3)),
        groups=groups() if found is None else found,
        topics=topics(),
        **more,
    )


def sqs_snapshot(found: tuple[Queue, ...] | None = None, at: float = NOW, **more: Any) -> SqsSnapshot:
    """The SQS side."""
    return SqsSnapshot(at=at, region="eu-west-1", queues=queues() if found is None else found, requests=9, **more)


def broker_view() -> BrokersView:
    """Three brokers, one of them away."""
    known = [
        BrokerLoad(
            Broker(i, "10.0.0.1", 9090 + i, f"eu-west-1{'abc'[i - 1]}", reachable=True),
            controller=i == 1,
            leads=30,
            replicas=60,
            under_replicated=30,
            groups=5,
            size=1_200_000_000 + i,
            total=100_000_000_000,
            free=60_000_000_000,
        )
        for i in (1, 2)
    ]
    down = Problem("broker 3", "DOWN", "not in the cluster now (down or fenced)")
    away = BrokerLoad(Broker(3, "", 0, reachable=False), controller=False, replicas=60, behind=60, problem=down)
    return BrokersView(NOW, "K8s0XmqLQRy9sT0nBz4aXQ", 1, (*known, away), (down,))


def settings(tmp: Path | None = None, **more: Any) -> Settings:
    """Settings that name both sides and connect to nothing."""
    return Settings(
        **{
            "profile": "prod-eu",
            "kafka": KafkaSettings("127.0.0.1:1"),
            "sqs": SqsSettings(region="eu-west-1", endpoint_url="http://127.0.0.1:1"),
            "state_dir": tmp or Path("/nonexistent/logq"),
            **more,
        }
    )


@dataclass
class FakeInspect:
    """What `console.ops.inspect` answers: set the fields to change it; `kafka_error` and `hang` fail or block."""

    kafka_side: KafkaSnapshot = field(default_factory=kafka_snapshot)
    sqs_side: SqsSnapshot = field(default_factory=sqs_snapshot)
    kafka_error: Exception | None = None
    sqs_error: Exception | None = None
    hang: threading.Event | None = None
    partial: KafkaSnapshot | None = None
    looks: int = 0

    def kafka(
        self,
        session: Session,
        timeout: float | None = None,
        on_partial: Callable[[KafkaSnapshot], None] | None = None,
    ) -> KafkaSnapshot:
        self.looks += 1
        if self.partial is not None and on_partial is not None:
            on_partial(self.partial)
        if self.hang is not None:
            self.hang.wait()
        if self.kafka_error is not None:
            raise self.kafka_error
        return self.kafka_side

    def sqs(
        self, session: Session, timeout: float | None = None, watched: Collection[str] | None = None
    ) -> SqsSnapshot:
        if self.hang is not None:
            self.hang.wait()
        if self.sqs_error is not None:
            raise self.sqs_error
        return self.sqs_side

    def group(self, session: Session, name: str) -> Group:
        for found in self.kafka_side.groups:
            if found.name == name:
                return found
        raise NotFound(f"no group {name!r}")

    def topic(self, session: Session, name: str) -> Topic:
        for found in self.kafka_side.topics:
            if found.name == name:
                return found
        raise NotFound(f"no topic {name!r}")

    def queue(self, session: Session, name: str) -> Queue:
        for found in self.sqs_side.queues:
            if found.name == name:
                return found
        raise NotFound(f"no queue {name!r}")

    def dead_letters(self, kafka: KafkaSnapshot | None, sqs: SqsSnapshot | None) -> tuple[DeadLetters, ...]:
        return inspect.dead_letters(kafka, sqs)


def record(offset: int, value: bytes | None = b'{"order": 1, "total": "18.20"}', **more: Any) -> Message:
    """A record of the topic orders."""
    return Message(
        target="kafka:orders", id=f"orders/0/{offset}", partition=0, offset=offset, timestamp=NOW - 1_000 + offset,
        key=f"customer-{offset % 7}".encode(), value=value, **more,
    )  # fmt: skip


def letter(number: int, error: str | None = "TimeoutError: resize of 4200x3100 took 31.2 s", **more: Any) -> Message:
    """A dead letter of image-resize-jobs-dlq."""
    return Message(
        **{
            "target": "sqs:image-resize-jobs-dlq",
            "id": f"5d1c{number:04d}-9f0e-4b6a-8f10-0a1b2c3d4e5f",
            "timestamp": NOW - 7_440 + number * 60,
            "value": f'{{"order": {number}, "image": "s3://photos/{number}.jpg", "format": "panorama"}}'.encode(),
            "attributes": (("error", error or ""), ("SenderId", "AIDAIENQZJOLO23YVJ4VO")),
            "receive_count": 4,
            "error": error,
            **more,
        }
    )


def letters() -> tuple[Message, ...]:
    """57 dead letters that failed in three ways."""
    return (
        *(letter(i) for i in range(41)),
        *(letter(i, "UnsupportedFormat: panorama") for i in range(41, 54)),
        *(letter(i, None) for i in range(54, 57)),
    )


def job(state: JobState = "done", **more: Any) -> Job:
    """A job of the journal."""
    return Job(
        **{
            "id": "reset-20261123-141207-7k3f",
            "kind": "reset",
            "source": "group:billing",
            "target": "group:billing",
            "state": state,
            "total": 6,
            "done": 6,
            "left": 0,
            "started": NOW - 600,
            "finished": NOW - 598,
            "command": "logq -p prod-eu group reset billing --to-earliest --execute",
            "undoable": True,
            **more,
        }
    )


def plan_view(kind: JobKind = "reset", target: str = "billing", rows: int = 6) -> PlanView:
    """A plan in words."""
    return PlanView(
        kind=kind,
        title=f"{kind} {target}",
        facts=(("what", f"{rows} partitions to the earliest record held"), ("replays", "180,000 records")),
        command=f"logq -p prod-eu group {kind} {target} --to-earliest --execute",
        target=target,
        warnings=("180,000 records will be read again: whatever is not idempotent happens twice",),
        columns=("topic", "p", "old", "new", "replayed"),
        rows=tuple(("orders", str(i), "26,966", "0", "26,966") for i in range(rows)),
        undo="logq job undo JOB",
    )


_NOTE = "the filter could not be applied to 3: KeyError: 'total'"


class FakeReading:
    """A page that is being read."""

    records, offsets = 12_000, 3_100_000
    settled: tuple[Message, ...] = ()


class FakeBackend(Backend):
    """The real backend over `FakeInspect`, with the operations answered from fields and noted in `asked`."""

    def __init__(self, session: Session, inspect: FakeInspect) -> None:
        super().__init__(session, inspect)
        self.fake = inspect
        self.asked: list[tuple[Any, ...]] = []
        self.records = tuple(record(i) for i in range(910, 1_000))
        self.note = _NOTE
        self.followed = threading.Event()
        self.letters = letters()
        self.redriven: frozenset[str] = frozenset()
        self.held = Held()
        self.broker_view = broker_view()
        self.cost = ("looking costs one of 3 attempts", False)
        self.found_jobs: tuple[Job, ...] = (job(), job("interrupted", id="redrive-20261123-142000-x1y2", kind="redrive",
                                             source="sqs:image-resize-jobs-dlq", target="sqs:image-resize-jobs",
                                             total=57, done=20, left=37, finished=None, undoable=False))  # fmt: skip
        self.bounces = Bounces(0, 0, 20, (), True, "all 37 seen")
        self.go_on = threading.Event()
        self.go_on.set()
        self.outcome = Outcome("reset-20261123-142207-aaaa", "done", 6, lines=("6 partitions committed and read back",))
        self.error: Exception | None = None

    def held_back(self, group: Group) -> Held:
        return self.held

    def topic_view(self, name: str) -> TopicView:
        topic = self.topic(name)
        numbers = [p.partition for p in topic.partitions]
        return TopicView(
            topic,
            NOW,
            sizes=tuple((n, 5_000_000 + n) for n in numbers),
            oldest=tuple((n, NOW - 530_000 + 60 * n) for n in numbers),
            transactions=self.held.transactions,
        )

    def topic_sizes(self) -> dict[str, int]:
        return {"orders": 30_000_015, "invoices": 4_200_000}

    def brokers(self, snapshot: KafkaSnapshot | None) -> BrokersView:
        return self.broker_view

    def dead_letter(self, target: str, force: bool = False, again: bool = True) -> inspect.DeadLetterView:
        self.asked.append(("dead_letter", target))
        found = next(
            item for item in self.dead_letters(self.fake.kafka_side, self.fake.sqs_side) if item.target == target
        )
        note = f"all {len(self.letters)} seen" if self.letters else "nothing there"
        made = replace(found, clusters=clusters.cluster(self.letters))
        made = replace(made, done=len(self.redriven) or None)
        return inspect.DeadLetterView(made, self.letters, True, note, self.redriven)

    def recognise(self, seen: KafkaSnapshot) -> int:
        self.asked.append(("recognise",))
        return 0

    def peek_cost(self, name: str) -> PeekCost:
        note, refuse = self.cost
        return PeekCost(self.queue(name), note, refuse)

    def kept(self, queue: str, most: int) -> bool:
        return False

    def peek(self, name: str, most: int, force: bool = False, again: bool = True) -> Sample:
        self.asked.append(("peek", name, force))
        return Sample(tuple(letter(i) for i in range(12)), "12 of ~12 seen", True)

    def page(
        self,
        wish: Wish,
        toward: Toward = "first",
        before: Window | None = None,
        cancel: threading.Event | None = None,
        on_open: Callable[[Reading], None] = lambda reading: None,
    ) -> Window:
        """Pages of 90 of a partition that holds offsets 100 to 999."""
        self.asked.append(("page", toward, wish))
        if self.error is not None:
            raise self.error
        on_open(FakeReading())
        stopped = ""
        while not self.go_on.wait(0.01):
            if cancel is not None and cancel.is_set():
                stopped = "stopped"
                break
        held = {0: (100, 1_000)}
        if toward == "older" and before is not None:
            start = before.edges.older[0]
            older = tuple(record(i) for i in range(max(100, start - 90), start))
            found = Window(older, Edges({0: max(100, start - 90)}, {0: start}), held, len(older))
            return joined(before, found, "older")
        if toward == "newer" and before is not None:
            return joined(before, Window((), Edges(before.edges.newer, before.edges.newer), held, 0), "newer")
        shown = self.records if not stopped else (record(999),)
        note = (self.note,) if wish.where or self.note != _NOTE else ()
        return Window(shown, Edges({0: shown[0].offset or 0}, {0: 1_000}), held, 90, stopped, note)

    def follow(self, wish: Wish, before: Window, cancel: threading.Event, on_batch: OnBatch) -> None:
        self.asked.append(("follow", wish))
        self.followed.set()
        number = 1_000
        while not cancel.wait(0.02):
            on_batch([record(number, b'{"came": "in"}')], number - 999, {0: number + 1})
            number += 1

    def export(
        self, wish: Wish, path: str, cancel: threading.Event, on_open: Callable[[Reading], None]
    ) -> tuple[int, str]:
        self.asked.append(("export", wish, path))
        on_open(FakeReading())
        while not self.go_on.wait(0.01):
            if cancel.is_set():
                raise Failed("stopped: nothing was written")
        return 900, "900 of 900 records scanned"

    def plan_replay(self, source: str, wish: ReplayWish) -> Change:
        self.asked.append(("plan_replay", source, wish))
        if self.error is not None:
            raise self.error
        return self._change(plan_view("replay", wish.to, 1))

    def pause(self, job_id: str) -> None:
        self.asked.append(("pause", job_id))

    def checks(self) -> tuple[Check, ...]:
        return (
            Check("kafka reachable", True, "3 of 3 brokers answer"),
            Check("sqs list queues", False, "AccessDenied", "allow sqs:ListQueues"),
            Check("terminal", None, "not a terminal"),
        )

    def plan_reset(self, group: str, wish: ResetWish) -> Change:
        self.asked.append(("plan_reset", group, wish))
        if self.error is not None:
            raise self.error
        return self._change(plan_view("reset", group))

    def plan_redrive(self, dlq: str, wish: RedriveWish) -> Change:
        self.asked.append(("plan_redrive", dlq, wish))
        return self._change(plan_view("redrive", dlq.removeprefix("sqs:"), 1))

    def plan_purge(self, queue: str, save: bool) -> Change:
        self.asked.append(("plan_purge", queue, save))
        return self._change(plan_view("purge", queue.removeprefix("sqs:"), 1))

    def _change(self, view: PlanView) -> Change:
        def run(cancel: threading.Event, on_progress: Callable[[Progress], None]) -> Outcome:
            self.asked.append(("run", view.title))
            on_progress(Progress(self.outcome.job, 3, 0, 6, 12.0, "half of it"))
            while not self.go_on.wait(0.01):
                if cancel.is_set():
                    return replace(self.outcome, state="cancelled", done=3, left=3)
            return self.outcome

        return Change(view, run)

    def jobs(self) -> tuple[Job, ...]:
        return self.found_jobs

    def job(self, job_id: str) -> Job:
        return next((found for found in self.found_jobs if found.id == job_id), job(id=job_id))

    def receipt(self, job_id: str) -> str:
        return f"# {job_id}\n\n6 partitions committed and read back\n"

    def verify(self, job_id: str) -> Bounces:
        self.asked.append(("verify", job_id))
        if not job_id.startswith("redrive"):
            raise UsageError(f"job {job_id} is no redrive of a queue: nothing can come back to one")
        return self.bounces

    def cancel(self, job_id: str) -> None:
        self.asked.append(("cancel", job_id))

    def plan_resume(self, found: Job) -> Change:
        self.asked.append(("plan_resume", found.id))
        return self._change(plan_view("resume", found.id))

    def plan_undo(self, found: Job) -> Change:
        self.asked.append(("plan_undo", found.id))
        return self._change(plan_view("undo", found.id))


@dataclass
class FakeStory:
    """The demo from outside."""

    broken: bool = True
    told: list[str] = field(default_factory=list)

    def state(self) -> DemoState:
        return DemoState(broken=self.broken, last_event="billing stalls: its database lock is held", orders=12_345)

    def deploy_fix(self) -> None:
        self.told.append("fix")
        self.broken = False

    def break_it(self) -> None:
        self.told.append("break")
        self.broken = True


def fake_app(
    demo: FakeStory | None = None,
    found: FakeInspect | None = None,
    clock: Callable[[], float] | None = None,
    **more: Any,
) -> LogqApp:
    """The console over fakes; `more` changes the settings. The clock stands still 1.2 s after the pictures."""
    session = Session(settings(**more))
    seen = found if found is not None else FakeInspect()
    return LogqApp(session, demo, backend=FakeBackend(session, seen), clock=clock or (lambda: NOW + 1.2))


def backend_of(app: LogqApp) -> FakeBackend:
    """The app's backend by its own type."""
    assert isinstance(app.backend, FakeBackend)
    return app.backend
