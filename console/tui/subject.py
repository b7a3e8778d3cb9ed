"""What the cursor stands on: the thing an action acts on, resolved when its key is pressed and never later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from console.health import is_dead_letter_queue
from console.model import Attention, DeadLetters, Queue

Kind = Literal[
    "group",
    "queue",
    "dlq",
    "dlt",
    "topic",
    "partition",
    "member",
    "message",
    "cluster",
    "job",
    "broker",
    "connection",
    "check",
]


@dataclass(frozen=True, slots=True)
class Subject:
    """A thing by kind and name (`dlq` is a dead-letter queue, `dlt` a dead-letter topic).

    `item` is the frozen value it was seen as, `target` its `kafka:` or `sqs:` name if it has one.
    """

    kind: Kind
    name: str
    item: object = None
    target: str = ""


def of_queue(queue: Queue) -> Subject:
    """A queue, as dead letters when it serves as a dead-letter queue."""
    kind: Kind = "dlq" if is_dead_letter_queue(queue) else "queue"
    return Subject(kind, queue.name, queue, f"sqs:{queue.name}")


def of_dead_letters(item: DeadLetters) -> Subject:
    """A dead-letter queue or topic."""
    return Subject("dlq" if item.kind == "queue" else "dlt", item.target.partition(":")[2], item, item.target)


def of_attention(item: Attention, queue: Queue | None) -> Subject:
    """What a line of attention is about; `queue` is the queue of that name, where it is one."""
    if item.kind == "queue":
        return of_queue(queue) if queue is not None else Subject("queue", item.name, item, f"sqs:{item.name}")
    if item.kind == "topic":
        kind: Kind = "dlt" if item.status.name == "DEAD_LETTERS" else "topic"
        return Subject(kind, item.name, item, f"kafka:{item.name}")
    return Subject(item.kind, item.name, item)
