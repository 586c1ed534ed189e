"""When polling goes on, and after how long."""

from __future__ import annotations

import pytest

from fastflow.durable.config import Duration, JitterStrategy
from fastflow.durable.exceptions import ValidationError, WaitForConditionError
from fastflow.durable.waits import (
    WaitForConditionConfig,
    WaitForConditionDecision,
    WaitStrategyConfig,
    create_wait_strategy,
)


def strategy(**options):
    options.setdefault("jitter_strategy", JitterStrategy.NONE)
    return WaitStrategyConfig(lambda state: state != "done", **options)


def test_decisions():
    assert WaitForConditionDecision.continue_waiting("500ms").delay_seconds == 0.5
    stop = WaitForConditionDecision.stop_polling()
    assert (stop.should_continue, stop.delay_seconds) == (False, 0)
    with pytest.raises(ValidationError):
        WaitForConditionDecision.continue_waiting("soon")


def test_delays_grow_up_to_the_limit():
    ask = create_wait_strategy(
        strategy(initial_delay=2, max_delay=Duration(5), max_attempts=5)
    )
    found = [ask("not yet", attempt).delay_seconds for attempt in range(1, 5)]
    assert found == [2, 3, 4.5, 5]
    assert not ask("done", 1).should_continue


def test_right_at_the_last_poll_is_right():
    ask = strategy(max_attempts=3)
    assert ask("not yet", 2).should_continue
    assert not ask("done", 3).should_continue
    with pytest.raises(WaitForConditionError, match="within 3 polls"):
        ask("not yet", 3)


def test_defaults():
    config = WaitStrategyConfig(bool)
    assert (config.max_attempts, config.backoff_rate) == (60, 1.5)
    assert (config.initial_delay, config.max_delay) == (Duration(5), Duration(300))
    assert config.jitter_strategy is JitterStrategy.FULL


@pytest.mark.parametrize(("first", "expected"), [(1, 300), (0, 0)])
def test_growth_beyond_floats(first, expected):
    ask = strategy(initial_delay=first, max_attempts=10**6, backoff_rate=1e10)
    assert ask("not yet", 10**5).delay_seconds == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_attempts": 0}, "WaitStrategyConfig.max_attempts"),
        ({"max_attempts": True}, "max_attempts"),
        ({"initial_delay": None}, "initial_delay"),
        ({"max_delay": -1}, "max_delay"),
        ({"backoff_rate": 0}, "backoff_rate"),
        ({"backoff_rate": None}, "backoff_rate"),
        ({"jitter_strategy": "NONE?"}, "JitterStrategy"),
    ],
)
def test_what_is_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        strategy(**wrong)


def test_what_is_refused_of_the_operation():
    with pytest.raises(ValidationError, match="should_continue_polling"):
        WaitStrategyConfig(5)
    with pytest.raises(ValidationError, match="wait_strategy"):
        WaitForConditionConfig(5, None)
    with pytest.raises(ValidationError, match="serdes"):
        WaitForConditionConfig(bool, None, serdes="json")
    assert WaitForConditionConfig(bool, initial_state={"a": 1}).serdes is None
