"""A queue: events from any thread, handled one at a time, without a thread for it.

Whoever brings an event handles it, and whatever others bring meanwhile, unless somebody
is at it already.

Why none is left behind: an event is appended *before* its bringer tries for the
lock.  If the bringer doesn't get it, someone else holds it, and looks for events once
more after giving it back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["SerialQueue"]

E = TypeVar("E")


class SerialQueue(Generic[E]):
    """Hands events to a function, one at a time, in the order of their arrival."""

    __slots__ = ("_events", "_handle", "_lock")

    def __init__(self, handle: Callable[[E], object]) -> None:
        self._events: deque[E] = deque()
        self._lock = threading.Lock()
        self._handle = handle

    def send(self, event: E) -> None:
        """Have an event handled, now or by whoever is handling events."""
        self._events.append(event)
        while self._events and self._lock.acquire(blocking=False):
            try:
                while self._events:
                    self._handle(self._events.popleft())
            finally:
                self._lock.release()
