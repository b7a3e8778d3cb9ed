"""The demo's story on real servers of its own, seen by clients that are not ours.

The tests follow the story line in the order they stand; each brings about or waits for what it needs.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from console.demo import control, layout
from console.demo.control import StoryHandle

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from console.brokers import Brokers

pytestmark = pytest.mark.broker

PARTITIONS = range(layout.PARTITIONS)


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true answer of `condition`, asked for at most so many seconds."""
    limit = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < limit, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)


@dataclass
class Shop:
    """The servers, the story on them, and plain clients to look with."""

    brokers: Brokers
    story: StoryHandle
    sqs: SQSClient

    def committed(self, group: str) -> list[int]:
        """The group's committed offset in each partition of `orders` (-1001: none)."""
        from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.brokers.bootstrap, "group.id": group})
        offsets: list[int] = []

        def asked() -> bool:
            try:
                found = consumer.committed([TopicPartition(layout.ORDERS, p) for p in PARTITIONS], timeout=10)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.NOT_COORDINATOR:  # still on its way up, on a busy machine
                    return False
                raise
            offsets[:] = [partition.offset for partition in found]
            return True

        try:
            until(asked, 10, "an answer of the coordinator")
            return offsets
        finally:
            consumer.close()

    def ends(self, topic: str) -> list[int]:
        """The high watermark of each partition."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.brokers.bootstrap, "group.id": "looking"})
        try:
            return [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in PARTITIONS]
        finally:
            consumer.close()

    def lag(self, group: str) -> int:
        """Records behind; a partition without a commit counts from its beginning."""
        committed = self.committed(group)
        return sum(end - max(0, done) for end, done in zip(self.ends(layout.ORDERS), committed, strict=True))

    def describe(self, group: str) -> Any:
        """The group's description by librdkafka; asked again while the coordinator still loads."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self.brokers.bootstrap})

        def ask() -> Any:
            try:
                return admin.describe_consumer_groups([group], request_timeout=10)[group].result()
            except KafkaException as error:
                assert error.args[0].retriable(), error
                return None

        return until(ask, 20, f"a description of {group}")

    def read(self, topic: str, partition: int, offset: int, count: int = 1) -> list[Any]:
        """Records of one partition from an offset."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.brokers.bootstrap, "group.id": "looking"})
        try:
            consumer.assign([TopicPartition(topic, partition, offset)])
            return consumer.consume(count, timeout=10)
        finally:
            consumer.close()

    def url(self, name: str) -> str:
        """A queue's URL."""
        return self.sqs.get_queue_url(QueueName=name)["QueueUrl"]

    def counts(self, name: str) -> tuple[int, int]:
        """Visible and in flight."""
        found = self.sqs.get_queue_attributes(QueueUrl=self.url(name), AttributeNames=["All"])["Attributes"]
        return int(found["ApproximateNumberOfMessages"]), int(found["ApproximateNumberOfMessagesNotVisible"])

    def take(self, name: str, seconds: float = 10.0) -> list[Any]:
        """Up to ten messages, hidden from others for 30 s."""
        url = self.url(name)
        return until(
            lambda: self.sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=30,
                WaitTimeSeconds=1,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages"),
            seconds,
            f"messages in {name}",
        )

    def move(self, messages: list[Any], source: str, target: str) -> set[str]:
        """Sends messages to another queue and deletes them; the order ids moved."""
        orders = set()
        for message in messages:
            fifo = {}
            if target.endswith(".fifo"):
                fifo = {
                    "MessageGroupId": message["Attributes"]["MessageGroupId"],
                    "MessageDeduplicationId": f"again-{message['MessageId']}",
                }
            self.sqs.send_message(
                QueueUrl=self.url(target),
                MessageBody=message["Body"],
                MessageAttributes=message.get("MessageAttributes", {}),
                **fifo,
            )
            self.sqs.delete_message(QueueUrl=self.url(source), ReceiptHandle=message["ReceiptHandle"])
            orders.add(json.loads(message["Body"])["order_id"])
        return orders

    def order_ids(self, name: str) -> set[str]:
        """The order ids of what is visible in a queue now; those seen are hidden for 2 s."""
        url, found = self.url(name), set()
        for _ in range(40):
            answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=2)
            messages = answer.get("Messages", [])
            found |= {json.loads(message["Body"])["order_id"] for message in messages}
            if not messages:
                break
        return found


@pytest.fixture(scope="module")
def shop(isolated: Path) -> Iterator[Shop]:
    """Servers of their own: the story's fixed names must not meet other tests."""
    import boto3

    from console import brokers as servers

    with servers.start() as running:
        assert running.endpoint_url and running.region
        story = control.start(
            running.bootstrap, running.endpoint_url, running.region, log=running.directory / "story.log"
        )
        try:
            assert story.wait_started(60), story.state()
            sqs = boto3.client("sqs", endpoint_url=running.endpoint_url, region_name=running.region)
            yield Shop(running, story, sqs)
        finally:
            story.stop()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_orders_flow_and_every_group_reads_them(shop: Shop) -> None:
    assert not shop.story.state().broken
    for group in (layout.BILLING, layout.INVENTORY, layout.FULFILLMENT, layout.ANALYTICS, layout.NOTIFICATIONS):
        until(lambda group=group: sum(max(0, o) for o in shop.committed(group)) > 0, 15, f"a commit of {group}")
    assert all(end > 0 for end in shop.ends(layout.ORDERS))
    first = shop.read(layout.ORDERS, 0, 0)[0]
    assert json.loads(first.value())["customer_id"].encode() == first.key()
    assert dict(first.headers())["traceparent"].startswith(b"00-")


