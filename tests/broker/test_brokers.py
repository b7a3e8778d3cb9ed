"""The servers `console.brokers` starts: that they are real, on loopback, and gone when they should be."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from console import brokers as servers
from console.brokers import Brokers, KafkaCluster, jars, jvm
from console.brokers.elasticmq import start_elasticmq
from console.brokers.kafka import live_brokers, start_kafka
from console.brokers.supervise import Supervisor
from console.errors import Failed

pytestmark = pytest.mark.broker

Unique = Callable[[str], str]


def make_topic(bootstrap: str, name: str, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (future,) = admin.create_topics([NewTopic(name, partitions)]).values()
    future.result(30)


def produce(bootstrap: str, topic: str, *bodies: bytes) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for body in bodies:
        producer.produce(topic, body)
    assert producer.flush(30) == 0


def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False}
    )
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    try:
        seen = consumer.consume(count, timeout=30)
    finally:
        consumer.close()
    return [message.value() or b"" for message in seen]


def sqs(endpoint: str, timeout: float = 5) -> Any:
    from botocore.config import Config

    config = Config(connect_timeout=timeout, read_timeout=timeout, retries={"total_max_attempts": 1})
    return boto3.client("sqs", endpoint_url=endpoint, region_name="eu-west-1", config=config)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def mentioning(text: str) -> list[int]:
    """Processes with the text in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def listening(pid: int) -> set[str]:
    """Addresses the process listens on, in the kernel's words: hexadecimal, IPv4 of one and IPv6 of the other file."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(fd.readlink()))
        except FileNotFoundError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.add(fields[1])
    return found


def test_kafka_takes_and_gives_records(kafka: str, unique: Unique) -> None:
    topic = unique("records")
    make_topic(kafka, topic)
    produce(kafka, topic, b"one", b"two")
    assert read(kafka, topic, 2) == [b"one", b"two"]


def test_sqs_takes_and_gives_messages(brokers: Brokers, sqs_endpoint: str, unique: Unique) -> None:
    client = sqs(sqs_endpoint)
    url = client.create_queue(QueueName=unique("jobs"))["QueueUrl"]
    assert url.startswith(f"{sqs_endpoint}/000000000000/")
    client.send_message(QueueUrl=url, MessageBody="resize")
    (message,) = client.receive_message(QueueUrl=url)["Messages"]
    assert message["Body"] == "resize"
    arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    assert arn.startswith("arn:aws:sqs:eu-west-1:000000000000:")
    assert brokers.region == "eu-west-1"


def test_sqs_keeps_to_the_strict_limits(sqs_endpoint: str, unique: Unique) -> None:
    client = sqs(sqs_endpoint)
    url = client.create_queue(QueueName=unique("strict"))["QueueUrl"]
    with pytest.raises(client.exceptions.ClientError):
        client.receive_message(QueueUrl=url, MaxNumberOfMessages=11)


def test_they_listen_on_loopback_alone(brokers: Brokers) -> None:
    addresses = {pid: listening(pid) for pid in brokers.pids}
    assert [len(found) for found in addresses.values()] == [2, 1]  # broker and controller; one HTTP port
    v4 = f"{struct.unpack('=I', socket.inet_aton('127.0.0.1'))[0]:08X}"
    v6 = "0000000000000000FFFF0000" + v4  # Java binds an IPv6 socket to the IPv4 address
    assert {address.rsplit(":", 1)[0] for found in addresses.values() for address in found} <= {v4, v6}


def test_the_features_are_those_of_a_formatted_cluster(brokers: Brokers) -> None:
    done = brokers.kafka.run_tool(
        "org.apache.kafka.tools.FeatureCommand", "--bootstrap-server", brokers.bootstrap, "describe"
    )
    assert done.returncode == 0, done.stderr
    levels = {line.split()[1]: line.split("FinalizedVersionLevel:")[1].split()[0] for line in done.stdout.splitlines()}
    assert levels["metadata.version"].startswith("4.3")
    assert levels["group.version"] == "1"
    assert levels["share.version"] == "1"
    assert levels["transaction.version"] == "2"


def test_apaches_own_tools_run(brokers: Brokers, unique: Unique) -> None:
    topic, group = unique("tool"), unique("group")
    create = ("--create", "--topic", topic, "--partitions", "3")
    tool = "org.apache.kafka.tools.TopicCommand"
    done = brokers.kafka.run_tool(tool, "--bootstrap-server", brokers.bootstrap, *create)
    assert done.returncode == 0, done.stderr
    produce(brokers.bootstrap, topic, b"x")
    consumer = confluent_kafka.Consumer({"bootstrap.servers": brokers.bootstrap, "group.id": group})
    consumer.commit(offsets=[confluent_kafka.TopicPartition(topic, 0, 0)], asynchronous=False)
    consumer.close()
    for name, option in (
        ("consumer.group.ConsumerGroupCommand", "--describe"),
        ("consumer.group.ShareGroupCommand", "--list"),
    ):
        arguments = ("--group", group) if option == "--describe" else ()
        done = brokers.kafka.run_tool(
            f"org.apache.kafka.tools.{name}", "--bootstrap-server", brokers.bootstrap, option, *arguments
        )
        assert done.returncode == 0, done.stderr
        if arguments:
            assert topic in done.stdout


def test_logs_can_be_read(brokers: Brokers) -> None:
    assert "Kafka Server started" in brokers.kafka.log_path(1).read_text()
    assert brokers.sqs is not None
    assert "ElasticMQ server (1.7.1)" in brokers.sqs.log_path.read_text()


@pytest.fixture
def own() -> Any:
    """A node and an SQS server of the test's own, to end and freeze."""
    with servers.start() as running:
        yield running


