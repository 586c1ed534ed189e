"""Configurations of operations; all frozen, all checked when they are made."""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fastflow.base.durations import Time, seconds_of
from fastflow.base.options import check_callable, check_count, checked
from fastflow.durable.completion import (
    BatchItemStatus,
    CompletionDecision,
    CompletionItemStatus,
    CompletionOutcome,
    CompletionStatus,
    complete_batch,
    continue_batch,
)
from fastflow.durable.exceptions import ValidationError
from fastflow.errors import described
from fastflow.run.retry import spread

if TYPE_CHECKING:
    from fastflow.journal.serdes import SerDes

__all__ = [
    "BatchItemStatus",
    "CallbackConfig",
    "ChildConfig",
    "CompletionConfig",
    "CompletionDecision",
    "CompletionItemStatus",
    "CompletionOutcome",
    "CompletionStatus",
    "Duration",
    "InvokeConfig",
    "ItemBatcher",
    "JitterStrategy",
    "MapConfig",
    "NestingType",
    "ParallelBranch",
    "ParallelConfig",
    "StepConfig",
    "StepSemantics",
    "WaitForCallbackConfig",
    "complete_batch",
    "continue_batch",
    "to_seconds",
]

T = TypeVar("T")
_LONGEST = 10_000 * 366 * 86_400.0  # seconds

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Duration:
    """A length of time, in seconds; fractions are welcome.

    Examples
    --------
    >>> Duration.from_minutes(1.5).to_seconds()
    90.0
    """

    seconds: float = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", _amount(self.seconds))

    def to_seconds(self) -> float:
        """Return the seconds."""
        return self.seconds

    @classmethod
    def from_seconds(cls, value: float) -> Duration:
        """Return so many seconds."""
        return cls(value)

    @classmethod
    def from_minutes(cls, value: float) -> Duration:
        """Return so many minutes."""
        return cls(_amount(value) * 60)

    @classmethod
    def from_hours(cls, value: float) -> Duration:
        """Return so many hours."""
        return cls(_amount(value) * 3600)

    @classmethod
    def from_days(cls, value: float) -> Duration:
        """Return so many days."""
        return cls(_amount(value) * 86400)


def _amount(value: Any) -> float:
    """Return a number of some unit, if it is one."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise ValidationError(
            f"a Duration is made of a number, not of {described(value)}; texts such as "
            "'30s' can be given instead of a Duration"
        )
    seconds = _seconds_of("Duration", value)
    return value if type(value) is int else seconds


def _seconds_of(what: str, value: Any) -> float:
    if isinstance(value, Duration):
        return value.seconds
    seconds = checked(ValidationError, seconds_of, what, value)
    if seconds > _LONGEST:
        # A journal's times are microseconds in 64 bits.
        raise ValidationError(f"{what}: {seconds:g} s is more than 10,000 years")
    return seconds


def to_seconds(value: Time | None, what: str = "duration") -> float:
    """Return the seconds of a `Duration`, number, text or timedelta.

    Raises
    ------
    ValidationError
        If it is none of these, negative, not finite, or more than 10,000 years.
    """
    return _seconds_of(what, value)


class JitterStrategy(StrEnum):
    """How delays are spread, so that many failures don't come back at once."""

    NONE = "NONE"
    FULL = "FULL"
    """Anything from nothing to the whole delay."""
    HALF = "HALF"
    """Anything from half of the delay to the whole."""

    def apply_jitter(self, delay: float) -> float:
        """Return a delay, in seconds, for one of `delay`."""
        return spread(delay, self.jitter)

    @property
    def jitter(self) -> float | str:
        """What a `RetryPolicy` calls it."""
        return 0.0 if self is JitterStrategy.NONE else self.value.lower()


class NestingType(Enum):
    """Whether each branch of a batch is recorded."""

    NESTED = "NESTED"
    FLAT = "FLAT"
    """Only the branches' operations are, and the batch: fewer records, and branches
    that had ended run again (without their steps) if a crash comes before the end."""


