"""Reading queues: names, attributes, dead-letter relations, ages. Nothing here receives a message."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from console.model import Problem, Queue

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_sqs import SQSClient

PAGE = 1_000
"""ListQueues and ListDeadLetterSourceQueues answer with a NextToken only when MaxResults is set; 1,000 is its most."""

_AGE_WINDOW_S = 1_200.0
_AGE_PERIOD_S = 60
_AGE_BATCH = 500  # GetMetricData takes at most 500 queries
_OWN_FIELDS = {
    "QueueArn", "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed", "RedrivePolicy", "MessageRetentionPeriod", "VisibilityTimeout",
}  # fmt: skip


def name_of(url_or_arn: str) -> str:
    """The queue's name: what follows the last `/` of a URL or the last `:` of an ARN."""
    return url_or_arn.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1]


def list_urls(client: SQSClient, prefix: str | None = None) -> Iterator[str]:
    """The URLs of all queues, page by page. Raises what boto3 raises."""
    request: dict[str, Any] = {"MaxResults": PAGE, **({"QueueNamePrefix": prefix} if prefix else {})}
    while True:
        page = client.list_queues(**request)
        yield from page.get("QueueUrls", ())
        token = page.get("NextToken")
        if not token:
            return
        request["NextToken"] = token


def url_of(client: SQSClient, name: str) -> str:
    """The URL of a queue. Raises what boto3 raises, `ValueError` for an answer that holds none."""
    url = client.get_queue_url(QueueName=name).get("QueueUrl")
    if not url:
        raise ValueError("no queue URL in it")
    return url


def common_prefix(patterns: Sequence[str]) -> str | None:
    """What every name that fits one of the patterns begins with: ListQueues can leave out the others. None: nothing."""
    heads = [re.split(r"[*?\[]", pattern, maxsplit=1)[0] for pattern in patterns]
    return os.path.commonprefix(heads) or None  # noqa: RUF071 - characters, not path components


def fits(url: str, patterns: Sequence[str]) -> bool:
    """Whether a queue's name fits one of the shell patterns; without any, every queue does."""
    return not patterns or any(fnmatch.fnmatchcase(name_of(url), pattern) for pattern in patterns)


def tags(client: SQSClient, url: str) -> dict[str, str]:
    """The tags of a queue. Raises what boto3 raises."""
    return dict(client.list_queue_tags(QueueUrl=url).get("Tags", {}))


def list_sources(client: SQSClient, url: str) -> tuple[str, ...]:
    """The URLs of the queues whose dead-letter queue this is. Raises what boto3 raises."""
    found: list[str] = []
    request: dict[str, Any] = {"QueueUrl": url, "MaxResults": PAGE}
    while True:
        page = client.list_dead_letter_source_queues(**request)
        found.extend(page.get("queueUrls", ()))
        token = page.get("NextToken")
        if not token:
            return tuple(found)
        request["NextToken"] = token


def attributes(client: SQSClient, url: str) -> dict[str, str]:
    """All attributes of a queue by SQS's names. Raises what boto3 raises."""
    answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {str(name): str(value) for name, value in answer.get("Attributes", {}).items()}


def queue_of(url: str, found: Mapping[str, str], seen_at: float) -> Queue:
    """A `Queue` out of GetQueueAttributes' answer; what is missing or malformed is None, never 0."""
    name = name_of(url)
    dlq_arn, max_receive = redrive_policy(found.get("RedrivePolicy"))
    return Queue(
        name=name,
        url=url,
        arn=found.get("QueueArn", ""),
        type="fifo" if name.endswith(".fifo") or found.get("FifoQueue") == "true" else "standard",
        visible=_whole(found.get("ApproximateNumberOfMessages")),
        in_flight=_whole(found.get("ApproximateNumberOfMessagesNotVisible")),
        delayed=_whole(found.get("ApproximateNumberOfMessagesDelayed")),
        dlq=name_of(dlq_arn) if dlq_arn else None,
        dlq_arn=dlq_arn,
        max_receive=max_receive,
        retention_seconds=_whole(found.get("MessageRetentionPeriod")),
        visibility_timeout=_whole(found.get("VisibilityTimeout")),
        extra=tuple(sorted((key, value) for key, value in found.items() if key not in _OWN_FIELDS)),
        seen_at=seen_at,
    )


