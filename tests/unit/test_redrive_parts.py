"""Parts of a queue's redrive that need no server: edits, patience, the ledger's arithmetic."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import Unreachable, UsageError
from console.model import Problem
from console.ops.redrive_edit import Edit, Unfit, difference
from console.ops.redrive_ledger import Ledger, Verdict
from console.ops.redrive_pause import Patience
from console.sqs.receive import Received


def message(body: str, key: str = "id", group: str | None = None, **attributes: str) -> Received:
    system = {} if group is None else {"MessageGroupId": group}
    return Received(
        key, "r", body, {n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()}, system
    )


# ---------------------------------------------------------------- edits


def test_a_patch_sets_computes_and_takes_out_and_leaves_the_rest() -> None:
    edit = Edit(
        ['body.kind="gif"', "body.n=body.n + 1", "body.o.x[1]=true", 'body["odd key"]=null', "attributes.tries=0"],
        ["body.error", "attributes.gone"],
    )
    before = message(
        '{"kind": "png", "n": 9007199254740993, "o": {"x": [1, 2]}, "error": "x", "f": 1.50}', gone="v", t="w"
    )
    after = edit(before)
    assert json.loads(after.body) == {
        "kind": "gif", "n": 9007199254740994, "o": {"x": [1, True]}, "f": 1.5, "odd key": None,
    }  # fmt: skip
    assert after.attributes == {
        "t": {"DataType": "String", "StringValue": "w"}, "tries": {"DataType": "Number", "StringValue": "0"},
    }  # fmt: skip
    assert ("body.error", '"x"', "") in difference(before, after)
    assert ("attributes.gone", '"v"', "") in difference(before, after)
    assert after.id == before.id and after.system == before.system


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("no json", "no JSON"),
        ("[1]", "no place"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"big": 0.1234567890123456789012}', "round"),
        ('{"huge": 1e999}', "round"),
    ],
)
def test_what_a_patch_does_not_fit_is_not_sent(body: str, says: str) -> None:
    with pytest.raises(Unfit, match=says):
        Edit(["body.kind=1"], [])(message(body))


@pytest.mark.parametrize(
    ("sets", "unsets", "says"),
    [
        (["body.kind=resize"], [], "quotes"),
        (["body.kind"], [], "no assignment"),
        (["kind=1"], [], "begins with"),
        (["bodykind=1"], [], "begins with"),
        (["attributes=1"], [], "attributes.NAME"),
        (["body.x=1 +"], [], "not a CEL"),
        ([], ["body"], "no place"),
        ([], ["body.x=1"], "no place"),
    ],
)
def test_what_is_no_patch_is_told(sets: list[str], unsets: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Edit(sets, unsets)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON, max_size=4), st.booleans())
def test_what_is_not_named_stays_the_same(body: dict[str, Any], tight: bool) -> None:
    body.pop("set", None)
    before = message(json.dumps(body, separators=(",", ":") if tight else None, ensure_ascii=False))
    after = json.loads(Edit(["body.set=1"], [])(before).body)
    assert after.pop("set") == 1
    assert json.dumps(after) == json.dumps(body)


# ---------------------------------------------------------------- patience


def test_patience_asks_until_it_is_over_and_says_why() -> None:
    told: list[str] = []
    asked: list[int] = []

    def ask() -> None:
        asked.append(1)
        if len(asked) < 3:
            raise Unreachable(f"refused {len(asked)}")

    patience = Patience(30.0, threading.Event(), told.append)
    patience._wait = 0.01
    assert patience.outlasts(Problem("q", "X", "refused 0"), 0, ask)
    assert [f"refused {n}" in line for n, line in enumerate(told[:3])] == [True] * 3 and told[-1] == ""


def test_patience_ends_and_a_cancel_ends_it_at_once() -> None:
    def ask() -> None:
        raise Unreachable("gone")

    problem = Problem("q", "X", "gone")
    assert not Patience(0.2, threading.Event(), lambda _: None).outlasts(problem, 0, ask)
    cancel = threading.Event()
    cancel.set()
    began = time.monotonic()
    assert not Patience(300.0, cancel, lambda _: None).outlasts(problem, 0, ask)
    assert time.monotonic() - began < 1


# ---------------------------------------------------------------- the ledger


def ledger(**more: Any) -> Ledger:
    given_: dict[str, Any] = {
        "scan_limit": None,
        "limit": None,
        "ids": (),
        "where": None,
        "known": lambda ids: ({}, {}),
    }
    return Ledger(**(given_ | more))


def test_no_more_is_asked_for_than_is_planned() -> None:
    book = ledger(scan_limit=25)
    assert [book.ask(10) for _ in range(4)] == [10, 10, 5, 0]
    book.answered(10)
    assert book.ask(10) == 10


def test_a_message_is_one_workers_alone_and_what_has_ended_is_only_deleted() -> None:
    ended: dict[str, str] = {}
    book = ledger(known=lambda ids: ({key: ended[key] for key in ids if key in ended}, {}))
    one = message("x", "a")
    assert [v for _, v, _ in book.claim([one, one])] == [Verdict.SEND, Verdict.HOLD]
    assert [v for _, v, _ in book.claim([one])] == [Verdict.HOLD]
    ended["a"] = "SENT"
    book.set(["a"], "SENT")
    book.set(["a"], "DELETED")
    book.let_go(["a"])
    assert book.done == 1 and book.unfinished() == ()
    assert [v for _, v, _ in book.claim([one])] == [Verdict.DELETE]
    book.set(["a"], "DELETED")
    assert book.done == 1


def test_behind_a_failed_message_its_group_stands_still_also_in_a_later_run() -> None:
    book = ledger(known=lambda ids: ({"a": "FAILED"} if "a" in ids else {}, {}))
    verdicts = [v for _, v, _ in book.claim([message("x", "a", "g"), message("x", "b", "g"), message("x", "c", "h")])]
    assert verdicts == [Verdict.HOLD, Verdict.HOLD, Verdict.SEND] and book.behind == 1


def test_a_group_stopped_by_an_outage_goes_on_after_it() -> None:
    book = ledger()
    book.stop_group("for a while", for_good=False)
    book.stop_group("for good", for_good=True)
    book.stop_group("for good", for_good=False)
    book.go_on()
    verdicts = [v for _, v, _ in book.claim([message("x", "a", "for a while"), message("x", "b", "for good")])]
    assert verdicts == [Verdict.SEND, Verdict.HOLD]


def test_a_copy_that_came_back_is_never_sent_again() -> None:
    book = ledger(known=lambda ids: ({}, {"copy": ("a", "DELETED"), "old": ("b", "BOUNCED")}))
    claimed = book.claim([message("x", "copy"), message("x", "old")])
    assert [v for _, v, _ in claimed] == [Verdict.HOLD, Verdict.HOLD] and book.bounced == {"copy"}
