"""The callables that benchmarks run, the same objects on both sides."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable


def nothing() -> None:
    """Do nothing, without an argument."""


def noop(item: object) -> None:
    """Do nothing with one argument: the Python function behind every no-op figure."""


def count_down(steps: int) -> None:
    """Pure Python work."""
    while steps:
        steps -= 1


def steps_of(seconds: float, body: Callable[[int], object] = count_down) -> int:
    """Steps of `body` in a call that takes about so long here.

    Sought with calls of that length, as a step of a long one may take longer.
    """
    steps = 10
    tries = max(5, min(200, int(0.02 / seconds)))
    while True:
        best = 1.0
        for _ in range(tries):  # the first ones are slow: the interpreter learns
            start = time.perf_counter()
            body(steps)
            best = min(best, time.perf_counter() - start)
        if best >= 0.97 * seconds:
            return steps
        steps = max(steps + 1, int(steps * min(seconds / best, 4.0)))


def has_interpreter_lock() -> bool:
    """Whether only one thread at a time runs Python code."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def drain(items: Iterable[object]) -> None:
    """Consume ``items`` at the speed of C, keeping nothing."""
    deque(items, maxlen=0)
