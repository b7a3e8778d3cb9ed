"""Several SQS connections (accounts, regions) seen as one side: their queues are called `CONNECTION/QUEUE`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from msgspec.structs import replace

from console.errors import LogqError, NotFound, Unreachable, UsageError
from console.model import Problem, Queue, SqsSnapshot
from console.model_check import Check
from console.sqs.client import SqsClient
from console.sqs.price import Spent

T = TypeVar("T")


class SqsSide:
    """The connections of a profile together. With one, everything is as that one has it."""

    def __init__(self, connections: Sequence[SqsClient]) -> None:
        self.connections = tuple(connections)
        self._last: dict[int, tuple[Queue, ...]] = {}

    @property
    def spent(self) -> Spent:
        """Requests and dollars of all connections so far."""
        return sum((one.spent for one in self.connections), Spent())

    def hurry(self) -> None:
        """The next `snapshot` is of everything."""
        for one in self.connections:
            one.hurry()

    def snapshot(self, timeout: float | None = None, watched: Collection[str] | None = None) -> SqsSnapshot:
        """All connections' queues at once, sorted by name; as `SqsClient.snapshot`.

        One connection that does not answer is a problem beside the others' queues, and its own queues stay as they were
        last seen, with that problem; raises only when none answers.
        """
        if len(self.connections) == 1:
            return self.connections[0].snapshot(timeout, watched)
        answers = self._all(lambda one: one.snapshot(timeout, watched))
        seen = [answer for answer in answers if isinstance(answer, SqsSnapshot)]
        if not seen:
            raise next(answer for answer in answers if isinstance(answer, LogqError))
        problems = [problem for answer in seen for problem in answer.problems]
        queues: list[Queue] = []
        for index, (one, answer) in enumerate(zip(self.connections, answers, strict=True)):
            if isinstance(answer, SqsSnapshot):
                self._last[index] = answer.queues
                queues += answer.queues
            else:
                problem = Problem(f"sqs {one.settings.name}", type(answer).__name__.upper(), str(answer))
                problems.insert(0, problem)
                queues += [replace(queue, problem=problem) for queue in self._last.get(index, ())]
        spent = self.spent
        return SqsSnapshot(
            at=max(answer.at for answer in seen),
            region=" ".join(one.settings.name for one in self.connections),
            queues=tuple(sorted(queues, key=lambda q: (q.name, q.url))),
            problems=tuple(problems),
            requests=sum(answer.requests for answer in seen),
            complete=not problems,
            requests_so_far=spent.requests,
            dollars_so_far=spent.dollars,
        )

    def having(self, queue: str, timeout: float | None = None) -> SqsClient:
        """The one connection that a queue is on. Raises `UsageError` (several, or an unknown one), `NotFound`."""
        names = ", ".join(one.settings.name for one in self.connections)
        place, slash, plain = queue.rpartition("/")
        if slash:
            found = next((one for one in self.connections if one.settings.name == place), None)
            if found is None:
                raise UsageError(f"{queue!r} names no SQS connection of this profile; there are {names}")
            return found
        if not plain:
            raise UsageError(f"this profile has several SQS connections ({names}): say which, as sqs:NAME/QUEUE")
        answers = self._all(lambda one: one.url(plain, timeout))
        having = [one for one, answer in zip(self.connections, answers, strict=True) if isinstance(answer, str)]
        if len(having) == 1:
            return having[0]
        if having:
            both = " or ".join(f"sqs:{one.settings.name}/{plain}" for one in having)
            raise UsageError(f"{plain!r} is on several SQS connections: say {both}")
        failed = [answer for answer in answers if isinstance(answer, LogqError) and not isinstance(answer, NotFound)]
        if failed:
            raise failed[0]
        raise NotFound(f"no queue named {plain!r} on {names}; logq queue list shows what there is")

    def check(self) -> tuple[Check, ...]:
        """What every connection says to the doctor."""
        found: list[Check] = []
        for one, answer in zip(self.connections, self._all(lambda one: one.check()), strict=True):
            label = f"sqs {one.settings.name}" if one.settings.name else "sqs"
            if isinstance(answer, LogqError):
                found.append(Check(label, False, str(answer)))
            else:
                found += [replace(check, name=check.name.replace("sqs", label, 1)) for check in answer]
        return tuple(found)

    def _all(self, call: Callable[[SqsClient], T]) -> list[T | LogqError]:
        """The call on every connection at once; an error is its answer."""
        answers: list[T | LogqError | None] = [None] * len(self.connections)

        def run(index: int, one: SqsClient) -> None:
            try:
                answers[index] = call(one)
            except LogqError as error:
                answers[index] = error

        threads = [
            threading.Thread(target=run, args=(index, one), daemon=True) for index, one in enumerate(self.connections)
        ]
        ends = time.monotonic() + 2 * max(one.timeout for one in self.connections) + 1.0
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, ends - time.monotonic()))
        late = Unreachable("it did not answer in time; check the network, or give it longer with --timeout")
        return [late if answer is None else answer for answer in answers]
