"""The callables that benchmarks run, the same objects on both sides."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable


def nothing() -> None:
    """Do nothing, without an argument."""


def noop(item: object) -> None:
    """Do nothing with one argument: the Python function behind every no-op figure."""


def count_down(steps: int) -> None:
    """Pure Python work."""
    while steps:
        steps -= 1


def steps_of(seconds: float) -> int:
    """Steps of `count_down` in a call that takes about so long here."""
    steps = 10
    while True:
        best = 1.0
        for _ in range(200):  # the first ones are slow: the interpreter learns
            start = time.perf_counter()
            count_down(steps)
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
