"""Kernels that report failures through their status."""

from __future__ import annotations

import ctypes
import pickle

import numpy as np
import pytest

import fastflow

Function = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)


class Reporting:
    """Writes 10 + index into its status for the indices in `bad`."""

    def __init__(self, size, *bad):
        self.status = np.zeros(size, np.int32)
        self.ran = []

        @Function
        def function(index, _data):
            self.ran.append(index)
            if index in bad:
                self.status[index if size > 1 else 0] = 10 + index

        self.kernel = fastflow.Kernel(function, status=self.status)


@pytest.mark.parametrize("size", [1, 8])
def test_call(size):
    reporting = Reporting(size, 3)
    assert reporting.kernel(2) is None
    with pytest.raises(
        fastflow.KernelFailedError, match="status 13 for index 3"
    ) as info:
        reporting.kernel(3)
    assert (info.value.index, info.value.status) == (3, 13)
    again = pickle.loads(pickle.dumps(info.value))
    assert (again.kernel, again.index, again.status) == (info.value.kernel, 3, 13)
    assert reporting.kernel(4) is None


@pytest.mark.parametrize("size", [1, 8])
def test_submit(size):
    reporting = Reporting(size, 3)
    with fastflow.Executor(2) as executor:
        assert executor.submit(reporting.kernel, 2).result() is None
        error = executor.submit(reporting.kernel, 3).exception()
        assert isinstance(error, fastflow.KernelFailedError)
        assert error.status == 13
        assert executor.stats().failed == 1


@pytest.mark.parametrize("size", [1, 1000])
def test_for_each_stops(size):
    reporting = Reporting(size, 3)
    with pytest.raises(fastflow.KernelFailedError) as info:
        fastflow.for_each(reporting.kernel, range(1000), max_workers=1)
    assert (info.value.index, info.value.status) == (3, 13)
    assert reporting.ran == [0, 1, 2, 3]
    fastflow.for_each(reporting.kernel, range(4, 50), max_workers=2)


@pytest.mark.parametrize("size", [1, 6])
@pytest.mark.parametrize("on_error", ["stop", "continue"])
def test_graph(size, on_error):
    #  0 -> 1 -> 2    3 -> 4    5
    reporting = Reporting(size, 1)
    graph = fastflow.Graph.from_edges(6, [0, 1, 3], [1, 2, 4])
    with pytest.raises(fastflow.TaskError) as info:
        graph.run(reporting.kernel, on_error=on_error, max_workers=1)
    result = info.value.result
    assert info.value.task == "1"
    assert isinstance(info.value.__cause__, fastflow.KernelFailedError)
    assert (info.value.__cause__.index, info.value.__cause__.status) == (1, 11)
    assert result.status == "FAILED"
    assert list(result.errors) == [1]
    assert result.state(0) == "COMPLETED"
    assert result.state(1) == "FAILED"
    assert result.state(2) == "SKIPPED"
    rest = {result.state(i) for i in (3, 4, 5)}
    assert rest <= (
        {"COMPLETED"} if on_error == "continue" else {"COMPLETED", "CANCELLED"}
    )
    assert 2 not in reporting.ran


def test_several_failures_of_a_graph():
    reporting = Reporting(4, 0, 2)
    graph = fastflow.Graph.from_edges(4, [], [])
    with pytest.raises(fastflow.TaskErrorGroup) as info:
        graph.run(reporting.kernel, on_error="continue")
    assert sorted(e.task for e in info.value.exceptions) == ["0", "2"]
    assert {k: e.status for k, e in info.value.result.errors.items()} == {0: 10, 2: 12}


def test_only_what_waits_for_no_failed_node_runs():
    """Also when the next node to run has the number after the failed one's."""
    random = np.random.default_rng(17)
    for _ in range(200):
        n = int(random.integers(3, 12))
        src, dst = np.nonzero(np.triu(random.random((n, n)) < 0.2, 1))
        bad = {int(v) for v in np.nonzero(random.random(n) < 0.3)[0]}
        reporting = Reporting(n, *bad)
        graph = fastflow.Graph.from_edges(n, src, dst)
        graph.run(reporting.kernel, on_error="return", max_workers=1)
        expected = []
        for v in range(n):
            before = {int(u) for u in src[dst == v]}
            if before <= set(expected) - bad:
                expected.append(v)
        assert sorted(reporting.ran) == expected


def test_the_status_must_fit():
    kernel = Reporting(5).kernel
    with pytest.raises(ValueError, match="status has length 5"):
        fastflow.for_each(kernel, range(6))
    with pytest.raises(ValueError, match="status has length 5"):
        fastflow.Graph.from_edges(6, [], []).run(kernel)


@pytest.mark.parametrize(
    "status",
    [
        np.zeros(1, np.int64),
        np.zeros(1, np.float32),
        np.zeros((2, 2), np.int32),
        np.zeros(4, np.int32)[::2],
        b"\0\0\0\0",
        7,
    ],
)
def test_bad_status(status):
    with pytest.raises(TypeError, match="status must be"):
        fastflow.Kernel(Function(lambda _i, _d: None), status=status)


def test_empty_status():
    with pytest.raises(ValueError, match="length 1"):
        fastflow.Kernel(Function(lambda _i, _d: None), status=np.zeros(0, np.int32))
