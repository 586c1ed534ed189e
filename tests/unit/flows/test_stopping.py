"""What a run that has failed still starts: nothing."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import queue
import threading

import pytest

import fastflow
from fastflow import Flow
from fastflow.backends.local import ThreadBackend
from fastflow.base import aio
from fastflow.base.timers import system_clock
from fastflow.engines.base import Run
from fastflow.engines.host import Host
from fastflow.flows.calls import ParallelCalls
from fastflow.run.retry import RetryPolicy
from fastflow.run.task import Task
from fastflow.run.task_job import TaskJob


def job_of(task, executor, done):
    backend = ThreadBackend(executor)
    return TaskJob(task, (), {}, done, None, backend=backend, clock=system_clock)


def test_a_function_that_raises_starts_no_task_any_more(monkeypatch):
    began, go = threading.Event(), threading.Event()
    ran = []

    @fastflow.task
    def first():
        began.set()
        assert go.wait(60)
        ran.append("first")

    @fastflow.task
    def second(_):
        ran.append("second")

    handles = []

    @fastflow.flow
    def body():
        handles.append(first())
        handles.append(second(handles[0]))
        handles.append(second(handles[1]))
        assert began.wait(60)
        raise ValueError("enough")

    take_back = ParallelCalls._take_back

    def take_back_and_go(self, call):
        take_back(self, call)
        if call.handle is handles[0]:
            go.set()

    monkeypatch.setattr(ParallelCalls, "_take_back", take_back_and_go)
    with pytest.raises(ValueError, match="enough"):
        body()
    assert ran == ["first"]
    assert handles[0].result(0) is None
    for handle in handles[1:]:
        with pytest.raises(cf.CancelledError):
            handle.result(0)


@pytest.mark.parametrize("fallback", [False, True])
def test_what_runs_while_a_run_fails_is_not_tried_again(fallback):
    began, go, done = threading.Event(), threading.Event(), queue.SimpleQueue()

    def flaky():
        began.set()
        assert go.wait(60)
        raise OSError("once more, please")

    task = Task(flaky, "flaky", retry=RetryPolicy(5, delay=0))
    if fallback:
        task = task.changed(fallback=lambda _error, _inputs: "instead")
    with cf.ThreadPoolExecutor(1) as executor:
        job = job_of(task, executor, done.put)
        job.start()
        assert began.wait(60)
        job.stop()
        go.set()
        assert done.get(timeout=60) is job
    assert job.attempts.count == 1
    error, value = job.outcome()
    if fallback:
        assert (error, value) == (None, "instead")
    else:
        assert isinstance(error, OSError)


def test_a_flow_that_fails_does_not_wait_for_the_next_attempts():
    both = threading.Barrier(2)
    calls = []

    def broken():
        both.wait(60)
        raise ValueError("no luck")

    @fastflow.task(retries=3, retry_delay=3_600, max_delay=3_600)
    def flaky():
        calls.append(1)
        both.wait(60)
        raise OSError("later, maybe")

    flow = Flow(
        "flow F:\n    broken -> a\n    flaky -> b",
        registry={
            "broken": broken,
            "flaky": flaky,
            "a": print,
            "b": print,
        },
    )
    with cf.ThreadPoolExecutor(2) as executor, pytest.raises(Exception) as caught:
        flow.run(executor=executor)
    assert len(calls) == 1
    assert {"a", "b"}.isdisjoint(caught.value.result)


def test_coroutines_that_run_are_waited_for(monkeypatch):
    began, failed = threading.Event(), threading.Event()
    ran = []

    async def slow(_):
        began.set()
        await asyncio.to_thread(failed.wait, 60)
        ran.append("slow")

    def broken(_):
        assert began.wait(60)
        raise ValueError("no luck")

    stop = Host.stop_if_asked

    def stop_and_tell(self):
        stop(self)
        failed.set()

    monkeypatch.setattr(Host, "stop_if_asked", stop_and_tell)
    flow = Flow(
        "flow F:\n    a -> [slow, broken] -> b",
        registry={"a": lambda: 1, "slow": slow, "broken": broken, "b": print},
    )
    with pytest.raises(fastflow.TaskError, match="'broken'") as caught:
        flow.run()
    assert not isinstance(caught.value, fastflow.TaskErrorGroup)
    assert ran == ["slow"]
    assert caught.value.result.tasks["slow"].status == "COMPLETED"


def test_coroutines_that_wait_for_the_loop_do_not_begin():
    ran = []
    busy, free = threading.Event(), threading.Event()

    async def keep_busy():
        busy.set()
        free.wait(60)

    async def quick(_):
        ran.append("quick")

    flow = Flow(
        "flow F:\n    a -> quick\n    a -> k",
        registry={"a": lambda: 1, "quick": quick, "k": lambda p, q: p},
    )
    blocker = aio.submit(keep_busy())
    assert busy.wait(60)
    with pytest.raises(fastflow.ParameterError):
        flow.run()
    free.set()
    blocker.result(60)
    aio.submit(asyncio.sleep(0)).result(60)  # what the loop had before, it has done
    assert not ran


class Counted(cf.ThreadPoolExecutor):
    """Says when it has been given two calls."""

    def __init__(self):
        super().__init__(1)
        self.calls = 0
        self.full = threading.Event()

    def submit(self, fn, /, *args, **kwargs):
        future = super().submit(fn, *args, **kwargs)
        self.calls += 1
        if self.calls == 2:
            self.full.set()
        return future


def test_an_executor_that_gives_up_a_call():
    go = threading.Event()
    executor = Counted()

    def shut_down():
        assert executor.full.wait(60)
        executor.shutdown(wait=False, cancel_futures=True)
        go.set()

    flow = Flow(
        "flow F:\n    [first, second] -> both",
        registry={"first": lambda: go.wait(60), "second": lambda: 2, "both": print},
    )
    thread = threading.Thread(target=shut_down)
    thread.start()
    with pytest.raises(fastflow.TaskError, match=r"'second'.*was it shut down"):
        flow.run(executor=executor)
    thread.join()


@pytest.mark.parametrize("kind", [None, cf.ThreadPoolExecutor])
def test_items_stop_where_another_task_fails(kind):
    """The first items wait for the failure; of the others none begins."""
    stopped = threading.Event()
    ran = []

    def work(n):
        ran.append(n)
        assert stopped.wait(60)
        return n

    def broken(_):
        raise ValueError("no luck")

    fail = Run.fail

    def fail_and_go(self, number, *errors):
        fail(self, number, *errors)
        stopped.set()

    flow = Flow(
        "flow F:\n    numbers -> broken\n    numbers -> work[*]",
        registry={"numbers": lambda: range(300), "broken": broken, "work": work},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "fail", fail_and_go)
        executor = fastflow.Executor(2) if kind is None else kind(2)
        with executor, pytest.raises(fastflow.TaskError, match="'broken'") as caught:
            flow.run(executor=executor)
    record = caught.value.result.tasks["work"]
    assert record.status == "SKIPPED"
    assert dict(record.partial) == {n: n for n in ran}
    assert len(ran) < 300


def test_a_timeout_that_comes_late_leaves_the_fallback_alone():
    done = queue.SimpleQueue()
    go = threading.Event()

    def broken():
        raise ValueError

    task = Task(broken, "broken", timeout=60, fallback=lambda _e, _i: go.wait(60))
    with cf.ThreadPoolExecutor(1) as executor:
        job = job_of(task, executor, done.put)
        recover = job.backend.recover

        def recover_and_time_out(job, ticket):
            recover(job, ticket)
            job.expired(1)  # was under way already
            go.set()

        job.backend.recover = recover_and_time_out
        job.start()
        assert done.get(timeout=60) is job
    assert job.outcome() == (None, True)
