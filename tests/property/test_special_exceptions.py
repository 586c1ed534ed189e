"""What exceptions do that mean something to a protocol, wherever they are raised.

One rule for flows, flow functions, workflows and durable executions:

* KeyboardInterrupt and SystemExit come out of the call as themselves;
* all others are failures: nothing ends silently, nothing hangs. Those that are no
  `Exception` are neither retried nor handled;
* `fastflow.Cancelled` is how a step of a workflow or a durable execution ends that was
  asked to stop; there it means just that.
"""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import logging

import pytest

import fastflow
from fastflow import Cancelled, Flow, TaskError, TaskRegistry, workflow
from fastflow.durable import (
    CompletionConfig,
    DurableRunner,
    MapConfig,
    ParallelConfig,
    StepConfig,
    WaitForConditionConfig,
    durable_execution,
)

SECONDS = 60  # a watchdog
SPECIAL = [
    StopIteration,
    StopAsyncIteration,
    GeneratorExit,
    asyncio.CancelledError,
    cf.CancelledError,
    Cancelled,
    KeyboardInterrupt,
    SystemExit,
]
ENDS = (KeyboardInterrupt, SystemExit)


def raising(kind):
    def fn(*_args, **_kwargs):
        raise kind("special")

    return fn


def raising_async(kind):
    async def fn(*_args, **_kwargs):
        raise kind("special")

    return fn


class Source:
    """An iterable whose iterator fails after one item."""

    def __init__(self, kind):
        self.kind = kind
        self.drawn = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.drawn += 1
        if self.drawn == 1:
            return 1
        raise self.kind("special")


class Iter:
    """An iterable that has no iterator."""

    def __init__(self, kind):
        self.kind = kind

    def __iter__(self):
        raise self.kind("special")


def raised(fn):
    """What a call raised, within the time."""
    caller = cf.ThreadPoolExecutor(1)
    try:
        future = caller.submit(fn)
        error = future.exception(SECONDS)
    finally:
        caller.shutdown(wait=False)
    assert error is not None, f"returned {future.result()!r}"
    return error


def chain(error):
    found = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__
    return found


# --- flows ---------------------------------------------------------------------------

ENGINES = {
    "serial": lambda: "serial",
    "native": lambda: fastflow.Executor(2),
    "events": lambda: fastflow.Executor(2),  # with a limit, so the driver runs it
    "threads": lambda: cf.ThreadPoolExecutor(2),
}


@pytest.fixture(params=list(ENGINES))
def run(request):
    """Run the flow of a text on one of the engines."""
    executor = ENGINES[request.param]()
    limit = 30 if request.param == "events" else None

    def run(text, **registry):
        flow = Flow("flow F:\n    " + text, registry=registry)
        return flow.run(executor=executor, timeout=limit)

    yield run
    if executor != "serial":
        executor.shutdown()


def options(**given):
    return TaskRegistry().task(**given)


FLOWS = {
    "task": lambda run, kind: run("a -> b", a=raising(kind), b=lambda x: x),
    "async task": lambda run, kind: run("a", a=raising_async(kind)),
    "item": lambda run, kind: run("n -> a[*]", n=lambda: [1, 2], a=raising(kind)),
    "with a limit": lambda run, kind: run("a", a=options(timeout=30)(raising(kind))),
    "async with a limit": lambda run, kind: run(
        "a", a=options(timeout=30)(raising_async(kind))
    ),
    "validate_input": lambda run, kind: run(
        "a", a=options(validate_input=raising(kind))(lambda: 1)
    ),
    "validate_output": lambda run, kind: run(
        "a", a=options(validate_output=raising(kind))(lambda: 1)
    ),
    "fallback": lambda run, kind: run(
        "a", a=options(fallback=raising(kind))(raising(ValueError))
    ),
    "fallback of a limit": lambda run, kind: run(
        "a", a=options(fallback=raising(kind), timeout=30)(raising(ValueError))
    ),
    "cache": lambda run, kind: run("a", a=options(cache=Store(kind))(lambda: 1)),
    "iterator": lambda run, kind: run("a -> b[*]", a=lambda: Source(kind), b=abs),
    "no iterator": lambda run, kind: run("a -> b[*]", a=lambda: Iter(kind), b=int),
}


class Store(dict):
    """A store of results that fails."""

    def __init__(self, kind):
        super().__init__()
        self.get = raising(kind)


def natural(where, kind):
    """What Python itself makes of it before anybody sees it."""
    if "async" in where and kind is StopIteration:
        return RuntimeError  # coroutine raised StopIteration
    if "async" in where and kind.__name__ == "CancelledError":
        return (asyncio.CancelledError, cf.CancelledError)  # one becomes the other
    return kind


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("where", FLOWS)
def test_flows(run, where, kind):
    if where == "iterator" and kind is StopIteration:
        return  # is the end of the iterator
    error = raised(lambda: FLOWS[where](run, kind))
    if kind in ENDS:
        assert type(error) is kind
    else:
        assert isinstance(error, TaskError)
        assert isinstance(error.__cause__, natural(where, kind))


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_exception_is_not_retried(run, kind):
    calls = []

    @options(retries=1, retry_delay=0, fallback="fallback")
    def task():
        calls.append(1)
        if len(calls) == 1:
            raise kind("special")
        return "again"

    if issubclass(kind, Exception):
        assert run("a", a=task)["a"] == "again"
        return
    error = raised(lambda: run("a", a=task))
    assert type(error if kind in ENDS else error.__cause__) is kind
    assert len(calls) == 1


