"""What a run that has failed still starts: nothing."""

from __future__ import annotations

import concurrent.futures as cf
import threading

import pytest

import fastflow
from fastflow import Flow
from fastflow.engines.driver import Driver, Job
from fastflow.engines.pools import pool_for
from fastflow.flows.function import _ParallelRun
from fastflow.retry import RetryPolicy
from fastflow.tasks import Task


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

    end = _ParallelRun.end

    def end_and_go(self, cancel):
        end(self, cancel)
        go.set()

    monkeypatch.setattr(_ParallelRun, "end", end_and_go)
    with pytest.raises(ValueError, match="enough"):
        body()
    assert ran == ["first"]
    assert handles[0].result(0) is None
    for handle in handles[1:]:
        with pytest.raises(cf.CancelledError):
            handle.result(0)


@pytest.mark.parametrize("fallback", [False, True])
def test_what_runs_while_a_run_fails_is_not_tried_again(fallback):
    began, go, done = threading.Event(), threading.Event(), []

    def flaky():
        began.set()
        assert go.wait(60)
        raise OSError("once more, please")

    task = Task(flaky, "flaky", retry=RetryPolicy(5, delay=0))
    if fallback:
        task = task.changed(fallback=lambda _error, _inputs: "instead")
    with cf.ThreadPoolExecutor(1) as executor:
        driver = Driver(pool_for(executor))
        job = Job(task, (), {}, done.append, None)
        driver.launch(job)
        assert began.wait(60)
        driver.cancel_queued()
        go.set()
        driver.run(lambda: bool(done))
    assert job.attempts == 1
    if fallback:
        assert (job.value, job.error) == ("instead", None)
    else:
        assert isinstance(job.error, OSError)


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
