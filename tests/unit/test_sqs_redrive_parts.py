"""Redrive without a server: claims, the filter, the spool, the rate, the plan's words."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import Refused, UsageError
from console.journal import Entry
from console.ops import redrive, redrive_preview, redrive_spool
from console.ops.redrive_bounce import Bounces
from console.ops.redrive_edit import Edit
from console.ops.redrive_filter import Where
from console.ops.redrive_ledger import DELETED, FAILED, INTENT, SENT, SPOOLED, Bucket, Ledger, Verdict
from console.ops.spool import Swept
from console.sqs.peek import Budget, Peek, to_message
from console.sqs.receive import Received


def message(key: str = "a", body: str = "x", group: str | None = None, **system: str) -> Received:
    if group is not None:
        system["MessageGroupId"] = group
    return Received(key, f"receipt-{key}", body, {}, system)


class Kept(Ledger):
    """A ledger whose journal is a dictionary."""

    def __init__(self, **more: Any) -> None:
        self.entries: dict[str, str] = {}
        self.copies: dict[str, str] = {}
        super().__init__(known=self._look, **more)

    def _look(self, ids: Sequence[str]) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
        states = {key: self.entries[key] for key in ids if key in self.entries}
        return states, {c: (self.copies[c], self.entries[self.copies[c]]) for c in ids if c in self.copies}

    def set(self, keys: Collection[str], state: str) -> None:
        self.entries |= dict.fromkeys(keys, state)
        if state == SENT:
            self.copies |= {f"copy-{key}": key for key in keys}
        super().set(keys, state)

    def one(self, found: Received) -> tuple[Verdict, bool]:
        ((_, verdict, fresh),) = self.claim([found])
        return verdict, fresh


def ledger(
    scan_limit: int | None = 100, limit: int | None = None, ids: tuple[str, ...] = (), where: Any = None
) -> Kept:
    return Kept(scan_limit=scan_limit, limit=limit, ids=ids, where=where)


# ---------------------------------------------------------------- claims


def test_a_message_is_sent_once_and_deleted_when_seen_again() -> None:
    state = ledger()
    assert state.one(message()) == (Verdict.SEND, True)
    assert state.one(message()) == (Verdict.HOLD, False)  # another worker has it
    state.set(["a"], INTENT)
    state.set(["a"], SENT)
    state.let_go(["a"])
    assert state.one(message())[0] is Verdict.DELETE
    state.set(["a"], DELETED)
    assert state.one(message())[0] is Verdict.DELETE
    assert state.done == 1


def test_the_newest_receipt_handle_deletes() -> None:
    state = ledger()
    state.one(message())
    # The lease ran out during the send, and another worker received it again.
    state.one(replace(message(), receipt="newer"))
    assert state.newest({"a": "receipt-a", "b": "receipt-b"}) == {"a": "newer", "b": "receipt-b"}


def test_a_copy_that_came_back_is_not_sent_again() -> None:
    state = ledger()
    state.one(message())
    state.set(["a"], SENT)
    state.let_go(["a"])
    assert state.one(message("copy-a")) == (Verdict.HOLD, True)
    assert state.one(message("copy-a")) == (Verdict.HOLD, False)
    assert state.bounced == {"copy-a"} and state.take_held() == {"copy-a": "receipt-copy-a"}


def test_what_an_earlier_run_left_decides() -> None:
    state = ledger(scan_limit=5)
    state.entries = {"sent": SENT, "gone": DELETED, "bad": FAILED, "unsure": "AMBIGUOUS", "kept": SPOOLED}
    state.copies = {"copy": "sent"}
    unfinished = [Entry(key, state.entries[key]) for key in ("sent", "unsure", "kept")]
    state.load(unfinished, Counter(state.entries.values()), {"unsure"})
    verdicts = {key: state.one(message(key))[0] for key in ("sent", "gone", "bad", "unsure", "kept", "copy", "new")}
    assert verdicts == {
        "sent": Verdict.DELETE, "gone": Verdict.DELETE, "bad": Verdict.HOLD, "unsure": Verdict.SEND,
        "kept": Verdict.SEND, "copy": Verdict.HOLD, "new": Verdict.OVER,
    }  # fmt: skip
    assert (state.done, state.failed, state.ambiguous) == (1, 1, {"unsure"})


def test_never_more_than_planned() -> None:
    state = ledger(scan_limit=2)
    assert [state.one(message(key))[0] for key in "abc"] == [Verdict.SEND, Verdict.SEND, Verdict.OVER]
    assert not state.complete and state.ask(10) == 0
    state.set("ab", DELETED)
    state.let_go("ab")
    assert state.complete


def test_the_limit_counts_what_is_selected_and_the_scan_what_is_read() -> None:
    state = ledger(scan_limit=4, limit=2, where=lambda m: m.id in "bcd")
    assert [state.one(message(key))[0] for key in "abcd"] == [Verdict.HOLD, Verdict.SEND, Verdict.SEND, Verdict.OVER]
    assert state.unselected == 1
    state = ledger(scan_limit=2, where=lambda m: False)
    assert [state.one(message(key))[0] for key in "abc"] == [Verdict.HOLD, Verdict.HOLD, Verdict.OVER]
    assert state.complete and set(state.take_held()) == {"a", "b"}


def test_ids_end_the_search_once_all_are_found() -> None:
    state = ledger(ids=("b",))
    assert state.one(message("a"))[0] is Verdict.HOLD
    assert state.one(message("b"))[0] is Verdict.SEND
    state.set("b", DELETED)
    state.let_go("b")
    assert state.complete


def test_a_limit_holds_for_many_threads() -> None:
    state = ledger(scan_limit=10_000, limit=50)
    sent: list[str] = []

    def work(worker: int) -> None:
        keys = [f"{worker}-{n}" for n in range(200)]
        sent.extend(key for key in keys if state.one(message(key))[0] is Verdict.SEND)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == len(set(sent)) == 50


def test_a_stopped_group_stays_and_others_go_on() -> None:
    state = ledger()
    state.stop_group("g", for_good=True)
    assert state.one(message("a", group="g"))[0] is Verdict.HOLD
    assert state.one(message("b", group="h"))[0] is Verdict.SEND


def test_a_message_let_go_unsent_can_be_claimed_again() -> None:
    state = ledger(limit=1)
    state.one(message())
    state.let_go(["a"])
    assert state.one(message())[0] is Verdict.SEND


# ---------------------------------------------------------------- rate


def test_the_rate_holds_over_all_workers() -> None:
    bucket = Bucket(100)
    taken: list[int] = []
    ends = time.monotonic() + 0.5

    def work() -> None:
        while time.monotonic() < ends:
            taken.append(bucket.take(10, lambda: time.monotonic() > ends))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 30 <= sum(taken) <= 65


def test_a_slow_rate_takes_one_by_one_and_gives_way_to_a_stop() -> None:
    bucket = Bucket(0.5)
    assert bucket.take(bucket.most, lambda: False) == 1
    began = time.monotonic()
    assert bucket.take(1, lambda: time.monotonic() - began > 0.1) == 0
    assert time.monotonic() - began < 0.5
    bucket.give_back(1)
    assert bucket.take(bucket.most, lambda: False) == 1
    assert Bucket(None).take(10, lambda: False) == 10


# ---------------------------------------------------------------- filter


@pytest.mark.parametrize(
    ("source", "selected"),
    [
        ('body.kind == "png"', True),
        ("body.kind == 'gif'", False),
        ("body.n > 2 && receive_count >= 4", True),
        ('attributes["who"] == "me"', True),
        ('attributes.AWSTraceHeader.startsWith("Root=")', True),
        ('group_id == "g" && id == "a"', True),
        ('sent < timestamp("2030-01-01T00:00:00Z")', True),
        ("body.missing == 1", False),
        ("body.kind > 3", False),
        ("receive_count", False),
        ("has(body.missing)", False),
    ],
)
def test_a_filter_sees_the_message(source: str, selected: bool) -> None:
    found = Received(
        "a", "r", '{"kind": "png", "n": 3}', {"who": {"DataType": "String", "StringValue": "me"}},
        {
            "ApproximateReceiveCount": "4", "MessageGroupId": "g", "SentTimestamp": "1700000000000",
            "AWSTraceHeader": "Root=1",
        },
    )  # fmt: skip
    assert Where(source)(found) is selected


def test_a_text_body_is_text_and_what_cannot_be_told_is_counted() -> None:
    where = Where('body.contains("oops")')
    assert where(message(body="well oops")) and not where(message(body='{"a": "oops"}'))
    assert where.errors == 1 and where.first_error


@pytest.mark.parametrize(("source", "says"), [("1 +", "not a CEL"), ("boddy == 1", "boddy"), ("", "not a CEL")])
def test_a_bad_filter_is_a_usage_error_of_one_line(source: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        Where(source)
    assert "\n" not in str(raised.value)


# ---------------------------------------------------------------- spool

attributes = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.one_of(
        st.builds(lambda v: {"DataType": "String", "StringValue": v}, st.text()),
        st.builds(lambda v: {"DataType": "Binary.x", "BinaryValue": v}, st.binary()),
    ),
    max_size=4,
)


@given(st.text(), attributes, st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_the_whole_message_comes_back_out_of_the_spool(body: str, attributes: Any, system: dict[str, str]) -> None:
    found = Received("id", "receipt", body, attributes, system)
    spooled = redrive_spool.unpack(redrive_spool.pack(found, "q", "dedup"))
    assert (spooled.message.body, spooled.message.attributes, spooled.message.system) == (body, attributes, system)
    assert (spooled.to, spooled.dedup_id) == ("q", "dedup")


def test_the_deduplication_id_is_our_own() -> None:
    ids = {
        redrive_spool.dedup_id(*parts)
        for parts in [("s", "m", "j"), ("s", "m", "k"), ("s", "n", "j"), ("t", "m", "j"), ("s", "m", "j", "e")]
    }
    assert len(ids) == 5 and all(len(one) == 64 for one in ids)
    assert redrive_spool.dedup_id("s", "m", "j") in ids
    out = redrive_spool.outgoing(message(group="g", MessageDeduplicationId="original", AWSTraceHeader="t"), True, "own")
    assert (out.group_id, out.dedup_id, out.trace) == ("g", "own", "t")
    fair = redrive_spool.outgoing(message(group="tenant"), False, None)
    assert (fair.group_id, fair.dedup_id) == ("tenant", None)


# ---------------------------------------------------------------- plan


def planned(**more: Any) -> redrive.RedrivePlan:
    base = redrive.RedrivePlan(
        dlq="d", url="http://x/1/d", arn="arn:d", fifo=False, count=57, in_flight=0, delayed=0, to=None,
        destinations=(redrive.Destination("q", "http://x/1/q", "arn:q", 3, None, 3, "d"),), engine="client",
        why="asked for", endpoint="http://x", command="logq dlq redrive sqs:d --execute",
    )  # fmt: skip
    return replace(base, **more)


def test_a_plan_survives_the_journal() -> None:
    steps = planned(
        canary=3, ramp=True, watch=None, sets=("body.a=1",), diff=(("m", "body.a", "0", "1"),), diff_note="x"
    )
    for plan in (
        planned(),
        steps,
        planned(ids=("a", "b"), where="id == 'a'", limit=3, rate=2.5, to="q", engine="native"),
    ):
        assert redrive.from_json(redrive.to_json(plan)) == plan


def test_nothing_that_came_back_is_no_proof_while_messages_wait_for_their_consumers() -> None:
    found = Bounces(0, 0, 5, (), True, "all 33 seen", waiting=888)
    assert found.lines == ("none of 5 came back yet: 888 still wait at the destination (all 33 seen)",)
    assert not found.proven
    assert replace(found, waiting=0).proven
    assert not replace(found, waiting=0, whole=False).proven
    assert not replace(found, waiting=0, back=1).proven


def test_an_edit_is_shown_on_messages_that_were_read_before_where_a_look_finds_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leased = Received(
        "m1", "", '{"tries": 3}', {"a": {"DataType": "Binary", "BinaryValue": b"x"}}, {"MessageGroupId": "g"}
    )
    kept = Swept(Peek((to_message("d", leased),), 1, 2_000, False, "", Budget(None)), time.time() - 60, 200)
    source: Any = SimpleNamespace(name="d")
    edit = Edit(("body.retried=true",), ())
    monkeypatch.setattr(redrive_preview, "_look", lambda session, sqs, source, force: [])
    nobody: Any = None
    rows, note = redrive_preview.preview(nobody, nobody, planned(), source, edit, kept)
    assert rows == (("m1", "body.retried", "", "true"),)
    assert note.startswith("1 message of 1 read 1m00s ago fit")
    assert redrive_preview._received(kept.peek.messages[0]) == leased
    for plan, looks in ((planned(ids=("other",)), kept), (planned(), None)):
        rows, note = redrive_preview.preview(nobody, nobody, plan, source, edit, looks)
        assert (rows, note) == ((), "no message was seen")

    def refuse(*given: Any) -> list[Received]:
        raise Refused("no attempt left")

    monkeypatch.setattr(redrive_preview, "_look", refuse)
    assert redrive_preview.preview(nobody, nobody, planned(), source, edit, kept)[0]
    assert redrive_preview.preview(nobody, nobody, planned(), source, edit)[1] == "not shown: no attempt left"


def test_how_many_is_only_told_when_known() -> None:
    assert planned().total == 57
    assert planned(limit=5).total == 5
    assert planned(ids=("a", "b")).total == 2
    assert planned(where="true").total is None
    assert planned(count=None).total is None


def test_the_plan_says_what_people_must_know() -> None:
    view = redrive.view(planned(in_flight=2, dlq_max_receive=4))
    words = " ".join([*(text for _, text in view.facts), *view.warnings])
    for part in ("~57", "q (its source)", "client: asked for", "consumers of q", "comes back to d", "cannot be undone"):
        assert part in words
    for part in ("Exactly once is impossible", "2 messages of d in flight", "redrive policy of its own (4 receives)"):
        assert part in words
    assert view.undo == "" and view.target == "d" and view.rows == (("q", "3", "d", "3"),)
    two = planned(destinations=planned().destinations * 2)
    assert "DeadLetterQueueSourceArn" in " ".join(redrive.view(two).warnings)
    assert "behind the first 10" in " ".join(redrive.view(planned(fifo=True, where="true")).warnings)
