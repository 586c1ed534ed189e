"""What stands for large results between calls, where these are made."""

from __future__ import annotations

import pickle

import pytest

pytest.importorskip("cloudpickle")

import operator

from fastflow.backends.references import (
    LARGE,
    Keeping,
    parcel_of,
    returned_of,
    run_far,
    value_of,
    with_kept,
)
from fastflow.run.remote import Returned, opened, packed

NO_LIMIT = 1 << 62
BIG = bytes(LARGE + 1)


def call(fn, *args):
    return fn(*args)


class Place:
    """Where references are what they stand for."""

    def __init__(self):
        self.values = []

    def has(self, kept):
        return kept.keeper is self

    def fetch(self, many):
        return [value_of(kept.reference, kept.index, kept.task) for kept in many]


def made(fn, *calls, keeps=True, held=(), seconds=60.0):
    return run_far(
        packed((call, fn)),
        [packed(args) for args in calls],
        seconds,
        LARGE,
        keeps,
        *held,
    )


def last_kept(place, held):
    part = returned_of(held)
    assert part.kept
    last = len(part.outcomes) - 1
    return with_kept(opened(part.outcomes[last]), last, held, place).value


def test_a_chunk_ends_with_the_first_large_value():
    held = made(operator.mul, (b"a", 2), (b"a", LARGE + 1), (b"a", 3))
    assert isinstance(held, Keeping)
    assert len(held.returned.outcomes) == 2
    assert sum(map(len, held.returned.outcomes)) < 1000
    assert value_of(held, 0, "t") == b"aa"
    assert value_of(held, 1, "t") == b"a" * (LARGE + 1)


def test_nothing_stays_where_it_is_not_to():
    held = made(bytes, (LARGE + 1,), keeps=False)
    assert isinstance(held, Returned)
    assert opened(held.outcomes[0]).value == BIG
    assert not returned_of(held).kept


def test_a_failure_comes_along():
    (outcome,) = made(operator.truediv, (1, 0)).outcomes
    assert isinstance(opened(outcome).failure.error(), ZeroDivisionError)


def test_what_stays_travels_beside_its_pickle():
    held, buffers = made(bytes, (LARGE + 1,)), []
    data = pickle.dumps(held, 5, buffer_callback=buffers.append)
    assert len(data) < 1000
    assert value_of(pickle.loads(data, buffers=buffers), 0, "t") == BIG
    assert value_of(pickle.loads(pickle.dumps(held, 2)), 0, "t") == BIG


def test_what_stays_is_a_copy_whoever_else_has_it():
    numpy = pytest.importorskip("numpy")
    held = made(numpy.full, (LARGE, 1.0))
    copy = held.copied()
    held.value()[0] = 2
    array = numpy.frombuffer(held.parts[1])
    array.flags.writeable = True
    array[0] = 3
    assert copy.value()[0] == 1
    assert copy.value().flags.writeable
    sizes = held.__sizeof__(), copy.__sizeof__()
    assert min(sizes) > 8 * LARGE


def test_a_dict_says_its_keys():
    place = Place()
    kept = last_kept(place, made(dict, ([("a", BIG), (7, 0)],)))
    assert kept.keys == {"a"}
    assert kept.fetch() == {"a": BIG, 7: 0}


def test_each_call_gets_a_copy_of_its_own():
    place = Place()
    kept = last_kept(place, made(bytearray, (LARGE + 1,)))
    parcel = parcel_of((([kept, kept],), {}), place)
    assert parcel.kept == (kept,)
    assert len(parcel.data) < 1000 < LARGE < len(parcel)
    held = [each.reference for each in parcel.kept]
    calls = [parcel_of((kept,), place).data] * 2
    returned = run_far(packed((call, filled)), calls, 60.0, NO_LIMIT, False, *held)
    assert [opened(each).value for each in returned.outcomes] == [1, 1]


def filled(data):
    data[0] += 1
    return data[0]


def test_elsewhere_the_value_itself_travels():
    kept = last_kept(Place(), made(bytes, (LARGE + 1,)))
    parcel = parcel_of((kept,), Place())
    assert parcel.kept == ()
    assert pickle.loads(parcel.data) == (BIG,)


@pytest.mark.parametrize(
    ("again", "cause"),
    [
        (made(operator.mul, (b"a", 2), seconds=-1.0), type(None)),
        (made(operator.mul, (b"a", 2), (b"a", None)), TypeError),
        (made(operator.mul, (b"a", LARGE + 1), (b"a", 2)), type(None)),
    ],
    ids=["ended before", "failed", "another one is large"],
)
def test_what_came_to_something_else_the_second_time_is_lost(again, cause):
    with pytest.raises(
        RuntimeError, match="task 'made' stayed on the cluster"
    ) as error:
        value_of(again, 1, "made")
    assert isinstance(error.value.__cause__, cause)


def test_what_was_large_may_be_small_the_second_time():
    assert value_of(made(operator.mul, (b"a", 2), (b"b", 1)), 1, "made") == b"b"
