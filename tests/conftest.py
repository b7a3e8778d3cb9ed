"""Fixtures for the whole suite: real brokers, started once a session by `console.brokers`, and state kept apart.

A broker that cannot start is an error of every test that asks for it, never a skip. Nothing heavy is imported here:
a run of the unit tests alone stays quick.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from console.brokers import Brokers, KafkaCluster

_AWS = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# What a developer's own shell may hold must not decide a test.
_CLEARED = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS")


_SLOW_FOLDERS = ("screens", "bench")
_SLOW_FILES = ("test_brokers_supervise.py", "test_brokers_jars.py", "test_import_hygiene.py")
_QUICK_SCREENS = ("test_widgets_lines.py",)
_LONGEST_FIRST = ("chaos", "terminal", "broker", "screens", "quality", "unit")


def pytest_configure(config: pytest.Config) -> None:
    """The quick loop, `-m "not broker"`, leaves the slow tests out as well and tries fewer examples of a property."""
    from hypothesis import settings

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background of a shell: every program started from here would not hear Ctrl-C either.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.register_profile("ci", deadline=None, print_blob=True)
    settings.register_profile("quick", deadline=None, max_examples=20)
    quick = config.option.markexpr == "not broker"
    if quick:
        config.option.markexpr = "not broker and not slow"
    settings.load_profile("quick" if quick else "ci")
    config.option.loadscopereorder = False  # xdist would take the files with the fewest tests last: the longest ones


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole consoles driven by keys, benchmarks and starts of other processes take seconds: `slow`.

    Where several processes share the tests (`-n`), each file stays in one, and so does all that needs the three nodes:
    one such cluster is enough for the machine. The folders with the longest tests come first.
    """
    if hasattr(config, "workerinput"):
        rank = {folder: number for number, folder in enumerate(_LONGEST_FIRST)}
        items.sort(key=lambda item: rank.get(item.path.parent.name, len(rank)))
        for item in items:
            nodes = "cluster3" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("cluster3" if nodes else item.path.stem))
    for item in items:
        in_folder = item.path.parent.name in _SLOW_FOLDERS and item.path.name not in _QUICK_SCREENS
        if in_folder or item.path.name in _SLOW_FILES:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The session's own folder for logq's state and configuration, and AWS credentials that open nothing."""
    top = tmp_path_factory.mktemp("logq")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("LOGQ_") and not name.startswith("LOGQ_JARS_")]:
            patch.delenv(name)
        for name in _CLEARED:
            patch.delenv(name, raising=False)
        for name, value in _AWS.items():
            patch.setenv(name, value)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, str(top / name.lower()))
        patch.setenv("LOGQ_STATE_DIR", str(top / "state"))
        patch.setenv("LOGQ_CONFIG", str(top / "config.toml"))
        yield top


@pytest.fixture(scope="session")
def brokers(isolated: Path) -> Iterator[Brokers]:
    """One Kafka node and ElasticMQ, for every test that leaves them running."""
    from console import brokers as servers

    with servers.start() as running:
        yield running


@pytest.fixture(scope="session")
def kafka(brokers: Brokers) -> str:
    """Bootstrap address of the one-node Kafka."""
    return brokers.bootstrap


@pytest.fixture(scope="session")
def sqs_endpoint(brokers: Brokers) -> str:
    """Endpoint URL of ElasticMQ."""
    assert brokers.endpoint_url is not None
    return brokers.endpoint_url


@pytest.fixture(scope="session")
def cluster3(isolated: Path) -> Iterator[KafkaCluster]:
    """Three Kafka nodes, started when the first test asks. A test that ends or freezes a node brings it back."""
    from console import brokers as servers

    with servers.start(kafka_nodes=3, sqs=False) as running:
        yield running.kafka


@pytest.fixture(scope="session")
def moto_server(isolated: Path) -> Iterator[str]:
    """Endpoint URL of moto's server on loopback: the AWS calls that ElasticMQ does not know."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def unique() -> Callable[[str], str]:
    """A factory of fresh names, good for topics, groups and queues: `unique("orders")` -> `orders-3f9a1c-7`."""
    run = secrets.token_hex(3)
    numbers = itertools.count(1)

    def fresh(stem: str = "t") -> str:
        return f"{stem}-{run}-{next(numbers)}"

    return fresh


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on loopback that refuses connections for as long as the test runs."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
