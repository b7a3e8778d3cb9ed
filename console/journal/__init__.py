"""The journal: what was changed, by whom, how far it came, and what it takes to finish or undo it."""

from console.journal.store import Entry, Journal, LogLine

__all__ = ["Entry", "Journal", "LogLine"]
