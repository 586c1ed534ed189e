"""map_array: views in, one array out."""

from __future__ import annotations

import numpy as np
import pytest

import fastflow


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("chunks", [None, 1, 7, 1000])
def test_it_equals_the_call_on_the_whole(axis, chunks):
    array = np.random.default_rng(1).random((40, 30, 3))
    for fn in (
        np.sqrt,
        lambda view: view.cumsum(axis=2),
        lambda view: view[..., 0] > 0.5,
    ):
        if fn is not np.sqrt and axis == -1:
            continue
        result = fastflow.map_array(fn, array, axis=axis, chunks=chunks, max_workers=2)
        expected = fn(array)
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result, expected)


def test_slices_are_views():
    array = np.arange(1000.0)
    seen = []

    def fn(view):
        seen.append(np.shares_memory(view, array))
        return view * 2

    fastflow.map_array(fn, array)
    assert seen
    assert all(seen)


def test_out_and_in_place():
    array = np.arange(1.0, 101.0)
    out = np.empty(100)
    assert fastflow.map_array(np.log, array, out=out) is out
    np.testing.assert_array_equal(out, np.log(array))
    fastflow.map_array(np.negative, array, out=array)
    assert array[0] == -1


def test_empty():
    assert fastflow.map_array(np.sqrt, np.empty((0, 3))).shape == (0, 3)
    assert fastflow.map_array(lambda v: v * 2, np.empty((0, 3))).shape == (0, 3)


def test_errors():
    with pytest.raises(ValueError, match="length along axis 0 must be kept"):
        fastflow.map_array(np.sum, np.arange(10.0))
    with pytest.raises(ValueError, match="axis 3"):
        fastflow.map_array(np.sqrt, np.arange(10.0), axis=3)
    with pytest.raises(ValueError, match="at least one axis"):
        fastflow.map_array(np.sqrt, np.float64(3))
    with pytest.raises(ValueError, match="chunks"):
        fastflow.map_array(np.sqrt, np.arange(10.0), chunks=0)
    with pytest.raises(TypeError, match="callable"):
        fastflow.map_array(3, np.arange(10.0))
