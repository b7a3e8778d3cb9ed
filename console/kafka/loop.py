"""The event loop of the Kafka side, in one daemon thread, and name resolution that cannot hold up the exit.

asyncio resolves names in an executor whose threads the interpreter joins when it ends: a name server that does not
answer would keep a finished program waiting. Here a lookup has a daemon thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import wait
from typing import Any, TypeVar

from console.errors import Failed

T = TypeVar("T")


class _Loop(asyncio.SelectorEventLoop):
    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        """As `socket.getaddrinfo`, in a daemon thread."""
        done: asyncio.Future[Any] = self.create_future()

        def settle(set_it: Callable[[Any], None], value: Any) -> None:
            if not done.done():
                set_it(value)

        def look_up() -> None:
            try:
                found, set_it = socket.getaddrinfo(host, port, **hints), done.set_result
            except (OSError, UnicodeError) as error:
                failure = error if isinstance(error, OSError) else OSError(f"{host!r} is not a host name")
                with contextlib.suppress(RuntimeError):
                    self.call_soon_threadsafe(settle, done.set_exception, failure)
                return
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self.call_soon_threadsafe(settle, set_it, found)

        threading.Thread(target=look_up, name="logq-resolve", daemon=True).start()
        return await done


class LoopThread:
    """A loop running in a daemon thread; any thread may run coroutines on it and wait for them."""

    def __init__(self) -> None:
        self._loop = _Loop()
        # Asyncio would print the errors of questions that nobody waits for any more over the screen.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name="logq-kafka", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            with contextlib.suppress(Exception):
                self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's value, waited for in the calling thread; what it raises, or `Failed` once closed."""
        with self._lock:
            if self._closed:
                coroutine.close()
                raise Failed("the connection to Kafka is closed")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            while not wait([future], timeout=0.5).done:
                if not self._thread.is_alive():
                    raise Failed("the connection to Kafka was closed meanwhile")
            return future.result()
        except (FutureCancelled, asyncio.CancelledError):
            raise Failed("the connection to Kafka was closed meanwhile") from None
        except BaseException:
            future.cancel()  # Ctrl-C in the calling thread must not leave the question running
            raise

    def start(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run a coroutine without waiting for it; its errors are dropped."""
        with self._lock:
            if not self._closed:
                asyncio.run_coroutine_threadsafe(_quietly(call()), self._loop)

    def close(self, last: Callable[[], None], patience: float = 0.15) -> None:
        """Call `last` on the loop, cancel what runs, and end the thread; waits at most `patience` seconds."""
        with self._lock:
            if self._closed:
                return
            self._closed = True

        async def end() -> None:
            last()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            if others:
                await asyncio.wait(others, timeout=patience / 2)
            self._loop.stop()

        with contextlib.suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(end(), self._loop)
        self._thread.join(patience)


async def _quietly(coroutine: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(Exception):
        await coroutine
