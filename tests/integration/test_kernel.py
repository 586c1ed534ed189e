"""Kernels from every source that is installed."""

from __future__ import annotations

import ctypes

import pytest

import fastflow
from fastflow import Executor, Kernel

PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)


def capsule(pointer, name, context=None):
    new = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
    )(("PyCapsule_New", ctypes.pythonapi))
    made = new(pointer, name, None)
    if context is not None:
        set_context = ctypes.PYFUNCTYPE(
            ctypes.c_int, ctypes.py_object, ctypes.c_void_p
        )(("PyCapsule_SetContext", ctypes.pythonapi))
        set_context(made, context)
    return made


@pytest.fixture
def counter():
    """A native function that adds the index to *data, and the data."""
    total = ctypes.c_int64(0)

    @PROTOTYPE
    def add(index, data):
        ctypes.cast(data, ctypes.POINTER(ctypes.c_int64))[0] += index

    return add, total


def test_built_in_kernels():
    with Executor(2) as executor:
        futures = [executor.submit(fastflow.kernels.noop, i) for i in range(5000)]
        assert all(f.result() is None for f in futures)
        assert executor.submit(fastflow.kernels.spin(1000), 1).result() is None
        assert executor.stats().completed == 5001
    assert fastflow.kernels.noop(3) is None
    assert "spin(1000)" in repr(fastflow.kernels.spin(1000))
    with pytest.raises(ValueError, match="negative"):
        fastflow.kernels.spin(-1)
    with pytest.raises(TypeError):
        fastflow.kernels.spin("1")


def test_callbacks_and_waits_on_kernel_tasks():
    seen = []
    with Executor(2) as executor:
        future = executor.submit(fastflow.kernels.spin(2_000_000), 1)
        future.add_done_callback(seen.append)
        assert future.result(60) is None
        done, _ = fastflow.wait([executor.submit(fastflow.kernels.noop, 1)])
        assert len(done) == 1
    assert seen == [future]


def test_kernel_tasks_are_cancelled_like_others():
    with Executor(1) as executor:
        executor.submit(fastflow.kernels.spin(50_000_000), 0)
        queued = [executor.submit(fastflow.kernels.noop, i) for i in range(100)]
        assert all(f.cancel() for f in queued)
    executor = Executor(1)
    executor.submit(fastflow.kernels.spin(50_000_000), 0)
    queued = [executor.submit(fastflow.kernels.noop, i) for i in range(100)]
    executor.shutdown(cancel_futures=True)
    assert all(f.cancelled() for f in queued)


def test_nested_kernel_tasks():
    with Executor(1) as executor:

        def parent():
            return [
                executor.submit(fastflow.kernels.noop, i).result() for i in range(10)
            ]

        assert executor.submit(parent).result(60) == [None] * 10


def test_from_ctypes(counter):
    add, total = counter
    kernel = Kernel(add, ctypes.addressof(total))
    kernel(5)
    with Executor(2) as executor:
        for future in [executor.submit(kernel, i) for i in range(10)]:
            future.result()
    assert total.value == 5 + 45
    other = Kernel(add, ctypes.pointer(total))
    other(1)
    assert total.value == 51
    assert Kernel(add, ctypes.c_void_p(ctypes.addressof(total))).data == (
        ctypes.addressof(total)
    )


@pytest.mark.parametrize(
    "name", [b"fastflow.kernel", b"void (int64_t, void *)", b"void (int64_t,void*)"]
)
def test_from_a_capsule(counter, name):
    add, total = counter
    pointer = ctypes.cast(add, ctypes.c_void_p).value
    Kernel(capsule(pointer, name, ctypes.addressof(total)))(7)
    assert total.value == 7


def test_from_scipy(counter):
    scipy = pytest.importorskip("scipy")
    add, total = counter
    low_level = scipy.LowLevelCallable(
        capsule(
            ctypes.cast(add, ctypes.c_void_p).value,
            b"void (int64_t, void *)",
            ctypes.addressof(total),
        )
    )
    Kernel(low_level)(3)
    assert total.value == 3


def test_from_cffi():
    cffi = pytest.importorskip("cffi")
    ffi = cffi.FFI()
    total = ffi.new("int64_t *")

    @ffi.callback("void(int64_t, void *)")
    def add(index, data):
        ffi.cast("int64_t *", data)[0] += index

    Kernel(add, total)(9)
    assert total[0] == 9


def test_from_numba():
    numba = pytest.importorskip("numba")
    np = pytest.importorskip("numpy")

    @numba.cfunc("void(int64, CPointer(int64))")
    def add(index, data):
        data[index] += 1

    hits = np.zeros(1000, dtype=np.int64)
    fastflow.for_each(Kernel(add, hits), range(1000))
    assert set(hits) == {1}


def test_data_is_kept_alive_and_must_be_a_buffer(counter):
    np = pytest.importorskip("numpy")
    add, _ = counter
    kernel = Kernel(add, np.zeros(1, dtype=np.int64))
    kernel(4)
    with pytest.raises(TypeError, match="data must be"):
        Kernel(add, "text")
    read_only = np.zeros(1)
    read_only.flags.writeable = False
    with pytest.raises(TypeError, match="writable"):
        Kernel(add, read_only)


def test_bad_sources(counter):
    add, _ = counter
    pointer = ctypes.cast(add, ctypes.c_void_p).value
    with pytest.raises(fastflow.KernelError, match="null"):
        Kernel(PROTOTYPE(0))
    with pytest.raises(fastflow.KernelError, match=r"called 'double \(double\)'"):
        Kernel(capsule(pointer, b"double (double)"))
    with pytest.raises(fastflow.KernelError, match="takes"):
        Kernel(ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda _: None))
    with pytest.raises(TypeError, match="a kernel is made from"):
        Kernel(len)


@pytest.mark.parametrize("arguments", [(), (1, 2), ("x",), (2**70,)])
def test_bad_indices(arguments):
    with pytest.raises((TypeError, OverflowError)):
        fastflow.kernels.noop(*arguments)
    with Executor(1) as executor, pytest.raises((TypeError, OverflowError)):
        executor.submit(fastflow.kernels.noop, *arguments)
