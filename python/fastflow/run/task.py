"""``Task``: a callable and how it is to be run."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from types import FunctionType, MethodType
from typing import Any, TypedDict
from weakref import WeakKeyDictionary

from fastflow.base.durations import Time, positive_limit_of
from fastflow.base.names import check_name
from fastflow.base.options import check_callable
from fastflow.base.signatures import signature
from fastflow.errors import ValidationError
from fastflow.pool.named import check_executor
from fastflow.run.cache import ResultCache, make_cache
from fastflow.run.retry import Retries, RetryPolicy

__all__ = [
    "NO_FALLBACK",
    "InvalidInput",
    "Task",
    "TaskOptions",
    "make_task",
    "task_of",
    "traveller",
]

NO_FALLBACK: Any = type("NoFallback", (), {"__repr__": lambda _: "NO_FALLBACK"})()

_ONCE = RetryPolicy()
_MARK = "__fastflow_task__"


class InvalidInput(Exception):  # noqa: N818  (travels between two of our functions)
    """``validate_input`` has refused; trying again would not help."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


_BOOLS = ("bool", "bool_")


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except Exception as reason:
        raise InvalidInput(reason) from reason


async def _awaited(verdict: Any) -> Any:
    return await verdict if inspect.isawaitable(verdict) else verdict


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Task:
    """A callable and how it is to be run; see `fastflow.task` for the options."""

    fn: Callable[..., Any]
    name: str
    description: str = ""
    validate_input: Callable[..., Any] | None = None
    validate_output: Callable[[Any], Any] | None = None
    retry: RetryPolicy = _ONCE
    timeout: float | None = None
    fallback: Any = NO_FALLBACK
    cache: ResultCache | None = None
    tags: tuple[str, ...] = ()
    is_async: bool = False
    max_concurrency: int | None = None
    executor: Any = None
    """Where it is to run; None: where its flow runs."""
    reference: Callable[..., Any] | None = None
    """What other processes find by its name: the decorated function."""

    @property
    def is_bare(self) -> bool:
        """Whether running the task is no more than calling ``fn``."""
        return (
            self.is_direct
            and self.fallback is NO_FALLBACK
            and self.validate_input is None
            and self.validate_output is None
            and self.cache is None
        )

    @property
    def is_direct(self) -> bool:
        """Whether the task never waits for anything but its own call."""
        return not (
            self.is_async
            or self.retry.retries
            or self.timeout is not None
            or self.executor is not None
        )

    def attempt(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function once, with its validators.

        Raises
        ------
        InvalidInput
            If ``validate_input`` refuses.
        """
        if self.validate_input is not None:
            with _refusing():
                self._judge("input", self.validate_input(*args, **kwargs))
        value = self.fn(*args, **kwargs)
        if self.validate_output is not None:
            self._judge("output", self.validate_output(value))
        return value

    def coroutine(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what is to be awaited for an attempt, if the function is async."""
        if self.validate_input is None and self.validate_output is None:
            return self.fn(*args, **kwargs)
        return self.attempt_async(args, kwargs)

    async def attempt_async(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what `attempt` does, for an ``async def`` function."""
        if self.validate_input is not None:
            with _refusing():
                verdict = self.validate_input(*args, **kwargs)
                self._judge("input", await _awaited(verdict))
        value = await self.fn(*args, **kwargs)
        if self.validate_output is not None:
            self._judge("output", await _awaited(self.validate_output(value)))
        return value

    def _judge(self, what: str, verdict: Any) -> None:
        # numpy has a False of its own.
        if verdict is False or (type(verdict).__name__ in _BOOLS and not verdict):
            raise ValidationError(f"task {self.name!r}: its {what} is not valid")

    @property
    def has_fallback(self) -> bool:
        """Whether something takes the place of the result when all has failed."""
        return self.fallback is not NO_FALLBACK

    def recover(
        self, error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Return the fallback's value (for an ``async def`` one: its coroutine)."""
        if not callable(self.fallback):
            return self.fallback
        return self.fallback(error, self.inputs(args, kwargs))

    def inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by the names of the parameters."""
        try:
            bound = signature(self.fn).bind(*args, **kwargs)
        except (TypeError, ValueError):
            return {**{str(i): value for i, value in enumerate(args)}, **kwargs}
        bound.apply_defaults()
        return dict(bound.arguments)

    def changed(self, **options: Any) -> Task:
        """Return the task with other options."""
        return replace(self, **options)


class TaskOptions(TypedDict, total=False):
    """What `make_task` takes, for type checkers."""

    name: str | None
    description: str | None
    validate_input: Callable[..., Any] | None
    validate_output: Callable[[Any], Any] | None
    retries: Retries
    retry_delay: Time
    backoff: float
    max_delay: Time
    jitter: float | str
    retry_on: type[Exception] | tuple[type[Exception], ...]
    timeout: Time | None
    fallback: Any
    cache: Any
    executor: Any
    tags: Iterable[str]


def make_task(
    fn: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    validate_input: Callable[..., Any] | None = None,
    validate_output: Callable[[Any], Any] | None = None,
    retries: Retries = 0,
    retry_delay: Time = 1.0,
    backoff: float = 2.0,
    max_delay: Time = 60.0,
    jitter: float | str = 0.1,
    retry_on: type[Exception] | tuple[type[Exception], ...] = (Exception,),
    timeout: Time | None = None,
    fallback: Any = None,
    cache: Any = None,
    executor: Any = None,
    tags: Iterable[str] = (),
) -> Task:
    """Return a task; the options are those of `fastflow.task`.

    Raises
    ------
    TypeError, ValueError
        If an option makes no sense.
    """
    check_callable("a task", fn)
    check_executor(executor, serial=False)
    for option, value in (
        ("validate_input", validate_input),
        ("validate_output", validate_output),
    ):
        if value is None:
            continue
        check_callable(option, value)
        if is_async(value) and not is_async(fn):
            raise TypeError(
                f"{option} is an async function, so nobody would await it; the task "
                "must be async, too, or the validator a plain function"
            )
    return Task(
        fn=fn,
        name=_name(fn, name),
        description=_text("description", description),
        validate_input=validate_input,
        validate_output=validate_output,
        retry=RetryPolicy.of(
            retries,
            retry_delay=retry_delay,
            backoff=backoff,
            max_delay=max_delay,
            jitter=jitter,
            retry_on=retry_on,
        ),
        timeout=positive_limit_of("timeout", timeout),
        fallback=NO_FALLBACK if fallback is None else fallback,
        cache=make_cache(cache, fn),
        executor=executor,
        tags=_tags(tags),
        is_async=is_async(fn),
    )


def task_of(fn: Callable[..., Any], name: str = "") -> Task:
    """Return the task of a decorated function, or one without options."""
    known = getattr(fn, _MARK, None)
    if isinstance(known, Task):
        if known.reference is fn:
            return known
        if isinstance(fn, MethodType) and known.reference is fn.__func__:
            method = MethodType(known.fn, fn.__self__)
            cache = known.cache and known.cache.bound_to(fn.__self__)
            return replace(known, fn=method, reference=fn, cache=cache)
        # What wraps a decorated function has copied its attributes; it comes first.
    check_callable("a task", fn)
    return Task(fn, name or _name(fn, None), is_async=is_async(fn))


_travellers: WeakKeyDictionary[Task, Callable[..., Any]] = WeakKeyDictionary()


def traveller(task: Task) -> Callable[..., Any]:
    """Return what goes to other processes in a task's place.

    That is the decorated function, which they find by its name; unless it was decorated
    elsewhere than where it stands, and they find the function itself.
    """
    found = _travellers.get(task)
    if found is None:
        found = task.reference or task.fn
        validates = task.validate_input or task.validate_output
        if task.reference is not None and not validates and _is_found(task.fn):
            found = task.fn
        _travellers[task] = found
    return found


def _is_found(fn: Any) -> bool:
    """Whether a function is what its module has under its name."""
    found: Any = sys.modules.get(getattr(fn, "__module__", None) or "")
    for name in getattr(fn, "__qualname__", "?").split("."):
        found = getattr(found, name, None)
    return found is fn


def mark(fn: Callable[..., Any], task: Task) -> None:
    """Let `task_of` find the task of a decorated function."""
    setattr(fn, _MARK, replace(task, reference=fn))


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether calling `fn` gives a coroutine."""
    if type(fn) is FunctionType and not fn.__dict__:
        return bool(fn.__code__.co_flags & inspect.CO_COROUTINE)
    while isinstance(fn, functools.partial):
        fn = fn.func
    known = getattr(fn, _MARK, None)
    if isinstance(known, Task) and known.reference in (fn, getattr(fn, "__func__", fn)):
        return known.is_async
    return inspect.iscoroutinefunction(fn) or (
        not inspect.isroutine(fn)
        and not isinstance(fn, type)
        and inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004
    )


def _name(fn: Callable[..., Any], name: str | None) -> str:
    if name is None:
        name = getattr(fn, "__name__", None)
        if name is None:
            raise TypeError(f"{fn!r} has no __name__; give it one with name='...'")
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {type(name).__name__}")
    return check_name(name)


def _text(option: str, value: str | None) -> str:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{option} must be a str, not {type(value).__name__}")
    return value or ""


def _tags(tags: Iterable[str]) -> tuple[str, ...]:
    if isinstance(tags, str):
        raise TypeError(f"tags must be several strings, not one: write ({tags!r},)")
    tags = tuple(tags)
    for tag in tags:
        if not isinstance(tag, str):
            raise TypeError(f"a tag must be a str, not {type(tag).__name__}")
    return tags
