"""What a queue's attributes mean in words, and the net rate from our own looks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from console.history import History
from console.model import Queue, SqsSnapshot
from console.ops import queue_facts


def queue(name: str = "q", net: float | None = None, **attributes: str) -> Queue:
    counts: dict[str, Any] = {"visible": 100, "in_flight": 0, "delayed": 0, "net_rate": net}
    kind: Any = "fifo" if name.endswith(".fifo") else "standard"
    return Queue(name, f"u/{name}", type=kind, extra=tuple(attributes.items()), **counts)


@pytest.mark.parametrize(
    ("attributes", "kind", "says"),
    [
        ({}, None, "does not tell"),
        ({"SqsManagedSseEnabled": "false"}, "none", "none"),
        ({"SqsManagedSseEnabled": "true"}, "SSE-SQS", "SSE-SQS"),
        (
            {"KmsMasterKeyId": "alias/shop", "KmsDataKeyReusePeriodSeconds": "300", "SqsManagedSseEnabled": "false"},
            "SSE-KMS",
            "SSE-KMS, key alias/shop, data key used for 5m00s",
        ),
    ],
)
def test_encryption(attributes: dict[str, str], kind: str | None, says: str) -> None:
    found = queue(**attributes)
    assert queue_facts.encryption(found) == kind
    assert says in queue_facts.encryption_words(found)


def test_high_throughput_needs_both_settings_and_is_never_assumed() -> None:
    both = {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    assert queue_facts.high_throughput(queue("q.fifo", **both)) is True
    assert queue_facts.high_throughput(queue("q.fifo", **both | {"FifoThroughputLimit": "perQueue"})) is False
    assert queue_facts.high_throughput(queue("q.fifo")) is None
    assert queue_facts.high_throughput(queue("q", **both)) is None
    words = queue_facts.fifo_words(queue("q.fifo", ContentBasedDeduplication="false", **both))
    assert words == "deduplicated by id, per message group, high throughput"
    assert queue_facts.fifo_words(queue("q.fifo")) == "deduplication not told, throughput not told"


@pytest.mark.parametrize(
    ("policy", "found", "says"),
    [
        (None, None, "no policy: any queue"),
        ({"redrivePermission": "denyAll"}, {"permission": "denyAll", "sources": []}, "no queue"),
        (
            {"redrivePermission": "byQueue", "sourceQueueArns": ["arn:aws:sqs:r:1:orders"]},
            {"permission": "byQueue", "sources": ["orders"]},
            "only orders",
        ),
        ("nonsense", {"permission": '"nonsense"', "sources": []}, "nonsense"),
    ],
)
def test_who_may_use_it_as_dead_letter_queue(policy: Any, found: Any, says: str) -> None:
    shown = queue() if policy is None else queue(RedriveAllowPolicy=json.dumps(policy))
    assert queue_facts.redrive_allow(shown) == found
    assert says in queue_facts.allow_words(shown)


def test_what_flows_in_less_out_comes_from_our_own_looks_alone() -> None:
    history = History()

    def look(at: float, visible: int, flight: int = 0) -> None:
        history.note_sqs(SqsSnapshot(at=at, queues=(Queue("q", "u", visible=visible, in_flight=flight, seen_at=at),)))

    look(0, 100)
    assert history.net_rate("u") is None
    look(60, 100)
    look(60, 5_000)  # kept from before: no look of its own
    assert history.net_rate("u") == 0.0
    look(100, 300, flight=100)
    assert history.net_rate("u") == pytest.approx(3.0)
    look(240, 0)  # the looks before are older than the window: measured from the last of them
    assert history.net_rate("u") == pytest.approx(-400 / 140)
    assert queue_facts.flow_words(queue(net=None)).endswith("seen too briefly to tell")
    assert queue_facts.flow_words(queue(net=3.14)) == "fills by 3.1/s"
    assert queue_facts.flow_words(queue(net=-2.0)) == "drains by 2.0/s, empty in ~50s"
    assert queue_facts.flow_words(queue(net=0.0)) == "level"
