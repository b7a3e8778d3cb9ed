"""What a job did, for the incident: who, when, what, with which filter, and what became of each message."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from console.errors import UsageError
from console.journal import Entry, Journal
from console.model import Job
from console.ops.plan import printed
from console.text import DASH, block, count, plural, utc

if TYPE_CHECKING:
    from console.ops.session import Session

_WORDS = {
    "SPOOLED": "read, not sent; still in the dead-letter queue",
    "INTENT": "was about to be sent when the run ended; may have arrived",
    "SENT": "sent; the original is not deleted yet",
    "DELETED": "sent, and the original is deleted",
    "BOUNCED": "sent, and failed again: its copy came back to the dead-letter queue",
    "FAILED": "not redriven; still in the dead-letter queue",
    "AMBIGUOUS": "may have been sent; still in the dead-letter queue",
    "CANCELLED": "the move task was cancelled; what it moved stays moved",
    "BEGUN": "the ranges are fixed in the job's own consumer group",
    "RUNNING": "a process of the job; it runs, or its end was not seen",
    "ENDED": "a process of the job that ended",
    "SETTLED": "a process of the job that died; its open transaction was aborted",
    "COPIED": "a partition whose whole range is at the destination, exactly once",
    "OPEN": "a partition whose range is not yet whole at the destination",
    "UNSENT": "was not sent",
    "saved": "the old offset is kept",
    "done": "done, and read back",
    "overwritten": "done and read back, but somebody else's commit came after it",
}

_TOPIC_WORDS = {
    "INTENT": "was about to be sent when the run ended; a resume looks for its copy",
    "SENT": "sent; the record stays in the dead-letter topic and counts as done",
    "FAILED": "refused by the destination; not redriven",
    "AMBIGUOUS": "may have been sent; a resume sends it again",
    "LEFT": "has nowhere to go; not redriven",
}
"""The same for records of a dead-letter topic, which cannot be deleted."""

_REPLAY_WORDS = {
    "SENT": "sent to the queue; the record stays where it was read from",
    "FAILED": "not sent: it cannot be a message, or the queue refused it",
}
"""The same for a replay to a queue, which takes nothing away."""

_PURGE_WORDS = {
    "SPOOLED": "saved; perhaps not deleted",
    "DELETED": "saved and deleted; job undo sends it again",
    "FAILED": "not deleted",
    "RESTORING": "an undo was about to send it again; it may have arrived",
    "RESTORED": "sent again by an undo",
    "ASKED": "SQS was asked to purge; its answer is not known",
    "TAKEN": "SQS took the purge",
}
"""The same for a purge."""


def receipt(session: Session, job_id: str, form: str = "md") -> str:
    """The receipt of a job as Markdown (`md`) or one JSON object a line (`jsonl`).

    The Markdown is safe to display; the JSON lines hold raw values. Message bodies are in neither: the journal keeps
    them. Raises `NotFound`, `UsageError` for another format.
    """
    if form not in ("md", "jsonl"):
        raise UsageError(f"there is no receipt format {form!r}; it is md or jsonl")
    journal = session.journal
    job = journal.job(job_id)
    if form == "jsonl":
        return "".join(json.dumps(line, ensure_ascii=False, sort_keys=False) + "\n" for line in _lines(journal, job))
    content = "\n".join(_markdown(journal, job))
    return block(content, limit=8 * len(content) + 1) + "\n"


def outcomes(journal: Journal, job: Job) -> dict[str, int]:
    """How many messages of a job had which outcome; where an entry of the journal is not one message, entries."""
    if not _to_queue(job):
        return dict(sorted(journal.counts(job.id).items()))
    from console.ops.replay_unit import records

    return records(journal.entries(job.id))


def _to_queue(job: Job) -> bool:
    return job.kind == "replay" and job.target.startswith("sqs:")


def _words(job: Job) -> Mapping[str, str]:
    if _to_queue(job):
        return {**_WORDS, **_REPLAY_WORDS}
    if job.kind == "redrive" and job.source.startswith("kafka:"):
        return {**_WORDS, **_TOPIC_WORDS}
    return {**_WORDS, **_PURGE_WORDS} if job.kind == "purge" else _WORDS


def _lines(journal: Journal, job: Job) -> Iterator[dict[str, Any]]:
    yield {
        "record": "job",
        "job": job.id,
        "kind": job.kind,
        "operator": journal.operator(job.id),
        "source": job.source,
        "target": job.target,
        "place": journal.place(job.id) or None,
        "state": job.state,
        "total": job.total,
        "done": job.done,
        "failed": job.failed,
        "left": job.left,
        "started": _when(job.started),
        "finished": _when(job.finished),
        "command": job.command,
        "note": job.note or None,
        "undoable": job.undoable,
        "plan": printed(journal.plan(job.id)),
        "outcomes": outcomes(journal, job),
    }
    for line in journal.trail(job.id):
        yield {"record": "audit", "at": _when(line.at), "operator": line.operator, "line": line.line}
    for entry in journal.entries(job.id, data=False):
        yield {
            "record": "entry",
            "id": entry.key,
            "outcome": entry.state,
            "new_id": entry.result,
            "ambiguous": entry.ambiguous,
            "at": _when(entry.at),
            "note": entry.note or None,
        }


def _markdown(journal: Journal, job: Job) -> Iterator[str]:
    plan = journal.plan(job.id)
    yield f"# {job.kind} {job.source} → {job.target}"
    yield ""
    facts: list[tuple[str, str]] = [
        ("job", job.id),
        ("who", journal.operator(job.id)),
        ("where", journal.place(job.id) or DASH),
        ("started", utc(job.started)),
        ("finished", utc(job.finished)),
        ("state", job.state),
        ("planned", count(job.total)),
        ("done", count(job.done)),
        ("failed", count(job.failed)),
        ("left", count(job.left)),
        ("filter", str(plan.get("where") or "none")),
        *(
            (("edited", "; ".join([*plan["sets"], *(f"without {x}" for x in plan["unsets"])])),)
            if plan.get("sets") or plan.get("unsets")
            else ()
        ),
        ("ids asked for", ", ".join(map(str, plan.get("ids") or ())) or "any"),
        ("engine", f"{plan['engine']}: {plan.get('why', '')}" if plan.get("engine") else DASH),
        ("command", f"`{job.command}`" if job.command else DASH),
        ("note", job.note or DASH),
        ("undo", f"logq job undo {job.id}" if job.undoable else "not possible"),
    ]
    yield from _table(("", ""), facts)
    yield ""
    yield "## Outcomes"
    yield ""
    words = _words(job)
    yield from _table(
        ("outcome", "count", "meaning"),
        [(state, count(many), words.get(state, "")) for state, many in outcomes(journal, job).items()],
    )
    back = list(journal.entries(job.id, ["BOUNCED"], data=False))
    if back:
        yield ""
        yield f"## Came back to the dead-letter queue: {count(len(back))} of {count(job.done)}"
        yield ""
        yield from _table(
            ("failure", "count"), ((why, count(n)) for why, n in Counter(e.note for e in back).most_common())
        )
        yield ""
        yield from _table(("id", "new id", "failure"), ((*_ids(e), e.note) for e in back))
    unsure = [entry for entry in journal.entries(job.id, data=False) if entry.ambiguous or entry.state == "INTENT"]
    if unsure:
        yield ""
        many = plural(len(unsure), "batch", "batches") if _to_queue(job) else count(len(unsure))
        yield f"## May be at the destination twice: {many}"
        yield ""
        yield from _table(("id", "new id", "outcome", "why"), [(*_ids(e), e.state, e.note) for e in unsure])
    failed = list(journal.entries(job.id, ["FAILED"], data=False))
    if failed:
        yield ""
        yield f"## Failed: {count(len(failed))}"
        yield ""
        yield from _table(("id", "why"), [(e.key, e.note) for e in failed])
    yield ""
    yield "## Audit trail"
    yield ""
    yield from _table(("at", "who", "what"), [(utc(x.at), x.operator, x.line) for x in journal.trail(job.id)])
    yield ""
    yield "## Every entry"
    yield ""
    if _to_queue(job):
        yield "An entry is a batch of up to ten records, PARTITION/FIRST-LAST, or one record that failed."
        yield ""
    yield from _table(
        ("id", "new id", "outcome", "at"),
        ((*_ids(e), e.state, utc(e.at)) for e in journal.entries(job.id, data=False)),
    )


def _ids(entry: Entry) -> tuple[str, str]:
    return entry.key, entry.result or DASH


def _table(heads: tuple[str, ...], rows: Any) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + " --- |" * len(heads)
    for row in rows:
        # A bar or a line feed in a name or an error would break out of its cell.
        yield "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in row) + " |"


def _when(at: float | None) -> str | None:
    return None if at is None else utc(at, millis=True)
