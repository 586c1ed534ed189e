"""Consecutive items of a fan-out in another process, until their time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, starmap
from typing import Any, NamedTuple

from fastflow.run.clocks import Where
from fastflow.run.remote import Failure

__all__ = ["Manner", "OneItem", "Part", "run_items"]

_LOOKS = 8  # at the clock in the time that items should take


class Manner(NamedTuple):
    """How items are called, and what becomes of their results."""

    star: bool = False
    """Whether an item is a tuple of arguments."""
    keep: bool = True
    """Whether results are wanted."""
    goes_on: bool = False
    """Whether an item that raises is not the last."""


class Part(NamedTuple):
    """What came of the first items."""

    number: int
    """How many were called; the others were not, as the time was over."""
    values: list[Any]
    """Their results, if these are wanted."""
    failures: dict[int, Failure]
    """What was raised, by position; in `values` there is None."""
    seconds: float
    """That they took together."""
    began: float
    """By ``time.perf_counter`` there; see `fastflow.run.clocks`."""
    place: Where


def run_items(
    fn: Callable[..., Any], columns: tuple[Any, ...], manner: Manner, seconds: float
) -> Part:
    """Call a function with one item after another.

    Parameters
    ----------
    fn : callable
    columns : tuple of sequences
        The arguments; of the same length, or one column of tuples.
    manner : Manner
    seconds : float
        After which no item begins, except the first.
    """
    start = time.perf_counter()
    call: Iterator[Any] = starmap(fn, *columns) if manner.star else map(fn, *columns)
    count, total, step = 0, len(columns[0]), 1
    values: list[Any] = []
    failures: dict[int, Failure] = {}
    passed = 0.0
    while count < total and passed < seconds:
        found: list[Any] = []
        try:
            found.extend(islice(call, step))
        except BaseException as error:
            found.append(None)  # behind what it has taken from the iterator
            failures[count + len(found) - 1] = Failure(error)
            stop = not (manner.goes_on and isinstance(error, Exception))
        else:
            stop = False
        count += len(found)
        if manner.keep:
            values = values + found if values else found
        passed = time.perf_counter() - start
        if stop:
            break
        step = max(int(count * seconds / _LOOKS / max(passed, 1e-9)), 1)
        step = min(step, 4 * count)
    return Part(count, values, failures, passed, start, Where.here())


class OneItem:
    """A function of one item that calls another one in its manner.

    Parameters
    ----------
    fn : callable
    manner : Manner
        With `goes_on`, what is raised is returned, as a `Failure`.
    """

    def __init__(self, fn: Callable[..., Any], manner: Manner) -> None:
        self._fn = fn
        self._manner = manner
        self.__name__ = getattr(fn, "__name__", type(fn).__name__)

    def __call__(self, *args: Any) -> Any:
        """Call it for an item."""
        try:
            value = self._fn(*args[0]) if self._manner.star else self._fn(*args)
        except Exception as error:
            if not self._manner.goes_on:
                raise
            return Failure(error)
        return value if self._manner.keep else None

    @staticmethod
    def failure_in(values: Iterable[Any]) -> BaseException | None:
        """Return what the first item has raised of those that it has returned."""
        failures = (value for value in values if type(value) is Failure)
        first = next(failures, None)
        return None if first is None else first.error()
