"""What a durable function does when it is called like any other function.

That needs a runner, which is made of durable functions among other things; so whoever
knows the runner says here how it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["call_directly", "set_direct_call"]

_call: Callable[[Any, Any], Any] | None = None


def set_direct_call(call: Callable[[Any, Any], Any]) -> None:
    """Say what runs a durable function with an event and returns its result."""
    global _call
    _call = call


def call_directly(function: Any, event: Any) -> Any:
    """Run a durable function in this thread; nothing is kept."""
    assert _call is not None
    return _call(function, event)
