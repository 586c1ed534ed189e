"""Calls at a later time, all from one thread: nobody sleeps for a delay.

``call_later`` is the whole of it.  Code whose waiting tests want to control takes a
`Clock` as a parameter, for which a test gives a `VirtualClock`.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from fastflow.base import lifetime

__all__ = [
    "Clock",
    "SystemClock",
    "Timer",
    "VirtualClock",
    "call_later",
    "system_clock",
]

_LOGGER = logging.getLogger("fastflow")


class Timer:
    """A call that is due at some time; what ``call_later`` returns."""

    __slots__ = ("_args", "_cancelled", "_fn", "_queue", "when")

    def __init__(
        self,
        queue: _Queue,
        when: float,
        fn: Callable[..., object],
        args: tuple[Any, ...],
    ) -> None:
        self.when = when
        self._queue = queue
        self._fn: Callable[..., object] | None = fn
        self._args = args
        self._cancelled = False

    def cancel(self) -> bool:
        """Prevent the call; True if that succeeded, False if it was made already."""
        return self._queue.cancel(self)

    @property
    def cancelled(self) -> bool:
        """Whether the call was cancelled before it was made."""
        return self._cancelled


class _Queue:
    """Timers by due time; those of the same time in the order of their making."""

    def __init__(self) -> None:
        # Reentrant: a signal handler or a finalizer may set a timer at any point.  The
        # heap itself stays consistent, as its tuples compare without running Python.
        self.lock = threading.RLock()
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._dead = 0

    def push(self, timer: Timer) -> bool:
        """Add a timer; whether it is the next one now."""
        with self.lock:
            heapq.heappush(self._heap, (timer.when, next(self._numbers), timer))
            return self._heap[0][2] is timer

    def cancel(self, timer: Timer) -> bool:
        with self.lock:
            if timer._fn is None:
                return timer._cancelled
            timer._fn, timer._args = None, ()  # free what the call refers to
            timer._cancelled = True
            self._dead += 1
            if self._dead > 64 and self._dead > len(self._heap) // 2:
                self._heap = [entry for entry in self._heap if entry[2]._fn]
                heapq.heapify(self._heap)
                self._dead = 0
            return True

    @property
    def pending(self) -> int:
        """How many calls are still to be made."""
        with self.lock:
            return len(self._heap) - self._dead

    def next_due(self) -> float | None:
        """Time of the next call, or None."""
        with self.lock:
            while self._heap and self._heap[0][2]._fn is None:
                heapq.heappop(self._heap)
                self._dead -= 1
            return self._heap[0][0] if self._heap else None

    def next_look(self) -> float | None:
        """Time of the next timer, cancelled or not, or None.

        Whoever sleeps until then need not be woken for a later one: so a thousand calls
        one after another, each with a limit that is cancelled, wake nobody.
        """
        with self.lock:
            return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> Callable[[], object] | None:
        """Remove the next call and return it, if it is due."""
        with self.lock:
            while self._heap and self._heap[0][0] <= now:
                timer = heapq.heappop(self._heap)[2]
                fn, args = timer._fn, timer._args
                if fn is None:
                    self._dead -= 1
                    continue
                timer._fn, timer._args = None, ()
                return functools.partial(fn, *args)
            return None


class Clock(Protocol):
    """Tells the time and makes calls later."""

    def now(self) -> float:
        """Return the time in seconds, from an arbitrary start; never goes back."""

    def call_later(
        self, seconds: float, fn: Callable[..., object], /, *args: Any
    ) -> Timer:
        """Call ``fn(*args)`` once `seconds` have passed."""


class SystemClock:
    """The monotonic clock, and one daemon thread for all timers.

    The thread starts with the first timer.  A forked child begins without timers.
    """

    def __init__(self) -> None:
        self._start_over()

    def _start_over(self) -> None:
        self._queue = _Queue()
        self._changed = threading.Condition(self._queue.lock)
        self._thread: threading.Thread | None = None

    def now(self) -> float:
        """Return ``time.monotonic()``."""
        return time.monotonic()

    def call_later(
        self, seconds: float, fn: Callable[..., object], /, *args: Any
    ) -> Timer:
        """Call ``fn(*args)`` on the timer thread once `seconds` have passed.

        The call must be quick, as all others wait for it.  What it raises is logged.
        """
        timer = Timer(self._queue, time.monotonic() + seconds, fn, args)
        with self._changed:
            if self._thread is None:
                self._start()  # first: without a thread there is no timer
            if self._queue.push(timer):
                self._changed.notify()
        return timer

    def start(self) -> None:
        """Start the thread now; else the first timer does."""
        with self._changed:
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        thread = threading.Thread(
            target=self._serve, name="fastflow-timers", daemon=True
        )
        self._thread = thread
        try:
            thread.start()
        except BaseException:
            self._thread = None
            raise

    def _serve(self) -> None:
        while True:
            with self._changed:
                call = self._queue.take(time.monotonic())
                if call is None:
                    due = self._queue.next_look()
                    left = None if due is None else max(due - time.monotonic(), 0.0)
                    # Longer waits than this overflow in the lock's own clock.
                    self._changed.wait(None if left is None else min(left, 1e6))
                    continue
            _run(call)
            del call


class VirtualClock:
    """A clock for tests: time passes only when ``advance`` says so.

    Examples
    --------
    >>> clock = VirtualClock()
    >>> timer = clock.call_later(3600, print, "an hour later")
    >>> clock.advance(3600)
    an hour later
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._queue = _Queue()
        self._set = threading.Condition()

    def now(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def call_later(
        self, seconds: float, fn: Callable[..., object], /, *args: Any
    ) -> Timer:
        """Call ``fn(*args)`` in the ``advance`` that reaches its time."""
        timer = Timer(self._queue, self._now + seconds, fn, args)
        with self._set:
            self._queue.push(timer)
            self._set.notify_all()
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass: make the calls that come due, in order, in this thread."""
        end = self._now + seconds
        while True:
            due = self._queue.next_due()
            if due is None or due > end:
                break
            self._now = max(self._now, due)
            call = self._queue.take(due)
            if call is not None:
                _run(call)
        self._now = max(self._now, end)

    def advance_to_next(self) -> bool:
        """Let time pass up to the next call and make it; False if there is none."""
        due = self._queue.next_due()
        if due is None:
            return False
        self.advance(max(due - self._now, 0.0))
        return True

    @property
    def pending(self) -> int:
        """How many calls are still to be made."""
        return self._queue.pending

    def wait_for_timer(self, timeout: float | None = None, count: int = 1) -> bool:
        """Block until `count` timers are set (True), for real `timeout` seconds.

        So a test need not guess when the code under test has come to its wait.
        """
        with self._set:
            return self._set.wait_for(lambda: self._queue.pending >= count, timeout)


def _run(call: Callable[[], object]) -> None:
    try:
        call()
    except BaseException:
        _LOGGER.exception("exception in a timer's call")


system_clock = SystemClock()


def call_later(seconds: float, fn: Callable[..., object], /, *args: Any) -> Timer:
    """Call ``fn(*args)`` on the timer thread once `seconds` have passed.

    The call must be quick, as all others wait for it.  What it raises is logged.
    """
    return system_clock.call_later(seconds, fn, *args)


def _after_fork_in_child() -> None:
    # Whoever held the lock is not here to release it.
    system_clock._queue.lock = threading.RLock()
    system_clock._start_over()


lifetime.in_forked_child(lifetime.TIMERS, _after_fork_in_child)
