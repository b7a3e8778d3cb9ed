"""What the benches measured, as a table: `LOGQ_BENCH_README=1 pytest tests/bench` writes it into the README."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- ratios: written by LOGQ_BENCH_README=1 .venv/bin/pytest tests/bench -->\n", "<!-- /ratios -->"
HEAD = "| what | logq | the other | ratio |\n| --- | ---: | ---: | ---: |\n"

WRITE = bool(os.environ.get("LOGQ_BENCH_README"))  # read now: the session keeps a developer's LOGQ_* from the tests

Measured = Callable[[str, str, str, str], None]


@pytest.fixture(scope="session")
def measured() -> Iterator[Measured]:
    """Takes a line of the table: what, ours, theirs, the ratio. The lines of benches that did not run stay."""
    rows: dict[str, str] = {}

    def take(what: str, ours: str, theirs: str, ratio: str) -> None:
        rows[what] = f"| {what} | {ours} | {theirs} | {ratio} |\n"
        print(rows[what], end="")

    yield take
    if WRITE and rows:
        _write(rows)


def _write(rows: dict[str, str]) -> None:
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    kept = {m[1]: m[0] for m in re.finditer(r"^\| (.+?) \| .*\|\n", table, re.MULTILINE) if m[1] not in ("what", "---")}
    lines = "".join({**kept, **rows}.values())
    where = f"\nPython {platform.python_version()}, {os.cpu_count()} cores, everything on one machine.\n"
    README.write_text(f"{before}{BEGIN}{HEAD}{lines}{where}{END}{after}", encoding="utf-8")
