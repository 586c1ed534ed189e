"""Other schedulers of task graphs, in C++: ``benchmarks/cpp/graph_peer.cpp``.

Taskflow takes part where its headers are found: in the directory that the environment
variable ``FASTFLOW_TASKFLOW_INCLUDE`` names, or in the compiler's usual ones.
"""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any

from fastflow.bench.graph_shapes import Shape, chain
from fastflow.bench.peer_library import KERNEL, PeerMissingError, load_peer

#: Environment variable with the path of the library, where it was built before.
VARIABLE = "FASTFLOW_GRAPH_PEER"

#: Engines of the library, by the names that rows print.
ENGINES = {
    "sweep": "sequential sweep",
    "tbb_tasks": "oneTBB tasks",
    "tbb_flow": "oneTBB flow graph",
    "taskflow": "Taskflow",
}

_INTS = ctypes.c_int64
_POINTER = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "graph_new": (_POINTER, [_INTS, _INTS, _POINTER, _POINTER]),
    "graph_free": (None, [_POINTER]),
    "graph_critical_path": (_INTS, [_POINTER]),
    "engine_new": (_POINTER, [ctypes.c_char_p, _POINTER, ctypes.c_int]),
    "engine_run": (None, [_POINTER, KERNEL, _POINTER]),
    "engine_free": (None, [_POINTER]),
    "peer_calibrate": (None, [ctypes.c_double]),
    "peer_sequential": (None, [KERNEL, _POINTER, _INTS]),
    "peer_split": (None, [KERNEL, _POINTER, _INTS, ctypes.c_int]),
}


def _load() -> ctypes.CDLL:
    """Load the library, without Taskflow if that is what doesn't compile."""
    include = os.environ.get("FASTFLOW_TASKFLOW_INCLUDE")
    flags = ["-isystem", include] if include else []
    try:
        return load_peer("graph_peer.cpp", VARIABLE, flags)
    except PeerMissingError:
        return load_peer("graph_peer.cpp", VARIABLE, ["-DFASTFLOW_WITHOUT_TASKFLOW"])


class GraphPeers:
    """The peer library: bodies, and graphs to run them over.

    Attributes
    ----------
    noop, spin : ctypes function pointers
        The bodies; ``spin`` is as long as `calibrate` was told.
    path : str
        Where the library is, for as long as this process lives.
    """

    def __init__(self) -> None:
        self.library = _load()
        self.path: str = self.library._name
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self.library, name)
            function.restype, function.argtypes = result, arguments
        self.noop = KERNEL(("peer_noop", self.library))
        self.spin = KERNEL(("peer_spin", self.library))

    def calibrate(self, ns: float) -> None:
        """Make ``spin`` last about ``ns`` nanoseconds."""
        self.library.peer_calibrate(ns)

    def sequential(self, kernel: Any, n: int) -> None:
        """Call ``kernel`` for each of ``n`` numbers: a loop, no graph."""
        self.library.peer_sequential(kernel, None, n)

    def split(self, kernel: Any, n: int, workers: int) -> None:
        """The same loop cut into one piece per thread: all that the machine gives."""
        self.library.peer_split(kernel, None, n, workers)


class PeerGraph:
    """A graph in the form that all engines are built from.

    Building it is not charged to any of them.
    """

    def __init__(self, peers: GraphPeers, shape: Shape) -> None:
        self.peers = peers
        self._free = peers.library.graph_free
        self.pointer = peers.library.graph_new(
            shape.n, shape.edges, shape.src.ctypes.data, shape.dst.ctypes.data
        )

    def __del__(self) -> None:
        self._free(self.pointer)

    def critical_path(self) -> int:
        """Number of nodes on the longest path."""
        return int(self.peers.library.graph_critical_path(self.pointer))

    def engine(self, name: str, workers: int) -> Engine:
        """Build one of `ENGINES` over this graph.

        Raises
        ------
        PeerMissingError
            If the library was compiled without it.
        """
        return Engine(self, name, workers)


class Engine:
    """One scheduler with the graph it has built; runs again and again."""

    def __init__(self, graph: PeerGraph, name: str, workers: int) -> None:
        library = graph.peers.library
        self.graph = graph  # some engines read it
        self._run, self._free = library.engine_run, library.engine_free
        self._pointer = library.engine_new(name.encode(), graph.pointer, workers)
        if not self._pointer:
            raise PeerMissingError(
                f"{ENGINES.get(name, name)}: not compiled in; Taskflow's headers are "
                "looked for where FASTFLOW_TASKFLOW_INCLUDE says"
            )

    def __del__(self) -> None:
        self._free(self._pointer)

    def run(self, kernel: Any) -> None:
        """Run ``kernel`` once for every node."""
        self._run(self._pointer, kernel, None)


@functools.cache
def load_peers() -> GraphPeers:
    """The peers, compiled once for all benchmarks of a run.

    Raises
    ------
    PeerMissingError
        Without a C++ compiler or oneTBB.
    """
    return GraphPeers()


def available(peers: GraphPeers) -> dict[str, str]:
    """Names of `ENGINES` that are compiled in, with the names that rows print."""
    graph = PeerGraph(peers, chain(2))
    found = {}
    for name, title in ENGINES.items():
        try:
            graph.engine(name, 1)
        except PeerMissingError:
            continue
        found[name] = title
    return found
