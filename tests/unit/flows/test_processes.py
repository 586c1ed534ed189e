"""Short attempts go to other processes together, and stay apart in everything else."""

from __future__ import annotations

import collections
import concurrent.futures as cf
import multiprocessing
import pickle
import queue
import threading
from concurrent.futures.process import BrokenProcessPool

import pytest

import fastflow
import flow_tasks
from fastflow import Flow
from fastflow.backends.choose import backend_of
from fastflow.base.timers import system_clock
from fastflow.run.retry import RetryPolicy
from fastflow.run.task import Task, task_of
from fastflow.run.task_job import TaskJob


class Counting(cf.ProcessPoolExecutor):
    """Counts what is submitted."""

    submitted = 0

    def submit(self, fn, /, *args, **kwargs):
        self.submitted += 1
        return super().submit(fn, *args, **kwargs)


class Here(cf.ProcessPoolExecutor):
    """Runs calls on a thread of this process."""

    def __init__(self):
        super().__init__(2)
        self.thread = cf.ThreadPoolExecutor(1)

    def submit(self, fn, /, *args, **kwargs):
        return self.thread.submit(fn, *args, **kwargs)


def flow(*lines):
    text = "flow F:\n" + "".join(f"    {line}\n" for line in lines)
    return Flow(text, registry=flow_tasks.registry)


def run_jobs(executor, task, items):
    """The jobs of calls, once all have ended."""
    backend, ended = backend_of(executor), queue.SimpleQueue()
    jobs = [
        TaskJob(task, (item,), {}, ended.put, None, backend=backend, clock=system_clock)
        for item in items
    ]
    for job in jobs:
        job.start()
    for _ in jobs:
        ended.get(timeout=60)
    return jobs


def value_of(job):
    error, value = job.outcome()
    assert error is None
    return value


def error_of(job):
    return job.outcome()[0]


def a_task(fn=flow_tasks.square):
    """Return a task of which nothing is known yet."""
    return task_of(fn).changed()


def test_a_fan_out_goes_in_few_chunks_and_comes_back_in_order():
    with Counting(2) as executor:
        result = flow("numbers -> square[*] -> total").run(5_000, executor=executor)
    assert result["square"] == [n * n for n in range(5_000)]
    assert result["total"] == sum(n * n for n in range(5_000))
    assert executor.submitted < 500
    assert result.tasks["square"].worker.startswith("process ")


def test_a_failed_call_leaves_its_neighbours_alone():
    with Counting(2) as executor:
        with pytest.raises(fastflow.TaskErrorGroup) as caught:
            flow("numbers -> picky[*]").run(
                1_000, executor=executor, on_error="continue"
            )
        # And the pool is as good as before.
        assert flow("numbers -> total").run(3, executor=executor)["total"] == 3
    assert executor.submitted < 300
    causes = collections.Counter(
        type(error.__cause__) for error in caught.value.exceptions
    )
    assert sum(causes.values()) == 300
    assert causes[ValueError] == 100
    for error in caught.value.exceptions:
        if isinstance(error.__cause__, ValueError):
            assert "in picky" in str(error.__cause__.__cause__)


FLAKY_CALLS = collections.Counter()


def flaky(n):
    FLAKY_CALLS[n] += 1
    if n % 3 == 0 and FLAKY_CALLS[n] == 1:
        raise OSError("once")
    return n


def test_only_failed_calls_are_tried_again():
    FLAKY_CALLS.clear()
    task = Task(flaky, "flaky", retry=RetryPolicy(2, delay=0))
    jobs = run_jobs(Here(), task, range(60))
    assert [value_of(job) for job in jobs] == list(range(60))
    assert {n: 2 if n % 3 == 0 else 1 for n in range(60)} == FLAKY_CALLS


class ApiError(Exception):
    """Can be pickled, but not made again."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")


@fastflow.TaskRegistry().task
def call_api(n):
    if n % 50 == 49:
        raise ApiError(404, f"no {n}")
    return n


@pytest.mark.parametrize("count", [1, 300])
def test_errors_that_cannot_be_pickled(count):
    with Counting(2) as executor:
        jobs = run_jobs(executor, task_of(call_api), range(49, 49 + count))
        again = run_jobs(executor, task_of(call_api), [1])
    assert value_of(again[0]) == 1  # the pool is as good as before
    for n, job in enumerate(jobs, 49):
        if n % 50 == 49:
            assert isinstance(error_of(job), fastflow.errors.RemoteError)
            assert f"404: no {n}" in str(error_of(job))
            assert "ApiError" in str(error_of(job))
            assert "__reduce__" in str(error_of(job))
            assert "in call_api" in error_of(job).__notes__[0]
        else:
            assert value_of(job) == n


@pytest.mark.parametrize("fn", [lambda n: n, flow_tasks.generate])
def test_what_cannot_be_pickled_is_explained(fn):
    with Counting(1) as executor:
        (job,) = run_jobs(executor, a_task(fn), [1])
    assert "must be functions of a module" in "".join(error_of(job).__notes__)


def test_arguments_that_cannot_be_pickled():
    with Counting(2) as executor:
        items = [threading.Lock() if n % 100 == 99 else n for n in range(1_000)]
        jobs = run_jobs(executor, task_of(flow_tasks.square), items)
    for n, job in enumerate(jobs):
        if n % 100 == 99:
            assert isinstance(error_of(job), TypeError | pickle.PicklingError)
        else:
            assert value_of(job) == n * n
    assert executor.submitted < 500


def test_a_process_that_dies():
    with cf.ProcessPoolExecutor(2) as executor:
        with pytest.raises(fastflow.TaskError) as caught:
            flow("numbers -> die_at_fifty[*]").run(
                1_000, executor=executor, on_error="continue"
            )
    errors = getattr(caught.value, "exceptions", [caught.value])
    assert all(isinstance(error.__cause__, BrokenProcessPool) for error in errors)


def test_processes_that_are_replaced_after_some_tasks_get_them_one_by_one():
    spawn = multiprocessing.get_context("spawn")
    with Counting(1, max_tasks_per_child=50, mp_context=spawn) as executor:
        result = flow("numbers -> square[*]").run(30, executor=executor)
        assert result["square"] == [n * n for n in range(30)]
    assert executor.submitted == 31


def test_large_results_all_arrive():
    with Counting(2) as executor:
        result = flow("numbers -> large[*]").run(300, executor=executor)
    assert [len(value) for value in result["large"]] == [400_000] * 300
    assert [value[0] for value in result["large"]] == [n % 256 for n in range(300)]


def test_an_executor_that_was_shut_down():
    with cf.ProcessPoolExecutor(1) as executor:
        pass
    jobs = run_jobs(executor, a_task(), range(20))
    assert all(isinstance(error_of(job), RuntimeError) for job in jobs)


@pytest.mark.parametrize("wait", [0, 1])
def test_limits(wait):
    """With and without neighbours that have no timeout."""
    text = "flow F:\n    numbers -> soon[*]\n" + "    numbers -> square[*]\n" * wait
    flow = Flow(text, registry=flow_tasks.registry)
    with cf.ProcessPoolExecutor(2) as executor:
        result = flow.run(20, executor=executor)
        assert result["soon"] == [n + 1 for n in range(20)]

        @fastflow.flow
        def body():
            return [flow_tasks.soon(n) for n in range(20)]

        assert body.with_options(executor=executor)() == [n + 1 for n in range(20)]
