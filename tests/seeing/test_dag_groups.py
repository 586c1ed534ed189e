"""Large graphs, made small."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from fastflow.seeing.pictures.groups import grouped, levels_of
from fastflow.seeing.pictures.views import View, small_view
from fastflow.seeing.trace import Dag
from seeing.dag_pictures import dag, dags


def fan(width, stages=("clean", "map", "save")):
    """load, then `width` chains of the stages, then report."""
    names, edges = ["load"], []
    for item in range(width):
        before = 0
        for stage in stages:
            edges.append((before, len(names)))
            before = len(names)
            names.append(f"{stage}_{item}")
    last = len(names)
    edges += [(last - 1 - len(stages) * item, last) for item in range(width)]
    return Dag((*names, "report"), np.array(edges))


def test_small_graphs_stay():
    graph = fan(10)
    small, group = grouped(graph)
    assert small.names == graph.names
    assert group.tolist() == list(range(len(graph.names)))


def test_alike_chains_become_one():
    small, group = grouped(fan(33_333))
    assert small.names == ("load", "clean", "map", "save", "report")
    assert small.counts == (1, 33_333, 33_333, 33_333, 1)
    assert small.edges.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert np.bincount(group).tolist() == list(small.counts)


def test_a_chain_of_one_kind_becomes_one():
    names = ("begin", *(f"step {n}" for n in range(1000)), "end")
    edges = np.stack((np.arange(1001), np.arange(1, 1002)), axis=1)
    small, _ = grouped(Dag(names, edges))
    assert small.names == ("begin", "step", "end")
    assert small.counts == (1, 1000, 1)


def test_what_has_other_neighbours_stays_apart():
    # Half of the parts are checked as well.
    names = ["load", *(f"part{n}" for n in range(100)), "check", "join"]
    edges = [(0, n) for n in range(1, 101)]
    edges += [(n, 101) for n in range(1, 51)] + [(n, 102) for n in range(1, 101)]
    small, _ = grouped(Dag(tuple(names), np.array(edges)))
    assert sorted(zip(small.names, small.counts, strict=True)) == [
        ("check", 1), ("join", 1), ("load", 1), ("part", 50), ("part", 50),
    ]  # fmt: skip


def test_counts_and_labels_go_along():
    graph = fan(60, ("work",))._replace(
        counts=(1, *(10,) * 60, 1), labels=(7, *(3,) * 60, 9)
    )
    small, _ = grouped(graph)
    assert small.counts == (1, 600, 1)
    assert small.labels == (7, 3, 9)


def test_a_group_has_the_worst_state_and_all_the_time():
    graph = fan(60, ("work",))
    states = ["COMPLETED"] * 62
    states[30] = "FAILED"
    states[61] = "SKIPPED"
    view = View(graph, "x", tuple(states), (1.0,) * 62)
    found = small_view(view)
    assert found.states == ("COMPLETED", "FAILED", "SKIPPED")
    assert found.seconds == (1.0, 60.0, 1.0)


@settings(deadline=None)
@given(dags(most=40))
def test_groups_keep_edges_and_their_direction(graph):
    small, group = grouped(graph, most=5)
    levels_of(len(small.names), small.edges)  # raises if there is a circle
    assert sum(small.counts or (1,) * len(small.names)) == len(graph.names)
    inner = {tuple(edge) for edge in small.edges.tolist()}
    outer = {
        (int(group[a]), int(group[b]))
        for a, b in graph.edges.tolist()
        if group[a] != group[b]
    }
    assert inner == outer


def test_many_nodes_without_anything_in_common_are_few():
    rng = np.random.default_rng(7)
    count = 20_000
    edges = np.sort(rng.integers(0, count, (3 * count, 2)), axis=1)
    names = tuple(f"x{n}y" for n in range(count))
    small, _ = grouped(Dag(names, edges))
    assert len(small.names) <= 100
    assert sum(small.counts) == count
    levels_of(len(small.names), small.edges)


def test_distinct_names_stay_apart_a_while():
    text = " > ".join(f"task{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(70))
    assert len(grouped(dag(text))[0].names) == 70
