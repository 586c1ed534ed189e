"""One call of a task of a flow, with the options of the task."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

from fastflow.base.log_ids import Ids
from fastflow.base.timers import Clock
from fastflow.errors import TaskTimeout
from fastflow.run.attempts import Attempts, State
from fastflow.run.cache import MISSING
from fastflow.run.events import Events, JobKey
from fastflow.run.inline import attempts_of, timeout_error
from fastflow.run.job import Backend, Job
from fastflow.run.kept import here
from fastflow.run.task import InvalidInput, Task, traveller

__all__ = ["JobWithKept", "TaskJob"]


class TaskJob(Job):
    """A call of a task that notes when and where it has run.

    Parameters
    ----------
    task : Task
    args, kwargs
        Of the call.
    done : callable
        See `Job`.
    tag
        For whoever hears of the end.
    attempts : Attempts, optional
        Default: none made so far.

    Attributes
    ----------
    began, ended : float
        By ``time.perf_counter``: begin of the first attempt, end of the last; 0: none.
    worker : str, int or None
        Where the last attempt ran; a number is that of a thread.
    recovers : bool
        Whether the fallback has been asked.
    """

    __slots__ = (
        "_key", "_measured", "_sent", "args", "began", "ended", "events", "executor",
        "is_async", "keeps", "key", "kwargs", "leave", "recovers", "tag", "task",
        "worker",
    )  # fmt: skip

    def __init__(
        self,
        task: Task,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        done: Callable[[TaskJob], object],
        tag: Any,
        *,
        backend: Backend,
        clock: Clock,
        context: contextvars.Context | None = None,
        attempts: Attempts | None = None,
    ) -> None:
        super().__init__(attempts or attempts_of(task), backend, clock, done, context)
        self.events: Events | None = None
        self.key: JobKey | None = None
        self.task = task
        self.args = args
        self.kwargs = kwargs
        self.tag = tag
        self.is_async = task.is_async
        self.executor = task.executor
        self.keeps = False
        self.began = self.ended = 0.0
        self.worker: str | int | None = None
        self.recovers = False
        self.leave: Callable[[], object] | None = None
        self._key: Any = None
        self._sent = self._measured = 0  # tickets of attempts in other processes

    @property
    def dropped(self) -> bool:
        """Whether it was given up before an attempt has counted."""
        return self.attempts.state is State.DROPPED

    def start(self) -> None:
        """See `Job`; a result that the task's cache has is the outcome at once."""
        cache = self.task.cache
        if cache is None:
            super().start()
            return
        try:
            self._key = cache.key(self.args, self.kwargs)
            value = cache.get(self._key)
        except BaseException as error:  # of the store
            with self._lock:
                action = self.attempts.refused(error)
        else:
            if value is MISSING:
                super().start()
                return
            with self._lock:
                action = self.attempts.recalled(value)
        self.began = self.ended = time.perf_counter()
        self.worker = "cache"
        self._follow(action)

    def outcome(self) -> tuple[BaseException | None, Any]:
        """Return the error, or None and the value, once the job has ended.

        It is asked once: the value goes into the task's cache.
        """
        attempts = self.attempts
        if attempts.state is not State.SUCCEEDED:
            return attempts.error, None
        if self._key is None or self.recovers or not attempts.count:
            return None, attempts.value
        assert self.task.cache is not None
        try:
            return None, self.task.cache.put(self._key, attempts.value)
        except BaseException as error:  # of the store, or of an iterator
            return error, None

    # What is called.

    def call(self, ticket: int) -> Any:  # noqa: ARG002
        """See `Job`."""
        return self.task.attempt(self.args, self.kwargs)

    def coroutine(self, ticket: int) -> Any:  # noqa: ARG002
        """See `Job`."""
        return self.task.coroutine(self.args, self.kwargs)

    def fallback(self) -> Any:
        """See `Job`."""
        reason = self.attempts.error
        assert isinstance(reason, Exception)
        return self.task.recover(reason, self.args, self.kwargs)

    def limit_error(self) -> TaskTimeout:
        """See `Job`."""
        return timeout_error(self.task)

    # What is noted.

    def ids(self) -> Ids:
        """See `Job`; who has made it is who hears of its end."""
        owner = getattr(self.done, "__self__", None)
        ids_of: Callable[[Any, int], Ids] | None = getattr(owner, "ids_of", None)
        if ids_of is None:
            return Ids(task=self.task.name, attempt=self.attempts.count)
        return ids_of(self.tag, self.attempts.count)

    def begun(self, ticket: int) -> bool:
        """See `Job`."""
        if not super().begun(ticket):
            return False
        self.began = self.began or time.perf_counter()
        if self._sent != ticket:
            self.worker = threading.get_ident()
        return True

    def sent(self, ticket: int) -> None:
        """See `Job`."""
        super().sent(ticket)
        self._sent = ticket
        self.worker = None  # not known before it is back

    def ran(self, ticket: int, start: float, end: float, where: int | str) -> None:
        """See `Job`."""
        super().ran(ticket, start, end, where)
        if self.attempts.live == ticket:
            if self.attempts.count == 1 or not self.began:
                self.began = start  # it was noted when it was sent
            self.ended = end
            self._measured = ticket
            self.worker = where

    def remote_function(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """See `Job`; tasks travel by reference."""
        from fastflow.run.remote import attempt_task

        return attempt_task, traveller(self.task)

    def remote_arguments(self) -> tuple[Any, ...]:
        """See `Job`."""
        return self.args, self.kwargs

    def returned(self, ticket: int, value: Any) -> bool:
        """See `Job`."""
        self._note_end(ticket)
        return super().returned(ticket, value)

    def raised(self, ticket: int, error: BaseException, *, final: bool = False) -> bool:
        """See `Job`; what a validator of the input refuses, is so at any attempt."""
        self._note_end(ticket)
        if isinstance(error, InvalidInput):
            error, final = error.reason, True
        return super().raised(ticket, error, final=final)

    def freed(self) -> None:
        """See `Job`."""
        with self._lock:
            leave, self.leave = self.leave, None
        if leave is not None:
            leave()

    def time_is_up(self, ticket: int) -> None:  # noqa: ARG002
        """See `Job`."""
        self.ended = time.perf_counter()

    def _note_end(self, ticket: int) -> None:
        if self.attempts.live == ticket and self._measured != ticket:
            self.ended = time.perf_counter()

    def _recover(self) -> None:
        self.recovers = True
        if callable(self.task.fallback):
            super()._recover()
        else:
            self.returned(self.attempts.live, self.task.fallback)


class JobWithKept(TaskJob):
    """One among whose arguments some may be elsewhere; see `fastflow.run.kept`.

    They are fetched where a call needs them, and by whoever makes it: in the thread of
    an attempt in this process.  What goes to another process travels as it is.
    """

    __slots__ = ()

    def start(self) -> None:
        """See `Job`; a cache looks at the arguments."""
        if self.task.cache is not None:
            try:
                self._fetch()
            except Exception as error:
                self.began = self.ended = time.perf_counter()
                with self._lock:
                    action = self.attempts.refused(error)
                self._follow(action)
                return
        super().start()

    def call(self, ticket: int) -> Any:
        """See `Job`."""
        self._fetch()
        return super().call(ticket)

    def coroutine(self, ticket: int) -> Any:
        """See `Job`; the event loop goes on meanwhile."""
        return self._fetched_first(ticket)

    async def _fetched_first(self, ticket: int) -> Any:
        import asyncio  # who is here has it; not all programs do

        await asyncio.to_thread(self._fetch)
        return await super().coroutine(ticket)

    def fallback(self) -> Any:
        """See `Job`."""
        self._fetch()
        return super().fallback()

    def _fetch(self) -> None:
        self.args, self.kwargs = here((self.args, self.kwargs))
