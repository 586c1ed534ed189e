"""What subscribers are told of durable executions."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import pytest

from fastflow.base.timers import VirtualClock
from fastflow.durable import (
    DurableRunner,
    RetryDecision,
    StepConfig,
    StepError,
    StepSemantics,
    WaitForConditionConfig,
    WaitForConditionDecision,
    durable_execution,
)
from fastflow.durable.operations import operation
from fastflow.journal.memory import MemoryJournal

HOUR = 3600.0


class Everything:
    """Keeps all that it is told: (what, name of the job or run, ...)."""

    def __init__(self):
        self.told = []
        self.keys = set()
        self._lock = threading.Lock()

    def __getattr__(self, name):
        if not name.startswith(("run_", "job_")):
            raise AttributeError(name)

        def tell(key, *what):
            with self._lock:
                if name.startswith("job_"):
                    self.keys.add(key)
                    key = key.name
                self.told.append((name, key, *what))

        return tell

    @property
    def short(self):
        """Without times; errors as the names of their types."""
        found = []
        for what, name, *rest in self.told:
            *numbers, _time = [each for each in rest if isinstance(each, int | float)]
            errors = [each for each in rest if not isinstance(each, int | float)]
            shown = [each and type(each).__name__ for each in errors]
            found.append((what, name, *numbers, *shown))
        return found


@pytest.fixture
def listener():
    return Everything()


@pytest.fixture
def runner(listener):
    with DurableRunner(
        MemoryJournal(), subscribers=[listener], _clock=VirtualClock()
    ) as made:
        yield made


def hourly(error, attempt):
    return RetryDecision.retry(HOUR)


def flaky(step):
    if step.attempt < 3:
        raise OSError("not yet")
    return step.attempt


def test_a_step_and_its_attempts(runner, listener):
    @durable_execution(name="tests.events")
    def program(_, context):
        return context.step(flaky, "load", StepConfig(hourly))

    assert runner.run(program, None, "x") == 3
    assert listener.short == [
        ("run_started", "x"),
        ("job_started", "load", 1),
        ("job_retrying", "load", 1, "OSError"),
        ("job_started", "load", 2),
        ("job_retrying", "load", 2, "OSError"),
        ("job_started", "load", 3),
        ("job_ended", "load", 3, None),
        ("run_ended", "x", None),
    ]
    times = [
        next(each for each in what[2:] if isinstance(each, float))
        for what in listener.told
    ]
    assert times == sorted(times)
    assert times[-1] - times[0] == pytest.approx(2 * HOUR, abs=1)
    (key,) = listener.keys
    assert (key.run, key.name) == ("x", "load")


@pytest.mark.parametrize("options", [{}, {"timeout": 60}], ids=["direct", "limited"])
def test_the_end_of_all_attempts_is_its_error(runner, listener, options):
    def fail(_):
        raise OSError("no")

    @durable_execution(name="tests.events")
    def program(_, context):
        with pytest.raises(StepError):
            context.step(fail, "load", StepConfig(**options))

    runner.run(program, None, "x")
    assert listener.short[1:-1] == [
        ("job_started", "load", 1),
        ("job_ended", "load", 1, "OSError"),
    ]


def test_polls_are_attempts_of_one_job(runner, listener):
    config = WaitForConditionConfig(
        lambda state, n: (
            WaitForConditionDecision.continue_waiting(HOUR)
            if state < 3
            else WaitForConditionDecision.stop_polling()
        ),
        0,
    )

    @durable_execution(name="tests.events")
    def program(_, context):
        return context.wait_for_condition(lambda n, _: n + 1, config, "count")

    assert runner.run(program, None, "x") == 3
    counts = Counter(what[0] for what in listener.told)
    assert counts["job_started"] == 3
    assert counts["job_retrying"] == 2
    assert listener.short[-2] == ("job_ended", "count", 3, None)


class Died(BaseException):
    """The process is killed."""


def test_what_is_recorded_is_recalled(listener):
    """And an attempt that a crash has cut off begins anew, or is given up."""
    journal = MemoryJournal()
    dies = [True]
    once = StepConfig(hourly, StepSemantics.AT_MOST_ONCE_PER_RETRY)

    def last(step):
        if dies:
            dies.pop()
            raise Died
        return step.attempt

    @durable_execution(name="tests.events")
    def program(_, context):
        context.step(flaky, "load", StepConfig(hourly))
        context.wait(HOUR)
        return context.step(last, "last", once)

    with DurableRunner(journal, _clock=VirtualClock()) as first, pytest.raises(Died):
        first.run(program, None, "x")
    with DurableRunner(
        journal, subscribers=[listener], _clock=VirtualClock()
    ) as second:
        assert second.run(program, None, "x") == 2
        assert second.run(program, None, "x") == 2  # that is no run
    assert listener.short == [
        ("run_started", "x"),
        ("job_recalled", "load", 3),
        ("job_retrying", "last", 1, "StepInterruptedError"),
        ("job_started", "last", 2),
        ("job_ended", "last", 2, None),
        ("run_ended", "x", None),
    ]


def test_a_run_that_is_interrupted_says_why(runner, listener):
    @durable_execution(name="tests.events")
    def program(_, context):
        return context.step(lambda _: object(), "load")  # can't be stored

    assert runner.start(program, None, "x").exception(60) is not None
    assert listener.short == [
        ("run_started", "x"),
        ("job_started", "load", 1),
        ("run_ended", "x", "SerDesError"),
    ]


def test_attempts_in_other_threads_begin_and_end_once(runner, listener):
    """Each branch runs again from its top when its attempts have ended elsewhere."""

    async def awaited(_):
        await asyncio.sleep(0)

    def work(context, item, *_):
        context.step(awaited, f"loop {item}")
        context.step(lambda _: None, f"thread {item}", StepConfig(timeout=60))

    @durable_execution(name="tests.events")
    def program(_, context):
        context.map(range(20), work).throw_if_error()

    runner.start(program, None, "x").result(60)
    names = [f"{kind} {n}" for kind in ("loop", "thread") for n in range(20)]
    assert Counter(what[:2] for what in listener.told) == Counter(
        [("run_started", "x"), ("run_ended", "x")]
        + [(what, name) for what in ("job_started", "job_ended") for name in names]
    )


def test_what_another_process_did_is_told_once(listener):
    """The line of the second one runs again from its top after each wait."""
    journal = MemoryJournal()
    dies = [True]

    def die(_):
        if dies:
            dies.pop()
            raise Died

    @durable_execution(name="tests.events")
    def program(_, context):
        context.step(lambda _: None, "first")
        context.step(die, "second")
        for _ in range(3):
            context.wait(HOUR)
        context.step(lambda _: None, "third")

    with DurableRunner(journal, _clock=VirtualClock()) as first, pytest.raises(Died):
        first.run(program, None, "x")
    with DurableRunner(
        journal, subscribers=[listener], _clock=VirtualClock()
    ) as second:
        second.start(program, None, "x").result(60)
    assert listener.short == [
        ("run_started", "x"),
        ("job_recalled", "first", 1),
        ("job_started", "second", 1),
        ("job_ended", "second", 1, None),
        *[("job_waited", None)] * 3,
        ("job_started", "third", 1),
        ("job_ended", "third", 1, None),
        ("run_ended", "x", None),
    ]


def test_a_subscriber_that_raises_harms_nobody(caplog):
    class Broken:
        def job_started(self, *_):
            raise RuntimeError("can't stand it")

    @durable_execution(name="tests.events")
    def program(_, context):
        return [context.step(lambda _: None) for _ in range(3)]

    with DurableRunner(":memory:", subscribers=[Broken()]) as runner:
        assert len(runner.run(program)) == 3
    assert ["Broken" in each.message for each in caplog.records] == [True]


def test_without_subscribers_no_key_is_made(monkeypatch):
    def key(*_):
        raise AssertionError("nobody listens")

    monkeypatch.setattr(operation, "JobKey", key)

    @durable_execution(name="tests.events")
    def program(_, context):
        return context.step(flaky, "load", StepConfig(hourly))

    with DurableRunner(":memory:", _clock=VirtualClock()) as runner:
        assert runner.run(program) == 3


def test_what_is_no_subscriber_is_refused():
    with pytest.raises(TypeError, match="no subscriber"):
        DurableRunner(":memory:", subscribers=[print])
