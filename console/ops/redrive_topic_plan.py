"""What a redrive of a dead-letter topic is going to do: which records, where to, who else sees the copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from console.errors import LogqError, NotFound, Unreachable, UsageError
from console.model import Topic
from console.ops import targets
from console.ops.browse_filter import RecordWhere
from console.ops.command import command_line
from console.ops.plan import PlanView
from console.ops.redrive_marks import marks, place_of
from console.ops.redrive_topic_select import Selection
from console.text import count as counted
from console.text import plural

if TYPE_CHECKING:
    from console.kafka.client import KafkaClient
    from console.ops.session import Session

_GROUPS_NAMED = 4


@dataclass(frozen=True, slots=True)
class TopicDestination:
    """A topic that copies go to. `ends` are its high watermarks when planned, by partition: no copy is below them.

    `groups` are the consumer groups with offsets on it ("billing (Stable)"), None when they could not be seen. `id` is
    the topic's, None where that is not known.
    """

    name: str
    records: int
    ends: tuple[tuple[int, int], ...]
    groups: tuple[str, ...] | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class TopicRedrivePlan:
    """A redrive of one dead-letter topic, over ranges [from, to) fixed now.

    `total` records are to be redriven. Of the others in the ranges `done_before` were redriven by earlier jobs,
    `doubtful` may have been, by the unfinished `doubtful_jobs`; `unselected` were not asked for; `left` have nowhere
    to go, counted by reason. `came_back` of the total were redriven before and failed again. `canary` records are sent
    at first, then the job pauses. `dlq_id` is the topic's id, None where the broker is too old to tell, and in plans
    of before it was kept.
    """

    dlq: str
    place: str
    ranges: tuple[tuple[int, int, int], ...]
    scanned: int
    total: int
    done_before: int
    doubtful: int
    doubtful_jobs: tuple[str, ...]
    unselected: int
    left: tuple[tuple[str, int], ...]
    came_back: int
    destinations: tuple[TopicDestination, ...]
    command: str
    to: str | None = None
    where: str | None = None
    where_note: str = ""
    clusters: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    limit: int | None = None
    rate: float | None = None
    canary: int | None = None
    dlq_id: str | None = None

    @property
    def count(self) -> int:
        """How many records are to be redriven."""
        return self.total

    @property
    def source(self) -> str:
        """The target name of the dead-letter topic."""
        return f"kafka:{self.dlq}"

    @property
    def target(self) -> str:
        """The target names of the destinations."""
        return ", ".join(f"kafka:{d.name}" for d in self.destinations)

    @property
    def idle(self) -> str:
        """Why there is nothing to do, "" when there is."""
        if self.total:
            return ""
        if self.done_before:
            return (
                f"nothing to do: all {counted(self.done_before)} selected records of {self.dlq} were redriven already"
            )
        if self.left:
            return f"nothing to do: {plural(sum(n for _, n in self.left), 'record')} stay: {self.left[0][0]}"
        return f"nothing to do: {self.dlq} holds no record that is selected"


def plan(
    session: Session,
    dlq: str,
    *,
    to: str | None = None,
    where: str | None = None,
    ids: Sequence[str] = (),
    limit: int | None = None,
    rate: float | None = None,
    clusters: Sequence[str] = (),
    canary: int | None = None,
) -> TopicRedrivePlan:
    """Read the dead-letter topic to its present end and count what a redrive would do; changes nothing, joins nothing.

    `dlq` is the topic's name, `to` a target (else each record returns to its original topic and partition), `ids` are
    `TOPIC/PARTITION/OFFSET` or `PARTITION/OFFSET`, `rate` is records a second. Raises `NotFound` for an unknown topic,
    `UsageError` for what makes no sense, `Unreachable` when not all of it could be read.
    """
    for option, number in (("--limit", limit), ("--canary", canary)):
        if number is not None and number < 1:
            raise UsageError(f"{option} {number} makes no sense: it is how many records at most, 1 or more")
    if rate is not None and not 0 < rate <= 1_000_000:
        raise UsageError(f"--rate {rate:g} makes no sense: it is records a second, more than 0")
    if where is not None:
        RecordWhere(where)
    client = session.require_kafka()
    target = _topic_name(to) if to is not None else None
    if target == dlq:
        raise UsageError(f"the destination is the source ({dlq}): the records would go round for ever")
    seen = client.topic(dlq)
    places = [_place(dlq, given) for given in ids]
    ranges = _ranges(client, seen, places)
    place = place_of(session)
    known = marks(session.journal, dlq, seen.id, place)
    keys = tuple(dict.fromkeys(f"{dlq}/{p}/{o}" for p, o in places))
    selection = Selection(
        client,
        dlq,
        ranges,
        known,
        to=target,
        where=where,
        ids=keys,
        clusters=clusters,
        patience=session.settings.timeout,
    )
    if target is not None and isinstance(found := selection.destination(target), str):
        raise NotFound(f"cannot redrive to {target}: {found}")
    goes: Counter[str] = Counter()
    left: Counter[str] = Counter()
    came_back = 0
    for chosen in selection.records():
        if chosen.to is None:
            left[chosen.reason] += 1
            continue
        goes[chosen.to] += 1
        came_back += chosen.again
        if goes.total() == limit:
            break
    groups = _groups(session, goes)
    return TopicRedrivePlan(
        dlq=dlq,
        place=place,
        ranges=tuple((p, begin, end) for p, (begin, end) in sorted(ranges.items())),
        scanned=selection.scanned,
        total=goes.total(),
        done_before=selection.done,
        doubtful=selection.doubtful,
        doubtful_jobs=known.jobs if selection.doubtful else (),
        unselected=selection.unselected,
        left=tuple(left.most_common()),
        came_back=came_back,
        destinations=tuple(
            _destination(selection.topics[name], many, None if groups is None else groups[name])
            for name, many in goes.most_common()
        ),
        command=_command(session, dlq, target, where, keys, limit, rate, clusters, canary),
        to=target,
        where=where,
        where_note=selection.where.note if selection.where is not None else "",
        clusters=tuple(clusters),
        ids=keys,
        limit=limit,
        rate=rate,
        canary=canary,
        dlq_id=seen.id,
    )


def _topic_name(target: str) -> str:
    side, name = targets.parse(target)
    if side == "sqs":
        raise UsageError(f"a dead-letter topic is redriven to a topic; logq replay copies records to the queue {name}")
    return name


def _place(dlq: str, given: str) -> tuple[int, int]:
    """Partition and offset of an id. Raises `UsageError`."""
    parts = given.removeprefix(f"{dlq}/").split("/")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
        raise UsageError(f"--id {given!r} is no record of {dlq}: it is PARTITION/OFFSET, as dlq show lists them")
    return int(parts[0]), int(parts[1])


def _ranges(client: KafkaClient, seen: Topic, places: Sequence[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """From the log start to the present end of each partition; narrowed to the records asked for by id."""
    from console.kafka.read import readable

    found = {}
    for p in seen.partitions:
        bounds = readable(client.settings, p)
        if bounds is None:
            said = p.problem.message if p.problem else "its offsets could not be seen"
            raise Unreachable(f"cannot redrive {seen.name}: partition {p.partition} cannot be read: {said}")
        found[p.partition] = bounds
    if places:
        asked = {p: [o for q, o in places if q == p] for p, _ in places}
        found = {
            p: (max(found[p][0], min(offsets)), min(found[p][1], max(offsets) + 1))
            for p, offsets in asked.items()
            if p in found
        }
    return {p: (begin, end) for p, (begin, end) in found.items() if begin < end}


def _destination(topic: Topic | str, records: int, groups: tuple[str, ...] | None) -> TopicDestination:
    assert not isinstance(topic, str), "records go to topics that were found"
    ends = tuple((p.partition, p.end or 0) for p in topic.partitions)
    return TopicDestination(topic.name, records, ends, groups, topic.id)


def _groups(session: Session, names: Mapping[str, int]) -> dict[str, tuple[str, ...]] | None:
    """Who has offsets on each topic; None when that could not be seen."""
    try:
        groups = session.require_kafka().snapshot().groups
    except LogqError:
        return None
    return {
        name: tuple(f"{g.name} ({g.state or 'state unknown'})" for g in groups if name in g.topics) for name in names
    }


def _command(
    session: Session,
    dlq: str,
    to: str | None,
    where: str | None,
    ids: Sequence[str],
    limit: int | None,
    rate: float | None,
    clusters: Sequence[str],
    canary: int | None,
) -> str:
    words = ["dlq", "redrive", f"kafka:{dlq}"]
    words += ["--to", f"kafka:{to}"] if to is not None else []
    words += ["--where", where] if where is not None else []
    for name in clusters:
        words += ["--cluster", name]
    for key in ids:
        words += ["--id", key]
    words += ["--limit", str(limit)] if limit is not None else []
    words += ["--rate", f"{rate:g}"] if rate is not None else []
    words += ["--canary", str(canary)] if canary is not None else []
    return command_line(session.settings, *words, "--execute")


def view(planned: TopicRedrivePlan) -> PlanView:
    """The plan in words, for the dialog and the command line."""
    what = f"{plural(planned.total, 'record')} of {counted(planned.scanned)} in the range"
    if planned.where is not None:
        what += f" that match: {planned.where}"
    if planned.clusters:
        what += f"; failure {', '.join(planned.clusters)}"
    speed = f"at most {planned.rate:g} a second" if planned.rate else "as fast as the brokers take them"
    if planned.canary is not None and planned.canary < planned.total:
        speed += f"; the first {counted(planned.canary)}, then it pauses"
    facts = [
        ("what", what),
        ("range", ", ".join(f"p{p} [{counted(a)}, {counted(b)})" for p, a, b in planned.ranges) or "empty"),
        ("done before", f"{plural(planned.done_before, 'record')} redriven by earlier jobs: not sent again"),
        ("to", _goes(planned)),
        ("speed", speed),
        ("kept", "key, value, headers; the error headers go, logq-redrive and logq-origin come"),
        ("is lost", "nothing: the records stay in the dead-letter topic; copies carry the time of the redrive"),
        ("ledger", "this machine's journal; what was redriven from another machine is not known here"),
    ]
    return PlanView(
        kind="redrive",
        title=f"redrive {planned.dlq}",
        facts=tuple(facts),
        warnings=_warnings(planned),
        columns=("destination", "records", "groups that see the copies"),
        rows=tuple((d.name, counted(d.records), _readers(d.groups)) for d in planned.destinations),
        command=planned.command,
        target=planned.dlq,
        undo="",
    )


def _goes(planned: TopicRedrivePlan) -> str:
    if planned.to is not None:
        return planned.to
    return "each to its original topic; its original partition where that exists, else by key"


def _readers(groups: tuple[str, ...] | None) -> str:
    if groups is None:
        return "could not be seen"
    more = f" and {plural(len(groups) - _GROUPS_NAMED, 'more group')}" if len(groups) > _GROUPS_NAMED else ""
    return ", ".join(groups[:_GROUPS_NAMED]) + more or "none has offsets there"


def _warnings(planned: TopicRedrivePlan) -> tuple[str, ...]:
    warnings = ["It cannot be undone: once consumers have the copies, nothing brings them back."]
    for reason, many in planned.left:
        stays = "stays" if many == 1 else "stay"
        warnings.append(f"{plural(many, 'record')} {stays}: {reason}; --to TOPIC decides it")
    if planned.doubtful:
        named = ", ".join(planned.doubtful_jobs)
        warnings.append(
            f"{plural(planned.doubtful, 'record')} may have been redriven by a job that was not finished and are left "
            f"out: logq job resume {named} settles them"
        )
    if planned.came_back:
        warnings.append(f"{plural(planned.came_back, 'record')} had been redriven before, failed again and came back.")
    if planned.where_note:
        warnings.append(planned.where_note)
    return tuple(warnings)


def to_json(planned: TopicRedrivePlan) -> dict[str, Any]:
    """The plan as plain values: what `-o json` prints and the journal keeps."""
    return {
        **asdict(planned),
        "kind": "redrive",
        "source": planned.source,
        "target": planned.target,
        "warnings": list(_warnings(planned)),
    }


def from_json(raw: Mapping[str, Any]) -> TopicRedrivePlan:
    """The plan that `to_json` wrote."""
    values = {key: value for key, value in raw.items() if key not in ("kind", "source", "target", "warnings")}
    values["destinations"] = tuple(
        TopicDestination(
            d["name"],
            d["records"],
            tuple((p, end) for p, end in d["ends"]),
            None if d["groups"] is None else tuple(d["groups"]),
            d.get("id"),
        )
        for d in raw["destinations"]
    )
    values["ranges"] = tuple((p, begin, end) for p, begin, end in raw["ranges"])
    values["left"] = tuple((reason, many) for reason, many in raw["left"])
    for name in ("doubtful_jobs", "clusters", "ids"):
        values[name] = tuple(raw[name])
    return TopicRedrivePlan(**values)


__all__ = ["TopicDestination", "TopicRedrivePlan", "from_json", "plan", "to_json", "view"]
