"""Graphs of native and of Python bodies, beside other schedulers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

import fastflow
from fastflow.bench.graph_peer import ENGINES, PeerGraph, load_peers
from fastflow.bench.graph_python import add_all, noop, predecessors_of, run_graphlib
from fastflow.bench.graph_shapes import SHAPES
from fastflow.bench.peer_library import PeerMissingError

WORKERS = 2
SHAPE = SHAPES["random"](100_000)
NATIVE = pytest.mark.benchmark(group=f"graph, {SHAPE.n:,} empty bodies, 4 in-edges")
PREDECESSORS = predecessors_of(2_000)
PYTHON = pytest.mark.benchmark(
    group=f"graph, {len(PREDECESSORS):,} Python no-ops, 4 in-edges"
)


@NATIVE
def test_native_fastflow(benchmark, ours):
    graph = fastflow.Graph.from_edges(SHAPE.n, SHAPE.src, SHAPE.dst)
    benchmark(lambda: graph.run(fastflow.kernels.noop, executor=ours))


@NATIVE
@pytest.mark.parametrize("name", ENGINES)
def test_native_peer(benchmark, name):
    try:
        peers = load_peers()
        engine = PeerGraph(peers, SHAPE).engine(name, WORKERS)
    except PeerMissingError as error:
        pytest.skip(str(error))
    benchmark(lambda: engine.run(peers.noop))


@PYTHON
def test_python_fastflow(benchmark, ours):
    graph = add_all(PREDECESSORS, noop)
    benchmark(lambda: graph.run(executor=ours))


@PYTHON
def test_python_graphlib(benchmark):
    with ThreadPoolExecutor(WORKERS) as pool:
        benchmark(lambda: run_graphlib(pool, PREDECESSORS, noop))
