"""Runs N no-op Python calls on one road, for instructions.py: ``roads.py ROAD N``."""

from __future__ import annotations

import ctypes
import itertools
import sys
from collections.abc import Callable

import fastflow


def nothing(_: object = None) -> None:
    """The body of every task."""


def submit_all(pool: fastflow.Executor, n: int) -> None:
    """``submit`` and ``result`` of each."""
    futures = [pool.submit(nothing) for _ in range(n)]
    for future in futures:
        future.result()


def bare(_pool: fastflow.Executor, n: int) -> None:
    """Without fastflow."""
    list(map(nothing, range(n)))


def submit_inside(pool: fastflow.Executor, n: int) -> None:
    """From a worker of the same pool."""
    pool.submit(submit_all, pool, n).result()


def kernels(pool: fastflow.Executor, n: int) -> None:
    """``submit`` and ``result`` of a C function that does as good as nothing."""
    kernel = fastflow.Kernel(ctypes.CDLL(None).labs)
    futures = [pool.submit(kernel, k) for k in range(n)]
    for future in futures:
        future.result()


def graph(pool: fastflow.Executor, n: int) -> None:
    """Nodes with one predecessor each, in 100 chains."""
    g = fastflow.Graph()
    last = [g.add(nothing) for _ in range(100)]
    for k in range(n - 100):
        last[k % 100] = g.add(nothing, last[k % 100])
    g.run(executor=pool)


ROADS: dict[str, Callable[[fastflow.Executor, int], object]] = {
    "bare": bare,
    "submit": submit_all,
    "submit_inside": submit_inside,
    "kernels": kernels,
    "map": lambda pool, n: fastflow.map(nothing, range(n), executor=pool),
    "for_each": lambda pool, n: fastflow.for_each(nothing, range(n), executor=pool),
    "imap": lambda pool, n: sum(
        1
        for _ in itertools.islice(
            fastflow.imap(nothing, itertools.count(), executor=pool), n
        )
    ),
    "graph": graph,
}

if __name__ == "__main__":
    with fastflow.Executor(1) as executor:
        ROADS[sys.argv[1]](executor, int(sys.argv[2]))
