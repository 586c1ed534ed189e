"""Whether this process is a worker, and whether it may start workers."""

from __future__ import annotations

import multiprocessing.process
import os
from collections.abc import Callable

__all__ = [
    "NAME",
    "NO_GUARD",
    "check_guard",
    "enter_worker",
    "in_worker",
    "on_begun",
    "tell_begun",
]

NAME = "fastflow-process"
"""Of processes, before numbers."""
NO_GUARD = 87
"""Exit code: the script starts workers while it is imported by one."""
_here = False
_hears: list[Callable[[], object]] = []


def enter_worker() -> None:
    """Note that this process is a worker."""
    global _here
    _here = True


def in_worker() -> bool:
    """Return whether this process is a worker."""
    return _here


def on_begun(hear: Callable[[], object]) -> None:
    """Say who passes on that a call has begun; in a worker."""
    _hears[:] = [hear]


def tell_begun() -> None:
    """Tell whoever has submitted the call that runs that it has begun."""
    for hear in _hears:
        hear()


def check_guard() -> None:
    """End this process if it is a worker that imports a script without a guard.

    The program says so, once, instead of every worker with a traceback.
    """
    process = multiprocessing.process.current_process()
    if getattr(process, "_inheriting", False) and process.name.startswith(NAME):
        os._exit(NO_GUARD)
