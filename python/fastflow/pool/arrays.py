"""How ``map_array`` cuts an array and puts the results together (needs numpy).

What comes out is what ``np.concatenate`` makes of the results of the slices: the same
types, shapes and subclasses, and the same errors.  But plain arrays are written into
one target as they come, so that most results are not held twice.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastflow.base.names import name_of

__all__ = ["gather_chunks", "run_chunks"]

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


def run_chunks(
    fn: Callable[..., Any],
    array: Any,
    out: Array | None,
    axis: int,
    chunks: int | None,
    workers: int,
    run: Callable[[Callable[[int], None], int], None],
) -> Array:
    """Apply `fn` to slices; `run(task, count)` calls task(i) for each i at once."""
    array = _without_file(np.asanyarray(array))
    cut = _Cut(array, axis, chunks, workers)
    elementwise = _is_elementwise(fn)
    target = None
    if out is not None:
        _check_out(out, cut, array.shape if elementwise else None)
        file_or_not = _without_file(out)
        if type(file_or_not) is np.ndarray and _same_place(file_or_not, array):
            target = file_or_not
    work: _Elements | _Parts
    if elementwise and type(array) is np.ndarray:
        work = _Elements(fn, array, cut, out if target is None else target, target)
    else:
        work = _Parts(fn, array, cut, target)

    def task(i: int) -> None:
        work.run(i)

    task.__name__ = name_of(fn)  # in notes
    run(task, len(cut.parts))
    result = work.result()
    if out is not None and result is not target:
        _deliver(result, out)
    return result if out is None else out


def gather_chunks(
    array: Any,
    out: Array | None,
    axis: int,
    chunks: int | None,
    workers: int,
    run: Callable[[list[Array]], Iterator[Any]],
) -> Array:
    """Put results together that were made elsewhere; `run(slices)` yields them."""
    array = _without_file(np.asanyarray(array))
    cut = _Cut(array, axis, chunks, workers)
    target = None
    if out is not None:
        _check_out(out, cut, None)
        file_or_not = _without_file(out)
        if type(file_or_not) is np.ndarray:
            target = file_or_not
    work = _Parts(None, array, cut, target)
    for i, result in enumerate(run([array[part] for part in cut.parts])):
        work.take(i, result)
    result = work.result()
    if out is not None and result is not target:
        _deliver(result, out)
    return result if out is None else out


class _Cut:
    """The slices of an array along one axis.

    Attributes
    ----------
    axis : int
        Counted from the first.
    length : int
        Of the array along it.
    parts : list of tuple of slice
        What to index an array with; one empty slice if `length` is 0.
    """

    def __init__(
        self, array: Array, axis: int, chunks: int | None, workers: int
    ) -> None:
        if array.ndim == 0:
            raise ValueError("map_array() needs an array with at least one axis")
        axis = operator.index(axis)
        if not -array.ndim <= axis < array.ndim:
            raise np.exceptions.AxisError(axis, array.ndim)
        self.axis = axis % array.ndim
        self.length = n = array.shape[self.axis]
        if chunks is None:
            chunks = max(1, -(-n // (4 * workers)))
        elif operator.index(chunks) < 1:
            raise ValueError("chunks must be at least 1")
        self.parts = [
            (slice(None),) * self.axis + (slice(begin, min(begin + chunks, n)),)
            for begin in range(0, max(n, 1), operator.index(chunks))
        ]

    def whole(self, shape: Shape) -> Shape:
        """Return the shape of all slices together, from that of one."""
        return (*shape[: self.axis], self.length, *shape[self.axis + 1 :])


class _Elements:
    """A unary ufunc over a plain array: each slice is written where it belongs."""

    def __init__(
        self,
        fn: Callable[..., Any],
        array: Array,
        cut: _Cut,
        like: Array | None,
        target: Array | None,
    ) -> None:
        self._fn = fn
        self._array = array
        self._cut = cut
        if target is None:
            dtype = fn(array[:0]).dtype if like is None else like.dtype
            target = np.empty(array.shape, dtype)
        self._target = target

    def run(self, i: int) -> None:
        part = self._cut.parts[i]
        self._fn(self._array[part], out=self._target[part])

    def result(self) -> Array:
        return self._target


class _Parts:
    """Any function: what it returns is checked, and written or kept.

    The target has the type of the slice that came first.  Slices of other types, and of
    subclasses, are kept until all are there and the common type is known.
    """

    def __init__(self, fn: Any, array: Array, cut: _Cut, out: Array | None) -> None:
        self._fn = fn
        self._array = array
        self._cut = cut
        self._out = out
        # The lock guards these; slices are written outside of it, each to its place.
        self._lock = threading.Lock()
        self._first: tuple[int, Shape] | None = None  # of the slices that came
        self._target: Array | None = None
        self._kept: dict[int, Array] = {}

    def run(self, i: int) -> None:
        self.take(i, self._fn(self._array[self._cut.parts[i]]))

    def take(self, i: int, returned: Any) -> None:
        """Take what came of a slice."""
        part = self._cut.parts[i]
        result = self._checked(returned, self._array[part].shape)
        place = self._place_of(i, result)
        if self._out is not None:
            _check_class(result, self._out)
            np.copyto(self._out[part], _without_file(result), casting="same_kind")
        elif place is not None:
            place[part] = result

    def _checked(self, returned: Any, shape: Shape) -> Array:
        if isinstance(returned, tuple):
            raise TypeError(
                f"fn returned a {type(returned).__name__}; map_array() makes one "
                "array: call it once for each result, or return np.stack(...)"
            )
        result = _without_file(np.asanyarray(returned))
        axis = self._cut.axis
        if result.ndim <= axis or result.shape[axis] != shape[axis]:
            raise ValueError(
                f"fn returned shape {result.shape} for a slice of shape {shape}; its "
                f"length along axis {axis} must be kept (for reductions use "
                "fastflow.map)"
            )
        return result

    def _place_of(self, i: int, result: Array) -> Array | None:
        """Return where to write a result; None if it is kept."""
        whole = self._cut.whole(result.shape)
        if self._out is not None:
            _check_shape(whole, self._out)
            return None
        with self._lock:
            if self._first is None:
                self._first = (i, whole)
            elif self._first[1] != whole:
                other, shape = self._first
                raise ValueError(
                    "fn returned shapes that do not fit together: slice "
                    f"{i} would make the result {whole}, slice {other} has made it "
                    f"{shape}"
                )
            plain = type(result) is np.ndarray
            if plain and self._target is None:
                self._target = np.empty(whole, np.result_type(result.dtype))
            target = self._target
            if plain and target is not None and result.dtype == target.dtype:
                return target
            self._kept[i] = result
            return None

    def result(self) -> Array:
        """Return all together; all slices have been run."""
        if self._out is not None:
            return self._out
        target = self._target
        if target is not None and not self._kept:
            return target
        pieces = [
            self._kept[i] if i in self._kept or target is None else target[part]
            for i, part in enumerate(self._cut.parts)
        ]
        if any(isinstance(piece, np.ma.MaskedArray) for piece in pieces):
            joined: Array = np.ma.concatenate(pieces, axis=self._cut.axis)  # type: ignore[no-untyped-call]
        else:
            joined = np.concatenate(pieces, axis=self._cut.axis)
        return joined


# --- the rules of numpy ---------------------------------------------------------------


def _is_elementwise(fn: object) -> bool:
    """Tell whether `fn` is a ufunc of one argument (no generalized one)."""
    if not isinstance(fn, np.ufunc):
        return False
    if fn.nout != 1:
        raise TypeError(
            f"{fn.__name__} returns {fn.nout} arrays; map_array() makes one: pass a "
            "function that picks or stacks them"
        )
    return fn.nin == 1 and fn.signature is None


def _without_file(array: Array) -> Array:
    """Return a memory map as a plain array: what is computed from it has no file."""
    return array.view(np.ndarray) if type(array) is np.memmap else array


def _check_out(out: object, cut: _Cut, shape: Shape | None) -> None:
    """Refuse what can't hold a result, before anything runs."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be an array, not {type(out).__name__}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    if shape is not None:
        _check_shape(shape, out)
    elif out.ndim <= cut.axis or out.shape[cut.axis] != cut.length:
        raise ValueError(
            f"out has shape {out.shape}; it needs length {cut.length} along axis "
            f"{cut.axis}, as the array has"
        )


