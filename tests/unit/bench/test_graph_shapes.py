"""The graphs that `fastflow bench --group graph` compares schedulers on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastflow.bench import graph_shapes
from fastflow.bench.graph_shapes import SHAPES


def edges(shape):
    return sorted(zip(shape.src.tolist(), shape.dst.tolist(), strict=True))


@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
@given(n=st.integers(min_value=2, max_value=300))
def test_every_edge_leads_to_a_larger_number_and_none_is_doubled(make, n):
    shape = make(n)
    assert shape.src.dtype == shape.dst.dtype == np.int32
    assert shape.src.shape == shape.dst.shape == (shape.edges,)
    assert len(set(edges(shape))) == shape.edges
    if shape.edges:
        assert shape.src.min() >= 0
        assert (shape.src < shape.dst).all()
        assert shape.dst.max() < shape.n


@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("n", [64, 1_000, 4_096])
def test_the_number_of_nodes_is_what_was_asked_for_or_the_next_whole_form(make, n):
    assert n - 2 * 64 < make(n).n <= n


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("independent", []),
        ("fan", [(0, 1), (0, 2), (1, 3), (2, 3)]),
        ("chain", [(0, 1), (1, 2), (2, 3)]),
        ("tree", [(0, 1), (0, 2), (1, 3)]),
        ("random", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
        ("wavefront", [(0, 1), (0, 2), (1, 3), (2, 3)]),
        ("stencil2", [(0, 2), (0, 3), (1, 2), (1, 3)]),
    ],
)
def test_the_smallest_ones_are_as_drawn_by_hand(name, expected):
    assert edges(SHAPES[name](4)) == expected


def test_a_stencil_clips_its_neighbourhood_at_the_borders():
    shape = graph_shapes.stencil(6, 3)
    assert edges(shape) == [(0, 3), (0, 4), (1, 3), (1, 4), (1, 5), (2, 4), (2, 5)]


@given(
    n=st.integers(min_value=1, max_value=200),
    degree=st.integers(min_value=0, max_value=6),
    seed=st.integers(min_value=0, max_value=100),
)
def test_a_random_node_has_as_many_different_predecessors_as_there_can_be(
    n, degree, seed
):
    shape = graph_shapes.random(n, degree, seed)
    counts = np.bincount(shape.dst, minlength=n)
    assert counts.tolist() == [min(i, degree) for i in range(n)]
    assert edges(shape) == edges(graph_shapes.random(n, degree, seed))
    assert len(set(edges(shape))) == shape.edges


def test_random_predecessors_come_from_everywhere():
    shape = graph_shapes.random(20_000)
    reach = shape.src[shape.dst >= 10_000] / shape.dst[shape.dst >= 10_000]
    assert np.histogram(reach, bins=4, range=(0, 1))[0].min() > 0.2 * reach.size


def test_shuffling_gives_the_nodes_other_numbers_and_keeps_the_graph():
    plain = graph_shapes.tree(100)
    shape = graph_shapes.shuffled(plain)
    assert (shape.n, shape.edges) == (plain.n, plain.edges)
    assert sorted(np.bincount(shape.src, minlength=100)) == sorted(
        np.bincount(plain.src, minlength=100)
    )
    assert (shape.src > shape.dst).any()
    parent = dict(zip(shape.dst.tolist(), shape.src.tolist(), strict=True))
    (root,) = set(range(100)) - parent.keys()
    for node in parent:
        seen = {node}
        while node != root:
            node = parent[node]
            assert node not in seen
            seen.add(node)
