"""Commands on a real terminal: the question before a change, the width, the colours."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from terminal import Terminal

pytestmark = pytest.mark.broker


@pytest.fixture
def stopped(kafka: str, unique: Callable[[str], str]) -> tuple[str, str]:
    """A stopped group with commits at 40 in both partitions of its topic."""
    from confluent_kafka import KafkaException, Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    topic, group = unique("orders"), unique("billing")
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": kafka})
    for i in range(200):
        producer.produce(topic, value=f"v{i}", partition=i % 2)
    assert producer.flush(30) == 0
    for attempt in range(60):
        try:
            commit(kafka, group, topic, 40)
            break
        except KafkaException:  # a broker just started is not yet the coordinator of anything
            assert attempt < 59
            time.sleep(0.5)
    return group, topic


def commit(kafka: str, group: str, topic: str, offset: int) -> None:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": kafka, "group.id": group})
    try:
        consumer.commit(offsets=[TopicPartition(topic, p, offset) for p in range(2)], asynchronous=False)
    finally:
        consumer.close()


def committed(kafka: str, group: str, topic: str) -> list[int]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": kafka, "group.id": group})
    try:
        return [tp.offset for tp in consumer.committed([TopicPartition(topic, p) for p in range(2)], timeout=20)]
    finally:
        consumer.close()


def reset(kafka: str, group: str, *options: str, **how: object) -> Terminal:
    bare = {"AWS_DEFAULT_REGION": "", "AWS_REGION": ""}
    environment = {**bare, **how.pop("environment", {})}  # type: ignore[dict-item]
    return Terminal(*options, "group", "reset", group, "--to-earliest", "--execute", environment=environment, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(("answer", "code", "offsets"), [("", 3, [40, 40]), ("n", 3, [40, 40]), ("y", 0, [0, 0])])
def test_a_person_is_asked_and_enter_alone_is_no(
    kafka: str, stopped: tuple[str, str], answer: str, code: int, offsets: list[int]
) -> None:
    group, topic = stopped
    with reset(kafka, group, "-b", kafka) as terminal:
        terminal.wait_for("[y/N]")
        assert f"plan: reset group {group}" in terminal.screen()
        assert committed(kafka, group, topic) == [40, 40]
        terminal.press(answer, "enter") if answer else terminal.press("enter")
        terminal.wait_exit(30)
        assert terminal.exit_code == code
        if code:
            assert "nothing was changed" in terminal.screen()
        else:
            assert "done: 2 done" in terminal.screen()
    assert committed(kafka, group, topic) == offsets


@pytest.mark.parametrize("right", [False, True])
def test_a_production_profile_wants_the_name_typed(
    kafka: str, stopped: tuple[str, str], tmp_path: Path, right: bool
) -> None:
    group, topic = stopped
    config = tmp_path / "config.toml"
    config.write_text(f'[profiles.prod]\nproduction = true\n[profiles.prod.kafka]\nbootstrap = "{kafka}"\n')
    with reset(kafka, group, "-p", "prod", environment={"LOGQ_CONFIG": str(config)}) as terminal:
        terminal.wait_for("type the name")
        terminal.press(group if right else "y", "enter")
        terminal.wait_exit(30)
        assert terminal.exit_code == (0 if right else 3)
    assert committed(kafka, group, topic) == ([0, 0] if right else [40, 40])


def test_ctrl_c_at_the_question_changes_nothing(kafka: str, stopped: tuple[str, str]) -> None:
    group, topic = stopped
    with reset(kafka, group, "-b", kafka) as terminal:
        terminal.wait_for("[y/N]")
        terminal.press("ctrl+c")
        terminal.wait_exit(10)
        assert terminal.exit_code == 130
        assert "Traceback" not in terminal.screen()
    assert committed(kafka, group, topic) == [40, 40]


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit_the_terminal(kafka: str, stopped: tuple[str, str], columns: int) -> None:
    group, _ = stopped
    for command in (
        ("group", "list"),
        ("group", "show", group),
        ("group", "reset", group, "--shift-by", "-50"),
        ("status",),
    ):
        with Terminal(
            "-b", kafka, *command, columns=columns, lines=60, environment={"AWS_DEFAULT_REGION": ""}
        ) as terminal:
            terminal.wait_exit(30)
            terminal.read(0.2)
            assert terminal.exit_code == 0
            plain = terminal.raw.decode()
        for style in ("\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[1m", "\x1b[0m"):
            plain = plain.replace(style, "")
        assert "\x1b" not in plain
        # Sentences and the command to paste are whole and wrap; tables do not.
        table = [line for line in plain.splitlines() if not line.startswith(("command ", "undo ", "▲ "))]
        assert max(map(len, table)) <= columns


def test_no_color_is_obeyed(kafka: str, stopped: tuple[str, str]) -> None:
    for options, environment in ((("--no-color",), {}), ((), {"NO_COLOR": "1"})):
        bare = {"AWS_DEFAULT_REGION": "", **environment}
        with Terminal("-b", kafka, *options, "group", "list", environment=bare) as terminal:
            terminal.wait_exit(30)
            terminal.read(0.2)
            # In all that was written, for the screen has scrolled; the end of a long name may be cut.
            assert stopped[0].rpartition("-")[0].encode() in terminal.raw
            assert b"\x1b" not in bytes(terminal.raw)
