"""Graphs under load: many runs at once, failures, executors that come and go.

The seed is printed; FASTFLOW_STRESS_SEED repeats it, FASTFLOW_STRESS_TASKS scales it.
"""

from __future__ import annotations

import os
import random
import threading

import numpy as np
import pytest

import fastflow
from graph_model import DEPTHS, DepthsData
from native import kernel

SEED = int(os.environ.get("FASTFLOW_STRESS_SEED") or random.randrange(2**32))
NODES = int(os.environ.get("FASTFLOW_STRESS_TASKS", "3000"))


@pytest.fixture(autouse=True)
def seed():
    print(f"FASTFLOW_STRESS_SEED={SEED}")
    return random.Random(SEED)


@pytest.fixture(scope="module")
def depths(tmp_path_factory):
    return kernel(DEPTHS, "depths", tmp_path_factory.mktemp("kernel"))


def random_edges(rng, n):
    """Edges of a graph that is narrow, wide, deep or bushy, as it comes."""
    reach = rng.choice([2, 8, 64, n])
    count = rng.choice([1, 2, 4])
    dst = np.repeat(np.arange(1, n), count)
    draws = np.random.default_rng(rng.randrange(2**32)).random(dst.size)
    src = dst - 1 - (draws * np.minimum(dst, reach)).astype(np.int64)
    return src, dst


def longest_paths(n, src, dst):
    depth = [1] * n
    for source, target in zip(src.tolist(), dst.tolist(), strict=True):
        depth[target] = max(depth[target], depth[source] + 1)
    return depth


def together(*functions):
    """Run functions in threads that start at once; raise what they raise."""
    start, errors = threading.Barrier(len(functions)), []

    def call(function):
        start.wait()
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


@pytest.mark.parametrize("workers", [1, 2, 5, 16])
def test_kernels_run_once_and_see_what_came_before(workers, seed, depths):
    with fastflow.Executor(workers) as executor:
        for _ in range(20):
            n = seed.randrange(1, 4 * NODES)
            src, dst = random_edges(seed, n)
            graph = fastflow.Graph.from_edges(n, src, dst)
            expected = longest_paths(n, src, dst)

            def run(graph=graph, n=n, src=src, dst=dst, expected=expected):
                for _ in range(3):
                    data = DepthsData(n, src, dst)
                    graph.run(fastflow.Kernel(depths, data), executor=executor)
                    assert data.arrays["depth"].tolist() == expected
                    assert data.arrays["calls"].tolist() == [1] * n

            together(run, run)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_python_nodes_hand_on_their_results(workers, seed):
    with fastflow.Executor(workers) as executor:
        for _ in range(8):
            n = seed.randrange(1, NODES // 2)
            src, dst = random_edges(seed, n)
            expected = longest_paths(n, src, dst)
            before = [[] for _ in range(n)]
            for source, target in zip(src.tolist(), dst.tolist(), strict=True):
                before[target].append(source)
            graph, nodes = fastflow.Graph(), []
            for inputs in before:
                nodes.append(
                    graph.add(
                        lambda *depth: 1 + max(depth, default=0),
                        *[nodes[i] for i in inputs],
                    )
                )

            def run(graph=graph, nodes=nodes, expected=expected):
                result = graph.run(executor=executor)
                assert [result.results[node] for node in nodes] == expected

            together(run, run, run)


def test_failures_at_random_never_lose_a_node(seed):
    with fastflow.Executor(4) as executor:
        for _ in range(60):
            n = seed.randrange(2, NODES // 10)
            src, dst = random_edges(seed, n)
            graph = fastflow.Graph.from_edges(n, src, dst)
            failing = set(seed.sample(range(n), min(n, seed.randrange(1, 4))))
            on_error = seed.choice(["stop", "continue"])

            def run(graph=graph, n=n, failing=failing, on_error=on_error):
                calls = [0] * n

                def body(i):
                    calls[i] += 1
                    if i in failing:
                        raise LookupError(i)

                with pytest.raises(fastflow.TaskError) as caught:
                    graph.run(body, executor=executor, on_error=on_error)
                result = caught.value.result
                states = [result.state(i) for i in range(n)]
                ran = {i for i in range(n) if states[i] in ("COMPLETED", "FAILED")}
                assert calls == [int(i in ran) for i in range(n)]
                assert {i for i in ran if states[i] == "FAILED"} <= failing
                complete = {i for i in ran if states[i] == "COMPLETED"}
                for source, target in zip(src.tolist(), dst.tolist(), strict=True):  # noqa: B023
                    assert target not in ran or source in complete

            together(run, run)


def test_graphs_run_inside_tasks_and_nodes(seed):
    """A node that runs a graph on its own executor must not wait for itself."""

    def nested(executor, depth):
        if depth == 0:
            return 1
        graph = fastflow.Graph()
        parts = [graph.add(nested, executor, depth - 1) for _ in range(2)]
        total = graph.add(lambda *values: sum(values), *parts)
        return graph.run(executor=executor).results[total]

    for workers in (1, 2, 4):
        with fastflow.Executor(workers) as executor:
            assert nested(executor, 5) == 2**5
            assert executor.submit(nested, executor, 5).result() == 2**5


def test_graphs_beside_everything_else(seed):
    n = NODES
    src, dst = random_edges(seed, n)
    graph = fastflow.Graph.from_edges(n, src, dst)
    with fastflow.Executor(3) as executor:

        def kernels():
            for _ in range(20):
                graph.run(fastflow.kernels.noop, executor=executor)

        def submits():
            futures = [executor.submit(pow, i, 2) for i in range(n)]
            assert [f.result() for f in futures] == [i**2 for i in range(n)]

        def maps():
            for _ in range(5):
                assert fastflow.map(abs, range(n), executor=executor) == list(range(n))

        def bodies():
            result = graph.run(abs, executor=executor)
            assert [result.results[i] for i in range(n)] == list(range(n))

        together(kernels, submits, maps, bodies, kernels)


def test_executors_come_and_go_with_their_graphs(seed):
    def use(k):
        rng = random.Random(SEED + k)
        for _ in range(40):
            n = rng.randrange(1, 200)
            src, dst = random_edges(rng, n)
            graph = fastflow.Graph.from_edges(n, src, dst)
            executor = fastflow.Executor(rng.randrange(1, 5))
            graph.run(fastflow.kernels.noop, executor=executor)
            seen = []
            graph.run(seen.append, executor=executor)
            assert sorted(seen) == list(range(n))
            if rng.random() < 0.5:
                executor.shutdown(wait=rng.random() < 0.5)

    together(*[lambda k=k: use(k) for k in range(4)])
