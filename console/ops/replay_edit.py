"""What a replay changes in the headers of its copies: some dropped, some set to a text or to what CEL computes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from console.errors import UsageError
from console.model import Message
from console.ops.browse_filter import RecordExpression, RecordWhere
from console.ops.expression import FAILURES, failure_of

Headers = Sequence[tuple[str, bytes | None]]

OURS = ("logq-replay", "logq-origin")
"""Headers that every copy gets; what is set here cannot be these."""


class Unfit(ValueError):
    """A header cannot be computed for a record; says which and why."""


@dataclass(frozen=True, slots=True)
class HeaderEdit:
    """Header changes of a replay, in this order: `drop` (a name, or its beginning with `*`), `texts`, `computed`.

    `texts` are names and texts, `computed` names and CEL over the record; both replace every header of that name.
    `where` limits it to the records for which that CEL holds; the others are copied as they are.
    """

    drop: tuple[str, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    computed: tuple[tuple[str, str], ...] = ()
    where: str | None = None

    def __bool__(self) -> bool:
        return bool(self.drop or self.texts or self.computed)

    @property
    def words(self) -> str:
        """The changes for people."""
        parts = [f"{name} dropped" for name in self.drop]
        parts += [f"{name} = {text!r}" for name, text in self.texts]
        parts += [f"{name} = the value of {cel}" for name, cel in self.computed]
        return ", ".join(parts) + (f"; only where {self.where}" if self.where is not None else "")

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the command line that say the same."""
        words: list[str] = []
        for name in self.drop:
            words += ["--drop-header", name]
        for name, text in self.texts:
            words += ["--set-header", f"{name}={text}"]
        for name, cel in self.computed:
            words += ["--set-header-cel", f"{name}={cel}"]
        return (*words, *(("--edit-where", self.where) if self.where is not None else ()))


NO_EDIT = HeaderEdit()
"""Headers stay as they are."""


def parse_edit(
    drop: Iterable[str] = (), texts: Iterable[str] = (), computed: Iterable[str] = (), where: str | None = None
) -> HeaderEdit:
    """The edit of `NAME`, `NAME=TEXT` and `NAME=CEL` as typed. Raises `UsageError` for what makes no sense."""
    edit = HeaderEdit(
        tuple(drop),
        tuple(_pair(typed, "--set-header", "TEXT") for typed in texts),
        tuple(_pair(typed, "--set-header-cel", "CEL") for typed in computed),
        where,
    )
    for typed in (*edit.drop, *(part for pair in (*edit.texts, *edit.computed) for part in pair), where or ""):
        try:
            typed.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{typed!r} is not UTF-8: a header's name and text are") from None
    for name in edit.drop:
        if not name or "*" in name[:-1]:
            raise UsageError(
                f"--drop-header {name!r} is no header: it is a name, or the beginning of names and a * (x-*)"
            )
    if where is not None and not edit:
        raise UsageError(
            "--edit-where says which records are changed: add --set-header, --set-header-cel or --drop-header"
        )
    Editor(edit)  # compiles what is CEL
    return edit


def _pair(typed: str, option: str, what: str) -> tuple[str, str]:
    name, sign, value = typed.partition("=")
    if not name or not sign:
        raise UsageError(f"{option} {typed!r} is not understood: it is NAME={what}")
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in name):
        raise UsageError(f"{option} {name!r}: a header's name is UTF-8 text without NUL")
    if name in OURS:
        raise UsageError(f"{option} {name}: that header is set by every replay and says where a copy comes from")
    return name, value


class Editor:
    """A compiled `HeaderEdit`; for one thread at a time. `edited` counts what it changed.

    `errors` counts the records that `where` could not be applied to: they are copied as they are.
    """

    def __init__(self, edit: HeaderEdit) -> None:
        """Compile it. Raises `UsageError` for what is not CEL."""
        self._names = frozenset(name for name in edit.drop if not name.endswith("*"))
        self._beginnings = tuple(name[:-1] for name in edit.drop if name.endswith("*"))
        self._texts = tuple((name, text.encode()) for name, text in edit.texts)
        self._computed = tuple(
            (name, RecordExpression(cel, f"--set-header-cel {name}=")) for name, cel in edit.computed
        )
        self._replaced = frozenset(name for name, _ in (*edit.texts, *edit.computed))
        self._where = RecordWhere(edit.where, "--edit-where") if edit.where is not None else None
        self.edited = 0

    @property
    def errors(self) -> int:
        """To how many records `where` could not be applied."""
        return self._where.errors if self._where is not None else 0

    @property
    def note(self) -> str:
        """What to tell about those records; "" when there were none."""
        where = self._where
        if where is None or not where.errors:
            return ""
        return f"--edit-where could not be applied to {where.errors:,}, copied as they are: {where.first_error}"

    def record(self, record: Any, headers: Headers) -> Headers:
        """The headers a copy of a confluent-kafka record gets. Raises `Unfit`."""
        if self._where is not None and self._where.record(record) is not True:
            return headers
        return self._changed(headers, lambda expression: expression.of_record(record))

    def message(self, message: Message) -> Message:
        """A record in our own form with the headers its copy gets. Raises `Unfit`."""
        if self._where is not None and self._where.message(message) is not True:
            return message
        made = self._changed(message.headers, lambda expression: expression.of_message(message))
        return replace(message, headers=tuple(made))

    def _changed(self, headers: Headers, value: Callable[[RecordExpression], Any]) -> Headers:
        kept = [
            (name, held)
            for name, held in headers
            if name not in self._names and name not in self._replaced and not name.startswith(self._beginnings)
        ]
        kept += self._texts
        for name, expression in self._computed:
            try:
                kept.append((name, header_bytes(value(expression))))
            except FAILURES as error:
                raise Unfit(f"its header {name} cannot be computed ({failure_of(error)})") from None
        self.edited += kept != list(headers)
        return kept


def header_bytes(value: Any) -> bytes | None:
    """What CEL gives as a header: text as UTF-8, bytes as they are, null as a header without value, else JSON."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s".encode()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
