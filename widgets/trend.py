"""A sparkline: the last values of something as one line of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from rich.text import Text

from console.model import Severity
from widgets.paint import STYLES

BLOCKS = "▁▂▃▄▅▆▇█"


def trend(
    values: Sequence[float | None],
    width: int,
    style: str | Severity = "",
    *,
    least: float = 8.0,
) -> Text:
    """The values, oldest first, as `width` blocks with the newest at the right; unknown values are gaps.

    The scale runs from 0 to the highest value but at least to `least`, so that a lag of three records does not look
    like a mountain. More values than columns: each column shows the highest of its share. `style` is a style word of
    `widgets.paint` or a severity.
    """
    if width <= 0:
        return Text()
    known = [value if value is not None and isfinite(value) else None for value in values]
    columns = _shared_out(known, width) if len(known) > width else known
    top = max((value for value in columns if value is not None), default=0.0)
    top = max(top, least)
    text = "".join(" " if value is None else _block(value, top) for value in columns).rjust(width)
    return Text(text, style=STYLES[style] if isinstance(style, Severity) else style, no_wrap=True, end="")


def _block(value: float, top: float) -> str:
    if value <= 0 or top <= 0:
        return BLOCKS[0]
    return BLOCKS[min(len(BLOCKS) - 1, int(value / top * len(BLOCKS)))]


def _shared_out(values: Sequence[float | None], width: int) -> list[float | None]:
    """The highest known value of each of `width` nearly equal runs of values."""
    out: list[float | None] = []
    for column in range(width):
        run = values[column * len(values) // width : (column + 1) * len(values) // width]
        out.append(max((value for value in run if value is not None), default=None))
    return out
