"""How to call whatever has an option: the tables of test_vocabulary."""

from __future__ import annotations

import math
from concurrent.futures import Future
from datetime import timedelta
from fractions import Fraction

import fastflow
from fastflow import durable, testing
from fastflow.workflows import State


def done() -> Future:
    future: Future = Future()
    future.set_result(1)
    return future


def wf(name="w"):
    return fastflow.workflow(name)


def one(ctx, *_):
    return 1


def step(**options):
    return wf().step("a", one, **options)


def flow_text():
    return "flow F:\n    a"


def ran(method):
    """Call a method of a handle on a durable execution that has ended."""

    def call(**options):
        with durable.DurableRunner() as runner:
            return method(runner.start(nothing, 1), **options)

    return call


@durable.durable_execution
def nothing(event, context):
    return event


@durable.durable_execution
def asks(event, context):
    return context.create_callback().result()


def simulated(**options):
    with testing.DurableFunctionTestRunner(nothing) as runner:
        return runner.run(1, **options)


def awaited(**options):
    with testing.DurableFunctionTestRunner(nothing) as runner:
        return runner.wait_for_result(runner.run_async(1), **options)


def called_back(**options):
    with testing.DurableFunctionTestRunner(asks) as runner:
        name = runner.run_async(1)
        try:
            return runner.wait_for_callback(name, **options)
        finally:
            token = runner.wait_for_callback(name)
            runner.send_callback_success(token, 1)
            runner.wait_for_result(name)


def waited(**options):
    @durable.durable_execution
    def waits(event, context):
        context.wait(**options)

    with testing.DurableFunctionTestRunner(waits) as runner:
        result = runner.run(1)
    if result.error is not None:
        raise ValueError(result.error.message)


def cached(ttl):
    return step(cache=lambda ctx: 1, cache_ttl=ttl)


def in_executor(method, *args, **options):
    with fastflow.Executor(2) as executor:
        return list(getattr(executor, method)(*args, **options))


REGISTRY = {"a": lambda: 1}

