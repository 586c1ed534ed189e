"""``@flow``: a function whose task calls run side by side."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import inspect
import threading
import time
from collections.abc import Callable
from types import MethodType
from typing import Any, Generic, ParamSpec, TypeVar, overload

from fastflow import active
from fastflow.engines.choose import check_executor
from fastflow.engines.driver import Driver, Job, check_loop
from fastflow.engines.pools import pool_for
from fastflow.errors import TaskError
from fastflow.executor import default_executor
from fastflow.flows.history import history_dir, write_record
from fastflow.flows.outcome import error_of, task_error
from fastflow.handles import HANDLES, Handle
from fastflow.interrupts import ENDS_PROGRAM, wait_until
from fastflow.nested import Template, template_of
from fastflow.options import check_callable, check_limit
from fastflow.results import COMPLETED, FAILED, SKIPPED, FlowResult, Track
from fastflow.run.inline import Tries, run_blocking
from fastflow.tasks import task_of

__all__ = ["FlowFunction", "flow"]

P = ParamSpec("P")
R = TypeVar("R")


class FlowFunction(Generic[P, R]):
    """A function that `flow` has marked; calling it runs the flow.

    Attributes
    ----------
    name, description : str
    """

    def __init__(
        self,
        fn: Callable[P, R],
        name: str,
        description: str,
        executor: Any = None,
        max_workers: int | None = None,
    ) -> None:
        functools.update_wrapper(self, fn)
        self._fn = fn
        self._executor = executor
        self._max_workers = max_workers
        self.name = name
        self.description = description

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the flow; returns what the function returns, with results for handles.

        Raises
        ------
        TaskError
            If a task failed and the function has not dealt with it.
        """
        if self._executor == "serial":
            run: _Run = _SerialRun(self.name)
        else:
            executor = self._executor or default_executor(self._max_workers)
            run = _ParallelRun(self.name, executor, self._max_workers)
        return run.run(lambda: self._fn(*args, **kwargs))  # type: ignore[no-any-return]

    def __get__(self, instance: Any, _: Any = None) -> Any:
        """Bind to an object, where a method is marked as a flow."""
        return self if instance is None else MethodType(self, instance)

    def with_options(
        self, *, executor: Any = None, max_workers: int | None = None
    ) -> FlowFunction[P, R]:
        """Return the same flow on another executor.

        Parameters
        ----------
        executor, max_workers
            As for ``Flow.run``.
        """
        check_executor(executor)
        most = check_limit("max_workers", max_workers)
        return FlowFunction(self._fn, self.name, self.description, executor, most)

    def __reduce__(self) -> str:
        return str(self.__qualname__)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"<flow {self.name!r}>"