class StepSemantics(Enum):
    """What may happen to an attempt that a crash interrupts."""

    AT_MOST_ONCE_PER_RETRY = "AT_MOST_ONCE_PER_RETRY"
    """It counts as failed, with `StepInterruptedError`."""
    AT_LEAST_ONCE_PER_RETRY = "AT_LEAST_ONCE_PER_RETRY"
    """It is made again."""


Check = Callable[[str, Any], object]
"""``check(what, value)`` raises if a value is no good."""

_LETTERS = frozenset(string.ascii_letters + string.digits + "-_")


def _check_subtype(config: Any) -> None:
    value = config.sub_type
    if value is None or value == "":
        return
    if (
        not isinstance(value, str)
        or len(value) > 32
        or not frozenset(value) <= _LETTERS
    ):
        raise ValidationError(
            "sub_type must be 1 to 32 letters, digits, hyphens and underscores, not "
            f"{described(value)}"
        )
    object.__setattr__(config, "sub_type", str.__str__(value))  # no subclass


def check_each(check: Check, config: object, *names: str) -> None:
    """Check some fields of a configuration that are not None."""
    for name in names:
        value = getattr(config, name)
        if value is not None:
            checked(ValidationError, check, f"{type(config).__name__}.{name}", value)


def check_serdes(what: str, serdes: Any) -> None:
    """Raise unless it is a serdes."""
    if not (hasattr(serdes, "serialize") and hasattr(serdes, "deserialize")):
        raise ValidationError(
            f"{what} must be a SerDes, with serialize() and deserialize(); not "
            f"{type(serdes).__name__}"
        )


def _check_count(config: object, name: str, least: int) -> None:
    value = getattr(config, name)
    if value is not None:
        what = f"{type(config).__name__}.{name}"
        count = checked(ValidationError, check_count, what, value, least)
        object.__setattr__(config, name, count)


def check_growth(config: Any, *times: str) -> None:
    """Check what strategies of retries and of waits have in common.

    Parameters
    ----------
    config
        With ``max_attempts`` and ``jitter_strategy``, and maybe a ``backoff_rate``.
    times : str
        Names of its times.
    """
    _check_count(config, "max_attempts", 1)
    if config.max_attempts is None:
        raise ValidationError(f"{type(config).__name__}.max_attempts can't be None")
    for name in times:  # None is none of these
        _seconds_of(f"{type(config).__name__}.{name}", getattr(config, name))
    _check_type(config, "jitter_strategy", JitterStrategy)
    rate = getattr(config, "backoff_rate", 1)
    if (
        isinstance(rate, bool)
        or not isinstance(rate, int | float)
        or not 1 <= rate < math.inf
    ):
        raise ValidationError(
            f"{type(config).__name__}.backoff_rate must be a number of at least 1, not "
            f"{described(rate)}"
        )


def policy_options(config: Any) -> dict[str, Any]:
    """Return the options of the `RetryPolicy` with the delays of a strategy."""
    return {
        "retries": config.max_attempts - 1,
        "delay": config.initial_delay,
        "backoff": getattr(config, "backoff_rate", 1.0),
        "max_delay": config.max_delay,
        "jitter": config.jitter_strategy.jitter,
        "increment": getattr(config, "increment", 0.0),
    }


def _check_type(config: object, name: str, kind: type) -> None:
    value = getattr(config, name)
    if not isinstance(value, kind):
        raise ValidationError(
            f"{type(config).__name__}.{name} must be a {kind.__name__}, not "
            f"{described(value)}"
        )


@dataclass(frozen=True)
class StepConfig:
    """How a step is made.

    Parameters
    ----------
    retry_strategy : callable, optional
        ``(error, attempts_made)`` -> `RetryDecision`, as `RetryStrategyConfig` and
        ``fastflow.RetryPolicy`` are.
        None: no retries, unless the runner has a default.
    step_semantics : StepSemantics
    serdes : SerDes, optional
        For the result.
    timeout : time, optional
        For each attempt.  One that takes longer fails with ``TaskTimeout``; on a
        thread it runs on, and its result is dropped.
    sub_type : str, optional
        A label in place of "Step" for histories.
    """

    retry_strategy: Callable[[Exception, int], Any] | None = None
    step_semantics: StepSemantics = StepSemantics.AT_LEAST_ONCE_PER_RETRY
    serdes: SerDes[Any] | None = None
    timeout: Time | None = None
    sub_type: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_each(check_callable, self, "retry_strategy")
        _check_type(self, "step_semantics", StepSemantics)
        check_each(check_serdes, self, "serdes")
        check_each(_seconds_of, self, "timeout")
        _check_subtype(self)


