"""How quickly the program answers, against a bare `import click` by the same interpreter in the same minutes."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench

ROUNDS = 15
LOGQ = Path(sys.executable).with_name("logq")
_COMPILING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""As on any user's machine: click is compiled by its install in any case, our sources at their first use."""


def cpu(*argv: str) -> float:
    """CPU seconds (user and system) one call costs; unlike wall time, other work on the machine does not stretch it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    quiet = subprocess.DEVNULL
    subprocess.run(argv, stdout=quiet, stderr=quiet, check=False, timeout=60, env=_COMPILING)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize(
    ("argv", "limit"),
    # The help of a verb imports its module too: a little more is allowed there.
    [(("--help",), 1.6), (("grup",), 1.6), (("group", "reset", "--help"), 2.5)],
    ids=["help", "mistyped", "verb-help"],
)
def test_help_and_typing_errors_cost_little_more_than_click(argv: tuple[str, ...], limit: float) -> None:
    """Measured in turn, so that a change of the machine's speed meets both."""
    calls = {"click": (sys.executable, "-c", "import click"), "logq": (str(LOGQ), *argv)}
    for call in calls.values():
        cpu(*call)  # the files are in the cache and compiled
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            spent[name].append(cpu(*call))
    ratio = statistics.median(spent["logq"]) / statistics.median(spent["click"])
    print(f"logq {' '.join(argv)}: {ratio:.2f} x import click ({statistics.median(spent['logq']) * 1000:.0f} ms)")
    assert ratio <= limit
