"""What logq says about groups and plans for them, against Apache's own tools on the same cluster, field by field.

Apache's tools take seconds of Java each, so each is asked once for all groups; logq is asked once for each group.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from varied import Varied, varied

from console import cli

if TYPE_CHECKING:
    from console.brokers import Brokers

pytestmark = pytest.mark.broker

CONSUMER = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
SHARE = "org.apache.kafka.tools.consumer.group.ShareGroupCommand"
STREAMS = "org.apache.kafka.tools.streams.StreamsGroupCommand"
GROUPS = "org.apache.kafka.tools.GroupsCommand"

AT_30 = "2025-10-09T08:53:50.000"
"""The time of record 30 of each partition."""

RESETS = (
    ("--to-earliest",),
    ("--to-latest",),
    ("--to-current",),
    ("--to-offset", "25"),
    ("--shift-by", "-5"),
    ("--shift-by", "30"),
    ("--to-datetime", AT_30),
    ("--to-datetime", "2030-01-01T00:00:00.000"),
    ("--by-duration", "PT1H30M"),
    ("--from-file",),
)
"""Every strategy of Apache's tool: it has no other."""


def logq(*argv: str) -> Any:
    """What `logq … -o json` says; in this process, because forty starts of Python are no part of the question."""
    out = io.StringIO()
    with redirect_stdout(out):
        assert cli.main([*argv, "-o", "json"]) == 0, argv
    return json.loads(out.getvalue())


class Tools:
    """Apache's tools on one cluster, two at a time; what each said is kept."""

    def __init__(self, brokers: Brokers, pool: ThreadPoolExecutor) -> None:
        self._brokers = brokers
        self._pool = pool
        self._said: dict[str, Future[str]] = {}

    def start(self, name: str, tool: str, *arguments: str) -> None:
        self._said[name] = self._pool.submit(self._run, tool, *arguments)

    def _run(self, tool: str, *arguments: str) -> str:
        where = ("--bootstrap-server", self._brokers.bootstrap)
        ended = self._brokers.kafka.run_tool(tool, *where, *arguments, timeout=200)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def text(self, name: str) -> str:
        return self._said[name].result(200)

    def rows(self, name: str) -> list[dict[str, str]]:
        """The lines of all the tables in what it said, by their headings."""
        found: list[dict[str, str]] = []
        heads: list[str] = []
        for line in self.text(name).splitlines():
            # "COORDINATOR (ID)" is one heading over two words: host:port and (id).
            cells = line.replace("(ID)", "ID").split()
            if line.startswith("GROUP "):
                heads = cells
            elif heads and len(cells) >= len(heads) - 1 and not line.startswith("Consumer group"):
                found.append(dict(zip(heads, cells, strict=False)))
        return found


@pytest.fixture(scope="module")
def world(brokers: Brokers, unique: Callable[[str], str]) -> Iterator[Varied]:
    with varied(brokers.bootstrap, unique) as made:
        yield made


@pytest.fixture(scope="module")
def tools(brokers: Brokers, world: Varied, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tools]:
    """All of Apache's tools on their way; those about members that will be gone in 45 s first."""
    stopped = [word for group in world.stopped.values() for word in ("--group", group)]
    consumers = [*stopped, *(word for group in world.live.values() for word in ("--group", group))]
    with ThreadPoolExecutor(2) as pool:
        found = Tools(brokers, pool)
        shares = [word for group in world.share for word in ("--group", group)]
        found.start("streams", STREAMS, "--describe", "--members", "--verbose", "--group", world.streams)
        found.start("share members", SHARE, "--describe", "--members", *shares)
        found.start("share state", SHARE, "--describe", "--state", *shares)
        found.start("types", GROUPS, "--list")
        found.start("share offsets", SHARE, "--describe", "--offsets", *shares)
        found.start("offsets", CONSUMER, "--describe", "--offsets", *consumers)
        found.start("members", CONSUMER, "--describe", "--members", "--verbose", *consumers)
        found.start("state", CONSUMER, "--describe", "--state", *consumers)
        for how in RESETS:
            given, which = list(how), ["--all-topics"]
            if how == ("--from-file",):
                given.append(str(_file(world, tmp_path_factory.mktemp("reset"))))
                which = []
            found.start(" ".join(how), CONSUMER, "--reset-offsets", *stopped, *which, "--dry-run", "--export", *given)
        yield found


