"""Rich text -> styled segments for widgets that draw their own lines.

Styles in the text are words: Rich's own ("bold", "italic", "#ff0000") and theme variables ("$error", "$text-muted"),
looked up when the line is drawn, so that a change of theme needs no new text. A word that nobody knows is left out: a
missing variable costs a colour, never the screen; and as later words win, "$text-disabled $rule" is the colour of rules
where a theme has one, else a faint one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from rich.cells import cell_len, set_cell_size
from rich.color import Color as RichColor
from rich.errors import MissingStyle, StyleSyntaxError
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.color import Color, ColorParseError

from console.model import Severity
from console.text import safe

SIGNS: Mapping[Severity, str] = {Severity.OK: " ", Severity.UNKNOWN: "?", Severity.WARN: "▲", Severity.BAD: "✖"}
"""The sign that says how loud something is, so that colour never stands alone."""

STYLES: Mapping[Severity, str] = {
    Severity.OK: "$success",
    Severity.UNKNOWN: "$text-muted",
    Severity.WARN: "$warning",
    Severity.BAD: "$error",
}
"""The style word of each severity."""

ELLIPSIS = "…"


class Palette:
    """Turns style words into Rich styles on one background, remembering each; made anew when theme or focus changes."""

    def __init__(self, variables: Mapping[str, str], base: Style) -> None:
        self.base = base
        self._variables = variables
        self._known: dict[str, Style] = {}
        background = base.bgcolor
        self._background = Color.from_rich_color(background) if background is not None else Color(0, 0, 0)

    def style(self, words: str | Style) -> Style:
        """The Rich style for these words, without the base; unknown words are left out."""
        if isinstance(words, Style):
            return words
        known = self._known.get(words)
        if known is None:
            known = self._known[words] = self._parse(words)
        return known

    def _parse(self, words: str) -> Style:
        style = Style()
        behind = False
        for word in words.split():
            if word == "on":
                behind = True
                continue
            if word.startswith("$"):
                colour = self._colour(self._variables.get(word[1:], ""))
                if colour is not None:
                    style += Style(bgcolor=colour) if behind else Style(color=colour)
            else:
                try:
                    style += Style.parse(f"on {word}" if behind else word)
                except (StyleSyntaxError, MissingStyle):
                    continue
            behind = False
        return style

    def _colour(self, value: str) -> RichColor | None:
        """A theme variable's colour over the background; "auto 60%" is black or white, whichever reads, 60 % strong."""
        value, _, strength = value.strip().partition(" ")
        if not value:
            return None
        try:
            alpha = float(strength.rstrip("%")) / 100 if strength else None
            if value == "auto":
                colour = self._background.get_contrast_text(1.0 if alpha is None else alpha)
            else:
                colour = Color.parse(value)
                if alpha is not None:
                    colour = colour.multiply_alpha(alpha)
        except (ValueError, ColorParseError):
            return None
        return (self._background + colour if colour.a < 1 else colour).rich_color


def harmless(cell: Text | str, limit: int) -> Text:
    """The cell as one line without controls: plain strings through `console.text.safe`, Rich text checked again.

    Only the first `limit` characters of a string are looked at.
    """
    if isinstance(cell, str):
        return Text(safe(cell, limit), no_wrap=True, end="")
    plain = cell.plain
    if plain.isascii() and plain.isprintable():
        return cell
    cleaned = safe(plain, max(limit, 1))
    return cell if cleaned == plain else Text(cleaned, style=cell.style)


def pieces(text: Text, palette: Palette, base: Style) -> list[Segment]:
    """The text's characters as segments, each in the base style plus its own."""
    plain = text.plain
    if text.style:
        base = base + palette.style(text.style)
    if not text.spans:
        return [Segment(plain, base)] if plain else []
    edges = {0, len(plain)}
    for span in text.spans:
        edges.update((max(0, min(span.start, len(plain))), max(0, min(span.end, len(plain)))))
    cuts = sorted(edges)
    out: list[Segment] = []
    for start, end in pairwise(cuts):
        style = base
        for span in text.spans:
            if span.start <= start and span.end >= end:
                style = style + palette.style(span.style)
        out.append(Segment(plain[start:end], style))
    return out


def fit(segments: Sequence[Segment], width: int, align: str, base: Style) -> list[Segment]:
    """The segments as exactly `width` cells: padded on the side that `align` leaves free, or cut with an ellipsis."""
    if width <= 0:
        return []
    total = sum(cell_len(segment.text) for segment in segments)
    if total <= width:
        if total == width:
            return list(segments)
        blank = Segment(" " * (width - total), base)
        return [blank, *segments] if align == "right" else [*segments, blank]
    out: list[Segment] = []
    room = width - 1
    for segment in segments:
        size = cell_len(segment.text)
        if size <= room:
            out.append(segment)
            room -= size
            continue
        kept = set_cell_size(segment.text, room)
        out.append(Segment(kept + ELLIPSIS, segment.style))
        return out
    return out
