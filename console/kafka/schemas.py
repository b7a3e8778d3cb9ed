"""Kafka's own schemas of the questions we ask: their fields at every version we speak, read from `schemas.json`.

That file is made from kio's generated classes (`python tests/kio_schemas.py`; a test compares them), which are in turn
made from Kafka's message definitions. kio itself is loaded by tests alone: it takes 60 to 100 ms, a fifth of a whole
`logq group list`, to make dataclasses of which nothing but the fields is of use here.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct, UnsetType


class Field(Struct, frozen=True, eq=False, omit_defaults=True):
    """One field: its Kafka type ("int32", "string", …; "" where it is an `entity`), and whether it is an array of such.

    `optional` may be null; `tag` is the number of a tagged field (KIP-482). `default` is the schema's, in plain values
    (milliseconds for times), UNSET where it has none.
    """

    name: str
    kind: str = ""
    entity: Entity | None = None
    array: bool = False
    optional: bool = False
    tag: int | None = None
    default: int | bool | str | UnsetType | None = UNSET


class Entity(Struct, frozen=True, eq=False, omit_defaults=True):
    """A question, an answer or something nested in one. `flexible`: with compact lengths and tagged fields (KIP-482).

    `flexible_header` is said of the outermost: whether the header before it has tagged fields.
    """

    name: str
    fields: tuple[Field, ...] = ()
    flexible: bool = False
    flexible_header: bool = False


class Version(Struct, frozen=True, eq=False):
    """A question and its answer at one version; decoded when they are first needed."""

    question: msgspec.Raw
    answer: msgspec.Raw


class Schemas(Struct, frozen=True, eq=False):
    """The file: by an API's name its versions, by a version what a consumer's assignment holds, names of errors."""

    apis: dict[str, dict[int, Version]]
    assignment: dict[int, Entity]
    errors: dict[int, str]


FILE = Path(__file__).with_name("schemas.json")


@cache
def schemas() -> Schemas:
    """What is in the file."""
    return msgspec.json.decode(FILE.read_bytes(), type=Schemas)


_entity = msgspec.json.Decoder(Entity).decode


def known_versions(api: str) -> tuple[int, ...]:
    """The versions of an API that we know, by its name ("offset_fetch")."""
    return tuple(schemas().apis[api])


@cache
def question(api: str, version: int) -> Entity:
    """The schema of a question at a version; the same object every time."""
    return _entity(schemas().apis[api][version].question)


@cache
def answer(api: str, version: int) -> Entity:
    """The schema of the answer at a version; the same object every time."""
    return _entity(schemas().apis[api][version].answer)


def assignment(version: int) -> Entity:
    """The schema of what a classic consumer's assignment holds (ConsumerProtocolAssignment)."""
    return schemas().assignment[version]


def error_names() -> dict[int, str]:
    """The protocol's names of its error codes, in capitals."""
    return schemas().errors
