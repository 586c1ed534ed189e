"""When strategies try again, and after how long."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from fastflow.durable.config import Duration, JitterStrategy
from fastflow.durable.exceptions import ValidationError
from fastflow.durable.retries import (
    LinearRetryStrategyConfig,
    RetryDecision,
    RetryPresets,
    RetryStrategyConfig,
    StepPolicy,
    WithRetryConfig,
    create_linear_retry_strategy,
    create_retry_strategy,
    with_retry,
)
from fastflow.run.retry import RetryDecision as CoreDecision
from fastflow.run.retry import StrategyPolicy

NONE = JitterStrategy.NONE


def delays(strategy, error=None):
    """The delays until the strategy gives up."""
    found = []
    for attempt in range(1, 100):
        decision = strategy(error or ValueError("no"), attempt)
        if not decision.should_retry:
            break
        found.append(decision.delay_seconds)
    return found


def test_decisions():
    assert RetryDecision.retry("500ms").delay_seconds == 0.5
    assert RetryDecision.retry(Duration(2)) == RetryDecision(True, Duration(2))
    assert not RetryDecision.no_retry().should_retry
    with pytest.raises(ValidationError):
        RetryDecision.retry(-1)


class TestExponential:
    def test_growth_and_limit(self):
        config = RetryStrategyConfig(
            max_attempts=6, initial_delay=1, max_delay="10s", jitter_strategy=NONE
        )
        assert delays(config) == [1, 2, 4, 8, 10]
        assert delays(create_retry_strategy(config)) == [1, 2, 4, 8, 10]

    def test_defaults(self):
        config = RetryStrategyConfig()
        assert (config.max_attempts, config.backoff_rate) == (3, 2.0)
        assert config.initial_delay == Duration(5)
        assert config.max_delay == Duration.from_minutes(5)
        assert len(delays(create_retry_strategy())) == 2

    def test_fractions_of_a_second(self):
        config = RetryStrategyConfig(
            initial_delay=0.01, backoff_rate=1.5, jitter_strategy=NONE
        )
        assert delays(config) == pytest.approx([0.01, 0.015])

    @pytest.mark.parametrize(("first", "expected"), [(1, 300), (0, 0)])
    def test_growth_beyond_floats(self, first, expected):
        config = RetryStrategyConfig(
            10**6, first, backoff_rate=1e10, jitter_strategy=NONE
        )
        assert config(ValueError(), 10**5).delay_seconds == expected

    def test_jitter_stays_within_the_delay(self):
        config = RetryStrategyConfig(
            initial_delay=8, jitter_strategy=JitterStrategy.HALF
        )
        found = [config(ValueError(), 1).delay_seconds for _ in range(500)]
        assert 4 <= min(found) < max(found) <= 8

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"max_attempts": 0}, "max_attempts"),
            ({"max_attempts": 1.5}, "max_attempts"),
            ({"max_attempts": None}, "max_attempts"),
            ({"initial_delay": -1}, "RetryStrategyConfig.initial_delay"),
            ({"max_delay": "x"}, "RetryStrategyConfig.max_delay"),
            ({"backoff_rate": 0.5}, "backoff_rate"),
            ({"backoff_rate": "2"}, "backoff_rate"),
            ({"backoff_rate": float("nan")}, "backoff_rate"),
            ({"backoff_rate": float("inf")}, "backoff_rate"),
            ({"jitter_strategy": "sometimes"}, "JitterStrategy"),
            ({"retryable_errors": "timeout"}, "lists"),
            ({"retryable_errors": re.compile("x")}, "lists"),
            ({"retryable_errors": [5]}, "texts or compiled patterns"),
            ({"retryable_error_types": ValueError}, "lists"),
            ({"retryable_error_types": ["ValueError"]}, "exception types"),
        ],
    )
    def test_what_is_refused(self, wrong, message):
        with pytest.raises(ValidationError, match=message):
            RetryStrategyConfig(**wrong)


class TestWhichErrors:
    @pytest.mark.parametrize(
        ("texts", "types", "error", "wanted"),
        [
            (None, None, KeyError("x"), True),
            (["busy"], None, ValueError("db busy now"), True),
            (["busy"], None, ValueError("gone"), False),
            ([re.compile("^b.sy")], None, ValueError("basy"), True),
            ([re.compile("^b.sy")], None, ValueError("a basy"), False),
            (None, [OSError], ConnectionError("x"), True),
            (None, [OSError], ValueError("x"), False),
            (["busy"], [OSError], ValueError("busy"), True),
            (["busy"], [OSError], OSError("x"), True),
            ([], None, ValueError("x"), False),
            (None, [], ValueError("x"), False),
        ],
    )
    @pytest.mark.parametrize("kind", [RetryStrategyConfig, LinearRetryStrategyConfig])
    def test_filters(self, kind, texts, types, error, wanted):
        config = kind(retryable_errors=texts, retryable_error_types=types)
        assert config(error, 1).should_retry is wanted


class TestLinear:
    def test_growth_and_limit(self):
        config = LinearRetryStrategyConfig(5, 1, "1500ms", 3, NONE)
        assert delays(config) == [1, 2.5, 3, 3]
        assert delays(create_linear_retry_strategy(config)) == [1, 2.5, 3, 3]

    def test_defaults(self):
        assert LinearRetryStrategyConfig().jitter_strategy is JitterStrategy.FULL
        assert len(delays(create_linear_retry_strategy())) == 5

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"increment": -1}, "LinearRetryStrategyConfig.increment"),
            ({"jitter_strategy": None}, "JitterStrategy"),
            ({"max_attempts": True}, "max_attempts"),
        ],
    )
    def test_what_is_refused(self, wrong, message):
        with pytest.raises(ValidationError, match=message):
            LinearRetryStrategyConfig(**wrong)


def test_presets():
    assert delays(RetryPresets.none()) == []
    assert len(delays(RetryPresets.default())) == 5
    assert all(delay <= 60 for delay in delays(RetryPresets.default()))
    assert len(delays(RetryPresets.transient())) == 2
    assert 2.5 <= delays(RetryPresets.transient())[0] <= 5
    assert len(delays(RetryPresets.resource_availability())) == 4
    critical = [1.5**n for n in range(9)]
    assert delays(RetryPresets.critical()) == pytest.approx(critical)
    assert delays(RetryPresets.linear()) == [1, 2, 3, 4, 5]
    assert delays(RetryPresets.fixed()) == [5] * 4
    assert delays(RetryPresets.fixed(Duration(2))) == [2] * 4
    assert delays(RetryPresets.fixed(interval=0, max_attempts=3)) == [0, 0]


class Context:
    """As much of a context as `with_retry` uses."""

    def __init__(self):
        self.children = []
        self.waits = []

    def step(self):
        raise NotImplementedError

    def wait(self, duration, name=None):
        self.waits.append((duration.to_seconds(), name))

    def run_in_child_context(self, func, name=None, config=None):
        self.children.append((name, config))
        return func(self)


def flaky(times):
    """A block that fails so many times, and then returns the attempt's number."""

    def block(context, attempt, *rest, **named):
        if attempt <= times:
            raise ValueError(attempt)
        return (attempt, *rest, *named.values())

    return block


