"""`--set PATH=CEL` and `--unset PATH`: a patch over the messages of a redrive.

A path begins with `body` or `attributes`: `body.order.total`, `body.items[0].sku`, `body["odd key"]`,
`attributes.tenant`, or `body` for the whole of it. The value is a CEL expression over the message as `--where` sees it,
so `--set body.kind='"resize"'` writes a word and `--set 'body.total=body.total * 100'` computes. What a patch does not
touch stays as it is; a message it does not fit is not sent.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from console.errors import UsageError
from console.ops.expression import FAILURES, compiled
from console.ops.redrive_filter import VARIABLES, variables
from console.sqs.receive import Received
from console.sqs.send import Outgoing

_STEP = re.compile(r'\.([A-Za-z_][\w-]*)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]')
_ROOT = re.compile(r"(body|attributes)(?![\w-])")
MOST_ATTRIBUTES = 10
"""AWS, SQS message metadata: a message has at most 10 attributes."""

_GONE: Any = object()


class Unfit(Exception):
    """A message that a patch does not fit; the text says why."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One change: where, and what computes the new value; None takes the place out."""

    path: str
    root: str
    keys: tuple[str | int, ...]
    value: Callable[[dict[str, Any]], Any] | None


class Edit:
    """A compiled patch; `digest` tells patches apart. Safe to use from several threads."""

    def __init__(self, sets: Sequence[str], unsets: Sequence[str]) -> None:
        """Compile assignments (`PATH=CEL`) and removals (`PATH`). Raises `UsageError` for what is neither."""
        self._steps = (*(_assignment(text) for text in sets), *(_removal(text) for text in unsets))
        self.digest = hashlib.sha256(json.dumps([list(sets), list(unsets)]).encode()).hexdigest()[:16]
        self._body = any(step.root == "body" for step in self._steps)
        self._whole = any(step.root == "body" and not step.keys for step in self._steps)

    def __call__(self, message: Received) -> Received:
        """The message as it is to be sent. Every value is computed from the original. Raises `Unfit`."""
        seen = variables(message)
        values = []
        for step in self._steps:
            try:
                values.append(_GONE if step.value is None else step.value(seen))
            except FAILURES as error:
                said = " ".join(str(error).split())[:200]
                raise Unfit(f"the value of {step.path} cannot be computed: {said}") from None
        body: Any = _exact(message.body) if self._body and not self._whole else None
        attributes = {name: dict(value) for name, value in message.attributes.items()}
        for step, value in zip(self._steps, values, strict=True):
            if step.root == "attributes":
                _write_attribute(attributes, step, value)
            elif not step.keys:
                body = value
            else:
                _write(body, step, value)
        if len(attributes) > MOST_ATTRIBUTES:
            raise Unfit(f"it would have {len(attributes)} message attributes, SQS takes {MOST_ATTRIBUTES}")
        return replace(message, body=_dumped(body, message.body) if self._body else message.body, attributes=attributes)


def difference(before: Received, after: Received) -> tuple[tuple[str, str, str], ...]:
    """What an edit changed: path, the value before and after as JSON; "" where there was or is none."""
    rows = []
    try:
        old, new = json.loads(before.body), json.loads(after.body)
    except ValueError:
        old, new = before.body, after.body
    for path, was, becomes in _changes("body", old, new):
        rows.append((path, _shown(was), _shown(becomes)))
    for name in sorted(before.attributes.keys() | after.attributes.keys()):
        was, becomes = before.attributes.get(name, _GONE), after.attributes.get(name, _GONE)
        if was != becomes:
            rows.append((f"attributes.{name}", _attribute(was), _attribute(becomes)))
    return tuple(rows)


def size_of(message: Received) -> int:
    """Bytes that count against SQS's limits, as a send of it would have."""
    return Outgoing(message.id, message.body, message.attributes).size


# ---------------------------------------------------------------- reading what was typed


def _assignment(text: str) -> _Step:
    path, root, keys, rest = _path("--set", text)
    if not rest.startswith("="):
        raise UsageError(f"--set {text!r} is no assignment; it looks like body.kind='\"resize\"' or body.tries=0")
    if root == "attributes" and len(keys) != 1:
        raise UsageError(f"--set {text!r}: an attribute is named attributes.NAME")
    source = rest[1:].strip()
    try:
        program, _, unknown = compiled(source, VARIABLES)
    except ValueError as error:
        raise UsageError(f"--set {text!r}: {source!r} is not a CEL expression: {error}; a word needs quotes") from None
    if unknown:
        raise UsageError(
            f"--set {text!r} uses {', '.join(unknown)}, but a message has: {', '.join(VARIABLES)}; a word needs quotes"
        )
    return _Step(path, root, keys, program.execute)