def test_groups_are_of_both_protocols_with_members(shop: Shop) -> None:
    from confluent_kafka import ConsumerGroupState, ConsumerGroupType

    until(lambda: len(shop.describe(layout.BILLING).members) == 3, 15, "billing's members have joined")
    until(lambda: shop.describe(layout.ANALYTICS).state == ConsumerGroupState.STABLE, 15, "analytics is stable")
    until(lambda: shop.describe(layout.BILLING).state == ConsumerGroupState.STABLE, 15, "billing is stable")
    analytics, billing = shop.describe(layout.ANALYTICS), shop.describe(layout.BILLING)
    assert (analytics.type, billing.type) == (ConsumerGroupType.CONSUMER, ConsumerGroupType.CLASSIC)
    assert (len(analytics.members), len(billing.members)) == (1, 3)
    assert {m.client_id for m in billing.members} == {"billing-1", "billing-2", "billing-3"}


def test_within_a_minute_everything_has_gone_wrong(shop: Shop) -> None:
    until(lambda: shop.story.state().elapsed > 30, 40, "half a minute of story")
    assert shop.story.state().broken
    began, cpu = time.monotonic(), cpu_seconds(shop.story.pid)
    stood, moved = shop.committed(layout.BILLING), shop.committed(layout.INVENTORY)
    until(lambda: shop.counts(layout.IMAGE_JOBS_DLQ)[0] >= 3, 25, "image jobs in the DLQ")
    until(lambda: shop.counts(layout.EMAILS_DLQ)[0] >= 1, 25, "e-mails in the FIFO DLQ")
    assert shop.story.state().elapsed < 60
    assert sum(shop.ends(layout.ORDERS_DLT)) > 5
    time.sleep(max(0.0, 8 - (time.monotonic() - began)))
    assert shop.committed(layout.BILLING) == stood
    assert sum(shop.committed(layout.INVENTORY)) > sum(moved) + 1000
    assert len(shop.describe(layout.BILLING).members) == 3
    assert shop.lag(layout.BILLING) > 3000
    assert shop.lag(layout.ANALYTICS) > 800
    assert shop.lag(layout.INVENTORY) < shop.lag(layout.ANALYTICS)
    # The screen shares the machine with the story: well under one core, told in CPU time, not in wall time.
    assert (cpu_seconds(shop.story.pid) - cpu) / (time.monotonic() - began) < 0.35


def test_search_indexer_is_stopped_and_far_behind(shop: Shop) -> None:
    from confluent_kafka import ConsumerGroupState

    until(lambda: shop.describe(layout.SEARCH_INDEXER).state == ConsumerGroupState.EMPTY, 15, "an empty group")
    committed = shop.committed(layout.SEARCH_INDEXER)
    assert all(offset > 0 for offset in committed)
    time.sleep(2)
    assert shop.committed(layout.SEARCH_INDEXER) == committed
    assert shop.lag(layout.SEARCH_INDEXER) > 2000


def test_a_dead_letter_record_names_the_record_it_came_from(shop: Shop) -> None:
    ends = until(lambda: [e for e in [shop.ends(layout.ORDERS_DLT)] if sum(e) > 5], 30, "dead letters")[0]
    partition = max(PARTITIONS, key=lambda p: ends[p])
    groups = set()
    for letter in shop.read(layout.ORDERS_DLT, partition, 0, ends[partition]):
        headers = dict(letter.headers())
        (origin,) = struct.unpack(">i", headers["kafka_dlt-original-partition"])
        (offset,) = struct.unpack(">q", headers["kafka_dlt-original-offset"])
        (timestamp,) = struct.unpack(">q", headers["kafka_dlt-original-timestamp"])
        assert origin == letter.partition() == partition
        original = shop.read(headers["kafka_dlt-original-topic"].decode(), origin, offset)[0]
        assert (original.key(), original.value()) == (letter.key(), letter.value())
        assert original.timestamp()[1] == timestamp
        assert headers["traceparent"] == dict(original.headers())["traceparent"]
        groups.add(headers["kafka_dlt-original-consumer-group"].decode())
        if len(groups) == 2:
            break
    assert groups <= {layout.FULFILLMENT, layout.INVENTORY}


