"""What the doctor found out, one thing at a time."""

from __future__ import annotations

from msgspec import Struct


class Check(Struct, frozen=True, gc=False):
    """One line of the doctor: what was tried, whether it worked (None: could not be told), and the remedy when not."""

    name: str
    ok: bool | None
    message: str
    remedy: str = ""