def test_kill_freeze_and_restart(own: Brokers, unique: Unique) -> None:
    topic = unique("kept")
    make_topic(own.bootstrap, topic)
    produce(own.bootstrap, topic, b"before")
    port = int(own.bootstrap.rsplit(":", 1)[1])

    own.kafka.freeze(1)
    assert live_brokers(port) == frozenset()
    own.kafka.thaw(1)
    assert until(lambda: live_brokers(port) == {1}, 20)

    first = own.kafka.pid(1)
    own.kafka.kill(1)
    assert not alive(first)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 2)
    own.kafka.restart(1)
    assert own.kafka.pid(1) != first
    produce(own.bootstrap, topic, b"after")
    assert read(own.bootstrap, topic, 2) == [b"before", b"after"]
    own.kafka.terminate(1)
    assert not alive(own.kafka.pid(1))


def test_sqs_freezes_and_comes_back_at_the_same_address(own: Brokers) -> None:
    assert own.sqs is not None
    address = own.sqs.endpoint_url
    sqs(address).create_queue(QueueName="lost")
    own.sqs.freeze()
    with pytest.raises(Exception, match=r"[Tt]imeout"):
        sqs(address, 0.5).list_queues()
    own.sqs.thaw()
    sqs(address).list_queues()
    own.sqs.kill()
    with pytest.raises(Exception, match="connect"):
        sqs(address).list_queues()
    own.sqs.restart()
    assert own.sqs.endpoint_url == address
    assert not sqs(address).list_queues().get("QueueUrls")


def test_stop_takes_everything_along_at_once() -> None:
    running = servers.start()
    pids = (*running.pids, running.supervisor.pid)
    assert running.directory.exists()
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < 1
    assert not any(alive(pid) for pid in pids)
    assert not running.directory.exists()
    running.stop()


PARENT = """
import signal, sys, time
from console import brokers
running = brokers.start()
print(running.directory, running.supervisor.pid, *running.pids, flush=True)
if sys.argv[1] == "exception":
    raise RuntimeError("a crash")
if sys.argv[1] == "exit":
    sys.exit(0)
time.sleep(300)
"""


def parent(ending: str) -> tuple[subprocess.Popen[str], Path, list[int]]:
    """A process that starts the servers and then ends in that way: itself, the servers' folder, guard and servers."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, ending], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    folder, *pids = process.stdout.readline().split()
    return process, Path(folder), [int(pid) for pid in pids]


@pytest.mark.chaos
@pytest.mark.parametrize("ending", ["SIGKILL", "SIGTERM", "SIGINT", "exception", "exit"])
def test_nothing_is_left_behind(ending: str) -> None:
    process, folder, pids = parent(ending)
    if ending.startswith("SIG"):
        assert all(alive(pid) for pid in pids)
        assert (folder / "kafka-1" / "server.log").exists()
        process.send_signal(signal.Signals[ending])
    process.communicate(timeout=20)
    assert until(lambda: not any(alive(pid) for pid in pids), 5)
    assert until(lambda: not folder.exists(), 5)


@pytest.mark.chaos
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_behind_by_a_start_cut_short(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, "sleep"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert until(lambda: len(list(tmp_path.glob("logq-*/kafka-1/server.log"))) == 1, 30)
    assert len(mentioning(str(tmp_path))) >= 2  # the guard and a server
    process.send_signal(number)
    process.communicate(timeout=20)
    assert until(lambda: not mentioning(str(tmp_path)), 5)
    assert until(lambda: not list(tmp_path.iterdir()), 5)


@pytest.mark.chaos
def test_a_frozen_server_does_not_outlive_its_parent() -> None:
    process, folder, (guard, *pids) = parent("SIGKILL")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    process.kill()
    process.communicate(timeout=20)
    assert until(lambda: not any(alive(pid) for pid in (guard, *pids)), 5)
    assert until(lambda: not folder.exists(), 5)


@pytest.mark.chaos
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent by itself")
def test_a_killed_guard_takes_the_servers_along() -> None:
    running = servers.start()
    os.kill(running.supervisor.pid, signal.SIGKILL)
    assert until(lambda: not any(alive(pid) for pid in running.pids), 5)
    with pytest.raises(Failed, match="looks after the servers has ended"):
        running.kafka.restart(1)
    running.stop()
    assert not running.directory.exists()


def test_ctrl_c_in_the_terminal_does_not_reach_the_servers(brokers: Brokers) -> None:
    sessions = {os.getsid(pid) for pid in (*brokers.pids, brokers.supervisor.pid)}
    assert os.getsid(0) not in sessions


def cpu_seconds(pid: int) -> float:
    """CPU time the process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_it_starts_offline_from_the_cache(closed_port: int, monkeypatch: pytest.MonkeyPatch, brokers: Brokers) -> None:
    monkeypatch.setenv("LOGQ_JARS_URL", f"http://127.0.0.1:{closed_port}/")
    with servers.start() as running:
        used = sum(cpu_seconds(pid) for pid in running.pids)
        assert live_brokers(int(running.bootstrap.rsplit(":", 1)[1])) == {1}
    # The first picture is promised within 10 s on two cores. CPU time says the same of a machine that is busy with
    # other things: 15 s of it are 7.5 s of two cores.
    print(f"start used {used:.1f} s of CPU")
    assert used < 15


