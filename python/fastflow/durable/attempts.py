"""Attempts at a user's function, for steps and polls.

A plain function is called where the line is.  A coroutine runs on the event loop, and a
function with a time limit as a task of its own on the executor; the line waits for
these like for anything else, so ten thousand of them need no thread.
"""

from __future__ import annotations

import concurrent.futures as cf
import contextvars
import threading
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from fastflow import aio
from fastflow.durable.line import Line, Pending, current_operation
from fastflow.errors import Cancelled, TaskTimeout
from fastflow.timers import Timer, system_clock

if TYPE_CHECKING:
    from fastflow.durable.operation import Operation

__all__ = ["Attempt", "call"]

_GRACE = 0.5  # seconds of real time that a call has on a virtual clock, at most


class Attempt(Pending):
    """A call that runs elsewhere."""

    __slots__ = ("_future", "_lock", "_timer", "error", "late", "value")

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self.value: Any = None
        self.error: BaseException | None = None
        self._lock = threading.Lock()
        self._future: cf.Future[Any] | None = None
        self._timer: Timer | None = None
        self.late = False
        """Whether the outcome isn't wanted any more."""

    def start(self, future: cf.Future[Any], what: str, timeout: float | None) -> None:
        """Wait for a future's outcome, for `timeout` seconds if that is a number."""
        engine = self.line.execution.engine
        engine.scheduler.enter()
        self._future = future
        if timeout is not None:
            # On a virtual clock nothing else moves while a call runs, so its time limit
            # is real time.
            seconds = timeout if engine.virtual is None else min(timeout, _GRACE)
            self._timer = system_clock.call_later(seconds, self._expired, what, timeout)
        future.add_done_callback(self._arrived)

    def _take(self) -> bool:
        with self._lock:
            first, self.late = not self.late, True
            return first

    def _arrived(self, future: cf.Future[Any]) -> None:
        if not self._take():
            return
        if self._timer is not None:
            self._timer.cancel()
        if future.cancelled():
            self.error = Cancelled("the call was cancelled")
        else:
            self.error = future.exception()
            if self.error is None:
                self.value = future.result()
        self._leave()

    def _expired(self, what: str, timeout: float) -> None:
        if self._take():
            self.error = TaskTimeout(f"{what} did not finish within {timeout:g} s")
            if self._future is not None:
                self._future.cancel()
            self._leave()

    def _leave(self) -> None:
        self.settle()
        self.line.execution.engine.scheduler.leave()

    def cancel(self) -> None:
        """Want the outcome no longer."""
        if self._take():
            if self._timer is not None:
                self._timer.cancel()
            if self._future is not None:
                self._future.cancel()
            self.line.execution.engine.scheduler.leave()


def call(
    operation: Operation, timeout: float | None, fn: Callable[..., Any], *args: Any
) -> tuple[Any, BaseException | None]:
    """Make one attempt, or go on waiting for the one that was begun.

    Returns
    -------
    tuple
        The function's value and None, or None and the exception.
    """
    line = operation.context._line
    attempt = line.pending.get(operation.id)
    if attempt is None:
        if timeout is None:
            value, error = _call_here(line, operation, fn, *args)
            if error is not None or type(value) is not CoroutineType:
                return value, error
            future = _context_of(operation).run(aio.submit, value)
        else:
            run = _context_of(operation).run
            future = line.execution.engine.executor.submit(run, _resolve, fn, *args)
        attempt = Attempt(line)
        line.begin(operation.id, attempt)
        attempt.start(future, operation.describe_now(), timeout)
    assert isinstance(attempt, Attempt)
    line.wait_for(attempt)
    line.pending.pop(operation.id, None)
    return attempt.value, attempt.error


def _call_here(
    line: Line, operation: Operation, fn: Callable[..., Any], *args: Any
) -> tuple[Any, BaseException | None]:
    token = current_operation.set(operation)
    line.busy = operation
    try:
        return fn(*args), None
    except Exception as error:
        return None, error
    finally:
        line.busy = None
        current_operation.reset(token)


def _context_of(operation: Operation) -> contextvars.Context:
    context = contextvars.copy_context()
    context.run(current_operation.set, operation)
    return context


def _resolve(fn: Callable[..., Any], *args: Any) -> Any:
    value = fn(*args)
    if type(value) is CoroutineType:
        return aio.submit(value).result()
    return value
