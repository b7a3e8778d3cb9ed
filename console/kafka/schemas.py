"""The only place that loads kio: Kafka's own schemas as dataclasses, one for each API, version and direction."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@contextmanager
def _without_hypothesis() -> Iterator[None]:
    """kio loads hypothesis where it is installed, for tests of its own types: 0.25 s for what is never used here."""
    if "hypothesis" in sys.modules:
        yield
        return
    sys.modules["hypothesis"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["hypothesis"]


with _without_hypothesis():
    from kio.index import load_entity_schema, load_request_schema, load_response_schema
    from kio.schema.errors import ErrorCode
    from kio.schema.index import schema_name_map
    from kio.static.constants import EntityType

__all__ = ["ErrorCode", "assignment_class", "known_versions", "request_class", "response_class"]


def known_versions(api: str) -> tuple[int, ...]:
    """The versions of an API that kio has, by the API's name in kio ("offset_fetch")."""
    return tuple(schema_name_map[api])


@cache
def request_class(key: int, version: int) -> Any:
    """kio's class of a question at a version."""
    return load_request_schema(key, version)


@cache
def response_class(key: int, version: int) -> Any:
    """kio's class of the answer at a version."""
    return load_response_schema(key, version)


@cache
def assignment_class(version: int) -> Any:
    """kio's class of what a classic consumer's assignment holds (ConsumerProtocolAssignment)."""
    return load_entity_schema("consumer_protocol_assignment", version, EntityType.data)
