"""A second look at groups that are called stuck: one that has only transaction markers left to read is at rest."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from console import health
from console.errors import LogqError
from console.model import Group

if TYPE_CHECKING:
    from console.ops.session import Session

_PATIENCE = 1.0
"""Seconds: a verdict is shown as it is rather than late."""

_MOST = 200
"""So many partitions are looked into at once; the rest at the next look."""


def cleared(session: Session, groups: Iterable[Group]) -> Mapping[str, Group]:
    """Those of the judged groups whose verdict changes when it is known what lies after their commits, by name.

    Asks nobody when nothing is suspected of it, and about each commit and end once.
    """
    history = session.history
    suspected = [(g, p) for g in groups for p in health.suspects(g, history)][:_MOST]
    places = {(p.topic, p.partition, p.committed) for _, p in suspected if p.committed is not None}
    if not places:
        return {}
    try:
        empty = session.require_kafka().nothing_to_read(places, timeout=_PATIENCE)
    except LogqError:
        return {}
    changed: dict[str, Group] = {}
    for group, p in suspected:
        past = history.commits(group.name, p.topic, p.partition)
        if past is None or p.committed is None or p.end is None:
            continue
        nothing = (p.topic, p.partition, p.committed) in empty
        past.nothing_left(p.committed, p.end, nothing)
        if nothing:
            changed[group.name] = group
    now = time.time()
    return {name: health.group_health(group, history, group.seen_at or now) for name, group in changed.items()}
