"""One call of a function of a workflow: ``fn(ctx, *args)``."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from types import CoroutineType
from typing import Any

from fastflow.backends.local import make
from fastflow.base.log_ids import Ids
from fastflow.base.timers import Clock
from fastflow.errors import TaskTimeout
from fastflow.run.attempts import Attempts, State
from fastflow.run.events import Events, JobKey
from fastflow.run.job import Backend, Job
from fastflow.run.job_spans import JobSpans
from fastflow.run.loop import Loop
from fastflow.run.scope import Scope
from fastflow.run.task import is_async
from fastflow.workflows.context import Context
from fastflow.workflows.dispatch import Home, Places
from fastflow.workflows.options import CallOptions

__all__ = ["Done", "StepJob", "call_step"]

Done = Callable[[BaseException | None, Any], object]

_PLAIN = CallOptions()
_SUCCEEDED = State.SUCCEEDED


class StepJob(Job):
    """A call that ends with ``tell(error, value)``, unless it is cancelled first.

    Parameters
    ----------
    name : str
        For messages; also what log records call the ``step``, which may be set.
    ctx : Context
        Its scope is closed when the result isn't wanted any more.
    context : contextvars.Context
        Copied for each attempt.
    home : Home, optional
        Make the calls here in place of the executor.
    """

    __slots__ = (
        "_attempt", "_tell", "_tells_all", "args", "ctx", "events", "fn", "is_async",
        "key", "name", "spans", "step",
    )  # fmt: skip

    awaits = True

    def __init__(
        self,
        name: str,
        fn: Callable[..., Any],
        ctx: Context,
        args: tuple[Any, ...],
        tell: Done,
        *,
        places: Places,
        clock: Clock,
        context: contextvars.Context,
        options: CallOptions = _PLAIN,
        home: Home | None = None,
    ) -> None:
        backend: Backend
        backend = places.backend if home is None else HomeBackend(home, places.loop)
        attempts = Attempts(options.retry, options.timeout, options.delay)
        super().__init__(attempts, backend, clock, _tell, context)
        self.events: Events | None = None
        self.key: JobKey | None = None
        self.spans: JobSpans | None = None
        """Told where the first attempt of a step is made."""
        self._tells_all = False
        self.name = self.step = name
        self.fn = fn
        self.ctx = ctx
        self.args = args
        self.is_async = is_async(fn)
        self._tell = tell
        self._attempt: Context | None = None

    def context_of_attempt(self) -> Context:
        """Return what the function gets.

        With a limit each attempt has a scope: one whose time is up must stop, the next
        not.
        """
        if self.attempts.timeout is None:
            return self.ctx
        self._attempt = self.ctx.branch(Scope(self.ctx._token))
        return self._attempt

    def call(self, ticket: int) -> Any:  # noqa: ARG002
        """See `Job`."""
        if self.attempts.timeout is None:
            return self.fn(self.ctx, *self.args)
        return self.fn(self.context_of_attempt(), *self.args)

    coroutine = call

    def remote_function(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """See `Job`."""
        return call_step, self.fn

    def remote_arguments(self) -> tuple[Any, ...]:
        """See `Job`."""
        return self.context_of_attempt(), self.args

    def limit_error(self) -> TaskTimeout:
        """See `Job`."""
        return TaskTimeout(
            f"{self.name} did not finish within {self.attempts.timeout:g} s; "
            "a function on a thread runs on, its result is dropped"
        )

    def time_is_up(self, ticket: int) -> None:  # noqa: ARG002
        """See `Job`."""
        if self._attempt is not None:
            self._attempt._token.close()

    def ids(self) -> Ids:
        """See `Job`."""
        return Ids(self.ctx.run.id, self.step, self.attempts.count)

    def tell_retries(self, events: Events, key: JobKey) -> None:
        """Have it told when an attempt is not the last; the rest, the step tells."""
        self.events, self.key = events, key

    def note(self, spans: JobSpans, key: JobKey) -> None:
        """Have all told to those who record: of a call that is no step."""
        self.events, self.key, self._tells_all = spans.events(), key, True

    def _tell_started(self, events: Events, count: int) -> None:
        if count > 1 or self._tells_all:
            super()._tell_started(events, count)
        elif self.spans is not None and self.key is not None:
            self.spans.job_started(self.key, 1, 0.0)

    def _tell_ended(self, events: Events) -> None:
        if self._tells_all:
            super()._tell_ended(events)

    def cancel(self) -> bool:
        """Ask the function to stop; nothing is reported from now on."""
        self.ctx._token.close()
        self._tell = _nobody
        return super().cancel()


def call_step(fn: Callable[..., Any], ctx: Context, args: tuple[Any, ...]) -> Any:
    """Make an attempt in another process."""
    value = fn(ctx, *args)
    if type(value) is CoroutineType:
        import asyncio

        return asyncio.run(value)
    return value


def _tell(job: StepJob) -> None:
    # The callback may refer to this call; finished runs are freed at once.
    tell, job._tell = job._tell, _nobody
    attempts = job.attempts
    succeeded = attempts.state is _SUCCEEDED
    tell(None if succeeded else attempts.error, attempts.value)


def _nobody(_: BaseException | None, __: Any) -> None:
    pass


class HomeBackend(Backend):
    """Where the run goes on."""

    def __init__(self, home: Home, loop: Loop) -> None:
        self._home = home
        self._loop = loop

    def launch(self, job: Job, ticket: int) -> None:
        """See `fastflow.run.job.Backend`."""
        if job.is_async:
            self._loop.launch(job, ticket)
            return
        under_way = self._home.post(make, job, ticket, self._loop)
        if under_way is not None:
            job.keep(ticket, under_way)
