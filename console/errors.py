"""What can go wrong in words: every error a user or a network can cause is one of these.

The exit codes are the contract of the command line: 0 done, 1 failed, 2 wrong usage, 3 refused,
4 partly done (what is left is in the journal), 5 a condition asked for does not hold, 130 stopped by the user.
A message is one line that says what, why and what to do next. It may hold text from elsewhere, so whoever prints it
passes it through `console.text` first.
"""

from __future__ import annotations

from typing import ClassVar


class LogqError(Exception):
    """An error with a message for people and the exit code a command ends with."""

    exit_code: ClassVar[int] = 1


class Failed(LogqError):
    """It did not work: nothing or not all of it; the message says which (exit 1)."""


class Unreachable(Failed):
    """A broker, server or endpoint did not answer in time or refused the connection (exit 1)."""


class Denied(Failed):
    """The other side answered that these credentials may not do this (exit 1)."""


class UsageError(LogqError):
    """What was asked for makes no sense as asked: an unknown name, a malformed time, a missing option (exit 2)."""

    exit_code: ClassVar[int] = 2


class NotFound(UsageError):
    """No group, topic, queue, job or profile of that name (exit 2)."""


class Refused(LogqError):
    """Possible but not allowed here: read-only, a guard, not confirmed, the peek budget (exit 3)."""

    exit_code: ClassVar[int] = 3


class PartlyDone(LogqError):
    """Some of it is done; what is left is in the journal and can be resumed (exit 4)."""

    exit_code: ClassVar[int] = 4


class Unmet(LogqError):
    """A condition that was asked for does not hold (exit 5)."""

    exit_code: ClassVar[int] = 5


class Stopped(LogqError):
    """Stopped by the user; resumable (exit 130)."""

    exit_code: ClassVar[int] = 130
