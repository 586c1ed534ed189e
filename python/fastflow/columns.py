"""Inputs of the fan-out functions as indexable columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["Column", "columns_of"]

Column = list[Any] | tuple[Any, ...] | range

_INT64 = 1 << 63


def columns_of(iterables: tuple[Iterable[Any], ...]) -> tuple[Column, ...]:
    """Lists, tuples and ranges as they are, everything else read into a list."""
    return tuple(_column(it) for it in iterables)


def _column(iterable: Iterable[Any]) -> Column:
    if type(iterable) is list or type(iterable) is tuple:
        return iterable
    if type(iterable) is range and _fits(iterable):
        return iterable
    return list(iterable)


def _fits(numbers: range) -> bool:
    ends = (numbers.start, numbers.stop, numbers.step)
    return all(-_INT64 <= end < _INT64 for end in ends)
