"""Several SQS connections as one side: what one of them held stays when it does not answer."""

from __future__ import annotations

from typing import Any, cast

from console.config import SqsSettings
from console.errors import Unreachable
from console.model import Queue, SqsSnapshot
from console.sqs.client import SqsClient
from console.sqs.side import SqsSide


class Connection:
    """A connection with one queue; `error` is what a look raises."""

    timeout = 1.0

    def __init__(self, name: str) -> None:
        self.settings = SqsSettings(region="eu-west-1", name=name)
        self.error: Exception | None = None
        self.spent: Any = SqsClient(self.settings).spent

    def snapshot(self, timeout: float | None, watched: object) -> SqsSnapshot:
        if self.error is not None:
            raise self.error
        name = f"{self.settings.name}/jobs-dlq"
        return SqsSnapshot(at=1.0, queues=(Queue(name, f"http://{name}", visible=57, seen_at=1.0),))


def test_the_queues_of_a_connection_that_does_not_answer_stay_as_last_seen() -> None:
    west, north = Connection("west"), Connection("north")
    side = SqsSide(cast("list[SqsClient]", [west, north]))
    side.snapshot()
    north.error = Unreachable("it did not answer in time")
    seen = side.snapshot()
    assert [(q.name, q.visible, q.problem is None) for q in seen.queues] == [
        ("north/jobs-dlq", 57, False),
        ("west/jobs-dlq", 57, True),
    ]
    assert [problem.where for problem in seen.problems] == ["sqs north"] and not seen.complete
