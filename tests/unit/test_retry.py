"""Retry policies: delays, their cap and their spread, and what is refused."""

from __future__ import annotations

import pickle
import random

import pytest

import fastflow
from fastflow.durable import (
    DurableRunner,
    RetryStrategyConfig,
    StepConfig,
    durable_execution,
)
from fastflow.durable.config import JitterStrategy
from fastflow.durable.retries import LinearRetryStrategyConfig
from fastflow.durable.retries import RetryDecision as DurableDecision
from fastflow.run.retry import RetryDecision, RetryPolicy, StrategyPolicy


def test_delays_grow_up_to_the_cap():
    policy = RetryPolicy(retries=9, delay="1s", backoff=3, max_delay=20, jitter=0)
    assert [policy.delay(n) for n in range(1, 6)] == [1.0, 3.0, 9.0, 20.0, 20.0]


def test_attempts_without_end_do_not_overflow():
    policy = RetryPolicy(retries=10**9, max_delay="1m", jitter=0)
    assert policy.delay(10**6) == 60.0
    assert RetryPolicy(delay=0, jitter=0).delay(10**6) == 0.0


def test_jitter_is_a_fraction_of_the_delay_on_both_sides():
    policy = RetryPolicy(retries=1, delay=10, jitter=0.2)
    rng = random.Random(7)
    delays = [policy.delay(1, rng) for _ in range(1000)]
    assert 8 <= min(delays) < 9 < 11 < max(delays) <= 12
    assert delays[:3] == [policy.delay(1, again) for again in [random.Random(7)] * 3]


def test_jitter_respects_the_cap():
    policy = RetryPolicy(delay=10, max_delay=10, jitter=1)
    assert max(policy.delay(1) for _ in range(1000)) <= 10


def test_wants():
    policy = RetryPolicy(retries=2, retry_on=(OSError, KeyError))
    assert policy.wants(KeyError(), 1)
    assert policy.wants(FileNotFoundError(), 2)
    assert not policy.wants(KeyError(), 3)
    assert not policy.wants(ValueError(), 1)
    assert not RetryPolicy().wants(KeyError(), 1)
    assert not RetryPolicy(retries=1).wants(KeyboardInterrupt(), 1)


def test_it_is_a_value():
    policy = RetryPolicy(3, 0.5, retry_on=OSError)
    assert policy == RetryPolicy(retries=3, delay="500ms", retry_on=(OSError,))
    assert hash(policy) == hash(pickle.loads(pickle.dumps(policy)))
    with pytest.raises(AttributeError):
        policy.retries = 4


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"retries": -1}, ValueError, "retries must not be negative"),
        ({"retries": 1.5}, TypeError, "retries must be an int"),
        ({"retries": True}, TypeError, "retries must be an int"),
        ({"delay": -1}, ValueError, "negative"),
        ({"max_delay": "forever"}, ValueError, "not a duration"),
        ({"backoff": 0.5}, ValueError, "backoff must be finite and at least 1"),
        ({"backoff": float("inf")}, ValueError, "backoff"),
        ({"backoff": "2"}, TypeError, "backoff must be a number"),
        ({"jitter": 1.5}, ValueError, "at most 1"),
        ({"jitter": float("nan")}, ValueError, "jitter"),
        ({"jitter": "FULL"}, ValueError, "a number from 0 to 1, 'full' or 'half'"),
        ({"increment": -1}, ValueError, "negative"),
        ({"retry_on": "OSError"}, TypeError, "retry_on"),
        ({"retry_on": (KeyboardInterrupt,)}, TypeError, "retry_on"),
    ],
)
def test_wrong_options(options, error, words):
    with pytest.raises(error, match=words):
        RetryPolicy(**options)


def test_attempts_count_from_one():
    with pytest.raises(ValueError, match="counted from 1"):
        RetryPolicy().delay(0)


def test_delays_that_grow_linearly():
    policy = RetryPolicy(9, 1, backoff=1, max_delay="4s", jitter=0, increment="1500ms")
    assert [policy.delay(n) for n in range(1, 5)] == [1.0, 2.5, 4.0, 4.0]


@pytest.mark.parametrize(("jitter", "least"), [("full", 0.0), ("half", 5.0)])
def test_other_kinds_of_jitter(jitter, least):
    policy = RetryPolicy(1, 10, jitter=jitter)
    rng = random.Random(7)
    delays = [policy.delay(1, rng) for _ in range(1000)]
    assert least <= min(delays) < least + 1
    assert 9 < max(delays) <= 10


@pytest.mark.parametrize("error", [KeyError(), OSError(), KeyboardInterrupt()])
@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_a_policy_is_a_strategy(error, attempt):
    policy = RetryPolicy(2, "3s", backoff=2, jitter=0, retry_on=OSError)
    seconds = policy.decide(error, attempt)
    assert (seconds is not None) is policy.wants(error, attempt)
    decision = policy(error, attempt)
    assert decision.should_retry is (seconds is not None)
    assert decision.delay_seconds == (seconds or 0.0)
    assert seconds in (None, policy.delay(attempt))