@pytest.mark.parametrize("on_error", ["raise", "continue", "return"])
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("engine", ENGINES)
def test_on_error(engine, kind, on_error):
    """`return` never raises but for what ends the program."""
    executor = ENGINES[engine]()
    flow = Flow(
        "flow F:\n    a -> b\n    n -> c[*]\n    d",
        registry={
            "a": raising(kind),
            "b": lambda x: x,
            "n": lambda: [1, 2],
            "c": raising(kind),
            "d": lambda: 4,
        },
    )
    limit = 30 if engine == "events" else None

    def call():
        return flow.run(executor=executor, on_error=on_error, timeout=limit)

    if kind in ENDS:
        assert type(raised(call)) is kind
    elif on_error == "return":
        result = call()
        assert [type(error.__cause__) for error in result.errors] == [kind] * 3
        assert result["d"] == 4
    else:
        error = raised(call)
        assert isinstance(error, TaskError)
        assert type(error.__cause__) is kind
    if executor != "serial":
        executor.shutdown()


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("many", [False, True])
def test_processes(kind, many):
    from flow_tasks import raise_special, some_names

    with cf.ProcessPoolExecutor(1) as pool:
        flow = Flow(
            "flow F:\n    n -> a[*]" if many else "flow F:\n    a",
            registry={"a": raise_special, "n": some_names},
        )
        given = [kind.__module__, kind.__qualname__]
        error = raised(
            lambda: flow.run({"name": given, "names": [given]}, executor=pool)
        )
    if kind in ENDS:
        assert type(error) is kind
    else:
        assert isinstance(error, TaskError)
        assert type(error.__cause__) is kind


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("engine", ENGINES)
def test_flow_functions(engine, kind):
    executor = ENGINES[engine]()
    task = TaskRegistry().task(raising(kind))

    @fastflow.flow
    def unseen():
        task()

    @fastflow.flow
    def seen():
        return task().result()

    @fastflow.flow
    def body():
        raise kind("special")

    for fn in (unseen, seen):
        error = raised(fn.with_options(executor=executor))
        if kind in ENDS:
            assert type(error) is kind
        else:
            assert isinstance(error, TaskError)
            assert type(error.__cause__) is kind
    assert type(raised(body.with_options(executor=executor))) is kind
    if executor != "serial":
        executor.shutdown()


@pytest.mark.parametrize("kind", SPECIAL)
def test_progress(run, kind, caplog):
    flow = Flow("flow F:\n    a", registry={"a": lambda: 1})
    if kind in ENDS:
        assert type(raised(lambda: flow.run(progress=raising(kind)))) is kind
    else:
        assert flow.run(progress=raising(kind))["a"] == 1
        assert "progress" in caplog.text


# --- workflows -----------------------------------------------------------------------


def each(wf, fn, items=(1, 2)):
    return wf.for_each("e", items, fn)


BUILDER = {
    "step": lambda wf, kind: wf.step("s", raising(kind)),
    "async step": lambda wf, kind: wf.step("s", raising_async(kind)),
    "retried step": lambda wf, kind: wf.step(
        "s", raising(kind), retries=1, retry_delay=0
    ),
    "step with a limit": lambda wf, kind: wf.step("s", raising(kind), timeout=30),
    "async step with a limit": lambda wf, kind: wf.step(
        "s", raising_async(kind), timeout=30
    ),
    "cache": lambda wf, kind: wf.step("s", lambda ctx: 1, cache=raising(kind)),
    "if_": lambda wf, kind: wf.if_("i", raising(kind)).step("s", int).end_if(),
    "while_": lambda wf, kind: wf.while_("l", raising(kind), lambda ctx: 1),
    "loop body": lambda wf, kind: wf.while_("l", lambda ctx: True, raising(kind)),
    "parallel": lambda wf, kind: wf.parallel([lambda ctx: 1, raising(kind)]),
    "race": lambda wf, kind: wf.race([raising(kind)], win="settled"),
    "for_each": lambda wf, kind: each(wf, raising(kind)),
    "batch": lambda wf, kind: wf.batch("b", [1, 2, 3], size=2, fn=raising(kind)),
    "sub-flow": lambda wf, kind: wf.for_each(
        "e", [1, 2], build=lambda flow: flow.step("s", raising(kind))
    ),
    "items": lambda wf, kind: each(wf, lambda ctx, item: item, raising(kind)),
    "async items": lambda wf, kind: each(
        wf, lambda ctx, item: item, raising_async(kind)
    ),
    "iterator": lambda wf, kind: each(wf, lambda ctx, n: n, lambda ctx: Source(kind)),
    "no iterator": lambda wf, kind: each(wf, lambda ctx, n: n, lambda ctx: Iter(kind)),
    "on_error": lambda wf, kind: wf.step("s", raising(ValueError)).on_error(
        raising(kind)
    ),
    "sleep": lambda wf, kind: wf.sleep(raising(kind)),
    "payload": lambda wf, kind: wf.subflow(
        "sub", workflow("other").step("o", lambda ctx: 1), raising(kind)
    ),
    "subflow": lambda wf, kind: wf.subflow(
        "sub", workflow("o").step("o", raising(kind))
    ),
}

