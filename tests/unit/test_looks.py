"""What was read of a queue, kept and looked at again: filters, clusters by every facet, and the spool itself."""

from __future__ import annotations

import json
import os
import stat
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from console.errors import UsageError
from console.model import Message
from console.ops import clusters, spool
from console.ops.clusters import FACETS, cluster, ids_of, label, spread
from console.ops.redrive_filter import VARIABLES, Where
from console.ops.spool import Spool
from console.sqs.peek import Budget, Peek, to_message
from console.sqs.receive import Received

NOW = 1_795_443_727.0
ARN = "arn:aws:sqs:eu-west-1:1:"


def received(body: str, number: int = 1, source: str | None = "images", error: str = "", **system: str) -> Received:
    told = {
        "SentTimestamp": str(int(NOW * 1000) + number * 1_800_000),
        "ApproximateReceiveCount": str(number),
        "ApproximateFirstReceiveTimestamp": str(int(NOW * 1000) + number * 1_800_000 + 5_000),
        **system,
    }
    if source:
        told["DeadLetterQueueSourceArn"] = ARN + source
    attributes = {"error": {"DataType": "String", "StringValue": error}} if error else {}
    return Received(f"id-{number}", "r", body, attributes, told)


SNS = json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:r:1:t", "Message": '{"kind": "resize"}'})


@pytest.mark.parametrize(
    ("where", "fits"),
    [
        ("body.kind == 'resize'", True),
        ("inner.kind == 'resize'", True),
        ("receive_count > 2", True),
        ("receive_count > 3", False),
        ("attributes.error.startsWith('Timeout')", True),
        ("error.contains('resize')", True),
        ("source == 'images'", True),
        ("sent > timestamp('2026-11-23T15:00:00Z')", True),
        ("first_received - sent < duration('10s')", True),
        ("now - sent > duration('8760h')", False),
        ("id == 'id-3'", True),
        ("attributes.SenderId == 'AIDA'", True),
        ("body.nothing == 1", False),
    ],
)
def test_a_filter_selects_the_same_messages_before_and_after_a_look(where: str, fits: bool) -> None:
    leased = received('{"kind": "resize"}', 3, error="TimeoutError: resize", SenderId="AIDA")
    chosen = Where(where)
    assert chosen(leased) is fits
    assert chosen.message(to_message("q", leased)) is fits
    assert bool(chosen.note) is ("nothing" in where)


def test_a_filter_reaches_into_envelopes_and_a_misspelt_name_is_told() -> None:
    assert Where("inner.kind == 'resize'")(received(SNS))
    assert not Where("body.kind == 'resize'")(received(SNS))
    with pytest.raises(UsageError, match=r"uses bodi, but a message has: attributes, .*source"):
        Where("bodi.kind == 1")
    assert set(VARIABLES) >= {"body", "attributes", "sent", "first_received", "receive_count"}


LETTERS = [
    to_message("dlq", received(body, number, source, error))
    for number, (body, source, error) in enumerate(
        [
            ('{"id": 1}', "images", "TimeoutError: 4200x3100 took 31.2 s"),
            ('{"id": 2}', "images", "TimeoutError: 800x600 took 30.1 s"),
            ('{"id": 3, "b": 1}', "thumbs", "TimeoutError: 1x1 took 99 s"),
            (SNS, "images", "KeyError: 'format'"),
            ("plain", "", ""),
        ]
    )
]


def test_letters_are_grouped_by_error_source_shape_and_hour() -> None:
    by_error = {c.label: c.count for c in cluster(LETTERS)}
    assert by_error.pop("no error given; text") == 1 and by_error.pop("KeyError: 'format'") == 1
    assert sum(by_error.values()) == 3
    by_source = {c.label: c.count for c in cluster(LETTERS, ("source",))}
    assert by_source == {"from images": 3, "from thumbs": 1, "from a source that is not told": 1}
    by_shape = {c.label: c.count for c in cluster(LETTERS, ("shape",))}
    assert by_shape == {
        "JSON with id": 2, "JSON with b, id": 1, "SNS notification ▸ JSON with kind": 1, "text": 1,
    }  # fmt: skip
    by_hour = {c.label: c.count for c in cluster(LETTERS, ("hour",))}
    assert by_hour == {"in 2026-11-23 14:00": 2, "in 2026-11-23 15:00": 2, "in 2026-11-23 16:00": 1}
    both = cluster(LETTERS, ("error", "source"))
    assert sum(c.count for c in both) == len(LETTERS)
    assert {c.label for c in both} == {label(m, ("error", "source")) for m in LETTERS}
    assert all(c.example in LETTERS and c.first is not None for c in both)


