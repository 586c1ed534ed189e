"""Whether this process is a worker, and whether it may start workers."""

from __future__ import annotations

import multiprocessing.process

__all__ = ["NO_GUARD", "enter_worker", "in_worker", "is_being_started"]

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


def is_being_started() -> bool:
    """Return whether this is a child of multiprocessing that imports its ``__main__``."""
    return bool(getattr(multiprocessing.process.current_process(), "_inheriting", False))
