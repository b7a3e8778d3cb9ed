"""`logq status`: both sides on one page, what is wrong first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from console import text
from console.cli import shapes
from console.cli.group import GROUP_COLUMNS
from console.cli.group import worst_first as worst_groups
from console.cli.options import Command, Number
from console.cli.output import Answer, Column, emit, sign, styled, table, tone
from console.cli.queue import QUEUE_COLUMNS
from console.cli.queue import worst_first as worst_queues
from console.cli.run import Run
from console.errors import LogqError, Unmet, UsageError
from console.model import Attention, Group, KafkaSnapshot, Problem, SqsSnapshot, Status

if TYPE_CHECKING:
    from console.ops.session import Session

_SHOWN = 15
_LEAST_S = 0.5
_RATES: tuple[Column[Group], ...] = (
    Column("in/s", lambda g: text.rate(g.produced_rate), "right", drop=5),
    Column("out/s", lambda g: text.rate(g.consumed_rate), "right", drop=5),
)


@click.command("status", cls=Command)
@click.option("--check", is_flag=True, help="Exit 5 when anything is worse than WARN.")
@click.option(
    "--over",
    type=Number(min=0, max=300),
    default=1.5,
    show_default=True,
    metavar="SECONDS",
    help="Time between the two looks that rates and movement are told from; 0 looks once.",
)
@click.pass_obj
def command(run: Run, check: bool, over: float) -> None:
    """Both sides on one page, problems first, each with its reason."""
    session = run.session
    looked = look(session, over)
    emit(run, answer(looked))
    if (looked.kafka is None or shapes.silent(looked.kafka)) and looked.sqs is None:
        raise click.exceptions.Exit(1)
    worse = [a for a in looked.attention if a.status.rank > Status.WARN.rank]
    if check and worse:
        raise Unmet(
            f"{text.plural(len(worse), 'thing')} worse than WARN; the first: {worse[0].name}: {worse[0].reason}"
        )


class Looked:
    """What both sides answered; a side that was not asked or did not answer is None, and `problems` says why."""

    __slots__ = ("at", "attention", "kafka", "problems", "sqs")

    def __init__(self, kafka: KafkaSnapshot | None, sqs: SqsSnapshot | None, problems: tuple[Problem, ...]) -> None:
        self.at = time.time()
        self.kafka = kafka
        self.sqs = sqs
        self.problems = problems
        self.attention: tuple[Attention, ...] = ()

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """The sides that failed, and what each side could not see."""
        seen = (self.kafka.problems if self.kafka else ()) + (self.sqs.problems if self.sqs else ())
        return (*self.problems, *seen)


def look(session: Session, over: float) -> Looked:
    """Look at both sides at once, and again over `over` seconds when that is not 0.

    Kafka is looked at three times, the fewest that movement can be told from; SQS, where every look is paid for, twice.
    One side's failure is a problem beside the other's answer; when a later look fails, the last good one stands. The
    later looks share the time that the first one left: all of it takes `over` seconds more than an answer may.
    """
    from console.ops import inspect

    until = time.monotonic() + session.settings.timeout + over
    found = _both(session)
    if over > 0 and (found.kafka is not None or found.sqs is not None):
        time.sleep(over / 2)
        found = _later(found, _both(session, kafka=found.kafka is not None, sqs=False, until=until))
        time.sleep(over / 2)
        found = _later(found, _both(session, kafka=found.kafka is not None, sqs=found.sqs is not None, until=until))
    found.attention = (*_silent(session, found), *inspect.attention(found.kafka, found.sqs))
    return found


def _later(before: Looked, now: Looked) -> Looked:
    """What two looks know together; a side that failed once stays a problem."""
    problems = tuple(dict.fromkeys((*before.problems, *now.problems)))
    return Looked(now.kafka or before.kafka, now.sqs or before.sqs, problems)


def _silent(session: Session, looked: Looked) -> tuple[Attention, ...]:
    """The sides that gave no answer, as the first lines of attention."""
    from console.health import unreachable

    settings = session.settings
    found = []
    for p in looked.problems:
        if p.where == "kafka" and settings.kafka is not None:
            found.append(unreachable("kafka", settings.kafka.bootstrap, p.message))
        elif p.where == "sqs" and settings.sqs is not None:
            found.append(unreachable("sqs", ", ".join(one.place for one in settings.sqs_all), p.message))
    return tuple(found)


def _both(session: Session, kafka: bool = True, sqs: bool = True, until: float | None = None) -> Looked:
    """Ask each side, until a time (monotonic) or as long as an answer may take."""
    from console.ops import inspect

    timeout = None if until is None else max(_LEAST_S, until - time.monotonic())
    problems: list[Problem] = []
    seen: dict[str, Any] = {}

    def ask(side: str, question: Callable[[], object]) -> None:
        try:
            seen[side] = question()
        except UsageError as error:  # an address or property that makes no sense: no side is at fault
            seen["error"] = error
        except LogqError as error:
            problems.append(Problem(side, type(error).__name__.upper(), str(error)))
        except BaseException as error:  # re-raised in the caller's thread, where it belongs
            seen["error"] = error

    asked = []
    if kafka and session.settings.kafka is not None:
        asked.append(threading.Thread(target=ask, args=("kafka", lambda: inspect.kafka(session, timeout)), daemon=True))
    if sqs and session.settings.sqs is not None:
        asked.append(threading.Thread(target=ask, args=("sqs", lambda: inspect.sqs(session, timeout)), daemon=True))
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join()
    if "error" in seen:
        raise seen["error"]
    return Looked(seen.get("kafka"), seen.get("sqs"), tuple(problems))


def answer(looked: Looked) -> Answer:
    """The page in every form: attention first, then each side's counts, then its worst groups and queues."""
    kafka, sqs = looked.kafka, looked.sqs
    attention = [shapes.attention(a) for a in looked.attention]
    groups = worst_groups(kafka.groups) if kafka else []
    queues = worst_queues(sqs.queues) if sqs else []
    return Answer(
        lists={
            "attention": attention,
            "kafka": _kafka_counts(kafka),
            "sqs": _sqs_counts(sqs),
            "groups": [shapes.group(g) for g in groups] if kafka and not shapes.silent(kafka) else None,
            "queues": [shapes.queue(q) for q in queues] if sqs else None,
        },
        rows=attention,
        fields=shapes.ATTENTION,
        page=lambda width, color: page(looked, width, color),
        at=looked.at,
        problems=looked.all_problems,
    )


