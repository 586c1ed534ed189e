"""``@task``, and where tasks are found by name."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from fastflow.run import active
from fastflow.run.handles import Handle
from fastflow.run.inline import run_async, run_blocking
from fastflow.run.task import Task, TaskOptions, make_task, mark, task_of

__all__ = ["TaskRegistry", "default_registry", "task"]

P = ParamSpec("P")
R = TypeVar("R")


class TaskMaker(Protocol):
    """What ``@task(...)`` is: it makes a task of a function.

    For checkers a task returns a `Handle`, as it does in a flow function: that passes
    for the result itself, which the task returns everywhere else.
    """

    @overload
    def __call__(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Callable[P, Handle[R]]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Callable[P, Handle[R]]: ...


class TaskRegistry(Mapping[str, Callable[..., Any]]):
    """Tasks by name: a mapping of names to the decorated functions.

    A task is found by its ``name=`` and by its ``__name__``. Definitions are rare and
    lookups cheap; both may happen in any thread.

    Examples
    --------
    >>> registry = TaskRegistry()
    >>> @registry.task(retries=2)
    ... def load(path):
    ...     return path.upper()
    >>> registry["load"]("a")
    'A'
    """

    def __init__(self) -> None:
        self._found: dict[str, Callable[..., Any]] = {}
        self._names: set[str] = set()
        """Not those that are a ``__name__`` beside a ``name=``."""

    def register(self, fn: Callable[..., Any], name: str | None = None) -> None:
        """Add a callable, decorated or not.

        Warns
        -----
        UserWarning
            If the name is taken; the later definition wins.
        """
        self._add(fn, task_of(fn).name if name is None else name, stacklevel=3)

    def _add(self, fn: Callable[..., Any], name: str, stacklevel: int) -> None:
        alias = getattr(fn, "__name__", None)
        alias = alias if isinstance(alias, str) else name
        # That two functions with names of their own have the same __name__ says
        # nothing: one function may have made both.
        for key in (name, alias) if alias != name else (name,):
            if key in self._names and self._found[key] is not fn:
                warnings.warn(
                    f"task {key!r} is defined again; the later definition is used",
                    stacklevel=stacklevel,
                )
            self._found[key] = fn
        self._names.add(name)

    @overload
    def task(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Callable[P, Handle[R]]: ...
    @overload
    def task(self, fn: Callable[P, R], /) -> Callable[P, Handle[R]]: ...
    @overload
    def task(self, fn: None = None, /, **options: Unpack[TaskOptions]) -> TaskMaker: ...
    def task(self, fn: Any = None, /, **options: Any) -> Any:
        """Decorate a function as `fastflow.task` does, and add it to this registry."""
        if fn is None:
            return lambda function: self.register_new(function, options)
        return self.register_new(fn, options)

    def register_new(self, fn: Callable[..., Any], options: dict[str, Any]) -> Any:
        """Decorate `fn` and add it."""
        task = make_task(fn, **options)
        decorated = _decorate(task)
        self._add(decorated, task.name, stacklevel=4)
        return decorated

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._found))

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"<TaskRegistry of {len(self._names)} tasks>"


default_registry = TaskRegistry()
"""Where ``@task`` puts its tasks."""


@overload
def task(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Handle[R]]: ...
@overload
def task(fn: Callable[P, R], /) -> Callable[P, Handle[R]]: ...
@overload
def task(fn: None = None, /, **options: Unpack[TaskOptions]) -> TaskMaker: ...
def task(fn: Any = None, /, **options: Any) -> Any:
    """Mark a function as a task, so that flows find it by its name.

    ``@task`` and ``@task(...)`` both work. The function stays a plain callable with the
    same signature, and is pickled by reference. Called inside of a ``@flow`` function
    it returns a handle; called anywhere else it runs at once, and the caller waits. The
    options hold in either case.

    Parameters
    ----------
    fn : callable
        A function or an ``async def`` function.
    name : str, optional
        Default: its ``__name__``, by which it is found in any case.
    description : str, optional
    validate_input : callable, optional
        Called with the task's arguments. The task fails if it raises or returns False;
        that is not retried.
    validate_output : callable, optional
        Called with the result; likewise, but retried.
    retries : int, RetryPolicy or callable
        Attempts after the first, >= 0; the following options belong to a number. A
        callable is a strategy: ``(error, attempt)`` -> `RetryDecision`.
    retry_delay, max_delay : time
        Seconds, a text such as ``"500ms"``, or a timedelta: before the
        first retry, and at most.
    backoff : float
        Factor from one delay to the next, >= 1.
    jitter : float or {"full", "half"}
        Fraction of a delay by which it varies at random, 0 to 1; see `RetryPolicy`.
    retry_on : exception type or tuple of them
        Other exceptions are final.
    timeout : time, optional
        Time of one attempt; when it is over, the attempt fails with `TaskTimeout` at
        once. A coroutine is cancelled then; a thread can't be stopped: it runs on, and
        its result is dropped.
    fallback : optional
        What the result is after the last attempt has failed: a constant (other than
        None), or a callable that is given the exception and the arguments (a dict).
    cache : bool, float, str or mapping, optional
        Keeps results by arguments: True for as long as the process lives, a duration
        for so long, a mapping is used as the store.
    executor : optional
        Where flows run it, if not where they run: ``"processes"``, ``"threads"``, or an
        executor.  Called outside of a flow it runs in the calling thread.
    tags : iterable of str

    Warns
    -----
    UserWarning
        If there is a task of this name already; the later one is used.

    Examples
    --------
    >>> @task(name="doc.double", retries=2)
    ... def double(n):
    ...     return 2 * n
    >>> double(21)
    42
    """
    if fn is None:
        return lambda function: default_registry.register_new(function, options)
    if options:
        raise TypeError("write @task or @task(...), not task(fn, ...)")
    return default_registry.register_new(fn, options)


def _decorate(spec: Task) -> Callable[..., Any]:
    fn, is_bare = spec.fn, spec.is_bare

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        flow = active.current()
        if flow is not None:
            return flow.call(call, args, kwargs)
        if is_bare:
            return fn(*args, **kwargs)
        if spec.is_async:
            return run_async(spec, args, kwargs)
        return run_blocking(spec, args, kwargs)

    if not hasattr(fn, "__name__"):
        call.__name__ = call.__qualname__ = spec.name
    if spec.is_async and hasattr(inspect, "markcoroutinefunction"):
        call = inspect.markcoroutinefunction(call)
    mark(call, spec)
    return call
