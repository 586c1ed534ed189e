"""Layers, and where nodes stand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastflow
from fastflow.seeing.pictures.groups import levels_of, tidy_edges
from fastflow.seeing.pictures.layers import layers_of
from fastflow.seeing.pictures.layout import across_of, layout
from fastflow.seeing.trace import Dag
from seeing.dag_pictures import dag, dags


@settings(deadline=None)
@given(dags(most=25))
def test_layers_respect_edges_and_have_every_node_once(graph):
    layers = layers_of(graph)
    placed = [node for row in layers.rows for node in row]
    assert sorted(placed) == list(range(len(placed)))
    assert set(range(len(graph.names))) <= set(placed)
    row_of = {node: at for at, row in enumerate(layers.rows) for node in row}
    for source, target in tidy_edges(graph).tolist():
        assert row_of[source] < row_of[target]
    for number, pairs in enumerate(layers.links):
        for one, other in pairs:
            assert row_of[one] == number
            assert row_of[other] == number + 1


@settings(deadline=None)
@given(dags(most=25))
def test_links_lead_from_each_source_to_its_targets_only(graph):
    layers = layers_of(graph)
    found = set()
    for source in range(layers.count):
        waiting = list(layers.below[source])
        while waiting:
            node = waiting.pop()
            if layers.is_stop(node):
                waiting += layers.below[node]
            else:
                found.add((source, node))
    assert found == set(map(tuple, tidy_edges(graph).tolist()))


@settings(deadline=None)
@given(dags(most=25), st.data())
def test_nothing_in_a_layer_overlaps(graph, data):
    size = st.floats(1, 300)
    sizes = data.draw(
        st.lists(size, min_size=len(graph.names), max_size=len(graph.names))
    )
    layers = layers_of(graph)
    at = across_of(layers, sizes, 10)
    for row in layers.rows:
        for one, other in itertools.pairwise(row):
            gap = 5 if max(one, other) >= layers.count else 10
            sizes_of = [sizes[n] if n < layers.count else 0 for n in (one, other)]
            assert at[other] - at[one] >= sum(sizes_of) / 2 + gap - 1e-6


def test_a_chain_is_straight():
    found = layout(dag("a > b > c > d"), [(50, 20)] * 4, rightwards=True)
    assert len({y for _, y, _, _ in found.boxes}) == 1
    found = layout(dag("a > b > c > d"), [(50, 20), (90, 20)] * 2, rightwards=False)
    assert len({x + width / 2 for x, _, width, _ in found.boxes}) == 1


def test_what_can_be_drawn_without_crossings_is():
    found = layers_of(dag("a > w; c > y; b > z; a > z; c > x; d > y; b > x; d > v > u"))
    crossed = 0
    for upper, lower, pairs in zip(
        found.rows, found.rows[1:], found.links, strict=False
    ):
        places = [(upper.index(a), lower.index(b)) for a, b in pairs]
        crossed += sum(
            (a - c) * (b - d) < 0 for a, b in places for c, d in places
        )  # fmt: skip
    assert crossed == 0


def test_who_waits_for_nothing_stands_before_who_waits_for_it():
    graph = dag("a > b > c > d; late > d")
    layers = layers_of(graph)
    assert graph.names.index("late") in layers.rows[2]


def test_circles_are_refused():
    graph = Dag(("a", "b"), np.array([[0, 1], [1, 0]]))
    with pytest.raises(fastflow.FlowError, match="wait for each other"):
        layers_of(graph)


def test_levels_are_the_longest_ways():
    graph = dag("a > b > c; a > c; a > d")
    assert levels_of(4, tidy_edges(graph)).tolist() == [0, 1, 2, 1]


def test_edges_are_taken_once_and_never_to_oneself():
    graph = Dag(("a", "b"), np.array([[0, 1], [0, 1], [1, 1]]))
    assert tidy_edges(graph).tolist() == [[0, 1]]
