"""Executions that are run inside of the steps and branches of others."""

from __future__ import annotations

import concurrent.futures as cf
import threading

import pytest

import fastflow
from fastflow.durable import DurableRunner, StepConfig, durable_execution
from support import LIMIT

DEPTH = 4


@durable_execution(name="tests.nested.inner")
def inner(event, context):
    batch = context.map(event, lambda c, n, *_: c.step(lambda _: n * n))
    batch.throw_if_error()
    return sum(batch.get_results())


def by_run(runner, data):
    return runner.run(inner, data)


def by_start(runner, data):
    return runner.start(inner, data).result(LIMIT)


def by_exception(runner, data):
    handle = runner.start(inner, data)
    assert handle.exception(LIMIT) is None
    return handle.result()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("way", [by_run, by_start, by_exception])
@pytest.mark.parametrize("options", [None, {"timeout": LIMIT}])
def test_in_more_steps_than_there_are_workers(workers, way, options):
    config = options and StepConfig(**options)
    with fastflow.Executor(workers) as pool, DurableRunner(":memory:", pool) as runner:

        @durable_execution(name="tests.nested.outer")
        def outer(_, context):
            def branch(c, n, *_):
                return c.step(lambda _: way(runner, [n, n + 1]), config=config)

            batch = context.map(range(6), branch)
            batch.throw_if_error()
            return batch.get_results()

        wanted = [n * n + (n + 1) ** 2 for n in range(6)]
        assert runner.start(outer).result(LIMIT) == wanted
        assert runner.run(outer) == wanted
        assert runner._runtime.scheduler._crew == 0  # nobody is counted twice


def test_within_each_other():
    with fastflow.Executor(1) as pool, DurableRunner(":memory:", pool) as runner:

        @durable_execution(name="tests.nested.deep")
        def deep(depth, context):
            def below(_):
                return runner.start(deep, depth - 1).result(LIMIT) + 1

            return context.step(below) if depth else 0

        assert runner.start(deep, DEPTH).result(LIMIT) == DEPTH


def test_a_waiting_step_whose_execution_is_cancelled():
    """Its place has been lent and is given up: that is one place."""
    with fastflow.Executor(2) as pool, DurableRunner(":memory:", pool) as runner:
        may_end, hangs = threading.Event(), threading.Event()

        @durable_execution(name="tests.nested.hanging")
        def hanging(_, context):
            hangs.set()
            return context.step(lambda _: may_end.wait(LIMIT))

        @durable_execution(name="tests.nested.outer")
        def outer(_, context):
            return context.step(lambda _: runner.start(hanging).result(LIMIT))

        handle = runner.start(outer)
        assert hangs.wait(LIMIT)
        assert handle.cancel()
        assert runner.start(inner, [1, 2]).result(LIMIT) == 5
        may_end.set()
        with pytest.raises(cf.CancelledError):
            handle.result(LIMIT)
        assert runner.start(inner, [1, 3]).result(LIMIT) == 10


def test_a_handle_that_is_not_done_in_time():
    with DurableRunner(":memory:") as runner:
        may_end = threading.Event()

        @durable_execution(name="tests.nested.late")
        def late(_, context):
            return context.step(lambda _: may_end.wait(LIMIT))

        handle = runner.start(late)
        for ask in (handle.result, handle.exception):
            for seconds in (0, 0.01):
                with pytest.raises(TimeoutError):
                    ask(seconds)
        may_end.set()
        assert handle.result(LIMIT) is True
