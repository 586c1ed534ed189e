"""What only the interpreter lock used to see to; run on all builds."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref

import pytest

import fastflow
from fastflow import Executor, Graph

WORKERS = 8


def value(*args, **kwargs):
    return args


def in_threads(*functions):
    """Run them at the same time; the first exception is raised."""
    gate = threading.Barrier(len(functions))
    errors = []

    def body(function):
        gate.wait(60)
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "hangs"
    if errors:
        raise errors[0]


# --- map ------------------------------------------------------------------------------


@pytest.mark.parametrize("cheap", [0, 2, 40, 100])
def test_items_that_wait_for_each_other_do_so_after_cheap_ones_as_well(cheap):
    gate = threading.Barrier(WORKERS)

    def item(i):
        if i >= cheap:
            gate.wait(60)
        return i

    with Executor(WORKERS) as executor:
        n = cheap + 3 * WORKERS
        assert fastflow.map(item, range(n), executor=executor) == list(range(n))


def test_after_a_failure_the_rest_of_a_chunk_does_not_run():
    begun = []

    def item(i):
        begun.append(i)
        if i == 3:
            raise KeyError(i)

    with Executor(1) as executor, pytest.raises(KeyError):
        fastflow.map(item, range(100), executor=executor, chunksize=50, max_workers=1)
    assert begun == [0, 1, 2, 3]


def test_one_iterator_given_to_several_maps_at_once_loses_nothing():
    items = iter(range(2000))
    lock = threading.Lock()
    taken = []

    class Locked:
        def __iter__(self):
            return self

        def __next__(self):
            with lock:
                return next(items)

    def body():
        taken.extend(fastflow.map(abs, Locked()))

    in_threads(*[body] * 4)
    assert sorted(taken) == list(range(2000))


# --- graphs ---------------------------------------------------------------------------


def test_threads_that_add_to_one_graph_get_nodes_of_their_own():
    graph = Graph()
    base = [graph.add(value, i, name=f"base {i}") for i in range(4)]
    shared_list, shared_dict, after = list(base), dict(enumerate(base)), list(base)
    handles: list[list] = [[] for _ in range(4)]
    stop = threading.Event()

    def add(mine):
        for i in range(300):
            mine.append(
                graph.add(value, shared_list, shared_dict, i, after=after, name=f"n{i}")
            )

    def change():
        k = 0
        while not stop.is_set():
            k += 1
            shared_list.append(base[k % 4])
            shared_dict[k % 50] = base[k % 4]
            after.append(base[k % 4])
            if k % 3 == 0:
                del shared_list[4:], after[4:]
                shared_dict.pop(k % 50, None)

    def look():
        while not stop.is_set():
            n = len(graph)
            assert graph.n_nodes >= n
            assert graph.label(n - 1)
            assert repr(graph.node(n - 1))
            assert repr(graph)
            assert graph.n_edges >= 0

    def add_all():
        try:
            in_threads(*[lambda mine=mine: add(mine) for mine in handles])
        finally:
            stop.set()

    in_threads(add_all, change, look)
    numbers = sorted(node.index for mine in handles for node in mine)
    assert numbers == list(range(4, 4 + 1200))
    assert len(graph) == 1204
    result = graph.run()
    for mine in handles:
        for i, node in enumerate(mine):
            assert node.name == f"n{i}"
            assert result[node][2] == i


def test_a_graph_that_runs_is_not_changed_by_others():
    for _ in range(30):
        graph = Graph()
        for i in range(50):
            graph.add(value, i)
        added = []

        def add(graph=graph, added=added):
            for i in range(50):
                try:
                    added.append(graph.add(value, i))
                except RuntimeError as error:
                    if "running" not in str(error):
                        raise

        in_threads(lambda graph=graph: graph.run(), add)
        assert len(graph) == 50 + len(added)


class SlowError(Exception):
    """Its note is written slowly: nothing more may begin meanwhile."""

    def __init__(self, begun, changed):
        super().__init__()
        self.begun, self.changed, self.seen = begun, changed, None

    def add_note(self, note):
        with self.changed:
            self.seen = len(self.begun)
            self.changed.wait_for(lambda: len(self.begun) > self.seen + WORKERS, 0.3)
        super().add_note(note)


def test_after_a_failure_no_more_nodes_begin_than_there_are_workers():
    begun: list[int] = []
    changed = threading.Condition()
    error = SlowError(begun, changed)

    def node(i):
        with changed:
            begun.append(i)
            changed.notify_all()
        if i == 20:
            raise error

    graph = Graph()
    for i in range(5000):
        graph.add(node, i)
    with Executor(WORKERS) as executor:
        with pytest.raises(fastflow.TaskError):
            graph.run(executor=executor)
    assert error.seen is not None
    assert len(begun) <= error.seen + WORKERS


# --- executors ------------------------------------------------------------------------


def test_shutdown_races_with_the_start_of_threads():
    for _ in range(60):
        executor = Executor(4)
        futures = []

        def submit(executor=executor, futures=futures):
            try:
                for i in range(8):
                    futures.append(executor.submit(abs, i))
            except RuntimeError as error:
                if "after shutdown" not in str(error):
                    raise

        in_threads(submit, submit, executor.shutdown)
        executor.shutdown()
        assert all(f.done() for f in futures)


def test_conditions_and_callbacks_are_made_while_the_task_ends():
    import concurrent.futures as cf

    with Executor(4) as executor:
        for _ in range(200):
            future = executor.submit(abs, -1)
            called = []
            in_threads(
                lambda f=future: (
                    cf.wait([f], timeout=60).not_done and pytest.fail("lost")
                ),
                lambda f=future, c=called: f.add_done_callback(c.append),
                lambda f=future: f.result(60),
            )
            assert called == [future]


def test_workers_do_not_keep_their_starter_s_context_alive():
    class Value:
        pass

    variable = contextvars.ContextVar("variable")

    def start(executor):
        held = Value()
        variable.set(held)
        assert executor.submit(abs, -1).result() == 1
        return weakref.ref(held)

    with Executor(2) as executor:
        dead = contextvars.copy_context().run(start, executor)
        for _ in range(50):  # the worker drops the task's own copy when it can
            executor.submit(abs, -1).result()
            gc.collect()
            if dead() is None:
                break
        assert dead() is None
