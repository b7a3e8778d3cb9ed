"""What a queue's attributes mean: encryption, FIFO throughput, who may use it as a dead-letter queue.

The attributes are those of GetQueueAttributes (SQS API reference); one that is missing is unknown, not off.
"""

from __future__ import annotations

import json
from typing import Any

from console import text
from console.model import Queue

SHOWN = frozenset(
    {
        "FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit", "SqsManagedSseEnabled",
        "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "RedriveAllowPolicy", "MaximumMessageSize", "DelaySeconds",
        "ReceiveMessageWaitTimeSeconds", "CreatedTimestamp", "LastModifiedTimestamp",
    }
)  # fmt: skip
"""The attributes that have words of their own here; the others are shown as SQS names them."""


def attribute(queue: Queue, name: str) -> str | None:
    """An attribute by SQS's name, None when it was not told."""
    return dict(queue.extra).get(name)


def number(queue: Queue, name: str) -> int | None:
    """A whole number among the attributes; None when it was not told or is none."""
    value = attribute(queue, name)
    return int(value) if value is not None and value.isdigit() else None


def encryption(queue: Queue) -> str | None:
    """ "SSE-KMS", "SSE-SQS" or "none"; None when the server does not tell."""
    if attribute(queue, "KmsMasterKeyId"):
        return "SSE-KMS"
    managed = attribute(queue, "SqsManagedSseEnabled")
    return None if managed is None else "SSE-SQS" if managed.lower() == "true" else "none"


def high_throughput(queue: Queue) -> bool | None:
    """Whether a FIFO queue has high throughput: deduplication per message group and a limit per message group.

    AWS's developer guide, "High throughput for FIFO queues": both settings are needed. None for a standard queue, or
    when the server does not tell.
    """
    scope, limit = attribute(queue, "DeduplicationScope"), attribute(queue, "FifoThroughputLimit")
    if not queue.fifo or (scope is None and limit is None):
        return None
    return scope == "messageGroup" and limit == "perMessageGroupId"


def redrive_allow(queue: Queue) -> dict[str, Any] | None:
    """Who may name this queue as its dead-letter queue: `permission` and `sources` (names). None: not told.

    Without a RedriveAllowPolicy every queue of the account and region may (the API's default, allowAll).
    """
    policy = attribute(queue, "RedriveAllowPolicy")
    if policy is None:
        return None
    try:
        raw = json.loads(policy)
        sources = [str(arn).rsplit(":", 1)[-1] for arn in raw.get("sourceQueueArns", ())]
        return {"permission": str(raw["redrivePermission"]), "sources": sources}
    except (ValueError, TypeError, AttributeError, KeyError):
        return {"permission": policy, "sources": []}


def allow_words(queue: Queue) -> str:
    """Who may name it as dead-letter queue, in words."""
    found = redrive_allow(queue)
    if found is None:
        return "no policy: any queue of the account and region"
    permission = str(found["permission"])
    return {
        "allowAll": "any queue of the account and region",
        "denyAll": "no queue",
        "byQueue": f"only {', '.join(found['sources']) or 'none'}",
    }.get(permission, permission)


def encryption_words(queue: Queue) -> str:
    """How it is encrypted, in words; a dash when the server does not tell."""
    kind = encryption(queue)
    if kind == "SSE-KMS":
        reuse = number(queue, "KmsDataKeyReusePeriodSeconds")
        again = f", data key used for {text.duration(reuse)}" if reuse is not None else ""
        return f"SSE-KMS, key {attribute(queue, 'KmsMasterKeyId')}{again}"
    return f"{text.DASH} the server does not tell" if kind is None else kind


def fifo_words(queue: Queue) -> str:
    """How a FIFO queue deduplicates and how fast it may be; "" for a standard queue."""
    if not queue.fifo:
        return ""
    told = {"true": "deduplicated by content", "false": "deduplicated by id"}
    content = told.get((attribute(queue, "ContentBasedDeduplication") or "").lower(), "deduplication not told")
    scopes = {"messageGroup": "per message group", "queue": "per queue"}
    scope = scopes.get(attribute(queue, "DeduplicationScope") or "", "")
    fast = {True: "high throughput", False: "ordinary throughput (300 calls a second)", None: "throughput not told"}
    return ", ".join(part for part in (content, scope, fast[high_throughput(queue)]) if part)


def flow_words(queue: Queue) -> str:
    """Whether it fills or drains, from our own looks: "fills by 3.1/s", "drains by 12/s, empty in ~4m10s"."""
    net = queue.net_rate
    if net is None:
        return f"{text.DASH} seen too briefly to tell"
    if abs(net) < 0.005:
        return "level"
    if net > 0:
        return f"fills by {text.rate(net)}/s"
    held = (queue.visible or 0) + (queue.in_flight or 0) + (queue.delayed or 0)
    return f"drains by {text.rate(-net)}/s, empty in ~{text.duration(held / -net)}"


def pairs(queue: Queue) -> tuple[tuple[str, str], ...]:
    """A queue's settings as label and words, for the screen and for `queue show`."""
    wait, delay, size = (
        number(queue, name) for name in ("ReceiveMessageWaitTimeSeconds", "DelaySeconds", "MaximumMessageSize")
    )
    found = [
        ("visibility timeout", text.duration(queue.visibility_timeout)),
        ("retention", text.duration(queue.retention_seconds)),
        ("delay", text.duration(delay)),
        ("long poll", text.duration(wait)),
        ("maximum size", text.size(size)),
        ("encryption", encryption_words(queue)),
    ]
    if queue.fifo:
        found.append(("fifo", fifo_words(queue)))
    return tuple(found)


def others(queue: Queue) -> tuple[tuple[str, str], ...]:
    """The attributes that nothing else here shows, as SQS names them."""
    return tuple((name, value) for name, value in queue.extra if name not in SHOWN)
