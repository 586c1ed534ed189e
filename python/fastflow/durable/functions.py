"""Decorators: durable functions, and functions that bind arguments for operations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from fastflow.base.modules import other_name
from fastflow.base.names import check_name, name_of
from fastflow.durable.config import ParallelBranch
from fastflow.durable.context import DurableContext
from fastflow.durable.direct import call_directly
from fastflow.durable.types import StepContext, WaitForCallbackContext

__all__ = [
    "DurableFunction",
    "durable_execution",
    "durable_parallel_branch",
    "durable_step",
    "durable_wait_for_callback",
    "durable_with_child_context",
    "function_called",
    "registered",
]

P = ParamSpec("P")
T = TypeVar("T")

_functions: dict[str, DurableFunction[Any]] = {}


class DurableFunction(Generic[T]):
    """A durable function: what `durable_execution` makes of a handler.

    Called with an event alone, it runs at once on a store in memory; with a
    `DurableContext`, it is a plain function.  `DurableRunner.run` runs it for good.

    Attributes
    ----------
    function_name : str
        What it is registered under: module and qualified name, unless one was given.
        An execution under way finds its function by it.
    """

    def __init__(
        self,
        handler: Callable[..., T] | Callable[..., Coroutine[Any, Any, T]],
        name: str | None = None,
    ) -> None:
        functools.update_wrapper(self, handler)
        self.handler = handler
        own = f"{handler.__module__}.{handler.__qualname__}"
        self.function_name = check_name(name) if name is not None else own
        _functions[self.function_name] = self

    def __call__(self, event: Any = None, context: Any = None) -> T:
        """Run it; what else than a `DurableContext` is given as context is ignored."""
        if isinstance(context, DurableContext):
            return self.handler(event, context)  # type: ignore[return-value]
        return call_directly(self, event)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<durable function {self.function_name}>"


class FunctionMaker(Protocol):
    """What ``@durable_execution(...)`` is."""

    @overload
    def __call__(
        self, handler: Callable[..., Coroutine[Any, Any, T]], /
    ) -> DurableFunction[T]: ...
    @overload
    def __call__(self, handler: Callable[..., T], /) -> DurableFunction[T]: ...


def registered(name: str) -> DurableFunction[Any] | None:
    """Return the durable function of that name, if its module has been imported."""
    return function_called(name, _functions)


def function_called(
    name: str, functions: Mapping[str, DurableFunction[Any]]
) -> DurableFunction[Any] | None:
    """Return the one of that name; those of a script go by two names."""
    found = functions.get(name)
    if found is None:
        other = other_name(name)
        found = None if other is None else functions.get(other)
    return found


@overload
def durable_execution(
    handler: Callable[..., Coroutine[Any, Any, T]], /
) -> DurableFunction[T]: ...
@overload
def durable_execution(handler: Callable[..., T], /) -> DurableFunction[T]: ...
@overload
def durable_execution(*, name: str | None = None) -> FunctionMaker: ...


def durable_execution(
    handler: Callable[..., Any] | None = None, *, name: str | None = None
) -> Any:
    """Make a durable function of ``handler(event, context)``.

    Parameters
    ----------
    name : str, optional
        What it is registered under; give one that outlives renamings and moves.

    Examples
    --------
    >>> @durable_execution
    ... def double(event, context):
    ...     return context.step(lambda _: 2 * event)
    >>> double(21)
    42
    """
    if handler is not None:
        if not callable(handler):
            raise TypeError(
                f"durable_execution() needs a function, not {type(handler).__name__}"
            )
        return DurableFunction(handler)
    return lambda function: DurableFunction(function, name)


def durable_step(
    func: Callable[Concatenate[StepContext, P], T],
) -> Callable[P, Callable[[StepContext], T]]:
    """Let calling `func` with its arguments make what `DurableContext.step` takes.

    Examples
    --------
    >>> @durable_step
    ... def add(step, a, b):
    ...     return a + b
    >>> @durable_execution
    ... def handler(event, context):
    ...     return context.step(add(1, 2))
    >>> handler()
    3
    """
    return _binding(func)


def durable_with_child_context(
    func: Callable[Concatenate[DurableContext, P], T],
) -> Callable[P, Callable[[DurableContext], T]]:
    """Let calling `func` make what `DurableContext.run_in_child_context` takes."""
    return _binding(func)


def durable_wait_for_callback(
    func: Callable[Concatenate[str, WaitForCallbackContext, P], Any],
) -> Callable[P, Callable[[str, WaitForCallbackContext], Any]]:
    """Let calling `func` make what `DurableContext.wait_for_callback` takes."""

    @functools.wraps(func)
    def bind(*args: P.args, **kwargs: P.kwargs) -> Any:
        def bound(callback_id: str, context: WaitForCallbackContext) -> Any:
            return func(callback_id, context, *args, **kwargs)

        return _named(bound, func)

    return bind


def durable_parallel_branch(
    name: str | None = None,
) -> Callable[
    [Callable[Concatenate[DurableContext, P], T]], Callable[P, ParallelBranch[T]]
]:
    """Let calling the function make a named branch for `DurableContext.parallel`.

    Parameters
    ----------
    name : str, optional
        Default: the function's own.
    """
    if callable(name):
        raise TypeError("write @durable_parallel_branch(), with parentheses")

    def decorate(
        func: Callable[Concatenate[DurableContext, P], T],
    ) -> Callable[P, ParallelBranch[T]]:
        @functools.wraps(func)
        def bind(*args: P.args, **kwargs: P.kwargs) -> ParallelBranch[T]:
            def bound(context: DurableContext) -> T:
                return func(context, *args, **kwargs)

            return ParallelBranch(func=bound, name=name or _label(func))

        return bind

    return decorate


def _binding(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def bind(*args: Any, **kwargs: Any) -> Any:
        def bound(context: Any) -> Any:
            return func(context, *args, **kwargs)

        return _named(bound, func)

    return bind


def _named(bound: Any, func: Callable[..., Any]) -> Any:
    bound._durable_name = _label(func)
    bound.__wrapped__ = func
    return bound


def _label(func: Callable[..., Any]) -> str:
    label: str = name_of(func)
    return label
