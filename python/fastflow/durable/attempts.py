"""Attempts at a user's function, for steps and polls.

A plain function is called where the line is.  A coroutine runs on the event loop, and a
function with a time limit as a task of its own on the executor; the line waits for
these like for anything else, so ten thousand of them need no thread.  The limit is that
of the attempt: it begins with the call, however long that waits for a thread.
"""

from __future__ import annotations

import concurrent.futures as cf
import contextvars
import threading
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from fastflow import _core, aio
from fastflow.dispatch import Dispatch, expire, given_up
from fastflow.durable.exceptions import InvocationError
from fastflow.durable.line import Line, Pending, current_operation
from fastflow.errors import TaskTimeout, shown
from fastflow.tasks import is_async
from fastflow.timers import Timer, system_clock

if TYPE_CHECKING:
    from fastflow.durable.operation import Operation

__all__ = ["Attempt", "call"]

_GRACE = 0.5  # seconds of real time that a call has on a virtual clock, at most


class Attempt(Pending):
    """A call that runs elsewhere.

    Parameters
    ----------
    what : str
        The operation, for messages.
    timeout : float, optional
        Seconds that the call may take.
    """

    __slots__ = (
        "_lock", "_over", "_timeout", "_timer", "_under_way", "_what", "error", "value",
    )  # fmt: skip

    def __init__(self, line: Line, what: str, timeout: float | None) -> None:
        super().__init__(line)
        self.value: Any = None
        self.error: BaseException | None = None
        self._what = what
        self._timeout = timeout
        self._lock = threading.Lock()
        self._under_way: Dispatch | cf.Future[Any] | None = None
        self._timer: Timer | None = None
        self._over = False  # the outcome is there, or isn't wanted any more
        line.execution.engine.scheduler.enter()

    def send(
        self, key: bytes, context: contextvars.Context, fn: Callable[[], Any]
    ) -> None:
        """Call a function on the executor; a coroutine that it returns is awaited."""

        def body() -> Any:
            self._begin()
            return context.run(fn)

        def left(dispatch: Dispatch) -> None:
            value = dispatch.result()
            if type(value) is CoroutineType:
                context.run(self.run, value)
            elif not dispatch.made:
                why = dispatch.exception() or given_up()
                self._end(None, _not_made(self._what, why))
            else:
                self._end(value, dispatch.exception())

        dispatch = self._under_way = Dispatch(body, left)
        try:
            self.line.execution.engine.calls.send(dispatch)
        except BaseException as error:
            self.line.pending.pop(key, None)
            self.cancel()
            if isinstance(error, Exception):
                raise _not_made(self._what, error) from error
            raise

    def run(self, coroutine: Any) -> None:
        """Run a coroutine on the event loop."""
        try:
            self._begin()
            future = aio.submit(coroutine)
        except Exception as error:
            coroutine.close()
            refused = _not_made(self._what, error)
            refused.__cause__ = error
            self._end(None, refused)
            return
        with self._lock:
            self._under_way = future
            unwanted = self._over
        if unwanted:
            future.cancel()
        future.add_done_callback(self._arrived)

    def _begin(self) -> None:
        """Let its time begin, unless it has begun."""
        engine, timeout = self.line.execution.engine, self._timeout
        if timeout is None or self._timer is not None:
            return
        # On a virtual clock nothing else moves while a call runs, so its time limit is
        # real time.
        seconds = timeout if engine.virtual is None else min(timeout, _GRACE)
        timer = system_clock.call_later(seconds, expire, self._expired)
        with self._lock:
            self._timer = timer
            over = self._over
        if over:
            timer.cancel()

    def _take(self) -> bool:
        """Whether this is the first to end it."""
        with self._lock:
            first, self._over = not self._over, True
            timer = self._timer
        if timer is not None:
            timer.cancel()
        return first

    def _arrived(self, future: cf.Future[Any]) -> None:
        if future.cancelled():
            import asyncio

            # By itself, as whoever cancels it here doesn't want to know.
            self._end(None, asyncio.CancelledError())
        elif (error := future.exception()) is not None:
            self._end(None, error)
        else:
            self._end(future.result(), None)

    def _end(self, value: Any, error: BaseException | None) -> None:
        if self._take():
            self.value, self.error = value, error
            self._leave()

    def _expired(self) -> None:
        if self._take():
            self.error = TaskTimeout(
                f"{self._what} did not finish within {self._timeout:g} s"
            )
            self._stop()
            self._leave()

    def _stop(self) -> None:
        """Let it go on alone, if it can't be stopped."""
        with self._lock:
            under_way = self._under_way
        if isinstance(under_way, Dispatch):
            under_way.give_up()
        elif under_way is not None:
            under_way.cancel()

    def _leave(self) -> None:
        try:
            self.settle()
        finally:
            self.line.execution.engine.scheduler.leave()

    def cancel(self) -> None:
        """Want the outcome no longer."""
        if self._take():
            try:
                self._stop()
            finally:
                self.line.execution.engine.scheduler.leave()


def _not_made(what: str, error: BaseException) -> InvocationError:
    return InvocationError(f"{what} could not be called: {shown(error)}")


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
    operation.attempt = args[-1].attempt  # of its StepContext
    if attempt is None:
        value: Any = None
        elsewhere = timeout is not None and not is_async(fn)
        if not elsewhere:
            value, error = _call_here(line, operation, fn, *args)
            if error is not None or type(value) is not CoroutineType:
                return value, error
        attempt = Attempt(line, operation.describe_now(), timeout)
        try:
            line.begin(operation.id, attempt)
        except BaseException:
            if value is not None:
                value.close()
            raise
        context = _context_of(operation)
        if elsewhere:
            attempt.send(operation.id, context, lambda: fn(*args))
        else:
            context.run(attempt.run, value)
    assert isinstance(attempt, Attempt)
    line.wait_for(attempt)
    line.pending.pop(operation.id, None)
    return attempt.value, attempt.error


def _call_here(
    line: Line, operation: Operation, fn: Callable[..., Any], *args: Any
) -> tuple[Any, BaseException | None]:
    line.busy = operation
    try:
        return _context_of(operation).run(fn, *args), None
    except Exception as error:
        return None, error
    finally:
        line.busy = None


def _context_of(operation: Operation) -> contextvars.Context:
    context = _core.task_context()
    context.run(current_operation.set, operation)
    return context
