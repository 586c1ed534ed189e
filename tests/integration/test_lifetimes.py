"""What ends when nobody needs it any more: without the garbage collector's help."""

from __future__ import annotations

import contextlib
import gc
import itertools
import threading
import time
import weakref

import numpy as np
import pytest

import fastflow
from fastflow import Executor


class BoomError(Exception):
    pass


def boom(*_):
    raise BoomError


def nothing(*_):
    pass


@pytest.fixture(autouse=True)
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# --- executors that nobody keeps ------------------------------------------------------


def of_group():
    with fastflow.TaskGroup(Executor(2)) as group:
        futures = [group.create_task(pow, 2, n) for n in range(100)]
    return [future.result() for future in futures]


def of_graph():
    graph = fastflow.Graph()
    nodes = [graph.add(pow, 2, n) for n in range(100)]
    result = graph.run(executor=Executor(2))
    return [result[node] for node in nodes]


def of_flow():
    power = fastflow.TaskRegistry().task(pow)
    body = fastflow.flow(lambda: [power(2, n) for n in range(100)])
    return body.with_options(executor=Executor(2))()


TWO = itertools.repeat(2)
UNKEPT = {
    "TaskGroup": of_group,
    "submit": lambda: [Executor(2).submit(pow, 2, n).result() for n in range(100)],
    "Executor.map": lambda: list(Executor(2).map(pow, TWO, range(100))),
    "Executor.map, buffered": lambda: list(
        Executor(2).map(pow, TWO, range(100), buffersize=3)
    ),
    "map": lambda: fastflow.map(pow, TWO, range(100), executor=Executor(2)),
    "imap": lambda: list(fastflow.imap(pow, TWO, range(100), executor=Executor(2))),
    "imap, timeout": lambda: list(
        fastflow.imap(pow, TWO, range(100), executor=Executor(2), timeout=60)
    ),
    "imap, unordered": lambda: sorted(
        fastflow.imap(pow, TWO, range(100), executor=Executor(2), ordered=False)
    ),
    "imap, progress": lambda: list(
        fastflow.imap(pow, TWO, range(100), executor=Executor(2), progress=nothing)
    ),
    "graph": of_graph,
    "@flow": of_flow,
}


@pytest.mark.parametrize("way", UNKEPT)
def test_an_executor_lives_as_long_as_it_is_needed(way):
    assert UNKEPT[way]() == [2**n for n in range(100)]


def test_a_group_that_is_dropped_drops_its_executor():
    executor = Executor(2)
    there = weakref.ref(executor)
    group = fastflow.TaskGroup(executor)
    del executor
    assert there() is not None
    del group
    assert there() is None


# --- exceptions -----------------------------------------------------------------------


def failing_graph(**options):
    graph = fastflow.Graph()
    graph.add(boom)
    graph.add(boom)
    graph.run(**options)


def failing_group():
    with fastflow.TaskGroup() as group:
        group.create_task(boom)


def failing_block():
    with fastflow.TaskGroup():
        boom()


class Overridden(Executor):
    def submit(self, *args, **kwargs):
        return super().submit(*args, **kwargs)


def by(make, **options):
    def run():
        with make(2) as executor:
            list(executor.map(boom, range(3), **options))

    return run


FAILING = {
    "submit": lambda: fastflow.default_executor().submit(boom).result(),
    "Executor.map": by(Executor),
    "Executor.map, chunks": by(Executor, chunksize=2),
    "Executor.map, buffered": by(Executor, buffersize=2),
    "Executor.map, submit overridden": by(Overridden),
    "map": lambda: fastflow.map(boom, range(3)),
    "map, timeout": lambda: fastflow.map(boom, range(3), timeout=60),
    "map, progress": lambda: fastflow.map(boom, range(3), progress=nothing),
    "starmap": lambda: fastflow.starmap(boom, [(1,), (2,)]),
    "for_each": lambda: fastflow.for_each(boom, range(3)),
    "imap": lambda: list(fastflow.imap(boom, range(3))),
    "imap, progress": lambda: list(fastflow.imap(boom, range(3), progress=nothing)),
    "map_array": lambda: fastflow.map_array(boom, np.arange(3)),
    "graph": failing_graph,
    "graph, several": lambda: failing_graph(on_error="continue"),
    "graph, progress": lambda: failing_graph(progress=nothing),
    "group": failing_group,
    "block of a group": failing_block,
    "as_completed": lambda: next(
        fastflow.as_completed([fastflow.default_executor().submit(boom)])
    ).result(),
}


def tasks_own(error):
    while not isinstance(error, BoomError):
        error = error.__cause__ or error.exceptions[0]
    return error


@pytest.mark.parametrize("way", FAILING)
def test_an_exception_ends_when_it_was_handled(way):
    try:
        FAILING[way]()
    except Exception as error:
        there = weakref.ref(tasks_own(error))
    # A worker may still have a job of the run in its queue.
    deadline = time.monotonic() + 60
    while there() is not None and time.monotonic() < deadline:
        fastflow.default_executor().submit(int).result()
    assert there() is None


# --- callbacks ------------------------------------------------------------------------


def callbacks(future):
    return len(future._done_callbacks)


@pytest.fixture(params=["ours", "theirs"])
def pending(request):
    """A future that has not ended."""
    if request.param == "theirs":
        import concurrent.futures

        yield concurrent.futures.Future()
        return
    go = threading.Event()
    with Executor(1) as executor:
        yield executor.submit(go.wait, 60)
        go.set()