@dataclass(frozen=True)
class CompletionConfig:
    """When a batch is complete, and when too much has failed.

    Parameters
    ----------
    min_successful : int, optional
        So many successes are enough, >= 1.
    tolerated_failure_count : int, optional
        More failures end the batch.
    tolerated_failure_percentage : float, optional
        A higher share of all branches ends the batch, 0 to 100.
    should_complete : callable, optional
        Decides instead of all these: gets a `CompletionStatus`, returns
        ``continue_batch()`` or ``complete_batch(outcome)``.  It must be deterministic,
        and must not go back on a decision when more branches end.

    Notes
    -----
    Without any of them, one failure ends the batch.
    """

    min_successful: int | None = None
    tolerated_failure_count: int | None = None
    tolerated_failure_percentage: float | None = None
    should_complete: Callable[[CompletionStatus], CompletionDecision] | None = None

    def __post_init__(self) -> None:
        _check_count(self, "min_successful", 1)
        _check_count(self, "tolerated_failure_count", 0)
        share = self.tolerated_failure_percentage
        if share is not None and (
            isinstance(share, bool)
            or not isinstance(share, int | float)
            or not 0 <= share <= 100
        ):
            raise ValidationError(
                "CompletionConfig.tolerated_failure_percentage must be a number from 0 "
                f"to 100, not {described(share)}"
            )
        check_each(check_callable, self, "should_complete")
        others = (
            self.min_successful,
            self.tolerated_failure_count,
            self.tolerated_failure_percentage,
        )
        if self.should_complete is not None and others != (None, None, None):
            raise ValidationError(
                "CompletionConfig.should_complete decides alone; leave the others out"
            )

    def validate_for_total(self, total: int) -> None:
        """Raise ValidationError if `total` branches can't meet it."""
        if self.min_successful is not None and self.min_successful > total:
            raise ValidationError(
                f"min_successful is {described(self.min_successful)}, but there are "
                f"only {total} branches"
            )

    @staticmethod
    def first_successful() -> CompletionConfig:
        """One success is enough; failures don't matter."""
        return CompletionConfig(min_successful=1)

    @staticmethod
    def all_completed() -> CompletionConfig:
        """All branches run, whatever becomes of them."""
        return CompletionConfig(tolerated_failure_percentage=100)

    @staticmethod
    def all_successful() -> CompletionConfig:
        """The first failure ends the batch."""
        return CompletionConfig(
            tolerated_failure_count=0, tolerated_failure_percentage=0
        )


@dataclass(frozen=True)
class ParallelConfig:
    """How ``parallel`` runs.

    Parameters
    ----------
    max_concurrency : int, optional
        Branches in flight, waiting ones included, >= 1.  Default: no limit; how many
        run at the same moment is then up to the executor.
    completion_config : CompletionConfig
    serdes : SerDes, optional
        For the whole `BatchResult`.
    item_serdes : SerDes, optional
        For the branches' results.
    summary_generator : callable, optional
        Taken for compatibility and never called: results of any size are kept whole.
    nesting_type : NestingType
    timeout : time, optional
        For the batch: branches in flight then count as failed with ``TaskTimeout``,
        and no more are begun.
    """

    max_concurrency: int | None = None
    completion_config: CompletionConfig = field(
        default_factory=CompletionConfig.all_successful
    )
    serdes: SerDes[Any] | None = None
    item_serdes: SerDes[Any] | None = None
    summary_generator: Callable[[Any], str] | None = None
    nesting_type: NestingType = NestingType.NESTED
    timeout: Time | None = None

    def __post_init__(self) -> None:
        _check_count(self, "max_concurrency", 1)
        _check_type(self, "completion_config", CompletionConfig)
        check_each(check_serdes, self, "serdes", "item_serdes")
        check_each(check_callable, self, "summary_generator")
        _check_type(self, "nesting_type", NestingType)
        check_each(_seconds_of, self, "timeout")


