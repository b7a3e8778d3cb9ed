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
    from console.sqs.client import SqsClient


class Session:
    """Everything a run holds for its settings: both sides, the journal, and the history of what was seen.

    Safe to use from several threads; the first user of a side pays for its import and construction.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.history = History(stall_seconds=settings.stall_seconds)
        self._lock = threading.RLock()
        self._kafka: KafkaClient | None = None
        self._sqs: SqsClient | None = None
        self._journal: Journal | None = None

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
        """The SQS side, None when the settings name none. Raises `UsageError` for settings that make no sense."""
        if self.settings.sqs is None:
            return None
        with self._lock:
            if self._sqs is None:
                from console.sqs.client import SqsClient

                self._sqs = SqsClient(self.settings.sqs, self.settings.timeout)
            return self._sqs

    @property
    def journal(self) -> Journal:
        """The journal of jobs, opened at first use in the state folder. Raises `Failed` when it cannot be opened."""
        with self._lock:
            if self._journal is None:
                from console.journal import Journal

                self._journal = Journal(self.settings.state_dir / "journal.db")
            return self._journal

    def require_kafka(self) -> KafkaClient:
        """The Kafka side, or `UsageError` with how to name one."""
        found = self.kafka
        if found is None:
            raise UsageError("there is no Kafka side: add -b HOST:PORT or a profile with [kafka]")
        return found

    def require_sqs(self) -> SqsClient:
        """The SQS side, or `UsageError` with how to name one."""
        found = self.sqs
        if found is None:
            raise UsageError("there is no SQS side: add --region NAME (or --endpoint-url) or a profile with [sqs]")
        return found

    def close(self) -> None:
        """Let go of every connection; each side's own close is bounded, so this takes well under a second."""
        with self._lock:
            held = (self._kafka, self._sqs, self._journal)
            self._kafka = self._sqs = self._journal = None
        for side in held:
            if side is not None:
                # Closing is the last thing a run does: nothing useful can be done about an error here.
                with contextlib.suppress(Exception):
                    side.close()
