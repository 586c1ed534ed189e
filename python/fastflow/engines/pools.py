"""How an attempt gets onto an executor, and what is known of it afterwards."""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import functools
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from fastflow.engines.overdue import Overdue, overdue_of
from fastflow.engines.parcels import Outcome, Parcels, parcels_for
from fastflow.engines.remote import run_remotely
from fastflow.engines.timed import TimedCalls
from fastflow.executor import Executor, default_executor
from fastflow.tasks import Task

__all__ = ["Done", "Pool", "Raised", "pool_for"]


class Done(NamedTuple):
    """An attempt that has returned."""

    value: Any
    start: float
    """By ``time.perf_counter``."""
    end: float
    worker: int | str


class Raised(NamedTuple):
    """An attempt that has raised.

    Returned, not raised, as an executor would add the name of ours to the exception.
    """

    error: Exception


class Pool(Protocol):
    """Runs attempts."""

    remote: bool
    """Whether calls go to other processes, so that their start is not seen."""
    overdue: Overdue | None
    """What helps against workers that hang; None if their threads are not ours."""

    def submit(
        self,
        task: Task,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        started: Callable[[], object],
    ) -> concurrent.futures.Future[Any]:
        """Submit one attempt; `started` is called when it begins, if that is seen."""

    def parcels(
        self,
        post: Callable[..., object],
        ended: Callable[[Any, int, Outcome], object],
        failed: Callable[[Any, int, BaseException], object],
    ) -> Parcels | None:
        """Return what attempts without a timeout go by; None if by `submit`."""

    def timed(self, parcels: Parcels | None, *callbacks: Any) -> TimedCalls | None:
        """Return what attempts with a timeout go by; None if by `submit`."""

    def recover(self, call: Callable[[], Any]) -> concurrent.futures.Future[Any]:
        """Run a fallback, in this process."""

    def read(self, result: Any, submitted: float) -> Done:
        """Interpret the result of a future that `submit` has returned."""

    def explain(self, error: BaseException) -> BaseException:
        """Return the error, with what helps against it."""


class ThreadPool:
    """An executor whose workers are threads of this process."""

    remote = False

    def __init__(self, executor: concurrent.futures.Executor) -> None:
        self._submit = executor.submit
        self.overdue: Overdue | None = overdue_of(executor)
        # Ours sees to context variables itself.
        self._copies_context = isinstance(executor, Executor)

    def submit(
        self,
        task: Task,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        started: Callable[[], object],
    ) -> concurrent.futures.Future[Any]:
        """See `Pool`."""
        if self._copies_context and task.timeout is None:
            return self._submit(_attempt, task, args, kwargs, started)
        call = functools.partial(_attempt, task, args, kwargs, started)
        context = contextvars.copy_context()
        if task.timeout is not None and self.overdue is not None:
            spare = self.overdue.start(task.name, functools.partial(context.run, call))
            if spare is not None:
                return spare
        if self._copies_context:
            return self._submit(call)
        return self._submit(context.run, call)

    def parcels(self, *_: Any) -> None:
        """See `Pool`."""

    def timed(self, *_: Any) -> None:
        """See `Pool`."""

    def recover(self, call: Callable[[], Any]) -> concurrent.futures.Future[Any]:
        """See `Pool`."""
        return self._submit(contextvars.copy_context().run, _timed, call)

    def read(self, result: Any, submitted: float) -> Done:  # noqa: ARG002
        """See `Pool`."""
        return result  # type: ignore[no-any-return]

    def explain(self, error: BaseException) -> BaseException:
        """See `Pool`."""
        return error


def _attempt(
    task: Task,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    started: Callable[[], object],
) -> Done | Raised:
    start = time.perf_counter()
    started()
    try:
        value = task.attempt(args, kwargs)
    except Exception as error:
        return Raised(error)
    return Done(value, start, time.perf_counter(), threading.current_thread().name)


def _timed(call: Callable[[], Any]) -> Done | Raised:
    start = time.perf_counter()
    try:
        value = call()
    except Exception as error:
        return Raised(error)
    return Done(value, start, time.perf_counter(), threading.current_thread().name)


class RemotePool:
    """An executor that pickles what it is given: tasks travel by reference."""

    remote = True
    overdue: Overdue | None = None

    def __init__(self, executor: concurrent.futures.Executor) -> None:
        self._executor = executor

    def submit(
        self,
        task: Task,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        started: Callable[[], object],  # noqa: ARG002  (not seen from here)
    ) -> concurrent.futures.Future[Any]:
        """See `Pool`."""
        fn = task.reference or task.fn
        return self._executor.submit(run_remotely, fn, args, kwargs)

    def parcels(
        self,
        post: Callable[..., object],
        ended: Callable[[Any, int, Outcome], object],
        failed: Callable[[Any, int, BaseException], object],
    ) -> Parcels | None:
        """See `Pool`."""
        return parcels_for(self._executor, post, ended, failed)

    def timed(self, parcels: Parcels | None, *callbacks: Any) -> TimedCalls | None:
        """See `Pool`."""
        if parcels is None:
            return None
        assert isinstance(self._executor, concurrent.futures.ProcessPoolExecutor)
        return TimedCalls(self._executor, parcels, *callbacks)

    def recover(self, call: Callable[[], Any]) -> concurrent.futures.Future[Any]:
        """See `Pool`."""
        future: concurrent.futures.Future[Any]
        future = default_executor().submit(_timed, call)
        return future

    def read(self, result: Any, submitted: float) -> Done:
        """See `Pool`."""
        if isinstance(result, Done):  # a fallback's
            return result
        value, began, seconds, process = result
        # The other process has another clock; both know the time of day.
        start = time.perf_counter() - max(time.time() - began, 0.0)
        start = max(start, submitted)
        return Done(value, start, start + seconds, f"process {process}")

    def explain(self, error: BaseException) -> BaseException:
        """See `Pool`."""
        if _is_about_pickling(error):
            with contextlib.suppress(Exception):  # some take no notes
                error.add_note(_PICKLING)
        return error


_PICKLING = (
    "In other processes tasks are found by their name, so they must be functions of a "
    "module; their arguments and results are pickled (of a generator return a list)."
)


def _is_about_pickling(error: BaseException) -> bool:
    if isinstance(error, pickle.PicklingError):
        return True
    return isinstance(error, TypeError | AttributeError) and "pickle" in str(error)


def pool_for(executor: concurrent.futures.Executor) -> Pool:
    """Return the adapter for an executor.

    Executors that are not known to be threads get picklable calls only, which is right
    for processes, other interpreters, and clusters.
    """
    in_process = isinstance(executor, Executor | concurrent.futures.ThreadPoolExecutor)
    interpreters = getattr(concurrent.futures, "InterpreterPoolExecutor", None)
    if interpreters is not None and isinstance(executor, interpreters):
        in_process = False
    return ThreadPool(executor) if in_process else RemotePool(executor)
