"""The SQS side: a blocking, thread-safe face over boto3 whose deadlines always hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from console.config import SqsSettings
from console.errors import Denied, LogqError, NotFound, Unreachable
from console.model import Check, Problem, Queue, SqsSnapshot
from console.sqs import connect, inspect
from console.sqs import peek as peeking
from console.sqs.peek import Budget, Peek
from console.sqs.pool import Pool

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_sqs import SQSClient

T = TypeVar("T")

AGE_EVERY_S = 60.0
"""CloudWatch has one point a minute, and every metric asked for costs money."""

BUDGET_MEMORY_S = 300.0
"""How long a look remembers that a queue's messages were down to few attempts; later they are likely other messages."""

_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".c2s.ic.gov", ".sc2s.sgov.gov", ".amazonaws.eu")


class SqsClient:
    """Reads queues, and lends its boto3 clients to the engines that move messages. Building it connects nothing."""

    def __init__(
        self,
        settings: SqsSettings,
        timeout: float = 10.0,
        make: Callable[..., SQSClient] = connect.sqs_client,
    ) -> None:
        """Remember where to connect. `make` builds the boto3 clients (tests hand in one that injects faults).

        Raises `UsageError` for an endpoint URL that is none.
        """
        connect.check_settings(settings)
        self.settings = settings
        self.timeout = timeout
        self._make = make
        self._pool = Pool("logq-sqs")
        self._lock = threading.RLock()
        self._reads: SQSClient | None = None
        self._sends: SQSClient | None = None
        self._requests = 0
        self._urls: dict[str, str] = {}
        self._budgets: dict[str, tuple[float, Budget]] = {}
        self._cloudwatch: CloudWatchClient | None = None
        self._ages: dict[str, float] = {}
        self._ages_at: dict[str, float] = {}
        self._age_denied = ""

    # ------------------------------------------------------------ connections

    def raw(self) -> SQSClient:
        """The boto3 client for reads (few, bounded retries), made at first use. Raises as `connect.sqs_client`."""
        with self._lock:
            if self._reads is None:
                self._reads = self._make(self.settings, self._wait(), on_request=self._count)
            return self._reads

    def sender(self) -> SQSClient:
        """The boto3 client whose retries are off, for every call that must not happen twice unseen."""
        with self._lock:
            if self._sends is None:
                # A send waits longer than a look: an answer given up on is an ambiguity in the journal.
                self._sends = self._make(self.settings, max(30.0, self.timeout), sends=True, on_request=self._count)
            return self._sends

    @property
    def requests(self) -> int:
        """API requests sent so far, retries included: they cost money."""
        return self._requests

    @property
    def endpoint(self) -> str:
        """The endpoint in use. Raises as `raw`."""
        return str(self.raw().meta.endpoint_url)

    @property
    def region(self) -> str | None:
        """The region in use, None when there is none."""
        try:
            return str(self.raw().meta.region_name)
        except LogqError:
            return self.settings.region

    @property
    def is_aws(self) -> bool:
        """Whether this is Amazon's own service, by the endpoint's name; an emulator or proxy is not."""
        return (urlsplit(self.endpoint).hostname or "").endswith(_AWS_HOSTS)

    def close(self) -> None:
        """Let the threads end; waits for nothing, a call that hangs is left to its daemon thread."""
        self._pool.close()

    # ------------------------------------------------------------ looking

    def snapshot(self, timeout: float | None = None) -> SqsSnapshot:
        """All queues (those of the settings' `name_prefix`) with their counts, sorted by name.

        A queue that could not be seen carries its `problem`; `complete` is False then. Raises `Unreachable`, `Denied`
        or `UsageError` when the list of queues itself could not be had within `timeout` seconds.
        """
        ends = time.monotonic() + (timeout or self.timeout)
        before = self._requests
        urls = self._bounded(
            "list queues", ends, lambda: list(inspect.list_urls(self.raw(), self.settings.name_prefix))
        )
        with self._lock:
            self._urls.update((inspect.name_of(url), url) for url in urls)
        tasks = [(url, self._pool.submit(lambda url=url: self._seen(url))) for url in urls]  # type: ignore[misc]
        aging = self._pool.submit(lambda: self._oldest([inspect.name_of(url) for url in urls]))
        queues, problems = [], []
        for url, task in tasks:
            queue = self._await_queue(url, task, ends)
            queues.append(queue)
            if queue.problem is not None:
                problems.append(queue.problem)
        ages, reason = self._await_ages(aging, ends)
        found = tuple(
            self._aged(queue, ages, reason)
            for queue in inspect.related(sorted(queues, key=lambda queue: (queue.name, queue.url)))
        )
        return SqsSnapshot(
            at=time.time(),
            region=self.region,
            endpoint_url=self.settings.endpoint_url,
            queues=found,
            problems=tuple(problems),
            requests=self._requests - before,
            complete=not problems,
        )

    def queue(self, name: str, timeout: float | None = None) -> Queue:
        """One queue with its relations both ways and its dead-letter queue's count.

        Raises `NotFound` when there is none of that name, `Denied` or `Unreachable` when it cannot be seen.
        """
        ends = time.monotonic() + (timeout or self.timeout)
        url = self.url(name, ends - time.monotonic())

        def look() -> Queue:
            try:
                queue = inspect.queue_of(url, inspect.attributes(self.raw(), url), time.time())
            except Exception as error:
                if isinstance(connect.words(error, "", self.settings), NotFound):
                    # The name was known from an earlier look; the queue has gone since.
                    self._urls.pop(name, None)
                raise
            return replace(queue, dlq_of=self._sources(queue), dlq_count=self._dead(queue))

        queue = self._bounded(f"see the queue {name!r}", ends, look)
        ages, reason = self._await_ages(self._pool.submit(lambda: self._oldest([name])), ends)
        return self._aged(queue, ages, reason)

    def url(self, name: str, timeout: float | None = None) -> str:
        """The URL of a queue by its name, remembered. Raises `NotFound` as `queue`."""
        with self._lock:
            known = self._urls.get(name)
        if known is not None:
            return known
        ends = time.monotonic() + (timeout if timeout is not None else self.timeout)
        try:
            answer = self._bounded(
                f"find the queue {name!r}", ends, lambda: self.raw().get_queue_url(QueueName=name)["QueueUrl"]
            )
        except NotFound:
            raise NotFound(f"no queue named {name!r} in {self._place()}; logq queue list shows what there is") from None
        with self._lock:
            self._urls[name] = answer
        return answer

    def sources(self, queue: Queue, timeout: float | None = None) -> tuple[str, ...]:
        """The names of the queues whose dead-letter queue this is, sorted. Raises as `queue`."""
        ends = time.monotonic() + (timeout or self.timeout)
        return self._bounded(
            f"list what {queue.name!r} is the dead-letter queue of",
            ends,
            lambda: tuple(sorted(inspect.name_of(url) for url in inspect.list_sources(self.raw(), queue.url))),
        )

    def peek_budget(self, queue: Queue) -> Budget:
        """How many looks the messages of a queue bear, as far as known: its policy, and what a recent peek saw."""
        with self._lock:
            at, earlier = self._budgets.get(queue.url, (0.0, None))
        if earlier is not None and earlier.max_receive == queue.max_receive and time.monotonic() - at < BUDGET_MEMORY_S:
            return earlier
        return peeking.budget_of(queue)

    def peek(
        self,
        name: str,
        max_messages: int = 10,
        *,
        force: bool = False,
        timeout: float | None = None,
        on_progress: Callable[[int], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> Peek:
        """Look at up to `max_messages` messages of a queue by a leased sweep that is released when it ends.

        `on_progress` gets the number seen so far. Raises `Refused` when the peek budget says so (unless `force`),
        `NotFound`, `Denied` or `Unreachable`. Ends within `timeout` seconds (and the release of what was leased).
        """
        limit = timeout or self.timeout
        ends = time.monotonic() + limit
        queue = self.queue(name, limit)
        earlier = self.peek_budget(queue)

        def look() -> Peek:
            return peeking.peek(
                self.raw(),
                queue,
                max_messages,
                timeout=max(0.5, ends - time.monotonic() - 0.5),
                earlier=earlier,
                force=force,
                cancel=cancel,
                on_progress=on_progress,
                attributes=lambda: inspect.queue_of(queue.url, inspect.attributes(self.raw(), queue.url), time.time()),
            )

        found = self._bounded(f"peek the queue {name!r}", ends + 1.0, look)
        if found.budget.left is not None:
            with self._lock:
                self._budgets[queue.url] = (time.monotonic(), found.budget)
        return found

    def check(self, timeout: float | None = None) -> tuple[Check, ...]:
        """What can be reached and what is allowed, for the doctor: listing, attributes, ages. Changes nothing."""
        limit = timeout or self.timeout
        ends = time.monotonic() + limit
        try:
            urls = self._bounded(
                "list queues", ends, lambda: list(inspect.list_urls(self.raw(), self.settings.name_prefix))
            )
        except LogqError as error:
            what, _, remedy = str(error).partition("; ")
            return (Check("sqs: list queues", False, what, remedy),)
        checks = [Check("sqs: list queues", True, f"{len(urls):,} queues in {self._place()}")]
        if not urls:
            note = "no queue to try it on"
            return (*checks, Check("sqs: queue attributes", None, note))
        try:
            found = self._bounded("read a queue's attributes", ends, lambda: inspect.attributes(self.raw(), urls[0]))
            checks.append(
                Check("sqs: queue attributes", True, f"{len(found)} attributes of {inspect.name_of(urls[0])}")
            )
        except LogqError as error:
            what, _, remedy = str(error).partition("; ")
            checks.append(Check("sqs: queue attributes", False, what, remedy))
        _, reason = self._await_ages(self._pool.submit(lambda: self._oldest([inspect.name_of(urls[0])])), ends)
        if reason:
            remedy = "allow cloudwatch:GetMetricData to see ages" if self.is_aws else ""
            checks.append(Check("sqs: age of the oldest message", None, reason, remedy))
        else:
            checks.append(Check("sqs: age of the oldest message", True, "CloudWatch answers"))
        return tuple(checks)

    # ------------------------------------------------------------ inside

    def bounded(self, doing: str, work: Callable[[], T], timeout: float | None = None) -> T:
        """Run a boto3 call on a daemon thread for at most `timeout` seconds; its errors in our words."""
        return self._bounded(doing, time.monotonic() + (timeout or self.timeout), work)

    def _bounded(self, doing: str, ends: float, work: Callable[[], T]) -> T:
        task = self._pool.submit(work)
        try:
            return task.result(max(0.0, ends - time.monotonic()))
        except FutureTimeout:
            if task.done() and (error := task.exception()) is not None:
                raise connect.words(error, doing, self.settings) from None
            task.cancel()
            raise Unreachable(
                f"cannot {doing}: {self._place()} did not answer in time; check the network, VPN and endpoint, "
                "or give it longer with --timeout"
            ) from None
        except Exception as error:
            raise connect.words(error, doing, self.settings) from None

    def _seen(self, url: str) -> Queue:
        at = time.time()
        try:
            return inspect.queue_of(url, inspect.attributes(self.raw(), url), at)
        except Exception as error:
            said = connect.words(error, f"see the queue {inspect.name_of(url)!r}", self.settings)
            return inspect.unseen(url, Problem(f"queue {inspect.name_of(url)}", connect.code(error), str(said)), at)

    def _await_queue(self, url: str, task: Future[Queue], ends: float) -> Queue:
        try:
            return task.result(max(0.0, ends - time.monotonic()))
        except FutureTimeout:
            task.cancel()
            name = inspect.name_of(url)
            problem = Problem(f"queue {name}", "TIMEOUT", f"the queue {name!r} did not answer in time")
            return inspect.unseen(url, problem, time.time())

    def _sources(self, queue: Queue) -> tuple[str, ...]:
        try:
            return tuple(sorted(inspect.name_of(url) for url in inspect.list_sources(self.raw(), queue.url)))
        except Exception as error:
            # A view into the other direction that may be denied or missing on an emulator: the queue itself was seen.
            if isinstance(connect.words(error, "", self.settings), Unreachable):
                raise
            return ()

    def _dead(self, queue: Queue) -> int | None:
        if not queue.dlq:
            return None
        try:
            url = self._urls.get(queue.dlq) or self.raw().get_queue_url(QueueName=queue.dlq)["QueueUrl"]
            return inspect.total(inspect.queue_of(url, inspect.attributes(self.raw(), url), time.time()))
        except Exception as error:
            # The dead-letter queue may be another account's or deleted: its count is unknown, not 0.
            if isinstance(connect.words(error, "", self.settings), Unreachable):
                raise
            return None

    def _oldest(self, names: Sequence[str]) -> tuple[dict[str, float], str]:
        """Ages by queue and, without them, the reason. CloudWatch is asked once a minute, and not again once denied."""
        if not self.is_aws:
            return {}, "a custom endpoint: the age of the oldest message is known to CloudWatch alone"
        with self._lock:
            now = time.monotonic()
            if self._age_denied:
                return {}, self._age_denied
            due = [name for name in names if now - self._ages_at.get(name, float("-inf")) >= AGE_EVERY_S]
            if not due:
                return dict(self._ages), ""
            if self._cloudwatch is None:
                self._cloudwatch = connect.cloudwatch_client(self.settings, self._wait())
            client = self._cloudwatch
        try:
            found = inspect.ages(client, due)
        except Exception as error:
            said = connect.words(error, "read ages from CloudWatch", self.settings)
            if isinstance(said, Denied):
                with self._lock:
                    self._age_denied = str(said)
            return {}, str(said)
        with self._lock:
            for name in due:
                self._ages_at[name] = now
                self._ages.pop(name, None)
            self._ages.update(found)
            return dict(self._ages), ""

    def _await_ages(self, task: Future[tuple[dict[str, float], str]], ends: float) -> tuple[dict[str, float], str]:
        try:
            return task.result(max(0.0, ends - time.monotonic()))
        except FutureTimeout:
            task.cancel()
            return {}, "CloudWatch did not answer in time"
        except Exception as error:
            return {}, str(connect.words(error, "read ages from CloudWatch", self.settings))

    def _aged(self, queue: Queue, ages: dict[str, float], reason: str) -> Queue:
        age = ages.get(queue.name)
        why = reason or ("" if age is not None else "CloudWatch has no recent point for this queue")
        return replace(queue, oldest_seconds=age, oldest_reason=why)

    def _place(self) -> str:
        return self.settings.endpoint_url or f"SQS in {self.region or 'the configured region'}"

    def _wait(self) -> float:
        # Half the whole deadline for one answer, so that one retry still fits into it.
        return max(2.0, self.timeout / 2)

    def _count(self) -> None:
        with self._lock:
            self._requests += 1