@dataclass(frozen=True)
class ItemBatcher:
    """Lets ``map`` call its function with lists of items, not with single ones.

    Parameters
    ----------
    max_items_per_batch : int
        0: single items.
    """

    max_items_per_batch: int = 0

    def __post_init__(self) -> None:
        _check_count(self, "max_items_per_batch", 0)


@dataclass(frozen=True)
class MapConfig(ParallelConfig, Generic[T]):
    """How ``map`` runs: as for `ParallelConfig`, and with these.

    Parameters
    ----------
    item_namer : callable, optional
        ``(item, index)`` -> name of the branch.  Must be deterministic.
    item_batcher : ItemBatcher, optional
    """

    item_namer: Callable[[T, int], str] | None = None
    item_batcher: ItemBatcher | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_each(check_callable, self, "item_namer")
        if self.item_batcher is not None:
            _check_type(self, "item_batcher", ItemBatcher)


@dataclass(frozen=True)
class ParallelBranch(Generic[T]):
    """A function with a name for ``parallel``; the name is for people only."""

    func: Callable[..., T]
    name: str | None = None

    def __post_init__(self) -> None:
        checked(ValidationError, check_callable, "ParallelBranch.func", self.func)
        if self.name is not None:
            _check_type(self, "name", str)

    def __call__(self, *args: Any, **kwargs: Any) -> T:
        """Call the function."""
        return self.func(*args, **kwargs)


@dataclass(frozen=True)
class ChildConfig(Generic[T]):
    """How a child context is kept.

    Parameters
    ----------
    serdes : SerDes, optional
        For its result.
    sub_type : str, optional
        A label in place of "RunInChildContext" for histories.
    summary_generator : callable, optional
        Taken for compatibility and never called.
    is_virtual : bool
        Record the operations in it, but not the context itself.
    """

    serdes: SerDes[T] | None = None
    sub_type: str | None = None
    summary_generator: Callable[[T], str] | None = None
    is_virtual: bool = False

    def __post_init__(self) -> None:
        check_each(check_serdes, self, "serdes")
        _check_subtype(self)
        check_each(check_callable, self, "summary_generator")
        _check_type(self, "is_virtual", bool)


@dataclass(frozen=True)
class CallbackConfig:
    """How a callback is waited for.

    Parameters
    ----------
    timeout : time
        For the result, from the callback's making; zero: no limit.
    heartbeat_timeout : time
        For the next sign of life; zero: no limit.
    serdes : SerDes, optional
        ``deserialize`` is called with what was sent.
    sub_type : str, optional
        A label in place of "Callback" for histories.
    """

    timeout: Time = field(default_factory=Duration)
    heartbeat_timeout: Time = field(default_factory=Duration)
    serdes: SerDes[Any] | None = None
    sub_type: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_each(_seconds_of, self, "timeout", "heartbeat_timeout")
        check_each(check_serdes, self, "serdes")
        _check_subtype(self)

    @property
    def timeout_seconds(self) -> float:
        """The time limit in seconds; 0: none."""
        return to_seconds(self.timeout or 0)

    @property
    def heartbeat_timeout_seconds(self) -> float:
        """The time limit between signs of life in seconds; 0: none."""
        return to_seconds(self.heartbeat_timeout or 0)


@dataclass(frozen=True)
class WaitForCallbackConfig(CallbackConfig):
    """How ``wait_for_callback`` waits: as for `CallbackConfig`, and with this.

    Parameters
    ----------
    retry_strategy : callable, optional
        Of the step that submits the callback's id.
    """

    retry_strategy: Callable[[Exception, int], Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_each(check_callable, self, "retry_strategy")


@dataclass(frozen=True)
class InvokeConfig(Generic[P, R]):
    """How another function is invoked.

    Parameters
    ----------
    timeout : time, optional
        For its result; the other execution goes on when it is over.
    """

    timeout: Time | None = None

    def __post_init__(self) -> None:
        check_each(_seconds_of, self, "timeout")
