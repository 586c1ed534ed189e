"""Attempts that hang do not keep others from beginning."""

from __future__ import annotations

import concurrent.futures as cf
import threading

import pytest

import fastflow
from fastflow import Flow, TaskRegistry


@pytest.fixture(params=["ours", "theirs"])
def executor(request):
    go = threading.Event()
    kind = fastflow.Executor if request.param == "ours" else cf.ThreadPoolExecutor
    with kind(2) as made:
        made.go = go
        yield made
        go.set()  # else its threads could not be joined


def test_items_that_hang(executor):
    @TaskRegistry().task(timeout=0.05)
    def hang(n):
        if n != 7:
            assert executor.go.wait(60)
        return n

    flow = Flow(
        "flow F:\n    numbers -> hang[*]",
        registry={"numbers": lambda: range(8), "hang": hang},
    )
    result = flow.run(executor=executor, on_error="return")
    assert [error.item for error in result.errors] == list(range(7))
    assert all(
        isinstance(error.__cause__, fastflow.TaskTimeout) for error in result.errors
    )
    assert dict(result.tasks["hang"].partial) == {7: 7}


def test_retries_of_what_hangs(executor):
    calls = []

    @TaskRegistry().task(timeout=0.05, retries=5, retry_delay=0)
    def hang():
        calls.append(1)
        if len(calls) < 6:
            assert executor.go.wait(60)
        return len(calls)

    flow = Flow("flow F:\n    hang", registry={"hang": hang})
    assert flow.run(executor=executor)["hang"] == 6


def test_the_next_flow_on_that_executor(executor):
    hang = TaskRegistry().task(timeout=0.05)(lambda: executor.go.wait(60))
    quick = TaskRegistry().task(timeout=30)(lambda: 1)
    names = [f"t{n}" for n in range(4)]
    first = Flow(
        "flow F:\n" + "".join(f"    {name}\n" for name in names),
        registry=dict.fromkeys(names, hang),
    )
    assert len(first.run(executor=executor, on_error="return").errors) == 4
    assert (
        Flow("flow G:\n    q", registry={"q": quick}).run(executor=executor)["q"] == 1
    )
