"""Runs tasks with all their options and never waits inside of a worker.

One thread, whoever calls `Driver.run`, handles events one after another: an attempt has
ended, a delay or a timeout is over. Workers, timers and the event loop only put events
into its queue, so nothing here needs a lock, and a chain of any length needs no stack.
"""

from __future__ import annotations

import inspect
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from fastflow import _core, aio
from fastflow.cache import MISSING, ResultCache
from fastflow.dispatch import after_limit, given_up
from fastflow.engines.parcels import Outcome
from fastflow.engines.pools import Done, Pool, Raised
from fastflow.interrupts import ENDS_PROGRAM, wait_until
from fastflow.run.attempts import DELIVER, NOTHING, PAUSE, RECOVER, Do, State
from fastflow.run.inline import attempt_raised, attempts_of, timeout_error
from fastflow.tasks import Task
from fastflow.timers import Clock, Timer, system_clock

__all__ = ["Driver", "Job"]

_EVENTS = 256  # handled at most before what they have collected is started


class Job:
    """One call of a task, from launch to its result; all attempts."""

    __slots__ = (
        "args", "cancel", "context", "done", "dropped", "end", "error", "future", "key",
        "kwargs", "machine", "start", "submitted", "tag", "task", "timer", "value",
        "worker",
    )  # fmt: skip

    def __init__(
        self,
        task: Task,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        done: Callable[[Job], object],
        tag: Any,
    ) -> None:
        self.task = task
        self.args = args
        self.kwargs = kwargs
        self.done = done
        self.tag = tag
        self.value: Any = None
        self.error: BaseException | None = None
        self.dropped = False
        """Given up before it ran."""
        self.machine = attempts_of(task)
        """Decides what follows; `Driver` carries it out."""
        self.start = self.end = self.submitted = 0.0
        self.worker: int | str | None = None
        self.key: Any = None
        self.timer: Timer | None = None
        self.cancel: Callable[[], object] | None = None
        self.context = _core.task_context()
        """Of which each attempt has a copy."""
        self.future: Any = None
        """Of the live attempt, if it is on the executor."""

    @property
    def attempts(self) -> int:
        """How many have begun."""
        return self.machine.count

    @property
    def live(self) -> int:
        """Ticket of the attempt, or the fallback, whose end counts; 0: none does."""
        return self.machine.live

    def begin_sent(self, future: Any) -> None:
        """Note that the live attempt is on its way."""
        self.submitted = time.perf_counter()
        self.future, self.cancel = future, future.cancel


