"""What a change must pass before it touches anything, even if a screen or a command forgot to ask."""

from __future__ import annotations

from console.config import Settings
from console.errors import Refused


def require_writable(settings: Settings, what: str) -> None:
    """Raise `Refused` when this run is read-only; `what` names the change ("reset group billing")."""
    if settings.read_only:
        where = f"profile {settings.profile!r} is" if settings.profile else "this run is"
        raise Refused(f"refused to {what}: {where} read-only; leave out --read-only or use a writable profile")
