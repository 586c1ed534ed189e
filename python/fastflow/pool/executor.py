"""``Executor``: a drop-in for ``concurrent.futures.ThreadPoolExecutor``."""

from __future__ import annotations

import collections
import concurrent.futures
import contextvars
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeVar

from fastflow import _core
from fastflow.base import recorders
from fastflow.base.durations import Time, wait_of
from fastflow.base.options import check_choice, check_count, check_limit
from fastflow.pool import future as _future  # noqa: F401  (configures _core)
from fastflow.pool.blas import BlasCap
from fastflow.pool.columns import columns_of
from fastflow.pool.workers import Crew, track

__all__ = ["Executor", "ExecutorStats", "default_executor", "map_by_submit"]

T = TypeVar("T")

_ON_FULL = ("block", "raise", "caller_runs")
_numbers = itertools.count()


class ExecutorStats(NamedTuple):
    """Counts of one executor since it was made (``Executor.stats()``).

    Items of ``map`` and its relatives count like tasks.
    """

    submitted: int
    completed: int
    failed: int
    cancelled: int
    pending: int
    """Submitted, and neither finished nor cancelled; running ones included."""
    stolen: int
    """Jobs run by another worker than the one that had queued them."""
    parked: int
    """Times that a worker went to sleep."""
    workers: int
    """Threads alive."""
    blocked: int
    """Of these, waiting for other tasks."""


class Executor(_core.ExecutorBase, concurrent.futures.ThreadPoolExecutor):
    """Runs calls on a native pool of threads.

    ``from fastflow import ThreadPoolExecutor`` is the whole port from
    ``concurrent.futures``: same arguments, same futures, same behaviour at shutdown and
    at exit, plus the keyword arguments below.

    Parameters
    ----------
    max_workers : int, optional
        Calls that run at a time, >= 1.  Default: ``FASTFLOW_MAX_WORKERS`` or, like the
        standard library, the number of CPUs + 4 but at most 32.  Threads are started
        on demand.
    thread_name_prefix : str
        Threads are called ``<prefix>_<n>``.
    initializer : callable, optional
        Called with `initargs` in each thread before its first task.  If it fails, the
        executor is broken and pending tasks end with ``BrokenExecutor``.
    initargs : tuple
        Arguments of `initializer`.
    max_pending : int, optional
        Limit of tasks that wait to start (back-pressure).  Default: none.
    on_full : {"block", "raise", "caller_runs"}
        What ``submit`` does at that limit: wait for room, raise ``QueueFullError``, or
        run the task in the calling thread.
    propagate_context : bool
        Whether tasks see the context variables of whoever submitted them.
    blas_threads : int, "auto" or None
        Limit for each BLAS or OpenMP pool of the process while tasks run; "auto"
        divides the cores by `max_workers`; None leaves them alone.

    Notes
    -----
    A task that waits for another task of the same executor never deadlocks: a task that
    has not started is run by the waiter itself, otherwise another thread takes the
    waiter's place.  All methods are thread-safe.

    Examples
    --------
    >>> with Executor(max_workers=2) as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_pending: int | None = None,
        on_full: Literal["block", "raise", "caller_runs"] = "block",
        propagate_context: bool = True,
        blas_threads: int | Literal["auto"] | None = "auto",
    ) -> None:
        # ThreadPoolExecutor.__init__ is not called: none of its internals are used.
        # (loop.set_default_executor() demands the class; Dask reads _max_workers.)
        self._max_workers = _worker_count(max_workers)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        pending = check_limit("max_pending", max_pending)
        check_choice("on_full", on_full, _ON_FULL)
        if blas_threads != "auto":
            check_limit("blas_threads", blas_threads)
        self._prefix = thread_name_prefix or f"fastflow-{next(_numbers)}"
        self._start: tuple[Callable[..., object] | None, tuple[Any, ...]]
        self._start = (initializer, initargs)
        self._options = (
            pending or 0,
            _ON_FULL.index(on_full),
            bool(propagate_context),
        )
        self._blas_threads = blas_threads
        self._closed = False
        self._renew()

    @property
    def _is_bounded(self) -> bool:
        """Whether `submit` may wait for room."""
        return bool(self._options[0])

    def _context(self) -> contextvars.Context:
        """Return what tasks have a copy of that are submitted here and now."""
        return _core.task_context() if self._options[2] else contextvars.Context()

    def _renew(self) -> None:
        """Make the engine: at first, and in a forked child at first use."""
        crew = Crew(self._prefix, *self._start)
        cap = (
            None
            if self._blas_threads is None
            else BlasCap(self._max_workers, self._blas_threads)
        )
        pending, on_full, propagate = self._options
        engine = _core.Engine(
            limit=self._max_workers,
            spawner=crew,
            activity=cap,
            caller_may_run=self._start[0] is None,
            max_pending=pending,
            on_full=on_full,
            propagate_context=propagate,
        )
        track(engine)
        if self._closed:
            engine.stop(False)
        self._open(engine)  # unless another thread of the child was first

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: Time | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Return an iterator over ``fn(*items)`` for the zipped iterables, in order.

        The work starts at once.  As in the standard library, the first exception of a
        call ends the iterator, dropping it cancels what has not started, and a subclass
        that has a ``submit`` of its own has it called for every item.

        Parameters
        ----------
        fn : callable
            Takes as many arguments as there are iterables.
        *iterables
            Read at once, unless `buffersize` is given.
        timeout : time, optional
            From this call until the last result.
        chunksize : int
            Consecutive items that one worker takes at a time, >= 1.
        buffersize : int, optional
            Read the iterables lazily, at most so many items ahead.

        Raises
        ------
        TimeoutError
            From the iterator, if a result is not there in time.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        seconds = wait_of(timeout)
        deadline = None if seconds is None else time.monotonic() + seconds
        if buffersize is not None:
            if not hasattr(buffersize, "__index__"):  # the standard library's texts
                raise TypeError("buffersize must be an integer or None")
            if buffersize < 1:
                raise ValueError("buffersize must be None or > 0")
        if type(self).submit is not Executor.submit:
            rows = zip(*iterables, strict=False)
            return map_by_submit(self.submit, fn, rows, deadline, buffersize)
        if buffersize is not None:
            iterators = tuple(iter(it) for it in iterables)
            if not iterators:
                return iter(())
            stream = _core.Stream(
                engine=self._engine,
                fn=fn,
                iterators=iterators,
                capacity=buffersize,
                ordered=True,
                return_exceptions=False,
                caller_helps=False,
                most=self._max_workers,
                timeout=seconds,
                run=recorders.begin_fan(fn),
            )
            stream.start()  # not only at the first next()
            return stream
        columns = tuple(tuple(column) if isinstance(column, list) else column
                        for column in columns_of(iterables))  # fmt: skip
        work = _core.Map(
            engine=self._engine,
            fn=fn,
            columns=columns,
            star=False,
            keep=True,
            return_exceptions=False,
            stop_on_error=False,
            chunk=chunksize,
            most=self._max_workers,
            run=recorders.begin_fan(fn),
        )
        work.start()
        return _results(work, deadline)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Refuse further submissions and, if `wait`, wait until all tasks have ended.

        Parameters
        ----------
        wait : bool
            If False, return at once; what is pending is finished in the background.
        cancel_futures : bool
            Cancel the tasks that have not started.
        """
        self._closed = True
        engine = self._engine
        engine.stop(cancel_futures)
        if wait:
            engine.spawner.join(engine)
            engine.report_unobserved()

    def stats(self) -> ExecutorStats:
        """Return counts of tasks and workers; a snapshot, cheap to take."""
        submitted, completed, failed, cancelled, stolen, parked, workers, blocked = (
            self._engine.stats()
        )
        pending = max(submitted - completed - failed - cancelled, 0)
        return ExecutorStats(
            submitted,
            completed,
            failed,
            cancelled,
            pending,
            stolen,
            parked,
            workers,
            blocked,
        )

    def __repr__(self) -> str:
        return f"<fastflow.Executor {self._prefix!r} max_workers={self._max_workers}>"


