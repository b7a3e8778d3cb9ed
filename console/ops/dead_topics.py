"""Which topics hold dead letters though their names do not say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from console.model import KafkaSnapshot

if TYPE_CHECKING:
    from console.ops.session import Session

TIMEOUT_S = 3.0
"""How long is waited at most for the newest records; most clusters answer in a few tenths of a second."""


def recognised(session: Session, seen: KafkaSnapshot, timeout: float = TIMEOUT_S) -> KafkaSnapshot:
    """The picture with the topics flagged whose newest record is a dead letter by its headers (`kafka.dead_topics`).

    A topic once found stays so for the session: later looks flag it without reading. Joins no group.
    """
    from console.kafka.dead_topics import by_headers

    known = session.dead_topics
    candidates = [t for t in seen.topics if t.records and not t.internal and not t.dead_letter and t.name not in known]
    found = by_headers(session.require_kafka().settings, candidates, timeout)
    session.dead_topics = {**known, **found}
    flagged = (replace(t, dead_letter=True) if t.name in session.dead_topics else t for t in seen.topics)
    return replace(seen, topics=tuple(flagged))
