"""One attempt at a user's function, for steps and polls.

A plain function is called where the line is.  A coroutine runs on the event loop, and a
function with a time limit as a task of its own on the executor: that is a `Job` of one
attempt, so limits, late results and hung threads are what they are everywhere.  The
line waits for it like for anything else, so ten thousand of them need no thread.

An attempt counts as activity from when it is wanted until it has an outcome or nobody
wants it any more; one that hangs after that keeps no virtual clock from going on.  So
the count is kept here, not by the backend, whose calls end when they end.

Why it is counted out once: a job is either cancelled, which `Job.cancel` tells one
caller, or tells its end once.  Why a line sees the outcome: the job's machine has it
before the job tells its end; that is what sets ``done``, which the line reads first.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from fastflow import _core
from fastflow.base.timers import system_clock
from fastflow.durable.exceptions import InvocationError
from fastflow.durable.runtime.replay import Line, Pending, current_operation
from fastflow.errors import TaskTimeout, shown
from fastflow.run.attempts import Attempts, State
from fastflow.run.job import Backend, Job
from fastflow.run.loop import Loop
from fastflow.run.task import is_async

if TYPE_CHECKING:
    from fastflow.durable.operations.attempted import Attempted
    from fastflow.durable.operations.operation import Operation
    from fastflow.durable.runtime.runtime import Engine

__all__ = ["Coroutines", "Elsewhere", "Outcome", "make_attempt"]

_GRACE = 0.5  # seconds of real time that a call has on a virtual clock, at most
_SENT = State.SENT

Outcome = tuple[Any, BaseException | None]
"""A function's value and None, or None and its exception."""


class _Call(Job):
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

    __slots__ = ("_fn", "_timeout", "_what", "made")

    awaits = True

    def __init__(
        self,
        engine: Engine,
        what: str,
        timeout: float | None,
        done: Callable[[Any], object],
        context: contextvars.Context,
        fn: Callable[[], Any] | None,
        made: Any,
    ) -> None:
        limit = timeout
        if timeout is not None and engine.virtual is not None:
            # On a virtual clock nothing else moves while a call runs, so its time limit
            # is real time.
            limit = min(timeout, _GRACE)
        backend = engine.threads if made is None else engine.coroutines
        super().__init__(Attempts(None, limit), backend, system_clock, done, context)
        self._what = what
        self._timeout = timeout
        self._fn = fn
        self.made = made
        """The coroutine, until the loop has it."""

    def call(self, ticket: int) -> Any:  # noqa: ARG002
        """See `Job`."""
        fn, self._fn = self._fn, None
        assert fn is not None
        return fn()

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


class Coroutines(Backend):
    """The event loop, for coroutines that a line's function has returned."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def launch(self, job: Job, ticket: int) -> None:
        """See `Backend`."""
        assert isinstance(job, _Call)
        coroutine, job.made = job.made, None
        job.context.run(self._loop.launch, job, ticket, coroutine)


class Elsewhere(Pending):
    """Waits for an attempt that is made elsewhere; parameters as for the call."""

    __slots__ = ("job",)

    def __init__(
        self,
        line: Line,
        what: str,
        timeout: float | None,
        context: contextvars.Context,
        fn: Callable[[], Any] | None = None,
        made: Any = None,
    ) -> None:
        super().__init__(line)
        engine = line.execution.engine
        self.job = _Call(engine, what, timeout, self._over, context, fn, made)
        engine.scheduler.enter()

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
            self.line.execution.engine.scheduler.leave()

    def cancel(self) -> None:
        """Want the outcome no longer."""
        if self.job.cancel():
            self.line.execution.engine.scheduler.leave()


def make_attempt(
    operation: Attempted, timeout: float | None, fn: Callable[..., Any], *args: Any
) -> Outcome:
    """Make one attempt, or go on waiting for the one that was begun.

    Parameters
    ----------
    args
        The last one is a StepContext.
    """
    line = operation.context._line
    pending = line.pending.get(operation.id)
    operation.attempt = number = args[-1].attempt
    if pending is None:
        engine = line.execution.engine
        operation.started = engine.now_us()
        if engine.events is not None:
            engine.events.job_started(operation.job_key(), number)
        if operation.at_most_once:
            line.began(operation, number)
        if timeout is None or is_async(fn):
            outcome = _call_here(line, operation, fn, *args)
            value, error = outcome
            if error is not None or type(value) is not CoroutineType:
                return outcome
            pending = _begin(line, operation, timeout, None, value)
        else:
            pending = _begin(line, operation, timeout, lambda: fn(*args), None)
    assert isinstance(pending, Elsewhere)
    line.wait_for(pending)
    line.pending.pop(operation.id, None)
    attempts = pending.job.attempts
    return attempts.value, attempts.error


def _call_here(
    line: Line, operation: Operation, fn: Callable[..., Any], *args: Any
) -> Outcome:
    line.busy = operation
    try:
        return _context_of(operation).run(fn, *args), None
    except Exception as error:
        return None, error
    finally:
        line.busy = None


def _begin(
    line: Line,
    operation: Operation,
    timeout: float | None,
    fn: Callable[[], Any] | None,
    made: Any,
) -> Elsewhere:
    what, context = operation.describe_now(), _context_of(operation)
    pending = Elsewhere(line, what, timeout, context, fn, made)
    try:
        line.begin(operation.id, pending)
    except BaseException:
        pending.close()
        raise
    pending.start()
    return pending


def _context_of(operation: Operation) -> contextvars.Context:
    context = _core.task_context()
    context.run(current_operation.set, operation)
    return context
