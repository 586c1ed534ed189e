"""Calls that hang: the report comes, what follows comes, and neighbours are not harmed.

Every machine that runs functions of the user with a time limit, on our own pool and on
one of the standard library, with fewer, as many and more hung calls than workers. The
calls hang on an event that the test sets at its end, so no thread is left behind.
"""

from __future__ import annotations

import concurrent.futures as cf
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import fastflow
from fastflow import Flow, TaskRegistry, TaskTimeout, workflow
from fastflow.durable import (
    DurableRunner,
    ParallelConfig,
    StepConfig,
    StepError,
    durable_execution,
)

WORKERS = 3
LIMIT = "40ms"
SECONDS = 60  # a watchdog: nothing here takes that long unless it hangs


class Place:
    """A pool, and what the hung calls wait for."""

    def __init__(self, pool):
        self.pool = pool
        self.release = threading.Event()
        self.ours = isinstance(pool, fastflow.Executor)

    def hang(self, *_):
        assert self.release.wait(SECONDS)
        return "late"


@pytest.fixture(params=[fastflow.Executor, ThreadPoolExecutor])
def place(request):
    with request.param(WORKERS) as pool:
        made = Place(pool)
        yield made
        made.release.set()  # else its threads could not be joined


def side_by_side(count, fn):
    """Call fn(n) on as many threads; the results, or what was raised."""
    with cf.ThreadPoolExecutor(count) as callers:
        futures = [callers.submit(fn, n) for n in range(count)]
        return [future.result(SECONDS) for future in futures]


# Each scenario makes `count` calls hang and returns what was reported of each.


def handled(place):
    return (
        workflow("hangs")
        .step("hang", place.hang, timeout=LIMIT)
        .on_error(lambda ctx: type(ctx.error))
        .step("next", lambda ctx: ctx.last)
    )


def builder_run(place, count):
    wf = handled(place)
    return side_by_side(count, lambda _: wf.run(executor=place.pool).last)


def builder_start(place, count):
    wf = handled(place)
    runs = [wf.start(executor=place.pool) for _ in range(count)]
    return [run.result(SECONDS).last for run in runs]


def builder_retries(place, count):
    calls = iter(range(count))

    def hang(ctx):
        return TaskTimeout if next(calls, None) is None else place.hang()

    wf = workflow("hangs").step(
        "hang", hang, timeout=LIMIT, retries=count, retry_delay=0
    )
    return [wf.start(executor=place.pool).result(SECONDS).last]


def builder_fan(place, count):
    wf = (
        workflow("hangs")
        .parallel([place.hang] * count, timeout=LIMIT)
        .on_error(lambda ctx: type(ctx.error))
    )
    return [
        wf.run(executor=place.pool).last,
        wf.start(executor=place.pool).result(SECONDS).last,
    ]


def builder_sub_flows(place, count):
    wf = (
        workflow("hangs")
        .for_each(
            "each",
            lambda _: range(count),
            build=lambda flow: flow.step("hang", place.hang, timeout=LIMIT).on_error(
                lambda ctx: type(ctx.error)
            ),
        )
        .step("next", lambda ctx: ctx.last)
    )
    return wf.start(executor=place.pool).result(SECONDS).last


def builder_runs_limit(place, count):
    """The limit is that of the run; what hangs has none of its own."""
    wf = workflow("hangs", timeout=LIMIT).step("hang", place.hang)
    runs = [wf.start(executor=place.pool) for _ in range(count)]
    return [type(reported(lambda run=run: run.result(SECONDS))) for run in runs]


def builder_cancelled(place, count):
    begun = queue.SimpleQueue()

    def hang(ctx):
        begun.put(ctx.payload)
        place.hang()

    wf = workflow("hangs").step("hang", hang)
    runs = [wf.start(number, executor=place.pool) for number in range(count)]
    for _ in runs:
        run = runs[begun.get(timeout=SECONDS)]  # not always in the order of the starts
        run.cancel()
        assert isinstance(
            reported(lambda run=run: run.result(SECONDS)), cf.CancelledError
        )
    return []


def reported(fn):
    try:
        fn()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def tasks_that_hang(place, **options):
    return TaskRegistry().task(timeout=LIMIT, **options)(lambda: place.hang())


def names(count):
    return [f"t{n}" for n in range(count)]


def flow_of(count, task, last="after"):
    lines = "".join(f"    {name} -> {last}\n" for name in names(count))
    registry = dict.fromkeys(names(count), task)
    registry[last] = lambda *results: list(results)
    return Flow("flow F:\n" + lines, registry=registry)


def flow_fallback(place, count):
    task = tasks_that_hang(place, fallback=lambda error, _: type(error))
    return flow_of(count, task).run(executor=place.pool)["after"]


