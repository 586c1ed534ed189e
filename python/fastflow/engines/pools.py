"""How an attempt gets onto an executor, and what is known of it afterwards."""

from __future__ import annotations

import concurrent.futures
import contextlib
import pickle
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fastflow import _core
from fastflow.dispatch import Dispatch, Dispatcher, is_after_limit
from fastflow.engines.parcels import Outcome, Parcels, parcels_for
from fastflow.engines.remote import run_remotely, threads_of
from fastflow.engines.timed import TimedCalls
from fastflow.executor import Executor, default_executor
from fastflow.tasks import Task

if TYPE_CHECKING:
    from fastflow.engines.driver import Job

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

    Returned, not raised, as an executor would add the name of ours to the exception,
    and ours would take `fastflow.Cancelled` for the end of its own task.
    """

    error: BaseException


class Pool(Protocol):
    """Runs attempts."""

    remote: bool
    """Whether calls go to other processes, so that their start is not seen."""

    def submit(
        self,
        job: Job,
        started: Callable[[], object],
        done: Callable[[Any], object],
    ) -> Dispatch | concurrent.futures.Future[Any]:
        """Submit one attempt at a job.

        `started` is called when it begins, if that is seen, and `done` with what this
        returns when it has ended.
        """

    def give_up(self, attempt: Any) -> bool:
        """Wait no longer for what `submit` returned; whether it will not be made."""

    def parcels(
        self,
        post: Callable[..., object],
        ended: Callable[[Any, int, Outcome], object],
        failed: Callable[[Any, int, BaseException], object],
    ) -> Parcels | None:
        """Return what attempts without a timeout go by; None if by `submit`."""

    def timed(self, parcels: Parcels | None, *callbacks: Any) -> TimedCalls | None:
        """Return what attempts with a timeout go by; None if by `submit`."""

    def recover(
        self, job: Job, call: Callable[[], Any], done: Callable[[Any], object]
    ) -> None:
        """Run a job's fallback, in this process, and call `done` like `submit`."""

    def read(self, result: Any, submitted: float) -> Done:
        """Interpret the result of a future that `submit` has returned."""

    def explain(self, error: BaseException) -> BaseException:
        """Return the error, with what helps against it."""


class ThreadPool:
    """An executor whose workers are threads of this process."""

    remote = False

    def __init__(self, executor: concurrent.futures.Executor, limited: bool) -> None:
        self._dispatcher = Dispatcher(executor)
        # What has no limit is given up by nobody, and our own pool needs no help with
        # what waits behind calls that hang.
        direct = isinstance(executor, Executor) and not limited
        self._direct: Callable[..., concurrent.futures.Future[Any]] | None
        self._direct = executor.submit if direct else None

    def submit(
        self,
        job: Job,
        started: Callable[[], object],
        done: Callable[[Any], object],
    ) -> Dispatch | concurrent.futures.Future[Any]:
        """See `Pool`."""
        run = _core.task_context(job.context).run
        task, args, kwargs = job.task, job.args, job.kwargs
        if self._direct is not None and task.timeout is None and not is_after_limit():
            future = self._direct(run, _attempt, task, args, kwargs, started)
            future.add_done_callback(done)
            return future
        return self._dispatcher.submit(
            lambda: run(_attempt, task, args, kwargs, started), done
        )

    def give_up(self, attempt: Any) -> bool:
        """See `Pool`."""
        if not isinstance(attempt, Dispatch):
            return bool(attempt.cancel())
        attempt.give_up()
        return attempt.cancelled()

    def parcels(self, *_: Any) -> None:
        """See `Pool`."""

    def timed(self, *_: Any) -> None:
        """See `Pool`."""

    def recover(
        self, job: Job, call: Callable[[], Any], done: Callable[[Any], object]
    ) -> None:
        """See `Pool`."""
        run = _core.task_context(job.context).run
        self._dispatcher.submit(lambda: run(_timed, call), done)

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
    except BaseException as error:
        return Raised(error)
    return Done(value, start, time.perf_counter(), threading.current_thread().name)


def _timed(call: Callable[[], Any]) -> Done | Raised:
    start = time.perf_counter()
    try:
        value = call()
    except BaseException as error:
        return Raised(error)
    return Done(value, start, time.perf_counter(), threading.current_thread().name)


class RemotePool:
    """An executor that pickles what it is given: tasks travel by reference."""

    remote = True

    def __init__(self, executor: concurrent.futures.Executor) -> None:
        self._executor = executor
        self._threads = threads_of(executor)

    def submit(
        self,
        job: Job,
        started: Callable[[], object],  # noqa: ARG002  (not seen from here)
        done: Callable[[Any], object],
    ) -> concurrent.futures.Future[Any]:
        """See `Pool`."""
        fn = job.task.reference or job.task.fn
        future: concurrent.futures.Future[Any]
        future = self._executor.submit(
            run_remotely, fn, job.args, job.kwargs, self._threads
        )
        future.add_done_callback(done)
        return future

    def give_up(self, attempt: Any) -> bool:
        """See `Pool`."""
        return bool(attempt.cancel())

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

    def recover(
        self, job: Job, call: Callable[[], Any], done: Callable[[Any], object]
    ) -> None:
        """See `Pool`."""
        run = _core.task_context(job.context).run
        Dispatcher(default_executor()).submit(lambda: run(_timed, call), done)

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


def pool_for(executor: concurrent.futures.Executor, *, limited: bool = False) -> Pool:
    """Return the adapter for an executor; `limited`: of a run with a time limit.

    Executors that are not known to be threads get picklable calls only, which is right
    for processes, other interpreters, and clusters.
    """
    in_process = isinstance(executor, Executor | concurrent.futures.ThreadPoolExecutor)
    interpreters = getattr(concurrent.futures, "InterpreterPoolExecutor", None)
    if interpreters is not None and isinstance(executor, interpreters):
        in_process = False
    return ThreadPool(executor, limited) if in_process else RemotePool(executor)
