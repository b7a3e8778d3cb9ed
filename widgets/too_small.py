"""What stands on the screen when the terminal is too small for anything else."""

from __future__ import annotations

from rich.text import Text
from textual.strip import Strip
from textual.widget import Widget

from widgets.paint import Palette, fit, pieces


def lines(width: int, height: int, need_width: int, need_height: int) -> tuple[str, ...]:
    """The words for a terminal of `width` x `height`, as many lines as have room."""
    words = (
        "terminal too small",
        f"needs {need_width}x{need_height}, has {width}x{height}",
        "make it larger, or q to quit",
    )
    return words[: max(0, height)]


class TooSmall(Widget):
    """Fills its place with the size that is needed and the one there is; follows every resize."""

    DEFAULT_CSS = """
    TooSmall {
        width: 1fr;
        height: 1fr;
        background: $background;
        color: $foreground;
    }
    """

    def __init__(self, need_width: int, need_height: int, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._need = (need_width, need_height)

    def render_line(self, y: int) -> Strip:
        """One line: the words stand in the middle."""
        size = self.content_size
        palette = Palette(self.app.theme_variables, self.rich_style)
        words = lines(self.app.size.width, size.height and self.app.size.height, *self._need)
        first = max(0, (size.height - len(words)) // 2)
        if not first <= y < first + len(words):
            return Strip.blank(size.width, palette.base)
        word = words[y - first]
        style = ("bold $warning", "", "$text-muted")[y - first]
        left = " " * max(0, (size.width - len(word)) // 2)
        return Strip(fit(pieces(Text(left + word, style), palette, palette.base), size.width, "left", palette.base))
