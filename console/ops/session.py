"""One run's connections: nothing is imported, connected or opened until it is first used."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from console.config import Settings
from console.errors import UsageError
from console.history import History

if TYPE_CHECKING:
    from console.journal import Journal
    from console.kafka.client import KafkaClient
    from console.model import Group
    from console.ops.redrive_marks import Counted
    from console.ops.spool import Spool
    from console.sqs.client import SqsClient
    from console.sqs.side import SqsSide


class Session:
    """Everything a run holds for its settings: both sides, the journal, and the history of what was seen.

    Safe to use from several threads; the first user of a side pays for its import and construction.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.history = History(stall_seconds=settings.stall_seconds)
        self.groups_in_view: frozenset[str] | None = None
        """The consumer groups that somebody looks at now: those have to be of now; None: all of them."""
        self.judged: dict[str, tuple[Group, Group]] = {}
        """The groups of the last look, as they were seen and as they were judged."""
        self._lock = threading.RLock()
        self._kafka: KafkaClient | None = None
        self._sqs: SqsClient | None = None
        self._sqs_more: tuple[SqsClient, ...] = ()
        self._journal: Journal | None = None
        self._spool: Spool | None = None
        self.dead_topics: dict[str, str] = {}
        """Dead-letter topics known by their records alone, with their topic of origin (`dead_topics.recognised`)."""
        self.redriven: dict[str, Counted] = {}
        """What the last look found to be redriven of each dead-letter topic (`redrive_marks.count_redriven`)."""

    @property
    def kafka(self) -> KafkaClient | None:
        """The Kafka side, None when the settings name none. Raises `UsageError` for properties that make no sense."""
        if self.settings.kafka is None:
            return None
        with self._lock:
            if self._kafka is None:
                from console.kafka.client import KafkaClient

                self._kafka = KafkaClient(self.settings.kafka, self.settings.timeout)
            return self._kafka

    @property
    def sqs(self) -> SqsClient | None:
        """The first SQS connection, None when the settings name none. Raises `UsageError` for wrong settings."""
        found = self.sqs_connections()
        return found[0] if found else None

    def sqs_connections(self) -> tuple[SqsClient, ...]:
        """Every SQS connection, in the order of the profile. Raises as `sqs`."""
        if self.settings.sqs is None:
            return ()
        with self._lock:
            if self._sqs is None:
                from console.sqs.client import SqsClient

                first, *more = (SqsClient(one, self.settings.timeout) for one in self.settings.sqs_all)
                self._sqs, self._sqs_more = first, tuple(more)
            return (self._sqs, *self._sqs_more)

    def sqs_side(self) -> SqsSide:
        """All SQS connections as one side. Raises `UsageError` with how to name one."""
        from console.sqs.side import SqsSide

        self.require_sqs_settings()
        return SqsSide(self.sqs_connections())

    @property
    def journal(self) -> Journal:
        """The journal of jobs, opened at first use in the state folder. Raises `Failed` when it cannot be opened."""
        with self._lock:
            if self._journal is None:
                from console.journal import Journal

                self._journal = Journal(self.settings.state_dir / "journal.db")
            return self._journal

    @property
    def spool(self) -> Spool:
        """What was read of queues, to be looked at again without a receive."""
        with self._lock:
            if self._spool is None:
                from console.ops.spool import Spool

                self._spool = Spool(self.settings.state_dir / "looks")
            return self._spool

    def require_kafka(self) -> KafkaClient:
        """The Kafka side, or `UsageError` with how to name one."""
        found = self.kafka
        if found is None:
            raise UsageError("there is no Kafka side: add -b HOST:PORT or a profile with [kafka]")
        return found

    def require_sqs(self, queue: str = "") -> SqsClient:
        """The SQS connection that has a queue, or `UsageError` with how to name one.

        With one connection it is that one. With several, `CONNECTION/QUEUE` says which; a bare name is looked for on
        all of them, and must be on one alone (`NotFound`, `UsageError`).
        """
        self.require_sqs_settings()
        connections = self.sqs_connections()
        if len(connections) == 1:
            return connections[0]
        return self.sqs_side().having(queue)

    def require_sqs_settings(self) -> None:
        """Raise `UsageError` with how to name an SQS side when there is none."""
        if self.settings.sqs is None:
            raise UsageError("there is no SQS side: add --region NAME (or --endpoint-url) or a profile with [sqs]")

    def close(self) -> None:
        """Let go of every connection; each side's own close is bounded, so this takes well under a second."""
        with self._lock:
            held = (self._kafka, self._sqs, *self._sqs_more, self._journal)
            self._kafka = self._sqs = self._journal = None
            self._sqs_more = ()
        for side in held:
            if side is not None:
                # Closing is the last thing a run does: nothing useful can be done about an error here.
                with contextlib.suppress(Exception):
                    side.close()
