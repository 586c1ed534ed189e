"""Values that runs share: ``ctx.state`` and ``ctx.global_state``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

from fastflow.base.durations import Time, limit_of
from fastflow.base.timers import Clock, system_clock

__all__ = ["State", "global_state"]

_SWEEP = 256  # writes, at least, between two looks for expired values


class State:
    """A dictionary in memory with atomic operations and expiry; thread-safe.

    Values are kept by reference.
    """

    def __init__(self, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()  # fn in update() may use the state, too
        self._values: dict[Hashable, tuple[Any, float | None]] = {}
        self._writes_left = _SWEEP

    def get(self, key: Hashable, default: Any = None) -> Any:
        """Return the value, or `default` if there is none or it has expired."""
        with self._lock:
            return self._live(key, default)

    def set(self, key: Hashable, value: Any, ttl: Time | None = None) -> None:
        """Store a value; after `ttl` (seconds, or a text such as ``"5m"``) it is gone.

        Without `ttl` it stays, also if the old value would have expired.
        """
        seconds = limit_of("ttl", ttl)
        with self._lock:
            self._store(key, value, self._expiry(seconds))

    def incr(self, key: Hashable, by: float = 1, ttl: Time | None = None) -> Any:
        """Add to a number and return the sum; a missing one counts as 0.

        `ttl` is for a number that is made by this; an existing one keeps its own.
        """
        seconds = limit_of("ttl", ttl)
        with self._lock:
            missing = object()
            value = self._live(key, missing)
            if value is missing:
                value, expiry = 0, self._expiry(seconds)
            else:
                expiry = self._values[key][1]
            value = value + by
            self._store(key, value, expiry)
            return value

    def update(
        self, key: Hashable, fn: Callable[[Any], Any], default: Any = None
    ) -> Any:
        """Replace the value by ``fn(value)`` and return that; nobody comes between.

        An existing value keeps its expiry.
        """
        with self._lock:
            old = self._live(key, default)
            expiry = self._values[key][1] if key in self._values else None
            value = fn(old)
            self._store(key, value, expiry)
            return value

    def delete(self, key: Hashable) -> bool:
        """Remove a value; whether there was one."""
        with self._lock:
            missing = object()
            found = self._live(key, missing) is not missing
            self._values.pop(key, None)
            return found

    def keys(self) -> list[Hashable]:
        """Return the keys that have a value now."""
        with self._lock:
            self._sweep()
            return list(self._values)

    def clear(self) -> None:
        """Remove all values."""
        with self._lock:
            self._values.clear()

    def renew_lock(self) -> None:
        """Forget who holds the lock; in a forked child it's nobody."""
        self._lock = threading.RLock()

    def _expiry(self, seconds: float | None) -> float | None:
        return None if seconds is None else self._clock.now() + seconds

    def _live(self, key: Hashable, default: Any) -> Any:
        entry = self._values.get(key)
        if entry is None:
            return default
        value, expiry = entry
        if expiry is not None and self._clock.now() >= expiry:
            del self._values[key]
            return default
        return value

    def _store(self, key: Hashable, value: Any, expiry: float | None) -> None:
        self._values[key] = (value, expiry)
        self._writes_left -= 1
        if self._writes_left <= 0:
            self._sweep()

    def _sweep(self) -> None:
        """Drop what has expired.

        It happens after as many writes as there are values: a bounded cost per write,
        and never more expired values than twice the others.
        """
        now = self._clock.now()
        self._values = {
            key: entry
            for key, entry in self._values.items()
            if entry[1] is None or now < entry[1]
        }
        self._writes_left = max(_SWEEP, len(self._values))


global_state = State()
