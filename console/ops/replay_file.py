"""A file of exported messages as the source of a replay: looked through when planned, known by its hash afterwards.

A line's number is its offset (the first is 0). What is replayed later is what was planned: a file that has changed
since is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from console.errors import Failed, NotFound, Refused, UsageError
from console.model import Message
from console.ops.lines import LONGEST_LINE, read_line
from console.text import safe

PREFIX = "file:"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds: `records` messages, the last on line `end - 1` (from 0); `sha256` knows it again.

    `targets` are where they were read from, `partition` the largest partition number of one (None when one has none),
    `attributes` how many carry SQS attributes, `untimed` how many have no time or 0, `first_time` and `last_time` the
    earliest and latest record's.
    """

    path: str
    sha256: str
    records: int
    end: int
    targets: tuple[str, ...] = ()
    partition: int | None = None
    attributes: int = 0
    untimed: int = 0
    first_time: float | None = None
    last_time: float | None = None


def path_of(source: str) -> str | None:
    """The path of a source that is a file: `file:PATH`, or a name that ends in `.jsonl`; None for a topic or queue."""
    if source.startswith(PREFIX):
        return source[len(PREFIX) :] or None
    return source if source.endswith(".jsonl") and not source.startswith(("kafka:", "sqs:")) else None


def examine(path: str, *, to_topic: bool) -> Contents:
    """Look through a whole file, line by line. Raises `NotFound`, `Failed` when it cannot be read, `UsageError` naming
    the first line that is no message, or that a topic cannot take."""
    seen = hashlib.sha256()
    records = end = attributes = untimed = 0
    targets: set[str] = set()
    largest = -1
    everywhere = True
    first = last = None
    for number, line in enumerate(_raw_lines(path)):
        seen.update(line)
        if not line.strip():
            continue
        message = parse(line, path, number)
        if to_topic and (cut := next((name for name, _ in message.headers if "\0" in name), None)) is not None:
            raise UsageError(
                f"{path} line {number + 1:,} cannot go to a topic: Kafka's client cuts the name of its header "
                f"{safe(cut, 60)} at the NUL in it"
            )
        records, end = records + 1, number + 1
        attributes += bool(message.attributes)
        if len(targets) < 100:
            targets.add(message.target)
        everywhere = everywhere and message.partition is not None
        largest = max(largest, message.partition or 0)
        at = message.timestamp
        untimed += not at
        if at is not None:
            first = at if first is None else min(first, at)
            last = at if last is None else max(last, at)
    return Contents(
        path, seen.hexdigest(), records, end, tuple(sorted(targets)), largest if everywhere and records else None,
        attributes, untimed, first, last,
    )  # fmt: skip


def verify(path: str, sha256: str) -> None:
    """Make sure that a file still is what was planned. Raises `Refused` when it has changed, or as `examine`."""
    seen = hashlib.sha256()
    for line in _raw_lines(path):
        seen.update(line)
    if seen.hexdigest() != sha256:
        raise Refused(f"{path} has changed since the replay was planned: plan a new one from it")


def read(path: str, start: int, end: int) -> Iterator[tuple[int, Message]]:
    """The messages on lines [start, end) with their numbers. Raises as `examine`, and `Failed` when it ends before."""
    number = -1
    for number, line in enumerate(_raw_lines(path)):
        if number >= end:
            return
        if number >= start and line.strip():
            yield number, parse(line, path, number)
    if number + 1 < end:
        raise Failed(f"{path} ends at line {number + 1:,}: it has been cut while it was read")


def parse(line: bytes, path: str, number: int) -> Message:
    """The message on a line. Raises `UsageError` saying which line and why not."""
    try:
        return read_line(line)
    except ValueError as error:
        raise UsageError(
            f"{path} line {number + 1:,} is no message: {safe(str(error), 300)}; a file to replay is what "
            "logq topic browse TOPIC -o jsonl writes"
        ) from None


def _raw_lines(path: str) -> Iterator[bytes]:
    try:
        with Path(path).open("rb") as file:
            while line := file.readline(LONGEST_LINE):
                if len(line) == LONGEST_LINE:
                    raise UsageError(
                        f"{path} holds a line of more than {LONGEST_LINE:,} bytes: it is no export of messages"
                    )
                yield line
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}; a topic of that name is kafka:{path}") from None
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror or error}") from None
