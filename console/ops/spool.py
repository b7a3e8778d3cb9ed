"""What was read of queues, kept here: swept once under a lease, looked at as often as one likes.

Scrolling, filtering and opening again cost no receive then. One file a queue in the state folder, readable by its owner
alone, replaced by the next sweep and gone after a day; for reading only, what is moved is always leased anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from console.model import Message
from console.sqs.peek import Budget, Peek

KEPT_S: Final = 86_400.0
"""How long a look is kept on disk."""

MOST_FILES: Final = 40
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep of a queue read: `at` is when (epoch seconds), `most` how many messages it was to read at most."""

    peek: Peek
    at: float
    most: int


class Spool:
    """The looks of one state folder. Safe to use from several threads; what cannot be written stays in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._held: dict[str, Swept] = {}

    def get(self, queue_url: str, most: int = 1, age: float = KEPT_S) -> Swept | None:
        """The last look at a queue, None when there is none, it is older than `age` seconds, or it read for less.

        A look that saw the whole queue does for any number.
        """
        with self._lock:
            found = self._held.get(queue_url) or self._read(queue_url)
            if found is None or time.time() - found.at > age:
                return None
            self._held[queue_url] = found
        return found if found.peek.whole or found.most >= most else None

    def put(self, queue_url: str, peek: Peek, most: int) -> Swept:
        """Keep a look, in place of the one before."""
        swept = Swept(peek, time.time(), most)
        with self._lock:
            self._held[queue_url] = swept
            # A full disk or a folder that is not ours must not fail a look: it then lasts as long as this run.
            with contextlib.suppress(OSError, UnicodeError):
                self._write(queue_url, swept)
        return swept

    def forget(self) -> None:
        """A change begins: what was read before may be gone, so nothing of it is shown as if it were there."""
        with self._lock:
            self._held.clear()
            with contextlib.suppress(OSError):
                for path in self._folder.glob("*.look"):
                    path.unlink(missing_ok=True)

    def _path(self, queue_url: str) -> Path:
        return self._folder / f"{hashlib.sha256(queue_url.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}.look"

    def _write(self, queue_url: str, swept: Swept) -> None:
        import msgspec
        from msgspec import structs

        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        peek = swept.peek
        told = {
            "format": _FORMAT,
            "url": queue_url,
            "at": swept.at,
            "most": swept.most,
            "seen": peek.seen,
            "approximate_total": peek.approximate_total,
            "whole": peek.whole,
            "note": peek.note,
            "budget": asdict(peek.budget),
            "messages": [structs.asdict(m) for m in peek.messages],
        }
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".look-")  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.msgpack.encode(told))
            Path(name).replace(self._path(queue_url))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._prune()

    def _prune(self) -> None:
        looks = sorted(self._folder.glob("*.look"), key=lambda path: path.stat().st_mtime, reverse=True)
        before = time.time() - KEPT_S
        for index, path in enumerate(looks):
            if index >= MOST_FILES or path.stat().st_mtime < before:
                path.unlink(missing_ok=True)

    def _read(self, queue_url: str) -> Swept | None:
        import msgspec

        try:
            told: dict[str, Any] = msgspec.msgpack.decode(self._path(queue_url).read_bytes())
            if told["format"] != _FORMAT or told["url"] != queue_url:
                return None
            messages = tuple(_message(raw) for raw in told["messages"])
            peek = Peek(
                messages, told["seen"], told["approximate_total"], told["whole"], told["note"], Budget(**told["budget"])
            )
            return Swept(peek, float(told["at"]), int(told["most"]))
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, KeyError, TypeError, ValueError):
            return None  # half written, or by another version: as if there were none


def _message(raw: dict[str, Any]) -> Message:
    pairs = {name: tuple((key, value) for key, value in raw[name]) for name in ("headers", "attributes")}
    return Message(**{**raw, **pairs})
