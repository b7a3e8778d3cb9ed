"""The SQS side: a blocking, thread-safe face over boto3 whose deadlines always hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from msgspec.structs import replace

from console.config import SqsSettings
from console.errors import LogqError, NotFound, Stopped, Unreachable, UsageError
from console.model import Queue, SqsSnapshot
from console.model_check import Check
from console.sqs import connect, inspect
from console.sqs import peek as peeking
from console.sqs import receive as lease
from console.sqs.ages import AGE_EVERY_S, Ages
from console.sqs.peek import Budget, Peek
from console.sqs.pool import Pool
from console.sqs.price import Meter, Spent
from console.sqs.watch import Watch

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

T = TypeVar("T")

BUDGET_MEMORY_S = 300.0
"""How long a look remembers that a queue's messages were down to few attempts; later they are likely other messages."""

SOURCES_EVERY_S: Final = 60.0
"""How long it is believed which queues a dead-letter queue serves, while that queue is looked at again and again."""

_CLOSE_S: Final = 0.4
"""How long closing waits for a sweep to give back what it leased."""

_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".c2s.ic.gov", ".sc2s.sgov.gov", ".amazonaws.eu")


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """A sweep under way: `stop` asks it to end, `over` says that what it leased was given back.

    `leases` (id -> receipt handle) is what it holds now.
    """

    stop: threading.Event
    over: threading.Event
    leases: dict[str, str] = field(default_factory=dict)


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
        self._urls: dict[str, str] = {}
        self._budgets: dict[str, tuple[float, Budget]] = {}
        self._served: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._sweeps: set[Sweep] = set()
        self._meter = Meter()
        self._ages = Ages(settings, self._meter, self._wait())
        self._watch = Watch(self)

    # ------------------------------------------------------------ connections

    def raw(self) -> SQSClient:
        """The boto3 client for reads (few, bounded retries), made at first use. Raises as `connect.sqs_client`."""
        with self._lock:
            if self._reads is None:
                self._reads = self._make(self.settings, self._wait(), meter=self._meter)
            return self._reads

    def sender(self) -> SQSClient:
        """The boto3 client whose retries are off, for every call that must not happen twice unseen."""
        with self._lock:
            if self._sends is None:
                # A send waits longer than a look: an answer given up on is an ambiguity in the journal.
                self._sends = self._make(self.settings, max(30.0, self.timeout), sends=True, meter=self._meter)
            return self._sends

    @property
    def spent(self) -> Spent:
        """API requests sent so far, retries included, and what they cost on AWS."""
        return self._meter.spent

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
        """Let the threads end; a call that hangs is left to its daemon thread.

        Sweeps under way stop, and what they leased goes back to its readers: that is waited for, but not for long.
        """
        ends = time.monotonic() + _CLOSE_S
        for sweep in tuple(self._sweeps):
            sweep.stop.set()
        for sweep in tuple(self._sweeps):
            sweep.over.wait(max(0.0, ends - time.monotonic()))
        self._pool.close()

    # ------------------------------------------------------------ looking

    def snapshot(self, timeout: float | None = None, watched: Collection[str] | None = None) -> SqsSnapshot:
        """All queues the settings list, with their counts, sorted by name.

        With `watched` (the names on the screen) only who is due is asked: those every 5 s, the rest every 60 s,
        less often while nothing changes (`cadence`); everything else is as last seen, with its own `seen_at`. Without,
        every queue is asked. A queue that could not be seen carries its `problem`; `complete` is False then. Raises
        `Unreachable`, `Denied` or `UsageError` when the list of queues could not be had within `timeout` seconds.
        """
        return self._watch.look(time.monotonic() + (timeout or self.timeout), watched)

    def hurry(self) -> None:
        """The next `snapshot` is of everything, whatever is due."""
        self._watch.hurry()

    def queue(self, name: str, timeout: float | None = None) -> Queue:
        """One queue with its relations both ways and its dead-letter queue's count.

        Raises `NotFound` when there is none of that name, `Denied` or `Unreachable` when it cannot be seen.
        """
        ends = time.monotonic() + (timeout or self.timeout)
        url = self.url(name, ends - time.monotonic())

        def look() -> Queue:
            try:
                queue = self.named(inspect.queue_of(url, inspect.attributes(self.raw(), url), time.time()))
            except Exception as error:
                if isinstance(connect.words(error, "", self.settings), NotFound):
                    # The name was known from an earlier look; the queue has gone since.
                    self._urls.pop(inspect.name_of(url), None)
                raise
            return replace(queue, dlq_of=self._sources(queue), dlq_count=self._dead(queue))

        queue = self.bounded_until(f"see the queue {name!r}", ends, look)
        ages, reason = self.ages_of([inspect.name_of(url)], ends)
        age = ages.get(inspect.name_of(url))
        why = reason or ("" if age is not None else "CloudWatch has no recent point for this queue")
        return replace(queue, oldest_seconds=age, oldest_reason=why)

    def url(self, name: str, timeout: float | None = None) -> str:
        """The URL of a queue by its name, remembered. Raises as `queue`, `UsageError` for another connection's."""
        name = self._plain(name)
        if "/" in name:
            raise UsageError(f"{name!r} is not on this SQS connection ({self.settings.name or self._place()})")
        with self._lock:
            known = self._urls.get(name)
        if known is not None:
            return known
        ends = time.monotonic() + (timeout if timeout is not None else self.timeout)
        try:
            answer = self.bounded_until(f"find the queue {name!r}", ends, lambda: inspect.url_of(self.raw(), name))
        except NotFound:
            raise NotFound(f"no queue named {name!r} in {self._place()}; logq queue list shows what there is") from None
        with self._lock:
            self._urls[name] = answer
        return answer

    def sources(self, queue: Queue, timeout: float | None = None) -> tuple[str, ...]:
        """The names of the queues whose dead-letter queue this is, sorted. Raises as `queue`."""
        ends = time.monotonic() + (timeout or self.timeout)
        return self.bounded_until(
            f"list what {queue.name!r} is the dead-letter queue of",
            ends,
            lambda: tuple(sorted(self.name_of(url) for url in inspect.list_sources(self.raw(), queue.url))),
        )

    def peek_budget(self, queue: Queue) -> Budget:
        """How many looks the messages of a queue bear, as far as known: its policy, and what a recent peek saw."""
        with self._lock:
            at, earlier = self._budgets.get(queue.url, (0.0, None))
        if earlier is not None and earlier.max_receive == queue.max_receive and time.monotonic() - at < BUDGET_MEMORY_S:
            return earlier
        return peeking.budget_of(queue)

    def recall(self, url: str, budget: Budget, at: float) -> None:
        """Note the budget that somebody who read left behind at an epoch time, unless a newer one is known."""
        age = time.time() - at
        if budget.left is not None and 0 <= age < BUDGET_MEMORY_S:
            at = time.monotonic() - age
            with self._lock:
                if url not in self._budgets or self._budgets[url][0] < at:
                    self._budgets[url] = (at, budget)

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
        `NotFound`, `Denied` or `Unreachable`. Ends within `timeout` seconds (and the release of what was leased); at
        Ctrl-C as soon as that is released, with `Stopped` where something could not be.
        """
        limit = timeout or max(self.timeout, min(peeking.SWEEP_MOST_S, max_messages / peeking.SLOWEST))
        ends = time.monotonic() + limit
        queue = self.queue(name, limit)
        earlier = self.peek_budget(queue)
        sweep = Sweep(cancel or threading.Event(), threading.Event())

        def look() -> Peek:
            try:
                return peeking.peek(
                    self.raw(),
                    queue,
                    max_messages,
                    timeout=max(0.5, ends - time.monotonic() - 0.5),
                    earlier=earlier,
                    force=force,
                    cancel=sweep.stop,
                    on_progress=on_progress,
                    attributes=lambda: inspect.queue_of(
                        queue.url, inspect.attributes(self.raw(), queue.url), time.time()
                    ),
                    leases=sweep.leases,
                )
            finally:
                sweep.over.set()
                self._sweeps.discard(sweep)

        self._sweeps.add(sweep)
        try:
            found = self.bounded_until(f"peek the queue {name!r}", ends + 1.0, look)
        except KeyboardInterrupt:
            # The thread that sweeps dies with the process: what it holds must be given back before.
            sweep.stop.set()
            with suppress(KeyboardInterrupt):  # once more: at once
                sweep.over.wait(lease.RELEASE_S)
            if sweep.leases:
                raise Stopped(f"stopped: {peeking.hidden(name, sweep.leases)}") from None
            raise
        if found.budget.left is not None:
            with self._lock:
                self._budgets[queue.url] = (time.monotonic(), found.budget)
        return found

    def check(self, timeout: float | None = None) -> tuple[Check, ...]:
        """What can be reached and what is allowed, for the doctor: listing, attributes, ages. Changes nothing."""
        limit = timeout or self.timeout
        ends = time.monotonic() + limit
        try:
            urls = self.bounded_until(
                "list queues", ends, lambda: list(inspect.list_urls(self.raw(), self.settings.name_prefix))
            )
        except LogqError as error:
            what, _, remedy = str(error).partition("; ")
            return (Check("sqs: list queues", False, what, remedy),)
        urls = [url for url in urls if inspect.fits(url, self.settings.queues)]
        checks = [Check("sqs: list queues", True, f"{len(urls):,} queues in {self._place()}")]
        if not urls:
            note = "no queue to try it on"
            return (*checks, Check("sqs: queue attributes", None, note))
        try:
            found = self.bounded_until(
                "read a queue's attributes", ends, lambda: inspect.attributes(self.raw(), urls[0])
            )
            checks.append(
                Check("sqs: queue attributes", True, f"{len(found)} attributes of {inspect.name_of(urls[0])}")
            )
        except LogqError as error:
            what, _, remedy = str(error).partition("; ")
            checks.append(Check("sqs: queue attributes", False, what, remedy))
        _, reason = self.ages_of([inspect.name_of(urls[0])], ends)
        if reason:
            remedy = "allow cloudwatch:GetMetricData to see ages" if self.is_aws else ""
            checks.append(Check("sqs: age of the oldest message", None, reason, remedy))
        else:
            checks.append(Check("sqs: age of the oldest message", True, "CloudWatch answers"))
        return tuple(checks)

    # ------------------------------------------------------------ for the modules beside this one

    def bounded(self, doing: str, work: Callable[[], T], timeout: float | None = None) -> T:
        """Run a boto3 call on a daemon thread for at most `timeout` seconds; its errors in our words."""
        return self.bounded_until(doing, time.monotonic() + (timeout or self.timeout), work)

    def bounded_until(self, doing: str, ends: float, work: Callable[[], T]) -> T:
        """As `bounded`, until a moment of the monotonic clock."""
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

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run a boto3 call on one of the few daemon threads; its errors as boto3 raises them."""
        return self._pool.submit(work)

    def name_of(self, url_or_arn: str) -> str:
        """A queue's name here: qualified (`CONNECTION/NAME`) where a profile has several connections."""
        name = inspect.name_of(url_or_arn)
        return f"{self.settings.name}/{name}" if self.settings.name else name

    def named(self, queue: Queue) -> Queue:
        """The queue under the name it has here, its dead-letter queue as well (which is of the same account)."""
        if not self.settings.name:
            return queue
        dlq = self.name_of(queue.dlq) if queue.dlq else None
        return replace(queue, name=self.name_of(queue.name), dlq=dlq, dlq_of=tuple(map(self.name_of, queue.dlq_of)))

    def remember(self, urls: Iterable[str]) -> None:
        """Note URLs that were listed, so that a name need not be asked for."""
        with self._lock:
            self._urls.update((inspect.name_of(url), url) for url in urls)

    def ages_of(self, names: Collection[str], ends: float, every: float = AGE_EVERY_S) -> tuple[dict[str, float], str]:
        """Ages of the oldest message by plain queue name and, without them, the reason: see `Ages.of`."""
        task = self._pool.submit(lambda: self._ages.of(names, self.is_aws, every))
        try:
            return task.result(max(0.0, ends - time.monotonic()))
        except FutureTimeout:
            task.cancel()
            return {}, "CloudWatch did not answer in time"
        except Exception as error:
            return {}, str(connect.words(error, "read ages from CloudWatch", self.settings))

    def age_asked(self, name: str) -> bool:
        """Whether the age of this queue (by its plain name) was ever asked for."""
        return self._ages.asked(name)

    # ------------------------------------------------------------ inside

    def _plain(self, name: str) -> str:
        return name.removeprefix(f"{self.settings.name}/") if self.settings.name else name

    def _sources(self, queue: Queue) -> tuple[str, ...]:
        at, known = self._served.get(queue.url, (float("-inf"), ()))
        if time.monotonic() - at < SOURCES_EVERY_S:
            return known
        try:
            found = tuple(sorted(self.name_of(url) for url in inspect.list_sources(self.raw(), queue.url)))
        except Exception as error:
            # A view into the other direction that may be denied or missing on an emulator: the queue itself was seen.
            if isinstance(connect.words(error, "", self.settings), Unreachable):
                raise
            return ()
        self._served[queue.url] = (time.monotonic(), found)
        return found

    def _dead(self, queue: Queue) -> int | None:
        if not queue.dlq:
            return None
        try:
            name = self._plain(queue.dlq)
            url = self._urls.get(name) or inspect.url_of(self.raw(), name)
            return inspect.total(inspect.queue_of(url, inspect.attributes(self.raw(), url), time.time()))
        except Exception as error:
            # The dead-letter queue may be another account's or deleted: its count is unknown, not 0.
            if isinstance(connect.words(error, "", self.settings), Unreachable):
                raise
            return None

    def _place(self) -> str:
        return self.settings.endpoint_url or f"SQS in {self.region or 'the configured region'}"

    def _wait(self) -> float:
        # Half the whole deadline for one answer, so that one retry still fits into it.
        return max(2.0, self.timeout / 2)
