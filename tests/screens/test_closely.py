"""Brokers, replicas, open transactions and foreign types of groups, as a person sees them."""

from __future__ import annotations

import pytest
from fakes import NOW, FakeInspect, backend_of, fake_app, group, kafka_snapshot, topics
from msgspec.structs import replace
from pilot import SIZES, opened, seen, until_seen
from seen import HOSTILE, assert_harmless, screen_lines

from console.model_cluster import Held, HeldPartition, OpenTransaction
from console.tui.screens.brokers import BrokersScreen

OPEN = OpenTransaction(
    4001, 7, (HeldPartition("orders", 3, 1_204),), "order-sync", "Ongoing", NOW - 20, NOW - 5, 60.0, 2, False
)
HANGING = OpenTransaction(4002, 0, (HeldPartition("orders", 1, 77),), "lost", "Empty", None, NOW - 8_000, 60.0, 1, True)


@pytest.mark.parametrize("size", SIZES)
async def test_the_brokers(size: tuple[int, int]) -> None:
    app = fake_app()
    async with opened(app, size) as pilot:
        app.run_command("brokers")
        await until_seen(pilot, "kafka brokers 3", "1 broker of 3 away", "active controller 1")
        assert isinstance(app.screen, BrokersScreen)
        away = next(line for line in screen_lines(app) if line.startswith(" ✖"))
        assert " 3 –" in away and "not in the cluster" in away
        if size[0] >= 160:
            assert "60 of 60 replica" in away and "55.9 GiB" in seen(app)
        await pilot.press("c")
        await until_seen(pilot, "broker list")


@pytest.mark.parametrize("size", SIZES)
async def test_a_topic_says_who_holds_it_back_and_what_ends_that(size: tuple[int, int]) -> None:
    app = fake_app()
    backend_of(app).held = Held((OPEN, HANGING))
    async with opened(app, size) as pilot:
        app.run_command("topic orders")
        await until_seen(pilot, "oldest replayable: 6d03h ago", "hanging transaction of lost", "size 28.6 MiB")
        assert "▲ hanging transaction" in seen(app) and "▲ open transaction" not in seen(app)
        assert "it ends within 40s" in seen(app)
        flat = " ".join(seen(app).split())
        assert "nothing will end it: kafka-transactions.sh" in flat
        assert flat.count("--topic orders --partition 1 --start-offset 77") == 1, "whole at any width"


async def test_a_topic_that_lacks_replicas_says_so_in_the_list_and_on_its_own() -> None:
    found = FakeInspect()
    short = topics()[0]
    short = replace(short, partitions=tuple(replace(p, isr=(1, 3)) for p in short.partitions))
    found.kafka_side = replace(kafka_snapshot(), topics=(short, *topics()[1:]))
    app = fake_app(found=found)
    async with opened(app) as pilot:
        await until_seen(pilot, "broker 2", "its replicas are out of sync on 6 partitions of 1 topic")
        await pilot.press("T")
        await until_seen(pilot, "6 partitions under-replicated", "28.6 MiB")
        app.run_command("topic orders")
        await until_seen(pilot, "▲ 6 partitions under-replicated (out of sync: broker 2)", "1,3")


async def test_a_share_group_says_what_it_cannot_do() -> None:
    found = FakeInspect(kafka_snapshot((group("parcels", type="share"),)))
    app = fake_app(found=found)
    backend_of(app).held = Held((OPEN,))
    async with opened(app, (160, 50)) as pilot:
        app.run_command("group parcels")
        await until_seen(pilot, "stable, share", "no reset here (kafka-share-groups --reset-offsets)")
        await until_seen(pilot, "open transaction of order-sync (producer 4001, epoch 7) for 21s")


async def test_names_of_transactions_cannot_steer_the_terminal() -> None:
    app = fake_app()
    found = tuple(replace(HANGING, transactional_id=name, producer_id=n) for n, name in enumerate(HOSTILE))
    async with opened(app, (160, 50)) as pilot:
        for start in range(0, len(found), 3):
            backend_of(app).held = Held(found[start : start + 3])
            app.run_command("topic orders")
            await until_seen(pilot, "hanging transaction of")
            assert_harmless(screen_lines(app))
            await pilot.press("escape")
