"""Bytes and strings from elsewhere -> text that is safe to display; numbers, durations and sizes as people write them.

Names, keys, headers, bodies and error strings come from other people's programs. Printed raw they can move the cursor,
set the clipboard (OSC 52), reorder what is read (bidi controls, CVE-2021-42574) or hide (zero-width characters).
Nothing else in the program may print them: `safe` for one line, `block` for many. What is made visible is reversible
by eye: ESC becomes `␛`, C1 `\\x9b`, bidi and invisible characters `\\u202e`, bytes that are not UTF-8 `\\xff`.
"""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache

DASH = "–"
"""What stands for "unknown" on every screen and in every table."""

_CONTROL_PICTURES = 0x2400
_LIMIT = 4_096
_MAX_COMBINING = 4


@lru_cache(maxsize=4_096)
def _visible(ch: str) -> str:
    """The displayable form of one character that is not plainly printable."""
    code = ord(ch)
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    if code == 0x7F:
        return "␡"
    if 0x80 <= code <= 0x9F:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, kept by surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    category = unicodedata.category(ch)
    # Cf: bidi controls, zero-width, tags. Zl/Zp: line separators. Co/Cn/Cs: private, unassigned, lone surrogates.
    if category in ("Cf", "Zl", "Zp", "Co", "Cn", "Cs") or code in (0x034F, 0x115F, 0x1160, 0x3164, 0xFFA0, 0x2800):
        return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
    if category == "Zs":
        return " "
    return ch


def _decode(raw: str | bytes) -> str:
    return raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else raw


def _clean(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    out: list[str] = []
    marks = 0
    for ch in text:
        if " " <= ch <= "~":
            marks = 0
            out.append(ch)
            continue
        if unicodedata.combining(ch) or unicodedata.category(ch) in ("Mn", "Me"):
            marks += 1
            # Piles of combining marks ("zalgo") climb over neighbouring lines: after a few they are spelt out.
            out.append(ch if marks <= _MAX_COMBINING and out else f"\\u{ord(ch):04x}")
            continue
        marks = 0
        out.append(_visible(ch))
    return "".join(out)


def safe(raw: str | bytes, limit: int = _LIMIT) -> str:
    """One line of displayable text: controls, bidi and invisible characters made visible, at most `limit` characters.

    What is cut ends in `…`. Only the first `limit` characters (or 4 times as many bytes) are looked at, so a value of
    many megabytes costs no more than a short one.
    """
    return _clipped(raw, limit, _clean)


def block(raw: str | bytes, limit: int = 262_144) -> str:
    """Many lines of displayable text: line feeds kept (CRLF counts as one), tabs four spaces, the rest as `safe`.

    What is cut after `limit` characters ends in `…`.
    """

    def clean_lines(text: str) -> str:
        lines = text.replace("\r\n", "\n").replace("\t", "    ").split("\n")
        return "\n".join(_clean(line) for line in lines)

    return _clipped(raw, limit, clean_lines)


def _clipped(raw: str | bytes, limit: int, clean: object) -> str:
    assert callable(clean)
    head = raw[: 4 * limit + 4] if isinstance(raw, bytes) else raw[: limit + 1]
    text: str = clean(_decode(head)[: limit + 1])
    if len(head) == len(raw) and len(text) <= limit:
        return text
    return text[: max(0, limit - 1)] + "…"


def clip(text: str, width: int) -> str:
    """Text of at most `width` characters, the cut marked by `…`; meant for text that is safe already."""
    if len(text) <= width:
        return text
    return text[: max(0, width - 1)] + "…" if width > 0 else ""


def is_safe(text: str) -> bool:
    """Whether `block` would leave the text as it is: a check for tests and for assertions at the edges."""
    return block(text, limit=len(text) + 1) == text


def count(number: float | None) -> str:
    """A whole number with thousands apart ("18,204"), a dash when unknown."""
    return DASH if number is None else f"{round(number):,}"


def rate(per_second: float | None) -> str:
    """A rate as "412", "3.2" or "0.04"; 0 is "0", a dash when unknown. The unit (a second) stands in the heading."""
    if per_second is None:
        return DASH
    if per_second == 0:
        return "0"
    size = abs(per_second)
    if size >= 10:
        return f"{per_second:,.0f}"
    return f"{per_second:.1f}" if size >= 1 else f"{per_second:.2f}"


def duration(seconds: float | None) -> str:
    """A duration in at most two units: "0s", "350ms", "41s", "6m10s", "2h04m", "3d04h"; a dash when unknown."""
    if seconds is None:
        return DASH
    if seconds < 0:
        return "-" + duration(-seconds)
    if 0 < seconds < 1:
        return f"{round(seconds * 1000)}ms" if seconds < 0.9995 else "1s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, secs = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{secs:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02d}h"


def behind(seconds: float | None, source: str | None) -> str:
    """A time behind with its tier: "=6m10s" (record), "~2m04s" (history), ">=5m00s" (lower bound), a dash (unknown)."""
    if seconds is None:
        return DASH
    return {"record": "=", "history": "~", "lower_bound": ">="}.get(source or "", "") + duration(seconds)


def size(number: int | None) -> str:
    """Bytes in binary units: "512 B", "1.5 KiB", "3.0 MiB"; a dash when unknown."""
    if number is None:
        return DASH
    value = float(number)
    if abs(value) < 1024:
        return f"{number} B"
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if abs(value) < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def dollars(amount: float) -> str:
    """US dollars: "$0", "$0.00042" (two digits that matter below a cent), "$0.13", "$1,204.50"."""
    if amount == 0:
        return "$0"
    if amount >= 0.01:
        return f"${amount:,.2f}"
    places = min(8, 1 - math.floor(math.log10(amount)))
    return f"${amount:.{places}f}"


def utc(at: float | None, millis: bool = False) -> str:
    """A time as RFC 3339 in UTC ("2026-11-23T14:22:07Z"), a dash when unknown or outside the calendar."""
    if at is None:
        return DASH
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (OverflowError, OSError, ValueError):
        return DASH
    if millis:
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def plural(number: int, noun: str, many: str = "") -> str:
    """ "1 message", "2 messages", "1,204 entries" (with `many` for irregular plurals)."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"