#: Parameter -> how to call what has it.
TIME_CALLS = {
    "fastflow.Executor.map.timeout": lambda **o: in_executor("map", abs, [1], **o),
    "fastflow.Flow.run.timeout": (
        lambda **o: fastflow.Flow(flow_text(), registry=REGISTRY).run(**o)
    ),
    "fastflow.ProcessExecutor.idle_timeout": fastflow.ProcessExecutor,
    "fastflow.ProcessExecutor.map.timeout": (
        lambda **o: fastflow.ProcessExecutor(1).map(abs, [], **o)
    ),
    "fastflow.RetryDecision.retry.delay": fastflow.RetryDecision.retry,
    "fastflow.RetryPolicy.delay": lambda **o: fastflow.RetryPolicy(1, **o),
    "fastflow.RetryPolicy.increment": lambda **o: fastflow.RetryPolicy(1, **o),
    "fastflow.RetryPolicy.max_delay": lambda **o: fastflow.RetryPolicy(1, **o),
    "fastflow.Workflow.batch.timeout": (
        lambda **o: wf().batch("b", [1], 2, one, **o).run()
    ),
    "fastflow.Workflow.close.timeout": lambda **o: wf().close(**o),
    "fastflow.Workflow.for_each.timeout": (
        lambda **o: wf().for_each("b", [1], one, **o).run()
    ),
    "fastflow.Workflow.human_in_the_loop.timeout": (
        lambda **o: wf().human_in_the_loop("h", **o)
    ),
    "fastflow.Workflow.parallel.timeout": lambda **o: wf().parallel([one], **o).run(),
    "fastflow.Workflow.race.timeout": lambda **o: wf().race([one], **o).run(),
    "fastflow.Workflow.run.timeout": lambda **o: step().run(**o),
    "fastflow.Workflow.sleep.time": lambda **o: wf().sleep(**o),
    "fastflow.Workflow.start.timeout": lambda **o: step().start(**o).result(),
    "fastflow.Workflow.step.cache_ttl": lambda cache_ttl: cached(cache_ttl),
    "fastflow.Workflow.step.delay": step,
    "fastflow.Workflow.step.max_delay": step,
    "fastflow.Workflow.step.retry_delay": step,
    "fastflow.Workflow.step.timeout": step,
    "fastflow.Workflow.test.patience": lambda **o: step().test(**o),
    "fastflow.Workflow.wait_for_event.timeout": (
        lambda **o: wf().wait_for_event("e", **o)
    ),
    "fastflow.as_completed.timeout": lambda **o: list(
        fastflow.as_completed([done()], **o)
    ),
    "fastflow.for_each.timeout": lambda **o: fastflow.for_each(abs, [1], **o),
    "fastflow.imap.timeout": lambda **o: list(fastflow.imap(abs, [1], **o)),
    "fastflow.map.timeout": lambda **o: fastflow.map(abs, [1], **o),
    "fastflow.run_flow_from_dsl.timeout": (
        lambda **o: fastflow.run_flow_from_dsl(flow_text(), registry=REGISTRY, **o)
    ),
    "fastflow.run_parallel_flow_from_dsl.timeout": (
        lambda **o: fastflow.run_parallel_flow_from_dsl(
            flow_text(), registry=REGISTRY, **o
        )
    ),
    "fastflow.starmap.timeout": lambda **o: fastflow.starmap(abs, [(1,)], **o),
    "fastflow.task.max_delay": lambda **o: fastflow.TaskRegistry().task(**o)(one),
    "fastflow.task.retry_delay": lambda **o: fastflow.TaskRegistry().task(**o)(one),
    "fastflow.task.timeout": lambda **o: fastflow.TaskRegistry().task(**o)(one),
    "fastflow.wait.timeout": lambda **o: fastflow.wait([done()], **o),
    "fastflow.workflow.timeout": lambda **o: fastflow.workflow("w", **o),
    "fastflow.workflows.Run.result.timeout": lambda **o: step().start().result(**o),
    "fastflow.workflows.Run.wait.timeout": lambda **o: step().start().wait(**o),
    "fastflow.workflows.State.incr.ttl": lambda **o: State().incr("a", **o),
    "fastflow.workflows.State.set.ttl": lambda **o: State().set("a", 1, **o),
    "fastflow.durable.CallbackConfig.heartbeat_timeout": durable.CallbackConfig,
    "fastflow.durable.CallbackConfig.timeout": durable.CallbackConfig,
    "fastflow.durable.DurableContext.wait.duration": waited,
    "fastflow.durable.DurableRunner.lease": (
        lambda **o: durable.DurableRunner(**o).close()
    ),
    "fastflow.durable.Handle.exception.timeout": ran(durable.Handle.exception),
    "fastflow.durable.Handle.result.timeout": ran(durable.Handle.result),
    "fastflow.durable.InvokeConfig.timeout": durable.InvokeConfig,
    "fastflow.durable.MapConfig.timeout": durable.MapConfig,
    "fastflow.durable.ParallelConfig.timeout": durable.ParallelConfig,
    "fastflow.durable.RetryDecision.retry.delay": durable.RetryDecision.retry,
    "fastflow.durable.RetryPresets.fixed.interval": durable.RetryPresets.fixed,
    "fastflow.durable.RetryStrategyConfig.initial_delay": durable.RetryStrategyConfig,
    "fastflow.durable.RetryStrategyConfig.max_delay": durable.RetryStrategyConfig,
    "fastflow.durable.StepConfig.timeout": durable.StepConfig,
    "fastflow.durable.WaitForCallbackConfig.heartbeat_timeout": (
        durable.WaitForCallbackConfig
    ),
    "fastflow.durable.WaitForCallbackConfig.timeout": durable.WaitForCallbackConfig,
    "fastflow.durable.WaitForConditionDecision.continue_waiting.delay": (
        durable.WaitForConditionDecision.continue_waiting
    ),
    "fastflow.durable.WaitStrategyConfig.initial_delay": (
        lambda **o: durable.WaitStrategyConfig(bool, **o)
    ),
    "fastflow.durable.WaitStrategyConfig.max_delay": (
        lambda **o: durable.WaitStrategyConfig(bool, **o)
    ),
    "fastflow.testing.DurableFunctionTestRunner.run.timeout": simulated,
    "fastflow.testing.DurableFunctionTestRunner.wait_for_callback.timeout": called_back,
    "fastflow.testing.DurableFunctionTestRunner.wait_for_result.timeout": awaited,
}

