"""Looking at all queues over and over: who is due is asked again, everyone else is shown as last seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from console.errors import Unreachable
from console.model import Problem, Queue, SqsSnapshot
from console.sqs import ages, connect, inspect
from console.sqs.cadence import REST_S, Cadence

if TYPE_CHECKING:
    from console.sqs.client import SqsClient

LIST_EVERY_S: Final = REST_S
"""How often a console left open asks which queues there are."""

FEW: Final = 24
"""So few queues are all looked at as often as if they were on the screen: that is $0.17 a day at most."""

TAGS_EVERY_S: Final = 3_600.0
"""How long a queue's tags are believed, where they decide whether it is listed: one request each."""

NOT_ASKED = "asked of CloudWatch only while the queue is on the screen and not empty: every metric costs"


class Watch:
    """The queues of one connection as last seen. One look at a time; safe to use from several threads."""

    def __init__(self, client: SqsClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._cadence: Cadence[str] = Cadence()
        self._urls: list[str] = []
        self._listed_at = float("-inf")
        self._answered_at: float | None = None
        self._silent: set[str] = set()
        self._kept: dict[str, Queue] = {}
        self._tags: dict[str, tuple[float, dict[str, str] | None]] = {}

    def hurry(self) -> None:
        """The next look is at everything."""
        self._cadence.hurry()
        self._listed_at = float("-inf")

    def look(self, ends: float, watched: Collection[str] | None) -> SqsSnapshot:
        """All queues, sorted by name; see `SqsClient.snapshot`. `ends` is on the monotonic clock.

        Where nobody answered, the picture is as old as the last answer.
        """
        with self._lock:
            return self._look(ends, watched)

    def _look(self, ends: float, watched: Collection[str] | None) -> SqsSnapshot:
        client = self._client
        before = client.spent.requests
        now = time.monotonic()
        lists = watched is None or now - self._listed_at >= LIST_EVERY_S - 1.0
        if lists:
            self._list(ends)
        self._silent.clear()
        urls = self._urls
        if watched is None:
            due = list(urls)
            visible: frozenset[str] = frozenset(urls)
        else:
            names = {client.name_of(url): url for url in urls}
            few = len(urls) <= FEW
            visible = frozenset(urls if few else (names[name] for name in watched if name in names))
            awaited = {url for url in urls if (known := self._kept.get(url)) is not None and known.dlq_of}
            due = self._cadence.due(urls, visible, now, awaited)
        tasks = [(url, client.submit(lambda url=url: self._seen(url))) for url in due]  # type: ignore[misc]
        for url, task in tasks:
            found = self._await(url, task, ends)
            self._kept[url] = found
            counts = (found.visible, found.in_flight, found.delayed, found.problem is None)
            self._cadence.saw(url, counts, now)
        if due and all(self._kept[url].problem is not None for url in due):
            # Nobody answered: the next look asks for the list, which tells whether the side is there at all.
            self._listed_at = float("-inf")
            if not lists and self._silent.issuperset(due):
                raise Unreachable(f"no queue answered: {self._kept[due[0]].problem.message}")  # type: ignore[union-attr]
        else:
            self._answered_at = time.time()
        queues = inspect.related(sorted((self._kept[url] for url in urls), key=lambda queue: (queue.name, queue.url)))
        queues = self._aged(queues, visible, ends, watched is None)
        self._kept = {queue.url: queue for queue in queues}
        problems = tuple(queue.problem for queue in queues if queue.problem is not None)
        spent = client.spent
        return SqsSnapshot(
            at=self._answered_at or time.time(),
            region=client.region,
            endpoint_url=client.settings.endpoint_url,
            queues=queues,
            problems=problems,
            requests=spent.requests - before,
            complete=not problems,
            requests_so_far=spent.requests,
            dollars_so_far=spent.dollars,
        )

    def _list(self, ends: float) -> None:
        client = self._client
        patterns = client.settings.queues
        prefix = client.settings.name_prefix or inspect.common_prefix(patterns)
        found = client.bounded_until(
            "list queues",
            ends,
            lambda: [u for u in inspect.list_urls(client.raw(), prefix) if inspect.fits(u, patterns)],
        )
        found = self._tagged(found, ends)
        client.remember(found)
        self._urls = found
        there = frozenset(found)
        self._cadence.keep(there)
        self._kept = {url: queue for url, queue in self._kept.items() if url in there}
        self._listed_at = time.monotonic()

    def _tagged(self, urls: list[str], ends: float) -> list[str]:
        """Those with the tags the settings ask for. One whose tags cannot be read is listed: hidden is not absent."""
        wanted = self._client.settings.tags
        if not wanted:
            return urls
        now = time.monotonic()
        stale = [url for url in urls if now - self._tags.get(url, (float("-inf"), None))[0] >= TAGS_EVERY_S]
        client = self._client
        asked = [(url, client.submit(lambda url=url: inspect.tags(client.raw(), url))) for url in stale]  # type: ignore[misc]
        for url, task in asked:
            try:
                self._tags[url] = (now, task.result(max(0.0, ends - time.monotonic())))
            except Exception:  # denied, late, unknown to an emulator: asked again with the next list
                task.cancel()
        out = []
        for url in urls:
            _, tags = self._tags.get(url, (0.0, None))
            if tags is None or all(tags.get(key) == value for key, value in wanted.items()):
                out.append(url)
        return out

    def _seen(self, url: str) -> Queue:
        client, at = self._client, time.time()
        try:
            return client.named(inspect.queue_of(url, inspect.attributes(client.raw(), url), at))
        except Exception as error:
            name = client.name_of(url)
            said = connect.words(error, f"see the queue {name!r}", client.settings)
            if isinstance(said, Unreachable):
                self._silent.add(url)
            return self._unseen(url, Problem(f"queue {name}", connect.code(error), str(said)), at)

    def _await(self, url: str, task: Future[Queue], ends: float) -> Queue:
        try:
            return task.result(max(0.0, ends - time.monotonic()))
        except FutureTimeout:
            task.cancel()
            self._silent.add(url)
            name = self._client.name_of(url)
            problem = Problem(f"queue {name}", "TIMEOUT", f"the queue {name!r} did not answer in time")
            return self._unseen(url, problem, time.time())

    def _unseen(self, url: str, problem: Problem, at: float) -> Queue:
        """What was seen of it before, with why it is not seen now."""
        before = self._kept.get(url)
        if before is not None and before.visible is not None:
            return replace(before, problem=problem)
        return self._client.named(inspect.unseen(url, problem, at))

    def _aged(self, queues: tuple[Queue, ...], visible: Collection[str], ends: float, once: bool) -> tuple[Queue, ...]:
        # An empty queue has no oldest message, and what is not on the screen is not paid for.
        asked = {inspect.name_of(q.url) for q in queues if q.url in visible and inspect.total(q) != 0}
        client = self._client
        every = ages.AGE_EVERY_S if once else ages.AGE_VISIBLE_S
        found, reason = client.ages_of(asked, ends, every)
        out = []
        for queue in queues:
            name = inspect.name_of(queue.url)
            empty = inspect.total(queue) == 0
            age = None if empty else found.get(name)
            if reason or age is not None:
                why = reason
            elif empty:
                why = "it is empty"
            else:
                why = "CloudWatch has no recent point for this queue" if client.age_asked(name) else NOT_ASKED
            if (queue.oldest_seconds, queue.oldest_reason) != (age, why):
                queue = replace(queue, oldest_seconds=age, oldest_reason=why)
            out.append(queue)
        return tuple(out)
