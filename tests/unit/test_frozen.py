"""What the quick way makes is in nothing different from what the class itself makes."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from console.frozen import changer, maker
from console.model import Group, GroupPartition, Problem, Status, TopicPartition

WHY = Problem("x", "Y", "z")
ROW = GroupPartition("orders", 3, 1, 0, 5, 9, 8, 2.5, "history", "m", "c", "h", Status.WARN, "slow", WHY)
VALUES = [ROW, Group("g", partitions=(ROW,)), TopicPartition(7, 1, (1, 2), (1,))]


def check(made: Any, wanted: Any) -> None:
    assert type(made) is type(wanted)
    assert made == wanted and hash(made) == hash(wanted) and repr(made) == repr(wanted)
    assert replace(made) == wanted and pickle.loads(pickle.dumps(made)) == wanted
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(wanted)[0].name, None)


@pytest.mark.parametrize("value", VALUES)
def test_made_from_all_fields(value: Any) -> None:
    names = [f.name for f in fields(value)]
    check(maker(type(value), *names)(*(getattr(value, name) for name in names)), value)


def test_the_fields_not_named_have_their_defaults() -> None:
    check(maker(GroupPartition, "partition", "topic", "problem")(3, "t", WHY), GroupPartition("t", 3, problem=WHY))
    with pytest.raises(ValueError, match="needs topic"):
        maker(GroupPartition, "partition")
    with pytest.raises(TypeError):
        maker(GroupPartition, "partition", "topic")(3)


@pytest.mark.parametrize("value", VALUES)
def test_changed_in_some_fields(value: Any) -> None:
    last = fields(value)[-1].name
    check(changer(type(value), last)(value, None), replace(value, **{last: None}))
    check(changer(type(value))(value), value)


def test_a_class_with_another_layout_is_refused() -> None:
    class Loose:
        __dataclass_fields__ = GroupPartition.__dataclass_fields__

    with pytest.raises(TypeError):
        maker(Loose, "topic", "partition")("t", 3)
