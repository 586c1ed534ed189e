"""How ``map_array`` cuts an array and puts the results together (needs numpy)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["run_chunks"]

Array = np.ndarray[Any, Any]


def run_chunks(
    fn: Callable[..., Any],
    array: Array,
    out: Array | None,
    axis: int,
    chunks: int | None,
    workers: int,
    run: Callable[[Callable[[int], None], int], None],
) -> Array:
    """Apply `fn` to slices; `run(task, count)` calls task(i) for each i at once."""
    array = np.asarray(array)
    if array.ndim == 0:
        raise ValueError("map_array() needs an array with at least one axis")
    axis = _normal_axis(axis, array.ndim)
    n = array.shape[axis]
    if chunks is None:
        chunks = max(1, -(-n // (4 * workers)))
    elif chunks < 1:
        raise ValueError("chunks must be at least 1")
    slices = [
        (slice(None),) * axis + (slice(begin, min(begin + chunks, n)),)
        for begin in range(0, max(n, 1), chunks)
    ]
    in_place = isinstance(fn, np.ufunc) and fn.nin == 1 and fn.nout == 1
    done = 0
    if out is None and in_place:
        out = np.empty(array.shape, dtype=fn(array[slices[0]][:0]).dtype)
    elif out is None:
        first = _checked(fn(array[slices[0]]), array[slices[0]], axis)
        out = np.empty(_with_length(first.shape, axis, n), dtype=first.dtype)
        out[slices[0]] = first
        done = 1
    target = out

    def task(i: int) -> None:
        part = slices[done + i]
        view = array[part]
        if in_place:
            fn(view, out=target[part])
        else:
            target[part] = _checked(fn(view), view, axis)

    if len(slices) > done:
        run(task, len(slices) - done)
    return target


def _normal_axis(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is out of bounds for an array with {ndim} axes")
    return axis % ndim


def _with_length(shape: tuple[int, ...], axis: int, n: int) -> tuple[int, ...]:
    return (*shape[:axis], n, *shape[axis + 1 :])


def _checked(returned: Any, view: Array, axis: int) -> Array:
    result: Array = np.asarray(returned)
    if result.ndim <= axis or result.shape[axis] != view.shape[axis]:
        raise ValueError(
            f"fn returned shape {result.shape} for a slice of shape {view.shape}; its "
            f"length along axis {axis} must be kept (for reductions use fastflow.map)"
        )
    return result
