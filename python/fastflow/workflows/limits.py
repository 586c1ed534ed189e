"""How many runs of one workflow there may be at a time, and per unit of time."""

from __future__ import annotations

import math
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from fastflow.base.durations import parse_duration
from fastflow.base.timers import Clock, Timer
from fastflow.errors import FlowError

__all__ = ["Gate", "Rate", "parse_rate"]

Rate = tuple[float, float]
"""Runs, and the seconds in which so many may start."""

_TEXT = re.compile(r"\s*([0-9]+)\s*/\s*(\S.*)")


def parse_rate(value: Any) -> Rate:
    """Return the count and the seconds of a rate limit.

    It is ``"10/s"``, ``"100/5m"``, ``(100, "5m")`` or a number per second.

    Raises
    ------
    FlowError
        If it is none of these, or not positive.
    """
    try:
        count, period = _split(value)
        seconds = parse_duration(period)
    except (TypeError, ValueError) as error:
        raise FlowError(
            f"not a rate limit: {value!r} ({error}); write for example "
            '"10/s", "100/5m" or (100, "5m")'
        ) from None
    if not (math.isfinite(count) and count > 0 and seconds > 0):
        raise FlowError(f"a rate limit must be positive and finite: {value!r}")
    return count, seconds


def _split(value: Any) -> tuple[float, Any]:
    if isinstance(value, str):
        match = _TEXT.fullmatch(value)
        if match is None:
            raise ValueError("no count and period")
        count, period = match.groups()
        return float(count), period if period[0].isdigit() else "1" + period
    if isinstance(value, tuple | list):
        count, period = value
        if isinstance(count, bool) or not isinstance(count, int | float):
            raise TypeError("the count must be a number")
        return float(count), period
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("it must be a text, a pair or a number")
    return float(value), 1.0


class Gate:
    """Lets runs in, first come first served, as concurrency and rate allow.

    The rate is a token bucket: it holds as many tokens as runs may start in one period,
    is full at first, and fills up steadily.
    """

    def __init__(
        self, concurrency: int | None, rate: Rate | None, clock: Clock
    ) -> None:
        self._concurrency = concurrency
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()
        self._inside = 0
        self._capacity = max(rate[0], 1.0) if rate else 0.0
        self._tokens = self._capacity
        self._counted_at = clock.now()
        self._timer: Timer | None = None

    def enter(self, go: Callable[[], object]) -> None:
        """Call ``go()`` once the run may start: now, or later from another thread."""
        with self._lock:
            self._waiting.append(go)
        self._admit()

    def withdraw(self, go: Callable[[], object]) -> bool:
        """Take back an ``enter``; False if ``go()`` was called already."""
        with self._lock:
            try:
                self._waiting.remove(go)
            except ValueError:
                return False
        self._admit()
        return True

    def leave(self) -> None:
        """Note that a run which was let in has ended."""
        with self._lock:
            self._inside -= 1
        self._admit()

    def _admit(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or not self._has_room():
                    return
                go = self._waiting.popleft()
                self._inside += 1
                if self._rate is not None:
                    self._tokens -= 1.0
            go()

    def _has_room(self) -> bool:
        if self._concurrency is not None and self._inside >= self._concurrency:
            return False
        if self._rate is None:
            return True
        count, seconds = self._rate
        now = self._clock.now()
        gained = (now - self._counted_at) * count / seconds
        self._tokens = min(self._capacity, self._tokens + gained)
        self._counted_at = now
        # Sums of many small gains may miss a whole token by a rounding error.
        if self._tokens >= 1.0 - 1e-9:
            return True
        if self._timer is None:
            missing = (1.0 - self._tokens) * seconds / count
            self._timer = self._clock.call_later(missing, self._refilled)
        return False

    def _refilled(self) -> None:
        with self._lock:
            self._timer = None
        self._admit()
