"""Attempts of async functions: they run on the event loop, started many at a time."""

from __future__ import annotations

import contextlib
import contextvars
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


class OnLoop:
    """What the event loop is to run: waiting to be begun, or a task of the loop.

    Parameters
    ----------
    context : contextvars.Context
        Of the coroutine alone.
    """

    __slots__ = ("_taken", "context", "task")

    def __init__(self, context: contextvars.Context) -> None:
        self.context = context
        self.task: asyncio.Task[Any] | None = None
        self._taken = threading.Lock()
        """Locked for good by whoever begins it, or takes it back."""

    def take(self) -> bool:
        """Whether nobody else has begun it or taken it back."""
        return self._taken.acquire(blocking=False)

    @property
    def wanted(self) -> bool:
        """Whether anybody waits for it."""
        raise NotImplementedError

    def refuse(self, error: Exception | None) -> bool:
        """Take it back and tell of it, unless it has begun; error: why it can't."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Wait for it no longer, whether it has begun or not."""
        if self.refuse(None) or self.task is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.task.get_loop().call_soon_threadsafe(self.task.cancel)

    async def run(self) -> None:
        """Await the coroutine, and tell of its end."""
        raise NotImplementedError

    def cut_off(self, error: BaseException) -> None:
        """Hear that the task was cancelled, at exit perhaps before its first line."""
        raise NotImplementedError


class _Attempt(OnLoop):
    """One attempt of a job."""

    __slots__ = ("_coroutine", "job", "ticket")

    def __init__(self, job: Job, ticket: int, coroutine: Any) -> None:
        # What has been set before the coroutine was returned, it sees.
        super().__init__(_core.task_context(job.context if coroutine is None else None))
        self.job = job
        self.ticket = ticket
        self._coroutine = coroutine

    @property
    def wanted(self) -> bool:
        """See `OnLoop`."""
        return self.job.attempts.live == self.ticket

    def refuse(self, error: Exception | None) -> bool:
        """See `OnLoop`."""
        if not self.take():
            return False
        self._close()
        self.job.left(self.ticket, error)
        return True

    def cancel(self) -> bool:
        """See `fastflow.run.job.UnderWay`."""
        return self.refuse(None)

    def _close(self) -> None:
        """Drop the coroutine, which will never be awaited."""
        if self._coroutine is not None:
            self._coroutine.close()

    async def run(self) -> None:
        """See `OnLoop`."""
        import asyncio

        job, ticket = self.job, self.ticket
        try:
            if not job.begun(ticket):  # it may have begun in the call that led to this
                self._close()
                return
            if job.events is None:
                value = await (self._coroutine or job.coroutine(ticket))
            else:
                with job.around():
                    value = await (self._coroutine or job.coroutine(ticket))
        except BaseException as error:
            job.raised(ticket, error)
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            job.returned(ticket, value)

    def cut_off(self, error: BaseException) -> None:
        """See `OnLoop`."""
        self._close()
        self.job.raised(self.ticket, error)


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
        self._waiting: list[OnLoop] = []

    def launch(
        self, job: Job, ticket: int, coroutine: Coroutine[Any, Any, Any] | None = None
    ) -> None:
        """Have an attempt made; or go on with the coroutine that one has returned."""
        attempt = _Attempt(job, ticket, coroutine)
        self.start(attempt)
        job.keep(ticket, attempt, replace=coroutine is not None)

    def start(self, attempt: OnLoop) -> None:
        """Have something run by the loop.

        Raises
        ------
        RuntimeError
            At interpreter shutdown; it was refused then.
        """
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

    def _take_all(self) -> list[OnLoop]:
        with self._lock:
            attempts, self._waiting = self._waiting, []
        return attempts

    def _refuse_all(self, error: Exception) -> None:
        for attempt in self._take_all():
            attempt.refuse(error)
            self._leave()

    def _begin_all(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        for attempt in self._take_all():
            if not attempt.take():
                self._leave()
                continue
            _keep.add(attempt)
            task = loop.create_task(attempt.run(), context=attempt.context)
            attempt.task = task
            task.add_done_callback(functools.partial(self._ended, attempt))
            if not attempt.wanted:
                task.cancel()  # given up while nobody could cancel the task

    def _ended(self, attempt: OnLoop, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            import asyncio

            attempt.cut_off(asyncio.CancelledError())
        _keep.discard(attempt)
        self._leave()

    def _leave(self) -> None:
        if self._activity is not None:
            self._activity.leave()


_keep: set[OnLoop] = set()
"""Those that run, with their tasks: the event loop keeps weak references only."""
