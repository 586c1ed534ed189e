"""One attempt at a user's function, for steps and polls.

A plain function is called where the replay is.  A coroutine runs on the event loop, and
a function with a time limit as a task of its own on the executor: that is a `Job` of
one attempt, so limits, late results and hung threads are what they are everywhere.  The
replay waits for it like for anything else, so ten thousand of them need no thread.

An attempt counts as activity from when it is wanted until it has an outcome or nobody
wants it any more; one that hangs after that keeps no virtual clock from going on.  So
the count is kept here, not by the backend, whose calls end when they end.

Why it is counted out once: a job is either cancelled, which `Job.cancel` tells one
caller, or tells its end once.  Why a replay sees the outcome: the job's machine has it
before the job tells its end; that is what sets ``done``, which the replay reads first.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from types import CoroutineType
from typing import Any

from fastflow import _core
from fastflow.base import recorders
from fastflow.base.log_ids import NOBODY, Ids
from fastflow.base.timers import system_clock
from fastflow.durable.exceptions import InvocationError
from fastflow.durable.operations.attempted import Attempted, Outcome
from fastflow.durable.operations.operation import Operation
from fastflow.durable.runtime.coroutines import CoroutineJob
from fastflow.durable.runtime.replay import Pending, Replay, current_operation
from fastflow.durable.runtime.runtime import Runtime
from fastflow.errors import TaskTimeout, shown
from fastflow.run.attempts import Attempts, State
from fastflow.run.job import Job
from fastflow.run.task import is_async

__all__ = ["Elsewhere", "make_attempt"]

_GRACE = 0.5  # seconds of real time that a call has on a virtual clock, at most
_SENT = State.SENT


class _Call(CoroutineJob):
    """An attempt that is made elsewhere.

    Parameters
    ----------
    what : str
        The operation, for messages.
    timeout : float, optional
        Seconds that the call may take.
    context : contextvars.Context
        For the call.
    fn : callable, optional
        To be called on the executor; a coroutine that it returns is awaited.
    made : coroutine, optional
        To be run on the event loop, in place of a call.
    """

    __slots__ = ("_fn", "_timeout", "_what")

    awaits = True

    def __init__(
        self,
        runtime: Runtime,
        what: str,
        timeout: float | None,
        done: Callable[[Any], object],
        context: contextvars.Context,
        fn: Callable[[], Any] | None,
        made: Any,
    ) -> None:
        limit = timeout
        if timeout is not None and runtime.virtual is not None:
            # On a virtual clock nothing else moves while a call runs, so its time limit
            # is real time.
            limit = min(timeout, _GRACE)
        backend = runtime.threads if made is None else runtime.coroutines
        super().__init__(Attempts(None, limit), backend, system_clock, done, context)
        self._what = what
        self._timeout = timeout
        self._fn = fn
        self.made = made

    def call(self, ticket: int) -> Any:  # noqa: ARG002
        """See `Job`."""
        fn, self._fn = self._fn, None
        assert fn is not None
        return fn()

    def ids(self) -> Ids:
        """See `Job`."""
        operation = self.context.get(current_operation)
        return NOBODY if operation is None else operation.ids()

    def limit_error(self) -> TaskTimeout:
        """See `Job`."""
        return TaskTimeout(f"{self._what} did not finish within {self._timeout:g} s")

    def raised(self, ticket: int, error: BaseException, *, final: bool = False) -> bool:
        """See `Job`; an attempt that raises before it begins could not be made."""
        if self.attempts.state is _SENT and isinstance(error, Exception):
            refused = InvocationError(
                f"{self._what} could not be called: {shown(error)}"
            )
            refused.__cause__ = error
            error = refused
        return super().raised(ticket, error, final=final)


class Elsewhere(Pending):
    """Waits for an attempt that is made elsewhere; parameters as for the call."""

    __slots__ = ("job",)

    def __init__(
        self,
        replay: Replay,
        what: str,
        timeout: float | None,
        context: contextvars.Context,
        fn: Callable[[], Any] | None = None,
        made: Any = None,
    ) -> None:
        super().__init__(replay)
        runtime = replay.execution.runtime
        self.job = _Call(runtime, what, timeout, self._over, context, fn, made)
        runtime.scheduler.enter()

    def start(self) -> None:
        """Have the attempt made; whatever keeps it from that is its outcome."""
        self.job.start()
        self.close()

    def close(self) -> None:
        """Drop a coroutine that nobody has taken: what it was for is over."""
        made, self.job.made = self.job.made, None
        if made is not None:
            made.close()

    def _over(self, _: Job) -> None:
        try:
            self.settle()
        finally:
            self.replay.execution.runtime.scheduler.leave()

    def cancel(self) -> None:
        """Want the outcome no longer."""
        if self.job.cancel():
            self.replay.execution.runtime.scheduler.leave()


def make_attempt(
    operation: Attempted, timeout: float | None, fn: Callable[..., Any], *args: Any
) -> Outcome:
    """Make one attempt, or go on waiting for the one that was begun.

    Parameters
    ----------
    args
        The last one is a StepContext.
    """
    replay = operation.context._replay
    pending = replay.pending.get(operation.id)
    operation.attempt = number = args[-1].attempt
    if pending is None:
        runtime = replay.execution.runtime
        operation.started = runtime.now_us()
        events = None
        if recorders.RECORDERS or runtime.has_subscribers:
            events = runtime.events
        if events is not None:
            events.job_started(operation.job_key(), number)
        if operation.at_most_once:
            replay.began(operation, number)
        if events is None:
            found = _begun(replay, operation, timeout, fn, *args)
        else:
            # An attempt that is made elsewhere has a copy of the variables.
            with events.around_job(operation.job_key(), number):
                found = _begun(replay, operation, timeout, fn, *args)
        if not isinstance(found, Elsewhere):
            return found
        pending = found
    assert isinstance(pending, Elsewhere)
    replay.wait_for(pending)
    replay.pending.pop(operation.id, None)
    attempts = pending.job.attempts
    return attempts.value, attempts.error


def _begun(
    replay: Replay,
    operation: Operation,
    timeout: float | None,
    fn: Callable[..., Any],
    *args: Any,
) -> Outcome | Elsewhere:
    """Make an attempt here, or return what waits for it."""
    if timeout is not None and not is_async(fn):
        return _begin(replay, operation, timeout, lambda: fn(*args), None)
    replay.busy = operation
    try:
        value = _context_of(operation).run(fn, *args)
    except Exception as error:
        return None, error
    finally:
        replay.busy = None
    if type(value) is not CoroutineType:
        return value, None
    return _begin(replay, operation, timeout, None, value)


def _begin(
    replay: Replay,
    operation: Operation,
    timeout: float | None,
    fn: Callable[[], Any] | None,
    made: Any,
) -> Elsewhere:
    what, context = operation.describe_now(), _context_of(operation)
    pending = Elsewhere(replay, what, timeout, context, fn, made)
    try:
        replay.begin(operation.id, pending)
    except BaseException:
        pending.close()
        raise
    pending.start()
    return pending


def _context_of(operation: Operation) -> contextvars.Context:
    context = _core.task_context()
    context.run(current_operation.set, operation)
    return context
