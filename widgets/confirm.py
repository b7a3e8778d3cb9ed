"""The question before a change: what will happen, row by row, and the command line that does the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, chop_cells
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from console.text import clip, is_safe, safe
from widgets.detail import Detail, Facts
from widgets.entry import Entry
from widgets.grid import Column, Grid
from widgets.rule import Heading

Row = tuple[int, Sequence[str | Text]]

_WIDEST = 116
_MOST_ROWS_MEASURED = 400
_COMMAND_LINES = 3
_NUMBER = re.compile(r"[-+~=≥>]*\d[\d,.]*( ?[A-Za-z%]+)?$|^[–-]$")


class PlanDialog(ModalScreen[bool]):
    """Shows a plan and returns whether it is to be carried out: True for Apply, False for Cancel or escape.

    `facts` are (label, text); `warnings` are drawn with ▲; `columns` and `rows` are the change itself, as a table that
    scrolls; `command` is the line that does the same, copied with `y`. With `typed` the Apply button stays off until
    exactly that has been typed. For a moment (`settles`) no button is on: keys and clicks that were under way when the
    dialog came up were not meant for it. Everything is plain text from anywhere: it is made safe here.
    """

    DEFAULT_CSS = """
    PlanDialog { align: center middle; background: $background 70%; }
    PlanDialog > Vertical { width: 116; max-width: 100%; background: $surface; color: $foreground; padding: 0 1; }
    PlanDialog Heading { background: $surface; margin: 0; }
    PlanDialog Detail, PlanDialog Grid { background: $surface; scrollbar-background: $surface; }
    PlanDialog .plan--command { height: auto; max-height: 3; padding: 0 1; color: $text-muted; }
    PlanDialog .plan--typed { height: 1; padding: 0 1; }
    PlanDialog .plan--ask { width: auto; }
    PlanDialog Entry, PlanDialog Entry:focus { width: 1fr; padding: 0 1; background: $foreground 8%; }
    PlanDialog .plan--buttons { height: 1; align-horizontal: right; margin: 0 1; }
    PlanDialog .plan--buttons Button { min-width: 12; width: auto; margin: 0 0 0 2; padding: 0 1;
        background: $foreground 10%; color: $foreground; background-tint: transparent; text-style: none; }
    PlanDialog .plan--buttons Button:focus { background: $primary; color: $background; text-style: bold; }
    PlanDialog .plan--buttons Button:disabled { color: $text-disabled; }
    PlanDialog .plan--buttons #plan--apply:focus { background: $warning; }
    PlanDialog.-airy #plan--changes, PlanDialog.-airy #plan--shell { margin: 1 0 0 0; }
    PlanDialog.-airy .plan--buttons { margin: 1 1 0 1; }
    PlanDialog .plan--hint { width: 1fr; color: $text-muted; }
    """

    AUTO_FOCUS = ""

    settles: ClassVar[float] = 0.5
    """Seconds before a dialog can be answered, but for giving it up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "answer(False)", "cancel", show=False, priority=True),
        Binding("q", "answer(False)", "cancel", show=False),
        Binding("y", "copy", "copy the command", show=False),
        Binding("left,h", "button(-1)", "button", show=False),
        Binding("right,l", "button(1)", "button", show=False),
        Binding("up,k", "scroll_rows(-1)", "up", show=False),
        Binding("down,j", "scroll_rows(1)", "down", show=False),
        Binding("pageup,ctrl+u", "scroll_rows(-8)", "up", show=False),
        Binding("pagedown,ctrl+d", "scroll_rows(8)", "down", show=False),
        Binding("g,home", "scroll_rows(-1000000)", "first", show=False),
        Binding("G,end", "scroll_rows(1000000)", "last", show=False),
    ]

    def __init__(
        self,
        title: str,
        *,
        facts: Sequence[tuple[str, str]] = (),
        warnings: Sequence[str] = (),
        columns: Sequence[str] = (),
        rows: Sequence[Sequence[str | Text]] = (),
        command: str = "",
        typed: str | None = None,
        apply: str = "Apply",
        cancel: str = "Cancel",
        danger: bool = False,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._title = title
        self._facts = tuple(facts)
        self._warnings = tuple(warnings)
        self._tight = False
        self._columns = tuple(columns)
        self._rows: list[Row] = list(enumerate(rows))
        self._command = command
        self._typed = typed
        self._words = (cancel, apply)
        self._danger = danger
        self._settled = False

    def compose(self) -> ComposeResult:
        """Heading, facts and warnings, the table, the command, what is to be typed, the buttons."""
        with Vertical(id="plan--box"):
            yield Heading(self._title, style="$error" if self._danger else "$primary")
            yield Detail(id="plan--facts")
            if self._columns and self._rows:
                changes = f"{len(self._rows):,}"
                yield Heading("changes", count=changes, style="$text-muted", id="plan--changes")
                yield Grid(_columns(self._columns, self._rows), _cell, _key, highlight=False, id="plan--rows")
            if self._command:
                yield Heading("the same from a shell", remark="y copies", style="$text-muted", id="plan--shell")
                yield Static(classes="plan--command", markup=False)
            if self._typed is not None:
                with Horizontal(classes="plan--typed"):
                    yield Static(Content(f"type {safe(self._typed, 60)} to go on: "), classes="plan--ask", markup=False)
                    yield Entry(id="plan--name")
            with Horizontal(classes="plan--buttons"):
                yield Static(classes="plan--hint", markup=False)
                for id, words in zip(("plan--cancel", "plan--apply"), self._words, strict=True):
                    yield Button(Content(safe(words, 30)), id=id, disabled=True, compact=True)

    def on_mount(self) -> None:
        """Fills the parts in."""
        self._show_facts()
        if self._has_grid:
            grid = self.query_one("#plan--rows", Grid)
            # Its rows are read, not chosen: the keys scroll it from wherever the focus is.
            grid.can_focus = False
            grid.show(self._rows)
        if self.settles > 0:
            # Counted from when it is drawn: before that nobody can have read it.
            self.call_after_refresh(lambda: self.set_timer(self.settles, self._settle))
        else:
            self._settle()

    def _settle(self) -> None:
        """From now on a key is an answer. What was typed meanwhile keeps the focus."""
        self._settled = True
        cancel = self.query_one("#plan--cancel", Button)
        cancel.disabled = False
        self._arm()
        if self.focused is None:
            cancel.focus()

    def _arm(self) -> None:
        """Apply is on once the dialog has been there for a moment and what is to be typed has been."""
        typed = self._typed is None or self.query_one("#plan--name", Entry).value == safe(self._typed)
        self.query_one("#plan--apply", Button).disabled = not (self._settled and typed)

    @property
    def _has_grid(self) -> bool:
        return bool(self._columns and self._rows)

    def _show_facts(self) -> None:
        warnings = tuple(("▲", warning, "$warning") for warning in self._warnings)
        sections = []
        if self._facts:
            sections.append(Facts("", tuple(self._facts)))
        if warnings:
            # Where not all of it fits, what must be known is not what has to be scrolled to.
            sections.insert(0 if self._tight else len(sections), Facts("", warnings, "bold $warning"))
        self.query_one("#plan--facts", Detail).show(sections, "facts")

    def on_resize(self, event: events.Resize) -> None:
        """Gives facts and table their share of the height at hand."""
        self.call_after_refresh(self._share_out, event.size)

    def _share_out(self, size: Size) -> None:
        """The facts get what they need up to half of the room, the table the rest of it, at least four lines each."""
        width = min(_WIDEST, size.width) - 4
        command = self._fit_command(max(1, width)) + 1 if self._command else 0
        fixed = 1 + command + (1 if self._typed is not None else 0) + 1 + (1 if self._has_grid else 0)
        room = max(2, size.height - 2 - fixed)
        facts = self.query_one("#plan--facts", Detail)
        wanted = max(1, facts.virtual_size.height) if self._facts or self._warnings else 0
        rows = len(self._rows) + 1 if self._has_grid else 0
        given = min(wanted, room - min(rows, max(4, room // 2)) if rows else room)
        facts.styles.height = max(0, given)
        if (wanted > given) != self._tight:
            self._tight = wanted > given
            self._show_facts()
        facts.can_focus = wanted > given and self._has_grid
        rows = min(rows, room - given)
        between = 1 + self._has_grid + bool(self._command)
        airy = fixed + given + rows + between <= size.height - 4
        self.set_class(airy, "-airy")
        fixed += between if airy else 0
        if self._has_grid:
            self.query_one("#plan--rows", Grid).styles.height = rows
        self.query_one("#plan--box", Vertical).styles.height = fixed + given + rows

    def _fit_command(self, width: int) -> int:
        """Writes as much of the command as fits into a few lines of this width; how many it takes."""
        lines = chop_cells(safe(self._command, _COMMAND_LINES * width), width)[:_COMMAND_LINES]
        self.query_one(".plan--command", Static).update(Content("\n".join(lines)))
        return max(1, len(lines))

    # ------------------------------------------------------------ answers

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_answer(event.button.id == "plan--apply")

    def action_answer(self, answer: bool) -> None:
        """Ends the dialog; Apply only when the button is on."""
        if answer and self.query_one("#plan--apply", Button).disabled:
            return
        self.dismiss(answer)

    @on(Input.Changed)
    def _typing(self, event: Input.Changed) -> None:
        event.stop()
        self._arm()

    @on(Input.Submitted)
    def _typed_out(self, event: Input.Submitted) -> None:
        """Enter after the name goes to the button; it is not the answer yet."""
        event.stop()
        apply = self.query_one("#plan--apply", Button)
        if apply.disabled:
            self._hint("that is not the name")
        else:
            apply.focus()

    def action_copy(self) -> None:
        """Copies the command line, unless a name in it holds characters that a shell would act on unseen."""
        if not self._command:
            return
        if not is_safe(self._command) or "\n" in self._command:
            self._hint("not copied: it holds control characters")
            return
        self.app.copy_to_clipboard(self._command)
        self._hint("copied")

    def _hint(self, words: str) -> None:
        self.query_one(".plan--hint", Static).update(Content(words))

    def action_button(self, step: int) -> None:
        """Goes from one button to the other."""
        buttons = [button for button in self.query(Button) if not button.disabled]
        if not buttons:
            return
        at = next((i for i, button in enumerate(buttons) if button.has_focus), 0)
        buttons[max(0, min(len(buttons) - 1, at + step))].focus()

    def action_scroll_rows(self, rows: int) -> None:
        """Scrolls the table (or the facts, when there is no table) while a button keeps the focus."""
        pane = self.query_one("#plan--rows" if self._has_grid else "#plan--facts")
        pane.scroll_to(y=max(0, min(pane.max_scroll_y, round(pane.scroll_y) + rows)), animate=False, force=True)


def _cell(row: Row, column: str) -> Text | str:
    index = int(column)
    return row[1][index] if index < len(row[1]) else ""


def _key(row: Row) -> str:
    return str(row[0])


def _columns(labels: Sequence[str], rows: Sequence[Row]) -> tuple[Column, ...]:
    """Columns as wide as their content (of the first rows), numbers to the right, the first column flexible."""
    out: list[Column] = []
    for index, label in enumerate(labels):
        words = [_plain(_cell(row, str(index))) for row in rows[:_MOST_ROWS_MEASURED]]
        width = min(60, max([cell_len(safe(label)), *(cell_len(word) for word in words)]))
        number = bool(words) and all(_NUMBER.match(word) for word in words if word)
        out.append(
            Column(
                str(index),
                label,
                min(width, 12) if index == 0 else width,
                "right" if number else "left",
                flex=index == 0,
                most=max(width, 12) if index == 0 else 0,
                drop=index if index >= 3 and index >= len(labels) - 2 else 0,
            )
        )
    return tuple(out)


def _plain(cell: Text | str) -> str:
    return clip(safe(cell if isinstance(cell, str) else cell.plain, 120), 120)