def test_a_kept_folder_is_taken_up_again(tmp_path: Path, unique: Unique) -> None:
    topic, folder = unique("kept"), tmp_path / "läden und daten"
    with servers.start(folder, sqs=False) as running:
        make_topic(running.bootstrap, topic)
        produce(running.bootstrap, topic, b"from the first run")
    assert (folder / "kafka-1" / "server.log").exists()
    with servers.start(folder, sqs=False) as running:
        assert read(running.bootstrap, topic, 1) == [b"from the first run"]
    with pytest.raises(Failed, match="holds a cluster of 1, not 3"):
        servers.start(folder, sqs=False, kafka_nodes=3)


def test_a_server_that_ends_at_once_is_told_with_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    with servers.start(folder, sqs=False):
        pass
    properties = folder / "kafka-1" / "data" / "meta.properties"
    properties.write_text(properties.read_text().replace("node.id=1", "node.id=9"))
    with pytest.raises(Failed) as caught:
        servers.start(folder, sqs=False)
    message = str(caught.value)
    assert message.startswith("Kafka node 1 ended with 1 while starting: ")
    assert f"(log: {folder / 'kafka-1' / 'server.log'})" in message
    assert "node" in message.split(": ", 1)[1]
    assert "\n" not in message
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("which", ["kafka", "elasticmq"])
def test_a_port_somebody_else_took_is_not_the_end(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    reserve = jvm.Ports
    given: list[int] = []

    def first_one_taken(count: int) -> jvm.Ports:
        ports = reserve(count)
        if not given:
            ports.release()
            ports.numbers = (taken.getsockname()[1], *ports.numbers[1:])
        given.append(ports.numbers[0])
        return ports

    monkeypatch.setattr(jvm, "Ports", first_one_taken)
    jars.ensure("kafka", "elasticmq")
    supervisor = Supervisor()
    try:
        if which == "kafka":
            assert start_kafka(supervisor).bootstrap.endswith(f":{given[1]}")
        else:
            assert start_elasticmq(supervisor).endpoint_url.endswith(f":{given[1]}")
    finally:
        supervisor.stop()
        taken.close()


def test_three_nodes_are_one_cluster(cluster3: KafkaCluster, unique: Unique) -> None:
    assert len(cluster3.bootstrap.split(",")) == 3
    for address in cluster3.bootstrap.split(","):
        assert live_brokers(int(address.rsplit(":", 1)[1])) == {1, 2, 3}
    topic = unique("wide")
    make_topic(cluster3.bootstrap, topic)
    (partition,) = (
        AdminClient({"bootstrap.servers": cluster3.bootstrap}).list_topics(topic, 10).topics[topic].partitions.values()
    )
    assert sorted(partition.replicas) == [1, 2, 3]


@pytest.mark.chaos
def test_a_cluster_lives_on_without_one_node_and_takes_it_back(cluster3: KafkaCluster, unique: Unique) -> None:
    topic = unique("failover")
    make_topic(cluster3.bootstrap, topic)
    produce(cluster3.bootstrap, topic, b"with three")
    other = int(cluster3.address(1).rsplit(":", 1)[1])
    cluster3.kill(3)
    assert until(lambda: live_brokers(other) == {1, 2}, 40)
    produce(cluster3.bootstrap, topic, b"with two")
    cluster3.restart(3)
    assert until(lambda: live_brokers(other) == {1, 2, 3}, 40)
    assert read(cluster3.address(3), topic, 2) == [b"with three", b"with two"]
