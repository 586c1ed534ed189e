"""Faults as they happen: none of them is an outcome, and all can be mended.

The table of places and exceptions is in test_durable_outcomes.
"""

from __future__ import annotations

import asyncio
import enum
import json
import sys
import threading
import types
import warnings

import pytest
from click.testing import CliRunner

import fastflow
from fastflow.base import aio
from fastflow.cli import main
from fastflow.durable import (
    BatchResult,
    CompletionConfig,
    DurableRunner,
    MemoryJournal,
    ParallelConfig,
    SqliteJournal,
    StepConfig,
    WaitForConditionConfig,
    WaitForConditionDecision,
    durable_execution,
    exceptions,
    functions,
)
from fastflow.durable.config import ChildConfig, MapConfig, WaitForCallbackConfig
from fastflow.durable.history import events
from support import outcome

SECONDS = 30  # a watchdog
ALL = ParallelConfig(completion_config=CompletionConfig.all_completed())
RUNNER = []
"""The one that runs the program, for answers to callbacks."""


class Fault:
    """An exception, or nothing once it is mended."""

    def __init__(self):
        self.error = None

    def __call__(self, *_args):
        if self.error is not None:
            raise self.error
        return 1


FAULT = Fault()


async def fault_async(*_args):
    await asyncio.sleep(0)
    return FAULT()


@pytest.fixture
def journal():
    return MemoryJournal()


@pytest.fixture
def runner(journal):
    with DurableRunner(journal) as runner:
        RUNNER[:] = [runner]
        yield runner


def results(batch):
    batch.throw_if_error()
    return batch.get_results()[0]


def entries(journal):
    return {entry.name: entry for entry in journal.entries()}


class Moody:
    """A serdes that fails when it is told to."""

    def __init__(self):
        self.writing = self.reading = True

    def serialize(self, value, context):
        if not self.writing:
            raise OSError("the bucket is away")
        return str(value)

    def deserialize(self, data, context):
        if not self.reading:
            raise OSError("the bucket is away")
        return int(data)


MOODY = Moody()


class WholeBatch:
    """The same of the result of a batch."""

    def serialize(self, value, context):
        MOODY.serialize(1, context)
        return json.dumps(value.to_dict())

    def deserialize(self, data, context):
        MOODY.deserialize("1", context)
        return BatchResult.from_dict(json.loads(data))


@pytest.fixture(autouse=True)
def _anew():
    MOODY.writing = MOODY.reading = True
    FAULT.error = None


def stop(ctx):
    """Stop here, once: what was recorded before has to be read again."""
    if FAULT.error is not None:
        FAULT.error = None
        raise KeyboardInterrupt


STORED = {
    "step": lambda c: c.step(lambda _: 1, config=StepConfig(serdes=MOODY)),
    "child": lambda c: c.run_in_child_context(
        lambda _: 1, config=ChildConfig(serdes=MOODY)
    ),
    "item": lambda c: results(
        c.map([1], lambda *_: 1, config=MapConfig(item_serdes=MOODY))
    ),
    "batch": lambda c: results(
        c.parallel([lambda _: 1], config=ParallelConfig(serdes=WholeBatch()))
    ),
    "condition": lambda c: c.wait_for_condition(
        lambda *_: 1,
        WaitForConditionConfig(
            wait_strategy=lambda *_: WaitForConditionDecision.stop_polling(),
            initial_state=0,
            serdes=MOODY,
        ),
    ),
}


@durable_execution(name="faults.stored")
def stored(event, context):
    where, nested = event

    def body(inner):
        value = STORED[where](inner)
        stop(inner)
        return value

    if nested:
        return results(context.parallel([body], config=ALL))
    return body(context)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("side", ["writing", "reading", "replaying"])
@pytest.mark.parametrize("where", STORED)
def test_a_serdes_that_fails_once(where, side, nested, journal, runner):
    if side == "replaying":
        FAULT.error = KeyboardInterrupt()
        assert type(outcome(runner.run, stored, [where, nested], "it")) is (
            KeyboardInterrupt
        )
        side = "reading"
    setattr(MOODY, side, False)
    error = outcome(runner.run, stored, [where, nested], "it")
    assert isinstance(error, exceptions.SerDesError)
    assert "the bucket is away" in str(error)
    assert entries(journal)["it"].status == "RUNNING"
    setattr(MOODY, side, True)
    assert runner.run(stored, [where, nested], "it") == 1


