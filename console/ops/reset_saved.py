"""The offsets a reset replaces, kept beside the journal in a file that Kafka's own tool reads too.

So an undo works without logq, and on a day when the journal cannot be read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from console.errors import Failed
from console.ops.command import quoted
from console.ops.offsets import ResetEntry, write_csv

if TYPE_CHECKING:
    from console.ops.session import Session


def path_of(session: Session, job: str) -> Path:
    """Where the old offsets of a reset are kept."""
    return session.settings.state_dir / "undo" / f"{job}.csv"


def old_offsets(entries: Sequence[ResetEntry]) -> str:
    """The offsets before a reset as lines of `topic,partition,offset`; partitions without a commit have none."""
    return write_csv((e.topic, e.partition, e.old) for e in entries if e.old is not None)


def keep(session: Session, job: str, entries: Sequence[ResetEntry]) -> None:
    """Write the old offsets of a job to its file, whole or not at all, and wait for the disk. Raises `Failed`."""
    path = path_of(session, job)
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            file.write(old_offsets(entries))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise Failed(f"the old offsets could not be saved in {path}: {error.strerror}; nothing was changed") from None


def tool_command(session: Session, group: str, job: str) -> str:
    """The command line of Apache's tool that brings the old offsets back."""
    kafka = session.settings.kafka
    words = ["kafka-consumer-groups.sh", "--bootstrap-server", kafka.bootstrap if kafka else "HOST:PORT"]
    words += ["--group", group, "--reset-offsets", "--from-file", str(path_of(session, job)), "--execute"]
    return " ".join(quoted(word) for word in words)
