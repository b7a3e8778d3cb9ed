"""What a broker refuses for good: one record, a whole batch because of one record, or everything, its topic gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from console.errors import Failed


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why records were not taken, and the key and size (bytes) of the first that was told."""

    code: int
    key: bytes | None
    size: int
    why: str

    @property
    def topic_gone(self) -> bool:
        """Whether the topic or the partition is not there."""
        return self.code in missing()

    @property
    def of_a_batch(self) -> bool:
        """Whether it was one of the records sent together: librdkafka then says the same of all of them."""
        from confluent_kafka import KafkaError

        return bool(self.code == KafkaError.INVALID_RECORD)

    def fits(self, record: Any) -> bool:
        """Whether it may be about this record."""
        return bool((record.key(), len(record)) == (self.key, self.size))


def refusal(error: Any, message: Any) -> Refusal | None:
    """What a failed delivery means, None when a second try can help."""
    from confluent_kafka import KafkaError

    lasting = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_TIMESTAMP)
    if error.code() not in (*lasting, *missing()):
        return None
    return Refusal(error.code(), message.key(), len(message), error.str())


def missing() -> tuple[int, ...]:
    """What librdkafka says of a topic or a partition that is not there."""
    from confluent_kafka import KafkaError

    return (KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART)


class Gap(Failed):
    """Records or positions are missing that no later run can find again: a resume would end the same."""


def uncopied(which: str, why: str) -> Failed:
    """A record that the destination will never take."""
    return Failed(f"{which} cannot be copied: {why}; leave it out with --where, or change the destination")


def expired(what: str) -> Gap:
    """Records of the range that the source does not hold any more."""
    return Gap(
        f"{what} has gone: the log start has moved past it, and a gap is no copy; what was copied stays, plan the rest "
        "as a new replay"
    )


def gone(target: str, why: str) -> Failed:
    """The destination, or a partition of it, is not there any more."""
    return Failed(
        f"{target} is not what it was when this was planned ({why}): the topic or a partition of it has gone; make it "
        "again with as many partitions as it had, then resume"
    )
