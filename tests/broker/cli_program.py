"""The real program in a process of its own, as a script would call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ADDRESSES = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended; `seconds` is wall time with the start of the interpreter."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The one line on stderr that a failed call leaves; an assertion when it is not exactly one."""
        assert self.out == ""
        assert self.err.startswith("logq: "), self.err
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        assert "bug in logq" not in self.err
        return self.err


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without addresses: a call reaches only what it names."""
    return {**{k: v for k, v in os.environ.items() if k not in _ADDRESSES}, **(extra or {})}


def logq(*argv: str, env: Mapping[str, str] | None = None, stdin: str = "", limit: float = 60) -> Ended:
    """Run `logq argv` without a terminal and wait for it."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "console", *argv],
        capture_output=True,
        text=True,
        env=environment(env),
        input=stdin,
        timeout=limit,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)
