"""Checks of what the verbs of a workflow are given."""

from __future__ import annotations

import difflib
import functools
import inspect
import string
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar

from fastflow.base import names
from fastflow.base.durations import Time, limit_of
from fastflow.base.options import check_count, check_limit, check_on_error, checked
from fastflow.base.signatures import signature
from fastflow.errors import FlowError
from fastflow.run.retry import Retries, RetryPolicy
from fastflow.workflows.cache import StepCache
from fastflow.workflows.options import LOG_FIELDS, FanOptions

__all__ = [
    "check_function",
    "check_functions",
    "check_items",
    "check_name",
    "check_template",
    "fan_options",
    "option",
    "retry_policy",
    "step_cache",
    "verb",
]

P = ParamSpec("P")
T = TypeVar("T")

Function = Callable[..., Any]


def verb(method: Callable[P, T]) -> Callable[P, T]:
    """Make unknown options a FlowError with a suggestion."""
    parameters = signature(method).parameters
    known = [name for name in parameters if name != "self"]

    @functools.wraps(method)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        for name in kwargs:
            if name not in parameters:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {known}"
                raise FlowError(f"{method.__name__}() has no option {name!r}; {hint}")
        return method(*args, **kwargs)

    return checked


def check_name(name: Any) -> str:
    """Return the name, if it can be one."""
    return checked(FlowError, names.check_name, name)


def check_function(what: str, fn: object) -> Callable[..., Any]:
    """Return fn, if it can be called."""
    if not callable(fn):
        raise FlowError(
            f"{what} must be a function that takes ctx, not {type(fn).__name__}"
            + ("; give the function, don't call it" if inspect.iscoroutine(fn) else "")
        )
    return fn


def option(check: Callable[..., T], what: str, value: Any) -> T:
    """Return ``check(what, value)``; what is wrong with an option is a FlowError."""
    return checked(FlowError, check, what, value)


def retry_policy(what: str, retries: Retries, **options: Any) -> RetryPolicy | None:
    """Make the policy of a step; None if it never retries."""
    try:
        policy = RetryPolicy.of(retries, **options)
    except (TypeError, ValueError) as error:
        raise FlowError(f"{what}: {error}") from None
    return policy if policy.retries else None


def check_functions(name: str, functions: Sequence[Function]) -> tuple[Function, ...]:
    """Return the branches of a fan-out."""
    if callable(functions) or not isinstance(functions, Iterable):
        raise FlowError(f"{name!r} needs a list of functions")
    branches = tuple(functions)
    for position, fn in enumerate(branches):
        check_function(f"branch {position} of {name!r}", fn)
    return branches


def fan_options(
    name: str, max_concurrency: int | None, timeout: Time | None, on_error: str
) -> FanOptions:
    """Make the options of a fan-out."""
    return FanOptions(
        option(check_limit, f"max_concurrency of {name!r}", max_concurrency),
        option(limit_of, f"timeout of {name!r}", timeout),
        checked(FlowError, check_on_error, on_error, f"on_error of {name!r}"),
    )


def check_items(name: str, items: object) -> None:
    """Check the items of a for_each."""
    if not callable(items) and not isinstance(items, Iterable):
        raise FlowError(
            f"items of {name!r} must be a function of ctx or an iterable, not "
            f"{type(items).__name__}"
        )
    if hasattr(items, "__next__"):
        raise FlowError(
            f"items of {name!r} is an iterator, which only one run could use; give a "
            "function that makes it: lambda ctx: ..."
        )


def step_cache(
    what: str, key: Function | None, ttl: Time | None, size: int
) -> StepCache | None:
    """Make the cache of a step; None if it has none."""
    seconds = option(limit_of, f"cache_ttl of {what}", ttl)
    most = option(check_count, f"cache_size of {what}", size)
    if key is None:
        if seconds is not None:
            raise FlowError(f"cache_ttl of {what} needs cache=: a function for the key")
        return None
    check_function(f"cache of {what}", key)
    return StepCache(key, seconds, most)


def check_template(text: str) -> None:
    """Check the fields of a text for the log."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(text)]
    except ValueError as error:
        raise FlowError(f"text of log: {error}: {text!r}") from None
    for field in fields:
        if field is not None:
            first = field.replace("[", ".").split(".")[0]
            if first not in LOG_FIELDS:
                raise FlowError(
                    f"text of log has an unknown field {{{field}}}; known are: "
                    + ", ".join(LOG_FIELDS)
                )
