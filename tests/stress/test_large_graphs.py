"""Graphs of Python calls that are large enough for what comes next to be looked up in
advance.

The seed is printed; FASTFLOW_STRESS_SEED repeats it.
"""

from __future__ import annotations

import os
import random
import threading

import numpy as np
import pytest

import fastflow

SEED = int(os.environ.get("FASTFLOW_STRESS_SEED") or random.randrange(2**32))
N = 20_000


@pytest.fixture(autouse=True)
def seed():
    print(f"FASTFLOW_STRESS_SEED={SEED}")
    return random.Random(SEED)


@pytest.fixture(params=[1, 2, 5])
def executor(request):
    with fastflow.Executor(request.param) as made:
        yield made


def predecessors(rng):
    """Of each node, some earlier ones: none, few, or more than are looked at."""
    return [
        [rng.randrange(v) for _ in range(rng.choice([0, 1, 2, 4, 4, 12]))] if v else []
        for v in range(N)
    ]


def mix(constant, *values, listed=(), named=0):
    return hash((constant, *values, *listed, named))


@pytest.mark.parametrize("keep", ["all", "sinks"])
def test_results_travel_as_in_a_loop(keep, executor, seed):
    graph, nodes, expected = fastflow.Graph(), [], []
    for v, before in enumerate(predecessors(seed)):
        first, listed, named = before[:9], before[9:11], before[11:]
        options = {"listed": [nodes[u] for u in listed]} if listed else {}
        values = {"listed": [expected[u] for u in listed]} if listed else {}
        if named:
            options["named"], values["named"] = nodes[named[0]], expected[named[0]]
        nodes.append(graph.add(mix, v, *[nodes[u] for u in first], **options))
        expected.append(mix(v, *[expected[u] for u in first], **values))
    result = graph.run(executor=executor, keep=keep)
    if keep == "all":
        assert result.results.to_list() == expected
    else:
        sinks = [v for v in range(N) if not graph.successors(v)]
        assert [result[v] for v in sinks] == [expected[v] for v in sinks]
    assert result.counts["COMPLETED"] == N


def test_nodes_without_arguments(executor):
    calls = []
    graph = fastflow.Graph()
    for _ in range(N):
        graph.add(lambda: calls.append(None))
    assert graph.run(executor=executor).counts["COMPLETED"] == len(calls) == N


def test_numbered_nodes_run_once_after_their_predecessors(executor, seed):
    dst = np.repeat(np.arange(1, N), 3)
    src = (np.random.default_rng(seed.randrange(2**32)).random(dst.size) * dst).astype(
        np.int64
    )
    names = np.random.default_rng(seed.randrange(2**32)).permutation(N)
    graph = fastflow.Graph.from_edges(N, names[src], names[dst])
    ended = [0] * N
    clock = iter(range(1, N + 1))

    def body(i):
        ended[i] = next(clock)

    assert graph.run(body, executor=executor).counts["COMPLETED"] == N
    order = np.array(ended)
    assert sorted(ended) == list(range(1, N + 1))
    assert (order[names[src]] < order[names[dst]]).all()


def test_what_depends_on_failures_never_runs(executor, seed):
    rows = predecessors(seed)
    bad = {v for v in range(N) if seed.random() < 0.0005}

    def body(v, *_):
        if v in bad:
            raise ValueError(v)

    graph, nodes, lost = fastflow.Graph(), [], set()
    for v, before in enumerate(rows):
        nodes.append(graph.add(body, v, *[nodes[u] for u in before]))
        if any(u in bad or u in lost for u in before):
            lost.add(v)
    try:
        result = graph.run(executor=executor, on_error="continue")
    except fastflow.TaskError as error:
        result = error.result
    assert result.counts["COMPLETED"] == N - len(bad | lost)
    assert result.counts["FAILED"] == len(bad - lost)


def test_a_run_that_is_stopped_in_the_middle(executor, seed):
    calls, lock = [], threading.Lock()

    def body(v, *_):
        with lock:
            calls.append(v)
            middle = len(calls) == N // 2
        if middle:
            raise ValueError("stop here")

    graph, nodes = fastflow.Graph(), []
    for v, before in enumerate(predecessors(seed)):
        nodes.append(graph.add(body, v, *[nodes[u] for u in before]))
    with pytest.raises(fastflow.TaskError) as caught:
        graph.run(executor=executor)
    result = caught.value.result
    assert result.counts["FAILED"] == 1
    assert result.counts["COMPLETED"] == len(calls) - 1
    # How many begin while the failure is on its way: test_free_threading.py.
    assert len(set(calls)) == len(calls) < N
