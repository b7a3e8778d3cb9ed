"""The standing checks are tests too: lint, format, types, import contracts, and what the README promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str) -> str:
    """The output of a tool of this environment; fails the test with it when the tool is not content."""
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "140"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


def test_ruff_lint() -> None:
    run(sys.executable, "-m", "ruff", "check", ".")


def test_ruff_format() -> None:
    run(sys.executable, "-m", "ruff", "format", "--check", ".")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_types() -> None:
    run(sys.executable, "-m", "mypy")


def test_import_contracts() -> None:
    assert "0 broken" in run(str(Path(sys.executable).parent / "lint-imports"))


def test_modules_can_be_read_at_one_sitting() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("console", "widgets")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert not long


def test_ci_calls_exactly_the_readmes_test_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^(python3 -m venv \.venv && .*)$", readme, re.MULTILINE)
    assert commands, "the README names its set-up commands"
    assert commands[-1].startswith("python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest ")
    assert commands[-1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_every_picture_in_the_readme_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r"\]\((screenshots/[^)]+)\)", readme)
    assert pictures
    assert not [name for name in pictures if not (ROOT / name).is_file()]


def test_the_readmes_key_table_is_the_registrys() -> None:
    from console.tui.actions import key_table

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    printed = readme.split("<!-- keys", 1)[1].split("-->\n", 1)[1].split("<!-- /keys -->", 1)[0]
    assert printed.strip() == key_table().strip()