def test_waits_leave_no_callbacks(pending):
    for done in (
        lambda: fastflow.as_completed([pending]),  # never started
        lambda: list(fastflow.as_completed([pending], timeout=0)),
        lambda: fastflow.wait([pending], 0),
        lambda: fastflow.wait([pending], 0, "FIRST_COMPLETED"),
        lambda: list(fastflow.as_completed([pending, 3])),
        lambda: fastflow.wait([pending, 3], 0, "FIRST_COMPLETED"),
    ):
        with contextlib.suppress(TimeoutError, AttributeError):
            done()
        assert callbacks(pending) == 0


def test_as_completed_that_is_dropped_midway(pending):
    ended = fastflow.default_executor().submit(int)
    ended.result()
    futures = fastflow.as_completed([pending, ended])
    assert next(futures) is ended
    assert callbacks(pending) == 1
    del futures
    assert callbacks(pending) == 0


# --- inputs ---------------------------------------------------------------------------


class Input:
    """A generator that says when it was closed, and by which thread."""

    def __init__(self):
        self.closed_by = None

    def __call__(self):
        try:
            yield from itertools.count()
        finally:
            self.closed_by = threading.current_thread()


def close(iterator):
    iterator.close()
    iterator.close()  # as of a generator: nothing happens
    assert list(iterator) == []


def drop(iterator):
    pass


@pytest.mark.parametrize("end", [close, drop])
@pytest.mark.parametrize(
    "options",
    [{}, {"ordered": False}, {"timeout": 60}, {"progress": nothing}],
    ids=["plain", "unordered", "timeout", "progress"],
)
def test_imap_that_is_closed_closes_its_input(end, options):
    given = Input()
    iterator = fastflow.imap(abs, given(), **options)
    assert next(iterator) in range(100)
    assert given.closed_by is None
    end(iterator)
    del iterator
    assert given.closed_by is threading.current_thread()


def test_buffered_map_that_is_dropped_closes_its_input():
    given = Input()
    with Executor(2) as executor:
        results = executor.map(abs, given(), buffersize=3)
        assert next(results) == 0
        del results
        assert given.closed_by is threading.current_thread()


def test_a_running_item_does_not_keep_the_input_open():
    given, began, go = Input(), threading.Event(), threading.Event()

    def slow(n):
        if n > 0:
            began.set()
            assert go.wait(60)
        return n

    with Executor(2) as executor:
        iterator = fastflow.imap(slow, given(), executor=executor, timeout=60)
        assert next(iterator) == 0
        assert began.wait(60)
        iterator.close()
        assert given.closed_by is threading.current_thread()
        go.set()


def test_items_that_wait_are_dropped_with_the_iterator():
    class Item:
        pass

    items = [Item() for _ in range(8)]
    there = [weakref.ref(item) for item in items]
    began, go = threading.Event(), threading.Event()

    def slow(item):
        began.set()
        assert go.wait(60)

    def popping():
        while items:
            yield items.pop()

    with Executor(1) as executor:
        iterator = fastflow.imap(
            slow, popping(), executor=executor, timeout=0, buffersize=8
        )
        with pytest.raises(TimeoutError):
            next(iterator)
        assert began.wait(60)
        iterator.close()
        assert sum(ref() is not None for ref in there) == 1  # the one that runs
        go.set()


def test_an_input_that_closes_its_own_iterator():
    made = []

    def input_():
        yield 1
        made[0].close()
        yield 2

    made.append(fastflow.imap(abs, input_(), buffersize=1))
    assert list(made[0]) == [1]


def test_a_consumer_that_waits_is_woken_by_close():
    began, go = threading.Event(), threading.Event()

    def slow(n):
        began.set()
        assert go.wait(60)

    with Executor(1) as executor:
        iterator = fastflow.imap(slow, [1, 2], executor=executor, timeout=60)
        found = []
        consumer = threading.Thread(target=lambda: found.extend([*iterator, "end"]))
        consumer.start()
        assert began.wait(60)
        iterator.close()
        consumer.join(60)
        assert found == ["end"]
        go.set()


# --- futures --------------------------------------------------------------------------


class Derived(fastflow.Future):
    pass


@pytest.mark.parametrize("kind", [fastflow.Future, Derived])
class TestFuturesMadeByHand:
    def test_one_with_attributes_and_weak_references_goes(self, kind):
        future = kind()
        future.name = "a"
        gone = []
        alive = weakref.ref(future, gone.append)
        assert vars(future) == {"name": "a"}
        del future
        assert gone == [alive]

    def test_one_that_refers_to_itself_is_collected(self, kind):
        future = kind()
        future.me = future
        alive = weakref.ref(future)
        del future
        gc.collect()
        assert alive() is None

    def test_a_long_chain_of_outcomes_goes(self, kind):
        future = first = kind()
        for _ in range(100_000):
            following = kind()
            future.set_result(following)
            future = following
        alive = weakref.ref(future)
        del future, following, first
        assert alive() is None


def test_a_task_with_an_attribute_that_refers_to_it_is_collected():
    with Executor(1) as executor:
        future = executor.submit(nothing)
        future.result()
        future.__dict__["me"] = future
        alive = weakref.ref(future)
        del future
    gc.collect()
    assert alive() is None


def test_futures_end_when_asked_through_a_finalizer(monkeypatch):
    ended = []
    monkeypatch.setattr(
        fastflow.Future, "__del__", lambda f: ended.append(f.done()), raising=False
    )
    with Executor(1) as executor:
        executor.submit(nothing).result()
    assert ended == [True]
