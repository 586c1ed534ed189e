"""Values that stay where they were made, until somebody here reads them.

A task on a cluster may leave a large result there.  The run has a `Kept` in its place;
another task on the same cluster is sent what stands for it (`fastflow.backends.
references`), and whoever else needs the value fetches it: a task in this process before
its call, the user when a result is read, a pickle when it is made.

Where a `Kept` may be: the result of a task, an item of such a result if the task is run
item by item, the outcome of a handle, and the arguments that are made of these.
Functions of the user's are never given one, so it is nowhere else.

A value is fetched once: whoever fetches holds the locks of what it fetches, taken in
the order of their numbers, so that two who want some of the same values wait for each
other in one direction only.  What a cluster keeps it may forget when nobody refers to
its `Kept` any more.
"""

from __future__ import annotations

import contextlib
import itertools
import operator
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

__all__ = ["Keeper", "Kept", "all_here", "here"]

_numbers = itertools.count()


class Keeper(Protocol):
    """Where values stay."""

    def fetch(self, many: Sequence[Kept]) -> list[Any]:
        """Return values that are kept there.

        Raises
        ------
        Exception
            If one of them is lost.
        """


class Kept:
    """A value that is somewhere else.

    Parameters
    ----------
    keeper : Keeper
    reference
        What the keeper finds it by; it stays there as long as this exists.
    index : int
        Which one of those that the reference stands for.
    keys : frozenset of str, optional
        Those of a dict; None: it is none.

    Attributes
    ----------
    task : str
        Whose result it is; for errors.
    """

    __slots__ = ("_lock", "_number", "_there", "_value", "index", "keeper", "keys",
                 "reference", "task")  # fmt: skip

    def __init__(
        self, keeper: Keeper, reference: Any, index: int, keys: frozenset[str] | None
    ) -> None:
        self.keeper = keeper
        self.reference = reference
        self.index = index
        self.keys = keys
        self.task = ""
        self._number = next(_numbers)
        self._lock = threading.Lock()
        self._there = False
        self._value: Any = None

    def fetch(self) -> Any:
        """Return the value."""
        _fetch([self])
        return self._value

    def __reduce__(self) -> tuple[Any, ...]:
        # Whoever pickles it and can't say where it is, gets the value.
        return _itself, (self.fetch(),)

    def __repr__(self) -> str:
        return f"<result of {self.task!r}, not fetched>"


def _itself(value: Any) -> Any:
    return value


def _fetch(many: Iterable[Kept]) -> None:
    """Fetch what has not been, all that one keeper has in one go."""
    with contextlib.ExitStack() as stack:
        missing: dict[int, list[Kept]] = {}
        for kept in sorted(set(many), key=_number_of):
            stack.enter_context(kept._lock)
            if not kept._there:
                missing.setdefault(id(kept.keeper), []).append(kept)
        for those in missing.values():
            for kept, value in zip(those, those[0].keeper.fetch(those), strict=True):
                kept._value = value
                kept._there = True


def _number_of(kept: Kept) -> int:
    return kept._number


def here(value: Any) -> Any:
    """Return a value, or arguments, with what is kept elsewhere fetched.

    Lists, tuples and dicts are made anew where something was in them.
    """
    found: list[Kept] = []
    _look(value, found)
    if not found:
        return value
    _fetch(found)
    return _replaced(value)


def all_here(values: Sequence[Any]) -> list[Any]:
    """Return results, with those fetched that are kept elsewhere; looks into none."""
    _fetch([value for value in values if type(value) is Kept])
    return [value._value if type(value) is Kept else value for value in values]


_DEEP = 4  # (args, kwargs), of them, a list of results, each a list of items


def _look(value: Any, found: list[Kept], deep: int = _DEEP) -> None:
    kind = type(value)
    if kind is Kept:
        found.append(value)
    elif deep and kind in (list, tuple, dict):
        for item in value.values() if kind is dict else value:
            _look(item, found, deep - 1)


def _replaced(value: Any, deep: int = _DEEP) -> Any:
    kind = type(value)
    if kind is Kept:
        return value._value
    if not deep or kind not in (list, tuple, dict):
        return value
    before = list(value.values()) if kind is dict else value
    items = [_replaced(item, deep - 1) for item in before]
    if all(map(operator.is_, items, before)):
        return value
    return dict(zip(value, items, strict=True)) if kind is dict else kind(items)
