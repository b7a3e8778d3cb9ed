"""Apache Kafka for the demo and the tests: one or three KRaft nodes (broker and controller in one) on loopback."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from console.brokers import jars, jvm
from console.brokers.supervise import Server, Supervisor
from console.errors import Failed

_HEAP_MB = 400
_START_S = 90.0
_TOOL_S = 60.0
_ANSWER_S = 2.0
_TRIES = 3
_METADATA_KEY = 3
_METADATA_VERSION = 1

_CONFIG = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=8
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=5000
"""

_LOG4J = """\
<Configuration status="WARN"><Appenders><Console name="out" target="SYSTEM_OUT">
<PatternLayout pattern="[%d] %p %m (%c)%n"/></Console></Appenders>
<Loggers><Root level="INFO"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""


@dataclass(frozen=True, slots=True)
class KafkaCluster:
    """A running cluster. Nodes are numbered from 1; a node keeps its address and its data over `restart`."""

    nodes: dict[int, Server]
    ports: jvm.Ports
    directory: Path

    @property
    def bootstrap(self) -> str:
        """`HOST:PORT,…` of every broker."""
        return ",".join(self.address(node) for node in self.nodes)

    @property
    def pids(self) -> tuple[int, ...]:
        """The process id of each node, in the nodes' order."""
        return tuple(server.pid for server in self.nodes.values())

    def address(self, node: int) -> str:
        """`HOST:PORT` of one broker."""
        return f"{jvm.HOST}:{self.ports.numbers[2 * (node - 1)]}"

    def pid(self, node: int) -> int:
        """The node's process id."""
        return self.nodes[node].pid

    def log_path(self, node: int) -> Path:
        """The node's log."""
        return self.nodes[node].log

    def kill(self, node: int) -> None:
        """SIGKILL, and wait until it is gone."""
        self.nodes[node].kill()

    def terminate(self, node: int) -> None:
        """SIGTERM (a controlled shutdown), and wait until it is gone."""
        self.nodes[node].terminate()

    def freeze(self, node: int) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self.nodes[node].freeze()

    def thaw(self, node: int) -> None:
        """SIGCONT: it goes on."""
        self.nodes[node].thaw()

    def restart(self, node: int) -> None:
        """End it if it runs, start it again at the same address and wait until the cluster counts it as alive.

        After a kill the controller first has to miss the old one for `broker.session.timeout.ms` (5 s here).
        """
        self.nodes[node].restart(_START_S)

    def run_tool(self, class_name: str, *arguments: str, timeout: float = _TOOL_S) -> subprocess.CompletedProcess[str]:
        """Run one of Apache's own tools from the same jars, as `org.apache.kafka.tools.TopicCommand`, to its end.

        Its output and exit code are in the result, whatever they are; `Failed` after `timeout` seconds.
        """
        return _run(self.directory / "tools", timeout, class_name, *arguments)


def start_kafka(supervisor: Supervisor, nodes: int = 1) -> KafkaCluster:
    """Start a cluster of 1 or 3 nodes under the supervisor; returns when every broker answers and knows all the others.

    Data, configuration and log of node N are in `kafka-N` of the supervisor's folder; its jars must be there. Data of
    an earlier start in a kept folder is used again. `Failed` with the last lines of the log when a node ends or does
    not answer in time.
    """
    top = supervisor.directory
    _check_folder(top, nodes)
    pinned = jars.pinned("kafka")
    for attempt in range(1, _TRIES + 1):
        ports = jvm.Ports(2 * nodes)
        supervisor.at_stop(ports.release)
        servers = {node: _node(supervisor, top / f"kafka-{node}", node, nodes, ports, pinned) for node in _ids(nodes)}
        _format(supervisor, _ids(nodes))
        for server in servers.values():
            server.start()
        try:
            for server in servers.values():
                server.wait_ready(_START_S)
            for node, server in servers.items():
                port = ports.numbers[2 * (node - 1)]
                server.wait_ready(_START_S, lambda port=port: len(live_brokers(port)) == nodes)  # type: ignore[misc]
        except Failed:
            in_use = any(server.log_says(jvm.BIND_FAILED) for server in servers.values())
            if attempt == _TRIES or not in_use:
                raise
            for server in servers.values():
                server.kill()
            continue
        return KafkaCluster(servers, ports, top)
    raise AssertionError("unreachable")


def _check_folder(top: Path, nodes: int) -> None:
    if "," in str(top):
        raise Failed(f"Kafka cannot keep data in a folder with a comma in its name: {top}")
    earlier = len(list(top.glob("kafka-*/data/meta.properties")))
    if earlier not in (0, nodes):
        raise Failed(f"{top} holds a cluster of {earlier}, not {nodes}: remove it, or name another folder with --keep")


def _ids(nodes: int) -> range:
    return range(1, nodes + 1)


def _node(supervisor: Supervisor, folder: Path, node: int, nodes: int, ports: jvm.Ports, pinned: jars.Pinned) -> Server:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    port, controller_port = ports.numbers[2 * (node - 1) : 2 * node]
    voters = ",".join(f"{other}@{jvm.HOST}:{ports.numbers[2 * other - 1]}" for other in _ids(nodes))
    replicas, in_sync = min(nodes, 3), 2 if nodes >= 3 else 1
    text = _CONFIG.format(
        node=node,
        voters=voters,
        host=jvm.HOST,
        port=port,
        controller_port=controller_port,
        data=_escaped(folder / "data"),
        replicas=replicas,
        in_sync=in_sync,
    )
    (folder / "server.properties").write_text(text, encoding="utf-8")
    (folder / "log4j2.xml").write_text(_LOG4J, encoding="utf-8")
    return Server(
        name=f"Kafka node {node}",
        supervisor=supervisor,
        argv=jvm.command(
            _HEAP_MB,
            folder,
            f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}",
            "kafka.Kafka",
            str(folder / "server.properties"),
        ),
        env=jvm.environment(pinned),
        log=folder / "server.log",
        hopeless=jvm.BIND_FAILED,
        answers=lambda: node in live_brokers(port),
    )


