"""CEL compiled, whatever it is about: what it may name, what it raises, and when its answer is a yes."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

FAILURES = (ValueError, TypeError, KeyError, RuntimeError, IndexError, ArithmeticError, OSError)
"""What a CEL expression raises for what it does not fit (no such field, wrong type, a division by zero, a time out of
the calendar)."""

# The library tells of these as if they were variables: types, and what a macro calls each item.
_TYPES = frozenset({"bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string", "timestamp"})
_MACRO = re.compile(
    r"\.\s*(?:all|exists|exists_one|existsOne|filter|map)\s*\(\s*([A-Za-z_]\w*)\s*,(?:\s*([A-Za-z_]\w*)\s*,)?"
)


class NotBoolean(ValueError):
    """An answer that is neither yes nor no."""


def compiled(source: str, known: Collection[str]) -> tuple[Any, list[str], list[str]]:
    """A program, the names of `known` that it uses, and those it uses that nobody knows.

    Raises `ValueError` with the library's words for what is not CEL.
    """
    # Loaded here: the library brings a command line of its own with it, which only an expression should cost.
    import cel

    try:
        program = cel.compile(source)
        names = list(program.variables())
    except ValueError as error:
        raise ValueError(" ".join(str(error).split())[:300]) from None
    bound = {name for match in _MACRO.findall(source) for name in match} | _TYPES | {"uint", "type"}
    return program, [n for n in names if n in known], sorted(n for n in names if n not in known and n not in bound)


def yes(answer: Any) -> bool:
    """Whether a filter's answer is true. Raises `NotBoolean` when it is neither true nor false."""
    if answer is True or answer is False:
        return bool(answer)
    kind = "null" if answer is None else "text" if isinstance(answer, str) else type(answer).__name__
    raise NotBoolean(f"it gives {kind} and not true or false")


def failure_of(error: Exception) -> str:
    """Why an expression did not fit, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
