"""Batches take what has an order, the same each time; the rest is refused, with why."""

from __future__ import annotations

import collections
import types

import pytest

from fastflow.durable import ValidationError, durable_execution

np = pytest.importorskip("numpy")


def one(context):
    return 1


def two(context):
    return 2


def item(context, value, index, items):
    return value


REFUSED = [
    ({one: 1}, "dict", r"\.items\(\)"),
    (collections.OrderedDict({one: 1}), "OrderedDict", r"\.items\(\)"),
    (types.MappingProxyType({one: 1}), "mappingproxy", r"\.items\(\)"),
    ({one, two}, "set", "sorted"),
    (frozenset({one}), "frozenset", "sorted"),
    ({one: 1}.keys(), "dict_keys", "sorted"),
    ({1: one}.values(), "dict_values", "list"),
    ((f for f in (one, two)), "generator", "list"),
    (iter([one, two]), "list_iterator", "list"),
    (map(str, [one]), "map", "list"),
    (set(), "set", "sorted"),
    ({}, "dict", r"\.items\(\)"),
    (None, "NoneType", "list"),
    (5, "int", "list"),
]


@pytest.mark.parametrize("how", ["map", "parallel", "race"])
@pytest.mark.parametrize(
    ("given", "kind", "cure"),
    REFUSED,
    ids=[f"{n}-{row[1]}" for n, row in enumerate(REFUSED)],
)
def test_refused(how, given, kind, cure):
    @durable_execution
    def handler(event, context):
        with pytest.raises(ValidationError, match=rf"{how}\(\).*{kind}.*{cure}"):
            if how == "map":
                context.map(given, item)
            else:
                getattr(context, how)(given)
        return context.step(lambda _: "goes on")  # nothing was recorded

    assert handler() == "goes on"


@pytest.mark.parametrize(
    "given",
    [[1, 2], (1, 2), range(1, 3), collections.deque([1, 2]), np.array([1, 2])],
    ids=lambda v: type(v).__name__,
)
def test_sequences(given):
    @durable_execution
    def handler(event, context):
        return [int(n) for n in context.map(given, item).get_results()]

    assert handler() == [1, 2]


@pytest.mark.parametrize("kind", [list, tuple, collections.deque])
def test_sequences_of_functions(kind):
    @durable_execution
    def handler(event, context):
        return context.parallel(kind([one, two])).get_results()

    assert handler() == [1, 2]
