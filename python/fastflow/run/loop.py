"""Attempts of async functions: they run on the event loop, started many at a time."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from fastflow import _core
from fastflow.base import aio
from fastflow.run.job import Job

if TYPE_CHECKING:
    import asyncio

__all__ = ["Activity", "Loop"]


class Activity(Protocol):
    """Counts what is going on elsewhere."""

    def enter(self) -> None:
        """Count one thing more."""

    def leave(self) -> None:
        """Count one thing less."""


class _Attempt:
    """One attempt: waiting to be begun, or a task of the loop."""

    __slots__ = ("_coroutine", "_taken", "context", "job", "task", "ticket")

    def __init__(self, job: Job, ticket: int, coroutine: Any) -> None:
        self.job = job
        # What has been set before the coroutine was returned, it sees.
        self.context = None if coroutine is None else _core.task_context()
        self.ticket = ticket
        self.task: asyncio.Task[Any] | None = None
        self._coroutine = coroutine
        self._taken = threading.Lock()
        """Locked for good by whoever begins it, or takes it back."""

    def take(self) -> bool:
        """Whether nobody else has begun it or taken it back."""
        return self._taken.acquire(blocking=False)

    def cancel(self) -> bool:
        """See `fastflow.run.job.UnderWay`."""
        return self.leave(None)

    def leave(self, error: Exception | None) -> bool:
        """Take it back if it hasn't begun; with an error, it can't begin."""
        if not self.take():
            return False
        self.close()
        self.job.left(self.ticket, error)
        return True

    def close(self) -> None:
        """Drop the coroutine, which will never be awaited."""
        if self._coroutine is not None:
            self._coroutine.close()

    def give_up(self) -> None:
        """See `fastflow.run.job.UnderWay`."""
        if self.cancel() or self.task is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.task.get_loop().call_soon_threadsafe(self.task.cancel)

    async def run(self) -> None:
        """Make the attempt."""
        import asyncio

        job, ticket = self.job, self.ticket
        try:
            if not job.begun(ticket):  # it may have begun in the call that led to this
                self.close()
                return
            value = await (self._coroutine or job.coroutine(ticket))
        except BaseException as error:
            job.raised(ticket, error)
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            job.returned(ticket, value)


class Loop:
    """The event loop as a place for attempts.

    Waking the loop costs more than starting a coroutine: those that are launched while
    it is on its way begin together.

    Parameters
    ----------
    activity : Activity, optional
        Told of every attempt.
    """

    def __init__(self, activity: Activity | None = None) -> None:
        self._activity = activity
        self._lock = threading.Lock()
        self._waiting: list[_Attempt] = []

    def launch(
        self, job: Job, ticket: int, coroutine: Coroutine[Any, Any, Any] | None = None
    ) -> None:
        """Have an attempt made; or go on with the coroutine that one has returned."""
        attempt = _Attempt(job, ticket, coroutine)
        if self._activity is not None:
            self._activity.enter()  # first: it may be over as soon as it is there
        with self._lock:
            self._waiting.append(attempt)
            first = len(self._waiting) == 1
        if first:
            try:
                aio.call_soon(self._begin_all)
            except RuntimeError as error:
                self._refuse_all(error)
                raise
        job.keep(ticket, attempt, replace=coroutine is not None)

    def _take_all(self) -> list[_Attempt]:
        with self._lock:
            attempts, self._waiting = self._waiting, []
        return attempts

    def _refuse_all(self, error: Exception) -> None:
        for attempt in self._take_all():
            attempt.leave(error)
            self._leave(None)

    def _begin_all(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        for attempt in self._take_all():
            if not attempt.take():
                self._leave(None)
                continue
            context = attempt.context or _core.task_context(attempt.job.context)
            task = loop.create_task(attempt.run(), context=context)
            attempt.task = task
            _keep.add(task)
            task.add_done_callback(functools.partial(self._ended, attempt))
            if attempt.job.attempts.live != attempt.ticket:
                task.cancel()  # given up while nobody could cancel the task
                attempt.close()

    def _ended(self, attempt: _Attempt, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            import asyncio

            # At exit, perhaps before its first line could run and tell of it.
            attempt.close()
            attempt.job.raised(attempt.ticket, asyncio.CancelledError())
        self._leave(task)

    def _leave(self, task: Any) -> None:
        _keep.discard(task)
        if self._activity is not None:
            self._activity.leave()


_keep: set[Any] = set()
"""Tasks of the event loop, which itself keeps weak references only."""
