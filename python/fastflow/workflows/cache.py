"""Outputs of a step that are used again."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from fastflow.base.timers import Clock
from fastflow.run.cache import MISSING, Cache, Recent

__all__ = ["StepCache"]


class StepCache(Cache):
    """Outputs by key, the least recently used one dropped first; thread-safe.

    Parameters
    ----------
    key : callable
        Takes the step's ctx and returns a hashable key.
    ttl : float, optional
        Seconds after which an output is not used any more.
    size : int
        Outputs that are kept.
    """

    def __init__(
        self, key: Callable[[Any], Hashable], ttl: float | None, size: int
    ) -> None:
        super().__init__(Recent(size), ttl)
        self.key = key
        self._size = size

    def find(self, key: Hashable, clock: Clock) -> tuple[Any] | None:
        """Return the output in a tuple, or None."""
        output = self.get((key,), clock.now())
        return None if output is MISSING else (output,)

    def keep(self, key: Hashable, output: Any, clock: Clock) -> None:
        """Keep an output."""
        self.put((key,), output, clock.now())

    def empty_copy(self) -> StepCache:
        """Return a cache of the same kind."""
        return StepCache(self.key, self._ttl, self._size)
