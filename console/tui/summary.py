"""A few lines on top of a screen that say what the thing is and how it is doing."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.strip import Strip
from textual.widget import Widget

from console.model import Severity
from console.text import safe
from console.tui.theme import SIGNS, Meaning, loudness
from widgets.paint import Palette, fit, harmless, pieces


class Summary(Widget):
    """Lines of styled text, as high as there are lines."""

    DEFAULT_CSS = """
    Summary { height: auto; width: 1fr; }
    """

    ALLOW_SELECT = False

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: tuple[Text, ...] = ()
        self._palette: Palette | None = None

    def show(self, lines: Sequence[Text]) -> None:
        """Show these lines."""
        shown = tuple(line for line in lines if line.plain)
        taller = len(shown) != len(self._lines)
        self._lines = shown
        self.styles.height = len(shown)
        self.refresh(layout=taller)

    def plain(self) -> str:
        """What is shown, without colours."""
        return "\n".join(line.plain for line in self._lines)

    def notify_style_update(self) -> None:
        """Forget colours when the theme changes."""
        self._palette = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        """One line."""
        width = self.content_size.width
        if self._palette is None:
            self._palette = Palette(self.app.theme_variables, self.rich_style)
        palette = self._palette
        if y >= len(self._lines) or width <= 0:
            return Strip.blank(width, palette.base)
        line = pieces(harmless(Text(" ").append_text(self._lines[y]), 4 * width), palette, palette.base)
        return Strip(fit(line, width, "left", palette.base), width)


def headline(name: str, severity: Severity, reason: str, hue: Meaning) -> Text:
    """The thing's name in its side's hue, and what is wrong with it, if anything."""
    line = Text(safe(name, 200), style=f"bold {hue}")
    if severity >= Severity.WARN:
        line.append(f"  {SIGNS[severity]} ", style=f"bold {loudness(severity)}")
    elif reason:
        line.append("  ")
    line.append(safe(reason, 400), style="bold $foreground" if severity >= Severity.WARN else "$muted")
    return line


def facts(*pairs: tuple[str, str | Text]) -> Text:
    """ "label value   label value": labels muted, values as given; empty values are left out."""
    line = Text()
    for label, value in pairs:
        shown = value if isinstance(value, Text) else Text(safe(value, 200), style="$foreground")
        if not shown.plain:
            continue
        if line.plain:
            line.append("   ")
        line.append(f"{label} ", style="$muted")
        line.append_text(shown)
    return line