def test_an_id_of_any_grouping_finds_its_messages_again() -> None:
    for size in range(1, len(FACETS) + 1):
        for by in combinations(FACETS, size):
            for found in cluster(LETTERS, by):
                members = [m for m in LETTERS if found.id in ids_of(m)]
                assert len(members) == found.count and found.example in members


def test_facets_are_named_in_one_order_and_unknown_ones_told() -> None:
    assert clusters.parse_by(()) == ("error",)
    assert clusters.parse_by(("hour,error", "source")) == ("source", "hour", "error")
    with pytest.raises(UsageError, match="--by color is none of source, hour, error, shape"):
        clusters.parse_by(("color",))


def test_the_spread_counts_what_is_told() -> None:
    found = spread(LETTERS)
    assert found.sources == (("images", 3), ("thumbs", 1))
    assert [name for name, _ in found.hours] == sorted(name for name, _ in found.hours)
    assert sum(count for _, count in found.shapes) == len(LETTERS)
    assert sum(count for _, count in found.errors) == 4


def look(*messages: Message, whole: bool = True) -> Peek:
    return Peek(messages, len(messages), 7, whole, "2 of ~7 seen", Budget(5, 3, 1, "3 of 5 attempts left"))


ODD = replace(LETTERS[0], value=b"\x00\xff\x1b[31m", attributes=(("raw", b"\x00\xff"), ("text", "ü"), ("utf8", b"abc")))


def test_a_look_comes_back_whole_in_this_run_and_the_next(tmp_path: Path) -> None:
    first = Spool(tmp_path / "looks")
    first.put("http://x/q", look(ODD, *LETTERS), 10)
    for held in (first, Spool(tmp_path / "looks")):
        found = held.get("http://x/q", 10)
        assert found is not None and found.peek == look(ODD, *LETTERS)
    assert first.get("http://x/other") is None
    (file,) = (tmp_path / "looks").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_look_that_read_for_less_does_unless_it_saw_everything(tmp_path: Path) -> None:
    held = Spool(tmp_path)
    held.put("u", look(ODD, whole=False), 10)
    assert held.get("u", 10) is not None and held.get("u", 200) is None
    held.put("u", look(ODD, whole=True), 10)
    assert held.get("u", 200) is not None


def test_a_look_grows_old_and_is_forgotten_when_something_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Spool(tmp_path)
    at = held.put("u", look(ODD), 10).at
    monkeypatch.setattr(spool.time, "time", lambda: at + 3_601)
    assert held.get("u", 1, 3_600) is None and held.get("u") is not None
    held.forget()
    assert held.get("u") is None and not list(tmp_path.iterdir())


def test_a_damaged_file_and_a_folder_that_cannot_be_written_are_no_error(tmp_path: Path) -> None:
    held = Spool(tmp_path / "looks")
    held.put("u", look(ODD), 10)
    (file,) = (tmp_path / "looks").iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    assert Spool(tmp_path / "looks").get("u") is None
    (tmp_path / "file").write_text("")
    nowhere = Spool(tmp_path / "file" / "looks")
    nowhere.put("u", look(ODD), 10)
    assert nowhere.get("u") is not None
    surrogate: Any = replace(ODD, attributes=(("text", "\ud800"),))
    nowhere.put("v", look(surrogate), 10)
    Spool(tmp_path / "looks").put("v", look(surrogate), 10)
    assert not [path for path in (tmp_path / "looks").iterdir() if path.name.startswith(".")]


def test_only_so_many_looks_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MOST_FILES", 3)
    held = Spool(tmp_path)
    for number in range(5):
        held.put(f"u{number}", look(ODD), 10)
        for index, path in enumerate(sorted(tmp_path.iterdir(), key=lambda p: p.stat().st_mtime_ns)):
            os.utime(path, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns + index))
    assert len(list(tmp_path.iterdir())) == 3
