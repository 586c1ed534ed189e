"""Attempts in the processes of a `ProcessExecutor`, each a call of its own.

The executor shares calls out itself, so nothing is held here.  A worker tells when it
begins a call that has a limit: its time runs from then.  A call that is given up is
ended: if it has begun, its worker is.
"""

from __future__ import annotations

import concurrent.futures as cf
import logging
import threading
import time
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any

from fastflow.backends.local import ThreadBackend
from fastflow.base.log_ids import extra
from fastflow.pool.executor import default_executor
from fastflow.processes.executor import ProcessExecutor
from fastflow.processes.future import ProcessFuture
from fastflow.run.job import Backend, Job
from fastflow.run.loop import Loop
from fastflow.run.remote import OneCall, Outcome, Run, explained

__all__ = ["ProcessBackend"]

_LOGGER = logging.getLogger("fastflow")


_Calls = dict[tuple[Run, Callable[..., Any], bool], OneCall]

_all: weakref.WeakKeyDictionary[ProcessExecutor, _Calls] = weakref.WeakKeyDictionary()
"""What has been made for functions: a worker knows each of them once it has seen it."""
_lock = threading.Lock()


class ProcessBackend(Backend):
    """A `ProcessExecutor`, as one run uses it.

    Context variables don't travel: a call has a copy of those of the process it is made
    in.

    Parameters
    ----------
    executor : ProcessExecutor
    loop : Loop, optional
        For functions that are async; these are called in this process.
    """

    remote = True
    by_value = True
    can_kill = True
    nested = False

    def __init__(self, executor: ProcessExecutor, loop: Loop | None = None) -> None:
        self.executor: cf.Executor = executor
        self.loop = loop or Loop()
        self._submit = executor.submit
        self._workers = executor._max_workers
        with _lock:
            self._calls = _all.setdefault(executor, {})

    def capacity(self) -> int | None:
        """See `fastflow.run.job.Backend`."""
        return self._workers

    def launch(self, job: Job, ticket: int) -> None:
        """See `fastflow.run.job.Backend`."""
        if job.is_async:
            self.loop.launch(job, ticket)
            return
        run, fn = job.remote_function()
        limited = job.attempts.timeout is not None
        made = self._made(run, fn, limited)
        future = self._submit(made, *job.remote_arguments())
        if isinstance(future, ProcessFuture):
            future.about = job
        call = _Call(job, ticket, future)
        job.sent(ticket)
        job.keep(ticket, call)
        if limited and isinstance(future, ProcessFuture):
            future.tell_begun(call.begun)
        else:
            job.begun(ticket)
        future.add_done_callback(call.ended)

    def _made(self, run: Run, fn: Callable[..., Any], limited: bool) -> OneCall:
        """Return what makes the calls of a function, the same one for all of them."""
        if type(fn) is not FunctionType:
            return OneCall(run, fn, tells=limited)
        key = run, fn, limited
        found = self._calls.get(key)
        if found is None:
            found = self._calls[key] = OneCall(run, fn, tells=limited)
        return found

    def recover(self, job: Job, ticket: int) -> None:
        """See `fastflow.run.job.Backend`."""
        ThreadBackend(default_executor(), loop=self.loop).recover(job, ticket)


class _Call:
    """An attempt; see `fastflow.run.job.UnderWay`."""

    __slots__ = ("_future", "_job", "_sent", "_ticket")

    def __init__(self, job: Job, ticket: int, future: cf.Future[Any]) -> None:
        self._job = job
        self._ticket = ticket
        self._future = future
        self._sent = time.perf_counter()

    def cancel(self) -> bool:
        """See `fastflow.run.job.UnderWay`; the job is told by `ended`."""
        return self._future.cancel()

    def give_up(self) -> None:
        """See `fastflow.run.job.UnderWay`; if it has begun, its worker is killed."""
        future = self._future
        if not future.cancel() and isinstance(future, ProcessFuture):
            future.terminate()

    def begun(self) -> None:
        """Hear that a worker begins it."""
        try:
            self._job.begun(self._ticket)
        except Exception as error:  # its limit can't be watched
            self._job.raised(self._ticket, error)

    def ended(self, future: cf.Future[Any]) -> None:
        """Hear that it has ended, and tell the job; its mistakes are nobody else's."""
        try:
            self._tell(future)
        except Exception:
            _LOGGER.exception(
                "exception at the end of a call", extra=extra(*self._job.ids())
            )

    def _tell(self, future: cf.Future[Any]) -> None:
        job, ticket = self._job, self._ticket
        if future.cancelled():
            job.left(ticket)
            return
        error = future.exception()
        if error is None:
            outcome = Outcome(*future.result())
            job.ran(ticket, *outcome.seen_here(self._sent))
            if outcome.failure is None:
                job.returned(ticket, outcome.value)
                return
            error = outcome.failure.error()
        job.raised(ticket, explained(error))
