"""When to try again, and how long to wait before."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from fastflow.durations import parse_duration

__all__ = ["RetryPolicy"]

_RANDOM = random.Random()


@dataclass(frozen=True, init=False)
class RetryPolicy:
    """Capped exponential backoff with jitter.

    Parameters
    ----------
    retries : int
        Attempts after the first one, >= 0.
    delay : float or str
        Time before the first retry: seconds, or a text such as ``"500ms"``.
    backoff : float
        Each further delay is so many times the last one, >= 1.
    max_delay : float or str
        No delay is longer.
    jitter : float
        Each delay is made longer or shorter by up to this fraction of it, 0 to 1, so
        that many failed tasks don't come back at the same moment.
    retry_on : exception type or tuple of them
        Other exceptions are not retried.

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
    jitter: float
    retry_on: tuple[type[Exception], ...]

    def __init__(
        self,
        retries: int = 0,
        delay: float | str = 1.0,
        backoff: float = 2.0,
        max_delay: float | str = 60.0,
        jitter: float = 0.1,
        retry_on: type[Exception] | tuple[type[Exception], ...] = (Exception,),
    ) -> None:
        # Not the generated one: `delay` is a parameter here, and a method below.
        def keep(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        keep("retries", _count(retries))
        keep("first_delay", parse_duration(delay))
        keep("backoff", _number("backoff", backoff, 1.0, math.inf))
        keep("max_delay", parse_duration(max_delay))
        keep("jitter", _number("jitter", jitter, 0.0, 1.0))
        keep("retry_on", _exception_types(retry_on))

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
        full = min(full, self.max_delay)
        if self.jitter:
            spread = self.jitter * full
            full += (rng or _RANDOM).uniform(-spread, spread)
        return min(full, self.max_delay)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"retries must be an int, not {type(value).__name__}")
    if value < 0:
        raise ValueError(f"retries must not be negative: {value}")
    return value


def _number(name: str, value: Any, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not (least <= value <= most and math.isfinite(value)):
        limits = f"at least {least:g}" + (f", at most {most:g}" if most < 9 else "")
        raise ValueError(f"{name} must be finite and {limits}; not {value}")
    return float(value)


def _exception_types(value: Any) -> tuple[type[Exception], ...]:
    types = value if isinstance(value, tuple) else (value,)
    for entry in types:
        if not (isinstance(entry, type) and issubclass(entry, Exception)):
            raise TypeError(
                f"retry_on must be exception types (not BaseException), not {entry!r}"
            )
    return types
