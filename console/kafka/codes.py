"""Kafka's error codes in words: the protocol's name, and one line for people that says what to do where we know."""

from __future__ import annotations

from functools import cache

from console.model import Problem

UNKNOWN_TOPIC_OR_PARTITION = 3
LEADER_NOT_AVAILABLE = 5
NOT_LEADER = 6
COORDINATOR_LOADING = 14
COORDINATOR_NOT_AVAILABLE = 15
NOT_COORDINATOR = 16
UNSUPPORTED_VERSION = 35
INVALID_TOPIC = 17
TOPIC_DENIED = 29
CLUSTER_DENIED = 31
GROUP_ID_NOT_FOUND = 69

COORDINATOR_MOVED = frozenset({COORDINATOR_LOADING, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR})
"""Ask the group's coordinator again, perhaps another broker: the answer is on its way."""
LEADER_MOVED = frozenset({UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, NOT_LEADER, 74, 75, 78})
"""Ask for metadata again, then the leader it names (74, 75, 78: leader epochs and offsets not settled yet)."""

_WORDS = {
    -1: "the broker failed in an unexpected way; its log says more",
    1: "the offset is outside what the partition holds",
    3: "no such topic or partition, or it may not be seen with these credentials",
    5: "the partition has no leader: every replica that could lead is down",
    6: "the partition's leader has just moved",
    7: "the broker gave up waiting",
    9: "the replica is not available",
    12: "the commit's metadata is too large",
    14: "the group's coordinator is still loading its offsets",
    15: "the group has no coordinator: the brokers that hold its offsets are down",
    16: "the group's coordinator has just moved to another broker",
    17: "not a valid topic name",
    22: "the group is rebalancing or has live members",
    24: "not a valid group name",
    25: "the group has live members: stop them first, then commit",
    27: "the group is rebalancing: wait until it is Empty, then commit",
    28: "the offset commit is too large",
    29: "these credentials may not describe this topic",
    30: "these credentials may not use this group",
    31: "these credentials may not ask this of the cluster",
    33: "the broker does not offer this SASL mechanism",
    34: "the broker did not expect a SASL login now",
    35: "the broker is too old or too new for this question",
    42: "the broker calls the request invalid",
    56: "the broker's log folder failed",
    58: "the login was refused: check the user name and the password",
    68: "the group still has members",
    69: "no such group",
    72: "the listener that was connected to is not known for this broker",
    86: "the group is subscribed to this topic",
    88: "a transaction holds a commit that is not decided yet",
    110: "the member has been fenced: its epoch is old",
    113: "the member's epoch is old",
}


def name(code: int) -> str:
    """The protocol's own name in capitals ("NOT_COORDINATOR"); `ERROR_<n>` for a code newer than the schemas."""
    from console.kafka.schemas import error_names

    return error_names().get(code, f"ERROR_{code}")


@cache
def names(some: frozenset[int]) -> frozenset[str]:
    """The protocol's names of several codes: what problems carry."""
    return frozenset(name(code) for code in some)


def words(code: int) -> str:
    """One line for people."""
    return _WORDS.get(code) or f"the broker answered {name(code)}"


def problem(where: str, code: int, detail: str | None = None) -> Problem:
    """An error code as data; `detail` is the broker's own message when it sent one."""
    return Problem(where, name(code), f"{words(code)} ({detail})" if detail else words(code))
