"""The age of the oldest message of queues: CloudWatch alone knows it, and every metric asked of it costs money."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from console.config import SqsSettings
from console.errors import Denied
from console.sqs import connect, inspect
from console.sqs.price import Meter

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

AGE_EVERY_S = 60.0
"""CloudWatch has one point a minute."""

AGE_VISIBLE_S = 120.0
"""While the console is left open: at twelve queues on the screen $0.09 a day."""

AGE_KEPT_S = 600.0
"""An age older than this says nothing any more."""


class Ages:
    """Ages by queue name, as far as they were asked for. Safe to use from several threads."""

    def __init__(self, settings: SqsSettings, meter: Meter, wait: float) -> None:
        self._settings = settings
        self._meter = meter
        self._wait = wait
        self._lock = threading.Lock()
        self._client: CloudWatchClient | None = None
        self._ages: dict[str, float] = {}
        self._at: dict[str, float] = {}
        self._denied = ""

    def of(self, names: Collection[str], is_aws: bool, every: float = AGE_EVERY_S) -> tuple[dict[str, float], str]:
        """Ages in seconds by queue and, without them, the reason.

        Of these queues, those not asked for within `every` seconds are asked for now; never again once it was denied.
        """
        settings = self._settings
        if not is_aws and settings.cloudwatch_endpoint_url is None:
            return {}, "a custom endpoint: the age of the oldest message is known to CloudWatch alone"
        with self._lock:
            now = time.monotonic()
            if self._denied:
                return {}, self._denied
            due = [name for name in names if now - self._at.get(name, float("-inf")) >= every]
            if not due:
                return self._known(now), ""
            if self._client is None:
                self._client = connect.cloudwatch_client(settings, self._wait)
            client = self._client
        self._meter.metrics(len(due))
        try:
            found = inspect.ages(client, due)
        except Exception as error:
            said = connect.words(error, "read ages from CloudWatch", settings)
            if isinstance(said, Denied):
                with self._lock:
                    self._denied = str(said)
            return {}, str(said)
        with self._lock:
            for name in due:
                self._at[name] = now
                self._ages.pop(name, None)
            self._ages.update(found)
            return self._known(now), ""

    def asked(self, name: str) -> bool:
        """Whether this queue's age was ever asked for: without an answer it then has no recent point."""
        return name in self._at

    def _known(self, now: float) -> dict[str, float]:
        return {name: age for name, age in self._ages.items() if now - self._at[name] < AGE_KEPT_S}
