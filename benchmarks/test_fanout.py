"""map, imap and for_each over no-ops, beside the bare loop and a thread pool."""

from __future__ import annotations

import itertools
from multiprocessing.pool import ThreadPool

import pytest

import fastflow
from fastflow.bench.workloads import drain, noop

ITEMS = range(100_000)
MAP = pytest.mark.benchmark(group=f"map, {len(ITEMS):,} no-ops")
LAZY = pytest.mark.benchmark(group=f"lazy map, {len(ITEMS):,} no-ops")


@MAP
def test_map_fastflow(benchmark, ours):
    benchmark(lambda: fastflow.map(noop, ITEMS, executor=ours))


@MAP
def test_map_bare(benchmark):
    benchmark(lambda: list(map(noop, ITEMS)))


@MAP
def test_map_thread_pool(benchmark):
    with ThreadPool(2) as pool:
        benchmark(lambda: pool.map(noop, ITEMS))


@MAP
def test_for_each_fastflow(benchmark, ours):
    benchmark(lambda: fastflow.for_each(noop, ITEMS, executor=ours))


@LAZY
def test_imap_fastflow(benchmark, ours):
    def take():
        endless = fastflow.imap(noop, itertools.count(), executor=ours)
        drain(itertools.islice(endless, len(ITEMS)))

    benchmark(take)


@LAZY
def test_imap_bare(benchmark):
    benchmark(lambda: drain(map(noop, ITEMS)))


@pytest.mark.benchmark(group="1,000 no-ops, executor.map")
def test_executor_map(benchmark, executor):
    benchmark(lambda: list(executor.map(noop, range(1_000))))


@pytest.mark.benchmark(group="kernel, 1,000,000 empty bodies")
def test_for_each_kernel(benchmark, ours):
    items = range(1_000_000)
    kernel = fastflow.kernels.noop
    benchmark(lambda: fastflow.for_each(kernel, items, executor=ours))
