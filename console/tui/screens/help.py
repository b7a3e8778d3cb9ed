"""Help: the keys of the screen one came from, every `:` command, and what the signs mean."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult

from console.tui.actions import by_section, shown
from console.tui.screens.base import ConsoleScreen
from widgets.detail import Detail, Facts, Section

SIGNS: tuple[tuple[str, str], ...] = (
    ("✖ ▲", "bad; needs a look. Colour never says more than the sign"),
    ("–", "unknown, never 0; the reason stands in the detail"),
    ("=6m10s", "time behind, from the record at the committed offset"),
    ("~2m04s", "time behind, from what was seen before"),
    (">=5m", "time behind, at least"),
)

DETAIL_KEYS: tuple[tuple[str, str], ...] = (
    ("w", "wrap long lines, or cut them"),
    ("v", "pretty, raw or hex"),
    ("← →", "sideways, when lines are cut"),
)


class HelpScreen(ConsoleScreen):
    """Everything that can be done on `screen`, from the registry of this run."""

    scope: ClassVar[str] = "help"
    AUTO_FOCUS = "Detail"

    def __init__(self, screen: ConsoleScreen) -> None:
        super().__init__()
        self._about = screen

    def compose_body(self) -> ComposeResult:
        """One page."""
        yield Detail(id="help")

    def mounted(self) -> None:
        """Write the page."""
        self.query_one("#help", Detail).show(self.sections(), "help")

    def sections(self) -> tuple[Section, ...]:
        """The page: sections of keys, commands, signs."""
        registry = self.console.registry
        found: list[Section] = []
        for section, actions in by_section(registry.on_screen(self._about.scope)):
            rows = tuple((" ".join(shown(key) for key in a.keys), a.help) for a in actions if a.keys)
            if rows:
                title = f"{section} on this screen ({self._about.scope})" if not found else section
                found.append(Facts(title, rows))
        if self._about.query(Detail):
            found.append(Facts("In the detail", DETAIL_KEYS))
        commands = tuple(
            (" ".join(f":{name}" for name in action.commands), action.help)
            for action in registry.actions
            if action.commands
        )
        found.append(Facts("Commands (tab completes)", commands))
        found.append(Facts("Signs", SIGNS))
        return tuple(found)

    def words(self) -> tuple[str, ...]:
        """`logq --help`."""
        return ("--help",)
