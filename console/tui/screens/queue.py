"""One queue: its counts, its dead-letter relation both ways, its attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult

from console import text
from console.model import Queue
from console.ops import queue_facts
from console.text import safe
from console.tui import cells, flows
from console.tui.screens.base import ConsoleScreen
from console.tui.subject import Subject, of_queue
from console.tui.summary import Summary, facts, headline
from widgets.detail import Detail, Facts, Section


class QueueScreen(ConsoleScreen):
    """A queue by name, looked at every five seconds: each look is a request that costs."""

    scope: ClassVar[str] = "queue"
    every: ClassVar[float] = 5.0
    AUTO_FOCUS = "Detail"

    def __init__(self, name: str) -> None:
        super().__init__()
        self.queue_name = name
        self.queue: Queue | None = None

    @property
    def crumb(self) -> str:
        """The queue's name."""
        return safe(self.queue_name, 80)

    def compose_body(self) -> ComposeResult:
        """Summary and facts."""
        yield Summary(id="summary")
        yield Detail(placeholder="looking …", id="facts")

    def look(self) -> Callable[[], Queue]:
        """The queue with all its attributes."""
        name, backend = self.queue_name, self.console.backend
        return lambda: backend.queue(name)

    def store_changed(self) -> None:
        """Until the queue itself was looked at, what the last picture knew of it."""
        picture = self.console.store.sqs
        if self.queue is None and picture is not None:
            for row in picture.rows:
                if row.name == self.queue_name:
                    self._show(row.queue)

    def seen(self, value: Queue) -> None:
        """Show the queue."""
        self.queue = value
        self._show(value)

    def _show(self, queue: Queue) -> None:
        severity = queue.status.severity
        self.query_one(Summary).show(
            (
                headline(queue.name, severity, queue.reason, "$sqs"),
                facts(
                    ("visible", cells.number(queue.visible, severity)),
                    ("in flight", cells.number(queue.in_flight, rest="$key" if queue.in_flight else "$foreground")),
                    ("delayed", cells.number(queue.delayed)),
                    ("oldest", text.duration(queue.oldest_seconds)),
                    ("type", queue.type),
                    ("trend", cells.bars(queue.trend, severity)),
                ),
            )
        )
        self.query_one("#facts", Detail).show(queue_sections(queue), queue.name)
        self.refresh_keys()

    def subject(self) -> Subject:
        """The queue."""
        if self.queue is not None:
            return of_queue(self.queue)
        return Subject("queue", self.queue_name, target=f"sqs:{self.queue_name}")

    def do_browse(self) -> None:
        """A look into it, after its cost was said."""
        flows.browse(self, self.subject())

    def do_dead(self) -> None:
        """Its dead letters."""
        if self.queue is not None and self.queue.dlq is not None:
            self.console.open(Subject("dlq", self.queue.dlq, target=f"sqs:{self.queue.dlq}"))
        else:
            self.console.say("it has no dead-letter queue")

    def do_redrive(self) -> None:
        """Redrive its dead-letter queue, or itself when it is one."""
        flows.redrive_of(self, self.subject())

    def do_purge(self) -> None:
        """Empty it, after the plan and its name typed out."""
        flows.purge(self, self.subject())

    def words(self) -> tuple[str, ...]:
        """`logq queue show`."""
        return ("queue", "show", self.queue_name)


def queue_sections(queue: Queue) -> tuple[Section, ...]:
    """A queue's facts for the detail pane."""
    oldest = text.duration(queue.oldest_seconds) if queue.oldest_seconds is not None else None
    dlq = None if queue.dlq is None else f"{queue.dlq}, after {text.count(queue.max_receive)} receives"
    counts = Facts(
        "messages (approximate)",
        (
            ("visible", _number(queue.visible)),
            ("in flight", _number(queue.in_flight)),
            ("delayed", _number(queue.delayed)),
            ("oldest", oldest or (f"{text.DASH} {queue.oldest_reason}" if queue.oldest_reason else None)),
            ("in less out", queue_facts.flow_words(queue)),
        ),
    )
    relation = Facts(
        "dead letters",
        (
            ("goes to", dlq or "no dead-letter queue"),
            ("holds", _number(queue.dlq_count) if queue.dlq else None),
            ("serves", ", ".join(queue.dlq_of) or "no queue"),
            ("may serve", queue_facts.allow_words(queue)),
        ),
    )
    policy = Facts(
        "settings",
        (*queue_facts.pairs(queue), ("url", queue.url), ("arn", queue.arn or None)),
    )
    found: list[Section] = [counts, relation, policy]
    if queue.problem is not None:
        found.insert(0, Facts("not seen", ((queue.problem.code, queue.problem.message, "$warn"),)))
    if others := queue_facts.others(queue):
        found.append(Facts("other attributes", others))
    return tuple(found)


def _number(value: int | None) -> str | None:
    return None if value is None else text.count(value)
