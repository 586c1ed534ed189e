"""A crash at each record of each kind of operation, on virtual time, and on it goes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter

import pytest

from fastflow.base.timers import VirtualClock
from fastflow.durable import (
    CallbackAlreadyCompletedError,
    CallbackConfig,
    CallbackTimeoutError,
    ChildConfig,
    CompletionConfig,
    DurableRunner,
    InvokeConfig,
    JournalError,
    MapConfig,
    NestingType,
    ParallelConfig,
    RetryStrategyConfig,
    StepConfig,
    StepSemantics,
    WaitForConditionConfig,
    WaitForConditionDecision,
    durable_execution,
)
from fastflow.durable.lambda_service import OperationSubType
from fastflow.journal.memory import MemoryJournal
from fastflow.testing import (
    DurableFunctionTestRunner,
    InvocationStatus,
    SimulatedCrash,
)
from support import LIMIT, becomes_true, figure

PATIENT = RetryStrategyConfig(max_attempts=9, initial_delay=60)
POLL = WaitForConditionConfig(
    lambda state, _: (
        WaitForConditionDecision.stop_polling()
        if state >= 2
        else WaitForConditionDecision.continue_waiting(3600)
    ),
    0,
)


@durable_execution(name="innermost")
def innermost(event, context):
    context.wait("2h", name="innermost wait")
    return context.step(lambda _: event + 1, name="innermost step")


@durable_execution(name="inner")
def inner(event, context):
    got = context.invoke(innermost, event, name="innermost")
    context.wait("1h", name="inner wait")
    return context.step(lambda _: got * 2, name="inner step")


def program_for(answer):
    """A program with each kind of operation; `answer` sends a callback's result."""

    def flaky(step):
        if step.attempt < 3:
            raise ConnectionError("not yet")
        return "flaky"

    async def later(step):
        await asyncio.sleep(0)
        return "later"

    def branch(name):
        def run(context):
            context.wait("1d", name=f"{name} wait")
            return context.step(lambda _: name, name=f"{name} step")

        return run

    def item(context, value, index, items):
        context.wait(60 * (index + 1), name=f"item {index} wait")
        return context.step(lambda _: value * value, name=f"item {index} step")

    def grouped(context):
        context.wait(5, name="group wait")
        return context.step(lambda _: "grouped", name="group step")

    def slow(context):
        context.wait("40d", name="slow wait")
        return context.step(lambda _: "slow", name="slow step")

    @durable_execution(name="everything")
    def everything(event, context):
        found = [
            context.step(lambda _: "plain", name="plain"),
            context.step(flaky, name="flaky", config=StepConfig(PATIENT)),
            context.step(
                lambda _: "once",
                name="once",
                config=StepConfig(
                    PATIENT, step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY
                ),
            ),
            context.step(later, name="async"),
            context.step(
                lambda _: "limited", name="limited", config=StepConfig(timeout=60)
            ),
        ]
        context.wait("30d", name="wait")
        found += context.parallel(
            [branch("left"), branch("right")], name="parallel"
        ).get_results()
        found += context.map([1, 2, 3], item, name="map").get_results()
        found += context.map(
            [1, 2, 3],
            lambda c, v, i, _all: c.step(lambda _: -v, name=f"flat {i}"),
            name="flat",
            config=MapConfig(max_concurrency=1, nesting_type=NestingType.FLAT),
        ).get_results()
        found += [
            context.race([branch("fast"), slow], name="race"),
            context.run_in_child_context(grouped, name="group"),
            context.run_in_child_context(
                lambda c: c.step(lambda _: "virtual", name="virtual step"),
                name="virtual",
                config=ChildConfig(is_virtual=True),
            ),
            context.wait_for_condition(lambda s, _: s + 1, POLL, name="condition"),
        ]
        callback = context.create_callback(name="callback")
        context.step(lambda _: answer(callback.callback_id, "called"), name="answer")
        found.append(callback.result())
        found.append(
            context.wait_for_callback(
                lambda key, _: answer(key, "waited for"), name="round trip"
            )
        )
        silent = context.create_callback(
            name="silent", config=CallbackConfig(timeout="1h")
        )
        try:
            silent.result()
        except CallbackTimeoutError as error:
            found.append(type(error).__name__)
        found.append(
            context.invoke(inner, 20, name="invoke", config=InvokeConfig(timeout="9d"))
        )
        first = context.parallel(
            [branch("one"), slow],
            name="first of two",
            config=ParallelConfig(
                completion_config=CompletionConfig.first_successful()
            ),
        )
        found.append(first.get_results())
        return found

    return everything


EXPECTED = [
    "plain", "flaky", "once", "later", "limited", "left", "right", 1, 4, 9,
    -1, -2, -3, "fast", "grouped", "virtual", 2, "called", "waited for",
    "CallbackTimeoutError", 42, ["one"],
]  # fmt: skip


def runner_of(store=None):
    def answer(key, value):
        # A step may be made twice, and the answer of the first time counts.
        with contextlib.suppress(CallbackAlreadyCompletedError):
            runner.send_callback_success(key, value)

    runner = DurableFunctionTestRunner(program_for(answer), store=store)
    return runner


def records_of(journal):
    """Return the records of all executions as (name, which of that name), in order."""
    counts = Counter()
    found = []
    for record in sorted(
        (
            record
            for entry in journal.entries()
            for frame in journal.frames(entry.number)
            for record in frame
            if record.name
        ),
        key=lambda record: record.at,
    ):
        counts[record.name] += 1
        found.append((record.name, counts[record.name]))
    return found


