"""Where a recording was made, and what a call costs there beside its function."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

from fastflow.base.doctor import usable_cores
from fastflow.pool.executor import default_executor
from fastflow.pool.fanout import map as native_map

__all__ = ["machine"]

_overhead: dict[str, float] | None = None


def machine() -> dict[str, Any]:
    """Return what `Trace.machine` has."""
    try:
        version = importlib.metadata.version("fastflow")
    except importlib.metadata.PackageNotFoundError:
        version = ""
    return {
        "cpus": usable_cores(),
        "workers": default_executor()._max_workers,
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "python": platform.python_version(),
        "fastflow": version,
        "blas": _blas(),
        "overhead": overhead(),
    }


def _blas() -> list[int]:
    if "numpy" not in sys.modules:
        return []
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    return [pool["num_threads"] for pool in threadpool_info()]


def overhead() -> dict[str, float]:
    """Return nanoseconds that a call costs beside its function; measured once.

    "submit": by the native pool; "map": an item of a map; "process": by processes, if
    there are some that wait for work. Takes a few milliseconds.
    """
    global _overhead
    if _overhead is None:
        _overhead = {"submit": _submit(500), "map": _map(5_000)}
    return dict(_overhead)


def _nothing(item: object = None) -> None:
    """Take no time."""


def _best(body: Callable[[], object], n: int) -> float:
    best = float("inf")
    for _ in range(3):
        before = time.perf_counter_ns()
        body()
        best = min(best, (time.perf_counter_ns() - before) / n)
    return best


def _submit(n: int) -> float:
    executor = default_executor()

    def body() -> None:
        futures = [executor.submit(_nothing) for _ in range(n)]
        for future in futures:
            future.result()

    return _best(body, n)


def _map(n: int) -> float:
    return _best(lambda: native_map(_nothing, range(n)), n)
