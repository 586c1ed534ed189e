"""``for_each`` over a native kernel against oneTBB's ``parallel_for``.

The peer is ``benchmarks/cpp/tbb_peer.cpp``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

from fastflow.bench import subject as ff
from fastflow.bench.measure import interleave
from fastflow.bench.peer_library import KERNEL, PeerMissingError, load_peer
from fastflow.bench.rows import Row, Settings, Skip, cost


class Peer:
    """The native peer: kernels, and oneTBB's loop over them.

    Parameters
    ----------
    workers : int
        Threads of oneTBB's arena, the caller included.
    """

    def __init__(self, workers: int) -> None:
        library = load_peer("tbb_peer.cpp", "FASTFLOW_TBB_PEER")
        self.noop = KERNEL(("peer_noop", library))
        self.spin = KERNEL(("peer_spin", library))
        self._calibrate = library.peer_calibrate
        self._calibrate.argtypes = [ctypes.c_double]
        self._for = library.peer_parallel_for
        self._for.argtypes = [KERNEL, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
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
