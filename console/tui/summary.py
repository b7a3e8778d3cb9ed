"""A few lines on top of a screen that say what the thing is and how it is doing."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.strip import Strip
from textual.widget import Widget

from console import upkeep
from console.config import Settings
from console.model import Problem, Severity
from console.model_cluster import OpenTransaction
from console.text import count, safe
from console.tui.theme import SIGNS, Meaning, loudness
from widgets.paint import Palette, fit, harmless, pieces

LEAST_FOLD = 20
"""Below this width (cells) nothing is folded: a word a line is no help."""


class Summary(Widget):
    """Lines of styled text, as high as there are lines; those with `no_wrap` False go on in the next line."""

    DEFAULT_CSS = """
    Summary { height: auto; width: 1fr; }
    """

    ALLOW_SELECT = False

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._given: tuple[Text, ...] = ()
        self._lines: tuple[Text, ...] = ()
        self._palette: Palette | None = None

    def show(self, lines: Sequence[Text]) -> None:
        """Show these lines."""
        self._given = tuple(line for line in lines if line.plain)
        self._fold()

    def _fold(self) -> None:
        room = self.content_size.width - 1
        shown: list[Text] = []
        for line in self._given:
            fits = line.no_wrap is not False or room < LEAST_FOLD or line.cell_len <= room
            shown += [line] if fits else line.wrap(self.app.console, room)
        taller = len(shown) != len(self._lines)
        self._lines = tuple(shown)
        self.styles.height = len(shown)
        self.refresh(layout=taller)

    def on_resize(self) -> None:
        """Another width: what goes on in the next line does so elsewhere."""
        self._fold()

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


def folding(words: str, style: str) -> Text:
    """A line of a summary that goes on in the next one where it is too long; `words` are safe text."""
    return Text(words, style=style, no_wrap=False)


MOST_LINES = 3
"""How many transactions or problems are told in full; of more, how many there are."""


def transaction_lines(found: Sequence[OpenTransaction], now: float, settings: Settings) -> list[Text]:
    """Open transactions in words, each with what ends it on a line of its own."""
    bootstrap = settings.kafka.bootstrap if settings.kafka is not None else ""
    lines = []
    ranked = sorted(found, key=lambda t: not upkeep.is_trouble(t, now, upkeep.LONG_OPEN))
    for t in ranked[:MOST_LINES]:
        severity = Severity.WARN if upkeep.is_trouble(t, now, upkeep.LONG_OPEN) else Severity.OK
        line = folding(f"{SIGNS[severity]} " if severity else "", f"bold {loudness(severity)}")
        line.append(safe(upkeep.open_words(t, now), 400), style="$foreground" if severity else "$muted")
        ends = safe(upkeep.remedy(t, now, bootstrap), 400)
        lines += [line, folding(f"  {ends}", "$key" if severity else "$muted")]
    if len(found) > MOST_LINES:
        lines.append(Text(f"  … {count(len(found) - MOST_LINES)} more open transactions", style="$muted"))
    return lines


def problem_lines(problems: Sequence[Problem]) -> list[Text]:
    """What could not be seen, a line each."""
    return [folding(f"▲ {safe(p.where, 80)}: {safe(p.message, 300)}", "$warn") for p in problems[:MOST_LINES]]
