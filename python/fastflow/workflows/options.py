"""Checks of what the verbs of a workflow are given."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from fastflow.durations import parse_duration
from fastflow.errors import FlowError
from fastflow.retry import RetryPolicy
from fastflow.workflows.cache import StepCache

__all__ = [
    "CallOptions",
    "check_choice",
    "check_count",
    "check_function",
    "check_name",
    "duration",
    "retry_policy",
    "verb",
]

P = ParamSpec("P")
T = TypeVar("T")

_LONGEST_NAME = 1024


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How a function is called: what comes before, between and around the calls."""

    retry: RetryPolicy | None = None
    timeout: float | None = None
    delay: float = 0.0
    cache: StepCache | None = None


def verb(method: Callable[P, T]) -> Callable[P, T]:
    """Make unknown options a FlowError with a suggestion."""
    parameters = inspect.signature(method).parameters
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


def check_name(name: object) -> str:
    """Return the name, if it can be one."""
    if not isinstance(name, str):
        raise FlowError(f"a name must be a str, not {type(name).__name__}: {name!r}")
    if not name or len(name) > _LONGEST_NAME or "\0" in name:
        raise FlowError(
            f"a name must have 1 to {_LONGEST_NAME:,} characters and no NUL: "
            f"{name[:40]!r}"
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise FlowError(f"a name must be valid Unicode: {name!r}") from None
    return name


def check_function(what: str, fn: object) -> Callable[..., Any]:
    """Return fn, if it can be called."""
    if not callable(fn):
        raise FlowError(
            f"{what} must be a function that takes ctx, not {type(fn).__name__}"
            + ("; give the function, don't call it" if inspect.iscoroutine(fn) else "")
        )
    return fn


def check_count(what: str, value: Any) -> int | None:
    """Return a number of things, at least 1; None stands for no limit."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise FlowError(f"{what} must be an int, not {type(value).__name__}: {value!r}")
    if value < 1:
        raise FlowError(f"{what} must be at least 1, not {value}")
    return value


def check_choice(what: str, value: object, choices: tuple[str, ...]) -> str:
    """Return one of some words."""
    if value not in choices:
        raise FlowError(f"{what} must be one of {', '.join(choices)}; not {value!r}")
    return str(value)


def duration(what: str, value: Any) -> float | None:
    """Return seconds; None stays None."""
    if value is None:
        return None
    try:
        return parse_duration(value)
    except (TypeError, ValueError) as error:
        raise FlowError(f"{what}: {error}") from None


def retry_policy(
    what: str, retries: int | RetryPolicy, **options: Any
) -> RetryPolicy | None:
    """Make the policy of a step; None if it never retries."""
    if isinstance(retries, RetryPolicy):
        return retries if retries.retries else None
    try:
        policy = RetryPolicy(retries, **options)
    except (TypeError, ValueError) as error:
        raise FlowError(f"{what}: {error}") from None
    return policy if policy.retries else None
