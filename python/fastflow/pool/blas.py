"""Keeps BLAS and OpenMP pools from multiplying with the workers of an executor.

Two workers that each call a BLAS with two threads on two cores fight for the cores.
While any executor with ``blas_threads`` set is busy, the process-wide limits of
these libraries are lowered (threadpoolctl); when the last one has been idle for a
moment they are put back.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from fastflow.base import lifetime

__all__ = ["BlasCap", "limited", "look_again", "share_of"]

# Modules that bring a BLAS or OpenMP runtime with them.
_CARRIERS = ("numpy", "scipy", "torch", "sklearn")
# Where they look for their limits when they are loaded.
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


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
            with lifetime.importing:
                import threadpoolctl

            self._controller = threadpoolctl.ThreadpoolController()
            self._seen = loaded
        most = min(self._active.values())
        if any(pool.num_threads > most for pool in self._controller.lib_controllers):
            self._limiter = self._controller.limit(limits=most)

    def look_again(self) -> None:
        """Limit what has been loaded meanwhile, too."""
        with self._lock:
            if self._active and any(
                name in sys.modules and name not in self._seen for name in _CARRIERS
            ):
                self._apply()


_limits = _Limits()


def _reset_after_fork() -> None:
    global _limits
    _limits = _Limits()


lifetime.in_forked_child(lifetime.WORKERS, _reset_after_fork)


def share_of(workers: int) -> int:
    """Return how many threads each of so many workers may use, to fill the cores."""
    return max(1, (os.cpu_count() or 1) // workers)


@contextlib.contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Use at most so many threads in this block; None: as many as there are.

    A library that is loaded in the block begins with that limit, and keeps it.
    """
    if threads is None:
        yield
        return
    key = object()
    told: list[str] = []
    if "numpy" not in sys.modules:
        told = [name for name in _VARIABLES if name not in os.environ]
    os.environ.update(dict.fromkeys(told, str(threads)))
    _limits.enter(id(key), threads)
    try:
        yield
    finally:
        _limits.leave(id(key))
        for name in told:
            os.environ.pop(name, None)


def look_again() -> None:
    """Have the limits hold for libraries that have been loaded meanwhile."""
    _limits.look_again()


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
        self._threads = share_of(workers) if threads == "auto" else int(threads)

    def __call__(self, active: bool) -> None:
        """Note that the executor gets busy, or has been idle for a moment."""
        if active:
            _limits.enter(id(self), self._threads)
        else:
            _limits.leave(id(self))
