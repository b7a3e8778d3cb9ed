"""A reset plan as people and scripts read it: the words of the dialog, JSON, and Kafka's CSV."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from console.ops.offsets import ResetEntry, write_csv
from console.ops.plan import PlanView
from console.ops.reset_plan import ResetPlan, in_use, members
from console.text import DASH, count, plural, utc


def csv(plan: ResetPlan, old: bool = False) -> str:
    """The plan's new offsets (or the old ones, for an undo) in Kafka's own `--from-file` CSV."""
    return write_csv(
        (e.topic, e.partition, offset) for e in plan.entries if (offset := e.old if old else e.new) is not None
    )


def view(plan: ResetPlan) -> PlanView:
    """The plan in words, for the dialog and the command line."""
    changes = plan.changes
    facts = [
        (
            "group",
            f"{plan.group} ({plan.type}, {plan.state or 'state unknown'}, {plural(len(plan.members), 'member')})",
        ),
        ("moves", plan.strategy.words),
        ("partitions", f"{count(len(changes))} change, {count(len(plan.entries) - len(changes))} stay"),
        ("read again", _total(e.records for e in changes)),
        ("skipped", _total(e.skipped for e in changes)),
        ("times", "UTC"),
    ]
    return PlanView(
        kind="undo" if plan.undoes else "reset",
        title=f"undo {plan.undoes}: reset group {plan.group}" if plan.undoes else f"reset group {plan.group}",
        facts=tuple(facts),
        command=plan.command,
        target=plan.group,
        warnings=_warnings(plan),
        columns=(
            "topic",
            "p",
            "old",
            "new",
            "start",
            "end",
            "read again",
            "skipped",
            "old record",
            "new record",
            "note",
        ),
        rows=tuple(_row(e) for e in (*plan.entries, *plan.kept)),
        undo="the old offsets are saved in the journal first: logq job undo JOB brings them back",
    )


def _row(e: ResetEntry) -> tuple[str, ...]:
    new = count(e.new) if e.new is not None else "stays"
    numbers = (count(e.old), new, count(e.start), count(e.end), count(e.records), count(e.skipped))
    return (e.topic, str(e.partition), *numbers, utc(e.old_time), utc(e.new_time), e.note)


def _total(numbers: Iterable[int | None]) -> str:
    """A sum in words that says how many partitions it does not know."""
    known: list[int] = []
    unknown = 0
    for number in numbers:
        if number is None:
            unknown += 1
        else:
            known.append(number)
    total = plural(sum(known), "record") if known or not unknown else DASH
    return f"{total} ({plural(unknown, 'partition')} unknown: no commit)" if unknown else total


def _warnings(plan: ResetPlan) -> tuple[str, ...]:
    lines: list[str] = []
    if plan.live and plan.armed:
        waits = (
            "armed: nothing is changed before its members have left; the plan is made again then and applied at once"
        )
        lines.append(f"{waits} ({members(plan.members) or 'state ' + plan.state})")
    elif plan.live:
        lines.append(f"applying is refused while it is in use: {in_use(plan.group, plan.state, plan.members)}")
    if not plan.changes:
        lines.append("nothing would change: every partition is where the plan wants it, or is left alone")
    skipped = sum(e.skipped or 0 for e in plan.changes)
    if skipped:
        lines.append(f"{plural(skipped, 'record')} will not be read by this group")
    never = [e for e in plan.entries if e.old is None and e.new is not None]
    if never:
        lines.append(
            f"{plural(len(never), 'partition')} without a commit would get one; an undo cannot take that away again"
        )
    if plan.kept:
        lines.append(kept_words(plan))
    if any("below log start" in e.note and not e.note.startswith("clamped") for e in plan.entries):
        lines.append("commits below log start follow the consumer's auto.offset.reset, which logq cannot see")
    clamped = sum("clamped" in e.note for e in plan.entries)
    if clamped:
        lines.append(f"{plural(clamped, 'partition')} clamped into the log: see the notes")
    late = sum("no record that late" in e.note for e in plan.entries)
    if late:
        lines.append(f"{plural(late, 'partition')} without a record that late: they go to the end of the log")
    lines += [f"{p.where}: {p.message}" for p in plan.problems]
    return tuple(lines)


def kept_words(plan: ResetPlan) -> str:
    """What is said about commits that an undo cannot take away, with how much is skipped where that can be told."""
    many = len(plan.kept)
    known = [e.skipped for e in plan.kept if e.skipped is not None]
    unknown = f", and an unknown number in {plural(many - len(known), 'partition')}" if len(known) < many else ""
    skips = f"{plural(sum(known), 'record')} before it are not read" if known else "how much it skips is not known"
    had = f"{plural(many, 'partition')} had no commit before"
    return f"{had} and {'keeps' if many == 1 else 'keep'} the one the reset made: {skips}{unknown}"


def to_json(plan: ResetPlan) -> dict[str, Any]:
    """The plan as plain values, times as RFC 3339; kept in the journal and printed by `-o json`."""
    return {
        "kind": "undo" if plan.undoes else "reset",
        "group": plan.group,
        "type": plan.type,
        "state": plan.state or None,
        "members": len(plan.members),
        "live": plan.live,
        "armed": plan.armed,
        "strategy": plan.strategy.kind,
        "value": plan.strategy.text or None,
        "at_time": utc(plan.strategy.at, millis=True) if plan.strategy.timed else None,
        "undoes": plan.undoes,
        "entries": [
            {
                "topic": e.topic,
                "partition": e.partition,
                "old": e.old,
                "new": e.new,
                "start": e.start,
                "end": e.end,
                "records": e.records,
                "skipped": e.skipped,
                "note": e.note,
                "old_time": utc(e.old_time, millis=True) if e.old_time is not None else None,
                "new_time": utc(e.new_time, millis=True) if e.new_time is not None else None,
            }
            for e in plan.entries
        ],
        "kept": [
            {"topic": e.topic, "partition": e.partition, "committed": e.old, "skipped": e.skipped} for e in plan.kept
        ],
        "warnings": list(_warnings(plan)),
        "command": plan.command,
    }
