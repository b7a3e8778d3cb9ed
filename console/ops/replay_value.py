"""A replay's plan as a value, and as what the journal keeps of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from msgspec import to_builtins

from console.model import Problem
from console.ops.replay_edit import NO_EDIT, HeaderEdit
from console.ops.replay_ranges import Picks, Range


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """A bounded copy of one topic, or of a file. `ranges` are those of all its partitions, empty ones included.

    Of a `file` the source is its path, known again by `sha256`; its lines are the offsets of one partition 0, and
    `keeps_partitions` says whether its records go to their own partition numbers. `picks` are records picked by hand
    (empty: all of the ranges), `only` the partitions it is limited to (empty: all), `edit` what is changed in headers.
    `topic_id` is the cluster's id of the source topic (None: a file, or not told): another one is another topic.
    `partitions` and `target_partitions` are the numbers of partitions (0: a queue). `groups` are the other groups that
    read the destination topic, None when they could not be seen. `max_bytes` is what the destination takes a message,
    `retention_seconds` how long it keeps one by its time (None: for ever, or not known).
    `joins` tells that a job of this name is there already: its ranges are the plan's.
    """

    source: str
    target: str
    to: Literal["topic", "queue"]
    ranges: tuple[Range, ...]
    partitions: int
    target_partitions: int
    place: str
    command: str
    at: float
    begin: str = "earliest"
    until: str = "the end when it was planned"
    where: str | None = None
    limit: int | None = None
    rate: float | None = None
    job: str = ""
    joins: bool = False
    compacted: bool = False
    own_time: bool = True
    retention_seconds: float | None = None
    max_bytes: int | None = None
    groups: tuple[str, ...] | None = None
    fifo: bool = False
    url: str = ""
    edit: HeaderEdit = NO_EDIT
    picks: Picks = ()
    only: tuple[int, ...] = ()
    file: bool = False
    sha256: str = ""
    keeps_partitions: bool = False
    topic_id: str | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def offsets(self) -> int:
        """All planned offsets: an upper bound of the records."""
        return sum(r.offsets for r in self.ranges)

    @property
    def total(self) -> int | None:
        """How many records at most, None when only reading them tells (a filter)."""
        if self.where is not None:
            return None
        most = sum(len(offsets) for _, offsets in self.picks) if self.picks else self.offsets
        return most if self.limit is None else min(most, self.limit)

    @property
    def unit(self) -> str:
        """What is counted as left: offsets, or records where it is known how many are wanted."""
        return "record" if self.limit is not None or self.picks else "line" if self.file else "offset"

    @property
    def origin(self) -> str:
        """The source with its kind, `kafka:TOPIC` or `file:PATH`."""
        return f"{'file' if self.file else 'kafka'}:{self.source}"

    @property
    def progress_topic(self) -> str:
        """The topic on whose partitions the job's group keeps its positions."""
        return self.target if self.file else self.source

    @property
    def alone(self) -> bool:
        """Whether one process has to do it: a limit is counted, and a file read, by one."""
        return self.to == "queue" or self.limit is not None or self.file

    @property
    def named(self) -> str:
        """The source as a sentence names it."""
        return f"the file {self.source}" if self.file else self.source

    @property
    def same_partitions(self) -> bool:
        """Whether each record keeps its partition number; else the key decides."""
        return self.keeps_partitions if self.file else self.partitions == self.target_partitions

    @property
    def digest(self) -> str:
        """What tells jobs of one name with other options apart."""
        said: list[Any] = [self.source, self.target, self.to, self.where, self.limit]
        if self.edit or self.picks or self.file:
            said += [asdict(self.edit), self.picks, self.sha256]
        if self.only:
            said.append({"only": self.only})
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


_DERIVED = ("kind", "offsets", "total", "warnings", "digest")


def to_values(seen: ReplayPlan) -> dict[str, Any]:
    """The plan as plain values for the journal."""
    return {"kind": "replay", **to_builtins(seen), "offsets": seen.offsets, "total": seen.total, "digest": seen.digest}


def from_json(raw: Mapping[str, Any]) -> ReplayPlan:
    """The plan that `to_values` (or `to_json`) wrote."""
    values = {key: value for key, value in raw.items() if key not in _DERIVED}
    values["ranges"] = tuple(Range(**r) for r in raw["ranges"])
    values["groups"] = None if raw["groups"] is None else tuple(raw["groups"])
    # Plans of earlier versions know none of these.
    values["only"] = tuple(raw.get("only", ()))
    values["picks"] = tuple((partition, tuple(offsets)) for partition, offsets in raw.get("picks", ()))
    edit = raw.get("edit") or {}
    values["edit"] = HeaderEdit(
        tuple(edit.get("drop", ())),
        tuple((name, text) for name, text in edit.get("texts", ())),
        tuple((name, cel) for name, cel in edit.get("computed", ())),
        edit.get("where"),
    )
    values["problems"] = tuple(Problem(**p) for p in raw["problems"])
    return ReplayPlan(**values)
