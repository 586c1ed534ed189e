"""Deferred nodes, units and lost calls, settled from anywhere at any time.

The seed is printed; FASTFLOW_STRESS_SEED repeats it, FASTFLOW_STRESS_TASKS scales it.
"""

from __future__ import annotations

import os
import queue
import random
import threading
import time
from array import array

import pytest

import fastflow
from fastflow import _core

SEED = int(os.environ.get("FASTFLOW_STRESS_SEED") or random.randrange(2**32))
NODES = int(os.environ.get("FASTFLOW_STRESS_TASKS", "3000")) // 10

KINDS = ("value", "value", "deferred", "early", "unit", "lost", "lost unit", "fails")


class Settlers:
    """Threads that do what they are given, after a while."""

    def __init__(self, count, rng):
        self.todo = queue.SimpleQueue()
        seeds = [rng.randrange(2**32) for _ in range(count)]
        self.threads = [threading.Thread(target=self.work, args=(s,)) for s in seeds]
        for thread in self.threads:
            thread.start()

    def work(self, seed):
        rng = random.Random(seed)
        while (todo := self.todo.get()) is not None:
            if rng.random() < 0.3:
                time.sleep(rng.random() * 1e-4)
            for fn, *args in todo:
                fn(*args)

    def close(self):
        for _ in self.threads:
            self.todo.put(None)
        for thread in self.threads:
            thread.join()


class Nodes:
    """What each node does, and how often it was called."""

    def __init__(self, rng, n, edges, settlers, *, may_lose, may_fail):
        kinds = [k for k in KINDS if may_lose or "lost" not in k]
        kinds = [k for k in kinds if may_fail or k != "fails"]
        self.kinds = [rng.choice(kinds) for _ in range(n)]
        self.n = n
        self.calls = [0] * (2 * n)
        self.settlers = settlers
        self.parents = [[] for _ in range(n)]
        for source, target in edges:
            self.parents[target].append(source)

    def body(self, number):
        self.calls[number] += 1  # each is called by one thread
        run = self.run
        if number >= self.n:
            node = number - self.n
            settle = (run.settle, node, True)
            if self.kinds[node] == "lost unit":
                self.settlers.todo.put([(run.lose, number), settle])
                return _core.LOST
            self.settlers.todo.put([settle])
            return None
        kind = self.kinds[number]
        if kind == "value":
            return number
        if kind == "fails":
            return _core.FAILED
        if kind == "early":
            run.settle(number, True)
        elif kind == "deferred":
            self.settlers.todo.put([(run.settle, number, True)])
        elif kind in ("unit", "lost unit"):
            run.post(self.n + number)
        else:
            self.settlers.todo.put([(run.lose, number), (run.settle, number, True)])
            return _core.LOST
        return _core.DEFERRED

    def check(self):
        good = []
        for number, kind in enumerate(self.kinds):
            reached = all(good[parent] for parent in self.parents[number])
            good.append(reached and kind != "fails")
            assert self.calls[number] == reached, (number, kind)
            assert self.calls[self.n + number] == (reached and "unit" in kind)
        assert self.run.states() == bytes(map(int, good))


@pytest.mark.parametrize("caller", [0, 1, 2, 3])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_node_is_called_once(workers, caller):
    print(f"FASTFLOW_STRESS_SEED={SEED}")
    rng = random.Random(SEED + workers * 10 + caller)
    settlers = Settlers(3, rng)
    try:
        with fastflow.Executor(workers) as executor:
            for _ in range(8):
                n = rng.randrange(1, NODES)
                reach = rng.choice([1, 3, n])
                edges = [
                    (max(0, target - 1 - rng.randrange(reach)), target)
                    for target in range(1, n)
                    for _ in range(rng.choice([1, 1, 2]))
                ]
                nodes = Nodes(
                    rng, n, edges, settlers,
                    may_lose=caller in (0, 2), may_fail=rng.random() < 0.5,
                )  # fmt: skip
                graph = fastflow.Graph()
                graph.set_edges(
                    n=n,
                    src=array("q", [s for s, _ in edges]),
                    dst=array("q", [t for _, t in edges]),
                )
                nodes.run = _core.CallRun(
                    engine=executor._engine,
                    graph=graph,
                    fn=nodes.body,
                    most=workers,
                    stop_on_error=False,
                    keep=2,
                    timings=None,
                )
                nodes.run.run(caller)
                nodes.check()
    finally:
        settlers.close()
