"""A heading with a rule: `─ attention 3 worst first ─────────`."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from console.text import safe
from widgets.line import Line


class Heading(Line):
    """A section's heading drawn into a rule: a coloured title, a count beside it, a muted remark."""

    DEFAULT_CSS = """
    Heading {
        color: $foreground;
    }
    """

    def __init__(
        self,
        title: str,
        *,
        count: str = "",
        remark: str = "",
        style: str = "$primary",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._title = title
        self._count = count
        self._remark = remark
        self._style = style

    def show(
        self, *, title: str | None = None, count: str | None = None, remark: str | None = None, style: str | None = None
    ) -> None:
        """Changes what is given, keeps the rest."""
        self._title = self._title if title is None else title
        self._count = self._count if count is None else count
        self._remark = self._remark if remark is None else remark
        self._style = self._style if style is None else style
        self.refresh()

    def line(self, width: int) -> Text:
        """The rule with its words; the remark goes first when narrow."""
        text = Text("─ ", "", no_wrap=True, end="")
        text.stylize(_RULE, 0, 2)
        text.append(safe(self._title, max(1, width)), f"bold {self._style}")
        if self._count:
            text.append(f" {safe(self._count, 60)}")
        if self._remark:
            remark = f" {safe(self._remark, max(1, width))}"
            if cell_len(text.plain) + cell_len(remark) + 2 <= width:
                text.append(remark, "$text-disabled")
        left = width - cell_len(text.plain) - 1
        if left > 0:
            text.append(" ")
            text.append("─" * left, _RULE)
        return text


_RULE = "$text-disabled $rule"