def test_a_stranger_s_answer_that_can_not_be_read(journal, runner):
    @durable_execution(name="faults.answer")
    def answer(event, context):
        return context.wait_for_callback(
            lambda callback_id, _: runner.send_callback_success(callback_id, "7"),
            config=WaitForCallbackConfig(serdes=MOODY),
        )

    MOODY.reading = False
    error = outcome(runner.run, answer, None, "it")
    assert isinstance(error, exceptions.SerDesError)
    assert entries(journal)["it"].status == "RUNNING"
    MOODY.reading = True
    assert runner.run(answer, None, "it") == 7


def test_a_class_that_is_renamed(tmp_path):
    """The value is there, but not its class, for as long as that isn't mended."""
    module = sys.modules["outcomes_shop"] = types.ModuleType("outcomes_shop")
    color = enum.Enum("Color", {"RED": 1}, module="outcomes_shop")
    module.Color = color
    stopping = [True]

    @durable_execution(name="faults.colors")
    def colors(event, context):
        batch = context.map([1, 2], lambda c, *_: c.step(lambda _: color.RED))
        value = context.step(lambda _: color.RED, name="red")
        if stopping:
            raise KeyboardInterrupt
        return [value.name, event.name, results(batch).name]

    try:
        with DurableRunner(tmp_path / "runs.db") as runner:
            outcome(runner.run, colors, color.RED, "it")
        stopping.clear()
        del module.Color
        with DurableRunner(tmp_path / "runs.db") as runner:
            (handle,) = runner.recover()
            error = handle.exception(SECONDS)
            assert isinstance(error, exceptions.SerDesError)
            assert runner.journal.find("it").status == "RUNNING"
            module.Color = color
            assert runner.resume("it").result(SECONDS) == ["RED"] * 3
    finally:
        del sys.modules["outcomes_shop"]


@durable_execution(name="faults.branches")
def branches(event, context):
    return results(context.parallel([FAULT, lambda c: 2], config=ALL))


def test_the_reason_is_shown(tmp_path):
    store = tmp_path / "runs.db"
    FAULT.error = exceptions.SerDesError("no such class")
    with DurableRunner(store) as runner:
        outcome(runner.run, branches, None, "it")
        history = events(runner.journal, runner.journal.find("it"))
    assert history[-1].event_type == "InvocationCompleted"
    assert history[-1].error.message == "no such class"
    shown = CliRunner().invoke(main, ["runs", "show", "it", "--store", str(store)])
    assert "INTERRUPTED" in shown.output
    assert "stopped fastflow.durable.exceptions.SerDesError: no such class" in (
        shown.output
    )
    FAULT.error = None
    with DurableRunner(store) as runner:
        assert runner.run(branches, None, "it") == 1
        assert runner.journal.find("it").error is None


def test_an_invoked_function_that_is_not_imported(journal, runner):
    name = "faults.imported-later"

    @durable_execution(name="faults.parent")
    def parent(event, context):
        batch = context.parallel([lambda c: c.invoke(name, event)], config=ALL)
        return [batch.failure_count, *batch.get_results()]

    error = outcome(runner.run, parent, 3, "it")
    assert isinstance(error, exceptions.FunctionNotFoundError)
    assert isinstance(error, exceptions.ValidationError)
    assert entries(journal)["it"].status == "RUNNING"
    try:
        durable_execution(name=name)(lambda event, context: event + 1)
        assert runner.run(parent, 3, "it") == [0, 4]
    finally:
        functions._functions.pop(name, None)


async def two(context):
    return context.step(lambda _: 2)


@durable_execution(name="faults.async")
async def asynchronous(event, context):
    return context.step(lambda _: 2)


@durable_execution(name="faults.async-child")
def asynchronous_child(event, context):
    return context.run_in_child_context(two)


@pytest.mark.parametrize("function", [asynchronous, asynchronous_child])
def test_an_event_loop_is_running_here(function, journal, runner):
    async def wrong():
        return runner.run(function, None, "it")

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "was never awaited"
        error = outcome(asyncio.run, wrong())
    assert isinstance(error, exceptions.InvocationError)
    assert "asyncio.to_thread" in str(error)
    assert entries(journal)["it"].status == "RUNNING"

    async def right():
        return await asyncio.to_thread(runner.run, function, None, "it")

    assert asyncio.run(right()) == 2


class Troubled(SqliteJournal):
    """Has trouble with a method, once."""

    def __init__(self, path):
        super().__init__(path)
        self.trouble = {}

    def _meet(self, method):
        error = self.trouble.pop(method, None)
        if error is not None:
            raise error


def _troubled(method):
    def meet(self, *args):
        self._meet(method)
        return getattr(SqliteJournal, method)(self, *args)

    return meet


METHODS = ["begin", "claim", "write", "blob", "post", "messages", "newest"]
for _method in METHODS:
    setattr(Troubled, _method, _troubled(_method))

