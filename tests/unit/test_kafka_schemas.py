"""The file of Kafka's schemas: what kio's generated classes say, and nothing else."""

from __future__ import annotations

import kio_schemas
import pytest
from kio.schema.errors import ErrorCode
from kio.schema.index import schema_name_map
from kio_schemas import APIS

from console.kafka import codes
from console.kafka.messages import Api
from console.kafka.schemas import FILE, schemas


def test_the_file_is_made_of_kios_classes() -> None:
    assert FILE.read_bytes() == kio_schemas.made(), "python tests/kio_schemas.py writes it anew"


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_every_version_that_kafka_has_and_we_speak_is_there(api: Api) -> None:
    there = [v for v in schema_name_map[api.name] if api.floor <= v <= api.cap]
    assert api.versions == (min(there), max(there))
    assert sorted(there) == list(range(min(there), max(there) + 1))
    for v in there:
        assert api.question(v) is api.question(v)  # readers and writers are kept by the object
        assert api.answer(v).name.endswith("Response") and api.question(v).name.endswith("Request")


def test_error_codes_have_the_protocols_names() -> None:
    assert len(schemas().errors) == len(ErrorCode)
    assert (codes.name(16), codes.name(-1), codes.name(31_000)) == (
        "NOT_COORDINATOR",
        "UNKNOWN_SERVER_ERROR",
        "ERROR_31000",
    )