def _file(world: Varied, folder: Path) -> Path:
    """Offsets for two groups in the form that Apache's tool exports for several, some outside the log."""
    path = folder / "offsets.csv"
    orders, short = world.topics["orders"], world.topics["short"]
    one, two = world.stopped["partly"], world.stopped["expired"]
    path.write_text(
        f"{one},{orders},0,17\n{one},{orders},2,9\n{one},{short},1,3\n{two},{short},0,45\n{two},{short},1,999\n"
    )
    return path


@pytest.fixture(scope="module")
def shown(kafka: str, world: Varied) -> Mapping[str, Any]:
    """`logq group show` of every group, asked while all members are there."""
    groups = (*world.stopped.values(), *world.live.values(), *world.share, world.streams)
    return {name: logq("-b", kafka, "group", "show", name) for name in groups}


def number(cell: str) -> int | None:
    return None if cell == "-" else int(cell)


def word(cell: str) -> str | None:
    return None if cell == "-" else cell


def test_members_of_share_and_streams_groups(world: Varied, shown: Mapping[str, Any], tools: Tools) -> None:
    (theirs,) = tools.rows("streams")
    (ours,) = shown[world.streams]["members"]
    assert (ours["member"], ours["client_id"]) == (theirs["MEMBER"], theirs["CLIENT-ID"])
    assert shown[world.streams]["groups"][0]["type"] == "streams"
    for name in world.share:
        assert [m["member"] for m in shown[name]["members"]] == [
            row["CONSUMER-ID"] for row in tools.rows("share members") if row["GROUP"] == name
        ]
        (state,) = [row for row in tools.rows("share state") if row["GROUP"] == name]
        group = shown[name]["groups"][0]
        assert (group["state"], group["members"]) == (state["STATE"], int(state["#MEMBERS"]))
    assert len(shown[world.share[0]]["members"]) == 1, "the share group lost its member before it was looked at"


def test_start_and_lag_of_share_groups(world: Varied, shown: Mapping[str, Any], tools: Tools) -> None:
    for name in world.share:
        theirs = {
            (row["TOPIC"], int(row["PARTITION"])): (number(row["START-OFFSET"]), number(row["LAG"]))
            for row in tools.rows("share offsets")
            if row["GROUP"] == name
        }
        ours = {(p["topic"], p["partition"]): (p["committed"], p["lag"]) for p in shown[name]["partitions"]}
        assert theirs and theirs.items() <= ours.items(), name
    begun = world.share[1]
    assert sorted(p["committed"] for p in shown[begun]["partitions"] if p["committed"] is not None) == [60, 70]


def test_every_type_is_listed_as_what_it_is(kafka: str, world: Varied, tools: Tools) -> None:
    theirs = {row["GROUP"]: row["TYPE"].lower() for row in tools.rows("types")}
    ours = {g["group"]: g["type"] for g in logq("-b", kafka, "group", "list")["groups"]}
    names = (*world.stopped.values(), *world.live.values(), *world.share, world.streams)
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}
    assert {ours[name] for name in names} == {"classic", "consumer", "share", "streams"}


