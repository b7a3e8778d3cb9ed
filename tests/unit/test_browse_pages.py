"""Pages of a topic in memory: whatever the order of times, the filter and the size, nothing is skipped or doubled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.config import KafkaSettings
from console.errors import Failed, UsageError
from console.kafka import browse as kafka_browse
from console.model import Message, Problem, Topic, TopicPartition
from console.ops import browse_pages
from console.ops.browse import Browse
from console.ops.browse_pages import MOST, Window, Wish, followed, joined, order, write_file
from console.ops.browse_range import Edges, Reach
from console.ops.lines import read_line

Log = dict[int, list[int]]
"""Of each partition the time of the record at each offset."""


class Even:
    """A filter that selects records of even offsets."""

    note = ""


class MemoryScan:
    """`console.kafka.browse.Scan` over a log in memory."""

    log: Log = {}

    def __init__(
        self, settings: KafkaSettings, topic: str, ranges: Mapping[int, tuple[int, int | None]], keep: Any = None
    ) -> None:
        self._ranges = ranges
        self._keep = keep
        self.open: set[int] = set()
        self.position = {p: begin for p, (begin, _) in ranges.items()}
        self.scanned = 0
        self.first: dict[int, float] = {}
        self._waiting: list[Message] = []

    def batches(self, *how: Any) -> Iterator[list[Message]]:
        for p, (begin, end) in self._ranges.items():
            held = [Message("kafka:t", f"t/{p}/{o}", p, o, float(self.log[p][o])) for o in range(begin, end or begin)]
            self.scanned += len(held)
            if held:
                self.first[p] = held[0].timestamp or 0.0
            self.position[p] = end or begin
            yield [m for m in held if self._keep is None or (m.offset or 0) % 2 == 0]

    def merged(self, *how: Any) -> Iterator[Message]:
        everything = [m for batch in self.batches() for m in batch]
        heads = {p: [m for m in everything if m.partition == p] for p in self._ranges}
        while any(heads.values()):
            p = min((p for p in heads if heads[p]), key=lambda p: (heads[p][0].timestamp or 0.0, p))
            found = heads[p].pop(0)
            self._waiting = [held[0] for held in heads.values() if held]
            yield found

    @property
    def shown(self) -> dict[int, int]:
        return {**self.position, **{m.partition or 0: m.offset or 0 for m in self._waiting}}


logs = st.dictionaries(st.integers(0, 3), st.lists(st.integers(0, 60), max_size=40), min_size=1)


@given(logs, st.integers(1, 15), st.booleans(), st.sampled_from(["older", "newer"]))
def test_pages_hold_every_record_once(log: Log, size: int, filtered: bool, toward: Literal["older", "newer"]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryScan, "log", log)
        patch.setattr(kafka_browse, "Scan", MemoryScan)
        patch.setattr("console.ops.browse._STEP", 4)
        patch.setattr(
            browse_pages, "browse", lambda session, topic, **how: memory_browse(log, filtered=filtered, **how)
        )
        wish = Wish("t", "last" if toward == "older" else "earliest", where="even" if filtered else None, size=size)
        window = browse_pages.page(None, wish)  # type: ignore[arg-type]
        for _ in range(400):
            if window.at_start and window.at_end:
                break
            before = window
            window = browse_pages.page(None, wish, toward, before)  # type: ignore[arg-type]
            assert {m.id for m in before.messages} <= {m.id for m in window.messages}
            inside = {
                f"t/{p}/{o}"
                for p, start in window.edges.older.items()
                for o in range(start, window.edges.newer[p])
                if not filtered or o % 2 == 0
            }
            assert inside <= {m.id for m in window.messages}, "between its edges a window is whole"
    wanted = {f"t/{p}/{o}" for p, times in log.items() for o in range(len(times)) if not filtered or o % 2 == 0}
    assert {m.id for m in window.messages} == wanted
    assert len(window.messages) == len(wanted)
    assert list(window.messages) == sorted(window.messages, key=order)
    assert window.whole


def memory_browse(log: Log, *, filtered: bool, start: Any = None, end: Any = None, **how: Any) -> Browse:
    """What `browse` makes of a log in memory."""

    def at(place: Any, p: int, otherwise: int) -> int:
        return int(place[p]) if isinstance(place, dict) else otherwise

    reaches = [
        Reach(p, 0, len(times), at(start, p, 0), max(at(start, p, 0), at(end, p, len(times))))
        for p, times in log.items()
    ]
    seen = Topic("t", tuple(TopicPartition(p) for p in log))
    where: Any = Even() if filtered else None
    return Browse(
        KafkaSettings("x:1"), seen, reaches, (), where=where, last=how.get("last"), limit=how.get("limit"),
        patience=1.0, held_back=0,
    )  # fmt: skip


# ---------------------------------------------------------------- windows


def record(offset: int, at: float | None = None, value: bytes = b"v") -> Message:
    return Message("kafka:t", f"t/0/{offset}", 0, offset, float(offset) if at is None else at, None, value)


def window(first: int, last: int, **more: Any) -> Window:
    messages = tuple(record(o) for o in range(first, last))
    return Window(messages, Edges({0: first}, {0: last}), more.pop("held", {0: (0, 100)}), last - first, **more)


def test_a_window_says_what_was_looked_at() -> None:
    said = "; ".join(window(10, 20).parts)
    assert said == (
        "10 of 10 records scanned; offsets p0 10–19; not the whole: 100 offsets are held; older and newer not looked at"
    )
    assert "; ".join(window(0, 100).parts).endswith("the whole")
    assert "nothing to scan; the whole" in "; ".join(window(0, 0, held={0: (0, 0)}).parts)


def test_too_much_begins_anew_with_the_page_that_came_last_and_its_edges() -> None:
    before = window(3, MOST + 3, held={0: (0, MOST + 100)})
    older = joined(before, window(0, 3, held=before.held), "older")
    assert (len(older.messages), older.edges) == (3, Edges({0: 0}, {0: 3}))
    newer = joined(before, window(MOST + 3, MOST + 10, held=before.held), "newer")
    assert (len(newer.messages), newer.edges) == (7, Edges({0: MOST + 3}, {0: MOST + 10}))


def test_a_partition_that_could_not_be_read_keeps_a_window_from_being_the_whole() -> None:
    gone = Problem("t partition 1", "UNKNOWN", "its leader is not there")
    silent = Problem("topic t", "TIMEOUT", "nothing came from partition 0")
    before = window(50, 100, problems=(gone, silent))
    both = joined(before, window(0, 50, held=before.held), "older")
    assert both.at_start and both.at_end and not both.whole
    assert both.problems == (gone,)


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 30))
def test_what_falls_out_of_a_follow_is_no_longer_said_to_be_shown(times: list[int], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browse_pages, "FOLLOWED", most)
        found = window(0, 0)
        for offset, at in enumerate(times):
            found = followed(found, [record(offset, float(at))], {0: offset + 1})
    assert len(found.messages) == min(most, len(times))
    shown = {m.offset for m in found.messages}
    assert set(range(found.edges.older[0], found.edges.newer[0])) <= shown


def test_a_file_appears_whole_for_its_user_alone_and_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert write_file(str(path), (record(o) for o in range(3))) == 3
    assert [read_line(line).offset for line in path.read_bytes().splitlines()] == [0, 1, 2]
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="exists already"):
        write_file(str(path), [])

    def breaks() -> Iterator[Message]:
        yield record(0)
        raise Failed("stopped: nothing was written")

    with pytest.raises(Failed, match="stopped"):
        write_file(str(tmp_path / "b.jsonl"), breaks())
    with pytest.raises(Failed, match="cannot write"):
        write_file(str(tmp_path / "none" / "c.jsonl"), [])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl"], "no part of a file is left"


def test_a_wish_is_a_command_line() -> None:
    assert Wish("t").words == ("topic", "browse", "t", "--last", "200")
    wish = Wish("t", "2h-ago", (0, 2), "key == 'a'")
    assert wish.words[3:] == ("--from", "2h-ago", "--partition", "0", "--partition", "2", "--where", "key == 'a'")
    assert wish.spoken == "from 2h-ago, partition 0, 2, where key == 'a'"
