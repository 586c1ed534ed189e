"""The native peers of graphs, where a compiler and oneTBB are there."""

from __future__ import annotations

import pytest

from fastflow.bench.graph_peer import ENGINES, GraphPeers, PeerGraph, available
from fastflow.bench.graph_shapes import SHAPES
from fastflow.bench.peer_library import (
    KERNEL,
    PeerMissingError,
    compile_peer,
    find_source,
    load_peer,
)


@pytest.fixture(scope="module")
def peers():
    try:
        return GraphPeers()
    except PeerMissingError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_engine_runs_every_node_after_its_predecessors(peers, name, shape):
    if name not in available(peers):
        pytest.skip(f"no {name}")
    graph = SHAPES[shape](300)
    pairs = list(zip(graph.src.tolist(), graph.dst.tolist(), strict=True))
    engine = PeerGraph(peers, graph).engine(name, 2)
    for _ in range(3):  # a graph is run again without being rebuilt
        order = []
        engine.run(KERNEL(lambda i, _, order=order: order.append(i)))
        assert sorted(order) == list(range(graph.n))
        place = {node: k for k, node in enumerate(order)}
        assert all(place[a] < place[b] for a, b in pairs)


@pytest.mark.parametrize(
    ("shape", "nodes"), [("chain", 100), ("fan", 3), ("independent", 1), ("tree", 7)]
)
def test_the_critical_path_is_counted_in_nodes(peers, shape, nodes):
    assert PeerGraph(peers, SHAPES[shape](100)).critical_path() == nodes


def test_a_split_loop_runs_everything_once(peers):
    seen = []
    peers.split(KERNEL(lambda i, _: seen.append(i)), 7, 3)
    assert len(seen) == 7


def test_an_engine_that_is_not_compiled_in_is_told(peers):
    with pytest.raises(PeerMissingError, match="unheard of: not compiled in"):
        PeerGraph(peers, SHAPES["chain"](3)).engine("unheard of", 1)


def test_a_missing_source_or_compiler_is_told(monkeypatch, tmp_path):
    with pytest.raises(PeerMissingError, match=r"no such\.cpp not found"):
        find_source("no such.cpp")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "no such compiler")
    with pytest.raises(PeerMissingError, match="no C\\+\\+ compiler"):
        compile_peer("graph_peer.cpp", tmp_path)


def test_a_library_that_is_none_is_told(monkeypatch, tmp_path):
    broken = tmp_path / "peer.so"
    broken.write_text("not a library")
    monkeypatch.setenv("FASTFLOW_GRAPH_PEER", str(broken))
    with pytest.raises(PeerMissingError, match="peer"):
        load_peer("graph_peer.cpp", "FASTFLOW_GRAPH_PEER")