WAYS = {
    "run": lambda wf: wf.run(),
    "run on threads": lambda wf: wf.run(executor=shared_threads()),
    "run with a limit": lambda wf: wf.run(timeout=60),
    "start": lambda wf: wf.start().result(SECONDS),
    "start on threads": lambda wf: wf.start(executor=shared_threads()).result(SECONDS),
}

_threads = []


def shared_threads():
    if not _threads:
        _threads.append(cf.ThreadPoolExecutor(4))
    return _threads[0]


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", BUILDER)
def test_workflows(where, way, kind):
    if where == "iterator" and kind is StopIteration:
        return  # is the end of the iterator
    wf = BUILDER[where](workflow("w"), kind)
    error = raised(lambda: WAYS[way](wf))
    if kind in ENDS:
        assert type(error) is kind
    elif kind is Cancelled:
        assert type(error) is cf.CancelledError
    else:
        assert isinstance(error, TaskError)
        cause = chain(error)[2 if where == "subflow" else 1]
        assert isinstance(cause, natural(where, kind))


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("hook", ["on_success", "on_failure"])
def test_hooks_of_workflows(hook, way, kind, caplog):
    """A hook that fails is logged; the run is what it was."""
    fails = hook == "on_failure"
    step = raising(ValueError) if fails else (lambda ctx: 1)
    wf = workflow("w", **{hook: raising(kind)}).step("s", step)
    caplog.set_level(logging.ERROR)
    if kind in ENDS and "start" not in way:
        assert type(raised(lambda: WAYS[way](wf))) is kind
    elif fails:
        error = raised(lambda: WAYS[way](wf))
        assert isinstance(error.__cause__, ValueError)
        assert "hook" in caplog.text
    else:
        assert WAYS[way](wf).last == 1
        assert "hook" in caplog.text


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("way", WAYS)
def test_on_error_gets_exceptions_only(way, kind):
    wf = workflow("w").step("s", raising(kind)).on_error(lambda ctx: "handled")
    if issubclass(kind, Exception):
        assert WAYS[way](wf).last == "handled"
    else:
        assert raised(lambda: WAYS[way](wf))


# --- durable executions --------------------------------------------------------------

KIND = []


class Serdes:
    """Fails on the way out."""

    def serialize(self, value, context):
        raise KIND[0]("special")

    def deserialize(self, data, context):
        return data


def special(*_args, **_kwargs):
    raise KIND[0]("special")


async def special_async(*_args, **_kwargs):
    raise KIND[0]("special")


def checked(batch):
    batch.throw_if_error()
    return batch.get_results()


def completion(**config):
    return ParallelConfig(completion_config=CompletionConfig(**config))


DURABLE = {
    "handler": lambda ctx: special(),
    "step": lambda ctx: ctx.step(special),
    "async step": lambda ctx: ctx.step(special_async),
    "step with a limit": lambda ctx: ctx.step(special, config=StepConfig(timeout=30)),
    "retry strategy": lambda ctx: ctx.step(
        raising(ValueError), config=StepConfig(retry_strategy=special)
    ),
    "serdes": lambda ctx: ctx.step(lambda _: 1, config=StepConfig(serdes=Serdes())),
    "child": lambda ctx: ctx.run_in_child_context(special),
    "branch": lambda ctx: checked(ctx.parallel([special, lambda _: 1])),
    "item": lambda ctx: checked(ctx.map([1, 2], special)),
    "item of a step": lambda ctx: checked(
        ctx.map([1, 2], lambda inner, *_: inner.step(special))
    ),
    "should_complete": lambda ctx: checked(
        ctx.parallel([lambda _: 1], config=completion(should_complete=special))
    ),
    "item_serdes": lambda ctx: checked(
        ctx.map([1], lambda *_: 1, config=MapConfig(item_serdes=Serdes()))
    ),
    "condition": lambda ctx: ctx.wait_for_condition(
        special,
        WaitForConditionConfig(wait_strategy=lambda *_: None, initial_state=0),
    ),
}


@durable_execution
def durable(where, context):
    return DURABLE[where](context)


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("way", ["run", "start"])
@pytest.mark.parametrize("where", DURABLE)
def test_durable(where, way, kind):
    KIND[:] = [kind]
    with DurableRunner(":memory:") as runner:

        def call():
            if way == "run":
                return runner.run(durable, where)
            return runner.start(durable, where).result(SECONDS)

        error = raised(call)
    if kind in ENDS:
        assert type(error) is kind
        return
    texts = [f"{type(found).__name__} {found} {getattr(found, 'error_type', '')}"
             for found in chain(error)]  # fmt: skip
    assert any(kind.__name__ in text or "special" in text for text in texts), texts
