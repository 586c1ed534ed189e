"""What becomes the outcome of an execution: only what its program returns or raises.

The table is every exception that the package or its surroundings can raise, times every
place in a program where one can come up.  Those of the surroundings leave the execution
unfinished, with the reason on its record; once that is mended it goes on, and what had
been done is not done again.  The program's own end it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import warnings

import pytest
from click.testing import CliRunner

import fastflow
from fastflow import TaskTimeout
from fastflow.cli import main
from fastflow.durable import (
    CompletionConfig,
    DurableRunner,
    MemoryJournal,
    ParallelConfig,
    RetryDecision,
    SqliteJournal,
    StepConfig,
    WaitForConditionConfig,
    WaitForConditionDecision,
    complete_batch,
    continue_batch,
    durable_execution,
    exceptions,
)
from fastflow.durable.config import ChildConfig, MapConfig, WaitForCallbackConfig
from fastflow.durable.history import events

SECONDS = 30  # a watchdog

SURROUNDINGS = {
    "can't be stored or read": exceptions.SerDesError("odd"),
    "can't be stored for now": exceptions.RetryableSerDesError("odd"),
    "unknown function": exceptions.FunctionNotFoundError("nobody"),
    "wrong place": exceptions.InvocationError("a loop is running"),
    "running elsewhere": exceptions.ExecutionInProgress("elsewhere"),
    "disk full": exceptions.JournalFullError("full"),
    "locked": exceptions.JournalLockedError("locked"),
    "can't be read": exceptions.JournalIOError("read"),
    "lease lost": exceptions.LeaseLostError("lost"),
    "no memory": MemoryError(),
    "no thread": RuntimeError("can't start new thread"),
    "cancelled": cf.CancelledError(),
    "cancelled task": asyncio.CancelledError(),
    "Ctrl-C": KeyboardInterrupt(),
    "exit": SystemExit(3),
}
OWN = {
    "value": ValueError("wrong"),
    "runtime": RuntimeError("can't start the engine"),
    "file": OSError(28, "No space left on device"),
    "time": TaskTimeout("late"),
    "misuse": exceptions.ValidationError("wrong argument"),
    "state": exceptions.InvalidStateError("wrong time"),
    "says so": exceptions.ExecutionError("no"),
    "of a class of its own": type("ShopError", (Exception,), {})("sold out"),
    "nothing more": StopIteration("end"),
}


class Fault:
    """What happens in a place: an exception, or nothing once it is mended."""

    def __init__(self):
        self.error = None
        self.met = 0

    def __call__(self, *_args):
        if self.error is not None:
            self.met += 1
            raise self.error
        return 1


FAULT = Fault()
DONE = []
RUNNER = []
ALL = ParallelConfig(completion_config=CompletionConfig.all_completed())


async def fault_async(*_args):
    await asyncio.sleep(0)
    return FAULT()


def results(batch):
    batch.throw_if_error()
    return batch.get_results()[0]


def submitter(callback_id, _):
    FAULT()
    RUNNER[0].send_callback_success(callback_id, 1)


def strategy(error, attempt):
    return RetryDecision.retry(0.001) if attempt < 3 else RetryDecision.no_retry()


def check(state, context):
    return FAULT()


@durable_execution(name="outcomes.child")
def child(event, context):
    context.step(lambda _: DONE.append("child"), name="done")
    return FAULT()


def once(error, attempt):
    FAULT()
    return RetryDecision.retry(0) if attempt == 1 else RetryDecision.no_retry()


def flaky(step):
    if step.attempt == 1:
        raise ValueError("the first attempt")
    return 1


def stop_polling(*_):
    FAULT()
    return WaitForConditionDecision.stop_polling()


def predicate(status):
    FAULT()
    return complete_batch() if status.success_count == 2 else continue_batch()


ASKED = ParallelConfig(completion_config=CompletionConfig(should_complete=predicate))


# In each, the one call of FAULT() is in the place that the name says.
PLACES = {
    "handler": lambda ctx: FAULT(),
    "step": lambda ctx: ctx.step(FAULT),
    "async step": lambda ctx: ctx.step(fault_async),
    "step with a limit": lambda ctx: ctx.step(FAULT, config=StepConfig(timeout=60)),
    "step with retries": lambda ctx: ctx.step(FAULT, config=StepConfig(strategy)),
    "branch": lambda ctx: results(ctx.parallel([FAULT, lambda c: 2], config=ALL)),
    "item": lambda ctx: results(ctx.map([1, 2], lambda *_: FAULT())),
    "racer": lambda ctx: ctx.race([FAULT]),
    "async branch": lambda ctx: results(ctx.parallel([fault_async], config=ALL)),
    "step of a branch": lambda ctx: results(
        ctx.parallel([lambda c: c.step(FAULT), lambda c: 2], config=ALL)
    ),
    "nested branch": lambda ctx: results(
        ctx.parallel(
            [lambda c: results(c.parallel([lambda c: 1 * FAULT()], config=ALL))],
            config=ALL,
        )
    ),
    "child context": lambda ctx: ctx.run_in_child_context(FAULT),
    "virtual child context": lambda ctx: ctx.run_in_child_context(
        FAULT, config=ChildConfig(is_virtual=True)
    ),
    "step of a child context": lambda ctx: ctx.run_in_child_context(
        lambda c: c.step(FAULT)
    ),
    "submitter": lambda ctx: ctx.wait_for_callback(submitter),
    "condition": lambda ctx: ctx.wait_for_condition(
        check,
        WaitForConditionConfig(
            wait_strategy=lambda *_: WaitForConditionDecision.stop_polling(),
            initial_state=0,
        ),
    ),
    "retry strategy": lambda ctx: ctx.step(flaky, config=StepConfig(once)),
    "wait strategy": lambda ctx: ctx.wait_for_condition(
        lambda *_: 1,
        WaitForConditionConfig(wait_strategy=stop_polling, initial_state=0),
    ),
    "should_complete": lambda ctx: results(
        ctx.parallel([lambda c: 1, lambda c: 2], config=ASKED)
    ),
    "invoke": lambda ctx: ctx.invoke("outcomes.child", None),
    "invoke in a branch": lambda ctx: results(
        ctx.parallel([lambda c: c.invoke("outcomes.child", None)], config=ALL)
    ),
}


@durable_execution(name="outcomes.program")
def program(where, context):
    context.step(lambda _: DONE.append("before"), name="before")
    return [where, PLACES[where](context)]


@durable_execution(name="outcomes.careless")
def careless(where, context):
    """Goes on whatever happens."""
    try:
        return PLACES[where](context)
    except BaseException:
        return context.step(lambda _: "caught", name="after")


def by_run(runner, where, function=program):
    return runner.run(function, where, "it")


def by_start(runner, where, function=program):
    return runner.start(function, where, "it").result(SECONDS)


WAYS = {"run": by_run, "start": by_start}


@pytest.fixture
def journal():
    return MemoryJournal()


@pytest.fixture(autouse=True)
def _anew():
    FAULT.error, FAULT.met = None, 0
    DONE.clear()


@pytest.fixture
def runner(journal):
    with DurableRunner(journal) as runner:
        RUNNER[:] = [runner]
        yield runner


def outcome(call, *args):
    """Return the exception of a call, whatever it is."""
    try:
        found = call(*args)
    except BaseException as error:
        error.__traceback__ = None
        return error
    raise AssertionError(f"it returned {found!r}")


def same(kind, error):
    """Whether an exception is what FAULT() raised."""
    if isinstance(kind, cf.CancelledError):  # of an event loop it is asyncio's
        return isinstance(error, cf.CancelledError | asyncio.CancelledError)
    return type(error) is type(kind)


def entries(journal):
    return {entry.name: entry for entry in journal.entries()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("what", SURROUNDINGS)
def test_the_surroundings_end_nothing(what, where, way, journal, runner):
    FAULT.error = kind = SURROUNDINGS[what]
    assert same(kind, outcome(WAYS[way], runner, where))
    for entry in journal.entries():
        assert (entry.status, entry.owned) == ("RUNNING", False)
        assert entry.error.type.split(".")[-1] == type(kind).__name__
    met = FAULT.met
    FAULT.error = None
    assert WAYS[way](runner, where) == [where, 1]
    assert {entry.status for entry in journal.entries()} == {"SUCCEEDED"}
    assert entries(journal)["it"].error is None
    assert len(DONE) == len(set(DONE))  # no step ran twice
    assert met >= 1


# What a handler raises itself, it may handle itself.
@pytest.mark.parametrize("where", [where for where in PLACES if where != "handler"])
@pytest.mark.parametrize("what", SURROUNDINGS)
def test_who_catches_them_does_not_go_on(what, where, journal, runner):
    FAULT.error = kind = SURROUNDINGS[what]
    assert same(kind, outcome(by_run, runner, where, careless))
    assert entries(journal)["it"].status == "RUNNING"
    FAULT.error = None
    assert by_run(runner, where, careless) == 1


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("what", SURROUNDINGS)
def test_recovered(what, where, journal):
    FAULT.error = KeyboardInterrupt()
    with DurableRunner(journal) as runner:
        RUNNER[:] = [runner]
        outcome(by_run, runner, where)
    FAULT.error = kind = SURROUNDINGS[what]
    with DurableRunner(journal) as runner:
        RUNNER[:] = [runner]
        handles = runner.recover()
        for handle in handles:
            assert same(kind, handle.exception(SECONDS))
            assert (handle.status, handle.end) == ("INTERRUPTED", None)
        assert "it" in {handle.name for handle in handles}
        FAULT.error = None
        for handle in runner.recover():
            assert handle.exception(SECONDS) is None
            assert handle.status == "SUCCEEDED"
        assert by_run(runner, where) == [where, 1]
    assert {entry.status for entry in journal.entries()} == {"SUCCEEDED"}
    assert len(DONE) == len(set(DONE))


# A predicate decides on what others have done; the program is not where it raises.
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "where", [name for name in PLACES if name != "should_complete"]
)
@pytest.mark.parametrize("what", OWN)
def test_its_own_exceptions_end_it(what, where, way, journal, runner):
    FAULT.error = OWN[what]
    first = outcome(WAYS[way], runner, where)
    assert {entry.status for entry in journal.entries()} == {"FAILED"}
    FAULT.error = None
    again = outcome(WAYS[way], runner, where)
    assert seen(first) == seen(again)
    assert exceptions.qualified_name(type(OWN[what])) in str(seen(first))


def seen(error):
    """Return what can be seen of an error."""
    if error is None:
        return None
    return [
        exceptions.qualified_name(type(error)),
        str(error),
        getattr(error, "error_type", None),
        getattr(error, "data", None),
        getattr(error, "__notes__", []),
        seen(error.__cause__),
        seen(error.__context__),
    ]


# --- faults as they happen ------------------------------------------------------------


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


@pytest.fixture(autouse=True)
def _moody():
    MOODY.writing = MOODY.reading = True


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
    "condition": lambda c: c.wait_for_condition(
        lambda *_: 1,
        WaitForConditionConfig(
            wait_strategy=lambda *_: WaitForConditionDecision.stop_polling(),
            initial_state=0,
            serdes=MOODY,
        ),
    ),
}


@durable_execution(name="outcomes.stored")
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
    @durable_execution(name="outcomes.answer")
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
    import enum
    import sys
    import types

    module = sys.modules["outcomes_shop"] = types.ModuleType("outcomes_shop")
    color = enum.Enum("Color", {"RED": 1}, module="outcomes_shop")
    module.Color = color
    stopping = [True]

    @durable_execution(name="outcomes.colors")
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


def test_the_reason_is_shown(tmp_path):
    store = tmp_path / "runs.db"
    FAULT.error = exceptions.SerDesError("no such class")
    with DurableRunner(store) as runner:
        outcome(by_run, runner, "branch")
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
        assert by_run(runner, "branch") == ["branch", 1]
        assert runner.journal.find("it").error is None


def test_an_invoked_function_that_is_not_imported(journal, runner):
    from fastflow.durable import functions

    name = "outcomes.imported-later"

    @durable_execution(name="outcomes.parent")
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


@durable_execution(name="outcomes.async")
async def asynchronous(event, context):
    return context.step(lambda _: 2)


@durable_execution(name="outcomes.async-child")
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


@durable_execution(name="outcomes.grow")
def grow(event, context):
    return context.step(lambda _: "x" * event)


@durable_execution(name="outcomes.all-kinds")
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
        grown = inner.invoke("outcomes.grow", 300_000)
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
    import threading

    @durable_execution(name="outcomes.threads")
    def threads(event, context):
        context.step(fault_async)
        return context.step(FAULT, config=StepConfig(timeout=60))

    start = threading.Thread.start

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    from fastflow import aio

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
    @durable_execution(name="outcomes.shut-down")
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
