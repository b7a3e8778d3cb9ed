"""What can be reached and what is allowed: one check a line, each with the remedy. Changes nothing anywhere."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from console.errors import LogqError
from console.model_check import Check

if TYPE_CHECKING:
    from console.ops.session import Session

MIN_COLUMNS, MIN_LINES = 80, 24


def examine(session: Session, config_path: Path | None = None) -> tuple[Check, ...]:
    """Every check of this run, in the order config file, journal, terminal, Kafka, SQS; both sides asked at once.

    Raises nothing for what it finds.
    """
    found: dict[str, tuple[Check, ...]] = {}
    kafka = threading.Thread(target=lambda: found.update(kafka=kafka_side(session)), daemon=True)
    sqs = threading.Thread(target=lambda: found.update(sqs=sqs_side(session)), daemon=True)
    kafka.start()
    sqs.start()
    here = ([config_file(config_path)] if config_path is not None else []) + [journal(session), *terminal()]
    kafka.join()
    sqs.join()
    return (*here, *found["kafka"], *found["sqs"])


def config_file(path: Path) -> Check:
    """Whether the config file is right; one that is not there is no failure."""
    from console.config_file import profile_names

    if not path.exists():
        return Check("config file", True, f"none at {path}", "logq config init writes one")
    try:
        names = profile_names(path)
    except LogqError as error:
        return Check("config file", False, str(error), "correct it; logq config check tells when it is right")
    return Check("config file", True, f"{path}: {', '.join(names) or 'no profiles'}")


def journal(session: Session) -> Check:
    """Whether the journal can be opened and written: no change runs without it."""
    path = session.settings.state_dir
    try:
        # Written and taken away again: a real write that leaves nothing behind.
        with session.journal.lock(f"doctor {os.getpid()}"):
            pass
    except LogqError as error:
        return Check("journal", False, str(error), "give a writable folder with LOGQ_STATE_DIR")
    return Check("journal", True, f"{path} can be written")


def terminal() -> tuple[Check, ...]:
    """Size, colours and encoding of the terminal on stdout; without one there is nothing to check."""
    # While the screens are up, what stands in stdout's place has no encoding: the real one is asked.
    out = sys.stdout if hasattr(sys.stdout, "encoding") else sys.__stdout__
    if out is None or out.closed or not out.isatty():  # None: the program was started with it closed
        return (Check("terminal", None, "stdout is no terminal: tables are plain and whole"),)
    size = shutil.get_terminal_size()
    fits = size.columns >= MIN_COLUMNS and size.lines >= MIN_LINES
    said = f"{size.columns}x{size.lines}"
    checks = [
        Check("terminal size", fits, said, "" if fits else f"make it at least {MIN_COLUMNS}x{MIN_LINES}"),
        _colours(),
    ]
    encoding = (out.encoding or "").lower().replace("-", "")
    checks.append(
        Check("terminal encoding", encoding == "utf8", out.encoding or "unknown", "set LANG to a UTF-8 locale")
        if encoding != "utf8"
        else Check("terminal encoding", True, "UTF-8")
    )
    return tuple(checks)


def _colours() -> Check:
    term = os.environ.get("TERM", "")
    if os.environ.get("NO_COLOR"):
        return Check("terminal colours", True, "none, as NO_COLOR asks")
    if term in ("", "dumb"):
        return Check("terminal colours", None, f"TERM is {term or 'not set'}", "set TERM, for example xterm-256color")
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return Check("terminal colours", True, f"16 million ({term})")
    many = "256" in term
    return Check("terminal colours", True, f"{'256' if many else '16'} ({term})")


def kafka_side(session: Session) -> tuple[Check, ...]:
    """What the Kafka client finds; one line when there is no Kafka side."""
    if session.settings.kafka is None:
        return (Check("kafka", None, "not configured", "name it with -b HOST:PORT or a profile"),)
    return _asked("kafka", lambda: session.require_kafka().check())


def sqs_side(session: Session) -> tuple[Check, ...]:
    """What the SQS client finds; one line when there is no SQS side."""
    if session.settings.sqs is None:
        return (Check("sqs", None, "not configured", "name it with --region NAME or a profile"),)
    return _asked("sqs", lambda: session.sqs_side().check())


def _asked(side: str, question: Callable[[], tuple[Check, ...]]) -> tuple[Check, ...]:
    try:
        return question()
    except LogqError as error:
        return (Check(side, False, str(error)),)
