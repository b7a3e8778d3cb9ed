"""What the benches of two programs that need both cores do about a machine that does other things as well.

One setting gave ratios of 0.72 to 1.02, and 3.2 to 6.1, within a day here: the machine's own neighbours took up to half
of it. So there are more rounds where three are not enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

LEAST, MOST = 3, 8


def rounds(enough: Callable[[], bool]) -> Iterator[int]:
    """The numbers of the rounds to measure: `LEAST` of them, then on until it is enough, but not more than `MOST`."""
    for number in range(MOST):
        if number >= LEAST and enough():
            return
        yield number