class _Run:
    """What both ways of running a flow function have in common."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = time.time()
        self.origin = time.perf_counter()
        self.handles: list[Handle[Any]] = []
        self.jobs: dict[Handle[Any], Job] = {}
        self.errors: dict[Handle[Any], TaskError] = {}
        self.calls: dict[str, int] = {}

    def call(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Handle[Any]:
        """Start a task; see `fastflow.active.Caller`."""
        task = task_of(fn)
        count = self.calls[task.name] = self.calls.get(task.name, 0) + 1
        handle: Handle[Any] = Handle(
            task.name if count == 1 else f"{task.name}#{count}"
        )
        handle.set_running_or_notify_cancel()
        needs = template_of((args, kwargs), HANDLES)
        job = Job(task, args, kwargs, lambda _: None, handle)
        self.handles.append(handle)
        self.start(handle, job, needs)
        return handle

    def start(self, handle: Handle[Any], job: Job, needs: Template | None) -> None:
        """Start a task; `needs` makes its arguments of the results of others."""
        raise NotImplementedError

    def close(self, *, cancel: bool) -> None:
        raise NotImplementedError

    def give_up(self) -> None:
        raise NotImplementedError

    def run(self, body: Callable[[], Any]) -> Any:
        """Run the function and all tasks that it calls."""
        directory = history_dir(None)
        failed = True
        try:
            try:
                value = self.run_body(body)
                self.close(cancel=False)
            except Exception:
                self.close(cancel=True)
                self.complete_errors()
                raise
            except BaseException:  # Ctrl-C waits for nobody
                self.give_up()
                raise
            self.raise_unseen()
            value = _resolved(value)
            failed = False
        finally:
            if directory is not None:
                write_record(directory, self.result(failed=failed))
        return value

    def run_body(self, body: Callable[[], Any]) -> Any:
        before = active.set_current(self)
        try:
            return body()
        finally:
            active.set_current(before)

    def raise_unseen(self) -> None:
        """Raise the errors that the function does not know of."""
        seen = {id(_error(handle)) for handle in self.handles if handle.seen}
        errors = [error for error in self.errors.values() if id(error) not in seen]
        result = self.complete_errors()
        if errors:
            raise error_of(self.name, errors, result)

    def complete_errors(self) -> FlowResult | None:
        """Give the errors the result of the run, if there are any."""
        if not self.errors:
            return None
        result = self.result(failed=True)
        for error in self.errors.values():
            error.result = result
        return result

    def result(self, *, failed: bool) -> FlowResult:
        names = [handle.name for handle in self.handles]
        track = Track(names, self.origin)
        for number, handle in enumerate(self.handles):
            job = self.jobs.get(handle)
            if job is not None:
                track.starts[number], track.ends[number] = job.start, job.end
                track.workers[number] = job.worker
                track.attempts[number] = job.attempts
            if handle in self.errors:
                cause = self.errors[handle].__cause__
                track.errors[number] = [cause or self.errors[handle]]
                track.states[number] = FAILED
            elif _failed(handle):
                track.states[number] = SKIPPED
            elif handle.done():
                track.states[number] = COMPLETED
                track.results[number] = concurrent.futures.Future.result(handle)
        return FlowResult(
            self.name,
            {name: number for number, name in enumerate(names)},
            track,
            "FAILED" if failed else "COMPLETED",
            self.started,
            time.perf_counter() - self.origin,
        )

    def finish(self, handle: Handle[Any], job: Job) -> None:
        """Let a handle know how its task has ended."""
        self.jobs[handle] = job
        if job.error is None:
            handle.set_result(job.value)
        else:
            error = self.errors[handle] = task_error(handle.name, job.error, None)
            handle.set_exception(error)


def _error(handle: Handle[Any]) -> BaseException | None:
    """Return the error of a handle that is done, without having looked."""
    return concurrent.futures.Future.exception(handle, 0)


def _failed(handle: Handle[Any]) -> bool:
    return handle.done() and _error(handle) is not None


class _SerialRun(_Run):
    """Tasks run when they are called, in the calling thread."""

    def start(self, handle: Handle[Any], job: Job, needs: Template | None) -> None:
        for dependency in needs.references if needs else ():
            dependency.wait()  # for another flow's
            if _failed(dependency):
                handle.set_exception(_error(dependency))
                return
        job.start = time.perf_counter()
        before = active.set_current(None)
        tries = Tries()
        try:
            _fill(job, needs)
            job.value = run_blocking(job.task, job.args, job.kwargs, tries)
        except ENDS_PROGRAM:
            raise
        except BaseException as error:
            job.error = error
        finally:
            active.set_current(before)
        job.machine.count = tries.count
        job.end = time.perf_counter()
        job.worker = threading.current_thread().name
        self.finish(handle, job)

    def close(self, *, cancel: bool) -> None:
        pass

    def give_up(self) -> None:
        pass


def _fill(job: Job, needs: Template | None) -> None:
    """Give a job its arguments; all that it needs has ended well."""
    if needs is not None:
        results = [
            concurrent.futures.Future.result(handle, 0) for handle in needs.references
        ]
        job.args, job.kwargs = needs.fill(results)


def _resolved(value: Any) -> Any:
    """Return what a flow function returns, with results in place of handles."""
    template = template_of(value, HANDLES)
    if template is None:
        return value
    return template.fill([handle.result() for handle in template.references])


class _ParallelRun(_Run):
    """Tasks run on an executor; a thread of the run's own watches over them.

    The thread is started by the first task. What is below "in that thread" runs there.
    """

    def __init__(
        self,
        name: str,
        executor: concurrent.futures.Executor,
        max_workers: int | None,
    ) -> None:
        super().__init__(name)
        self.driver = Driver(pool_for(executor), max_workers)
        self.thread: threading.Thread | None = None
        self.open = 0
        self.ending = False
        self.cancelled = False
        self.broken: BaseException | None = None
        """Why nobody watches any more."""
        self.waiting: dict[Handle[Any], list[Handle[Any]]] = {}
        self.missing: dict[Handle[Any], int] = {}
        self.needs: dict[Handle[Any], Template | None] = {}

    def start(self, handle: Handle[Any], job: Job, needs: Template | None) -> None:
        if self.thread is None:
            thread = threading.Thread(
                target=self.watch, name=f"fastflow-{self.name}", daemon=True
            )
            thread.start()
            self.thread = thread
        check_loop(self.name, [job.task])
        job.done = self.ended
        self.driver.post(self.add, handle, job, needs)
        if self.broken is not None:
            self.fail(handle, self.broken)

    def close(self, *, cancel: bool) -> None:
        """Wait until all tasks have ended, or those that run already."""
        if self.thread is not None:
            self.driver.post(self.end, cancel)
            _join(self.thread)
            if isinstance(self.broken, ENDS_PROGRAM):
                raise self.broken

    def give_up(self) -> None:
        """Start nothing more, and wait for nothing."""
        if self.thread is not None:
            self.driver.post(self.abandon)

    # In that thread.

    def watch(self) -> None:
        """Drive the tasks; should that fail, no handle stays open."""
        try:
            self.driver.run(self.finished)
        except BaseException as error:
            self.broken = error  # before the loop: a handle made meanwhile sees it
            for handle in self.handles:
                self.fail(handle, error)
            self.abandon()

    def fail(self, handle: Handle[Any], error: BaseException) -> None:
        """Let a handle fail that nobody will look after."""
        if isinstance(error, ENDS_PROGRAM):
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                handle.set_exception(error)
            return
        failed = task_error(handle.name, error, None)
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            handle.set_exception(failed)
            self.errors[handle] = failed

    def abandon(self) -> None:
        self.driver.abandon()
        self.ending = True
        self.open = 0
        for handle in self.handles:
            if not handle.done():
                handle.set_exception(concurrent.futures.CancelledError())

    def finished(self) -> bool:
        return self.ending and not self.open

    def end(self, cancel: bool) -> None:
        self.ending = True
        if cancel:
            self.cancelled = True
            self.driver.cancel_queued()

    def add(self, handle: Handle[Any], job: Job, needs: Template | None) -> None:
        self.open += 1
        self.jobs[handle] = job
        self.needs[handle] = needs
        missing = 0
        for dependency in needs.references if needs else ():
            if not dependency.done():
                missing += 1
                self.waiting.setdefault(dependency, []).append(handle)
                if dependency not in self.jobs:  # another flow's
                    dependency.add_done_callback(self.other_ended)
        self.missing[handle] = missing
        if not missing:
            self.launch(handle)

    def other_ended(self, dependency: Any) -> None:
        self.driver.post(self.release, dependency)

    def launch(self, handle: Handle[Any]) -> None:
        """Launch a task all of whose dependencies have ended."""
        job, needs = self.jobs[handle], self.needs.pop(handle)
        if self.cancelled:
            self.driver.post(self.skip, handle, concurrent.futures.CancelledError())
            return
        for dependency in needs.references if needs else ():
            if _failed(dependency):
                self.driver.post(self.skip, handle, _error(dependency))
                return
        try:
            _fill(job, needs)
        except Exception as error:  # a set of results that can't be hashed, say
            job.error = error
            self.driver.post(self.ended, job)
            return
        self.driver.launch(job)

    def skip(self, handle: Handle[Any], error: BaseException) -> None:
        del self.jobs[handle]
        handle.set_exception(error)
        self.ended_handle(handle)

    def ended(self, job: Job) -> None:
        handle = job.tag
        if job.dropped:
            handle.set_exception(concurrent.futures.CancelledError())
        else:
            self.finish(handle, job)
        self.ended_handle(handle)

    def ended_handle(self, handle: Handle[Any]) -> None:
        self.open -= 1
        self.release(handle)

    def release(self, handle: Handle[Any]) -> None:
        """Launch what has waited for a handle alone."""
        for child in self.waiting.pop(handle, ()):
            self.missing[child] -= 1
            if not self.missing[child]:
                self.launch(child)


def _join(thread: threading.Thread) -> None:
    def ended(timeout: float | None) -> bool:
        thread.join(timeout)
        return not thread.is_alive()

    wait_until(ended, None)


@overload
def flow(fn: Callable[P, R], /) -> FlowFunction[P, R]: ...
@overload
def flow(
    *, name: str | None = None, description: str | None = None
) -> Callable[[Callable[P, R]], FlowFunction[P, R]]: ...
def flow(
    fn: Any = None, /, *, name: str | None = None, description: str | None = None
) -> Any:
    """Mark a function as a flow: tasks that it calls run side by side.

    A task call returns a `Handle` at once. A handle that is passed to another task
    makes it wait for the first; ``handle.result()`` waits in the function, for plain
    Python to decide by; handles in the returned value (also at any depth of lists,
    tuples, dicts, sets and dataclasses) become results. The call returns when all tasks
    have ended.

    Parameters
    ----------
    fn : callable
        A plain function; it may call ``async def`` tasks.
    name : str, optional
        Default: its ``__name__``.
    description : str, optional

    Examples
    --------
    >>> from fastflow.registry import TaskRegistry
    >>> tasks = TaskRegistry()
    >>> @tasks.task
    ... def square(n):
    ...     return n * n
    >>> @flow
    ... def squares(count):
    ...     return [square(n) for n in range(count)]
    >>> squares(4)
    [0, 1, 4, 9]
    """

    def mark(function: Callable[..., Any]) -> FlowFunction[..., Any]:
        check_callable("a flow", function)
        if inspect.iscoroutinefunction(function):
            raise TypeError(
                "a flow function must be a plain function; it can call async tasks"
            )
        shown = name or str(getattr(function, "__name__", "flow"))
        return FlowFunction(function, shown, description or "")

    return mark if fn is None else mark(fn)
