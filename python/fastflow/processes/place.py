"""Whether this process is a worker, and whether it may start workers."""

from __future__ import annotations

import multiprocessing.process
import os

__all__ = ["NAME", "NO_GUARD", "check_guard", "enter_worker", "in_worker"]

NAME = "fastflow-process"
"""Of processes, before numbers."""
NO_GUARD = 87
"""Exit code: the script starts workers while it is imported by one."""
_here = False


def enter_worker() -> None:
    """Note that this process is a worker."""
    global _here
    _here = True


def in_worker() -> bool:
    """Return whether this process is a worker."""
    return _here


def check_guard() -> None:
    """End this process if it is a worker that imports a script without a guard.

    The program says so, once, instead of every worker with a traceback.
    """
    process = multiprocessing.process.current_process()
    if getattr(process, "_inheriting", False) and process.name.startswith(NAME):
        os._exit(NO_GUARD)
