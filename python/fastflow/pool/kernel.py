"""Native functions as tasks: ``void kernel(int64_t index, void *data)``."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from fastflow import _core
from fastflow.errors import KernelError

__all__ = ["Kernel", "kernels"]

_SIGNATURE = "void (int64_t, void *)"
# Spellings of the signature that capsules carry as their name.
_NAMES = {
    "fastflow.kernel",
    "void(int64_t,void*)",
    "void(longlong,void*)",
    *(("void(long,void*)",) if ctypes.sizeof(ctypes.c_long) == 8 else ()),
}


def Kernel(  # noqa: N802  (reads as a type)
    source: Any, data: Any = None, *, status: Any = None
) -> _core.Kernel:
    """Make a kernel: a native function that workers call without the interpreter.

    Parameters
    ----------
    source
        A native function ``void (int64_t index, void *data)``: a PyCapsule named
        ``"fastflow.kernel"`` or by its signature, a ``scipy.LowLevelCallable``, a
        ctypes or cffi function pointer, or a numba ``cfunc``.
    data : optional
        What the function gets as `data`: an integer address, a ctypes or cffi pointer,
        or an object with a writable buffer (a numpy array), which is kept alive.
        Default: the source's own data (capsule context, LowLevelCallable user data) or
        a null pointer.
    status : ndarray of int32, optional
        How the function reports failures, as it has no return value: it writes a number
        other than 0 into ``status[index]`` (one word for each index), or into the only
        word of an array of length 1, which is set back when it has been seen.  In the
        latter case the failure is put down to an index that ran at that time.

    Returns
    -------
    Kernel
        Callable with one int (releasing the interpreter lock), and accepted by
        ``Executor.submit``, ``for_each`` and ``map``.

    Raises
    ------
    KernelError
        If the pointer is null or a capsule's name is not the signature.
    TypeError
        If `source` or `data` is of a kind that is not listed above.

    Notes
    -----
    The function must be safe to call from several threads at once and must not use the
    Python API.
    """
    address, own_data, name = _resolve(source)
    if not address:
        raise KernelError(f"{source!r} is a null pointer; a kernel needs a function")
    pointer, keep = (own_data, None) if data is None else _address_of_data(data)
    words, count, keep_status = _status_words(status)
    kept = (source, data, keep, keep_status)
    return _core.Kernel(
        address=address,
        data=pointer,
        keep=kept,
        name=name,
        status=words,
        status_count=count,
    )


def _resolve(source: Any) -> tuple[int, int, str]:
    """Return the address, the data that the source brings, and a name."""
    kind = type(source)
    if kind.__name__ == "PyCapsule":
        return _from_capsule(source)
    if kind.__name__ == "LowLevelCallable" and isinstance(source, tuple):
        address, data, name = _from_capsule(tuple.__getitem__(source, 0))
        return address, data, name
    if isinstance(source, ctypes._CFuncPtr):  # type: ignore[attr-defined]
        _check_ctypes(source)
        return ctypes.cast(source, ctypes.c_void_p).value or 0, 0, "ctypes"
    if kind.__module__ == "_cffi_backend":
        return _cffi_address(source), 0, "cffi"
    if hasattr(source, "address") and hasattr(source, "native_name"):  # numba cfunc
        return int(source.address), 0, str(source.native_name)
    raise TypeError(
        "a kernel is made from a PyCapsule, scipy.LowLevelCallable, ctypes or cffi "
        f"function pointer or numba cfunc, not from {kind.__name__}"
    )


def _from_capsule(capsule: Any) -> tuple[int, int, str]:
    api = ctypes.pythonapi
    get_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
        ("PyCapsule_GetName", api)
    )
    get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", api)
    )
    get_context = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(
        ("PyCapsule_GetContext", api)
    )
    name = get_name(capsule)
    plain = (name or b"").decode(errors="replace")
    if plain.replace(" ", "") not in _NAMES:
        raise KernelError(
            f"the capsule is called {plain!r}; expected the signature {_SIGNATURE!r} "
            "or 'fastflow.kernel'"
        )
    return get_pointer(capsule, name) or 0, get_context(capsule) or 0, plain


def _check_ctypes(function: Any) -> None:
    arguments = function.argtypes
    if arguments is None:
        return
    wanted = (ctypes.c_int64, ctypes.c_void_p)
    if len(arguments) != 2 or any(
        ctypes.sizeof(a) != ctypes.sizeof(b)
        for a, b in zip(arguments, wanted, strict=True)
    ):
        raise KernelError(
            f"{function!r} takes {[a.__name__ for a in arguments]}; expected "
            f"(c_int64, c_void_p) for {_SIGNATURE!r}"
        )


def _cffi_address(pointer: Any) -> int:
    backend = sys.modules["_cffi_backend"]
    ffi = backend.FFI()
    kind = ffi.typeof(pointer)
    if kind.kind != "function" and kind.kind != "pointer":
        raise TypeError(f"{pointer!r} is not a function pointer")
    return int(ffi.cast("uintptr_t", pointer))


def _address_of_data(data: Any) -> tuple[int, Any]:
    """Return an address and what has to stay alive for it."""
    if isinstance(data, int):
        return data, None
    if isinstance(data, ctypes.c_void_p):
        return data.value or 0, None
    if isinstance(data, ctypes._Pointer):
        return ctypes.cast(data, ctypes.c_void_p).value or 0, None
    if type(data).__module__ == "_cffi_backend":
        return _cffi_address(data), None
    try:
        view = memoryview(data).cast("B") if data is not None else None
        buffer = (ctypes.c_char * 0).from_buffer(view)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(
            "data must be an integer address, a ctypes or cffi pointer, or an object "
            f"with a writable, contiguous buffer; not {type(data).__name__}"
        ) from None
    return ctypes.addressof(buffer), buffer


def _status_words(status: Any) -> tuple[int, int, Any]:
    """Return the address and number of the status words, and what keeps them alive."""
    if status is None:
        return 0, 0, None
    try:
        view = memoryview(status)
        if view.format not in ("i", "l") or view.itemsize != 4 or view.ndim != 1:
            raise TypeError
        buffer = (ctypes.c_char * 0).from_buffer(view.cast("B"))
    except (TypeError, ValueError):
        raise TypeError(
            "status must be a writable, contiguous, one-dimensional array of int32"
        ) from None
    if len(view) == 0:
        raise ValueError("status must have length 1, or one word for each index")
    return ctypes.addressof(buffer), len(view), (view, buffer)


class _Kernels:
    """Built-in kernels, for measurements."""

    noop: _core.Kernel = _core.Kernel(
        address=_core.NOOP_ADDRESS, data=0, keep=None, name="noop"
    )
    """Does nothing."""

    @staticmethod
    def spin(ns: int) -> _core.Kernel:
        """Return a kernel that keeps a core busy for `ns` nanoseconds (>= 0)."""
        if not isinstance(ns, int) or isinstance(ns, bool):
            raise TypeError(f"ns must be an int, not {type(ns).__name__}")
        if ns < 0:
            raise ValueError("ns must not be negative")
        return _core.Kernel(
            address=_core.SPIN_ADDRESS, data=ns, keep=None, name=f"spin({ns})"
        )


kernels = _Kernels()
