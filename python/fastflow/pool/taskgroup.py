"""``TaskGroup``: tasks that do not outlive a block of code."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fastflow import _core
from fastflow.base.interrupts import ENDS_PROGRAM
from fastflow.errors import Cancelled
from fastflow.pool.executor import Executor
from fastflow.pool.future import Future
from fastflow.pool.named import engine_of, executor_of

__all__ = ["TaskGroup"]


P = ParamSpec("P")
T = TypeVar("T")

_REACHED = "the group around this one was cancelled"


def _raise(errors: list[BaseException], reached: bool) -> None:
    """Raise what the end of a block raises; `reached`: a group around was cancelled."""
    for error in errors:
        if isinstance(error, ENDS_PROGRAM):  # as it is, for those who wait for it
            raise error
    if errors:
        raise BaseExceptionGroup("unhandled errors in a TaskGroup", errors) from None
    if reached:
        raise Cancelled(_REACHED)


class TaskGroup(_core.GroupBlock):
    """A block of structured concurrency on an executor.

    When the block ends, all its tasks have ended.  The first task that fails cancels
    the others: those that have not started never will, those that run can see it in
    ``current_task().cancelled``.  So does an exception in the block itself.  A group
    that is opened by a task of another group is cancelled with that one.

    Parameters
    ----------
    executor : Executor, optional
        Default: ``default_executor()``.

    Raises
    ------
    ExceptionGroup
        At the end of the block, with the exceptions of the tasks that failed and of the
        block.
    KeyboardInterrupt, SystemExit
        If a task raised it; it is in no group.
    Cancelled
        At the end of the block, if a group around it was cancelled, and nothing failed.

    Examples
    --------
    >>> import fastflow
    >>> with fastflow.TaskGroup() as group:
    ...     a = group.create_task(pow, 2, 5)
    ...     b = group.create_task(pow, 3, 2)
    >>> a.result() + b.result()
    41
    """

    def __init__(self, executor: Executor | str | None = None) -> None:
        executor = executor_of(executor, serial=False)
        self._engine, _ = engine_of(executor, None)
        self._executor = executor  # nobody else may keep it
        self._scope = _core.Scope()
        self._entered = False
        self._left = False

    def __enter__(self) -> TaskGroup:
        if self._entered:
            raise RuntimeError("a TaskGroup can be entered only once")
        self._entered = True
        self._scope.enter()
        return self

    def create_task(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Submit ``fn(*args, **kwargs)`` to the group; returns its future.

        Raises
        ------
        RuntimeError
            Outside of the block, or when the group is cancelled already.
        Cancelled
            When a group around this one was cancelled.
        """
        if not self._entered or self._left:
            raise RuntimeError("create_task() works only inside the group's with block")
        if self._scope.reached:
            raise Cancelled(_REACHED)
        if self._scope.cancelled:
            raise RuntimeError(
                "the group is being cancelled: a task or the block failed"
            )
        return _core.submit_scoped(self._engine, self._scope, fn, *args, **kwargs)

    def cancel(self) -> None:
        """Cancel the group's tasks; takes the same time for one and for a million."""
        self._scope.cancel()

    @property
    def cancelled(self) -> bool:
        """Whether the group was cancelled, by ``cancel()`` or by a failure."""
        return self._scope.cancelled

    def _finish(self, error: BaseException | None) -> None:
        """Do what ``__exit__()`` does, which is native: Ctrl-C can't skip it."""
        if error is not None:
            self._scope.cancel()
        try:
            self._scope.wait()
        except BaseException:
            # Ctrl-C: no new tasks; running ones are waited for, until it comes again.
            self._scope.cancel()
            self._scope.wait()
            raise
        finally:
            self._left = True
            reached = self._scope.leave()
        if error is not None and not isinstance(error, Exception | Cancelled):
            return
        errors: list[BaseException] = [error] if isinstance(error, Exception) else []
        # No comprehension: without memory for it, Python 3.11 leaks the group.
        for failure in self._scope.failures():
            if failure is not error:
                errors.append(failure)
        if isinstance(error, Cancelled) and not errors:
            return
        try:
            _raise(errors, reached)
        finally:
            del errors, error  # their tracebacks have this frame
