"""What a console left open costs: requests are counted over hours of simulated polling, and priced as AWS does."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from console import text
from console.config import SqsSettings
from console.errors import Unreachable
from console.sqs import ages, cadence, price, watch
from console.sqs.client import SqsClient
from console.sqs.price import Meter, Spent

QUEUES = 500
VISIBLE = 12
MOST_A_DAY = 0.60
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/"


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


class Account:
    """Five hundred queues that answer at once. Every call is counted as a request; `busy` ones change all the time.

    A fake, since no server of the tests' bears a day of polling: what goes over a real wire is counted in
    tests/broker.
    """

    def __init__(self, names: list[str], meter: Meter, busy: bool = True) -> None:
        self.names, self.busy, self.meter = names, busy, meter
        self.dlq = ""
        self.calls: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.meta = type("Meta", (), {"endpoint_url": URL, "region_name": "eu-west-1"})

    def list_queues(self, **request: Any) -> Any:
        self._count("list", "")
        return {"QueueUrls": [URL + name for name in self.names]}

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: Any) -> Any:
        self._count("attributes", QueueUrl)
        self.asked[QueueUrl.removeprefix(URL)] += 1
        depth = self.calls["attributes"] if self.busy else 7
        name = QueueUrl.removeprefix(URL)
        attributes = {"QueueArn": f"arn:{name}", "ApproximateNumberOfMessages": str(depth)}
        if self.dlq and name != self.dlq:
            attributes["RedrivePolicy"] = f'{{"deadLetterTargetArn": "arn:{self.dlq}", "maxReceiveCount": 3}}'
        return {"Attributes": attributes}

    def _count(self, what: str, url: str) -> None:
        self.calls[what] += 1
        self.meter.sent(f'{{"QueueUrl": "{url}"}}'.encode())


def opened(monkeypatch: pytest.MonkeyPatch, names: list[str], busy: bool = True) -> tuple[SqsClient, Account, Clock]:
    clock = Clock()
    made: list[Account] = []

    def make(settings: SqsSettings, timeout: float, *, sends: bool = False, meter: Meter) -> Any:
        made.append(Account(names, meter, busy))
        return made[-1]

    client = SqsClient(SqsSettings(region="eu-west-1"), make=make)
    client.raw()
    for module in (watch, ages):
        monkeypatch.setattr(module, "time", clock)
    # Asked for in the same thread: eight threads have nothing to do with what is asked for.
    monkeypatch.setattr(client, "submit", lambda work: Done(work()))
    monkeypatch.setattr(client, "bounded_until", lambda doing, ends, work: work())
    monkeypatch.setattr(client, "ages_of", lambda names, ends, every: client._ages.of(names, True, every))
    monkeypatch.setattr(ages.inspect, "ages", lambda cloudwatch, due: dict.fromkeys(due, 5.0))
    monkeypatch.setattr(ages.connect, "cloudwatch_client", lambda settings, wait: None)
    return client, made[0], clock


class Done:
    def __init__(self, value: Any) -> None:
        self.value = value

    def result(self, timeout: float) -> Any:
        return self.value


def leave_open(client: SqsClient, clock: Clock, seconds: float, watched: frozenset[str]) -> None:
    ends = clock.now + seconds
    while clock.now < ends:
        client.snapshot(watched=watched)
        clock.now += cadence.VISIBLE_S


@pytest.mark.parametrize("kind", ["standard", "fifo"])
def test_500_queues_of_which_12_are_on_the_screen_cost_at_most_60_cents_a_day(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    names = [f"q-{n:03}" + (".fifo" if kind == "fifo" else "") for n in range(QUEUES)]
    client, account, clock = opened(monkeypatch, names)
    client.snapshot()  # the first picture is of everything
    before, calls = client.spent, account.calls.copy()
    leave_open(client, clock, 900.0, frozenset(names[:VISIBLE]))
    quarter = client.spent.dollars - before.dollars
    assert client.spent.requests == sum(account.calls.values())  # nothing goes out uncounted
    asked = account.calls["attributes"] - calls["attributes"]
    per_million = price.DOLLARS_PER_MILLION[kind]
    lists = account.calls["list"] - calls["list"]
    metrics = client.spent.metrics - before.metrics
    by_hand = asked * per_million / 1e6 + lists * 0.40 / 1e6 + metrics * price.DOLLARS_PER_METRIC
    assert math.isclose(quarter, by_hand, rel_tol=1e-9)
    naive = QUEUES * 450 * per_million / 1e6
    assert 96 * quarter <= MOST_A_DAY, f"${96 * quarter:.2f} a day; every queue every 2 s costs ${96 * naive:.2f}"
    # Every queue changes at every look here: those on the screen are asked every 5 s, the others every minute.
    shown = [account.asked[name] for name in names[:VISIBLE]]
    rest = [account.asked[name] for name in names[VISIBLE:]]
    assert min(shown) >= 175 and min(rest) >= 13 and max(rest) <= 18
    assert metrics <= VISIBLE * 8 and lists <= 16


def test_what_does_not_change_is_asked_ever_less_often_and_at_once_again_when_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"q-{n:03}" for n in range(QUEUES)]
    client, account, clock = opened(monkeypatch, names, busy=False)
    watched = frozenset(names[:VISIBLE])
    leave_open(client, clock, 900.0, watched)
    quiet = account.calls["attributes"]
    assert quiet < 0.45 * (VISIBLE * 180 + (QUEUES - VISIBLE) * 15)
    account.busy = True
    client.snapshot(watched=watched)
    before = account.asked[names[0]]
    leave_open(client, clock, 100.0, watched)
    assert account.asked[names[0]] - before >= 16


def test_a_queue_that_comes_into_sight_is_looked_at_at_once_and_hurry_asks_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"q-{n:03}" for n in range(watch.FEW + 1)]
    client, account, clock = opened(monkeypatch, names)
    client.snapshot()
    clock.now += 6.0
    snapshot = client.snapshot(watched={"q-003"})
    assert account.asked["q-003"] == 2 and account.asked["q-004"] == 1 and snapshot.requests == 1
    assert len(snapshot.queues) == len(names) and snapshot.requests_so_far == len(names) + 2
    old = {queue.name: queue.seen_at for queue in snapshot.queues}
    assert old["q-003"] == clock.now and old["q-004"] == clock.now - 6.0
    clock.now += 1.0
    client.snapshot(watched={"q-004"})
    assert account.asked["q-004"] == 2
    client.hurry()
    assert client.snapshot(watched=frozenset()).requests == len(names) + 1


def test_few_queues_are_all_in_sight_and_dead_letter_queues_are_never_left_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"q-{n:03}" for n in range(watch.FEW)]
    client, account, clock = opened(monkeypatch, names)
    client.snapshot()
    clock.now += 5.0
    assert client.snapshot(watched=frozenset()).requests == len(names)

    names = [f"q-{n:03}" for n in range(QUEUES)]
    client, account, clock = opened(monkeypatch, names, busy=False)
    account.dlq = names[7]
    leave_open(client, clock, 900.0, frozenset())
    assert account.asked[names[7]] >= 14 > 2 * account.asked[names[8]]


def test_a_side_that_has_gone_silent_is_told_at_the_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two lists only queues are asked: when none of them answers, the list tells that nobody is there."""
    client, account, clock = opened(monkeypatch, ["invoices", "images"])
    client.snapshot(watched={"invoices"})

    def gone(**request: Any) -> Any:
        raise EndpointConnectionError(endpoint_url=URL)

    account.list_queues = account.get_queue_attributes = gone  # type: ignore[method-assign]
    clock.now += cadence.VISIBLE_S
    with pytest.raises(Unreachable, match="no queue answered"):
        client.snapshot(watched={"invoices"})  # no picture: it would be the old counts with a new time
    clock.now += cadence.VISIBLE_S
    with pytest.raises(EndpointConnectionError):
        client.snapshot(watched={"invoices"})


