"""Which inputs are the same: a name belongs to one of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastflow.base import modules
from fastflow.durable import DurableRunner, ExecutionConflictError, durable_execution
from fastflow.journal.inputs import same_input
from fastflow.journal.serdes import encode


class Colour(enum.Enum):
    RED = 1


@dataclass
class Box:
    content: Any


@durable_execution(name="tests.inputs")
def handler(event, context):
    return context.step(lambda _: list(event))


SAME = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({1: "x", 2: "y"}, {2: "y", 1: "x"}),
    ({"$ff": 1, "b": 2}, {"b": 2, "$ff": 1}),
    ([{"a": 1, "b": [{"c": 1, "d": 2}]}], [{"b": [{"d": 2, "c": 1}], "a": 1}]),
    (Box({"a": 1, "b": 2}), Box({"b": 2, "a": 1})),
    ((1, {"a": 1, (1, 2): 2}), (1, {(1, 2): 2, "a": 1})),
    ({"a": {Colour.RED: 1, 5: 2}}, {"a": {5: 2, Colour.RED: 1}}),
    ({"a": 2**70, "b": {3, 2, 1}}, {"b": {1, 2, 3}, "a": 2**70}),
]
OTHERS = [
    ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
    ({"a": 1}, {"a": True}),
    ({"a": 1}, {"a": 1.0}),
    ({"1": 1}, {1: 1}),
    ([1, 2], [2, 1]),
    ([1, 2], (1, 2)),
    ({1, 2}, frozenset({1, 2})),
    (2**70, 2**70 + 1),
    (Box(1), Box(2)),
    ({"$ff": ["set", [1, 2]]}, {"$ff": ["set", [2, 1]]}),  # plain data that looks so
    ({"$ff": ["dict", [1, 2]]}, {"$ff": ["dict", [2, 1]]}),
    (b"ab", "ab"),
    ({}, None),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same(one, other):
    assert same_input(encode(one), encode(other))
    with DurableRunner(":memory:") as runner:
        first = runner.run(handler, {"input": one, "more": 1}, "name")
        assert runner.run(handler, {"more": 1, "input": other}, "name") == first
        assert first == ["input", "more"]  # in the order of the first


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_others(one, other):
    assert not same_input(encode(one), encode(other))
    with DurableRunner(":memory:") as runner:
        runner.run(handler, [one], "name")
        with pytest.raises(ExecutionConflictError):
            runner.run(handler, [other], "name")


keys = st.one_of(st.text(max_size=3), st.integers(-3, 3), st.just("$ff"))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(keys, inner, max_size=4),
        st.tuples(inner, inner),
        st.builds(Box, inner),
    ),
    max_leaves=12,
)


def turned(value):
    """Return an equal value whose dicts are in the other order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    if isinstance(value, list | tuple):
        return type(value)(turned(item) for item in value)
    return Box(turned(value.content)) if isinstance(value, Box) else value


@settings(deadline=None)
@given(values)
def test_order_of_keys_never_matters(value):
    assert same_input(encode(value), encode(turned(value)))


def typed(value):
    """Return what tells values apart as a program could."""
    if isinstance(value, dict):
        return "dict", frozenset((typed(k), typed(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return type(value), tuple(typed(item) for item in value)
    if isinstance(value, Box):
        return "box", typed(value.content)
    return type(value), value


@settings(deadline=None)
@given(values, values)
def test_nothing_else_is_taken_for_the_same(one, other):
    assert same_input(encode(one), encode(other)) == (typed(one) == typed(other))


def test_classes_of_a_script_have_two_names():
    here = b'[{"$ff":["enum","__main__:Colour","RED"]}]'
    there = b'[{"$ff":["enum","orders:Colour","RED"]}]'
    assert not same_input(here, there)
    with modules.standing_in("orders.py"):
        assert same_input(here, there)


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"{", b"[" * 5000])
def test_what_can_not_be_read_is_another(damaged):
    assert not same_input(damaged, b"{}")
    assert not same_input(b"{}", damaged)
