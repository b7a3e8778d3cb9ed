"""The app: what every screen shares. Nothing here blocks: looks and changes run on daemon threads of their own."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Protocol

from rich.text import Text
from textual.app import App
from textual.binding import Binding, BindingType

from console import health
from console.model import Attention, DeadLetters
from console.ops.session import Session
from console.poll import Poller
from console.text import safe
from console.tui import feed
from console.tui.actions import Registry, registry
from console.tui.asking import Asking
from console.tui.backend import Backend, Change
from console.tui.jobs import Running
from console.tui.screens.base import ConsoleScreen
from console.tui.screens.home import HomeScreen
from console.tui.store import NEVER, KafkaPicture, Link, SideName, Store
from console.tui.subject import Subject
from console.tui.theme import DARK, PALETTES

KAFKA_EVERY, SQS_EVERY = 2.0, 5.0
"""Seconds between looks while the home screen shows them."""

AWAY = 3.0
"""How many times as rarely Kafka is looked at while another screen is on top. SQS goes by what is in sight."""

STOP_WAIT = 0.6
"""Seconds that quitting waits for running changes to reach a safe point."""


class StoryState(Protocol):
    """How the demo's story stands (`console.demo.control.DemoState`)."""

    @property
    def running(self) -> bool:
        """Whether the story goes on."""

    @property
    def broken(self) -> bool:
        """Whether the bad release is out."""

    @property
    def last_event(self) -> str:
        """What happened last, in words."""

    @property
    def problem(self) -> str | None:
        """Why the story ended by itself."""


class Story(Protocol):
    """The demo from outside (`console.demo.control.StoryHandle`); no method waits for anything."""

    def state(self) -> Any:
        """The last state heard (`StoryState`)."""

    def deploy_fix(self) -> None:
        """Send out the release that works."""

    def break_it(self) -> None:
        """Send out the release that fails."""


