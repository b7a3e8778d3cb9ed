"""A few questions before a plan is made: choices and short texts, checked while they are typed. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from console.text import safe
from widgets.entry import MOST_TYPED, Entry
from widgets.line import Line
from widgets.rule import Heading

Values = Mapping[str, str]

_LONG = 5  # questions; more stand closely together in a low terminal


@dataclass(frozen=True, slots=True)
class Field:
    """One question: a choice among `options`, or a text when there are none. `wanted` says when it is asked at all."""

    id: str
    label: str
    options: tuple[tuple[str, str], ...] = ()
    value: str = ""
    placeholder: str = ""
    wanted: Callable[[Values], bool] = lambda values: True


class Choice(Line, can_focus=True):
    """One of a few words on a line; left and right (or the mouse) choose."""

    DEFAULT_CSS = """
    Choice { width: 1fr; }
    Choice:focus { background: $cursor; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "before", show=False),
        Binding("right,l,space", "step(1)", "next", show=False),
    ]

    class Chosen(Message):
        """Another option was chosen."""

    def __init__(self, options: Sequence[tuple[str, str]], value: str, id: str) -> None:
        super().__init__(id=id)
        self._options = tuple(options)
        self._at = next((index for index, (key, _) in enumerate(self._options) if key == value), 0)
        self._spots: list[tuple[int, int]] = []

    @property
    def value(self) -> str:
        """The key of the option that is chosen."""
        return self._options[self._at][0]

    def line(self, width: int) -> Text:
        """The options, the chosen one between ‹ ›."""
        text = Text(no_wrap=True, end="")
        self._spots = []
        for index, (_, words) in enumerate(self._options):
            start = text.cell_len
            if index == self._at:
                text.append("‹", "$key").append(safe(words, 60), "bold $foreground").append("›", "$key")
            else:
                text.append(f" {safe(words, 60)} ", "$muted")
            self._spots.append((start, text.cell_len))
            text.append(" ")
        return text

    def action_step(self, step: int) -> None:
        """Choose the option beside it."""
        self._choose((self._at + step) % len(self._options))

    def _choose(self, index: int) -> None:
        self._at = index
        self.refresh()
        self.post_message(self.Chosen())

    def on_click(self, event: events.Click) -> None:
        """Choose the option under the mouse."""
        offset = event.get_content_offset(self)
        for index, (start, end) in enumerate(self._spots):
            if offset is not None and start <= offset.x < end:
                self._choose(index)


class Form(ModalScreen["dict[str, str] | None"]):
    """The questions on one small sheet; returns the answers by field, or None when given up.

    `check` gets the answers and returns what is wrong with them ("" when nothing is), `explain` a line of help. Enter
    goes on when nothing is wrong. Nothing is changed by it: a plan and its own question follow.
    """

    DEFAULT_CSS = """
    Form { align: center middle; background: $background 70%; }
    Form > Vertical { width: 96; max-width: 100%; height: auto; max-height: 100%; overflow-y: auto; background: $bar;
        padding: 0 1 1 1; }
    Form Heading { background: $bar; }
    Form .form--row { height: 1; margin: 1 0 0 0; }
    Form.-long.-tight .form--row { margin: 0; }
    Form .form--label { width: 12; color: $muted; padding: 0 1; }
    Form Input { height: 1; border: none; padding: 0 1; width: 1fr; background: $background; }
    Form Input:focus { border: none; background: $cursor; }
    Form .form--help { height: auto; min-height: 1; margin: 1 1 0 1; color: $muted; }
    Form .form--help.-wrong { color: $warn; }
    Form .form--buttons { height: 1; margin: 1 0 0 0; align-horizontal: right; }
    Form Button { min-width: 12; width: auto; margin: 0 0 0 2; padding: 0 1; background: $foreground 10%;
        color: $foreground; background-tint: transparent; text-style: none; }
    Form Button:focus { background: $key; color: $background; text-style: bold; }
    Form Button:disabled { color: $faint; }
    """

    VERTICAL_BREAKPOINTS = [(0, "-tight"), (30, "-roomy")]

    # The first question may be one that is not asked: the focus is set by hand, once that is known.
    AUTO_FOCUS = ""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "cancel", show=False, priority=True),
        # Not with priority: enter would overtake characters that still wait for the input, and "18204" would be 1820.
        Binding("enter", "go_on", "go on", show=False),
        Binding("down", "app.focus_next", "next", show=False),
        Binding("up", "app.focus_previous", "before", show=False),
    ]

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        check: Callable[[Values], str],
        explain: Callable[[Values], str],
        go: str = "Plan",
    ) -> None:
        super().__init__()
        self._title = title
        self._fields = tuple(fields)
        self._check = check
        self._explain = explain
        self._go = go
        self._asked = False
        self.set_class(len(self._fields) > _LONG, "-long")

    def compose(self) -> ComposeResult:
        """Heading, a line a field, help, the buttons."""
        with Vertical():
            yield Heading(self._title)
            for field in self._fields:
                with Horizontal(classes="form--row", id=f"row-{field.id}"):
                    yield Static(Content(field.label), classes="form--label", markup=False)
                    yield self._widget(field)
            yield Static(classes="form--help", markup=False)
            with Horizontal(classes="form--buttons"):
                yield Button(Content("Cancel"), id="form-cancel", compact=True)
                yield Button(Content(self._go), id="form-go", compact=True)

    def _widget(self, field: Field) -> Widget:
        if field.options:
            return Choice(field.options, field.value, id=f"field-{field.id}")
        entry = Entry(safe(field.value, MOST_TYPED), id=f"field-{field.id}")
        entry.placeholder = field.placeholder
        return entry

    def on_mount(self) -> None:
        """Ask what is asked for the first answers."""
        self._refresh()
        values = self.values()
        first = next((field for field in self._fields if field.wanted(values)), None)
        if first is not None:
            self.query_one(f"#field-{first.id}").focus()
        self._asked = True

    def values(self) -> dict[str, str]:
        """The answers so far, by field."""
        found: dict[str, str] = {}
        for field in self._fields:
            widget = self.query_one(f"#field-{field.id}")
            if isinstance(widget, Choice | Input):
                found[field.id] = widget.value.strip()
        return found

    def on_choice_chosen(self) -> None:
        """Another answer."""
        self._refresh()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._refresh()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_go_on()

    def _refresh(self) -> None:
        values = self.values()
        for field in self._fields:
            self.query_one(f"#row-{field.id}").display = field.wanted(values)
        wrong = self._check(values)
        words = self.query_one(".form--help", Static)
        words.update(Content(safe(wrong or self._explain(values), 400)))
        words.set_class(bool(wrong), "-wrong")
        self.query_one("#form-go", Button).disabled = bool(wrong)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(self.values() if event.button.id == "form-go" else None)

    def action_go_on(self) -> None:
        """Enter goes on when nothing is wrong (on a button it presses that button)."""
        if not self._asked:
            return  # typed ahead, before there was anything to read
        if not self._check(self.values()):
            self.dismiss(self.values())

    def action_give_up(self) -> None:
        """Escape."""
        self.dismiss(None)
