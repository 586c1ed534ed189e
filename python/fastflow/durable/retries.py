"""Strategies of retries: ``(error, attempts_made)`` -> `RetryDecision`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from fastflow.durable.config import (
    ChildConfig,
    Duration,
    JitterStrategy,
    check_growth,
    policy_options,
    to_seconds,
)
from fastflow.durable.exceptions import ValidationError
from fastflow.durable.runtime.failures import is_fatal
from fastflow.errors import text_of
from fastflow.run.attempts import Attempts, Do
from fastflow.run.inline import carry_out, outcome
from fastflow.run.retry import RetryDecision as CoreDecision
from fastflow.run.retry import RetryPolicy, StrategyPolicy

__all__ = [
    "JitterStrategy",
    "LinearRetryStrategyConfig",
    "RetryDecision",
    "RetryPresets",
    "RetryStrategyConfig",
    "WithRetryConfig",
    "create_linear_retry_strategy",
    "create_retry_strategy",
    "with_retry",
]

T = TypeVar("T")
Strategy = Callable[[Exception, int], CoreDecision]
Time = Duration | float | str


@dataclass(frozen=True)
class RetryDecision(CoreDecision):
    """Whether to try again, and how long to wait before."""

    delay: Duration = field(default_factory=Duration)

    @classmethod
    def retry(cls, delay: Time = 0) -> RetryDecision:
        """Try again after a delay."""
        return cls(True, Duration(to_seconds(delay)))

    @classmethod
    def no_retry(cls) -> RetryDecision:
        """Give up."""
        return cls(False)


class _Filter:
    """Which errors are worth another attempt: all, unless some are named."""

    def __init__(self, texts: Any, types: Any) -> None:
        if isinstance(texts, str | re.Pattern) or isinstance(types, type):
            raise ValidationError(
                "retryable_errors and retryable_error_types are lists: write [...] "
                "around a single one"
            )
        self.all = texts is None and types is None
        self.texts = tuple(texts or ())
        self.types = tuple(types or ())
        for text in self.texts:
            if not isinstance(text, str | re.Pattern):
                raise ValidationError(
                    f"retryable_errors must be texts or compiled patterns, not {text!r}"
                )
        for kind in self.types:
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise ValidationError(
                    f"retryable_error_types must be exception types, not {kind!r}"
                )

    def passes(self, error: BaseException) -> bool:
        """Whether an error is one of them."""
        if self.all or isinstance(error, self.types):
            return True
        message = text_of(error)
        return any(
            text.search(message) is not None
            if isinstance(text, re.Pattern)
            else text in message
            for text in self.texts
        )


class _FilteredPolicy(RetryPolicy):
    """A policy that looks for texts in errors, too."""

    wanted: _Filter

    @classmethod
    def made_from(cls, config: Any) -> _FilteredPolicy:
        """Return the policy of a configuration."""
        policy = cls(**policy_options(config))
        wanted = _Filter(config.retryable_errors, config.retryable_error_types)
        object.__setattr__(policy, "wanted", wanted)
        return policy

    def wants(self, exception: BaseException, attempt: int) -> bool:
        """Whether attempts are left, and the error is one of those wanted."""
        return attempt <= self.retries and self.wanted.passes(exception)


class _Strategy:
    """What both configurations of strategies do: they ask their policy."""

    @functools.cached_property
    def policy(self) -> RetryPolicy:
        """The policy with these delays and filters."""
        return _FilteredPolicy.made_from(self)

    def __call__(self, error: Exception, attempts_made: int) -> RetryDecision:
        """Decide after attempt number `attempts_made` (from 1) has failed."""
        seconds = self.policy.decide(error, attempts_made)
        return (
            RetryDecision.no_retry()
            if seconds is None
            else RetryDecision.retry(seconds)
        )


@dataclass(frozen=True)
class RetryStrategyConfig(_Strategy):
    """Exponential delays; may be given wherever a strategy is wanted.

    Parameters
    ----------
    max_attempts : int
        The first one included, >= 1.
    initial_delay, max_delay : Duration, float or str
    backoff_rate : float
        Each delay is so many times the one before, >= 1.
    jitter_strategy : JitterStrategy
    retryable_errors : sequence of str or compiled patterns, optional
        Errors whose text has one of these are tried again.
    retryable_error_types : sequence of exception types, optional
        Errors of these types, too.  Default of both: all errors.
    """

    max_attempts: int = 3
    initial_delay: Time = field(default_factory=lambda: Duration(5))
    max_delay: Time = field(default_factory=lambda: Duration(300))
    backoff_rate: float = 2.0
    jitter_strategy: JitterStrategy = JitterStrategy.FULL
    retryable_errors: Sequence[str | re.Pattern[str]] | None = None
    retryable_error_types: Sequence[type[BaseException]] | None = None

    def __post_init__(self) -> None:
        check_growth(self, "initial_delay", "max_delay")
        _Filter(self.retryable_errors, self.retryable_error_types)


class StepPolicy(StrategyPolicy):
    """A strategy, for what is recorded.

    What it raises is what has failed: it may be the program's own exception, or tell of
    the surroundings, which is no outcome.
    """

    raises = True

    def seconds(self, delay: Any) -> float:
        """Return the seconds of a delay that a journal can hold."""
        return to_seconds(delay)


def create_retry_strategy(config: RetryStrategyConfig | None = None) -> Strategy:
    """Return the strategy of a configuration; by default, three attempts."""
    return config or RetryStrategyConfig()


@dataclass(frozen=True)
class LinearRetryStrategyConfig(_Strategy):
    """Delays that grow by the same step; may be given wherever a strategy is wanted.

    Parameters
    ----------
    max_attempts : int
        The first one included, >= 1.
    initial_delay, increment, max_delay : Duration, float or str
    jitter_strategy : JitterStrategy
    retryable_errors, retryable_error_types
        As for `RetryStrategyConfig`.
    """

    max_attempts: int = 6
    initial_delay: Time = field(default_factory=lambda: Duration(1))
    increment: Time = field(default_factory=lambda: Duration(1))
    max_delay: Time = field(default_factory=lambda: Duration(300))
    jitter_strategy: JitterStrategy = JitterStrategy.FULL
    retryable_errors: Sequence[str | re.Pattern[str]] | None = None
    retryable_error_types: Sequence[type[BaseException]] | None = None

    def __post_init__(self) -> None:
        check_growth(self, "initial_delay", "increment", "max_delay")
        _Filter(self.retryable_errors, self.retryable_error_types)


def create_linear_retry_strategy(
    config: LinearRetryStrategyConfig | None = None,
) -> Strategy:
    """Return the strategy of a configuration; by default, six attempts."""
    return config or LinearRetryStrategyConfig()


class RetryPresets:
    """Strategies for common cases."""

    @classmethod
    def none(cls) -> Strategy:
        """One attempt only."""
        return RetryStrategyConfig(max_attempts=1)

    @classmethod
    def default(cls) -> Strategy:
        """Six attempts, 5 s to a minute apart."""
        return RetryStrategyConfig(max_attempts=6, max_delay=Duration(60))

    @classmethod
    def transient(cls) -> Strategy:
        """Three attempts, for errors that are over soon."""
        return RetryStrategyConfig(
            max_attempts=3, backoff_rate=2, jitter_strategy=JitterStrategy.HALF
        )

    @classmethod
    def resource_availability(cls) -> Strategy:
        """Five attempts up to 5 minutes apart, for something that has to come up."""
        return RetryStrategyConfig(
            max_attempts=5, initial_delay=Duration(5), max_delay=Duration(300)
        )

    @classmethod
    def critical(cls) -> Strategy:
        """Ten attempts, 1 s to a minute apart."""
        return RetryStrategyConfig(
            max_attempts=10,
            initial_delay=Duration(1),
            max_delay=Duration(60),
            backoff_rate=1.5,
            jitter_strategy=JitterStrategy.NONE,
        )

    @classmethod
    def linear(cls) -> Strategy:
        """Six attempts, 1, 2, 3, 4 and 5 s apart."""
        return LinearRetryStrategyConfig(jitter_strategy=JitterStrategy.NONE)

    @classmethod
    def fixed(cls, interval: Time | None = None, max_attempts: int = 5) -> Strategy:
        """So many attempts, always the same time apart: 5 s unless given."""
        delay = Duration(5) if interval is None else interval
        return LinearRetryStrategyConfig(
            max_attempts=max_attempts,
            initial_delay=delay,
            increment=0,
            max_delay=delay,
            jitter_strategy=JitterStrategy.NONE,
        )


@dataclass(frozen=True)
class WithRetryConfig(Generic[T]):
    """How `with_retry` retries.

    Parameters
    ----------
    retry_strategy : callable, optional
        Default: ``RetryStrategyConfig()``.
    wrap_with_run_in_child_context : bool
        Whether the block is a child context; then a final failure is a
        `ChildContextError`.
    child_context_config : ChildConfig, optional
    """

    retry_strategy: Strategy | None = None
    wrap_with_run_in_child_context: bool = True
    child_context_config: ChildConfig[T] | None = None

    def __post_init__(self) -> None:
        if self.retry_strategy is not None and not callable(self.retry_strategy):
            raise ValidationError(
                "WithRetryConfig.retry_strategy must be callable, not "
                f"{type(self.retry_strategy).__name__}"
            )


def with_retry(
    context: Any = None,
    func: Callable[[Any, int], Any] | None = None,
    config: WithRetryConfig[Any] | None = None,
    name: str | None = None,
) -> Any:
    """Run a block of operations again, with delays, until it succeeds.

    Either ``with_retry(context, func, config=None, name=None)``, which calls
    ``func(context, attempt)`` and returns its result; or, as a decorator,
    ``@with_retry(config=None, name=None)`` of a function ``f(context, attempt, ...)``,
    which is then called without `attempt`.

    Parameters
    ----------
    context : DurableContext
    func : callable
        Its operations are numbered on from attempt to attempt.
    config : WithRetryConfig, optional
    name : str, optional
        Of the child context; the delays are called ``<name>-backoff-<attempt>``.

    Raises
    ------
    ChildContextError
        If the strategy gave up; the block's own error, if it is not a child context.
    """
    if func is not None:
        return _retry(context, func, config, name)
    if context is None or isinstance(context, WithRetryConfig):
        chosen = context or config or WithRetryConfig()
        return lambda function: _decorated(function, chosen, name)
    if callable(context) and not hasattr(context, "step"):  # @with_retry alone
        return _decorated(context, config or WithRetryConfig(), name)
    raise ValidationError(
        "with_retry(context, func) needs a function to call; as a decorator it takes a "
        f"WithRetryConfig, not {type(context).__name__}"
    )


def _decorated(
    func: Callable[..., Any], config: WithRetryConfig[Any], name: str | None
) -> Callable[..., Any]:
    @functools.wraps(func)
    def call(context: _Context, *args: Any, **kwargs: Any) -> Any:
        def body(inner: _Context, attempt: int) -> Any:
            return func(inner, attempt, *args, **kwargs)

        return _retry(context, body, config, name or getattr(func, "__name__", None))

    return call


class _Context(Protocol):
    """What a block needs of its `fastflow.durable.context.DurableContext`."""

    def wait(self, duration: Duration, name: str | None = None) -> None: ...

    def run_in_child_context(
        self,
        func: Callable[[Any], Any],
        name: str | None = None,
        config: ChildConfig[Any] | None = None,
    ) -> Any: ...


def _retry(
    context: _Context,
    func: Callable[[Any, int], Any],
    config: WithRetryConfig[Any] | None = None,
    name: str | None = None,
) -> Any:
    config = config or WithRetryConfig()
    policy = StepPolicy(config.retry_strategy or create_retry_strategy())

    def block(inner: _Context) -> Any:
        def call(attempts: Attempts) -> Do:
            ticket = attempts.live
            try:
                return attempts.returned(ticket, func(inner, attempts.count))
            except Exception as error:
                return attempts.raised(ticket, error, final=is_fatal(error))

        def rest(attempts: Attempts) -> None:
            label = f"{name}-backoff-{attempts.count}" if name else None
            inner.wait(Duration(attempts.pause), label)

        attempts = Attempts(policy)
        carry_out(attempts, attempts.start(), call, rest)
        return outcome(attempts)

    if not config.wrap_with_run_in_child_context:
        return block(context)
    return context.run_in_child_context(block, name, config.child_context_config)
