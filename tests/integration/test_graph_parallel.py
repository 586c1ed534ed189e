"""Nodes that are independent really run side by side, whatever came before them."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import fastflow

LIMIT = 60  # seconds after which nodes give up waiting for each other


def broom(handle, bristles):
    """A chain of ``handle`` nodes, and ``bristles`` nodes after its last."""
    last = handle - 1
    src = [*range(last), *([last] * bristles if handle else [])]
    dst = [*range(1, handle), *(range(handle, handle + bristles) if handle else [])]
    return fastflow.Graph.from_edges(
        handle + bristles, np.array(src, np.int64), np.array(dst, np.int64)
    )


@pytest.mark.parametrize("workers", [2, 4, 8])
@pytest.mark.parametrize("handle", [0, 1, 3_000])
def test_python_nodes_meet(workers, handle):
    barrier = threading.Barrier(workers)

    def body(i):
        return i if i < handle else barrier.wait(LIMIT) >= 0

    with fastflow.Executor(workers) as executor:
        for _ in range(2):
            result = broom(handle, workers).run(body, executor=executor)
            assert result.results[handle] is True


def test_python_nodes_of_two_runs_meet():
    barrier = threading.Barrier(2)
    graph = fastflow.Graph()
    node = graph.add(barrier.wait, LIMIT)
    results = []
    with fastflow.Executor(2) as executor:

        def run():
            results.append(graph.run(executor=executor).results[node])

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(results) == [0, 1]


def test_at_most_so_many_at_a_time():
    present, most = 0, 0
    lock = threading.Lock()

    def body(i):
        nonlocal present, most
        with lock:
            present += 1
            most = max(most, present)
        fastflow.kernels.spin(50_000)(i)
        with lock:
            present -= 1

    graph = broom(1, 200)
    with fastflow.Executor(8) as executor:
        graph.run(body, executor=executor, max_workers=3)
    assert 1 <= most <= 3
    most = 0
    with fastflow.Executor(1) as executor:
        graph.run(body, executor=executor)
    assert most == 1
