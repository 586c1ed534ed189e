"""When to try again, and how long to wait before.

A *strategy* is any callable ``(error, attempt)`` -> `RetryDecision`; a `RetryPolicy` is
one, and makes one of whatever is given as ``retries=`` or ``retry_strategy=``.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from fastflow.base.durations import Time, parse_duration, seconds_of
from fastflow.base.options import check_count
from fastflow.errors import add_note, shown

__all__ = ["Retries", "RetryDecision", "RetryPolicy", "StrategyPolicy", "spread"]

_RANDOM = random.Random()


@dataclass(frozen=True)
class RetryDecision:
    """Whether to try again, and how long to wait before.

    Examples
    --------
    >>> RetryDecision.retry("500ms").delay_seconds
    0.5
    """

    should_retry: bool
    delay: Any = 0.0
    """Seconds, or something else that is a duration."""

    @property
    def delay_seconds(self) -> float:
        """The delay in seconds."""
        return parse_duration(self.delay)

    @classmethod
    def retry(cls, delay: Any = 0.0) -> RetryDecision:
        """Try again after a delay."""
        return cls(True, seconds_of("delay", delay))

    @classmethod
    def no_retry(cls) -> RetryDecision:
        """Give up."""
        return cls(False)


def spread(
    seconds: float, jitter: float | str, rng: random.Random | None = None
) -> float:
    """Return a delay for one of so many seconds; for `jitter` see `RetryPolicy`."""
    if not jitter:
        return seconds
    rng = rng or _RANDOM
    if jitter == "full":
        return rng.uniform(0.0, seconds)
    if jitter == "half":
        return rng.uniform(seconds / 2, seconds)
    assert isinstance(jitter, float)
    return seconds + rng.uniform(-jitter * seconds, jitter * seconds)


@dataclass(frozen=True, init=False)
class RetryPolicy:
    """Growing delays, up to a longest one, with jitter; itself a strategy.

    Parameters
    ----------
    retries : int
        Attempts after the first one, >= 0.
    delay : time
        Before the first retry: seconds, a text such as ``"500ms"``, or a timedelta.
    backoff : float
        Each further delay is so many times the last one, >= 1.
    max_delay : time
        No delay is longer.
    jitter : float or {"full", "half"}
        Each delay is made longer or shorter by up to this fraction of it, 0 to 1, so
        that many failed tasks don't come back at the same moment. "full": it is
        anything from nothing to the whole delay; "half": from half of it.
    retry_on : exception type or tuple of them
        Other exceptions are not retried.
    increment : time
        Each further delay is longer by this, too; with ``backoff=1`` delays grow
        linearly.

    Raises
    ------
    ValueError, TypeError
        If a value is out of range or of the wrong type.

    Examples
    --------
    >>> policy = RetryPolicy(retries=3, delay=1, jitter=0)
    >>> [policy.delay(attempt) for attempt in (1, 2, 3)]
    [1.0, 2.0, 4.0]
    """

    retries: int
    first_delay: float
    backoff: float
    max_delay: float
    jitter: float | str
    retry_on: tuple[type[Exception], ...]
    increment: float

    def __init__(
        self,
        retries: int = 0,
        delay: Time = 1.0,
        *,
        backoff: float = 2.0,
        max_delay: Time = 60.0,
        jitter: float | str = 0.1,
        retry_on: type[Exception] | tuple[type[Exception], ...] = (Exception,),
        increment: Time = 0.0,
    ) -> None:
        # Not the generated one: `delay` is a parameter here, and a method below.
        def keep(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        keep("retries", check_count("retries", retries, 0))
        keep("first_delay", seconds_of("delay", delay))
        keep("backoff", _number("backoff", backoff, 1.0, math.inf))
        keep("max_delay", seconds_of("max_delay", max_delay))
        keep("jitter", _jitter(jitter))
        keep("retry_on", _exception_types(retry_on))
        keep("increment", seconds_of("increment", increment))

    @classmethod
    def of(cls, retries: Any, **options: Any) -> RetryPolicy:
        """Return the policy that an option ``retries=`` means.

        Parameters
        ----------
        retries : int, RetryPolicy or strategy
        options
            Those of a policy, which belong to a number of retries; ``retry_delay`` is
            another name of ``delay``.

        Raises
        ------
        ValueError, TypeError
            If a value is out of range or of the wrong type, or an option is given
            where it would have no meaning.
        """
        if "retry_delay" in options:
            options["delay"] = seconds_of("retry_delay", options.pop("retry_delay"))
        if not callable(retries):
            return RetryPolicy(retries, **options)
        if RetryPolicy(**options) != RetryPolicy():
            raise TypeError(
                "options of retries (delay, backoff, ...) belong to a number of "
                f"retries; this {type(retries).__name__} has its own"
            )
        return retries if isinstance(retries, RetryPolicy) else StrategyPolicy(retries)

    def changed(
        self,
        retries: int | None = None,
        delay: float | None = None,
        backoff: float | None = None,
    ) -> RetryPolicy:
        """Return the policy with other values, where they are given."""
        return RetryPolicy(
            self.retries if retries is None else retries,
            delay=self.first_delay if delay is None else delay,
            backoff=self.backoff if backoff is None else backoff,
            max_delay=max(self.max_delay, delay or 0.0),
            jitter=self.jitter,
            retry_on=self.retry_on,
            increment=self.increment,
        )

    def __call__(self, error: BaseException, attempt: int) -> RetryDecision:
        """Decide after attempt number `attempt` (from 1) has failed."""
        seconds = self.decide(error, attempt)
        return RetryDecision(False) if seconds is None else RetryDecision(True, seconds)

    def decide(self, error: BaseException, attempt: int) -> float | None:
        """Return the seconds to wait before trying again; None: don't.

        Parameters
        ----------
        error : BaseException
            What attempt number `attempt` (from 1) has raised.
        """
        return self.delay(attempt) if self.wants(error, attempt) else None

    def wants(self, exception: BaseException, attempt: int) -> bool:
        """Whether to try again after attempt number `attempt` (from 1) has failed."""
        return attempt <= self.retries and isinstance(exception, self.retry_on)

    def delay(self, attempt: int, rng: random.Random | None = None) -> float:
        """Return the seconds to wait after attempt number `attempt` (from 1) failed."""
        if attempt < 1:
            raise ValueError(f"attempts are counted from 1, not {attempt}")
        try:
            full = self.first_delay * self.backoff ** (attempt - 1)
        except OverflowError:
            full = math.inf if self.first_delay else 0.0
        full = min(full + self.increment * (attempt - 1), self.max_delay)
        return min(spread(full, self.jitter, rng), self.max_delay)


class _Last(threading.local):
    """What a strategy has said last, in this thread."""

    seconds = 0.0


@dataclass(frozen=True, init=False)
class StrategyPolicy(RetryPolicy):
    """What a strategy of the user's says, as a policy.

    One that raises gives up; the error that it was asked about gets a note of it.
    """

    strategy: Callable[[Exception, int], Any]

    raises: ClassVar[bool] = False
    """Whether what the strategy raises is raised: then the call fails with that."""

    def __init__(self, strategy: Callable[[Exception, int], Any]) -> None:
        super().__init__(_ENDLESS)
        object.__setattr__(self, "strategy", strategy)

    def changed(
        self,
        retries: int | None = None,
        delay: float | None = None,
        backoff: float | None = None,
    ) -> RetryPolicy:
        """Return a policy in place of the strategy; it needs a number of retries.

        Raises
        ------
        TypeError
            If there is none.
        """
        if retries is None:
            raise TypeError(
                "the task has a retry strategy, which says how long delays are; give "
                "'retries', too, to replace it"
            )
        return RetryPolicy().changed(retries, delay, backoff)

    def decide(self, error: BaseException, attempt: int) -> float | None:
        """Ask the strategy."""
        if not isinstance(error, Exception):
            return None
        try:
            decision = self.strategy(error, attempt)
            if decision is None or not decision.should_retry:
                return None
            return self.seconds(decision.delay)
        except Exception as raised:
            if self.raises:
                raise
            add_note(
                error, f"not tried again: its retry strategy raised {shown(raised)}"
            )
            return None

    def seconds(self, delay: Any) -> float:
        """Return the seconds of a delay; raise if it is none."""
        return parse_duration(delay)

    def wants(self, exception: BaseException, attempt: int) -> bool:
        """Ask the strategy; `delay`, called next in this thread, says what it said."""
        seconds = self.decide(exception, attempt)
        if seconds is not None:
            _last.seconds = seconds
        return seconds is not None

    def delay(self, attempt: int, rng: random.Random | None = None) -> float:  # noqa: ARG002
        """Return what the strategy has said when `wants` asked it."""
        return _last.seconds


_last = _Last()
_ENDLESS = 2**31


def _number(name: str, value: Any, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not (least <= value <= most and math.isfinite(value)):
        limits = f"at least {least:g}" + (f", at most {most:g}" if most < 9 else "")
        raise ValueError(f"{name} must be finite and {limits}; not {value}")
    return float(value)


def _jitter(value: Any) -> float | str:
    if not isinstance(value, str):
        return _number("jitter", value, 0.0, 1.0)
    if value not in ("full", "half"):
        raise ValueError(
            f"jitter must be a number from 0 to 1, 'full' or 'half'; not {value!r}"
        )
    return value


def _exception_types(value: Any) -> tuple[type[Exception], ...]:
    types = value if isinstance(value, tuple) else (value,)
    for entry in types:
        if not (isinstance(entry, type) and issubclass(entry, Exception)):
            raise TypeError(
                f"retry_on must be exception types (not BaseException), not {entry!r}"
            )
    return types


Retries = int | RetryPolicy | Callable[[Exception, int], RetryDecision]
"""What ``retries=`` takes."""