def _escaped(path: Path) -> str:
    """A path as a value in a Java properties file, which is Latin-1 with escapes in UTF-16."""
    plain = str(path).replace("\\", "\\\\")
    units = plain.encode("utf-16-be")
    codes = [int.from_bytes(units[i : i + 2]) for i in range(0, len(units), 2)]
    return "".join(chr(code) if 32 <= code < 127 else f"\\u{code:04x}" for code in codes)


def uuid() -> str:
    """A Kafka UUID: 16 random bytes in URL-safe base64 without padding (not beginning with a dash, as Kafka's own)."""
    while (text := base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")).startswith("-"):
        pass
    return text


def _format(supervisor: Supervisor, nodes: range) -> None:
    """Make the data folders a cluster's, unless an earlier start did.

    Kafka's own formatter takes two seconds of Java. What it writes besides `meta.properties` (the features' first
    levels) is the same for every cluster of one Kafka version with fixed voters, so it runs once, and its result is
    kept in the user's cache.
    """
    top = supervisor.directory
    fresh = [node for node in nodes if not (top / f"kafka-{node}" / "data" / "meta.properties").exists()]
    if not fresh:
        return
    known = [node for node in nodes if node not in fresh]
    cluster = _cluster_id(top / f"kafka-{known[0]}" / "data") if known else uuid()
    template = _bootstrap_template(supervisor)
    for node in fresh:
        data = top / f"kafka-{node}" / "data"
        shutil.copyfile(template, data / template.name)
        # Written last: its presence says that the folder is formatted.
        (data / "meta.properties").write_text(
            f"version=1\ncluster.id={cluster}\nnode.id={node}\ndirectory.id={uuid()}\n", encoding="utf-8"
        )
    shutil.rmtree(top / "format", ignore_errors=True)


def _cluster_id(data: Path) -> str:
    for line in (data / "meta.properties").read_text(encoding="utf-8").splitlines():
        if line.startswith("cluster.id="):
            return line.removeprefix("cluster.id=")
    raise Failed(f"{data / 'meta.properties'} names no cluster: remove the folder, or name another with --keep")


def _bootstrap_template(supervisor: Supervisor) -> Path:
    """Kafka's `bootstrap.checkpoint` as its own formatter writes it, made on the first start and kept in the cache."""
    kept = jars.cache_root() / f"kafka-{jars.pinned('kafka').version}" / "bootstrap.checkpoint"
    if kept.exists():
        return kept
    folder = supervisor.directory / "format"
    made = folder / "data" / kept.name
    folder.mkdir(exist_ok=True)
    config = folder / "server.properties"
    text = _CONFIG.format(
        node=1,
        voters=f"1@{jvm.HOST}:1",
        host=jvm.HOST,
        port=2,
        controller_port=1,
        data=_escaped(folder / "data"),
        replicas=1,
        in_sync=1,
    )
    config.write_text(text, encoding="utf-8")
    formatter = Server(
        name="Kafka's formatter",
        supervisor=supervisor,
        argv=jvm.command(_HEAP_MB, folder, "kafka.tools.StorageTool", "format", "-t", uuid(), "-c", str(config)),
        env=jvm.environment(jars.pinned("kafka")),
        log=folder / "format.log",
        answers=made.exists,
    )
    formatter.start()
    if not supervisor.wait(formatter.pid, _TOOL_S) or supervisor.exit_code(formatter.pid) != 0:
        raise Failed(f"Kafka's formatter failed: {formatter.tail()} (log: {formatter.log})")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_name(f"{kept.name}.{os.getpid()}")
        shutil.copyfile(made, partial)
        partial.replace(kept)
    except OSError:
        return made  # a cache that cannot be written costs two seconds a start, no more
    return kept


def _run(folder: Path, timeout: float, class_name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*jvm.command(_HEAP_MB, folder, class_name), *arguments]
    try:
        return subprocess.run(
            command,
            env=jvm.environment(jars.pinned("kafka")),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{class_name} did not end within {timeout:.0f} s") from None


def live_brokers(port: int) -> frozenset[int]:
    """Ids of the live brokers the one at `port` knows (Metadata v1 with no topics); none when it does not answer."""
    client = b"logq"
    body = struct.pack(">hhih", _METADATA_KEY, _METADATA_VERSION, 1, len(client)) + client + struct.pack(">i", 0)
    try:
        with socket.create_connection((jvm.HOST, port), _ANSWER_S) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            connection.settimeout(_ANSWER_S)
            (size,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
            return _broker_ids(connection.recv(size, socket.MSG_WAITALL))
    except (OSError, struct.error):
        return frozenset()


def _broker_ids(answer: bytes) -> frozenset[int]:
    """Ids in a Metadata v1 answer: correlation id, then an array of id, host, port and rack (-1: none)."""
    (count,) = struct.unpack_from(">i", answer, 4)
    at, ids = 8, set()
    for _ in range(count):
        node, host = struct.unpack_from(">ih", answer, at)
        at += 6 + host + 4
        (rack,) = struct.unpack_from(">h", answer, at)
        at += 2 + max(rack, 0)
        ids.add(int(node))
    return frozenset(ids)