def unseen(url: str, problem: Problem, seen_at: float) -> Queue:
    """A queue whose attributes could not be had: its name, and why."""
    name = name_of(url)
    kind = "fifo" if name.endswith(".fifo") else "standard"
    return Queue(name=name, url=url, type=kind, seen_at=seen_at, problem=problem)  # type: ignore[arg-type]


def redrive_policy(text: str | None) -> tuple[str | None, int | None]:
    """The dead-letter queue's ARN and maxReceiveCount of a RedrivePolicy attribute; (None, None) without one.

    maxReceiveCount is a number or a string, depending on who wrote the policy.
    """
    try:
        policy = json.loads(text or "")
        arn = policy.get("deadLetterTargetArn")
        count = policy.get("maxReceiveCount")
        return (str(arn) if arn else None, int(count) if count is not None else None)
    except (ValueError, TypeError, AttributeError):
        return None, None


def related(queues: Sequence[Queue]) -> tuple[Queue, ...]:
    """The queues with `dlq_of` and `dlq_count` filled in from one another, in the order given."""
    by_arn = {queue.arn: queue for queue in queues if queue.arn}
    sources: dict[str, list[str]] = {}
    for queue in queues:
        if queue.dlq_arn:
            sources.setdefault(queue.dlq_arn, []).append(queue.name)
    out = []
    for queue in queues:
        dead = by_arn.get(queue.dlq_arn) if queue.dlq_arn else None
        of = tuple(sorted(sources.get(queue.arn, ()))) if queue.arn else ()
        held = total(dead) if dead else None
        # Most queues of most looks are as they were: copying all of them would cost more than looking at a few.
        out.append(
            queue if (queue.dlq_count, queue.dlq_of) == (held, of) else replace(queue, dlq_count=held, dlq_of=of)
        )
    return tuple(out)


def total(queue: Queue) -> int | None:
    """Visible plus in flight plus delayed, None when nothing of it is known."""
    known = [count for count in (queue.visible, queue.in_flight, queue.delayed) if count is not None]
    return sum(known) if known else None


def ages(client: CloudWatchClient, names: Iterable[str], now: float | None = None) -> dict[str, float]:
    """The age of the oldest message (seconds) by queue, the newest one-minute point of the last 20 minutes.

    CloudWatch is the only place that knows it; a queue without a point is left out. Raises what boto3 raises.
    """
    wanted = sorted(set(names))
    end = datetime.fromtimestamp(now if now is not None else time.time(), UTC)
    start = datetime.fromtimestamp(end.timestamp() - _AGE_WINDOW_S, UTC)
    out: dict[str, float] = {}
    for first in range(0, len(wanted), _AGE_BATCH):
        batch = wanted[first : first + _AGE_BATCH]
        queries: list[Any] = [
            {
                "Id": f"q{index}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/SQS",
                        "MetricName": "ApproximateAgeOfOldestMessage",
                        "Dimensions": [{"Name": "QueueName", "Value": name}],
                    },
                    "Period": _AGE_PERIOD_S,
                    "Stat": "Maximum",
                },
            }
            for index, name in enumerate(batch)
        ]
        request: dict[str, Any] = {
            "MetricDataQueries": queries, "StartTime": start, "EndTime": end, "ScanBy": "TimestampDescending",
        }  # fmt: skip
        while True:
            page = client.get_metric_data(**request)
            for series in page.get("MetricDataResults", ()):
                values = series.get("Values") or []
                if values:
                    out.setdefault(batch[int(str(series["Id"])[1:])], float(values[0]))
            token = page.get("NextToken")
            if not token:
                break
            request["NextToken"] = token
    return out


def _whole(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None
