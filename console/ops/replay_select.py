"""Which records of its ranges a replay takes: those picked by hand, those a filter selects, or all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from console.model import Message
from console.ops.browse_filter import RecordWhere
from console.ops.replay_value import ReplayPlan


class Selection:
    """A plan's choice, compiled; for one thread at a time. None instead of True or False: the filter did not fit."""

    def __init__(self, plan: ReplayPlan) -> None:
        self._where = RecordWhere(plan.where) if plan.where is not None else None
        self._picks = {partition: frozenset(offsets) for partition, offsets in plan.picks}

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self._where is None and not self._picks

    @property
    def first_error(self) -> str:
        """Why the filter did not fit the first record it did not fit, "" when there was none."""
        return self._where.first_error if self._where is not None else ""

    def record(self, record: Any) -> bool | None:
        """Whether a record of confluent-kafka is taken."""
        return self._chosen(record.partition(), record.offset(), record, RecordWhere.record)

    def message(self, message: Message) -> bool | None:
        """Whether a record in our own form is taken."""
        return self._chosen(message.partition, message.offset, message, RecordWhere.message)

    def _chosen(
        self, partition: int | None, offset: int | None, held: Any, ask: Callable[[RecordWhere, Any], bool | None]
    ) -> bool | None:
        if self._picks and offset not in self._picks.get(partition or 0, ()):
            return False
        return True if self._where is None else ask(self._where, held)
