"""Python's cycle collector held back while a great many plain values are made at once.

None of them is ever part of a cycle, but making 50,000 of them has the collector walk all of them over and over: it was
three quarters of the time that decoding 5,000 groups took.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()
_inside = 0
_was_on = False


@contextmanager
def held_back() -> Iterator[None]:
    """No automatic collection inside, in any thread; for a fraction of a second at a time.

    Calls may nest and overlap: the last to leave turns it on again, if it was on when the first came.
    """
    global _inside, _was_on
    with _LOCK:
        if _inside == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _inside += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if _inside == 0 and _was_on:
                gc.enable()
