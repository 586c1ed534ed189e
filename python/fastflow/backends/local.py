"""Where attempts are made, if not in other processes: threads, and the event loop."""

from __future__ import annotations

from types import CoroutineType
from typing import Any

from fastflow import _core
from fastflow.pool.dispatch import Dispatch, Dispatcher
from fastflow.run.attempts import State
from fastflow.run.job import Backend, Job
from fastflow.run.loop import Activity, Loop

__all__ = ["ThreadBackend", "make"]

_RECOVERING = State.RECOVERING


class ThreadBackend(Backend):
    """The threads of an executor of this process.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Of threads.
    activity : Activity, optional
        Told of every call.
    loop : Loop, optional
        For functions that are async.
    workers : int, optional
        How many threads there are.
    nested : bool
        Whether calls that wait for others leave these their threads.
    """

    def __init__(
        self,
        executor: Any,
        activity: Activity | None = None,
        loop: Loop | None = None,
        workers: int | None = None,
        *,
        nested: bool = True,
    ) -> None:
        self.executor = executor
        self.nested = nested
        self._workers = workers
        self.loop = loop or Loop(activity)
        self._dispatcher = Dispatcher(executor)
        self._activity = activity

    def capacity(self) -> int | None:
        """See `fastflow.run.job.Backend`."""
        return self._workers

    def launch(self, job: Job, ticket: int) -> None:
        """See `fastflow.run.job.Backend`."""
        if job.is_async:
            self.loop.launch(job, ticket)
        else:
            self._send(job, ticket)

    def recover(self, job: Job, ticket: int) -> None:
        """See `fastflow.run.job.Backend`."""
        self._send(job, ticket)

    def _send(self, job: Job, ticket: int) -> None:
        def call() -> None:
            make(job, ticket, self.loop)

        activity = self._activity
        if activity is None:
            under_way = self._dispatcher.submit(
                call, lambda dispatch: _settle(job, ticket, dispatch), quiet=True
            )
            job.keep(ticket, under_way)
            return

        def ended(dispatch: Dispatch) -> None:
            try:
                _settle(job, ticket, dispatch)
            finally:
                activity.leave()

        activity.enter()
        try:
            under_way = self._dispatcher.submit(call, ended)
        except BaseException:
            activity.leave()
            raise
        job.keep(ticket, under_way)


def _settle(job: Job, ticket: int, dispatch: Dispatch) -> None:
    """Tell a job of a call that was not made, or could not tell of itself."""
    if not dispatch.made:
        job.left(ticket, dispatch.exception())
    elif (error := dispatch.exception()) is not None:
        job.raised(ticket, error)


def _told(job: Job, ticket: int) -> Any:
    """Make an attempt of which somebody is told."""
    with job.around():
        return job.call(ticket)


def make(job: Job, ticket: int, loop: Loop) -> None:
    """Make an attempt, or call the fallback, in this thread."""
    if not job.begun(ticket):
        return
    recovers = job.attempts.state is _RECOVERING
    context = _core.task_context(job.context)
    try:
        if recovers:
            value = context.run(job.fallback)
        elif job.events is None:
            value = context.run(job.call, ticket)
        else:
            value = context.run(_told, job, ticket)
        if type(value) is CoroutineType and (job.awaits or recovers):
            context.run(loop.launch, job, ticket, value)
            return
    except BaseException as error:
        job.raised(ticket, error)
    else:
        job.returned(ticket, value)
