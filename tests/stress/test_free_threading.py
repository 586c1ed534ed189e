"""What only the interpreter lock used to see to; run on all builds."""

from __future__ import annotations

import concurrent.futures as cf
import contextvars
import gc
import threading
import weakref

import pytest

import fastflow
from fastflow import Executor, Graph, _core

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


# --- futures --------------------------------------------------------------------------


def test_what_a_callback_may_be_a_cycle_with_is_tracked_once():
    # The outcome (a list) and the callback each make the collector know of the future.
    gate = threading.Barrier(2)

    def task():
        gate.wait(60)
        return []

    with Executor(1) as executor:
        for _ in range(2000):
            future = executor.submit(task)
            called: list[cf.Future] = []
            gate.wait(60)
            future.add_done_callback(called.append)
            assert future.result(60) == []
            assert gc.is_tracked(future)
            executor.submit(abs, 0).result(60)  # the worker is done with it
            assert called == [future]


def test_callbacks_are_taken_back_while_others_are_called():
    def other(_):
        pass

    for _ in range(400):
        future, called = fastflow.Future(), []
        for i in range(40):
            future.add_done_callback(other if i % 2 else called.append)

        def forget(future=future):
            for _ in range(20):
                future._forget_callback(other)

        in_threads(forget, lambda f=future: f.set_result(1))
        assert called == [future] * 20
        assert future._done_callbacks == []


def test_the_list_of_callbacks_that_is_shown_is_a_copy():
    future, called = fastflow.Future(), []
    future.add_done_callback(called.append)
    future._done_callbacks.clear()
    future.set_result(1)
    assert called == [future]


def test_a_future_is_either_cancelled_or_given_its_result():
    futures = [fastflow.Future() for _ in range(20_000)]
    ended: list[cf.Future] = []
    for future in futures:
        future.add_done_callback(ended.append)
    cancelled, given = [], [[], []]

    def give(mine, result):
        for i, future in enumerate(futures):
            try:
                future.set_result(result)
            except cf.InvalidStateError:
                continue
            mine.append(i)

    in_threads(
        lambda: cancelled.extend(i for i, f in enumerate(futures) if f.cancel()),
        lambda: give(given[0], 0),
        lambda: give(given[1], 1),
    )
    assert sorted(cancelled + given[0] + given[1]) == list(range(len(futures)))
    assert len(ended) == len(futures)
    assert all(futures[i].cancelled() for i in cancelled)
    assert all(futures[i].result() == k for k in (0, 1) for i in given[k])


@pytest.mark.parametrize("setter", ["set_result", "set_exception"])
def test_what_a_worker_runs_is_the_worker_s_to_end(setter):
    begun, gate = threading.Event(), threading.Event()

    def task():
        begun.set()
        gate.wait(60)
        return "its own"

    with Executor(1) as executor:
        future = executor.submit(task)
        assert begun.wait(60)
        with pytest.raises(cf.InvalidStateError):
            getattr(future, setter)(ValueError())
        gate.set()
        assert future.result(60) == "its own"


def test_a_queued_task_that_is_given_its_result_makes_room():
    gate = threading.Event()
    with Executor(1, max_pending=1, on_full="raise") as executor:
        begun = threading.Event()
        running = executor.submit(lambda: (begun.set(), gate.wait(60)))
        assert begun.wait(60)
        for i in range(3):
            queued = executor.submit(pytest.fail)
            queued.set_result(i)
            assert queued.result() == i
        gate.set()
        running.result(60)


def test_a_condition_is_made_once_however_many_ask():
    for _ in range(200):
        condition, ready = fastflow.Future()._condition, []

        def wait(condition=condition, ready=ready):
            with condition:
                assert condition.wait_for(lambda: ready, 60)

        def tell(condition=condition, ready=ready):
            with condition:
                ready.append(True)
                condition.notify_all()

        in_threads(wait, wait, wait, tell)


# --- runs and groups ------------------------------------------------------------------


def test_failures_are_listed_while_more_come():
    graph = Graph.from_edges(3000, [], [])

    def node(i):
        raise KeyError(i)

    with Executor(4) as executor:
        run = _core.CallRun(
            engine=executor._engine, graph=graph, fn=node, most=4,
            stop_on_error=False, keep=0, timings=None,
        )  # fmt: skip
        seen = []

        def look():
            while not run.finished:
                seen.append(run.failures())

        in_threads(look, look, lambda: run.run(1))
        assert sorted(index for index, _ in run.failures()) == list(range(3000))
    whole = run.failures()
    for listed in seen:
        assert [index for index, _ in listed] == [i for i, _ in whole[: len(listed)]]


def test_a_group_has_one_parent_whoever_enters_it():
    with Executor(2) as executor, fastflow.TaskGroup(executor) as group:
        for _ in range(300):
            inner, gate = _core.Scope(), threading.Barrier(2)

            def enter(inner=inner, gate=gate):
                gate.wait(60)
                inner.enter()

            for task in [group.create_task(enter) for _ in range(2)]:
                task.result(60)
            in_threads(inner.leave, inner.leave)
            assert not inner.reached


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