TROUBLE = [
    exceptions.JournalFullError("full"),
    exceptions.JournalLockedError("locked"),
    exceptions.JournalIOError("read"),
    exceptions.LeaseLostError("lost"),
    MemoryError(),
    OSError("of a journal of one's own"),
]


@durable_execution(name="faults.grow")
def grow(event, context):
    return context.step(lambda _: "x" * event)


@durable_execution(name="faults.all-kinds")
def all_kinds(event, context):
    """Uses each method, in the handler or in a branch."""

    def body(inner):
        large = inner.step(lambda _: "y" * 300_000, name="large")
        if FAULT.error is not None:
            stop(inner)
        RUNNER[0].journal.trouble.update(LATER)
        LATER.clear()
        answer = inner.wait_for_callback(
            lambda key, _: RUNNER[0].send_callback_success(key, "sent")
        )
        grown = inner.invoke("faults.grow", 300_000)
        return [len(large), answer, len(grown)]

    return results(context.parallel([body], config=ALL)) if event else body(context)


LATER = {}


@pytest.mark.parametrize("in_branch", [False, True])
@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("method", METHODS)
def test_trouble_with_the_store_is_no_outcome(method, trouble, in_branch, tmp_path):
    journal = Troubled(tmp_path / "runs.db")
    try:
        with DurableRunner(journal) as runner:
            RUNNER[:] = [runner]
            FAULT.error = KeyboardInterrupt()
            outcome(runner.run, all_kinds, in_branch, "it")
        with DurableRunner(journal) as runner:
            RUNNER[:] = [runner]
            if method in ("begin", "post", "write"):
                LATER[method] = trouble  # in the middle of the program
            else:
                journal.trouble[method] = trouble
            (handle,) = runner.recover()
            error = handle.exception(SECONDS)
            assert error is not None
            assert handle.status == "INTERRUPTED"
            assert entries(journal)["it"].status == "RUNNING"
            LATER.clear()
            journal.trouble.clear()
            assert runner.run(all_kinds, in_branch, "it") == [300_000, "sent", 300_000]
        assert {entry.status for entry in journal.entries()} == {"SUCCEEDED"}
    finally:
        journal.close()


def test_no_thread_can_be_started(journal, monkeypatch):
    """For the timer, the event loop, a step with a limit."""

    @durable_execution(name="faults.threads")
    def threads(event, context):
        context.step(fault_async)
        return context.step(FAULT, config=StepConfig(timeout=60))

    start = threading.Thread.start

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(aio, "_runtime", aio._LoopThread())
    with DurableRunner(journal) as runner:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        error = outcome(runner.run, threads, None, "it")
        assert "can't start new thread" in str(error)
        assert entries(journal)["it"].status == "RUNNING"
        monkeypatch.setattr(threading.Thread, "start", start)
        assert runner.run(threads, None, "it") == 1
    aio._runtime.close()


@pytest.mark.parametrize("in_branch", [False, True])
def test_the_executor_is_shut_down(in_branch, journal):
    @durable_execution(name="faults.shut-down")
    def limited(event, context):
        def body(inner):
            return inner.step(FAULT, config=StepConfig(timeout=60))

        return results(context.parallel([body], config=ALL)) if event else body(context)

    executor = fastflow.Executor(1)
    with DurableRunner(journal, executor=executor) as runner:
        executor.shutdown()
        error = outcome(runner.run, limited, in_branch, "it")
        assert isinstance(error, exceptions.InvocationError)
        assert entries(journal)["it"].status == "RUNNING"
    with DurableRunner(journal) as runner:
        assert runner.run(limited, in_branch, "it") == 1


def test_the_executor_is_shut_down_while_a_call_waits_for_it(journal):
    begun, leave = threading.Event(), threading.Event()

    @durable_execution(name="faults.dropped")
    def limited(event, context):
        return context.step(FAULT, config=StepConfig(timeout=60))

    executor = fastflow.Executor(1)
    with DurableRunner(journal, executor=executor) as runner:
        executor.submit(lambda: (begun.set(), leave.wait(SECONDS)))
        assert begun.wait(SECONDS)
        found = []
        thread = threading.Thread(
            target=lambda: found.append(outcome(runner.run, limited, None, "it"))
        )
        thread.start()
        while executor.stats().pending < 2 and thread.is_alive():
            thread.join(0.001)
        executor.shutdown(wait=False, cancel_futures=True)
        leave.set()
        thread.join(SECONDS)
        assert isinstance(found[0], exceptions.InvocationError)
        assert "was it shut down?" in str(found[0])
        assert entries(journal)["it"].status == "RUNNING"
    with DurableRunner(journal) as runner:
        assert runner.run(limited, None, "it") == 1