class Driver:
    """An event loop over jobs.

    Parameters
    ----------
    pool : Pool
        Where functions run.
    limit : int, optional
        Attempts at a time, coroutines included if `limit_async`.
    limit_async : bool
        Whether coroutines count.
    clock : Clock, optional
        For delays and timeouts.
    """

    def __init__(
        self,
        pool: Pool,
        limit: int | None = None,
        *,
        limit_async: bool = False,
        clock: Clock = system_clock,
    ) -> None:
        self._pool = pool
        self.limit = limit
        self._limit_async = limit_async
        self._clock = clock
        self._events: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._parcels = pool.parcels(self.post, self._ended, self._failed)
        self._timed = pool.timed(
            self._parcels, self.post, self._ended, self._failed, self._set_timer
        )
        self._waiting: deque[Job] = deque()
        self._coroutines: list[tuple[Job, int]] = []
        self._running = 0
        self._live: set[Job] = set()
        self.closed = self._stopping = False

    @property
    def sends_at_once(self) -> bool:
        """Whether calls to other processes wait there, not here, for a free one."""
        return self._pool.remote and self._timed is None

    def post(self, fn: Callable[..., object], *args: Any) -> None:
        """Have ``fn(*args)`` called by the driver's thread; from any thread."""
        self._events.put((fn, *args))

    def run(self, finished: Callable[[], bool]) -> None:
        """Handle events until `finished` says so."""
        events = self._events
        while not finished():
            self._start_collected()
            if events.empty():
                wait_until(self._take, None)
            for _ in range(_EVENTS):
                if events.empty() or finished():
                    break
                self._take(None)

    def _take(self, timeout: float | None) -> bool:
        """Wait for an event and handle it."""
        try:
            fn, *args = self._events.get(timeout=timeout)
        except queue.Empty:
            return False
        fn(*args)
        return True

    # All below runs in the driver's thread only.

    def launch(self, job: Job) -> None:
        """Run a job; its ``done`` is called in a later event."""
        if job.task.cache is not None and self._is_cached(job, job.task.cache):
            self.post(job.done, job)
            return
        self._live.add(job)
        self._admit(job)

    def _is_cached(self, job: Job, cache: ResultCache) -> bool:
        """Look a result up; a store that fails makes the job fail."""
        try:
            job.key = cache.key(job.args, job.kwargs)
            value = cache.get(job.key)
        except ENDS_PROGRAM:
            raise
        except BaseException as error:
            job.error = error
            return True
        if value is MISSING:
            return False
        job.value = value
        job.start = job.end = time.perf_counter()
        job.worker = "cache"
        return True

    def cancel_queued(self) -> None:
        """Give up all jobs that have not begun; attempts that run are the last."""
        self._stopping = True
        for job in self._waiting:
            self._drop(job)
        self._waiting.clear()
        collected, self._coroutines = self._coroutines, []
        for job, attempt in collected:
            self._give_up(job, attempt)
        for job in list(self._live):
            if not job.machine.live:  # between two attempts
                if job.timer is not None and job.timer.cancel():
                    self._drop(job)
            elif not job.task.is_async and job.cancel is not None and job.cancel():
                self._drop(job)
        if self._parcels is not None:
            self._parcels.stop()

    def abandon(self) -> None:
        """Give up all jobs; results that come later are dropped."""
        self.closed = self._stopping = True
        for job in self._live:
            job.machine.cancel()
            if job.timer is not None:
                job.timer.cancel()
            if job.cancel is not None:
                job.cancel()
            if job.future is not None:
                self._pool.give_up(job.future)
        self._live.clear()
        self._waiting.clear()
        self._coroutines.clear()
        if self._parcels is not None:
            self._parcels.abandon()

    def _give_up(self, job: Job, attempt: int) -> None:
        if job.machine.live == attempt:
            self._drop(job)

    def _drop(self, job: Job) -> None:
        if job in self._live:
            self._live.discard(job)
            under_way = job.machine.live
            job.machine.cancel()
            if under_way:
                self._leave(job)
            job.dropped = True
            self.post(job.done, job)

    def _counts(self, job: Job) -> bool:
        return self.limit is not None and (self._limit_async or not job.task.is_async)

    def _admit(self, job: Job) -> None:
        if self._counts(job) and self._running >= (self.limit or 0):
            self._waiting.append(job)
        else:
            self._begin(job)

    def _enter(self, job: Job) -> int:
        if self._counts(job):
            self._running += 1
        machine = job.machine
        if machine.start() is NOTHING:  # it has begun before
            machine.due()
        job.submitted = time.perf_counter()
        return machine.live

    def _leave(self, job: Job) -> None:
        """Note that the attempt has ended."""
        job.cancel = job.future = None
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None
        if self._counts(job):
            self._running -= 1
            if self._waiting and self._running < (self.limit or 0):
                self._begin(self._waiting.popleft())

    def _begin(self, job: Job) -> None:
        if self.closed:
            return
        attempt = self._enter(job)
        if job.task.is_async:
            self._coroutines.append((job, attempt))
        elif self._parcels is not None and job.task.timeout is None:
            self._parcels.add(job, attempt)
        elif self._timed is not None:
            self._timed.add(job, attempt)
        else:
            self._submit(job, attempt)

    def _submit(self, job: Job, attempt: int) -> None:
        limited = job.task.timeout is not None

        def started() -> None:
            job.start = job.start or time.perf_counter()
            job.worker = threading.current_thread().name
            if limited:
                self._set_timer(job, attempt)

        if limited and self._pool.remote:
            self._set_timer(job, attempt)
        try:
            future = self._pool.submit(
                job, started, lambda f: self.post(self._ended, job, attempt, f)
            )
        except Exception as error:  # the executor is shut down or broken
            self.post(self._failed, job, attempt, error)
            return
        job.begin_sent(future)

    def _set_timer(self, job: Job, attempt: int) -> None:
        assert job.task.timeout is not None
        timer = self._clock.call_later(
            job.task.timeout, self.post, self._timed_out, job, attempt
        )
        job.timer = timer
        if job.machine.live != attempt:
            timer.cancel()

    def _ended(self, job: Job, attempt: int, outcome: Outcome) -> None:
        if job.machine.live != attempt:
            return
        if outcome.cancelled():
            if self._stopping:
                self._drop(job)
            else:
                self._failed(job, attempt, given_up())
            return
        error, result = outcome.exception(), None
        if error is None:
            result = outcome.result()
            error = result.error if isinstance(result, Raised) else None
        if error is not None:
            self._failed(job, attempt, error)
        else:
            self._returned(job, attempt, result)

    def _returned(self, job: Job, attempt: int, result: Any) -> None:
        if job.machine.live != attempt:
            return
        done = self._pool.read(result, job.submitted)
        recovered = job.machine.state is State.RECOVERING
        if recovered and inspect.iscoroutine(done.value):
            self._await_fallback(job, attempt, done.value)
            return
        job.value, job.end, job.worker = done.value, done.end, done.worker
        job.start = job.start or done.start
        job.machine.returned(attempt, done.value)
        if job.task.cache is not None and not recovered:
            try:
                job.value = job.task.cache.put(job.key, job.value)
            except ENDS_PROGRAM:
                raise
            except BaseException as error:  # of the store, or of an iterator
                job.error = error
        self._finish(job)

    def _finish(self, job: Job) -> None:
        self._leave(job)
        self._live.discard(job)
        job.done(job)

    def _timed_out(self, job: Job, attempt: int) -> None:
        if job.machine.live != attempt:
            return
        cancel, future = job.cancel, job.future
        with after_limit():
            self._note_end(job)
            self._follow(job, job.machine.expired(attempt, timeout_error(job.task)))
        if future is None:
            if cancel is not None:
                cancel()
        elif not self._pool.give_up(future) and self._timed is not None:
            self._timed.hangs(future)

    def _failed(self, job: Job, attempt: int, error: BaseException) -> None:
        if job.machine.live != attempt:
            return
        if isinstance(error, ENDS_PROGRAM):
            raise error  # out of `run`
        self._note_end(job)
        error = self._pool.explain(error)
        final = self._stopping
        self._follow(job, attempt_raised(job.machine, attempt, error, final=final))

    def _note_end(self, job: Job) -> None:
        job.start = job.start or job.submitted
        job.end = time.perf_counter()

    def _follow(self, job: Job, action: Do) -> None:
        """Do what follows a failed attempt, or a failed fallback."""
        if action is PAUSE:
            self._leave(job)
            job.timer = self._clock.call_later(
                job.machine.pause, self.post, self._again, job
            )
        elif action is RECOVER:
            self._recover(job)
        elif action is DELIVER:
            job.error = job.machine.error
            self._finish(job)

    def _again(self, job: Job) -> None:
        job.timer = None
        if self._stopping:
            self._drop(job)
        elif job in self._live:
            self._admit(job)

    def _recover(self, job: Job) -> None:
        """Run the fallback, in the place of the attempt that has failed."""
        task, args, kwargs = job.task, job.args, job.kwargs
        ticket, reason = job.machine.live, job.machine.error
        assert isinstance(reason, Exception)
        if job.timer is not None:
            job.timer.cancel()  # the limit is that of the attempt alone
        if not callable(task.fallback):
            job.value = task.fallback
            job.machine.returned(ticket, task.fallback)
            self._finish(job)
            return
        try:
            self._pool.recover(
                job,
                lambda: task.recover(reason, args, kwargs),
                lambda f: self.post(self._ended, job, ticket, f),
            )
        except Exception as error:
            self._follow(job, job.machine.raised(ticket, error))
            return
        job.cancel = job.future = None

    # Coroutines, and what goes to other processes, start many at a time: waking whoever
    # runs them costs more than they do.

    def _start_collected(self) -> None:
        if self._timed is not None:
            self._timed.ship()
        if self._parcels is not None:
            self._parcels.ship()
        if self._coroutines:
            jobs, self._coroutines = self._coroutines, []
            aio.submit(self._start_all(jobs))

    async def _start_all(self, jobs: list[tuple[Job, int]]) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        for job, attempt in jobs:
            if job.machine.live != attempt:
                continue
            if self._stopping:
                self.post(self._give_up, job, attempt)
                continue
            context = _core.task_context(job.context)
            task = loop.create_task(self._coroutine(job, attempt), context=context)
            job.cancel = _canceller(loop, task)
            task.add_done_callback(_keep.discard)
            _keep.add(task)

    async def _coroutine(self, job: Job, attempt: int) -> None:
        import asyncio

        task = job.task
        start = time.perf_counter()
        job.start = job.start or start
        job.worker = threading.current_thread().name
        if task.timeout is not None:
            # Not asyncio.timeout(): a coroutine may go on in spite of being cancelled.
            self._set_timer(job, attempt)
        try:
            value = await task.attempt_async(job.args, job.kwargs)
        except BaseException as error:
            self.post(self._failed, job, attempt, error)
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            name = threading.current_thread().name
            done = Done(value, start, time.perf_counter(), name)
            self.post(self._returned, job, attempt, done)

    def _await_fallback(self, job: Job, attempt: int, coroutine: Any) -> None:
        async def body() -> Done:
            start = time.perf_counter()
            value = await coroutine
            name = threading.current_thread().name
            return Done(value, start, time.perf_counter(), name)

        future = _core.task_context(job.context).run(aio.submit, body())
        future.add_done_callback(lambda f: self.post(self._ended, job, attempt, f))


_keep: set[Any] = set()
"""Tasks of the event loop, which itself keeps weak references only."""


def _canceller(loop: Any, task: Any) -> Callable[[], object]:
    def cancel() -> None:
        loop.call_soon_threadsafe(task.cancel)

    return cancel
