"""A topic's records: from anywhere, filtered, page by page or as they come; what was scanned is always said."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult

from console import text
from console.model import Message
from console.ops.browse_pages import Reading, Toward, Window, Wish, followed
from console.text import count, safe
from console.tui import browse_forms, replay_form
from console.tui.screens.messages import ListScreen, fitting_columns
from console.tui.subject import Subject
from console.tui.summary import Summary
from widgets.grid_messages import Marked, Vanished
from widgets.prompt import Prompt

TICK = 0.2
"""Seconds between two drawings of a page that is being read, or of what came in a follow."""

_MOST_WAITING = 5_000
_LINES = 3


class _Follow:
    """What a follow's thread hands over; the screen takes it away once in a while."""

    def __init__(self) -> None:
        self.cancel = threading.Event()
        self.records = 0
        self.newer: Mapping[int, int] = {}
        self.lost = 0
        self._lock = threading.Lock()
        self._waiting: deque[Message] = deque()

    def take(self, came: list[Message], records: int, newer: Mapping[int, int]) -> None:
        """From the thread that reads: keep what came, the newest of it when nobody takes it."""
        with self._lock:
            self._waiting.extend(came)
            while len(self._waiting) > _MOST_WAITING:
                self._waiting.popleft()
                self.lost += 1
            self.records, self.newer = records, newer

    def taken(self) -> tuple[list[Message], int, Mapping[int, int]]:
        """What came since the last call, the records looked at so far, and up to where."""
        with self._lock:
            found = list(self._waiting)
            self._waiting.clear()
            return found, self.records, self.newer