#: Waits like those of concurrent.futures: a negative number is a time that is up.
WAITS = {
    "fastflow.Executor.map.timeout",
    "fastflow.ProcessExecutor.map.timeout",
    "fastflow.as_completed.timeout",
    "fastflow.durable.Handle.exception.timeout",
    "fastflow.durable.Handle.result.timeout",
    "fastflow.wait.timeout",
    "fastflow.workflows.Run.result.timeout",
    "fastflow.workflows.Run.wait.timeout",
}

NOT_TIMES = {
    "fastflow.Future.exception.timeout": "native, and nothing may be added to it",
    "fastflow.Future.result.timeout": "native, and nothing may be added to it",
    "fastflow.FlowResult.duration": "what has been measured, in seconds",
    "fastflow.RunResult.duration": "what has been measured, in seconds",
    "fastflow.RetryDecision.delay": "made by retry(); read as delay_seconds",
    "fastflow.durable.RetryDecision.delay": "a Duration, as the AWS SDK has it",
    "fastflow.durable.WaitForConditionDecision.delay": "a Duration, likewise",
    "fastflow.durable.Duration.seconds": "a number: it makes a Duration",
    "fastflow.RetryPolicy.changed.delay": "ours: seconds of another policy",
    "fastflow.durable.Journal.enter.lease": "the protocol of stores: we call it",
    "fastflow.durable.MemoryJournal.enter.lease": "a store: we call it",
    "fastflow.durable.SqliteJournal.enter.lease": "a store: we call it",
    "fastflow.workflows.Harness.patience": "made by Workflow.test()",
    "fastflow.workflows.Run.timeout": "made by Workflow.start()",
}

#: Where a message names something else than the parameter.
CALLED = {
    "fastflow.durable.RetryDecision.retry.delay": "duration",
    "fastflow.durable.RetryPresets.fixed.interval": "initial_delay",
}

GOOD = (3600, 3600.0, "3600s", "60m", "1h", Fraction(3600), timedelta(hours=1))
GOOD += (durable.Duration.from_hours(1),)

BAD = {
    "negative text": "-1s",
    "not a number": math.nan,
    "infinite": math.inf,
    "a bool": True,
    "no duration": "soon",
    "no unit that is known": "5 weeks",
    "of another type": [1],
    "negative timedelta": timedelta(seconds=-1),
    "negative": -1,
}


