"""The journal: what was changed, by whom, how far it came, and what it takes to finish or undo it."""

from console.journal.rows import Entry, LogLine
from console.journal.store import Journal

__all__ = ["Entry", "Journal", "LogLine"]
