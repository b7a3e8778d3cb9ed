"""An SQS server for the demo and the tests: ElasticMQ, in memory, with SQS's limits, on loopback."""

from __future__ import annotations

import http.client
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from console.brokers import jars, jvm
from console.brokers.supervise import Server, Supervisor
from console.errors import Failed

REGION = "eu-west-1"
ACCOUNT_ID = "000000000000"
_HEAP_MB = 256
_START_S = 60.0
_ANSWER_S = 2.0
_TRIES = 3

_CONFIG = """\
include classpath("application.conf")
rest-sqs {{ enabled = true, bind-hostname = "{host}", bind-port = {port}, sqs-limits = strict }}
rest-stats {{ enabled = false }}
node-address {{ protocol = http, host = "{host}", port = {port}, context-path = "" }}
messages-storage {{ enabled = false }}
queues-storage {{ enabled = false }}
aws {{ region = "{region}", accountId = "{account}" }}
"""


@dataclass(frozen=True, slots=True)
class SqsServer:
    """A running ElasticMQ. Its queues live in memory: after `restart` it answers at the same address with none."""

    server: Server
    ports: jvm.Ports
    region: str
    account_id: str

    @property
    def endpoint_url(self) -> str:
        """Where boto3 finds it."""
        return f"http://{jvm.HOST}:{self.ports.numbers[0]}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.server.pid

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self.server.log

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.server.kill()

    def terminate(self) -> None:
        """SIGTERM, and wait until it is gone."""
        self.server.terminate()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self.server.freeze()

    def thaw(self) -> None:
        """SIGCONT: it goes on."""
        self.server.thaw()

    def restart(self) -> None:
        """End it if it runs, start it again at the same address and wait until it answers; its queues are gone."""
        self.server.restart(_START_S)


def start_elasticmq(
    supervisor: Supervisor, region: str = REGION, account_id: str = ACCOUNT_ID, heap_mb: int = _HEAP_MB
) -> SqsServer:
    """Start ElasticMQ under the supervisor and return when it answers; its log is `elasticmq.log` in the folder.

    Messages are in its heap: 60,000 of 510 bytes, redriven, fitted into the usual one, 200,000 did not. `Failed` with
    the last lines of that log when it ends or does not answer within a minute. Its jars must be there.
    """
    pinned = jars.pinned("elasticmq")
    folder = supervisor.directory / "elasticmq"
    folder.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, _TRIES + 1):
        ports = jvm.Ports(1)
        supervisor.at_stop(ports.release)
        (port,) = ports.numbers
        config = folder / "elasticmq.conf"
        config.write_text(_CONFIG.format(host=jvm.HOST, port=port, region=region, account=account_id), encoding="utf-8")
        server = Server(
            name="ElasticMQ",
            supervisor=supervisor,
            argv=jvm.command(heap_mb, folder, f"-Dconfig.file={config}", "org.elasticmq.server.Main"),
            env=jvm.environment(pinned),
            log=supervisor.directory / "elasticmq.log",
            hopeless=jvm.BIND_FAILED,
            answers=lambda port=port: _lists_queues(port),  # type: ignore[misc]
        )
        server.start()
        try:
            server.wait_ready(_START_S)
        except Failed:
            if attempt == _TRIES or not server.log_says(jvm.BIND_FAILED):
                raise
            server.kill()
            continue
        return SqsServer(server, ports, region, account_id)
    raise AssertionError("unreachable")


def _lists_queues(port: int) -> bool:
    """Whether a ListQueues is answered; no proxy is asked, whatever the environment says."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{jvm.HOST}:{port}/?Action=ListQueues", timeout=_ANSWER_S) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False
