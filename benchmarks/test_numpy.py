"""Numpy tasks of about 50 microseconds, beside the sequential loop."""

from __future__ import annotations

import pytest

import fastflow
from fastflow.bench.arrays import block_of, cosines, submit_each

TASKS = 500
GROUP = pytest.mark.benchmark(group=f"{TASKS} numpy tasks of 50 µs")


@pytest.fixture(scope="module")
def blocks():
    return [block_of(50e-6)] * TASKS


@GROUP
def test_sequential(benchmark, blocks):
    benchmark(lambda: list(map(cosines, blocks)))


@GROUP
def test_map(benchmark, ours, blocks):
    benchmark(lambda: fastflow.map(cosines, blocks, executor=ours))


@GROUP
def test_submit(benchmark, executor, blocks):
    benchmark(lambda: submit_each(executor, cosines, blocks))
