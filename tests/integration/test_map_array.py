"""map_array: views in, one array out."""

from __future__ import annotations

import threading

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
    with pytest.raises(np.exceptions.AxisError, match="axis 3"):
        fastflow.map_array(np.sqrt, np.arange(10.0), axis=3)
    with pytest.raises(ValueError, match="at least one axis"):
        fastflow.map_array(np.sqrt, np.float64(3))
    with pytest.raises(ValueError, match="chunks"):
        fastflow.map_array(np.sqrt, np.arange(10.0), chunks=0)
    with pytest.raises(TypeError, match="callable"):
        fastflow.map_array(3, np.arange(10.0))


def halves(view):
    return view, view / 2


def column_or_row(view):
    """(k, 1) for the first slice, (k, 3) for the others: broadcasting would hide it."""
    return view[:, :1] if view[0, 0] == 0 else view


@pytest.mark.parametrize(
    ("fn", "error", "match"),
    [
        (halves, TypeError, "tuple"),
        (np.modf, TypeError, "2 arrays"),
        (column_or_row, ValueError, "slice 0 has made it|slice 0 would make"),
        (np.linalg.norm, ValueError, "length along axis 0 must be kept"),
        (lambda view: None, ValueError, "length along axis 0 must be kept"),
    ],
)
@pytest.mark.parametrize("chunks", [2, 4])
def test_results_that_do_not_fit_are_refused(fn, error, match, chunks):
    array = np.arange(24.0).reshape(8, 3)
    with pytest.raises(error, match=match):
        fastflow.map_array(fn, array, chunks=chunks)


@pytest.mark.parametrize(
    ("fn", "out", "error", "match"),
    [
        (np.sqrt, np.empty((6, 1)), ValueError, "nothing is broadcast"),
        (np.sqrt, np.empty((2, 6, 3)), ValueError, "nothing is broadcast"),
        (np.sqrt, np.empty((6, 3), int), TypeError, "same_kind"),
        (np.sqrt, [0.0] * 6, TypeError, "out must be an array, not list"),
        (lambda v: v + 1, np.empty((6, 1)), ValueError, "nothing is broadcast"),
        (lambda v: v[:, :1], np.empty((6, 3)), ValueError, "nothing is broadcast"),
        (lambda v: v + 1, np.empty((7, 3)), ValueError, "length 6 along axis 0"),
        (lambda v: v + 1, np.empty((6, 3), int), TypeError, "same_kind"),
        (np.ma.array, np.empty((6, 3)), TypeError, "would be lost"),
        (np.sqrt, np.broadcast_to(0.0, (6, 3)), ValueError, "read-only"),
    ],
)
def test_an_out_that_does_not_fit_is_refused(fn, out, error, match):
    with pytest.raises(error, match=match):
        fastflow.map_array(fn, np.ones((6, 3)), out=out, chunks=2)


def test_a_generalized_ufunc_is_called_with_the_slices():
    matrices = np.random.default_rng(1).random((6, 3, 3))
    inverse = fastflow.map_array(np.linalg.inv, matrices, chunks=4)
    np.testing.assert_array_equal(inverse, np.linalg.inv(matrices))
    lengths = getattr(np, "vecdot", None)
    if lengths is not None:
        with pytest.raises(TypeError):  # it takes two
            fastflow.map_array(lengths, matrices)


def test_a_memory_map_is_read_and_written(tmp_path):
    source = np.memmap(tmp_path / "in", np.float64, "w+", shape=100)
    target = np.memmap(tmp_path / "out", np.float64, "w+", shape=100)
    source[:] = np.arange(100)
    assert fastflow.map_array(np.sqrt, source, out=target, chunks=7) is target
    np.testing.assert_array_equal(target, np.sqrt(np.arange(100)))
    for fn in (np.sqrt, lambda view: view):
        assert type(fastflow.map_array(fn, source)) is np.ndarray


def test_all_slices_are_tasks_of_the_executor():
    """The first one, too: with its initializer, its progress and its number."""
    ready = threading.local()

    def initializer():
        ready.yes = True

    def fn(view):
        if view[0] == 20:
            raise KeyError(20)
        return view + ready.yes

    array, seen = np.arange(20), []
    with fastflow.Executor(2, initializer=initializer) as executor:
        result = fastflow.map_array(
            fn, array, chunks=1, executor=executor, progress=lambda *to: seen.append(to)
        )
        np.testing.assert_array_equal(result, array + 1)
        assert seen[-1] == (20, 20)
        with pytest.raises(KeyError) as caught:
            fastflow.map_array(fn, array + 10, chunks=5, executor=executor)
        assert caught.value.__notes__ == ["item 'fn' #2"]
