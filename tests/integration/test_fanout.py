"""map, starmap, for_each, imap and Executor.map."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import BrokenExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastflow
from fastflow import Executor


@pytest.fixture(scope="module")
def executor():
    with Executor(3) as made:
        yield made


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(), max_size=300),
    st.integers(1, 4),
    st.none() | st.integers(1, 50),
)
def test_every_fan_out_equals_the_builtin_map(items, workers, chunksize):
    def f(x, y=0):
        return x * 2 + y

    expected = [f(x) for x in items]
    with Executor(workers) as executor:
        assert (
            fastflow.map(f, items, executor=executor, chunksize=chunksize) == expected
        )
        assert list(executor.map(f, items, chunksize=chunksize or 1)) == expected
        assert list(fastflow.imap(f, iter(items), executor=executor)) == expected
        unordered = fastflow.imap(
            f, items, executor=executor, ordered=False, buffersize=3
        )
        assert sorted(unordered) == sorted(expected)
        assert fastflow.starmap(f, [(x,) for x in items], executor=executor) == expected
        both = fastflow.map(f, items, range(len(items)), executor=executor)
        assert both == [f(x, y) for y, x in enumerate(items)]
        seen = []
        fastflow.for_each(seen.append, items, executor=executor)
        assert sorted(seen) == sorted(items)


@pytest.mark.parametrize(
    "items",
    [
        range(0),
        range(10),
        range(100, 0, -3),
        range(2**62, 2**62 + 10),
        range(2**70, 2**70 + 5),
        "text",
        {1: "a", 2: "b"},
        (x for x in range(20)),
        [],
        (),
        (1,),
        b"bytes",
    ],
    ids=lambda items: type(items).__name__,
)
def test_inputs_of_every_kind(items, executor):
    if not isinstance(items, dict | str | bytes | list | tuple | range):
        items = list(items)
    assert fastflow.map(lambda x: x, items, executor=executor) == list(items)
    assert list(executor.map(lambda x: x, items)) == list(items)
    assert list(fastflow.imap(lambda x: x, items, executor=executor)) == list(items)


def test_many_iterables_and_the_shortest_ends():
    columns = [range(i, 100 + i) for i in range(9)]
    assert fastflow.map(lambda *a: sum(a), *columns) == [
        sum(row) for row in zip(*columns, strict=True)
    ]
    assert fastflow.map(lambda a, b: (a, b), [1, 2, 3], "xy") == [(1, "x"), (2, "y")]
    assert list(fastflow.imap(lambda a, b: (a, b), itertools.count(), "xy")) == [
        (0, "x"),
        (1, "y"),
    ]


def test_numpy_rows_are_views():
    np = pytest.importorskip("numpy")
    array = np.arange(12).reshape(3, 4)
    rows = fastflow.map(lambda row: row, array)
    assert all(row.base is not None and np.shares_memory(row, array) for row in rows)


def test_slow_items_do_not_queue_behind_each_other():
    # Four items that can only end together, behind many quick ones: they must be taken
    # one by one by four threads.
    barrier = threading.Barrier(4)

    def item(i):
        if i >= 1000:
            barrier.wait(60)
        return i

    with Executor(4) as executor:
        assert fastflow.map(item, range(1004), executor=executor) == list(range(1004))
        barrier.reset()
        assert list(executor.map(item, range(1004))) == list(range(1004))
        barrier.reset()
        assert list(
            fastflow.imap(item, range(1004), executor=executor, buffersize=8)
        ) == list(range(1004))


def test_a_slow_first_item_does_not_delay_the_others():
    release = threading.Event()

    def item(i):
        if i == 0:
            assert release.wait(60)
        elif i == 99:
            release.set()

    with Executor(2) as executor:
        fastflow.for_each(item, range(100), executor=executor)


def test_the_failed_item_with_the_lowest_index_is_raised():
    started = []

    def item(i):
        started.append(i)
        if i in (500, 700):
            raise ValueError(f"item {i}")

    with Executor(2) as executor:
        with pytest.raises(ValueError, match="item 500") as caught:
            fastflow.map(item, range(100_000), executor=executor)
    assert caught.value.__notes__ == ["item 'item' #500"]
    assert set(range(501)) <= set(started)
    assert len(started) < 100_000


def test_exceptions_as_results(executor):
    def item(i):
        if i % 3 == 0:
            raise KeyError(i)
        return i

    results = fastflow.map(item, range(9), executor=executor, return_exceptions=True)
    assert [type(r) for r in results[::3]] == [KeyError] * 3
    assert results[1::3] == [1, 4, 7]
    lazy = list(
        fastflow.imap(item, range(9), executor=executor, return_exceptions=True)
    )
    assert [repr(r) for r in lazy] == [repr(r) for r in results]

    def leave(i):
        raise SystemExit(i)

    with pytest.raises(SystemExit):
        fastflow.map(leave, [1], executor=executor, return_exceptions=True)


def test_executor_map_yields_what_came_before_the_failure(executor):
    results = executor.map(lambda x: 10 // x, [5, 2, 0, 1])
    assert next(results) == 2
    assert next(results) == 5
    with pytest.raises(ZeroDivisionError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_executor_map_starts_at_once_and_dropping_it_cancels():
    gate, second = threading.Event(), threading.Event()
    ran = []

    def item(i):
        ran.append(i)
        if i == 1:
            second.set()
            assert gate.wait(60)
        return i

    with Executor(1) as executor:
        results = executor.map(item, range(100))
        assert second.wait(60)
        assert next(results) == 0
        results.close()
        gate.set()
    assert ran == [0, 1]


def test_executor_map_timeout(executor):
    gate = threading.Event()
    results = executor.map(lambda i: gate.wait(60) if i else i, range(2), timeout=0.05)
    assert next(results) == 0
    with pytest.raises(TimeoutError):
        next(results)
    gate.set()


def test_map_timeout():
    gate = threading.Event()
    with Executor(2) as executor:
        with pytest.raises(TimeoutError):
            fastflow.map(
                lambda _: gate.wait(60), range(4), executor=executor, timeout=0.05
            )
        gate.set()


def test_shutdown_cancels_items_of_a_map():
    executor = Executor(1)
    gate, first = threading.Event(), threading.Event()

    def item(i):
        first.set()
        gate.wait(60)
        return i

    results = executor.map(item, range(50))
    assert first.wait(60)
    executor.shutdown(wait=False, cancel_futures=True)
    gate.set()
    executor.shutdown()
    assert next(results) == 0
    import concurrent.futures as cf

    with pytest.raises(cf.CancelledError):
        list(results)


def test_items_learn_that_their_map_was_cancelled():
    seen = threading.Event()
    started = threading.Barrier(2)

    def item(i):
        task = fastflow.current_task()
        started.wait(60)
        if i == 0:
            raise ValueError
        while not task.cancelled:
            threading.Event().wait(0.001)
        seen.set()

    with Executor(2) as executor, pytest.raises(ValueError):
        fastflow.map(item, range(2), executor=executor)
    assert seen.is_set()


def test_max_workers_bounds_a_map():
    lock = threading.Lock()
    now = most = 0

    def item(_):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.0005)
        with lock:
            now -= 1

    with Executor(8) as executor:
        fastflow.for_each(item, range(100), executor=executor, max_workers=3)
    assert most <= 3


def test_progress_is_reported():
    calls = []
    gate = threading.Event()

    def show(done, total):
        calls.append((done, total))
        gate.set()

    fastflow.map(lambda i: gate.wait(60), range(50), progress=show)
    assert calls[-1] == (50, 50)
    assert all(0 <= done <= total for done, total in calls)
    assert list(fastflow.imap(abs, range(5), progress=lambda *_: None)) == list(
        range(5)
    )
    assert fastflow.map(abs, range(5), progress=True) == list(range(5))


@pytest.mark.parametrize("call", [fastflow.map, fastflow.imap, fastflow.starmap])
def test_bad_arguments(call):
    with pytest.raises(TypeError, match="fn must be callable, not int"):
        call(3, [1])
    with pytest.raises(TypeError, match="not iterable"):
        list(call(abs, 3))
    with pytest.raises(TypeError, match="executor must be None"):
        call(abs, [1], executor=object())
    with pytest.raises(ValueError, match="max_workers"):
        call(abs, [1], max_workers=0)


def test_more_bad_arguments(executor):
    with pytest.raises(TypeError, match="at least one iterable"):
        fastflow.map(abs)
    with pytest.raises(TypeError, match="at least one iterable"):
        fastflow.imap(abs)
    with pytest.raises(ValueError, match="chunksize"):
        fastflow.map(abs, [1], chunksize=0)
    with pytest.raises(ValueError, match="buffersize"):
        fastflow.imap(abs, [1], buffersize=0)
    with pytest.raises(ValueError, match="chunksize"):
        executor.map(abs, [1], chunksize=0)
    with pytest.raises(ValueError, match="must be finite"):
        fastflow.map(abs, [1], timeout=float("nan"))


def test_a_raising_input_loses_nothing_that_came_before():
    def numbers():
        yield from range(5)
        raise OSError("source is gone")

    got = []
    with pytest.raises(OSError, match="source is gone"):
        for x in fastflow.imap(lambda x: x, numbers()):
            got.append(x)
    assert got == list(range(5))
    with pytest.raises(OSError, match="source is gone"):
        fastflow.map(lambda x: x, numbers())


def test_a_list_that_shrinks_while_it_is_mapped():
    items = list(range(1000))

    def item(i):
        if i == 10:
            del items[20:]
        return i

    with pytest.raises(RuntimeError, match="shrank"):
        fastflow.map(item, items, max_workers=1)


def test_imap_reads_only_a_bounded_number_ahead():
    read = 0

    def numbers():
        nonlocal read
        for read in itertools.count(1):
            yield read

    stream = fastflow.imap(lambda x: x, numbers(), buffersize=7)
    for i in range(1, 50):
        assert next(stream) == i
        assert read <= i + 7


def test_imap_has_one_consumer_at_a_time():
    def numbers():
        yield 1
        next(stream)

    stream = fastflow.imap(lambda x: x, numbers())
    with pytest.raises(ValueError, match="in use"):
        list(stream)


def test_imap_keeps_going_after_an_item_failed():
    stream = fastflow.imap(lambda x: 10 // x, [1, 0, 5])
    assert next(stream) == 10
    with pytest.raises(ZeroDivisionError):
        next(stream)
    assert list(stream) == [2]


def test_imap_unordered_hands_out_what_is_ready():
    gate = threading.Event()

    def item(i):
        if i == 0:
            assert gate.wait(60)
        return i

    with Executor(2) as executor:
        got = []
        for result in fastflow.imap(
            item, range(10), executor=executor, ordered=False, timeout=60
        ):
            got.append(result)
            if len(got) == 9:
                gate.set()
    assert got[-1] == 0
    assert sorted(got) == list(range(10))


def test_kernels_over_ranges():
    np = pytest.importorskip("numpy")
    import ctypes

    hits = np.zeros(10_000, dtype=np.int64)
    # memset-like: a ctypes callback would take the interpreter lock, which also works.
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)

    @prototype
    def mark(index, data):
        ctypes.cast(data, ctypes.POINTER(ctypes.c_int64))[index] += 1

    kernel = fastflow.Kernel(mark, hits)
    fastflow.for_each(kernel, range(0, 10_000, 3), max_workers=2)
    assert hits.sum() == len(range(0, 10_000, 3))
    assert set(hits[::3]) == {1}
    fastflow.for_each(kernel, range(9_999, -1, -3), max_workers=2)
    assert set(hits[::3]) == {2}
    fastflow.for_each(kernel, [1, 2], max_workers=2)
    assert list(hits[:4]) == [2, 1, 1, 2]
    fastflow.for_each(kernel, range(0))
    assert fastflow.map(fastflow.kernels.noop, range(4)) == [None] * 4
    with Executor(1, initializer=lambda: None) as executor:
        fastflow.for_each(kernel, range(1, 3), executor=executor)
    assert list(hits[:4]) == [2, 2, 2, 2]


def fails():
    raise LookupError("the initializer")


def _graph(fn, items, executor):
    graph = fastflow.Graph()
    for item in items:
        graph.add(fn, item)
    graph.run(executor)


@pytest.mark.parametrize(
    "call",
    [
        lambda fn, items, executor: list(executor.map(fn, items)),
        lambda fn, items, executor: list(executor.map(fn, items, buffersize=2)),
        lambda fn, items, executor: fastflow.map(fn, items, executor=executor),
        lambda fn, items, executor: fastflow.for_each(fn, items, executor=executor),
        lambda fn, items, executor: list(fastflow.imap(fn, items, executor=executor)),
        _graph,
    ],
    ids=["Executor.map", "buffersize", "map", "for_each", "imap", "Graph"],
)
def test_nothing_runs_on_a_worker_whose_initializer_failed(call, caplog):
    ran = []
    with Executor(2, initializer=fails) as executor:
        with pytest.raises((BrokenExecutor, fastflow.TaskError)) as caught:
            call(ran.append, range(5), executor)
    error = caught.value
    if isinstance(error, fastflow.TaskError):
        error = error.__cause__
    assert isinstance(error, BrokenExecutor)
    assert ran == []
