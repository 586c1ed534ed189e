"""``ProcessExecutor``: a drop-in for ``concurrent.futures.ProcessPoolExecutor``."""

from __future__ import annotations

import concurrent.futures.process as cfp
import itertools
import logging
import multiprocessing
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

from fastflow.base import lifetime, recorders
from fastflow.base.durations import Time, limit_of, wait_of
from fastflow.base.options import check_choice, check_count, check_limit
from fastflow.errors import QueueFullError
from fastflow.pool.blas import share_of
from fastflow.pool.columns import columns_of
from fastflow.pool.executor import Executor, map_by_submit
from fastflow.processes import place
from fastflow.processes.buffers import Shares
from fastflow.processes.chunks import MapRun, Recorded
from fastflow.processes.desk import Desk
from fastflow.processes.future import ProcessFuture
from fastflow.processes.packing import Packer, dumps, main_is_hidden
from fastflow.processes.recorded import (
    RecordedFuture,
    Timed,
    is_told_by_nobody,
    timed,
)
from fastflow.processes.transport import MOST
from fastflow.processes.undisturbed import call_undisturbed, is_stray
from fastflow.processes.watch import Watch
from fastflow.processes.worker_main import Setup
from fastflow.processes.workers import Crew, forget_server, prepare_server

__all__ = ["ProcessExecutor", "standing_by"]

T = TypeVar("T")

_numbers = itertools.count()


