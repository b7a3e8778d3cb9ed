"""`logq demo`: servers and story, with the console on a terminal, without a screen (headless), or as one status page.

What is shown comes from outside: the layers above hand in the console and the page. Exit codes: 0 quit, or SIGTERM;
130 Ctrl-C; 1 when the servers or the story fail, or when nothing went wrong in time for the page.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from msgspec.structs import replace

from console.config import KafkaSettings, Settings, SqsSettings
from console.demo import control
from console.errors import Failed, LogqError
from console.model import KafkaSnapshot, Severity, SqsSnapshot
from console.text import safe

if TYPE_CHECKING:
    from console.brokers import Brokers
    from console.demo.control import StoryHandle
    from console.ops.session import Session

STARTED_S = 60.0
TROUBLE_S = 120.0
LOOK_EVERY_S = 2.0
STALL_S = 15.0
"""In the demo a commit that stands still for so long is a stall: its audience is less patient than people on call."""

Console = Callable[["Session", "StoryHandle"], int]
Page = Callable[["Session"], None]


class _Leave(SystemExit):
    """A signal asks the demo to end, with an exit code. A SystemExit, as an event loop lets nothing else through."""


def run(
    *,
    console: Console,
    page: Page,
    headless: bool = False,
    keep: Path | None = None,
    kafka_nodes: int = 1,
    settings: Settings | None = None,
) -> int:
    """Starts everything, shows it, ends and removes everything; returns the exit code.

    `console` opens the screens and returns when the user quits; `page` prints the status page. `keep` is a folder for
    data and logs that is not removed. `settings` says what is allowed and how it looks; where to connect comes from
    here.
    Raises `Failed` when the servers or the story cannot be started.
    """
    interactive = not headless and sys.stdin.isatty() and sys.stdout.isatty()
    try:
        with _signals(), _own_credentials(), contextlib.ExitStack() as stack:
            brokers = _start_servers(keep, kafka_nodes)
            stack.callback(brokers.stop)
            story = _start_story(brokers, kafka_nodes)
            # Not stopped in order: its servers go as well, and whoever quits does not want to wait.
            stack.callback(story.kill)
            if headless:
                return _headless(brokers, story)
            session = _session(brokers, settings or Settings())
            stack.callback(session.close)
            if interactive:
                with _default_sigint():
                    return console(session, story)
            _until_trouble(session, story)
            page(session)
            return 0
    except _Leave as leave:
        return int(leave.code or 0)


def _start_servers(keep: Path | None, kafka_nodes: int) -> Brokers:
    from console import brokers

    return brokers.start(keep, kafka_nodes=kafka_nodes, on_progress=_say)


def _start_story(brokers: Brokers, kafka_nodes: int) -> StoryHandle:
    assert brokers.endpoint_url is not None
    assert brokers.region is not None
    return control.start(
        brokers.bootstrap,
        brokers.endpoint_url,
        brokers.region,
        log=brokers.directory / "story.log",
        replication=min(3, kafka_nodes),
    )


def _session(brokers: Brokers, settings: Settings) -> Session:
    from console.ops.session import Session

    return Session(
        replace(
            settings,
            profile=None,
            production=False,
            kafka=KafkaSettings(brokers.bootstrap),
            sqs=SqsSettings(region=brokers.region, endpoint_url=brokers.endpoint_url),
            stall_seconds=STALL_S,
            state_dir=brokers.directory / "state",
        )
    )


def _headless(brokers: Brokers, story: StoryHandle) -> int:
    _started(story)
    address = {
        "bootstrap": brokers.bootstrap,
        "endpoint_url": brokers.endpoint_url,
        "region": brokers.region,
        "pid": os.getpid(),
    }
    sys.stdout.write(json.dumps(address) + "\n")
    sys.stdout.flush()
    _say(f"connect from another terminal: logq -b {brokers.bootstrap} --endpoint-url {brokers.endpoint_url}")
    _say(f"`fix` or `break` on standard input (or SIGUSR1, SIGUSR2 to {os.getpid()}) deploys the fix or the bug")
    signal.signal(signal.SIGUSR1, lambda *_: story.deploy_fix())
    signal.signal(signal.SIGUSR2, lambda *_: story.break_it())
    # In the background of a shell, reading its terminal would stop this process.
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    threading.Thread(target=_commands, args=(story,), daemon=True).start()
    told = ""
    while True:
        state = story.state()
        if state.last_event != told:
            told = state.last_event
            _say(f"{state.elapsed:4.0f} s  {told}")
        if not state.running:
            raise Failed(f"the demo's story ended: {state.problem} (--keep DIR keeps the logs)")
        time.sleep(0.5)


def _commands(story: StoryHandle) -> None:
    with contextlib.suppress(OSError, ValueError):
        for line in sys.stdin:
            if line.strip() == "fix":
                story.deploy_fix()
            elif line.strip() == "break":
                story.break_it()


def _started(story: StoryHandle) -> None:
    if not story.wait_started(STARTED_S):
        problem = story.state().problem or f"no order was produced within {STARTED_S:.0f} s"
        raise Failed(f"the demo's story did not start: {problem}")


def _until_trouble(session: Session, story: StoryHandle) -> None:
    """Looks every 2 s until a live group is stalled and both kinds of dead letters are there.

    Raises `Failed` when that does not happen within two minutes.
    """
    from console.ops import inspect

    _started(story)
    limit = time.monotonic() + TROUBLE_S
    missing = told = ""
    while time.monotonic() < limit:
        time.sleep(LOOK_EVERY_S)
        try:
            missing = _missing(inspect.kafka(session), inspect.sqs(session))
        except LogqError as error:
            missing = str(error)
        if not missing:
            return
        if missing != told:
            told = missing
            _say(f"{story.state().elapsed:4.0f} s  waiting for {missing}")
        if not story.state().running:
            break
    problem = story.state().problem
    raise Failed(f"the demo's trouble did not come: {problem or f'after {TROUBLE_S:.0f} s still no {missing}'}")


def _missing(kafka: KafkaSnapshot, sqs: SqsSnapshot) -> str:
    """What the page still waits for, in words; "" when everything is there."""
    lags = any(g.lag and g.status.severity is Severity.BAD and g.state.lower() == "stable" for g in kafka.groups)
    topic = any(t.dead_letter and t.records for t in kafka.topics)
    queue = any(q.dlq_of and q.visible for q in sqs.queues)
    wanted = {"a group that is stalled": lags, "dead letters on a topic": topic, "dead letters in a queue": queue}
    return ", ".join(words for words, there in wanted.items() if not there)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """While this is open, SIGTERM and SIGHUP leave with 0 and Ctrl-C with 130; further ones wait for the clean-up."""

    def leave(code: int) -> Callable[[int, FrameType | None], None]:
        def handler(number: int, frame: FrameType | None) -> None:
            for each in codes:
                signal.signal(each, signal.SIG_IGN)
            raise _Leave(code)

        return handler

    codes = {signal.SIGTERM: 0, signal.SIGHUP: 0, signal.SIGINT: 130}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup
        del codes[signal.SIGHUP]
    before = {number: signal.signal(number, leave(code)) for number, code in codes.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _default_sigint() -> Iterator[None]:
    """The screens take Ctrl-C as a key and set SIGINT as they need it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _own_credentials() -> Iterator[None]:
    """While this is open the process has the demo's AWS credentials and no others; it talks to its own server only."""
    before = dict(os.environ)
    wanted = control.environment()
    for name in before.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in wanted.keys() - before.keys():
            os.environ.pop(name, None)
        os.environ.update(before)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"logq demo: {safe(line)}\n")
        sys.stderr.flush()