def _check_shape(shape: Shape, out: Array) -> None:
    if shape != out.shape:
        raise ValueError(
            f"the result has shape {shape}, which out of shape {out.shape} can't hold: "
            "they must be equal (nothing is broadcast)"
        )


def _check_class(result: Array, out: Array) -> None:
    """Refuse to drop what a subclass has besides its elements, such as a mask."""
    if type(_without_file(result)) is np.ndarray or isinstance(out, type(result)):
        return
    kind = type(result).__name__
    raise TypeError(
        f"fn returned a {kind}, and out is a {type(out).__name__}: what makes it a "
        f"{kind} would be lost; pass out= of that class, or np.asarray(array)"
    )


def _deliver(result: Array, out: Array) -> None:
    """Write a finished result into `out`, by the rules of ``ufunc(..., out=)``."""
    _check_class(result, out)
    _check_shape(result.shape, out)
    if not np.can_cast(result.dtype, out.dtype, casting="same_kind"):
        raise TypeError(
            f"can't cast the result from {result.dtype} to {out.dtype} of out "
            "with casting rule 'same_kind'"
        )
    out[...] = result


def _same_place(out: Array, array: Array) -> bool:
    """Tell whether writing a slice of `out` leaves the other slices of `array` alone.

    So it does if they share nothing, or if each element of the one is where the same
    element of the other is.
    """
    if not np.may_share_memory(out, array):  # compares bounds only, so it is quick
        return True

    def layout(a: Array) -> tuple[Any, ...]:
        return a.__array_interface__["data"][0], a.shape, a.strides, a.itemsize

    return layout(out) == layout(array) and not _overlaps_itself(array)


def _overlaps_itself(array: Array) -> bool:
    """Tell whether two elements may be in one place (windows, broadcast arrays)."""
    extent = array.itemsize
    axes = zip(map(abs, array.strides), array.shape, strict=True)
    for stride, length in sorted(axis for axis in axes if axis[1] > 1):
        if stride < extent:
            return True
        extent += stride * (length - 1)
    return False
