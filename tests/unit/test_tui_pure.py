"""The pure parts of the screens: filter, sort and rank as properties, the registry of actions, the top line's words."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from console.model import Group, GroupPartition, KafkaSnapshot, Queue, Severity, SqsSnapshot, Status
from console.tui.actions import ACTIONS, key_table, registry
from console.tui.view import (
    GROUP_SORTS,
    QUEUE_SORTS,
    GroupRow,
    Order,
    arrange_groups,
    arrange_queues,
    group_rows,
    next_column,
    parse_filter,
    queue_rows,
)

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
STATUSES = st.sampled_from(list(Status))


@st.composite
def rows(draw: st.DrawFn) -> tuple[GroupRow, ...]:
    names = draw(st.lists(NAMES, unique=True, max_size=12))
    made = []
    for name in names:
        lag = draw(st.none() | st.integers(0, 10**9))
        partitions = (GroupPartition("t", 0, start=0, committed=None if lag is None else 0, end=lag),)
        rate = draw(st.none() | st.floats(0, 1e6))
        made.append(Group(name, "classic", draw(st.sampled_from(["Stable", "Empty", ""])), partitions=partitions,
                          status=draw(STATUSES), produced_rate=rate, consumed_rate=rate))  # fmt: skip
    return group_rows(KafkaSnapshot(0.0, groups=tuple(made)))


ORDERS = st.builds(Order, st.sampled_from(sorted(GROUP_SORTS)), st.booleans())
WORDS = st.lists(st.text("abc!xyz", min_size=1, max_size=4), max_size=3).map(" ".join)


@given(rows(), WORDS, ORDERS)
def test_what_is_shown_is_just_what_fits_each_line_once(found: tuple[GroupRow, ...], words: str, order: Order) -> None:
    wanted = parse_filter(words)
    shown = arrange_groups(found, wanted, order)
    assert sorted(r.name for r in shown) == sorted(r.name for r in found if wanted.accepts(r.haystack))


@given(rows(), ORDERS)
def test_the_order_depends_on_the_lines_not_on_how_they_came(found: tuple[GroupRow, ...], order: Order) -> None:
    assert arrange_groups(found, parse_filter(""), order) == arrange_groups(found[::-1], parse_filter(""), order)


@given(rows(), ORDERS)
def test_unknown_is_last_and_the_rest_in_order(found: tuple[GroupRow, ...], order: Order) -> None:
    column = GROUP_SORTS[order.column]
    values = [column.value(row) for row in arrange_groups(found, parse_filter(""), order)]
    known = [value for value in values if value is not None]
    assert values[len(known) :] == [None] * (len(values) - len(known))
    descending = column.largest_first != order.reverse
    assert known == sorted(known, reverse=descending)  # type: ignore[type-var]


@given(rows())
def test_worst_first_never_puts_a_fine_line_before_one_in_trouble(found: tuple[GroupRow, ...]) -> None:
    shown = arrange_groups(found, parse_filter(""), Order())
    loud = [row.severity >= Severity.WARN for row in shown]
    assert loud == sorted(loud, reverse=True)
    ranks = [row.status.rank for row in shown if row.severity >= Severity.WARN]
    assert ranks == sorted(ranks, reverse=True)


@given(st.text("ab !", max_size=12))
def test_an_inverse_filter_shows_what_the_plain_one_hides(text: str) -> None:
    word = text.replace("!", "").replace(" ", "")
    if word:
        for line in ("aab", "b", "", "ba ab"):
            assert parse_filter(word).accepts(line) != parse_filter("!" + word).accepts(line)


def test_a_lone_exclamation_mark_hides_nothing_yet() -> None:
    assert not parse_filter("!") and not parse_filter("  ") and parse_filter("!").accepts("x")


def test_what_is_fine_does_not_change_places_with_every_look() -> None:
    def look(a: int, b: int) -> list[str]:
        made = tuple(
            Group(n, partitions=(GroupPartition("t", 0, start=0, committed=0, end=lag),), status=Status.OK)
            for n, lag in (("a", a), ("b", b))
        )
        return [
            row.name for row in arrange_groups(group_rows(KafkaSnapshot(0.0, groups=made)), parse_filter(""), Order())
        ]

    assert look(3, 400) == look(900, 12) == ["a", "b"]
    assert look(3, 250_000) == ["b", "a"], "an order of magnitude more is worth a place"


def test_queues_sort_and_filter_by_kind() -> None:
    found = queue_rows(
        SqsSnapshot(0.0, queues=(
            Queue("a", "u", visible=3, status=Status.OK), Queue("b", "u", visible=None),
            Queue("c", "u", visible=9, dlq_of=("a",), status=Status.DEAD_LETTERS),
        ))
    )  # fmt: skip
    assert [r.name for r in arrange_queues(found, parse_filter(""), Order())] == ["c", "a", "b"]
    assert [r.name for r in arrange_queues(found, parse_filter(""), Order("visible"))] == ["c", "a", "b"]
    assert [r.name for r in arrange_queues(found, parse_filter(""), Order("visible", True))] == ["a", "c", "b"]
    assert [r.name for r in arrange_queues(found, parse_filter("dlq"), Order())] == ["c"]


def test_sorting_goes_round() -> None:
    columns = tuple(QUEUE_SORTS)
    order = Order()
    for _ in columns:
        order = next_column(order, columns)
    assert order == Order()
    assert next_column(Order("gone"), columns) == Order(columns[0])


def test_every_action_has_help_and_one_id_and_the_table_names_it() -> None:
    ids = [action.id for action in ACTIONS]
    assert len(ids) == len(set(ids))
    table = key_table()
    for action in ACTIONS:
        assert action.help and (action.keys or action.commands) and action.help.removeprefix("demo: ") in table


def test_commands_are_found_by_name_or_by_an_unmistakable_beginning() -> None:
    actions = registry()
    assert actions.command("groups").id == actions.command("group").id == "groups"  # type: ignore[union-attr]
    assert actions.command("doc").id == "doctor"  # type: ignore[union-attr]
    assert actions.command("q").id == "quit"  # type: ignore[union-attr]
    assert actions.command("re") is None, "reset, redrive, resume: not guessed"
    assert actions.command("") is None and actions.command("nope") is None
    names = [name for action in ACTIONS for name in action.commands]
    assert len(names) == len(set(names))


def test_read_only_and_demo_decide_what_is_registered() -> None:
    assert not {"reset", "redrive", "resume", "undo", "cancel"} & {a.id for a in registry(read_only=True).actions}
    assert {"fix", "break"} <= {a.id for a in registry(demo=True).actions}
    assert not {"fix", "break"} & {a.id for a in registry().actions}


def test_the_app_loads_no_client_before_its_first_picture() -> None:
    names = ("boto3", "botocore", "confluent_kafka", "kio", "console.kafka", "console.sqs", "console.journal")
    code = f"import sys, console.tui.app; print([n for n in {names!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
