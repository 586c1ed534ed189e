"""Outputs of a step that are used again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from fastflow.timers import Clock

__all__ = ["StepCache"]


class StepCache:
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
        self.key = key
        self._ttl = ttl
        self._size = size
        self._lock = threading.Lock()
        self._outputs: OrderedDict[Hashable, tuple[Any, float]] = OrderedDict()

    def find(self, key: Hashable, clock: Clock) -> tuple[Any] | None:
        """Return the output in a tuple, or None."""
        with self._lock:
            entry = self._outputs.get(key)
            if entry is None:
                return None
            output, since = entry
            if self._ttl is not None and clock.now() >= since + self._ttl:
                del self._outputs[key]
                return None
            self._outputs.move_to_end(key)
            return (output,)

    def keep(self, key: Hashable, output: Any, clock: Clock) -> None:
        """Keep an output."""
        with self._lock:
            self._outputs[key] = (output, clock.now())
            self._outputs.move_to_end(key)
            if len(self._outputs) > self._size:
                self._outputs.popitem(last=False)

    def empty_copy(self) -> StepCache:
        """Return a cache of the same kind."""
        return StepCache(self.key, self._ttl, self._size)
