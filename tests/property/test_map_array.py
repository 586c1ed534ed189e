"""map_array does what numpy does with the whole array, whatever is cut how."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastflow

DTYPES = (
    "?", "i1", "u1", "i4", "i8", "u8", "f2", "f4", "f8", ">f8", ">i4", "c8", "c16",
    "M8[D]", "m8[s]", "S3", "U3", "O", [("a", "u1"), ("b", "f8")],
)  # fmt: skip


class Tagged(np.ndarray):
    """A subclass without rules of its own."""


def whole_numbers(view):
    """Returns another type where all elements are whole."""
    numbers = view.astype("f8")
    whole = np.isfinite(numbers).all() and (numbers == np.round(numbers)).all()
    return numbers.astype("i4") if whole and (abs(numbers) < 1e9).all() else numbers


# What they make of an array is what they make of its slices along any axis.
LOCAL = (
    np.negative, np.sqrt, np.conjugate, np.isfinite, np.isnat, np.square, np.sign,
    np.vectorize(str), np.vectorize(repr), np.asarray, lambda v: v.astype("U"),
    lambda v: v * 1j, lambda v: v == v, lambda v: v[::], lambda v: v.view("u1"),
    lambda v: [*v], lambda v: v.tolist(), lambda v: np.stack([v, v], axis=-1),
    np.frompyfunc(lambda x: (x,), 1, 1),
)  # fmt: skip


def elements(dtype):
    """Complex ones whose squares are exact: numpy rounds by how an array lies."""
    if dtype.kind == "O":
        return st.none() | st.integers() | st.text(max_size=3)
    if dtype.kind == "c":
        whole = st.integers(-99, 99)
        return st.builds(complex, whole, whole)
    return None


@st.composite
def arrays(draw):
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6))
    array = draw(hnp.arrays(dtype, shape, elements=elements(dtype), fill=st.nothing()))
    kind = draw(st.sampled_from(["plain", "strided", "reversed", "masked", "tagged"]))
    if kind == "strided":
        array = np.repeat(array, 2, axis=0)[::2]
    elif kind == "reversed":
        array = np.ascontiguousarray(array[::-1])[::-1].swapaxes(0, -1)
    elif kind == "masked":
        mask = draw(hnp.arrays(bool, shape)) if draw(st.booleans()) else np.ma.nomask
        array = np.ma.array(array, mask=mask)
    elif kind == "tagged":
        array = array.view(Tagged)
    return array


def outcome(call):
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return call()
    except Exception as error:
        return error


def joined(fn, array, axis, chunks):
    """Returns what numpy makes of the results of the slices."""
    n = array.shape[axis]
    lead = (slice(None),) * (axis % array.ndim)
    pieces = []
    for begin in range(0, max(n, 1), chunks):
        part = array[(*lead, slice(begin, begin + chunks))]
        pieces.append(np.asanyarray(fn(part)))
        if pieces[-1].ndim <= axis % array.ndim:
            raise ValueError
        if pieces[-1].shape[axis % array.ndim] != part.shape[axis % array.ndim]:
            raise ValueError
    masked = any(isinstance(piece, np.ma.MaskedArray) for piece in pieces)
    join = np.ma.concatenate if masked else np.concatenate
    return join(pieces, axis=axis % array.ndim)


def assert_same(result, expected):
    if isinstance(expected, Exception):
        assert isinstance(result, type(expected)), (result, expected)
        return
    if isinstance(result, Exception):
        raise result
    assert type(result) is type(expected)
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    if isinstance(expected, np.ma.MaskedArray):
        np.testing.assert_array_equal(
            np.ma.getmaskarray(result), np.ma.getmaskarray(expected)
        )
    left, right = np.ma.getdata(result), np.ma.getdata(expected)
    assert repr(left.tolist()) == repr(right.tolist())  # nan is nan, -0.0 is not 0.0


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_it_is_what_numpy_makes_of_the_slices(data):
    array = data.draw(arrays())
    axis = data.draw(st.integers(-array.ndim, array.ndim - 1))
    chunks = data.draw(st.integers(1, 7))
    fn = data.draw(st.sampled_from([*LOCAL, whole_numbers, np.sum, np.ravel]))
    expected = outcome(lambda: joined(fn, array, axis, chunks))
    result = outcome(
        lambda: fastflow.map_array(fn, array, axis=axis, chunks=chunks, max_workers=2)
    )
    assert_same(result, expected)


UFUNCS = (np.negative, np.sqrt, np.square, np.conjugate, np.isfinite, np.floor)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_out_is_filled_as_by_numpy_wherever_it_lies(data):
    """`out` and the array are any two windows of one buffer, or of two."""
    of = st.sampled_from(["i1", "i4", "u8", "f4", "f8", "c16"])
    n, width = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 3))
    dtype = np.dtype(data.draw(of))
    buffer = data.draw(hnp.arrays(dtype, (3 * n, width), elements=elements(dtype)))

    def window(base):
        step = data.draw(st.sampled_from([1, 2, -1]))
        begin = data.draw(st.integers(0, len(base) - (n - 1) * abs(step) - 1))
        cut = base[begin : begin + (n - 1) * abs(step) + 1][::step]
        return cut[:, ::-1] if data.draw(st.booleans()) else cut

    array = window(buffer)
    fresh = data.draw(st.booleans())
    out = window(np.zeros((3 * n, width), data.draw(of)) if fresh else buffer)
    if data.draw(st.integers(0, 3)) == 0:
        out = out[:, :1]  # of another shape, where width > 1
    axis, chunks = data.draw(st.integers(0, 1)), data.draw(st.integers(1, 4))
    fn = data.draw(st.sampled_from(UFUNCS))
    plain = data.draw(st.booleans())
    call = fn if plain else lambda view: fn(view)

    def by_numpy():
        if plain:
            return fn(array.copy(), out=np.zeros_like(out))
        wanted = np.zeros_like(out)
        np.copyto(wanted, fn(array.copy()), casting="same_kind")
        return wanted

    # Before the call, which may change the array.
    expected, refused = outcome(by_numpy), outcome(lambda: fn(array.copy()))
    result = outcome(
        lambda: fastflow.map_array(
            call, array, out=out, axis=axis, chunks=chunks, max_workers=2
        )
    )
    if out.shape != array.shape:
        # The function may refuse the array, too, and either may come first.
        assert isinstance(result, ValueError) or (
            isinstance(refused, Exception) and type(result) is type(refused)
        )
        return
    assert_same(result, expected)
    assert isinstance(expected, Exception) or result is out


@pytest.mark.parametrize("chunks", [1, 2, 3, 100])
def test_a_masked_out_takes_the_mask(chunks):
    array = np.ma.array([1.0, -4.0, 9.0, 16.0], mask=[0, 0, 1, 0])
    out = np.ma.zeros(4)
    with np.errstate(invalid="ignore"):
        assert fastflow.map_array(np.sqrt, array, out=out, chunks=chunks) is out
    assert out.tolist() == [1.0, None, None, 4.0]
