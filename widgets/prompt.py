"""The line at the bottom where a filter (`/`) or a command (`:`) is typed, with completions above it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from console.text import safe
from widgets.entry import MOST_TYPED, Entry
from widgets.paint import Palette, fit, pieces

Suggest = Callable[[str, str], Sequence[str]]
"""(kind, what is typed) -> what could be meant, best first; quick, for it is called at every key."""

_MOST_SHOWN = 8
_MOST_HISTORY = 200


class _Choices(Widget):
    """The completions above the line, the chosen one highlighted."""

    DEFAULT_CSS = """
    _Choices {
        height: auto;
        width: 1fr;
        background: $panel;
        color: $foreground;
    }
    _Choices > .choices--chosen { background: $primary 25%; text-style: bold; }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"choices--chosen"}

    def __init__(self) -> None:
        super().__init__()
        self.words: tuple[str, ...] = ()
        self.chosen: int | None = None

    def show(self, words: Sequence[str], chosen: int | None) -> None:
        """Shows these, one of them highlighted or none."""
        taller = len(words) != len(self.words)
        self.words = tuple(words)
        self.chosen = chosen
        self.styles.height = min(_MOST_SHOWN, len(words))
        self.display = bool(words)
        self.refresh(layout=taller)

    def render_line(self, y: int) -> Strip:
        """One completion."""
        width = self.size.width
        first = 0 if self.chosen is None else max(0, self.chosen - _MOST_SHOWN + 1)
        index = first + y
        style = self.get_component_rich_style("choices--chosen") if index == self.chosen else self.rich_style
        if index >= len(self.words):
            return Strip.blank(width, style)
        palette = Palette(self.app.theme_variables, style)
        text = Text("   " + safe(self.words[index], width + 1))
        return Strip(fit(pieces(text, palette, style), width, "left", style))


class Prompt(Widget):
    """A line for typing, hidden until `open`. Enter submits, escape cancels, tab and shift+tab go through completions,
    up and down through what was submitted before (of the same kind). Focus goes back to where it was.
    """

    DEFAULT_CSS = """
    Prompt {
        dock: bottom;
        height: auto;
        display: none;
        background: $panel;
        color: $foreground;
    }
    Prompt > Horizontal { height: 1; }
    Prompt .prompt--kind { width: auto; padding: 0 0 0 1; color: $primary; text-style: bold; }
    Prompt .prompt--hint { width: auto; max-width: 50%; padding: 0 1; color: $text-muted; }
    Prompt Entry { width: 1fr; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "cancel", show=False, priority=True),
        Binding("tab", "complete(1)", "complete", show=False, priority=True),
        Binding("shift+tab", "complete(-1)", "complete back", show=False, priority=True),
        Binding("up", "history(-1)", "earlier", show=False, priority=True),
        Binding("down", "history(1)", "later", show=False, priority=True),
    ]

    class _About(Message):
        """Something about what is typed: `kind` is the sign the prompt was opened with."""

        def __init__(self, prompt: Prompt, kind: str, value: str) -> None:
            super().__init__()
            self.prompt = prompt
            self.kind = kind
            self.value = value

        @property
        def control(self) -> Prompt:
            """The prompt that sent it."""
            return self.prompt

    class Changed(_About):
        """Another character: the value so far."""

    class Submitted(_About):
        """Enter: the prompt has closed."""

    class Cancelled(_About):
        """Escape: the prompt has closed; `value` is what it was opened with, to go back to."""

    def __init__(self, suggest: Suggest | None = None, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._suggest = suggest
        self._kind = ""
        self._initial = ""
        self._back_to: Widget | None = None
        self._history: dict[str, list[str]] = {}
        self._at: int | None = None
        self._typed = ""

    def compose(self) -> ComposeResult:
        """The completions over the line."""
        yield _Choices()
        with Horizontal():
            yield Static(classes="prompt--kind", markup=False)
            yield Entry()
            yield Static(classes="prompt--hint", markup=False)

    @property
    def is_open(self) -> bool:
        """Whether it is on the screen."""
        return bool(self.display)

    @property
    def kind(self) -> str:
        """The sign it was opened with."""
        return self._kind

    @property
    def value(self) -> str:
        """What is typed now."""
        return self.query_one(Entry).value

    def set_hint(self, hint: str) -> None:
        """A few words at the right end, such as how many rows match or why the value is not understood."""
        self.query_one(".prompt--hint", Static).update(Content(safe(hint, 80)))

    def open(self, kind: str, value: str = "") -> None:
        """Opens the line for a filter ("/"), a command (":") or what a word says, and takes the focus.

        `value` stands on it to begin with.
        """
        if not self.is_open:
            self._back_to = self.screen.focused
        self._kind = kind
        self._initial = value
        self._at = None
        self._typed = safe(value, MOST_TYPED)
        self.display = True
        sign = safe(kind, 20)
        self.query_one(".prompt--kind", Static).update(Content(f"{sign} " if len(sign) > 1 else sign))
        self.set_hint("")
        entry = self.query_one(Entry)
        self._put(self._typed)
        # At once, not at the next turn: what is typed right behind the key that opened the line belongs to the line.
        self.screen.set_focus(entry)
        self._offer()

    def close(self) -> None:
        """Closes it without a message and gives the focus back."""
        if not self.is_open:
            return
        self.display = False
        back, self._back_to = self._back_to, None
        if back is not None and back.is_attached and back.focusable:
            back.focus()
        elif self.screen.focused is not None and self in self.screen.focused.ancestors:
            self.screen.set_focus(None)

    def _put(self, value: str) -> None:
        """Sets the line without a `Changed` of ours."""
        entry = self.query_one(Entry)
        with self.prevent(Input.Changed):
            entry.value = value
        entry.cursor_position = len(value)

    def _offer(self) -> None:
        words = self._suggest(self._kind, self._typed) if self._suggest is not None else ()
        self.query_one(_Choices).show(tuple(words)[:200], None)

    def _on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if not self.is_open:
            return
        self._typed = event.value
        self._at = None
        self._offer()
        self.post_message(self.Changed(self, self._kind, event.value))

    def _on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        value = event.value
        past = self._history.setdefault(self._kind, [])
        if value:
            if value in past:
                past.remove(value)
            past.append(value)
            del past[:-_MOST_HISTORY]
        self.close()
        self.post_message(self.Submitted(self, self._kind, value))

    def action_cancel(self) -> None:
        """Closes and says so."""
        self.close()
        self.post_message(self.Cancelled(self, self._kind, self._initial))

    def action_complete(self, step: int) -> None:
        """Puts the next completion on the line."""
        choices = self.query_one(_Choices)
        if not choices.words:
            return
        if choices.chosen is None:
            chosen = 0 if step > 0 else len(choices.words) - 1
        else:
            chosen = (choices.chosen + step) % len(choices.words)
        choices.show(choices.words, chosen)
        self._put(safe(choices.words[chosen], MOST_TYPED))
        self.post_message(self.Changed(self, self._kind, self.value))

    def action_history(self, step: int) -> None:
        """Puts what was submitted earlier (or later) on the line; beyond the latest, what was being typed."""
        past = self._history.get(self._kind, [])
        at = len(past) if self._at is None else self._at
        at += step
        if not past or at < 0 or at > len(past):
            return
        self._at = at
        self._put(past[at] if at < len(past) else self._typed)
        self.post_message(self.Changed(self, self._kind, self.value))