_core.own_methods(Executor)


def _results(work: _core.Map, deadline: float | None) -> Iterator[Any]:
    try:
        for i in range(work.n):
            yield work.take(
                i, None if deadline is None else deadline - time.monotonic()
            )
    finally:
        work.cancel()
        del work  # it has the exception, whose traceback has this frame


def map_by_submit(
    submit: Callable[..., concurrent.futures.Future[T]],
    fn: Callable[..., T],
    rows: Iterator[tuple[Any, ...]],
    deadline: float | None,
    buffersize: int | None,
) -> Iterator[T]:
    """``Executor.map`` for subclasses that do something to each call."""
    futures = collections.deque(
        submit(fn, *row) for row in itertools.islice(rows, buffersize)
    )
    return _results_of(futures, lambda row: submit(fn, *row), rows, deadline)


def _results_of(
    futures: collections.deque[concurrent.futures.Future[T]],
    submit: Callable[[tuple[Any, ...]], concurrent.futures.Future[T]],
    rows: Iterator[tuple[Any, ...]],
    deadline: float | None,
) -> Iterator[T]:
    try:
        while futures:
            # The next is submitted first, so that workers have it while we wait.
            futures.extend(submit(row) for row in itertools.islice(rows, 1))
            future = futures.popleft()
            try:
                left = None if deadline is None else deadline - time.monotonic()
                value = future.result(left)
            finally:
                future.cancel()
                del future  # its result is the caller's alone
            yield value
            del value
    finally:
        for future in futures:
            future.cancel()


def _worker_count(max_workers: int | None) -> int:
    if max_workers is None:
        given = os.environ.get("FASTFLOW_MAX_WORKERS")
        if given:
            try:
                max_workers = int(given)
            except ValueError:
                raise ValueError(
                    f"FASTFLOW_MAX_WORKERS must be an integer, not {given!r}"
                ) from None
        else:
            count = getattr(os, "process_cpu_count", os.cpu_count)
            max_workers = min(32, (count() or 1) + 4)
    return check_count("max_workers", max_workers)


_defaults: dict[int | None, Executor] = {}


def default_executor(max_workers: int | None = None) -> Executor:
    """Return the executor that the fan-out functions use; made at first use and kept.

    Parameters
    ----------
    max_workers : int, optional
        Each size has an executor of its own; None stands for the default size.
    """
    max_workers = check_limit("max_workers", max_workers)  # True is no 1
    executor = _defaults.get(max_workers)
    if executor is None or executor._engine.shut_down:
        executor = Executor(max_workers, thread_name_prefix="fastflow")
        executor = _defaults.setdefault(max_workers, executor)
        if executor._engine.shut_down:
            executor = _defaults[max_workers] = Executor(
                max_workers, thread_name_prefix="fastflow"
            )
    return executor
