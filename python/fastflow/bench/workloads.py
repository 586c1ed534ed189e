"""The callables that benchmarks run, the same objects on both sides."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


def nothing() -> None:
    """Do nothing, without an argument."""


def noop(item: object) -> None:
    """Do nothing with one argument: the Python function behind every no-op figure."""


def drain(items: Iterable[object]) -> None:
    """Consume ``items`` at the speed of C, keeping nothing."""
    deque(items, maxlen=0)