def test_offsets_lag_and_who_reads(world: Varied, shown: Mapping[str, Any], tools: Tools) -> None:
    theirs: dict[tuple[str, str, int], dict[str, str]] = {
        (row["GROUP"], row["TOPIC"], int(row["PARTITION"])): row for row in tools.rows("offsets")
    }
    ours = {
        (name, p["topic"], p["partition"]): p
        for name in (*world.stopped.values(), *world.live.values())
        for p in shown[name]["partitions"]
    }
    assert len(theirs) > 80 and theirs.keys() <= ours.keys()
    for key, row in theirs.items():
        p = ours[key]
        assert p["committed"] == number(row["CURRENT-OFFSET"]), key
        assert p["end"] == number(row["LOG-END-OFFSET"]), key
        assert (p["member"], p["client_id"]) == (word(row["CONSUMER-ID"]), word(row["CLIENT-ID"])), key
        assert (p["host"] or "") == (word(row["HOST"]) or "").removeprefix("/"), key
        lag = number(row["LAG"])
        if p["committed"] is None:
            assert lag is None and p["lag"] is None and p["lost"] is None, key
        elif lag is not None and lag < 0:
            # Beyond the end of the log: theirs is a negative lag, ours is none.
            assert p["committed"] > p["end"] and p["lag"] == 0, key
        else:
            # Theirs counts records that are no more as if they were to be read; ours says them apart.
            assert p["lag"] + p["lost"] == lag, key
            assert p["lost"] == max(0, p["start"] - p["committed"]), key
    # What only logq shows: partitions of the group's topics that it never committed, those added since among them.
    more = {key: ours[key] for key in ours.keys() - theirs.keys()}
    assert more and all(p["committed"] is None and p["lag"] is None and p["member"] is None for p in more.values())
    grown = world.stopped["grown"]
    assert {p for g, _, p in more if g == grown} == {2, 3}
    gone = {key[1] for key in ours if key[0] == world.stopped["gone"]}
    assert gone == {world.topics["orders"]}, "a deleted topic's commits are gone with it"
    assert sum(p["lost"] or 0 for p in ours.values()) > 0


def test_states_and_numbers_of_members(world: Varied, shown: Mapping[str, Any], tools: Tools) -> None:
    theirs = {row["GROUP"]: (row["STATE"], int(row["#MEMBERS"])) for row in tools.rows("state")}
    ours = {
        name: (shown[name]["groups"][0]["state"], shown[name]["groups"][0]["members"])
        for name in (*world.stopped.values(), *world.live.values())
    }
    assert ours == theirs


def test_members_and_what_is_assigned_to_them(world: Varied, shown: Mapping[str, Any], tools: Tools) -> None:
    theirs = {
        row["CONSUMER-ID"]: (row["GROUP"], row["HOST"].removeprefix("/"), row["CLIENT-ID"], row["CURRENT-ASSIGNMENT"])
        for row in tools.rows("members")
    }
    ours = {
        m["member"]: (name, m["host"], m["client_id"], _assignment(m["assignment"]))
        for name in (*world.stopped.values(), *world.live.values())
        for m in shown[name]["members"]
    }
    assert len(ours) == 3 and ours == theirs


def _assignment(given: list[dict[str, Any]]) -> str:
    return ";".join(f"{a['topic']}:{','.join(map(str, a['partitions']))}" for a in given)


@pytest.mark.parametrize("how", RESETS, ids=" ".join)
def test_reset_plans(kafka: str, world: Varied, tools: Tools, how: tuple[str, ...], tmp_path: Path) -> None:
    """What Apache's dry run would commit is what ours would; ours goes on to partitions that were never committed."""
    theirs: dict[str, dict[tuple[str, int], int]] = {}
    for row in csv.reader(io.StringIO(tools.text(" ".join(how)))):
        if len(row) == 4:
            theirs.setdefault(row[0], {})[row[1], int(row[2])] = int(row[3])
    given = [*how, str(_file(world, tmp_path))] if how == ("--from-file",) else list(how)
    groups = [g for g in world.stopped.values() if how != ("--from-file",) or g in theirs]
    assert len(theirs) == len(groups) >= 2
    for group in groups:
        entries = logq("-b", kafka, "group", "reset", group, *given)["plan"]["entries"]
        ours = {(e["topic"], e["partition"]): e for e in entries}
        assert {key: ours[key]["new"] for key in theirs[group]} == theirs[group], group
        for key in ours.keys() - theirs[group].keys():
            assert ours[key]["old"] is None and "no commit" in ours[key]["note"], (group, key)
        for key, new in theirs[group].items():
            e = ours[key]
            assert (
                e["records"] == max(0, min(e["old"], e["end"]) - max(new, e["start"])) if e["old"] is not None else True
            )
            assert e["skipped"] is not None