def subtypes_of(journal):
    return {
        record.subtype
        for entry in journal.entries()
        for frame in journal.frames(entry.number)
        for record in frame
    }


@pytest.fixture(scope="module")
def points():
    """Every record of an undisturbed run, before and after its commit, in order."""
    runner = runner_of()
    with runner:
        assert runner.run().result == EXPECTED
    # Every kind of operation is among them.
    assert subtypes_of(runner._journal) == {str(kind) for kind in OperationSubType}
    records = records_of(runner._journal)
    runner.close()
    assert len(records) > 80
    return [
        (name, when, number)
        for name, number in records
        for when in ("before_commit", "after_commit")
    ]


def run_with_crashes(crashes, store=None):
    """Run, crash at each place in turn, and go on; return the last run's result."""
    runner = runner_of(store)
    try:
        for crash in crashes:
            runner.crash_at(*crash)
            try:
                result = runner.run(timeout=LIMIT)
            except SimulatedCrash:
                continue
            if result.status is InvocationStatus.SUCCEEDED:
                return result  # the place had been passed
        return runner.run(timeout=LIMIT)
    finally:
        runner.close()


def check(crashes, store=None):
    result = run_with_crashes(crashes, store)
    assert (result.status, result.result) == (
        InvocationStatus.SUCCEEDED,
        EXPECTED,
    ), f"after crashes at {crashes}: {result.error}"


def test_after_a_crash_anywhere_it_goes_on(points):
    for place in points:
        check([place])


def test_it_goes_on_in_a_file_as_well(points, tmp_path):
    for number, place in enumerate(points[:: figure(5, 1)]):
        check([place], tmp_path / f"{number}.db")


@pytest.mark.parametrize("distance", [0, 1, 3, *figure((), (2, 5, 10, 20, 40, 80))])
def test_and_after_a_second_crash_elsewhere(points, distance):
    for place, other in zip(points, points[distance:], strict=False):
        # After a crash, the records that are made again count from 1.
        check([place, (*other[:2], 1)])


def test_what_a_crash_has_interrupted_dies_with_it():
    begun = threading.Event()

    @durable_execution(name="crashing beside")
    def beside(event, context):
        callback = context.create_callback(name="never")
        context.step(lambda _: begun.set(), name="begun")
        return callback.result()

    @durable_execution(name="crashing")
    def crashing(event, context):
        if event == "beside":
            return beside.handler(event, context)
        return context.step(lambda _: "made", name="step")

    runner = DurableFunctionTestRunner(crashing)
    with runner:
        other = runner.run_async("beside", execution_name="other")
        assert begun.wait(LIMIT)
        runner.crash_at("step")
        with pytest.raises(SimulatedCrash):
            runner.run("first", execution_name="first")
        with pytest.raises(SimulatedCrash):
            runner.wait_for_result(other, timeout=LIMIT)
        assert runner.run("first", execution_name="first").result == "made"
        # Nobody owns what died; it goes on like everything else.
        other = runner.run_async("beside", execution_name="other")
        runner.send_callback_success(
            runner.wait_for_callback(other, "never", timeout=LIMIT), "answered"
        )
        assert runner.wait_for_result(other, timeout=LIMIT).result == "answered"
    runner.close()


def test_time_goes_on_where_it_was():
    @durable_execution(name="two waits")
    def waits(event, context):
        context.wait("10d", name="first")
        context.step(lambda _: None, name="between")
        context.wait("10d", name="second")

    runner = DurableFunctionTestRunner(waits)
    runner.crash_at("between", "after_commit")
    with runner:
        with pytest.raises(SimulatedCrash):
            runner.run()
        result = runner.run()
    day = 24 * 3600
    assert result.get_wait("second").ended - result.get_wait("first").started >= (
        20 * day - 1
    )
    runner.close()


def test_records_count_from_one():
    @durable_execution(name="counting")
    def counting(event, context):
        context.wait(1, name="wait")

    runner = DurableFunctionTestRunner(counting)
    with pytest.raises(ValueError, match="record must be greater than 0"):
        runner.crash_at("wait", record=0)
    runner.close()


class Fainting(MemoryJournal):
    """A journal whose writes raise something unheard-of, once, when told to."""

    error: BaseException | None = None

    def write(self, changes):
        error, self.error = self.error, None
        if error is not None:
            raise error
        return super().write(changes)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit])
def test_a_runner_goes_on_after_a_write_that_raised_anything(error):
    """The same runner: what was counted before must have been counted off."""

    def branch(context):
        context.wait(60, name="wait")
        if pending:
            journal.error = pending.pop()
        context.wait(60, name="second wait")
        return 1

    @durable_execution(name="fainting")
    def fainting(event, context):
        return sum(context.parallel([branch] * 3, name="all").get_results())

    journal, pending = Fainting(), [error("out of the blue")]
    with DurableRunner(journal, _clock=VirtualClock()) as runner:
        with pytest.raises((JournalError, error)):
            runner.run(fainting, execution_name="once")
        assert becomes_true(lambda: runner._runtime.scheduler.idle)
        assert runner.run(fainting, execution_name="once") == 3
        assert runner.run(fainting, execution_name="again") == 3
        assert becomes_true(lambda: runner._runtime.scheduler.idle)
