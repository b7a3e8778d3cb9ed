"""Pure functions between what was seen and what is shown: filter, sort, rank.

Whatever is compared often is worked out once a snapshot, off the event loop (`group_rows`, `queue_rows`), so that ten
thousand groups can be filtered and sorted while somebody types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar

from console.model import Group, KafkaSnapshot, LagSource, Queue, Severity, SqsSnapshot, Status

T = TypeVar("T")
Sortable = float | str | None


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group as a line: its sums worked out once."""

    group: Group
    name: str
    status: Status
    lag: int | None
    lost: int | None
    lag_seconds: float | None
    lag_seconds_source: LagSource | None
    haystack: str
    worst: tuple[Sortable, ...]

    @property
    def severity(self) -> Severity:
        """How loud the line is."""
        return self.status.severity


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One queue as a line."""

    queue: Queue
    name: str
    status: Status
    haystack: str

    @property
    def severity(self) -> Severity:
        """How loud the line is."""
        return self.status.severity


def group_rows(snapshot: KafkaSnapshot, before: Mapping[str, GroupRow] | None = None) -> tuple[GroupRow, ...]:
    """The lines of a snapshot's groups, in its order; a group that is still the same object keeps its line."""
    known = before or {}
    return tuple(
        row if (row := known.get(group.name)) is not None and row.group is group else _group_row(group)
        for group in snapshot.groups
    )


def _group_row(group: Group) -> GroupRow:
    lag = group.lag
    return GroupRow(
        group=group,
        name=group.name,
        status=group.status,
        lag=lag,
        lost=group.lost,
        lag_seconds=group.lag_seconds,
        lag_seconds_source=group.lag_seconds_source,
        haystack=" ".join((group.name, group.state, group.type, group.status, *group.topics)).casefold(),
        worst=worst(group.status, lag),
    )


def queue_rows(snapshot: SqsSnapshot) -> tuple[QueueRow, ...]:
    """The lines of a snapshot's queues, in its order."""
    return tuple(
        QueueRow(
            queue=queue,
            name=queue.name,
            status=queue.status,
            haystack=" ".join((queue.name, queue.type, queue.status, "dlq" if queue.dlq_of else "")).casefold(),
        )
        for queue in snapshot.queues
    )


@dataclass(frozen=True, slots=True)
class Filter:
    """What `/` was given: every word has to be in a line, none of the words after `!` may be."""

    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.wanted or self.unwanted)

    def accepts(self, haystack: str) -> bool:
        """Whether a line (casefolded) is shown."""
        return all(word in haystack for word in self.wanted) and not any(word in haystack for word in self.unwanted)


def parse_filter(text: str) -> Filter:
    """What was typed after `/`: words that must all be there; `!word` must not. A lone `!` says nothing yet."""
    words = text.casefold().split()
    return Filter(
        tuple(word for word in words if not word.startswith("!")),
        tuple(word[1:] for word in words if word.startswith("!") and len(word) > 1),
    )


@dataclass(frozen=True, slots=True)
class Order:
    """A column to sort by and whether its natural order is turned round."""

    column: str = "worst"
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class SortColumn(Generic[T]):
    """A way to sort: its value of a line (None: unknown, always last) and whether the largest comes first."""

    value: Callable[[T], Sortable | tuple[Sortable, ...]]
    largest_first: bool = False


def arrange(
    items: Iterable[T],
    wanted: Filter,
    order: Order,
    columns: Mapping[str, SortColumn[T]],
    haystack: Callable[[T], str],
    name: Callable[[T], str],
) -> tuple[T, ...]:
    """Filtered and sorted lines. Equal ones stand by name; unknown comes last whichever way round the order is."""
    column = columns.get(order.column) or next(iter(columns.values()))
    value = column.value
    shown = sorted(filtered(items, wanted, haystack), key=name)
    known = [item for item in shown if value(item) is not None]
    unknown = [item for item in shown if value(item) is None] if len(known) < len(shown) else ()
    known.sort(key=value, reverse=column.largest_first != order.reverse)  # type: ignore[arg-type]
    return (*known, *unknown)


def filtered(items: Iterable[T], wanted: Filter, haystack: Callable[[T], str]) -> Iterable[T]:
    """What the filter lets through, in its order."""
    if not wanted:
        return items
    if len(wanted.wanted) == 1 and not wanted.unwanted:  # the usual case, while somebody types
        (word,) = wanted.wanted
        return [item for item in items if word in haystack(item)]
    return [item for item in items if wanted.accepts(haystack(item))]


def next_column(order: Order, columns: Sequence[str]) -> Order:
    """The order after the next press of `s`: the next column in its natural direction."""
    if order.column not in columns:
        return Order(columns[0])
    return Order(columns[(columns.index(order.column) + 1) % len(columns)])


def worst(status: Status, size: float | None) -> tuple[Sortable, ...]:
    """A value that sorts the worst first: how bad, then how much.

    What is fine sorts by the order of magnitude alone: a healthy lag goes up and down at every look, and lines that
    change places all the time cannot be read. Unknown counts as fine: it is not worse than a healthy one.
    """
    known = -1.0 if size is None else float(size)
    if status.severity <= Severity.UNKNOWN:
        return (0, float(len(str(round(known)))) if known >= 1_000 else min(known, 0.0))
    return (status.rank, known)


GROUP_SORTS: Mapping[str, SortColumn[GroupRow]] = {
    "worst": SortColumn(attrgetter("worst"), largest_first=True),
    "name": SortColumn(attrgetter("name")),
    "state": SortColumn(lambda row: row.group.state or None),
    "lag": SortColumn(attrgetter("lag"), largest_first=True),
    "behind": SortColumn(attrgetter("lag_seconds"), largest_first=True),
    "in": SortColumn(lambda row: row.group.produced_rate, largest_first=True),
    "out": SortColumn(lambda row: row.group.consumed_rate, largest_first=True),
}
"""How groups can be sorted, in the order `s` goes through."""

QUEUE_SORTS: Mapping[str, SortColumn[QueueRow]] = {
    "worst": SortColumn(lambda row: worst(row.status, row.queue.visible), largest_first=True),
    "name": SortColumn(lambda row: row.name),
    "visible": SortColumn(lambda row: row.queue.visible, largest_first=True),
    "flight": SortColumn(lambda row: row.queue.in_flight, largest_first=True),
    "delay": SortColumn(lambda row: row.queue.delayed, largest_first=True),
    "dlq": SortColumn(lambda row: row.queue.dlq_count, largest_first=True),
    "oldest": SortColumn(lambda row: row.queue.oldest_seconds, largest_first=True),
}
"""How queues can be sorted, in the order `s` goes through."""


def arrange_groups(rows: Iterable[GroupRow], wanted: Filter, order: Order) -> tuple[GroupRow, ...]:
    """The groups to show, worst first unless another column was chosen."""
    return arrange(rows, wanted, order, GROUP_SORTS, attrgetter("haystack"), attrgetter("name"))


def arrange_queues(rows: Iterable[QueueRow], wanted: Filter, order: Order) -> tuple[QueueRow, ...]:
    """The queues to show, worst first unless another column was chosen."""
    return arrange(rows, wanted, order, QUEUE_SORTS, lambda row: row.haystack, lambda row: row.name)
