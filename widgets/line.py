"""The base of widgets that are one line of text, drawn for the width at hand."""

from __future__ import annotations

from rich.text import Text
from textual.strip import Strip
from textual.widget import Widget

from console.text import safe
from widgets.paint import Palette, fit, pieces


class Line(Widget):
    """One line; subclasses say in `line` what stands on it at a given width.

    The text's styles may be theme variables (`widgets.paint`); what `line` returns is made safe once more when drawn.
    """

    DEFAULT_CSS = """
    Line {
        height: 1;
        width: 1fr;
    }
    """

    ALLOW_SELECT = False

    _palette: Palette | None = None

    def line(self, width: int) -> Text:
        """What stands on the line when it is `width` cells wide; longer text is cut with an ellipsis."""
        raise NotImplementedError

    def notify_style_update(self) -> None:
        """Forgets colours when the theme or the classes change."""
        self._palette = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        """The line itself at the top, nothing below."""
        width = self.content_size.width
        if self._palette is None:
            self._palette = Palette(self.app.theme_variables, self.rich_style)
        palette = self._palette
        if y or width <= 0:
            return Strip.blank(width, palette.base)
        text = self.line(width)
        if not text.plain.isprintable():
            text = Text(safe(text.plain))
        return Strip(fit(pieces(text, palette, palette.base), width, "left", palette.base), width)
