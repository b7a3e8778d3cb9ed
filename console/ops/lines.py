"""Messages as lines of JSON: what `-o jsonl` and an export write, and what `replay FILE.jsonl` reads again.

Every byte comes back: text as a JSON string, what is not UTF-8 as `{"base64": …}`, null for what is missing.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any

from console.model import Message

LONGEST_LINE = 64 * 1024 * 1024
"""Characters; a longer line is no message that Kafka or SQS would take."""


def when(at: float | None) -> str | None:
    """Epoch seconds as RFC 3339 in UTC with milliseconds; None when unknown or outside the calendar."""
    if at is None:
        return None
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (OverflowError, OSError, ValueError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def raw(value: str | bytes | None) -> str | dict[str, str] | None:
    """Text as it is; bytes (or surrogate-escaped text) that are not UTF-8 as `{"base64": …}`."""
    if value is None or (isinstance(value, str) and value.isascii()):
        return value
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    if isinstance(value, str):
        try:
            value.encode("utf-8")
            return value
        except UnicodeEncodeError:
            try:
                data = value.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError:
                return {"base64": base64.b64encode(data).decode("ascii")}
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def message(m: Message) -> dict[str, Any]:
    """A record or message, raw. Kafka's headers may repeat a name, so they are a list."""
    return {
        "target": raw(m.target),
        "id": raw(m.id),
        "partition": m.partition,
        "offset": m.offset,
        "timestamp": when(m.timestamp),
        "key": raw(m.key),
        "value": raw(m.value),
        "headers": [{"name": raw(name), "value": raw(value)} for name, value in m.headers],
        "attributes": {name: raw(value) for name, value in m.attributes},
        "receive_count": m.receive_count,
        "group_id": raw(m.group_id),
        "error": raw(m.error),
    }


def write_line(m: Message) -> str:
    """One message as its line, with the line feed."""
    return json.dumps(message(m)) + "\n"


def read_line(line: str | bytes) -> Message:
    """The message that `write_line` wrote; a line by hand needs a `value` (null: a tombstone), the rest may be missing.

    Raises `ValueError` saying what is wrong with it.
    """
    try:
        told = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {' '.join(str(error).split())[:120]}") from None
    if not isinstance(told, dict):
        raise ValueError("it is not a JSON object")
    if "value" not in told:
        raise ValueError("it has no value (null is a tombstone)")
    headers = told.get("headers") or []
    if isinstance(headers, dict):
        headers = [{"name": name, "value": value} for name, value in headers.items()]
    if not isinstance(headers, list) or not all(
        isinstance(h, dict) and isinstance(h.get("name"), str) for h in headers
    ):
        raise ValueError('its headers are not a list of {"name": …, "value": …}')
    for header in headers:
        _bytes(header["name"], "header's name")  # Kafka's client crashes on half of a pair
    attributes = told.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise ValueError("its attributes are not an object")
    return Message(
        target=_text(told, "target"),
        id=_text(told, "id"),
        partition=_number(told, "partition"),
        offset=_number(told, "offset"),
        timestamp=_time(told.get("timestamp")),
        key=_bytes(told.get("key"), "key"),
        value=_bytes(told["value"], "value"),
        headers=tuple((h["name"], _bytes(h.get("value"), f"header {h['name']!r}")) for h in headers),
        attributes=tuple((str(name), _bytes(value, "attribute") or b"") for name, value in attributes.items()),
        group_id=_text(told, "group_id") or None,
    )


def _bytes(told: Any, what: str) -> bytes | None:
    if told is None:
        return None
    if isinstance(told, str):
        try:
            return told.encode()
        except UnicodeEncodeError:
            raise ValueError(f"its {what} holds half of a surrogate pair") from None
    if isinstance(told, dict) and list(told) == ["base64"] and isinstance(told["base64"], str):
        try:
            return base64.b64decode(told["base64"], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"the base64 of its {what} is damaged") from None
    raise ValueError(f'its {what} is neither text nor {{"base64": …}} nor null')


def _text(told: dict[str, Any], name: str) -> str:
    """Text, "" for what is missing; bytes that are not UTF-8 are surrogate-escaped."""
    return (_bytes(told.get(name), name) or b"").decode("utf-8", "surrogateescape")


def _number(told: dict[str, Any], name: str) -> int | None:
    found = told.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 2**63:
        raise ValueError(f"its {name} is not a whole number, 0 or more")
    return found


def _time(told: Any) -> float | None:
    if told is None:
        return None
    try:
        moment = datetime.fromisoformat(told) if isinstance(told, str) else None
        at = None if moment is None else moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        at = None
    if at is None or at < 0:
        raise ValueError(f"its timestamp {str(told)[:60]!r} is not a time such as 2026-11-23T14:22:07.123Z")
    return at
