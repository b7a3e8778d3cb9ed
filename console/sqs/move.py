"""Native move tasks (StartMessageMoveTask): whether they serve here, starting, following and cancelling them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from console.errors import NotFound
from console.sqs import connect

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from console.sqs.client import SqsClient

RATE_MIN, RATE_MAX = 1, 500
"""MaxNumberOfMessagesPerSecond as AWS takes it; ElasticMQ also takes 501, 0 and -1, so it is checked here."""

ACTIVE = ("RUNNING", "CANCELLING")
"""The status of a task that moves messages, or may still move some."""

_MISSING = {
    "InvalidAction", "UnsupportedOperation", "UnknownOperationException", "NotImplemented",
    "AWS.SimpleQueueService.UnsupportedOperation",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Task:
    """One move task as SQS lists it. `handle` is told only while it runs; the counters lag."""

    status: str
    handle: str | None = None
    source_arn: str = ""
    destination_arn: str | None = None
    moved: int | None = None
    to_move: int | None = None
    started: float | None = None
    failure: str = ""


def tasks(client: SQSClient, source_arn: str) -> tuple[Task, ...]:
    """The newest move tasks of a dead-letter queue (at most 10), newest first. Raises what boto3 raises."""
    answer: Any = client.list_message_move_tasks(SourceArn=source_arn, MaxResults=10)
    out = []
    for entry in answer.get("Results", ()):
        started = entry.get("StartedTimestamp")
        out.append(
            Task(
                status=str(entry.get("Status", "")),
                handle=entry.get("TaskHandle"),
                source_arn=str(entry.get("SourceArn", "")),
                destination_arn=entry.get("DestinationArn"),
                moved=entry.get("ApproximateNumberOfMessagesMoved"),
                to_move=entry.get("ApproximateNumberOfMessagesToMove"),
                started=None if started is None else float(started) / 1000,
                failure=str(entry.get("FailureReason") or ""),
            )
        )
    return tuple(sorted(out, key=lambda task: task.started or 0.0, reverse=True))


def probe(sqs: SqsClient, source_arn: str) -> tuple[bool, str, tuple[Task, ...]]:
    """Whether the server has move tasks, why not, and the tasks it lists.

    An emulator or an old endpoint answers InvalidAction, UnsupportedOperation or HTTP 500. Raises `Unreachable`.
    """

    def look() -> tuple[bool, str, tuple[Task, ...]]:
        from botocore.exceptions import ClientError

        try:
            # The client without retries: an HTTP 500 means "not built here" and is not worth asking twice.
            return True, "", tasks(sqs.sender(), source_arn)
        except ClientError as error:
            name = connect.code(error)
            said = connect.words(error, "list move tasks", sqs.settings)
            if name in _MISSING or (connect.status(error) or 0) >= 500 or isinstance(said, NotFound):
                return False, f"the server has no native move tasks ({name})", ()
            return False, str(said), ()

    return sqs.bounded("list move tasks", look)


def at_work(tasks: Iterable[Task]) -> str:
    """What moves messages out of the queue now, in words; "" when none of its tasks does."""
    return next((f"a native move task of it is {task.status.lower()}" for task in tasks if task.status in ACTIVE), "")


def start(client: SQSClient, source_arn: str, destination_arn: str | None, rate: int | None) -> str | None:
    """Start moving everything in a dead-letter queue; the task's handle. Raises what boto3 raises.

    `destination_arn` None sends each message to its own source; `rate` None lets SQS choose.
    """
    request: dict[str, Any] = {"SourceArn": source_arn}
    if destination_arn is not None:
        request["DestinationArn"] = destination_arn
    if rate is not None:
        request["MaxNumberOfMessagesPerSecond"] = rate
    handle = client.start_message_move_task(**request).get("TaskHandle")
    return str(handle) if handle else None


def cancel(client: SQSClient, handle: str) -> None:
    """Ask a running task to stop; nothing that was moved comes back. Raises what boto3 raises."""
    client.cancel_message_move_task(TaskHandle=handle)


def objection(
    *,
    is_aws: bool,
    fifo: bool,
    sources: int,
    source_arn: str,
    destination_arn: str | None,
    destination_fifo: bool | None,
    rate: float | None,
) -> str:
    """Why a native move cannot or must not do a redrive, "" when it can: what AWS's API reference refuses, and where
    emulators go wrong without saying so (a FIFO move reports COMPLETED with 0 moved; several sources get one)."""
    if sources == 0:
        return "a native move needs the dead-letter queue of another queue as its source"
    if destination_arn is not None and destination_arn == source_arn:
        return "the destination is the source"
    if destination_fifo is not None and destination_fifo != fifo:
        return "source and destination are of different types"
    if rate is not None and (rate != int(rate) or not RATE_MIN <= rate <= RATE_MAX):
        return f"a native move takes a rate of {RATE_MIN} to {RATE_MAX} messages a second"
    if not is_aws and fifo:
        return "on an endpoint that is not AWS a FIFO move may report success without moving anything"
    if not is_aws and sources > 1 and destination_arn is None:
        return "on an endpoint that is not AWS messages of several sources may all go to one of them"
    return ""
