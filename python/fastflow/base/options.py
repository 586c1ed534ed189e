"""Options that many functions have: one check, and one text of what is wrong.

Times are in `fastflow.base.durations`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

__all__ = [
    "OnError",
    "check_callable",
    "check_choice",
    "check_count",
    "check_limit",
    "check_on_error",
    "checked",
]

T = TypeVar("T")

OnError = Literal["raise", "continue", "return", "stop", "fail_fast", "settle"]
"""What a failure of one task means for the others, and for the caller.

raise
    Nothing more is started, and the failure is raised.
continue
    All that does not depend on it runs; then it is raised.
return
    All that does not depend on it runs; the result has the failure.

A graph calls the first ``"stop"``; a workflow calls the first ``"fail_fast"`` and the
last ``"settle"``.
"""

_ON_ERROR = ("raise", "continue", "return")
_SYNONYMS = {"stop": "raise", "fail_fast": "raise", "settle": "return"}


def check_on_error(value: object, what: str = "on_error") -> str:
    """Return "raise", "continue" or "return"."""
    if isinstance(value, str):
        value = _SYNONYMS.get(value, value)
    return check_choice(what, value, _ON_ERROR)


def check_callable(what: str, value: object) -> Any:
    """Return what can be called, or raise TypeError."""
    if not callable(value):
        raise TypeError(f"{what} must be callable, not {type(value).__name__}")
    return value


def check_choice(what: str, value: object, choices: tuple[str, ...]) -> str:
    """Return one of some words, or raise ValueError."""
    if value not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}; not {value!r}")
    return str(value)


def check_count(what: str, value: Any, least: int = 1) -> int:
    """Return a number of things.

    Raises
    ------
    TypeError
        If it is no int.
    ValueError
        If it is less than `least`, which is 1 or 0.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    count: int = value.__index__()
    if count < least:
        rule = "must be greater than 0, not" if least else "must not be negative:"
        raise ValueError(f"{what} {rule} {_short(count)}")
    return count


def check_limit(what: str, value: Any) -> int | None:
    """Return how many there may be at a time; None stands for no limit."""
    return None if value is None else check_count(what, value)


def checked(kind: type[Exception], check: Callable[..., T], *args: Any) -> T:
    """Return ``check(*args)``; what it finds wrong is raised as `kind`."""
    try:
        return check(*args)
    except (TypeError, ValueError) as error:
        raise kind(str(error)) from None


def _short(count: int) -> str:
    # An int of more than 4,300 digits can't be written.
    return str(count) if count.bit_length() < 200 else "a very large number"
