"""Where a recording was made, and what a call costs there beside its function."""

from __future__ import annotations

import concurrent.futures as cf
import importlib.metadata
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

from fastflow.base.doctor import usable_cores
from fastflow.pool.executor import default_executor
from fastflow.pool.fanout import map as native_map
from fastflow.processes.executor import standing_by

__all__ = ["machine"]

_overhead: dict[str, float] = {}


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


def overhead(*, processes: bool = False) -> dict[str, float]:
    """Return nanoseconds that a call costs beside its function; measured once.

    "submit": by the native pool; "map": an item of a map. Takes a few milliseconds.

    Parameters
    ----------
    processes : bool
        Whether "process" is wanted, too. It is missing where no executor of ours has
        all its workers and nothing to do: none is started for that.
    """
    if not _overhead:
        _overhead.update(submit=_submit(default_executor(), 500), map=_map(5_000))
    if processes and "process" not in _overhead:
        executor = standing_by()
        if executor is not None:
            _overhead["process"] = _submit(executor, 200, bool)
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


def _submit(
    executor: cf.Executor, n: int, fn: Callable[[], object] = _nothing
) -> float:
    """Measure `submit`; a function of Python's own is nothing new to a process."""

    def body() -> None:
        futures = [executor.submit(fn) for _ in range(n)]
        for future in futures:
            future.result()

    return _best(body, n)


def _map(n: int) -> float:
    return _best(lambda: native_map(_nothing, range(n)), n)
