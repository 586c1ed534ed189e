"""What the standard library's users expect of an executor, and the additions."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import contextvars
import itertools
import logging
import os
import pickle
import sys
import threading
import traceback

import pytest

import fastflow
from fastflow import Executor
from support import run_script


@pytest.fixture
def executor():
    with Executor(2) as made:
        yield made


def gated(executor, count):
    """Start `count` tasks that block; returns (futures, gate) once all of them run."""
    gate, started = threading.Event(), threading.Barrier(count + 1)

    def task():
        started.wait(30)
        gate.wait(30)

    futures = [executor.submit(task) for _ in range(count)]
    started.wait(30)
    return futures, gate


def test_it_is_the_standard_class(executor):
    assert isinstance(executor, cf.ThreadPoolExecutor)
    future = executor.submit(pow, 2, 5)
    assert isinstance(future, cf.Future)
    assert future.result() == 32
    assert fastflow.ThreadPoolExecutor is Executor


def test_arguments_of_every_kind(executor):
    def echo(*args, **kwargs):
        return args, kwargs

    for n in range(6):
        args = tuple(range(n))
        assert executor.submit(echo, *args).result() == (args, {})
        kwargs = {f"k{i}": i for i in range(n)}
        assert executor.submit(echo, *args, **kwargs).result() == (args, kwargs)
    many = tuple(range(70_000))
    assert executor.submit(echo, *many).result() == (many, {})
    # Names that are parameters of submit itself elsewhere.
    assert executor.submit(echo, self=1, fn=2).result() == ((), {"self": 1, "fn": 2})


def test_standard_functions_work_on_its_futures(executor):
    futures = [executor.submit(pow, 2, i) for i in range(50)]
    done, not_done = cf.wait(futures, timeout=30)
    assert len(done) == 50
    assert not not_done
    assert sorted(f.result() for f in cf.as_completed(futures)) == [
        2**i for i in range(50)
    ]
    blocked, gate = gated(executor, 1)
    done, not_done = cf.wait(
        [*blocked, futures[0]], return_when=cf.FIRST_COMPLETED, timeout=30
    )
    assert done == {futures[0]}
    with pytest.raises(cf.TimeoutError):
        next(cf.as_completed(blocked, timeout=0.01))
    gate.set()
    assert next(cf.as_completed(blocked)).result() is None


def test_asyncio(executor):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(executor)
        one = await loop.run_in_executor(executor, pow, 2, 3)
        two = await asyncio.to_thread(pow, 2, 4)
        three = await asyncio.wrap_future(executor.submit(pow, 2, 5))
        return one, two, three

    assert asyncio.run(main()) == (8, 16, 32)


def test_tasks_start_in_order_of_submission():
    seen = []
    with Executor(1) as executor:
        _, gate = gated(executor, 1)
        for i in range(5000):
            executor.submit(seen.append, i)
        gate.set()
    assert seen == list(range(5000))


def test_tasks_of_a_task_do_not_starve_others():
    with Executor(1) as executor:
        stop = threading.Event()

        def again():
            if not stop.is_set():
                executor.submit(again)

        executor.submit(again)
        executor.submit(stop.set).result(30)
        assert stop.is_set()


def test_blocking_tasks_run_side_by_side():
    with Executor(8) as executor:
        barrier = threading.Barrier(8)
        assert sorted(executor.map(lambda _: barrier.wait(30), range(8))) == list(
            range(8)
        )


def test_never_more_than_max_workers_at_once():
    lock = threading.Lock()
    now = most = 0

    def task(_):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        barrier_like = sum(range(2000))
        with lock:
            now -= 1
        return barrier_like

    with Executor(3) as executor:
        list(executor.map(task, range(500)))
    assert 1 <= most <= 3


def test_threads_are_visible_named_and_traced():
    seen = []

    def trace(frame, event, arg):
        if frame.f_code.co_name == "traced_body":
            seen.append(event)
        return trace

    def traced_body():
        return threading.current_thread()

    threading.settrace(trace)
    try:
        with Executor(1, thread_name_prefix="special") as executor:
            thread = executor.submit(traced_body).result()
            assert thread.name == "special_0"
            assert thread in threading.enumerate()
    finally:
        threading.settrace(None)  # type: ignore[arg-type]
    assert "call" in seen
    assert thread not in threading.enumerate()


def test_threads_start_on_demand():
    with Executor(16) as executor:
        assert executor.stats().workers == 0
        for _ in range(100):
            executor.submit(pow, 2, 2).result()
        assert 1 <= executor.stats().workers <= 3


def test_default_workers_from_the_environment(monkeypatch):
    monkeypatch.setenv("FASTFLOW_MAX_WORKERS", "3")
    assert Executor()._max_workers == 3
    monkeypatch.setenv("FASTFLOW_MAX_WORKERS", "many")
    with pytest.raises(ValueError, match=r"FASTFLOW_MAX_WORKERS.*'many'"):
        Executor()
    monkeypatch.delenv("FASTFLOW_MAX_WORKERS")
    count = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    assert Executor()._max_workers == min(32, count + 4)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"max_workers": 0}, ValueError),
        ({"max_workers": -1}, ValueError),
        ({"max_workers": "4"}, TypeError),
        ({"max_workers": 2.5}, TypeError),
        ({"max_workers": True}, TypeError),
        ({"initializer": 3}, TypeError),
        ({"max_pending": 0}, ValueError),
        ({"max_pending": 1.5}, TypeError),
        ({"on_full": "explode"}, ValueError),
        ({"blas_threads": 0}, ValueError),
        ({"blas_threads": "some"}, TypeError),
    ],
)
def test_bad_arguments(arguments, error):
    with pytest.raises(error):
        Executor(**arguments)


def test_submit_refuses_what_it_cannot_take(executor):
    with pytest.raises(TypeError, match="fn"):
        executor.submit()
    assert isinstance(executor.submit(None).exception(), TypeError)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(pow, 1, 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        fastflow.map(abs, [1], executor=executor)


def test_errors_keep_traceback_and_gain_a_note(executor):
    def load():
        raise ValueError("broken")

    executor.submit(pow, 1, 1).result()
    future = executor.submit(load)
    with pytest.raises(ValueError, match="broken") as caught:
        future.result()
    assert caught.value.__notes__ == ["task 'load' #2"]
    assert "load" in "".join(traceback.format_exception(caught.value))
    shared = KeyError("one object, many tasks")

    def fail():
        raise shared

    for f in [executor.submit(fail) for _ in range(5)]:
        assert f.exception() is shared
    assert len(shared.__notes__) == 1


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_base_exceptions_end_the_task_and_not_the_worker(executor, error):
    def fail():
        raise error

    assert executor.submit(fail).exception() is error
    assert executor.submit(sys.exit, 9).exception().code == 9
    assert executor.submit(pow, 2, 2).result() == 4


def test_unobserved_failures_are_logged_once(caplog):
    def fail(i):
        raise ValueError(f"number {i}")

    with caplog.at_level(logging.ERROR, "fastflow"):
        with Executor(1) as executor:
            for i in range(5):
                executor.submit(fail, i)
            looked_at = executor.submit(fail, 99)
            looked_at.exception()
        messages = [r for r in caplog.records if r.name == "fastflow"]
    assert len(messages) == 1
    assert messages[0].getMessage().startswith("5 failed tasks")
    assert str(messages[0].exc_info[1]) == "number 0"


def test_context_variables_are_those_of_the_submitter(executor):
    variable = contextvars.ContextVar("variable", default="unset")
    assert executor.submit(variable.get).result() == "unset"
    token = variable.set("mine")
    try:
        assert executor.submit(variable.get).result() == "mine"
        assert fastflow.map(lambda _: variable.get(), range(3)) == ["mine"] * 3
        assert list(executor.map(lambda _: variable.get(), range(3))) == ["mine"] * 3
        assert list(fastflow.imap(lambda _: variable.get(), range(3))) == ["mine"] * 3
        with Executor(1, propagate_context=False) as other:
            assert other.submit(variable.get).result() == "unset"
    finally:
        variable.reset(token)


def test_a_task_does_not_see_another_tasks_context():
    variable = contextvars.ContextVar("variable", default=0)

    def read_and_set(value):
        before = variable.get()
        variable.set(value)
        return before

    with Executor(1) as executor:
        assert [executor.submit(read_and_set, i).result() for i in (1, 2, 3)] == [
            0,
            0,
            0,
        ]
    assert variable.get() == 0


@pytest.mark.parametrize("propagate", [True, False])
def test_nor_does_it_where_the_submitter_has_no_variables(propagate):
    variable = contextvars.ContextVar("variable", default=0)

    def read_and_set(value):
        before = variable.get()
        variable.set(value)
        return before

    def run():
        with Executor(1, propagate_context=propagate) as executor:
            found = [executor.submit(read_and_set, i).result() for i in (1, 2, 3)]
            fastflow.for_each(read_and_set, range(1, 4), executor=executor)
            found += fastflow.map(read_and_set, [5], executor=executor)
            found += fastflow.imap(read_and_set, [6], executor=executor)
            found.append(executor.submit(variable.get).result())
        return found

    assert contextvars.Context().run(run) == [0] * 6


@pytest.mark.parametrize("propagate", [True, False])
def test_contexts_of_nested_tasks_are_apart(propagate):
    variable = contextvars.ContextVar("variable", default="unset")

    def inner():
        before = variable.get()
        variable.set("inner")
        return before

    with Executor(1, propagate_context=propagate) as executor:

        def outer():
            before = variable.get()
            variable.set("outer")
            seen = executor.submit(inner).result()
            return before, seen, variable.get()

        seen_by_inner = "outer" if propagate else "unset"
        expected = ("unset", seen_by_inner, "outer")
        for _ in range(3):
            assert executor.submit(outer).result() == expected
            assert executor.submit(variable.get).result() == "unset"
    with Executor(1, max_pending=1, on_full="caller_runs") as executor:
        _, gate = gated(executor, 1)
        executor.submit(pow, 1, 1)
        assert executor.submit(inner).result() == "unset"
        assert variable.get() == "unset"
        gate.set()


def test_initializer_and_its_failure(caplog):
    local = threading.local()
    with Executor(2, initializer=setattr, initargs=(local, "x", 5)) as executor:
        assert executor.submit(lambda: local.x).result() == 5
        # Calls stay on initialised threads.
        assert fastflow.map(lambda _: local.x, range(20), executor=executor) == [5] * 20
        assert list(fastflow.imap(lambda _: local.x, range(20), executor=executor)) == (
            [5] * 20
        )

    def fail():
        raise ValueError("cannot initialise")

    with caplog.at_level(logging.CRITICAL, "concurrent.futures"):
        executor = Executor(2, initializer=fail)
        future = executor.submit(pow, 1, 1)
        with pytest.raises(cf.BrokenExecutor):
            future.result(30)
        with pytest.raises(fastflow.BrokenPoolError):
            executor.submit(pow, 1, 1)
        executor.shutdown()
    assert "cannot initialise" in caplog.text


def test_shutdown_cancels_on_request():
    executor = Executor(1)
    (running,), gate = gated(executor, 1)
    called = []
    queued = [executor.submit(called.append, i) for i in range(1000)]
    notified = []
    queued[0].add_done_callback(lambda f: notified.append(f.cancelled()))
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(f.cancelled() for f in queued)
    with pytest.raises(cf.CancelledError):
        queued[5].result()
    assert not running.done()
    gate.set()
    executor.shutdown()
    assert running.done()
    assert called == []
    assert notified == [True]


def test_shutdown_from_one_of_its_tasks_is_refused_as_in_the_standard_library():
    executor = Executor(1)
    with pytest.raises(RuntimeError, match="cannot join current thread"):
        executor.submit(executor.shutdown).result()
    executor.shutdown()


def test_cancel(executor):
    blocked, gate = gated(executor, 2)
    ran = []
    waiting = [executor.submit(ran.append, i) for i in range(10)]
    assert all(f.cancel() for f in waiting[::2])
    assert all(f.cancelled() and f.done() for f in waiting[::2])
    assert not blocked[0].cancel()
    assert blocked[0].running()
    gate.set()
    cf.wait(waiting, timeout=30)
    executor.shutdown()
    assert sorted(ran) == [1, 3, 5, 7, 9]


def test_a_running_task_learns_of_a_cancel_that_came_too_late():
    started, go_on = threading.Event(), threading.Event()

    def task():
        current = fastflow.current_task()
        before = current.cancelled
        started.set()
        go_on.wait(30)
        assert current.cancelled
        current.check()
        return before

    with Executor(1) as executor:
        future = executor.submit(task)
        started.wait(30)
        assert not future.cancel()
        go_on.set()
        with pytest.raises(cf.CancelledError):
            future.result(30)
        assert future.cancelled()
    assert fastflow.current_task() is None


def test_callbacks(executor):
    seen = []
    future = executor.submit(pow, 2, 2)
    future.result()
    future.add_done_callback(seen.append)
    assert seen == [future]
    blocked, gate = gated(executor, 1)
    for _ in range(3):
        blocked[0].add_done_callback(seen.append)
    assert len(seen) == 1
    ended = threading.Event()
    blocked[0].add_done_callback(lambda _: ended.set())
    gate.set()
    assert ended.wait(30)
    assert seen == [future] + [blocked[0]] * 3


def test_a_failing_callback_is_logged_and_stops_nobody(executor, caplog):
    def fail(_):
        raise ValueError("in callback")

    blocked, gate = gated(executor, 1)
    ended = threading.Event()
    blocked[0].add_done_callback(fail)
    blocked[0].add_done_callback(lambda _: ended.set())
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        gate.set()
        assert ended.wait(30)
    assert "in callback" in caplog.text


def test_timeouts_of_result_and_exception(executor):
    (future, _), gate = gated(executor, 2)
    for ask in (future.result, future.exception):
        with pytest.raises(TimeoutError):
            ask(0.01)
        with pytest.raises(TimeoutError):
            ask(timeout=0)
        with pytest.raises(TypeError):
            ask("soon")
        with pytest.raises(TypeError):
            ask(1, 2)
        with pytest.raises(TypeError):
            ask(seconds=1)
    gate.set()
    assert future.result(30) is None


def test_futures_made_by_hand_behave_like_the_standard_ones():
    future = fastflow.Future()
    assert not future.done()
    assert future.set_running_or_notify_cancel()
    future.set_result(5)
    assert future.result() == 5
    with pytest.raises(cf.InvalidStateError):
        future.set_result(6)
    failed = fastflow.Future()
    failed.set_exception(KeyError("x"))
    with pytest.raises(KeyError):
        failed.result()
    cancelled = fastflow.Future()
    assert cancelled.cancel()
    assert not cancelled.set_running_or_notify_cancel()
    with pytest.raises(cf.InvalidStateError):
        cancelled.set_result(1)
    assert "finished returned int" in repr(future)


def test_back_pressure_blocks():
    with Executor(1, max_pending=3) as executor:
        (_,), gate = gated(executor, 1)
        submitted = []

        def feed():
            for i in range(20):
                submitted.append(executor.submit(pow, 2, i))

        feeder = threading.Thread(target=feed)
        feeder.start()
        while len(submitted) < 3:
            feeder.join(0.001)
        feeder.join(0.05)
        assert len(submitted) == 3
        gate.set()
        feeder.join(30)
        assert [f.result(30) for f in submitted] == [2**i for i in range(20)]


def test_back_pressure_raises_or_runs_in_the_caller():
    with Executor(1, max_pending=2, on_full="raise") as executor:
        _, gate = gated(executor, 1)
        futures = [executor.submit(pow, 2, i) for i in range(2)]
        with pytest.raises(fastflow.QueueFullError, match="2 tasks are pending"):
            executor.submit(pow, 1, 1)
        gate.set()
        assert [f.result(30) for f in futures] == [1, 2]
        assert executor.submit(pow, 3, 3).result(30) == 27
    with Executor(1, max_pending=2, on_full="caller_runs") as executor:
        _, gate = gated(executor, 1)
        futures = [executor.submit(threading.get_ident) for _ in range(4)]
        assert [f.done() for f in futures] == [False, False, True, True]
        assert futures[3].result() == threading.get_ident()
        gate.set()
        assert futures[0].result(30) != threading.get_ident()


def test_a_cancelled_task_makes_room():
    with Executor(1, max_pending=1, on_full="raise") as executor:
        _, gate = gated(executor, 1)
        assert executor.submit(pow, 1, 1).cancel()
        executor.submit(pow, 1, 1)
        gate.set()


def test_stats():
    with Executor(2) as executor:
        for i in range(10):
            executor.submit(pow, 2, i).result()
        failed = executor.submit(int, "x")
        failed.exception()
        fastflow.map(abs, range(100), executor=executor)
        stats = executor.stats()
    assert (stats.submitted, stats.completed, stats.failed) == (111, 110, 1)
    assert stats.pending == 0
    assert stats.blocked == 0
    with pytest.raises(AttributeError):
        stats.submitted = 5


def test_exceptions_are_picklable():
    for error in (
        fastflow.QueueFullError("x"),
        fastflow.BrokenPoolError("x"),
        fastflow.KernelError("x"),
        fastflow.Cancelled("x"),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert copy.args == error.args


def test_blas_pools_are_limited_while_tasks_run():
    pytest.importorskip("threadpoolctl")
    # In a process of its own: the limits are the process's, and every executor that was
    # busy a moment ago has a say in them.
    script = """
        import numpy, threadpoolctl
        from fastflow import Executor
        def limits():
            return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
        before = limits()
        with Executor(2, blas_threads=1) as executor:
            assert set(executor.submit(limits).result()) <= {1}
        assert limits() == before
        with Executor(2, blas_threads=None) as executor:
            assert executor.submit(limits).result() == before
    """
    assert run_script(script).returncode == 0


class Counting(Executor):
    """Does something to each call, as users' subclasses do."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.calls = 0

    def submit(self, fn, /, *args, **kwargs):
        self.calls += 1
        return super().submit(fn, *args, **kwargs)