def test_what_retries_means():
    policy = RetryPolicy(2)
    assert RetryPolicy.of(policy) is policy
    assert RetryPolicy.of(2, delay=5) == RetryPolicy(2, delay=5)
    assert RetryPolicy.of(policy, delay=1.0) is policy  # as if it were not given
    strategy = RetryPolicy.of(lambda *_: RetryDecision.retry("2s"))
    assert strategy.decide(OSError(), 1000) == 2.0
    assert strategy.retries
    for given in (policy, lambda *_: None):
        with pytest.raises(TypeError, match="belong to a number of retries"):
            RetryPolicy.of(given, delay=5)
    for wrong in ("3", None, 1.5):
        with pytest.raises(TypeError, match="retries must be an int"):
            RetryPolicy.of(wrong)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, None),
        (RetryDecision.no_retry(), None),
        (RetryDecision(True), 0.0),
        (RetryDecision.retry("500ms"), 0.5),
        (DurableDecision.retry(3), 3.0),
        (DurableDecision.no_retry(), None),
    ],
)
def test_what_a_strategy_says(said, seconds):
    policy = StrategyPolicy(lambda error, attempt: said)
    error = ValueError("no")
    assert policy.decide(error, 1) == seconds
    assert policy.wants(error, 1) is (seconds is not None)
    if seconds is not None:
        assert policy.delay(1) == seconds
    assert policy.decide(KeyboardInterrupt(), 1) is None
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize("said", [5, RetryDecision(True, -1), RetryDecision(True, "x")])
def test_a_strategy_that_makes_no_sense_gives_up(said):
    error = ValueError("no")
    assert StrategyPolicy(lambda *_: said).decide(error, 1) is None
    assert "its retry strategy raised" in error.__notes__[0]


def test_the_configurations_of_aws_are_policies():
    none = JitterStrategy.NONE
    config = RetryStrategyConfig(4, "1s", "3s", 2, none)
    assert [config.policy.delay(n) for n in (1, 2, 3)] == [1.0, 2.0, 3.0]
    linear = LinearRetryStrategyConfig(4, "1s", "2s", "4s", none)
    assert [linear.policy.delay(n) for n in (1, 2, 3)] == [1.0, 3.0, 4.0]
    for each in (config, linear):
        again = pickle.loads(pickle.dumps(each))
        assert again == each
        assert again(OSError(), 1) == each(OSError(), 1) == DurableDecision.retry(1)
        assert again.policy.wants(OSError(), 3)
        assert not again.policy.wants(OSError(), 4)


def strategies():
    """Each lets three attempts be made, if the errors are ConnectionErrors."""

    def strategy(error, attempt):
        if attempt < 3 and isinstance(error, ConnectionError):
            return RetryDecision.retry("1ms")
        return RetryDecision.no_retry()

    yield RetryPolicy(2, "1ms", retry_on=ConnectionError)
    yield strategy
    yield RetryStrategyConfig(3, "1ms", retryable_error_types=[ConnectionError])
    yield LinearRetryStrategyConfig(
        3, "1ms", "1ms", retryable_error_types=[ConnectionError]
    )


def run_task(fn, retries):
    return fastflow.task(retries=retries, name=f"t{id(fn)}")(fn)()


def run_flow(executor):
    def run(fn, retries):
        registry = fastflow.TaskRegistry()
        registry.task(name="t", retries=retries)(fn)
        try:
            return fastflow.Flow("flow F:\n    t", registry=registry).run(
                executor=executor
            )["t"]
        except fastflow.TaskError as error:
            raise error.__cause__ from None

    return run


def run_step(fn, retries):
    flow = fastflow.workflow("w").step("s", lambda ctx: fn(), retries=retries)
    run = flow.run()
    if run.error is not None:
        raise run.error
    return run.last


def run_durable(fn, retries):
    config = StepConfig(retry_strategy=retries)

    @durable_execution
    def handler(event, context):
        return context.step(lambda _: fn(), config=config)

    with DurableRunner() as runner:
        return runner.run(handler)


MACHINES = [run_task, run_flow(None), run_flow("serial"), run_step, run_durable]


@pytest.mark.parametrize("retries", list(strategies()))
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("error", "fails", "calls"),
    [(ConnectionError, 2, 3), (ConnectionError, 9, 3), (KeyError, 9, 1)],
)
def test_every_machine_takes_every_strategy(machine, retries, error, fails, calls):
    made = []

    def fn():
        made.append(1)
        if len(made) <= fails:
            raise error("not yet")
        return "good"

    if fails < calls:
        assert machine(fn, retries) == "good"
    else:
        with pytest.raises(Exception, match="not yet"):
            machine(fn, retries)
    assert len(made) == calls


def test_a_text_changes_a_policy_but_not_a_strategy():
    registry = fastflow.TaskRegistry()
    registry.task(name="p", retries=RetryPolicy(1, increment=3, jitter=0))(int)
    registry.task(name="s", retries=lambda *_: RetryDecision.no_retry())(int)
    text = "flow F:\n    task {}:\n        retry_delay: 2\n"
    fastflow.Flow(text.format("p"), registry=registry)
    with pytest.raises(fastflow.DslError, match="give 'retries', too"):
        fastflow.Flow(text.format("s"), registry=registry)
    fastflow.Flow(text.format("s") + "        retries: 2\n", registry=registry)
    policy = RetryPolicy(1, increment=3, jitter=0).changed(retries=4, delay=2.0)
    assert policy == RetryPolicy(4, 2, increment=3, jitter=0)
