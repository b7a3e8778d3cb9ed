"""A change from the command line: exit codes, what is printed where, and how it is stopped."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from console.cli.change import Change, carry_out, perform
from console.cli.progress import line_of
from console.cli.run import Run
from console.errors import Failed, Refused
from console.model import Outcome, Problem, Progress
from console.ops.plan import PlanView
from console.text import is_safe

VIEW = PlanView(
    kind="reset",
    title="reset group billing\x1b[2J",
    facts=(("group", "billing\u202e"),),
    command="logq group reset billing --execute",
    target="billing",
    warnings=("careful\x07",),
    columns=("topic", "new"),
    rows=(("orders\x9b", "10"),),
    undo="logq job undo JOB",
)
ENTRY = {"topic": "orders", "partition": 0, "old": 5, "new": 10}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("LOGQ_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.delenv("LOGQ_READ_ONLY", raising=False)
    yield


def run_as(output: str) -> Run:
    run = Run()
    run.gather("output", output)
    return run


def change(outcome: Outcome | None = None, idle: str = "") -> Change:
    def work(cancel: threading.Event, on_progress: Callable[[Progress], None]) -> Outcome:
        assert outcome is not None, "it must not run"
        return outcome

    return Change(VIEW, {"kind": "reset", "entries": [ENTRY]}, work, idle)


def ended(state: Any, **how: Any) -> Outcome:
    return Outcome("reset-1", state, done=2, **how)


def test_without_execute_the_plan_is_printed_and_nothing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert carry_out(run_as("table"), change(), execute=False, yes=True) == 0
    out, err = capsys.readouterr()
    assert "logq group reset billing --execute" in out
    assert is_safe(out)
    assert err == ""


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("done", 0),
        ("running", 0),
        ("failed", 1),
        ("partly", 4),
        ("paused", 4),
        ("cancelled", 130),
        ("interrupted", 130),
    ],
)
@pytest.mark.parametrize("output", ["table", "json", "jsonl", "csv"])
def test_exit_codes(capsys: pytest.CaptureFixture[str], state: str, code: int, output: str) -> None:
    outcome = ended(state, failed=1, problems=(Problem("orders 0", "X", "not\x1b allowed"),))
    assert carry_out(run_as(output), change(outcome), execute=True, yes=True) == code
    out, err = capsys.readouterr()
    assert state in out
    if output != "json":
        assert "orders 0: not␛ allowed" in err


def test_json_is_one_object_with_plan_and_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    carry_out(run_as("json"), change(), execute=False, yes=False)
    planned = json.loads(capsys.readouterr().out)
    assert set(planned) == {"schema", "at", "problems", "plan"}
    carry_out(run_as("json"), change(ended("done", lines=("fine",))), execute=True, yes=True)
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"schema", "at", "problems", "plan", "outcome"}
    assert found["plan"]["entries"] == [ENTRY]
    assert found["outcome"] == {
        "job": "reset-1", "state": "done", "done": 2, "failed": 0, "left": None, "lines": ["fine"], "problems": [],
    }  # fmt: skip


def test_jsonl_and_csv_of_a_plan_are_its_entries(capsys: pytest.CaptureFixture[str]) -> None:
    carry_out(run_as("jsonl"), change(), execute=False, yes=False)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [ENTRY]
    carry_out(run_as("csv"), change(), execute=False, yes=False)
    assert capsys.readouterr().out == "topic,partition,old,new\norders,0,5,10\n"


def test_without_a_terminal_and_without_yes_it_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Refused, match="--yes"):
        carry_out(run_as("table"), change(), execute=True, yes=False)


def test_nothing_to_do_asks_nothing_and_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert carry_out(run_as("table"), change(idle="nothing to do"), execute=True, yes=False) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_an_error_in_the_work_comes_out_of_it() -> None:
    def work(cancel: threading.Event, on_progress: Callable[[Progress], None]) -> Outcome:
        raise Failed("no")

    with pytest.raises(Failed, match="no"):
        perform(work)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_the_work_to_stop_and_waits_for_it(number: int) -> None:
    def work(cancel: threading.Event, on_progress: Callable[[Progress], None]) -> Outcome:
        os.kill(os.getpid(), number)
        assert cancel.wait(5)
        time.sleep(0.3)  # the rest of the batch
        return ended("cancelled")

    before = signal.getsignal(number)
    assert perform(work).state == "cancelled"
    assert signal.getsignal(number) is before


def test_a_second_signal_leaves_at_once() -> None:
    released = threading.Event()

    def work(cancel: threading.Event, on_progress: Callable[[Progress], None]) -> Outcome:
        os.kill(os.getpid(), signal.SIGINT)
        assert cancel.wait(5)
        os.kill(os.getpid(), signal.SIGINT)
        released.wait(30)
        return ended("done")

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        perform(work)
    assert time.monotonic() - began < 5
    released.set()


def test_progress_in_words() -> None:
    line = line_of(Progress("j", done=250, failed=2, total=1000, rate=50.0, note="waiting\x1b[31m"))
    assert line.startswith("████████░")
    assert line.endswith("250 of 1,000  50/s  15s left  2 failed  waiting␛[31m")
    assert line_of(Progress("j", done=3)) == "3 done"