def test_before_the_fix_a_redrive_bounces(shop: Shop) -> None:
    until(lambda: shop.counts(layout.IMAGE_JOBS_DLQ)[0] >= 3, 40, "image jobs in the DLQ")
    moved = shop.move(shop.take(layout.IMAGE_JOBS_DLQ), layout.IMAGE_JOBS_DLQ, layout.IMAGE_JOBS)
    began = time.monotonic()
    assert moved
    back: set[str] = set()

    def all_back() -> bool:
        back.update(shop.order_ids(layout.IMAGE_JOBS_DLQ))
        return moved <= back

    until(all_back, 30, "every redriven job back in the DLQ")
    assert time.monotonic() - began > layout.VISIBILITY_S * (layout.MAX_RECEIVES - 1)


def test_after_the_fix_redriven_messages_are_done_and_billing_catches_up(shop: Shop) -> None:
    shop.story.deploy_fix()
    until(lambda: not shop.describe(layout.BILLING).members, 5, "billing is empty while its release is rolled out")
    until(lambda: not shop.story.state().broken, 5, "the fix is out")
    # What had failed twice may still reach the DLQ: wait until nothing is on its way there.
    time.sleep(layout.VISIBILITY_S * 2)
    while shop.counts(layout.IMAGE_JOBS_DLQ)[0]:
        shop.move(shop.take(layout.IMAGE_JOBS_DLQ), layout.IMAGE_JOBS_DLQ, layout.IMAGE_JOBS)
    while shop.counts(layout.EMAILS_DLQ)[0]:
        shop.move(shop.take(layout.EMAILS_DLQ), layout.EMAILS_DLQ, layout.EMAILS)
    until(lambda: shop.lag(layout.BILLING) < 1200, 60, "billing has caught up")
    until(lambda: shop.lag(layout.ANALYTICS) < 1200, 60, "analytics has caught up")
    time.sleep(layout.VISIBILITY_S * layout.MAX_RECEIVES + 3)
    assert shop.counts(layout.IMAGE_JOBS_DLQ) == (0, 0)
    assert shop.counts(layout.EMAILS_DLQ) == (0, 0)
    assert sum(shop.counts(layout.IMAGE_JOBS)) < 60
    letters = sum(shop.ends(layout.ORDERS_DLT))
    time.sleep(3)
    assert sum(shop.ends(layout.ORDERS_DLT)) == letters


def test_broken_again_the_dead_letters_come_back(shop: Shop) -> None:
    shop.story.deploy_fix()
    until(lambda: not shop.story.state().broken, 5, "the fix is out")
    letters = sum(shop.ends(layout.ORDERS_DLT))
    shop.story.break_it()
    state = until(lambda: shop.story.state() if shop.story.state().broken else None, 5, "the bug is back")
    assert state.next_event is not None and "billing" in state.next_event
    until(lambda: sum(shop.ends(layout.ORDERS_DLT)) > letters, 15, "new dead letters")
    until(lambda: shop.counts(layout.IMAGE_JOBS_DLQ)[0] > 0, 30, "image jobs in the DLQ again")


def test_the_services_go_on_when_their_servers_are_back(shop: Shop) -> None:
    assert shop.brokers.sqs is not None
    before = shop.story.state().orders
    shop.brokers.kafka.restart(1)
    shop.brokers.sqs.restart()  # in memory: its queues are gone, and the story makes them again
    until(lambda: shop.story.state().orders > before, 10, "orders are made")
    ends = sum(shop.ends(layout.ORDERS))
    until(lambda: sum(shop.ends(layout.ORDERS)) > ends + 1000, 30, "orders arrive again")
    read = sum(shop.committed(layout.INVENTORY))
    until(lambda: sum(shop.committed(layout.INVENTORY)) > read + 1000, 40, "inventory reads again")

    def jobs_flow() -> bool:
        try:
            return sum(shop.counts(layout.IMAGE_JOBS)) > 0
        except shop.sqs.exceptions.QueueDoesNotExist:
            return False

    until(jobs_flow, 40, "image jobs are made again")
    assert shop.story.state().running


def test_stopping_leaves_the_groups_at_once(shop: Shop) -> None:
    began = time.monotonic()
    shop.story.stop()
    assert time.monotonic() - began < control.STOP_S
    state = shop.story.state()
    assert (state.running, state.problem) == (False, None)
    assert not Path(f"/proc/{shop.story.pid}").exists()
    # At once: long before the broker would give up on members that have just gone silent (10 s).
    until(lambda: not shop.describe(layout.BILLING).members, 5, "billing has no members")
    shop.story.deploy_fix()  # too late, and no error
    shop.story.stop()


def test_the_story_ends_with_a_killed_parent(shop: Shop) -> None:
    endpoint, region = shop.brokers.endpoint_url, shop.brokers.region
    code = (
        "import sys, time; from console.demo import control; "
        f"h = control.start({shop.brokers.bootstrap!r}, {endpoint!r}, {region!r}); "
        "h.wait_started(30); print(h.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until(lambda: not Path(f"/proc/{pid}").exists(), 3, "the story's process is gone")


def test_a_story_without_servers_says_why(closed_port: int) -> None:
    story = control.start(f"127.0.0.1:{closed_port}", f"http://127.0.0.1:{closed_port}", "eu-west-1")
    assert not story.wait_started(40)
    state = story.state()
    story.stop()
    assert not state.running
    assert state.problem is not None and "topic orders" in state.problem
