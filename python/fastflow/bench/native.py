"""``for_each`` over a native kernel against oneTBB's ``parallel_for``.

The peer is ``benchmarks/cpp/tbb_peer.cpp``, loaded as a shared library: both engines
then call the same function pointers in the same process, in turns.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastflow.bench import subject as ff
from fastflow.bench.measure import interleave
from fastflow.bench.rows import Row, Settings, Skip, cost

SOURCE = "tbb_peer.cpp"


class PeerMissingError(Exception):
    """The native peer can't be had on this machine; the message says why."""


def find_source() -> Path:
    """The C++ source: beside this module when installed, else in the checkout."""
    here = Path(__file__).resolve()
    checkout = [parent / "benchmarks" / "cpp" / SOURCE for parent in here.parents[2:5]]
    for candidate in [here.parent / SOURCE, *checkout]:
        if candidate.is_file():
            return candidate
    raise PeerMissingError(f"{SOURCE} not found beside the package")


def compile_peer(directory: Path) -> Path:
    """Compile the peer into ``directory``.

    Raises
    ------
    PeerMissingError
        Without its source, a C++ compiler or oneTBB.
    """
    source = find_source()
    names = (os.environ.get("CXX", "c++"), "g++", "clang++")
    compiler = next(filter(None, map(shutil.which, names)), None)
    if compiler is None:
        raise PeerMissingError("no C++ compiler (Debian: apt-get install g++)")
    built = directory / "tbb_peer.so"
    flags = ["-std=c++20", "-O3", "-DNDEBUG", "-shared", "-fPIC"]
    done = subprocess.run(
        [compiler, *flags, str(source), "-o", str(built), "-ltbb"],
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


def load_peer() -> ctypes.CDLL:
    """Load the library named by ``FASTFLOW_TBB_PEER``, else one compiled just now."""
    ready = os.environ.get("FASTFLOW_TBB_PEER")
    with tempfile.TemporaryDirectory(
        prefix="fastflow-bench-", ignore_cleanup_errors=True
    ) as scratch:
        path = Path(ready) if ready else compile_peer(Path(scratch))
        try:
            return ctypes.CDLL(str(path))
        except OSError as error:
            raise PeerMissingError(str(error)) from error


class Peer:
    """The native peer: kernels, and oneTBB's loop over them.

    Parameters
    ----------
    workers : int
        Threads of oneTBB's arena, the caller included.
    """

    def __init__(self, workers: int) -> None:
        library = load_peer()
        kernel_type = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)
        self.noop = kernel_type(("peer_noop", library))
        self.spin = kernel_type(("peer_spin", library))
        self._calibrate = library.peer_calibrate
        self._calibrate.argtypes = [ctypes.c_double]
        self._for = library.peer_parallel_for
        self._for.argtypes = [
            kernel_type,
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_int,
        ]
        self._inlined = library.peer_parallel_for_inlined
        self._inlined.argtypes = [ctypes.c_int64, ctypes.c_int]
        for function in (self._calibrate, self._for, self._inlined):
            function.restype = None
        self.workers = workers

    def calibrate(self, ns: float) -> None:
        """Make ``spin`` last about ``ns`` nanoseconds."""
        self._calibrate(ns)

    def parallel_for(self, kernel: Any, n: int) -> None:
        """``tbb::parallel_for`` calling ``kernel`` through its pointer."""
        self._for(kernel, None, n, self.workers)

    def parallel_for_inlined(self, n: int) -> None:
        """``tbb::parallel_for`` over an empty body that the compiler sees."""
        self._inlined(n, self.workers)


def for_each_kernel(settings: Settings) -> Iterator[Row | Skip]:
    """Empty bodies and bodies of 100 ns."""
    try:
        peer = Peer(settings.workers)
    except PeerMissingError as error:
        yield Skip("for_each(kernel, range(n)) against oneTBB", str(error))
        return
    peer.calibrate(100.0)
    empty, bodies = (
        settings.size(20_000_000, 5_000_000),
        settings.size(500_000, 200_000),
    )
    noop, spin = ff.Kernel(peer.noop), ff.Kernel(peer.spin)
    with ff.Executor(settings.workers) as executor:
        times = interleave(
            {
                "ours": lambda: ff.for_each(noop, range(empty), executor=executor),
                "pointer": lambda: peer.parallel_for(peer.noop, empty),
                "inlined": lambda: peer.parallel_for_inlined(empty),
            },
            settings.repeats,
        )
        spins = interleave(
            {
                "ours": lambda: ff.for_each(spin, range(bodies), executor=executor),
                "pointer": lambda: peer.parallel_for(peer.spin, bodies),
            },
            settings.repeats,
        )
    title = f"for_each(kernel, range({empty:,})), empty"
    for form, goal in (("pointer", cost(2.0)), ("inlined", None)):
        yield Row(
            title,
            f"oneTBB parallel_for, {form}",
            times.median(form) / empty * 1e9,
            times.median("ours") / empty * 1e9,
            "ns",
            times.ratio("ours", form) if goal else times.ratio(form, "ours"),
            goal,
        )
    yield Row(
        f"for_each(kernel, range({bodies:,})), 100 ns",
        "oneTBB parallel_for, pointer",
        spins.median("pointer") / bodies * 1e9,
        spins.median("ours") / bodies * 1e9,
        "ns",
        spins.ratio("ours", "pointer"),
        cost(1.1),
    )
