"""What every test of the screens needs."""

from __future__ import annotations

import pytest

from widgets.confirm import PlanDialog


@pytest.fixture(autouse=True)
def _dialogs_answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dialog takes no answer in its first moment; a test that is not about that does not wait for it."""
    monkeypatch.setattr(PlanDialog, "settles", 0.0)