#: Parameter -> (how to call what has it, whether None is "no limit").
COUNT_CALLS = {
    "fastflow.Executor.max_pending": (fastflow.Executor, True),
    "fastflow.Executor.max_workers": (fastflow.Executor, True),
    "fastflow.ProcessExecutor.max_pending": (fastflow.ProcessExecutor, True),
    "fastflow.ProcessExecutor.max_workers": (fastflow.ProcessExecutor, True),
    "fastflow.Flow.run.max_workers": (
        lambda **o: fastflow.Flow(flow_text(), registry=REGISTRY).run(**o),
        True,
    ),
    "fastflow.Graph.run.max_workers": (lambda **o: fastflow.Graph().run(**o), True),
    "fastflow.Recording.size": (fastflow.Recording, False),
    "fastflow.record.size": (fastflow.record, False),
    "fastflow.RetryPolicy.retries": (fastflow.RetryPolicy, False),
    "fastflow.Workflow.batch.max_concurrency": (
        lambda **o: wf().batch("b", [1], 2, one, **o),
        True,
    ),
    "fastflow.Workflow.batch.size": (
        lambda **o: wf().batch("b", [1], fn=one, **o),
        False,
    ),
    "fastflow.Workflow.for_each.max_concurrency": (
        lambda **o: wf().for_each("b", [1], one, **o),
        True,
    ),
    "fastflow.Workflow.parallel.max_concurrency": (
        lambda **o: wf().parallel([one], **o),
        True,
    ),
    "fastflow.Workflow.step.cache_size": (step, False),
    "fastflow.Workflow.step.retries": (step, False),
    "fastflow.Workflow.while_.max_iterations": (
        lambda **o: wf().while_("w", one, one, **o),
        False,
    ),
    "fastflow.default_executor.max_workers": (fastflow.default_executor, True),
    "fastflow.durable.CompletionConfig.min_successful": (
        durable.CompletionConfig,
        True,
    ),
    "fastflow.durable.CompletionConfig.tolerated_failure_count": (
        durable.CompletionConfig,
        True,
    ),
    "fastflow.durable.MapConfig.max_concurrency": (durable.MapConfig, True),
    "fastflow.durable.ParallelConfig.max_concurrency": (durable.ParallelConfig, True),
    "fastflow.durable.RetryStrategyConfig.max_attempts": (
        durable.RetryStrategyConfig,
        False,
    ),
    "fastflow.durable.WaitStrategyConfig.max_attempts": (
        lambda **o: durable.WaitStrategyConfig(bool, **o),
        False,
    ),
    "fastflow.for_each.chunksize": (
        lambda **o: fastflow.for_each(abs, [1], **o),
        True,
    ),
    "fastflow.for_each.max_workers": (
        lambda **o: fastflow.for_each(abs, [1], **o),
        True,
    ),
    "fastflow.imap.buffersize": (lambda **o: list(fastflow.imap(abs, [1], **o)), True),
    "fastflow.imap.max_workers": (lambda **o: list(fastflow.imap(abs, [1], **o)), True),
    "fastflow.map.chunksize": (lambda **o: fastflow.map(abs, [1], **o), True),
    "fastflow.map.max_workers": (lambda **o: fastflow.map(abs, [1], **o), True),
    "fastflow.run_parallel_flow_from_dsl.max_workers": (
        lambda **o: fastflow.run_parallel_flow_from_dsl(
            flow_text(), registry=REGISTRY, **o
        ),
        True,
    ),
    "fastflow.starmap.chunksize": (
        lambda **o: fastflow.starmap(abs, [(1,)], **o),
        True,
    ),
    "fastflow.starmap.max_workers": (
        lambda **o: fastflow.starmap(abs, [(1,)], **o),
        True,
    ),
    "fastflow.task.retries": (
        lambda **o: fastflow.TaskRegistry().task(**o)(one),
        False,
    ),
    "fastflow.workflow.concurrency": (lambda **o: fastflow.workflow("w", **o), True),
}

NOT_COUNTS = {
    "fastflow.Executor.map.buffersize": "the standard library's texts",
    "fastflow.Executor.map.chunksize": "the standard library's texts",
    "fastflow.ProcessExecutor.map.buffersize": "the standard library's texts",
    "fastflow.ProcessExecutor.map.chunksize": "the standard library's texts",
    "fastflow.RetryPolicy.changed.retries": "ours: values of another policy",
    "fastflow.RetryPolicy.of.retries": "an int, a policy or a strategy",
    "fastflow.durable.RetryPresets.fixed.max_attempts": "as of the configuration",
    "fastflow.map_array.chunks": "a length along an axis: see test_map_array",
    "fastflow.map_array.max_workers": "goes to for_each",
}


def fails(ctx, *_):
    raise LookupError("it")


ON_ERROR_CALLS = {
    "fastflow.Flow.run.on_error": (
        lambda seen, **o: fastflow.Flow(
            "flow F:\n    bad\n    good", registry={"bad": _bad, "good": seen}
        ).run(executor="serial", **o)
    ),
    "fastflow.Graph.run.on_error": lambda seen, **o: graph(seen).run(
        executor=fastflow.default_executor(1), **o
    ),
    "fastflow.Workflow.batch.on_error": lambda seen, **o: (
        wf().batch("b", [fails, seen], 1, called, max_concurrency=1, **o).run().last
    ),
    "fastflow.Workflow.for_each.on_error": lambda seen, **o: (
        wf().for_each("b", [fails, seen], called, max_concurrency=1, **o).run().last
    ),
    "fastflow.Workflow.parallel.on_error": lambda seen, **o: (
        wf().parallel([fails, seen], max_concurrency=1, **o).run().last
    ),
    "fastflow.run_flow_from_dsl.on_error": lambda seen, **o: fastflow.run_flow_from_dsl(
        "flow F:\n    bad\n    good", registry={"bad": _bad, "good": seen}, **o
    ),
    "fastflow.run_parallel_flow_from_dsl.on_error": (
        lambda seen, **o: fastflow.run_parallel_flow_from_dsl(
            "flow F:\n    bad\n    good",
            registry={"bad": _bad, "good": seen},
            executor="serial",
            **o,
        )
    ),
}


