"""What reaches a run from outside: events by name, answers by token."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["Inbox"]

Deliver = Callable[[Any], object]


class Inbox:
    """Events and answers of a run and its sub-flows; thread-safe.

    An event is consumed by one wait.  Events that nobody waits for yet are kept, in
    order; so it does not matter whether the event or the wait comes first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[str, deque[Any]] = {}
        self._waits: dict[str, deque[Deliver]] = {}
        self._pauses: dict[str, tuple[str, Deliver]] = {}

    def emit(self, event: str, payload: Any) -> None:
        """Deliver an event to the wait that is there longest, or keep it."""
        with self._lock:
            waits = self._waits.get(event)
            if not waits:
                self._events.setdefault(event, deque()).append(payload)
                return
            deliver = waits.popleft()
        deliver(payload)

    def wait(self, event: str, deliver: Deliver) -> None:
        """Have ``deliver(payload)`` called with the next such event, maybe at once."""
        with self._lock:
            kept = self._events.get(event)
            if not kept:
                self._waits.setdefault(event, deque()).append(deliver)
                return
            payload = kept.popleft()
        deliver(payload)

    def give_up(self, event: str, deliver: Deliver) -> bool:
        """Take a wait back; False if it got its event."""
        with self._lock:
            try:
                self._waits.get(event, deque()).remove(deliver)
            except ValueError:
                return False
            return True

    def pause(self, step: str, deliver: Deliver) -> str:
        """Return a new token, with which ``deliver`` can be called once."""
        token = os.urandom(16).hex()
        with self._lock:
            self._pauses[token] = (step, deliver)
        return token

    def resume(self, token: str, value: Any) -> bool:
        """Deliver the answer for a token; False if none is expected (any more)."""
        with self._lock:
            _, deliver = self._pauses.pop(token, ("", None))
        if deliver is None:
            return False
        deliver(value)
        return True

    def end_pause(self, token: str) -> bool:
        """Take a token back; False if the answer has come."""
        with self._lock:
            return self._pauses.pop(token, None) is not None

    @property
    def pauses(self) -> dict[str, str]:
        """Names of the steps that wait for an answer, by token."""
        with self._lock:
            return {token: step for token, (step, _) in self._pauses.items()}

    @property
    def expected(self) -> list[str]:
        """What is waited for, in words."""
        with self._lock:
            events = [f"event {name!r}" for name, waits in self._waits.items() if waits]
            return events + [f"answer to {step!r}" for step, _ in self._pauses.values()]
