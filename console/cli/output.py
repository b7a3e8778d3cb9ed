"""Data on stdout, everything else on stderr: the JSON envelope, JSON lines, CSV and tables.

Tables pass every cell through `console.text`; numbers stand right with thousands apart. On a terminal columns are
clipped or left out to fit its width; piped, nothing is cut and nothing is coloured.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from console.cli.run import Run
from console.cli.shapes import problems as problem_list
from console.cli.shapes import when
from console.errors import Failed
from console.model import Problem, Severity
from console.text import clip, safe

SCHEMA = 1
T = TypeVar("T")

_STYLES = {"bad": "\x1b[31m", "warn": "\x1b[33m", "dim": "\x1b[2m", "bold": "\x1b[1m"}
_RESET = "\x1b[0m"
_GAP = "  "
_AT_ONCE = 16


class Column(Struct, Generic[T], frozen=True):
    """A column of a table over items: its heading, what a cell says, and what gives way on a narrow terminal.

    `least` is the width a column may be clipped to (None: never clipped); columns with the highest `drop` are left out
    first (0: never).
    """

    label: str
    cell: Callable[[T], str]
    align: Literal["left", "right"] = "left"
    least: int | None = None
    drop: int = 0


class Rows(Generic[T]):
    """Items with how each is told: their rows are made as they are printed, and ten thousand never stand at once."""

    def __init__(self, items: Sequence[T], shape: Callable[[T], Mapping[str, Any]]) -> None:
        self._items = items
        self._shape = shape

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(self._shape, self._items)

    def runs(self) -> Iterator[list[Mapping[str, Any]]]:
        """The rows, some at a time."""
        for start in range(0, len(self._items), _AT_ONCE):
            yield [self._shape(item) for item in self._items[start : start + _AT_ONCE]]


class Answer(Struct, frozen=True):
    """What a command has to say, once, for every way of printing it.

    `lists` go into the JSON envelope under their names; `rows` with `fields` are what jsonl and csv print; `page` are
    the lines for people, made only when they are wanted (it gets the width to fit, None for no limit, and whether
    colour is allowed).
    """

    lists: Mapping[str, Any]
    rows: Iterable[Mapping[str, Any]]
    fields: Sequence[str]
    page: Callable[[int | None, bool], Iterable[str]]
    at: float | None = None
    problems: Sequence[Problem] = ()


def emit(run: Run, answer: Answer) -> None:
    """Print an answer the way this call asks for; problems go to stderr except in JSON, where they are data."""
    if run.output == "json":
        for part in parts(envelope(answer.lists, answer.at, answer.problems)):
            write(part)
        return
    if run.output == "jsonl":
        write("".join(json.dumps(row) + "\n" for row in answer.rows))
    elif run.output == "csv":
        write(as_csv(answer.rows, answer.fields))
    else:
        write("".join(line + "\n" for line in answer.page(terminal_width(), run.color)))
    report(answer.problems)


def parts(answer: Mapping[str, Any]) -> Iterator[str]:
    """The text of `pretty` and an end of line, in pieces: of megabytes, writing them into memory is what takes long."""
    before = "{"
    for name, value in answer.items():
        yield f'{before}\n  "{name}": '
        before = ","
        if not isinstance(value, Rows):
            yield pretty(value).replace("\n", "\n  ")
            continue
        opening = "["
        for some in value.runs():
            yield opening + pretty(some)[1:-2].replace("\n", "\n  ")
            opening = ","
        yield "[]" if opening == "[" else "\n  ]"
    yield "\n}\n"


def pretty(value: Any) -> str:
    """JSON of two spaces a level, in ASCII alone: what `json.dumps(value, indent=2)` makes in thirty times the time."""
    from msgspec import DecodeError
    from msgspec import json as quick

    try:
        plain = quick.encode(value).decode()
        return quick.format(plain if plain.isascii() and "\x7f" not in plain else json.dumps(value), indent=2)
    except (DecodeError, UnicodeEncodeError):  # half a surrogate pair, which is JSON to Python alone
        return json.dumps(value, indent=2)


def envelope(lists: Mapping[str, Any], at: float | None, problems: Iterable[Problem]) -> dict[str, Any]:
    """The one object of a JSON answer."""
    return {
        "schema": SCHEMA,
        "at": when(time.time() if at is None else at),
        "problems": problem_list(problems),
        **lists,
    }


def report(problems: Iterable[Problem]) -> None:
    """One safe line on stderr for each problem."""
    for p in problems:
        note(f"▲ {p.where}: {p.message}")


def note(line: str) -> None:
    """One safe line on stderr."""
    sys.stderr.write(safe(line) + "\n")
    sys.stderr.flush()


def write(text: str) -> None:
    """Write to stdout; what its encoding cannot carry is spelt out rather than an error.

    Raises `Failed` when it cannot be written (a full disk), `BrokenPipeError` when nobody reads any more.
    """
    try:
        try:
            sys.stdout.write(text)
        except UnicodeEncodeError:
            encoding = sys.stdout.encoding or "ascii"
            sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failed(f"cannot write the output: {error.strerror}") from None


def terminal_width() -> int | None:
    """The columns to fit into; None when stdout is no terminal and nothing may be cut."""
    import shutil  # with all the archives it knows, it takes 5 ms to load

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def as_csv(rows: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> str:
    """Rows under a heading: raw values, as JSON's; made safe when stdout is a terminal."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(fields)
    for row in rows:
        writer.writerow([_csv_cell(row.get(name)) for name in fields])
    if not sys.stdout.isatty():
        return out.getvalue()
    return "".join(safe(line, limit=len(line) + 1) + "\n" for line in out.getvalue().splitlines())


