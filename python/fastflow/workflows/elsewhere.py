"""Calls of a workflow in other processes, or wherever else a foreign executor is."""

from __future__ import annotations

import concurrent.futures as cf
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from fastflow.blas import limited, share_of
from fastflow.portable import raising_portable
from fastflow.run.job import Backend, Job
from fastflow.run.loop import Loop
from fastflow.workflows.turns import Turns, turns_of

if TYPE_CHECKING:
    from fastflow.workflows.jobs import StepJob
    from fastflow.workflows.places import Activity

__all__ = ["Elsewhere"]


class Elsewhere(Backend):
    """An executor that pickles what it is given.

    Nobody here sees a call begin there, so its time runs from when it is sent.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    loop : Loop
        For functions that are async.
    activity : Activity, optional
        Told of every call.
    """

    def __init__(
        self, executor: cf.Executor, loop: Loop, activity: Activity | None
    ) -> None:
        self._executor = executor
        self._loop = loop
        self._activity = activity
        self.processes = isinstance(executor, cf.ProcessPoolExecutor)
        """Whether calls are sent to other processes of this machine."""
        self._turns: Turns | None = None
        self._threads_each: int | None = None  # of BLAS, that each of these may use
        if self.processes:
            self._threads_each = share_of(getattr(executor, "_max_workers", 1))
            self._turns = turns_of(executor)

    def launch(self, job: Job, ticket: int) -> None:
        """See `fastflow.run.job.Backend`."""
        turns = self._turns
        if job.is_async:
            self._loop.launch(job, ticket)
        elif turns is None:
            self._send(job, ticket, None)
        elif job.attempts.timeout is None:
            turns.pass_by(lambda: self._send(job, ticket, turns))
        else:
            turns.wait(
                lambda: self._send_in_turn(job, ticket, turns),
                lambda: job.limit(ticket, anew=False),
            )

    def _send_in_turn(self, job: Job, ticket: int, turns: Turns) -> None:
        if job.attempts.live != ticket:
            turns.leave()  # its time is over, or nobody wants it any more
            return
        try:
            self._send(job, ticket, turns)
        except BaseException as error:  # the executor refused
            job.raised(ticket, error)

    def _send(self, job: Any, ticket: int, turns: Turns | None) -> None:
        step: StepJob = job
        try:
            step.begun(ticket)
            future = self._executor.submit(
                _call_elsewhere, step.fn, step.context_of_attempt(), step.args,
                self._threads_each,
            )  # fmt: skip
        except BaseException:
            if turns is not None:
                turns.leave()
            raise
        future.add_done_callback(lambda future: _arrived(job, ticket, future))
        if self._activity is not None:
            self._activity.watch(future)  # last: callbacks are called in their order
        if turns is not None:
            turns.sent(future)
        job.keep(ticket, _Sent(future, turns))


class _Sent:
    """A call that has been sent."""

    __slots__ = ("_future", "_turns", "cancel")

    def __init__(self, future: cf.Future[Any], turns: Turns | None) -> None:
        self._future = future
        self._turns = turns
        self.cancel: Callable[[], bool] = future.cancel

    def give_up(self) -> None:
        """See `fastflow.run.job.UnderWay`."""
        if not self._future.cancel() and self._turns is not None:
            self._turns.hangs(self._future)


def _arrived(job: Job, ticket: int, future: cf.Future[Any]) -> None:
    try:
        value = future.result()
    except BaseException as error:
        job.raised(ticket, error)
    else:
        job.returned(ticket, value)


def _call_elsewhere(
    fn: Callable[..., Any], ctx: Any, args: tuple[Any, ...], threads: int | None
) -> Any:
    with raising_portable(), limited(threads):
        value = fn(ctx, *args)
        if type(value) is CoroutineType:
            import asyncio

            return asyncio.run(value)
        return value
