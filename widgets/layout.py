"""How the columns of a grid share a line: fixed widths, flexible ones, and which are left out when it is narrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MARGIN = 1
"""Cells left of the first column (the mark stands there) and right of the last."""

_NARROWEST = 4


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a grid.

    `width` is in cells, the least a flexible column is given before others are dropped for it; `flex` is its share of
    what is left over (False or 0: fixed) and `most` the widest it grows (0: no limit). `drop` says how early it is left
    out when the line is too narrow: the highest first, 0 never. `gap` is the empty cells before it.
    """

    key: str
    label: str
    width: int
    align: Literal["left", "right"] = "left"
    flex: int = 0
    drop: int = 0
    sortable: bool = False
    gap: int = 2
    most: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A column with where it starts on the line and how wide it is, in cells; `gap` are the empty cells before it."""

    column: Column
    start: int
    width: int
    gap: int


def place(columns: Sequence[Column], width: int) -> tuple[Place, ...]:
    """Where each column stands on a line of `width` cells; columns without room are missing."""
    room = max(0, width - 2 * MARGIN)
    kept = list(columns)
    while _needed(kept) > room:
        droppable = [column for column in kept if column.drop > 0]
        if not droppable:
            break
        highest = max(column.drop for column in droppable)
        kept.remove([column for column in droppable if column.drop == highest][-1])
    widths = [column.width for column in kept]
    left = room - _needed(kept)
    if left > 0:
        _grow(kept, widths, left)
    elif left < 0:
        _shrink(kept, widths, -left)
    out: list[Place] = []
    at = MARGIN
    for index, (column, size) in enumerate(zip(kept, widths, strict=True)):
        gap = column.gap if index else 0
        size = min(size, width - at - gap)
        if size <= 0:
            break
        out.append(Place(column, at + gap, size, gap))
        at += gap + size
    return tuple(out)


def _needed(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + sum(column.gap for column in columns[1:])


def _grow(columns: Sequence[Column], widths: list[int], left: int) -> None:
    """Shares out `left` cells among the flexible columns by their weight, none beyond its `most`."""
    while left > 0:
        open_ = [i for i, c in enumerate(columns) if c.flex and (not c.most or widths[i] < c.most)]
        if not open_:
            return
        weight = sum(int(columns[i].flex) for i in open_)
        given = 0
        for i in open_:
            share = max(1, left * int(columns[i].flex) // weight)
            most = columns[i].most
            share = min(share, left - given, most - widths[i] if most else share)
            widths[i] += share
            given += share
        left -= given


def _shrink(columns: Sequence[Column], widths: list[int], over: int) -> None:
    """Takes `over` cells from the flexible columns, the widest first, down to a few cells each."""
    while over > 0:
        wide = [i for i, c in enumerate(columns) if c.flex and widths[i] > _NARROWEST]
        if not wide:
            return
        widest = max(wide, key=lambda i: widths[i])
        widths[widest] -= 1
        over -= 1