@pytest.mark.parametrize("options", [{}, {"chunksize": 3}, {"timeout": 60}])
def test_map_calls_the_submit_of_a_subclass(options):
    with Counting(2) as executor:
        assert list(executor.map(pow, [1, 2, 3], itertools.repeat(2), **options)) == [
            1,
            4,
            9,
        ]
        assert executor.calls == 3


def test_with_a_buffersize_it_does_so_item_by_item():
    with Counting(2) as executor:
        results = executor.map(abs, itertools.count(), buffersize=2)
        assert executor.calls == 2
        assert list(itertools.islice(results, 5)) == [0, 1, 2, 3, 4]
        assert executor.calls == 7


def test_an_error_in_such_a_map_is_raised_in_its_place_and_cancels_the_rest():
    with Counting(1) as executor:
        results = executor.map(lambda n: 1 // n, [1, 0, 1])
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert list(results) == []


def test_with_a_buffersize_the_work_begins_at_the_call():
    """As in the standard library of Python 3.14: not at the first next()."""
    numbers = iter(range(9))
    begun = threading.Semaphore(0)
    with Executor(2) as executor:
        results = executor.map(lambda x: begun.release() or x, numbers, buffersize=2)
        assert begun.acquire(timeout=30)
        assert begun.acquire(timeout=30)
        assert next(numbers) == 2  # exactly two were read
        assert list(results) == [0, 1, 3, 4, 5, 6, 7, 8]


def test_a_buffersize_is_an_integer():
    with Executor(1) as executor:
        for wrong in ("foo", 2.0):
            with pytest.raises(
                TypeError, match="buffersize must be an integer or None"
            ):
                executor.map(abs, [1], buffersize=wrong)
