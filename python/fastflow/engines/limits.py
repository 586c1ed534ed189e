"""Time limits of calls that workers make themselves, many at little cost.

Calls of one task have one limit, so they come to its end in the order in which they
began: one queue and one timer serve them all.  A call whose time is over is lost: its
worker's place is lent to others until the call returns, which then finds out.

Why a call is either ended or lost: both are noted under the lock, and the first one
counts.  The place is lent under it, too, so it is lent before the call's end can take
it back; and until then the worker is inside of the call.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from fastflow import _core
from fastflow.base.timers import Clock, Timer

__all__ = ["AllLimits", "Limited", "Limits"]


class Limited:
    """A call under way.

    Attributes
    ----------
    what
        For whoever is told that it is lost.
    """

    __slots__ = ("due", "is_lost", "is_over", "place", "what")

    def __init__(self, what: Any, due: float) -> None:
        self.what = what
        self.due = due
        self.place = _core.place()
        self.is_over = self.is_lost = False


class Limits:
    """The calls of one task, in one run.

    Parameters
    ----------
    clock : Clock
    seconds : float
        That a call may take.
    lost : callable
        Called with a `Limited` whose time is over, in the thread of the timers.
    """

    def __init__(
        self, clock: Clock, seconds: float, lost: Callable[[Limited], object]
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._tell = lost
        self._lock = threading.Lock()
        self._calls: deque[Limited] = deque()
        self._timer: Timer | None = None

    def begin(self, what: Any) -> Limited:
        """Let the time of a call begin, in the thread that makes it.

        Raises
        ------
        RuntimeError
            If there can't be a thread for timers; then nothing has begun.
        """
        call = Limited(what, self._clock.now() + self._seconds)
        with self._lock:
            if self._timer is None:
                self._timer = self._clock.call_later(self._seconds, self._look)
            self._calls.append(call)
        return call

    def end(self, call: Limited) -> bool:
        """Note that a call has ended; False if it was lost before."""
        calls = self._calls
        with self._lock:
            if not call.is_lost:
                call.is_over = True
                while calls and calls[0].is_over:
                    calls.popleft()
                return True
            if call.place:
                _core.take_back(call.place)
            return False

    def close(self) -> None:
        """Forget the timer; no call is under way."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _look(self) -> None:
        """Look whose time is over."""
        over: list[Limited] = []
        with self._lock:
            now = self._clock.now()
            calls = self._calls
            while calls and (calls[0].is_over or calls[0].due <= now):
                call = calls.popleft()
                if not call.is_over:
                    call.is_lost = True
                    if call.place:
                        _core.lend(call.place)
                    over.append(call)
            self._timer = None
            if calls:
                left = max(calls[0].due - now, 0.0)
                self._timer = self._clock.call_later(left, self._look)
        for call in over:
            self._tell(call)


class AllLimits:
    """The calls of one run, by their limits; see `Limits`."""

    def __init__(self, clock: Clock, lost: Callable[[Limited], object]) -> None:
        self._clock = clock
        self._tell = lost
        self._by_seconds: dict[float, Limits] = {}

    def of(self, seconds: float | None) -> Limits | None:
        """Return those of calls that may take so long; None: there is no limit."""
        if seconds is None:
            return None
        limits = self._by_seconds.get(seconds)
        if limits is None:
            made = Limits(self._clock, seconds, self._tell)
            limits = self._by_seconds.setdefault(seconds, made)  # one, for all threads
        return limits

    def close(self) -> None:
        """Forget all timers; no call is under way."""
        for limits in self._by_seconds.values():
            limits.close()