def _kafka_counts(kafka: KafkaSnapshot | None) -> dict[str, Any] | None:
    if kafka is None:
        return None
    lags = [g.lag for g in kafka.groups if g.lag is not None]
    return {
        "cluster": kafka.cluster_id,
        "brokers": len(kafka.brokers),
        "brokers_reachable": sum(1 for b in kafka.brokers if b.reachable),
        "groups": None if shapes.silent(kafka) else len(kafka.groups),
        "topics": len(kafka.topics),
        "lag": sum(lags) if lags else None,
        "complete": kafka.complete,
    }


def _sqs_counts(sqs: SqsSnapshot | None) -> dict[str, Any] | None:
    if sqs is None:
        return None
    counts = {name: [v for q in sqs.queues if (v := getattr(q, name)) is not None] for name in _SQS_COUNTS}
    return {
        "region": sqs.region,
        "endpoint_url": sqs.endpoint_url,
        "queues": len(sqs.queues),
        **{name: sum(known) if known or not sqs.queues else None for name, known in counts.items()},
        "complete": sqs.complete,
        "requests": sqs.requests_so_far,
        "dollars": sqs.dollars_so_far,
    }


_SQS_COUNTS = ("visible", "in_flight", "delayed")


def page(looked: Looked, width: int | None, color: bool) -> list[str]:
    """The status page for people; safe to print."""
    lines: list[str] = []
    kafka, sqs = looked.kafka, looked.sqs
    if looked.attention:
        lines.append(styled(f"▲ attention {len(looked.attention)}", "bold", color))
        wide = max(len(text.safe(a.name)) for a in looked.attention)
        next_wide = max(len(text.safe(a.where)) for a in looked.attention)
        for a in looked.attention:
            line = f"{text.safe(a.name):<{wide}}  {text.safe(a.where):<{next_wide}}  {text.safe(a.reason)}"
            mark = styled(f"  {sign(a.severity):<2}", tone(a.severity), color)
            lines.append(mark + (line if width is None else text.clip(line, width - 4)))
    else:
        lines.append("nothing needs attention")
    if kafka is not None:
        counts = _kafka_counts(kafka) or {}
        lines += [
            "",
            styled(
                f"kafka: brokers {counts['brokers_reachable']}/{counts['brokers']} · "
                f"groups {text.count(counts['groups'])} · topics {counts['topics']:,} · "
                f"behind {text.count(counts['lag'])}",
                "bold",
                color,
            ),
        ]
        groups = worst_groups(kafka.groups)
        columns = (*GROUP_COLUMNS[:3], *_RATES, *GROUP_COLUMNS[4:7], GROUP_COLUMNS[-1])
        lines += table(columns, groups[:_SHOWN], width, color, lambda g: g.status.severity) if groups else []
        lines += _more(len(groups), "logq group list", color)
    if sqs is not None:
        counts = _sqs_counts(sqs) or {}
        where = sqs.region or sqs.endpoint_url or "sqs"
        lines += [
            "",
            styled(
                f"sqs: {text.safe(where)} · queues {counts['queues']:,} · visible {text.count(counts['visible'])} · "
                f"in flight {text.count(counts['in_flight'])} · delayed {text.count(counts['delayed'])}",
                "bold",
                color,
            ),
        ]
        queues = worst_queues(sqs.queues)
        columns_q = (*QUEUE_COLUMNS[:8], QUEUE_COLUMNS[-1])
        lines += table(columns_q, queues[:_SHOWN], width, color, lambda q: q.status.severity) if queues else []
        lines += _more(len(queues), "logq queue list", color)
    return lines


def _more(total: int, command: str, color: bool) -> list[str]:
    return [styled(f"  … {total - _SHOWN:,} more: {command}", "dim", color)] if total > _SHOWN else []
