"""The table of the questions we ask, and their bytes from the same few values at any version."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from console.kafka.schemas import Entity, answer, known_versions, question
from console.kafka.writer import written

KIB, MIB = 1024, 1024 * 1024


class Api(Struct, frozen=True):
    """One of Kafka's questions: its key and name, the versions we speak and how long an answer may be, in bytes.

    Below `floor` a version cannot say what we need to know, above `cap` it asks in another way.
    """

    key: int
    name: str
    limit: int = 4 * MIB
    cap: int = 99
    floor: int = 0

    @property
    def versions(self) -> tuple[int, int]:
        """The lowest and highest version that we know and our floor and cap allow."""
        known = [v for v in known_versions(self.name) if self.floor <= v <= self.cap]
        return min(known), max(known)

    def question(self, version: int) -> Entity:
        """The schema of the question at a version."""
        return question(self.name, version)

    def answer(self, version: int) -> Entity:
        """The schema of the answer at a version."""
        return answer(self.name, version)


# Above these caps topics are ids instead of names, which an admin tool cannot ask by. Below these floors (all of them
# are known to Kafka 1.0): no batches of format 2, no last stable offset, a topic that is asked for may be created, not
# "all partitions of a group", no login with errors in words.
FETCH = Api(1, "fetch", 16 * MIB, cap=12, floor=4)
LIST_OFFSETS = Api(2, "list_offsets", 8 * MIB, floor=2)
METADATA = Api(3, "metadata", 64 * MIB, floor=4)
OFFSET_COMMIT = Api(8, "offset_commit", cap=9)
OFFSET_FETCH = Api(9, "offset_fetch", 16 * MIB, cap=9, floor=2)
FIND_COORDINATOR = Api(10, "find_coordinator")
DESCRIBE_GROUPS = Api(15, "describe_groups", 32 * MIB)
LIST_GROUPS = Api(16, "list_groups", 16 * MIB)
SASL_HANDSHAKE = Api(17, "sasl_handshake", 64 * KIB, floor=1)
API_VERSIONS = Api(18, "api_versions", 256 * KIB)
DESCRIBE_CONFIGS = Api(32, "describe_configs")
DESCRIBE_LOG_DIRS = Api(35, "describe_log_dirs", 64 * MIB)
SASL_AUTHENTICATE = Api(36, "sasl_authenticate", 256 * KIB)
DESCRIBE_QUORUM = Api(55, "describe_quorum")
DESCRIBE_PRODUCERS = Api(61, "describe_producers", 16 * MIB)
DESCRIBE_TRANSACTIONS = Api(65, "describe_transactions", 16 * MIB)
LIST_TRANSACTIONS = Api(66, "list_transactions", 16 * MIB)
CONSUMER_GROUP_DESCRIBE = Api(69, "consumer_group_describe", 32 * MIB)
SHARE_GROUP_DESCRIBE = Api(77, "share_group_describe", 8 * MIB)
STREAMS_GROUP_DESCRIBE = Api(89, "streams_group_describe", 8 * MIB)
DESCRIBE_SHARE_GROUP_OFFSETS = Api(90, "describe_share_group_offsets", 8 * MIB)


def payload(api: Api, version: int, values: Mapping[str, Any]) -> bytes:
    """The bytes of a question without its header: see `writer` for the values and for what it raises."""
    return written(api.question(version), values)


def header(api: Api, version: int, correlation: int, client_id: str) -> bytes:
    """The bytes of a question's header: version 1, or 2 (with no tagged fields) where the question is flexible."""
    name = client_id.encode()
    flexible = api.question(version).flexible_header
    fixed = struct.pack(">hhih", api.key, version, correlation, len(name))
    return fixed + name + (b"\0" if flexible else b"")
