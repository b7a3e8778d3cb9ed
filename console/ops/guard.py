"""What a change must pass before it touches anything, even if a screen or a command forgot to ask."""

from __future__ import annotations

from console.config import Settings
from console.errors import Refused


def require_writable(settings: Settings, what: str) -> None:
    """Raise `Refused` when this run is read-only; `what` names the change ("reset group billing")."""
    if not settings.read_only:
        return
    by = settings.given.read_only_by
    if by:
        raise Refused(f"refused to {what}: this run is read-only, by {by}; leave that out to change something")
    where = f"profile {settings.profile!r}" if settings.profile else "this run"
    raise Refused(f"refused to {what}: {where} is read-only; use a writable profile")