def flow_constant(place, count):
    task = tasks_that_hang(place, fallback="TaskTimeout")
    return flow_of(count, task).run(executor=place.pool)["after"]


def flow_report(place, count):
    result = flow_of(count, tasks_that_hang(place)).run(
        executor=place.pool, on_error="return"
    )
    assert len(result.errors) == count
    return [type(error.__cause__) for error in result.errors]


def flow_stopped(place, count):
    """The first failure ends the run; what runs is not waited for beyond its limit."""
    flow = flow_of(count, tasks_that_hang(place))
    error = reported(lambda: flow.run(executor=place.pool))
    return [type(error.__cause__)]


def flow_runs_limit(place, count):
    """The limit is that of the run; what hangs has none of its own."""
    flow = flow_of(count, lambda: place.hang())
    result = flow.run(executor=place.pool, timeout=0.1, on_error="return")
    return [type(error.__cause__ or error) for error in result.errors]


def flow_function(place, count):
    task = tasks_that_hang(place, fallback=lambda error, _: type(error))

    @fastflow.flow
    def run():
        return [task() for _ in range(count)]

    return run.with_options(executor=place.pool)()


@durable_execution
def hang_in_a_step(event, context):
    place = PLACES[event]
    try:
        context.step(place.hang, config=StepConfig(timeout=0.04))
    except StepError as error:
        return error.error_type
    raise AssertionError("nothing was raised")


@durable_execution
def hang_in_a_batch(event, context):
    key, count = event
    place = PLACES[key]
    batch = context.parallel(
        [lambda ctx: ctx.step(place.hang)] * count,
        config=ParallelConfig(timeout=0.3),
    )
    return [error.type for error in batch.get_errors()]


PLACES = {}


@pytest.fixture
def runner(place):
    PLACES["this"] = place
    with DurableRunner(":memory:", executor=place.pool) as made:
        yield made
    del PLACES["this"]


def durable_run(place, count, runner):
    return side_by_side(count, lambda _: runner.run(hang_in_a_step, "this"))


def durable_start(place, count, runner):
    handles = [runner.start(hang_in_a_step, "this") for _ in range(count)]
    return [handle.result(SECONDS) for handle in handles]


def durable_batch_run(place, count, runner):
    return runner.run(hang_in_a_batch, ["this", count])


def durable_batch_start(place, count, runner):
    handle = runner.start(hang_in_a_batch, ["this", count])
    other = runner.start(hang_in_a_batch, ["this", 1])
    return handle.result(SECONDS) + other.result(SECONDS)


SCENARIOS = [
    builder_run,
    builder_start,
    builder_retries,
    builder_fan,
    builder_sub_flows,
    builder_runs_limit,
    builder_cancelled,
    flow_fallback,
    flow_constant,
    flow_report,
    flow_stopped,
    flow_runs_limit,
    flow_function,
]
DURABLE = [durable_run, durable_start, durable_batch_run, durable_batch_start]
COUNTS = [WORKERS - 1, WORKERS, 3 * WORKERS]


def check(place, reports):
    assert not place.release.is_set()
    assert {str(report) for report in reports} <= {
        str(TaskTimeout),
        "TaskTimeout",
        "fastflow.errors.TaskTimeout",
        "fastflow.TaskTimeout",
    }
    neighbours_are_well(place)
    assert not place.release.is_set()


def neighbours_are_well(place):
    """While they hang: others on the same pool begin, and end within their limits."""
    noop = workflow("noop").step("noop", lambda ctx: 1, timeout=SECONDS)
    assert noop.start(executor=place.pool).result(SECONDS).last == 1
    assert noop.run(executor=place.pool).last == 1
    plain = workflow("plain").parallel([lambda ctx: 1] * 5)
    assert plain.start(executor=place.pool).result(SECONDS).last == [1] * 5
    quick = TaskRegistry().task(timeout=SECONDS)(lambda: 1)
    assert flow_of(4, quick).run(executor=place.pool)["after"] == [1] * 4
    untimed = TaskRegistry().task(retries=1)(lambda: 1)
    assert flow_of(4, untimed).run(executor=place.pool)["after"] == [1] * 4
    with DurableRunner(":memory:", executor=place.pool) as runner:
        assert runner.start(three_steps, 0).result(SECONDS) == 3
        assert runner.run(three_steps, 0) == 3
    if place.ours:
        assert place.pool.submit(int).result(SECONDS) == 0


@durable_execution
def three_steps(event, context):
    first = context.step(lambda _: 1, config=StepConfig(timeout=SECONDS))
    batch = context.map([1, 1], lambda ctx, n, index, items: ctx.step(lambda _: n))
    return first + sum(batch.get_results())


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_hung_calls(place, scenario, count):
    check(place, scenario(place, count))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("scenario", DURABLE)
def test_hung_durable_calls(place, runner, scenario, count):
    check(place, scenario(place, count, runner))