class LogqApp(App[int]):
    """The console for one session. `inspect` and `backend` replace what looks and acts, for tests and benchmarks."""

    TITLE = "logq"
    CSS_PATH = "console.tcss"
    ENABLE_COMMAND_PALETTE = False
    # Ctrl-C leaves, as in every other program: quitting asks nothing, since what runs can be resumed.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "leave", "quit", show=False, priority=True),
        Binding("ctrl+q", "leave", "quit", show=False, priority=True),
    ]

    def __init__(
        self,
        session: Session,
        demo: Story | None = None,
        inspect: Any = None,
        backend: Backend | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.session = session
        self.settings = session.settings
        self.demo = demo
        self.clock = clock
        self.backend = backend or Backend(session, inspect)
        for palette in PALETTES.values():
            self.register_theme(palette.theme())
        chosen = self.settings.theme
        self.theme = chosen if chosen in PALETTES else DARK.name
        self.registry: Registry = registry(self.settings.read_only, demo is not None)
        self.store = Store(
            links={
                "kafka": Link(configured=self.settings.kafka is not None),
                "sqs": Link(configured=self.settings.sqs is not None),
            }
        )
        self.running: dict[int, Running] = {}
        self.farewell: list[str] = []
        self.asking: Asking | None = None
        self._pollers: dict[SideName, Poller[Any]] = {}
        self._queues_in_sight: frozenset[str] = frozenset()
        self._all_queues = True
        self._groups_in_sight: frozenset[str] | None = None
        self._all_groups = True

    # ------------------------------------------------------------ beginning and end

    def on_mount(self) -> None:
        """The first screen; only after it is painted does anything connect."""
        self.push_screen(HomeScreen())
        self.call_after_refresh(self._start_looking)

    def _start_looking(self) -> None:
        looks: dict[SideName, tuple[Callable[[], Any], float]] = {
            "kafka": (self._look_at_groups, KAFKA_EVERY),
            "sqs": (self._look_at_queues, SQS_EVERY),
        }
        for side, (look, every) in looks.items():
            if self.store.links[side].configured:
                self._pollers[side] = feed.side_poller(self, side, look, every)
                self._pollers[side].start()

    def _unfinished(self, picture: KafkaPicture) -> None:
        # Every broker is shown as it answers: a frozen one must not hold up what the others know.
        feed.partial(self, "kafka", picture)

    def _look_at_groups(self) -> Any:
        asked, self._all_groups = self._all_groups, False
        self.session.groups_in_view = None if asked else self._groups_in_sight
        return self.backend.kafka(self._unfinished)

    def _look_at_queues(self) -> Any:
        asked, self._all_queues = self._all_queues, False
        try:
            return self.backend.sqs(None if asked else self._queues_in_sight)
        except Exception:
            self._all_queues = asked  # what was asked for is still owed
            raise

    def set_pace(self, at_home: bool) -> None:
        """Look often at Kafka while home shows it, rarely otherwise."""
        pace = KAFKA_EVERY if at_home else KAFKA_EVERY * AWAY
        self.store.links["kafka"] = replace(self.store.links["kafka"], every=pace)
        poller = self._pollers.get("kafka")
        if poller is not None:
            poller.every = pace
            if at_home:
                poller.now()

    def watch_groups(self, names: frozenset[str] | None) -> None:
        """Which groups are in sight now: of very many, those are looked at every time, the rest in turns; None: all."""
        self._groups_in_sight = names

    def watch_queues(self, names: frozenset[str] | None) -> None:
        """Which queues are in sight now: those are looked at often, the rest rarely, and None of them at all for None.

        Every look at a queue is a request that is paid for.
        """
        poller = self._pollers.get("sqs")
        if poller is None:
            return
        if names is None:
            poller.pause()
            # What is not asked for does not grow old.
            self.store.links["sqs"] = replace(self.store.links["sqs"], every=NEVER)
        else:
            self._queues_in_sight = names
            poller.resume()

    def look_now(self) -> None:
        """Look at everything on both sides at once."""
        self._all_queues = self._all_groups = True
        for poller in self._pollers.values():
            poller.now()

    def on_unmount(self) -> None:
        """Whatever ends the app: look no more."""
        for poller in self._pollers.values():
            poller.stop()

    def action_leave(self) -> None:
        """Ctrl-C."""
        self.leave()

    def leave(self) -> None:
        """Quit. Running changes are told to stop at their next safe point and given a moment to get there."""
        for poller in self._pollers.values():
            poller.stop()
        open_ = [running for running in self.running.values() if running.outcome is None]
        for running in open_:
            running.cancel.set()
        if not open_:
            self.exit(0)
            return
        self.say("stopping at the next safe point …")
        deadline = time.monotonic() + STOP_WAIT

        def look() -> None:
            left = [running for running in open_ if running.outcome is None and running.error is None]
            if not left or time.monotonic() > deadline:
                self.farewell = [line for running in open_ for line in running.farewell()]
                self.exit(0)

        self.set_interval(0.05, look)

    # ------------------------------------------------------------ what is seen

    def on_snapshot_arrived(self, event: feed.SnapshotArrived) -> None:
        """A side was looked at: into the store, then to the screen on top (none is left while the app closes)."""
        if event.picture is not None:
            changed = self.store.arrived(event.side, event.picture, event.generation)
        else:
            changed = self.store.failed(event.side, event.error or "no answer", event.generation or 0)
        if not changed:
            return
        if event.side == "sqs" and self._pollers and not self._pollers["sqs"].paused:
            self.store.links["sqs"] = replace(self.store.links["sqs"], every=SQS_EVERY)
        self.store.attention = self._attention()
        top = self.screen_stack[-1] if self.screen_stack else None
        if isinstance(top, ConsoleScreen):
            top.refresh_top()
            top.store_changed()

    def on_answered(self, event: feed.Answered) -> None:
        """A call has ended whose result is heard whether the screen that asked is still there or not."""
        event.deliver()

    def _attention(self) -> tuple[Attention, ...]:
        kafka, sqs = self.store.kafka, self.store.sqs
        gone = self.store.links["sqs"].error is not None
        parts = [*(kafka.attention if kafka else ()), *(health.sqs_attention(sqs.snapshot, gone) if sqs else ())]
        found = health.loudest_first(parts)
        for side, link in self.store.links.items():
            if link.configured and link.error is not None:
                where = (
                    (self.settings.kafka.bootstrap.split(",")[0] if self.settings.kafka else "")
                    if side == "kafka"
                    else ""
                )
                if side == "sqs":
                    where = ", ".join(one.place for one in self.settings.sqs_all)
                found.insert(0, health.unreachable(side, where, link.error))
        return tuple(found)

    @property
    def story(self) -> Text:
        """The demo's line: what happened last and which release is out; empty outside the demo."""
        if self.demo is None:
            return Text("")
        state: StoryState = self.demo.state()
        line = Text("demo ", style="bold $key")
        if state.problem or not state.running:
            return line.append(safe(state.problem or "the story has ended", 200), style="$warn")
        line.append(
            "▲ a bad release is out  " if state.broken else "● a good release is out  ",
            style="$warn" if state.broken else "$good",
        )
        line.append(safe(state.last_event, 200), style="$muted")
        return line

    # ------------------------------------------------------------ going places

    def open(self, subject: Subject) -> None:
        """The screen of a thing."""
        from console.tui.screens import catalog

        screen = catalog.screen_for(subject)
        if screen is not None:
            self.push_screen(screen)

    def back(self) -> None:
        """The screen before; at home there is none."""
        if len(self.screen_stack) > 2:
            self.pop_screen()

    def back_to(self, depth: int) -> None:
        """The screen at that place in the crumbs, 0 is home."""
        while len(self.screen_stack) > depth + 2:
            self.pop_screen()

    def show_help(self, screen: ConsoleScreen) -> None:
        """The keys of a screen."""
        from console.tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(screen))

    def run_command(self, typed: str) -> None:
        """What was typed after `:`: a name of the registry and, for some, the name of a thing."""
        from console.tui.screens import catalog

        catalog.run_command(self, typed)

    def go(self, action: str) -> None:
        """Do an action that goes somewhere, from its key."""
        from console.tui.screens import catalog

        catalog.go(self, action)

    def suggest(self, typed: str) -> tuple[str, ...]:
        """What a half-typed command could become: names of commands, then names of things."""
        from console.tui.screens import catalog

        return catalog.suggest(self, typed)

    def begin(self, change: Change) -> None:
        """Run a confirmed change on its own thread and show it."""
        from console.tui.screens.job import JobScreen

        self.backend.forget_looks()
        running = Running(change)
        self.running[id(running)] = running
        running.start()
        shown = JobScreen(running)
        self.push_screen(shown)

        def look() -> None:
            if not running.over:
                return
            ended.stop()
            if self.screen is not shown:  # on it, its own words say how it ended
                self._announce(running)

        ended = self.set_interval(0.25, look)

    def _announce(self, running: Running) -> None:
        """How a change ended, to somebody who looks at something else meanwhile."""
        title, outcome = running.change.view.title, running.outcome
        if outcome is None:
            self.complain(f"{title}: {running.error}")
        elif outcome.state == "done":
            self.say(f"{title}: done")
        else:
            self.complain(f"{title}: {outcome.state}: {outcome.lines[0] if outcome.lines else ''}")

    @property
    def changing(self) -> bool:
        """Whether a change that was begun here still runs."""
        return any(not running.over for running in self.running.values())

    def dead_letters(self) -> tuple[DeadLetters, ...]:
        """Every dead-letter queue and topic in the pictures at hand."""
        kafka, sqs = self.store.kafka, self.store.sqs
        found: tuple[DeadLetters, ...] = self.backend.dead_letters(
            kafka.snapshot if kafka else None, sqs.snapshot if sqs else None
        )
        return found

    # ------------------------------------------------------------ words

    def say(self, words: str) -> None:
        """A short remark that goes away by itself; `words` are safe text."""
        self.notify(safe(words, 400), markup=False, timeout=4)

    def complain(self, error: str) -> None:
        """An error in one line."""
        self.notify(safe(error, 600), severity="error", markup=False, timeout=10)

    def copy(self, raw: str, what: str, exact: bool = False) -> None:
        """Put text on the clipboard and say so; `exact` shows `what` alone, as the text itself."""
        self.copy_to_clipboard(raw)
        self.say(what if exact else f"copied {what}")


def run(session: Session, demo: Story | None = None) -> int:
    """Open the console and return the exit code when it is left. The session is closed, within half a second."""
    app = LogqApp(session, demo)
    gc.set_threshold(50_000)  # a walk over more of them at once would be seen: 10 ms are a missed frame
    code = app.run()
    # A client whose server is frozen may take its time to close: it is not waited for.
    closing = threading.Thread(target=session.close, name="close", daemon=True)
    closing.start()
    closing.join(0.5)
    for line in app.farewell:
        print(safe(line, 1_000), file=sys.stderr)  # noqa: T201
    return app.return_code or code or 0
