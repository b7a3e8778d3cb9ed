"""Tables, CSV and JSON: what is printed for values of every kind."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.cli import shapes
from console.cli.output import Answer, Column, Rows, as_csv, emit, parts, pretty, table, width_of
from console.cli.run import Run
from console.model import (
    Cluster,
    DeadLetters,
    Group,
    GroupPartition,
    Job,
    Message,
    Problem,
    Queue,
    Severity,
    Status,
)
from console.text import is_safe

ANY_TEXT = st.text(alphabet=st.characters(), max_size=40)
COLUMNS: tuple[Column[tuple[str, int, str]], ...] = (
    Column("name", lambda r: r[0], least=6),
    Column("lag", lambda r: f"{r[1]:,}", "right"),
    Column("reason", lambda r: r[2], least=6, drop=1),
)


def run_as(output: str) -> Run:
    run = Run()
    run.gather("output", output)
    return run


@given(st.lists(st.tuples(ANY_TEXT, st.integers(0, 10**9), ANY_TEXT), max_size=6), st.integers(12, 120))
def test_a_table_is_safe_whatever_is_in_it_and_never_wider_than_the_terminal(
    rows: list[tuple[str, int, str]], width: int
) -> None:
    lines = table(COLUMNS, rows, max(width, 25), color=False, severity=lambda _: Severity.BAD)
    assert len(lines) == len(rows) + 1
    for line in lines:
        assert is_safe(line)
        assert width_of(line) <= max(width, 25)


@given(st.lists(st.tuples(ANY_TEXT, st.integers(0, 10**9), ANY_TEXT), min_size=1, max_size=6))
def test_a_piped_table_cuts_nothing(rows: list[tuple[str, int, str]]) -> None:
    from console.text import safe

    lines = table(COLUMNS, rows, None, color=False)
    for row, line in zip(rows, lines[1:], strict=True):
        assert safe(row[0]).rstrip() in line
        assert f"{row[1]:,}" in line
        assert safe(row[2]).rstrip() in line


def test_numbers_stand_right_and_signs_come_first() -> None:
    lines = table(
        COLUMNS, [("a", 5, "x"), ("b", 18204, "")], None, color=False, severity=lambda r: Severity(3 if r[1] > 9 else 0)
    )
    assert lines == ["  name     lag  reason", "  a          5  x", "✖ b     18,204"]


def test_colour_only_where_allowed() -> None:
    assert "\x1b[31m" in "".join(table(COLUMNS, [("a", 1, "")], None, True, lambda _: Severity.BAD))
    assert "\x1b" not in "".join(table(COLUMNS, [("a", 1, "")], None, False, lambda _: Severity.BAD))


def test_narrow_clips_then_leaves_out() -> None:
    row = [("a-rather-long-name", 18204, "a reason of some length")]
    clipped = table(COLUMNS, row, 40, color=False)
    assert clipped[0].split() == ["name", "lag", "reason"]
    assert "…" in clipped[1]
    dropped = table(COLUMNS, row, 20, color=False)
    assert dropped[0].split() == ["name", "lag"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ok", "ok"),
        ("\x1b[2J", "\x1b[2J"),
        (b"bytes", "bytes"),
        (b"\xff\x00", {"base64": "/wA="}),
        ("x\udcff", {"base64": "eP8="}),
        (None, None),
        ("", ""),
    ],
)
def test_json_values_are_raw_and_bytes_that_are_no_text_are_base64(value: str | bytes | None, expected: object) -> None:
    assert shapes.raw(value) == expected
    json.dumps(shapes.raw(value))


@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=20) | st.binary(max_size=20))
def test_any_text_or_bytes_make_json(value: str | bytes) -> None:
    assert json.loads(json.dumps(shapes.raw(value))) == shapes.raw(value)


def test_times_are_rfc_3339_with_milliseconds() -> None:
    assert shapes.when(1795443727.12) == "2026-11-23T14:22:07.120Z"
    assert shapes.when(0.9996) == "1970-01-01T00:00:00.999Z"
    assert shapes.when(None) is None
    assert shapes.when(1e300) is None


def test_the_fields_of_every_noun_are_those_of_the_contract() -> None:
    partition = GroupPartition("t", 0)
    message = Message("kafka:t", "t/0/1")
    letters = DeadLetters("sqs:q", "queue", clusters=(Cluster("c", "label", 1),))
    for row, fields in (
        (shapes.group(Group("g", partitions=(partition,))), shapes.GROUP),
        (shapes.partition(partition), shapes.PARTITION),
        (shapes.queue(Queue("q", "u")), shapes.QUEUE),
        (shapes.dlq(letters, clusters=True), shapes.DLQ),
        (shapes.message(message), shapes.MESSAGE),
        (shapes.job(Job("j", "reset", "s", "t", "done")), shapes.JOB),
    ):
        assert tuple(row) == fields


def test_unknown_is_null_and_never_zero() -> None:
    blind = shapes.group(Group("g"))
    assert [blind[name] for name in ("members", "lag", "lag_seconds", "lost", "no_commit", "topics", "partitions")] == [
        None
    ] * 7
    queue = shapes.queue(Queue("q", "u"))
    assert [queue[name] for name in ("visible", "in_flight", "delayed", "oldest_seconds", "max_receive")] == [None] * 5
    assert shapes.dlq(DeadLetters("sqs:q", "queue"))["clusters"] is None


def test_csv_is_raw_and_quoted() -> None:
    text = as_csv(
        [{"name": 'a,"b"\n', "lag": None, "n": 0, "on": True, "topics": ["x"]}], ("name", "lag", "n", "on", "topics")
    )
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [["name", "lag", "n", "on", "topics"], ['a,"b"\n', "", "0", "true", '["x"]']]


def answer() -> Answer:
    row = shapes.queue(Queue("q\x1b", "u", status=Status.OK))
    return Answer(
        {"queues": [row]},
        [row],
        shapes.QUEUE,
        lambda width, color: ["page"],
        0.0,
        (Problem("broker 2", "TIMEOUT", "no\x1b"),),
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_indented_printable_ascii_that_reads_as_it_was(value: Any) -> None:
    text = pretty(value)
    assert json.loads(text) == value
    assert all(line.isascii() and line.isprintable() for line in text.split("\n"))
    # The same lines as the standard library's, numbers apart: 1e16 is 1e+16 there.
    assert len(text.split("\n")) == len(json.dumps(value, indent=2).split("\n"))


@pytest.mark.parametrize("text", ["é", "\x7f", "\ud800", "\u202e", "\x9b31m", "😀"])
def test_json_spells_out_what_is_no_printable_ascii(text: str) -> None:
    assert pretty({"a": [text]}) == json.dumps({"a": [text]}, indent=2)


@pytest.mark.parametrize("count", [0, 1, 16, 17, 40])
def test_json_in_pieces_is_the_json_of_the_whole(count: int) -> None:
    rows = [{"n": n, "text": "a\nb", "inner": [], "more": [{"x": None}]} for n in range(count)]
    answer = {
        "schema": 1,
        "problems": [],
        "more": {"a": [1]},
        "rows": Rows(range(count), lambda n: rows[n]),
        "end": None,
    }
    assert list(answer["rows"]) == rows
    assert "".join(parts(answer)) == json.dumps({**answer, "rows": rows}, indent=2) + "\n"


def test_problems_are_data_in_json_and_safe_lines_on_stderr_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    emit(run_as("json"), answer())
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["schema"] == 1
    assert found["at"] == "1970-01-01T00:00:00.000Z"
    assert found["problems"] == [{"where": "broker 2", "code": "TIMEOUT", "message": "no\x1b"}]
    assert found["queues"][0]["name"] == "q\x1b"
    assert err == ""
    for output in ("table", "jsonl", "csv"):
        emit(run_as(output), answer())
        out, err = capsys.readouterr()
        assert err == "▲ broker 2: no␛\n"
        assert "TIMEOUT" not in out


def test_empty_lists_still_have_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    emit(run_as("csv"), Answer({"queues": []}, [], shapes.QUEUE, lambda width, color: []))
    assert capsys.readouterr().out == ",".join(shapes.QUEUE) + "\n"
    emit(run_as("jsonl"), Answer({"queues": []}, [], shapes.QUEUE, lambda width, color: []))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("argv", [["--help"], ["config", "path"], ["config", "show", "-o", "json"]])
def test_a_full_disk_is_a_failure_in_one_line(argv: list[str], tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.fail("this system has no /dev/full to try it on")
    with full.open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "console", *argv],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "logq: cannot write the output: No space left on device\n"