def test_a_picture_in_which_no_queue_answered_is_as_old_as_the_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    client, account, clock = opened(monkeypatch, ["invoices"])
    answers = account.get_queue_attributes
    answered = client.snapshot(watched={"invoices"}).at

    def silent(**request: Any) -> Any:
        raise EndpointConnectionError(endpoint_url=URL)

    account.get_queue_attributes = silent  # type: ignore[method-assign]
    clock.now += watch.LIST_EVERY_S
    seen = client.snapshot(watched={"invoices"})
    assert seen.at == answered
    assert seen.queues[0].visible is not None and seen.queues[0].problem is not None
    account.get_queue_attributes = answers  # type: ignore[method-assign]
    clock.now += cadence.VISIBLE_S
    assert client.snapshot(watched={"invoices"}).at == clock.now


def test_a_queue_that_is_denied_is_no_side_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    client, account, clock = opened(monkeypatch, ["invoices"])
    client.snapshot(watched={"invoices"})

    def denied(**request: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetQueueAttributes")

    account.get_queue_attributes = denied  # type: ignore[method-assign]
    clock.now += cadence.VISIBLE_S
    assert [problem.code for problem in client.snapshot(watched={"invoices"}).problems] == ["AccessDenied"]


def test_the_looks_at_what_is_off_the_screen_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"q-{n:03}" for n in range(QUEUES)]
    client, _, clock = opened(monkeypatch, names)
    client.snapshot()
    most = 0
    for _ in range(24):
        clock.now += 5.0
        most = max(most, client.snapshot(watched=frozenset()).requests)
    assert most < QUEUES / 4


def test_ages_are_paid_for_only_where_they_are_seen_and_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"q-{n:03}" for n in range(watch.FEW + 1)]
    client, _, clock = opened(monkeypatch, names)
    clock.now += 6.0
    queues = {queue.name: queue for queue in client.snapshot(watched={"q-003"}).queues}
    assert queues["q-003"].oldest_seconds == 5.0 and client.spent.metrics == 1
    assert queues["q-004"].oldest_seconds is None and "on the screen" in queues["q-004"].oldest_reason


def test_requests_are_billed_by_type_and_by_64_kb() -> None:
    meter = Meter()
    meter.sent(b'{"QueueUrl": "https://x/1/a.fifo", "AttributeNames": ["All"]}')
    meter.sent(b'{"QueueUrl": "https://x/1/a", "MessageBody": "\\"QueueUrl\\": \\"b.fifo\\""}')
    assert meter.spent == Spent(2, 1, 0, 0.50 / 1e6 + 0.40 / 1e6)
    meter = Meter()
    meter.sent(b"x" * 130_000)
    meter.received(65_536, fifo=False)
    meter.received(65_537, fifo=True)
    assert meter.spent.requests == 1
    assert math.isclose(meter.spent.dollars, (2 * 0.40 + 0.50) / 1e6)


@pytest.mark.parametrize(
    ("amount", "shown"), [(0, "$0"), (0.000_000_4, "$0.00000040"), (0.000_42, "$0.00042"), (0.129, "$0.13")]
)
def test_dollars_show_the_digits_that_matter(amount: float, shown: str) -> None:
    assert text.dollars(amount) == shown
