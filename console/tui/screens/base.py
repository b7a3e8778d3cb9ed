"""What every screen shares: top line, notice, the line to type in, footer, and the way a key becomes an action."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget

from console.ops.command import command_line
from console.poll import Poller
from console.text import count, safe
from console.tui import feed, notice
from console.tui.actions import OPENS_A_LINE, shown
from console.tui.notice import Notice
from console.tui.pane import Pane
from console.tui.screens.hooks import Hooks
from console.tui.store import NEVER
from console.tui.subject import Subject
from console.tui.theme import next_theme
from widgets.crumbs import Crumbs
from widgets.grid_messages import Moved, Opened, Vanished
from widgets.keybar import Key, KeyBar
from widgets.prompt import Prompt
from widgets.too_small import TooSmall

if TYPE_CHECKING:
    from console.tui.app import LogqApp

LEAST_WIDTH, LEAST_HEIGHT = 60, 16
"""Below this size a screen says that it is too small instead of falling apart."""


_WITHOUT_QUEUES = frozenset(
    {"group", "topics", "topic", "messages", "browse", "queue", "jobs", "job", "doctor", "help"}
)
"""Screens that show no count of the picture of SQS (a queue's own screen looks for itself)."""


class ConsoleScreen(Hooks, Screen[None]):
    """A screen of the console. A subclass gives `scope`, `crumb`, `compose_body`, and a `do_<action id>` per action.

    It never overrides an `on_...` of this class: see `Hooks`.
    """

    scope: ClassVar[str] = ""
    every: ClassVar[float] = 2.0
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    AUTO_FOCUS = "Grid"

    def __init__(self) -> None:
        super().__init__()
        self._poller: Poller[Any] | None = None
        self._seen_at: float | None = None
        self._failure: str | None = None
        self._filtered: Pane[Any] | None = None
        self._depths: tuple[int, ...] = ()
        self._focus_before: Widget | None = None

    # ------------------------------------------------------------ what a subclass says

    @property
    def crumb(self) -> str:
        """The screen's word in the top line."""
        return self.scope

    def compose_body(self) -> ComposeResult:
        """What stands between the top line and the footer."""
        yield from ()

    def look(self) -> Callable[[], Any] | None:
        """What is called over and over on a daemon thread while the screen is there; None: only the store matters."""
        return None

    def seen(self, value: Any) -> None:
        """Show what `look` returned."""

    def store_changed(self) -> None:
        """A new picture of either side is in the store."""

    def changing(self) -> None:
        """A change that was planned here has begun: what was read before may no longer be true."""

    def words(self) -> tuple[str, ...]:
        """The words after `logq` that show the same on the command line."""
        return ("status",)

    # ------------------------------------------------------------ building

    @property
    def console(self) -> LogqApp:
        """The app, by its own type."""
        return cast("LogqApp", self.app)

    def compose(self) -> ComposeResult:
        """Top line, notice, body, entry line, story, footer."""
        yield Crumbs("logq", clock=self.console.clock, id="top")
        yield Notice(id="notice")
        with Vertical(id="body"):
            yield from self.compose_body()
        yield Prompt(self._suggest, id="prompt")
        yield Notice(id="story")
        yield KeyBar(id="keys")
        yield TooSmall(LEAST_WIDTH, LEAST_HEIGHT, id="small")

    def groups_in_sight(self) -> frozenset[str] | None:
        """The groups whose lines are on this screen now; None where it may need any of them."""
        return None

    def queues_in_sight(self) -> frozenset[str] | None:
        """The queues whose counts are on this screen now, by name; None when it shows nothing of SQS."""
        return None if self.scope in _WITHOUT_QUEUES else frozenset()

    def on_mount(self) -> None:
        """Bind this run's keys, and begin to look."""
        for binding in self.console.registry.bindings(self.scope):
            # The class has no bindings of its own: what is not registered in this run has no key at all.
            self._bindings.key_to_bindings[binding.key] = [binding]
        self.set_interval(1.0, self.refresh_top)
        call = self.look()
        if call is not None:
            self._poller = feed.detail_poller(self, f"{self.scope} {self.crumb}", call, self.every)
            self._poller.start()
        self.refresh_top()
        self.call_after_refresh(self.store_changed)
        self.call_after_refresh(self.refresh_keys)
        self.mounted()

    def on_unmount(self) -> None:
        """Look no more."""
        if self._poller is not None:
            self._poller.stop()
        self.unmounted()

    def on_screen_resume(self) -> None:
        """The screen is on top again: look at once and show what has come in since."""
        if self._poller is not None:
            self._poller.resume()
        self.refresh_top()
        self.store_changed()
        self.refresh_keys()
        self.resumed()

    def on_screen_suspend(self) -> None:
        """Another screen is on top: nothing here needs to be looked at."""
        if self._poller is not None:
            self._poller.pause()
        self.suspended()

    def on_resize(self, event: events.Resize) -> None:
        """Too small is a screen, not a mess."""
        small = event.size.width < LEAST_WIDTH or event.size.height < LEAST_HEIGHT
        if small and not self.has_class("-small"):
            self._focus_before = self.focused  # what is hidden loses the focus
        elif not small and self._focus_before is not None:
            self.call_after_refresh(self._focus_before.focus)
            self._focus_before = None
        self.set_class(small, "-small")
        self.refresh_top()
        self.resized(event.size.width, event.size.height)

    # ------------------------------------------------------------ what is shown

    def on_detail_arrived(self, event: feed.DetailArrived) -> None:
        """Show what was looked at; a failure keeps what was seen before and says how old it is."""
        event.stop()
        if event.error is not None:
            self._failure = event.error
            self.failed(event.error)
        else:
            self._failure = None
            self._seen_at = self.console.clock()
            self.seen(event.value)
            self.refresh_keys()
        self.refresh_top()

    def failed(self, error: str) -> None:
        """A look has failed; the notice line says so, an empty list as well."""
        for pane in self.panes():
            if not pane.items:
                pane.set_placeholder(error)

    def on_answered(self, event: feed.Answered) -> None:
        """A call that this screen asked for has ended."""
        event.stop()
        event.deliver()

    def ask(
        self, call: Callable[[], Any], then: Callable[[Any], None], failed: Callable[[str], None] | None = None
    ) -> None:
        """Run a blocking call on a daemon thread and go on with its result here; an error is shown."""
        feed.ask(self, call, then, failed or self.complain, name=self.scope)

    def refresh_top(self) -> None:
        """Write the top line and the notices anew: the clock moves, pictures grow old."""
        console = self.console
        now = console.clock()
        if console.screen is self:  # `is_current` is also true of what lies behind
            console.watch_queues(self.queues_in_sight())
            console.watch_groups(self.groups_in_sight())
        crumbs = [screen.crumb for screen in console.screen_stack if isinstance(screen, ConsoleScreen)]
        words, self._depths = notice.path(safe(console.settings.label, 40), crumbs, self.size.width)
        links = console.store.links.values()
        times = [link.seen_at for link in links if link.configured and link.seen_at is not None and link.every < NEVER]
        self.query_one("#top", Crumbs).set(
            path=words,
            health=notice.health(console.store, now),
            seen_at=min(times, default=None),
            read_only=console.settings.read_only,
        )
        self.query_one("#notice", Notice).show(self._trouble(now))
        self.query_one("#story", Notice).show(console.story)

    def _trouble(self, now: float) -> Text:
        if self._failure is None:
            return notice.trouble(self.console.store, now)
        old = "" if self._seen_at is None else f"data is {notice.age(now - self._seen_at)} old. "
        return Text.assemble(("✖ ", "bold $bad"), (old, "bold $warn"), (self._failure, "$foreground"))

    def refresh_keys(self) -> None:
        """Write the footer for what the cursor stands on now."""
        found = self.subject()
        keys = [
            Key(
                action.id,
                "/".join(shown(key) for key in action.keys[:1]),
                self.label(action.id, action.label),
                action.importance,
            )
            for action in self.console.registry.footer(self.scope, found.kind if found else None)
            if self.offers(action.id, found)
        ]
        self.query_one("#keys", KeyBar).show(keys)

    def offers(self, action: str, subject: Subject | None) -> bool:
        """Whether the footer offers an action on what the cursor stands on (pressed all the same, it says why not)."""
        return True

    def label(self, action: str, label: str) -> str:
        """A footer's word for an action, where a screen has a better one."""
        return label

    # ------------------------------------------------------------ what the cursor stands on

    def panes(self) -> list[Pane[Any]]:
        """The lists that are visible, in the order of `tab`."""
        return [pane for pane in self.query(Pane) if pane.display and all(node.display for node in pane.ancestors)]

    def pane(self) -> Pane[Any] | None:
        """The list that has the focus; the first one when none has."""
        panes = self.panes()
        for pane in panes:
            if pane.grid.has_focus:
                return pane
        return panes[0] if panes else None

    def subject(self) -> Subject | None:
        """What an action acts on now."""
        pane = self.pane()
        return pane.subject() if pane is not None else None

    def on_grid_moved(self, event: Moved) -> None:
        """The footer follows the cursor."""
        self.refresh_keys()
        self.moved(event)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The footer follows the focus."""
        self.refresh_keys()
        self.focus_moved(event.widget)

    def on_grid_vanished(self, event: Vanished) -> None:
        """What was under the cursor is gone."""
        self.vanished(event)

    def vanished(self, event: Vanished) -> None:
        """Say that what was under the cursor is gone, so that nobody acts on its neighbour by mistake."""
        if event.grid.has_focus and not any(pane.filter_text for pane in self.panes() if pane.of(event.grid)):
            self.console.say(f"{safe(event.key, 80)} is gone; the cursor stands on the next line")

    def on_grid_opened(self, event: Opened) -> None:
        """Enter on a line."""
        event.stop()
        self.do_open()

    # ------------------------------------------------------------ keys and actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a line is open its characters are text, also those that would open it."""
        if action == "press" and parameters and parameters[0] in OPENS_A_LINE:
            return not any(prompt.is_open for prompt in self.query(Prompt))
        return super().check_action(action, parameters)

    def action_press(self, action: str) -> None:
        """A key of the registry was pressed."""
        if self.console.registry.get(action) is None:
            return
        handler = getattr(self, f"do_{action}", None)
        if handler is not None:
            handler()
        else:
            self.console.go(action)

    def on_key_bar_pressed(self, event: KeyBar.Pressed) -> None:
        """A key of the footer was clicked."""
        event.stop()
        self.action_press(event.action)

    def on_crumbs_clicked(self, event: Crumbs.Clicked) -> None:
        """A crumb was clicked: back to that screen."""
        event.stop()
        if event.depth < len(self._depths):
            self.console.back_to(max(0, self._depths[event.depth] - 1))

    def do_open(self) -> None:
        """Open what the cursor is on."""
        found = self.subject()
        if found is not None:
            self.console.open(found)

    def do_back(self) -> None:
        """Clear the filter, else go back."""
        pane = self.pane()
        if pane is not None and pane.filter_text:
            pane.set_filter("")
        else:
            self.console.back()

    def do_pane(self) -> None:
        """To the next list."""
        self.cycle(1)

    def do_pane_back(self) -> None:
        """To the list before."""
        self.cycle(-1)

    def cycle(self, step: int) -> None:
        """Move the focus by `step` lists, round and round."""
        panes = self.panes()
        here = self.pane()
        if here is not None and panes:
            panes[(panes.index(here) + step) % len(panes)].grid.focus()

    def do_filter(self) -> None:
        """Type a filter for the list that has the focus."""
        pane = self.pane()
        if pane is not None:
            self._filtered = pane
            self.query_one(Prompt).open("/", pane.filter_text)

    def do_command(self) -> None:
        """Type a command."""
        self.query_one(Prompt).open(":")

    def _suggest(self, kind: str, typed: str) -> Sequence[str]:
        return self.console.suggest(typed) if kind == ":" else ()

    def on_prompt_changed(self, event: Prompt.Changed) -> None:
        """The filter is live."""
        event.stop()
        if event.kind == "/" and self._filtered is not None:
            self._filtered.set_filter(event.value)
            shown = len(self._filtered.grid.items)
            event.prompt.set_hint(f"{count(shown)} of {count(len(self._filtered.items))}")

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        """The filter stays, or the command is run."""
        event.stop()
        if event.kind == ":":
            self.console.run_command(event.value)
        elif event.kind != "/":
            self.submitted(event.kind, event.value)

    def on_prompt_cancelled(self, event: Prompt.Cancelled) -> None:
        """No command; the filter as it was."""
        event.stop()
        if event.kind == "/" and self._filtered is not None:
            self._filtered.set_filter(event.value)

    def do_sort(self) -> None:
        """Sort by the next column."""
        pane = self.pane()
        if pane is not None:
            pane.sort_next()

    def do_reverse(self) -> None:
        """Turn the order round."""
        pane = self.pane()
        if pane is not None and pane.sorts:
            pane.reverse()

    def do_refresh(self) -> None:
        """Look again now."""
        if self._poller is not None:
            self._poller.now()
        self.console.look_now()

    def do_copy(self) -> None:
        """Copy the name under the cursor."""
        found = self.subject()
        if found is not None:
            self.console.copy(found.name, f"the {found.kind}'s name")

    def do_command_line(self) -> None:
        """Show and copy the command line."""
        line = command_line(self.console.settings, *self.words())
        self.console.copy(line, safe(line, 400), exact=True)

    def do_theme(self) -> None:
        """The next theme."""
        self.console.theme = next_theme(self.console.theme)

    def do_help(self) -> None:
        """The keys of this screen."""
        self.console.show_help(self)

    def do_fix(self) -> None:
        """The demo: deploy the fix."""
        if self.console.demo is not None:
            self.console.demo.deploy_fix()
            self.console.say("the fix goes out: a redrive now succeeds")

    def do_break(self) -> None:
        """The demo: deploy the bug."""
        if self.console.demo is not None:
            self.console.demo.break_it()
            self.console.say("the bad release goes out: a redrive now bounces")

    def do_quit(self) -> None:
        """Leave."""
        self.console.leave()

    def complain(self, error: str) -> None:
        """Show an error as one line."""
        self.console.complain(error)
