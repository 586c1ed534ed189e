"""``@flow``: a function whose task calls run side by side."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import Any, Generic, ParamSpec, TypeVar, overload

from fastflow.base import recorders
from fastflow.base.nested import template_of
from fastflow.base.options import check_callable, check_limit
from fastflow.base.topology import sort_tasks
from fastflow.errors import TaskError
from fastflow.flows import recorded
from fastflow.flows.calls import Call, Calls, ParallelCalls, SerialCalls, error_now
from fastflow.flows.history import history_dir, write_record
from fastflow.flows.outcome import error_of
from fastflow.pool.executor import default_executor
from fastflow.pool.future import Future
from fastflow.pool.named import SERIAL, check_executor, executor_of
from fastflow.run import active
from fastflow.run.events import Events, RunAbout
from fastflow.run.handles import HANDLES, Handle
from fastflow.run.kept import Kept
from fastflow.run.results import COMPLETED, FAILED, SKIPPED, FlowResult, Shape, Track

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
        executor = executor_of(self._executor, self._max_workers)
        if executor == SERIAL:
            calls: Calls = SerialCalls(self.name)
        else:
            executor = executor or default_executor(self._max_workers)
            calls = ParallelCalls(self.name, executor, self._max_workers)
        body = lambda: self._fn(*args, **kwargs)  # noqa: E731
        if recorders.RECORDERS:
            return _recorded(self.name, calls, body)  # type: ignore[no-any-return]
        if calls.events is not None:
            return _observed(self.name, calls, calls.events, body)  # type: ignore[no-any-return]
        return _run(self.name, calls, body)  # type: ignore[no-any-return]

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


def _recorded(name: str, calls: Calls, body: Callable[[], Any]) -> Any:
    recorded.begin_calls(calls)
    failed: BaseException | None = None
    try:
        if calls.events is not None:
            return _observed(name, calls, calls.events, body)
        return _run(name, calls, body)
    except BaseException as error:
        failed = error
        raise
    finally:
        recorded.end_calls(calls, failed)
        del failed


def _observed(name: str, calls: Calls, events: Events, body: Callable[[], Any]) -> Any:
    events.run_started(calls.id, RunAbout("flow", name))
    try:
        value = _run(name, calls, body)
    except BaseException as error:
        events.run_ended(calls.id, error)
        raise
    events.run_ended(calls.id, None)
    return value


def _run(name: str, calls: Calls, body: Callable[[], Any]) -> Any:
    """Run a flow function and all tasks that it calls."""
    started, origin = time.time(), time.perf_counter()

    def result(*, failed: bool) -> FlowResult:
        return _result(name, calls.made, calls.errors, started, origin, failed=failed)

    directory = history_dir(None)
    failed = True
    try:
        try:
            value = _called(calls, body)
            calls.close(cancel=False)
        except Exception:
            calls.close(cancel=True)
            if calls.errors:
                _complete(calls.errors, result(failed=True))
            raise
        except BaseException:  # Ctrl-C waits for nobody
            calls.give_up()
            raise
        if calls.errors:
            _raise_unseen(name, calls, result(failed=True))
        value = _resolved(value)
        failed = False
    finally:
        if directory is not None:
            write_record(directory, result(failed=failed), calls.id)
    return value


def _called(calls: Calls, body: Callable[[], Any]) -> Any:
    before = active.set_current(calls)
    try:
        return body()
    finally:
        active.set_current(before)


def _complete(errors: dict[Handle[Any], TaskError], result: FlowResult) -> None:
    """Give the errors the result of the run."""
    for error in errors.values():
        error.result = result


def _raise_unseen(name: str, calls: Calls, result: FlowResult) -> None:
    """Raise the errors that the function does not know of."""
    seen = {id(error_now(call.handle)) for call in calls.made if call.handle.seen}
    errors = [error for error in calls.errors.values() if id(error) not in seen]
    _complete(calls.errors, result)
    if errors:
        raise error_of(name, errors, result)


def _resolved(value: Any) -> Any:
    """Return what a flow function returns, with results in place of handles."""
    template = template_of(value, HANDLES)
    if template is None:
        return value
    return template.fill([handle.result() for handle in template.references])


def _result(
    flow: str,
    calls: Sequence[Call],
    errors: Mapping[Handle[Any], TaskError],
    started: float,
    origin: float,
    *,
    failed: bool,
) -> FlowResult:
    names = [call.handle.name for call in calls]
    track = Track(names, origin)
    for number, call in enumerate(calls):
        call.note_job()
        track.starts[number], track.ends[number] = call.began, call.ended
        track.workers[number] = call.worker
        if call.began:
            track.note_attempts(number, call.attempts, item=False)
        handle = call.handle
        error = error_now(handle)
        if handle in errors:
            track.errors[number] = [errors[handle].__cause__ or errors[handle]]
            track.states[number] = FAILED
        elif error is not None:
            track.states[number] = SKIPPED
        elif handle.done():
            track.states[number] = COMPLETED
            track.results[number] = value = Future.result(handle)
            if type(value) is Kept:
                track.kept.add(number)
    track.note_threads()
    return FlowResult(
        flow,
        {name: number for number, name in enumerate(names)},
        track,
        "FAILED" if failed else "COMPLETED",
        started,
        time.perf_counter() - origin,
        _shape(calls),
    )


def _shape(calls: Sequence[Call]) -> Shape:
    """Return which calls waited for which."""
    numbers = {call.handle: number for number, call in enumerate(calls)}
    sources, targets = [], []
    for number, call in enumerate(calls):
        for needed in call.needs.references if call.needs else ():
            source = numbers.get(needed)  # None: another flow's
            if source is not None:
                sources.append(source)
                targets.append(number)
    return Shape(sort_tasks(len(calls), sources, targets), ())


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
    >>> from fastflow.run.registry import TaskRegistry
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
