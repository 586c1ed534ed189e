"""Compiling and loading the native peers: C++ sources of ``benchmarks/cpp``.

A peer is a shared library loaded with ctypes: both engines then call the same function
pointers in the same process, in turns.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

#: Signature of the bodies that peers run: that of a kernel.
KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)


class PeerMissingError(Exception):
    """A native peer can't be had on this machine; the message says why."""


def find_source(name: str) -> Path:
    """The C++ source: beside this module when installed, else in the checkout."""
    here = Path(__file__).resolve()
    checkout = [parent / "benchmarks" / "cpp" / name for parent in here.parents[2:5]]
    for candidate in [here.parent / name, *checkout]:
        if candidate.is_file():
            return candidate
    raise PeerMissingError(f"{name} not found beside the package")


def compile_peer(name: str, directory: Path, flags: Sequence[str] = ()) -> Path:
    """Compile the source called ``name`` into ``directory``.

    Raises
    ------
    PeerMissingError
        Without the source, a C++ compiler or oneTBB.
    """
    source = find_source(name)
    names = (os.environ.get("CXX", "c++"), "g++", "clang++")
    compiler = next(filter(None, map(shutil.which, names)), None)
    if compiler is None:
        raise PeerMissingError("no C++ compiler (Debian: apt-get install g++)")
    built = directory / f"{source.stem}.so"
    options = ["-std=c++20", "-O3", "-DNDEBUG", "-shared", "-fPIC", "-pthread", *flags]
    done = subprocess.run(
        [compiler, *options, str(source), "-o", str(built), "-ltbb"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise PeerMissingError(
            f"oneTBB peer does not compile (Debian: apt-get install libtbb-dev): "
            f"{next((line for line in lines if 'error' in line), lines[0])}"
        )
    return built


def load_peer(name: str, variable: str, flags: Sequence[str] = ()) -> ctypes.CDLL:
    """Load the library that an environment variable names, else compile it now.

    Parameters
    ----------
    name : str
        File name of the source.
    variable : str
        Environment variable with the path of a library built before.
    flags : sequence of str
        Further options for the compiler.

    Raises
    ------
    PeerMissingError
        When it can't be compiled or loaded.
    """
    path = os.environ.get(variable) or compile_peer(name, scratch(), flags)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise PeerMissingError(str(error)) from error


@functools.cache
def scratch() -> Path:
    """A directory for libraries, kept until this process ends for others to load."""
    kept = tempfile.TemporaryDirectory(
        prefix="fastflow-bench-", ignore_cleanup_errors=True
    )
    atexit.register(kept.cleanup)
    return Path(kept.name)
