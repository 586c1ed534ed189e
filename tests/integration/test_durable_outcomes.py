"""What becomes the outcome of an execution: only what its program returns or raises.

The table is every exception that the package or its surroundings can raise, times every
place in a program where one can come up.  Those of the surroundings leave the execution
unfinished, with the reason on its record; once that is mended it goes on, and what had
been done is not done again.  The program's own end it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures as cf

import pytest

from fastflow import TaskTimeout
from fastflow.base.timers import VirtualClock
from fastflow.durable import (
    CompletionConfig,
    DurableRunner,
    MemoryJournal,
    ParallelConfig,
    RetryDecision,
    StepConfig,
    WaitForConditionConfig,
    WaitForConditionDecision,
    complete_batch,
    continue_batch,
    durable_execution,
    exceptions,
)
from fastflow.durable.config import ChildConfig
from support import outcome

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


@durable_execution(name="outcomes.patient")
def patient(where, context):
    context.wait("1h")
    value = PLACES[where](context)
    context.wait("1h")
    return [where, value]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("what", ["can't be stored or read", "no memory", "Ctrl-C"])
def test_a_virtual_clock_goes_on_afterwards(what, where, journal):
    """Nothing that was left under way counts as going on."""
    FAULT.error = SURROUNDINGS[what]
    with DurableRunner(journal, _clock=VirtualClock()) as runner:
        RUNNER[:] = [runner]
        outcome(by_start, runner, where, patient)
        FAULT.error = None
        assert by_start(runner, where, patient) == [where, 1]


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
