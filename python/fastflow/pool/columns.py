"""Inputs of the fan-out functions as indexable columns."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

__all__ = ["Column", "columns_of"]

Column = list[Any] | tuple[Any, ...] | range

_INT64 = 1 << 63


def columns_of(iterables: tuple[Iterable[Any], ...]) -> tuple[Column, ...]:
    """Lists, tuples and ranges as they are, everything else read into a list.

    Several are read like ``zip`` does it: an item of each at a time, left to right,
    up to the first that ends and nothing past it.
    """
    if len(iterables) == 1:
        return (_column(iterables[0]),)
    if all(_is_column(it) for it in iterables):
        return iterables  # type: ignore[return-value]
    # Row after row in one list: zip makes one tuple for all, as chain lets go of
    # each before it asks for the next.
    flat = list(chain.from_iterable(zip(*iterables, strict=False)))
    width = len(iterables)
    return tuple(
        it if _is_frozen(it) else flat[i::width]  # type: ignore[misc]
        for i, it in enumerate(iterables)
    )


def _column(iterable: Iterable[Any]) -> Column:
    return iterable if _is_column(iterable) else list(iterable)  # type: ignore[return-value]


def _is_column(iterable: object) -> bool:
    return type(iterable) is list or _is_frozen(iterable)


def _is_frozen(iterable: object) -> bool:
    return type(iterable) is tuple or (type(iterable) is range and _fits(iterable))


def _fits(numbers: range) -> bool:
    ends = (numbers.start, numbers.stop, numbers.step)
    return all(-_INT64 <= end < _INT64 for end in ends)
