"""Executors of both sides, started before anything is timed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

import fastflow

WORKERS = 2
KINDS = {"fastflow": fastflow.Executor, "ThreadPoolExecutor": ThreadPoolExecutor}


@pytest.fixture(params=list(KINDS))
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """One executor of each kind, in turn."""
    with KINDS[request.param](WORKERS) as running:
        running.submit(abs, -1).result()
        yield running


@pytest.fixture
def ours() -> Iterator[fastflow.Executor]:
    """Only fastflow's, for what the standard library hasn't got."""
    with fastflow.Executor(WORKERS) as running:
        running.submit(abs, -1).result()
        yield running