class BrowseScreen(ListScreen):
    """Records of one topic. It reads when opened and when asked, never by itself; no group is joined."""

    scope: ClassVar[str] = "browse"

    def __init__(self, topic: str, wish: Wish | None = None) -> None:
        super().__init__(f"kafka:{topic}")
        self.wish = wish or Wish(topic)
        self.window: Window | None = None
        self._reading: Reading | None = None
        self._cancel: threading.Event | None = None
        self._follow: _Follow | None = None
        self._followed_from: Window | None = None
        self._busy = ""

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self.wish.topic

    @property
    def crumb(self) -> str:
        """What is read."""
        return "browse"

    def compose_body(self) -> ComposeResult:
        """List and detail, and under them what was scanned."""
        yield from super().compose_body()
        yield Summary(id="scanned")

    def mounted(self) -> None:
        """Begin to read."""
        self.set_interval(TICK, self._tick)
        self.read("first")

    def unmounted(self) -> None:
        """Read no more."""
        for cancel in (self._cancel, self._follow.cancel if self._follow is not None else None):
            if cancel is not None:
                cancel.set()
        self._cancel = self._follow = None

    # ------------------------------------------------------------ reading

    def read(self, toward: Toward) -> None:
        """Read a page, on a thread of its own. The first one ends whatever is being read."""
        if toward == "first":
            self._end()
        elif self.busy:
            self.console.say("it is reading already; x stops it")
            return
        cancel, wish, before = threading.Event(), self.wish, None if toward == "first" else self.window
        self._cancel = cancel
        self._busy = "reading" if wish.where is None else "scanning"
        self.list.set_placeholder(f"{self._busy} …")
        backend = self.console.backend

        def opened(reading: Reading) -> None:
            if self._cancel is cancel:
                self._reading = reading

        def loaded(window: Window) -> None:
            if self._cancel is cancel:
                self._idle()
                self._show(window, toward)

        def failed(error: str) -> None:
            if self._cancel is cancel:
                self._idle()
                self._refresh_scanned()
                self.list.set_placeholder(error)
                self.complain(error)

        self.ask(lambda: backend.page(wish, toward, before, cancel, opened), loaded, failed)
        self._refresh_scanned()
        self.refresh_keys()

    @property
    def busy(self) -> bool:
        """Whether a page is being read or an export written."""
        return self._cancel is not None

    def _idle(self) -> None:
        self._cancel = self._reading = None
        self._busy = ""
        self.refresh_keys()

    def _end(self) -> None:
        """Stop whatever is being read; its result is not wanted any more."""
        if self._cancel is not None:
            self._cancel.set()
        self._cancel = self._reading = None
        self._end_follow()

    def _show(self, window: Window, toward: Toward = "first") -> None:
        before = len(self.window.messages) if self.window is not None else 0
        self.window = window
        self._draw(window.messages)
        if toward != "first" and len(window.messages) == before and not window.stopped:
            self.console.say(f"nothing {toward}")
        self._refresh_scanned()

    def _draw(self, messages: Sequence[Message]) -> None:
        pane = self.list
        columns = fitting_columns(tuple(messages))
        if pane.grid.columns != columns:
            pane.grid.set_columns(columns)
        pane.remark = safe(self.wish.spoken, 200)
        pane.set_placeholder("nothing found" if self.wish.where else "nothing there")
        grid = pane.grid
        newest = 0 if not pane.order.reverse else len(grid.items) - 1
        sticks = self._follow is not None and grid.cursor == newest
        pane.show(tuple(messages))
        if sticks and grid.items:
            # Who stands on the newest record goes on standing on it; elsewhere the cursor stays on its record.
            grid.move_to(pane.key(grid.items[0 if not pane.order.reverse else -1]))

    def _tick(self) -> None:
        """Draw how far a page is, and what has come in a follow."""
        follow = self._follow
        if follow is not None and self._followed_from is not None and self.window is not None:
            came, records, newer = follow.taken()
            since = self._followed_from
            window = self.window = replace(followed(self.window, came, newer), records=since.records + records)
            if came:
                self._draw(window.messages)
            self._refresh_scanned()
        elif self._reading is not None:
            if self.window is None or not self.window.messages:
                found = self._reading.settled
                if len(found) != len(self.list.items):
                    self._draw(found)
            self._refresh_scanned()

    def _refresh_scanned(self) -> None:
        """Write what was scanned, and whether that was the whole."""
        self.query_one("#scanned", Summary).show(self._scanned_lines(max(20, self.size.width - 2)))

    def _scanned_lines(self, width: int) -> list[Text]:
        reading, window = self._reading, self.window
        if self.busy:
            words = f"{self._busy} …"
            if reading is not None:
                most = f" of at most {count(reading.offsets)} offsets" if reading.offsets else ""
                words += (
                    f" {text.plural(reading.records, 'record')}{most}; {count(len(reading.settled))} found; x stops"
                )
            return [Text.assemble(("… ", "bold $key"), (f"{words}; x stops; no group joined", "$foreground"))]
        if window is None:
            return [Text("no group joined", style="$muted")]
        parts = list(window.parts)
        if self._follow is not None:
            parts[0] = f"following: {parts[0]}"
            if self._follow.lost:
                parts.insert(1, f"{count(self._follow.lost)} came too fast to be shown")
        parts.insert(1, "no group joined")
        lines = _filled(parts, width)
        style = "$warn" if window.problems or window.stopped else "$muted"
        return [Text(safe(line, 4 * width), style=style) for line in lines]

    def resized(self, width: int, height: int) -> None:
        """Fill the lines anew."""
        self._refresh_scanned()

    # ------------------------------------------------------------ follow

    def do_follow(self) -> None:
        """Show what is written as it comes; the second time, stop."""
        if self._follow is not None:
            self._end_follow()
            self._refresh_scanned()
            self.refresh_keys()
            return
        if self.busy or self.window is None:
            self.console.say("it is still reading; x stops it")
            return
        if not self.window.at_end:
            # What lies between would have to be read first: a follow is about what comes.
            self.wish = replace(self.wish, start="latest")
            self._read_then(self._begin_follow)
        else:
            self._begin_follow()

    def _read_then(self, then: Callable[[], None]) -> None:
        wish, cancel, backend = self.wish, threading.Event(), self.console.backend
        self._cancel, self._busy = cancel, "reading"

        def loaded(window: Window) -> None:
            if self._cancel is cancel:
                self._idle()
                self._show(window)
                then()

        self.ask(lambda: backend.page(wish, "first", None, cancel), loaded, self._failed_now)

    def _failed_now(self, error: str) -> None:
        self._idle()
        self._refresh_scanned()
        self.complain(error)

    def _begin_follow(self) -> None:
        window, backend, wish = self.window, self.console.backend, self.wish
        if window is None:
            return
        follow = self._follow = _Follow()
        self._followed_from = window
        if items := self.list.grid.items:
            self.list.grid.move_to(self.list.key(items[0 if not self.list.order.reverse else -1]))

        def failed(error: str) -> None:
            if self._follow is follow:
                self._end_follow()
                self._failed_now(error)

        def ended(_: None) -> None:
            self.refresh_keys()

        self.ask(lambda: backend.follow(wish, window, follow.cancel, follow.take), ended, failed)
        self._refresh_scanned()
        self.refresh_keys()

    def _end_follow(self) -> None:
        if self._follow is not None:
            self._follow.cancel.set()
            self._tick()  # what came until now belongs to the window
        self._follow = self._followed_from = None

    # ------------------------------------------------------------ keys

    def offers(self, action: str, subject: Subject | None) -> bool:
        """Stop only while something runs; pages only where there are some."""
        running = self.busy or self._follow is not None
        match action:
            case "stop":
                return running
            case "older":
                return not running and self.window is not None and not self.window.at_start
            case "newer":
                return not running and self.window is not None
        return True

    def label(self, action: str, label: str) -> str:
        """Follow is its own end."""
        return "end follow" if action == "follow" and self._follow is not None else label

    def do_stop(self) -> None:
        """Stop reading; what was found by then is shown."""
        if self._follow is not None:
            self.do_follow()
        elif self._cancel is not None:
            self._cancel.set()
        else:
            self.console.say("nothing is being read")

    def do_older(self) -> None:
        """The page before."""
        if self.window is not None and self.window.at_start and not self.busy:
            self.console.say("nothing older is held")
        else:
            self._end_follow()
            self.read("older")

    def do_newer(self) -> None:
        """The page after."""
        self._end_follow()
        self.read("newer")

    def do_refresh(self) -> None:
        """Read the first page again."""
        super().do_refresh()
        self.read("first")

    def do_where(self) -> None:
        """Type a CEL filter."""
        self.query_one(Prompt).open("where", self.wish.where or "")

    def submitted(self, kind: str, value: str) -> None:
        """Read with the filter that was typed; none shows every record."""
        self.go_to(Wish(self.topic, self.wish.start, self.wish.partitions, value.strip() or None, self.wish.size))

    def do_begin(self) -> None:
        """Ask where to begin."""
        picture = self.console.store.kafka
        topics = picture.snapshot.topics if picture is not None else ()
        partitions = next((len(t.partitions) for t in topics if t.name == self.topic), None)
        browse_forms.ask_wish(self, self.wish, partitions, self.go_to)

    def go_to(self, wish: Wish) -> None:
        """Browse something else of the topic."""
        self.wish = wish
        self.list.set_filter("")
        self.list.grid.set_marks(frozenset())
        self._end()
        self.window = None
        self._draw(())
        self.read("first")

    def vanished(self, event: Vanished) -> None:
        """Another page has other records: nothing that was seen has gone."""

    def on_grid_marked(self, event: Marked) -> None:
        """The heading counts the marks."""
        self.list.refresh_heading()

    def do_replay(self) -> None:
        """Copy what is marked, what a filter shows, or a range."""
        parts = replay_form.parts_of(self.list)
        if self.list.filter_text and not parts:
            self.console.say("nothing fits the filter")  # and a range would copy what is not to be seen
            return
        start = self.wish.start
        begin = "" if start in ("last", "latest", "earliest") else start.removesuffix("-ago")
        where, partitions = self.wish.where or "", self.wish.partitions
        replay_form.replay(self, self.topic, begin=begin, where=where, partitions=partitions, parts=parts)

    def do_export(self) -> None:
        """Ask what to write where."""
        if self.busy:
            self.console.say("it is still reading; x stops it")
            return
        shown, marked = tuple(self.list.grid.items), self.list.marked()

        def then(what: str, path: str) -> None:
            if what == "all":
                self._export_all(path)
            else:
                # By time, as they were written; the screen shows the newest first.
                chosen = sorted(
                    marked if what == "marked" else shown, key=lambda m: (m.timestamp or 0.0, m.offset or 0)
                )
                backend = self.console.backend
                self.ask(
                    lambda: backend.export_these(tuple(chosen), path),
                    lambda n: self.console.say(f"{text.plural(n, 'record')} written to {path}"),
                )

        browse_forms.ask_export(self, self.wish, len(shown), self.list.marked_words, then)

    def _export_all(self, path: str) -> None:
        self._end_follow()
        cancel, wish, backend = threading.Event(), self.wish, self.console.backend
        self._cancel, self._busy = cancel, "exporting"

        def opened(reading: Reading) -> None:
            if self._cancel is cancel:
                self._reading = reading

        def written(found: tuple[int, str]) -> None:
            if self._cancel is cancel:
                self._idle()
                self._refresh_scanned()
            self.console.say(f"{text.plural(found[0], 'record')} written to {path}: {found[1]}")

        self.ask(lambda: backend.export(wish, path, cancel, opened), written, self._failed_now)
        self._refresh_scanned()
        self.refresh_keys()

    def words(self) -> tuple[str, ...]:
        """`logq topic browse`."""
        return (*self.wish.words, *(("--follow",) if self._follow is not None else ()))


def _filled(parts: Sequence[str], width: int) -> list[str]:
    """Parts joined by "; " over at most three lines; the last line is cut where they do not fit."""
    lines: list[str] = []
    for part in parts:
        if lines and (len(lines) == _LINES or len(lines[-1]) + 2 + len(part) <= width):
            lines[-1] += f"; {part}"
        else:
            lines.append(part)
    return lines
