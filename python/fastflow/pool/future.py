"""The future that ``Executor.submit`` returns."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from fastflow import _core, errors

__all__ = ["Future"]

# As in `interrupts`, which waits by means of what is configured here.
ENDS_PROGRAM = (KeyboardInterrupt, SystemExit)

_LOGGER = logging.getLogger("fastflow")
_LOGGER.addHandler(logging.NullHandler())
_FUTURES_LOGGER = logging.getLogger("concurrent.futures")


T = TypeVar("T")

if TYPE_CHECKING:
    from fastflow._core import FutureBase as _FutureBase
else:

    class _FutureBase:
        """The native class, for which ``[T]`` says nothing."""

        def __class_getitem__(cls, _):
            return _core.FutureBase


class Future(_FutureBase[T], concurrent.futures.Future[T]):
    """A ``concurrent.futures.Future`` with native state.

    Everything that accepts the standard library's futures accepts this one:
    ``concurrent.futures.wait``, ``asyncio.wrap_future`` and so on.

    Notes
    -----
    ``cancel()`` of a task that runs already returns False, as in the standard library;
    the task can learn of the attempt through :func:`fastflow.current_task`.
    """

    __slots__ = ()


def _log_callback_error(future: Future[Any], error: BaseException) -> bool:
    """Log what a callback raised; or return True if it is to be raised here."""
    main = threading.current_thread() is threading.main_thread()
    if main and isinstance(error, ENDS_PROGRAM):
        return True
    _FUTURES_LOGGER.error("exception calling callback for %r", future, exc_info=error)
    return False


def _log_unobserved(count: int, first: BaseException) -> None:
    _LOGGER.error(
        "%d failed task%s of this executor that nobody asked about; the first:",
        count,
        "" if count == 1 else "s",
        exc_info=first,
    )


def _nothing() -> None:
    pass


#: What the native part uses.
NAMES: dict[str, Any] = {
    "cancelled_error": concurrent.futures.CancelledError,
    "timeout_error": concurrent.futures.TimeoutError,
    "broken_executor": errors.BrokenPoolError,
    "queue_full": errors.QueueFullError,
    "cancelled_signal": errors.Cancelled,
    "invalid_state": concurrent.futures.InvalidStateError,
    "new_condition": threading.Condition,
    "log_callback_error": _log_callback_error,
    "log_unobserved": _log_unobserved,
    "empty_function": _nothing,
    "graph_error": errors.GraphError,
    "cycle_error": errors.CycleError,
    "kernel_failed": errors.KernelFailedError,
}

_core.configure(Future, NAMES)
