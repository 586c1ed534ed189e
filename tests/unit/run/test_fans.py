"""`map` and its relatives on executors that are not ours do what plain Python does."""

from __future__ import annotations

import concurrent.futures as cf
import itertools
import operator
import os
import threading
import time

import numpy as np
import pytest

import fastflow
from fastflow.run.items import Manner, run_items

POOLS = {
    "threads": lambda: cf.ThreadPoolExecutor(2),
    "processes": lambda: cf.ProcessPoolExecutor(2),
    "ours": lambda: fastflow.ProcessExecutor(2),
}


@pytest.fixture(scope="module", params=POOLS)
def pool(request):
    with POOLS[request.param]() as made:
        yield made


def square(x):
    return x * x


def some_fail(x):
    if x % 10 == 7:
        raise KeyError(x)
    return x


def slow_sometimes(x):
    if x % 100 == 0:
        time.sleep(0.05)
    return x


def exit_at_3(x):
    if x == 3:
        raise SystemExit("enough")
    return x


def pid(_):
    return os.getpid()


@pytest.mark.parametrize("count", [0, 1, 2, 17, 5_000])
@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_map(pool, count, chunksize):
    if chunksize == 1 and count > 100:
        count = 100
    found = fastflow.map(square, range(count), executor=pool, chunksize=chunksize)
    assert found == [n * n for n in range(count)]


def test_map_of_several_columns(pool):
    assert fastflow.map(pow, [2, 3, 4], (5, 2, 3, 9), executor=pool) == [32, 9, 64]
    assert fastflow.starmap(pow, [(2, 5), (3, 2)], executor=pool) == [32, 9]


def test_calls_are_made_there(pool):
    pids = set(fastflow.map(pid, range(1_000), executor=pool))
    away = isinstance(pool, cf.ProcessPoolExecutor)
    assert (os.getpid() not in pids) is away


def test_slow_items_between_quick_ones(pool):
    items = range(300)
    assert fastflow.map(slow_sometimes, items, executor=pool) == list(items)


def test_the_first_failure_is_raised_with_its_number(pool):
    with pytest.raises(KeyError) as caught:
        fastflow.map(some_fail, range(100), executor=pool)
    assert caught.value.args == (7,)
    assert caught.value.__notes__ == ["item 'some_fail' #7"]


def test_failures_as_results(pool):
    for function in (
        lambda: fastflow.map(
            some_fail, range(100), executor=pool, return_exceptions=True
        ),
        lambda: list(
            fastflow.imap(some_fail, range(100), executor=pool, return_exceptions=True)
        ),
    ):
        found = function()
        for n, value in enumerate(found):
            assert repr(value) == (f"KeyError({n})" if n % 10 == 7 else repr(n))


def test_what_ends_the_program_does(pool):
    for goes_on in (False, True):
        with pytest.raises(SystemExit, match="enough"):
            fastflow.map(exit_at_3, range(9), executor=pool, return_exceptions=goes_on)


def test_for_each_returns_nothing(pool):
    assert fastflow.for_each(square, range(1_000), executor=pool) is None
    with pytest.raises(KeyError):
        fastflow.for_each(some_fail, range(100), executor=pool)


def test_endless_inputs(pool):
    squares = fastflow.imap(square, itertools.count(), executor=pool)
    assert [next(squares) for _ in range(3_000)] == [n * n for n in range(3_000)]
    squares.close()


def test_results_in_any_order(pool):
    found = fastflow.imap(slow_sometimes, range(500), executor=pool, ordered=False)
    assert sorted(found) == list(range(500))


def test_a_stream_goes_on_after_a_failure(pool):
    found, failed = [], []
    stream = fastflow.imap(some_fail, range(50), executor=pool)
    while True:
        try:
            found.append(next(stream))
        except StopIteration:
            break
        except KeyError as error:
            failed.append(error.args[0])
    assert failed == [7, 17, 27, 37, 47]
    assert found == [n for n in range(50) if n % 10 != 7]


@pytest.mark.parametrize("buffersize", [1, 5])
def test_no_more_is_read_than_fits(pool, buffersize):
    read = []

    def source():
        for n in range(60):
            read.append(n)
            yield n

    stream = fastflow.imap(square, source(), executor=pool, buffersize=buffersize)
    for n, value in enumerate(stream):
        assert value == n * n
        assert len(read) <= n + 1 + buffersize


def test_what_the_input_raises_comes_in_its_place(pool):
    def source():
        yield from range(5)
        raise OSError("no more")

    stream = fastflow.imap(square, source(), executor=pool)
    assert [next(stream) for _ in range(5)] == [0, 1, 4, 9, 16]
    with pytest.raises(OSError, match="no more"):
        next(stream)


def test_the_time_is_over(pool):
    with pytest.raises(TimeoutError):
        fastflow.map(time.sleep, [0.5] * 8, executor=pool, timeout=0.1)
    stream = fastflow.imap(time.sleep, [0.6] * 2, executor=pool, timeout=0.05)
    with pytest.raises(TimeoutError):
        next(stream)


def test_arrays(pool):
    array = np.arange(1_000.0).reshape(100, 10)
    away = fastflow.map_array(np.sqrt, array, executor=pool)
    assert (away == np.sqrt(array)).all()
    out = np.empty_like(array)
    assert fastflow.map_array(np.negative, array, out=out, executor=pool) is out
    assert (out == -array).all()
    along = fastflow.map_array(np.abs, array, axis=1, chunks=3, executor=pool)
    assert (along == array).all()


def test_progress_is_told(pool):
    seen = []
    fastflow.map(
        square,
        range(1_000),
        executor=pool,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (1_000, 1_000)


def test_what_cannot_be_pickled_says_so():
    with (
        cf.ProcessPoolExecutor(1) as pool,
        pytest.raises(Exception, match="pickle") as caught,
    ):
        fastflow.map(lambda x: x, [1, 2], executor=pool)
    assert "found by their name" in "".join(caught.value.__notes__)


def test_names():
    here = threading.current_thread().name
    names = fastflow.map(lambda _: threading.current_thread().name, range(50),
                         executor="serial")  # fmt: skip
    assert set(names) == {here}
    assert fastflow.map(operator.neg, [1], executor="threads") == [-1]


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("count", [1, 7, 8, 40])
def test_items_against_a_plain_loop(count, keep, goes_on):
    part = run_items(some_fail, (range(count),), Manner(False, keep, goes_on), 60.0)
    fails = [n for n in range(count) if n % 10 == 7]
    number = count if goes_on or not fails else fails[0] + 1
    assert part.number == number
    assert sorted(part.failures) == [n for n in fails if n < number]
    expected = [None if n in part.failures else n for n in range(number)]
    assert part.values == (expected if keep else [])


def test_items_stop_when_their_time_is_over():
    part = run_items(time.sleep, ([0.01] * 1_000,), Manner(), 0.05)
    assert 1 <= part.number < 1_000
