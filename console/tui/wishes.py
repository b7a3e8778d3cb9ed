"""What a person chose before a plan is made: the answers of the forms, as the operations take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ResetWish:
    """What was chosen for a reset: a strategy, its value as typed (of `from-file` a path), and the topics or partitions
    (empty: all). `armed` waits until the group has no members.
    """

    kind: str
    value: str = ""
    selection: tuple[tuple[str, tuple[int, ...] | None], ...] = ()
    armed: bool = False


@dataclass(frozen=True, slots=True)
class RedriveWish:
    """What was chosen for a redrive: some messages by id or by failure (empty: all), at most how many, how fast, by
    which engine; `canary` is how many at first, `ramp` whether the steps double; `sets` are assignments PATH=CEL,
    `unsets` paths to leave out.
    """

    ids: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    limit: int | None = None
    rate: float | None = None
    engine: Literal["auto", "native", "client"] = "auto"
    canary: int | None = None
    ramp: bool = False
    sets: tuple[str, ...] = ()
    unsets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplayWish:
    """What was chosen for a replay, as typed: see `console.ops.replay.plan`. `records` are single ones (empty: all),
    `headers` the changes as `console.tui.replay_form` writes them, `partitions` those it is limited to (empty: all)."""

    to: str
    begin: str = ""
    until: str = ""
    where: str = ""
    limit: int | None = None
    rate: float | None = None
    records: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    partitions: tuple[int, ...] = ()
