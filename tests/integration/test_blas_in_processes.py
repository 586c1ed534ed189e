"""BLAS threads don't multiply with the processes that run tasks."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

import flow_tasks
from fastflow import Flow, workflow

CORES = os.cpu_count() or 1
NUMPY = pytest.importorskip("numpy")  # loaded before processes are forked


def flow_of(fn):
    return Flow(
        "flow F:\n    n -> a[*]",
        registry={"a": fn, "n": flow_tasks.some_names},
    )


@pytest.mark.parametrize("workers", sorted({1, CORES, 2 * CORES}))
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_each_process_has_its_share(workers, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    context = multiprocessing.get_context(method)
    share = max(CORES // workers, 1)
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        # What a process uses by itself; by then the library is there.
        alone = max(pool.submit(flow_tasks.blas_threads).result() for _ in range(4))
        most = min(share, alone)
        for fn in (flow_tasks.blas_threads, flow_tasks.blas_threads_with_a_limit):
            result = flow_of(fn).run({"names": list(range(6))}, executor=pool)
            assert max(result["a"]) == most
        wf = workflow("w").for_each("e", range(6), flow_tasks.blas_threads)
        assert max(wf.run(executor=pool).last) == most
        # It is the user's pool: what he submits himself has them all.
        assert pool.submit(flow_tasks.blas_threads).result() <= alone
