"""Times and durations as people type them -> epoch seconds and seconds.

A time without a zone is UTC, and whoever uses it says so. Durations are ISO 8601 as Kafka's own tool takes them
(`PT1H30M`, `P2DT3H`) or the short form (`90s`, `15m`, `1h30m`, `2d`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from console.errors import UsageError
from console.text import utc

_DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}(:\d{2}(:\d{2}([.,]\d+)?)?)?\s*(Z|z|[+-]\d{2}(:?\d{2})?)?)?")
_ISO = re.compile(
    r"P(?:(?P<weeks>\d+(?:\.\d+)?)W)?(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)
_SHORT = re.compile(
    r"(?:(?P<weeks>\d+(?:\.\d+)?)w)?(?:(?P<days>\d+(?:\.\d+)?)d)?(?:(?P<hours>\d+(?:\.\d+)?)h)?"
    r"(?:(?P<minutes>\d+(?:\.\d+)?)m)?(?:(?P<seconds>\d+(?:\.\d+)?)s)?",
    re.IGNORECASE,
)
_UNITS = {"weeks": 604_800.0, "days": 86_400.0, "hours": 3_600.0, "minutes": 60.0, "seconds": 1.0}


def parse_datetime(text: str) -> float:
    """Epoch seconds of a time such as `2026-11-23T14:22:07Z`, `2026-11-23 14:22+01:00` or `2026-11-23`.

    Without a zone it is UTC. Raises `UsageError` with an example for anything else, and for times before 1970: Kafka
    takes negative timestamps as the names of positions (-1 latest, -2 earliest).
    """
    typed = text.strip()
    moment = None
    if _DATETIME.fullmatch(typed):
        try:
            moment = datetime.fromisoformat(typed.replace(",", "."))
        except ValueError:
            moment = None
    if moment is None:
        raise UsageError(f"{text!r} is not a time; write it as 2026-11-23T14:22:07Z or 2026-11-23T15:22+01:00")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        at = moment.timestamp()
    except (OverflowError, ValueError):
        at = -1.0
    if at < 0:
        raise UsageError(f"{text!r} is before 1970; write it as 2026-11-23T14:22:07Z")
    return at


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `PT1H30M`, `P2DT3H`, `90s`, `1h30m` or `2d`; always more than 0.

    Raises `UsageError` with an example for anything else; months and years have no fixed length and are refused.
    """
    typed = text.strip()
    match = (_ISO if typed[:1] in ("P", "p") else _SHORT).fullmatch(typed)
    parts = {unit: float(number) for unit, number in match.groupdict().items() if number} if match else {}
    total = sum(number * _UNITS[unit] for unit, number in parts.items())
    if not parts or typed[-1:] in ("T", "t"):
        raise UsageError(f"{text!r} is not a duration; write it as PT1H30M or 90s, 15m, 1h30m, 2d")
    if not 0 < total < 1e10:
        raise UsageError(f"{text!r} is no usable duration: it must be more than nothing and less than 300 years")
    return total


def spoken(at: float) -> str:
    """A time with its zone, as plans print it: "2026-11-23T14:22:07.000Z (UTC)"."""
    return f"{utc(at, millis=True)} (UTC)"
