"""The plan of an offset reset: what each partition of a group would become. It joins nothing; live groups work."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from console.errors import LogqError, NotFound, Refused, UsageError
from console.model import Group, Member, Problem
from console.ops.command import command_line
from console.ops.offsets import Position, ResetEntry, Strategy, TopicPartition, entry, kept_entry
from console.text import plural
from console.upkeep import reset_refusal

if TYPE_CHECKING:
    from console.ops.session import Session

Selection = Sequence[tuple[str, tuple[int, ...] | None]]
"""Topics, each with its partitions (None: all of them)."""

MEMBERS_NAMED = 4
EMPTY_STATES = ("empty", "dead")
UNDECIDED = "UNSTABLE_OFFSET_COMMIT"


class InUse(Refused):
    """The group has members, whose next commit would win (exit 3)."""


@dataclass(frozen=True, slots=True)
class ResetPlan:
    """What a reset would do, seen at `at`. `undoes` is the job whose saved offsets it brings back.

    `create` allows a group that does not exist yet: its first commit makes it. `armed`: it is to wait until the group
    has no members, and is made again then. `kept` are the partitions whose commit an undo cannot take away.
    """

    group: str
    type: str
    state: str
    members: tuple[Member, ...]
    strategy: Strategy
    selection: tuple[tuple[str, tuple[int, ...] | None], ...]
    entries: tuple[ResetEntry, ...]
    at: float
    command: str
    create: bool = False
    undoes: str | None = None
    armed: bool = False
    problems: tuple[Problem, ...] = ()
    kept: tuple[ResetEntry, ...] = ()

    @property
    def live(self) -> bool:
        """Whether the group is in use, so that applying would be refused."""
        return bool(self.members) or self.state.lower() not in EMPTY_STATES

    @property
    def changes(self) -> tuple[ResetEntry, ...]:
        """The entries that will be committed; `--to-current` commits the same offsets again, which is its purpose."""
        again = self.strategy.kind == "current"
        return tuple(e for e in self.entries if e.new is not None and (again or e.new != e.old))

    @property
    def idle(self) -> str:
        """Why there is nothing to do now, "" when there is (an armed plan is made again)."""
        if self.changes or self.armed:
            return ""
        if self.untouched:
            first = self.untouched[0]
            why = f"could not be seen: {first.message}" if first.code == "UNSEEN" else first.message
            return f"{plural(len(self.untouched), 'partition')} {why}"
        return "every partition is where " + ("it was before" if self.undoes else "the plan wants it")

    @property
    def untouched(self) -> tuple[Problem, ...]:
        """Why partitions are left alone that could not be seen (UNSEEN) or are no more (GONE).

        A plan that is carried out has not done all of them.
        """
        return tuple(
            Problem(f"{e.topic} partition {e.partition}", "GONE" if e.gone else "UNSEEN", e.note)
            for e in self.entries
            if e.unseen or e.gone
        )


def plan(
    session: Session,
    group: str,
    strategy: Strategy,
    selection: Selection = (),
    create: bool = False,
    undoes: str | None = None,
    armed: bool = False,
) -> ResetPlan:
    """What resetting `group` would do to each partition: all it has committed and those added since, or `selection`.

    Raises `NotFound` for an unknown group (unless `create`), topic or partition, `Refused` for share and streams
    groups, `UsageError` when there is nothing to reset, `Unreachable`. An undo leaves alone what is no more.
    """
    seen = group_now(session, group, create)
    if foreign := reset_refusal(seen.type):
        raise Refused(f"group {group!r} is a {seen.type} group: {foreign}")
    positions = _positions(session, seen, strategy, selection, undoes is not None)
    if not positions:
        raise UsageError(f"group {group!r} has no commits to start from: name topics with --topic TOPIC")
    problems = list(seen.problems)
    if seen.partitions:
        positions = _decided(session, group, positions)
    if strategy.timed:
        positions = _timed(session, positions, strategy.at)
    entries = [entry(position, strategy) for position in positions]
    entries = _with_times(session, entries, problems)
    words = ["group", "reset", group, *strategy.option, *_topic_options(selection)]
    if undoes is not None:
        words = ["job", "undo", undoes]
    elif create:
        words.append("--create")
    words += ["--wait-empty", "--execute"] if armed else ["--execute"]
    return ResetPlan(
        group=group,
        type=seen.type,
        state=seen.state,
        members=seen.members or (),
        strategy=strategy,
        selection=tuple(selection),
        entries=tuple(entries),
        at=time.time(),
        command=command_line(session.settings, *words),
        create=create,
        undoes=undoes,
        armed=armed,
        problems=tuple(problems),
        kept=_kept(seen, strategy),
    )


def group_now(session: Session, name: str, create: bool) -> Group:
    """The group as it is now; an empty one when it does not exist and may be made. Raises `NotFound`, `Unreachable`."""
    try:
        return session.require_kafka().group(name)
    except NotFound as error:
        if not create:
            raise NotFound(f"{error}; --create makes it (with --topic)") from None
        return Group(name=name, type="classic", state="Empty", members=(), partitions=())


def live(group: Group) -> bool:
    """Whether a group is in use, so that a reset of it would be refused or overwritten."""
    return bool(group.members) or group.state.lower() not in EMPTY_STATES


def again(session: Session, earlier: ResetPlan) -> ResetPlan:
    """The same plan made now: the group may have moved, stopped or started since."""
    return plan(
        session, earlier.group, earlier.strategy, earlier.selection, earlier.create, earlier.undoes, earlier.armed
    )


def _topic_options(selection: Selection) -> list[str]:
    options: list[str] = []
    for topic, partitions in selection:
        options += ["--topic", topic if partitions is None else f"{topic}:{','.join(map(str, partitions))}"]
    return options


def _positions(
    session: Session, group: Group, strategy: Strategy, selection: Selection, undoing: bool
) -> list[Position]:
    known = {
        (p.topic, p.partition): Position(
            p.topic, p.partition, p.committed, p.start, p.end, problem=p.problem.message if p.problem else ""
        )
        for p in group.partitions or ()
    }
    wanted: dict[str, set[int] | None] = {}
    for topic, partitions in selection:
        held = wanted.get(topic, set())
        wanted[topic] = None if partitions is None or held is None else held | set(partitions)
    if not selection:
        if strategy.kind != "from-file":
            return [known[key] for key in sorted(known)]
        for topic, partition in strategy.offsets:
            held = wanted.setdefault(topic, set())
            assert held is not None
            held.add(partition)
    found: list[Position] = []
    for topic in sorted(wanted):
        try:
            found += _topic_positions(session, topic, wanted[topic], known, undoing)
        except NotFound as error:
            if selection or strategy.kind != "from-file":
                raise
            raise NotFound(
                f"{error}; take its lines out of {strategy.text or 'the file'}, or name what to reset with --topic"
            ) from None
    return found


def _kept(group: Group, strategy: Strategy) -> tuple[ResetEntry, ...]:
    """The partitions that still have a commit which an undo cannot take away."""
    return tuple(
        kept_entry(Position(p.topic, p.partition, p.committed, p.start, p.end), made)
        for p in group.partitions or ()
        if (made := strategy.kept.get((p.topic, p.partition))) is not None and p.committed is not None
    )


def _topic_positions(
    session: Session,
    name: str,
    wanted: set[int] | None,
    known: Mapping[TopicPartition, Position],
    undoing: bool,
) -> list[Position]:
    """The wanted partitions of one topic; those the group never committed come from the topic itself.

    Raises `NotFound` for what the cluster does not have; when undoing, that comes back as gone.
    """
    held = {partition: position for (topic, partition), position in known.items() if topic == name}
    missed = ""
    if wanted is None or not wanted <= held.keys():
        try:
            partitions = session.require_kafka().topic(name).partitions
        except NotFound:
            if not undoing:
                raise
            partitions, missed = (), "left alone: the topic is no more"
        for p in partitions:
            reason = p.problem.message if p.problem else ""
            held.setdefault(p.partition, Position(name, p.partition, None, p.start, p.end, problem=reason))
    missing = (wanted or set()) - held.keys()
    if missing and undoing:
        why = missed or f"left alone: the topic has only {plural(len(held), 'partition')} now"
        held |= {p: Position(name, p, None, None, None, problem=why, gone=True) for p in missing}
    elif missing:
        raise NotFound(
            f"topic {name!r} has no partition {', '.join(map(str, sorted(missing)))}; it has {len(held)}, from 0"
        )
    return [held[partition] for partition in sorted(held) if wanted is None or partition in wanted]


def _decided(session: Session, group: str, positions: Sequence[Position]) -> list[Position]:
    """The positions, their commits asked for by name: only so does an open transaction or a forbidden topic show.

    A reset wins over the offsets of an open transaction (seen on 4.3), so that is said and no obstacle.
    """
    asked = [(p.topic, p.partition) for p in positions if not p.problem]
    answers = session.require_kafka().committed(group, asked) if asked else {}
    found = []
    for p in positions:
        answer = answers.get((p.topic, p.partition))
        if isinstance(answer, Problem):
            if answer.code == UNDECIDED:
                p = replace(p, remark="a transaction is open: its commit is not decided, the reset wins over it")
            else:
                p = replace(p, problem=f"left alone: {answer.message}")
        found.append(p)
    return found


def _timed(session: Session, positions: Sequence[Position], at: float) -> list[Position]:
    asked = [(p.topic, p.partition) for p in positions if not p.problem]
    offsets = session.require_kafka().offsets_for_time(asked, at) if asked else {}
    found = []
    for p in positions:
        offset = offsets.get((p.topic, p.partition)) if not p.problem else None
        if isinstance(offset, Problem):
            found.append(replace(p, problem=f"left alone: {offset.message}"))
        elif not p.problem and (p.topic, p.partition) not in offsets:
            found.append(replace(p, problem="left alone: its offset at that time could not be seen"))
        else:
            found.append(replace(p, timed=offset))
    return found


def _with_times(session: Session, entries: Sequence[ResetEntry], problems: list[Problem]) -> list[ResetEntry]:
    """The entries with the record times at both offsets, as far as they can be had; a plan stands without them."""

    def readable(e: ResetEntry, offset: int | None) -> bool:
        return offset is not None and e.start is not None and e.end is not None and e.start <= offset < e.end

    old = {(e.topic, e.partition): e.old for e in entries if e.old is not None and readable(e, e.old)}
    new = {(e.topic, e.partition): e.new for e in entries if e.new is not None and readable(e, e.new)}
    client = session.require_kafka()
    try:
        old_times = client.record_times(old) if old else {}
        new_times = client.record_times(new) if new else {}
    except LogqError as error:
        problems.append(Problem("record times", "UNKNOWN", f"the times of the records could not be read: {error}"))
        return list(entries)
    return [
        replace(e, old_time=old_times.get((e.topic, e.partition)), new_time=new_times.get((e.topic, e.partition)))
        for e in entries
    ]


def members(found: Sequence[Member]) -> str:
    """Members with their hosts, at most a few of them: "2 members: worker-7 on 10.0.0.9, …"; "" when there are none."""
    who = [f"{m.client_id or m.id} on {m.host}" for m in found[:MEMBERS_NAMED]]
    more = f" and {len(found) - MEMBERS_NAMED} more" if len(found) > MEMBERS_NAMED else ""
    return f"{plural(len(found), 'member')}: {', '.join(who)}{more}" if found else ""


def in_use(group: str, state: str, found: Sequence[Member]) -> str:
    """Why a group cannot be reset now, naming members and hosts, and what to do about it."""
    have = members(found) or f"its state is {state}"
    return f"group {group!r} is in use ({have}); stop its consumers, or wait for that with --wait-empty"