def _csv_cell(value: Any) -> Any:
    """Plain values as they are, unknown as nothing, true and false in JSON's spelling, the rest as JSON."""
    if value is None:
        return ""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return value
    return json.dumps(value)


# ---------------------------------------------------------------- tables


def styled(text: str, style: str | None, color: bool) -> str:
    """Text in one of the few styles (`bad`, `warn`, `dim`, `bold`), plain without colour."""
    return f"{_STYLES[style]}{text}{_RESET}" if color and style and text else text


def sign(severity: Severity) -> str:
    """The mark of a severity; never the colour alone."""
    return {Severity.BAD: "✖", Severity.WARN: "▲"}.get(severity, "")


def tone(severity: Severity) -> str | None:
    """The style of a severity's line."""
    return {Severity.BAD: "bad", Severity.WARN: "warn"}.get(severity)


def width_of(text: str) -> int:
    """Terminal cells of safe text: wide East Asian characters count two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(ch) else 2 if unicodedata.east_asian_width(ch) in "WF" else 1 for ch in text)


def table(
    columns: Sequence[Column[T]],
    items: Sequence[T],
    width: int | None,
    color: bool,
    severity: Callable[[T], Severity] | None = None,
) -> list[str]:
    """The lines of a table: a heading and one line per item, fitted to `width` unless it is None.

    With `severity` each line begins with its sign, coloured where colour is allowed.
    """
    cells = [[safe(column.cell(item)) for column in columns] for item in items]
    widths = [max([width_of(column.label), *(width_of(row[i]) for row in cells)]) for i, column in enumerate(columns)]
    margin = 2 if severity else 0
    shown = list(range(len(columns)))
    if width is not None:
        shown, widths = _fit(columns, widths, width - margin)
    lines = [styled(" " * margin + _row(columns, [c.label for c in columns], shown, widths), "dim", color)]
    for item, row in zip(items, cells, strict=True):
        level = severity(item) if severity else Severity.OK
        mark = f"{sign(level):<{margin}}"
        lines.append(styled(mark, tone(level), color) + _row(columns, row, shown, widths))
    return [line.rstrip() for line in lines]


def _fit(columns: Sequence[Column[Any]], widths: list[int], room: int) -> tuple[list[int], list[int]]:
    """Which columns fit and how wide: clip what may be clipped, then leave out, then clip again."""
    shown = list(range(len(columns)))
    while True:
        fitted = list(widths)
        over = sum(fitted[i] for i in shown) + len(_GAP) * (len(shown) - 1) - room
        for i in sorted(shown, key=lambda i: -fitted[i]):
            least = columns[i].least
            if over > 0 and least is not None and fitted[i] > least:
                given = min(over, fitted[i] - least)
                fitted[i] -= given
                over -= given
        droppable = [i for i in shown if columns[i].drop > 0]
        if over <= 0 or not droppable:
            return shown, fitted
        shown.remove(max(droppable, key=lambda i: columns[i].drop))


def _row(columns: Sequence[Column[Any]], cells: Sequence[str], shown: Sequence[int], widths: Sequence[int]) -> str:
    parts = []
    for i in shown:
        text = cells[i] if width_of(cells[i]) <= widths[i] else _clip_cells(cells[i], widths[i])
        padding = " " * (widths[i] - width_of(text))
        parts.append(padding + text if columns[i].align == "right" else text + padding)
    return _GAP.join(parts)


def _clip_cells(text: str, width: int) -> str:
    text = clip(text, width)
    while width_of(text) > width:
        text = text[:-2] + "…"
    return text


def facts(pairs: Iterable[tuple[str, str]], color: bool = False) -> list[str]:
    """Label and text in two columns, one pair a line."""
    items = [(safe(label), safe(text)) for label, text in pairs]
    wide = max((width_of(label) for label, _ in items), default=0)
    return [
        f"{styled(label + ' ' * (wide - width_of(label)), 'dim', color)}{_GAP}{text}".rstrip() for label, text in items
    ]
