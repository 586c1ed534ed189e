"""A limit is the time of an attempt, what follows it needs no worker, and late is late.

The same for the three machines that have limits: flows, workflows, durable executions.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import fastflow
from fastflow import Flow, TaskRegistry, TaskTimeout, workflow
from fastflow.base.timers import call_later
from fastflow.durable import DurableRunner, StepConfig, StepError, durable_execution

SECONDS = 60  # a watchdog
POOLS = [fastflow.Executor, ThreadPoolExecutor]


@pytest.fixture(params=POOLS)
def pool(request):
    gate = threading.Event()
    with request.param(2) as made:
        made.gate = gate
        yield made
        gate.set()


STEP = {}


@durable_execution
def one_step(limit, context):
    try:
        return context.step(lambda _: STEP["fn"](), config=StepConfig(timeout=limit))
    except StepError as error:
        return error.error_type


def flow_with(task, pool):
    flow = Flow("flow F:\n    t", registry={"t": task})
    return flow.run(executor=pool)["t"]


class Started:
    """Runs under way, which can be asked for their results."""

    def __init__(self, machine, pool, body, limit, count=1):
        self.results = [getattr(self, machine)(pool, body, limit) for _ in range(count)]

    def get(self):
        return [result(SECONDS) for result in self.results]

    def flow(self, pool, body, limit):
        task = TaskRegistry().task(
            timeout=limit, fallback=lambda error, _: type(error).__name__
        )(body)
        return apart(lambda: flow_with(task, pool))

    def function(self, pool, body, limit):
        task = TaskRegistry().task(
            timeout=limit, fallback=lambda error, _: type(error).__name__
        )(body)

        @fastflow.flow
        def run():
            return task()

        return apart(lambda: run.with_options(executor=pool)())

    def builder(self, pool, body, limit):
        wf = (
            workflow("w")
            .step("s", lambda _: body(), timeout=limit)
            .on_error(lambda ctx: type(ctx.error).__name__)
        )
        run = wf.start(executor=pool)
        return lambda seconds: run.result(seconds).last

    def durable(self, pool, body, limit):
        STEP["fn"] = body
        runner = DurableRunner(":memory:", executor=pool)
        handle = runner.start(one_step, limit)

        def result(seconds):
            with runner:
                found = handle.result(seconds)
            return found.rpartition(".")[2] if isinstance(found, str) else found

        return result


def apart(fn):
    """Call it on a thread of its own; return what waits for the result."""
    caller = ThreadPoolExecutor(1)
    future = caller.submit(fn)
    caller.shutdown(wait=False)
    return future.result


MACHINES = ["flow", "function", "builder", "durable"]


@pytest.mark.parametrize("machine", MACHINES)
def test_time_in_the_queue_does_not_count(machine, pool):
    begun = threading.Semaphore(0)

    def busy():
        begun.release()
        assert pool.gate.wait(SECONDS)

    others = [pool.submit(busy) for _ in range(2)]
    for _ in others:
        assert begun.acquire(timeout=SECONDS)
    runs = Started(machine, pool, lambda: "in time", 0.4, count=6)
    call_later(0.8, pool.gate.set)  # long after their limit, had it begun
    assert runs.get() == ["in time"] * 6


@pytest.mark.parametrize("machine", MACHINES)
def test_what_follows_a_limit_needs_no_worker(machine, pool):
    """All workers are busy with calls that nothing is wrong with."""
    begun = threading.Event()

    def hang():
        begun.set()
        assert pool.gate.wait(SECONDS)

    runs = Started(machine, pool, hang, 0.3)
    assert begun.wait(SECONDS)
    others = [pool.submit(pool.gate.wait, SECONDS) for _ in range(4)]
    assert runs.get() == ["TaskTimeout"]
    assert not pool.gate.is_set()
    pool.gate.set()
    assert [other.result(SECONDS) for other in others] == [True] * 4


@pytest.mark.parametrize("machine", MACHINES)
def test_a_coroutine_that_does_not_stop(machine, pool):
    loop = []
    go = []

    async def stubborn():
        loop.append(asyncio.get_running_loop())
        go.append(asyncio.Event())
        while not go[0].is_set():
            try:
                await go[0].wait()
            except asyncio.CancelledError:
                asyncio.current_task().uncancel()
        return "late"

    runs = Started(machine, pool, stubborn, 0.05)
    try:
        assert runs.get() == ["TaskTimeout"]
    finally:
        loop[0].call_soon_threadsafe(go[0].set)


@pytest.mark.parametrize("machine", MACHINES)
def test_two_hung_calls_and_an_innocent_one(machine, pool):
    begun = threading.Semaphore(0)

    def hang():
        begun.release()
        assert pool.gate.wait(SECONDS)

    hung = Started(machine, pool, hang, 0.05, count=2)
    for _ in range(2):
        assert begun.acquire(timeout=SECONDS)
    assert Started(machine, pool, lambda: "well", 20).get() == ["well"]
    assert hung.get() == ["TaskTimeout"] * 2
    assert Started(machine, pool, lambda: "well", 20).get() == ["well"]
    assert not pool.gate.is_set()


def test_another_flow_goes_on_while_hung_tasks_hold_the_pool(pool):
    """What is queued behind hung attempts of one flow is fetched for all flows."""
    begun = threading.Semaphore(0)

    def hang():
        begun.release()
        assert pool.gate.wait(SECONDS)

    hung = Started("flow", pool, hang, 0.2, count=2)
    for _ in range(2):
        assert begun.acquire(timeout=SECONDS)
    quick = Started("flow", pool, lambda: "quick", 20, count=5)  # queued behind them
    assert quick.get() == ["quick"] * 5
    assert hung.get() == ["TaskTimeout"] * 2
    assert not pool.gate.is_set()


@pytest.mark.parametrize("kind", ["flow", "function"])
def test_a_late_result_is_none(kind, pool):
    """The fallback lets the attempts return while it has not returned itself."""
    items = 50
    late = threading.Semaphore(0)

    def fallback(error, inputs):
        pool.gate.set()
        assert late.acquire(timeout=SECONDS)
        return type(error).__name__

    @TaskRegistry().task(timeout=0.05, fallback=fallback)
    def hang(n):
        assert pool.gate.wait(SECONDS)
        late.release(items)
        return "late" if n < 2 else "in time"  # two workers hang; the others may begin

    if kind == "flow":
        flow = Flow(
            "flow F:\n    numbers -> hang[*]",
            registry={"numbers": lambda: range(items), "hang": hang},
        )
        found = flow.run(executor=pool)["hang"]
    else:

        @fastflow.flow
        def run():
            return [hang(n) for n in range(items)]

        found = run.with_options(executor=pool)()
    assert "late" not in found


def test_late_results_of_a_race_between_attempts(pool):
    """A retry counts, not what the attempt before it returns late."""
    attempts = []

    @TaskRegistry().task(timeout=0.05, retries=1, retry_delay=0)
    def hang():
        attempts.append(None)
        if len(attempts) == 1:
            assert pool.gate.wait(SECONDS)
            return "late"
        pool.gate.set()
        return "in time"

    assert flow_with(hang, pool) == "in time"


def test_the_caller_of_an_async_task_is_told_in_time():
    """`await task()` outside of a flow, whose coroutine goes on regardless."""

    async def main():
        go = asyncio.Event()

        @TaskRegistry().task(timeout=0.05)
        async def stubborn():
            while not go.is_set():
                try:
                    await go.wait()
                except asyncio.CancelledError:
                    asyncio.current_task().uncancel()
            return "late"

        with pytest.raises(TaskTimeout):
            await stubborn()
        go.set()

    asyncio.run(asyncio.wait_for(main(), SECONDS))
