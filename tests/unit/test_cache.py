"""One cache, for tasks and for steps: its bound, its clock, the end of a value."""

from __future__ import annotations

import threading

import pytest

from fastflow.base.timers import VirtualClock
from fastflow.run.cache import MISSING, SIZE, Cache, Recent, ResultCache, make_cache
from fastflow.workflows.cache import StepCache


def of_tasks(size, ttl):
    return ResultCache(Recent(size), ttl)


def of_steps(size, ttl):
    return StepCache(lambda ctx: ctx, ttl, size)


KINDS = pytest.mark.parametrize("make", [of_tasks, of_steps])


@KINDS
def test_the_least_recently_used_goes_first(make):
    cache = make(2, None)
    for key in "ab":
        cache.put(key, key.upper(), 0.0)
    assert cache.get("a", 1.0) == "A"
    cache.put("c", "C", 2.0)
    assert [cache.get(key, 3.0) for key in "abc"] == ["A", MISSING, "C"]


@KINDS
def test_the_time_of_a_value_is_that_of_who_asks(make):
    cache = make(9, 5.0)
    cache.put("a", 1, 100.0)
    assert cache.get("a", 104.9) == 1
    assert cache.get("a", 105.0) is MISSING
    assert cache.get("a", 104.9) is MISSING  # it is gone, not hidden


@KINDS
def test_falsy_values_are_kept(make):
    cache = make(9, None)
    for key, value in enumerate([None, 0, "", False]):
        cache.put(key, value, 0.0)
    assert [cache.get(key, 0.0) for key in range(4)] == [None, 0, "", False]


def test_a_clock_that_was_set_back():
    cache = Cache({}, 5.0)
    cache.put("a", 1, 100.0)
    assert cache.get("a", 99.0) is MISSING


def test_steps_have_the_clock_of_their_run():
    clock = VirtualClock()
    cache = of_steps(9, 10.0)
    cache.keep(None, "out", clock)  # None is a key like any other
    assert cache.find(None, clock) == ("out",)
    clock.advance(10.0)
    assert cache.find(None, clock) is None
    cache.keep(1, None, clock)
    assert cache.find(1, clock) == (None,)
    assert cache.empty_copy().find(1, clock) is None


@KINDS
def test_the_end_of_a_value_may_use_the_cache(make):
    cache = make(1, None)
    seen = []

    class Value:
        def __del__(self):
            cache.put("late", 2, 0.0)
            seen.append(cache.get("late", 0.0))

    def work():
        cache.put("a", Value(), 0.0)
        cache.put("b", 1, 0.0)  # which drops the first

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert seen == [2]


@KINDS
def test_a_key_that_can_not_be_hashed_is_refused(make):
    cache = make(9, None)
    with pytest.raises(TypeError, match="unhashable"):
        cache.put([], 1, 0.0)


@pytest.mark.parametrize("option", [True, "5m"])
def test_the_cache_of_a_task_is_bounded(option):
    cache = make_cache(option)
    for number in range(SIZE + 10):
        cache.put((number,), number)
    kept = [n for n in range(SIZE + 10) if cache.get((n,)) is not MISSING]
    assert kept == list(range(10, SIZE + 10))
