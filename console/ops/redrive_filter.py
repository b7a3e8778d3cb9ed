"""`--where`: a CEL expression over a message, compiled once.

It sees `body` (the parsed value of a JSON body, else the text), `attributes` (message and system attributes by name),
`receive_count`, `group_id`, `id` and `sent` (a timestamp).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from console.errors import UsageError
from console.sqs.receive import Received, as_bytes

VARIABLES = ("attributes", "body", "group_id", "id", "receive_count", "sent")


class Where:
    """A compiled filter. Safe to use from several threads."""

    def __init__(self, source: str) -> None:
        """Compile it. Raises `UsageError` for what is not CEL, and for names that a message does not have."""
        # Loaded here: the library brings a command line of its own with it, which only a filter should cost.
        import cel

        try:
            program = cel.compile(source)
            names = [name for name in program.variables() if name not in VARIABLES]
        except ValueError as error:
            said = " ".join(str(error).split())
            raise UsageError(f"--where {source!r} is not a CEL expression: {said[:300]}") from None
        if names:
            known = ", ".join(VARIABLES)
            raise UsageError(f"--where {source!r} uses {', '.join(names)}, but a message has: {known}")
        self.source = source
        self._execute: Callable[[dict[str, Any]], Any] = program.execute
        self._lock = threading.Lock()
        self.errors = 0
        self.first_error = ""

    def __call__(self, message: Received) -> bool:
        """Whether a message is selected. One the filter cannot be applied to (no such field) is not, and is counted."""
        try:
            return self._execute(variables(message)) is True
        except (ValueError, TypeError, KeyError, RuntimeError, IndexError, OverflowError) as error:
            with self._lock:
                self.errors += 1
                self.first_error = self.first_error or f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            return False


def variables(message: Received) -> dict[str, Any]:
    """What a filter sees of a message."""
    attributes: dict[str, Any] = dict(message.system)
    for name, value in message.attributes.items():
        binary = value.get("BinaryValue")
        attributes[name] = as_bytes(binary) if binary is not None else str(value.get("StringValue", ""))
    sent = message.sent
    return {
        "body": body_of(message.body),
        "attributes": attributes,
        "receive_count": message.receive_count,
        "group_id": message.group_id,
        "id": message.id,
        "sent": None if sent is None else datetime.fromtimestamp(sent, UTC),
    }


def body_of(text: str) -> Any:
    """The value of a JSON body, else the text itself."""
    if text[:1] in '{["-0123456789tfn \t\r\n':
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text
