"""Lines that appear only when there is something to say: what is unreachable, how old the data is, the demo's story."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from console.model import KafkaSnapshot, Severity
from console.text import duration, safe
from console.tui.store import Link, SideName, Store
from widgets.crumbs import Health
from widgets.line import Line


class Notice(Line):
    """One line that takes no room while it is empty."""

    DEFAULT_CSS = """
    Notice { display: none; background: $background; }
    Notice.-shown { display: block; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._text = Text("")

    @property
    def text(self) -> Text:
        """What is shown now."""
        return self._text

    def show(self, text: Text) -> None:
        """Show this line; an empty one disappears."""
        if text != self._text:
            self._text = text
            self.set_class(bool(text.plain), "-shown")
            self.refresh()

    def line(self, width: int) -> Text:
        """The line."""
        return Text(" ").append_text(self._text)


STATE_WIDTH = 62
"""Cells of the top line that the path leaves to both sides' state, the age and the mode."""


def path(place: str, crumbs: Sequence[str], width: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The words of the path and the depth of each: the middle gives way before the state of both sides does."""
    kept = list(enumerate((place, *crumbs)))
    while len(kept) > 3 and sum(cell_len(word) + 3 for _, word in kept) > width - STATE_WIDTH:
        del kept[2]
    return tuple(word for _, word in kept), tuple(depth for depth, _ in kept)


def health(store: Store, now: float) -> tuple[Health, ...]:
    """Both sides in a few words each, for the top line."""
    found = []
    for side in ("kafka", "sqs"):
        link = store.links.get(side)
        if link is not None and link.configured:
            found.append(_health(side, store, link, now))
    return tuple(found)


def _health(side: str, store: Store, link: Link, now: float) -> Health:
    gone = link.error is not None
    words = _kafka_words(store.kafka.snapshot if store.kafka else None, gone) if side == "kafka" else _sqs_words(store)
    if gone:
        return Health(f"{side} unreachable" if link.seen_at is None else words, Severity.BAD)
    if link.seen_at is None:
        return Health(f"{side} connecting", Severity.UNKNOWN)
    if link.stale(now):
        return Health(words, Severity.WARN)
    if link.unknown(now):
        return Health(words, Severity.UNKNOWN)
    if side == "kafka" and store.kafka and any(b.reachable is False for b in store.kafka.snapshot.brokers):
        return Health(words, Severity.BAD)
    return Health(words)


def _kafka_words(snapshot: KafkaSnapshot | None, gone: bool) -> str:
    if snapshot is None or not snapshot.brokers:
        return "kafka"
    # The last picture may count a broker that has gone since: a look that failed reached none.
    up = 0 if gone else sum(1 for broker in snapshot.brokers if broker.reachable is not False)
    return f"kafka {up}/{len(snapshot.brokers)}"


def _sqs_words(store: Store) -> str:
    region = store.sqs.snapshot.region if store.sqs else None
    return f"sqs {safe(region, 24)}" if region else "sqs"


def age(seconds: float) -> str:
    """An age in words: "14 s", "2m10s"."""
    return f"{seconds:.0f} s" if seconds < 60 else duration(seconds)


def trouble(store: Store, now: float) -> Text:
    """What cannot be reached or is old, and how old what is shown is; empty when all is well."""
    heads: list[Text] = []
    rest: list[str] = []
    sides: tuple[SideName, ...] = ("kafka", "sqs")
    for side in sides:
        link = store.links.get(side)
        if link is None or not link.configured:
            continue
        seconds = link.age(now)
        if link.error is not None:
            old = "nothing seen yet" if seconds is None else f"data is {age(seconds)} old"
            heads.append(Text.assemble(("✖ ", "bold $bad"), (f"{side}: {old}", "bold $warn")))
            rest.append(f"{link.error}; still trying")
        elif seconds is not None and link.stale(now):
            heads.append(Text.assemble(("▲ ", "bold $warn"), (f"{side}: data is {age(seconds)} old", "bold $warn")))
            rest.append("waiting for an answer")
        elif (problem := _first_problem(store, side)) is not None:
            heads.append(Text.assemble(("▲ ", "bold $warn"), (f"{side}: {problem}", "$muted")))
    # How old comes first for both sides: in a narrow terminal the reasons are what is cut.
    line = Text("  ").join(heads)
    for words in dict.fromkeys(rest):
        line.append(f"  {words}", style="$muted")
    return line


def _first_problem(store: Store, side: SideName) -> str | None:
    picture = store.kafka if side == "kafka" else store.sqs
    problems = picture.snapshot.problems if picture is not None else ()
    if not problems:
        return None
    more = f" (and {len(problems) - 1} more: :doctor)" if len(problems) > 1 else ""
    return safe(f"{problems[0].where}: {problems[0].message}", 300) + more
