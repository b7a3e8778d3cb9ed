"""What can be reached and what is allowed, one line a check, with the remedy; and every problem of the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult

from console.model_check import Check
from console.text import safe
from console.tui import cells
from console.tui.backend import problems_as_checks
from console.tui.pane import Pane
from console.tui.screens.base import ConsoleScreen
from console.tui.subject import Subject
from console.tui.view import SortColumn
from widgets.detail import Detail, Facts
from widgets.grid import Column
from widgets.grid_messages import Moved

CHECK_COLUMNS = (
    Column("sign", "", 1),
    Column("name", "check", 14, flex=1, gap=1, most=30),
    Column("message", "found", 24, flex=3),
    Column("remedy", "what to do", 20, flex=3, drop=1),
)
CHECK_SORTS: Mapping[str, SortColumn[Check]] = {
    "worst": SortColumn(lambda check: {False: 0, None: 1, True: 2}[check.ok]),
    "name": SortColumn(lambda check: check.name),
}


def check_cell(check: Check, column: str) -> Text:
    """A cell of the list of checks: ✔, ✖ or ? beside the words."""
    if column == "sign":
        sign, style = {True: ("✔", "$good"), False: ("✖", "bold $bad"), None: ("?", "$muted")}[check.ok]
        return Text(sign, style=style)
    if column == "name":
        return cells.name(check.name)
    if column == "message":
        return Text(safe(check.message, 600), style="$foreground" if check.ok is False else "$muted")
    return Text(safe(check.remedy, 600), style="$key")


class DoctorScreen(ConsoleScreen):
    """The checks, made when the screen is opened and again every half minute."""

    scope: ClassVar[str] = "doctor"
    every: ClassVar[float] = 30.0

    def __init__(self) -> None:
        super().__init__()
        self._checks: tuple[Check, ...] = ()

    def compose_body(self) -> ComposeResult:
        """One list."""
        yield Pane(
            "doctor",
            CHECK_COLUMNS,
            check_cell,
            lambda check: f"{check.name}\0{check.message}",
            lambda check: Subject("check", check.name, check),
            lambda check: f"{check.name} {check.message} {check.remedy}".casefold(),
            CHECK_SORTS,
            placeholder="checking …",
            id="checks",
        )
        yield Detail(id="check")

    def moved(self, event: Moved) -> None:
        """What has no room in the list stands under it in full."""
        found = self.subject()
        if found is not None and isinstance(found.item, Check):
            check = found.item
            rows = (("found", check.message), ("what to do", check.remedy or None))
            self.query_one("#check", Detail).show((Facts(check.name, rows),), check.name)

    def look(self) -> Callable[[], tuple[Check, ...]]:
        """All checks."""
        return self.console.backend.checks

    def seen(self, value: tuple[Check, ...]) -> None:
        """Show them, and what the pictures miss."""
        self._checks = value
        self.store_changed()

    def store_changed(self) -> None:
        """The problems of the newest pictures stand beside the checks."""
        store = self.console.store
        found = list(self._checks)
        for picture in (store.kafka, store.sqs):
            if picture is not None:
                found += problems_as_checks(picture.snapshot.problems)
        pane: Pane[Check] = self.query_one("#checks", Pane)
        if found:
            pane.show(tuple(dict.fromkeys(found)))

    def do_copy(self) -> None:
        """Copy the check with what to do."""
        found = self.subject()
        if found is not None and isinstance(found.item, Check):
            check = found.item
            self.console.copy(f"{check.name}: {check.message} {check.remedy}".strip(), "the check")

    def words(self) -> tuple[str, ...]:
        """`logq doctor`."""
        return ("doctor",)
