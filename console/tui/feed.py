"""From daemon threads to the event loop: messages that carry what was seen, and calls that never hold the screen.

Textual's own thread workers run on the default executor, which a blocked call keeps alive at exit by seconds; daemon
threads end with the process. `post_message` is the one call that is safe from another thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from textual.message import Message
from textual.message_pump import MessagePump

from console.errors import LogqError
from console.poll import Poller
from console.text import safe
from console.tui.store import Picture, SideName

T = TypeVar("T")


class SnapshotArrived(Message):
    """One side was looked at: its picture, or why there is none. A later one replaces an earlier one in the queue.

    An unfinished picture (brokers are still awaited) has no generation: it belongs to the look that is under way.
    """

    def __init__(
        self, side: SideName, generation: int | None, picture: Picture | None, error: str | None = None
    ) -> None:
        super().__init__()
        self.side = side
        self.generation = generation
        self.picture = picture
        self.error = error

    def can_replace(self, message: Message) -> bool:
        """Whether this one may be dropped for a later one: of the same side, and never a picture for a failure."""
        if not isinstance(message, SnapshotArrived) or message.side != self.side:
            return False
        return message.picture is not None or self.picture is None


class DetailArrived(Message):
    """A screen's own subject was looked at (a group, a queue, the jobs …)."""

    def __init__(self, generation: int, value: Any, error: str | None = None) -> None:
        super().__init__()
        self.generation = generation
        self.value = value
        self.error = error

    def can_replace(self, message: Message) -> bool:
        """Whether this one may be dropped for a later one; what was seen is never dropped for a failure."""
        return isinstance(message, DetailArrived) and (message.error is None or self.error is not None)


class Answered(Message):
    """A call on a daemon thread has ended: `deliver` hands its result over on the event loop."""

    def __init__(self, deliver: Callable[[], None]) -> None:
        super().__init__()
        self.deliver = deliver


def describe(error: BaseException) -> str:
    """An error as one safe line; a mistake of our own says so instead of showing a bare word."""
    if isinstance(error, LogqError):
        return safe(str(error), 400)
    return safe(f"{type(error).__name__}: {error}", 400)


def side_poller(target: MessagePump, side: SideName, look: Callable[[], Picture], every: float) -> Poller[Picture]:
    """A poller of one side that posts `SnapshotArrived`; `every` in seconds. Not started yet."""
    return Poller(
        side,
        look,
        every,
        lambda picture, generation: _post(target, SnapshotArrived(side, generation, picture)),
        lambda error, generation: _post(target, SnapshotArrived(side, generation, None, describe(error))),
    )


def partial(target: MessagePump, side: SideName, picture: Picture) -> None:
    """Post an unfinished picture; safe from any thread."""
    _post(target, SnapshotArrived(side, None, picture))


def detail_poller(target: MessagePump, name: str, look: Callable[[], Any], every: float) -> Poller[Any]:
    """A poller of what one screen shows, posting `DetailArrived` to it; `every` in seconds. Not started yet."""
    return Poller(
        name,
        look,
        every,
        lambda value, generation: _post(target, DetailArrived(generation, value)),
        lambda error, generation: _post(target, DetailArrived(generation, None, describe(error))),
    )


def ask(
    target: MessagePump,
    call: Callable[[], T],
    then: Callable[[T], None],
    failed: Callable[[str], None],
    name: str = "call",
) -> threading.Thread:
    """Run a blocking call on a daemon thread; `then` or `failed` (one line) runs on the event loop when it ends.

    Nothing is delivered when the screen that asked is gone by then.
    """

    def run() -> None:
        try:
            value = call()
        except Exception as error:  # whatever a call raises is for the person who asked
            line = describe(error)
            _post(target, Answered(lambda: failed(line)))
        else:
            _post(target, Answered(lambda: then(value)))

    thread = threading.Thread(target=run, name=f"ask {name}", daemon=True)
    thread.start()
    return thread


def _post(target: MessagePump, message: Message) -> None:
    # A thread may outlive its screen and, for a moment, the event loop: then there is nobody left to tell.
    if target.is_running:
        with contextlib.suppress(RuntimeError):
            target.post_message(message)
