"""Every exception that fastflow raises of its own accord."""

from __future__ import annotations

from concurrent.futures.thread import BrokenThreadPool

__all__ = [
    "BrokenPoolError",
    "Cancelled",
    "FastflowError",
    "KernelError",
    "QueueFullError",
]


class FastflowError(Exception):
    """Root of the errors that fastflow defines."""


class BrokenPoolError(FastflowError, BrokenThreadPool):
    """The executor can't run tasks: an initializer failed, or the process forked.

    Also a ``concurrent.futures.BrokenExecutor``.
    """


class QueueFullError(FastflowError, RuntimeError):
    """``max_pending`` tasks are waiting and ``on_full`` is ``"raise"``."""


class KernelError(FastflowError, ValueError):
    """The source given to ``Kernel`` is not a usable native function."""


class Cancelled(BaseException):
    """Raised by ``current_task().check()`` in a task that was asked to stop.

    It derives from BaseException so that ``except Exception`` in a task does not
    swallow it.  A task that lets it pass ends as cancelled.
    """
