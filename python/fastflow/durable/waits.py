"""Strategies of waiting: ``(state, attempts_made)`` -> `WaitForConditionDecision`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fastflow.base.durations import Time
from fastflow.base.options import check_callable, checked
from fastflow.durable.config import (
    Duration,
    JitterStrategy,
    check_each,
    check_growth,
    check_serdes,
    policy_options,
    to_seconds,
)
from fastflow.durable.exceptions import ValidationError, WaitForConditionError
from fastflow.run.retry import RetryPolicy

if TYPE_CHECKING:
    from fastflow.journal.serdes import SerDes

__all__ = [
    "WaitForConditionConfig",
    "WaitForConditionDecision",
    "WaitStrategyConfig",
    "create_wait_strategy",
]

T = TypeVar("T")


@dataclass(frozen=True)
class WaitForConditionDecision:
    """Whether to poll again, and how long to wait before."""

    should_continue: bool
    delay: Duration = field(default_factory=Duration)

    @property
    def delay_seconds(self) -> float:
        """The delay in seconds."""
        return self.delay.to_seconds()

    @classmethod
    def continue_waiting(cls, delay: Time) -> WaitForConditionDecision:
        """Poll again after a delay."""
        return cls(True, Duration(to_seconds(delay, "delay")))

    @classmethod
    def stop_polling(cls) -> WaitForConditionDecision:
        """Take the state as it is."""
        return cls(False)


@dataclass(frozen=True)
class WaitStrategyConfig(Generic[T]):
    """Poll with growing delays while the state is not right; itself a strategy.

    Parameters
    ----------
    should_continue_polling : callable
        State -> whether it is not right yet.
    max_attempts : int
        Polls, >= 1; after that many it fails.
    initial_delay, max_delay : time
    backoff_rate : float
    jitter_strategy : JitterStrategy
    """

    should_continue_polling: Callable[[T], bool]
    max_attempts: int = 60
    initial_delay: Time = field(default_factory=lambda: Duration(5))
    max_delay: Time = field(default_factory=lambda: Duration(300))
    backoff_rate: float = 1.5
    jitter_strategy: JitterStrategy = JitterStrategy.FULL

    def __post_init__(self) -> None:
        what = "WaitStrategyConfig.should_continue_polling"
        checked(ValidationError, check_callable, what, self.should_continue_polling)
        check_growth(self, "initial_delay", "max_delay")

    def __call__(self, state: T, attempts_made: int) -> WaitForConditionDecision:
        """Decide after poll number `attempts_made` (from 1)."""
        if not self.should_continue_polling(state):
            return WaitForConditionDecision.stop_polling()
        if attempts_made >= self.max_attempts:
            raise WaitForConditionError(
                f"the condition was not met within {self.max_attempts} polls"
            )
        return WaitForConditionDecision.continue_waiting(
            RetryPolicy(**policy_options(self)).delay(attempts_made)
        )


def create_wait_strategy(
    config: WaitStrategyConfig[T],
) -> Callable[[T, int], WaitForConditionDecision]:
    """Return the strategy of a configuration."""
    return config


@dataclass(frozen=True)
class WaitForConditionConfig(Generic[T]):
    """How ``wait_for_condition`` polls.

    Parameters
    ----------
    wait_strategy : callable
        ``(state, attempts_made)`` -> `WaitForConditionDecision`.
    initial_state
        Given to the first poll.
    serdes : SerDes, optional
        For the state.
    """

    wait_strategy: Callable[[T, int], WaitForConditionDecision]
    initial_state: T
    serdes: SerDes[Any] | None = None

    def __post_init__(self) -> None:
        what = "WaitForConditionConfig.wait_strategy"
        checked(ValidationError, check_callable, what, self.wait_strategy)
        check_each(check_serdes, self, "serdes")
