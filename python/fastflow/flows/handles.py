"""Handles: what a task call returns inside of a flow function."""

from __future__ import annotations

import concurrent.futures
import copy
from collections.abc import Callable, Iterable
from typing import Any

from fastflow.interrupts import wait_until

__all__ = ["Handle", "handles_in", "replace_handles"]


class Handle(concurrent.futures.Future[Any]):
    """The result of a task that may still have to run.

    Passed to another task, alone or inside of lists, tuples, dicts and sets, it makes
    that task wait for this one. ``result()`` waits here and now, so that plain Python
    can decide what to do next.

    Attributes
    ----------
    name : str
        The name of the task; from the second call on with a number, ``work#2``.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.seen = False
        """Whether the flow function knows how the task has ended."""

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the task and return its result.

        Raises
        ------
        TaskError
            If it failed, or one that it waited for; an error that is caught here does
            not make the flow fail.
        TimeoutError
            After `timeout` seconds.
        """
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the task and return its error, None if it has succeeded."""
        self._wait(timeout)
        return super().exception(0)

    def wait(self) -> None:
        """Wait until the task has ended, however."""
        if not self.done():
            wait_until(self._is_done_within, None)

    def _wait(self, timeout: float | None) -> None:
        if not self.done() and not wait_until(self._is_done_within, timeout):
            raise TimeoutError(f"{self!r} after {timeout:g} s")
        self.seen = True

    def _is_done_within(self, timeout: float | None) -> bool:
        return bool(concurrent.futures.wait([self], timeout).done)

    def cancel(self) -> bool:
        """Return False: tasks of a flow function can't be cancelled one by one."""
        return False

    def _not_yet(self, *_: Any) -> Any:
        raise TypeError(
            f"this is a handle of task {self.name!r}, not its result; to look at the "
            "result in the flow function, call .result()"
        )

    # What a result might be asked for; a handle must not answer in its place.
    __bool__ = __iter__ = __len__ = __getitem__ = __contains__ = _not_yet

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a handle has no attribute {name!r}; if the result of the task has, "
            f"call .result().{name}"
        )

    def __repr__(self) -> str:
        return f"<Handle of {self.name!r}, {'done' if self.done() else 'pending'}>"


def handles_in(value: Any) -> list[Handle]:
    """Return the handles in a value, looking into lists, tuples, dicts and sets."""
    found: dict[Handle, None] = {}
    waiting = [value]
    known: set[int] = set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, Handle):
            found[item] = None
        elif isinstance(item, _CONTAINERS) and id(item) not in known:
            known.add(id(item))
            if isinstance(item, dict):
                _check_keys(item)
                inside: Iterable[Any] = item.values()
            else:
                inside = item
            waiting.extend(reversed([*inside]))
    return list(found)


def _check_keys(found: dict[Any, Any]) -> None:
    for key in found:
        if isinstance(key, Handle):
            raise TypeError(
                f"a handle (here of task {key.name!r}) can't be the key of a dict; "
                "call .result() for it, or give pairs"
            )


_CONTAINERS = (list, tuple, dict, set, frozenset)


def replace_handles(value: Any, get: Callable[[Handle], Any]) -> Any:
    """Return a value with results in place of handles.

    Containers without handles are passed on as they are, others are copied.
    """
    if isinstance(value, Handle):
        return get(value)
    if not isinstance(value, _CONTAINERS) or not handles_in(value):
        return value
    if isinstance(value, dict):
        copied = copy.copy(value)  # of its own kind: ordered, with a default, ...
        for key, item in value.items():
            copied[key] = replace_handles(item, get)
        return copied
    replaced = [replace_handles(item, get) for item in value]
    make = getattr(type(value), "_make", type(value))  # a named tuple's
    return make(replaced)
