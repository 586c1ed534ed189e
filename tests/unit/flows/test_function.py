"""``@flow`` functions."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import inspect
import pickle
import threading

import pytest

import fastflow
import flow_tasks
from fastflow.run.registry import TaskRegistry

tasks = TaskRegistry()


@tasks.task
def add(a, b=0):
    return a + b


@tasks.task
def boom(*_):
    raise KeyError("b")


@tasks.task
def gather(*args, **kwargs):
    return args, kwargs


@tasks.task
async def awaited(n):
    await asyncio.sleep(0)
    return n


@fastflow.flow(name="listed", description="for pickle")
def listed(n):
    return [flow_tasks.square(i) for i in range(n)]


EXECUTORS = {
    "serial": lambda: "serial",
    "none": lambda: None,
    "native": lambda: fastflow.Executor(2),
    "threads": lambda: cf.ThreadPoolExecutor(2),
}


@pytest.fixture(params=EXECUTORS)
def run(request):
    executor = EXECUTORS[request.param]()
    yield lambda fn, *args: fastflow.flow(fn).with_options(executor=executor)(*args)
    if isinstance(executor, cf.Executor):
        executor.shutdown()


def test_handles_are_dependencies_and_results(run):
    def body(n):
        first = add(n, 1)
        second = add(first, b=first)
        return {"both": [first, (second,)], "plain": 7}

    assert run(body, 1) == {"both": [2, (4,)], "plain": 7}


def test_handles_inside_of_containers(run):
    def body():
        one = add(1)
        return gather([one, {"x": (one,)}], key={add(1), add(2)}, other=[3])

    assert run(body) == (([1, {"x": (1,)}],), {"key": {1, 2}, "other": [3]})


def test_containers_without_handles_are_passed_on_as_they_are(run):
    data = [1, [2]]

    def body():
        return gather(data)

    args, _ = run(body)
    assert args[0] is data


def test_python_decides_by_results(run):
    def body(n):
        total = add(0)
        while total.result() < n:
            total = add(total, 1)
        return [add(i) for i in range(total.result())]

    assert run(body, 3) == [0, 1, 2]


def test_tasks_run_side_by_side():
    together = threading.Barrier(2)

    @TaskRegistry().task
    def meet():
        together.wait()
        return 1

    @fastflow.flow
    def body():
        return [meet(), meet()]

    assert body() == [1, 1]


def test_async_tasks(run):
    assert run(lambda: [awaited(i) for i in range(3)]) == [0, 1, 2]


def test_outside_of_a_flow_tasks_run_plainly(run):
    assert add(1, 2) == 3
    assert run(lambda: add(1)) == 1
    assert add(1, 2) == 3


def test_tasks_called_by_tasks_run_plainly(run):
    @TaskRegistry().task
    def outer_task():
        assert add(1, 1) == 2
        return "plain"

    assert run(lambda: outer_task()) == "plain"


def test_a_flow_inside_of_a_flow(run):
    inner = fastflow.flow(lambda n: add(n, 1))

    def body():
        return add(inner(1), 1)

    assert run(body) == 3


def test_a_failure_is_raised_at_the_end(run):
    ran = []

    def body():
        failed = boom()
        after = add(failed)
        ran.append(add(1))
        return after

    with pytest.raises(fastflow.TaskError) as caught:
        run(body)
    error = caught.value
    assert (error.task, type(error.__cause__)) == ("boom", KeyError)
    found = {name: record.status for name, record in error.result.tasks.items()}
    assert found == {"boom": "FAILED", "add": "SKIPPED", "add#2": "COMPLETED"}
    assert error.result["add#2"] == 1


def test_a_failure_nobody_waits_for_counts(run):
    def body():
        boom()
        return 1

    with pytest.raises(fastflow.TaskError):
        run(body)


def test_several_failures_are_a_group(run):
    def body():
        return [boom(1), boom(2)]

    with pytest.raises(fastflow.TaskErrorGroup) as caught:
        run(body)
    assert {error.task for error in caught.value.exceptions} == {"boom", "boom#2"}


def test_a_failure_that_was_caught_is_no_failure(run):
    def body():
        failed = boom()
        with pytest.raises(fastflow.TaskError) as caught:
            failed.result()
        assert isinstance(caught.value.__cause__, KeyError)
        assert isinstance(boom().exception(), fastflow.TaskError)
        return "fine"

    assert run(body) == "fine"


def test_an_exception_of_the_function_itself(run):
    def body():
        add(1)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run(body)
    assert add(1) == 1, "the thread is outside of the flow again"


def test_options_of_tasks_hold(run):
    calls = []

    @TaskRegistry().task(retries=1, retry_delay=0, fallback="b")
    def flaky_one(good):
        calls.append(1)
        if not good or len(calls) < 2:
            raise OSError
        return "a"

    assert run(lambda: [flaky_one(True), flaky_one(False)])[1] == "b"


def test_processes():
    with cf.ProcessPoolExecutor(2) as executor:
        assert listed.with_options(executor=executor)(5) == [0, 1, 4, 9, 16]


def test_a_long_chain(run):
    def body(n):
        total = add(0)
        for _ in range(n):
            total = add(total, 1)
        return total

    assert run(body, 3_000) == 3_000


def test_it_looks_like_the_function():
    def described(n: int) -> int:
        """Say what it does."""
        return n

    found = fastflow.flow(described)
    assert str(inspect.signature(found)) == "(n: 'int') -> 'int'"
    assert found.__doc__ == "Say what it does."
    assert (found.name, found.description) == ("described", "")
    assert (listed.name, listed.description) == ("listed", "for pickle")
    assert pickle.loads(pickle.dumps(listed)) is listed


def test_bad_arguments():
    with pytest.raises(TypeError, match="callable"):
        fastflow.flow(3)
    with pytest.raises(TypeError, match="plain function"):

        @fastflow.flow
        async def wrong():
            pass

    with pytest.raises(ValueError, match="serial"):
        listed.with_options(executor="nobody")


def test_handles():
    @fastflow.flow
    def body():
        handle = add(1)
        assert handle.name == "add"
        assert isinstance(handle, cf.Future)
        assert not handle.cancel()
        assert handle.result(timeout=60) == 1
        assert handle.done()
        assert "done" in repr(handle)
        return handle

    assert body() == 1
