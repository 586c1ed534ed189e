"""Which flow function, if any, the code of this thread belongs to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Caller", "current", "outside", "set_current"]


class Caller(Protocol):
    """Runs the tasks that a flow function calls."""

    def call(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Start a task; returns a handle of its result."""


# Not a context variable: those follow a call to other threads, and what a task calls
# does not belong to the flow function.
class _State(threading.local):
    caller: Caller | None = None


_state = _State()


def current() -> Caller | None:
    """Return the flow function that runs in this thread, None in tasks and outside."""
    return _state.caller


def set_current(caller: Caller | None) -> Caller | None:
    """Make `caller` the current one; returns the one before."""
    before = _state.caller
    _state.caller = caller
    return before


def outside(fn: Callable[[], Any]) -> Any:
    """Call `fn` as if no flow function ran."""
    before = set_current(None)
    try:
        return fn()
    finally:
        set_current(before)
