"""C functions compiled for a test, where there is a compiler."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess

import pytest

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)


def kernel(source: str, name: str, directory):
    """Compile ``source`` and return its function ``name`` with a kernel's signature.

    Skips the test without a C compiler. Under the thread sanitizer the function is
    instrumented as well.
    """
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler")
    file, library = directory / f"{name}.c", directory / f"{name}.so"
    file.write_text(source)
    flags = ["-O1", "-g", "-shared", "-fPIC"]
    if "libtsan" in os.environ.get("LD_PRELOAD", ""):
        flags.append("-fsanitize=thread")
    # The compiler itself is none of what a preloaded sanitizer should look at.
    plain = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    subprocess.run(
        [compiler, *flags, str(file), "-o", str(library)], check=True, env=plain
    )
    return KERNEL((name, ctypes.CDLL(str(library))))
