"""Keeps BLAS and OpenMP pools from multiplying with the workers of an executor.

Two workers that each call a BLAS with two threads on two cores fight for the cores.
While any executor with ``blas_threads`` set is busy, the process-wide limits of
these libraries are lowered (threadpoolctl); when the last one has been idle for a
moment they are put back.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

__all__ = ["BlasCap"]

# Modules that bring a BLAS or OpenMP runtime with them.
_CARRIERS = ("numpy", "scipy", "torch", "sklearn")


class _Limits:
    """The process-wide limits: lowered by the first executor, for all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: dict[int, int] = {}
        self._limiter: Any = None
        self._controller: Any = None
        self._seen: frozenset[str] = frozenset()

    def enter(self, key: int, threads: int) -> None:
        """Note that executor `key` is busy and wants at most `threads` each."""
        with self._lock:
            self._active[key] = threads
            self._apply()

    def leave(self, key: int) -> None:
        """Note that executor `key` is idle."""
        with self._lock:
            if self._active.pop(key, None) is not None:
                self._apply()

    def _apply(self) -> None:
        if self._limiter is not None:
            self._limiter.restore_original_limits()
            self._limiter = None
        loaded = frozenset(name for name in _CARRIERS if name in sys.modules)
        if not self._active or not loaded:
            return
        if loaded != self._seen or self._controller is None:
            import threadpoolctl

            self._controller = threadpoolctl.ThreadpoolController()
            self._seen = loaded
        self._limiter = self._controller.limit(limits=min(self._active.values()))


_limits = _Limits()


def _reset_after_fork() -> None:
    global _limits
    _limits = _Limits()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


class BlasCap:
    """What one executor asks for; called with True when it gets busy, False when idle.

    Parameters
    ----------
    workers : int
        Threads of the executor.
    threads : int or "auto"
        BLAS threads per worker; "auto" shares the cores among the workers.
    """

    def __init__(self, workers: int, threads: int | str) -> None:
        cores = os.cpu_count() or 1
        self._threads = max(1, cores // workers) if threads == "auto" else int(threads)

    def __call__(self, active: bool) -> None:
        """Note that the executor gets busy, or has been idle for a moment."""
        if active:
            _limits.enter(id(self), self._threads)
        else:
            _limits.leave(id(self))