def _bad():
    raise LookupError("it")


def called(ctx, item):
    return (item[0] if isinstance(item, list) else item)(ctx)


def graph(seen):
    made = fastflow.Graph()
    first = made.add(_bad)
    made.add(seen)
    assert first is not None
    return made


#: Parameter -> how to call what has it.
EXECUTOR_CALLS = {
    "fastflow.Flow.run.executor": (
        lambda **o: fastflow.Flow(flow_text(), registry=REGISTRY).run(**o)
    ),
    "fastflow.Graph.run.executor": lambda **o: fastflow.Graph().run(**o),
    "fastflow.TaskGroup.executor": fastflow.TaskGroup,
    "fastflow.Workflow.run.executor": lambda **o: step().run(**o),
    "fastflow.Workflow.start.executor": lambda **o: step().start(**o).result(),
    "fastflow.durable.DurableRunner.executor": (
        lambda **o: durable.DurableRunner(**o).close()
    ),
    "fastflow.for_each.executor": lambda **o: fastflow.for_each(abs, [1], **o),
    "fastflow.imap.executor": lambda **o: list(fastflow.imap(abs, [1], **o)),
    "fastflow.map.executor": lambda **o: fastflow.map(abs, [1], **o),
    "fastflow.map_array.executor": lambda **o: fastflow.map_array(same, [1.0], **o),
    "fastflow.run_flow_from_dsl.executor": (
        lambda **o: fastflow.run_flow_from_dsl(flow_text(), registry=REGISTRY, **o)
    ),
    "fastflow.run_parallel_flow_from_dsl.executor": (
        lambda **o: fastflow.run_parallel_flow_from_dsl(
            flow_text(), registry=REGISTRY, **o
        )
    ),
    "fastflow.starmap.executor": lambda **o: fastflow.starmap(abs, [(1,)], **o),
    "fastflow.task.executor": lambda **o: fastflow.TaskRegistry().task(**o)(abs),
    "fastflow.testing.DurableFunctionTestRunner.executor": (
        lambda **o: durable_test(**o)
    ),
}


def same(array):
    return array


def durable_test(**options):
    with testing.DurableFunctionTestRunner(nothing, **options) as runner:
        return runner.run(1)


#: Parameter -> how to call what has it, with something to show.
PROGRESS_CALLS = {
    name.replace(".executor", ".progress"): EXECUTOR_CALLS[name]
    for name in EXECUTOR_CALLS
    if name.rpartition(".")[0]
    not in (
        "fastflow.TaskGroup",
        "fastflow.task",
        "fastflow.Workflow.start",
        "fastflow.durable.DurableRunner",
        "fastflow.testing.DurableFunctionTestRunner",
    )
}


def strategy(error, attempt):
    return fastflow.RetryDecision.no_retry()


BY_POSITION = {
    "fastflow.durable.DurableRunner.executor": "the spec has it beside the store",
    "fastflow.TaskGroup.executor": "TaskGroup(executor): it is all that it takes",
    "fastflow.Executor.max_workers": "as ThreadPoolExecutor",
    "fastflow.ProcessExecutor.max_workers": "as ProcessPoolExecutor",
    "fastflow.default_executor.max_workers": "it is all that it takes",
    "fastflow.durable.MapConfig.max_concurrency": "a dataclass of the AWS SDK",
    "fastflow.durable.ParallelConfig.max_concurrency": "a dataclass of the AWS SDK",
}
