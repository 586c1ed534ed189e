"""The arithmetic and the peers behind `fastflow bench --group graph`."""

from __future__ import annotations

import math
import mmap
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastflow.bench import graph_memory, graph_native, graph_python
from fastflow.bench.graph_bodies import Field
from fastflow.bench.graph_metg import pairs_of
from fastflow.bench.graph_shapes import SHAPES
from fastflow.bench.measure import Spread, Times
from fastflow.bench.rows import Row, Skip


def times(**seconds):
    return Times(
        {name.replace("_built", ", built"): [s] for name, s in seconds.items()}
    )


def test_the_ideal_is_even_sharing_or_the_longest_path():
    field = Field(SHAPES["chain"](100), 100, {})
    assert field.ideal(3.0, 2) == 3.0
    field = Field(SHAPES["independent"](100), 1, {})
    assert field.ideal(3.0, 2) == 1.5
    assert field.ideal(3.0, 1_000) == pytest.approx(0.03)


def test_ratios_of_what_never_reached_one_half_are_none():
    assert pairs_of([4.0, 9.0], [2.0, 3.0]) == Spread.of([2.0, 3.0])
    assert pairs_of([4.0, math.inf], [2.0, 3.0]) is None


@pytest.mark.parametrize(("key", "goal"), [("random", "≥ 5 ×"), ("tree", "≥ 20 ×")])
def test_a_cycle_of_build_and_run_is_compared_with_taskflow(key, goal):
    shape = SHAPES[key](1_000)
    row = graph_native.built_row(
        shape,
        key,
        times(ours=2e-6, ours_built=4e-6, taskflow=3e-5, taskflow_built=4e-5),
    )
    assert isinstance(row, Row)
    assert row.goal.text == goal
    assert row.ratio.median == pytest.approx(10.0)
    assert row.our_figure == pytest.approx(4.0)
    assert row.met == (key == "random")


def test_without_taskflow_there_is_a_reason():
    skip = graph_native.built_row(SHAPES["fan"](10), "fan", times(ours=1.0))
    assert isinstance(skip, Skip)
    assert "FASTFLOW_TASKFLOW_INCLUDE" in skip.why


def test_a_run_is_compared_with_the_better_way_of_onetbb():
    figures = times(ours=1e-6, sweep=2e-6, tbb_tasks=5e-6, tbb_flow=4e-6)
    row = graph_native.run_row(SHAPES["chain"](1_000), figures)
    assert row.peer == "oneTBB flow graph"
    assert row.ratio.median == pytest.approx(0.25)
    assert row.met
    assert row.note == "sequential sweep 2.0, oneTBB tasks 5.0"


def test_one_shape_can_be_measured_alone(capsys):
    with pytest.raises(SystemExit):
        graph_native.main(["pentagram"])
    assert "pentagram" in capsys.readouterr().err


def test_peers_of_python_graphs_make_the_same_calls():
    predecessors = graph_python.predecessors_of(300)
    assert [len(row) for row in predecessors[:6]] == [0, 1, 2, 3, 4, 4]

    def longest(*results):
        return 1 + max(results, default=0)

    expected = graph_python.run_sequentially(predecessors, longest)
    assert max(expected) > 5
    with ThreadPoolExecutor(2) as pool:
        found = graph_python.run_graphlib(pool, predecessors, longest)
    assert [found[i] for i in range(300)] == expected
    graph = graph_python.add_all(predecessors, longest)
    assert (graph.n_nodes, graph.n_edges) == (300, sum(map(len, predecessors)))
    results = graph.run(max_workers=2).results
    assert sorted(results.values()) == sorted(expected)


def touch_fresh_memory(size):
    """Have so much memory of the system, not what an allocator has kept for reuse."""
    with mmap.mmap(-1, size) as area:
        for start in range(0, size, mmap.PAGESIZE):
            area[start] = 1


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can't be reset")
def test_the_peak_is_that_of_the_call():
    large = 64 * 2**20
    before = graph_memory.peak_since_reset(lambda: None)
    during = graph_memory.peak_since_reset(lambda: touch_fresh_memory(large))
    after = graph_memory.peak_since_reset(lambda: None)
    assert during - before > 0.9 * large
    assert during - after > 0.9 * large


def test_a_measurement_that_fails_tells_why():
    with pytest.raises(OSError, match="pentagram"):
        graph_memory.in_fresh_process("ours", "pentagram", 10, 1)
