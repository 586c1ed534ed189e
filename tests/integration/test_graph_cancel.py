"""Runs of graphs that are stopped from outside, or by what a node raises."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import fastflow

CHAIN = fastflow.Graph.from_edges(200, np.arange(199), np.arange(1, 200))
LIMIT = 60  # seconds


def in_thread(function):
    """Start a thread; the list that is returned gets what the function returns."""
    got = []
    thread = threading.Thread(target=lambda: got.append(function()))
    thread.start()
    return thread, got


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("initializer", [None, int], ids=["", "initializer"])
def test_a_shutdown_with_cancel_ends_a_run(workers, initializer):
    started, go = threading.Event(), threading.Event()
    executor = fastflow.Executor(workers, initializer=initializer)

    def body(i):
        started.set()
        go.wait(LIMIT)

    thread, got = in_thread(lambda: CHAIN.run(body, executor=executor))
    assert started.wait(LIMIT)
    executor.shutdown(wait=False, cancel_futures=True)
    go.set()
    thread.join(LIMIT)
    (result,) = got
    assert result.status == "CANCELLED"
    assert [result.state(i) for i in range(3)] == ["COMPLETED", *2 * ["CANCELLED"]]
    assert result.errors == {}


def test_a_shutdown_without_cancel_lets_a_run_end():
    started, go = threading.Event(), threading.Event()
    executor = fastflow.Executor(2)

    def body(i):
        started.set()
        go.wait(LIMIT)

    thread, got = in_thread(lambda: CHAIN.run(body, executor=executor))
    assert started.wait(LIMIT)
    executor.shutdown(wait=False)
    go.set()
    thread.join(LIMIT)
    assert got[0].status == "COMPLETED"


def test_a_shutdown_with_cancel_ends_a_run_that_waits_for_a_worker():
    started, go = threading.Barrier(2), threading.Event()
    executor = fastflow.Executor(1, initializer=int)

    def block():
        started.wait(LIMIT)
        go.wait(LIMIT)

    executor.submit(block)
    started.wait(LIMIT)
    ran = []

    def run():
        try:
            return CHAIN.run(ran.append, executor=executor).status
        except RuntimeError:  # it came after the shutdown
            return "refused"

    thread, got = in_thread(run)
    executor.shutdown(wait=False, cancel_futures=True)
    go.set()
    thread.join(LIMIT)
    assert got in (["CANCELLED"], ["refused"])
    assert ran == []


@pytest.mark.parametrize("on_error", ["stop", "continue"])
@pytest.mark.parametrize("raised", [SystemExit, fastflow.Cancelled, GeneratorExit])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_no_error_of_a_task_goes_through_and_ends_the_run(
    on_error, raised, workers
):
    ran = []

    def body(i):
        ran.append(i)
        if i == 3:
            raise raised

    with fastflow.Executor(workers) as executor:
        with pytest.raises(raised):
            CHAIN.run(body, executor=executor, on_error=on_error)
        assert ran == [0, 1, 2, 3]
        assert executor.submit(abs, -1).result(LIMIT) == 1
        assert CHAIN.run(abs, executor=executor).status == "COMPLETED"
