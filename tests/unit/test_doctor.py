"""What the doctor says of the terminal, whatever stands in the place of stdout."""

from __future__ import annotations

import io
import sys

import pytest

from console.ops import doctor


class Captured:
    """What Textual puts in the place of stdout while the screens are up: it has no encoding."""

    def isatty(self) -> bool:
        return True


class Terminal(io.TextIOWrapper):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_the_real_stdout_is_asked_while_the_screens_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Captured())
    monkeypatch.setattr(sys, "__stdout__", Terminal(io.BytesIO(), encoding="latin-1"))
    found = {check.name: check for check in doctor.terminal()}
    assert found["terminal encoding"].message == "latin-1"
    assert found["terminal encoding"].ok is False


@pytest.mark.parametrize("captured", [None, Captured()])
def test_without_a_stdout_there_is_nothing_to_check(monkeypatch: pytest.MonkeyPatch, captured: Captured | None) -> None:
    monkeypatch.setattr(sys, "stdout", captured)
    for real in (None, io.StringIO()):
        monkeypatch.setattr(sys, "__stdout__", real)
        if real is not None:
            real.close()
        assert [check.ok for check in doctor.terminal()] == [None]
