"""The guard process and the small pure parts around it, with light programs in the servers' place."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console.brokers import jars, jvm
from console.brokers.kafka import _broker_ids, _escaped, uuid
from console.brokers.supervise import Server, Supervisor
from console.errors import Failed

STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"
POLITE = (
    "import signal,sys,time; signal.signal(signal.SIGTERM, lambda *_: (print('closed', flush=True), sys.exit(0)));"
    "print('up', flush=True); time.sleep(300)"
)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    one = Supervisor()
    yield one
    one.stop()


def program(supervisor: Supervisor, code: str, hopeless: tuple[str, ...] = ()) -> Server:
    log = supervisor.directory / "program.log"
    return Server(
        "program",
        supervisor,
        (sys.executable, "-I", "-S", "-c", code),
        {"PATH": "/bin", "ONLY": "this"},
        log,
        answers=lambda: log.exists() and "up" in log.read_text(),
        hopeless=hopeless,
    )


def test_a_temporary_folder_is_the_users_own_and_goes(supervisor: Supervisor) -> None:
    assert supervisor.directory.stat().st_mode & 0o777 == 0o700
    server = program(supervisor, STUBBORN)
    server.start()
    server.wait_ready(10)
    began = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began < 1
    assert not alive(server.pid)
    assert not supervisor.directory.exists()


def test_a_kept_folder_stays_and_its_server_may_close_its_files(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "kept")
    server = program(supervisor, POLITE)
    server.start()
    server.wait_ready(10)
    server.freeze()
    supervisor.stop()
    assert not alive(server.pid)
    assert server.log.read_text().splitlines() == ["up", "closed"]


def test_the_server_sees_no_environment_but_its_own(supervisor: Supervisor) -> None:
    server = program(supervisor, "import os,time; print(*os.environ); print('up', flush=True); time.sleep(300)")
    server.start()
    server.wait_ready(10)
    seen = set(server.log.read_text().splitlines()[0].split())
    assert seen - {"LC_CTYPE"} == {"ONLY", "PATH"}  # Python itself adds LC_CTYPE in the C locale


def test_what_a_server_runs_with_holds_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx9g")
    environment = jvm.environment(jars.pinned("kafka"))
    assert set(environment) <= {"PATH", "HOME", "LANG", "TZ", "LC_ALL", "CLASSPATH"}


def test_an_early_end_is_told_with_the_log_of_this_start(supervisor: Supervisor) -> None:
    server = program(supervisor, "import sys; print('no such disk'); print('\\tat frame'); sys.exit(3)")
    server.log.write_text("an older run\n")
    server.start()
    with pytest.raises(Failed) as caught:
        server.wait_ready(10)
    assert str(caught.value) == f"program ended with 3 while starting: no such disk (log: {server.log})"


def test_a_server_that_says_it_cannot_is_not_waited_for(supervisor: Supervisor) -> None:
    server = program(supervisor, "import time; print('in use', flush=True); time.sleep(300)", hopeless=("in use",))
    server.start()
    began = time.monotonic()
    with pytest.raises(Failed, match="program cannot start: in use"):
        server.wait_ready(60)
    assert time.monotonic() - began < 10


def test_a_program_that_is_not_there(supervisor: Supervisor) -> None:
    server = program(supervisor, "")
    server.argv = ("/no/such/java",)
    server.start()
    with pytest.raises(Failed, match="ended with 127 while starting: cannot run /no/such/java"):
        server.wait_ready(10)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failed, match=r"cannot use .*/file/below for the servers: .*Not a directory") as caught:
        Supervisor(tmp_path / "file" / "below")
    assert "\n" not in str(caught.value)


def test_a_pid_that_has_ended_is_never_signalled(supervisor: Supervisor) -> None:
    server = program(supervisor, "")
    server.start()
    assert supervisor.wait(server.pid, 10)
    assert supervisor.signal(server.pid, signal.SIGKILL) is False
    assert supervisor.exit_code(server.pid) == 0


FORKS = """
import os, sys, time
from pathlib import Path
from console.brokers.supervise import Supervisor
supervisor = Supervisor()
pid = supervisor.start([sys.executable, "-c", "import time; time.sleep(300)"], {}, supervisor.directory / "x.log")
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
print(supervisor.directory, supervisor.pid, pid, child, flush=True)
time.sleep(300)
"""


def test_a_forked_child_that_holds_the_pipe_does_not_keep_the_servers() -> None:
    process = subprocess.Popen([sys.executable, "-c", FORKS], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    folder, _guard, server, child = process.stdout.readline().split()
    process.kill()
    process.wait()
    try:
        assert until(lambda: not alive(int(server)))
        assert until(lambda: not Path(folder).exists())
        assert alive(int(child))
    finally:
        os.kill(int(child), signal.SIGKILL)
        process.stdout.close()


def test_reserved_ports_differ_and_refuse_until_used() -> None:
    ports = jvm.Ports(4)
    assert len(set(ports.numbers)) == 4
    ports.release()


def test_a_path_survives_javas_properties_format() -> None:
    assert _escaped(Path("/a b/ü/😀/c")) == "/a b/\\u00fc/\\ud83d\\ude00/c"
    assert _escaped(Path("/back\\slash")) == "/back\\\\slash"


def test_uuids_are_kafkas() -> None:
    made = {uuid() for _ in range(200)}
    assert len(made) == 200
    assert all(len(one) == 22 and not one.startswith("-") for one in made)


def test_broker_ids_are_read_from_a_metadata_answer() -> None:
    def broker(node: int, rack: bytes | None) -> bytes:
        tail = struct.pack(">h", -1) if rack is None else struct.pack(">h", len(rack)) + rack
        return struct.pack(">ih", node, 9) + b"127.0.0.1" + struct.pack(">i", 9092) + tail

    answer = struct.pack(">ii", 1, 3) + broker(1, None) + broker(2, b"rack-a") + broker(3, b"") + b"\0\0\0\1\0\0\0\0"
    assert _broker_ids(answer) == {1, 2, 3}
