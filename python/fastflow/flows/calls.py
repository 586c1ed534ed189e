"""Task calls of a flow function: what each needs, where it runs, how it ends.

Threads: the flow function makes calls in its own thread; calls end, and let others
begin, in whichever thread their last event happens in.

* A call begins once: when the last of the handles that it needs is done.  They are
  counted under the run's lock, from one more than there are, which the caller takes
  away last; so nobody begins a call before it is complete.
* That a handle is done is its native future's business: its callbacks are called once
  each, also if they are added late.
* Whoever sees that a call may begin adds it to a queue, and one thread at a time lets
  them begin: a chain of calls each of which ends at once needs no stack.
* A handle has one outcome: who comes second finds that it has one.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from fastflow import _core
from fastflow.backends.choose import backend_of
from fastflow.backends.routed import Routed
from fastflow.base.interrupts import ENDS_PROGRAM
from fastflow.base.log_ids import Ids, id_of
from fastflow.base.nested import FlatTemplate, Template, template_of_call
from fastflow.base.serial_queue import SerialQueue
from fastflow.base.timers import system_clock
from fastflow.engines.base import check_loop
from fastflow.engines.limits import AllLimits, Limited
from fastflow.errors import TaskError
from fastflow.flows.outcome import task_error
from fastflow.pool.dispatch import is_after_limit
from fastflow.pool.executor import Executor
from fastflow.pool.future import Future
from fastflow.pool.named import engine_of
from fastflow.run import active
from fastflow.run.admission import Admission
from fastflow.run.attempts import Attempts
from fastflow.run.events import LISTENING, Events, JobKey
from fastflow.run.handles import HANDLES, Handle
from fastflow.run.inline import Tries, attempts_of, run_blocking
from fastflow.run.job import Backend
from fastflow.run.job_spans import JobSpans, joined
from fastflow.run.kept import Kept, all_here
from fastflow.run.task import Task, task_of
from fastflow.run.task_job import JobWithKept, TaskJob

__all__ = ["Call", "Calls", "ParallelCalls", "SerialCalls", "error_now"]

_clock = time.perf_counter
_NEVER = -(1 << 62)  # things missing to a call that will not be made


class Call:
    """One call of a task.

    Attributes
    ----------
    began, ended : float
        By ``time.perf_counter``; 0: it has not.
    worker : int, str or None
        Thread, by number or name, or process.
    attempts : int
    job : TaskJob or None
        Which knows all that, if there is one.
    future : Future or None
        Of the executor, if there is one.
    elsewhere : bool
        Whether there is a result among its arguments that is not in this process.
    """

    __slots__ = (
        "args", "attempts", "began", "context", "elsewhere", "ended", "future",
        "handle", "job", "kwargs", "missing", "needs", "task", "worker",
    )  # fmt: skip

    def __init__(
        self,
        task: Task,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        handle: Handle[Any],
        needs: FlatTemplate | Template | None,
    ) -> None:
        self.task = task
        self.args = args
        self.kwargs = kwargs
        self.handle = handle
        self.needs = needs
        self.context: Any = None
        self.began = self.ended = 0.0
        self.attempts = 0
        self.worker: int | str | None = None
        self.job: TaskJob | None = None
        self.future: Any = None
        self.missing = 0
        self.elsewhere = False

    def fill(self) -> None:
        """Put the results of all that it needs, which has ended well, in place.

        Those that are kept elsewhere stay there, if no class of the user's that holds
        one would see that; see `fastflow.run.kept`.
        """
        if self.needs is not None:
            results = [Future.result(handle, 0) for handle in self.needs.references]
            if Kept in map(type, results):
                self.elsewhere = self.needs.is_plain
                if not self.elsewhere:
                    results = all_here(results)
            self.args, self.kwargs = self.needs.fill(results)

    def fetch(self) -> None:
        """Have the results here that `fill` has left elsewhere."""
        if self.elsewhere and self.needs is not None:
            results = [Future.result(handle, 0) for handle in self.needs.references]
            self.args, self.kwargs = self.needs.fill(all_here(results))
            self.elsewhere = False

    def note_job(self) -> None:
        """Take over what its job knows."""
        job = self.job
        if job is not None:
            self.began, self.ended, self.worker = job.began, job.ended, job.worker
            self.attempts = job.attempts.count


class _JobWithKept(JobWithKept):
    """The job of a call some of whose arguments are elsewhere."""

    __slots__ = ()

    def _fetch(self) -> None:
        call: Call = self.tag
        call.fetch()
        self.args, self.kwargs = call.args, call.kwargs


def error_now(handle: Handle[Any]) -> BaseException | None:
    """Return the error of a handle, without having looked; None: it has none yet."""
    return Future.exception(handle, 0) if handle.done() else None


class Calls:
    """The calls of one run; see `fastflow.run.active.Caller`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.made: list[Call] = []
        self.errors: dict[Handle[Any], TaskError] = {}
        self.events = LISTENING.get()
        self.spans: JobSpans | None = None
        """Told of jobs, if somebody records."""
        self._counts: dict[str, int] = {}

    def call(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Handle[Any]:
        """Start a task."""
        task = task_of(fn)
        counts = self._counts
        name = task.name
        count = counts[name] = counts.get(name, 0) + 1
        handle: Handle[Any] = Handle(name if count == 1 else f"{name}#{count}")
        needs = template_of_call(args, kwargs, HANDLES)
        call = Call(task, args, kwargs, handle, needs)
        self.made.append(call)
        try:
            self.start(call)
        except BaseException as error:
            if not handle.done():  # it was refused
                handle.set_exception(error)
            raise
        return handle

    @property
    def id(self) -> str:
        """The run's own name."""
        return id_of(self, self.name)

    def ids_of(self, call: Call, attempt: int = 1) -> Ids:
        """Return what log records of a call belong to."""
        return Ids(self.id, call.handle.name, attempt)

    @property
    def job_events(self) -> Events | None:
        """What is told of jobs: whoever listens, and whoever records."""
        return joined(self.events, self.spans)

    def key(self, call: Call) -> JobKey:
        """Return what a call is called in events."""
        return JobKey(self.id, call.handle.name, call.task.name)

    def start(self, call: Call) -> None:
        """Start a call, now or when it has what it needs."""
        raise NotImplementedError

    def close(self, *, cancel: bool) -> None:
        """Wait until all calls have ended; if `cancel`, only those that run already."""

    def give_up(self) -> None:
        """Start nothing more, and wait for nothing."""

    def finish(self, call: Call, error: BaseException | None, value: Any) -> None:
        """Let a call's handle know how it has ended."""
        handle = call.handle
        try:  # suppress() would cost as much as the rest of it
            if error is None:
                if type(value) is Kept:
                    value.task = handle.name
                handle.set_result(value)
            else:
                failed = self.errors[handle] = task_error(handle.name, error, None)
                handle.set_exception(failed)
        except concurrent.futures.InvalidStateError:
            pass


class SerialCalls(Calls):
    """Tasks run when they are called, in the calling thread."""

    def start(self, call: Call) -> None:
        """See `Calls`."""
        for needed in call.needs.references if call.needs else ():
            needed.wait()  # for another flow's
            error = error_now(needed)
            if error is not None:
                call.handle.set_exception(error)
                return
        call.began = _clock()
        call.worker = threading.get_ident()
        before = active.set_current(None)
        tries, error, value = Tries(), None, None
        if call.task.is_async or call.task.timeout is not None:
            tries.whose = self.ids_of, call
        job_events = self.job_events
        if job_events is not None:
            tries.tell(job_events, self.key(call))
        if self.events is not None:
            self.events.job_started(self.key(call), 1)
        try:
            call.fill()
            call.fetch()
            if self.events is None:
                value = _core.task_context().run(
                    run_blocking, call.task, call.args, call.kwargs, tries
                )
            else:
                with self.events.around_job(self.key(call), 1):
                    value = _core.task_context().run(
                        run_blocking, call.task, call.args, call.kwargs, tries
                    )
        except ENDS_PROGRAM:
            raise
        except BaseException as raised:
            error = raised
        finally:
            active.set_current(before)
        call.attempts = tries.count
        call.ended = _clock()
        if self.events is not None:
            self.events.job_ended(self.key(call), tries.count, error)
        if self.spans is not None and tries.count > 1:
            self.spans.job_ended(self.key(call), tries.count, 0.0, error)
        self.finish(call, error, value)


class ParallelCalls(Calls):
    """Tasks run on an executor.

    A first attempt without options that need a job is a task of our own executor, as
    if the function had submitted it; all others are jobs.
    """

    def __init__(
        self,
        name: str,
        executor: concurrent.futures.Executor,
        max_workers: int | None,
    ) -> None:
        super().__init__(name)
        self._submit: Callable[..., Any] | None = None
        self._backend: Backend = Routed(backend_of(executor))
        if isinstance(executor, Executor):
            all_workers = engine_of(executor, None)[1]
            if max_workers is not None and max_workers >= all_workers:
                max_workers = None
            if max_workers is None and not executor._is_bounded:
                self._submit = executor.submit
        if max_workers is not None:
            self._backend = Admission(self._backend, max_workers, counts_async=False)
        self._lock = threading.Lock()
        self._ready = SerialQueue(self._begin)
        self._cancelled = False
        self._limits = AllLimits(system_clock, self._lost)
        self._broken: BaseException | None = None
        """What ends the program."""

    def _stops(self) -> bool:
        return self._cancelled

    def start(self, call: Call) -> None:
        """See `Calls`."""
        if call.task.is_async:
            check_loop(self.name, [call.task])
        needs = call.needs
        if needs is not None or not call.task.is_bare:
            call.context = _core.task_context()
        if needs is None:
            if self._submit is not None:
                self._begin(call)
            else:  # it may be made here
                active.outside(lambda: self._begin(call))
            return
        call.missing = len(needs.references) + 1
        for needed in needs.references:
            needed.add_done_callback(partial(self._has_ended, call))
        self._has_ended(call, None)

    def _has_ended(self, call: Call, _: Any) -> None:
        """One thing less is missing to a call."""
        with self._lock:
            call.missing -= 1
            begins = not call.missing
        if begins:
            self._ready.send(call)

    def _begin(self, call: Call) -> None:
        """Begin a call that has what it needs."""
        needs = call.needs
        if self._cancelled:
            self._drop(call)
            return
        try:
            if needs is not None:
                for needed in needs.references:
                    error = error_now(needed)
                    if error is not None:
                        call.handle.set_exception(error)
                        return
                call.fill()
            self._send(call)
        except BaseException as error:  # a set of results that can't be hashed, say
            self._end(call, error, None)
            return
        if self._stops():  # meanwhile
            self._take_back(call)

    def _send(self, call: Call) -> None:
        task, submit = call.task, self._submit
        if (
            submit is None
            or task.is_async
            or task.cache
            or task.executor is not None
            or is_after_limit()
        ):
            self._job_of(call).start()
        elif call.context is None:
            call.future = submit(self._attempt, call)
        else:
            apart = _core.task_context(call.context)
            call.future = submit(apart.run, self._attempt, call)

    def _job_of(self, call: Call, attempts: Attempts | None = None) -> TaskJob:
        make = _JobWithKept if call.elsewhere else TaskJob
        job = call.job = make(
            call.task, call.args, call.kwargs, self._job_ended, call,
            backend=self._backend, clock=system_clock, context=call.context,
            attempts=attempts,
        )  # fmt: skip
        job.keeps = call.task.cache is None
        job_events = self.job_events
        if job_events is not None:
            job.events, job.key = job_events, self.key(call)
        return job

    # First attempts that are no jobs, on workers of our own executor.

    def _attempt(self, call: Call) -> None:
        task = call.task
        call.began, call.worker = _clock(), threading.get_ident()
        call.attempts = 1
        events = self.events
        if events is not None:
            events.job_started(self.key(call), 1)
        limits = None if task.timeout is None else self._limits.of(task.timeout)
        limited: Limited | None = None
        error: BaseException | None = None
        value: Any = None
        try:
            if limits is not None:
                limited = limits.begin(call)
            call.fetch()
            if events is None:
                value = task.attempt(call.args, call.kwargs)
            else:
                with events.around_job(self.key(call), 1):
                    value = task.attempt(call.args, call.kwargs)
        except BaseException as raised:
            error = raised
        if limits and limited and not limits.end(limited):
            return
        if error is None:
            call.ended = _clock()
            if events is not None:
                events.job_ended(self.key(call), 1, None)
            self.finish(call, None, value)
        elif isinstance(error, ENDS_PROGRAM):
            self._end_program(error)
        else:
            job = self._resumed(call)
            job.raised(job.attempts.live, error)

    def _lost(self, limited: Limited) -> None:
        job = self._resumed(limited.what)
        job.expired(job.attempts.live)

    def _resumed(self, call: Call) -> TaskJob:
        """Let a job decide what follows the first attempt."""
        job = self._job_of(call, attempts_of(call.task, begun=True))
        job.began, job.worker = call.began, call.worker
        if self._cancelled:
            job.stop()
        return job

    # Ends.

    def _job_ended(self, job: TaskJob) -> None:
        call: Call = job.tag
        error, value = job.outcome()
        if job.dropped:
            self._drop(call)
        else:
            self._end(call, error, value)

    def _end(self, call: Call, error: BaseException | None, value: Any) -> None:
        if isinstance(error, ENDS_PROGRAM):
            self._end_program(error)
        else:
            self.finish(call, error, value)

    def _drop(self, call: Call) -> None:
        """Let a handle know that its call will not be made, or is not waited for."""
        error = self._broken or concurrent.futures.CancelledError()
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            call.handle.set_exception(error)

    def close(self, *, cancel: bool) -> None:
        """See `Calls`."""
        if cancel:
            self._cancelled = True
            for call in self.made:
                if not call.handle.done():
                    self._take_back(call)
        for call in self.made:
            if not call.handle.done():
                call.handle.wait()
        self._limits.close()
        if self._broken is not None:
            raise self._broken

    def _take_back(self, call: Call) -> None:
        """Drop a call that has not begun; one that runs is the last attempt."""
        with self._lock:
            waits = call.missing > 0
            if waits:
                call.missing = _NEVER
        job, future = call.job, call.future
        if job is not None:
            job.stop()
        elif waits or (future is not None and future.cancel()):
            self._drop(call)

    def give_up(self) -> None:
        """See `Calls`."""
        self._cancelled = True
        for call in self.made:
            job, future = call.job, call.future
            if job is not None:
                job.cancel()
            elif future is not None:
                future.cancel()
            self._drop(call)

    def _end_program(self, error: BaseException) -> None:
        """End the run with what is to come out of it as it is."""
        self._broken = self._broken or error
        self.give_up()