FIXED = WithRetryConfig(RetryPresets.fixed(3))


SAID = {
    "nothing": (None, None),
    "no": (RetryDecision.no_retry(), None),
    "at once": (CoreDecision(True), 0),
    "a text": (CoreDecision(True, "1m"), 60),
    "a timedelta": (CoreDecision(True, timedelta(hours=1)), 3600),
    "a Duration": (RetryDecision.retry(Duration(5)), 5),
}


def _raise(error, attempt):
    raise ArithmeticError("the strategy's own")


#: Strategies, and what comes of them.
WRONG = {
    "raises": (_raise, ArithmeticError),
    "no decision": (lambda *_: True, AttributeError),
    "no delay": (lambda *_: CoreDecision(True, -1), ValidationError),
    "for ever": (lambda *_: CoreDecision(True, 1e300), ValidationError),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_steps_make_of_a_strategy_that_fails(wrong):
    strategy, kind = WRONG[wrong]
    error = ValueError("no")
    with pytest.raises(kind):
        StepPolicy(strategy).decide(error, 1)
    assert not hasattr(error, "__notes__")
    # Elsewhere the task's own error stands.
    if wrong != "for ever":
        assert StrategyPolicy(strategy).decide(error, 1) is None
        assert "its retry strategy raised" in error.__notes__[0]


class TestWithRetry:
    def test_as_a_function(self):
        context = Context()
        assert with_retry(context, flaky(2), FIXED, "block") == (3,)
        assert context.waits == [(3, "block-backoff-1"), (3, "block-backoff-2")]
        assert context.children == [("block", None)]

    def test_by_keywords_and_without_a_name(self):
        context = Context()
        assert with_retry(context=context, func=flaky(1), config=FIXED) == (2,)
        assert context.waits == [(3, None)]

    def test_the_strategy_gives_up(self):
        context = Context()
        with pytest.raises(ValueError, match="5"):
            with_retry(context, flaky(9), FIXED)
        assert len(context.waits) == 4

    def test_without_a_child_context(self):
        context = Context()
        config = WithRetryConfig(RetryPresets.fixed(3), False)
        assert with_retry(context, flaky(1), config) == (2,)
        assert context.children == []

    @pytest.mark.parametrize(
        "decorate",
        [
            lambda f: with_retry(FIXED, name="n")(f),
            lambda f: with_retry(config=FIXED, name="n")(f),
            lambda f: with_retry(FIXED, None, None, "n")(f),
        ],
    )
    def test_as_a_decorator(self, decorate):
        context = Context()
        assert decorate(flaky(1))(context, "x", y="z") == (2, "x", "z")
        assert context.waits == [(3, "n-backoff-1")]
        assert context.children == [("n", None)]

    @pytest.mark.parametrize("decorator", [with_retry, with_retry()])
    def test_as_a_decorator_without_a_configuration(self, decorator):
        @decorator
        def block(context, attempt, more):
            """Its text."""
            return (attempt, more)

        context = Context()
        assert block(context, "x") == (1, "x")
        assert context.children == [("block", None)]
        assert block.__doc__ == "Its text."

    def test_what_must_not_be_tried_again(self):
        from fastflow.durable.exceptions import InvocationError, SuspendExecution

        for signal in (SuspendExecution(), InvocationError("x")):

            def block(context, attempt, signal=signal):
                raise signal

            context = Context()
            with pytest.raises(type(signal)):
                with_retry(context, block, FIXED)
            assert context.waits == []

    @pytest.mark.parametrize("strategy", SAID)
    def test_what_a_strategy_may_say(self, strategy):
        said, delay = SAID[strategy]
        context = Context()
        config = WithRetryConfig(lambda error, attempt: said)
        if delay is None:
            with pytest.raises(ValueError, match="1"):
                with_retry(context, flaky(1), config)
        else:
            assert with_retry(context, flaky(1), config) == (2,)
        assert context.waits == ([] if delay is None else [(delay, None)])

    @pytest.mark.parametrize("wrong", WRONG)
    def test_a_strategy_that_fails_is_what_has_failed(self, wrong):
        context = Context()
        with pytest.raises(WRONG[wrong][1]):
            with_retry(context, flaky(1), WithRetryConfig(WRONG[wrong][0]))
        assert context.waits == []

    def test_what_is_refused(self):
        with pytest.raises(ValidationError, match="function"):
            with_retry(Context())
        with pytest.raises(ValidationError, match="callable"):
            WithRetryConfig(retry_strategy=5)
