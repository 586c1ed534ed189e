"""The processes that ``executor="processes"`` stands for."""

from __future__ import annotations

import threading

from fastflow.base import lifetime
from fastflow.base.options import check_limit
from fastflow.processes.executor import ProcessExecutor

__all__ = ["default_processes"]

_defaults: dict[int | None, ProcessExecutor] = {}
_lock = threading.Lock()


def default_processes(max_workers: int | None = None) -> ProcessExecutor:
    """Return a pool that all share; made at first use and kept.

    Its workers end when they have had nothing to do for a minute.

    Parameters
    ----------
    max_workers : int, optional
        Each size has a pool of its own. Default: the number of cores.
    """
    max_workers = check_limit("max_workers", max_workers)
    with _lock:
        found = _defaults.get(max_workers)
        if found is None or found.is_closed:
            found = _defaults[max_workers] = ProcessExecutor(max_workers)
    return found


def _reset_after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _defaults.clear()


lifetime.in_forked_child(lifetime.WORKERS, _reset_after_fork)
