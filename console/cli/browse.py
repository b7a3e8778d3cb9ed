"""Records on stdout: a table, one JSON object, or line by line while they are read; what was scanned beside them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from console import text
from console.cli import shapes
from console.cli.errors import STOPPED
from console.cli.messages import MESSAGE_COLUMNS, VALUE_LIMIT
from console.cli.output import Answer, emit, note, report, table, write
from console.cli.run import Run
from console.model import Message
from console.ops.lines import write_line

if TYPE_CHECKING:
    from console.ops.browse import Browse, Scanned

_FLUSH = 500  # lines written at once while many come


def show(run: Run, browse: Browse, follow: bool) -> int:
    """Print a browse the way this call asks for; the exit code: 0, 1 when some could not be read, 130 when stopped.

    A follow is ended by Ctrl-C and by nothing else, so that is its success.
    """
    with _stopping() as cancel:
        if run.output == "jsonl" or follow:
            _stream(run, browse.messages(cancel))
            scanned = browse.scanned()
            if follow and not cancel.is_set():
                _tell(scanned)
                _stream(run, browse.follow(cancel), at_once=True)
                return 0
        else:
            messages = tuple(browse.messages(cancel))
            scanned = browse.scanned()
            _page(run, messages, scanned)
    if run.output != "json":
        _tell(scanned)
    if cancel.is_set():
        return 0 if follow else STOPPED
    return 1 if scanned.problems else 0


def scanned_shape(scanned: Scanned) -> dict[str, Any]:
    """What was looked at, for JSON: offsets [from, to) were scanned, [begin, end) asked for, [start, stop) are held."""
    return {
        "records": scanned.records,
        "found": scanned.found,
        "partitions": [
            {
                "partition": p.partition,
                "from": p.reached[0],
                "to": p.reached[1],
                "begin": p.begin,
                "end": p.end,
                "start": p.start,
                "stop": p.stop,
            }
            for p in scanned.partitions
        ],
        "stopped": shapes.raw(scanned.stopped),
        "notes": [shapes.raw(line) for line in scanned.notes],
    }


def _tell(scanned: Scanned) -> None:
    note(scanned.words)
    report(scanned.problems)


def _page(run: Run, messages: tuple[Message, ...], scanned: Scanned) -> None:
    rows = [shapes.message(m) for m in messages]
    lists = {"messages": rows, "whole": scanned.whole, "scanned": scanned_shape(scanned)}
    emit(
        run,
        Answer(
            lists=lists,
            rows=rows,
            fields=shapes.MESSAGE,
            page=lambda width, color: table(MESSAGE_COLUMNS, messages, width, color),
            # On stderr they stand once, behind what was scanned.
            problems=scanned.problems if run.output == "json" else (),
        ),
    )


def _stream(run: Run, messages: Iterator[Message], at_once: bool = False) -> None:
    """One line each: JSON, or for people. Many at once while they come quickly, each by itself when followed."""
    lines: list[str] = []
    for message in messages:
        if run.output == "table":
            lines.append(_line(message))
        else:
            lines.append(write_line(message))
        if at_once or len(lines) >= _FLUSH:
            write("".join(lines))
            lines.clear()
    write("".join(lines))


def _line(m: Message) -> str:
    key = text.DASH if m.key is None else text.safe(m.key, 200)
    value = text.DASH if m.value is None else text.safe(m.value, VALUE_LIMIT)
    return f"{text.utc(m.timestamp, millis=True)}  {m.partition}/{m.offset}  {key}  {value}\n"


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """SIGINT and SIGTERM end the reading, and what was scanned is still said; the second one leaves at once."""
    cancel = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    if threading.current_thread() is not threading.main_thread():
        yield cancel
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