class ProcessExecutor(cfp.ProcessPoolExecutor):
    """Runs calls in other processes.

    ``from fastflow import ProcessPoolExecutor`` is the whole port from
    ``concurrent.futures``: same arguments, same futures, same behaviour at shutdown and
    at exit, plus the keyword arguments below.

    Parameters
    ----------
    max_workers : int, optional
        Processes, >= 1. Default: the number of cores. They are started on demand.
    mp_context : optional
        A context of multiprocessing, in place of `start_method`.
    initializer : callable, optional
        Called with `initargs` in each process first. If it fails, the executor is
        broken, and pending calls end with `BrokenProcessesError`.
    initargs : tuple
        Arguments of `initializer`.
    max_tasks_per_child : int, optional
        Calls, or chunks of a map, that a process makes before it is replaced.
    start_method : {"forkserver", "spawn", "fork"}, optional
        Default: forkserver on Linux, else spawn.
    preload : sequence of str
        Modules that the fork server imports before it forks the first worker.
    idle_timeout : time, optional
        After which processes end that have nothing to do; None: they stay.
    memory_limit : int, optional
        Bytes: a process that has more is replaced between two calls.
    on_worker_death : {"fail", "retry"}
        What becomes of a call whose process dies: `WorkerDiedError`, or it is made
        again, three times at most. Those that had not begun always go on elsewhere.
    share_arrays : int, optional
        Bytes from which a buffer lies in shared memory; None: none does.
    blas_threads : int, "auto" or None
        Threads of BLAS and OpenMP in each process; "auto": its share of the cores.
    max_pending : int, optional
        Limit of calls that wait for a process. Default: none.
    on_full : {"block", "raise", "caller_runs"}
        What `submit` does at that limit: wait for room, raise `QueueFullError`, or make
        the call in this thread.

    Notes
    -----
    What is submitted is pickled there and then. Do not change an array while a call
    that has it is pending: calls that have the same one share one copy.

    Examples
    --------
    >>> with ProcessExecutor(max_workers=2) as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        start_method: Literal["fork", "forkserver", "spawn"] | None = None,
        memory_limit: int | None = None,
        on_worker_death: Literal["fail", "retry"] = "fail",
        share_arrays: int | None = 65_536,
        idle_timeout: Time | None = 60.0,
        blas_threads: int | Literal["auto"] | None = "auto",
        preload: Sequence[str] = (),
        max_pending: int | None = None,
        on_full: Literal["block", "raise", "caller_runs"] = "block",
    ) -> None:
        # ProcessPoolExecutor.__init__ is not called: none of its internals are used.
        self._max_workers = _worker_count(max_workers)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if place.in_worker():
            self._run_in_threads(initializer, initargs)
            return
        self._max_pending = check_limit("max_pending", max_pending)
        self._on_full = check_choice(
            "on_full", on_full, ("block", "raise", "caller_runs")
        )
        check_limit("max_tasks_per_child", max_tasks_per_child)
        check_limit("memory_limit", memory_limit)
        check_choice("on_worker_death", on_worker_death, ("fail", "retry"))
        check_limit("share_arrays", share_arrays)
        if blas_threads != "auto":
            check_limit("blas_threads", blas_threads)
        if mp_context is not None and start_method is not None:
            raise ValueError("give mp_context or start_method, not both")
        if mp_context is None:
            mp_context = multiprocessing.get_context(start_method or _quick_and_safe())
        if max_tasks_per_child is not None and mp_context.get_start_method() == "fork":
            raise ValueError(
                "max_tasks_per_child is incompatible with the 'fork' start method: "
                "processes would be forked while threads run"
            )
        if mp_context.get_start_method() == "forkserver":
            prepare_server(preload)
        hidden = main_is_hidden() and mp_context.get_start_method() != "fork"
        if initializer is not None and hidden:
            initializer = dumps(initializer, hidden_main=True)  # type: ignore[assignment]
        threads = (
            share_of(self._max_workers) if blas_threads == "auto" else blas_threads
        )
        setup = Setup(
            initializer, initargs, threads, memory_limit, logging.WARNING, share_arrays
        )
        self._name = f"{place.NAME}-{next(_numbers)}"
        shares = Shares(share_arrays, MOST)
        crew = Crew(mp_context, setup, self._name)
        self._mp_context = mp_context
        self._packer = Packer(shares, share_arrays, hidden_main=hidden)
        self._timed: dict[Callable[..., Any], Timed] = {}
        self._desk = Desk(
            crew,
            self._packer,
            self._max_workers,
            max_tasks_per_child,
            retry=on_worker_death == "retry",
        )
        self._watch = Watch(self._desk, limit_of("idle_timeout", idle_timeout))
        self._limited = max_tasks_per_child is not None or max_pending is not None
        _live.add(self._watch)
        _executors.add(self)
        weakref.finalize(self, self._watch.close).atexit = False

    def _run_in_threads(
        self, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
    ) -> None:
        """Be an `Executor`: workers that start workers would be too many."""
        inner = Executor(
            self._max_workers,
            initializer=initializer,
            initargs=initargs,
            blas_threads=None,
        )

        def shutdown(
            wait: bool = True,
            *,
            cancel_futures: bool = False,
            kill: bool = False,
        ) -> None:
            inner.shutdown(wait, cancel_futures=cancel_futures or kill)

        def map_(
            fn: Callable[..., T],
            *iterables: Iterable[Any],
            chunksize: int | None = None,
            **options: Any,
        ) -> Iterator[T]:
            return inner.map(fn, *iterables, chunksize=chunksize or 1, **options)

        self.__dict__.update(submit=inner.submit, map=map_, shutdown=shutdown)

    def submit(
        self, fn: Callable[..., T], /, *args: Any, **kwargs: Any
    ) -> ProcessFuture[T]:
        """Have ``fn(*args, **kwargs)`` called in another process.

        What can't be pickled is the exception of the future.

        Raises
        ------
        RuntimeError
            After `shutdown`.
        BrokenProcessesError
            If there is nobody to make calls.
        QueueFullError
            If ``max_pending`` calls wait and ``on_full`` is "raise".
        """
        if self._max_pending is not None and not self._has_room(self._max_pending):
            return self._run_here(fn, args, kwargs)
        future: ProcessFuture[T]
        if recorders.RECORDERS and is_told_by_nobody(fn):
            future, fn = RecordedFuture(fn), timed(fn, self._timed)
        else:
            future = ProcessFuture()
        future._keeper = self._watch
        try:
            number, message = self._packer.call(fn, args, kwargs)
        except Exception as error:
            if self._desk.refusal is not None:
                raise self._desk.refusal() from None
            if is_stray(lambda: self._packer.call(fn, args, kwargs)):
                raise
            future.set_exception(error)
            return future
        due = self._desk.add(future, number, message)
        if due:
            self._desk.attend(due)
        if self._watch.helper_sleeps:
            self._watch.wake_helper()
        return future

    def _has_room(self, most: int) -> bool:
        """Return whether a call may be added; False: it is to be made here."""
        desk = self._desk
        while desk.refusal is None and desk.unsettled >= most + len(desk.workers):
            desk.drain()
            if desk.unsettled < most + max(len(desk.workers), 1):
                break
            if self._on_full == "raise":
                raise QueueFullError(f"{most} calls are waiting for a worker")
            if self._on_full == "caller_runs":
                return False
            self._watch.wait_for(desk.next_end(), None)
        return True

    def _run_here(
        self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ProcessFuture[T]:
        future: ProcessFuture[T] = ProcessFuture()
        future._keeper = self._watch
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: Time | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Return an iterator over ``fn(*items)`` for the zipped iterables, in order.

        The work starts at once. The first exception ends the iterator; dropping it
        gives up what has not started.

        Parameters
        ----------
        fn : callable
            Takes as many arguments as there are iterables.
        *iterables
            Read at once, unless `buffersize` is given.
        timeout : time, optional
            From this call until the last result.
        chunksize : int, optional
            Consecutive items that travel together. By default about as many as take
            some milliseconds.
        buffersize : int, optional
            Read the iterables lazily, at most so many items ahead, one by one.
        """
        if chunksize is not None and chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        seconds = wait_of(timeout)
        deadline = None if seconds is None else time.monotonic() + seconds
        if buffersize is not None:
            if not hasattr(buffersize, "__index__"):  # the standard library's texts
                raise TypeError("buffersize must be an integer or None")
            if buffersize < 1:
                raise ValueError("buffersize must be None or > 0")
        if buffersize is not None or type(self).submit is not ProcessExecutor.submit:
            rows = zip(*iterables, strict=False)
            return map_by_submit(self.submit, fn, rows, deadline, buffersize)
        columns = tuple(columns_of(iterables))
        n = min(map(len, columns), default=0)
        run = MapRun(
            self._watch, self._packer, fn, columns, n, chunksize, self._max_workers
        )
        if recorders.RECORDERS:
            run.recorded = Recorded(
                recorders.name_of(fn),
                recorders.begin_fan(fn),
                getattr(fn, "failure_in", None),
            )
        if n:
            self._desk.attend(self._desk.add_map(run))
            if self._watch.helper_sleeps:
                self._watch.wake_helper()
        return run.results(deadline)

    def shutdown(
        self, wait: bool = True, *, cancel_futures: bool = False, kill: bool = False
    ) -> None:
        """Refuse further calls and, if `wait`, wait until all have ended.

        Parameters
        ----------
        wait : bool
            If False, or in a callback of a future, return at once; what is pending is
            finished in the background.
        cancel_futures : bool
            Cancel the calls that no worker makes, or is to make next.
        kill : bool
            Cancel these, and kill the workers: calls that run fail with
            `WorkerDiedError`.
        """
        self._desk.close("after shutdown")
        if cancel_futures or kill:
            self._desk.cancel_waiting()
        if kill:
            call_undisturbed(self._desk.kill)
        self._watch.close()
        if wait:
            self._watch.join()

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more calls."""
        return "_desk" in self.__dict__ and self._desk.refusal is not None

    @property
    def stands_by(self) -> bool:
        """Whether all its workers are there and have nothing to do, and may have more.

        Calls start no worker then, and keep nobody waiting.
        """
        desk = self.__dict__.get("_desk")
        return (
            desk is not None
            and not (self._limited or desk.refusal is not None or desk.forked)
            and not (desk.unsettled or desk.starting)
            and len(desk.workers) == self._max_workers
        )

    def __repr__(self) -> str:
        return (
            f"<fastflow.ProcessExecutor {self._name!r} max_workers={self._max_workers}>"
        )


def _worker_count(max_workers: int | None) -> int:
    if max_workers is None:
        count = getattr(os, "process_cpu_count", os.cpu_count)
        max_workers = count() or 1
        if sys.platform == "win32":
            max_workers = min(max_workers, 61)
    max_workers = check_count("max_workers", max_workers)
    if sys.platform == "win32" and max_workers > 61:
        raise ValueError("max_workers must be <= 61")
    return max_workers


def _quick_and_safe() -> str:
    known = multiprocessing.get_all_start_methods()
    return (
        "forkserver" if "forkserver" in known and sys.platform == "linux" else "spawn"
    )


_live: weakref.WeakSet[Watch] = weakref.WeakSet()
_executors: weakref.WeakSet[ProcessExecutor] = weakref.WeakSet()


def standing_by() -> ProcessExecutor | None:
    """Return an executor that `stands_by`, if there is one in this process."""
    for executor in list(_executors):
        if type(executor) is ProcessExecutor and executor.stands_by:
            return executor
    return None


def _at_exit() -> None:
    for watch in list(_live):
        watch.close("after interpreter shutdown")
    for watch in list(_live):
        watch.join()


def _in_forked_child() -> None:
    for watch in list(_live):
        watch.forget()
    _live.clear()
    _executors.clear()
    forget_server()


lifetime.at_exit(lifetime.WORKERS, _at_exit)
lifetime.in_forked_child(lifetime.WORKERS, _in_forked_child)
