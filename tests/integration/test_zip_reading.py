"""Several iterables are read like ``zip`` reads them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastflow


def pairs(*args):
    return args


def _executor_map(fn, *iterables, **options):
    with fastflow.Executor(2) as executor:
        return list(executor.map(fn, *iterables, **options))


READERS = {
    "map": fastflow.map,
    "Executor.map": _executor_map,
    "Executor.map, buffersize": lambda fn, *its: _executor_map(fn, *its, buffersize=2),
    "imap": lambda fn, *its: list(fastflow.imap(fn, *its)),
    "imap, buffer of one": lambda fn, *its: list(fastflow.imap(fn, *its, buffersize=1)),
}


@pytest.fixture(params=READERS)
def read(request):
    return READERS[request.param]


def test_the_shortest_ends_an_endless_one(read):
    assert read(pow, [1, 2, 3], itertools.repeat(2)) == [1, 4, 9]
    assert read(pairs, itertools.count(), "ab", itertools.repeat(0)) == [
        (0, "a", 0),
        (1, "b", 0),
    ]


def test_one_iterator_given_twice_is_read_alternately(read):
    numbers = iter(range(6))
    assert read(pairs, numbers, numbers) == [(0, 1), (2, 3), (4, 5)]


def test_nothing_past_the_end_is_read(read):
    longer = iter(range(10))
    assert read(pairs, [1, 2], longer) == [(1, 0), (2, 1)]
    assert next(longer) == 2  # as zip leaves it: the list ended first


def test_a_longer_one_on_the_left_loses_one_item_as_with_zip(read):
    longer = iter(range(10))
    assert read(pairs, longer, [1, 2]) == [(0, 1), (1, 2)]
    assert next(longer) == 3


class Logged:
    def __init__(self, name, size, log):
        self.name, self.size, self.log, self.at = name, size, log, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.log.append(self.name)
        self.at += 1
        if self.at > self.size:
            raise StopIteration
        return self.name, self.at


kinds = st.sampled_from(["iterator", "list", "tuple", "range"])


@settings(deadline=None)
@given(st.lists(st.tuples(kinds, st.integers(0, 5)), min_size=2, max_size=4))
def test_every_reader_reads_in_the_order_of_zip(columns):
    def inputs(log):
        make = {
            "iterator": lambda name, size: Logged(name, size, log),
            "list": lambda name, size: [(name, i) for i in range(size)],
            "tuple": lambda name, size: tuple((name, i) for i in range(size)),
            "range": lambda name, size: range(size),
        }
        return [make[kind](str(i), size) for i, (kind, size) in enumerate(columns)]

    expected_log = []
    expected = list(zip(*inputs(expected_log), strict=False))
    for reader in READERS.values():
        log = []
        assert reader(pairs, *inputs(log)) == expected
        assert log == expected_log


def test_what_an_iterable_raises_is_raised(read):
    def broken():
        yield 1
        raise LookupError("the source is gone")

    with pytest.raises(LookupError, match="the source is gone"):
        read(pairs, broken(), itertools.count())
    with pytest.raises(TypeError):
        read(pairs, [1, 2], 5)