def _removal(text: str) -> _Step:
    path, root, keys, rest = _path("--unset", text)
    if rest or not keys or (root == "attributes" and len(keys) != 1):
        raise UsageError(f"--unset {text!r} is no place in a message; it looks like body.error or attributes.retries")
    return _Step(path, root, keys, None)


def _path(option: str, text: str) -> tuple[str, str, tuple[str | int, ...], str]:
    """The path at the beginning of what was typed: as written, its root and keys, and what stands behind it."""
    begin = _ROOT.match(text)
    if begin is None:
        raise UsageError(f"{option} {text!r} begins with no place in a message; a place begins with body or attributes")
    keys: list[str | int] = []
    at = begin.end()
    while (step := _STEP.match(text, at)) is not None:
        name, index, quoted = step.groups()
        keys.append(name if name is not None else int(index) if index is not None else json.loads(f'"{quoted}"'))
        at = step.end()
    return text[:at], begin.group(1), tuple(keys), text[at:].lstrip()


# ---------------------------------------------------------------- changing a message


def _exact(text: str) -> Any:
    """The JSON value of a body. Raises `Unfit` where writing it again would change what nobody asked to change."""

    def number(raw: str) -> float:
        value = float(raw)
        try:
            same = Decimal(repr(value)) == Decimal(raw)
        except InvalidOperation:
            same = False
        if not same:
            raise Unfit(f"its body holds the number {raw[:40]}, which an edit would round")
        return value

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(found)
        if len(out) != len(found):
            raise Unfit("an object of its body has a name twice, and an edit would keep one")
        return out

    try:
        return json.loads(text, parse_float=number, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        raise Unfit("its body is no JSON, so it has no fields to set") from None


def _write(body: Any, step: _Step, value: Any) -> None:
    *way, last = step.keys
    place = body
    for key in way:
        place = _at(place, key, step)
    if isinstance(place, dict) and isinstance(last, str):
        if value is _GONE:
            place.pop(last, None)
        else:
            place[last] = _plain(value, step)
    elif isinstance(place, list) and isinstance(last, int) and last < len(place):
        if value is _GONE:
            del place[last]
        else:
            place[last] = _plain(value, step)
    else:
        raise Unfit(f"it has no place {step.path}")


def _at(place: Any, key: str | int, step: _Step) -> Any:
    if isinstance(place, dict) and isinstance(key, str) and key in place:
        return place[key]
    if isinstance(place, list) and isinstance(key, int) and key < len(place):
        return place[key]
    raise Unfit(f"it has no place {step.path}")


def _write_attribute(attributes: dict[str, dict[str, Any]], step: _Step, value: Any) -> None:
    name = str(step.keys[0])
    if value is _GONE:
        attributes.pop(name, None)
    elif isinstance(value, bool) or not isinstance(value, str | int | float | bytes) or value in ("", b""):
        raise Unfit(f"{step.path} would be {value!r}; an attribute is a text, a number or bytes, and not empty")
    elif isinstance(value, bytes):
        attributes[name] = {"DataType": "Binary", "BinaryValue": value}
    elif isinstance(value, str):
        # A kind of the sender's own ("String.json") stays where the value is still a text.
        kind = str(attributes.get(name, {}).get("DataType", "String"))
        attributes[name] = {"DataType": kind if kind.startswith("String") else "String", "StringValue": value}
    else:
        attributes[name] = {"DataType": "Number", "StringValue": json.dumps(value)}


def _plain(value: Any, step: _Step) -> Any:
    """A CEL value as JSON has it. Raises `Unfit` for what JSON cannot say."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, step) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, step) for inner in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return value
    raise Unfit(f"{step.path} would be {type(value).__name__} {value!r}, which JSON cannot say")


def _dumped(body: Any, before: str) -> str:
    if isinstance(body, str) and not before.lstrip().startswith('"'):
        return body
    tight = '": ' not in before
    return json.dumps(_plain(body, _WHOLE), ensure_ascii=False, separators=(",", ":") if tight else None)


_WHOLE = _Step("body", "body", (), None)


# ---------------------------------------------------------------- showing the difference


def _changes(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            step = f".{key}" if re.fullmatch(r"[A-Za-z_][\w-]*", key) else f"[{json.dumps(key, ensure_ascii=False)}]"
            yield from _changes(path + step, old.get(key, _GONE), new.get(key, _GONE))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (was, becomes) in enumerate(zip(old, new, strict=True)):
            yield from _changes(f"{path}[{index}]", was, becomes)
    elif type(old) is not type(new) or old != new:
        yield path, old, new


def _shown(value: Any) -> str:
    return "" if value is _GONE else json.dumps(value, ensure_ascii=False)


def _attribute(value: Any) -> str:
    if value is _GONE:
        return ""
    raw = value.get("BinaryValue")
    return f"{len(raw)} bytes" if raw is not None else json.dumps(value.get("StringValue", ""), ensure_ascii=False)
