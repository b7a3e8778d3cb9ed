"""What the benches of two programs that need both cores allow a machine that does other things as well.

One setting gave ratios of 0.72 to 1.02, and 3.2 to 6.1, within a day here: the machine's own neighbours took up to half
of it. So there are more rounds where three are not enough, and less than the whole is asked for, unless `LOGQ_FULL` is
set: then the numbers are those of the design, for a machine that is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

FULL = bool(os.environ.get("LOGQ_FULL"))  # read now: the session keeps a developer's LOGQ_* from the tests
SLACK = 1.0 if FULL else 0.6
LEAST, MOST = 3, 8


def rounds(enough: Callable[[], bool]) -> Iterator[int]:
    """The numbers of the rounds to measure: `LEAST` of them, then on until it is enough, but not more than `MOST`."""
    for number in range(MOST):
        if number >= LEAST and enough():
            return
        yield number
